// SPDX-License-Identifier: MIT
import CLinux
import Glibc
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// Sockets as operators want them, and sockets that come from elsewhere.
@Suite struct SocketOptionTests {
  private static func code(_ body: () throws -> Void) -> Int32? {
    do { try body() } catch { return (error as? SystemError)?.code }
    return nil
  }

  private static func check(_ result: Int32, _ operation: String) throws -> Int32 {
    if result < 0 { throw SystemError(code: result == -1 ? errno : -result, operation: operation) }
    return result
  }

  private static func option(_ socket: borrowing UDPSocket, _ level: lrp2p_option_level, _ option: Int32) -> Int32? {
    var value: Int32 = -1
    return unsafe lrp2p_get_option(socket.descriptor.raw, Int32(level.rawValue), option, &value) < 0 ? nil : value
  }

  @Test func aDeviceIsBoundTo() throws {
    var configuration = ReactorConfiguration()
    configuration.device = "no-such-device"
    #expect(Self.code { _ = try UDPSocket(bind: .loopback4(), configuration: configuration) } == ENODEV)
    configuration.device = "lo"
    var a = try Endpoint(bind: .loopback4(), backend: .epoll, configuration: configuration)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    a.append(to: b.localAddress, length: 100, segmentSize: 100)
    #expect(try a.flush())
    #expect(try b.receive().bytes.count == 100)
  }

  /// It needs a privilege, and is not left out in silence.
  @Test func aMarkIsSetOrRefused() throws {
    var configuration = ReactorConfiguration()
    configuration.socketMark = 0xFFFF_FFFF
    do {
      let socket = try UDPSocket(bind: .loopback4(), configuration: configuration)
      #expect(Self.option(socket, LRP2P_SOL_SOCKET, SO_MARK) == -1)
    } catch {
      #expect(error.code == EPERM)
    }
  }

