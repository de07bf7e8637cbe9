// SPDX-License-Identifier: MIT
/// A figure of the result.
enum Value {
  case number(Double)
  case count(UInt64)
  case text(String)
  case flag(Bool)
}

/// The result of a scenario: figures by name, in the order in which they are shown. What was not measured is absent.
struct Report {
  private(set) var figures: [(name: String, value: Value)] = []

  mutating func add(_ name: String, _ value: Value) {
    // A division by what was not measured.
    if case .number(let number) = value, !number.isFinite { return }
    figures.append((name, value))
  }

  mutating func add(_ name: String, _ number: Double) { add(name, .number(number)) }
  mutating func add(_ name: String, _ count: UInt64) { add(name, .count(count)) }
  mutating func add(_ name: String, _ text: String) { add(name, .text(text)) }
  mutating func add(_ name: String, _ flag: Bool) { add(name, .flag(flag)) }

  func text(_ name: String) -> String? {
    figures.first { $0.name == name }.map { Self.text($0.value) }
  }

  /// One JSON object in one line.
  var json: String {
    let members = figures.map { "\"\($0.name)\": \(Self.json($0.value))" }
    return "{" + members.joined(separator: ", ") + "}"
  }

  private static func text(_ value: Value) -> String {
    switch value {
    case .number(let number): "\(rounded(number))"
    case .count(let count): "\(count)"
    case .text(let text): text
    case .flag(let flag): "\(flag)"
    }
  }

  private static func json(_ value: Value) -> String {
    guard case .text(let text) = value else { return self.text(value) }
    // Names of ours and of libraries: nothing but quotes and backslashes could need care.
    return "\"" + text.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] } + "\""
  }

  /// To five significant digits, which is more than any measurement deserves.
  private static func rounded(_ number: Double) -> Double {
    if number == 0 { return 0 }
    var scale = 1.0
    while abs(number) * scale < 10_000 { scale *= 10 }
    return (number * scale).rounded() / scale
  }

  /// Figures as rows, one column for each report.
  static func table(_ reports: [Report]) -> String {
    var names: [String] = []
    for name in reports.flatMap(\.figures).map(\.name) where !names.contains(name) { names.append(name) }
    let rows = names.map { name in [name] + reports.map { $0.text(name) ?? "" } }
    let widths = (0...reports.count).map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return column == 0 ? row[column] + padding : padding + row[column]
      }
      return cells.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}
