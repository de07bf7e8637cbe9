// SPDX-License-Identifier: MIT
import LRP2PCore

/// Looks at a playing every so often.
struct PathMeter {
  /// Between two looks.
  static var step: Nanoseconds { .milliseconds(50) }

  private let path: PathCase
  private let start: Instant
  private let interval: Nanoseconds
  private var looks: UInt64 = 0
  private var samplesTaken: UInt64 = 0
  /// By flow: bytes that its reader has had.
  private(set) var delivered: [Deliveries]
  /// What all but the short ones have had.
  private(set) var total = Deliveries(step: Self.step)
  /// How long the queue was at each look, nanoseconds.
  private(set) var queue: [Nanoseconds] = []
  /// The forward link's when `measured` began.
  private(set) var before = LinkCounters()
  private(set) var samples: [FlowSample] = []
  private var lastReceived: [UInt64]

  init(_ path: PathCase, start: Instant, sampling interval: Nanoseconds) {
    self.path = path
    self.start = start
    self.interval = interval
    delivered = Array(repeating: Deliveries(step: Self.step), count: path.flows.count)
    lastReceived = Array(repeating: 0, count: path.flows.count)
  }

  /// When it wants to look again.
  var nextLook: Instant {
    let next = start + (looks + 1) * Self.step
    return interval > 0 ? min(next, start + (samplesTaken + 1) * interval) : next
  }

  mutating func look(_ network: borrowing SimulatedNetwork<BulkHandler>, _ flows: [PathRun.Flow], receiver: Int) {
    let received = flows.map { flow in
      flow.stream.map { network.hosts[receiver].handler.streams[$0].received } ?? 0
    }
    if network.now == start + (looks + 1) * Self.step { takeStep(network, received) }
    if interval > 0, network.now == start + (samplesTaken + 1) * interval { takeSample(network, flows, received) }
  }

  private mutating func takeStep(_ network: borrowing SimulatedNetwork<BulkHandler>, _ received: [UInt64]) {
    looks += 1
    var sum: UInt64 = 0
    for (flow, bytes) in received.enumerated() {
      delivered[flow].append(bytes)
      if !path.flows[flow].isShort { sum += bytes }
    }
    total.append(sum)
    let freeAt = network.links[PathRun.forth].freeAt
    let time = looks * Self.step
    if path.measured.contains(time) { queue.append(max(freeAt, network.now) - network.now) }
    if time == path.measured.lowerBound { before = network.counters(ofLink: PathRun.forth) }
  }

  private mutating func takeSample(
    _ network: borrowing SimulatedNetwork<BulkHandler>, _ flows: [PathRun.Flow], _ received: [UInt64]
  ) {
    samplesTaken += 1
    for (number, flow) in flows.enumerated() {
      guard let peer = flow.peer, let statistics = network.hosts[flow.plan.host].engine.statistics(of: peer) else {
        continue
      }
      samples.append(
        FlowSample(
          time: Double(network.now - start) / 1e9, flow: number, congestionWindow: statistics.congestionWindow,
          bytesInFlight: statistics.bytesInFlight,
          deliveryRate: Double(received[number] - lastReceived[number]) * 8e9 / Double(interval),
          smoothedRTT: Double(statistics.smoothedRTT) / 1e9))
      lastReceived[number] = received[number]
    }
  }
}
