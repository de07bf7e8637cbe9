// SPDX-License-Identifier: MIT
/// Which keys of one connection are in use. The bits of a packet number above `bits` are the epoch of the key that the
/// datagram is sealed under; every epoch's key follows from the last one by a one-way step, so an update costs no byte
/// on the wire.
package struct KeyEpochs: BitwiseCopyable {
  /// How far ahead of the epoch in use a datagram may be: each step is work for bytes that nobody has authenticated.
  package static let maximumAhead: UInt64 = 4

  package var sending: UInt64 = 0
  package private(set) var receiving: UInt64 = 0
  private let bitCount: UInt8

  /// - Parameter bits: of a packet number within an epoch; 64 for the original peer, which has one epoch only.
  package init(bits: UInt64) { bitCount = UInt8(bits) }

  @inline(__always)
  package var bits: UInt64 { UInt64(bitCount) }

  @inline(__always)
  package func epoch(of packetNumber: UInt64) -> UInt64 { packetNumber >> bits }

  /// How many numbers behind `packetNumber` have the same key.
  @inline(__always)
  package func others(behind packetNumber: UInt64) -> UInt64 {
    let within: UInt64 = (1 << bits) &- 1
    return within - packetNumber & within
  }

  /// The key for `epoch`, derived without changing anything; `nil` when it is wiped or too far ahead.
  /// - Parameter previous: that of the epoch before the one in use.
  package func openingKey(
    _ epoch: UInt64, current: TrafficKey, previous: TrafficKey, suite: any CipherSuite
  ) -> TrafficKey? {
    if epoch < receiving { return epoch + 1 == receiving && previous.aead != 0 ? previous : nil }
    guard epoch - receiving <= Self.maximumAhead else { return nil }
    var key = current
    var at = receiving
    while at < epoch {
      let next = TrafficKeys.next(key, suite: suite)
      key.bytes.wipe()
      key = next
      at += 1
    }
    return key
  }

  /// A datagram of `epoch`, newer than the one in use, was authentic.
  package mutating func adopt(_ epoch: UInt64) { receiving = epoch }
}

/// The opening key before the one in use, for datagrams that were overtaken; `aead` 0 where there is none.
package struct PreviousKey: BitwiseCopyable {
  package private(set) var key = TrafficKey()
  /// When the last datagram under it can no longer be on its way.
  package private(set) var deadline: Instant = .never

  package init() {}

  package mutating func replace(with key: TrafficKey, until deadline: Instant) {
    self.key.bytes.wipe()
    self.key = key
    self.deadline = deadline
  }

  package mutating func wipe() {
    key.bytes.wipe()
    key.aead = 0
    deadline = .never
  }
}
