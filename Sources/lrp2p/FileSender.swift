// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// Moves what the threads that read files give into the connection, and what the receiver says back to them.
struct FileSender: Handler {
  /// Bytes of the stream that may wait for the peer's acknowledgement, and those of them that have not left: what has been read just now is
  /// still in the processor's cache.
  private static let window = 32 << 20
  private static let readAhead = 4 << 20

  private(set) var outcome: Result<Void, Failure>?
  private let receiver: String
  private let report: TransferReport
  private let count: Int
  private let total: UInt64
  private let title: String
  private let stream: OutgoingStream
  private let mailbox: Mailbox<Int>
  private var queue = BlockQueue()
  /// Where the stream is that has not been sent at all, and the blocks that the threads have still to give.
  private var left: UInt64 = 0
  private var allowed = 0
  private var isFinished = false
  private var peer: Peer?
  private var progress: ProgressLine
  private var limits = LimitTimes()

  init(
    _ sources: SourceList, digest: DigestKind, receiver: String, remote: ReactorRemote, report: TransferReport,
    progress: ProgressLine
  ) {
    self.receiver = receiver
    self.report = report
    self.progress = progress
    count = sources.files
    total = sources.bytes
    title =
      sources.files == 1
      ? Printable.text(sources.entries.first { $0.offer.kind == .file }?.offer.path ?? [])
      : "\(sources.files) files"
    let mailbox = Mailbox<Int>(remote)
    self.mailbox = mailbox
    stream = OutgoingStream(FileOutlet(sources, digest: digest, hashing: WorkPool()), pool: WorkPool()) {
      mailbox.post(0)
    }
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    self.peer = peer
    progress.begin(now: engine.now)
    allow()
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    left = max(left, offset + UInt64(bytes.byteCount))
    queue.copy(from: offset, into: &bytes)
  }

  /// Lets the threads read on.
  private mutating func allow() {
    let waiting = Int(queue.end - left) + allowed * Block.capacity
    let held = Int(queue.heldBytes) + allowed * Block.capacity
    let more = min(Self.readAhead - waiting, Self.window - held) / Block.capacity
    guard more > 0 else { return }
    allowed += more
    stream.allow(more)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    _ = queue.release(upTo: offset)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) { stream.give(bytes) }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    if !isFinished { fail("\(receiver) ended the connection before it had everything", CloseCode.interrupted, &engine) }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    progress.end()
    stream.stop()
    guard outcome == nil else { return }
    if reason == .finished, isFinished {
      outcome = report.failure.map { .failure($0) } ?? .success(())
    } else {
      outcome = .failure(Failure(reason, of: receiver, wasAnswered: self.peer != nil))
    }
  }

  /// Behind each turn: what the threads have for the connection.
  mutating func serve(_ engine: inout Engine) {
    guard let peer, outcome == nil else { return }
    defer { allow() }
    guard !mailbox.takeAll().isEmpty else { return }
    let news = stream.takeNews()
    for block in news.blocks { queue.append(block) }
    allowed -= news.blocks.count
    if !news.blocks.isEmpty { engine.offer(peer, upTo: queue.end) }
    if !news.events.isEmpty {
      progress.end()
      Output.together { for event in news.events { report.tell(event, of: receiver, isAlone: count == 1) } }
    }
    let held = min(queue.heldBytes, news.doneBytes)
    progress.update(title, done: news.doneBytes - held, total: total, now: engine.now)
    if news.isMalformed {
      fail("\(receiver) answered what was never asked", CloseCode.malformed, &engine)
    } else if news.isFinished, !isFinished {
      isFinished = true
      engine.finish(peer)
    }
  }

  /// Ends it from this side: the receiver keeps what it has of a large file.
  mutating func interrupt(_ engine: inout Engine) {
    progress.end()
    if let peer { engine.close(peer, code: CloseCode.interrupted, reason: "the sender was interrupted") }
    stream.stop()
  }

  /// Behind each turn: what its wait will be for.
  mutating func note(_ limit: SendLimit?, now: Instant) { limits.note(limit, now: now) }

  /// What the transfer has waited for, on a terminal.
  mutating func tellLimits() { if let line = limits.line { progress.note(line) } }

  private mutating func fail(_ text: String, _ code: CloseCode, _ engine: inout Engine) {
    if outcome == nil { outcome = .failure(Failure(text)) }
    if let peer { engine.close(peer, code: code, reason: text) }
  }
}
