// What one peer has made its flow keep, for checks of what a hostile one can.

extension SendWindow {
  /// Bytes of its rings and queues.
  package var memoryBytes: Int {
    ring.count * MemoryLayout<Sent>.stride + (acknowledged.capacity + settled.capacity) / 8
      + resends.capacity * MemoryLayout<Resend>.stride + lostQueue.capacity * MemoryLayout<UInt32>.stride
  }

  /// Retransmissions that no ACK has told of, and what is left of those that one has.
  package var resendCount: Int { resends.count }
  package var lostQueueCount: Int { lostQueue.count }
}

extension ReceiveWindow {
  /// Bytes that it takes beside the cells of the pool.
  package var memoryBytes: Int { storedCount * MemoryLayout<Stored>.stride + early.capacity / 8 }
}

extension Flow {
  /// Bytes that grow with what the peer sends: the receive window, and the window of packet numbers.
  package var receivingBytes: Int { receive.memoryBytes + replay.bits / 8 }
}
