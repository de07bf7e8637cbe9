// SPDX-License-Identifier: MIT
/// The tokens that peers have told for the case that they lose a connection, and which slot a reset is for: by the id that the peer
/// receives under, and its address.
///
/// Slots are chained in buckets, over a hash with a secret seed so that nobody can aim at one chain. The buckets grow one by one, each
/// by the split of another (linear hashing: Litwin, 1980), so that no peer waits until a large table is hashed anew. Of peers that have
/// told the same id from the same address the newest counts: no honest one does, and a chain has no other way to grow.
package struct ResetTokens: ~Copyable {
  /// By slot.
  private var tokens: GrowingColumn<Slot, ResetToken>
  /// By slot: the next one of its bucket, `last` behind the last, `none` for a slot that is in no bucket.
  private var next: GrowingColumn<Slot, Int32>
  /// The first slot of each bucket.
  private var buckets = GrowingColumn<Int, Int32>(repeating: Self.last, count: 16)
  /// The power of two at or below the number of buckets: those from here on are split off.
  private var round = 16
  private let seed: UInt64
  package private(set) var count = 0

  private static var last: Int32 { -1 }
  private static var none: Int32 { -2 }

  package init(slots: Int, seed: UInt64) {
    self.seed = seed
    tokens = GrowingColumn(repeating: ResetToken(), count: slots)
    next = GrowingColumn(repeating: Self.none, count: slots)
  }

  package var capacity: Int { buckets.count }
  package var blockCount: Int { tokens.blockCount &+ next.blockCount &+ buckets.blockCount }

  package func forEachBlock(_ body: (UnsafeRawBufferPointer) -> Void) {
    unsafe tokens.forEachBlock(body)
    unsafe next.forEachBlock(body)
    unsafe buckets.forEachBlock(body)
  }

  package mutating func grow(to slots: Int) {
    tokens.grow(to: slots, filling: ResetToken())
    next.grow(to: slots, filling: Self.none)
  }

  /// Whether a slot is in the table, and its token then.
  package func contains(_ slot: Slot) -> Bool { next[slot] != Self.none }
  package subscript(slot: Slot) -> ResetToken { tokens[slot] }

  /// The slot of the peer at `address` that receives under `id`.
  package func find(_ id: UInt64, _ address: Address, _ rows: borrowing GrowingColumn<Slot, PeerRow>) -> Slot? {
    var first = buckets[bucket(hash(id, address))]
    while first >= 0 {
      let slot = Slot(Int(first))
      if rows[slot].remoteID == id, rows[slot].address == address { return slot }
      first = next[slot]
    }
    return nil
  }

  /// Keeps what the peer of a slot, which is in no bucket, has told. Its id and address stay as they are until it is removed.
  package mutating func insert(_ slot: Slot, _ token: ResetToken, _ rows: borrowing GrowingColumn<Slot, PeerRow>) {
    precondition(!contains(slot), "a slot has one token")
    let (id, address) = (rows[slot].remoteID, rows[slot].address)
    if let earlier = find(id, address, rows) { remove(earlier, rows) }
    if count == buckets.count { split(rows) }
    tokens[slot] = token
    push(slot, bucket(hash(id, address)))
    count += 1
  }

  /// Forgets the token of a slot, if there is one.
  package mutating func remove(_ slot: Slot, _ rows: borrowing GrowingColumn<Slot, PeerRow>) {
    guard contains(slot) else { return }
    let bucket = bucket(hash(rows[slot].remoteID, rows[slot].address))
    if buckets[bucket] == Int32(slot.index) {
      buckets[bucket] = next[slot]
    } else {
      var before = Slot(Int(buckets[bucket]))
      while next[before] != Int32(slot.index) { before = Slot(Int(next[before])) }
      next[before] = next[slot]
    }
    next[slot] = Self.none
    tokens[slot] = ResetToken()
    count -= 1
  }

  private mutating func push(_ slot: Slot, _ bucket: Int) {
    next[slot] = buckets[bucket]
    buckets[bucket] = Int32(slot.index)
  }

  private func bucket(_ hash: UInt64) -> Int {
    let bucket = Int(truncatingIfNeeded: hash) & (2 * round - 1)
    return bucket < buckets.count ? bucket : bucket - round
  }

  /// One more bucket, for half of what the one has that it is split off from.
  private mutating func split(_ rows: borrowing GrowingColumn<Slot, PeerRow>) {
    if buckets.count == 2 * round { round *= 2 }
    let old = buckets.count - round
    var first = buckets[old]
    buckets[old] = Self.last
    buckets.grow(to: buckets.count + 1, filling: Self.last)
    while first >= 0 {
      let slot = Slot(Int(first))
      first = next[slot]
      push(slot, bucket(hash(rows[slot].remoteID, rows[slot].address)))
    }
  }

  private func hash(_ id: UInt64, _ address: Address) -> UInt64 {
    var hash = mix(seed ^ id)
    hash = mix(hash ^ address.high)
    hash = mix(hash ^ address.low)
    return mix(hash ^ (UInt64(address.port) << 32 | UInt64(address.scope)))
  }
}
