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

  public var delay: Nanoseconds = .milliseconds(5)
  /// Added at random, up to this: it reorders.
  public var jitter: Nanoseconds = 0
  /// How probable it is that a datagram is lost, independent of others.
  public var loss = 0.0
  /// Losses in bursts (Gilbert and Elliott): how probable it is, at each datagram, that a burst begins, that it ends, and
  /// that a datagram is lost in it.
  public var burstBegins = 0.0
  public var burstEnds = 0.25
  public var burstLoss = 0.5
  public var duplication = 0.0
  /// Added to a copy's delay at random, up to this: somebody repeats what he has seen some time ago.
  public var copyDelay: Nanoseconds = 0
  /// How probable it is that a bit is turned over.
  public var corruption = 0.0
  /// Bits per second of UDP payload; 0 is unlimited.
  public var rate: UInt64 = 0
  /// Bytes that wait at most when the rate is exceeded.
  public var buffer = 1 << 20
  public var queue = Queue.dropTail
  /// Datagrams that wait behind so many bytes are marked, if their sender knows ECN.
  public var ecnThreshold = Int.max
  /// Longer datagrams vanish.
  public var largestDatagram = Int.max
  /// Nothing passes.
  public var isDown = false

  public init() {}
}

/// What a link has done.
public struct LinkCounters: Sendable, BitwiseCopyable {
  public var datagrams: UInt64 = 0
  public var bytes: UInt64 = 0
  /// Lost at random, and in bursts.
  public var lost: UInt64 = 0
  public var lostInBursts: UInt64 = 0
  /// Dropped by the queue.
  public var overflowed: UInt64 = 0
  public var overflowedBytes: UInt64 = 0
  public var reordered: UInt64 = 0
  public var duplicated: UInt64 = 0
  /// Of these, the copies that came more than the jitter later.
  public var copiedLate: UInt64 = 0
  public var corrupted: UInt64 = 0
  public var marked: UInt64 = 0
  public var tooLong: UInt64 = 0
  public var whileDown: UInt64 = 0
  /// Bytes that have left the link at its other end, in all.
  public var delivered: UInt64 = 0

  public init() {}

  /// How often each kind of fault has happened.
  public var faults: [String: UInt64] {
    [
      "loss": lost, "burst_loss": lostInBursts, "queue_drop": overflowed, "reordering": reordered,
      "duplication": duplicated, "late_copy": copiedLate, "corruption": corrupted, "ecn_mark": marked,
      "mtu_drop": tooLong, "blackout": whileDown,
    ]
  }
}

/// A link and its state.
struct LinkState: ~Copyable {
  var link: Link
  var counters = LinkCounters()
  /// When it has carried what it was given so far.
  var freeAt: Instant = 0
  private var isBursting = false
  private var newestArrival: Instant = 0
  // CoDel.
  private var aboveSince: Instant = 0
  private var isDropping = false
  private var dropNext: Instant = 0
  private var dropCount: UInt64 = 0

  init(_ link: Link) { self.link = link }

  /// Where a datagram ends.
  enum Fate {
    case dropped
    case arrives(at: Instant, isMarked: Bool, isCorrupted: Bool, copyAt: Instant?)
  }

  /// Takes a datagram of `bytes`.
  mutating func carry(_ bytes: Int, knowsECN: Bool, random: inout SeededRandom, now: Instant) -> Fate {
    counters.datagrams += 1
    counters.bytes += UInt64(bytes)
    if link.isDown {
      counters.whileDown += 1
      return .dropped
    }
    if bytes > link.largestDatagram {
      counters.tooLong += 1
      return .dropped
    }
    var departure = now
    var isMarked = false
    if link.rate > 0 {
      let start = max(freeAt, now)
      let waiting = Double(start - now) * Double(link.rate) / 8e9
      if waiting > Double(link.buffer) || (link.queue == .coDel && coDelDrops(start - now, now: start)) {
        counters.overflowed += 1
        counters.overflowedBytes += UInt64(bytes)
        return .dropped
      }
      if knowsECN, waiting > Double(link.ecnThreshold) {
        isMarked = true
        counters.marked += 1
      }
      departure = start + UInt64(Double(bytes) * 8e9 / Double(link.rate))
      freeAt = departure
    }
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
    let arrival = departure + link.delay + random.below(link.jitter)
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
