// SPDX-License-Identifier: MIT
/// Features of the handshake, by bit (docs/protocol.md, section 10.6).
enum Feature {
  static var messages: UInt8 { 1 }
}
