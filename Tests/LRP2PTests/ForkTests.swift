// SPDX-License-Identifier: MIT
import CProcess
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Runs `body` in a forked child.
/// - Returns: what it returns; nil when it hung or crashed.
private func inChild(_ body: () -> Int32) -> Int32? {
  let child = process_fork()
  if child == 0 { process_exit(body()) }
  let code = process_wait(child)
  return code < 0 ? nil : code
}

/// Forks once when it is asked for bytes in the middle of a transfer; the child goes on as if nothing had happened.
private struct ForkingHandler: Handler {
  var stream = StreamHandler(bytesToSend: 1 << 20)
  var child: Int32 = -1

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    stream.connected(peer, info, engine: &engine)
  }
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    if child < 0, offset > 100_000 { child = process_fork() }
    stream.fill(peer, offset: offset, into: &bytes)
  }
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    stream.received(peer, bytes, engine: &engine)
  }
  mutating func finished(_ peer: Peer, engine: inout Engine) { stream.finished(peer, engine: &engine) }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    stream.closed(peer, reason: reason, engine: &engine)
  }
}

/// A forked child has copies of keys and packet numbers: it must not send, and is told so.
@Suite(.serialized) struct ForkTests {
  @Test(arguments: backends) func aForkedChildSendsNothing(backend: ReactorBackend) throws {
    let bytes: UInt64 = 1 << 20
    var pair = try ReactorPair(configuration: .init(backend), clientSends: bytes, serverSends: bytes)
    let peer = try pair.client.engine.connect(to: pair.server4, expecting: .key(pair.serverKey))
    while pair.clientHandler.peers[peer]?.received ?? 0 < 100_000 { try pair.turn() }
    let sent = pair.client.statistics.datagramsSent
    let code = inChild {
      pair.client.engine.ping(peer, token: 7)
      for _ in 0..<3 {
        do throws(SystemError) {
          try pair.client.turn(&pair.clientHandler, timeout: 0)
          return 1
        } catch { if error != .forked { return 2 } }
      }
      do throws(SystemError) {
        try pair.server.run(&pair.serverHandler)
        return 3
      } catch { if error != .forked { return 4 } }
      pair.client.remote.submit { _ in }
      pair.client.remote.stop()
      return pair.client.statistics.datagramsSent == sent ? 0 : 5
    }
    #expect(code == 0)
    // The parent goes on, and everything has arrived once.
    #expect(try pair.runUntilClosed(1))
    for handler in [pair.clientHandler, pair.serverHandler] {
      #expect(
        handler.mismatches == 0 && handler.peers.values.allSatisfy { $0.closed == .finished && $0.received == bytes })
    }
    #expect(pair.server.engine.statistics.authenticationFailures == 0)
    #expect(pair.server.statistics.datagramsReceived == pair.client.statistics.datagramsSent)
    #expect("\(SystemError.forked)" == "use what the parent process has made: operation not permitted")
  }

  /// The child comes back from the callback in the middle of a turn, with datagrams already sealed.
  @Test(arguments: backends) func aChildForkedByACallbackSendsNothing(backend: ReactorBackend) throws {
    let identity = Identity()
    var server = try Reactor(configuration: .init(backend), identity: identity, bind: .any(port: 0), accepting: .anyone)
    var client = try Reactor(
      configuration: .init(backend), identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    var handler = ForkingHandler()
    var serverHandler = StreamHandler(bytesToSend: 0)
    let address = Address(ipv4: 0x7F00_0001, port: server.localAddress.port)
    _ = try client.engine.connect(to: address, expecting: .key(identity.publicKey))
    let end = currentInstant() + .seconds(60)
    var hasForked = false
    while handler.stream.closedCount == 0, currentInstant() < end {
      do throws(SystemError) { try client.turn(&handler, timeout: 0) } catch {
        if handler.child == 0 { process_exit(error == .forked ? 0 : 1) }
        throw error
      }
      if handler.child == 0 { process_exit(2) }
      if handler.child > 0, handler.child != .max {
        #expect(process_wait(handler.child) == 0)
        hasForked = true
        handler.child = .max
      }
      try server.turn(&serverHandler, timeout: 0)
    }
    let isDone = handler.stream.closedCount == 1 && serverHandler.mismatches == 0
    #expect(hasForked && isDone && server.engine.statistics.authenticationFailures == 0)
    #expect(server.statistics.datagramsReceived == client.statistics.datagramsSent)
  }

  /// No call of the child hangs or does anything; the parent's connection goes on.
  @Test func anEndpointInAForkedChildSaysSo() async throws {
    let pair = try EndpointPair()
    let (dialled, accepted) = try await pair.connect()
    let code = callInChild(pair, dialled)
    #expect(code == 0)
    try await dialled.write([1, 2, 3])
    #expect(try await accepted.read() == [1, 2, 3])
    await pair.close()
  }

  private func callInChild(_ pair: EndpointPair, _ connection: Connection) -> Int32? {
    inChild {
      func isForked(_ body: () throws(TransportError) -> Void) -> Bool {
        do throws(TransportError) { try body() } catch { return error == .system(.forked) }
        return false
      }
      if !isForked({ () throws(TransportError) in _ = try connection.blocking.read() }) { return 1 }
      if !isForked({ () throws(TransportError) in try connection.blocking.write([1]) }) { return 2 }
      if !isForked({ () throws(TransportError) in try connection.blocking.flush() }) { return 3 }
      if !isForked({ () throws(TransportError) in _ = try connection.blocking.closed() }) { return 4 }
      if !isForked({ () throws(TransportError) in _ = try pair.client.blocking.accept() }) { return 5 }
      if !isForked({ () throws(TransportError) in
        _ = try pair.client.blocking.connect(to: pair.server.localAddress, expecting: .anyone)
      }) {
        return 6
      }
      connection.finish()
      connection.close()
      pair.client.blocking.close()
      return 0
    }
  }

  /// What the page says, the process id says where the kernel has no such pages.
  @Test(arguments: [false, true]) func theMarkTellsAChild(asksForProcess: Bool) {
    let mark = ProcessMark(asksForProcess: asksForProcess)
    #expect(!mark.isForked)
    #expect(inChild { mark.isForked ? 0 : 1 } == 0)
    #expect(!mark.isForked)
  }

  /// A child's own reactor works, with an identity that the parent has read.
  @Test func aChildMakesAReactorOfItsOwn() {
    let identity = Identity()
    let code = inChild {
      do {
        var reactor = try Reactor(identity: identity, bind: .any(port: 0), accepting: .anyone)
        var handler = StreamHandler(bytesToSend: nil)
        try reactor.turn(&handler, timeout: 0)
        return reactor.engine.publicKey == identity.publicKey ? 0 : 1
      } catch { return 2 }
    }
    #expect(code == 0)
  }
}
