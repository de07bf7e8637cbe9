// SPDX-License-Identifier: MIT
import LRP2PCore

/// A world of faults that are all drawn from the seed: a server, a few clients with several connections each, links that lose,
/// reorder, repeat, corrupt, mark, shrink and fall silent, addresses that change, clocks that jump, readers that stall. Some time later
/// all faults end, and every invariant has to hold.
struct Chaos: ~Copyable {
  private var network: SimulatedNetwork<BulkHandler>
  private var random: SeededRandom
  private let clients: Int
  /// Whether clients change their address.
  private let moves: Bool
  /// What clients say of themselves: in one world of thirteen they do, and speak one of several application protocols.
  private let payload: [UInt8]
  private var faults: [String: UInt64] = [:]
  /// What a client has stopped reading, and when it goes on.
  private var stalls: [(host: Int, peer: Peer, until: Instant)] = []
  private var blackouts: [(link: Int, until: Instant)] = []
  private var dials: [(host: Int, at: Instant)] = []
  private var ports: UInt16 = 5000
  /// In three of ten worlds there are some.
  private var hostile: HostileHosts?
  /// In one world of eleven some leave a path that still carries datagrams, and somebody repeats what they send.
  private var switching: Switching?
  /// What its links make of ECN marks.
  private let marks: Link.Marks
  private let stormEnd: Instant
  private let start: Instant

  private static var server: Address { Address(ipv4: 0x0A00_0001, port: 1000) }

  init(seed: UInt64) {
    random = SeededRandom(seed: seed ^ 0xC4A0_5C4A_05C4_A05C)
    marks = Self.marks(seed: seed)
    var configuration = EngineConfiguration()
    // Only clients change their address, so only they have to be heard of; in every fifth world nobody.
    let agrees = seed % 13 == 4
    payload = agrees ? (0..<Int(seed % 513)).map { UInt8(truncatingIfNeeded: $0 &* 7) } : []
    if agrees { configuration.applicationProtocols = ["b", "a"] }
    let moves = seed % 5 != 2
    self.moves = moves
    configuration.keepAlive = random.happens(0.7) && moves ? .seconds(3) : 0
    configuration.initialSequence = random.happens(0.4) ? UInt32.max - UInt32(random.below(3000)) : 0
    configuration.keyEpochBits = random.happens(0.4) ? 11 + random.below(4) : 24
    configuration.receivePoolBytes = random.happens(0.3) ? 1 << (16 + Int(random.below(4))) : 64 << 20
    configuration.flowsAtLeisure = random.happens(0.5) ? 0 : 1024
    configuration.restAfter = .milliseconds(1) + random.below(.seconds(2))
    configuration.receiveWindow = random.happens(0.3) ? 4 + Int(random.below(500)) : 0xFF_FFFF
    configuration.usesECN = random.happens(0.5)
    // Clients draw theirs; the server's is what the recorded seeds were found with.
    configuration.ackRatio = 64
    configuration.maximumDatagram = random.happens(0.2) ? 1200 + Int(random.below(2000)) : 1400
    configuration.halfOpenMark = random.happens(0.3) ? Int(random.below(3)) : 512
    network = SimulatedNetwork(seed: seed, largestDatagram: 4096)
    network.coalescing = random.happens(0.5) ? .microseconds(1 + random.below(200)) : 0
    network.mergesArrivals = seed % 4 != 3
    network.checksAmplification = true
    network.checksCongestion = true
    clients = 1 + Int(random.below(3))
    start = network.now
    stormEnd = start + .seconds(3) + random.below(.seconds(12))
    let connections = 1 + Int(random.below(5))
    let mostBytes = 16_000_000 / UInt64(connections * clients)
    var handler = BulkHandler(bytesToSend: nil)
    handler.mostBytes = mostBytes
    if agrees { handler.agreed = "a" }
    handler.pauses = random.happens(0.5) ? 0.005 : 0
    handler.random = SeededRandom(seed: random.next())
    // By the seed itself: the others stay the worlds that they were.
    handler.aborts = seed % 11 == 6 ? 0.0005 : 0
    handler.abortRandom = SeededRandom(seed: seed)
    network.addHost(handler, at: Self.server, configuration: configuration)
    if agrees {
      network.hosts[0].handler.payload = payload
      configuration.applicationProtocols = ["c", "a", "b"]
    }
    configuration.keepAlive = moves ? .seconds(3) : 0
    for client in 1...clients {
      configuration.congestion = random.happens(0.5) ? .bbr : .cubic
      configuration.ackRatio = [1, 2, 16, 64, 256][Int(random.below(5))]
      handler.random = SeededRandom(seed: random.next())
      network.addHost(
        handler, at: Address(ipv4: 0x0A00_0100 + UInt32(client), port: 2000), configuration: configuration)
      network.route(from: client, to: 0, over: network.addLink(Self.link(&random, marks)))
      network.route(from: 0, to: client, over: network.addLink(Self.link(&random, marks)))
      for _ in 0..<connections { dials.append((client, start + random.below(.seconds(2)))) }
    }
    addHostile(seed: seed, configuration)
    if seed % 11 == 4, moves { switching = Switching(seed: seed, clients: clients, &network) }
  }

