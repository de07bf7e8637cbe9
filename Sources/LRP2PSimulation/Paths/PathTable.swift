// SPDX-License-Identifier: MIT
import LRP2PCore

extension PathCase {
  /// The table: 20 Mbit/s, 50 ms and a queue of one bandwidth-delay product where nothing else is said. What happens to a path
  /// happens both ways, but for its rate and its jitter, which are those of the way forth.
  package static var table: [PathCase] {
    falls + fades + turns + shallowQueues + crowds + jitters + outages + markings + [handover, remembered] + thinAndFar
      + proposed
  }

  private static var geostationary: Nanoseconds { .milliseconds(600) }

  // MARK: The rate changes

  private static var falls: [PathCase] {
    [fall(50, to: 5), fall(50, to: 10), fall(20, to: 4)]
  }

  /// Judged from 12 s behind the change to 60 s.
  private static func fall(_ rate: UInt64, to later: UInt64) -> PathCase {
    PathCase(
      "fall-\(rate)-\(later)", "\(rate) Mbit/s become \(later) after 5 s, 600 ms, a queue of 1 BDP of the first",
      rate: rate * 1_000_000, roundTrip: geostationary, bars: [PathBar(.goodput, 0.8)]
    ) {
      $0.fullRate = later * 1_000_000
      $0.changes = { _ in [PathChange(at: .seconds(5), .forth, .rate(later * 1_000_000))] }
      $0.measured = .seconds(17)..<(.seconds(65))
    }
  }

  private static var fades: [PathCase] {
    [
      PathCase(
        "fade-80", "80 % loss from 5 to 10 s, 600 ms", roundTrip: geostationary, bars: [PathBar(.recovery, 6)]
      ) {
        $0.changes = { _ in
          [PathChange(at: .seconds(5), .both, .loss(0.8)), PathChange(at: .seconds(10), .both, .loss(0))]
        }
        $0.event = .seconds(10)
        $0.measured = .seconds(10)..<(.seconds(35))
      },
      PathCase(
        "rise-5-100", "5 Mbit/s become 100 after 10 s, 40 ms, a queue of 1 BDP of the second", rate: 100_000_000,
        roundTrip: .milliseconds(40), bars: [PathBar(.recovery, 5)]
      ) {
        $0.forth.rate = 5_000_000
        $0.changes = { _ in [PathChange(at: .seconds(10), .forth, .rate(100_000_000))] }
        $0.event = .seconds(10)
        $0.measured = .seconds(10)..<(.seconds(25))
      },
    ]
  }

  // MARK: Hosts and queues

  private static var turns: [PathCase] {
    [(10, 50), (20, 50), (10, 500), (20, 500)].map { (turn: UInt64, rate: UInt64) in
      PathCase(
        "turn-\(turn)ms-\(rate)", "both hosts have a turn every \(turn) ms, \(rate) Mbit/s", rate: rate * 1_000_000,
        bars: [PathBar(.goodput, 0.9)]
      ) {
        $0.turn = .milliseconds(turn)
        $0.measured = .seconds(5)..<(.seconds(rate > 100 ? 15 : 35))
      }
    }
  }

  private static var shallowQueues: [PathCase] {
    [
      PathCase("queue-tenth-20", "a queue of 0.1 BDP", queue: 0.1, bars: [PathBar(.goodput, 0.75)]),
      PathCase(
        "queue-tenth-50", "a queue of 0.1 BDP, 50 Mbit/s", rate: 50_000_000, queue: 0.1, bars: [PathBar(.goodput, 0.75)]
      ),
      PathCase(
        "queue-5kb", "a queue of 5 KB, 100 ms", roundTrip: .milliseconds(100), bars: [PathBar(.goodput, 0.5)]
      ) { $0.forth.buffer = 5000 },
    ]
  }

  private static var crowds: [PathCase] {
    [(40, 20, 0.05), (60, 5, 0.2)].map { (flows: Int, rate: UInt64, loss: Double) in
      PathCase(
        "flows-\(flows)", "\(flows) flows, each from a host of its own, on \(rate) Mbit/s, 40 ms",
        rate: rate * 1_000_000, roundTrip: .milliseconds(40), bars: [PathBar(.loss, loss), PathBar(.leastFlow, 0)]
      ) {
        $0.flows = (0..<flows).map { PathFlow(host: $0) }
        $0.spread = .seconds(2)
      }
    }
  }

  // MARK: Delay changes

  private static var jitters: [PathCase] {
    [(20, 50, 25), (20, 10, 20), (100, 1, 5)].map { (rate: UInt64, roundTrip: UInt64, jitter: UInt64) in
      PathCase(
        "jitter-\(roundTrip)-\(jitter)", "\(rate) Mbit/s, \(roundTrip) ms and up to \(jitter) at random: reordering",
        rate: rate * 1_000_000, roundTrip: .milliseconds(roundTrip),
        bars: [PathBar(.goodput, 0.8), PathBar(.spurious, 0.02)]
      ) {
        $0.forth.jitter = .milliseconds(jitter)
        if rate > 50 { $0.measured = .seconds(5)..<(.seconds(20)) }
      }
    }
  }

