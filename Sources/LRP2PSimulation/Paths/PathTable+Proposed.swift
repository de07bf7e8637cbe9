// SPDX-License-Identifier: MIT
import LRP2PCore

extension PathCase {
  /// Paths whose bars are proposals.
  static var proposed: [PathCase] {
    (rateLimits + radios + losses + neighbours).map {
      var proposed = $0
      proposed.isProposed = true
      return proposed
    }
  }

  private static var rateLimits: [PathCase] {
    [
      PathCase(
        "policer", "100 Mbit/s, of which a policer lets 10 pass, and 50 KB at once", rate: 100_000_000,
        bars: [PathBar(.goodput, 0.7)]
      ) {
        $0.forth.policer = Policer(rate: 10_000_000, burst: 50_000)
        $0.fullRate = 10_000_000
      },
      PathCase("queue-10s", "5 Mbit/s, a queue of 10 s", rate: 5_000_000, bars: [PathBar(.goodput, 0.8)]) {
        $0.forth.buffer = 6_250_000
        $0.measured = .seconds(5)..<(.seconds(65))
      },
    ]
  }

  private static var radios: [PathCase] {
    [
      PathCase(
        "bursts-4ms", "datagrams leave every 4 ms, together, 50 Mbit/s", rate: 50_000_000,
        bars: [PathBar(.goodput, 0.85)]
      ) { ($0.forth.aggregation, $0.back.aggregation) = (.milliseconds(4), .milliseconds(4)) },
      PathCase(
        "jitter-in-order", "50 ms and up to 25 at random, in order",
        bars: [PathBar(.goodput, 0.8), PathBar(.spurious, 0.02)]
      ) {
        $0.forth.jitter = .milliseconds(25)
        $0.forth.keepsOrder = true
      },
      PathCase(
        "jitter-both-ways", "50 ms and up to 25 at random each way: reordering",
        bars: [PathBar(.goodput, 0.8), PathBar(.spurious, 0.02)]
      ) { ($0.forth.jitter, $0.back.jitter) = (.milliseconds(25), .milliseconds(25)) },
      PathCase(
        "halt-1s", "nothing leaves from 5 s on for 1 s, and nothing is lost; 50 Mbit/s, 100 ms", rate: 50_000_000,
        roundTrip: .milliseconds(100), bars: [PathBar(.recovery, 1.5)]
      ) {
        $0.changes = { _ in
          [PathChange(at: .seconds(5), .both, .halted(true)), PathChange(at: .seconds(6), .both, .halted(false))]
        }
        $0.event = .seconds(6)
        $0.measured = .seconds(6)..<(.seconds(21))
      },
      outage(seconds: 2, recovery: 2.5),
      PathCase(
        "longer", "the round trip becomes five times as long after 10 s, 20 and then 100 ms, at the same 50 Mbit/s",
        rate: 50_000_000, roundTrip: .milliseconds(20), bars: [PathBar(.goodput, 0.35)]
      ) {
        $0.changes = { _ in [PathChange(at: .seconds(10), .both, .delay(.milliseconds(50)))] }
        $0.measured = .seconds(11)..<(.seconds(40))
      },
    ]
  }

  private static var losses: [PathCase] {
    [(1, 0.85), (5, 0.75)].map { (percent: Int, bar: Double) in
      PathCase(
        "loss-\(percent)", "\(percent) % lost at random each way, 100 ms", roundTrip: .milliseconds(100),
        bars: [PathBar(.goodput, bar)]
      ) { ($0.forth.loss, $0.back.loss) = (Double(percent) / 100, Double(percent) / 100) }
    } + [
      PathCase(
        "loss-5-slow", "1 Mbit/s, 5 % lost at random each way, 50 ms; windows of 10 s", rate: 1_000_000,
        bars: [PathBar(.goodput, 0.45)]
      ) {
        ($0.forth.loss, $0.back.loss) = (0.05, 0.05)
        $0.window = .seconds(10)
      }
    ]
  }

  private static var neighbours: [PathCase] {
    [
      PathCase(
        "short-flows", "100 KB every second beside a flow without end: their median",
        bars: [PathBar(.shortCompletion, 0.5)]
      ) {
        $0.flows += (5..<34).map { PathFlow(host: 1, at: .seconds($0), bytes: 100_000, isShort: true) }
      },
      remembering("remembered-far", roundTrip: .milliseconds(600), "600 ms"),
    ]
  }
}
