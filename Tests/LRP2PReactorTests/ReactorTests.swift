// SPDX-License-Identifier: MIT
import CLinux
import Glibc
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

@Suite struct ReactorTests {
  @Test(arguments: availableBackends) func remoteWakesAndStopsFromAnotherThread(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    let remote = reactor.remote
    let runs = Atomic<Int>(0)
    var handler = NullHandler()
    onThread {
      for _ in 0..<1000 {
        remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
        remote.wake()
      }
      remote.submit { _ in remote.stop() }
    } whileRunning: {
      do { try reactor.run(&handler) } catch { Issue.record("\(error)") }
    }
    #expect(runs.load(ordering: .relaxed) == 1000)
  }

  @Test(arguments: availableBackends) func tasksRunOnceInOrder(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    let order = Mutex<[Int]>([])
    var handler = NullHandler()
    for index in 0..<5 { reactor.remote.submit { _ in order.withLock { $0.append(index) } } }
    try reactor.turn(&handler, timeout: nil)
    #expect(order.withLock { $0 } == [0, 1, 2, 3, 4])
    try reactor.turn(&handler, timeout: 0)
    #expect(order.withLock { $0.count } == 5)
    // A task may submit another: it comes with the next turn.
    let remote = reactor.remote
    remote.submit { _ in remote.submit { _ in order.withLock { $0.append(9) } } }
    try reactor.turn(&handler, timeout: nil)
    #expect(order.withLock { $0.count } == 5)
    try reactor.turn(&handler, timeout: nil)
    #expect(order.withLock { $0.last } == 9)
  }

  @Test(arguments: availableBackends) func stopIsForOneRun(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    for _ in 0..<3 {
      reactor.remote.stop()
      try reactor.run(&handler)
    }
    #expect(reactor.statistics.turns == 3)
  }

  @Test(arguments: availableBackends) func remoteOutlivesTheReactor(backend: ReactorBackend) throws {
    let remote: ReactorRemote
    do { remote = try makeReactor(backend).remote }
    remote.submit { _ in Issue.record("there is no engine") }
    remote.wake()
    remote.stop()
  }

  @Test(arguments: availableBackends) func turnTakesWhatArrived(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    var peer = try Endpoint(bind: .loopback4(), backend: backend)
    peer.append(to: reactor.localAddress, length: 10 * 1400, segmentSize: 1400)
    #expect(try peer.flush())
    try reactor.turn(&handler, timeout: nil)
    #expect(reactor.statistics.datagramsReceived == 10)
    #expect(reactor.statistics.bytesReceived == 14_000)
  }

  @Test(arguments: availableBackends) func descriptorIsReadableWhenThereIsWork(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = NullHandler()
    let outer = FileDescriptor(owning: lrp2p_epoll_create())
    #expect(lrp2p_epoll_control(outer.raw, EPOLL_CTL_ADD, reactor.fileDescriptor, EPOLLIN.rawValue, 0) == 0)
    var events = lrp2p_epoll_events()
    #expect(unsafe lrp2p_epoll_wait(outer.raw, 0, &events) == 0)
    reactor.remote.wake()
    #expect(unsafe lrp2p_epoll_wait(outer.raw, 0, &events) == 1)
    try reactor.turn(&handler, timeout: 0)
    #expect(unsafe lrp2p_epoll_wait(outer.raw, 0, &events) == 0)
  }

  @Test(arguments: availableBackends) func errorsOfTheSetUpAreTyped(backend: ReactorBackend) throws {
    let first = try makeReactor(backend)
    do {
      _ = try makeReactor(backend, bind: first.localAddress)
      Issue.record("bound twice")
    } catch {
      #expect("\(error)" == "bind \(first.localAddress): address already in use")
    }
    var configuration = ReactorConfiguration()
    configuration.maximumSegments = 65
    do {
      _ = try Reactor(
        configuration: configuration, secretKey: SecretKey(repeating: 7), suite: NullSuite(), bind: .loopback4())
      Issue.record("65 segments accepted")
    } catch {
      #expect("\(error)" == "configuration: maximumSegments must be 1 … 64")
    }
  }

  @Test(arguments: [1200, 1400, 1413, 9000, 16_384], [1, 46, 64])
  func messagesHoldWholeDatagramsAndFitTheKernel(datagram: Int, segments: Int) {
    var configuration = ReactorConfiguration()
    configuration.engine.maximumDatagram = datagram
    configuration.maximumSegments = segments
    #expect(configuration.sendMessageCapacity <= 65_000)
    #expect(configuration.sendMessageCapacity % datagram == 0)
    #expect(configuration.sendMessageCapacity / datagram <= segments)
  }
}
