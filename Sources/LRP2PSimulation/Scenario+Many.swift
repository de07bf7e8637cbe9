// SPDX-License-Identifier: MIT
import LRP2PCore

extension Scenario {
  private static var hosts: Int { 20 }
  private static var peersPerHost: Int { 150 }

  /// Three thousand peers of one host, on one socket: each from one of twenty hosts, with some bytes each way.
  func runMany() -> ScenarioResult {
    var network = SimulatedNetwork<BulkHandler>(seed: seed)
    network.coalescing = .microseconds(50)
    network.checksAmplification = true
    var random = SeededRandom(seed: seed)
    var configuration = EngineConfiguration()
    configuration.congestion = congestion
    // One host, behind one address each, dials more than strangers may.
    configuration.maximumHalfOpenPerPrefix = 4096
    var handler = BulkHandler(bytesToSend: nil)
    handler.mostBytes = 20_000
    handler.random = SeededRandom(seed: random.next())
    let server = Address(ipv4: 0x0A00_0001, port: 1000)
    network.addHost(handler, at: server, configuration: configuration)
    var link = Link()
    link.rate = rate * 10
    link.delay = roundTrip / 2
    link.loss = max(loss, 0.005)
    link.buffer = 1 << 20
    for host in 1...Self.hosts {
      handler.random = SeededRandom(seed: random.next())
      network.addHost(handler, at: Address(ipv4: 0x0A00_0100 + UInt32(host), port: 2000), configuration: configuration)
      network.route(from: host, to: 0, over: network.addLink(link))
      network.route(from: 0, to: host, over: network.addLink(link))
    }
    let start = network.now
    for _ in 0..<Self.peersPerHost {
      for host in 1...Self.hosts {
        network.onHost(host) { engine, _ in _ = try? engine.connect(to: server, expecting: .anyone) }
      }
      network.run(for: .milliseconds(10))
    }
    let isDone = network.run(for: .seconds(120)) { network in
      for host in 0..<network.hostCount where network.hosts[host].engine.statistics.peers > 0 { return false }
      return true
    }
    var result = ScenarioResult()
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    result.completion = Double(network.now - start) / 1e9
    var finished = 0
    for host in 0..<network.hostCount {
      let handler = network.hosts[host].handler
      let isRight =
        handler.mismatches == 0 && handler.violations == 0 && network.hosts[host].suite.reusedPacketNumbers == 0
        && network.hosts[host].engine.statistics.poolBytesInUse == 0
      if !isRight { result.failure = "bytes, callbacks or packet numbers that are wrong" }
      if host > 0 { finished += handler.streams.count { $0.closed == .finished } }
      result.invariantsChecked += 4
    }
    if network.amplifications > 0 {
      result.failure = "more than three times what came from an unproved address went there"
    }
    if !isDone { result.failure = "a connection has not ended" }
    // One handshake in a thousand loses its first message five times over, or its second.
    if finished < Self.hosts * Self.peersPerHost * 99 / 100 {
      result.failure = "only \(finished) connections ended in order"
    }
    for number in 0..<2 * Self.hosts {
      result.faults.merge(network.counters(ofLink: number).faults, uniquingKeysWith: +)
    }
    result.isVerified = result.failure == nil
    return result
  }
}
