// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// Answers to addresses that have not proved themselves leave by a socket of their own, and nobody notices.
@Suite struct AnswerTests {
  @Test(arguments: availableBackends, [Address.loopback4(), .any(port: 0)])
  func answersComeFromTheSamePort(backend: ReactorBackend, bind: Address) throws {
    var a = try Endpoint(bind: bind, backend: backend, answersApart: true)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    try #require(a.statistics.answersApart)
    for index in 0..<6 {
      a.append(
        to: b.localAddress, length: 100, segmentSize: 100, ecn: index == 1 ? 2 : 0, salt: 100 * index,
        isUnproved: index % 2 == 1)
    }
    #expect(try a.flush())
    #expect(a.outgoing.count == 0 && !a.outgoing.hasUnproved)
    let received = try b.receive()
    #expect(received.datagrams == 6)
    #expect(received.messages.allSatisfy { $0.address == .loopback4(a.localAddress.port) })
    #expect(Set(received.messages.map(\.ecn)) == [0, 2])
    // Answers leave first, the others in their order.
    #expect(
      received.bytes
        == [1, 3, 5, 0, 2, 4].flatMap { pattern(100, salt: 100 * $0) })
    #expect(a.statistics.datagramsSent == 6 && a.statistics.bytesSent == 600)
    // A batch of nothing else.
    a.append(to: b.localAddress, length: 10, segmentSize: 10, isUnproved: true)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(10))
    // One that cannot be sent costs itself.
    a.append(to: .loopback4(0), length: 10, segmentSize: 10, isUnproved: true)
    a.append(to: b.localAddress, length: 20, segmentSize: 20, isUnproved: true)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(20))
    #expect(a.statistics.sendDropsUnproved == 1 && a.statistics.sendDropsUndeliverable == 0)
  }

  /// Whatever hash the kernel would choose by.
  @Test(arguments: availableBackends, [Address.loopback4(), .any(port: 0)])
  func everythingComesToTheOneThatReceives(backend: ReactorBackend, bind: Address) throws {
    var a = try Endpoint(bind: bind, backend: backend, answersApart: true)
    for index in 0..<50 {
      var b = try Endpoint(bind: .loopback4(), backend: .epoll)
      let length = index == 0 ? 1 : 40
      b.append(to: .loopback4(a.localAddress.port), length: length, segmentSize: length)
      #expect(try b.flush())
      #expect(try a.receive().bytes == pattern(length))
    }
    if bind.isUnspecified, hasIPv6 {
      var b = try Endpoint(bind: .loopback6(), backend: .epoll)
      b.append(to: .loopback6(a.localAddress.port), length: 4200, segmentSize: 1400)
      #expect(try b.flush())
      #expect(try a.receive().bytes == pattern(4200))
    }
  }

  @Test func thePortIsNobodyElses() throws {
    let first = try PortSockets(bind: .loopback4(), configuration: .init())
    let address = first.main.localAddress
    #expect(throws: SystemError.self) { _ = try UDPSocket(bind: address, configuration: .init()) }
    do {
      _ = try PortSockets(bind: address, configuration: .init())
      Issue.record("bound twice")
    } catch {
      #expect("\(error)" == "bind \(address): address already in use")
    }
    // Nor ours where it is somebody's.
    let alone = try UDPSocket(bind: .loopback4(), configuration: .init())
    do {
      _ = try PortSockets(bind: alone.localAddress, configuration: .init())
      Issue.record("bound twice")
    } catch {
      #expect(error.code == EADDRINUSE)
    }
  }

  @Test func whereThePortCannotBeSharedThereIsOneSocket() {
    let isApart = Mutex<Bool?>(nil)
    onThread {
      do {
        // An IPv4 socket has no other option to be refused before it is bound.
        _ = system_call_filter_refuse(SYS_setsockopt, ENOPROTOOPT)
        let sockets = try PortSockets(bind: .loopback4(), configuration: .init(), family: AF_INET)
        isApart.withLock { $0 = sockets.answers != nil }
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(isApart.withLock { $0 } == false)
  }

  /// As when the kernel waits for the addresses of dead neighbours: what is behind them is dropped, and nobody waits.
  @Test(arguments: availableBackends) func answersThatFindNoRoomHoldNobodyUp(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend, answersApart: true)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let isRefused = Mutex<Int32>(1)
    onThread {
      do {
        // Answers leave by sendmmsg, a lone datagram by sendto.
        isRefused.withLock { $0 = system_call_filter_refuse(SYS_sendmmsg, EAGAIN) }
        for round in 0..<3 {
          for _ in 0..<5 { a.append(to: b.localAddress, length: 30, segmentSize: 30, isUnproved: true) }
          a.append(to: b.localAddress, length: 50, segmentSize: 50, salt: round)
          let isSent = try a.flush()
          let received = try b.receive().bytes
          #expect(isSent && a.canSend && received == pattern(50, salt: round))
        }
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(isRefused.withLock { $0 } == 0)
    #expect(a.statistics.sendDropsUnproved == 15 && a.statistics.sendBlocked == 0)
  }

  @Test(arguments: [2, 3]) func reactorsOfAGroupHaveThemToo(count: Int) throws {
    let group = try ReactorGroup(count: count, bind: .loopback4(), accepting: .anyone)
    var handler = NullHandler()
    for index in 0..<count {
      var reactor = try Reactor(group: group, index: index, secretKey: SecretKey(repeating: 7), suite: NullSuite())
      try reactor.turn(&handler, timeout: 0)
      #expect(reactor.statistics.answersApart)
    }
  }
}
