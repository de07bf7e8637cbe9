// SPDX-License-Identifier: MIT
// What a segment of messages has beside others: it may become shorter when it is sent again, and what it lists is given back once.

extension SendWindow {
  /// A segment of messages carries others, or fewer, from here on.
  package mutating func replace(_ number: UInt32, list: UInt32, length: Int) {
    let entry = self[number]
    precondition(entry.isMessages && !entry.isAcknowledged && length <= entry.length)
    if !entry.isWaiting { bytesInFlight -= UInt64(entry.length - length) }
    self[number].packed =
      entry.packed & ~(Sent.offsetMask | 0x7FFF << 40) | UInt64(list) & Sent.offsetMask | UInt64(length) << 40
  }

  /// The list of the first segment from `number` on that carries messages and is not acknowledged.
  package func messages(from number: inout UInt32) -> UInt32? {
    while number.precedes(next) {
      let entry = self[number]
      number &+= 1
      if entry.isMessages, !entry.isAcknowledged { return UInt32(truncatingIfNeeded: entry.packed & Sent.offsetMask) }
    }
    return nil
  }
}
