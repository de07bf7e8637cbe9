// SPDX-License-Identifier: MIT
import LRP2PReactor

/// What an end of a run counts, and how it names it on the pipe to the process that started it.
enum Quantity: Int, CaseIterable {
  case elapsedNanoseconds, bytesDelivered, cpuNanoseconds, residentBytes, allocations
  case datagramsSent, datagramsRetransmitted, bytesSent, bytesReceived, kernelDrops
  /// Pieces of the stream that were not what they should be. Counted from the beginning, warm-up included.
  case wrongPieces
  /// The number of the AEAD in the handshake; 0 without one.
  case aead
  /// What moved the datagrams: 1 io_uring, 2 epoll, which is also what counts when the ends differ.
  case backend
  case messageBytes, rounds, medianNanoseconds, slowNanoseconds, rawMedianNanoseconds, rawSlowNanoseconds
  /// Nanoseconds of one X25519 multiplication, and of one of the base point.
  case multiplication, baseMultiplication
  case handshakes, datagramsReceived, connections
  /// Resident memory at two moments.
  case residentBefore, residentAfter
  case keepAlives, lateDatagrams
  /// New connections of honest peers during a flood: begun, and done in time.
  case connectsBegun, connectsDone
  case cookieReplies
  /// Datagrams that came to the wrong one of several reactors.
  case misdirected
  /// First messages beyond the mark: those whose cookie was right, and those whose was not.
  case cookiesAccepted, cookiesInvalid
  /// Messages that subscribers have acknowledged.
  case deliveries

  private enum Merging { case sum, maximum }

  private var merging: Merging {
    switch self {
    case .residentBytes, .aead, .backend, .messageBytes, .medianNanoseconds, .slowNanoseconds, .rawMedianNanoseconds,
      .rawSlowNanoseconds, .multiplication, .baseMultiplication, .residentBefore, .residentAfter:
      .maximum
    default: .sum
    }
  }

  func merged(_ a: UInt64, _ b: UInt64) -> UInt64 { merging == .sum ? a &+ b : max(a, b) }
}

/// One number for each quantity that was measured. It needs no allocation, so taking one does not disturb the count.
struct Measurement {
  private var values = InlineArray<35, UInt64>(repeating: 0)
  /// One bit for each quantity that has a value.
  private var present: UInt64 = 0

  subscript(_ quantity: Quantity) -> UInt64 {
    get { values[quantity.rawValue] }
    set {
      values[quantity.rawValue] = newValue
      present |= 1 << quantity.rawValue
    }
  }

  func has(_ quantity: Quantity) -> Bool { present & 1 << quantity.rawValue != 0 }

  /// What was counted between `earlier` and this.
  func difference(since earlier: Measurement) -> Measurement {
    var result = self
    for index in values.indices { result.values[index] &-= earlier.values[index] }
    return result
  }

  /// Adds another slice of the same kind.
  mutating func merge(_ other: Measurement) {
    for quantity in Quantity.allCases where other.has(quantity) {
      self[quantity] = quantity.merged(self[quantity], other[quantity])
    }
  }

  /// What moved the datagrams, where that was measured.
  var backend: ReactorBackend? {
    get { has(.backend) ? (self[.backend] == 1 ? .ioUring : .epoll) : nil }
    set { if let newValue { self[.backend] = newValue == .ioUring ? 1 : 2 } }
  }

  var gigabitsPerSecond: Double { Double(self[.bytesDelivered]) * 8 / Double(self[.elapsedNanoseconds]) }

  func cpuSecondsPerGiB(of bytes: UInt64) -> Double {
    Double(self[.cpuNanoseconds]) / 1e9 / (Double(bytes) / Double(1 << 30))
  }
}

// On the pipe: one line for each quantity, `name value`, and `end` behind each measurement.
extension Measurement {
  static let endLine = "end"

  var lines: [String] {
    Quantity.allCases.filter(has).map { "\($0) \(self[$0])" } + [Self.endLine]
  }

  /// - Returns: false when the line is no `name value`.
  mutating func parse(_ line: String) -> Bool {
    let parts = line.split(separator: " ")
    guard parts.count == 2, let value = UInt64(parts[1]),
      let quantity = Quantity.allCases.first(where: { "\($0)" == parts[0] })
    else { return false }
    self[quantity] = value
    return true
  }
}
