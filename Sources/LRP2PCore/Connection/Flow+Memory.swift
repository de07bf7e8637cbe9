// SPDX-License-Identifier: MIT
// What one peer has made its flow keep beside the pool, for checks of what a hostile one can.

extension ReceiveWindow {
  /// Bytes that it takes beside the cells of the pool.
  package var memoryBytes: Int { storedCount * MemoryLayout<Stored>.stride + early.capacity / 8 }
}

extension Flow {
  /// Bytes that grow with what the peer sends: the receive window, and the window of packet numbers.
  package var receivingBytes: Int { receive.memoryBytes + replay.bits / 8 }
}
