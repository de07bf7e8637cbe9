// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// What ends a command: one line, and the exit status.
struct Failure: Error, CustomStringConvertible {
  let description: String
  let status: Int32

  init(_ description: String, status: Int32 = 1) {
    self.description = description
    self.status = status
  }

  init(_ error: IdentityError) { self.init("\(error)") }
  init(_ error: ReactorError) { self.init("\(error)") }
  init(_ error: SystemError) { self.init("\(error)") }

  init(_ error: Resolver.Failure) {
    // EX_NOHOST of sysexits.h.
    if case .notFound = error { self.init("\(error)", status: 68) } else { self.init("\(error)") }
  }

  /// - Parameter wasAnswered: whether the connection had begun.
  init(_ reason: CloseReason, of peer: String, wasAnswered: Bool = true) {
    let end = DialEnd(reason, of: peer, wasAnswered: wasAnswered)
    self.init(end.text, status: end.status)
  }
}
