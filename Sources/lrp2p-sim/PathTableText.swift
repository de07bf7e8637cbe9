// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation

/// The table as text: a line a path, and side by side what comes of it with each controller.
enum PathTableText {
  private static var columns: [(name: String, width: Int)] {
    [
      ("", 4), ("value", 9), ("arrived", 8), ("loss", 7), ("queue ms", 9), ("recover s", 10), ("spurious", 9),
    ]
  }

  static var pathWidth: Int { 17 }
  static var barWidth: Int { 29 }

  static func header(_ controllers: [CongestionAlgorithm]) -> String {
    let names = columns.map { Output.padded($0.name, $0.width, isRight: true) }.joined()
    let width = columns.map(\.width).reduce(0, +)
    let first =
      Output.padded("", pathWidth + barWidth) + controllers.map { " | " + Output.padded($0.rawValue, width) }.joined()
    let second =
      Output.padded("path", pathWidth) + Output.padded("bar", barWidth)
      + controllers.map { _ in " | " + names }.joined()
    return first + "\n" + second
  }

  static func row(_ results: [PathResult]) -> String {
    let path = results[0].path
    var line = Output.padded(path.name, pathWidth) + Output.padded(path.barText, barWidth)
    for result in results {
      let values = [
        result.isPassed ? "pass" : "MISS", number(result.value(of: path.bars[0].measure), 3),
        path.flows[0].bytes == nil ? number(result.median(\.arrived), 3) : "-",
        number(result.median(\.loss), 3), number(result.median(\.queue).map { $0 * 1000 }, 1),
        path.event == nil ? "-" : number(result.median(\.recovery), 2), number(result.median(\.spurious), 4),
      ]
      line += " | " + zip(values, columns).map { Output.padded($0, $1.width, isRight: true) }.joined()
    }
    return line
  }

  private static func number(_ value: Double?, _ places: Int) -> String {
    value.map { Output.decimal($0, places) } ?? "never"
  }
}

extension PathCase {
  /// The first of its bars, and a mark where it is a proposal.
  var barText: String { bars[0].text + mark }
  var barsText: String { bars.map(\.text).joined(separator: ", ") + mark }
  private var mark: String { isProposed ? " *" : "" }
}

extension PathBar {
  fileprivate var text: String {
    let sign = measure == .leastFlow ? ">" : measure.isBetterWhenMore ? ">=" : "<="
    return "\(measure.rawValue) \(sign) \(Output.decimal(limit, 2))"
  }
}

extension PathResult {
  /// Which seeds miss a bar, and what plays the worst of them again.
  var missedText: String {
    let missed = missed
    let bars = path.bars.filter { bar in missed.contains { !bar.isMet(by: $0.value(of: bar.measure)) } }
    let names = bars.map(\.text).joined(separator: ", ")
    let seeds =
      missed.count == outcomes.count
      ? "" : ": " + missed.map(\.seed).sorted().map { "\($0)" }.joined(separator: " ")
    return
      "\(path.name) \(congestion.rawValue): \(missed.count) of \(outcomes.count) seeds miss the bar \(names)\(seeds)"
      + "\n  the worst: \(path.command(seed: missed[0].seed, congestion))"
  }

  /// Medians over the seeds, beside the bars.
  private static var medians: [(name: String, places: Int, value: (PathOutcome) -> Double?)] {
    [
      ("goodput", 5, { $0.goodput }), ("mean_goodput", 5, { $0.meanGoodput }), ("arrived", 5, { $0.arrived }),
      ("loss", 5, { $0.loss }), ("queue_ms", 3, { $0.queue * 1000 }), ("queue_p95_ms", 3, { $0.longQueue * 1000 }),
      ("recovery_s", 2, { $0.recovery }), ("spurious", 5, { $0.spurious }), ("resends", 5, { $0.resends }),
      ("pairs", 5, { $0.pairs }), ("least_flow", 5, { $0.leastFlow }), ("first_byte_s", 3, { $0.firstByte }),
      ("completion_s", 3, { $0.completion }), ("slowdown", 3, { $0.slowdown }),
      ("short_completion_s", 3, { $0.shortCompletion }), ("probe_timeouts", 1, { Double($0.probeTimeouts) }),
    ]
  }

  private static func number(_ value: Double?, _ places: Int = 5) -> String {
    value.map { $0.isFinite ? Output.decimal($0, places) : "null" } ?? "null"
  }

  private func json(of bar: PathBar) -> String {
    let value = value(of: bar.measure)
    return "{\"measure\":\"\(bar.measure.rawValue)\",\"value\":\(Self.number(value)),"
      + "\"bar\":\(Self.number(bar.limit)),\"passed\":\(bar.isMet(by: value))}"
  }

  var json: String {
    let (bar, missed) = (path.bars[0], missed)
    var fields: [(name: String, value: String)] = [
      ("path", "\"\(path.name)\""), ("congestion", "\"\(congestion.rawValue)\""), ("seeds", "\(outcomes.count)"),
      ("measure", "\"\(bar.measure.rawValue)\""), ("value", Self.number(value(of: bar.measure))),
      ("bar", Self.number(bar.limit)), ("passed", "\(isPassed)"), ("proposed", "\(path.isProposed)"),
      ("bars", "[" + path.bars.map(json(of:)).joined(separator: ",") + "]"),
    ]
    for (name, places, value) in Self.medians { fields.append((name, Self.number(median(value), places))) }
    // Of the seed with the least goodput.
    let worst = outcomes.min { $0.goodput < $1.goodput }
    fields.append(("worst_window_at_s", Self.number(worst?.worstAt, 2)))
    fields.append(("missed_seeds", "[" + missed.map { "\($0.seed)" }.joined(separator: ",") + "]"))
    let again = missed.first.map { "\"\(path.command(seed: $0.seed, congestion))\"" }
    fields.append(("play_again", again ?? "null"))
    return "{" + fields.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
  }
}
