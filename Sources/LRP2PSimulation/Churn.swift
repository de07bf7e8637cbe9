// SPDX-License-Identifier: MIT
import LRP2PCore

/// Connections that come and go at a steady rate: a few hosts dial one server, tables are small, and links repeat some of what they
/// carry seconds to a minute later, when the connection is over and its slot has another. It must be as if those had never come.
struct Churn: ~Copyable {
  static let dialsPerSecond: UInt64 = 100
  private static let clients = 4
  /// How late copies may come.
  private static let copyDelay: Nanoseconds = .seconds(60)
  /// The server's machine is suspended for so long when half of the time is over; only its clock counts that. Keys of cookies
  /// change every twelve hours.
  private static let suspension: Nanoseconds = .seconds(7 * 3600)
  /// How often one of the hosts falls silent, and for how long: whoever has a connection with it is left alone.
  private static let silences: (every: Nanoseconds, length: Nanoseconds) = (.seconds(140), .seconds(30))

  private var network: SimulatedNetwork<ChurnHandler>
  private var random: SeededRandom
  private let salt: UInt64
  private let start: Instant
  private let length: Nanoseconds
  private let residentBytes: (@Sendable () -> UInt64)?
  private var numbers: UInt64 = 0
  private var refusedDials: UInt64 = 0
  private var silenced: (client: Int, until: Instant)?
  private var nextSilence: Instant
  /// By host, when they had filled.
  private var settled: [[TableUse]] = []
  private var residentSettled: UInt64?
  private var staleCalls: UInt64 = 0
  private var staleAtSuccessors: UInt64 = 0
  private var checks = Checks()

  private static var server: Address { Address(ipv4: 0x0A00_0001, port: 1000) }

  init(_ scenario: Scenario) {
    random = SeededRandom(seed: scenario.seed ^ 0xC0FF_EE00_C0FF_EE00)
    salt = random.next()
    network = SimulatedNetwork(seed: scenario.seed)
    network.coalescing = .milliseconds(1)
    network.watchesLateArrivals = true
    start = network.now
    length = UInt64(max(scenario.seconds, 1) * 1e9)
    residentBytes = scenario.residentBytes
    nextSilence = start + Self.silences.every / 2
    var configuration = EngineConfiguration()
    configuration.congestion = scenario.congestion
    configuration.initialSequence = UInt32.max - UInt32(random.below(20))
    configuration.keyEpochBits = 6
    configuration.idleTimeout = .seconds(20)
    configuration.keepAlive = 0
    configuration.restAfter = .milliseconds(500)
    configuration.flowsKept = scenario.flowsKept
    configuration.receivePoolBytes = 1 << 20
    configuration.halfOpenMark = 100
    configuration.maximumPeers = 1000
    network.addHost(
      ChurnHandler(salt: salt, seed: random.next(), configuration: configuration), at: Self.server,
      configuration: configuration)
    configuration.accepting = .nobody
    for client in 1...Self.clients {
      configuration.maximumPeers = 400
      configuration.keepAlive = client == 1 ? .seconds(8) : 0
      network.addHost(
        ChurnHandler(salt: salt, seed: random.next(), configuration: configuration),
        at: Address(ipv4: 0x0A00_0100 + UInt32(client), port: 2000), configuration: configuration)
      network.route(from: client, to: 0, over: network.addLink(Self.link(&random)))
      network.route(from: 0, to: client, over: network.addLink(Self.link(&random)))
    }
  }

  private static func link(_ random: inout SeededRandom) -> Link {
    var link = Link()
    link.delay = .milliseconds(2) + random.below(.milliseconds(60))
    link.jitter = random.below(.milliseconds(8))
    link.loss = 0.02
    link.duplication = 0.04
    link.copyDelay = copyDelay
    return link
  }

  // MARK: Play

