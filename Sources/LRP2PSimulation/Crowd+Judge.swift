// SPDX-License-Identifier: MIT
import LRP2PCore

extension Crowd {
  /// The bar: of its fair share, for every honest peer.
  private static var leastShare: Double { 0.5 }

  mutating func judge() -> ScenarioResult {
    var result = ScenarioResult()
    result.traceHash = network.traceHash
    result.datagrams = network.datagrams
    result.completion = Double(network.now - start) / 1e9
    result.honestPeers = members.count
    result.hostilePeers = attackers.count
    result.hostileDatagrams = attackerHosts.map(\.sent).reduce(0, +)
    var checks = Checks()
    checks.require(!isBeyondBounds, "a hostile peer's receive window took \(mostWindowBytes) bytes")
    judgeShares(&result, &checks)
    judgeNetwork(&result, &checks)
    judgeStreams(&checks)
    result.faults = faults
    for number in 0..<2 * (network.hostCount - 1) {
      result.faults.merge(network.counters(ofLink: number).faults, uniquingKeysWith: +)
    }
    result.invariantsChecked = checks.count
    result.failure = checks.failure
    result.isVerified = checks.failure == nil
    return result
  }

  // MARK: Shares

  /// Up to which level the server's service suffices for all: what it has sent, honest peers as many as `weight` of them
  /// with as much to take as they can get, hostile ones with what each has got.
  private func level(total: Double, weight: Double) -> Double {
    let hostile = hostileGot.map(Double.init).filter { $0 > 0 }.sorted()
    var left = total + hostile.reduce(0, +)
    var takers = weight + Double(hostile.count)
    for got in hostile {
      guard got < left / takers else { break }
      left -= got
      takers -= 1
    }
    return left / takers
  }

  private mutating func judgeShares(_ result: inout ScenarioResult, _ checks: inout Checks) {
    let whole = Double(Self.interval)
    var (total, weight) = (0.0, 0.0)
    var (echoes, roundTrips) = (0.0, 0.0)
    for member in members {
      switch member.request.role {
      case .download:
        total += Double(member.got)
        weight += 1
      case .session:
        total += Double(member.got)
        weight += Double(member.wanted) / whole
      case .echo:
        echoes += 1
        roundTrips += Double(member.got)
      case .upload, .idle: break
      }
    }
    let level = level(total: total, weight: weight)
    var (sum, squares) = (0.0, 0.0)
    var least: [CrowdRole: Double] = [:]
    var worst = -1
    for number in members.indices {
      let member = members[number]
      let got = Double(member.got)
      let share: Double
      switch member.request.role {
      case .download: share = got / level
      case .session:
        // Too short to be told apart from chance.
        guard member.wanted >= Self.interval / 4 else { continue }
        share = got / (level * Double(member.wanted) / whole)
      case .upload: share = Double(uploadedGot[number]) / max(got, 1)
      case .echo: share = got / max(roundTrips / echoes, 1)
      case .idle: continue
      }
      members[number].share = share
      if share < least[member.request.role, default: .infinity] { least[member.request.role] = share }
      if worst < 0 || share < members[worst].share { worst = number }
      if member.request.role == .download {
        sum += share
        squares += share * share
      }
    }
    let downloads = Double(members.count { $0.request.role == .download })
    result.jainIndex = sum * sum / (downloads * squares)
    result.goodput = total * 8e3 / whole
    for host in 1...honestHosts {
      for stream in network.hosts[host].handler.streams where stream.connectedAt > 0 {
        result.slowestHandshake = max(result.slowestHandshake, Double(stream.connectedAt - stream.dialledAt) / 1e9)
      }
    }
    for (role, share) in least { result.leastShares["\(role)"] = share }
    guard worst >= 0 else { return }
    result.leastShare = members[worst].share
    checks.require(
      members[worst].share >= Self.leastShare,
      "honest peer \(worst) (\(members[worst].request.role)) has had \(members[worst].share) of its fair share")
  }

  // MARK: Everything else

  private func judgeNetwork(_ result: inout ScenarioResult, _ checks: inout Checks) {
    checks.require(!isUnquiet, "a connection has not ended")
    checks.require(network.amplifications == 0, "more than three times what came from an unproved address went there")
    // Each host once for what reaches it or falls due, at most once a tick.
    let events = 4 * (network.datagrams + result.hostileDatagrams) + UInt64(members.count + attackers.count) * 200
    checks.require(network.wakes < events, "\(network.wakes) wake-ups: a timer storm")
    for host in 0...honestHosts {
      checks.require(
        network.hosts[host].handler.mismatches == 0, "bytes arrived that were not the bytes that were sent")
      checks.require(network.hosts[host].handler.violations == 0, "callbacks contradict each other")
      checks.require(network.hosts[host].handler.openConnections == 0, "a connection has not ended for its user")
      checks.require(network.hosts[host].handler.moves == 0, "an honest peer was taken to be elsewhere")
      checks.require(network.hosts[host].suite.reusedPacketNumbers == 0, "a packet number was used twice")
      let statistics = network.hosts[host].engine.statistics
      checks.require(statistics.isBalanced, "a datagram is neither accepted nor held nor refused")
      checks.require(statistics.poolBytesInUse == 0, "memory of the receive pool is not given back")
      result.probeTimeouts += statistics.probeTimeouts
    }
    checks.require(network.hosts[0].suite.openedTwice == 0, "a datagram was taken twice")
    let refused = network.hosts[0].engine.statistics.datagramsRefused
    checks.require(refused >= refusable, "\(refusable) datagrams had to be refused, \(refused) were")
    let slots = network.hosts[0].engine.peers.slots
    checks.require(slots <= 2 * mostPeers + 1024, "\(slots) slots for \(mostPeers) connections")
    for host in attackerHosts where host.hostility.role != .download {
      // What it has been answered: at most one datagram for each of its own, beside what its engine has had.
      let answers = network.counters(ofLink: 2 * (host.host - 1) + 1).datagrams
      checks.require(
        answers <= host.sent + UInt64(64 * host.peers),
        "\(answers) answers to \(host.sent) datagrams of \(host.hostility.rawValue)")
    }
  }

  /// Both ends of every honest connection.
  private func judgeStreams(_ checks: inout Checks) {
    var accepted: [UInt64: Int] = [:]
    for (index, stream) in network.hosts[0].handler.streams.enumerated() where stream.isKnown {
      guard !stream.request.isHostile else { continue }
      accepted[stream.request.encoded.1] = index
    }
    for host in 1...honestHosts {
      for dialled in network.hosts[host].handler.streams {
        let name = "peer \(dialled.request.number) (\(dialled.request.role))"
        checks.require(dialled.closed == .finished, "\(name) ended: \(String(describing: dialled.closed))")
        guard let index = accepted[dialled.request.encoded.1] else {
          checks.require(false, "\(name) was not heard of")
          continue
        }
        let other = network.hosts[0].handler.streams[index]
        checks.require(other.request == dialled.request, "\(name) asked for something else")
        checks.require(other.received == dialled.offered, "\(name) sent \(dialled.offered), \(other.received) arrived")
        checks.require(dialled.received == other.offered, "\(name) got \(dialled.received) of \(other.offered)")
      }
    }
  }
}
