// SPDX-License-Identifier: MIT
import LRP2PCore

/// What a case has shown over some seeds, with one controller.
package struct PathResult: Sendable {
  package let path: PathCase
  package let congestion: CongestionAlgorithm
  package let outcomes: [PathOutcome]

  package init(_ path: PathCase, _ congestion: CongestionAlgorithm, _ outcomes: [PathOutcome]) {
    self.path = path
    self.congestion = congestion
    self.outcomes = outcomes
  }

  /// Over the seeds; `nil` is what in half of them never came.
  package func median(_ value: (PathOutcome) -> Double?) -> Double? {
    let median = Self.median(outcomes.map { value($0) ?? .infinity })
    return median.isFinite ? median : nil
  }

  package func value(of measure: PathMeasure) -> Double? { median { $0.value(of: measure) } }

  /// Whether the medians meet all bars.
  package var isPassed: Bool { path.bars.allSatisfy { $0.isMet(by: value(of: $0.measure)) } }

  /// The seeds that miss a bar by themselves, the worst first: by the first bar that they miss.
  package var missed: [PathOutcome] {
    outcomes.filter { !$0.meets(path.bars) }.sorted { shortfall($0) > shortfall($1) }
  }

  /// How far a seed is from its bars, as a part of them.
  private func shortfall(_ outcome: PathOutcome) -> Double {
    path.bars.map { bar in
      guard let value = outcome.value(of: bar.measure), value.isFinite else { return .infinity }
      let scale = max(bar.limit, .leastNormalMagnitude)
      return bar.measure.isBetterWhenMore ? (bar.limit - value) / scale : (value - bar.limit) / scale
    }.max() ?? 0
  }

  /// Of an even number the mean of the middle two.
  static func median(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return .infinity }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
