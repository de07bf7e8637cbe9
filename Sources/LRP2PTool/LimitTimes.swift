// SPDX-License-Identifier: MIT
import LRP2PCore

/// How long a transfer was held back by what. Asked behind each turn of its reactor: the time until the next is put down to
/// what the connection then waits for.
package struct LimitTimes {
  private var times = [Nanoseconds](repeating: 0, count: SendLimit.allCases.count)
  private var current: SendLimit?
  private var since: Instant = 0

  package init() {}

  /// - Parameter limit: `nil` once the connection is over.
  package mutating func note(_ limit: SendLimit?, now: Instant) {
    if let current, now > since, let index = SendLimit.allCases.firstIndex(of: current) { times[index] += now - since }
    current = limit
    since = now
  }

  /// One line: what took at least a hundredth of the time, the longest first; `nil` when there was no time.
  package var line: String? {
    let total = times.reduce(0, +)
    guard total > 0 else { return nil }
    let shares = zip(SendLimit.allCases, times).map { ($0, Int(Double($1) / Double(total) * 100 + 0.5)) }
    let told = shares.filter { $0.1 > 0 }.sorted { $0.1 > $1.1 }
    return "limited by: " + told.map { "\(Self.text($0.0)) \($0.1) %" }.joined(separator: ", ")
  }

  private static func text(_ limit: SendLimit) -> String {
    switch limit {
    case .handshake: "handshake"
    case .application: "this side's program"
    case .receiveWindow: "receiver's window"
    case .congestionWindow: "congestion window"
    case .pacing: "pacing"
    case .socket: "socket"
    case .nothing: "processor"
    }
  }
}
