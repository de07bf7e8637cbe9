// SPDX-License-Identifier: MIT
import Glibc
import LRP2PTool

/// Lines for people, which wait for their reader a second in all, and then are dropped.
struct StandardError {
  /// Milliseconds that lines may wait, all together; a tenth of the time that passes is given back.
  private static let patience = 1000
  /// What a pipe with room takes at once.
  private static let pieceBytes = 4096

  /// Opened at the first line: a program that writes none has no descriptor for it.
  private var opened: (descriptor: Int32, isNonBlocking: Bool)?
  private var left = patience
  private var last = now

  /// Once the time is used up, lines that find no room at once are dropped.
  mutating func write(_ text: ArraySlice<UInt8>) {
    let (descriptor, isNonBlocking) = opened ?? Self.open()
    opened = (descriptor, isNonBlocking)
    var bytes = text
    let start = Self.now
    left = min(left + (start - last) / 10, Self.patience)
    // Less than what gives something back is not lost.
    if start - last >= 10 { last = start }
    while !bytes.isEmpty {
      if !isNonBlocking {
        guard wait(descriptor) else { return }
      }
      let piece = bytes.prefix(Self.pieceBytes)
      let count = unsafe piece.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if count < 0, errno == EAGAIN {
        guard wait(descriptor) else { return }
      } else if count == 0 || errno != EINTR {
        return
      }
    }
  }

  /// A pipe or a terminal once more: O_NONBLOCK on the descriptor itself would be shared with all who have it. Without
  /// it a terminal that is stopped within a write blocks, whatever poll(2) has said before.
  private static func open() -> (Int32, Bool) {
    var status = stat()
    let kind = unsafe fstat(STDERR_FILENO, &status) == 0 ? status.st_mode & S_IFMT : 0
    guard kind == S_IFIFO || isatty(STDERR_FILENO) == 1 else { return (STDERR_FILENO, false) }
    let own = unsafe Glibc.open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
    return own >= 0 ? (own, true) : (STDERR_FILENO, false)
  }

  /// - Returns: `false` when there is no room, and no time any more.
  private mutating func wait(_ descriptor: Int32) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    let start = Self.now
    while true {
      let ready = unsafe poll(&entry, 1, Int32(left))
      if ready < 0, errno == EINTR { continue }
      // A reader that always comes in the last moment uses it up as well.
      left = ready > 0 ? max(left - (Self.now - start), 0) : 0
      return ready > 0
    }
  }

  private static var now: Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}
