// SPDX-License-Identifier: MIT
/// How fast the path delivers (draft-ietf-ccwg-bbr, section 4.1, after draft-cheng-iccrg-delivery-rate-estimation).
///
/// What the draft keeps for each packet is the same for all that leave in one burst, so it is kept once for each:
/// a queue of snapshots by packet number.
package struct DeliveryRate: ~Copyable {
  /// What was known when a burst left; of one packet, when that did.
  package struct Snapshot: BitwiseCopyable {
    package var packetNumber: UInt64 = 0
    package var sent: Instant = 0
    fileprivate var firstSent: Instant = 0
    fileprivate var deliveredTime: Instant = 0
    fileprivate var delivered: UInt64 = 0
    package fileprivate(set) var lost: UInt64 = 0
    /// Bytes in flight with the packet; kept is that of the burst's first.
    package fileprivate(set) var inFlight: UInt64 = 0
    fileprivate var packetBytes: UInt64 = 0
    fileprivate var isApplicationLimited = false
  }

  /// The rate over the flight that ends with the newest packet that an ACK tells of.
  package struct Sample: BitwiseCopyable {
    /// 0 when the interval is too short to tell.
    package var bytesPerSecond: UInt64 = 0
    package var delivered: UInt64 = 0
    /// Delivered before the newest packet was sent, and in all.
    package var priorDelivered: UInt64 = 0
    package var totalDelivered: UInt64 = 0
    /// Lost since the newest packet was sent.
    package var lost: UInt64 = 0
    package var inFlight: UInt64 = 0
    package var isApplicationLimited = false
  }

  private var snapshots = Queue<Snapshot>(filler: Snapshot())
  /// Bytes acknowledged so far.
  package private(set) var delivered: UInt64 = 0
  private var deliveredTime: Instant = 0
  private var firstSent: Instant = 0
  package private(set) var lost: UInt64 = 0
  /// Samples of packets sent before this much is delivered are limited by a lack of data; 0 when none are.
  private var applicationLimitedUntil: UInt64 = 0
  private var newest = Snapshot()
  /// The last sample that was not limited by a lack of data, bytes per second.
  package private(set) var bytesPerSecond: UInt64 = 0

  package init() {}

  /// Whether it takes about as much memory as at first: a peer that acknowledges nothing makes it remember much.
  package var isSmall: Bool { snapshots.capacity <= 64 }

  /// Becomes that of a connection that goes on behind a rest, in the memory of another.
  package mutating func restart(bytesPerSecond: UInt64) {
    snapshots.removeAll()
    delivered = 0
    deliveredTime = 0
    firstSent = 0
    lost = 0
    applicationLimitedUntil = 0
    newest = Snapshot()
    self.bytesPerSecond = bytesPerSecond
  }

  /// Nothing is in flight: what was known when packets left is of no use any more.
  package mutating func forgetPackets() { if !isSmall { snapshots.removeAll() } }

  private static var packetsPerSnapshot: UInt64 { 128 }
  /// Enough for what is in flight at 100 Gbit/s over 600 ms. Where a peer has much sent again and acknowledges nothing, the oldest
  /// are forgotten.
  private static var mostSnapshots: Int { 1 << 16 }

  /// A packet leaves; `bytesInFlight` counts it.
  @inline(__always)
  package mutating func sent(packetNumber: UInt64, bytesInFlight: UInt64, bytes: UInt64, now: Instant) {
    if bytesInFlight <= bytes {
      firstSent = now
      deliveredTime = now
    }
    if newest.sent == now, newest.delivered == delivered, newest.lost == lost, !snapshots.isEmpty,
      packetNumber &- newest.packetNumber < Self.packetsPerSnapshot
    {
      return
    }
    append(packetNumber, bytesInFlight, bytes, now)
  }

  /// As many packets leave at once, from `packetNumber` on; `bytesInFlight`, not 0, counts none of them, and `bytes` are each one's.
  package mutating func sent(
    packets: UInt64, from packetNumber: UInt64, bytesInFlight: UInt64, bytes: UInt64, now: Instant
  ) {
    let end = packetNumber + packets
    var first = packetNumber
    if newest.sent == now, newest.delivered == delivered, newest.lost == lost, !snapshots.isEmpty {
      first = max(newest.packetNumber + Self.packetsPerSnapshot, packetNumber)
    }
    while first < end {
      append(first, bytesInFlight + (first - packetNumber + 1) * bytes, bytes, now)
      first += Self.packetsPerSnapshot
    }
  }

  private mutating func append(
    _ packetNumber: UInt64, _ bytesInFlight: UInt64, _ bytes: UInt64, _ now: Instant
  ) {
    newest = Snapshot(
      packetNumber: packetNumber, sent: now, firstSent: firstSent, deliveredTime: deliveredTime, delivered: delivered,
      lost: lost, inFlight: bytesInFlight, packetBytes: bytes, isApplicationLimited: applicationLimitedUntil != 0)
    if snapshots.count == Self.mostSnapshots { snapshots.popFirst() }
    snapshots.append(newest)
  }

  /// There is nothing to send although the window would let it out.
  package mutating func limitedByApplication(bytesInFlight: UInt64) {
    applicationLimitedUntil = max(delivered + bytesInFlight, 1)
  }

  package mutating func lost(bytes: UInt64) { lost += bytes }

  /// So much of it has arrived after all.
  package mutating func foundSpurious(bytes: UInt64) { lost -= min(bytes, lost) }

  /// What was known when the packet left; `nil` when that is forgotten.
  @inline(__always)
  package func snapshot(of packetNumber: UInt32) -> Snapshot? {
    guard !snapshots.isEmpty else { return nil }
    let index = index(of: packetNumber)
    guard index >= 0 else { return nil }
    var snapshot = snapshots[index]
    // A loss is judged by what was in flight: that of a burst's end would else be by that of its beginning.
    let behind = packetNumber &- UInt32(truncatingIfNeeded: snapshot.packetNumber)
    snapshot.inFlight += UInt64(min(behind, UInt32(Self.packetsPerSnapshot - 1))) * snapshot.packetBytes
    return snapshot
  }

  /// `bytes` are newly acknowledged; the newest of those packets is `packetNumber`.
  package mutating func acknowledged(
    bytes: UInt64, newest packetNumber: UInt32?, minimumRoundTrip: Nanoseconds, now: Instant
  ) -> Sample? {
    delivered += bytes
    deliveredTime = now
    if applicationLimitedUntil != 0, delivered > applicationLimitedUntil { applicationLimitedUntil = 0 }
    guard let packetNumber, let snapshot = snapshot(of: packetNumber) else { return nil }
    firstSent = max(firstSent, snapshot.sent)
    let sending = snapshot.sent &- snapshot.firstSent
    let acknowledging = now &- snapshot.deliveredTime
    let interval = max(sending, acknowledging)
    var sample = Sample()
    sample.priorDelivered = snapshot.delivered
    sample.totalDelivered = delivered
    sample.delivered = delivered - snapshot.delivered
    sample.lost = lost > snapshot.lost ? lost - snapshot.lost : 0
    sample.inFlight = snapshot.inFlight
    sample.isApplicationLimited = snapshot.isApplicationLimited
    // A shorter interval than the path's round trip would be of acknowledgements that came compressed.
    if interval > 0, interval >= minimumRoundTrip {
      sample.bytesPerSecond = UInt64(min(Double(sample.delivered) * 1e9 / Double(interval), 1e15))
      if !sample.isApplicationLimited { bytesPerSecond = sample.bytesPerSecond }
    }
    // What was sent over two round trips before it is settled.
    while let first = snapshots.first, first.sent + 3 * (now - snapshot.sent) < snapshot.sent { snapshots.popFirst() }
    return sample
  }

  /// The last burst that begins at or before the packet; -1 when that is forgotten.
  @inline(__always)
  private func index(of packetNumber: UInt32) -> Int {
    func isBehind(_ index: Int) -> Bool {
      packetNumber.precedes(UInt32(truncatingIfNeeded: snapshots[index].packetNumber))
    }
    var low = 0
    var high = snapshots.count
    while low < high {
      let middle = (low + high) / 2
      if isBehind(middle) { high = middle } else { low = middle + 1 }
    }
    return low - 1
  }
}
