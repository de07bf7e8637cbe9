import Glibc
import LRP2P
import LRP2PSodium
import LRP2PTool

/// The files of one sender, one after the other: written under a hidden name, given their own when they are complete
/// and on the disk. An existing file is never replaced.
final class IncomingFiles {
  struct Refusal: Error {
    var code: UInt32
    var text: String
  }

  let sender: String
  /// The own stream: a status for each file.
  private(set) var statuses: [UInt8] = []
  var refusal: Refusal?
  private let folder: String
  private let asJSON: Bool
  private var progress: ProgressLine

  private var header: [UInt8] = []
  private var name = ""
  private var size: UInt64 = 0
  private var left: UInt64 = 0
  private var descriptor: Int32 = -1
  private var started: Instant = 0
  private var hash = StreamHash()
  private var told = 0
  // One write for many datagrams.
  private var buffer = [UInt8](repeating: 0, count: 1 << 18)
  private var buffered = 0

  init(folder: String, sender: String, asJSON: Bool, progress: ProgressLine) {
    self.progress = progress
    self.folder = folder
    self.sender = sender
    self.asJSON = asJSON
  }

  deinit { abandon() }

  var isBetweenFiles: Bool { descriptor < 0 && header.isEmpty }

  /// Whether statuses were added since the last call.
  var hasNews: Bool {
    defer { told = statuses.count }
    return statuses.count > told
  }

  /// Takes the next bytes of the stream.
  func take(_ bytes: RawSpan, now: Instant) throws(Refusal) {
    guard refusal == nil else { return }
    var at = 0
    while at < bytes.byteCount {
      if descriptor < 0 {
        header.append(unsafe bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self))
        at += 1
        try beginIfComplete(now: now)
      } else {
        let count = min(bytes.byteCount - at, Int(clamping: left), buffer.count - buffered)
        append(bytes.extracting(at..<at + count))
        at += count
        left -= UInt64(count)
        if buffered == buffer.count { try flush() }
        if left == 0 { try complete(now: now) }
      }
      progress.update(done: size - left, now: now)
    }
  }

  /// Removes what is incomplete.
  func abandon() {
    guard descriptor >= 0 else { return }
    progress.end()
    close(descriptor)
    descriptor = -1
    _ = unsafe unlink(partial)
  }

  private var partial: String { "\(folder)/.\(name).part" }
  private var final: String { "\(folder)/\(name)" }

  private func beginIfComplete(now: Instant) throws(Refusal) {
    let decoded: (header: FileHeader, length: Int)?
    do throws(FileHeader.Failure) { decoded = try FileHeader.decode(header) } catch {
      switch error {
      case .malformed: throw Refusal(code: CloseCode.malformed, text: "these are no files of lrp2p send")
      case .unacceptableName: throw Refusal(code: CloseCode.refused, text: "a file name that is not accepted")
      }
    }
    guard let decoded else { return }
    header.removeAll(keepingCapacity: true)
    name = decoded.header.name
    size = decoded.header.size
    left = size
    started = now
    guard unsafe access(final, F_OK) != 0 else {
      throw Refusal(code: CloseCode.refused, text: "\(name): the receiver has a file of this name already")
    }
    descriptor = unsafe open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw Refusal(code: CloseCode.storage, text: "\(name): \(Files.errorText())")
    }
    progress.begin(name, total: size, now: now)
    if left == 0 { try complete(now: now) }
  }

  private func append(_ bytes: RawSpan) {
    let at = buffered
    unsafe buffer.withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes { source in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[at..<at + source.count]).copyMemory(from: source)
      }
    }
    buffered += bytes.byteCount
  }

  private func flush() throws(Refusal) {
    unsafe hash.update(buffer.span.bytes.extracting(0..<buffered))
    var from = 0
    while from < buffered {
      let end = buffered
      let count = unsafe buffer.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + from, end - from) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Refusal(code: CloseCode.storage, text: "write \(name): \(Files.errorText())") }
      from += count
    }
    buffered = 0
  }

  private func complete(now: Instant) throws(Refusal) {
    try flush()
    guard fsync(descriptor) == 0 else {
      throw Refusal(code: CloseCode.storage, text: "write \(name): \(Files.errorText())")
    }
    // A link fails where a rename would replace.
    guard unsafe link(partial, final) == 0 else {
      throw Refusal(code: CloseCode.storage, text: "\(name): \(Files.errorText())")
    }
    _ = unsafe unlink(partial)
    close(descriptor)
    descriptor = -1
    progress.end()
    let digest = hash.finish()
    statuses.append(FileStatus.stored)
    statuses += digest
    Output.file(
      name: name, bytes: size, seconds: Double(now - started) / 1e9, digest: digest, asJSON: asJSON)
  }
}
