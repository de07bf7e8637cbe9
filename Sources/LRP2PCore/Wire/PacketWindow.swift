// SPDX-License-Identifier: MIT
/// Windows are counted in packets, in 24 bits.
package enum PacketWindow {
  package static let largest: UInt32 = 0xFF_FFFF
}