  /// Peers that were accepted and mean harm, from a randomness of their own.
  private mutating func addHostile(seed: UInt64, _ configuration: EngineConfiguration) {
    var drawn = SeededRandom(seed: seed ^ 0xBAD0_BAD0_BAD0_BAD0)
    guard drawn.happens(0.3) else { return }
    var hostile = HostileHosts(seed: drawn.next(), epochBits: configuration.keyEpochBits)
    network.hosts[0].handler.hostileNetwork = HostileHosts.network
    network.hosts[0].handler.hostileBytes = drawn.happens(0.5) ? 0 : HostileHosts.bytes
    for _ in 0..<1 + drawn.below(4) {
      let profile = HostileProfile.allCases[Int(drawn.below(UInt64(HostileProfile.allCases.count)))]
      var link = Link()
      link.delay = .milliseconds(1) + drawn.below(drawn.happens(0.5) ? .milliseconds(20) : .milliseconds(400))
      hostile.add(profile, to: &network, configuration: configuration, link: link)
    }
    self.hostile = hostile
  }

  /// Some worlds have a network that does not keep ECN marks; by the seed itself.
  private static func marks(seed: UInt64) -> Link.Marks {
    seed % 17 == 5 ? [.removed, .changed, .dropped][Int(seed / 17 % 3)] : .kept
  }

  private static func link(_ random: inout SeededRandom, _ marks: Link.Marks) -> Link {
    var link = Link()
    link.delay = random.happens(0.3) ? random.below(.milliseconds(150)) : random.below(.milliseconds(20))
    link.rate = random.happens(0.2) ? 0 : 4_000_000 << random.below(8)
    link.buffer = 20_000 << Int(random.below(6))
    if random.happens(0.3) { link.queue = .coDel }
    if random.happens(0.6) { link.loss = Double(random.below(50)) / 1000 }
    if random.happens(0.3) { link.burstBegins = Double(random.below(5)) / 1000 }
    if random.happens(0.5) { link.jitter = random.below(.milliseconds(10)) }
    if random.happens(0.3) { link.duplication = Double(random.below(30)) / 1000 }
    if random.happens(0.5) { link.copyDelay = random.below(.seconds(1)) }
    if random.happens(0.3) { link.corruption = Double(random.below(10)) / 1000 }
    if random.happens(0.5) { link.ecnThreshold = link.buffer / 3 }
    link.marks = marks
    return link
  }

  // MARK: Play

  mutating func run() -> ScenarioResult {
    for host in 0...clients { network.hosts[host].suite.remembersOpened = true }
    while network.now < stormEnd {
      network.run(for: .milliseconds(2) + random.below(.milliseconds(120)))
      dialDue()
      endDue(all: false)
      strike()
      switching?.strike(&network)
      hostile?.act(&network, datagrams: 24, server: Self.server)
      if hostile?.isBeyondBounds ?? false { return judge() }
    }
    dialAll()
    endDue(all: true)
    calm()
    let limit = network.now + .seconds(900)
    endHostile(limit)
    if hostile?.isBeyondBounds ?? false { return judge() }
    while network.now < limit, !isOver {
      // What is under way may outlive all connections.
      network.run(for: .milliseconds(100)) { Self.isQuiet($0) && $0.underWay == 0 }
      hostile?.goOnAsking(&network)
    }
    return judge()
  }

  /// Hostile peers go on until all others are done.
  private mutating func endHostile(_ limit: Instant) {
    guard hostile != nil else { return }
    while network.now < limit, !honestAreDone {
      network.run(for: .milliseconds(20))
      hostile?.act(&network, datagrams: 8, server: Self.server)
      if hostile?.isBeyondBounds ?? false { return }
    }
    hostile?.end(&network)
  }

