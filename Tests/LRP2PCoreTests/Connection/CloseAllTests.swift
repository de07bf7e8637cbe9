// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// The end of all connections of an engine at once.
@Suite struct CloseAllTests {
  private static var serverAddress: Address { Address(ipv4: 0x0A00_0001, port: 1000) }

  /// One server and 200 hosts with three connections each.
  private static func network(restAfter: Nanoseconds) throws -> SimulatedNetwork<StreamHandler> {
    var network = SimulatedNetwork<StreamHandler>(seed: 1)
    var configuration = EngineConfiguration()
    configuration.restAfter = restAfter
    network.addHost(StreamHandler(bytesToSend: nil), at: serverAddress, configuration: configuration)
    let link = network.addLink(Link())
    for host in 1...200 {
      network.addHost(
        StreamHandler(bytesToSend: nil), at: Address(ipv4: 0x0A00_0100 + UInt32(host), port: 2000),
        configuration: configuration)
      network.route(from: host, to: 0, over: link)
      network.route(from: 0, to: host, over: link)
    }
    for host in 1...200 {
      for _ in 0..<3 { _ = try network.hosts[host].engine.connect(to: serverAddress, expecting: .anyone) }
      network.onHost(host) { _, _ in }
    }
    network.run(for: .seconds(5))
    #expect(network.hosts[0].handler.peers.count == 600)
    return network
  }

  @Test(arguments: [0, .milliseconds(1)] as [Nanoseconds]) func everybodyIsTold(restAfter: Nanoseconds) throws {
    var network = try Self.network(restAfter: restAfter)
    let resting = network.hosts[0].engine.peers.flows.inUse
    #expect(restAfter == 0 ? resting == 600 : resting < 100)
    network.onHost(0) { engine, _ in engine.closeAll(code: 11, reason: "going down") }
    network.run(for: .seconds(1))
    #expect(network.hosts[0].handler.closedCount == 600)
    for host in 1...200 {
      let handler = network.hosts[host].handler
      #expect(handler.closedCount == 3)
      #expect(handler.peers.values.allSatisfy { $0.closed == .remote(code: 11, reason: "going down") })
    }
  }

  /// A reactor that stops turns `transmit` until nobody is owed anything: that takes so many calls and no more.
  @Test(arguments: [0, .milliseconds(1)] as [Nanoseconds]) func itTakesBoundedCalls(restAfter: Nanoseconds) throws {
    var network = try Self.network(restAfter: restAfter)
    let now = network.now
    network.onHost(0) { engine, handler in
      engine.closeAll(code: 11)
      var batch = DatagramBatch(messages: 8, messageCapacity: 65_536)
      let sent = engine.statistics.datagramsSent
      var calls = 0
      while engine.hasReadyPeers, calls < 1000 {
        engine.transmit(into: &batch, now: now, handler: &handler)
        batch.clear()
        calls += 1
      }
      #expect(calls <= 600 / 8 + 10 && handler.closedCount == 600)
      #expect(engine.statistics.datagramsSent == sent + 600)
    }
  }

  /// Connections that rest are woken a few at a time, so that the end does not need memory for all.
  @Test func restingOnesAreWokenAFewAtATime() throws {
    var network = try Self.network(restAfter: .milliseconds(1))
    network.onHost(0) { engine, _ in
      let before = engine.peers.flows.inUse
      engine.closeAll(code: 11)
      #expect(engine.peers.flows.inUse == before && engine.hasReadyPeers)
    }
  }

  /// Whoever has not been come to yet is closed all the same: what arrives is not handed over.
  @Test func nothingIsHandedOverMeanwhile() throws {
    var network = try Self.network(restAfter: .milliseconds(1))
    for host in 1...200 {
      network.onHost(host) { engine, handler in for peer in handler.peers.keys { engine.offer(peer, upTo: 100) } }
    }
    network.onHost(0) { engine, _ in engine.closeAll(code: 11) }
    network.run(for: .seconds(1))
    #expect(network.hosts[0].handler.peers.values.allSatisfy { $0.received == 0 && $0.closed == .local(code: 11) })
    #expect(network.hosts[0].handler.violations == 0 && network.hosts[0].engine.statistics.isBalanced)
  }

  /// So is whoever's own time comes first: its end is the user's.
  @Test func theReasonIsTheUsers() throws {
    var network = try Self.network(restAfter: .milliseconds(1))
    let later = network.now + .seconds(3600)
    network.onHost(0) { engine, handler in
      engine.closeAll(code: 11)
      engine.expire(now: later, handler: &handler)
      #expect(handler.closedCount < 600)
    }
    network.run(for: .seconds(1))
    #expect(network.hosts[0].handler.closedCount == 600)
    #expect(network.hosts[0].handler.peers.values.allSatisfy { $0.closed == .local(code: 11) })
    #expect(network.hosts[0].handler.violations == 0)
  }

  @Test func dialsEndToo() throws {
    var network = SimulatedNetwork<StreamHandler>(seed: 1)
    network.addHost(StreamHandler(bytesToSend: nil), at: Self.serverAddress)
    let dialled = try network.hosts[0].engine.connect(to: Address(ipv4: 1, port: 1), expecting: .anyone)
    // Three attempts.
    network.run(for: .seconds(5))
    network.onHost(0) { engine, _ in engine.closeAll(code: 2) }
    network.run(for: .seconds(1))
    #expect(network.hosts[0].handler.peers[dialled]?.closed == .local(code: 2))
    #expect(network.hosts[0].handler.closedCount == 1 && network.hosts[0].engine.statistics.peers == 0)
  }
}
