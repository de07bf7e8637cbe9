// SPDX-License-Identifier: MIT
import CBenchSystem
import CLinux
import LRP2PReactor

/// One end of a run in a process of its own. It is killed with its owner, and by the kernel with this process.
final class ChildProcess {
  let name: String
  private let id: Int32
  private let output: FileDescriptor
  private var isReaped = false
  private var unread: [UInt8] = []
  private(set) var isAtEnd = false

  /// - Parameter name: for messages about it.
  init(_ name: String, arguments: [String]) throws {
    var id: Int32 = 0
    var descriptor: Int32 = -1
    let texts = ["lrp2p-bench"] + arguments
    let joined = texts.joined(separator: "\0")
    try check(unsafe bench_spawn(joined, Int32(texts.count), &id, &descriptor), "start the \(name)")
    self.name = name
    self.id = id
    output = FileDescriptor(owning: descriptor)
  }

  deinit {
    if isReaped { return }
    _ = bench_kill(id)
    _ = bench_reap(id)
  }

  /// What to poll; -1 at the end.
  var descriptor: Int32 { isAtEnd ? -1 : output.raw }

  /// Reads what is there; blocks when nothing is.
  func read() throws {
    var buffer = InlineArray<4096, UInt8>(repeating: 0)
    var span = buffer.mutableSpan
    let count = try check(
      unsafe span.withUnsafeMutableBufferPointer { unsafe lrp2p_read(output.raw, $0.baseAddress!, $0.count) },
      "read from the \(name)")
    if count == 0 { isAtEnd = true }
    for index in 0..<count { unread.append(buffer[index]) }
  }

  /// The next whole line that was read.
  func nextLine() -> String? {
    guard let end = unread.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let line = String(decoding: unread[..<end], as: UTF8.self)
    unread.removeSubrange(...end)
    return line
  }

  /// Waits for the end of a process whose output has ended.
  func reap() throws {
    let status = bench_reap(id)
    isReaped = true
    if status == 0 { return }
    if status <= -1000 { throw Failure("\(name): ended by signal \(-1000 - status)") }
    throw Failure("\(name): ended with status \(status)")
  }
}
