// SPDX-License-Identifier: MIT
/// What a connection still has to do when it is over for its user, or about to be.
package struct Ending {
  package var isClosedByUser = false
  package var owesClose = false
  package var closeCode = CloseCode.none
  package var closeReason = ""
  /// When it waits no longer: for CLOSE to leave, for the reader, or for what is still on its way.
  package internal(set) var lingerDeadline: Instant = .never
  var lingerStart: Instant = 0
  /// Answers that have been given since, to a peer that repeats its FIN.
  var lingerAnswers = 0
  /// Datagrams received since CLOSE was sent, and the count at which it is sent again.
  package var lingerReceived = 0
  package var lingerAnswerAt = 1
  /// Its reader has not had all of what was acknowledged.
  package var drain = Drain()

  package init() {}
}
