// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// A sender that always has data, one segment acknowledged after the other, in rounds of one RTT.
private struct Path {
  static let segment = 1000
  var cubic: Cubic
  var now: Instant = .seconds(10)
  var rtt: Nanoseconds
  var roundTrip = RoundTripEstimate()
  var packetNumber: UInt64 = 0
  var isLimiting = true

  init(rtt: Nanoseconds, initialWindow: Int = 10) {
    self.rtt = rtt
    cubic = Cubic(segment: Self.segment, initialWindow: initialWindow)
  }

  /// The window in segments.
  var window: Double { Double(cubic.window) / Double(Self.segment) }

  /// One round trip in which a window's worth is acknowledged, `batch` segments at a time.
  mutating func round(batch: Int = 2) {
    let count = max(Int(cubic.window) / Self.segment / batch, 1)
    let start = now
    let first = packetNumber
    packetNumber += UInt64(count * batch)
    for index in 0..<count {
      now = start + rtt * UInt64(index + 1) / UInt64(count)
      roundTrip.update(sample: rtt, acknowledgementDelay: 0)
      cubic.acknowledged(
        bytes: UInt64(batch * Self.segment), isLimiting: isLimiting, roundTrip: roundTrip, sampled: true,
        largest: first + UInt64((index + 1) * batch - 1), next: packetNumber, now: now)
    }
  }

  mutating func run(for time: Nanoseconds, batch: Int = 2) {
    let end = now + time
    while now < end { round(batch: batch) }
  }

  /// A packet sent just now is lost.
  mutating func lose() {
    now += 1
    cubic.lost(sentTime: now, now: now)
  }

  /// Brings the window to `segments` in slow start, then loses a packet there.
  static func afterLoss(at segments: Int, rtt: Nanoseconds) -> Path {
    var path = Path(rtt: rtt, initialWindow: segments)
    path.lose()
    return path
  }
}

@Suite struct CubicTests {
  @Test func slowStartDoubles() {
    var path = Path(rtt: .milliseconds(50))
    #expect(path.window == 10 && path.cubic.inSlowStart)
    for expected in [20, 40, 80, 160, 320, 640] as [Double] {
      path.round()
      #expect(path.window == expected)
    }
    #expect(path.cubic.inSlowStart)
  }

  @Test func aWindowThatDoesNotLimitDoesNotGrow() {
    var path = Path(rtt: .milliseconds(50))
    path.isLimiting = false
    path.run(for: .seconds(5))
    #expect(path.window == 10 && path.cubic.inSlowStart)
    path.isLimiting = true
    path.round()
    path.lose()
    let window = path.cubic.window
    path.isLimiting = false
    path.run(for: .seconds(60))
    #expect(path.cubic.window == window && window == 14_000)
  }

  @Test func oneReactionInARoundTrip() {
    var path = Path(rtt: .milliseconds(50), initialWindow: 100)
    let sent = path.now
    path.now += .milliseconds(50)
    path.cubic.lost(sentTime: sent, now: path.now)
    #expect(path.cubic.window == 70_000 && !path.cubic.inSlowStart)
    // What was sent before the reaction is part of the same event, up to its very instant.
    let reaction = path.now
    for later: Nanoseconds in [0, 1, .milliseconds(20)] {
      path.cubic.lost(sentTime: sent + later, now: reaction + later)
      path.cubic.lost(sentTime: reaction, now: reaction + later)
    }
    #expect(path.cubic.window == 70_000)
    path.cubic.lost(sentTime: reaction + 1, now: reaction + .milliseconds(60))
    #expect(path.cubic.window == 49_000)
  }

  @Test func neverBelowTwoSegments() {
    var path = Path(rtt: .milliseconds(50))
    for _ in 0..<20 { path.lose() }
    #expect(path.window == 2 && path.cubic.minimumWindow == 2000)
    path.cubic.persistentCongestion(now: path.now)
    #expect(path.window == 2)
    path.lose()
    #expect(path.window == 2)
    path.run(for: .seconds(1))
    #expect(path.window > 2)
  }

