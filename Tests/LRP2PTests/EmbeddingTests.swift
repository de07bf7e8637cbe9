// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Reactors in a loop that is not their own.
@Suite(.timeLimit(.minutes(2))) struct EmbeddingTests {
  @Test(arguments: backends) func foreignLoopDrivesTwoReactors(backend: ReactorBackend) throws {
    let bytes: UInt64 = 4 << 20
    var pair = try ReactorPair(configuration: ReactorConfiguration(backend), clientSends: bytes, serverSends: bytes)
    _ = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    while pair.clientHandler.closedCount == 0 || pair.serverHandler.closedCount == 0 {
      let timeouts = [pair.client.nextTimeout, pair.server.nextTimeout].compactMap { $0 }
      let timeout = timeouts.min().map { Int32(clamping: ($0 + 999_999) / 1_000_000) } ?? -1
      var descriptors = [
        pollfd(fd: pair.client.fileDescriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: pair.server.fileDescriptor, events: Int16(POLLIN), revents: 0),
      ]
      #expect(unsafe poll(&descriptors, 2, timeout) >= 0)
      // Only who has something to do, so that a descriptor that keeps silent would be noticed.
      if descriptors[0].revents != 0 || pair.client.nextTimeout == 0 {
        try pair.client.turn(&pair.clientHandler, timeout: 0)
      }
      if descriptors[1].revents != 0 || pair.server.nextTimeout == 0 {
        try pair.server.turn(&pair.serverHandler, timeout: 0)
      }
    }
    #expect(pair.clientHandler.mismatches == 0 && pair.serverHandler.mismatches == 0)
    #expect(pair.clientHandler.peers.values.allSatisfy { $0.closed == .finished && $0.received == bytes })
    #expect(pair.serverHandler.peers.values.allSatisfy { $0.closed == .finished && $0.received == bytes })
  }
}
