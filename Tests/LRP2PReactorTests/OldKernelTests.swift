// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// Kernels that lack what docs/reactor.md lists: a filter on the thread refuses it, as an old kernel does.
@Suite struct OldKernelTests {
  /// An option of a socket, and the kernel that brought it.
  struct Option: CustomTestStringConvertible, Sendable {
    var call: Int32 = SYS_setsockopt
    var level: Int32
    var name: Int32
    var testDescription: String

    func refuse() -> Int32 { system_call_filter_refuse_option(call, level, name, ENOPROTOOPT) }
  }

  private static let socket = Int32(LRP2P_SOL_SOCKET.rawValue)
  private static let udp = Int32(LRP2P_SOL_UDP.rawValue)
  private static let ip = Int32(LRP2P_SOL_IP.rawValue)
  private static let ipv6 = Int32(LRP2P_SOL_IPV6.rawValue)

  /// The newest first.
  private static let options = [
    Option(level: udp, name: UDP_GRO, testDescription: "UDP_GRO, 5.0"),
    Option(call: SYS_getsockopt, level: udp, name: UDP_SEGMENT, testDescription: "UDP_SEGMENT, 4.18"),
    Option(level: socket, name: SO_ATTACH_REUSEPORT_CBPF, testDescription: "SO_ATTACH_REUSEPORT_CBPF, 4.5"),
    Option(level: socket, name: SO_REUSEPORT, testDescription: "SO_REUSEPORT, 3.9"),
    Option(level: socket, name: SO_RXQ_OVFL, testDescription: "SO_RXQ_OVFL, 2.6.33"),
    Option(level: socket, name: SO_ATTACH_FILTER, testDescription: "SO_ATTACH_FILTER"),
    Option(level: socket, name: SO_RCVBUFFORCE, testDescription: "SO_RCVBUFFORCE"),
    Option(level: socket, name: SO_SNDBUFFORCE, testDescription: "SO_SNDBUFFORCE"),
    Option(level: socket, name: SO_RCVBUF, testDescription: "SO_RCVBUF"),
    Option(level: socket, name: SO_SNDBUF, testDescription: "SO_SNDBUF"),
    Option(level: ipv6, name: IPV6_RECVPKTINFO, testDescription: "IPV6_RECVPKTINFO"),
    Option(level: ip, name: IP_MTU_DISCOVER, testDescription: "IP_MTU_DISCOVER"),
    Option(level: ipv6, name: IPV6_MTU_DISCOVER, testDescription: "IPV6_MTU_DISCOVER"),
    Option(level: ip, name: IP_RECVTOS, testDescription: "IP_RECVTOS"),
    Option(level: ipv6, name: IPV6_RECVTCLASS, testDescription: "IPV6_RECVTCLASS"),
    Option(level: ip, name: IP_RECVERR, testDescription: "IP_RECVERR"),
    Option(level: ipv6, name: IPV6_RECVERR, testDescription: "IPV6_RECVERR"),
  ]

  private struct Outcome: Sendable {
    var refused: Int32 = -1
    var failure: String?
    var statistics: ReactorStatistics?
  }

  /// A reactor on all addresses, on a thread behind a filter: what it receives, and what it has.
  private func run(_ backend: ReactorBackend, _ refuse: @escaping @Sendable () -> Int32) -> Outcome {
    let result = Mutex(Outcome())
    onThread {
      var outcome = Outcome()
      outcome.refused = refuse()
      do {
        var reactor = try makeReactor(backend, bind: .any(port: 0)) { $0.socketFilter = false }
        var peer = try Endpoint(bind: .loopback4(), backend: .epoll)
        peer.append(to: .loopback4(reactor.localAddress.port), length: 300, segmentSize: 100)
        _ = try peer.flush()
        var handler = NullHandler()
        let end = currentInstant() + .seconds(5)
        while reactor.statistics.bytesReceived < 300, currentInstant() < end {
          try reactor.turn(&handler, timeout: .milliseconds(20))
        }
        if reactor.statistics.bytesReceived != 300 { outcome.failure = "nothing arrives" }
        outcome.statistics = reactor.statistics
        if outcome.failure == nil { outcome.failure = try Self.exchange(backend) }
      } catch {
        outcome.failure = "\(error)"
      }
      result.withLock { $0 = outcome }
    }
    return result.withLock { $0 }
  }

  /// Bursts both ways.
  private static func exchange(_ backend: ReactorBackend) throws(SystemError) -> String? {
    var a = try Endpoint(bind: .loopback4(), backend: backend, answersApart: false)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: b.localAddress, length: 350, segmentSize: 100)
    guard try a.flush(), try b.receive().bytes == pattern(350) else { return "it sends nothing" }
    b.append(to: a.localAddress, length: 40, segmentSize: 40)
    guard try b.flush(), try a.receive().bytes == pattern(40) else { return "it receives nothing" }
    return nil
  }

  @Test(arguments: options, availableBackends) func anOptionIsDoneWithout(option: Option, backend: ReactorBackend) {
    let outcome = run(backend) { option.refuse() }
    #expect(outcome.refused == 0 && outcome.failure == nil)
    if option.name == UDP_SEGMENT, option.level == Self.udp {
      #expect(outcome.statistics?.segmentationOffload == false)
    }
    if option.name == UDP_GRO, option.level == Self.udp { #expect(outcome.statistics?.receiveOffload == false) }
    if option.name == SO_REUSEPORT || option.name == SO_ATTACH_REUSEPORT_CBPF, option.level == Self.socket {
      #expect(outcome.statistics?.answersApart == false)
    }
  }

  /// Everything that came with Linux 3.15 and later, all of it at once.
  @Test func allOfItAtOnce() {
    let outcome = run(.ioUring) {
      var refused: Int32 = 0
      for option in Self.options.prefix(3) { refused = min(refused, option.refuse()) }
      for call in [SYS_io_uring_setup, SYS_epoll_pwait2, SYS_timerfd_create] {
        refused = min(refused, system_call_filter_refuse(call, ENOSYS))
      }
      return refused
    }
    #expect(outcome.refused == 0 && outcome.failure == nil)
    #expect(outcome.statistics?.backend == .epoll && outcome.statistics?.segmentationOffload == false)
    #expect(outcome.statistics?.receiveOffload == false && outcome.statistics?.answersApart == false)
  }

  /// The list of docs/reactor.md: the system calls that nothing is done without.
  @Test(arguments: [SYS_socket, SYS_bind, SYS_getsockname, SYS_epoll_create1, SYS_eventfd2, SYS_epoll_ctl] as [Int32])
  func withoutItThereIsNoReactor(call: Int32) {
    let code = Mutex<Int32>(0)
    onThread {
      _ = system_call_filter_refuse(call, ENOSYS)
      do throws(ReactorError) {
        _ = try makeReactor(.epoll)
      } catch {
        if case .system(let cause) = error { code.withLock { $0 = cause.code } }
      }
    }
    #expect(code.withLock { $0 } == ENOSYS)
  }
}
