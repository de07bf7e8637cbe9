// SPDX-License-Identifier: MIT
import LRP2PCore

/// What a run has shown.
package struct ScenarioResult: Sendable {
  package var traceHash: UInt64 = 0
  /// From the dial to the last byte at the receiver, the last flow's.
  package var completion: Double?
  package var goodput = 0.0
  /// Of the path's rate, from the end of the ramp on, in UDP payload.
  package var utilisation: Double?
  /// Until nine tenths of the rate were carried for the first time.
  package var ramp: Double?
  package var retransmittedFraction = 0.0
  package var returnBytesPerForwardByte = 0.0
  package var maximumInFlightPackets = 0
  package var datagrams: UInt64 = 0
  package var probeTimeouts: UInt64 = 0
  /// From the last first transmission to the last byte at the receiver, in round trips.
  package var tailRoundTrips: Double?
  package var lossOfProduct = 0.0
  package var jainIndex: Double?
  package var shares: [Double] = []
  /// Of a crowd: the worst honest peer's part of its fair share, of all and of each kind.
  package var leastShare: Double?
  package var leastShares: [String: Double] = [:]
  /// Seconds from the dial of an honest peer to its connection, at most.
  package var slowestHandshake = 0.0
  package var honestPeers = 0
  package var hostilePeers = 0
  package var hostileDatagrams: UInt64 = 0
  /// Of `hostile`: how many times as long the honest transfer took beside hostile peers, by what they do.
  package var slowdowns: [String: Double] = [:]
  /// The most bytes of the server's receive pool, and of a hostile peer's receive window beside it.
  package var mostPoolBytes: UInt64 = 0
  package var mostWindowBytes = 0
  package var isVerified = false
  /// What went wrong, if anything did.
  package var failure: String?
  package var invariantsChecked = 0
  package var faults: [String: UInt64] = [:]
  /// What only this profile counts, by name.
  package var counts: [(name: String, value: UInt64)] = []
  /// Of this process, at the end, and how much more than when all tables had filled.
  package var residentBytes: UInt64?
  package var residentGrowth: Int64?
  package var samples: [FlowSample] = []
}

/// A flow at one moment.
package struct FlowSample: Sendable {
  package var time: Double
  package var flow: Int
  package var congestionWindow: UInt64
  package var bytesInFlight: UInt64
  /// Bits per second delivered since the last sample.
  package var deliveryRate: Double
  package var smoothedRTT: Double
}

extension Scenario {
  private static var sender: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  private static var receiver: Address { Address(ipv4: 0x0A00_0002, port: 2000) }

  private var link: Link {
    var link = Link()
    link.delay = roundTrip / 2
    link.rate = rate
    link.buffer = max(Int(buffer * product), 30_000)
    link.loss = loss
    link.burstBegins = burstBegins
    link.jitter = jitter
    return link
  }

  private var configuration: EngineConfiguration {
    var configuration = EngineConfiguration()
    configuration.congestion = congestion
    configuration.initialSequence = initialSequence
    configuration.receivePoolBytes = receivePoolBytes
    configuration.receivePeerBytes = max(configuration.receivePeerBytes, receivePoolBytes / 2)
    if elidesPayloads { configuration.storedPayloadBytes = 64 }
    configuration.ackRatio = ackRatio
    if startsAtFullRate { configuration.initialReceiveWindow = 0xFF_FFFF }
    return configuration
  }

