// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// A system call that failed.
public struct SystemError: Error, Hashable, Sendable {
  /// The errno.
  public let code: Int32
  /// What was being done, and to what: `bind 127.0.0.1:4433`.
  public let operation: String

  package init(code: Int32, operation: String) {
    self.code = code
    self.operation = operation
  }
}

extension SystemError: CustomStringConvertible {
  /// One line: `bind 127.0.0.1:4433: address already in use`.
  public var description: String {
    "\(operation): \(lowercasedFirst(unsafe String(cString: lrp2p_error_text(code))))"
  }
}

/// The C library's messages start with a capital; ours stand behind a colon. Abbreviations ("RPC …") stay.
func lowercasedFirst(_ text: String) -> String {
  guard let second = text.dropFirst().first, second.isLowercase else { return text }
  return text.prefix(1).lowercased() + text.dropFirst()
}

/// The result of a wrapper in CLinux, or its errno as an error. The operation's text is only built for an error.
@inline(__always)
func check(_ result: Int32, _ operation: @autoclosure () -> String) throws(SystemError) -> Int32 {
  if result < 0 { throw SystemError(code: -result, operation: operation()) }
  return result
}

/// Why a reactor could not be made.
public enum ReactorError: Error, Sendable {
  /// A field of the configuration is out of its range, or asks for what this machine does not have.
  case configuration(ConfigurationError)
  /// A socket or descriptor could not be had: the address is in use or not ours, or descriptors have run out
  /// (EMFILE).
  case system(SystemError)
}

extension ReactorError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .configuration(.outOfRange(let field, let allowed)): "configuration: \(field) must be \(allowed)"
    case .configuration(.unavailable(let field, let reason)): "configuration: \(field): \(reason)"
    case .system(let error): error.description
    }
  }
}

extension SystemError {
  /// What callers above the reactor tell apart without knowing errno.
  package enum Kind {
    case notFound, denied, exists, other
  }

  package var kind: Kind {
    switch code {
    case ENOENT, ENOTDIR: .notFound
    case EACCES, EPERM, EROFS: .denied
    case EEXIST: .exists
    default: .other
    }
  }
}
