// SPDX-License-Identifier: MIT
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
  /// When sending: what all of its datagrams belong to. The connection id that they begin with, or 0 for whoever takes
  /// merged ones.
  package var group: UInt64 = 0
  /// The two ECN bits of the IP header.
  package var ecn: UInt8 = 0
  /// When sending: to an address that has not shown that it receives.
  package var isUnproved = false

  package init() {}
}

/// The only currency between core and reactor: an arena of bytes and the messages in it.
///
/// Receiving: the reactor owns fixed places of `messageCapacity` bytes, fills them in any order, a message standing
/// anywhere in its place, and sets `count`. Sending: the core appends datagrams back to back; the reactor sends messages `0 ..< count` and clears.
package struct DatagramBatch: ~Copyable {
  package var arena: Arena
  package var messages: Column<Message>
  /// Messages in use.
  package var count = 0
  /// Bytes of the arena in use, when sending.
  package var used = 0
  /// The ECN bits of messages to come.
  package var ecn: UInt8 = 0
  /// Whether a message is for an address that has not shown that it receives, when sending.
  package var hasUnproved = false
  /// The last message ends with a datagram that is shorter than its others, when sending.
  private var isLastClosed = false
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
    hasUnproved = false
  }
}

// Sending: datagrams are appended back to back, and equal ones of one group share a message. The kernel of the other side
// steers what it gets as one by the id of the first datagram (SO_REUSEPORT), so those of another connection go into a message
// of their own, even to the same address, unless the peer has said in the handshake that one socket takes them all.
extension DatagramBatch {
  /// Most datagrams of one message (what every kernel with UDP_SEGMENT takes).
  private static var maximumSegments: Int { 64 }

  /// Where the next datagram of up to `length` bytes would stand, if there is room for it.
  package func room(_ length: Int, for address: Address, group: UInt64) -> Int? {
    guard length <= messageCapacity, used <= arena.byteCount - length else { return nil }
    return joins(length, address, group) || count < messages.count ? used : nil
  }

  /// Appends a datagram of `length` bytes: to the last message when it is for the same address and group and no
  /// longer than the others there, else as a new message. `nil` when the batch is full.
  package mutating func place(_ length: Int, for address: Address, group: UInt64) -> Int? {
    guard length <= messageCapacity, used <= arena.byteCount - length else { return nil }
    let offset = used
    if joins(length, address, group) {
      messages[count - 1].length += length
      isLastClosed = length < messages[count - 1].segmentSize
    } else {
      guard count < messages.count else { return nil }
      var message = Message()
      message.address = address
      message.offset = offset
      message.length = length
      message.segmentSize = length
      message.group = group
      message.ecn = ecn
      messages[count] = message
      count += 1
      isLastClosed = false
    }
    used += length
    return offset
  }

  /// Appends a datagram for an address that has not shown that it receives: a message of its own. `nil` when the batch is full.
  package mutating func placeUnproved(_ length: Int, for address: Address, group: UInt64) -> Int? {
    isLastClosed = true
    guard let offset = place(length, for: address, group: group) else { return nil }
    messages[count - 1].isUnproved = true
    hasUnproved = true
    isLastClosed = true
    return offset
  }

  /// Appends up to `most` datagrams of `length` bytes each, side by side: as many as the last message takes, or else a new one.
  /// - Returns: where the first one stands, and how many there are; `nil` when the batch is full.
  package mutating func place(_ length: Int, upTo most: Int, for address: Address, group: UInt64) -> (Int, count: Int)?
  {
    guard let offset = place(length, for: address, group: group) else { return nil }
    let message = messages[count - 1]
    guard length == message.segmentSize else { return (offset, 1) }
    let bytes = min(
      messageCapacity - message.length, Self.maximumSegments * length - message.length, arena.byteCount - used,
      (most - 1) * length)
    let others = bytes / length
    messages[count - 1].length += others * length
    used += others * length
    return (offset, 1 + others)
  }

  /// The last message takes no other datagram like its first ones.
  @inline(__always)
  package var isLastFull: Bool {
    guard count > 0 else { return false }
    let last = messages[count - 1]
    return isLastClosed || last.length + last.segmentSize > messageCapacity
      || last.length >= Self.maximumSegments * last.segmentSize
  }

  @inline(__always)
  private func joins(_ length: Int, _ address: Address, _ group: UInt64) -> Bool {
    guard count > 0, !isLastClosed else { return false }
    let last = messages[count - 1]
    return last.group == group && length <= last.segmentSize && last.length + length <= messageCapacity
      && last.length < Self.maximumSegments * last.segmentSize && last.address == address
      && last.address.local == address.local && last.ecn == ecn
  }
}
