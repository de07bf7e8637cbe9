// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// Async calls stay on the executor of their caller.
@Suite struct ExecutorTests {
  @MainActor private final class Flag {
    var isSet = false
  }

  /// Another job of the main actor waits for its turn. It gets none, as the calls have nothing to wait for.
  @MainActor @Test func callsThatNeedNotWaitKeepTheMainActor() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    try await client.write([1, 2, 3])
    while server.unreadBytes < 3 { await Task.yield() }
    let flag = Flag()
    let other = Task { @MainActor in flag.isSet = true }
    try await client.write([4])
    #expect(try await server.read(upTo: 2) == [1, 2])
    #expect(!flag.isSet)
    await other.value
    #expect(flag.isSet)
    await pair.close()
  }
}