  // MARK: ECN

  private static var markings: [PathCase] {
    [
      PathCase(
        "ecn-marks", "a queue of 1 BDP that marks from a quarter on",
        bars: [PathBar(.goodput, 0.85), PathBar(.loss, 0.001)]
      ) {
        $0.usesECN = true
        $0.forth.ecnThreshold = $0.forth.buffer / 4
      },
      marking("removed", "the path removes ECN marks", .removed),
      marking("dropped", "the path drops what is ECN-capable", .dropped),
      PathCase(
        "ecn-drops-later", "the path drops what is ECN-capable from 10 s on", bars: [PathBar(.recovery, 3)]
      ) {
        $0.usesECN = true
        $0.changes = { _ in [PathChange(at: .seconds(10), .both, .marks(.dropped))] }
        $0.event = .seconds(10)
        $0.measured = .seconds(10)..<(.seconds(25))
      },
    ]
  }

  private static func marking(_ name: String, _ summary: String, _ marks: Link.Marks) -> PathCase {
    PathCase("ecn-\(name)", summary, bars: [PathBar(.goodput, 0.85)]) {
      $0.usesECN = true
      ($0.forth.marks, $0.back.marks) = (marks, marks)
    }
  }

  private static var outages: [PathCase] { [outage(seconds: 1, recovery: 1.5)] }

  static func outage(seconds: UInt64, recovery: Double) -> PathCase {
    PathCase(
      "outage-\(seconds)s", "nothing arrives from 5 s on for \(seconds) s, 50 Mbit/s, 100 ms", rate: 50_000_000,
      roundTrip: .milliseconds(100), bars: [PathBar(.recovery, recovery)]
    ) {
      $0.changes = { _ in
        [
          PathChange(at: .seconds(5), .both, .down(true)),
          PathChange(at: .seconds(5 + seconds), .both, .down(false)),
        ]
      }
      $0.event = .seconds(5 + seconds)
      $0.measured = .seconds(5 + seconds)..<(.seconds(20 + seconds))
    }
  }

  /// A satellite in low orbit is exchanged every 15 s: the round trip steps by up to 50 ms, between 30 and 80, and around the step a
  /// third is lost for 60 ms. (So measured at Starlink: G. Huston, A transport protocol's view of Starlink, 2024.)
  private static var handover: PathCase {
    PathCase(
      "handover", "every 15 s another round trip, 30 to 80 ms, and 60 ms of 30 % loss", bars: [PathBar(.goodput, 0.85)]
    ) {
      ($0.forth.keepsOrder, $0.back.keepsOrder) = (true, true)
      $0.changes = { random in
        var changes: [PathChange] = []
        for at in stride(from: Nanoseconds.seconds(2), to: .seconds(95), by: 15_000_000_000) {
          let delay = (.milliseconds(30) + random.below(.milliseconds(50))) / 2
          changes += [
            PathChange(at: at - .milliseconds(20), .both, .loss(0.3)), PathChange(at: at, .both, .delay(delay)),
            PathChange(at: at + .milliseconds(40), .both, .loss(0)),
          ]
        }
        return changes
      }
      $0.measured = .seconds(5)..<(.seconds(95))
    }
  }

  // MARK: What is known, and far and thin paths

  private static var remembered: PathCase { remembering("remembered", roundTrip: .milliseconds(50), "50 ms") }

  static func remembering(_ name: String, roundTrip: Nanoseconds, _ text: String) -> PathCase {
    PathCase(
      name, "4 MB over 5 Mbit/s that are remembered as 100, \(text)", rate: 5_000_000, roundTrip: roundTrip,
      bars: [PathBar(.slowdown, 1.3)]
    ) {
      $0.flows = [PathFlow(bytes: 4_000_000)]
      $0.remembered = RememberedPath(roundTrip: roundTrip, bytesPerSecond: 100_000_000 / 8)
      $0.measured = 0..<(.seconds(120))
    }
  }

  private static var thinAndFar: [PathCase] {
    [
      PathCase(
        "thin-64k", "64 kbit/s, 600 ms; windows of 10 s", rate: 64_000, roundTrip: geostationary,
        bars: [PathBar(.goodput, 0.8), PathBar(.firstByte, 3)]
      ) {
        $0.window = .seconds(10)
        $0.measured = .seconds(10)..<(.seconds(70))
      },
      far(seconds: 10), far(seconds: 60),
    ]
  }

  /// Judged by ten round trips for 100 KB; the playing ends after twenty.
  private static func far(seconds: UInt64) -> PathCase {
    PathCase(
      "far-\(seconds)s", "100 KB over a round trip of \(seconds) s", roundTrip: .seconds(seconds),
      bars: [PathBar(.completion, Double(10 * seconds))]
    ) {
      $0.flows = [PathFlow(bytes: 100_000)]
      $0.initialRoundTrip = .seconds(seconds)
      $0.measured = 0..<(.seconds(20 * seconds))
    }
  }
}
