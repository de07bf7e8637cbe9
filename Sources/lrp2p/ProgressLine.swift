// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// One line on a terminal, rewritten in place and removed at the end.
struct ProgressLine {
  private var progress: Progress?
  private var isShown = false
  private let isWanted: Bool

  /// - Parameter isWanted: `nil` asks whether standard error is a terminal.
  init(isWanted: Bool?) { self.isWanted = isWanted ?? (isatty(STDERR_FILENO) == 1) }

  /// Begins, unless it has begun.
  mutating func begin(now: Instant) {
    if isWanted, progress == nil { progress = Progress(now: now) }
  }

  mutating func update(_ title: String, done: UInt64, total: UInt64, now: Instant) {
    let columns = columns
    guard let line = progress?.line(title, done: done, total: total, columns: columns, now: now) else { return }
    isShown = true
    Output.raw("\r\u{1B}[K" + line)
  }

  /// The terminal's width, asked each time: it may change.
  private var columns: Int {
    var size = winsize()
    guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// A line of its own that stays.
  mutating func note(_ text: String) {
    guard isWanted else { return }
    end()
    Output.note(text)
  }

  /// Takes the line away, as another is about to be written; it comes again.
  mutating func end() {
    if isShown { Output.raw("\r\u{1B}[K") }
    isShown = false
  }
}
