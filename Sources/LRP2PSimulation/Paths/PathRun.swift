// SPDX-License-Identifier: MIT
import LRP2PCore

/// One playing of a case: sending hosts, one that receives, and a link each way that all share.
struct PathRun: ~Copyable {
  /// A flow and where it stands.
  struct Flow {
    var plan: PathFlow
    var dialsAt: Instant
    var peer: Peer?
    /// By the streams of the receiving host; `nil` until it has one.
    var stream: Int?
  }

  let path: PathCase
  var network: SimulatedNetwork<BulkHandler>
  let start: Instant
  private(set) var flows: [Flow] = []
  private(set) var meter: PathMeter
  let receiver: Int

  private static var sender: UInt32 { 0x0A00_0100 }
  private static var receivingAddress: Address { Address(ipv4: 0x0A00_0002, port: 2000) }
  static var forth: Int { 0 }
  static var back: Int { 1 }

  /// - Parameter interval: between samples for a trace, nanoseconds; 0 takes none.
  init(_ path: PathCase, seed: UInt64, congestion: CongestionAlgorithm, remembers: Bool, sampling interval: Nanoseconds)
  {
    self.path = path
    network = SimulatedNetwork(seed: seed)
    network.coalescing = path.turn
    start = network.now
    meter = PathMeter(path, start: network.now, sampling: interval)
    receiver = (path.flows.map(\.host).max() ?? 0) + 1
    var random = SeededRandom(seed: seed ^ 0x9A7B_5EED_9A7B_5EED)
    for plan in path.flows { flows.append(Flow(plan: plan, dialsAt: start + plan.at + random.below(path.spread))) }
    addHosts(congestion, remembers: remembers)
    addLinks(path.changes(&random))
    network.protectHeads()
    network.elidesPayloads = true
    network.ledger = ResendLedger(link: Self.forth, start: start, step: PathMeter.step, roundTrip: path.roundTrip)
  }

  private mutating func addHosts(_ congestion: CongestionAlgorithm, remembers: Bool) {
    for host in 0..<receiver {
      let bytes = path.flows.first { $0.host == host }?.bytes
      var handler = BulkHandler(bytesToSend: bytes ?? 1 << 50)
      handler.looksAtHeads = true
      if remembers { handler.remembered = path.remembered }
      network.addHost(
        handler, at: Address(ipv4: Self.sender + UInt32(host), port: 1000),
        configuration: Self.configuration(of: path, congestion))
    }
    var handler = BulkHandler(bytesToSend: 0)
    handler.looksAtHeads = true
    network.addHost(handler, at: Self.receivingAddress, configuration: Self.configuration(of: path, congestion))
  }

  private static func configuration(of path: PathCase, _ congestion: CongestionAlgorithm) -> EngineConfiguration {
    var configuration = EngineConfiguration()
    configuration.congestion = congestion
    configuration.usesECN = path.usesECN
    if let roundTrip = path.initialRoundTrip { expect(roundTrip, &configuration) }
    return configuration
  }

  /// Both ends expect such a round trip, and leave room for several.
  private static func expect(_ roundTrip: Nanoseconds, _ configuration: inout EngineConfiguration) {
    configuration.initialRoundTrip = roundTrip
    configuration.handshakeTimeout = max(configuration.handshakeTimeout, 10 * roundTrip)
    configuration.idleTimeout = max(configuration.idleTimeout, 10 * roundTrip)
  }

  private mutating func addLinks(_ changes: [PathChange]) {
    _ = network.addLink(path.forth)
    _ = network.addLink(path.back)
    for host in 0..<receiver {
      network.route(from: host, to: receiver, over: Self.forth)
      network.route(from: receiver, to: host, over: Self.back)
    }
    let start = start
    let forth = changes.filter { $0.direction != .back }.map { (at: start + $0.at, change: $0.change) }
    let back = changes.filter { $0.direction != .forth }.map { (at: start + $0.at, change: $0.change) }
    if !forth.isEmpty { network.schedule(link: Self.forth, forth) }
    if !back.isEmpty { network.schedule(link: Self.back, back) }
  }

  /// Plays until all flows that have an end have come to it, if all have one, and to the end of the case at most.
  mutating func play() {
    let end = start + path.end
    while network.now < end, !isDone {
      var next = min(meter.nextLook, end)
      for flow in flows where flow.peer == nil { next = min(next, max(flow.dialsAt, network.now)) }
      network.go(until: next)
      dial()
      if network.now == meter.nextLook { look() }
    }
  }

  private mutating func dial() {
    for index in flows.indices where flows[index].peer == nil && flows[index].dialsAt <= network.now {
      flows[index].peer = network.onHost(flows[index].plan.host) { engine, _ in
        guard let peer = try? engine.connect(to: Self.receivingAddress, expecting: .anyone) else {
          preconditionFailure("a free slot")
        }
        return peer
      }
    }
  }

  private mutating func look() {
    findStreams()
    meter.look(network, flows, receiver: receiver)
  }

  /// The stream of a flow at the receiving host is the one that has the ids of that of the sending one.
  private mutating func findStreams() {
    for index in flows.indices where flows[index].stream == nil {
      guard let peer = flows[index].peer,
        let sending = network.hosts[flows[index].plan.host].handler.streams.first(where: { $0.peer == peer })
      else { continue }
      flows[index].stream = network.hosts[receiver].handler.streams.firstIndex { $0.ownID == sending.remoteID }
    }
  }

  private var isDone: Bool {
    flows.allSatisfy { $0.plan.bytes != nil && $0.stream.map { finishedAt($0) > 0 } ?? false }
  }

  func finishedAt(_ stream: Int) -> Instant { network.hosts[receiver].handler.streams[stream].finishedAt }
}
