/// Which keys of one connection are in use. The bits of a packet number above `bits` are the epoch of the key that the
/// datagram is sealed under; every epoch's key follows from the last one by a one-way step, so an update costs no byte
/// on the wire.
package struct KeyEpochs: BitwiseCopyable {
  /// How far ahead of the epoch in use a datagram may be: each step is work for bytes that nobody has authenticated.
  package static let maximumAhead: UInt64 = 4

  /// Bits of a packet number within an epoch; 64 for the original peer, which has one epoch only.
  package var bits: UInt64
  package var sending: UInt64 = 0
  package private(set) var receiving: UInt64 = 0
  /// The key before the one in use, for datagrams that were overtaken; `aead` 0 once it is wiped.
  package private(set) var previous = TrafficKey()
  /// When the last datagram under `previous` can no longer be on its way.
  package private(set) var previousDeadline: Instant = .never

  package init(bits: UInt64, sending: UInt64 = 0, receiving: UInt64 = 0) {
    self.bits = bits
    self.sending = sending
    self.receiving = receiving
  }

  @inline(__always)
  package func epoch(of packetNumber: UInt64) -> UInt64 { packetNumber >> bits }

  /// Whether the numbers of both epochs are all that has to be kept. One epoch for all numbers is not what others begin from.
  @inline(__always)
  package var isQuiet: Bool { previous.aead == 0 && bits < 64 }

  /// How many numbers behind `packetNumber` have the same key.
  @inline(__always)
  package func others(behind packetNumber: UInt64) -> UInt64 {
    let within: UInt64 = (1 << bits) &- 1
    return within - packetNumber & within
  }

  /// The key for `epoch`, derived without changing anything; `nil` when it is wiped or too far ahead.
  package func openingKey(_ epoch: UInt64, current: TrafficKey, suite: any CipherSuite) -> TrafficKey? {
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
  package mutating func adopt(_ epoch: UInt64, before: TrafficKey, deadline: Instant) {
    previous.bytes.wipe()
    previous = before
    previousDeadline = deadline
    receiving = epoch
  }

  package mutating func wipePrevious() {
    previous.bytes.wipe()
    previous.aead = 0
    previousDeadline = .never
  }
}
