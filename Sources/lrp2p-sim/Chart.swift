// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation

/// Congestion window and delivery rate of every flow over time, as an SVG drawing.
struct Chart {
  private let scenario: Scenario
  private let samples: [FlowSample]
  private let flows: Int

  private static let width = 860.0
  private static let panel = 200.0
  private static let margin = (left: 70.0, top: 46.0, gap: 54.0)
  private static let colours = ["#1f6fb2", "#c2571a", "#2e8540", "#8f3f97", "#b5891a", "#3b3b3b", "#c43d63", "#2a9d9d"]

  init(_ scenario: Scenario, _ result: ScenarioResult) {
    self.scenario = scenario
    flows = (result.samples.map(\.flow).max() ?? 0) + 1
    samples = Self.thinned(result.samples, flows: flows)
  }

  /// At most so many points a flow, each the mean of those that it stands for.
  private static let points = 300

  private static func thinned(_ samples: [FlowSample], flows: Int) -> [FlowSample] {
    let each = max(samples.count / flows / points, 1)
    var thin: [FlowSample] = []
    for flow in 0..<flows {
      let own = samples.filter { $0.flow == flow }
      for start in stride(from: 0, to: own.count, by: each) {
        let part = own[start..<min(start + each, own.count)]
        var mean = part[part.startIndex]
        mean.congestionWindow = part.map(\.congestionWindow).reduce(0, +) / UInt64(part.count)
        mean.deliveryRate = part.map(\.deliveryRate).reduce(0, +) / Double(part.count)
        thin.append(mean)
      }
    }
    return thin
  }

  var svg: String {
    let height = 2 * Self.panel + Self.margin.top + Self.margin.gap + 40
    let names = scenario.flows.isEmpty ? [scenario.congestion] : scenario.flows
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(Self.number(Self.width))" height="\(Self.number(height))" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="white"/>
      <text x="\(Self.number(Self.margin.left))" y="20" font-size="14">\(title)</text>

      """
    for (index, name) in names.enumerated() {
      let x = Self.width - 90.0 * Double(min(names.count, 8) - index)
      text +=
        "<text x=\"\(Self.number(x))\" y=\"36\" fill=\"\(Self.colours[index % 8])\">\(index + 1) \(name.rawValue)</text>\n"
    }
    text += panel(0, "congestion window, packets of \(EngineConfiguration().maximumDatagram) B") {
      Double($0.congestionWindow) / Double(EngineConfiguration().maximumDatagram)
    }
    text += panel(1, "delivery rate, Mbit/s") { $0.deliveryRate / 1e6 }
    return text + "</svg>"
  }

  private var title: String {
    let rate = Output.decimal(Double(scenario.rate) / 1e6, 0 + 1)
    return "\(scenario.profile.rawValue): \(rate) Mbit/s, \(scenario.roundTrip / 1_000_000) ms, "
      + "queue of \(Output.decimal(scenario.buffer, 2)) BDP, loss \(Output.decimal(scenario.loss, 4)), seed \(scenario.seed)"
  }

  private func panel(_ index: Int, _ label: String, _ value: (FlowSample) -> Double) -> String {
    let top = Self.margin.top + Double(index) * (Self.panel + Self.margin.gap)
    let left = Self.margin.left
    let right = Self.width - 20
    let last = max(samples.map(\.time).max() ?? 1, 0.001)
    // A few samples of acknowledgements that came together would flatten all others.
    let sorted = samples.map(value).sorted()
    let most = max(sorted.isEmpty ? 1 : sorted[Int(Double(sorted.count - 1) * 0.995)] * 1.08, 1e-9)
    let (interval, steps) = Self.ticks(to: most, about: 4)
    let (seconds, marks) = Self.ticks(to: last, about: 5)
    let (highest, end) = (interval * Double(steps), seconds * Double(marks))
    var text = "<text x=\"\(Self.number(left))\" y=\"\(Self.number(top - 6))\">\(label)</text>\n"
    for step in 0...steps {
      let y = top + Self.panel * (1 - Double(step) / Double(steps))
      text +=
        "<line x1=\"\(Self.number(left))\" x2=\"\(Self.number(right))\" y1=\"\(Self.number(y))\" y2=\"\(Self.number(y))\" stroke=\"#ddd\"/>"
      let tick = interval * Double(step)
      text +=
        "<text x=\"\(Self.number(left - 6))\" y=\"\(Self.number(y + 4))\" text-anchor=\"end\">\(Self.text(tick, interval))</text>\n"
    }
    for step in 0...marks {
      let x = left + (right - left) * Double(step) / Double(marks)
      text +=
        "<text x=\"\(Self.number(x))\" y=\"\(Self.number(top + Self.panel + 16))\" text-anchor=\"middle\">\(Self.text(seconds * Double(step), seconds)) s</text>\n"
    }
    for flow in 0..<flows {
      let points = samples.filter { $0.flow == flow }.map { sample in
        let x = left + (right - left) * sample.time / end
        let y = top + Self.panel * (1 - min(value(sample) / highest, 1))
        return "\(Self.number(x)),\(Self.number(y))"
      }
      text +=
        "<polyline fill=\"none\" stroke=\"\(Self.colours[flow % 8])\" stroke-width=\"1.3\" points=\"\(points.joined(separator: " "))\"/>\n"
    }
    return text
  }

  /// The interval of an axis, which is 1, 2 or 5 with a power of ten, and how many of them reach its end.
  private static func ticks(to end: Double, about count: Int) -> (interval: Double, count: Int) {
    var interval = 1e-9
    var next = 0
    while interval * Double(count) < end {
      interval *= next == 1 ? 2.5 : 2
      next = (next + 1) % 3
    }
    return (interval, max(Int((end / interval).rounded(.up)), 1))
  }

  /// A tick, with the digits after the point that the interval needs.
  private static func text(_ tick: Double, _ interval: Double) -> String {
    interval > 0.99
      ? String(Int(tick.rounded())) : Output.decimal(tick, interval > 0.099 ? 1 : interval > 0.0099 ? 2 : 3)
  }

  private static func number(_ value: Double) -> String { Output.decimal(value, 1) }
}
