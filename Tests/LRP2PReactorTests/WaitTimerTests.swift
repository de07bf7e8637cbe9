// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor
import Testing

@Suite(.timeLimit(.minutes(1))) struct WaitTimerTests {
  /// Far enough ahead that no test runs into it.
  private static let hour = Nanoseconds.seconds(3600)

  @Test func isLeftAloneWhileDeadlinesMoveOn() {
    var timer = WaitTimer()
    let start = currentInstant()
    for step in 0..<100 as Range<UInt64> {
      #expect(timer.timeout(until: start + Self.hour + .milliseconds(step)) == .never)
    }
    #expect(timer.timeout(until: .never) == .never)
    #expect(timer.starts == 1 && timer.expiry == start + Self.hour)
    // An earlier one: anew.
    #expect(timer.timeout(until: start + Self.hour - 1) == .never)
    #expect(timer.starts == 2 && timer.expiry == start + Self.hour - 1)
    timer.didExpire()
    #expect(timer.timeout(until: .never) == .never)
    #expect(timer.starts == 2 && timer.expiry == .never)
    #expect(timer.timeout(until: start + Self.hour) == .never)
    #expect(timer.starts == 3)
  }

  @Test func isNotStartedForWhatIsNear() {
    var timer = WaitTimer()
    let start = currentInstant()
    #expect(timer.timeout(until: 0) == 0)
    #expect(timer.timeout(until: start) == 0)
    let left = timer.timeout(until: start + WaitTimer.shortest)
    #expect(left < WaitTimer.shortest)
    #expect(timer.starts == 0)
  }

  /// By the timer, by the timer of an earlier wait, and by a wait's own timeout.
  @Test(arguments: availableBackends) func deadlinesEndWaits(backend: ReactorBackend) throws {
    var endpoint = try Endpoint(bind: .loopback4(), backend: backend)
    for microseconds in [500, 2000, 1000, 10, 0, 700] as [UInt64] {
      let deadline = currentInstant() + .microseconds(microseconds)
      try Self.sleep(&endpoint, until: deadline)
    }
  }

  /// It sleeps, and does not poll: one wait, another one for the timer of an earlier wait, and as many as the kernel interrupts.
  private static func sleep(_ endpoint: inout Endpoint, until deadline: Instant) throws {
    var left: [Int64] = []
    while currentInstant() < deadline {
      let wake = try endpoint.backend.wait(until: deadline)
      #expect(!wake.hasEvent)
      if !wake.isInterrupted { left.append(Int64(deadline) - Int64(currentInstant())) }
    }
    #expect(left.count <= 3, "nanoseconds left behind each wait: \(left)")
  }

  /// The kernel takes a closed io_uring from its thread later, which ends what the thread then waits for.
  @Test(arguments: availableBackends) func waitsGoOnWhenAnIOUringHasBeenClosed(backend: ReactorBackend) throws {
    var endpoint = try Endpoint(bind: .loopback4(), backend: backend)
    for _ in 0..<10 {
      for _ in 0..<8 {
        var other = try Endpoint(bind: .loopback4(), backend: .ioUring)
        _ = try other.backend.wait(until: 0)
      }
      for _ in 0..<20 { try Self.sleep(&endpoint, until: currentInstant() + .microseconds(700)) }
    }
  }

  /// A wait ends by a datagram, long before its deadline; that one ends the wait of another thread.
  @Test(arguments: availableBackends) func theTimerGoesAlongToAnotherThread(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    for round in 0..<3 {
      let deadline = currentInstant() + .milliseconds(5)
      a.append(to: b.localAddress, length: 300, segmentSize: 100, salt: 300 * round)
      #expect(try a.flush())
      while currentInstant() < deadline, try !b.backend.wait(until: deadline).isReadable {}
      onThread {
        do {
          #expect(try b.receive().bytes == pattern(300, salt: 300 * round))
          try Self.sleep(&b, until: deadline)
        } catch {
          Issue.record("\(error)")
        }
      }
    }
  }

  /// One that has gone off wakes once, and nothing else is lost by it.
  @Test(arguments: availableBackends) func datagramsEndWaitsBehindTimers(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    for round in 0..<5 {
      let deadline = currentInstant() + .microseconds(300)
      while currentInstant() < deadline { _ = try b.backend.wait(until: deadline) }
      a.append(to: b.localAddress, length: 300, segmentSize: 100, salt: 300 * round)
      #expect(try a.flush())
      var waits = 0
      while true {
        let wake = try b.backend.wait(until: .never)
        if wake.isReadable { break }
        if !wake.isInterrupted { waits += 1 }
      }
      #expect(waits <= 1)
      #expect(try b.receive().bytes == pattern(300, salt: 300 * round))
    }
  }
}
