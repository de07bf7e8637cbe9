// SPDX-License-Identifier: MIT
/// A value of a configuration that cannot be used.
public enum ConfigurationError: Error, Hashable, Sendable {
  /// The field is outside of its documented range.
  case outOfRange(field: String, allowed: String)
  /// This machine does not have what the field asks for.
  case unavailable(field: String, reason: String)
}
