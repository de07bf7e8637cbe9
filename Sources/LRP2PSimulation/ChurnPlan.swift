// SPDX-License-Identifier: MIT
import LRP2PCore

/// What one connection of a churn does. Both ends know it by the connection's number, which the first eight bytes of the
/// dialling side say; every other byte, either way, is a function of the number, the direction and the offset.
struct ChurnPlan {
  enum Shape {
    /// A request and an answer, then both finish.
    case exchange
    /// Finished without a byte.
    case bare
    /// The dialling side closes when it has the answer.
    case callerCloses
    /// The responder closes when the other has acknowledged the answer.
    case responderCloses
    /// The responder finishes with its answer, and the dialling side only then.
    case responderFinishes
    /// The dialling side closes after a time, whatever there is by then.
    case aborted
    /// After the answer nobody says a word any more, until both take the other for gone; a host that keeps connections alive
    /// closes it after a time.
    case left
    /// Minutes of small messages, each answered, with pauses in which the connection rests.
    case stays
  }

  let number: UInt64
  let shape: Shape
  let requestBytes: UInt64
  let answerBytes: UInt64
  /// When the dialling side closes (aborted, left) or finishes (stays), after the dial.
  let lifetime: Nanoseconds

  /// - Parameter salt: of the world.
  init(number: UInt64, salt: UInt64) {
    self.number = number
    var random = SeededRandom(seed: number ^ salt)
    let shape: Shape =
      switch random.below(1000) {
      case ..<500: .exchange
      case ..<600: .bare
      case ..<720: .callerCloses
      case ..<820: .responderCloses
      case ..<890: .responderFinishes
      case ..<950: .aborted
      case ..<985: .left
      default: .stays
      }
    self.shape = shape
    let isLong = random.happens(0.02)
    requestBytes = shape == .bare ? 0 : 8 + random.below(isLong ? 6000 : 300)
    answerBytes = shape == .bare ? 0 : 1 + random.below(isLong ? 6000 : 600)
    lifetime =
      switch shape {
      case .stays: .seconds(20) + random.below(.seconds(180))
      case .left: .seconds(60)
      default: random.below(.milliseconds(300))
      }
  }

  /// What CLOSE carries: another connection's would be seen.
  var code: CloseCode { CloseCode(rawValue: UInt32(truncatingIfNeeded: number)) }

  // MARK: Bytes

  /// The eight bytes of a stream that begin at an offset divisible by eight.
  private static func word(_ number: UInt64, isAnswer: Bool, _ offset: UInt64) -> UInt64 {
    if offset == 0, !isAnswer { return number }
    let start = (number << 1 | (isAnswer ? 1 : 0)) &* 0x9E37_79B9_7F4A_7C15
    let word = (start ^ (offset >> 3)) &* 0xBF58_476D_1CE4_E5B9
    return word ^ (word >> 31)
  }

  private static func byte(_ number: UInt64, isAnswer: Bool, _ offset: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: word(number, isAnswer: isAnswer, offset & ~7) >> (56 - 8 * (offset & 7)))
  }

  static func fill(_ number: UInt64, isAnswer: Bool, _ offset: UInt64, into bytes: inout MutableRawSpan) {
    var at = 0
    while at < bytes.byteCount {
      let position = offset + UInt64(at)
      if position & 7 == 0, at + 8 <= bytes.byteCount {
        bytes.setBigEndian64(at, word(number, isAnswer: isAnswer, position))
        at += 8
      } else {
        bytes.setByte(at, byte(number, isAnswer: isAnswer, position))
        at += 1
      }
    }
  }

  static func matches(_ number: UInt64, isAnswer: Bool, _ offset: UInt64, _ bytes: RawSpan) -> Bool {
    var at = 0
    while at < bytes.byteCount {
      let position = offset + UInt64(at)
      if position & 7 == 0, at + 8 <= bytes.byteCount {
        guard bytes.bigEndian64(at) == word(number, isAnswer: isAnswer, position) else { return false }
        at += 8
      } else {
        guard bytes.byte(at) == byte(number, isAnswer: isAnswer, position) else { return false }
        at += 1
      }
    }
    return true
  }
}
