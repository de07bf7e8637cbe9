// SPDX-License-Identifier: MIT
// A dial, as the initiator has it: attempts to one address or several, each under an id and an ephemeral key of its own, as the original
// takes a repeated message 1 for message 3. All stay open, and the first message 2 wins; the user's handle is that of the first attempt,
// which keeps what is known of the dial. What ends it, and what the network says of it, is in `Engine+DialEnds`.

extension Engine {
  /// Attempts to one address that time brings, besides a short one and one after a fault.
  static var mostTimedAttempts: Int { 5 }
  static var mostCookieAttempts: Int { 5 }
  /// Attempts of one dial to all of its addresses, but for the first one to each and those with a cookie. Each has a slot, and the
  /// slots are for connections.
  private static var mostAttempts: Int { 24 }
  /// When a second attempt follows the first: nothing has answered for three times the round trip that is expected.
  private var firstRetry: Nanoseconds {
    max(RoundTripEstimate(expected: configuration.initialRoundTrip).initialProbeTimeout, Self.shortestRetry)
  }
  /// All attempts of a dial take some seconds, so that a moment without a network is not the end of it.
  private static var shortestRetry: Nanoseconds { .milliseconds(250) }
  /// When a short message 1 follows one whose length the path is not known to carry.
  private static var shortRetry: Nanoseconds { .milliseconds(200) }
  /// When the next address is tried (RFC 8305, section 5).
  static var nextAddress: Nanoseconds { .milliseconds(250) }

  /// A new dial; `transmit` sends its message 1.
  mutating func startDialling(
    _ slot: Slot, _ targets: [DialTarget], expecting keys: PeerKeys, versions: VersionPolicy
  ) {
    counters.handshakesStarted &+= 1
    let address = peers.rows[slot].address
    writeMessage1(
      slot, expecting: keys, versions: versions, token: (randomWord(), randomWord()),
      cookie: dialler.cookies[address], length: firstLength(to: address))
    peers.handshakes[slot].targets = targets
    if targets.contains(where: { $0.end == nil }) {
      sendMessage1(slot)
    } else {
      scheduleDial(slot)
    }
  }

  /// The longest message 1, or as long as the host is known to take.
  private func firstLength(to address: Address) -> Int {
    min(dialler.lengths.length(to: address, now: now) ?? .max, configuration.maximumDatagram, 1400)
  }

  /// Message 1 of a dial or of one more attempt leaves with the next batch.
  private mutating func sendMessage1(_ slot: Slot) {
    peers.rows[slot].owesHandshake = true
    makeReady(slot)
  }

  /// Message 1 has been placed: from here on the dial has a clock.
  mutating func message1Left(_ slot: Slot) {
    peers.handshakes[slot].sentAt = now
    guard peers.handshakes[slot].started == .never else { return }
    peers.handshakes[slot].started = now
    guard peers.handshakes[slot].firstAttempt == 0, let (_, own) = target(of: slot) else { return }
    var wait: Nanoseconds = 0
    for index in peers.handshakes[slot].targets.indices where peers.handshakes[slot].targets[index].end == nil {
      peers.handshakes[slot].targets[index].nextAttempt = now + wait
      wait += Self.nextAddress
    }
    begin(slot, own, length: peers.handshakes[slot].length)
    scheduleDial(slot)
  }

  /// The first attempt to an address is made.
  private mutating func begin(_ firstAttempt: Slot, _ index: Int, length: Int) {
    let address = peers.handshakes[firstAttempt].targets[index].address
    let isKnown = dialler.lengths.length(to: address, now: now) != nil
    scheduleNextAttempt(firstAttempt, index)
    if length > Datagram.smallestPath, !isKnown, peers.handshakes[firstAttempt].versions != .original {
      peers.handshakes[firstAttempt].targets[index].shortAttempt = now + Self.shortRetry
    }
  }

  /// Sets when the next attempt to an address follows: 1, 2, 4, 8 and 8 s after one another, and so on, where no other round trip is
  /// expected.
  private mutating func scheduleNextAttempt(_ firstAttempt: Slot, _ index: Int) {
    let timed = peers.handshakes[firstAttempt].targets[index].timed
    peers.handshakes[firstAttempt].targets[index].timed += 1
    peers.handshakes[firstAttempt].targets[index].nextAttempt =
      now + firstRetry << UInt64(min(timed, 3))
  }

  /// Has the dial looked at when the first of its addresses is due; at once when all are given up.
  mutating func scheduleDial(_ firstAttempt: Slot) {
    var earliest = Instant.never
    var isOver = true
    for target in peers.handshakes[firstAttempt].targets {
      earliest = min(earliest, target.deadline)
      if target.end == nil { isOver = false }
    }
    peers.handshakes[firstAttempt].nextAttempt = isOver ? now : earliest
    arm(firstAttempt)
  }

  /// The attempts to an address that are due.
  mutating func startDueAttempts(_ firstAttempt: Slot, _ index: Int) {
    let target = peers.handshakes[firstAttempt].targets[index]
    if target.timed == 0, target.nextAttempt <= now {
      let length = firstLength(to: target.address)
      guard addAttempt(of: firstAttempt, to: index, length: length) else {
        // Once there is a slot to spare.
        peers.handshakes[firstAttempt].targets[index].nextAttempt = now + Self.nextAddress
        return
      }
      begin(firstAttempt, index, length: length)
      return
    }
    guard min(target.nextAttempt, target.shortAttempt, target.extraAttempt) <= now else { return }
    if target.nextAttempt <= now { scheduleNextAttempt(firstAttempt, index) }
    if target.shortAttempt <= now { peers.handshakes[firstAttempt].targets[index].shortAttempt = .never }
    if target.extraAttempt <= now { peers.handshakes[firstAttempt].targets[index].extraAttempt = .never }
    // Shorter, in case the path carries no longer one. Where there have been enough, or no slot is to spare, a message goes once more.
    if target.timed < Self.mostTimedAttempts || target.extraAttempt <= now,
      addAttempt(of: firstAttempt, to: index, length: Datagram.smallestPath)
    {
      return
    }
    guard let slot = lastAttempt(of: firstAttempt, to: index) else { return }
    peers.handshakes[slot].isRepeated = true
    sendMessage1(slot)
  }

