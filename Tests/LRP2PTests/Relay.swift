// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PSimulation

/// A middle box of the tests' own: clients send to `address`, it passes everything on to `server` and back, and does
/// to datagrams what the link says. It speaks IPv4 on loopback and serves one client.
struct Relay: ~Copyable {
  let address: Address
  private let front: Int32
  private var back: Int32
  private let server: Address
  private var client: Address?
  /// What it does from now on.
  var link: Link
  private var random: SeededRandom
  /// Under way, earliest first.
  private var flights: [(arrival: Instant, destination: Int, bytes: [UInt8])] = []
  private(set) var carried = 0
  private(set) var dropped = 0
  private(set) var corrupted = 0

  init(to server: Address, link: Link, seed: UInt64) {
    self.server = server
    self.link = link
    random = SeededRandom(seed: seed)
    (front, address) = Self.socket()
    (back, _) = Self.socket()
  }

  deinit {
    Glibc.close(front)
    Glibc.close(back)
  }

  /// As a NAT does that has lost its mapping: the server hears from another port from now on, and what it still sends to
  /// the old one is lost.
  mutating func rebind() {
    Glibc.close(back)
    (back, _) = Self.socket()
  }

  /// Takes what has come and passes on what is due.
  mutating func step(now: Instant) {
    take(from: front, to: 1, now: now)
    take(from: back, to: 0, now: now)
    let due = flights.prefix { $0.arrival <= now }
    flights.removeFirst(due.count)
    for flight in due {
      if flight.destination == 1 {
        Self.send(flight.bytes, on: back, to: server)
      } else if let client {
        Self.send(flight.bytes, on: front, to: client)
      }
    }
  }

  private mutating func take(from descriptor: Int32, to destination: Int, now: Instant) {
    for _ in 0..<256 {
      guard let (bytes, source) = Self.receive(descriptor) else { return }
      if destination == 1 { client = source }
      carried += 1
      if bytes.count > link.largestDatagram || random.happens(link.loss) {
        dropped += 1
        continue
      }
      var changed = bytes
      if random.happens(link.corruption) {
        corrupted += 1
        changed[Int(random.below(UInt64(changed.count)))] ^= UInt8(1 + random.below(255))
      }
      for _ in 0..<(random.happens(link.duplication) ? 2 : 1) {
        let arrival = now + link.delay + random.below(link.jitter)
        let place = (flights.lastIndex { $0.arrival <= arrival } ?? -1) + 1
        flights.insert((arrival, destination, changed), at: place)
      }
    }
  }

  // MARK: System calls

  private static func socket() -> (Int32, Address) {
    let descriptor = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    precondition(descriptor >= 0)
    var size: Int32 = 8 << 20
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, 4)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, 4)
    var name = native(Address(ipv4: 0x7F00_0001, port: 0))
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = unsafe withUnsafeMutablePointer(to: &name) { name in
      unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        let bound = unsafe bind(descriptor, name, length)
        return unsafe bound == 0 ? getsockname(descriptor, name, &length) : bound
      }
    }
    precondition(result == 0)
    return (descriptor, Address(ipv4: 0x7F00_0001, port: UInt16(bigEndian: name.sin_port)))
  }

  private static func native(_ address: Address) -> sockaddr_in {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = address.port.bigEndian
    name.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
    return name
  }

  private static func receive(_ descriptor: Int32) -> ([UInt8], Address)? {
    var name = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    var count = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 2048) { buffer, initialized in
      count = unsafe withUnsafeMutablePointer(to: &name) { name in
        unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
          unsafe recvfrom(descriptor, buffer.baseAddress!, 2048, 0, name, &length)
        }
      }
      initialized = max(count, 0)
    }
    guard count > 0 else { return nil }
    return (
      bytes,
      Address(ipv4: UInt32(bigEndian: name.sin_addr.s_addr), port: UInt16(bigEndian: name.sin_port))
    )
  }

  private static func send(_ bytes: [UInt8], on descriptor: Int32, to address: Address) {
    var name = native(address)
    _ = unsafe withUnsafePointer(to: &name) { name in
      unsafe name.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        unsafe bytes.withUnsafeBytes {
          unsafe sendto(descriptor, $0.baseAddress!, $0.count, 0, name, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
  }
}