  mutating func run() -> ScenarioResult {
    let end = start + length
    // Every table has been as full as it gets, and a silence is over.
    let settles = start + max(length / 10, min(.seconds(300), length / 2))
    while network.now < end {
      network.run(for: 1 + random.below(2 * .seconds(1) / Self.dialsPerSecond))
      dial()
      tryStaleHandles()
      checkResets()
      beSilent()
      if network.now >= start + length / 2, network.clockAhead(0) == 0 { network.setClock(0, ahead: Self.suspension) }
      if settled.isEmpty, network.now >= settles {
        settled = tables
        residentSettled = residentBytes?()
      }
    }
    let full = tables
    let resident = residentBytes?()
    endSilence()
    let limit = network.now + .seconds(600)
    while network.now < limit, !Self.isOver(network) { network.run(for: .seconds(1)) { Self.isOver($0) } }
    judge(full)
    var result = ScenarioResult()
    result.residentBytes = resident
    if let resident, let residentSettled { result.residentGrowth = Int64(resident) - Int64(residentSettled) }
    report(into: &result)
    return result
  }

  private static func isOver(_ network: borrowing SimulatedNetwork<ChurnHandler>) -> Bool {
    for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
    return network.underWay == 0
  }

  private mutating func dial() {
    let plan = ChurnPlan(number: numbers, salt: salt)
    let first = Int(random.below(UInt64(Self.clients)))
    for index in 0..<Self.clients {
      let isDialled = network.onHost(1 + (first + index) % Self.clients) { engine, handler in
        guard let peer = try? engine.connect(to: Self.server, expecting: .anyone) else { return false }
        handler.dialled(peer, plan, engine: &engine)
        return true
      }
      if isDialled {
        numbers += 1
        return
      }
      refusedDials += 1
    }
  }

  private mutating func beSilent() {
    if let silenced, network.now >= silenced.until { endSilence() }
    guard network.now >= nextSilence else { return }
    nextSilence += Self.silences.every
    let client = 1 + Int(random.below(UInt64(Self.clients)))
    for link in [2 * client - 2, 2 * client - 1] { network[link: link].isDown = true }
    silenced = (client, network.now + Self.silences.length)
  }

  private mutating func endSilence() {
    for link in 0..<2 * Self.clients { network[link: link].isDown = false }
    silenced = nil
  }

  /// Every command, with the handle of a connection that is over.
  private mutating func tryStaleHandles() {
    guard random.happens(0.2) else { return }
    let host = Int(random.below(UInt64(Self.clients + 1)))
    let handles = network.hosts[host].handler.stale
    guard !handles.isEmpty else { return }
    let peer = handles[Int(random.below(UInt64(handles.count)))]
    let slot = peer.slot
    let row = network.hosts[host].engine.peers.rows[slot]
    if row.phase != .free, row.connectionID != peer.connectionID { staleAtSuccessors += 1 }
    let isVoid = network.onHost(host) { engine, _ in
      let before = Footprint(engine, slot: slot)
      engine.offer(peer, upTo: 1 << 20)
      engine.finish(peer)
      engine.close(peer, code: 1, reason: "void")
      engine.pause(peer)
      engine.resume(peer)
      engine.ping(peer, token: 1)
      engine.setCongestionControl(.cubic, for: peer)
      engine.useRememberedPath(
        RememberedPath(roundTrip: .milliseconds(1), bytesPerSecond: 1 << 30), for: peer)
      return engine.statistics(of: peer) == nil && engine.rememberedPath(of: peer) == nil
        && Footprint(engine, slot: slot) == before
    }
    staleCalls += 1
    checks.require(isVoid, "a command with the handle of a connection that is over has reached another one")
  }

  /// Nobody is told to have lost what the other end still has.
  private mutating func checkResets() {
    for host in 0..<network.hostCount {
      for number in network.hosts[host].handler.takeResets() {
        for other in 0..<network.hostCount where other != host {
          checks.require(
            !network.hosts[other].handler.has(number),
            "connection \(number) was reset at host \(host), and host \(other) has it")
        }
      }
    }
  }

  // MARK: Judge

  /// Of all hosts.
  private var tables: [[TableUse]] {
    var tables: [[TableUse]] = []
    for host in 0..<network.hostCount { tables.append(network.hosts[host].engine.tables) }
    return tables
  }

