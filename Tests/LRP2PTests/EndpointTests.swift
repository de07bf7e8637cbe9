// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

@Suite(.serialized, .timeLimit(.minutes(2))) struct EndpointTests {
  @Test(arguments: [EndpointConfiguration.small, EndpointConfiguration(), .overUring])
  func echoesBothWays(configuration: EndpointConfiguration) async throws {
    let pair = try EndpointPair(configuration)
    let (client, server) = try await pair.connect()
    #expect(client.remoteKey == pair.server.publicKey && server.remoteKey == pair.client.publicKey)
    #expect(client.remoteAddress == pair.server.localAddress && server.remoteAddress == pair.client.localAddress)
    let content = streamBytes(0..<500_000)
    let echoing = Task { try await server.echo() }
    let writing = Task {
      var at = 0
      // Short ones and long ones, none at all, and one that is larger than the buffers.
      for length in [1, 0, 10, 4096, 4097, 100_000, 13, 65_000, 200_000, 9] {
        try await client.write(Array(content[at..<at + length]))
        at += length
      }
      try await client.write(Array(content[at...]))
      client.finish()
    }
    let echoed = try await client.readAll(upTo: 3333)
    #expect(echoed == content)
    try await writing.value
    try await echoing.value
    #expect(try await client.closed() == .finished)
    #expect(try await server.closed() == .finished)
    #expect(try await client.read() == [])
    await pair.close()
  }

  /// A reader that does nothing holds the writer back: what is accepted is bounded, and all of it arrives.
  @Test func idleReaderHoldsTheWriterBack() async throws {
    let configuration = EndpointConfiguration.small
    let pair = try EndpointPair(configuration)
    let (client, server) = try await pair.connect()
    let content = streamBytes(0..<1_000_000)
    let writing = Task { () async -> TransportError? in
      do throws(TransportError) {
        try await client.write(content)
        return nil
      } catch { return error }
    }
    // The acknowledged part shows that it is stuck, not slow.
    await until { server.isHoldingBack }
    writing.cancel()
    guard case .cancelled(let accepted) = await writing.value else {
      Issue.record("a write of a megabyte fitted")
      return
    }
    #expect(accepted > 0 && accepted <= configuration.mostInFlight)
    client.finish()
    #expect(try await server.readAll() == Array(content[..<accepted]))
    await pair.close()
  }

  @Test(arguments: [EndpointConfiguration(), .overUring])
  func manyConnectionsAtOnce(configuration: EndpointConfiguration) async throws {
    let pair = try EndpointPair(configuration)
    let serving = Task {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for try await connection in pair.server.incoming { group.addTask { try await connection.echo() } }
        try await group.waitForAll()
      }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<200 {
        group.addTask {
          let connection = try await pair.client.connect(
            to: pair.server.localAddress, expecting: .key(pair.server.publicKey))
          let content = streamBytes(0..<20_000, salt: index)
          try await connection.write(content)
          connection.finish()
          #expect(try await connection.readAll() == content)
        }
      }
      try await group.waitForAll()
    }
    await pair.close()
    try await serving.value
  }

  @Test func eachDirectionEndsOnItsOwn() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    try await client.write(Array("question".utf8))
    client.finish()
    #expect(try await server.readAll() == Array("question".utf8))
    await #expect(throws: TransportError.finished) { try await client.write([1]) }
    for _ in 0..<10 { try await server.write(Array("answer ".utf8)) }
    server.finish()
    #expect(try await client.readAll().count == 70)
    #expect(try await server.closed() == .finished)
    await pair.close()
  }

  @Test(arguments: [true, false]) func closeTellsTheOtherSide(fromClient: Bool) async throws {
    let pair = try EndpointPair()
    let ends = try await pair.connect()
    let (closer, other) = fromClient ? ends : (ends.1, ends.0)
    let reading = Task { try await other.read() }
    closer.close(code: 42, reason: "enough")
    closer.close(code: 43)
    let remote = TransportError.closed(.remote(code: 42, reason: "enough"))
    await #expect(throws: remote) { try await reading.value }
    await #expect(throws: remote) { try await other.write([1]) }
    await #expect(throws: TransportError.closed(.local(code: 42))) { try await closer.read() }
    #expect(try await closer.closed() == .local(code: 42))
    #expect(try await other.closed() == .remote(code: 42, reason: "enough"))
    #expect(await closer.statistics() == nil)
    await pair.close()
  }

  @Test func flushWaitsForThePeer() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let reading = Task { try await server.readAll() }
    try await client.write(streamBytes(0..<50_000))
    try await client.flush()
    client.close()
    await #expect(throws: TransportError.closed(.remote(code: 0, reason: ""))) { try await reading.value }
    await pair.close()
  }

  /// What was never acknowledged is not flushed by the end of the connection.
  @Test func flushBehindTheEnd() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let writing = Task { try await client.write(streamBytes(0..<100_000)) }
    // Nobody reads: something waits that cannot leave.
    while await client.statistics()?.limitedBy != .receiveWindow { await Task.yield() }
    server.close(code: 7, reason: "enough")
    let end = TransportError.closed(.remote(code: 7, reason: "enough"))
    await #expect(throws: end) { try await writing.value }
    #expect(try await client.closed() == .remote(code: 7, reason: "enough"))
    await #expect(throws: end) { try await client.flush() }
    await pair.close()
  }

  /// Letting go behind `finish` loses nothing; letting go without it closes.
  @Test func lettingGo() async throws {
    let pair = try EndpointPair(.small)
    let content = streamBytes(0..<300_000)
    let server: Connection
    do {
      let (client, accepted) = try await pair.connect()
      server = accepted
      // It has to be larger than what fits, and written whole before the reference goes.
      let writing = Task {
        try await client.write(content)
        client.finish()
      }
      try await server.write([1, 2, 3])
      _ = writing
    }
    #expect(try await server.readAll() == content)
    server.finish()
    #expect(try await server.closed() == .finished)

    let abandoned: Connection
    do { (_, abandoned) = try await pair.connect() }
    await #expect(throws: TransportError.closed(.remote(code: CloseCode.abandoned, reason: ""))) {
      try await abandoned.read()
    }
    await pair.close()
  }

  // MARK: Errors

  @Test func keysAreJudged() async throws {
    var configuration = EndpointConfiguration()
    configuration.reactor.engine.handshakeTimeout = 500_000_000
    let refused = Counter()
    let pair = try EndpointPair(configuration) { _, _ in
      refused.increment()
      return false
    }
    // Whoever is refused has a connection until it is told.
    let connection = try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone)
    #expect(try await connection.closed() == .remote(code: CloseCode.keyRefused, reason: "key refused"))
    #expect(refused.value > 0)
    await #expect(throws: TransportError.closed(.keyRefused)) {
      _ = try await pair.client.connect(to: pair.server.localAddress, expecting: .key(Identity().publicKey))
    }
    await pair.close()
    await #expect(throws: TransportError.closed(.unreachable(.portUnreachable))) {
      let lonely = try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration)
      _ = try await lonely.connect(to: pair.server.localAddress, expecting: .anyone)
    }
  }

  @Test func backlogIsBounded() async throws {
    var configuration = EndpointConfiguration()
    configuration.backlog = 2
    let pair = try EndpointPair(configuration)
    var connections: [Connection] = []
    for _ in 0..<5 {
      connections.append(try await pair.client.connect(to: pair.server.localAddress, expecting: .anyone))
    }
    for connection in connections[2...] {
      #expect(try await connection.closed() == .remote(code: CloseCode.backlogFull, reason: ""))
    }
    for connection in connections[..<2] {
      let accepted = try await pair.server.accept()
      try await accepted.write([7])
      #expect(try await connection.read() == [7])
    }
    await pair.close()
  }

  @Test func setUpFailsWithReasons() throws {
    let first = try Endpoint(bind: .loopback, accepting: .anyone)
    do throws(TransportError) {
      _ = try Endpoint(bind: first.localAddress, accepting: .anyone)
      Issue.record("bound twice")
    } catch { #expect("\(error)" == "bind \(first.localAddress): address already in use") }
    var configuration = EndpointConfiguration()
    configuration.backlog = 0
    #expect(
      throws: TransportError.configuration(.outOfRange(field: "backlog", allowed: "1 … 1048576"))
    ) { try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration) }
  }

  @Test func tooManyPeers() async throws {
    let server = try Endpoint(bind: .loopback, accepting: .anyone)
    var configuration = EndpointConfiguration()
    configuration.reactor.engine.maximumPeers = 1
    let client = try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration)
    let only = try await client.connect(to: server.localAddress, expecting: .anyone)
    await #expect(throws: TransportError.tooManyPeers) {
      _ = try await client.connect(to: server.localAddress, expecting: .anyone)
    }
    only.close()
    await client.close()
    await server.close()
  }

  // MARK: End of an endpoint

  @Test func closedEndpointEndsItsConnections() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    let accepting = Task { try await pair.server.accept() }
    let reading = Task { try await server.read() }
    await pair.server.close()
    await #expect(throws: TransportError.endpointClosed) { _ = try await accepting.value }
    await #expect(throws: TransportError.endpointClosed) { try await reading.value }
    await #expect(throws: TransportError.closed(.remote(code: CloseCode.endpointClosed, reason: ""))) {
      try await client.read()
    }
    await #expect(throws: TransportError.endpointClosed) {
      _ = try await pair.server.connect(to: pair.client.localAddress, expecting: .anyone)
    }
    #expect(await pair.server.statistics() == nil)
    await pair.server.close()
    await pair.client.close()
  }

  @Test func closeLingersForWhatIsFinished() async throws {
    let pair = try EndpointPair(.small)
    let (client, server) = try await pair.connect()
    let content = streamBytes(0..<200_000)
    let writing = Task {
      try await client.write(content)
      client.finish()
      await pair.client.close(lingering: .seconds(60))
    }
    #expect(try await server.readAll() == content)
    server.finish()
    try await writing.value
    await pair.server.close()
  }

  @Test(arguments: [EndpointConfiguration(), .overUring])
  func endpointsLeaveNoDescriptor(configuration: EndpointConfiguration) async throws {
    // What the runtime opens once.
    await (try EndpointPair(configuration)).close()
    let before = openDescriptors()
    for round in 0..<20 {
      let pair = try EndpointPair(configuration)
      let (client, server) = try await pair.connect()
      try await client.write([1, 2, 3])
      #expect(try await server.read() == [1, 2, 3])
      // Every other time its end comes by itself; the connections outlive it.
      if round % 2 == 0 {
        await pair.close()
        await #expect(throws: TransportError.endpointClosed) { try await client.read() }
      }
    }
    await until { openDescriptors() == before }
  }

  @Test func lostEndpointEndsItsConnections() async throws {
    let server = try Endpoint(bind: .loopback, accepting: .anyone)
    let (client, accepted) = try await { () async throws -> (Connection, Connection) in
      let endpoint = try Endpoint(bind: .loopback, accepting: .anyone)
      let client = try await endpoint.connect(to: server.localAddress, expecting: .anyone)
      return (client, try await server.accept())
    }()
    await #expect(throws: TransportError.endpointClosed) { try await client.read() }
    await #expect(throws: TransportError.closed(.remote(code: CloseCode.endpointClosed, reason: ""))) {
      try await accepted.read()
    }
    await server.close()
  }

  @Test func figuresAreThere() async throws {
    let pair = try EndpointPair()
    let (client, server) = try await pair.connect()
    try await client.write(streamBytes(0..<10_000))
    try await client.flush()
    let figures = try #require(await client.statistics())
    #expect(figures.address == pair.server.localAddress && figures.key == pair.server.publicKey)
    #expect(figures.minimumRTT > 0)
    let statistics = try #require(await pair.server.statistics())
    #expect(statistics.engine.handshakesCompleted == 1 && statistics.reactor.datagramsReceived > 0)
    _ = server
    await pair.close()
  }
}
