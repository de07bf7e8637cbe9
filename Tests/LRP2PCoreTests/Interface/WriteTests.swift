// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Bytes that the engine keeps (`Engine.write`): they arrive, their memory is bounded, and who has to wait is called.
@Suite struct WriteTests {
  /// Writes a number of bytes as there is room, or echoes; checks what comes.
  private struct Writer: WritingHandler {
    var toWrite: UInt64 = 0
    var written: UInt64 = 0
    var echoes = false
    var received: UInt64 = 0
    var wrong = 0
    var lost = 0
    var peer: Peer?
    var writables = 0
    var fulls = 0
    var closed: [CloseReason] = []
    /// Behind how many bytes it stops reading.
    var pausesAt: UInt64 = .max

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
      self.peer = peer
      if toWrite > 0 { writeOn(peer, &engine) }
    }

    mutating func writeOn(_ peer: Peer, _ engine: inout Engine) {
      while written < toWrite {
        let piece = (0..<min(3001, toWrite - written)).map { StreamHandler.byte(at: written + $0) }
        switch engine.write(peer, piece) {
        case .sent: written += UInt64(piece.count)
        case .full(let accepted):
          written += UInt64(accepted)
          fulls += 1
          return
        case .ended: return
        }
      }
      engine.finish(peer)
    }

    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
      for index in 0..<bytes.byteCount where bytes.byte(index) != StreamHandler.byte(at: received + UInt64(index)) {
        wrong += 1
      }
      received += UInt64(bytes.byteCount)
      if echoes, case .full(let accepted) = engine.write(peer, bytes) {
        lost += bytes.byteCount - accepted
        fulls += 1
        engine.pause(peer)
      }
      if received >= pausesAt { engine.pause(peer) }
    }

    mutating func writable(_ peer: Peer, engine: inout Engine) {
      writables += 1
      if echoes { engine.resume(peer) } else if toWrite > 0 { writeOn(peer, &engine) }
    }

    mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { closed.append(reason) }
  }

  private func world(
    _ first: Writer, _ second: Writer, loss: Double = 0, pool: Int = 1 << 20, peer: Int = 1 << 16,
    unread: Int = 128 << 20
  ) -> World<Writer> {
    var configuration = EngineConfiguration()
    configuration.writePoolBytes = pool
    configuration.writePeerBytes = peer
    configuration.receivePeerBytes = unread
    var link = Link()
    (link.rate, link.delay, link.loss) = (20_000_000, .milliseconds(10), loss)
    return World(seed: 5, configuration: configuration, link: link, firstHandler: first, secondHandler: second)
  }

  private func held(_ engine: borrowing Engine) -> [Int] {
    engine.tables.filter { "\($0.name)".hasPrefix("written") }.map { $0.inUse }
  }

  @Test(arguments: [0, 0.02]) func echoMovesEveryByteInBoundedMemory(loss: Double) throws {
    var world = world(Writer(toWrite: 2_000_000), Writer(echoes: true), loss: loss)
    _ = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    var most = 0
    let isDone = world.run(for: .seconds(300)) { world in
      most = max(most, world.first.writeBytesInUse, world.second.writeBytesInUse)
      return world.firstHandler.closed.count + world.secondHandler.closed.count == 2
    }
    #expect(isDone)
    #expect(world.firstHandler.received == 2_000_000 && world.secondHandler.received == 2_000_000)
    #expect(world.firstHandler.wrong + world.secondHandler.wrong + world.secondHandler.lost == 0)
    #expect(world.firstHandler.fulls > 10 && world.firstHandler.writables == world.firstHandler.fulls)
    #expect(most <= 1 << 16 + 2 * WritePool.chunkBytes)
    #expect(held(world.first) == [0, 0] && held(world.second) == [0, 0])
  }

  @Test func whatIsWrittenIsAllThatIsTaken() throws {
    var world = world(Writer(), Writer())
    world.secondHandler.pausesAt = 1
    let peer = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    // Also before there is a connection.
    #expect(world.first.writableBytes(of: peer) == 1 << 16)
    #expect(world.first.write(peer, [UInt8](repeating: 0, count: 40_000)) == .sent)
    #expect(world.first.writableBytes(of: peer) == 1 << 16 - 40_000)
    #expect(world.first.write(peer, [UInt8](repeating: 0, count: 40_000)) == .full(accepted: 1 << 16 - 40_000))
    #expect(world.first.write(peer, [1]) == .full(accepted: 0))
    #expect(world.first.statistics.writesCut == 2)
    // What is written may not be mixed with what is pulled.
    #expect(world.first.offer(peer, upTo: 1 << 16 + 1) == .refused)
    #expect(world.first.offer(peer, upTo: 1 << 16) == .done)
    #expect(world.firstHandler.writables == 0)
  }

  @Test func writesEndWithTheConnection() throws {
    var world = world(Writer(), Writer())
    let peer = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.peer != nil })
    #expect(world.first.write(peer, [UInt8](repeating: 0, count: 50_000)) == .full(accepted: 50_000))
    #expect(held(world.first)[0] == 1)
    world.first.close(peer, code: 1)
    #expect(world.first.write(peer, [1]) == .ended)
    #expect(world.run(for: .seconds(60)) { $0.firstHandler.closed.count == 1 })
    #expect(world.firstHandler.writables == 0)
    #expect(held(world.first) == [0, 0])
    #expect(world.first.write(peer, [1]) == .ended && world.first.writableBytes(of: peer) == 0)

    let another = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    world.first.finish(another)
    #expect(world.first.write(another, [1]) == .ended && world.first.writableBytes(of: another) == 0)
  }

  @Test func restingConnectionsHoldNothing() throws {
    var world = world(Writer(), Writer(echoes: true))
    let peer = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    for round in 1...3 {
      let text = (0..<UInt64(100)).map { StreamHandler.byte(at: UInt64(round - 1) * 100 + $0) }
      #expect(world.first.write(peer, text) == .sent)
      #expect(world.run(for: .seconds(5)) { $0.firstHandler.received == UInt64(round) * 100 })
      _ = world.run(for: .seconds(10))
      #expect(held(world.first) == [0, 0] && held(world.second) == [0, 0])
    }
    #expect(world.firstHandler.wrong + world.secondHandler.wrong == 0)
  }

  /// A reader that waits for room resumes when the connection has ended, and need not wait to be given up.
  @Test func whoWaitsIsCalledAtTheEnd() throws {
    var world = world(Writer(), Writer(echoes: true), unread: 1 << 18)
    let peer = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    world.firstHandler.pausesAt = 1
    #expect(world.run(for: .seconds(1)) { $0.secondHandler.peer != nil })
    let total: UInt64 = 3_000_000
    world.firstHandler.toWrite = total
    world.network.onHost(0) { engine, handler in handler.writeOn(peer, &engine) }
    // Its echo is stuck, as the other side does not read.
    #expect(
      world.run(for: .seconds(20)) { $0.secondHandler.fulls > 0 && $0.secondHandler.writables < $0.secondHandler.fulls }
    )
    _ = world.run(for: .seconds(10))
    #expect(world.secondHandler.fulls > world.secondHandler.writables && world.secondHandler.received < total)
    world.first.close(peer, code: 3)
    let closed = world.now
    #expect(world.run(for: .seconds(60)) { $0.secondHandler.closed.count == 1 })
    #expect(world.now - closed < .seconds(1))
    #expect(world.secondHandler.closed == [.remote(code: 3, reason: "")])
    #expect(world.secondHandler.writables == world.secondHandler.fulls)
    #expect(held(world.second) == [0, 0])
  }

  /// What one connection holds keeps another waiting, which is called as soon as that is over.
  @Test func whoWaitsForOthersIsCalled() throws {
    var world = world(Writer(), Writer(), pool: 1 << 16, peer: 1 << 16)
    let holders = try (0..<4).map { _ in try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone) }
    for peer in holders { world.first.write(peer, [UInt8](repeating: 0, count: 1 << 16)) }
    #expect(world.first.writeBytesInUse == 1 << 16)
    let late = try world.first.connect(to: World<Writer>.secondAddress, expecting: .anyone)
    #expect(world.first.write(late, [1]) == .full(accepted: 0))
    world.first.close(holders[0], code: 1)
    #expect(world.run(for: .seconds(5)) { $0.firstHandler.writables > 0 })
    #expect(world.run(for: .seconds(5)) { $0.first.writeBytesInUse == 0 })
    #expect(world.firstHandler.writables == 4)
  }
}
