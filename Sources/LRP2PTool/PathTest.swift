// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// What the path to a peer is like: dials the name as every command does, and each of its addresses for itself; then sends PINGs over the
/// first connection, while the engine looks for the largest datagram that arrives.
package struct PathTest: ReceivingHandler {
  package struct Plan: Sendable {
    /// PINGs, up to 65,535, and the time between two.
    package var count = 100
    package var interval: Nanoseconds = .milliseconds(20)

    package init() {}
  }

  private struct Dial {
    let address: Address?
    var peer: Peer?
    var startedAt: Instant
    var took: Nanoseconds?
    /// Why it is over; `nil` as long as it is not, or where this side has ended it.
    var reason: CloseReason?
    var isOver = false
  }

  /// What this side takes, so that only the peer and the path bound it.
  package static var longestDatagram: Int { Datagram.maximumLength }
  /// Each address is dialled at most so long: a dead one does not hold up the rest.
  package static let addressTimeout: Nanoseconds = .seconds(4)
  /// An answer that takes longer is lost.
  private static let patience: Nanoseconds = .seconds(2)
  /// The search for the largest datagram takes a few probe timeouts for each size that fails.
  private static let searchTime: Nanoseconds = .seconds(10)
  private static let tick: UInt64 = 1
  private static let look: UInt64 = 2

  private let name: String
  private let plan: Plan
  /// The name's own, and then one for each address, if there are several.
  private var dials: [Dial] = []
  private var sentAt: [Instant] = []
  private var trips: [Double] = []
  /// When what has not come is lost, and when the search for the largest datagram is given up.
  private var (pingsEnd, searchEnd): (Instant, Instant) = (.never, .never)
  private var isInterrupted = false
  private var key: PublicKey?
  private var address: Address?
  private var size = PathSize()

  package init(name: String, plan: Plan = Plan()) {
    self.name = name
    self.plan = plan
  }

  /// - Parameter dial: begins a dial to these addresses, with no other time-out than its own if the second is `nil`.
  package mutating func start<Failure: Error>(
    _ addresses: [Address], engine: inout Engine,
    dial: (inout Engine, [Address], Nanoseconds?) throws(Failure) -> Peer
  ) throws(Failure) {
    let peer = try dial(&engine, addresses, nil)
    dials = [Dial(address: nil, peer: peer, startedAt: currentInstant())]
    guard addresses.count > 1 else { return }
    for address in addresses {
      let peer = try dial(&engine, [address], Self.addressTimeout)
      dials.append(Dial(address: address, peer: peer, startedAt: currentInstant()))
    }
  }

  // MARK: Callbacks

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    guard let index = dials.firstIndex(where: { $0.peer == peer }) else { return }
    dials[index].took = currentInstant() - dials[index].startedAt
    guard index == 0 else {
      dials[index].isOver = true
      engine.close(peer, code: 0)
      return
    }
    note(peer, engine)
    searchEnd = engine.now + Self.searchTime
    engine.setTimer(at: searchEnd, token: Self.look)
    ping(peer, &engine)
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  package mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) {
    let index = Int(token) - 1
    guard peer == dials[0].peer, sentAt.indices.contains(index), sentAt[index] != 0 else { return }
    trips.append(Double(currentInstant() - sentAt[index]) / 1000)
    sentAt[index] = 0
  }

  package mutating func timerFired(token: UInt64, engine: inout Engine) {
    guard token == Self.tick, let peer = dials[0].peer, !dials[0].isOver, !isInterrupted else { return }
    if sentAt.count < plan.count { ping(peer, &engine) }
  }

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard let index = dials.firstIndex(where: { $0.peer == peer }), !dials[index].isOver else { return }
    dials[index].isOver = true
    dials[index].reason = reason
  }

  private mutating func ping(_ peer: Peer, _ engine: inout Engine) {
    sentAt.append(currentInstant())
    engine.ping(peer, token: UInt16(sentAt.count))
    guard sentAt.count == plan.count else {
      engine.setTimer(at: engine.now + plan.interval, token: Self.tick)
      return
    }
    pingsEnd = engine.now + Self.patience
    engine.setTimer(at: pingsEnd, token: Self.look)
  }

  private mutating func note(_ peer: Peer, _ engine: borrowing Engine) {
    guard let statistics = engine.statistics(of: peer) else { return }
    (key, address) = (statistics.key, statistics.address)
    if let found = engine.pathSize(of: peer) { size = found }
  }

  // MARK: The end

  /// Control-C: what is known by now is the result.
  package mutating func interrupt() { isInterrupted = true }

  /// Asked between turns. Once it is over, the connection is closed.
  package mutating func isDone(_ engine: inout Engine) -> Bool {
    guard !dials[0].isOver, let peer = dials[0].peer else { return dials.allSatisfy(\.isOver) || isInterrupted }
    guard dials[0].took != nil else {
      if isInterrupted { engine.close(peer, code: 0) }
      return isInterrupted
    }
    note(peer, engine)
    let isAnswered = trips.count == plan.count || engine.now >= pingsEnd
    let isSearched = size.isSearched || engine.now >= searchEnd
    guard isInterrupted || isAnswered && isSearched && dials.dropFirst().allSatisfy(\.isOver) else { return false }
    dials[0].isOver = true
    engine.close(peer, code: 0)
    return true
  }

  package var wasAnswered: Bool { !trips.isEmpty }

  /// How the command ends, where not well.
  package var failure: (text: String, status: Int32)? {
    guard trips.isEmpty else { return nil }
    if let reason = dials[0].reason {
      let end = DialEnd(reason, of: name, wasAnswered: dials[0].took != nil)
      return (end.text, end.status)
    }
    return ("\(name) answered none of \(sentAt.count)", 1)
  }

  // MARK: What was found

  package var findings: [Doctor.Finding] {
    let measured = dials[0].took == nil ? [] : [roundTrip, loss, datagram]
    // It was there, and has gone since.
    let end = dials[0].took != nil && dials[0].reason != nil ? [missing("connection", dials[0])] : []
    return [dialled] + dials.dropFirst().map(reached) + measured + end
  }

  private var dialled: Doctor.Finding {
    guard let took = dials[0].took else {
      return missing("dial", dials[0])
    }
    var finding = Doctor.Finding(
      check: "dial", status: .good, found: "\(Self.milliseconds(took / 1000)) ms",
      advice: "\(address.map { "\($0)" } ?? name) answers, key \(key.map { "\($0)" } ?? "")",
      figures: [("handshake_us", took / 1000)])
    finding.texts = [("address", "\(address ?? .none)"), ("key", "\(key.map { "\($0)" } ?? "")")]
    return finding
  }

  private func reached(_ dial: Dial) -> Doctor.Finding {
    let address = dial.address.map { "\($0)" } ?? ""
    guard let took = dial.took else {
      var finding = missing("address", dial)
      finding.texts = [("address", address)]
      return finding
    }
    var finding = Doctor.Finding(
      check: "address", status: .good, found: "\(address)",
      advice: "answers after \(Self.milliseconds(took / 1000)) ms",
      figures: [("handshake_us", took / 1000)])
    finding.texts = [("address", address)]
    return finding
  }

  private func missing(_ check: String, _ dial: Dial) -> Doctor.Finding {
    let text = dial.reason.map {
      DialEnd($0, of: dial.address.map { "\($0)" } ?? name, wasAnswered: dial.took != nil).text
    }
    let advice =
      switch dial.reason {
      case .handshakeTimeout: "nothing may run there, or a firewall may drop UDP on the way"
      case .unreachable(.portUnreachable): "start the listener there, or look at the port that it has printed"
      case .unreachable(.notPermitted): "look at the firewall and the routes of this host, then of those on the way"
      case .unreachable(.hostUnreachable), .unreachable(.noRoute): "look at this host's routes and addresses"
      case .unreachable(.tooLarge): "a tunnel on the way needs an MTU of 1248 or more"
      default: "docs/errors.md says what it means"
      }
    return Doctor.Finding(check: check, status: .missing, found: text ?? "not decided", advice: advice)
  }

  private var roundTrip: Doctor.Finding {
    guard !trips.isEmpty else {
      return Doctor.Finding(check: "round_trip", status: .missing, found: "unknown", advice: "no PING was answered")
    }
    let sorted = trips.sorted()
    let three = [sorted[0], sorted[sorted.count / 2], sorted[sorted.count - 1]].map { UInt64($0.rounded()) }
    return Doctor.Finding(
      check: "round_trip", status: .good, found: three.map(Self.milliseconds).joined(separator: "/") + " ms",
      advice: "shortest, median, longest",
      figures: [("min_us", three[0]), ("median_us", three[1]), ("max_us", three[2])])
  }

  private var loss: Doctor.Finding {
    let (sent, received) = (sentAt.count, trips.count)
    let lost = sent - received
    return Doctor.Finding(
      check: "loss", status: lost == 0 ? .good : received == 0 ? .missing : .limited,
      found: "\(lost) of \(sent) lost",
      advice: lost == 0
        ? "nothing to do" : "lost data is sent again; with BBR, the default, it costs little of the rate",
      figures: [("sent", UInt64(sent)), ("received", UInt64(received))])
  }

  private var datagram: Doctor.Finding {
    let figures = [("datagram_bytes", UInt64(size.datagram)), ("limit_bytes", UInt64(size.limit))]
    if size.datagram >= size.limit {
      return Doctor.Finding(
        check: "datagram", status: .good, found: "\(size.datagram) bytes", advice: "as long as the peer takes them",
        figures: figures)
    }
    return Doctor.Finding(
      check: "datagram", status: .limited, found: "\(size.datagram) of \(size.limit) bytes",
      advice: size.isSearched
        ? "the path carries none that are much longer, as in a tunnel" : "the search was not over",
      figures: figures)
  }

  private static func milliseconds(_ microseconds: UInt64) -> String {
    Rate.decimal(Double(microseconds) / 1000, places: 3)
  }
}
