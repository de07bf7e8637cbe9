// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// Takes files from any number of peers at once: moves what comes to the threads that write, and what they say back.
struct FileReceiver: Handler {
  /// Bytes that may wait for the disk: of one sender at most, of one at least, and of all together.
  private static let most = 8 << 20
  private static let least = 256 << 10
  private static let mostOfAll = 128 << 20
  /// Replies that a sender has not acknowledged.
  private static let mostReplies = 4 << 20
  /// Between one removal of old parts and the next.
  private static let secondsBetween: Int64 = 60

  /// One who has sent something.
  private final class Sender {
    let stream: IncomingStream
    let origin: TransferReport.Origin
    var replies = ReplyQueue()
    var block: Block?
    var isPaused = false
    var isTouched = false
    var isClosed = false
    var reason = CloseReason.finished
    /// Why this side has closed.
    var refusal: String?
    var hasBegun = false
    var hasFailed = false
    var wanted: UInt64 = 0
    var done: UInt64 = 0

    init(_ stream: IncomingStream, _ origin: TransferReport.Origin) {
      self.stream = stream
      self.origin = origin
    }
  }

  let store: StoreFolder
  /// Senders that are through.
  private(set) var served = 0
  private let policy: IntakePolicy
  /// Seconds for which a part is kept.
  private let partsAge: Int64
  private var lastCleanUp: Int64
  private let report: TransferReport
  private let mailbox: Mailbox<Peer>
  private let disk = WorkPool()
  private let hashing = WorkPool()
  private let writers = WorkPool()
  private var progress: ProgressLine
  private var senders: [Peer: Sender] = [:]
  /// The last peer's entry: datagrams come in bursts.
  private var lastPeer: Peer?
  private var last: Sender?
  /// Those with bytes that no thread has yet.
  private var touched: [Peer] = []

  init(
    store: StoreFolder, limits: (policy: IntakePolicy, partsAge: Int64),
    remote: ReactorRemote, report: TransferReport, progress: ProgressLine
  ) {
    self.store = store
    (policy, partsAge) = limits
    lastCleanUp = Int64(time(nil))
    store.cleanUp(olderThan: partsAge, now: lastCleanUp)
    self.report = report
    self.progress = progress
    mailbox = Mailbox(remote)
  }

