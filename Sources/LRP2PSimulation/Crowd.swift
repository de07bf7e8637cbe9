// SPDX-License-Identifier: MIT
import LRP2PCore

/// A server among thousands of peers, a fifth of them hostile, all that they do drawn from the seed. What it sends is limited by
/// its own service: no honest peer may get less than half its fair share of that, and every invariant has to hold.
struct Crowd: ~Copyable {
  /// An honest peer.
  struct Member {
    var host = 0
    var request = CrowdRequest()
    /// The present connection, by its host's streams; -1 before the first.
    var stream = -1
    /// Bytes a second that an upload sends.
    var rate = 0.0
    /// Bytes that earlier connections have received.
    var receivedBefore: UInt64 = 0
    var isSettled = false
    /// How long in the interval a session has had something to receive.
    var wanted: Nanoseconds = 0
    /// When the interval began.
    var atStart: UInt64 = 0
    /// In the interval: bytes or round trips, and what of it is fair.
    var got: UInt64 = 0
    var share = 0.0
  }

  var network: SimulatedNetwork<CrowdHandler>
  var random: SeededRandom
  /// For hosts of `Hostility.accepted`.
  var acceptedRandom: SeededRandom
  /// The most bytes that the windows of one of their connections had at the server.
  var mostWindowBytes = 0
  var members: [Member] = []
  var attackers: [Attacker] = []
  var attackerHosts: [AttackerHost] = []
  /// Whoever dials in a step: members, and behind them attackers.
  private var dials: [[Int]] = []
  private var isOver = false
  var faults: [String: UInt64] = [:]
  /// Datagrams that cannot but be refused.
  var refusable: UInt64 = 0
  /// What is known for forging first messages.
  var message1: [UInt8] = []
  var floodIDs: [(id: UInt64, address: Address)] = []
  /// The most connections that the server has had at a time.
  private(set) var mostPeers = 0
  private(set) var honestHosts = 0
  /// Bytes of hostile streams that the server had sent when the interval began, by the server's streams.
  private var hostileAtStart: [UInt64] = []
  private(set) var hostileGot: [UInt64] = []
  private var isMeasured = false
  let start: Instant
  let peers: Int
  var isUnquiet: Bool { !isOver }

  static var server: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  static var step: Nanoseconds { .milliseconds(5) }
  static var dialling: Nanoseconds { .seconds(1) }
  /// When attackers that speak past their engines begin to.
  private static var silence: Nanoseconds { .milliseconds(1800) }
  private static var warmUp: Nanoseconds { .seconds(2) }
  static var interval: Nanoseconds { .seconds(6) }
  private static var leaving: Nanoseconds { .seconds(1) }
  /// Datagrams that the server sends a second, for each peer.
  private static var service: UInt64 { 10 }
  private static var coalescing: Nanoseconds { .microseconds(500) }

  /// - Parameter loss: the most that paths of honest peers lose.
  init(seed: UInt64, peers: Int, loss: Double) {
    self.peers = max(peers, 10)
    random = SeededRandom(seed: seed ^ 0xC40D_5EED_C40D_5EED)
    acceptedRandom = SeededRandom(seed: seed ^ 0xACCE_97ED_ACCE_97ED)
    network = SimulatedNetwork(seed: seed)
    network.coalescing = Self.coalescing
    network.checksAmplification = true
    start = network.now
    dials = Array(repeating: [], count: Int((Self.warmUp + Self.interval + Self.leaving) / Self.step) + 1)
    addServer()
    let hostile = self.peers / 5
    addMembers(self.peers - hostile, loss: loss)
    addAttackers(hostile)
    tapPeers(seed: seed)
    network.protectHeads()
    network.elidesPayloads = true
  }

  private mutating func addServer() {
    var configuration = EngineConfiguration()
    configuration.idleTimeout = .seconds(15)
    // Four datagrams for each peer: less than attackers can fill.
    configuration.receivePoolBytes = max(peers * 4 * 1408, 1 << 17)
    configuration.congestion = random.happens(0.5) ? .bbr : .cubic
    configuration.flowsAtLeisure = random.happens(0.5) ? 0 : 1024
    configuration.halfOpenMark = random.happens(0.5) ? 64 : 512
    configuration.acceptsOriginal = random.happens(0.3)
    // Room for all, and for those that are over, but not for whatever is forged beside.
    if random.happens(0.5) { configuration.maximumPeers = peers * 3 / 2 + 64 }
    var handler = CrowdHandler()
    handler.isServer = true
    network.addHost(handler, at: Self.server, configuration: configuration)
    let service = UInt64(peers) * Self.service
    network.limitSending(
      of: 0, datagramsPerSecond: service, socket: max(service * 2 * Self.coalescing / 1_000_000_000, 1))
  }