  /// Plays it. - Parameter interval: between samples, nanoseconds; 0 takes none.
  package func run(sampling interval: Nanoseconds = 0) -> ScenarioResult {
    if profile == .chaos {
      var chaos = Chaos(seed: seed)
      return chaos.run()
    }
    if profile == .churn {
      var churn = Churn(self)
      return churn.run()
    }
    if profile == .many { return runMany() }
    if profile == .hostile { return runHostile() }
    if profile == .unread { return runUnread() }
    if profile == .crowd {
      var crowd = Crowd(seed: seed, peers: peers, loss: loss)
      return crowd.run()
    }
    var network = SimulatedNetwork<BulkHandler>(seed: seed)
    network.coalescing = coalescing
    var sending = BulkHandler(bytesToSend: bytes)
    sending.looksAtHeads = elidesPayloads
    if isPathRemembered || startsAtFullRate {
      var path = RememberedPath(roundTrip: roundTrip, bytesPerSecond: rate / 8)
      path.isCertain = startsAtFullRate
      sending.remembered = path
    }
    var receiving = BulkHandler(bytesToSend: 0)
    receiving.looksAtHeads = elidesPayloads
    network.addHost(sending, at: Self.sender, configuration: configuration)
    network.addHost(receiving, at: Self.receiver, configuration: configuration)
    var back = link
    back.rate = returnRate
    back.buffer = max(Int(Double(returnRate) / 8e9 * Double(roundTrip) * buffer), 30_000)
    network.route(from: 0, to: 1, over: network.addLink(link))
    network.route(from: 1, to: 0, over: network.addLink(back))
    if elidesPayloads { network.protectHeads() }

    let controllers = flows.isEmpty ? [congestion] : flows
    let dialled = network.now
    for controller in controllers {
      network.onHost(0) { engine, _ in
        guard let peer = try? engine.connect(to: Self.receiver, expecting: .anyone) else {
          preconditionFailure("a free slot")
        }
        engine.setCongestionControl(controller, for: peer)
      }
    }
    var result = ScenarioResult()
    var meter = Meter(scenario: self, flows: controllers.count, start: dialled)
    let end = seconds > 0 ? dialled + UInt64(seconds * 1e9) : dialled + .seconds(3600)
    let slice =
      interval > 0
      ? interval : min(max(roundTrip / 20, .milliseconds(1)), elidesPayloads ? .milliseconds(10) : .milliseconds(1))
    while network.now < end {
      let isDone = network.run(for: min(slice, end - network.now)) { Self.isDone($0, flows: controllers.count) }
      if elidesPayloads, network.hosts[1].handler.streams.count == controllers.count { network.elidesPayloads = true }
      meter.sample(network, keeps: interval > 0)
      if isDone { break }
    }
    meter.finish(network, into: &result)
    return result
  }

  private static func isDone(_ network: borrowing SimulatedNetwork<BulkHandler>, flows: Int) -> Bool {
    network.hosts[0].handler.streams.count == flows && network.hosts[0].handler.openConnections == 0
      && network.hosts[1].handler.openConnections == 0
  }
}

/// Measures a run while it goes on.
private struct Meter {
  let scenario: Scenario
  let start: Instant
  private var lastReceived: [UInt64]
  private var lastTime: Instant
  private var lastCarried: UInt64 = 0
  private var lastCarriedAt: Instant = 0
  private var rampEnd: Instant = 0
  private var carriedAtRampEnd: UInt64 = 0
  private var endSentAt: Instant = 0
  private var mostInFlight = 0
  private var samples: [FlowSample] = []
  /// Carried when the window that the ramp is judged by began: a round trip ago.
  private var carried: [(time: Instant, bytes: UInt64)] = []

  init(scenario: Scenario, flows: Int, start: Instant) {
    self.scenario = scenario
    self.start = start
    lastTime = start
    lastReceived = Array(repeating: 0, count: flows)
  }

