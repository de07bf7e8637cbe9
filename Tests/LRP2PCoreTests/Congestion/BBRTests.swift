// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// A sender with BBR that always has data, over a bottleneck with a queue; every packet is acknowledged by itself.
private struct BBRPath: ~Copyable {
  static let segment: UInt64 = 1000
  var bbr: BBR
  var rate: UInt64
  /// Without a queue.
  var roundTrip: Nanoseconds
  /// Bytes that the queue takes; what comes beyond it is lost.
  var queue: UInt64 = .max
  /// One packet of so many is lost, as where others fill the queue; 0 is none.
  var lostOneOf: UInt64 = 0
  var now: Instant = .seconds(10)
  private(set) var states: Set<BBR.State> = []
  private(set) var delivered: UInt64 = 0
  private(set) var lost: UInt64 = 0

  private var deliveryRate = DeliveryRate()
  private var estimate = RoundTripEstimate()
  private var packets: [(number: UInt64, sent: Instant, arrives: Instant, isLost: Bool)] = []
  private var packetNumber: UInt64 = 0
  private var inFlight: UInt64 = 0
  private var busyUntil: Instant = 0
  private var nextSend: Instant = 0

  init(bytesPerSecond: UInt64, roundTrip: Nanoseconds, seed: UInt64 = 1) {
    bbr = BBR(segment: Int(Self.segment), initialWindow: 10, seed: seed)
    rate = bytesPerSecond
    self.roundTrip = roundTrip
  }

  /// Bytes that the path holds without a queue.
  var product: UInt64 { rate * (roundTrip / 1000) / 1_000_000 }

  mutating func run(for time: Nanoseconds) {
    let end = now + time
    while now < end {
      while inFlight < bbr.window, nextSend <= now { send() }
      let ack = packets.first?.arrives ?? .max
      let next = inFlight < bbr.window ? min(ack, nextSend) : ack
      now = max(now, next)
      if ack <= now { acknowledge() }
      states.insert(bbr.state)
    }
  }

  private mutating func send() {
    if inFlight == 0 { bbr.restarted(now: now) }
    let waiting = busyUntil > now ? (busyUntil - now) / 1000 * rate / 1_000_000 : 0
    let isLost = waiting > queue || lostOneOf > 0 && packetNumber % lostOneOf == 0
    if !isLost { busyUntil = max(busyUntil, now) + Self.segment * 1_000_000_000 / rate }
    inFlight += Self.segment
    deliveryRate.sent(packetNumber: packetNumber, bytesInFlight: inFlight, bytes: Self.segment, now: now)
    packets.append((packetNumber, now, max(busyUntil, now) + roundTrip, isLost))
    packetNumber += 1
    nextSend = bbr.pacingRate == 0 ? now : now + Self.segment * 1_000_000_000 / bbr.pacingRate
  }

  private mutating func acknowledge() {
    let packet = packets.removeFirst()
    let before = inFlight
    inFlight -= Self.segment
    if packet.isLost {
      lost += Self.segment
      deliveryRate.lost(bytes: Self.segment)
      bbr.lost(inFlight: before, lostSince: deliveryRate.lost, now: now)
      return
    }
    delivered += Self.segment
    let isSampled = estimate.update(sample: now - packet.sent, acknowledgementDelay: 0)
    let sample = deliveryRate.acknowledged(
      bytes: Self.segment, newest: UInt32(packet.number), minimumRoundTrip: estimate.minimum, now: now)
    bbr.acknowledged(
      AckSample(
        now: now, bytes: Self.segment, bytesInFlight: inFlight, isLimiting: true, roundTrip: estimate,
        isSampled: isSampled, largest: packet.number, next: packetNumber, rate: sample))
  }
}

@Suite struct BBRTests {
  /// Within some round trips the bandwidth is known, and the path holds what it can and no long queue.
  @Test(arguments: [(1_000_000, 20), (10_000_000, 50), (2_000_000, 300)] as [(UInt64, UInt64)])
  func findsWhatThePathCarries(bytesPerSecond: UInt64, milliseconds: UInt64) {
    var path = BBRPath(bytesPerSecond: bytesPerSecond, roundTrip: .milliseconds(milliseconds))
    path.run(for: 40 * .milliseconds(milliseconds))
    let (isInStartup, bandwidth, window) = (path.bbr.isInStartup, path.bbr.bandwidth, path.bbr.window)
    #expect(!isInStartup && path.bbr.isFullBandwidthReached)
    #expect(bandwidth > bytesPerSecond / 10 * 9 && bandwidth < bytesPerSecond / 10 * 11, "\(bandwidth)")
    #expect(window < 4 * path.product + 20_000, "\(window) for \(path.product)")
    let before = path.delivered
    path.run(for: .seconds(5))
    #expect(path.delivered - before > bytesPerSecond * 5 / 10 * 9)
  }

