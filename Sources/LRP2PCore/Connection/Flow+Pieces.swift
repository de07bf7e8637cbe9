// SPDX-License-Identifier: MIT
// Segments that come in pieces. Their cells are charged to the peer with those of its receive window.

extension Flow {
  /// Whether all that has come after a segment waits for it, and continues when it is there. For a reader that has stopped no part of the
  /// stream is urgent.
  package func isUrgent(_ number: UInt32, isMessages: Bool) -> Bool {
    number == receive.next && (isMessages || receive.keepsUp)
  }

  /// Takes one piece of a segment.
  package mutating func reassemble(
    _ number: UInt32, isMessages: Bool, offset: Int, total: Int, _ bytes: RawSpan, pool: inout ReceivePool
  ) -> Reassembly.Outcome {
    if reassembly == nil { reassembly = Reassembly() }
    let isNext = isUrgent(number, isMessages: isMessages)
    defer { receive.pieceCells = reassembly?.count ?? 0 }
    return reassembly!.insert(
      number, isNext: isNext, isMessages: isMessages, holding: receive.held(pool), offset: offset, total: total, bytes,
      pool: &pool)
  }

  /// Gives back the pieces of segments that have come by another way.
  package mutating func forgetPieces(pool: inout ReceivePool) {
    guard reassembly != nil else { return }
    reassembly?.forget(before: receive.next, pool: &pool)
    receive.pieceCells = reassembly?.count ?? 0
  }

  /// Gives back all of them. They count as never received.
  package mutating func releasePieces(to pool: inout ReceivePool) {
    reassembly?.releaseAll(to: &pool)
    receive.pieceCells = 0
  }

  /// Gives back a cell that was kept for the next segment, if its pieces have one.
  /// - Returns: whether they had.
  mutating func releaseKeptCell(to pool: inout ReceivePool) -> Bool {
    defer { receive.pieceCells = reassembly?.count ?? 0 }
    return reassembly?.releaseKept(to: &pool) ?? false
  }
}
