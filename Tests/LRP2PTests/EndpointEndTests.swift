// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// How connections and endpoints end: nothing that was acknowledged is dropped, nobody is kept waiting, and whoever calls too late
/// gets an error.
@Suite(.serialized, .timeLimit(.minutes(2))) struct EndpointEndTests {
  /// Written, flushed and closed before anyone accepts: it is accepted all the same, and read to its end.
  @Test(arguments: [true, false]) func closedBeforeAccept(finishes: Bool) async throws {
    let pair = try EndpointPair()
    let first = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    try await first.write([1, 2, 3])
    if finishes { first.finish() }
    try await first.flush()
    first.close(code: 5, reason: "done")
    // What comes behind it shows that the server knows.
    let second = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    let accepted = try await pair.server.accept()
    #expect(accepted.remoteKey == pair.client.publicKey)
    #expect(try await accepted.read() == [1, 2, 3])
    if finishes { #expect(try await accepted.read() == []) }
    let end = TransportError.closed(.remote(code: 5, reason: "done"))
    if !finishes { await #expect(throws: end) { try await accepted.read() } }
    await #expect(throws: end) { try await accepted.write([1]) }
    try await second.write([4])
    let other = try await pair.server.accept()
    #expect(try await other.read() == [4])
    await pair.close()
  }

  /// Of a connection that ended and has left nothing nobody hears.
  @Test func emptyOnesAreNotAccepted() async throws {
    let pair = try EndpointPair()
    for _ in 0..<100 {
      (try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)).close(code: 5)
    }
    let last = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    try await last.write([9])
    let accepted = try await pair.server.accept()
    #expect(try await accepted.read() == [9])
    await pair.close()
  }

  /// A finished connection that nobody holds stays as long as its peer's reader takes, though nothing moves for many intervals.
  @Test func detachedWriterOutlivesASlowReader() async throws {
    var configuration = EndpointConfiguration.small
    configuration.writeBuffer = 100_000
    configuration.lingerInterval = .milliseconds(5)
    let pair = try EndpointPair(configuration)
    let content = streamBytes(0..<90_000)
    let slow: Connection
    do {
      let (client, server) = try await pair.connect()
      slow = server
      try await client.write(content)
      client.finish()
    }
    await until { slow.isHoldingBack }
    // Whose peer has everything and does not end is let go: that tells of two intervals.
    for _ in 0..<5 {
      let other: Connection
      do {
        let (client, server) = try await pair.connect()
        other = server
        client.finish()
      }
      #expect(try await other.read() == [])
      #expect(try await other.closed() == .remote(code: CloseCode.abandoned, reason: ""))
    }
    #expect(try await slow.readAll() == content)
    await pair.close()
  }

  // MARK: Calls that come too late

  @Test(arguments: 0..<4) func writesBehindTheEndGetAnError(how: Int) async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    let error: TransportError
    switch how {
    case 0:
      client.finish()
      error = .finished
    case 1:
      client.close(code: 1)
      error = .closed(.local(code: 1))
    case 2:
      server.close(code: 2)
      error = .closed(.remote(code: 2, reason: ""))
      _ = try await client.closed()
    default:
      await pair.client.close()
      error = .endpointClosed
    }
    let released = Counter()
    let memory = Memory([1, 2, 3])
    for _ in 0..<10 {
      await #expect(throws: error) { try await client.write([1, 2, 3]) }
      await #expect(throws: error) { try await unsafe client.write(memory.bytes, release: released.increment) }
      client.finish()
    }
    #expect(released.value == 10)
    await pair.close()
  }

  /// Many who publish while subscribers go in every way: the others go on.
  @Test(arguments: 0..<4) func publishersRaceWithSubscribersEnds(how: Int) async throws {
    let pair = try EndpointPair()
    let (steady, reader) = try await pair.connect()
    let content = streamBytes(0..<100_000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<40 {
        let (publisher, subscriber) = try await pair.connect()
        group.addTask {
          do throws(TransportError) {
            while true { try await publisher.write(Array(content[..<(1000 * (index % 8 + 1))])) }
          } catch {}
        }
        group.addTask {
          for _ in 0..<index % 6 {
            if let bytes = try? await subscriber.read(), bytes.isEmpty { return }
          }
          switch how {
          case 0: subscriber.close(code: 1)
          case 1: publisher.close(code: 1)
          case 2:
            publisher.finish()
            _ = try? await subscriber.readAll()
          default:
            publisher.finish()
            subscriber.close(code: 2)
          }
        }
      }
      try await group.waitForAll()
    }
    try await steady.write([1])
    #expect(try await reader.read() == [1])
    await pair.close()
  }

  // MARK: Endpoints

  @Test func nothingBeginsWhileClosing() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    server.finish()
    let accepting = Task { try await pair.server.accept() }
    let closing = Task { await pair.server.close(lingering: .seconds(3600)) }
    await #expect(throws: TransportError.endpointClosed) { _ = try await accepting.value }
    await #expect(throws: TransportError.endpointClosed) { _ = try await pair.server.accept() }
    await #expect(throws: TransportError.endpointClosed) {
      _ = try await pair.server.connect(to: pair.client.localAddress, expecting: .anyone)
    }
    let late = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    #expect(try await late.closed() == .remote(code: CloseCode.endpointClosed, reason: ""))
    var loops = 0
    for try await _ in pair.server.incoming { loops += 1 }
    #expect(loops == 0)
    // What was finished goes on.
    try await client.write([1, 2])
    client.finish()
    #expect(try await server.readAll() == [1, 2])
    await closing.value
    await pair.client.close()
  }

  /// Whoever asks again does not begin the time anew.
  @Test func closingAgainDoesNotProlong() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    server.finish()
    let closing = Task { await pair.server.close(lingering: .milliseconds(200)) }
    var others: [Task<Void, Never>] = []
    while await pair.server.statistics() != nil {
      others.append(Task { await pair.server.close(lingering: .milliseconds(200)) })
    }
    await closing.value
    for other in others { await other.value }
    #expect(try await client.closed() == .remote(code: CloseCode.endpointClosed, reason: ""))
    await pair.client.close()
  }

  @Test func closingAgainShortens() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    server.finish()
    let closing = Task { await pair.server.close(lingering: .seconds(3600)) }
    await #expect(throws: TransportError.endpointClosed) { _ = try await pair.server.accept() }
    await pair.server.close()
    await closing.value
    _ = try await client.closed()
    await pair.client.close()
  }

  /// Everyone hears of it, also where a turn takes few.
  @Test(arguments: [EndpointConfiguration(), .overUring])
  func closeTellsEveryone(configuration: EndpointConfiguration) async throws {
    var configuration = configuration
    configuration.reactor.sendBatchesPerTurn = 1
    configuration.reactor.sendMessages = 1
    let server = try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration)
    let client = try Endpoint(bind: .loopback, accepting: .anyone)
    var connections: [Connection] = []
    for _ in 0..<300 {
      connections.append(try await client.connect(to: server.localAddress, expecting: .anyone))
      connections.append(try await server.accept())
    }
    await server.close()
    for connection in connections {
      do throws(TransportError) {
        #expect(try await connection.closed() == .remote(code: CloseCode.endpointClosed, reason: ""))
      } catch { #expect(error == .endpointClosed) }
    }
    await client.close()
  }

  // MARK: Releases

  /// Whoever cancels or closes may hold a lock that a release takes.
  @Test(arguments: 0..<4) func releasesComeFromTheEndpointsThread(how: Int) async throws {
    let thread = Locked<Thread?>(nil)
    let server = try Endpoint(bind: .loopback, accepting: .anyone, configuration: .small)
    let client = try Endpoint(bind: .loopback, accepting: .nobody, configuration: .small)
    // A dialler's rule is asked on its thread.
    let keys = PeerKeys.matching { _, _ in
      thread.withLock { $0 = Thread.current }
      return true
    }
    let connection = try await client.connect(to: server.localAddress, expecting: keys)
    let accepted = try await server.accept()
    let own = try #require(thread.withLock { $0 })
    let (here, elsewhere) = (Counter(), Counter())
    let memory = Memory(streamBytes(0..<100_000))
    let writings = (0..<3).map { _ in
      Task {
        try await unsafe connection.write(memory.bytes) {
          if Thread.current == own { here.increment() } else { elsewhere.increment() }
        }
      }
    }
    await until { accepted.isHoldingBack && connection.waitingWrites == 3 }
    switch how {
    case 0: for writing in writings { writing.cancel() }
    case 1: connection.close()
    case 2: accepted.close()
    default: await client.close()
    }
    for writing in writings { await #expect(throws: TransportError.self) { try await writing.value } }
    if how == 0 { connection.close() }
    await until { here.value + elsewhere.value == 3 }
    #expect(elsewhere.value == 0)
    await client.close()
    await server.close()
    #expect(here.value + elsewhere.value == 3)
  }
}