  /// RFC 9438, 4.2: from 700 of 1000 segments, concave up to the plateau at K = cbrt(300 / 0.4) = 9.09 s, then convex.
  @Test(arguments: [1, 2, 8])
  func growthShape(batch: Int) {
    var path = Path.afterLoss(at: 1000, rtt: .milliseconds(100))
    #expect(path.window == 700)
    var windows = [path.window]
    for _ in 0..<18 {
      path.run(for: .seconds(1), batch: batch)
      windows.append(path.window)
    }
    for (second, window) in windows.enumerated() {
      let t = Double(second) - 9.0856
      #expect(abs(window - (1000 + 0.4 * t * t * t)) < 12, "at \(second) s")
    }
    let steps = zip(windows, windows.dropFirst()).map { $1 - $0 }
    for second in 1..<8 { #expect(steps[second] < steps[second - 1], "concave at \(second) s") }
    for second in 11..<18 { #expect(steps[second] > steps[second - 1], "convex at \(second) s") }
    #expect(steps.allSatisfy { $0 >= 0 })
  }

  /// RFC 9438, 4.7: a loss below the last maximum aims lower, at 0.85 of where it happened.
  @Test func fastConvergence() {
    var path = Path.afterLoss(at: 1000, rtt: .milliseconds(100))
    path.lose()
    #expect(abs(path.window - 490) < 0.01)
    // W_max = 595, K = cbrt(105 / 0.4) = 6.4 s.
    path.run(for: .milliseconds(6400))
    #expect(abs(path.window - 595) < 8)
    path.run(for: .seconds(1))
    #expect(path.window < 605)
  }

  /// RFC 9438, 4.3: where CUBIC would be slower than Reno, it grows like Reno: 0.53 segments a round trip.
  @Test func renoFriendly() {
    var path = Path.afterLoss(at: 20, rtt: .milliseconds(10))
    path.run(for: .seconds(1))
    #expect(abs(path.window - (14 + 0.5294 * 100)) < 4)
  }

  /// RFC 9438, 4.2 and 5.8: time in which the window was not used is not time in which it would have grown.
  @Test(arguments: [true, false])
  func pausesDoNotCount(withAcks: Bool) {
    var path = Path.afterLoss(at: 1000, rtt: .milliseconds(100))
    path.run(for: .seconds(9))
    var steady = path
    if withAcks {
      path.isLimiting = false
      path.run(for: .seconds(60))
      path.isLimiting = true
    } else {
      path.now += .seconds(60)
    }
    path.run(for: .seconds(2))
    steady.run(for: .seconds(2))
    #expect(abs(path.window - steady.window) < 8, "\(path.window), \(steady.window)")
  }

  // MARK: HyStart++

  /// RFC 9406: a round trip that rises while the window doubles makes growth a quarter as fast, and ends slow start
  /// after five rounds.
  @Test func slowStartEndsWhenTheRoundTripRises() {
    var path = Path(rtt: .milliseconds(40), initialWindow: 16)
    path.round()
    path.round()
    #expect(path.window == 64)
    // Less than an eighth is not taken for a queue.
    path.rtt = .milliseconds(44)
    path.round()
    #expect(path.window == 128)
    path.rtt = .milliseconds(52)
    path.round()
    let found = path.window
    #expect(found < 256 && path.cubic.inSlowStart)
    var windows = [found]
    while path.cubic.inSlowStart, windows.count < 10 {
      path.round()
      windows.append(path.window)
    }
    #expect((5...6).contains(windows.count), "\(windows)")
    // In the last round it ends with the first ACK.
    for (before, after) in zip(windows, windows.dropFirst().dropLast()) {
      #expect(after > before * 1.15 && after < before * 1.3)
    }
    #expect(!path.cubic.inSlowStart)
  }

  /// A rise that goes away was no queue: slow start goes on.
  @Test func slowStartResumes() {
    var path = Path(rtt: .milliseconds(40), initialWindow: 16)
    for _ in 0..<2 { path.round() }
    path.rtt = .milliseconds(60)
    path.round()
    path.rtt = .milliseconds(40)
    // The first samples of the round notice it.
    path.round()
    let window = path.window
    path.round()
    #expect(path.window == 2 * window && path.cubic.inSlowStart)
    for _ in 0..<3 { path.round() }
    #expect(path.window == 16 * window && path.cubic.inSlowStart)
  }

  /// HyStart++ is for the first slow start. After persistent congestion the window doubles again up to where it was
  /// cut last, although the first slow start had ended conservatively.
  @Test(arguments: [true, false])
  func slowStartAfterPersistentCongestion(endedByLoss: Bool) {
    var path = Path(rtt: .milliseconds(40), initialWindow: 64)
    path.round()
    path.rtt = .milliseconds(80)
    path.round()
    if endedByLoss {
      path.lose()
    } else {
      while path.cubic.inSlowStart { path.round() }
    }
    let threshold = path.window
    path.cubic.persistentCongestion(now: path.now)
    #expect(path.window == 2 && path.cubic.inSlowStart)
    var rounds = 0
    while path.cubic.inSlowStart, rounds < 20 {
      let before = path.window
      path.round()
      if path.cubic.inSlowStart { #expect(path.window == 2 * before) }
      rounds += 1
    }
    #expect(path.window >= threshold && rounds < 12)
  }
}