  /// A host of some peers, with a link each way.
  mutating func addHost(_ handler: CrowdHandler, at address: Address, loss: Double) -> Int {
    var configuration = EngineConfiguration()
    configuration.keepAlive = .seconds(4)
    configuration.ackRatio = [1, 2, 16, 64][Int(random.below(4))]
    configuration.congestion = random.happens(0.5) ? .bbr : .cubic
    configuration.accepting = .nobody
    let host = network.addHost(handler, at: address, configuration: configuration)
    var link = Link()
    link.delay = .milliseconds(2) + random.below(.milliseconds(40))
    link.loss = loss
    network.route(from: host, to: 0, over: network.addLink(link))
    network.route(from: 0, to: host, over: network.addLink(link))
    return host
  }

  private mutating func addMembers(_ count: Int, loss most: Double) {
    honestHosts = min(max(count / 80, 2), 150)
    for host in 1...honestHosts {
      var handler = CrowdHandler()
      handler.random = SeededRandom(seed: random.next())
      let loss = random.happens(0.5) ? 0 : Double(random.below(20)) / 20 * most
      _ = addHost(handler, at: Address(ipv4: 0x0A01_0000 + UInt32(host) << 8 + 1, port: 2000), loss: loss)
    }
    for number in 0..<count {
      var member = Member()
      member.host = 1 + number % honestHosts
      member.request.role = role()
      member.request.number = number
      if member.request.role == .session { member.request.bytes = UInt32(60_000 + random.below(140_000)) }
      // Up to thirty datagrams a second.
      if member.request.role == .upload { member.rate = Double(1400 + random.below(40_000)) }
      members.append(member)
      dials[Int(random.below(Self.dialling / Self.step))].append(number)
    }
  }

  private mutating func role() -> CrowdRole {
    switch random.below(100) {
    case 0..<26: .download
    case 26..<34: .session
    case 34..<50: .upload
    case 50..<65: .echo
    default: .idle
    }
  }

  // MARK: Play

  mutating func run() -> ScenarioResult {
    network.hosts[0].suite.remembersOpened = true
    var step = 0
    let begins = start + Self.warmUp
    let ends = begins + Self.interval
    var leaves: [[Int]] = Array(repeating: [], count: Int(Self.leaving / Self.step))
    for number in members.indices { leaves[Int(random.below(UInt64(leaves.count)))].append(number) }
    while network.now < ends + Self.leaving {
      if network.now < ends { dial(step) }
      if network.now == start + Self.silence { silence() }
      if network.now == begins { beginInterval() }
      if network.now == ends { endInterval() }
      if network.now >= ends { leave(leaves[min(Int((network.now - ends) / Self.step), leaves.count - 1)]) }
      if network.now < ends, step % 10 == 0 { upload() }
      settleSessions(step)
      strike()
      network.run(for: Self.step)
      mostPeers = max(mostPeers, Int(network.hosts[0].engine.statistics.peers))
      step += 1
    }
    let limit = network.now + .seconds(60)
    while network.now < limit, !honestAreDone {
      strike()
      network.run(for: Self.step)
    }
    endAttackers()
    network.run(for: .seconds(60)) { Self.isQuiet($0) }
    isOver = Self.isQuiet(network) && network.underWay == 0
    return judge()
  }

  private static func isQuiet(_ network: borrowing SimulatedNetwork<CrowdHandler>) -> Bool {
    for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
    return true
  }

  private var honestAreDone: Bool {
    for host in 1...honestHosts where network.hosts[host].handler.openConnections > 0 { return false }
    return true
  }

  mutating func count(_ fault: String, _ times: UInt64 = 1) { faults[fault, default: 0] += times }

