// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// A listener with few free slots, under forged first messages from everywhere.
@Suite struct FullTableTests {
  @Test func honestDialsConnectUnderAFlood() throws {
    let (slots, taken, dials) = (400, 380, 50)
    var configuration = ReactorConfiguration()
    configuration.engine.maximumPeers = slots
    var pair = try ReactorPair(configuration: configuration, clientSends: nil, serverSends: nil)
    let address = pair.server4
    var open = 0
    while open < taken {
      for _ in 0..<10 { _ = try pair.client.engine.connect(to: address, expecting: .key(pair.serverKey)) }
      open += 10
      let end = currentInstant() + .seconds(20)
      while pair.serverHandler.peers.count < open, currentInstant() < end { try pair.turn() }
    }
    #expect(pair.server.engine.statistics.peers == UInt64(taken))

    var flooder = Flooder(port: address.port)
    try Self.turn(&pair, &flooder, for: .milliseconds(300))
    var connected = 0
    for _ in 0..<dials {
      let before = pair.serverHandler.peers.count
      let peer = try pair.client.engine.connect(to: address, expecting: .key(pair.serverKey))
      try Self.turn(&pair, &flooder, for: .seconds(3)) { $0.serverHandler.peers.count > before }
      if pair.serverHandler.peers.count > before { connected += 1 }
      pair.client.engine.close(peer, code: 0)
      // Those that are over linger for a while.
      try Self.turn(&pair, &flooder, for: .milliseconds(40))
    }
    #expect(connected == dials, "\(connected) of \(dials) honest dials connect within 3 s")
    #expect(flooder.sent > 5000 && flooder.failures == 0)
    let statistics = pair.server.engine.statistics
    #expect(statistics.handshakesWithoutCookie > 1000 && statistics.isBalanced)
    #expect(pair.serverHandler.closedCount <= dials, "nobody else's connection has ended")
  }

  private static func turn(
    _ pair: inout ReactorPair, _ flooder: inout Flooder, for limit: Nanoseconds,
    until isDone: (borrowing ReactorPair) -> Bool = { _ in false }
  ) throws {
    let end = currentInstant() + limit
    while currentInstant() < end, !isDone(pair) {
      flooder.strike()
      try pair.turn()
    }
  }

  /// 5,000 first messages a second, each from a random address of 127.0.0.0/8.
  private struct Flooder {
    private static var perSecond: UInt64 { 5000 }
    private static var mostAtOnce: UInt64 { 64 }

    private var random = SeededRandom(seed: 22)
    private var message = [UInt8](repeating: 0, count: Datagram.smallestPath)
    private let port: UInt16
    private var last = currentInstant()
    private(set) var sent: UInt64 = 0
    private(set) var failures = 0

    init(port: UInt16) {
      self.port = port
      var parameters = HandshakeParameters()
      parameters.hasReceiveID = true
      parameters.isPublic = true
      parameters.hasAttemptToken = true
      parameters.offer(.chacha20Poly1305)
      var elements = message.mutableSpan
      var bytes = unsafe elements.mutableBytes
      var payload = bytes._mutatingExtracting(40..<bytes.byteCount)
      _ = parameters.write(into: &payload, paddedTo: payload.byteCount)
    }

    /// What is due by now. What a busy machine has no time for is left out.
    mutating func strike() {
      let interval = 1_000_000_000 / Self.perSecond
      let due = (currentInstant() - last) / interval
      last += due * interval
      for _ in 0..<min(due, Self.mostAtOnce) { send() }
    }

    private mutating func send() {
      let id = random.next() | 1
      for index in 0..<8 {
        message[index] = UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64(index)))
        message[48 + index] = message[index]
      }
      for index in 8..<40 { message[index] = UInt8(truncatingIfNeeded: random.next()) }
      let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      defer { close(descriptor) }
      var source = Self.address(0x7F00_0000 | UInt32(random.below(1 << 24)), 0)
      var target = Self.address(0x7F00_0001, port)
      let length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let isBound = unsafe withUnsafePointer(to: &source) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(descriptor, $0, length) == 0 }
      }
      let bytes = message
      let isSent = unsafe withUnsafePointer(to: &target) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe sendto(descriptor, bytes, bytes.count, 0, $0, length) == bytes.count
        }
      }
      sent += 1
      if !isBound || !isSent { failures += 1 }
    }

    private static func address(_ ipv4: UInt32, _ port: UInt16) -> sockaddr_in {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = ipv4.bigEndian
      return address
    }
  }
}
