// SPDX-License-Identifier: MIT
import LRP2PCore

/// What one direction of a path does to datagrams. Probabilities are 0 … 1, times nanoseconds, sizes bytes.
public struct Link: Sendable {
  /// How a full queue is dealt with.
  public enum Queue: Sendable {
    /// What does not fit is dropped.
    case dropTail
    /// RFC 8289, with its recommended target and interval; in a queue of a constant rate, how long a datagram will have
    /// waited is known when it comes.
    case coDel
  }

  /// What becomes of datagrams that are marked as ECN-capable.
  public enum Marks: Sendable {
    /// They arrive as they were sent.
    case kept
    /// The marks are removed, or become ECT(1): misconfigured routers do either.
    case removed, changed
    /// The datagrams are dropped.
    case dropped
  }

  /// One way, in nanoseconds.
  public var delay: Nanoseconds = .milliseconds(5)
  /// Added at random, up to this: it reorders.
  public var jitter: Nanoseconds = 0
  /// How probable it is that a datagram is lost, independent of others.
  public var loss = 0.0
  /// Losses in bursts (Gilbert and Elliott): how probable it is, at each datagram, that a burst begins, that it ends, and
  /// that a datagram is lost in it.
  public var burstBegins = 0.0
  /// The probability, for each datagram, that a burst of loss ends.
  public var burstEnds = 0.25
  /// The part of the datagrams that is lost within a burst.
  public var burstLoss = 0.5
  /// The probability that a datagram arrives twice.
  public var duplication = 0.0
  /// Added to a copy's delay at random, up to this: somebody repeats what he has seen some time ago.
  public var copyDelay: Nanoseconds = 0
  /// How probable it is that a bit is turned over.
  public var corruption = 0.0
  /// Bits per second of UDP payload; 0 is unlimited.
  public var rate: UInt64 = 0
  /// Bytes that wait at most when the rate is exceeded.
  public var buffer = 1 << 20
  /// How its queue is managed.
  public var queue = Queue.dropTail
  /// Datagrams that wait behind so many bytes are marked, if their sender knows ECN.
  public var ecnThreshold = Int.max
  /// What it does with ECN marks.
  public var marks = Marks.kept
  /// Longer datagrams vanish.
  public var largestDatagram = Int.max
  /// Nothing passes.
  public var isDown = false
  /// Whether datagrams arrive in the order in which they were sent, whatever the jitter and however the delay changes: who
  /// would overtake another comes with him.
  public var keepsOrder = false
  /// What is beyond a rate is dropped, before there is a queue.
  public var policer: Policer?
  /// Datagrams leave at multiples of this time only, all that are ready by then together, as over a radio link that gathers
  /// them; 0 is each at once.
  public var aggregation: Nanoseconds = 0
  /// Nothing leaves: what comes waits, as far as the queue has room. Only a schedule says so (`LinkChange.halted`), as a queue
  /// has to know for how long.
  public internal(set) var isHalted = false

  /// A link of 5 ms that loses nothing and has no rate.
  public init() {}
}

/// A token bucket that drops what it has no tokens for (RFC 2697, one colour).
public struct Policer: Sendable {
  /// Bits per second of UDP payload.
  public var rate: UInt64
  /// Bytes that may pass at once after a rest.
  public var burst: Int

  /// - Parameters:
  ///   - rate: bits per second of UDP payload.
  ///   - burst: bytes that may pass at once after a rest.
  public init(rate: UInt64, burst: Int) {
    self.rate = rate
    self.burst = burst
  }
}

/// What a link has done.
public struct LinkCounters: Sendable, BitwiseCopyable {
  /// Datagrams that were given to it.
  public var datagrams: UInt64 = 0
  /// Their UDP payload bytes.
  public var bytes: UInt64 = 0
  /// Lost at random, and in bursts.
  public var lost: UInt64 = 0
  /// Lost within a burst.
  public var lostInBursts: UInt64 = 0
  /// Dropped by the queue.
  public var overflowed: UInt64 = 0
  /// Bytes of those that its queue had no room for.
  public var overflowedBytes: UInt64 = 0
  /// Dropped by the policer.
  public var policed: UInt64 = 0
  /// Those that the queue, or the link if it had none, has taken, and how long they have waited in it, nanoseconds: until
  /// their own first bit left.
  public var queued: UInt64 = 0
  /// Time that they have waited in its queue together, in nanoseconds.
  public var queuedTime: Nanoseconds = 0
  /// Delayed so that later ones may overtake them.
  public var reordered: UInt64 = 0
  /// Delivered twice.
  public var duplicated: UInt64 = 0
  /// Of these, the copies that came more than the jitter later.
  public var copiedLate: UInt64 = 0
  /// Delivered with a changed byte.
  public var corrupted: UInt64 = 0
  /// Marked as having met congestion (ECN-CE).
  public var marked: UInt64 = 0
  /// Dropped as they were ECN-capable.
  public var markedDropped: UInt64 = 0
  /// Dropped as longer than `Link.largestDatagram`.
  public var tooLong: UInt64 = 0
  /// Dropped while the link was down.
  public var whileDown: UInt64 = 0
  /// Bytes that have left the link at its other end, in all.
  public var delivered: UInt64 = 0

  /// All zero.
  public init() {}

  /// Those that did not reach the other end, whatever became of them.
  public var dropped: UInt64 { lost + lostInBursts + overflowed + policed + tooLong + whileDown + markedDropped }

  /// How often each kind of fault has happened.
  public var faults: [String: UInt64] {
    [
      "loss": lost, "burst_loss": lostInBursts, "queue_drop": overflowed, "policer_drop": policed,
      "reordering": reordered,
      "duplication": duplicated, "late_copy": copiedLate, "corruption": corrupted, "ecn_mark": marked,
      "ecn_drop": markedDropped,
      "mtu_drop": tooLong, "blackout": whileDown,
    ]
  }
}
