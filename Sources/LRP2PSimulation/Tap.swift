// SPDX-License-Identifier: MIT
import LRP2PCore

/// Somebody on the way to a host who keeps some of what passes, to send it again, and repeats some of it at once, ahead of
/// the original, under an address of his own.
package struct Tap {
  package struct Kept {
    package var bytes: [UInt8]
    package var host: Int
    /// When the original arrives.
    package var arrival: Instant
  }

  package enum Noticed {
    case keeps
    case repeats(from: Address)
  }

  /// Whose datagrams he sees.
  package var hosts = 1..<1
  /// How probable each is.
  package var keeps = 0.0
  package var repeats = 0.0
  /// Repeats come from one of these.
  package var addresses: [Address] = []
  package private(set) var kept: [Kept] = []
  package private(set) var repeatCount: UInt64 = 0
  private var random: SeededRandom
  private var next = 0

  private static var most: Int { 256 }

  package init(seed: UInt64) { random = SeededRandom(seed: seed) }

  /// A datagram passes.
  mutating func notices(from host: Int) -> Noticed? {
    guard hosts.contains(host) else { return nil }
    let chance = Double(random.next() >> 11) / Double(1 << 53)
    if chance < keeps { return .keeps }
    guard chance < keeps + repeats, !addresses.isEmpty else { return nil }
    repeatCount += 1
    return .repeats(from: addresses[Int(random.below(UInt64(addresses.count)))])
  }

  mutating func keep(_ bytes: [UInt8], from host: Int, arrival: Instant) {
    let entry = Kept(bytes: bytes, host: host, arrival: arrival)
    if kept.count < Self.most { kept.append(entry) } else { kept[next] = entry }
    next = (next + 1) % Self.most
  }
}
