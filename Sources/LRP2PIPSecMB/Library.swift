// SPDX-License-Identifier: MIT
import CIPSecMB

/// Why libipsec-mb is not used on this machine.
package struct IPSecMBUnavailable: Error, Hashable {
  /// A part of a sentence.
  package let reason: String
}

/// The shared library, looked for once in a process and kept to its end.
@safe
struct Library: Sendable {
  // Functions of the library, which is never unloaded.
  private let functions: lrp2p_mb_library

  static let shared = Result<Library, IPSecMBUnavailable> { () throws(IPSecMBUnavailable) in try Library() }

  /// Of those named here the headers were compared: what CIPSecMB declares is the same in all, and an expanded key is at
  /// most `ExpandedKeys.length` long. A version that is not named has to be compared first.
  private static let knownVersions: [UInt32] = [
    0x01_0200, 0x01_0201, 0x01_0300, 0x01_0400, 0x01_0500, 0x02_0000, 0x02_0001, 0x02_0002,
  ]

  private init() throws(IPSecMBUnavailable) {
    #if arch(x86_64)
      var functions = lrp2p_mb_library()
      var problems: [String] = []
      for name in ["libIPSec_MB.so.1", "libIPSec_MB.so.2"] {
        guard let problem = unsafe lrp2p_mb_load(name, &functions) else { break }
        problems.append(unsafe String(cString: problem))
      }
      if problems.count == 2 { throw IPSecMBUnavailable(reason: problems[0]) }
      let version = functions.version()
      guard Self.knownVersions.contains(version) else {
        let text = "\(version >> 16).\(version >> 8 & 0xFF).\(version & 0xFF)"
        throw IPSecMBUnavailable(reason: "version \(text) is not one that was verified")
      }
      self.functions = functions
    #else
      throw IPSecMBUnavailable(reason: "it is for amd64 only")
    #endif
  }

  /// A manager for one thread, with the code that is best for this processor. Give it back to `release`.
  func makeManager() throws(IPSecMBUnavailable) -> UnsafeMutablePointer<lrp2p_mb_manager> {
    let made = unsafe withUnsafePointer(to: functions) { unsafe lrp2p_mb_make($0) }
    guard let manager = unsafe made else { throw IPSecMBUnavailable(reason: "there is no memory for it") }
    let features = unsafe manager.pointee.features
    var problem: String?
    if unsafe manager.pointee.error != 0 {
      // It has also tested itself.
      problem = "it does not start (error \(unsafe manager.pointee.error))"
    } else if !Self.has(features, LRP2P_MB_AESNI) || !Self.has(features, LRP2P_MB_PCLMULQDQ) {
      // It would go on with code that is slower than libsodium's.
      problem = "the processor has no AES instructions"
    }
    if let problem {
      unsafe release(manager)
      throw IPSecMBUnavailable(reason: problem)
    }
    return unsafe manager
  }

  func release(_ manager: UnsafeMutablePointer<lrp2p_mb_manager>) {
    unsafe withUnsafePointer(to: functions) { unsafe lrp2p_mb_release($0, manager) }
  }

  private static func has(_ features: UInt64, _ feature: lrp2p_mb_feature) -> Bool {
    features & UInt64(feature.rawValue) != 0
  }
}
