// SPDX-License-Identifier: MIT
import LRP2PCore

/// An honest upload, and hostile accepted peers beside it.
private struct HostileWorld: ~Copyable {
  private var network: SimulatedNetwork<BulkHandler>
  private(set) var hostile: HostileHosts
  private let scenario: Scenario
  private(set) var mostPoolBytes: UInt64 = 0
  private var begun: Instant = 0

  private static var server: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  private static var client: Address { Address(ipv4: 0x0A00_0002, port: 2000) }
  private static var step: Nanoseconds { .milliseconds(10) }
  /// How long hostile peers have before the honest one comes.
  private static var headStart: Nanoseconds { .seconds(3) }

  init(_ scenario: Scenario, _ profiles: [HostileProfile]) {
    self.scenario = scenario
    network = SimulatedNetwork(seed: scenario.seed)
    network.coalescing = scenario.coalescing
    network.checksAmplification = true
    var configuration = EngineConfiguration()
    configuration.congestion = scenario.congestion
    configuration.receivePoolBytes = scenario.receivePoolBytes
    var handler = BulkHandler(bytesToSend: 0)
    handler.hostileNetwork = HostileHosts.network
    handler.hostileBytes = HostileHosts.bytes
    network.addHost(handler, at: Self.server, configuration: configuration)
    network.addHost(BulkHandler(bytesToSend: scenario.bytes), at: Self.client, configuration: configuration)
    var link = Link()
    link.rate = scenario.rate
    link.delay = scenario.roundTrip / 2
    link.loss = scenario.loss
    link.buffer = max(Int(scenario.buffer * scenario.product), 30_000)
    network.route(from: 1, to: 0, over: network.addLink(link))
    network.route(from: 0, to: 1, over: network.addLink(link))
    hostile = HostileHosts(seed: scenario.seed ^ 0xBAD0_BAD0_BAD0_BAD0, epochBits: configuration.keyEpochBits)
    // Theirs are paths of their own: what the honest one shares with them is the server. The handshake seems to take long, so that
    // windows that grow with what arrives in a round trip have one of many packets.
    var far = Link()
    far.delay = .milliseconds(100)
    for profile in profiles { hostile.add(profile, to: &network, configuration: configuration, link: far) }
  }

  private mutating func play(until end: Instant, orUntilDone: Bool) {
    let datagrams = max(Int(scenario.hostileRate * Self.step / 1_000_000_000), 1)
    while network.now < end, !(orUntilDone && isDone), !hostile.isBeyondBounds {
      hostile.act(&network, datagrams: datagrams, server: Self.server)
      network.run(for: Self.step)
      mostPoolBytes = max(mostPoolBytes, network.hosts[0].engine.statistics.poolBytesInUse)
    }
  }

  /// Has the honest one dial, and goes on until it is done.
  /// - Returns: how long that took, in seconds, from its dial to the last byte at the server; `nil` when it was not done in `limit`.
  mutating func transfer(limit: Nanoseconds) -> Double? {
    begun = network.now
    if hostile.count > 0 { play(until: network.now + Self.headStart, orUntilDone: false) }
    let dialled = network.now
    _ = network.onHost(1) { engine, _ in try? engine.connect(to: Self.server, expecting: .anyone) }
    play(until: network.now + limit, orUntilDone: true)
    guard isDone, let stream = honest else { return nil }
    return Double(stream.finishedAt - dialled) / 1e9
  }

  /// Hostile peers go on until they have had their time, and end.
  mutating func finish() {
    play(until: begun + UInt64(scenario.seconds * 1e9), orUntilDone: false)
    hostile.end(&network)
    let limit = network.now + .seconds(900)
    while network.now < limit, !Self.isQuiet(network), !hostile.isBeyondBounds {
      network.run(for: .milliseconds(500)) { Self.isQuiet($0) }
      hostile.goOnAsking(&network)
    }
  }

  private var honest: BulkHandler.Stream? { network.hosts[0].handler.streams.first { !$0.isHostile } }
  private var isDone: Bool { (honest?.finishedAt ?? 0) > 0 }

  private static func isQuiet(_ network: borrowing SimulatedNetwork<BulkHandler>) -> Bool {
    for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
    return true
  }

  func add(to result: inout ScenarioResult, _ checks: inout Checks, name: String) {
    result.traceHash = (result.traceHash &* 31) ^ network.traceHash
    result.datagrams += network.datagrams + hostile.sent
    result.hostileDatagrams += hostile.sent
    result.faults.merge(hostile.sentBy, uniquingKeysWith: +)
    let statistics = network.hosts[0].engine.statistics
    hostile.judge(&checks)
    checks.require(
      mostPoolBytes <= UInt64(scenario.receivePoolBytes), "\(name): \(mostPoolBytes) bytes of the pool were in use")
    checks.require(network.amplifications == 0, "\(name): an unproved address got more than three times what it sent")
    checks.require(statistics.isBalanced, "\(name): a datagram was neither accepted nor refused, or both")
    checks.require(
      hostile.count == 0 || statistics.poolBytesInUse == 0, "\(name): memory of the receive pool is not given back")
    for host in 0...1 {
      checks.require(network.hosts[host].handler.mismatches == 0, "\(name): bytes arrived that nobody had sent")
      checks.require(network.hosts[host].handler.violations == 0, "\(name): callbacks contradict each other")
      checks.require(network.hosts[host].suite.reusedPacketNumbers == 0, "\(name): a packet number was used twice")
    }
    checks.require(hostile.count == 0 || Self.isQuiet(network), "\(name): a connection has not ended")
    result.mostPoolBytes = max(result.mostPoolBytes, mostPoolBytes)
    result.mostWindowBytes = max(result.mostWindowBytes, hostile.mostWindowBytes)
  }
}

extension Scenario {
  /// The bar: how much longer an honest transfer may take beside hostile peers.
  private static var mostSlowdown: Double { 1.5 }

  /// An honest upload alone, and then beside `peers` hostile ones of each profile; `hostility` names one of them.
  func runHostile() -> ScenarioResult {
    var result = ScenarioResult()
    var checks = Checks()
    var alone = HostileWorld(self, [])
    let time = alone.transfer(limit: .seconds(600))
    alone.add(to: &result, &checks, name: "alone")
    checks.require(time != nil, "an honest transfer has not ended although nobody was hostile")
    let profiles = hostility.map { [$0] } ?? HostileProfile.allCases
    let before = residentBytes?() ?? 0
    result.hostilePeers = peers
    result.honestPeers = 1
    result.completion = time
    for profile in profiles {
      guard let time, checks.failure == nil else { break }
      var world = HostileWorld(self, Array(repeating: profile, count: peers))
      let beside = world.transfer(limit: UInt64(time * 20e9) + .seconds(10))
      world.finish()
      world.add(to: &result, &checks, name: profile.rawValue)
      let slowdown = (beside ?? .infinity) / time
      result.slowdowns[profile.rawValue] = beside == nil ? 999 : slowdown
      checks.require(
        slowdown <= Self.mostSlowdown,
        "\(profile.rawValue): beside \(peers) hostile peers a transfer took \(beside ?? .infinity) s instead of \(time)"
      )
    }
    if let residentBytes {
      result.residentBytes = residentBytes()
      result.residentGrowth = Int64(residentBytes()) - Int64(before)
    }
    result.invariantsChecked = checks.count
    result.failure = checks.failure
    result.isVerified = checks.failure == nil
    return result
  }
}