  /// Whether somebody's files are still being worked on.
  var isBusy: Bool { senders.values.contains { $0.hasBegun || isStopping } }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    let sender = sender(peer, engine)
    if !sender.isTouched {
      sender.isTouched = true
      touched.append(peer)
    }
    var at = 0
    while at < bytes.byteCount {
      let block = sender.block ?? Block()
      sender.block = block
      at += block.append(bytes.extracting(at..<bytes.byteCount))
      if block.free == 0 { give(peer, sender, &engine) }
    }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    guard let sender = senders[peer] else {
      engine.finish(peer)
      return
    }
    give(peer, sender, &engine)
    sender.stream.end()
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    senders[peer]?.replies.copy(from: offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    senders[peer]?.replies.release(upTo: offset)
  }

  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    // It is read to its end: what has come need not come again.
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if lastPeer == peer { (lastPeer, last) = (nil, nil) }
    guard let sender = senders[peer] else { return }
    sender.isClosed = true
    sender.reason = reason
    give(peer, sender, &engine)
    sender.stream.abandon()
  }

  // MARK: Between the threads

  private mutating func sender(_ peer: Peer, _ engine: borrowing Engine) -> Sender {
    if peer == lastPeer, let last { return last }
    lastPeer = peer
    if let known = senders[peer] {
      last = known
      return known
    }
    let statistics = engine.statistics(of: peer)
    let key = statistics.map { "\($0.key)" } ?? ""
    let intake = FileIntake(store: store, owner: Array(key.utf8), policy: policy, hashing: hashing, writers: writers)
    let mailbox = mailbox
    let stream = IncomingStream(intake, pool: disk) { mailbox.post(peer) }
    let sender = Sender(
      stream, TransferReport.Origin(address: statistics.map { "\($0.address)" } ?? "a peer", key: key))
    senders[peer] = sender
    last = sender
    return sender
  }

  private func give(_ peer: Peer, _ sender: Sender, _ engine: inout Engine) {
    guard let block = sender.block else { return }
    sender.block = nil
    sender.stream.give(block)
    let share = max(Self.least, min(Self.most, Self.mostOfAll / max(senders.count, 1)))
    if !sender.isPaused, !sender.isClosed, sender.stream.waiting > share {
      sender.isPaused = true
      engine.pause(peer)
    }
  }

  /// Behind each turn: what has come goes to the threads, what they have comes back.
  mutating func serve(_ engine: inout Engine) {
    for peer in touched {
      guard let sender = senders[peer] else { continue }
      sender.isTouched = false
      // While they are busy it may grow.
      if sender.stream.waiting == 0 { give(peer, sender, &engine) }
    }
    touched.removeAll(keepingCapacity: true)
    let peers = mailbox.takeAll()
    for peer in peers {
      guard let sender = senders[peer] else { continue }
      take(sender.stream.takeNews(), peer, sender, &engine)
    }
    if !peers.isEmpty { showProgress(now: engine.now) }
  }

  private mutating func take(
    _ news: IncomingStream.News, _ peer: Peer, _ sender: Sender, _ engine: inout Engine
  ) {
    sender.hasBegun = news.hasBegun
    (sender.wanted, sender.done) = (news.wantedBytes, news.doneBytes)
    tell(news.events, sender)
    if news.isOver {
      // It has given way to another that has the same file: its sender has come again.
      if !sender.isClosed {
        engine.close(peer, code: CloseCode.interrupted, reason: "the same file comes over another connection")
      }
      end(news, peer, sender)
      return
    }
    if sender.isClosed { return }
    if !news.replies.isEmpty {
      sender.replies.append(news.replies)
      engine.offer(peer, upTo: sender.replies.end)
    }
    if news.isMalformed {
      refuse(peer, sender, CloseCode.malformed, "these are no files of lrp2p send of this version", &engine)
    } else if sender.replies.count > Self.mostReplies {
      refuse(peer, sender, CloseCode.refused, "the sender does not listen", &engine)
    } else if let isClean = news.end {
      if isClean {
        engine.finish(peer)
      } else {
        refuse(peer, sender, CloseCode.interrupted, "the sender stopped within a file", &engine)
      }
    }
    let waiting = sender.stream.waiting
    if waiting == 0 { give(peer, sender, &engine) }
    if sender.isPaused, waiting < Self.least {
      sender.isPaused = false
      engine.resume(peer)
    }
  }

  private func refuse(
    _ peer: Peer, _ sender: Sender, _ code: CloseCode, _ text: String, _ engine: inout Engine
  ) {
    guard sender.refusal == nil else { return }
    sender.refusal = text
    engine.close(peer, code: code, reason: text)
  }

  private mutating func tell(_ events: [FileEvent], _ sender: Sender) {
    if events.isEmpty { return }
    progress.end()
    Output.together {
      for event in events {
        if case .failed = event.outcome { sender.hasFailed = true }
        report.tell(event, of: sender.origin.address, from: sender.origin)
      }
    }
  }

  /// All of it is done.
  private mutating func end(_ news: IncomingStream.News, _ peer: Peer, _ sender: Sender) {
    senders[peer] = nil
    if lastPeer == peer { (lastPeer, last) = (nil, nil) }
    progress.end()
    if news.kept != nil { cleanUp() }
    if sender.hasBegun, sender.isClosed { served += 1 }
    let kept = news.kept.map { "; \($0.bytes) bytes of \(Printable.text($0.path)) are kept for another try" } ?? ""
    if let refusal = sender.refusal {
      report.fail(Failure("\(sender.origin.address): \(refusal)\(kept)"))
    } else if !sender.isClosed {
      Output.note("\(sender.origin.address) is silent, and what it sent comes over another connection\(kept)")
    } else if sender.reason != .finished, !isStopping {
      report.fail(Failure(Failure(sender.reason, of: sender.origin.address).description + kept))
    }
  }

  /// Removes old parts, and the oldest of too many, while the receiver runs: at most once a minute.
  private mutating func cleanUp() {
    let now = Int64(time(nil))
    guard now >= lastCleanUp + Self.secondsBetween else { return }
    lastCleanUp = now
    disk.submit { [store, age = partsAge] in store.cleanUp(olderThan: age, now: now) }
  }

  private mutating func showProgress(now: Instant) {
    let active = senders.values.filter { $0.hasBegun }
    guard !active.isEmpty else { return }
    progress.begin(now: now)
    let title = active.count == 1 ? "from \(active[0].origin.address)" : "from \(active.count) senders"
    // What is announced is only said: the sum may be more than there can be.
    func sum(_ bytes: (Sender) -> UInt64) -> UInt64 {
      active.reduce(0) { sum, sender in
        let (total, isTooMuch) = sum.addingReportingOverflow(bytes(sender))
        return isTooMuch ? .max : total
      }
    }
    progress.update(title, done: sum { $0.done }, total: sum { $0.wanted }, now: now)
  }

  // MARK: The end

  private var isStopping = false

  /// Ends all connections from this side.
  mutating func stop(_ engine: inout Engine) {
    isStopping = true
    progress.end()
    engine.closeAll(code: CloseCode.interrupted, reason: "the receiver is being stopped")
  }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
}
