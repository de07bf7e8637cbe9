// SPDX-License-Identifier: MIT
import LRP2PCore

/// Many subscribers in one process, over one socket: each counts the bytes that it gets.
struct Subscribers: ReceivingHandler {
  /// Messages that each of them wants before it leaves.
  let wanted: Int
  private var counts = PeerColumn<Int>()
  private(set) var finished = 0
  private(set) var ended = 0

  init(wanted: Int) { self.wanted = wanted }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { counts[peer] = 0 }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let before = counts[peer] else { return }
    counts[peer] = before + bytes.byteCount
    guard before + bytes.byteCount >= wanted * Publisher.messageBytes else { return }
    // Once: it is no longer counted from here on.
    counts[peer] = nil
    finished += 1
    engine.close(peer, code: 0)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    counts[peer] = nil
    ended += 1
  }
}
