/// One kernel message: one or several datagrams for (or from) one address, side by side in the arena, each
/// `segmentSize` bytes but for the last, which may be shorter. What UDP_SEGMENT sends and UDP_GRO receives.
package struct Message: BitwiseCopyable {
  package var address: Address = .none
  /// First byte in the batch's arena.
  package var offset: Int = 0
  /// Bytes of all datagrams together.
  package var length: Int = 0
  /// Bytes of one datagram; at least `length` when there is only one.
  package var segmentSize: Int = 0
  /// The two ECN bits of the IP header.
  package var ecn: UInt8 = 0

  package init() {}
}

/// The only currency between core and reactor: an arena of bytes and the messages in it.
///
/// Receiving: the reactor owns fixed places of `messageCapacity` bytes for each message, fills them and sets
/// `count`. Sending: the core appends datagrams back to back; the reactor sends messages `0 ..< count` and clears.
package struct DatagramBatch: ~Copyable {
  package var arena: Arena
  package var messages: Column<Message>
  /// Messages in use.
  package var count = 0
  /// Bytes of the arena in use, when sending.
  package var used = 0
  /// The most bytes one message may have.
  package let messageCapacity: Int

  /// - Parameters:
  ///   - messages: how many messages the batch holds.
  ///   - messageCapacity: bytes of each, at most 65,507 for a UDP send.
  package init(messages: Int, messageCapacity: Int) {
    self.messages = Column(repeating: Message(), count: messages)
    self.messageCapacity = messageCapacity
    arena = Arena(byteCount: messages * messageCapacity)
  }

  package mutating func clear() {
    count = 0
    used = 0
  }
}