  /// Has a member, or behind them an attacker, dial after some time.
  mutating func dialLater(_ number: Int, after delay: Nanoseconds) {
    let step = Int((network.now + delay - start) / Self.step) + 1
    if step < dials.count { dials[step].append(number) }
  }

  private mutating func dial(_ step: Int) {
    for number in dials[step] {
      if number >= members.count {
        dialAttacker(number - members.count)
        continue
      }
      let (host, request) = (members[number].host, members[number].request)
      members[number].stream = network.onHost(host) { engine, handler in
        handler.dial(request, to: Self.server, engine: &engine)
      }
      members[number].isSettled = false
    }
  }

  private mutating func upload() {
    let elapsed = Double(10 * Self.step) / 1e9
    for number in members.indices where members[number].request.role == .upload && members[number].stream >= 0 {
      let (host, stream) = (members[number].host, members[number].stream)
      guard network.hosts[host].handler.streams[stream].connectedAt > 0 else { continue }
      let bytes = UInt64(members[number].rate * elapsed)
      network.hosts[host].reach { engine, handler in handler.send(bytes, on: stream, engine: &engine) }
    }
  }

  /// A session that has had everything begins anew some time later.
  private mutating func settleSessions(_ step: Int) {
    for number in members.indices
    where members[number].request.role == .session && members[number].stream >= 0 && !members[number].isSettled {
      let stream = network.hosts[members[number].host].handler.streams[members[number].stream]
      guard stream.isFinished else { continue }
      if !isMeasured { noteWanted(number, until: stream.finishedAt) }
      members[number].isSettled = true
      members[number].receivedBefore += stream.received
      members[number].request.round += 1
      dialLater(number, after: random.below(.milliseconds(500)))
    }
  }

  /// A session wants from when it is connected until it has everything.
  private mutating func noteWanted(_ number: Int, until end: Instant) {
    guard members[number].stream >= 0, !members[number].isSettled else { return }
    let since = network.hosts[members[number].host].handler.streams[members[number].stream].connectedAt
    let begin = max(since, start + Self.warmUp)
    let end = min(end, start + Self.warmUp + Self.interval)
    if since > 0, end > begin { members[number].wanted += end - begin }
  }

  // MARK: Measure

  private func progress(_ number: Int) -> UInt64 {
    let member = members[number]
    guard member.stream >= 0 else { return 0 }
    let stream = network.hosts[member.host].handler.streams[member.stream]
    switch member.request.role {
    case .download: return stream.received
    case .session: return member.receivedBefore + (member.isSettled ? 0 : stream.received)
    case .upload: return stream.offered
    case .echo: return UInt64(stream.roundTrips)
    case .idle: return 0
    }
  }

  private mutating func beginInterval() {
    for number in members.indices { members[number].atStart = progress(number) }
    hostileAtStart = hostileFilled()
    uploadedAtStart = uploaded()
  }

  private mutating func endInterval() {
    isMeasured = true
    for number in members.indices {
      members[number].got = progress(number) - members[number].atStart
      if members[number].request.role == .session { noteWanted(number, until: network.now) }
    }
    hostileGot = hostileFilled()
    for index in hostileAtStart.indices { hostileGot[index] -= hostileAtStart[index] }
    uploadedGot = uploaded()
    for number in uploadedGot.indices { uploadedGot[number] -= uploadedAtStart[number] }
  }

  private var uploadedAtStart: [UInt64] = []
  /// What has reached the server of each member's upload in the interval.
  private(set) var uploadedGot: [UInt64] = []

  private func uploaded() -> [UInt64] {
    var bytes = [UInt64](repeating: 0, count: members.count)
    for index in network.hosts[0].handler.streams.indices {
      let stream = network.hosts[0].handler.streams[index]
      guard stream.isKnown, !stream.request.isHostile, stream.request.number < members.count else { continue }
      bytes[stream.request.number] += stream.received
    }
    return bytes
  }

  private func hostileFilled() -> [UInt64] {
    network.hosts[0].handler.streams.map { $0.isKnown && !$0.request.isHostile ? 0 : $0.filled }
  }

  /// Honest peers go, each in order.
  private mutating func leave(_ numbers: [Int]) {
    for number in numbers where members[number].stream >= 0 {
      let (host, stream) = (members[number].host, members[number].stream)
      network.hosts[host].reach { engine, handler in handler.finish(stream, engine: &engine) }
    }
  }
}
