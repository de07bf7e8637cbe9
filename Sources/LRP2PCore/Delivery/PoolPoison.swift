// SPDX-License-Identifier: MIT
/// What stands in a free cell of a pool, where builds ask for it (`POISONS_POOL`): nobody may write there, which is looked at when
/// the cell is taken again, and whoever reads there hands over bytes that no peer has sent.
package enum PoolPoison {
  #if POISONS_POOL
    package static let isOn = true
  #else
    package static let isOn = false
  #endif

  private static let pattern: UInt64 = 0xF4EE_DF4E_EDF4_EEDF

  /// Fills what nobody may read or write any more, in whole words.
  @_lifetime(bytes: copy bytes)
  package static func fill(_ bytes: inout MutableRawSpan) {
    for at in stride(from: 0, to: bytes.byteCount & ~7, by: 8) { bytes.setBigEndian64(at, pattern) }
  }

  /// Whether nobody has written there since.
  package static func isUntouched(_ bytes: RawSpan) -> Bool {
    for at in stride(from: 0, to: bytes.byteCount & ~7, by: 8) where bytes.bigEndian64(at) != pattern { return false }
    return true
  }
}
