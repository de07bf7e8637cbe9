// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// Lines on standard output, for people or as JSON, and one line on standard error.
enum Output {
  /// The errno of the first line that could not be written to standard output.
  private static let failure = Locked<Int32>(0)

  /// - Note: where it was closed from the beginning nobody wants the lines, and that is no failure.
  static func line(_ text: String) {
    if ClosedDescriptors.contains(STDOUT_FILENO) { return }
    let isHeld = held.withLock {
      $0?.append(contentsOf: text.utf8)
      $0?.append(UInt8(ascii: "\n"))
      return $0 != nil
    }
    if !isHeld { put(Array(text.utf8) + [UInt8(ascii: "\n")]) }
  }

  /// Lines of `body`, until they are written all at once.
  private static let held = Locked<[UInt8]?>(nil)

  /// Writes the lines of `body` with as few calls as that takes.
  static func together(_ body: () -> Void) {
    held.withLock { $0 = [] }
    body()
    release()
    held.withLock { $0 = nil }
  }

  private static func release() {
    let bytes = held.withLock { lines in
      defer { lines?.removeAll(keepingCapacity: true) }
      return lines ?? []
    }
    if !bytes.isEmpty { put(bytes) }
  }

  private static func put(_ bytes: [UInt8]) {
    let code = write(bytes[...], to: STDOUT_FILENO)
    if code != 0 { failure.withLock { $0 = $0 == 0 ? code : $0 } }
  }

  /// At the end of a command, which has not done its work if nobody was told what came of it.
  static func check() throws(Failure) {
    let code = failure.withLock { $0 }
    if code != 0 { throw Failure("standard output: \(DiskError(code))") }
  }

  /// Bytes for a terminal, as they are.
  static func raw(_ text: String) { say(text) }

  /// A line on standard error that is no error: standard output is somebody's stream.
  static func note(_ text: String) { say(text + "\n") }

  /// One JSON object; values are already JSON.
  static func json(_ fields: [(String, String)]) { line(object(fields)) }

  /// One JSON object on standard error: standard output is somebody's stream.
  static func noteJSON(_ fields: [(String, String)]) { note(object(fields)) }

  private static func object(_ fields: [(String, String)]) -> String {
    "{" + fields.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
  }

  static func error(_ text: String) {
    say("lrp2p: \(oneLine(text))\n")
  }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where Printable.isControl(scalar): result += "\\u" + Printable.hex(scalar.value, digits: 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  static func hex(_ bytes: [UInt8]) -> String {
    String(decoding: Printable.digits(bytes), as: UTF8.self)
  }

  /// A figure with three decimals.
  static func decimal(_ value: Double) -> String {
    let thousandths = UInt64((max(value, 0) * 1000).rounded())
    let fraction = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
  }

  /// What a peer says may hold anything: control characters do not reach the terminal.
  static func oneLine(_ text: String) -> String { Printable.text(text) }

  /// The time of day: `2026-11-30T23:59:36Z`.
  static func time() -> String {
    let now = Int64(Glibc.time(nil))
    return lastTime.withLock {
      if $0.seconds != now { $0 = (now, Moment.text(now)) }
      return $0.text
    }
  }

  private static let lastTime = Locked<(seconds: Int64, text: String)>((.min, ""))

  private static let errors = Locked(StandardError())

  /// On standard error, unless nobody reads it: a full pipe, or a terminal that was stopped, holds up no transfer.
  private static func say(_ text: String) {
    // On a terminal lines stay in their order.
    release()
    errors.withLock { $0.write(Array(text.utf8)[...]) }
  }

  /// - Returns: the errno of a write that failed, or 0.
  private static func write(_ all: ArraySlice<UInt8>, to descriptor: Int32) -> Int32 {
    var bytes = all
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&entry, 1, -1)
        continue
      }
      guard count > 0 else { return count < 0 ? errno : EIO }
      bytes = bytes.dropFirst(count)
    }
    return 0
  }
}

enum Files {
  /// What errno says, without a capital.
  static func errorText() -> String { DiskError(errno).description }
}
