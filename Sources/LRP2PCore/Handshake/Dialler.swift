// SPDX-License-Identifier: MIT
/// What this side's dials have in common.
struct Dialler: ~Copyable {
  /// Cookies of others for dials to come.
  var cookies = RememberedCookies()
  /// How long a message 1 hosts have taken.
  var lengths = RememberedLengths()
  /// Attempts that have no answer.
  var attemptsUnderWay = 0
}
