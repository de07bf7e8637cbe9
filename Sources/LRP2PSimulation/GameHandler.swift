// SPDX-License-Identifier: MIT
import LRP2PCore

/// A server that sends each peer snapshots that are worthless a moment later, a few messages that must arrive, and a stream beside them at a
/// rate of its own; and a client that notes how old all of it is.
package struct GameHandler: Handler {
  package struct Plan: Sendable {
    /// Between two snapshots, and how long they are.
    package var tick: Nanoseconds = .seconds(1) / 60
    package var snapshotBytes = 200
    /// Whether snapshots are sent once only, or again until they arrive.
    package var isReliable = false
    /// How long a snapshot may wait to leave.
    package var patience: Nanoseconds = .seconds(1) / 60
    /// Of so many ticks one has a message that must arrive.
    package var ticksPerEvent = 6
    /// Bits per second of the stream.
    package var streamRate: UInt64 = 0
    package var sendsMessages = true
    package var seconds = 60

    package init() {}
  }

  package static var lanes: [LaneConfiguration] {
    [LaneConfiguration(), LaneConfiguration(isOrdered: false, priority: 0, whenFull: .dropOldest)]
  }

  private struct Source {
    var ticks = 0
    var offered: UInt64 = 0
    var started: Instant = 0
  }

  package let plan: Plan
  /// Whether this side sends.
  package let isServer: Bool
  private var sources: [Peer: Source] = [:]
  package var snapshotsSent = 0
  package var eventsSent = 0
  /// Ages, in microseconds, and what came after a newer one.
  package var received = 0
  package var ages: [UInt32] = []
  package var eventAges: [UInt32] = []
  package var eventsInOrder = true
  private var newestEvent: [Peer: UInt32] = [:]
  package var streamBytes: UInt64 = 0
  /// When the newest bytes of the stream came.
  package var lastStream: Instant = 0
  package var notTaken = 0
  package var connectedCount = 0
  /// What comes in the first two seconds is not counted: the stream finds the path's rate then.
  private var warm: Instant = .never
  /// Only peers of this remainder by three have a stream.
  package var streamsOneOf = 1

  package init(plan: Plan, isServer: Bool) {
    self.plan = plan
    self.isServer = isServer
  }

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    connectedCount += 1
    if warm == .never { warm = engine.now + .seconds(2) }
    guard isServer else { return }
    sources[peer] = Source(started: engine.now)
    // Peers have their ticks spread.
    engine.setTimer(at: engine.now + plan.tick * UInt64(connectedCount % 16) / 16, token: peer.connectionID)
    if plan.streamRate > 0, peer.index % streamsOneOf == 0 {
      engine.setTimer(at: engine.now, token: ~peer.connectionID)
    }
  }

  package mutating func timerFired(token: UInt64, engine: inout Engine) {
    if offerStream(Peer(connectionID: ~token), &engine) { return }
    let peer = Peer(connectionID: token)
    guard var source = sources[peer] else { return }
    defer { sources[peer] = source }
    source.ticks += 1
    if plan.sendsMessages { sendMessages(peer, source.ticks, &engine) }
    guard engine.now < source.started + .seconds(UInt64(plan.seconds)) else {
      engine.finish(peer)
      return
    }
    engine.setTimer(at: engine.now + plan.tick, token: token)
  }

  /// The stream continues, a millisecond's worth at a time.
  private mutating func offerStream(_ peer: Peer, _ engine: inout Engine) -> Bool {
    guard var source = sources[peer], engine.now < source.started + .seconds(UInt64(plan.seconds)) else {
      return sources[peer] != nil
    }
    source.offered = UInt64(Double(plan.streamRate) / 8 * Double(engine.now - source.started) / 1e9)
    engine.offer(peer, upTo: source.offered)
    sources[peer] = source
    engine.setTimer(at: engine.now + .milliseconds(1), token: ~peer.connectionID)
    return true
  }

  private mutating func sendMessages(_ peer: Peer, _ tick: Int, _ engine: inout Engine) {
    var bytes = [UInt8](repeating: 0, count: max(plan.snapshotBytes, 16))
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: engine.now >> (8 * UInt64(index))) }
    var options = MessageOptions(lane: 1, until: engine.now + plan.patience, isReliable: plan.isReliable)
    if plan.isReliable { options.until = .never }
    if engine.send(peer, bytes, options) != .queued { notTaken += 1 }
    snapshotsSent += 1
    guard tick % plan.ticksPerEvent == 0 else { return }
    for index in 0..<4 { bytes[8 + index] = UInt8(truncatingIfNeeded: UInt32(tick) >> (8 * UInt32(index))) }
    if engine.send(peer, bytes) != .queued { notTaken += 1 }
    eventsSent += 1
  }

  package mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    var time: Instant = 0
    for index in 0..<8 { time |= UInt64(message.byte(index)) << (8 * UInt64(index)) }
    let age = UInt32(clamping: (engine.now - time) / 1000)
    guard lane == 0 else {
      received += 1
      if engine.now >= warm { ages.append(age) }
      return
    }
    var number: UInt32 = 0
    for index in 0..<4 { number |= UInt32(message.byte(8 + index)) << (8 * UInt32(index)) }
    if let newest = newestEvent[peer], number <= newest { eventsInOrder = false }
    newestEvent[peer] = number
    eventAges.append(age)
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    streamBytes += UInt64(bytes.byteCount)
    lastStream = engine.now
  }

  package mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
  package mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {}
  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { sources[peer] = nil }
}

