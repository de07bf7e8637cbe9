// SPDX-License-Identifier: MIT
/// Counts what was checked and keeps what failed first.
struct Checks {
  var count = 0
  var failure: String?

  mutating func require(_ condition: Bool, _ message: @autoclosure () -> String) {
    count += 1
    if !condition, failure == nil { failure = message() }
  }
}
