// SPDX-License-Identifier: MIT
import LRP2PCore

/// A link and its state.
package struct LinkState: ~Copyable {
  package private(set) var link: Link
  private var schedule = LinkSchedule()
  package internal(set) var counters = LinkCounters()
  /// When it has carried what it was given so far.
  package private(set) var freeAt: Instant = 0
  private var isBursting = false
  private var newestArrival: Instant = 0
  /// What the policer lets pass at `policedAt`, bytes.
  private var tokens: Double
  private var policedAt: Instant = 0
  // CoDel.
  private var aboveSince: Instant = 0
  private var isDropping = false
  private var dropNext: Instant = 0
  private var dropCount: UInt64 = 0

  package init(_ link: Link) {
    self.link = link
    tokens = Double(link.policer?.burst ?? 0)
  }

  /// How it is at `now`.
  package func link(at now: Instant) -> Link { schedule.isOver ? link : schedule.link(link, at: now) }

  mutating func change(to link: Link, now: Instant) {
    schedule.pass(to: now, &self.link)
    if self.link.policer == nil { tokens = Double(link.policer?.burst ?? 0) }
    self.link = link
  }

  package mutating func plan(_ changes: [(at: Instant, change: LinkChange)]) { schedule.add(changes) }

  /// The ECN bits of a datagram that has passed.
  func ecn(_ bits: UInt8, isMarked: Bool) -> UInt8 {
    switch link.marks {
    case .kept, .dropped: isMarked ? 3 : bits
    case .removed: 0
    case .changed: bits == 0 ? 0 : 1
    }
  }

  /// Where a datagram ends.
  package enum Fate {
    case dropped
    case arrives(at: Instant, isMarked: Bool, isCorrupted: Bool, copyAt: Instant?)
  }

  /// Takes a datagram of `bytes`.
  package mutating func carry(_ bytes: Int, knowsECN: Bool, random: inout SeededRandom, now: Instant) -> Fate {
    counters.datagrams += 1
    counters.bytes += UInt64(bytes)
    if !schedule.isOver { schedule.pass(to: now, &link) }
    // What a schedule brings is told when the datagram leaves.
    if link.isDown, schedule.isOver {
      counters.whileDown += 1
      return .dropped
    }
    if bytes > link.largestDatagram {
      counters.tooLong += 1
      return .dropped
    }
    if knowsECN, link.marks == .dropped {
      counters.markedDropped += 1
      return .dropped
    }
    if let policer = link.policer, !passes(policer, bytes, now: now) {
      counters.policed += 1
      return .dropped
    }
    guard let (departure, isMarked) = wait(bytes, knowsECN: knowsECN, now: now) else {
      counters.overflowed += 1
      counters.overflowedBytes += UInt64(bytes)
      return .dropped
    }
    let leaving = schedule.isOver ? link : schedule.link(link, at: departure)
    if leaving.isDown {
      counters.whileDown += 1
      return .dropped
    }
    return leave(bytes, over: leaving, at: departure, isMarked: isMarked, random: &random)
  }

  /// Takes its place in the queue.
  /// - Returns: when its last bit leaves; `nil` when there was no room.
  @inline(__always)
  private mutating func wait(_ bytes: Int, knowsECN: Bool, now: Instant) -> (departure: Instant, isMarked: Bool)? {
    var departure = now
    var isMarked = false
    counters.queued += 1
    if link.rate > 0 || (!schedule.isOver && (freeAt > now || link.isHalted)) {
      let start = max(freeAt, now)
      let waiting =
        schedule.isOver
        ? Double(start - now) * Double(link.rate) / 8e9 : schedule.bytes(that: link, carriesFrom: now, to: start)
      if waiting > Double(link.buffer) || (link.queue == .coDel && coDelDrops(start - now, now: start)) {
        counters.queued -= 1
        return nil
      }
      if knowsECN, waiting > Double(link.ecnThreshold) {
        isMarked = true
        counters.marked += 1
      }
      departure =
        schedule.isOver
        ? start + UInt64(Double(bytes) * 8e9 / Double(link.rate)) : schedule.end(of: bytes, over: link, from: start)
      freeAt = departure
      counters.queuedTime += start - now
    }
    if link.aggregation > 0 { departure = (departure + link.aggregation - 1) / link.aggregation * link.aggregation }
    return (departure, isMarked)
  }

  /// What becomes of it on the way, over the link as it is by then.
  @inline(__always)
  private mutating func leave(
    _ bytes: Int, over link: Link, at departure: Instant, isMarked: Bool, random: inout SeededRandom
  ) -> Fate {
    // What is lost has taken its time on the wire.
    if random.happens(link.loss) {
      counters.lost += 1
      return .dropped
    }
    if link.burstBegins > 0 {
      isBursting = isBursting ? !random.happens(link.burstEnds) : random.happens(link.burstBegins)
      if isBursting, random.happens(link.burstLoss) {
        counters.lostInBursts += 1
        return .dropped
      }
    }
    let isCorrupted = random.happens(link.corruption)
    if isCorrupted { counters.corrupted += 1 }
    var arrival = departure + link.delay + random.below(link.jitter)
    if link.keepsOrder { arrival = max(arrival, newestArrival) }
    if arrival < newestArrival { counters.reordered += 1 }
    newestArrival = max(newestArrival, arrival)
    counters.delivered += UInt64(bytes)
    var copyAt: Instant?
    if random.happens(link.duplication) {
      counters.duplicated += 1
      let late = random.below(link.copyDelay)
      if late > link.jitter { counters.copiedLate += 1 }
      copyAt = departure + link.delay + random.below(link.jitter) + late
    }
    return .arrives(at: arrival, isMarked: isMarked, isCorrupted: isCorrupted, copyAt: copyAt)
  }

  /// Whether a datagram finds its tokens.
  private mutating func passes(_ policer: Policer, _ bytes: Int, now: Instant) -> Bool {
    let grown = Double(max(now, policedAt) - policedAt) * Double(policer.rate) / 8e9
    tokens = min(tokens + grown, Double(policer.burst))
    policedAt = max(now, policedAt)
    guard tokens >= Double(bytes) else { return false }
    tokens -= Double(bytes)
    return true
  }

  /// RFC 8289, section 5.
  private mutating func coDelDrops(_ sojourn: Nanoseconds, now: Instant) -> Bool {
    let interval: Nanoseconds = .milliseconds(100)
    guard sojourn >= .milliseconds(5) else {
      aboveSince = 0
      isDropping = false
      return false
    }
    if aboveSince == 0 { aboveSince = now + interval }
    if isDropping {
      guard now >= dropNext else { return false }
      dropCount += 1
    } else {
      guard now >= aboveSince else { return false }
      isDropping = true
      dropCount = dropCount > 2 && now < dropNext + 8 * interval ? dropCount - 2 : 1
      dropNext = now
    }
    dropNext += UInt64(Double(interval) / Double(dropCount).squareRoot())
    return true
  }
}
