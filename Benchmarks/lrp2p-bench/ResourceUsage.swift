// SPDX-License-Identifier: MIT
import CAllocationCount
import CBenchSystem
import CLinux
import LRP2PCore

/// What this process has used so far.
enum ResourceUsage {
  /// The most memory that was resident at any time, in bytes.
  static func residentBytes() -> UInt64 { status("VmHWM:") }

  /// The memory that is resident now, in bytes.
  static func residentNow() -> UInt64 { status("VmRSS:") }

  /// A line of /proc/self/status, in bytes.
  private static func status(_ name: String) -> UInt64 {
    var mode: UInt32 = 0
    let file = unsafe lrp2p_open_read("/proc/self/status", &mode)
    guard file >= 0 else { return 0 }
    defer { _ = lrp2p_close(file) }
    var text = [UInt8](repeating: 0, count: 8192)
    let length = unsafe text.withUnsafeMutableBytes { unsafe lrp2p_read(file, $0.baseAddress!, $0.count) }
    guard length > 0 else { return 0 }
    for line in text[..<Int(length)].split(separator: UInt8(ascii: "\n")) where line.starts(with: name.utf8) {
      let digits = line.filter { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
      return (UInt64(String(decoding: digits, as: UTF8.self)) ?? 0) << 10
    }
    return 0
  }
}

/// Takes what is counted between the end of the warm-up and the end of the run.
struct Meter {
  /// Not measured: caches fill, buffers and windows grow.
  static let warmUp: Nanoseconds = .seconds(1)
  /// Ends of a run at which the two sides may differ.
  private static let tolerance: Nanoseconds = .milliseconds(250)

  private let length: Nanoseconds
  private var start: Instant = .never
  private var first: Measurement?
  private(set) var result: Measurement?

  /// - Parameter length: the warm-up included.
  init(length: Nanoseconds) { self.length = length }

  var isStarted: Bool { start != .never }
  var isDone: Bool { result != nil }
  /// When the run ends, once it has started.
  var end: Instant { start == .never ? .never : start &+ length }

  mutating func begin(at now: Instant) { start = now }

  /// Whether `take` has something to do.
  @inline(__always) func isDue(at now: Instant) -> Bool {
    isStarted && !isDone && now &- start >= (first == nil ? Self.warmUp : length)
  }

  /// Whether the run is nearly over, so that an end now is no failure.
  func isNearEnd(at now: Instant) -> Bool { isStarted && first != nil && now &- start &+ Self.tolerance >= length }

  /// - Parameter counters: what else is counted, since whenever; processor time, where it is not the process's.
  mutating func take(_ counters: Measurement, at now: Instant) {
    var counters = counters
    counters[.elapsedNanoseconds] = now
    if !counters.has(.cpuNanoseconds) { counters[.cpuNanoseconds] = bench_cpu_time() }
    counters[.allocations] = allocation_count()
    guard let first else {
      first = counters
      return
    }
    result = counters.difference(since: first)
    result?[.residentBytes] = ResourceUsage.residentBytes()
  }
}
