// SPDX-License-Identifier: MIT
/// A keyed hash of eight bytes in 32-bit steps that a program of the kernel's packet filter can take, too.
///
/// It keeps those out who have not seen what it gave; it is no message authentication code.
package struct IDHash: BitwiseCopyable, Sendable {
  package let first: UInt32
  package let second: UInt32
  /// Odd, so that nothing is lost by multiplying.
  package let firstFactor: UInt32
  package let secondFactor: UInt32

  /// - Parameter key: 128 random bits.
  package init(key: (UInt64, UInt64)) {
    first = UInt32(truncatingIfNeeded: key.0)
    second = UInt32(truncatingIfNeeded: key.0 >> 32)
    firstFactor = UInt32(truncatingIfNeeded: key.1) | 1
    secondFactor = UInt32(truncatingIfNeeded: key.1 >> 32) | 1
  }

  /// 16 bits.
  @inline(__always)
  package func value(_ high: UInt32, _ low: UInt32) -> UInt32 {
    var hash = (high ^ first) &* firstFactor
    hash ^= hash >> 16
    hash = (hash &+ low) &* secondFactor
    hash ^= hash >> 15
    hash = (hash ^ second) &* firstFactor
    return hash >> 16
  }
}

/// How the ids of one socket's connections are drawn, so that the kernel, which knows none of them, can tell whose they are.
///
/// A *tag*, 16 of the 40 bits above the slot, is a keyed hash of all others: what was not drawn here has it by chance only,
/// once in 65,536. Of sockets that share a port each draws ids that hash to its own number.
///
/// The first byte is 4 to 15, which no protocol that may share a port with this one begins with (RFC 9443). Of 256 ids of a slot in a
/// row no two are the same: 8 bits count, from wherever they began.
package struct ConnectionIDs: BitwiseCopyable, Sendable {
  package private(set) var tag: IDHash?
  package private(set) var steering: IDHash?
  /// Which of the sockets that share the port this is, and how many they are.
  package private(set) var index = 0
  package private(set) var count = 1

  /// All bits above the slot are random.
  package init() {}

  package mutating func mark(with tag: IDHash) { self.tag = tag }

  package mutating func steer(by hash: IDHash, to index: Int, of count: Int) {
    steering = hash
    self.index = index
    self.count = count
  }

  /// An id for `slot`, out of 64 random bits.
  ///
  /// - Parameter earlier: the one that the slot has had before; 0 for none.
  package func draw(slot: Slot, random: UInt64, after earlier: UInt64 = 0) -> UInt64 {
    var random = random
    while true {
      let first = Self.firstBytes.lowerBound + ((random >> 56) * UInt64(Self.firstBytes.count)) >> 8
      var id = first << 56 | random & 0x00FF_FFFF_FF00_0000 | UInt64(slot.index)
      if earlier != 0 { id = id & ~Self.countMask | (earlier &+ 1 << 24) & Self.countMask }
      if let tag { id = id & ~Self.tagMask | UInt64(Self.expected(tag, id)) << 32 }
      if isSteeredHere(id) { return id }
      // A step of a generator that passes through all of its states (Knuth's MMIX).
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    }
  }

  /// Whether `id` may be one that `draw` has given.
  package func isMarked(_ id: UInt64) -> Bool {
    guard let tag else { return true }
    return UInt32(truncatingIfNeeded: id >> 32) & 0xFFFF == Self.expected(tag, id)
  }

  /// Whether datagrams with this id, anyone's, come to this socket.
  @inline(__always)
  package func isSteeredHere(_ id: UInt64) -> Bool {
    guard let steering else { return true }
    return Self.destination(steering, id, of: count) == index
  }

  /// To which of `count` sockets an id is steered.
  package static func destination(_ hash: IDHash, _ id: UInt64, of count: Int) -> Int {
    Int(hash.value(UInt32(truncatingIfNeeded: id >> 32), UInt32(truncatingIfNeeded: id))) % count
  }

  private static var firstBytes: Range<UInt64> { 4..<16 }
  private static var tagMask: UInt64 { 0xFFFF << 32 }
  private static var countMask: UInt64 { 0xFF << 24 }

  private static func expected(_ hash: IDHash, _ id: UInt64) -> UInt32 {
    hash.value(UInt32(truncatingIfNeeded: id >> 48), UInt32(truncatingIfNeeded: id))
  }
}
