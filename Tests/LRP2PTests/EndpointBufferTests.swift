// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// What an endpoint holds of its connections' bytes is bounded, and all of it is read in the end.
@Suite(.serialized, .timeLimit(.minutes(2))) struct EndpointBufferTests {
  private let megabyte = 1 << 20

  /// Anyone may dial: what is not accepted yet costs 64 KiB at most, the rest waits in the engine.
  @Test func unacceptedConnectionHoldsLittle() async throws {
    let pair = try EndpointPair()
    let content = streamBytes(0..<2 * megabyte)
    let client = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    try await client.write(content)
    client.finish()
    try await client.flush()
    let held = try #require(await pair.server.statistics()).bufferBytesInUse
    #expect(held > 0 && held <= 65_536)
    let server = try await pair.server.accept()
    let all = try await server.readAll()
    #expect(all == content)
    await until { await pair.server.statistics()?.bufferBytesInUse == 0 }
    await pair.close()
  }

  /// All of the backlog together gets at half of the budget.
  @Test func backlogHoldsHalfTheBudget() async throws {
    var configuration = EndpointConfiguration()
    configuration.bufferBytes = megabyte
    let pair = try EndpointPair(configuration)
    let content = streamBytes(0..<100_000)
    var clients: [Connection] = []
    for _ in 0..<30 {
      let client = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
      try await client.write(content)
      try await client.flush()
      clients.append(client)
    }
    let held = try #require(await pair.server.statistics()).bufferBytesInUse
    #expect(held > 100_000 && held <= UInt64(megabyte / 2 + clients.count * 2048))
    for client in clients {
      client.finish()
      let server = try await pair.server.accept()
      let all = try await server.readAll()
      #expect(all == content)
    }
    await pair.close()
  }

  @Test(arguments: [1, 1000, 5000, 100_000]) func readBufferIsNotExceeded(readBuffer: Int) async throws {
    var configuration = EndpointConfiguration()
    configuration.readBuffer = readBuffer
    let pair = try EndpointPair(configuration)
    let (client, server) = try await pair.connect()
    let content = streamBytes(0..<megabyte)
    try await client.write(content)
    client.finish()
    try await client.flush()
    // A buffer that is smaller than a datagram holds one; of the last block a part may be free.
    #expect(server.unreadBytes > 0 && server.unreadBytes <= max(readBuffer, 1400))
    let held = try #require(await pair.server.statistics()).bufferBytesInUse
    #expect(held <= UInt64(max(2 * readBuffer, 2048)))
    let all = try await server.readAll()
    #expect(all == content)
    await pair.close()
  }

  /// Who reads is served however much is held for those who do not.
  @Test func readersGoOnBesideThoseThatDoNot() async throws {
    var configuration = EndpointConfiguration()
    configuration.bufferBytes = megabyte
    let pair = try EndpointPair(configuration)
    let content = streamBytes(0..<300_000)
    var idle: [(Connection, Connection)] = []
    for _ in 0..<40 {
      let (client, server) = try await pair.connect()
      try await client.write(content)
      client.finish()
      try await client.flush()
      idle.append((client, server))
    }
    let held = try #require(await pair.server.statistics()).bufferBytesInUse
    #expect(held > UInt64(megabyte / 2) && held <= UInt64(megabyte + idle.count * 2048))
    let (client, server) = try await pair.connect()
    let more = streamBytes(0..<2 * megabyte, salt: 1)
    let reading = Task { try await server.readAll() }
    try await client.write(more)
    client.finish()
    #expect(try await reading.value == more)
    for (_, server) in idle {
      let all = try await server.readAll(upTo: 10_000)
      #expect(all == content)
    }
    await until { await pair.server.statistics()?.bufferBytesInUse == 0 }
    await pair.close()
  }

  /// Peers that do not acknowledge share the budget; each writer gets some of it.
  @Test func writersShareTheBudget() async throws {
    var configuration = EndpointConfiguration.small
    configuration.bufferBytes = megabyte
    configuration.writeBuffer = megabyte
    let pair = try EndpointPair(configuration)
    let content = streamBytes(0..<megabyte)
    var ends: [(Connection, Connection)] = []
    var writing: [Task<Void, any Error>] = []
    for _ in 0..<40 {
      let (client, server) = try await pair.connect()
      ends.append((client, server))
      writing.append(
        Task {
          try await client.write(content)
          client.finish()
        })
      await until { server.isHoldingBack && client.unacknowledgedBytes >= 16_384 }
    }
    let held = try #require(await pair.client.statistics()).bufferBytesInUse
    #expect(held > UInt64(megabyte / 2) && held <= UInt64(megabyte + ends.count * 16_384))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (_, server) in ends {
        group.addTask {
          let all = try await server.readAll()
          #expect(all == content)
        }
      }
      try await group.waitForAll()
    }
    for task in writing { try await task.value }
    await until { await pair.client.statistics()?.bufferBytesInUse == 0 }
    await pair.close()
  }

  /// Large arrays and buffers are freed by others; that they are is seen by what is held.
  @Test func largeOnesGoBack() async throws {
    var configuration = EndpointConfiguration()
    configuration.readBuffer = 16 * megabyte
    configuration.writeBuffer = 16 * megabyte
    let pair = try EndpointPair(configuration)
    let (client, server) = try await pair.connect()
    let content = streamBytes(0..<8 * megabyte)
    try await client.write(content)
    try await client.flush()
    await until { server.unreadBytes == content.count }
    var all = try await server.read(upTo: 3 * megabyte)
    while all.count < content.count { all += try await server.read(upTo: .max) }
    #expect(all == content)
    try await client.write(content)
    try await client.flush()
    await until { server.unreadBytes == content.count }
    server.close()
    await until { await pair.server.statistics()?.bufferBytesInUse == 0 }
    await until { await pair.client.statistics()?.bufferBytesInUse == 0 }
    await pair.close()
  }

  @Test func readsOfNothingAreReadsOfAByte() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    try await client.write([1, 2, 3])
    for (index, limit) in [0, -1, .min].enumerated() {
      let bytes = try await server.read(upTo: limit)
      #expect(bytes == [UInt8(index + 1)])
    }
    await pair.close()
  }

  @Test(arguments: [0, (1 << 40) + 1]) func budgetHasARange(bytes: Int) {
    var configuration = EndpointConfiguration()
    configuration.bufferBytes = bytes
    #expect(
      throws: TransportError.configuration(.outOfRange(field: "bufferBytes", allowed: "1048576 … 1099511627776"))
    ) { try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration) }
  }
}
