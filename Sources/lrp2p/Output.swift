import Glibc

/// Lines on standard output, for people or as JSON, and one line on standard error.
enum Output {
  static func line(_ text: String) {
    write(text + "\n", to: STDOUT_FILENO)
  }

  /// Bytes for a terminal, as they are.
  static func raw(_ text: String) { write(text, to: STDERR_FILENO) }

  /// A line on standard error that is no error: standard output is somebody's stream.
  static func note(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

  /// One JSON object; values are already JSON.
  static func json(_ fields: [(String, String)]) {
    line("{" + fields.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}")
  }

  static func error(_ text: String) {
    write("lrp2p: \(oneLine(text))\n", to: STDERR_FILENO)
  }

  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// A figure with three decimals.
  static func decimal(_ value: Double) -> String {
    let thousandths = UInt64((max(value, 0) * 1000).rounded())
    let fraction = String(thousandths % 1000)
    return "\(thousandths / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
  }

  /// What a peer says may hold anything: control characters do not reach the terminal.
  static func oneLine(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : $0 }))
  }

  /// The line on one file that is through.
  static func file(name: String, bytes: UInt64, seconds: Double, digest: [UInt8], asJSON: Bool) {
    let rate = seconds > 0 ? Double(bytes) * 8 / seconds / 1e9 : 0
    if asJSON {
      json([
        ("file", quoted(name)), ("bytes", "\(bytes)"), ("seconds", decimal(seconds)),
        ("goodput_gbit_per_s", decimal(rate)), ("blake2b_256", quoted(hex(digest))),
      ])
    } else {
      line("blake2b-256 \(hex(digest))  \(name)  \(bytes) bytes  \(decimal(seconds)) s  \(decimal(rate)) Gbit/s")
    }
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}