  private var honestAreDone: Bool {
    for client in 1...clients {
      let handler = network.hosts[client].handler
      if handler.openConnections > 0 || network.hosts[client].engine.statistics.peers > 0 { return false }
    }
    return true
  }

  private static func isQuiet(_ network: borrowing SimulatedNetwork<BulkHandler>) -> Bool {
    for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
    return true
  }

  private var isOver: Bool { Self.isQuiet(network) && network.underWay == 0 }

  private mutating func dialDue() {
    let now = network.now
    for dial in dials where dial.at <= now { self.dial(dial.host) }
    dials.removeAll { $0.at <= now }
  }

  private mutating func dialAll() {
    for dial in dials { self.dial(dial.host) }
    dials = []
  }

  private mutating func dial(_ host: Int) {
    let payload = payload
    network.onHost(host) { engine, _ in _ = try? engine.connect(to: Self.server, expecting: .anyone, payload: payload) }
  }

  private mutating func count(_ fault: String) { faults[fault, default: 0] += 1 }

  /// One fault.
  private mutating func strike() {
    let client = 1 + Int(random.below(UInt64(clients)))
    let link = Int(random.below(UInt64(2 * clients)))
    switch random.below(10) {
    case 0:
      count("blackout_begins")
      network[link: link].isDown = true
      blackouts.append((link, network.now + random.below(.milliseconds(800))))
    case 1:
      guard moves else { return }
      count("rebinding")
      ports += 1
      let isOtherHost = random.happens(0.3)
      network.rebind(client, to: Address(ipv4: 0x0A00_0100 + UInt32(client) + (isOtherHost ? 0x1000 : 0), port: ports))
    case 2:
      count("clock_jump")
      let host = Int(random.below(UInt64(clients + 1)))
      let jump = random.happens(0.2) ? random.below(.seconds(2)) : random.below(.milliseconds(50))
      network.setClock(host, ahead: network.clockAhead(host) + jump)
    case 3, 4:
      stall(host: random.happens(0.5) ? 0 : client)
    case 5:
      count("path_shrinks")
      network[link: link].largestDatagram = random.happens(0.5) ? 1200 + Int(random.below(200)) : .max
    case 6:
      let host = random.happens(0.5) ? 0 : client
      guard let index = openStream(of: host), random.happens(0.15) else { return }
      count("abort")
      network.onHost(host) { engine, handler in
        handler.streams[index].isAborted = true
        engine.close(handler.streams[index].peer, code: 7, reason: "chaos")
      }
    case 7:
      guard let index = openStream(of: client) else { return }
      count("controller_exchanged")
      let other: CongestionAlgorithm = random.happens(0.5) ? .bbr : .cubic
      network.onHost(client) { engine, handler in engine.setCongestionControl(other, for: handler.streams[index].peer) }
    case 8:
      count("path_changes")
      let changed = Self.link(&random, marks)
      network[link: link].delay = changed.delay
      network[link: link].rate = changed.rate
    default:
      count("loss_burst")
      network[link: link].loss = random.happens(0.3) ? 0.3 : Double(random.below(50)) / 1000
    }
  }

  private mutating func openStream(of host: Int) -> Int? {
    let open = network.hosts[host].handler.streams.indices.filter {
      network.hosts[host].handler.streams[$0].closed == nil && !network.hosts[host].handler.streams[$0].isHostile
    }
    return open.isEmpty ? nil : open[Int(random.below(UInt64(open.count)))]
  }

  private mutating func stall(host: Int) {
    guard let index = openStream(of: host) else { return }
    count("stalled_reader")
    let peer = network.hosts[host].handler.streams[index].peer
    network.onHost(host) { engine, _ in engine.pause(peer) }
    stalls.append((host, peer, network.now + random.below(.seconds(1))))
  }

  private mutating func endDue(all: Bool) {
    let now = network.now
    for stall in stalls where all || stall.until <= now {
      network.onHost(stall.host) { engine, _ in engine.resume(stall.peer) }
    }
    stalls.removeAll { all || $0.until <= now }
    for blackout in blackouts where all || blackout.until <= now { network[link: blackout.link].isDown = false }
    blackouts.removeAll { all || $0.until <= now }
  }

  /// The path is as paths mostly are.
  private mutating func calm() {
    network.spoofer = nil
    for number in 0..<2 * clients {
      network[link: number].isDown = false
      network[link: number].loss = min(network[link: number].loss, 0.01)
      network[link: number].burstBegins = 0
      if random.happens(0.5) { network[link: number].largestDatagram = .max }
      if network[link: number].rate > 0 { network[link: number].rate = max(network[link: number].rate, 20_000_000) }
    }
  }

