// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Connections that come and go, and datagrams that come when theirs is over.
@Suite struct ChurnTests {
  static func churn(seed: UInt64, seconds: Double) -> ScenarioResult {
    var scenario = Scenario(.churn)
    scenario.seed = seed
    scenario.seconds = seconds
    return scenario.run()
  }

  /// The third seed has found that a suspended machine let a connection that was over linger for three times as long.
  @Test(arguments: 1...3) func whatIsOverReachesNobody(seed: UInt64) {
    let result = Self.churn(seed: seed, seconds: 60)
    #expect(result.failure == nil, "lrp2p-sim churn --seconds 60 --seed \(seed)")
    let counts = Dictionary(uniqueKeysWithValues: result.counts.map { ($0.name, $0.value) })
    #expect(counts["connections", default: 0] > 5500)
    #expect(counts["late_at_successors", default: 0] > 300)
    #expect(counts["stale_at_successors", default: 0] > 200)
  }

  @Test func theSameSeedIsTheSameWorld() {
    let first = Self.churn(seed: 4, seconds: 12).traceHash
    let again = Self.churn(seed: 4, seconds: 12).traceHash
    #expect(first == again)
  }

  /// A connection in the memory of an earlier one is like any other.
  @Test(arguments: 5...6) func whoseMemoryItWasMakesNoDifference(seed: UInt64) {
    func play(flowsKept: Int) -> UInt64 {
      var scenario = Scenario(.churn)
      scenario.seed = seed
      scenario.seconds = 30
      scenario.flowsKept = flowsKept
      return scenario.run().traceHash
    }
    let anew = play(flowsKept: 0)
    #expect(play(flowsKept: 256) == anew && play(flowsKept: 3) == anew)
  }
}
