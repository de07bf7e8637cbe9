// SPDX-License-Identifier: MIT
import CLinux
import LRP2PReactor

/// Runs a program of the packet filter as the kernel would.
struct PacketMachine {
  let code: [sock_filter]

  init(_ program: PacketProgram) { code = program.code }

  /// Whether the kernel would take the program: every jump and constant in range, the end a return.
  var isValid: Bool {
    guard let last = code.last, last.code & 0x07 == BPF_RET, code.count <= 4096 else { return false }
    return code.indices.allSatisfy { at in
      let step = code[at]
      switch Int32(step.code) & 0x07 {
      case BPF_JMP: return at + 1 + Int(max(step.jt, step.jf)) < code.count
      case BPF_ALU where Int32(step.code) & 0xF8 == BPF_MOD | BPF_K: return step.k != 0
      case BPF_ALU where Int32(step.code) & 0xF8 == BPF_RSH | BPF_K: return step.k < 32
      default: return true
      }
    }
  }

  /// What the program returns for a packet; 0 where it reads beyond its end.
  func run(_ packet: [UInt8]) -> UInt32 {
    var accumulator: UInt32 = 0
    var index: UInt32 = 0
    var at = 0
    while true {
      let step = code[at]
      at += 1
      switch Int32(step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        let offset = Int(step.k)
        guard offset + 4 <= packet.count else { return 0 }
        accumulator = packet[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
      case BPF_LD | BPF_W | BPF_LEN: accumulator = UInt32(packet.count)
      case BPF_MISC | BPF_TAX: index = accumulator
      case BPF_ALU | BPF_XOR | BPF_K: accumulator ^= step.k
      case BPF_ALU | BPF_XOR | BPF_X: accumulator ^= index
      case BPF_ALU | BPF_OR | BPF_X: accumulator |= index
      case BPF_ALU | BPF_MUL | BPF_K: accumulator &*= step.k
      case BPF_ALU | BPF_ADD | BPF_X: accumulator &+= index
      case BPF_ALU | BPF_ADD | BPF_K: accumulator &+= step.k
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= step.k
      case BPF_ALU | BPF_RSH | BPF_K: accumulator >>= step.k
      case BPF_ALU | BPF_MOD | BPF_K: accumulator %= step.k
      case BPF_JMP | BPF_JEQ | BPF_K: at += Int(accumulator == step.k ? step.jt : step.jf)
      case BPF_JMP | BPF_JEQ | BPF_X: at += Int(accumulator == index ? step.jt : step.jf)
      case BPF_JMP | BPF_JGE | BPF_K: at += Int(accumulator >= step.k ? step.jt : step.jf)
      case BPF_RET | BPF_K: return step.k
      case BPF_RET | BPF_A: return accumulator
      default: preconditionFailure("step \(step.code) is not interpreted")
      }
    }
  }
}
