// SPDX-License-Identifier: MIT
// SWITCH: a side that wants to be reached at another address, although the old one may still answer.

extension Engine {
  // MARK: Command

  /// Has the connection leave the path that it uses, which may still carry datagrams: a relay, or the worse of two networks. The peer
  /// never does that by itself, as long as it reaches this side where it did.
  ///
  /// `Handler.pathSwitched` follows: when both sides use the new path, or when nobody has answered there for fifteen probe timeouts (of
  /// 3 s at most each), at least two seconds, after a CHALLENGE seven and at least one. Not if the connection ends before, and not for a
  /// switch that another has replaced. Until then, and if it fails, data goes where it went. What is known of the path (congestion,
  /// round trip, size of datagrams) starts again, unless only the peer's port has changed.
  ///
  /// - Parameters:
  ///   - peer: an established connection; one at rest wakes for it.
  ///   - address: another address of the peer's, which the program knows: the peer is asked there, and moved to when it answers
  ///     (`Handler.moved`). `nil`: this side's datagrams leave from another address of its own by now, and the peer is to use that.
  ///     Each datagram that asks is 1,200 bytes long; of one question four leave at most, or as many as fit a second if the path was short.
  /// - Returns: `done` when the switch has begun. `ended`: the connection is over. `refused`: its handshake is not done, it is with the
  ///   original peer, which cannot be asked, or the address has no port.
  @discardableResult
  public mutating func switchPath(_ peer: Peer, to address: Address? = nil) -> CommandResult {
    guard let slot = live(peer) else { return .ended }
    guard peers.rows[slot].phase == .established, speaksVersion1(slot), address?.port != 0 else {
      return .refused
    }
    guard !isResting(slot) || wakes(slot) else { return .ended }
    counters.pathSwitchesSent &+= 1
    let isElsewhere = address != nil && address != peers.rows[slot].address
    beginSwitch(slot, isElsewhere ? .asks : .tells, to: isElsewhere ? address?.fromAnywhere ?? .none : .none)
    return .done
  }

  private mutating func beginSwitch(_ slot: Slot, _ step: PathSwitch.Step, to target: Address) {
    peers.flows[slot].pathSwitch.begin(step, to: target, value: randomWord())
    makeReady(slot)
    markDirty(slot)
  }

  // MARK: What this side has asked for

  /// RESPONSE to the CHALLENGE, or to the SWITCH, of a switch of ours.
  mutating func switchAnswered<H: Handler>(_ slot: Slot, _ handler: inout H) {
    peers.flows[slot].pathSwitch.answered(now: now)
    let target = peers.flows[slot].pathSwitch.target
    if peers.flows[slot].pathSwitch.step == .asks {
      beginSwitch(slot, .tells, to: target)
      return
    }
    let roundTrip = peers.flows[slot].pathSwitch.roundTrip
    peers.flows[slot].pathSwitch.end()
    if target != .none, target != peers.rows[slot].address {
      settlePath(slot)
      relocate(slot, to: target, roundTrip: roundTrip, &handler)
    } else if target == .none {
      // The peer is where it was, and our way there is another.
      takePath(slot, toOtherHost: true, roundTrip: roundTrip)
    }
    guard peers.rows[slot].phase == .established else { return }
    handler.pathSwitched(peer(slot), succeeded: true, engine: &self)
  }

  mutating func expireSwitch<H: Handler>(_ slot: Slot, _ handler: inout H) {
    guard peers.rows[slot].phase == .established,
      peers.flows[slot].pathSwitch.expired(probeTimeout: pathTimeout(slot), now: now)
    else { return }
    counters.pathSwitchesFailed &+= 1
    handler.pathSwitched(peer(slot), succeeded: false, engine: &self)
  }

  // MARK: What the peer asks for

  /// - Parameter bytes: of the datagram.
  mutating func receiveSwitch<H: Handler>(
    _ body: RawSpan, _ slot: Slot, from source: Address, packetNumber: UInt64, bytes: Int, _ handler: inout H
  ) {
    guard body.byteCount >= Control.challengeLength else {
      counters.malformed &+= 1
      return
    }
    guard peers.flows[slot].path.isLatest(packetNumber, from: source) else {
      counters.pathSwitchesIgnored &+= 1
      return
    }
    let value = body.bigEndian64(0)
    if source == peers.rows[slot].address {
      counters.pathSwitchesReceived &+= 1
      peers.flows[slot].path.heeded(packetNumber)
      peers.flows[slot].path.settleHere(probeTimeout: pathTimeout(slot), now: now)
      oweResponse(slot, value, to: source)
      return
    }
    switch peers.flows[slot].path.switches(to: source, value, probeTimeout: pathTimeout(slot), now: now) {
    case .tooEarly:
      counters.pathSwitchesIgnored &+= 1
      return
    case .goesOn:
      break
    case .moves:
      follow(.move, slot, &handler)
    case .begins:
      beginValidation(slot, of: source, bytes: bytes, packetNumber: packetNumber)
      peers.flows[slot].path.serve(value)
    }
    peers.flows[slot].path.heeded(packetNumber)
    counters.pathSwitchesReceived &+= 1
  }

  /// By SWITCH the peer is about to be elsewhere.
  mutating func settlePath(_ slot: Slot) {
    let old = peers.rows[slot].address
    peers.flows[slot].path.settle(leaving: old, probeTimeout: pathTimeout(slot), now: now)
  }

  mutating func oweResponse(_ slot: Slot, _ value: UInt64, to address: Address) {
    if !peers.flows[slot].path.owe(value, to: address) { counters.challengesOverLimit &+= 1 }
  }
}
