// SPDX-License-Identifier: MIT
import LRP2PCore

/// Datagrams that have left, to be sent once more when their connection is over and its slot has another.
struct LateDatagrams: ~Copyable {
  static let longest = 2048
  /// How many are sent at a time.
  static let share = 64
  private static let capacity = 2048
  /// One message of so many is kept.
  private static let interval: UInt64 = 4

  private var messages = Column(repeating: Message(), count: Self.capacity)
  private var arena = Arena(byteCount: Self.capacity * Self.longest)
  private var next = 0
  private var seen: UInt64 = 0
  private var count = 0
  private var place = 0

  /// Keeps some of what leaves, in the place of what was kept longest.
  mutating func keep(_ batch: borrowing DatagramBatch) {
    for index in 0..<batch.count {
      seen &+= 1
      let message = batch.messages[index]
      if seen % Self.interval != 0 || message.segmentSize > Self.longest { continue }
      var copy = message
      copy.length = min(message.length, message.segmentSize)
      copy.segmentSize = copy.length
      copy.offset = next * Self.longest
      var bytes = arena.mutableBytes(copy.offset, copy.length)
      bytes.copy(batch.arena.bytes(message.offset, copy.length), to: 0)
      messages[next] = copy
      next = (next + 1) % Self.capacity
      count = min(count + 1, Self.capacity)
    }
  }

  /// Writes the next of what is kept into a batch.
  mutating func write(into batch: inout DatagramBatch) {
    batch.clear()
    for _ in 0..<min(count, Self.share) {
      let message = messages[place % count]
      let id = arena.bytes(message.offset, 8).bigEndian64(0)
      guard let offset = batch.place(message.length, for: message.address, group: id) else { return }
      var bytes = batch.arena.mutableBytes(offset, message.length)
      bytes.copy(arena.bytes(message.offset, message.length), to: 0)
      place = (place + 1) % count
    }
  }
}
