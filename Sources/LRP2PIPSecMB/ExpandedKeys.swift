// SPDX-License-Identifier: MIT
import CIPSecMB
internal import LRP2PCore

/// AES-256 keys, expanded: the round keys and the powers of the hash key, about 1 KiB each. They are kept for peers that
/// are active: in a table of fixed size, where a key row has one place that it shares with others.
///
/// A place is taken at its word only when it was filled for the very 32 bytes that are asked for, so a row may change its
/// key at any time. What a place holds goes when another key needs it, with `forget`, and with the table.
@safe
struct ExpandedKeys: ~Copyable {
  static var places: Int { 256 }
  /// Room of one expanded key, the longest of all versions being 1264 bytes; the library wants an alignment of 64.
  private static var length: Int { 1280 }

  private struct Origin: BitwiseCopyable {
    /// -1: the place is empty.
    var row = -1
    var key: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  }

  // Bound: `places` expanded keys and as many origins; `place(of:)` is below it. The pages of places that were never
  // filled are never touched, so they take no memory.
  private let expanded: UnsafeMutableRawPointer
  private let origins: UnsafeMutablePointer<Origin>
  private let memory: any SecretMemory
  private static var expandedBytes: Int { places * length }
  private static var originBytes: Int { places * MemoryLayout<Origin>.stride }

  init(memory: any SecretMemory) {
    self.memory = memory
    unsafe expanded = memory.allocate(byteCount: Self.expandedBytes)
    unsafe origins = memory.allocate(byteCount: Self.originBytes).bindMemory(to: Origin.self, capacity: Self.places)
    unsafe origins.initialize(repeating: Origin(), count: Self.places)
  }

  deinit {
    for place in 0..<Self.places where unsafe origins[place].row >= 0 { empty(place) }
    unsafe memory.release(expanded, byteCount: Self.expandedBytes)
    unsafe memory.release(UnsafeMutableRawPointer(origins), byteCount: Self.originBytes)
  }

  private static func place(of row: Int) -> Int { row & (places - 1) }

  /// The expanded key of `row`, whose 32 bytes are at `key`: valid until another row is asked for.
  @inline(__always)
  func expand(_ key: UnsafePointer<UInt8>, row: Int, with manager: UnsafePointer<lrp2p_mb_manager>)
    -> UnsafeMutableRawPointer
  {
    let place = Self.place(of: row)
    let target = unsafe expanded + place * Self.length
    let words = unsafe UnsafeRawPointer(key).loadUnaligned(as: (UInt64, UInt64, UInt64, UInt64).self)
    let origin = unsafe origins[place]
    // In constant time: both are secrets.
    let difference = lrp2p_mb_opaque(
      (origin.key.0 ^ words.0) | (origin.key.1 ^ words.1) | (origin.key.2 ^ words.2) | (origin.key.3 ^ words.3))
    if origin.row != row || difference != 0 {
      unsafe lrp2p_mb_aes_expand(manager, key, target)
      unsafe origins[place] = Origin(row: row, key: words)
    }
    return unsafe target
  }

  /// Wipes what was made of the key of `row`.
  func forget(_ row: Int) {
    let place = Self.place(of: row)
    if unsafe origins[place].row == row { empty(place) }
  }

  /// Places that are filled.
  var count: Int { (0..<Self.places).count { place in unsafe origins[place].row >= 0 } }

  private func empty(_ place: Int) {
    unsafe lrp2p_mb_wipe(expanded + place * Self.length, Self.length)
    unsafe lrp2p_mb_wipe(origins + place, MemoryLayout<Origin>.size)
    unsafe origins[place].row = -1
  }
}
