// SPDX-License-Identifier: MIT
/// What a listener's program answers to a peer that wants to connect (`Handler.admission`).
public enum Admission: Hashable, Sendable {
  /// The connection begins.
  case accepted
  /// There is no connection. Unless `EngineConfiguration.reportsRefusals` is off, the peer's dial ends with
  /// `CloseReason.remote(code:reason:)`.
  ///
  /// - Parameters:
  ///   - code: for the peer's program: one of this program's own, or `keyRefused`; any other of the protocol's is taken for that.
  ///   - reason: for people, at most 1,000 bytes of UTF-8; the rest is cut off.
  case refused(code: CloseCode = .keyRefused, reason: String = "")
}