  /// The attempt of a dial whose message 1 to an address can be repeated: the newest, as it is short.
  private func lastAttempt(of firstAttempt: Slot, to index: Int) -> Slot? {
    let target = peers.handshakes[firstAttempt].targets[index]
    if target.count > 0, let slot = peers.slot(of: target.ids[target.count - 1]), peers.rows[slot].phase == .dialling {
      return slot
    }
    return peers.rows[firstAttempt].address == target.address ? firstAttempt : nil
  }

  /// The attempts of a dial to those of its addresses that are not given up, with one for each that has had none.
  private func attempts(of firstAttempt: Slot) -> Int {
    peers.handshakes[firstAttempt].targets.reduce(1) { $0 + ($1.end != nil ? 0 : $1.timed == 0 ? 1 : $1.count) }
  }

  /// One more attempt of a dial, with a message 1 of `length` bytes.
  /// - Parameter isAskedFor: by the responder, with a cookie.
  /// - Returns: false when there is no slot for it, or the address or the dial has had all.
  @discardableResult
  mutating func addAttempt(of firstAttempt: Slot, to index: Int, length: Int, isAskedFor: Bool = false) -> Bool {
    let address = peers.handshakes[firstAttempt].targets[index].address
    let target = peers.handshakes[firstAttempt].targets[index]
    guard target.hasRoom, target.timed == 0 || isAskedFor || attempts(of: firstAttempt) < Self.mostAttempts,
      let slot = allocate(.dial, address: address)
    else { return false }
    peers.rows[slot].remoteID = peers.rows[slot].connectionID
    let cookie = target.cookie ?? dialler.cookies[address]
    writeMessage1(
      slot, expecting: peers.handshakes[firstAttempt].expected, versions: peers.handshakes[firstAttempt].versions,
      token: peers.handshakes[firstAttempt].token, cookie: cookie, length: length)
    peers.handshakes[slot].firstAttempt = peers.rows[firstAttempt].connectionID
    peers.handshakes[firstAttempt].targets[index].add(peers.rows[slot].connectionID)
    if length <= Datagram.smallestPath { peers.handshakes[firstAttempt].targets[index].hasShort = true }
    sendMessage1(slot)
    return true
  }

  /// The first attempt of the dial that `slot` is an attempt of, and which of its addresses this one goes to; `nil` when the dial is
  /// decided, or has given that address up.
  func target(of slot: Slot) -> (firstAttempt: Slot, index: Int)? {
    let firstAttempt = peers.slot(of: peers.handshakes[slot].firstAttempt) ?? slot
    guard peers.rows[firstAttempt].phase == .dialling, peers.handshakes.contains(firstAttempt) else { return nil }
    let address = peers.rows[slot].address
    let targets = peers.handshakes[firstAttempt].targets
    guard let index = targets.firstIndex(where: { $0.address == address && $0.end == nil }) else { return nil }
    return (firstAttempt, index)
  }

  /// A wanted message 2 has come for this attempt: it is the connection from here on, whatever follows; the others
  /// end. What the user has asked for so far, and the user's handle, move to its slot.
  mutating func takeOver(_ slot: Slot) {
    guard let firstAttempt = peers.slot(of: peers.handshakes[slot].firstAttempt),
      peers.rows[firstAttempt].phase == .dialling
    else {
      dropAttempts(of: slot, but: slot)
      peers.flows[slot].mtu = PathMTU(maximum: configuration.maximumDatagram, start: peers.handshakes[slot].length)
      return
    }
    peers.handshakes[slot].timeout = peers.handshakes[firstAttempt].timeout
    dropAttempts(of: firstAttempt, but: slot)
    schedule.cancel(firstAttempt, &peers)
    peers.exchangeFlows(slot, firstAttempt)
    peers.remoteKeys[slot] = peers.remoteKeys[firstAttempt]
    peers.headers[slot].handle = peers.rows[firstAttempt].connectionID
    peers.flows[slot].mtu = PathMTU(maximum: configuration.maximumDatagram, start: peers.handshakes[slot].length)
    var payload = ProgramBytes()
    swap(&payload, &peers.handshakes[firstAttempt].payload)
    swap(&payload, &peers.handshakes[slot].payload)
    peers.dropHandshake(firstAttempt)
    peers.rows[firstAttempt].remoteID = peers.rows[slot].connectionID
    peers.handshakes[slot].firstAttempt = 0
    move(firstAttempt, .overtaken)
  }

  /// Frees the other attempts of a dial that is decided.
  mutating func dropAttempts(of firstAttempt: Slot, but kept: Slot) {
    guard peers.handshakes.contains(firstAttempt) else { return }
    var targets: [DialTarget] = []
    swap(&targets, &peers.handshakes[firstAttempt].targets)
    for target in targets {
      for index in 0..<target.count {
        guard let slot = peers.slot(of: target.ids[index]), slot != kept, peers.rows[slot].phase == .dialling else {
          continue
        }
        move(slot, .abandoned)
        move(slot, .lingered)
        free(slot)
      }
    }
  }
}
