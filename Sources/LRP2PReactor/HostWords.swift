// SPDX-License-Identifier: MIT
import LRP2PCore

/// Words that tell this host, and this run of its clock, from others. All that counts of them is that they differ.
enum HostWords {
  /// Made of the kernel's name for this boot; 0 where it does not say.
  static var boot: UInt64 { word(of: bootID) ?? 0 }

  /// Made of the machine's id and the host's name, which containers on one machine have each their own; without an id (in many
  /// images there is none) of the boot's instead. Where nothing is known no two processes have the same.
  static var host: UInt64 {
    guard let machine = word(of: "/etc/machine-id", atLeast: 32) ?? word(of: bootID) else {
      return .random(in: 0 ... .max)
    }
    return word(of: "/proc/sys/kernel/hostname", from: machine) ?? machine
  }

  private static let bootID = "/proc/sys/kernel/random/boot_id"
  private static let start: UInt64 = 0xCBF2_9CE4_8422_2325

  /// FNV-1a of a short file, `nil` where there is none, or one that is shorter than `atLeast` bytes.
  private static func word(of path: String, from start: UInt64 = start, atLeast: Int = 1) -> UInt64? {
    var content = InlineArray<64, UInt8>(repeating: 0)
    var elements = content.mutableSpan
    var bytes = unsafe elements.mutableBytes
    guard let (count, _) = try? SmallFile.read(path, into: &bytes), count >= atLeast else { return nil }
    var word = start
    for index in 0..<count { word = (word ^ UInt64(bytes.bytes.byte(index))) &* 0x100_0000_01B3 }
    return word
  }
}
