// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PIPSecMB
import LRP2PReactor
import LRP2PSodium

/// Where suites come from: each engine needs one of its own.
package enum CipherSuites {
  /// - Throws: `provider` names a library that cannot be had here. `automatic` always gives a suite.
  package static func make(_ provider: AEADProvider) throws(ConfigurationError) -> any CipherSuite {
    let sodium = SodiumSuite()
    switch provider {
    case .libsodium:
      return sodium
    case .automatic:
      do throws(IPSecMBUnavailable) { return try IPSecMBSuite(handshakes: sodium, memory: SecretPages()) } catch {
        return sodium
      }
    case .ipsecMB:
      do throws(IPSecMBUnavailable) { return try IPSecMBSuite(handshakes: sodium, memory: SecretPages()) } catch {
        throw .unavailable(field: "aeadProvider", reason: "libipsec-mb: \(error.reason)")
      }
    }
  }
}
