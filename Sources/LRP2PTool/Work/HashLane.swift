// SPDX-License-Identifier: MIT
import LRP2PReactor

/// The digest of one file, made beside the reading or writing of it once there is much of it.
///
/// `@unchecked Sendable`: the hash is touched by the owner while the lane rests, and else by the one thread that drains it.
@safe
package final class HashLane: @unchecked Sendable {
  /// Bytes behind which another thread takes over.
  private static let threshold: UInt64 = 4 << 20
  private static let mostPieces = 8

  private struct Piece: Sendable {
    let block: Block
    let range: Range<Int>
  }

  private struct State: ~Copyable {
    var pieces: [Piece] = []
    var isDraining = false
    /// The owner waits for this.
    var waiter: Rendezvous<Void>?
    var mostLeft = 0
  }

  private let pool: WorkPool?
  private let state = Locked(State())
  private var hash: FileHash
  private var count: UInt64 = 0

  /// - Parameter pool: without one all is done by the caller.
  package init(_ kind: DigestKind, pool: WorkPool?) {
    self.pool = pool
    hash = FileHash(kind)
  }

  /// Adds bytes of a block that changes no more.
  package func update(_ block: Block, _ range: Range<Int>) {
    count += UInt64(range.count)
    guard let pool, count > Self.threshold else {
      hash.update(block.bytes.extracting(range))
      return
    }
    let starts = state.withLock {
      $0.pieces.append(Piece(block: block, range: range))
      let starts = !$0.isDraining
      $0.isDraining = true
      return starts
    }
    if starts { pool.submit { self.drain() } }
    wait(mostLeft: Self.mostPieces)
  }

  /// Adds bytes at once, behind all that was added before.
  package func update(_ bytes: RawSpan) {
    wait(mostLeft: 0)
    count += UInt64(bytes.byteCount)
    hash.update(bytes)
  }

  /// The digest of all so far; more may follow.
  package func digest() -> [UInt8] {
    wait(mostLeft: 0)
    return hash.digest()
  }

  private func wait(mostLeft: Int) {
    let waiter: Rendezvous<Void>? = state.withLock {
      let isBusy = mostLeft == 0 ? $0.isDraining : $0.pieces.count > mostLeft
      guard isBusy else { return nil }
      let waiter = Rendezvous<Void>()
      $0.waiter = waiter
      $0.mostLeft = mostLeft
      return waiter
    }
    waiter?.wait()
  }

  private func drain() {
    while true {
      let (next, waiter): (Piece?, Rendezvous<Void>?) = state.withLock {
        let next = $0.pieces.isEmpty ? nil : $0.pieces.removeFirst()
        if next == nil { $0.isDraining = false }
        var waiter: Rendezvous<Void>?
        if $0.waiter != nil, next == nil || ($0.mostLeft > 0 && $0.pieces.count <= $0.mostLeft) {
          swap(&waiter, &$0.waiter)
        }
        return (next, waiter)
      }
      waiter?.deliver(())
      guard let next else { return }
      hash.update(next.block.bytes.extracting(next.range))
    }
  }
}