  /// The byte that a datagram had in its header.
  private static func trafficClass(at receiver: Int32) -> UInt8? {
    var bytes = [UInt8](repeating: 0, count: 64)
    var control = [UInt8](repeating: 0, count: 64)
    // Bound: both arrays outlive the call, and the kernel gets their lengths.
    let length: Int = unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe control.withUnsafeMutableBytes { control in
        var part = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return unsafe withUnsafeMutablePointer(to: &part) { part in
          var message = unsafe msghdr()
          unsafe message.msg_iov = part
          unsafe message.msg_iovlen = 1
          unsafe message.msg_control = control.baseAddress
          unsafe message.msg_controllen = control.count
          return unsafe recvmsg(receiver, &message, 0) < 0 ? -1 : message.msg_controllen
        }
      }
    }
    // A header of 16 bytes, then the byte.
    return length > 16 ? control[16] : nil
  }

  /// Whether the library has set it or the program.
  @Test(arguments: availableBackends, [(0, true), (2, true), (0, false), (2, false)] as [(UInt8, Bool)])
  func aCodePointStaysBesideECN(backend: ReactorBackend, how: (ecn: UInt8, isOurs: Bool)) throws {
    let ecn = how.ecn
    var configuration = ReactorConfiguration()
    if how.isOurs {
      configuration.dscp = 46
    } else {
      configuration.configureSocket = { descriptor throws(SystemError) in
        _ = lrp2p_set_option(descriptor, Int32(LRP2P_SOL_IP.rawValue), IP_TOS, 46 << 2)
      }
    }
    var sender = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
    let receiver = FileDescriptor(owning: try Self.check(lrp2p_udp_socket(AF_INET), "open a socket"))
    _ = try Self.check(lrp2p_bind(receiver.raw, AF_INET, Address.loopback4().native), "bind")
    _ = try Self.check(lrp2p_set_option(receiver.raw, Int32(LRP2P_SOL_IP.rawValue), IP_RECVTOS, 1), "ask for marks")
    var local = lrp2p_address()
    _ = try Self.check(unsafe lrp2p_local_address(receiver.raw, &local), "read the address")
    sender.append(to: Address(local), length: 40, segmentSize: 40, ecn: ecn)
    #expect(try sender.flush())
    var end = pollfd(fd: receiver.raw, events: Int16(POLLIN), revents: 0)
    #expect(unsafe poll(&end, 1, 10_000) == 1)
    #expect(Self.trafficClass(at: receiver.raw) == 46 << 2 | ecn)
  }

  @Test func valuesOutOfRangeAreRefused() {
    for change: (inout ReactorConfiguration) -> Void in [
      { $0.device = "" }, { $0.device = "a-name-of-16-byte" },
      { $0.dscp = 64 }, { $0.dscp = -1 }, { $0.socketMark = -1 }, { $0.socketMark = 1 << 32 },
    ] {
      var configuration = ReactorConfiguration()
      change(&configuration)
      #expect(throws: ConfigurationError.self) { try configuration.validate() }
    }
  }

  @Test func socketsAreConfiguredBeforeTheyAreBound() throws {
    var configuration = ReactorConfiguration()
    let unbound = Mutex<[Bool]>([])
    configuration.configureSocket = { descriptor throws(SystemError) in
      var address = lrp2p_address()
      let isUnbound = unsafe lrp2p_local_address(descriptor, &address) >= 0 && address.port == 0
      unbound.withLock { $0.append(isUnbound) }
    }
    _ = try PortSockets(bind: .loopback4(), configuration: configuration)
    #expect(unbound.withLock { $0 } == [true, true], "the socket, and the one for answers")
    configuration.configureSocket = { _ throws(SystemError) in throw SystemError(code: EDOM, operation: "configure") }
    #expect(Self.code { _ = try PortSockets(bind: .loopback4(), configuration: configuration) } == EDOM)
  }

  // MARK: Sockets of others

  private static func socket(_ type: __socket_type = SOCK_DGRAM, bound: Bool = true) throws -> Int32 {
    let raw = try Self.check(Glibc.socket(AF_INET, Int32(type.rawValue), 0), "open a socket")
    if bound { _ = try Self.check(lrp2p_bind(raw, AF_INET, Address.loopback4().native), "bind") }
    return raw
  }

  @Test func aBoundSocketIsTakenOver() throws {
    let raw = try Self.socket()
    var local = lrp2p_address()
    _ = try Self.check(unsafe lrp2p_local_address(raw, &local), "read the address")
    do {
      let socket = try UDPSocket(adopting: UDPSocket.own(raw), configuration: .init())
      #expect(socket.localAddress == Address(local) && socket.family == AF_INET)
      #expect(fcntl(raw, F_GETFL) & O_NONBLOCK != 0 && fcntl(raw, F_GETFD) & FD_CLOEXEC != 0)
    }
    #expect(fcntl(raw, F_GETFD) == -1, "closed with its owner")
  }

  @Test func whatIsNoSuchSocketIsRefused() throws {
    func refusal(_ raw: Int32) -> Int32? {
      let code = Self.code { _ = try UDPSocket(adopting: UDPSocket.own(raw), configuration: .init()) }
      if raw > 2 { #expect(fcntl(raw, F_GETFD) == -1, "closed") }
      return code
    }
    #expect(refusal(1) == EBADF && fcntl(1, F_GETFD) >= 0)
    #expect(refusal(try Self.socket(SOCK_STREAM)) == EPROTOTYPE)
    #expect(refusal(try Self.socket(bound: false)) == EADDRNOTAVAIL)
    #expect(
      refusal(try Self.check(Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0), "open a socket")) == EAFNOSUPPORT)
    let null = unsafe open("/dev/null", O_RDONLY)
    #expect(refusal(null) == ENOTSOCK)
    let connected = try Self.socket()
    var name = lrp2p_address()
    _ = try Self.check(unsafe lrp2p_local_address(connected, &name), "read the address")
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = UInt16(9).bigEndian
    target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &target) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(connected, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    #expect(result == 0 && refusal(connected) == EISCONN)
  }
}