  /// Down, cruise, refill and up follow one another, and the queue is drained at times.
  @Test func probesInACycle() {
    var path = BBRPath(bytesPerSecond: 5_000_000, roundTrip: .milliseconds(40))
    path.run(for: .seconds(30))
    #expect(path.states.isSuperset(of: [.startup, .drain, .down, .cruise, .refill, .up]))
  }

  /// Half an hour later it is still the same: nothing grows without bound, and the pace is never none.
  @Test(arguments: [1, 2, 3] as [UInt64]) func aLongConnectionKeepsItsPace(seed: UInt64) {
    var path = BBRPath(bytesPerSecond: 500_000, roundTrip: .milliseconds(30), seed: seed)
    path.queue = 30_000
    path.run(for: .seconds(10))
    for _ in 0..<20 {
      let before = path.delivered
      path.run(for: .seconds(30))
      #expect(path.delivered - before > 500_000 * 30 / 10 * 8)
      #expect(path.bbr.pacingRate > 250_000 && path.bbr.window < 200_000)
    }
  }

  /// What two cycles have not seen any more is forgotten.
  @Test(arguments: [1_000_000, 8_000_000] as [UInt64]) func followsThePath(later: UInt64) {
    var path = BBRPath(bytesPerSecond: 4_000_000, roundTrip: .milliseconds(40))
    path.run(for: .seconds(10))
    path.rate = later
    path.run(for: .seconds(20))
    let bandwidth = path.bbr.bandwidth
    #expect(bandwidth > later / 10 * 8 && bandwidth < later / 10 * 12, "\(bandwidth)")
  }

  /// A first flight that is many times what the path holds is not sent once more at its pace.
  @Test func aFlightOfWhichNearlyAllIsLostEndsStartup() {
    var path = BBRPath(bytesPerSecond: 8000, roundTrip: .milliseconds(600))
    path.queue = 8000
    path.bbr.start(window: 192_000, roundTrip: .milliseconds(600), now: path.now)
    path.run(for: .seconds(4))
    let (isInStartup, lost) = (path.bbr.isInStartup, path.lost)
    #expect(!isInStartup && lost < 300_000, "\(lost) bytes lost")
    let before = path.delivered
    path.run(for: .seconds(30))
    #expect(path.delivered - before > 8000 * 30 / 10 * 7)
  }

  /// The window is too small for a round trip that has become longer, and looks like a queue until ProbeRTT has asked: at once, not after
  /// the five seconds of its interval.
  @Test func aLongerRoundTripIsFoundOutSoon() {
    var path = BBRPath(bytesPerSecond: 5_000_000, roundTrip: .milliseconds(40))
    path.run(for: .seconds(20))
    path.roundTrip = .milliseconds(110)
    path.run(for: .seconds(1))
    let before = path.delivered
    path.run(for: .seconds(2))
    #expect(path.delivered - before > 2 * 5_000_000 / 10 * 9, "\(path.delivered - before)")
  }

  /// A host that is busy for some milliseconds makes a queue, as between two processes on one machine. It is no slower path, and a
  /// bound would stay until the next probe.
  @Test(arguments: [2, 3, 5] as [UInt64]) func aBusyMomentIsNoSlowerPath(milliseconds: UInt64) {
    var path = BBRPath(bytesPerSecond: 400_000_000, roundTrip: .microseconds(140))
    path.run(for: .milliseconds(500))
    path.rate = 60_000_000
    path.run(for: .milliseconds(milliseconds))
    path.rate = 400_000_000
    path.run(for: .milliseconds(1))
    let (window, pace) = (path.bbr.window, path.bbr.pacingRate)
    #expect(window > path.product && pace > 300_000_000, "\(window), \(pace)")
  }

