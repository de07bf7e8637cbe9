// SPDX-License-Identifier: MIT
// A reader of the stream that stops must not stop messages, which share the window with it. So where messages are in force the peer is asked
// to hold its stream back long before the window closes: what is under way by then still finds room.

extension ReceiveWindow {
  /// Whether the peer is to send nothing new of its stream. Once it is asked to, until half of that is left.
  package func holdsStream(_ pool: borrowing ReceivePool) -> Bool {
    guard !unread.isEmpty else { return false }
    let share = tellsHold ? 8 : 4
    return unread.count * share > Int(window) || held(pool) * share > pool.room(holding: held(pool)) + held(pool)
  }
}
