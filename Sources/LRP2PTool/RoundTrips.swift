// SPDX-License-Identifier: MIT
/// Round trips in microseconds: how many, and their extremes.
package struct RoundTrips {
  package private(set) var count = 0
  package private(set) var shortest = Double.infinity
  package private(set) var longest = 0.0
  private var sum = 0.0

  package init() {}

  package mutating func add(_ microseconds: Double) {
    count += 1
    sum += microseconds
    shortest = min(shortest, microseconds)
    longest = max(longest, microseconds)
  }

  package var average: Double { count > 0 ? sum / Double(count) : 0 }

  /// `5 sent, 4 received, 20 % lost, min/avg/max 0.100/0.200/0.300 ms`
  package func summary(sent: Int) -> String {
    let lost = sent > 0 ? 100 * (sent - count) / sent : 0
    let head = "\(sent) sent, \(count) received, \(lost) % lost"
    guard count > 0 else { return head }
    let figures = [shortest, average, longest].map { Rate.decimal($0 / 1000, places: 3) }
    return "\(head), min/avg/max \(figures.joined(separator: "/")) ms"
  }
}
