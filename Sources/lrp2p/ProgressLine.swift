import Glibc
import LRP2P
import LRP2PTool

/// One line on a terminal, rewritten in place and removed at the end.
struct ProgressLine {
  private var progress: Progress?
  private var isShown = false
  private let isWanted: Bool

  /// - Parameter isWanted: `nil` asks whether standard error is a terminal.
  init(isWanted: Bool?) { self.isWanted = isWanted ?? (isatty(STDERR_FILENO) == 1) }

  mutating func begin(_ name: String, total: UInt64, now: Instant) {
    if isWanted { progress = Progress(name: Output.oneLine(name), total: total, now: now) }
  }

  mutating func update(done: UInt64, now: Instant) {
    guard let line = progress?.line(done: done, now: now) else { return }
    isShown = true
    Output.raw("\r\u{1B}[K" + line)
  }

  /// A line of its own that stays.
  mutating func note(_ text: String) {
    guard isWanted else { return }
    end()
    Output.note(text)
  }

  mutating func end() {
    if isShown { Output.raw("\r\u{1B}[K") }
    isShown = false
    progress = nil
  }
}
