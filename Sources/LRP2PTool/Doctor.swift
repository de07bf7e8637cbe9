// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

/// What this machine offers to a reactor, found out by asking for it as a reactor does, and what follows from that.
package struct Doctor {
  package enum Status: String, Sendable {
    /// Nothing to do.
    case good
    /// It works, and could do better.
    case limited
    /// The reactor does without.
    case missing
  }

  package struct Finding: Sendable {
    /// What was looked at; stays the same from version to version.
    package let check: String
    package let status: Status
    package let found: String
    /// What to do about it, or that there is nothing to do.
    package let advice: String
    /// Names with their units, and numbers.
    package var figures: [(name: String, value: UInt64)] = []
    /// Further keys of the JSON object.
    package var texts: [(name: String, value: String)] = []
  }

  private let configuration: ReactorConfiguration

  package init(configuration: ReactorConfiguration = .init()) { self.configuration = configuration }

  /// - Throws: not even a socket on loopback can be had.
  package func examine() throws(SystemError) -> [Finding] {
    var configuration = configuration
    configuration.socketFilter = true
    let socket = try UDPSocket(bind: Self.loopback, configuration: configuration)
    var findings = [Self.kernel, Self.processors, Self.ipv6]
    findings.append(
      socket.segmentationOffload
        ? Finding(
          check: "segmentation_offload", status: .good, found: "UDP_SEGMENT", advice: "bursts leave in one call")
        : Finding(
          check: "segmentation_offload", status: .missing, found: "no UDP_SEGMENT",
          advice: "Linux 4.18 and later have it: about three times the sending rate of a core"))
    findings.append(
      socket.receiveOffload
        ? Finding(check: "receive_offload", status: .good, found: "UDP_GRO", advice: "bursts arrive in one call")
        : Finding(
          check: "receive_offload", status: .missing, found: "no UDP_GRO",
          advice: "Linux 5.0 and later have it: about three times the receiving rate of a core"))
    findings.append(Self.ring(configuration))
    findings.append(Self.filter(configuration))
    findings.append(Self.steering(configuration))
    findings.append(
      Self.buffer(
        "receive_buffer", granted: socket.receiveBuffer, wanted: configuration.socketReceiveBuffer,
        knob: "net.core.rmem_max", cost: "bursts that come between two turns are lost"))
    findings.append(
      Self.buffer(
        "send_buffer", granted: socket.sendBuffer, wanted: configuration.socketSendBuffer, knob: "net.core.wmem_max",
        cost: "sending pauses more often"))
    findings += Self.ciphers
    findings.append(Self.queueing)
    findings += Self.interfaces
    return findings
  }

  private static var loopback: Address { Address(ipv4: 0x7F00_0001, port: 0) }

  // MARK: Kernel

  private static var kernel: Finding {
    let release = SystemFile.text("/proc/sys/kernel/osrelease") ?? "unknown"
    return Finding(check: "kernel", status: .good, found: "Linux \(release)", advice: "what it lacks is told below")
  }

  private static var processors: Finding {
    let count = SystemFile.processors
    return Finding(
      check: "processors", status: .good, found: "\(count)",
      advice: count == 1
        ? "one reactor is what they can serve" : "a reactor uses one; ReactorGroup has one on each, on the same port",
      figures: [("processors", UInt64(count))])
  }

  private static var ipv6: Finding {
    let family = try? UDPSocket(bind: .any(port: 0), configuration: .init()).isDualStack
    return family == true
      ? Finding(check: "ipv6", status: .good, found: "one socket for IPv6 and IPv4", advice: "nothing to do")
      : Finding(
        check: "ipv6", status: .missing, found: "IPv4 only",
        advice: "peers with IPv6 only cannot be reached; net.ipv6.conf.all.disable_ipv6 may be set")
  }

  private static func ring(_ configuration: ReactorConfiguration) -> Finding {
    if let refusal = SelectedBackend.uringRefusal(configuration, bind: loopback) {
      return Finding(
        check: "io_uring", status: .missing, found: "\(refusal)",
        advice: "epoll is used, which is as fast with bulk data; io_uring needs Linux 6.1 and no filter against it")
    }
    return Finding(
      check: "io_uring", status: .good, found: "available",
      advice: "epoll is used all the same unless ReactorConfiguration.backend says ioUring")
  }

  private static func filter(_ configuration: ReactorConfiguration) -> Finding {
    let hash = IDHash(key: (0, 0))
    var socket = try? UDPSocket(bind: loopback, configuration: configuration)
    socket?.attach(filter: .filter(hash, acceptsConnections: true, acceptsOriginal: false))
    return socket?.isFiltered == true
      ? Finding(
        check: "socket_filter", status: .good, found: "SO_ATTACH_FILTER",
        advice: "ReactorConfiguration.socketFilter drops forged datagrams in the kernel")
      : Finding(
        check: "socket_filter", status: .missing, found: "the kernel takes no socket filter",
        advice: "a flood of forged datagrams costs the reactor a look at each")
  }

  private static func steering(_ configuration: ReactorConfiguration) -> Finding {
    do throws(ReactorError) {
      _ = try ReactorGroup(count: 2, configuration: configuration, bind: loopback, accepting: .anyone)
      return Finding(
        check: "reactor_steering", status: .good, found: "SO_REUSEPORT, SO_ATTACH_REUSEPORT_CBPF",
        advice: "several reactors can share a port: ReactorGroup")
    } catch {
      return Finding(
        check: "reactor_steering", status: .missing, found: "\(error)",
        advice: "one reactor for each port; Linux 4.5 and later steer among several")
    }
  }

  // MARK: Buffers

  package static func buffer(_ check: String, granted: Int?, wanted: Int, knob: String, cost: String) -> Finding {
    let limit = SystemFile.number("/proc/sys/" + knob.replacing(".", with: "/"))
    var figures = [("wanted_bytes", UInt64(wanted))]
    if let granted { figures.append(("granted_bytes", UInt64(granted))) }
    if let limit { figures.append(("limit_bytes", limit)) }
    guard let granted else {
      return Finding(
        check: check, status: .limited, found: "unknown", advice: "the kernel does not tell what it has granted",
        figures: figures)
    }
    if granted >= wanted {
      return Finding(
        check: check, status: .good, found: "\(granted >> 10) KiB", advice: "as much as the reactor asks for",
        figures: figures)
    }
    return Finding(
      check: check, status: .limited, found: "\(granted >> 10) of \(wanted >> 10) KiB",
      advice: "\(cost); sysctl -w \(knob)=\(wanted), or CAP_NET_ADMIN", figures: figures)
  }

  // MARK: Ciphers

  private static var ciphers: [Finding] {
    var findings: [Finding] = []
    if let suite = try? CipherSuites.make(.automatic) {
      findings.append(
        suite.supports(.aes256GCM)
          ? Finding(
            check: "aes_hardware", status: .good, found: "AES-256-GCM", advice: "preferred where the peer has it")
          : Finding(
            check: "aes_hardware", status: .missing, found: "no AES instructions",
            advice: "ChaCha20-Poly1305 is used, which every peer can do"))
    }
    do throws(ConfigurationError) {
      _ = try CipherSuites.make(.ipsecMB)
      findings.append(
        Finding(check: "aead_provider", status: .good, found: "libipsec-mb", advice: "the fastest there is"))
    } catch {
      var reason = "not available"
      if case .unavailable(_, let text) = error { reason = text }
      findings.append(
        Finding(
          check: "aead_provider", status: .limited, found: "libsodium (\(reason))",
          advice: "Debian's libipsec-mb1, on amd64, seals and opens datagrams several times as fast"))
    }
    return findings
  }

  // MARK: Paths

  private static var queueing: Finding {
    let name = SystemFile.text("/proc/sys/net/core/default_qdisc") ?? "unknown"
    return Finding(
      check: "queueing_discipline", status: .good, found: name,
      advice: name == "fq" || name == "fq_codel"
        ? "the reactor paces by itself; this keeps its bursts from others"
        : "the reactor paces by itself, so none is needed; fq or fq_codel keeps its bursts from others")
  }

  private static var interfaces: [Finding] {
    SystemFile.interfaces.compactMap { name in
      guard name != "lo", let mtu = SystemFile.number("/sys/class/net/\(name)/mtu") else { return nil }
      return interface(name, mtu: mtu)
    }
  }

  /// Headers of IPv6 and UDP.
  private static let headerBytes: UInt64 = 48

  package static func interface(_ name: String, mtu: UInt64) -> Finding {
    let datagram = mtu > headerBytes ? min(mtu - headerBytes, UInt64(Datagram.maximumLength)) : 0
    let advice: String
    let status: Status
    switch datagram {
    case ..<UInt64(Datagram.smallestPath):
      (status, advice) = (.missing, "datagrams of \(Datagram.smallestPath) bytes, the least there is, do not pass")
    case ..<1400: (status, advice) = (.limited, "datagrams will be of \(Datagram.smallestPath) to \(datagram) bytes")
    case ...2048: (status, advice) = (.good, "the default of 1400 bytes passes")
    default: (status, advice) = (.good, "EngineConfiguration.maximumDatagram may go up to \(datagram)")
    }
    return Finding(
      check: "mtu_\(name)", status: status, found: "\(mtu)", advice: advice, figures: [("mtu_bytes", mtu)])
  }
}

/// Small files in which the kernel tells about itself.
private enum SystemFile {
  /// The file's text without white space around it; nil when it cannot be read.
  static func text(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    guard let (count, _) = try? SmallFile.read(path, into: &bytes) else { return nil }
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    return String(text.drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }

  static func number(_ path: String) -> UInt64? { text(path).flatMap { UInt64($0) } }

  /// Those in use.
  static var processors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// Two lines of head, then a line for each, with its name before a colon.
  static var interfaces: [String] {
    (text("/proc/net/dev") ?? "").split(separator: "\n").dropFirst(2).compactMap { line in
      line.firstIndex(of: ":").map { String(line[..<$0].drop { $0.isWhitespace }) }
    }
  }
}
