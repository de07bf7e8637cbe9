// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PSimulation

enum Output {
  static func line(_ text: String, to descriptor: Int32 = 1) {
    let bytes = Array((text + "\n").utf8)
    var written = 0
    while written < bytes.count {
      let result = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
      }
      if result <= 0, errno != EINTR { return }
      written += max(result, 0)
    }
  }

  static func write(_ text: String, to path: String) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw Failure("cannot write \(path)") }
    line(text, to: descriptor)
    close(descriptor)
  }

  /// A number with so many significant decimals, without Foundation.
  static func decimal(_ value: Double, _ places: Int = 3) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "0" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let whole = scaled / Int64(scale)
    let fraction = String(scaled % Int64(scale))
    let sign = value < 0 && scaled != 0 ? "-" : ""
    return "\(sign)\(whole)." + String(repeating: "0", count: places - fraction.count) + fraction
  }

  /// With so many places at least.
  static func padded(_ text: String, _ width: Int, isRight: Bool = false) -> String {
    let padding = String(repeating: " ", count: Swift.max(width - text.count, 0))
    return isRight ? padding + text : text + padding
  }

  static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension ScenarioResult {
  private func fields(_ scenario: Scenario) -> [(name: String, value: String)] {
    let controller =
      scenario.flows.isEmpty ? scenario.congestion.rawValue : scenario.flows.map(\.rawValue).joined(separator: ",")
    var fields = [
      ("profile", "\"\(scenario.profile.rawValue)\""), ("seed", "\(scenario.seed)"),
      ("congestion", "\"\(controller)\""),
      ("trace_hash", "\"\(Output.hex(traceHash))\""),
    ]
    if let completion { fields.append(("completion_s", Output.decimal(completion))) }
    fields.append(("goodput_mbit_per_s", Output.decimal(goodput)))
    if let utilisation { fields.append(("utilisation", Output.decimal(utilisation, 4))) }
    if let ramp { fields.append(("ramp_s", Output.decimal(ramp))) }
    fields += [
      ("retransmitted_fraction", Output.decimal(retransmittedFraction, 5)),
      ("return_bytes_per_forward_byte", Output.decimal(returnBytesPerForwardByte, 6)),
      ("max_in_flight_packets", "\(maximumInFlightPackets)"), ("datagrams", "\(datagrams)"),
      ("probe_timeouts", "\(probeTimeouts)"), ("queue_loss_bdp", Output.decimal(lossOfProduct, 4)),
    ]
    if let tailRoundTrips { fields.append(("tail_rtt", Output.decimal(tailRoundTrips))) }
    let kinds = faults.filter { $0.value > 0 }.sorted { $0.key < $1.key }
    fields.append(("faults", "{" + kinds.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"))
    fields += [("verified", "\(isVerified)"), ("invariants_checked", "\(invariantsChecked)")]
    fields += counts.map { ($0.name, "\($0.value)") }
    if let residentBytes { fields.append(("rss_mib", Output.decimal(Double(residentBytes) / 0x10_0000))) }
    if let residentGrowth { fields.append(("rss_growth_mib", Output.decimal(Double(residentGrowth) / 0x10_0000))) }
    if let jainIndex {
      fields.append(("jain_index", Output.decimal(jainIndex, 4)))
      if !shares.isEmpty {
        fields.append(("shares", "[" + shares.map { Output.decimal($0) }.joined(separator: ",") + "]"))
      }
    }
    if mostPoolBytes > 0 { fields.append(("most_pool_mib", Output.decimal(Double(mostPoolBytes) / 0x10_0000))) }
    if !slowdowns.isEmpty {
      fields += [
        ("hostile_peers", "\(hostilePeers)"), ("hostile_datagrams", "\(hostileDatagrams)"),
        ("most_window_bytes", "\(mostWindowBytes)"), ("slowdown", Output.decimal(slowdowns.values.max() ?? 0)),
      ]
      for (name, slowdown) in slowdowns.sorted(by: { $0.key < $1.key }) {
        fields.append(("slowdown_\(name)", Output.decimal(slowdown)))
      }
    }
    if let leastShare {
      fields += [
        ("honest_peers", "\(honestPeers)"), ("hostile_peers", "\(hostilePeers)"),
        ("hostile_datagrams", "\(hostileDatagrams)"), ("slowest_handshake_s", Output.decimal(slowestHandshake)),
        ("least_share", Output.decimal(leastShare)),
      ]
      for (name, share) in leastShares.sorted(by: { $0.key < $1.key }) {
        fields.append(("least_share_\(name)", Output.decimal(share)))
      }
    }
    return fields
  }

  func json(_ scenario: Scenario) -> String {
    "{" + fields(scenario).map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
  }

  func line(_ scenario: Scenario) -> String {
    fields(scenario).filter { $0.name != "faults" }.map { "\($0.name) \($0.value)" }.joined(separator: "  ")
  }

  var csv: String { samples.csv }
}

extension [FlowSample] {
  var csv: String {
    var text = "time_s,flow,congestion_window,bytes_in_flight,delivery_rate_bit_per_s,smoothed_rtt_s"
    for sample in self {
      text += "\n\(Output.decimal(sample.time)),\(sample.flow),\(sample.congestionWindow),\(sample.bytesInFlight),"
      text += "\(Output.decimal(sample.deliveryRate, 1)),\(Output.decimal(sample.smoothedRTT, 4))"
    }
    return text
  }
}

extension [ScenarioResult] {
  /// Medians and extremes over seeds.
  var summary: String {
    func of(_ name: String, _ values: [Double]) -> String {
      guard !values.isEmpty else { return "" }
      let sorted = values.sorted()
      let last = sorted[Int(Double(sorted.count - 1) * 0.99)]
      return
        "\(name) median \(Output.decimal(sorted[sorted.count / 2])) p99 \(Output.decimal(last)) max \(Output.decimal(sorted.last!))  "
    }
    return "\(count) seeds: " + of("completion_s", compactMap(\.completion))
      + of("tail_rtt", compactMap(\.tailRoundTrips))
      + of("utilisation", compactMap(\.utilisation)) + of("probe_timeouts", map { Double($0.probeTimeouts) })
      + of("queue_loss_bdp", map(\.lossOfProduct))
  }
}
