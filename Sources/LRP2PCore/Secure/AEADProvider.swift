// SPDX-License-Identifier: MIT
/// Whose code seals and opens datagrams. It makes no difference on the wire; handshakes are libsodium's in any case.
public enum AEADProvider: String, Sendable, CaseIterable {
  /// libipsec-mb where it is installed and fits the processor, else libsodium.
  case automatic
  /// libsodium, which is always there. Its AES-256-GCM needs a processor that has instructions for it.
  case libsodium
  /// libipsec-mb (amd64), several times as fast; an error where it cannot be had.
  case ipsecMB = "libipsec-mb"
}
