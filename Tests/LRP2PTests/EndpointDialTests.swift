// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// Dials over real sockets that cannot succeed, or not at the first address.
@Suite struct EndpointDialTests {
  private static func closedPort() async throws -> Address {
    let endpoint = try Endpoint(bind: .loopback, accepting: .anyone)
    let address = endpoint.localAddress
    await endpoint.close()
    return address
  }

  private static let backends = [EndpointConfiguration(), .overUring]

  @Test(arguments: 0..<2) func nobodyListens(backend: Int) async throws {
    let client = try Endpoint(bind: .loopback, accepting: .anyone, configuration: Self.backends[backend])
    let closed = try await Self.closedPort()
    await #expect(throws: TransportError.closed(.unreachable(.portUnreachable))) {
      _ = try await client.connect(to: closed, expecting: .anyone)
    }
    await #expect(throws: TransportError.closed(.unreachable(.badPort))) {
      _ = try await client.connect(to: .loopback, expecting: .anyone)
    }
    await #expect(throws: TransportError.closed(.unreachable(.ownAddress))) {
      _ = try await client.connect(to: client.localAddress, expecting: .anyone)
    }
    await #expect(throws: TransportError.noAddress) { _ = try await client.connect(to: [], expecting: .anyone) }
    // It is as good as new.
    let server = try Endpoint(bind: .loopback, accepting: .anyone)
    _ = try await client.connect(to: [closed, server.localAddress], expecting: .key(server.publicKey))
    await client.close()
    await server.close()
  }

  /// While one dial after the other fails a connection loses nothing.
  @Test(arguments: 0..<2) func aTransferDoesNotNotice(backend: Int) async throws {
    let pair = try EndpointPair(Self.backends[backend])
    let (dialled, accepted) = try await pair.connect()
    let closed = try await Self.closedPort()
    let client = pair.client
    let dials = Task {
      for _ in 0..<3 { _ = try? await client.connect(to: closed, expecting: .anyone) }
    }
    let bytes = streamBytes(0..<3_000_000)
    async let written: Void = dialled.write(bytes)
    var received: [UInt8] = []
    while received.count < bytes.count { received += try await accepted.read() }
    try await written
    #expect(received == bytes)
    await dials.value
    let statistics = try #require(await client.statistics())
    #expect(statistics.reactor.sendDropsUndeliverable == 0 && statistics.reactor.receiveFailures == 0)
    await pair.close()
  }
}
