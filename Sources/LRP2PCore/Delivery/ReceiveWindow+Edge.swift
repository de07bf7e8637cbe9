// SPDX-License-Identifier: MIT
// How far the peer may send. A window is a promise in packets and may be larger than what there is room for. When there is none, a
// segment is refused, and the next ACK takes the promise back from there on: the sender then knows that it was no loss. From
// then on the window follows the room that there is, until that is no limit any more.

extension ReceiveWindow {
  /// Promises may come to so many times the memory that one peer may have.
  package static var overcommitment: Int { 256 }

  /// The segment `number` found no room.
  /// - Returns: whether it is the first since the last ACK, which is to be told at once.
  package mutating func refuse(_ number: UInt32) -> Bool {
    let isFirst = !hasRefused
    if isFirst || number.precedes(refusedFrom) { refusedFrom = number }
    hasRefused = true
    isPressed = true
    return isFirst
  }

  /// Packets beyond the last in-order number that may be sent. An ACK tells it.
  package mutating func advertise(_ pool: borrowing ReceivePool) -> UInt32 {
    let edge = edge(pool)
    // What is told once is over, however little room there is: the sender has it from here.
    if isPressed, !hasRefused, edge == delivered &+ window || (cells == 0 && pool.isHalfFree) { isPressed = false }
    hasRefused = false
    promisedEdge = edge
    return min(edge &- next, PacketWindow.largest)
  }

  /// Behind the highest number that may be sent.
  func edge(_ pool: borrowing ReceivePool) -> UInt32 {
    let open = delivered &+ window
    guard isPressed else { return promisedEdge.precedes(open) ? open : promisedEdge }
    if hasRefused {
      let edge = refusedFrom.precedes(promisedEdge) ? refusedFrom : promisedEdge
      return edge.precedes(next) ? next : edge
    }
    // Half of the room, as others have the same.
    let room = pool.room(holding: held(pool)) / (2 * pool.cellBytes)
    let edge = next &+ UInt32(min(max(room, needlessRoom), Int(open &- next)))
    return promisedEdge.precedes(edge) ? edge : promisedEdge
  }

  /// Packets that need no room: the next in order, while the reader keeps up; and some behind it, if the peer has been stopped right
  /// there, as they come in order unless one is lost.
  private var needlessRoom: Int {
    guard unread.isEmpty, !isPaused else { return 0 }
    return highest == next && !next.precedes(promisedEdge) ? 16 : 1
  }

  /// Whether the window has opened by at least half since the last ACK told.
  @inline(__always)
  package func reopened(_ pool: borrowing ReceivePool) -> Bool {
    if isPressed { return hasOpened(pool) }
    return (delivered &+ window).ahead(of: promisedEdge) >= Int(window / 2)
      && promisedEdge.ahead(of: next) <= Int(window / 2)
  }

  private func hasOpened(_ pool: borrowing ReceivePool) -> Bool {
    guard !hasRefused else { return false }
    let edge = edge(pool)
    let opened = edge.ahead(of: promisedEdge)
    return opened > 0 && opened >= Int(edge &- next) / 2
  }
}