/// The result of a game: ages in milliseconds.
package struct GameResult: Sendable {
  package var sent = 0
  package var received = 0
  package var eventsSent = 0
  package var eventsReceived = 0
  package var eventsInOrder = true
  package var p50 = 0.0
  package var p99 = 0.0
  package var longest = 0.0
  package var eventP99 = 0.0
  package var streamSeconds = 0.0
  package var streamBytes: UInt64 = 0
  package var notTaken = 0

  fileprivate init(_ server: GameHandler, _ clients: [GameHandler]) {
    sent = server.snapshotsSent
    eventsSent = server.eventsSent
    notTaken = server.notTaken
    var ages = clients.flatMap(\.ages)
    var events = clients.flatMap(\.eventAges)
    received = clients.reduce(0) { $0 + $1.received }
    eventsReceived = events.count
    eventsInOrder = clients.allSatisfy(\.eventsInOrder)
    ages.sort()
    events.sort()
    func at(_ ages: [UInt32], _ share: Double) -> Double {
      ages.isEmpty ? 0 : Double(ages[Int(Double(ages.count - 1) * share)]) / 1000
    }
    p50 = at(ages, 0.5)
    p99 = at(ages, 0.99)
    longest = at(ages, 1)
    eventP99 = at(events, 0.99)
    streamBytes = clients.reduce(0) { $0 + $1.streamBytes }
  }
}

package enum Game {
  /// One client over a path of its own.
  package static func play(
    plan: GameHandler.Plan, roundTrip: Nanoseconds, rate: UInt64, loss: Double, seed: UInt64
  ) throws -> GameResult {
    var configuration = EngineConfiguration()
    configuration.lanes = GameHandler.lanes
    var link = Link()
    link.delay = roundTrip / 2
    link.rate = rate
    link.buffer = max(Int(Double(rate) / 8 * Double(roundTrip) / 1e9), 20_000)
    link.loss = loss
    var world = World<GameHandler>(
      seed: seed, configuration: configuration, link: link, firstHandler: GameHandler(plan: plan, isServer: false),
      secondHandler: GameHandler(plan: plan, isServer: true))
    _ = try world.first.connect(to: World<GameHandler>.secondAddress, expecting: .anyone)
    let start = world.now
    _ = world.run(for: .seconds(UInt64(plan.seconds) + 30))
    var result = GameResult(world.secondHandler, [world.firstHandler])
    result.streamSeconds = Double(world.firstHandler.lastStream - min(start, world.firstHandler.lastStream)) / 1e9
    return result
  }

  /// Many clients, four on each path, of which one has a stream that fills it to so much.
  package static func playMany(
    plan: GameHandler.Plan, peers: Int, roundTrip: Nanoseconds, rate: UInt64, loss: Double, seed: UInt64
  ) throws -> GameResult {
    var configuration = EngineConfiguration()
    configuration.lanes = GameHandler.lanes
    var network = SimulatedNetwork<GameHandler>(seed: seed)
    let server = Address(ipv4: 0x0A00_0001, port: 1000)
    var handler = GameHandler(plan: plan, isServer: true)
    handler.streamsOneOf = 4
    network.addHost(handler, at: server, configuration: configuration)
    let hosts = min((peers + 3) / 4, 250)
    var link = Link()
    link.delay = roundTrip / 2
    link.rate = rate
    link.buffer = max(Int(Double(rate) / 8 * Double(roundTrip) / 1e9), 20_000)
    link.loss = loss
    for host in 1...hosts {
      network.addHost(
        GameHandler(plan: plan, isServer: false), at: Address(ipv4: 0x0A00_0100 + UInt32(host), port: 2000),
        configuration: configuration)
      network.route(from: host, to: 0, over: network.addLink(link))
      network.route(from: 0, to: host, over: network.addLink(link))
    }
    // One after the other, so that four in a row share a path and have four numbers in a row.
    for peer in 0..<peers {
      let host = 1 + peer / 4 % hosts
      network.onHost(host) { engine, _ in _ = try? engine.connect(to: server, expecting: .anyone) }
      _ = network.run(for: .milliseconds(5))
    }
    _ = network.run(for: .seconds(UInt64(plan.seconds) + 10))
    var clients: [GameHandler] = []
    for host in 1...hosts { clients.append(network.hosts[host].handler) }
    return GameResult(network.hosts[0].handler, clients)
  }
}
