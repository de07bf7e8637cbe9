// SPDX-License-Identifier: MIT
import LRP2PCore

/// Connections to one host whose readers have all stopped, and whose senders have more than it has room for.
private struct UnreadWorld: ~Copyable {
  private var network: SimulatedNetwork<BulkHandler>
  private let start: Instant
  private let hosts: Int
  private let scenario: Scenario

  private static var server: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  private static var mostHosts: Int { 20 }

  init(_ scenario: Scenario) {
    self.scenario = scenario
    network = SimulatedNetwork(seed: scenario.seed)
    network.coalescing = .microseconds(100)
    hosts = min(Self.mostHosts, scenario.peers)
    var configuration = EngineConfiguration()
    configuration.congestion = scenario.congestion
    configuration.receivePoolBytes = scenario.receivePoolBytes
    // One host, behind one address each, dials more than strangers may.
    configuration.maximumHalfOpenPerPrefix = 4096
    configuration.halfOpenMark = 4096
    var handler = BulkHandler(bytesToSend: 0)
    handler.stopsReading = true
    network.addHost(handler, at: Self.server, configuration: configuration)
    var random = SeededRandom(seed: scenario.seed)
    for host in 1...hosts {
      network.addHost(
        BulkHandler(bytesToSend: scenario.bytes), at: Address(ipv4: 0x0A00_0100 + UInt32(host), port: 2000),
        configuration: configuration)
      var link = Link()
      link.rate = scenario.rate
      link.delay = scenario.roundTrip / 4 + random.below(scenario.roundTrip / 2)
      link.loss = scenario.loss
      link.buffer = 1 << 20
      network.route(from: host, to: 0, over: network.addLink(link))
      network.route(from: 0, to: host, over: network.addLink(link))
    }
    start = network.now
  }

  private mutating func dial() {
    for number in 0..<scenario.peers {
      network.onHost(1 + number % hosts) { engine, _ in _ = try? engine.connect(to: Self.server, expecting: .anyone) }
      if number % hosts == hosts - 1 { network.run(for: .milliseconds(5)) }
    }
  }

  /// Goes on until so many seconds after the start.
  /// - Returns: the most datagrams in a second of that time.
  private mutating func play(until seconds: UInt64) -> UInt64 {
    var most: UInt64 = 0
    while network.now < start + .seconds(seconds) {
      let before = network.datagrams
      network.run(for: min(.seconds(1), start + .seconds(seconds) - network.now))
      most = max(most, network.datagrams - before)
    }
    return most
  }

  mutating func run() -> ScenarioResult {
    var result = ScenarioResult()
    var checks = Checks()
    dial()
    _ = play(until: 5)
    let soon = play(until: 30)
    let later = play(until: 40)
    result.counts = [("datagrams_unread", network.datagrams), ("rate_after_5s", soon), ("rate_after_30s", later)]
    result.mostPoolBytes = network.hosts[0].engine.statistics.poolBytesInUse
    checks.require(soon < 2000, "\(soon) datagrams in a second while nobody reads")
    checks.require(later < 300, "\(later) datagrams in a second when nobody has read for 30 s")
    checks.require(
      network.hosts[0].handler.openConnections == scenario.peers,
      "\(network.hosts[0].handler.openConnections) of \(scenario.peers) connections are left while nobody reads")
    checks.require(
      result.mostPoolBytes <= UInt64(scenario.receivePoolBytes), "\(result.mostPoolBytes) bytes of the pool were in use"
    )
    network.onHost(0) { engine, handler in handler.readOn(engine: &engine) }
    let resumed = network.now
    network.run(for: .seconds(600)) { Self.isQuiet($0) }
    let finished = network.hosts[0].handler.streams.map(\.finishedAt).max() ?? 0
    result.completion = Double(max(finished, resumed) - resumed) / 1e9
    judge(&result, &checks)
    result.invariantsChecked = checks.count
    result.failure = checks.failure
    result.isVerified = checks.failure == nil
    return result
  }

  private static func isQuiet(_ network: borrowing SimulatedNetwork<BulkHandler>) -> Bool {
    for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
    return true
  }

  private func judge(_ result: inout ScenarioResult, _ checks: inout Checks) {
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    checks.require(Self.isQuiet(network), "a connection has not ended")
    for host in 0...hosts {
      let handler = network.hosts[host].handler
      checks.require(handler.mismatches == 0, "bytes arrived that were not the bytes that were sent")
      checks.require(handler.violations == 0, "callbacks contradict each other")
      checks.require(network.hosts[host].engine.statistics.isBalanced, "a datagram was neither accepted nor refused")
      checks.require(
        network.hosts[host].engine.statistics.poolBytesInUse == 0, "memory of the receive pool is not given back")
      result.probeTimeouts += network.hosts[host].engine.statistics.probeTimeouts
      result.faults["retransmission", default: 0] += network.hosts[host].engine.statistics.retransmissions
    }
    let whole = network.hosts[0].handler.streams.count { $0.isFinished && $0.received == scenario.bytes }
    checks.require(whole == scenario.peers, "of \(scenario.peers) streams \(whole) arrived whole")
  }
}

extension Scenario {
  /// `peers` connections that nobody reads for 40 s, and then everybody.
  func runUnread() -> ScenarioResult {
    var world = UnreadWorld(self)
    return world.run()
  }
}
