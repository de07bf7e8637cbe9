// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Responders that ask for proof of an address before they work for it.
@Suite struct CookieTests {
  typealias StreamWorld = World<StreamHandler>

  private let address = Address(ipv4: 0x0A00_0001, port: 7)
  private let token: (UInt64, UInt64) = (1, 2)

  private func keys(_ identity: UInt8 = 1, boot: UInt64 = 1) -> CookieKeys {
    CookieKeys(identity: SecretKey(repeating: identity), boot: boot, suite: ClearSuite(seed: 1))
  }

  @Test(arguments: [false, true]) func aCookieHoldsForTwoPeriods(isLasting: Bool) {
    let suite = ClearSuite(seed: 1)
    var keys = keys()
    let period = isLasting ? CookieKeys.lastingPeriod : CookieKeys.period
    let start = 7 * period
    // The second is issued just before the secret is replaced.
    let first = keys.issue(isLasting: isLasting, to: address, token: token, now: start, suite: suite)
    let second = keys.issue(isLasting: isLasting, to: address, token: token, now: start + period - 1, suite: suite)
    #expect(first == second && first.isLasting == isLasting)
    func accepts(_ cookie: Cookie, at now: Instant) -> Bool {
      keys.accepts(cookie, from: address, token: token, now: now, suite: suite)
    }
    #expect(accepts(first, at: start + period - 1))
    let third = keys.issue(isLasting: isLasting, to: address, token: token, now: start + period, suite: suite)
    #expect(third != first)
    #expect(accepts(first, at: start + 2 * period - 1) && accepts(third, at: start + 2 * period - 1))
    #expect(!accepts(first, at: start + 2 * period) && accepts(third, at: start + 2 * period))
    #expect(!accepts(third, at: start + 20 * period) && !accepts(third, at: start))
  }

  /// Whoever has the same identity and clock takes each other's: reactors that share a port, and a program that was started anew.
  @Test(arguments: [false, true]) func reactorsOfOneIdentityTakeEachOthersCookies(isLasting: Bool) {
    let suite = ClearSuite(seed: 1)
    var (one, same, other, later) = (keys(), keys(), keys(2), keys(boot: 2))
    let now: Instant = .seconds(100_000)
    let cookie = one.issue(isLasting: isLasting, to: address, token: token, now: now, suite: suite)
    let isTaken = same.accepts(cookie, from: address, token: token, now: now + .seconds(1), suite: suite)
    let isTakenElsewhere = other.accepts(cookie, from: address, token: token, now: now, suite: suite)
    // The clock has begun anew.
    let isTakenLater = later.accepts(cookie, from: address, token: token, now: now, suite: suite)
    #expect(isTaken && !isTakenElsewhere && !isTakenLater)
  }

  @Test func aCookieHoldsForOneAddressAndDial() {
    let suite = ClearSuite(seed: 1)
    var keys = keys()
    let now: Instant = .seconds(1)
    let brief = keys.issue(isLasting: false, to: address, token: token, now: now, suite: suite)
    let lasting = keys.issue(isLasting: true, to: address, token: token, now: now, suite: suite)
    func accepts(_ cookie: Cookie, _ address: Address, _ token: (UInt64, UInt64)) -> Bool {
      keys.accepts(cookie, from: address, token: token, now: now, suite: suite)
    }
    #expect(accepts(brief, address, token) && accepts(lasting, address, token))
    var otherPort = address
    otherPort.port = 8
    #expect(!accepts(brief, otherPort, token) && !accepts(brief, address, (1, 3)))
    #expect(accepts(lasting, otherPort, (1, 3)))
    let otherHost = Address(ipv4: 0x0A00_0002, port: 7)
    #expect(!accepts(brief, otherHost, token) && !accepts(lasting, otherHost, token))
    for bit in 0..<192 {
      var forged = brief
      switch bit / 64 {
      case 0: forged.generation ^= 1 << UInt64(bit)
      case 1: forged.tag.0 ^= 1 << UInt64(bit - 64)
      default: forged.tag.1 ^= 1 << UInt64(bit - 128)
      }
      #expect(!accepts(forged, address, token))
    }
    #expect(!accepts(Cookie(), address, token))
  }

