// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// Writes from memory of the caller: every release is called once.
@Suite(.serialized, .timeLimit(.minutes(2))) struct BorrowedWriteTests {
  @Test func releasedWhenAcknowledged() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let released = Counter()
    let content = streamBytes(0..<100_000)
    let memory = Memory(content)
    let reading = Task { try await server.readAll() }
    for part in 0..<10 {
      try await unsafe client.write(
        UnsafeRawBufferPointer(rebasing: memory.bytes[part * 10_000..<(part + 1) * 10_000]), release: released.increment
      )
    }
    try await unsafe client.write(UnsafeRawBufferPointer(start: nil, count: 0), release: released.increment)
    client.finish()
    #expect(try await reading.value == content)
    server.finish()
    #expect(try await client.closed() == .finished)
    #expect(released.value == 11)
    await pair.close()
  }

  /// Behind what the peer has already, nothing is released at once.
  @Test func releasedWhenEmpty() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let released = Counter()
    let reading = Task { try await server.readAll() }
    try await client.write([1, 2, 3])
    try await client.flush()
    try await unsafe client.write(UnsafeRawBufferPointer(start: nil, count: 0), release: released.increment)
    #expect(released.value == 1)
    client.finish()
    #expect(try await reading.value == [1, 2, 3])
    await pair.close()
    #expect(released.value == 1)
  }

  @Test func keptUntilAcknowledged() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let released = Counter()
    let memory = Memory(streamBytes(0..<100_000))
    let writing = Task { try await unsafe client.write(memory.bytes, release: released.increment) }
    await until { server.isHoldingBack }
    #expect(released.value == 0)
    writing.cancel()
    guard case .failure(let error) = await writing.result, case .cancelled(let accepted) = error as? TransportError
    else {
      Issue.record("not cancelled")
      return
    }
    // What was accepted is still needed, unless all of it has been acknowledged meanwhile.
    let isReleased = released.value > 0
    let acknowledged = client.acknowledgedBytes
    #expect(!isReleased || acknowledged >= UInt64(accepted))
    client.finish()
    #expect(try await server.readAll() == streamBytes(0..<accepted))
    await until { released.value == 1 }
    await pair.close()
    #expect(released.value == 1)
  }

  @Test func releasedWhenRefused() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    let released = Counter()
    let memory = Memory([1, 2, 3])
    client.finish()
    await #expect(throws: TransportError.finished) {
      try await unsafe client.write(memory.bytes, release: released.increment)
    }
    #expect(released.value == 1)
    client.close()
    await #expect(throws: TransportError.closed(.local(code: 0))) {
      try await unsafe client.write(memory.bytes, release: released.increment)
    }
    #expect(released.value == 2)
    _ = server
    await pair.close()
  }

  @Test(arguments: [0, 1, 2]) func releasedWhenTheConnectionEnds(how: Int) async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let released = Counter()
    let memory = Memory(streamBytes(0..<100_000))
    let writings = (0..<3).map { _ in
      Task { try await unsafe client.write(memory.bytes, release: released.increment) }
    }
    await until { server.isHoldingBack }
    switch how {
    case 0: client.close()
    case 1: server.close()
    default: await pair.client.close()
    }
    for writing in writings { await #expect(throws: TransportError.self) { try await writing.value } }
    await until { released.value == 3 }
    await pair.close()
    #expect(released.value == 3)
  }
}