  /// What is left when all should be over.
  private var remaining: String {
    for host in 0..<network.hostCount {
      for slot in Slot.all(network.hosts[host].engine.peers.slots) {
        let phase = network.hosts[host].engine.peers.rows[slot].phase
        if phase != .free { return "slot \(slot.index) of host \(host) is \(phase) when all should be over" }
      }
    }
    return network.underWay == 0 ? "" : "datagrams are under way when all should be over"
  }

  private mutating func judge(_ full: [[TableUse]]) {
    let remaining = remaining
    checks.require(remaining.isEmpty, remaining)
    checks.require(network.late.confused == 0, "a datagram for a connection that is over has changed something")
    for host in 0..<network.hostCount {
      let handler = network.hosts[host].handler
      checks.require(handler.violations == 0, handler.firstViolation ?? "")
      checks.require(handler.ends.total == handler.begun, "a connection has not ended exactly once for its user")
      checks.require(network.hosts[host].suite.reusedPacketNumbers == 0, "a packet number was used twice")
      let statistics = network.hosts[host].engine.statistics
      checks.require(statistics.beyondWindow == 0, "more was sent than the window allowed")
      checks.require(statistics.malformed == 0, "a segment that cannot be parsed")
    }
    let failures = failures
    checks.require(
      failures <= network.late.handshakeMessages,
      "\(failures) datagrams did not open; late messages of handshakes are \(network.late.handshakeMessages)")
    for (host, (before, after)) in zip(settled, full).enumerated() {
      for (before, after) in zip(before, after) {
        // Queues of slots grow when something happens to all connections at once; those of handshakes hold what has begun
        // within their timeout.
        let bound = max(before.capacity, 4 * network.hosts[host].engine.peers.slots)
        checks.require(after.capacity <= bound, "\(after.name): room for \(before.capacity), later \(after.capacity)")
      }
    }
    for table in tables.joined() {
      checks.require(table.inUse == 0, "\(table.name): \(table.inUse) left when all is over")
    }
  }

  /// Datagrams that did not open.
  private var failures: UInt64 {
    var failures: UInt64 = 0
    for host in 0..<network.hostCount { failures += network.hosts[host].engine.statistics.authenticationFailures }
    return failures
  }

  private func report(into result: inout ScenarioResult) {
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    for number in 0..<2 * Self.clients {
      result.faults.merge(network.counters(ofLink: number).faults, uniquingKeysWith: +)
    }
    var ends = ChurnHandler.Ends()
    for client in 1...Self.clients {
      let of = network.hosts[client].handler.ends
      ends.finished += of.finished
      ends.closed += of.closed
      ends.left += of.left
      ends.timedOut += of.timedOut
      ends.reset += of.reset
      ends.unanswered += of.unanswered
    }
    let server = network.hosts[0].engine.statistics
    result.probeTimeouts = server.probeTimeouts
    result.counts = [
      ("connections", numbers), ("finished", ends.finished), ("closed", ends.closed), ("left", ends.left),
      ("timed_out", ends.timedOut), ("reset", ends.reset), ("unanswered", ends.unanswered),
      ("refused_dials", refusedDials),
      ("server_slots", UInt64(network.hosts[0].engine.peers.slots)),
      ("most_open", UInt64(network.hosts[0].handler.mostOpen)),
      ("server_handshakes_failed", server.handshakesFailed), ("cookies", server.cookiesAccepted),
      ("late_at_successors", network.late.atSuccessors), ("late_at_live", network.late.atLive),
      ("late_at_free_slots", network.late.atFreeSlots), ("late_handshake_messages", network.late.handshakeMessages),
      ("unopened", failures),
      ("stale_commands", staleCalls), ("stale_at_successors", staleAtSuccessors),
    ]
    result.invariantsChecked = checks.count + Int(network.late.atSuccessors + network.late.atFreeSlots)
    result.failure = checks.failure
    result.isVerified = checks.failure == nil
  }
}
