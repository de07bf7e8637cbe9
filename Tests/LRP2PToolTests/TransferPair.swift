// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor
import LRP2PTool
import Testing

/// A folder that goes away with its last reference.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("\(P_tmpdir)/lrp2p-tests-XXXXXX".utf8CString)
    try #require(unsafe mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(Array(path.utf8)) }

  private static func remove(_ path: [UInt8]) {
    guard let status = try? Disk.status(Disk.here, path) else { return }
    if status.isFolder, let folder = try? Disk.open(Disk.here, path, O_RDONLY | O_DIRECTORY) {
      try? Disk.setMode(folder, 0o700)
      for name in (try? Disk.names(folder)) ?? [] { remove(path + [UInt8(ascii: "/")] + name) }
    }
    try? Disk.remove(Disk.here, path, isFolder: status.isFolder)
  }

  func bytes(_ name: String) -> [UInt8] { Array("\(path)/\(name)".utf8) }

  /// - Returns: the path.
  @discardableResult
  func write(_ name: String, _ content: [UInt8], seconds: Int64 = 1_000_000_000, mode: mode_t = 0o644) throws -> [UInt8]
  {
    try write(Array(name.utf8), content, seconds: seconds, mode: mode)
  }

  @discardableResult
  func write(_ name: [UInt8], _ content: [UInt8], seconds: Int64 = 1_000_000_000, mode: mode_t = 0o644) throws
    -> [UInt8]
  {
    let full = Array("\(path)/".utf8) + name
    let file = try Disk.open(Disk.here, full, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    try unsafe Disk.write(file, content.span.bytes, at: 0)
    try Disk.setMode(file, mode)
    try Disk.setTime(file, seconds: seconds, nanoseconds: 5)
    return full
  }

  func makeFolder(_ name: String) throws { try Disk.makeFolder(Disk.here, bytes(name), mode: 0o755) }

  func read(_ name: String) -> [UInt8]? { read(Array(name.utf8)) }

  func read(_ name: [UInt8]) -> [UInt8]? {
    guard let file = try? Disk.open(Disk.here, Array("\(path)/".utf8) + name, O_RDONLY) else { return nil }
    var content: [UInt8] = []
    while true {
      let block = Block()
      let count = unsafe block.append(head: 0, limit: Block.capacity) { (try? unsafe Disk.read(file, into: $0)) ?? 0 }
      if count <= 0 { return content }
      for index in 0..<count { unsafe content.append(block.bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)) }
    }
  }

  func status(_ name: String) throws -> stat { try #require(try Disk.status(Disk.here, bytes(name))) }

  /// Everything in it, the hidden included.
  var names: [String] {
    guard let folder = try? Disk.open(Disk.here, Array(path.utf8), O_RDONLY | O_DIRECTORY) else { return [] }
    return ((try? Disk.names(folder)) ?? []).map { Printable.text($0) }
  }
}

extension Scratch {
  /// What is in the folder of parts.
  var parts: [String] {
    guard let folder = try? Disk.open(Disk.here, bytes(".lrp2p-parts"), O_RDONLY | O_DIRECTORY) else { return [] }
    return ((try? Disk.names(folder)) ?? []).map { Printable.text($0) }
  }
}

func pattern(_ count: Int, _ seed: Int = 1) -> [UInt8] {
  var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
  return unsafe [UInt8](unsafeUninitializedCapacity: count) { bytes, initialized in
    for at in stride(from: 0, to: count, by: 8) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      for index in at..<min(at + 8, count) {
        unsafe bytes[index] = UInt8(truncatingIfNeeded: (state ^ state >> 29) >> UInt64(8 * (index - at)))
      }
    }
    initialized = count
  }
}

/// A sender and a receiver without a network between them, on one thread.
final class TransferPair {
  let outlet: FileOutlet
  let intake: FileIntake
  /// Bytes that have gone from the sender to the receiver.
  private(set) var moved = 0

  init(
    _ sources: SourceList, into store: StoreFolder, owner: String = "aa", policy: IntakePolicy = IntakePolicy(),
    hashing: WorkPool? = nil
  ) {
    outlet = FileOutlet(sources, hashing: hashing)
    intake = FileIntake(store: store, owner: Array(owner.utf8), policy: policy, hashing: hashing, writers: hashing)
  }

  convenience init(
    _ paths: [[UInt8]], into folder: Scratch, owner: String = "aa", policy: IntakePolicy = IntakePolicy(),
    options: SourceList.Options = SourceList.Options()
  ) throws {
    self.init(
      try SourceList(paths, options: options), into: try StoreFolder(folder.path), owner: owner, policy: policy)
  }

  /// Goes on until all is settled, or until the sender has sent `limit` bytes. `change` may look at, or replace, each block.
  func run(upTo limit: Int = .max, change: (Block) -> Block = { $0 }) throws {
    while moved < limit {
      var block = Block()
      _ = outlet.produce(into: block)
      block = change(block)
      moved += block.count
      if block.count > 0 { try intake.take(block) }
      intake.idle()
      let replies = intake.replies
      intake.replies = []
      if replies.isEmpty, block.isEmpty { break }
      try unsafe outlet.take(replies.span.bytes)
    }
  }

  /// All of it, and what the sender says of each file.
  func complete() throws -> [FileEvent] {
    try run()
    try #require(outlet.isFinished)
    let isClean = intake.end()
    #expect(isClean)
    _ = intake.abandon()
    return outlet.takeEvents()
  }
}

extension FileEvent {
  var isStored: Bool { if case .stored = outcome { true } else { false } }
  var failure: FileFailure.Cause? { if case .failed(let failure) = outcome { failure.cause } else { nil } }
}
