// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Nothing is lost or doubled, whoever is cancelled when.
@Suite(.serialized, .timeLimit(.minutes(2))) struct CancellationTests {
  @Test func cancelledReadLeavesItsBytes() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    for round in 0..<50 {
      let reading = Task { try await server.read() }
      if round % 2 == 0 { await Task.yield() }
      async let written: Void = client.write(streamBytes(0..<100, salt: round))
      reading.cancel()
      var bytes: [UInt8] = []
      do throws(TransportError) { bytes = try await reading.typed() } catch {
        #expect(error == .cancelled(accepted: 0))
      }
      try await written
      while bytes.count < 100 { bytes += try await server.read() }
      #expect(bytes == streamBytes(0..<100, salt: round))
    }
    await pair.close()
  }

  @Test func cancelledAcceptLeavesTheConnection() async throws {
    let pair = try EndpointPair()
    for round in 0..<20 {
      let accepting = Task { try await pair.server.accept() }
      if round % 2 == 0 { await Task.yield() }
      async let dialled = pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
      accepting.cancel()
      let accepted: Connection
      do { accepted = try await accepting.value } catch {
        #expect(error as? TransportError == .cancelled(accepted: 0))
        accepted = try await pair.server.accept()
      }
      try await accepted.write([UInt8(round)])
      #expect(try await dialled.read() == [UInt8(round)])
    }
    await pair.close()
  }

  @Test func cancelledConnectIsUndone() async throws {
    let pair = try EndpointPair()
    // Nobody answers there: the attempt would take its whole time.
    let silent = try Endpoint(bind: .loopback, accepting: .anyone)
    let address = silent.localAddress
    await silent.close()
    for round in 0..<20 {
      let connecting = Task { try await pair.client.connect(to: address, expecting: .anyone) }
      if round % 2 == 0 { await until { (await pair.client.statistics())!.engine.peers > 0 } }
      connecting.cancel()
      await #expect(throws: TransportError.cancelled(accepted: 0)) { _ = try await connecting.value }
      await until { (await pair.client.statistics())!.engine.peers == 0 }
    }
    await pair.close()
  }

  @Test func whoIsCancelledBeforeDialsNobody() async throws {
    let pair = try EndpointPair()
    let address = pair.server.localAddress
    for _ in 0..<1000 {
      let connecting = Task {
        unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
        return try await pair.client.connect(to: address, expecting: .anyone)
      }
      await #expect(throws: TransportError.cancelled(accepted: 0)) { _ = try await connecting.value }
    }
    let started = (await pair.client.statistics())!.engine.handshakesStarted
    #expect(started == 0)
    await pair.close()
  }

  @Test func cancelledOthers() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let closed = Task { try await client.closed() }
    let writing = Task { try await client.write(streamBytes(0..<100_000)) }
    // Until nothing moves any more: what is in flight would else let the flush end.
    await until {
      let limit = await client.statistics()?.limitedBy
      return server.isHoldingBack && limit == .receiveWindow
    }
    let flushing = Task { try await client.flush() }
    flushing.cancel()
    closed.cancel()
    await #expect(throws: TransportError.cancelled(accepted: 0)) { try await flushing.value }
    await #expect(throws: TransportError.cancelled(accepted: 0)) { _ = try await closed.value }
    // Whoever stands behind a cancelled write goes on.
    let behind = Task { try await client.write([1, 2, 3]) }
    writing.cancel()
    guard case .failure(let error) = await writing.result, case .cancelled(let accepted) = error as? TransportError
    else {
      Issue.record("not cancelled")
      return
    }
    let reading = Task { try await server.readAll() }
    // Which of the two writes came first is open.
    try await behind.value
    client.finish()
    let all = try await reading.value
    #expect(all.count == accepted + 3)
    #expect(Array(all.suffix(3)) == [1, 2, 3] || Array(all.prefix(3)) == [1, 2, 3])
    await pair.close()
  }

  @Test func closeDuringEverything() async throws {
    let pair = try EndpointPair(.small)
    for fromServer in [false, true] {
      let (client, server) = try await pair.connect()
      let tasks = [
        Task { _ = try await client.read() }, Task { try await client.write(streamBytes(0..<200_000)) },
        Task { try await client.write(streamBytes(0..<10)) }, Task { _ = try await client.closed() },
      ]
      await until { server.isHoldingBack }
      if fromServer { server.close(code: 1) } else { client.close(code: 1) }
      let error =
        fromServer
        ? TransportError.closed(.remote(code: 1, reason: "")) : TransportError.closed(.local(code: 1))
      await #expect(throws: error) { try await tasks[0].value }
      await #expect(throws: (any Error).self) { try await tasks[1].value }
      // The short write may have come first.
      _ = await tasks[2].result
      try await tasks[3].value
    }
    await pair.close()
  }

  /// A connection that another task still reads and writes lives until that is done.
  @Test func lettingGoDuringReadAndWrite() async throws {
    let pair = try EndpointPair(.small)
    var tasks: [Task<Void, any Error>] = []
    let server: Connection
    do {
      let (client, accepted) = try await pair.connect()
      server = accepted
      tasks.append(
        Task {
          let all = try await client.readAll()
          #expect(all == streamBytes(0..<50_000))
        })
      tasks.append(Task { try await client.write(streamBytes(0..<50_000)) })
    }
    var count = 0
    while count < 50_000 { count += try await server.read().count }
    try await server.write(streamBytes(0..<50_000))
    server.finish()
    for task in tasks { try await task.value }
    // Now nobody holds it.
    await #expect(throws: TransportError.closed(.remote(code: CloseCode.abandoned, reason: ""))) {
      _ = try await server.readAll()
    }
    await pair.close()
  }

  /// Reads, writes and cancels at every moment that the seed comes upon; the streams stay whole.
  @Test(arguments: 0..<12) func anyOrder(seed: Int) async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let total = 150_000
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (index, ends) in [(client, server), (server, client)].enumerated() {
        group.addTask { try await Self.write(total, to: ends.0, seed: seed * 4 + index) }
        group.addTask { try await Self.read(total, from: ends.1, salt: seed * 4 + index) }
      }
      try await group.waitForAll()
    }
    #expect(try await client.closed() == .finished)
    #expect(try await server.closed() == .finished)
    await pair.close()
  }

  /// Everything at once, ended at any moment: nothing hangs, no release is missing or doubled.
  @Test(arguments: 0..<12) func anyEnd(seed: Int) async throws {
    var random = SeededRandom(seed: UInt64(seed))
    let pair = try EndpointPair(.small)
    let released = Counter()
    let writes = Counter()
    var tasks: [Task<Void, Never>] = []
    for index in 0..<8 {
      let (client, server) = try await pair.connect()
      for connection in [client, server] {
        tasks.append(
          Task {
            while let bytes = try? await connection.read(upTo: 1000), !bytes.isEmpty {}
          })
        let memory = Memory(streamBytes(0..<30_000, salt: index))
        tasks.append(
          Task {
            for _ in 0..<4 {
              writes.increment()
              do {
                try await unsafe connection.write(memory.bytes) {
                  _ = memory
                  released.increment()
                }
              } catch { return }
            }
            connection.finish()
          })
      }
      let turns = random.below(2000)
      switch random.below(4) {
      case 0:
        tasks.append(
          Task {
            for _ in 0..<turns { await Task.yield() }
            client.close(code: 1)
          })
      case 1:
        tasks.append(
          Task {
            for _ in 0..<turns { await Task.yield() }
            server.close(code: 2)
          })
      default: break
      }
    }
    for _ in 0..<random.below(5000) { await Task.yield() }
    for task in tasks where random.happens(0.3) { task.cancel() }
    for _ in 0..<random.below(5000) { await Task.yield() }
    await pair.close()
    for task in tasks { await task.value }
    #expect(released.value == writes.value)
  }

  private static func write(_ total: Int, to connection: Connection, seed: Int) async throws {
    var random = SeededRandom(seed: UInt64(seed))
    var at = 0
    while at < total {
      let length = min(Int(random.below(random.happens(0.5) ? 100 : 20_000)), total - at)
      let bytes = streamBytes(at..<at + length, salt: seed)
      let writing = Task { try await connection.write(bytes) }
      if random.happens(0.4) {
        for _ in 0..<random.below(20) { await Task.yield() }
        writing.cancel()
      }
      do throws(TransportError) {
        try await writing.typed()
        at += length
      } catch {
        guard case .cancelled(let accepted) = error else { throw error }
        at += accepted
      }
    }
    connection.finish()
  }

  private static func read(_ total: Int, from connection: Connection, salt: Int) async throws {
    var random = SeededRandom(seed: UInt64(salt) + 1000)
    var at = 0
    while true {
      let limit = 1 + Int(random.below(8000))
      let reading = Task { try await connection.read(upTo: limit) }
      if random.happens(0.4) {
        for _ in 0..<random.below(20) { await Task.yield() }
        reading.cancel()
      }
      do throws(TransportError) {
        let bytes = try await reading.typed()
        if bytes.isEmpty { break }
        let expected = streamBytes(at..<at + bytes.count, salt: salt)
        guard bytes == expected else {
          Issue.record("wrong bytes at \(at)")
          throw TransportError.finished
        }
        at += bytes.count
      } catch { guard case .cancelled = error else { throw error } }
    }
    #expect(at == total)
  }
}

extension Task where Failure == any Error {
  /// The value, with the only error that these tasks throw.
  func typed() async throws(TransportError) -> Success {
    do { return try await value } catch { throw error as! TransportError }
  }
}
