import Glibc
import LRP2P
import LRP2PTool

/// Takes files from any number of peers at once.
struct FileReceiver: Handler {
  private let folder: String
  private let allowed: Set<PublicKey>
  private let asJSON: Bool
  private let progress: ProgressLine
  private var incoming: [Peer: IncomingFiles] = [:]
  /// The last peer's entry: datagrams come in bursts.
  private var lastPeer: Peer?
  private var last: IncomingFiles?
  /// Connections that are over.
  private(set) var ended = 0
  /// What went wrong in the last of them.
  private(set) var failure: Failure?

  init(folder: String, allowed: Set<PublicKey>, asJSON: Bool, progress: ProgressLine) throws(Failure) {
    self.progress = progress
    var status = stat()
    guard unsafe stat(folder, &status) == 0 else { throw Failure("\(folder): \(Files.errorText())") }
    guard status.st_mode & S_IFMT == S_IFDIR else { throw Failure("\(folder): not a folder") }
    guard unsafe access(folder, W_OK) == 0 else { throw Failure("\(folder): \(Files.errorText())") }
    self.folder = folder
    self.allowed = allowed
    self.asJSON = asJSON
  }

  mutating func accepts(key: PublicKey, from address: Address) -> Bool { allowed.isEmpty || allowed.contains(key) }

  mutating func connected(_ peer: Peer, incoming: Bool, engine: inout Engine) {
    let name = engine.statistics(of: peer).map { "\($0.address)" } ?? "a peer"
    self.incoming[peer] = IncomingFiles(folder: folder, sender: name, asJSON: asJSON, progress: progress)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let files = files(of: peer) else { return }
    do throws(IncomingFiles.Refusal) { try files.take(bytes, now: engine.now) } catch {
      refuse(error, peer, files, &engine)
      return
    }
    if files.hasNews { engine.offer(peer, upTo: UInt64(files.statuses.count)) }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    guard let files = files(of: peer) else { return }
    if files.isBetweenFiles {
      engine.finish(peer)
    } else {
      refuse(
        IncomingFiles.Refusal(code: CloseCode.interrupted, text: "the sender stopped within a file"), peer, files,
        &engine)
    }
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    guard let files = files(of: peer) else { return }
    for index in 0..<bytes.byteCount {
      bytes.storeBytes(of: files.statuses[Int(offset) + index], toByteOffset: index, as: UInt8.self)
    }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    ended += 1
    guard let files = incoming.removeValue(forKey: peer) else { return }
    if lastPeer == peer { (lastPeer, last) = (nil, nil) }
    files.abandon()
    if let refusal = files.refusal {
      report(Failure(refusal.text))
    } else if reason == .finished {
      failure = nil
    } else {
      report(Failure(reason, of: files.sender))
    }
  }

  /// The last failure is the command's; earlier ones are told as they happen.
  private mutating func report(_ failure: Failure) {
    if let earlier = self.failure { Output.error(earlier.description) }
    self.failure = failure
  }

  private mutating func files(of peer: Peer) -> IncomingFiles? {
    if peer != lastPeer {
      lastPeer = peer
      last = incoming[peer]
    }
    return last
  }

  private func refuse(
    _ refusal: IncomingFiles.Refusal, _ peer: Peer, _ files: IncomingFiles, _ engine: inout Engine
  ) {
    files.refusal = refusal
    engine.close(peer, code: refusal.code, reason: refusal.text)
  }
}
