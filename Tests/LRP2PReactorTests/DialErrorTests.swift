// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// While a dial is under way the network's errors come to the socket that all peers share (IP_RECVERR): nobody else notices.
@Suite struct DialErrorTests {
  /// A port of this host on which nobody listens.
  private static func closedPort() throws -> Address {
    try UDPSocket(bind: .loopback4(), configuration: .init()).localAddress
  }

  @Test(arguments: availableBackends, [false, true])
  func anErrnoOfAnotherDatagramCostsNone(backend: ReactorBackend, answersApart: Bool) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend, answersApart: answersApart)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let closed = try Self.closedPort()
    a.backend.hear(true)
    for round in 0..<40 {
      // The error is there when the send returns: the calls that follow meet it.
      a.append(to: closed, length: 50, segmentSize: 50, isUnproved: answersApart && round % 2 == 0)
      a.append(to: b.localAddress, length: 40, segmentSize: 40, salt: round, isUnproved: answersApart && round % 3 == 0)
      a.append(to: closed, length: 50, segmentSize: 50)
      a.append(to: b.localAddress, length: 300, segmentSize: 100, salt: round)
      #expect(try a.flush())
      // One from the other side meets it as well.
      b.append(to: a.localAddress, length: 70, segmentSize: 70)
      #expect(try b.flush())
      #expect(try a.receive().bytes == pattern(70))
      #expect(Set(try b.receive().messages.map(\.length)) == [40, 300])
    }
    let statistics = a.statistics
    #expect(statistics.sendDropsUndeliverable + statistics.sendDropsUnproved + statistics.sendDropsStuck == 0)
    #expect(statistics.receiveFailures == 0 && statistics.segmentationOffload)
  }

  @Test(arguments: availableBackends, [false, true])
  func whatTheNetworkSaysNamesTheDatagram(backend: ReactorBackend, answersApart: Bool) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend, answersApart: answersApart)
    let closed = try Self.closedPort()
    a.backend.hear(true)
    a.append(to: closed, length: 1200, segmentSize: 1200, salt: 1)
    #expect(try a.flush())
    // Whichever socket the kernel tells, the wait ends.
    _ = try a.backend.wait(until: currentInstant() + .seconds(5))
    var faults = DialFaults()
    a.backend.readFaults(into: &faults)
    try #require(faults.count == 1)
    #expect(faults.entries[0].id == 0x0102_0304_0506_0708)
    #expect(faults.entries[0].address == closed && faults.entries[0].fault == .portUnreachable)
    // That was all, and it does not end every other wait. (What is left of rings that were closed may end some.)
    _ = try a.receive()
    let end = currentInstant() + .milliseconds(20)
    var waits = 0
    while currentInstant() < end {
      let wake = try a.backend.wait(until: end)
      #expect(!wake.isReadable)
      waits += 1
    }
    #expect(waits < 20)
  }

  @Test(arguments: availableBackends) func afterwardsNothingIsLeft(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend, answersApart: true)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let closed = try Self.closedPort()
    a.backend.hear(true)
    for _ in 0..<5 { a.append(to: closed, length: 50, segmentSize: 50) }
    #expect(try a.flush())
    a.backend.hear(false)
    let calls = a.statistics.sendCalls
    a.append(to: b.localAddress, length: 50, segmentSize: 50)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(50) && a.statistics.sendCalls == calls + 1)
    a.append(to: closed, length: 50, segmentSize: 50)
    #expect(try a.flush())
    var faults = DialFaults()
    a.backend.readFaults(into: &faults)
    #expect(faults.count == 0 && a.statistics.receiveFailures == 0)
  }

  /// More of them than one turn reads: the rest is for the next one.
  @Test(arguments: availableBackends) func aFloodIsReadByPieces(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    let closed = try Self.closedPort()
    a.backend.hear(true)
    for _ in 0..<25 {
      for _ in 0..<8 { a.append(to: closed, length: 50, segmentSize: 50) }
      #expect(try a.flush())
    }
    var found: [Int] = []
    repeat {
      var faults = DialFaults()
      a.backend.readFaults(into: &faults)
      found.append(faults.count)
    } while found.last! > 0 && found.count < 100
    #expect(found.allSatisfy { $0 <= 64 } && found.reduce(0, +) > 64)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    a.append(to: b.localAddress, length: 50, segmentSize: 50)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(50))
  }

  /// What repeats is about the datagram itself, unless only the network says such a thing.
  @Test(arguments: [(EHOSTUNREACH, true), (EPERM, true), (EMSGSIZE, true), (ECONNREFUSED, false)])
  func whatRepeatsIsCertain(code: Int32, isCertain: Bool) {
    let failure = Mutex<String?>("nothing ran")
    onThread {
      do throws(SystemError) {
        var a = try Endpoint(bind: .loopback4(), backend: .epoll)
        a.backend.hear(true)
        a.append(to: .loopback4(9), length: 50, segmentSize: 50)
        for call in [SYS_sendto, SYS_sendmsg, SYS_sendmmsg] { _ = system_call_filter_refuse(call, code) }
        let isDone = try a.flush()
        let statistics = a.statistics
        let drops = statistics.sendDropsUndeliverable + statistics.sendDropsTooLarge
        let isFine =
          isDone == isCertain && drops == (isCertain ? 1 : 0) && statistics.sendCalls == (code == EPERM ? 1 : 16)
        failure.withLock { $0 = isFine ? nil : "\(isDone), \(drops) dropped, \(statistics.sendCalls) calls" }
      } catch {
        failure.withLock { $0 = "\(error)" }
      }
    }
    #expect(failure.withLock { $0 } == nil)
  }
}
