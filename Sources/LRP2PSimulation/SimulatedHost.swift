// SPDX-License-Identifier: MIT
import LRP2PCore

/// One host of a simulated network.
package struct SimulatedHost<H: Handler>: ~Copyable {
  package var engine: Engine
  package var handler: H
  package let suite: ClearSuite
  /// What its engine was made of.
  let configuration: EngineConfiguration
  let secretKey: SecretKey
  var address: Address
  var clockAhead: Nanoseconds = 0
  /// It may have something to send.
  var isDirty = true
  var inbox = Inbox()
  /// How long a datagram takes to leave, and how long those may take that stand in its socket before the engine is asked for
  /// no more; 0 is no time at all.
  var sendingTime: Nanoseconds = 0
  var socketTime: Nanoseconds = 0
  /// When all that it has been given so far has left.
  private var hasLeftAt: Instant = 0
  var datagramsSent: UInt64 = 0
  var datagramsReceived: UInt64 = 0
  /// Bytes in flight before the call of `transmit`, by slot.
  private var inFlight: [UInt64] = []
  /// Times that a call has sent more than the congestion window lets out.
  package private(set) var windowViolations = 0

  init(
    _ handler: H, suite: ClearSuite, configuration: EngineConfiguration, secretKey: SecretKey, seed: UInt64,
    address: Address, now: Instant
  ) {
    engine = Engine(configuration: configuration, secretKey: secretKey, suite: suite, seed: seed, now: now)
    self.handler = handler
    self.suite = suite
    self.configuration = configuration
    self.secretKey = secretKey
    self.address = address
  }

  /// Its process ends without a word, and another takes its place.
  mutating func restart(_ handler: H, seed: UInt64, now: Instant) {
    engine = Engine(configuration: configuration, secretKey: secretKey, suite: suite, seed: seed, now: now)
    self.handler = handler
    isDirty = true
  }

  mutating func receive(_ batch: inout DatagramBatch, now: Instant) {
    engine.receive(&batch, now: now, handler: &handler)
  }

  mutating func expire(now: Instant) { engine.expire(now: now, handler: &handler) }

  mutating func transmit(into batch: inout DatagramBatch, now: Instant) {
    engine.transmit(into: &batch, now: now, handler: &handler)
  }

  /// When its socket has room for a batch.
  var mayTransmitAt: Instant { sendingTime == 0 ? 0 : max(hasLeftAt, socketTime) - socketTime }

  /// When a datagram that is given to its socket now leaves.
  mutating func departure(now: Instant) -> Instant {
    guard sendingTime > 0 else { return now }
    hasLeftAt = max(hasLeftAt, now) + sendingTime
    return hasLeftAt
  }

  mutating func noteInFlight() {
    inFlight.removeAll(keepingCapacity: true)
    for slot in Slot.all(engine.peers.slots) {
      inFlight.append(engine.peers.flows.contains(slot) ? engine.peers.flows[slot].send.bytesInFlight : .max)
    }
  }

  /// Beside what the window lets out, a call may send one segment that reaches beyond it, and two probes. A window that has
  /// just become smaller may be exceeded, but not by what is sent after that.
  mutating func checkInFlight() {
    for slot in Slot.all(inFlight.count) where inFlight[slot.index] != .max && engine.peers.flows.contains(slot) {
      let now = engine.peers.flows[slot].send.bytesInFlight
      guard now > inFlight[slot.index] else { continue }
      let allowed = max(engine.peers.flows[slot].congestion.window, inFlight[slot.index])
      if now > allowed + 3 * Self.longestSegment { windowViolations += 1 }
    }
  }

  private static var longestSegment: UInt64 { 3200 }

  /// Whether an id is that of one of its connections: the engine's own look-up is not asked, as it is what a churn doubts.
  func has(_ id: UInt64) -> Bool {
    let slot = Slot(Int(id & 0xFF_FFFF))
    return slot.index < engine.peers.slots && engine.peers.rows[slot].connectionID == id
      && engine.peers.rows[slot].phase != .free
  }

  /// Whether the host has dialled the address, or has proof that a peer receives there.
  func trusts(_ address: Address) -> Bool {
    for slot in Slot.all(engine.peers.slots) where engine.peers.rows[slot].address == address {
      switch engine.peers.rows[slot].phase {
      case .dialling, .established, .closing, .draining, .lingering, .superseded: return true
      case .free, .halfOpen: break
      }
    }
    return false
  }

  mutating func reach<Result>(_ body: (inout Engine, inout H) throws -> Result) rethrows -> Result {
    try body(&engine, &handler)
  }
}
