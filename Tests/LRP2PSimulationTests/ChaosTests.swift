// SPDX-License-Identifier: MIT
import LRP2PSimulation
import Testing

/// Worlds of faults. Every seed that has found a fault of ours is here.
@Suite struct ChaosTests {
  @Test(
    arguments: [
      13, 21, 25, 67, 73, 85, 102, 109, 112, 162, 164, 177, 221, 254, 404, 436, 847, 2922, 3066, 3771, 4381, 5005, 6240,
      7837,
    ] as [UInt64])
  func seedsThatFoundSomething(seed: UInt64) {
    var scenario = Scenario(.chaos)
    scenario.seed = seed
    let failure = scenario.run().failure
    #expect(failure == nil, "lrp2p-sim chaos --seed \(seed)")
  }

  @Test(arguments: [Profile.chaos, .lossy, .wrap])
  func theSameSeedIsTheSameWorld(profile: Profile) {
    var scenario = Scenario(profile)
    scenario.bytes = 1_000_000
    scenario.seed = 7
    let first = scenario.run().traceHash
    let again = scenario.run().traceHash
    #expect(first == again)
    scenario.seed = 8
    let other = scenario.run().traceHash
    #expect(first != other)
  }
}
