// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// What io_uring does otherwise than epoll; what both have in common is tested with them as an argument.
@Suite struct UringTests {
  @Test(.enabled(if: uringRefusal == nil, "no io_uring here, so everything ran over epoll only")) func isThere() throws
  {
    let reactor = try makeReactor(.ioUring)
    #expect(reactor.statistics.backend == .ioUring && reactor.backendFallbackError == nil)
    #expect(try makeReactor(.epoll).statistics.backend == .epoll)
    #expect(try makeReactor(.automatic).backendFallbackError == nil)
  }

  @Test func refusalFallsBackToEpoll() {
    // A filter cannot be taken off again: it goes with its thread.
    let isRefused = Mutex<Int32>(0)
    onThread {
      do {
        isRefused.withLock { $0 = system_call_filter_refuse_io_uring() }
        var reactor = try makeReactor(.ioUring)
        #expect(reactor.statistics.backend == .epoll)
        #expect("\(reactor.backendFallbackError!)" == "set up io_uring: operation not permitted")
        var peer = try Endpoint(bind: .loopback4(), backend: .epoll)
        peer.append(to: reactor.localAddress, length: 3000, segmentSize: 1000)
        #expect(try peer.flush())
        var handler = NullHandler()
        try reactor.turn(&handler, timeout: nil)
        #expect(reactor.statistics.datagramsReceived == 3)
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(isRefused.withLock { $0 } == 0)
  }

  /// More messages than places: the kernel stops, is asked again, and nothing is lost.
  @Test(.enabled(if: uringRefusal == nil)) func placesRunOut() throws {
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = false
    var a = try Endpoint(bind: .loopback4(), backend: .ioUring)
    var b = try Endpoint(bind: .loopback4(), backend: .ioUring, configuration: configuration)
    for round in 0..<3 {
      a.append(to: b.localAddress, length: 35 * 100, segmentSize: 100, salt: round)
      #expect(try a.flush())
      let received = try b.receive()
      #expect(received.bytes == pattern(3500, salt: round))
      #expect(received.messages.count == 35)
    }
    #expect(b.statistics.receivePlacesExhausted == 12 && b.statistics.receiveFailures == 0)
  }

  /// Those that the kernel has not filled yet stay offered, each once.
  @Test(.enabled(if: uringRefusal == nil)) func placesAreOfferedAgain() throws {
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = false
    var a = try Endpoint(bind: .loopback4(), backend: .ioUring)
    var b = try Endpoint(bind: .loopback4(), backend: .ioUring, configuration: configuration)
    for round in 0..<200 {
      let count = 1 + round * round % 19
      a.append(to: b.localAddress, length: count * 100, segmentSize: 100, salt: round)
      #expect(try a.flush())
      let received = try b.receive()
      #expect(received.bytes == pattern(count * 100, salt: round))
      #expect(received.messages.count == count)
    }
    #expect(b.statistics.receiveFailures == 0)
  }

  /// What a wait has brought stays until it is received, whatever is called in between.
  @Test(.enabled(if: uringRefusal == nil)) func waitsKeepWhatCame() throws {
    var a = try Endpoint(bind: .loopback4(), backend: .ioUring)
    var b = try Endpoint(bind: .loopback4(), backend: .ioUring)
    for round in 0..<3 {
      a.append(to: b.localAddress, length: 300, segmentSize: 100, salt: 300 * round)
      #expect(try a.flush())
      #expect(try b.backend.wait(until: .never).isReadable)
      b.append(to: a.localAddress, length: 10, segmentSize: 10)
      #expect(try b.flush())
    }
    #expect(try b.receive().bytes == pattern(900))
    #expect(try !b.backend.wait(until: 0).isReadable)
  }

  /// A reactor belongs to one thread at a time, and a ring to its first one.
  @Test(.enabled(if: uringRefusal == nil)) func changesItsThread() throws {
    var reactor = try makeReactor(.ioUring)
    var peer = try Endpoint(bind: .loopback4(), backend: .epoll)
    let runs = Atomic<Int>(0)
    for round in 1...3 {
      onThread {
        do {
          peer.append(to: reactor.localAddress, length: 3000, segmentSize: 1000)
          #expect(try peer.flush())
          var handler = NullHandler()
          reactor.remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
          while reactor.statistics.datagramsReceived < 3 * UInt64(round) || runs.load(ordering: .relaxed) < round {
            try reactor.turn(&handler, timeout: nil)
          }
        } catch {
          Issue.record("\(error)")
        }
      }
    }
    #expect(reactor.statistics.datagramsReceived == 9 && reactor.statistics.backend == .ioUring)
  }

  /// The kernel would let go of the socket at leisure.
  @Test(.enabled(if: uringRefusal == nil)) func portIsFreeAtOnce() throws {
    var address = Address.loopback4()
    for _ in 0..<20 {
      var reactor = try makeReactor(.ioUring, bind: address)
      var handler = NullHandler()
      try reactor.turn(&handler, timeout: 0)
      address = reactor.localAddress
    }
  }
}
