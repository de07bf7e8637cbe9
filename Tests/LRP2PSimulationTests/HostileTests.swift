// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Peers that were accepted and mean harm, on a small scale: `lrp2p-sim hostile` and `lrp2p-sim unread` play the large one.
@Suite struct HostileTests {
  private static func scenario(_ profile: Profile, seed: UInt64) -> Scenario {
    var scenario = Scenario(profile)
    scenario.seed = seed
    return scenario
  }

  /// An honest transfer beside nine of a kind, which have more to store than the pool has room for. They leave a
  /// nineteenth of it, of which the honest one may have two thirds: enough for what this path has in flight.
  @Test(arguments: HostileProfile.allCases) func anHonestTransferBeside(_ hostility: HostileProfile) {
    var scenario = Self.scenario(.hostile, seed: 1)
    scenario.hostility = hostility
    scenario.hostileRate = 1000
    scenario.receivePoolBytes = 64 << 20
    scenario.bytes = 5_000_000
    scenario.seconds = 8
    let result = scenario.run()
    #expect(result.failure == nil, "lrp2p-sim hostile --hostility \(hostility.rawValue)")
    #expect(result.hostileDatagrams > 500 || hostility == .lingering)
  }

  /// One hostile peer for itself, over the time in which a slow growth shows.
  @Test(arguments: [HostileProfile.undescribed, .lingering, .mixed]) func oneForAMinute(_ hostility: HostileProfile) {
    var scenario = Self.scenario(.hostile, seed: 2)
    scenario.hostility = hostility
    scenario.hostileRate = 200
    scenario.peers = 1
    scenario.bytes = 1_000_000
    let result = scenario.run()
    #expect(result.failure == nil, "lrp2p-sim hostile --peers 1 --hostility \(hostility.rawValue)")
  }

  /// Sixty senders have much to send, and nobody reads for 40 s.
  @Test(arguments: [CongestionAlgorithm.bbr, .cubic], [1, 2]) func nobodyReads(
    congestion: CongestionAlgorithm, seed: UInt64
  ) {
    var scenario = Self.scenario(.unread, seed: seed)
    scenario.congestion = congestion
    scenario.peers = 60
    scenario.receivePoolBytes = 4 << 20
    scenario.bytes = 200_000
    let result = scenario.run()
    #expect(result.failure == nil, "lrp2p-sim unread --congestion \(congestion.rawValue) --seed \(seed)")
  }
}
