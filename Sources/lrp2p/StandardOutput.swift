// SPDX-License-Identifier: MIT
import Glibc

/// What waits for standard output, written without ever waiting for its reader.
struct StandardOutput {
  let descriptor: Int32
  private let isNonBlocking: Bool
  private let largestWrite: Int
  private var bytes: [UInt8] = []
  private var start = 0
  private var closesWhenEmpty = false
  private var isClosed = false

  init() {
    var status = stat()
    let kind = unsafe fstat(STDOUT_FILENO, &status) == 0 ? status.st_mode & S_IFMT : 0
    // A pipe is opened once more: O_NONBLOCK on the descriptor itself would be shared with whoever else has it.
    let own = kind == S_IFIFO ? unsafe open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1
    isNonBlocking = own >= 0
    descriptor = own >= 0 ? own : STDOUT_FILENO
    // A file takes everything at once; of others, poll only promises that a little does not block.
    largestWrite = isNonBlocking || kind == S_IFREG ? 1 << 20 : 4096
    if own >= 0 {
      // The reader sees the end when the last writer is gone.
      close(STDOUT_FILENO)
    }
  }

  var count: Int { bytes.count - start }
  var isEmpty: Bool { count == 0 }

  mutating func append(_ span: RawSpan) {
    if isClosed { return }
    // A reader that is slow, but never quite behind, would have it grow for ever.
    if start >= 1 << 18, 2 * start >= bytes.count {
      bytes.removeFirst(start)
      start = 0
    }
    unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  /// Closes behind what waits: the reader sees the end.
  mutating func closeWhenEmpty() {
    closesWhenEmpty = true
    if isEmpty { finish() }
  }

  /// Writes what is taken at once.
  /// - Returns: `false` with `errno` when writing failed; then nothing waits any more.
  mutating func flush() -> Bool {
    while !isEmpty {
      if !isNonBlocking, !isWritable { return true }
      let written = unsafe bytes.withUnsafeBytes {
        unsafe write(descriptor, $0.baseAddress! + start, min($0.count - start, largestWrite))
      }
      if written < 0 {
        if errno == EINTR { continue }
        if errno == EAGAIN { return true }
        bytes.removeAll()
        start = 0
        return false
      }
      start += written
    }
    bytes.removeAll(keepingCapacity: true)
    start = 0
    if closesWhenEmpty { finish() }
    return true
  }

  private mutating func finish() {
    guard !isClosed else { return }
    isClosed = true
    close(descriptor)
  }

  private var isWritable: Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return unsafe poll(&entry, 1, 0) > 0
  }
}
