// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor
import Testing

@Suite struct SpinTests {
  @Test func oneInVainMakesTheNextWaitsSleep() {
    var spin = AdaptiveSpin(longest: 1000)
    var spun: [Int] = []
    for wait in 0..<300 where spin.begin(.never) > 0 {
      spun.append(wait)
      spin.ended(paid: false)
    }
    #expect(spun == [0, 2, 5, 10, 19, 36, 69, 134, 199, 264])
    #expect(spin.spins == 10 && spin.inVain == 10)
  }

  @Test func oneThatPaysBringsItBack() {
    var spin = AdaptiveSpin(longest: 1000)
    for _ in 0..<300 where spin.begin(.never) > 0 { spin.ended(paid: false) }
    while spin.begin(.never) == 0 {}
    spin.ended(paid: true)
    for _ in 0..<10 {
      #expect(spin.begin(.never) == 1000)
      spin.ended(paid: true)
    }
    #expect(spin.begin(.never) == 1000)
    spin.ended(paid: false)
    #expect(spin.begin(.never) == 0)
    #expect(spin.begin(.never) == 1000)
  }

  @Test func isNeverLongerThanTheWait() {
    var spin = AdaptiveSpin(longest: 1000)
    #expect(spin.begin(0) == 0)
    #expect(spin.begin(7) == 7)
    #expect(spin.begin(2000) == 1000)
    var none = AdaptiveSpin(longest: 0)
    #expect(none.begin(.never) == 0 && none.begin(7) == 0)
    #expect(none.spins == 0)
  }

  @Test(arguments: availableBackends) func whatCameEndsASpin(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend) { $0.longestSpin = .milliseconds(10) }
    var handler = NullHandler()
    var peer = try Endpoint(bind: .loopback4(), backend: backend)
    for round in 1...5 {
      peer.append(to: reactor.localAddress, length: 3000, segmentSize: 1000)
      #expect(try peer.flush())
      try reactor.turn(&handler, timeout: nil)
      #expect(reactor.statistics.datagramsReceived == UInt64(3 * round))
      reactor.remote.wake()
      try reactor.turn(&handler, timeout: nil)
    }
    #expect(reactor.statistics.spins == 10 && reactor.statistics.spinsInVain == 0)
  }

  /// Longer than a spin, and it comes back to sleep.
  @Test(arguments: availableBackends) func waitsSleepBehindASpin(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend) { $0.longestSpin = .microseconds(1) }
    var handler = NullHandler()
    let remote = reactor.remote
    onThread {
      for _ in 0..<1000 { remote.wake() }
      remote.stop()
    } whileRunning: {
      do { try reactor.run(&handler) } catch { Issue.record("\(error)") }
    }
    try reactor.turn(&handler, timeout: .milliseconds(2))
    #expect(reactor.statistics.spins > 0)
  }

  @Test(arguments: availableBackends) func isOffAtFirst(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    reactor.remote.wake()
    try reactor.turn(&handler, timeout: nil)
    try reactor.turn(&handler, timeout: 1000)
    #expect(reactor.statistics.spins == 0)
    do {
      _ = try makeReactor(backend) { $0.longestSpin = .seconds(1) }
      Issue.record("a second accepted")
    } catch {
      #expect("\(error)" == "configuration: longestSpin must be 0 … 10000000")
    }
  }
}
