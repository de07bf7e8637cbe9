// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

/// Who may connect, and what both programs say of themselves before there is a connection: through sockets.
@Suite struct AdmissionTests {
  private static func configuration(_ names: [ApplicationProtocol]) -> EndpointConfiguration {
    var configuration = EndpointConfiguration()
    configuration.reactor.engine.applicationProtocols = names
    return configuration
  }

  @Test func onlyTheseKeysMayConnect() async throws {
    let friend = Identity()
    let server = try Endpoint(bind: .loopback, accepting: .key(friend.publicKey))
    let known = try Endpoint(identity: friend, bind: .loopback, accepting: .nobody)
    let stranger = try Endpoint(bind: .loopback, accepting: .nobody)
    let refused = try await stranger.connect(to: server.localAddress, expecting: .key(server.publicKey))
    #expect(try await refused.closed() == .remote(code: .keyRefused, reason: "key refused"))
    let connection = try await known.connect(to: server.localAddress, expecting: .key(server.publicKey))
    let accepted = try await server.accept()
    #expect(accepted.remoteKey == friend.publicKey && connection.requestPayload.isEmpty)
    for endpoint in [server, known, stranger] { await endpoint.close() }
  }

  @Test func nobodyMayConnectToOneThatOnlyDials() async throws {
    let dialler = try Endpoint(bind: .loopback, accepting: .nobody)
    let other = try Endpoint(bind: .loopback, accepting: .nobody)
    await #expect(throws: TransportError.closed(.handshakeTimeout)) {
      _ = try await other.connect(to: dialler.localAddress, expecting: .anyone, timeout: .milliseconds(200))
    }
    await dialler.close()
    await other.close()
  }

  @Test func thePayloadIsJudgedAndKept() async throws {
    let server = try Endpoint(
      bind: .loopback, accepting: .anyone, configuration: Self.configuration(["chat/2", "chat/1"]),
      admission: { request in
        request.payload == Array("lobby".utf8) ? .accepted : .refused(code: 7, reason: "no such room")
      })
    let client = try Endpoint(
      bind: .loopback, accepting: .nobody, configuration: Self.configuration(["chat/1"]))
    let refused = try await client.connect(
      to: server.localAddress, expecting: .key(server.publicKey), payload: Array("attic".utf8))
    #expect(try await refused.closed() == .remote(code: 7, reason: "no such room"))
    let connection = try await client.connect(
      to: server.localAddress, expecting: .key(server.publicKey), payload: Array("lobby".utf8))
    let accepted = try await server.accept()
    #expect(accepted.requestPayload == Array("lobby".utf8) && accepted.applicationProtocol == "chat/1")
    #expect(connection.applicationProtocol == "chat/1" && accepted.remoteKey == client.publicKey)
    await #expect(throws: TransportError.payloadTooLong) {
      _ = try await client.connect(
        to: server.localAddress, expecting: .anyone, payload: [UInt8](repeating: 0, count: 513))
    }
    await client.close()
    await server.close()
  }

  @Test func theBlockingCallsHaveTheSame() throws {
    let server = try Endpoint(
      bind: .loopback, accepting: .anyone, admission: { $0.payload.isEmpty ? .refused(code: 9) : .accepted })
    let client = try Endpoint(bind: .loopback, accepting: .nobody)
    let refused = try client.blocking.connect(to: server.localAddress, expecting: .key(server.publicKey))
    #expect(try refused.blocking.closed() == .remote(code: 9, reason: ""))
    _ = try client.blocking.connect(to: server.localAddress, expecting: .key(server.publicKey), payload: [1])
    #expect(try server.blocking.accept().requestPayload == [1])
    client.blocking.close()
    server.blocking.close()
  }
}
