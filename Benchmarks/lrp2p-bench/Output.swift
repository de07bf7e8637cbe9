// SPDX-License-Identifier: MIT
import CLinux

/// Something that ends the program, in one line.
struct Failure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

extension Failure {
  /// A wrapper's negative errno, and what was being done.
  init(_ operation: String, errno code: Int) {
    self.init("\(operation): \(unsafe String(cString: lrp2p_error_text(Int32(-code))))")
  }
}

/// The result of a C wrapper, or its errno as a failure.
@discardableResult
func check<Result: SignedInteger>(_ result: Result, _ operation: @autoclosure () -> String) throws(Failure) -> Int {
  if result < 0 { throw Failure(operation(), errno: Int(result)) }
  return Int(result)
}

enum Output {
  static let standard: Int32 = 1
  static let error: Int32 = 2

  /// Writes a line at once, so that whoever waits at the other end of a pipe has it.
  static func line(_ text: String, to descriptor: Int32 = standard) {
    var bytes = Array(text.utf8)
    bytes.append(UInt8(ascii: "\n"))
    var written = 0
    while written < bytes.count {
      let result = unsafe bytes.withUnsafeBytes {
        unsafe lrp2p_write(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      // Nobody reads any more: nothing is left to say.
      if result <= 0, result != -EINTR { return }
      written += max(Int(result), 0)
    }
  }
}