  /// A path that has held a few packets a round trip, and becomes wider, is filled.
  @Test func aThinPathThatBecomesWiderIsFilled() {
    var path = BBRPath(bytesPerSecond: 150_000, roundTrip: .milliseconds(40))
    path.run(for: .seconds(10))
    path.rate = 5_000_000
    path.run(for: .seconds(20))
    let bandwidth = path.bbr.bandwidth
    #expect(bandwidth > 4_000_000, "\(bandwidth)")
  }

  /// Of a path that holds four packets, and a queue as long, none is lost by probing: UP ends with the first packet that has queued.
  @Test func aThinPathIsProbedWithoutLoss() {
    var path = BBRPath(bytesPerSecond: 6500, roundTrip: .milliseconds(600))
    path.queue = 3900
    path.run(for: .seconds(60))
    let (lost, delivered) = (path.lost, path.delivered)
    path.run(for: .seconds(240))
    #expect(path.lost == lost)
    #expect(path.delivered - delivered > 240 * 6500 / 10 * 9)
  }

  /// Of a path that holds few packets of each flow, and loses many, each takes less; of one that holds many it keeps its pace.
  @Test func aCrowdSharesTheLoss() {
    var paces: [Double] = []
    for bytesPerSecond in [100_000, 5_000_000] as [UInt64] {
      var path = BBRPath(bytesPerSecond: bytesPerSecond, roundTrip: .milliseconds(40))
      path.run(for: .seconds(5))
      path.lostOneOf = 8
      path.run(for: .seconds(20))
      paces.append(Double(path.bbr.pacingRate) / Double(bytesPerSecond))
    }
    #expect(paces[0] < 0.5 && paces[1] > 0.3, "\(paces)")
  }

  /// Before anything is known the window is the initial one, and nothing is paced.
  @Test func beginsWithTheInitialWindow() {
    let bbr = BBR(segment: 1000, initialWindow: 10, seed: 1)
    #expect(bbr.window == 10_000 && bbr.pacingRate == 0 && bbr.isInStartup && bbr.state == .startup)
  }

  @Test func aStartIsSpreadOverTheRoundTrip() {
    var bbr = BBR(segment: 1000, initialWindow: 10, seed: 1)
    bbr.start(window: 60_000, roundTrip: .milliseconds(600), now: 1)
    #expect(bbr.window == 60_000 && bbr.pacingRate == 100_000)
    // A path that is too short to be measured.
    bbr.start(window: 60_000, roundTrip: 0, now: 1)
    #expect(bbr.pacingRate == 0)
    bbr.start(window: 0, roundTrip: .milliseconds(1), now: 1)
    #expect(bbr.window == 4000)
  }

  @Test func persistentCongestionLeavesTheLeastWindow() {
    var path = BBRPath(bytesPerSecond: 5_000_000, roundTrip: .milliseconds(40))
    path.run(for: .seconds(3))
    path.bbr.persistentCongestion()
    #expect(path.bbr.window == 4000)
    // And it comes back.
    path.run(for: .seconds(3))
    #expect(path.bbr.window > path.product / 2)
  }

  /// As another controller leaves it: what is known of the path holds at once.
  @Test func goesOnFromAnotherController() {
    var bbr = BBR(segment: 1000, initialWindow: 10, seed: 1)
    var roundTrip = RoundTripEstimate()
    roundTrip.update(sample: .milliseconds(50), acknowledgementDelay: 0)
    bbr.goOn(window: 300_000, bytesPerSecond: 4_000_000, roundTrip: roundTrip, now: .seconds(1))
    #expect(bbr.state == .cruise && bbr.isFullBandwidthReached && bbr.pacingRate == 4_000_000)
    #expect(bbr.bandwidth == 4_000_000 && bbr.window == 300_000)
    bbr.goOn(window: 300_000, bytesPerSecond: 0, roundTrip: roundTrip, now: .seconds(1))
    #expect(bbr.isInStartup && bbr.window == 300_000 && bbr.pacingRate == 6_000_000)
  }

  @Test func aShorterDatagramMakesASmallerLeastWindow() {
    var bbr = BBR(segment: 1400, initialWindow: 10, seed: 1)
    bbr.setSegment(1200)
    bbr.persistentCongestion()
    #expect(bbr.window == 4800)
  }
}
