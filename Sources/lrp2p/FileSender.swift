import Glibc
import LRP2P
import LRP2PSodium
import LRP2PTool

/// Reads files into a ring as fast as the peer acknowledges, and compares digests at their ends.
struct FileSender: Handler {
  private struct Source {
    var name: String
    var size: UInt64
    var descriptor: Int32
    var started: Instant = 0
    var digest: [UInt8] = []
  }

  private(set) var outcome: Result<Void, Failure>?
  private var sources: [Source] = []
  private let receiver: String
  private let asJSON: Bool
  private var progress: ProgressLine
  private var ring = SendRing(capacity: 32 << 20)
  private let hash = HashBox()
  /// The file being read, and how much of it is left.
  private var reading = 0
  private var left: UInt64 = 0
  private var hasHeader = false
  private var isFinished = false
  /// Files that the receiver has confirmed, and its words so far on the next.
  private var confirmed = 0
  private var status: [UInt8] = []
  private var limits = LimitTimes()

  /// Opens all files, so that a missing one is known before anything is sent.
  init(_ paths: [String], receiver: String, asJSON: Bool, progress: ProgressLine) throws(Failure) {
    self.receiver = receiver
    self.asJSON = asJSON
    self.progress = progress
    for path in paths {
      let name = String(path.split(separator: "/").last ?? "")
      let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw Failure("\(path): \(Files.errorText())") }
      var status = Glibc.stat()
      guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        throw Failure("\(path): not a regular file")
      }
      guard FileHeader.isAcceptable(name), name.utf8.count <= FileHeader.longestName else {
        throw Failure("\(path): a receiver takes no file of this name")
      }
      sources.append(Source(name: name, size: UInt64(status.st_size), descriptor: descriptor))
    }
  }

  mutating func connected(_ peer: Peer, incoming: Bool, engine: inout Engine) {
    let total = sources.reduce(0) { $0 + $1.size }
    progress.begin(sources.count == 1 ? sources[0].name : "\(sources.count) files", total: total, now: engine.now)
    pump(peer, &engine)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    ring.copy(from: offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    ring.release(upTo: offset)
    progress.update(done: offset, now: engine.now)
    // Not for every ACK: a read is a system call.
    if ring.free >= 1 << 20 { pump(peer, &engine) }
  }

  /// The receiver's statuses.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    for index in 0..<bytes.byteCount {
      status.append(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
      if status.count == FileStatus.length { confirm(peer, &engine) }
    }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    if confirmed < sources.count, outcome == nil {
      outcome = .failure(Failure("\(receiver) ended the connection before it had everything"))
    }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    progress.end()
    guard outcome == nil else { return }
    if reason == .finished, confirmed == sources.count {
      outcome = .success(())
    } else {
      outcome = .failure(Failure(reason, of: receiver))
    }
  }

  /// Behind each turn: what its wait will be for.
  mutating func note(_ limit: SendLimit?, now: Instant) { limits.note(limit, now: now) }

  /// What the transfer has waited for, on a terminal.
  mutating func tellLimits() { if let line = limits.line { progress.note(line) } }

  private mutating func confirm(_ peer: Peer, _ engine: inout Engine) {
    defer { status.removeAll(keepingCapacity: true) }
    guard confirmed < reading, status[0] == FileStatus.stored else {
      fail("\(receiver) answered what was never asked", CloseCode.malformed, peer, &engine)
      return
    }
    let source = sources[confirmed]
    guard Array(status[1...]) == source.digest else {
      fail("\(source.name): \(receiver) has other bytes than were sent", CloseCode.storage, peer, &engine)
      return
    }
    confirmed += 1
    if confirmed == sources.count { progress.end() }
    Output.file(
      name: source.name, bytes: source.size, seconds: Double(engine.now - source.started) / 1e9, digest: source.digest,
      asJSON: asJSON)
  }

  private mutating func fail(_ text: String, _ code: UInt32, _ peer: Peer, _ engine: inout Engine) {
    if outcome == nil { outcome = .failure(Failure(text)) }
    engine.close(peer, code: code, reason: text)
  }

  /// Reads on while there is room, and offers it.
  private mutating func pump(_ peer: Peer, _ engine: inout Engine) {
    while outcome == nil, reading < sources.count {
      if !hasHeader {
        let header = FileHeader(name: sources[reading].name, size: sources[reading].size).encoded
        guard ring.free >= header.count else { break }
        ring.append(header)
        hasHeader = true
        left = sources[reading].size
        sources[reading].started = engine.now
      }
      if left == 0 {
        sources[reading].digest = hash.finish()
        close(sources[reading].descriptor)
        reading += 1
        hasHeader = false
        continue
      }
      guard ring.free > 0 else { break }
      let descriptor = sources[reading].descriptor
      let count = unsafe ring.append(limit: Int(min(left, 1 << 20))) { target in
        var count: Int
        repeat { count = unsafe read(descriptor, target.baseAddress!, target.count) } while count < 0 && errno == EINTR
        return count
      }
      guard count > 0 else {
        let cause = count == 0 ? "it became shorter while it was sent" : Files.errorText()
        fail("\(sources[reading].name): \(cause)", CloseCode.interrupted, peer, &engine)
        return
      }
      ring.withNewest(count) { hash.update($0) }
      left -= UInt64(count)
    }
    engine.offer(peer, upTo: ring.end)
    if reading == sources.count, !isFinished {
      isFinished = true
      engine.finish(peer)
    }
  }
}

/// A handler is a copyable value, a hash is not.
final class HashBox {
  private var hash = StreamHash()
  func update(_ bytes: RawSpan) { hash.update(bytes) }
  func finish() -> [UInt8] { hash.finish() }
}

enum Files {
  /// What errno says, without a capital.
  static func errorText() -> String {
    let text = unsafe String(cString: strerror(errno))
    return text.prefix(1).lowercased() + text.dropFirst()
  }
}