  mutating func sample(_ network: borrowing SimulatedNetwork<BulkHandler>, keeps: Bool) {
    let now = network.now
    guard now > lastTime else { return }
    // At the far end: what the link has been given is still on its way for half a round trip.
    let given = network.counters(ofLink: 0).bytes - network.counters(ofLink: 0).overflowedBytes
    carried.append((now, given))
    while carried.count > 1, carried[0].time + scenario.roundTrip < now { carried.removeFirst() }
    if rampEnd == 0, let first = carried.first, now - first.time >= scenario.roundTrip * 9 / 10 {
      let rate = Double(given - first.bytes) * 8e9 / Double(now - first.time)
      if rate >= 0.9 * Double(scenario.rate) {
        rampEnd = now
        carriedAtRampEnd = given
      }
    }
    if endSentAt == 0, !network.hosts[0].handler.streams.isEmpty,
      network.hosts[0].handler.streams.allSatisfy({ $0.filled == $0.toSend })
    {
      // Not later than at the last look.
      endSentAt = lastTime
    }
    for (flow, stream) in network.hosts[0].handler.streams.enumerated() {
      guard let statistics = network.hosts[0].engine.statistics(of: stream.peer) else { continue }
      mostInFlight = max(mostInFlight, statistics.packetsInFlight)
      guard keeps, flow < lastReceived.count else { continue }
      let received = flow < network.hosts[1].handler.streams.count ? network.hosts[1].handler.streams[flow].received : 0
      samples.append(
        FlowSample(
          time: Double(now - start) / 1e9, flow: flow, congestionWindow: statistics.congestionWindow,
          bytesInFlight: statistics.bytesInFlight,
          deliveryRate: Double(received - lastReceived[flow]) * 8e9 / Double(now - lastTime),
          smoothedRTT: Double(statistics.smoothedRTT) / 1e9))
      lastReceived[flow] = received
    }
    lastTime = now
    if endSentAt == 0 {
      lastCarried = given
      lastCarriedAt = now
    }
  }

  func finish(_ network: borrowing SimulatedNetwork<BulkHandler>, into result: inout ScenarioResult) {
    let sending = network.hosts[0].engine.statistics
    let received = network.hosts[1].handler.streams.map(\.received)
    let total = received.reduce(0, +)
    let forth = network.counters(ofLink: 0)
    let back = network.counters(ofLink: 1)
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    result.samples = samples
    result.maximumInFlightPackets = mostInFlight
    result.probeTimeouts = sending.probeTimeouts
    result.retransmittedFraction = Double(sending.retransmissions) / Double(max(sending.datagramsSent, 1))
    result.returnBytesPerForwardByte = Double(back.bytes) / Double(max(forth.bytes, 1))
    result.lossOfProduct = Double(forth.overflowedBytes) / scenario.product
    var end = network.now
    let finished = network.hosts[1].handler.streams.map(\.finishedAt)
    if !finished.isEmpty, finished.allSatisfy({ $0 > 0 }) {
      end = finished.max()!
      result.completion = Double(end - start) / 1e9
      if endSentAt > 0 { result.tailRoundTrips = Double(end - endSentAt) / Double(scenario.roundTrip) }
    }
    result.goodput = Double(total) * 8e3 / Double(max(end - start, 1))
    if rampEnd > 0, lastCarriedAt > rampEnd + scenario.roundTrip {
      result.ramp = Double(rampEnd - start) / 1e9
      result.utilisation =
        Double(lastCarried - carriedAtRampEnd) * 8e9 / Double(lastCarriedAt - rampEnd) / Double(scenario.rate)
    }
    if received.count > 1 {
      let sum = Double(total)
      let squares = received.map { Double($0) * Double($0) }.reduce(0, +)
      result.jainIndex = sum * sum / (Double(received.count) * squares)
      result.shares = received.map { Double($0) / sum }
    }
    let hosts = [0, 1]
    let isRight = hosts.allSatisfy {
      network.hosts[$0].handler.mismatches == 0 && network.hosts[$0].handler.violations == 0
        && network.hosts[$0].suite.reusedPacketNumbers == 0
    }
    result.isVerified = isRight && total > 0
    if !isRight { result.failure = "bytes arrived that were not the bytes that were sent" }
    if scenario.seconds == 0, result.completion == nil { result.failure = "the transfer has not ended" }
    result.invariantsChecked = 4
    result.faults = forth.faults.merging(back.faults, uniquingKeysWith: +)
  }
}
