// SPDX-License-Identifier: MIT
import LRP2PCore

/// One thing about a link that changes at a moment (`SimulatedNetwork.schedule`).
public enum LinkChange: Sendable {
  /// Bits per second of UDP payload; 0 is unlimited. What waits goes on at the new rate.
  case rate(UInt64)
  /// Nanoseconds, of what leaves from then on.
  case delay(Nanoseconds)
  /// Nanoseconds, of what leaves from then on.
  case jitter(Nanoseconds)
  /// The probability, 0 … 1, of what leaves from then on.
  case loss(Double)
  /// Bytes that wait at most.
  case buffer(Int)
  /// What leaves is lost; what waits is not kept back.
  case down(Bool)
  /// What it does with ECN marks.
  case marks(Link.Marks)
  /// Nothing leaves, and nothing is lost that the queue has room for.
  case halted(Bool)

  func apply(to link: inout Link) {
    switch self {
    case .rate(let rate): link.rate = rate
    case .delay(let delay): link.delay = delay
    case .jitter(let jitter): link.jitter = jitter
    case .loss(let loss): link.loss = loss
    case .buffer(let bytes): link.buffer = bytes
    case .down(let isDown): link.isDown = isDown
    case .marks(let marks): link.marks = marks
    case .halted(let isHalted): link.isHalted = isHalted
    }
  }
}

/// What is going to change about a link. As all of it is known ahead, a datagram can be told when it will leave at the moment at
/// which it takes its place in the queue.
struct LinkSchedule {
  private var changes: [(at: Instant, change: LinkChange)] = []
  /// Those before it have come.
  private var next = 0

  /// Nothing will change any more.
  var isOver: Bool { next == changes.count }

  /// Adds changes, in any order; of two at the same moment the one that was added first comes first.
  mutating func add(_ added: [(at: Instant, change: LinkChange)]) {
    changes.removeFirst(next)
    next = 0
    for entry in added {
      let place = changes.lastIndex { $0.at <= entry.at }.map { $0 + 1 } ?? 0
      changes.insert(entry, at: place)
    }
    var isHalted = false
    for entry in changes { if case .halted(let value) = entry.change { isHalted = value } }
    precondition(!isHalted, "a link is halted for ever")
  }

  /// Changes the link as it is at `now`.
  mutating func pass(to now: Instant, _ link: inout Link) { Self.pass(changes, &next, to: now, &link) }

  /// How the link will be.
  func link(_ link: Link, at time: Instant) -> Link {
    var (link, next) = (link, next)
    Self.pass(changes, &next, to: time, &link)
    return link
  }

  private static func pass(
    _ changes: [(at: Instant, change: LinkChange)], _ next: inout Int, to time: Instant, _ link: inout Link
  ) {
    while next < changes.count, changes[next].at <= time {
      changes[next].change.apply(to: &link)
      next += 1
    }
  }

  /// When the last of so many bytes has left that begin to leave at `start`.
  func end(of bytes: Int, over link: Link, from start: Instant) -> Instant {
    var (link, next, time) = (link, next, start)
    var left = Double(bytes) * 8e9
    Self.pass(changes, &next, to: time, &link)
    while true {
      let change = next < changes.count ? changes[next].at : .never
      if !link.isHalted {
        guard link.rate > 0 else { return time }
        let end = time + UInt64(left / Double(link.rate))
        if end <= change { return end }
        left -= Double(change - time) * Double(link.rate)
      }
      time = change
      Self.pass(changes, &next, to: time, &link)
    }
  }

  /// Bytes that leave between two moments, as long as there are some.
  func bytes(that link: Link, carriesFrom start: Instant, to end: Instant) -> Double {
    var (link, next, time) = (link, next, start)
    var carried = 0.0
    Self.pass(changes, &next, to: time, &link)
    while time < end {
      let change = min(next < changes.count ? changes[next].at : .never, end)
      if !link.isHalted { carried += Double(change - time) * Double(link.rate) / 8e9 }
      time = change
      Self.pass(changes, &next, to: time, &link)
    }
    return carried
  }
}