  // MARK: Judge

  private func judge() -> ScenarioResult {
    var result = ScenarioResult()
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    result.faults = faults
    for number in 0..<2 * clients { result.faults.merge(network.counters(ofLink: number).faults, uniquingKeysWith: +) }
    var checks = Checks()
    hostile?.judge(&checks)
    var (unopened, handshakes, windowsShrunk, refused): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    checks.require(isOver, "a connection has not ended")
    checks.require(network.amplifications == 0, "more than three times what came from an unproved address went there")
    let events =
      4 * (network.datagrams + (hostile?.sent ?? 0)) + UInt64(Double(network.now - start) / 1e9) * 2000
      * UInt64(clients + 1)
    checks.require(network.wakes < events, "\(network.wakes) wake-ups: a timer storm")
    for host in 0...clients {
      let statistics = network.hosts[host].engine.statistics
      let handler = network.hosts[host].handler
      checks.require(handler.mismatches == 0, "bytes arrived that were not the bytes that were sent")
      checks.require(handler.violations == 0, "callbacks contradict each other")
      checks.require(handler.openConnections == 0, "a connection has not ended for its user")
      checks.require(network.hosts[host].suite.reusedPacketNumbers == 0, "a packet number was used twice")
      checks.require(network.hosts[host].suite.openedTwice == 0, "a datagram was taken twice")
      checks.require(network.hosts[host].windowViolations == 0, "more left than the congestion window lets out")
      checks.require(statistics.poolBytesInUse == 0, "memory of the receive pool is not given back")
      let meetsHostile = host == 0 && hostile != nil
      checks.require(statistics.beyondWindow == 0 || meetsHostile, "more was sent than the window allowed")
      if !meetsHostile { windowsShrunk += statistics.windowsShrunk }
      refused += statistics.poolExhausted
      checks.require(statistics.isBalanced, "a datagram was neither accepted nor refused, or both: \(statistics)")
      checks.require(
        statistics.marksLost == 0 || marks != .kept || meetsHostile,
        "ECN marks that no link has touched are called lost")
      unopened += statistics.authenticationFailures + statistics.keyUnavailable
      handshakes += statistics.handshakesStarted
      result.probeTimeouts += statistics.probeTimeouts
      result.faults["pause_in_callback", default: 0] += handler.pauseCount
      result.faults["abort_in_callback", default: 0] += handler.abortCount
      result.maximumInFlightPackets = max(result.maximumInFlightPackets, 0)
    }
    for client in 1...clients {
      for stream in network.hosts[client].handler.streams { judge(stream, &checks) }
    }
    result.faults.merge(hostile?.sentBy ?? [:], uniquingKeysWith: +)
    result.faults.merge(switching?.faults ?? [:], uniquingKeysWith: +)
    checks.require(refused > 0 || windowsShrunk == 0, "a window was taken back although nothing was refused")
    // What nobody has corrupted opens; beside that, a late message of a handshake is taken for a datagram now and then.
    checks.require(
      unopened <= (result.faults["corruption"] ?? 0) + handshakes,
      "\(unopened) datagrams did not open, more than were corrupted")
    result.invariantsChecked = checks.count
    result.failure = checks.failure
    result.isVerified = checks.failure == nil
    return result
  }

  /// Both ends of one connection.
  private func judge(_ dialled: BulkHandler.Stream, _ checks: inout Checks) {
    let accepted = network.hosts[0].handler.streams.first { $0.ownID == dialled.remoteID }
    guard let accepted else {
      checks.require(dialled.acknowledged == 0 && dialled.received == 0, "data without a connection")
      return
    }
    for (sender, receiver) in [(dialled, accepted), (accepted, dialled)] {
      checks.require(receiver.received <= sender.toSend, "more arrived than was sent")
      guard !receiver.isAborted else { continue }
      checks.require(sender.acknowledged <= receiver.received, "acknowledged bytes are lost")
      guard !sender.isAborted else { continue }
      if receiver.isFinished { checks.require(receiver.received == sender.toSend, "a stream ended early") }
      // Everything was possible in the end; one end may not learn that the other is done.
      let isDone = sender.closed == .finished && receiver.closed == .finished
      let isNearlyDone = receiver.isFinished && sender.isFinished
      checks.require(
        isDone || isNearlyDone, "closed: \(String(describing: sender.closed)), \(String(describing: receiver.closed))")
    }
  }
}
