// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct DeliveryRateTests {
  /// What was in flight with a packet counts those of its own burst before it.
  @Test func aBurstIsInFlight() {
    var rate = DeliveryRate()
    rate.sent(packetNumber: 7, bytesInFlight: 1400, bytes: 1400, now: 1000)
    rate.sent(packets: 199, from: 8, bytesInFlight: 1400, bytes: 1400, now: 1000)
    for packet in [7, 8, 100, 134, 135, 206] as [UInt32] {
      #expect(rate.snapshot(of: packet)?.inFlight == UInt64(packet - 6) * 1400)
    }
    let sample = rate.acknowledged(bytes: 200 * 1400, newest: 206, minimumRoundTrip: 0, now: 50_000)
    #expect(sample?.inFlight == 200 * 1400 && sample?.delivered == 200 * 1400)
  }

  /// Packets that leave at once have the snapshots that they have one by one.
  @Test(arguments: 0..<40)
  func severalAtOnce(seed: Int) {
    var random = TestRandom(seed: seed)
    var together = DeliveryRate()
    var singly = DeliveryRate()
    var (next, now, inFlight, wrong): (UInt64, Instant, UInt64, Int) = (1 << 32 - 400, .seconds(1), 0, 0)
    for _ in 0..<200 {
      if inFlight == 0 || random.happens(percent: 30) {
        inFlight += 1400
        together.sent(packetNumber: next, bytesInFlight: inFlight, bytes: 1400, now: now)
        singly.sent(packetNumber: next, bytesInFlight: inFlight, bytes: 1400, now: now)
        next += 1
      } else {
        let count = UInt64(1 + random.below(300))
        together.sent(packets: count, from: next, bytesInFlight: inFlight, bytes: 1400, now: now)
        for _ in 0..<count {
          inFlight += 1400
          singly.sent(packetNumber: next, bytesInFlight: inFlight, bytes: 1400, now: now)
          next += 1
        }
      }
      if random.happens(percent: 50) { now += UInt64(random.below(300_000)) }
      if random.happens(percent: 20) {
        let bytes = min(inFlight, UInt64(1400 * random.below(200)))
        inFlight -= bytes
        let newest = UInt32(truncatingIfNeeded: next - 1 - inFlight / 1400)
        let first = together.acknowledged(bytes: bytes, newest: newest, minimumRoundTrip: 0, now: now)
        let second = singly.acknowledged(bytes: bytes, newest: newest, minimumRoundTrip: 0, now: now)
        if first.map(String.init(describing:)) != second.map(String.init(describing:)) { wrong += 1 }
      }
      for _ in 0..<4 {
        let packet = UInt32(truncatingIfNeeded: next - 1 - UInt64(random.below(400)))
        let (first, second) = (together.snapshot(of: packet), singly.snapshot(of: packet))
        if first.map(String.init(describing:)) != second.map(String.init(describing:)) { wrong += 1 }
      }
    }
    #expect(wrong == 0)
  }
}
