// SPDX-License-Identifier: MIT
import LRP2PCore

/// Hosts to which the kernel takes no bursts (IPsec, a device without checksums): their datagrams go one by one for a while. Where
/// one host after the other refuses them, and none has taken one meanwhile, the socket's bursts stop for as long.
package struct BurstRefusals: BitwiseCopyable {
  private struct Host: BitwiseCopyable {
    var address = Address.none
    var until: Instant = 0
  }

  private static var places: Int { 8 }
  /// How long it is before a burst is tried again.
  package static var pause: Nanoseconds { .seconds(60) }

  private var hosts = InlineArray<8, Host>(repeating: Host())
  /// Refusals since a burst was taken.
  private var inARow = 0
  /// No host's time ends later than this; 0: there is none.
  private var latest: Instant = 0
  private var offUntil: Instant = 0

  package init() {}

  /// Whether bursts are off for every destination.
  @inline(__always)
  package func isOff(now: Instant) -> Bool { now < offUntil }

  /// Whether a burst to `address` is worth trying.
  @inline(__always)
  package func permits(_ address: Address, now: Instant) -> Bool { now >= latest || isPermitted(address, now) }

  private func isPermitted(_ address: Address, _ now: Instant) -> Bool {
    if now < offUntil { return false }
    for index in hosts.indices where now < hosts[index].until && Self.isSameHost(hosts[index].address, address) {
      return false
    }
    return true
  }

  private static func isSameHost(_ a: Address, _ b: Address) -> Bool {
    a.high == b.high && a.low == b.low && a.scope == b.scope
  }

  /// A single datagram has left for `address`, and a burst was refused just before.
  package mutating func refuse(_ address: Address, now: Instant) {
    var oldest = 0
    for index in hosts.indices where hosts[index].until < hosts[oldest].until { oldest = index }
    let end = now &+ Self.pause
    hosts[oldest] = Host(address: address, until: end)
    latest = end
    inARow += 1
    if inARow >= Self.places {
      offUntil = end
      inARow = 0
    }
  }

  /// A burst has left.
  @inline(__always)
  package mutating func burstLeft() { inARow = 0 }
}
