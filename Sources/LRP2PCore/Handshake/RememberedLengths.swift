// SPDX-License-Identifier: MIT
/// How long a message 1 hosts have taken, so that the next dial begins with that: a few, as a process dials few hosts again and again.
/// Of two hosts that share a place the newer stays.
package struct RememberedLengths: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Entry: BitwiseCopyable {
    var high: UInt64 = 0
    var low: UInt64 = 0
    var length = 0
    var since: Instant = 0
  }

  private static var places: Int { 64 }
  /// Then it is forgotten: the path may carry more by now, or less.
  private static var age: Nanoseconds { .seconds(600) }

  private var entries = Column(repeating: Entry(), count: Self.places)

  package init() {}

  /// The length that has come through to the host of `address`, if that is known.
  package func length(to address: Address, now: Instant) -> Int? {
    let entry = entries[Self.place(address)]
    guard entry.length > 0, entry.high == address.high, entry.low == address.low, now < entry.since + Self.age else {
      return nil
    }
    return entry.length
  }

  /// Known again what is known already does not become younger by it: a dial that began with it has tried nothing else.
  package mutating func remember(_ length: Int, to address: Address, now: Instant) {
    if self.length(to: address, now: now) == length { return }
    entries[Self.place(address)] = Entry(high: address.high, low: address.low, length: length, since: now)
  }

  private static func place(_ address: Address) -> Int {
    let h = (address.high ^ address.low) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: h >> 40) & (places - 1)
  }
}
