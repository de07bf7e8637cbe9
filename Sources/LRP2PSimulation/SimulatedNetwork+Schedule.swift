// SPDX-License-Identifier: MIT
import LRP2PCore

extension SimulatedNetwork {
  /// Has a link change at moments of virtual time that are known ahead (`now`, nanoseconds): what waits in its queue then goes on
  /// as the link is by then. Changes may be added at any time; what the queue has taken by then keeps the moment at which it was
  /// going to leave.
  public mutating func schedule(link number: Int, _ changes: [(at: Instant, change: LinkChange)]) {
    links[number].plan(changes)
  }

  /// Goes on until `end`, without asking any host before something wakes it: what is played is the same in however many
  /// steps.
  package mutating func go(until end: Instant) {
    while advance(until: end) {}
  }
}
