// SPDX-License-Identifier: MIT
import LRP2PCore

/// How many bytes have been delivered in all, looked at every so often. Times are since the first look, at which there were none.
package struct Deliveries: Sendable {
  package let step: Nanoseconds
  /// By the number of steps that have passed.
  private var totals: [UInt64] = [0]

  package init(step: Nanoseconds) { self.step = step }

  /// Of bytes by the step in which they came.
  init(step: Nanoseconds, each: [UInt64], steps: Int) {
    self.step = step
    var total: UInt64 = 0
    for index in 0..<steps {
      if index < each.count { total += each[index] }
      totals.append(total)
    }
  }

  /// One step later.
  package mutating func append(_ total: UInt64) { totals.append(total) }

  package var steps: Int { totals.count - 1 }

  /// Bits per second.
  func rate(from start: Int, steps: Int) -> Double {
    Double(totals[start + steps] - totals[start]) * 8e9 / Double(step) / Double(steps)
  }

  /// Bits per second over all of the range that was looked at.
  package func mean(in range: Range<Nanoseconds>) -> Double {
    let (first, last) = (Int(range.lowerBound / step), min(Int(range.upperBound / step), steps))
    return last > first ? rate(from: first, steps: last - first) : 0
  }

  /// The window of this length, among all that begin and end with a step of the range, in which least was delivered: bits per
  /// second, and when it began. `nil` where there is none.
  package func worst(window: Nanoseconds, in range: Range<Nanoseconds>) -> (rate: Double, at: Nanoseconds)? {
    let length = Int(window / step)
    let (first, last) = (Int(range.lowerBound / step), min(Int(range.upperBound / step), steps) - length)
    guard first <= last else { return nil }
    var worst: (rate: Double, at: Nanoseconds)?
    for start in first...last {
      let rate = rate(from: start, steps: length)
      if worst.map({ rate < $0.rate }) ?? true { worst = (rate, Nanoseconds(start) * step) }
    }
    return worst
  }

  /// The beginning of the first second behind `event` in which `rate` was delivered: no less in the three seconds from there on,
  /// so that a flood of what had waited for a gap is none. `nil` where there is none.
  package func recovery(to rate: Double, behind event: Nanoseconds) -> Nanoseconds? {
    let second = Int(.seconds(1) / step)
    var start = Int((event + step - 1) / step)
    while start + 3 * second <= steps {
      if self.rate(from: start, steps: second) >= rate, self.rate(from: start, steps: 3 * second) >= rate {
        return Nanoseconds(start) * step - event
      }
      start += 1
    }
    return nil
  }
}