  @Test func beyondTheMarkADialTakesARoundTripMore() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link, sends: 10_000) { $0.halfOpenMark = 0 }
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(199))
    #expect(world.firstHandler.peers.isEmpty && world.second.statistics.peers == 1)
    _ = world.run(for: .milliseconds(2))
    #expect(world.firstHandler.peers[peer] != nil)
    #expect(world.second.statistics.handshakesWithoutCookie == 1 && world.second.statistics.cookieRepliesSent == 1)
    #expect(world.second.statistics.cookiesAccepted == 1 && world.second.statistics.cookiesInvalid == 0)
    #expect(world.run(for: .seconds(60)) { TransferTests.isClosed($0.firstHandler) })
    #expect(world.firstHandler.peers[peer]?.closed == .finished && world.firstHandler.peers.count == 1)

    // The next dial has been given a cookie by the connection.
    _ = world.run(for: .seconds(600))
    let again = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(101))
    #expect(world.firstHandler.peers[again] != nil)
    #expect(world.second.statistics.cookieRepliesSent == 1 && world.second.statistics.cookiesAccepted == 2)
    _ = world.run(for: .seconds(200))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
  }

  /// A cookie that is shown although nobody has asked for it proves the address all the same: should the table fill, others give
  /// way first.
  @Test func aCookieProvesTheAddressBelowTheMark() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .seconds(1))
    #expect(world.second.statistics.cookiesAccepted == 0)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(51))
    #expect(world.second.statistics.cookiesAccepted == 1)
    #expect(world.second.peers.proved.count == 1 && world.second.peers.unproved.count == 0)
  }

  /// Loss, repeats and reordering, with a cookie asked for each time.
  @Test(arguments: 1...100) func cookiesSurviveLoss(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.2
    link.duplication = 0.3
    link.jitter = .milliseconds(20)
    var world = LifecycleTests.world(seed: seed, link: link, sends: 1000) { $0.halfOpenMark = 0 }
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(120)) { TransferTests.isClosed($0.firstHandler) })
    _ = world.run(for: .seconds(200))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
    #expect(world.firstHandler.violations == 0 && world.secondHandler.peers.count <= 1)
  }

  /// The message 1 that a dial has sent last, and what would answer it with `cookie`.
  private func forgedReply(_ world: borrowing StreamWorld, _ peer: Peer, echoes: Bool) -> [UInt8] {
    let message = world.handshakeDatagram(ofFirst: peer)
    return message[0..<8] + [UInt8](repeating: 0xFF, count: 7) + [2] + message[8..<24].map { $0 ^ (echoes ? 0 : 1) }
      + [UInt8](repeating: 0xC0, count: 24)
  }

  @Test func aForgedReplyCostsNothing() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(10))
    // From elsewhere, or by someone who has not seen message 1.
    world.inject(
      forgedReply(world, peer, echoes: true), from: Address(ipv4: 0x0A00_0077, port: 7), toSecond: false)
    world.inject(forgedReply(world, peer, echoes: false), from: StreamWorld.secondAddress, toSecond: false)
    _ = world.run(for: .milliseconds(10))
    #expect(world.first.statistics.peers == 1 && world.first.statistics.handshakesFromElsewhere == 1)
    #expect(world.first.statistics.cookieRepliesRefused == 1)
    // By someone on the path: one more attempt each time that one is refused, and the first goes on.
    for _ in 0..<20 {
      world.inject(forgedReply(world, peer, echoes: true), from: StreamWorld.secondAddress, toSecond: false)
    }
    _ = world.run(for: .milliseconds(10))
    #expect(world.first.statistics.peers == 2)
    _ = world.run(for: .milliseconds(75))
    #expect(world.firstHandler.peers[peer] != nil)
    _ = world.run(for: .seconds(60))
    #expect(world.first.statistics.peers == 0 && world.second.statistics.peers == 0)
  }

  @Test func aCookieIsOfNoUseElsewhere() throws {
    var link = Link()
    link.delay = .milliseconds(50)
    var world = LifecycleTests.world(link: link) { $0.halfOpenMark = 0 }
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    // The reply has been sent to the first address when the dialler moves; the cookie comes from the second.
    _ = world.run(for: .milliseconds(99))
    world.spoofer = Address(ipv4: 0x0A00_0099, port: 9)
    _ = world.run(for: .milliseconds(60))
    #expect(world.second.statistics.cookiesInvalid == 1 && world.second.statistics.cookiesAccepted == 1)
    #expect(world.second.statistics.peers == 1)
  }

  /// A message 1 of a stranger that never goes on; `number` tells it from others.
  static func stray(_ number: UInt64) -> [UInt8] {
    var datagram = LifecycleTests.strayMessage1(1)
    for index in 0..<8 {
      let byte = UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64(index)))
      datagram[index] = byte
      datagram[48 + index] = byte
      datagram[8 + index] = byte
    }
    return datagram
  }

  private func flood(_ world: inout StreamWorld, _ count: Int, from first: UInt64) {
    for number in first..<first + UInt64(count) {
      world.inject(Self.stray(number), from: Address(ipv4: 0x0C00_0000 + UInt32(number), port: 9))
    }
  }

  @Test func theRefusedLeaveNothing() throws {
    var world = LifecycleTests.world {
      $0.halfOpenMark = 100
      $0.cookieRepliesPerSecond = 40
    }
    for second in 0..<10 {
      flood(&world, 2000, from: 1 + 2000 * UInt64(second))
      _ = world.run(for: .seconds(1))
      #expect(world.second.statistics.peers == 100)
    }
    let statistics = world.second.statistics
    #expect(statistics.handshakesStarted == 100 && statistics.handshakesWithoutCookie == 19_900)
    #expect(statistics.cookieRepliesSent >= 100 && statistics.cookieRepliesSent <= 410)
    #expect(statistics.bytesSent < statistics.bytesReceived / 50)
    _ = world.run(for: .seconds(60))
    #expect(world.second.statistics.peers == 0)
  }

  /// One burst in one turn holds up nobody for longer than 128 key agreements.
  @Test func aTurnWorksForSoManyStrangers() {
    var configuration = EngineConfiguration()
    configuration.halfOpenMark = 1 << 20
    var world = StreamWorld(
      seed: 1, configuration: configuration, link: Link(), firstHandler: StreamHandler(bytesToSend: 0),
      secondHandler: StreamHandler(bytesToSend: 0), batchMessages: 1024)
    flood(&world, 1000, from: 1)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.handshakesStarted == 128)
    flood(&world, 100, from: 10_000)
    _ = world.run(for: .milliseconds(1))
    #expect(world.second.statistics.handshakesStarted == 228)
  }

  /// Under a flood, transfers go on, and honest strangers connect within a second.
  @Test(arguments: 1...5) func honestPeersConnectUnderAFlood(seed: UInt64) throws {
    var link = Link()
    link.delay = .milliseconds(20)
    link.loss = 0.001
    // What the transfer is about is that it goes on; without an end to its rate it would carry a gigabyte.
    link.rate = 100_000_000
    var world = LifecycleTests.world(seed: seed, link: link, sends: nil) { $0.halfOpenMark = 64 }
    let bulk = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(200))
    let before = world.firstHandler.peers[bulk]?.acknowledged ?? 0
    world.first.offer(bulk, upTo: 1 << 30)
    var random = SeededRandom(seed: seed)
    var number: UInt64 = 1
    var late = 0
    for _ in 0..<20 {
      let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      let dialled = world.now
      while world.now < dialled + .milliseconds(250) {
        flood(&world, 20, from: number)
        number += 20
        _ = world.run(for: .milliseconds(2) + random.below(.milliseconds(2)))
      }
      if world.firstHandler.peers[peer] == nil { late += 1 }
    }
    // Those that lose a datagram try again after a second.
    #expect(late <= 1)
    let during = world.firstHandler.peers[bulk]!.acknowledged - before
    #expect(during > 10_000_000 && world.firstHandler.peers[bulk]?.closed == nil)
    #expect(world.second.statistics.handshakesWithoutCookie > 10_000)
    #expect(world.second.statistics.peers < 64 + 30)
  }

  /// One address, one cookie and one dial do not buy key agreements without end.
  @Test func oneDialIsAnsweredSoOften() throws {
    var world = LifecycleTests.world { $0.halfOpenMark = 0 }
    let token: (UInt64, UInt64) = (0x0505_0505_0505_0505, 0x0505_0505_0505_0505)
    let cookie = world.second.cookieKeys.issue(
      isLasting: false, to: address, token: token, now: world.now, suite: world.second.suite)
    var parameter = [UInt8](repeating: 0, count: 28)
    parameter[1] = 6
    parameter[3] = 24
    var bytes = parameter.mutableSpan
    var raw = unsafe bytes.mutableBytes
    cookie.write(into: &raw, at: 4)
    var datagram = Self.stray(1)
    // The cookie behind the id, then versions, AEAD and token; the rest is padding.
    let rest: [UInt8] = [0, 2, 0, 1, 1, 0, 5, 0, 1, 1, 0, 7, 0, 16] + [UInt8](repeating: 5, count: 16)
    let padding = 1400 - (56 + 28 + rest.count + 4)
    datagram.replaceSubrange(56..<118, with: parameter + rest + [0, 8, UInt8(padding >> 8), UInt8(padding & 255)])
    func send(_ numbers: ClosedRange<UInt64>) {
      for number in numbers {
        let one = Self.stray(number)
        datagram.replaceSubrange(0..<16, with: one[0..<16])
        datagram.replaceSubrange(48..<56, with: one[48..<56])
        world.inject(datagram, from: address)
      }
      _ = world.run(for: .milliseconds(10))
    }
    send(1...50)
    #expect(world.second.statistics.handshakesStarted == 16 && world.second.statistics.attemptsRefused == 34)
    #expect(world.second.statistics.peers == 16 && world.second.statistics.halfOpenEvicted == 0)
    _ = world.run(for: .milliseconds(1900))
    send(51...60)
    #expect(world.second.statistics.handshakesStarted == 16)
    // Those that had their time give way.
    _ = world.run(for: .milliseconds(100))
    send(61...70)
    #expect(world.second.statistics.handshakesStarted == 26 && world.second.statistics.peers == 16)
    _ = world.run(for: .seconds(20))
    #expect(world.second.statistics.peers == 0 && world.second.peers.attempts.count == 0)
  }

  /// Below the mark every attempt is answered, and only so many are known to be of one dial.
  @Test func belowTheMarkNoAttemptGivesWay() throws {
    var world = LifecycleTests.world()
    var datagram = Self.stray(1)
    // An attempt token in place of the padding's beginning.
    datagram.replaceSubrange(66..<90, with: [0, 7, 0, 16] + [UInt8](repeating: 5, count: 16) + [0, 8, 4, 0xE6])
    for number in UInt64(1)...50 {
      let one = Self.stray(number)
      datagram.replaceSubrange(0..<16, with: one[0..<16])
      datagram.replaceSubrange(48..<56, with: one[48..<56])
      world.inject(datagram, from: address)
    }
    _ = world.run(for: .milliseconds(10))
    let statistics = world.second.statistics
    #expect(statistics.handshakesStarted == 50 && statistics.halfOpenEvicted == 0 && statistics.peers == 50)
    #expect(world.second.peers.attempts.count == 16)
    _ = world.run(for: .seconds(20))
    #expect(world.second.statistics.peers == 0 && world.second.peers.attempts.count == 0)
  }
}
