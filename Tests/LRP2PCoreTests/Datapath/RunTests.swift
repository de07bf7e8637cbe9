// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What leaves and arrives side by side, many segments at once, while the user's callbacks interfere.
@Suite struct RunTests {
  /// Sends without end.
  private struct Source: SendingHandler {
    var peer: Peer?

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { self.peer = peer }
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
    mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
      for index in 0..<bytes.byteCount { bytes.setByte(index, Sink.byte(at: offset + UInt64(index))) }
    }
  }

  /// Checks what it gets, and does something at one of the calls.
  private struct Sink: ReceivingHandler {
    static func byte(at offset: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 0x9E37_79B9 >> 7) }

    var peer: Peer?
    var received: UInt64 = 0
    var calls = 0
    var wrong = 0
    var actAt = 0
    var act: (inout Engine, Peer) -> Void = { _, _ in }
    var closed: CloseReason?

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { self.peer = peer }
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
      for index in 0..<bytes.byteCount where bytes.byte(index) != Self.byte(at: received + UInt64(index)) { wrong += 1 }
      received += UInt64(bytes.byteCount)
      calls += 1
      if calls == actAt { act(&engine, peer) }
    }
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { closed = reason }
  }

  private struct Pair: ~Copyable {
    var sender: Engine
    var receiver: Engine
    var source = Source()
    var sink = Sink()
    var forth = DatagramBatch(messages: 4, messageCapacity: 65_000)
    var back = DatagramBatch(messages: 4, messageCapacity: 65_000)
    var now: Instant = .seconds(1)

    init(configure: (inout EngineConfiguration) -> Void = { _ in }) throws {
      var configuration = EngineConfiguration()
      configure(&configuration)
      sender = Engine(
        configuration: configuration, secretKey: SecretKey(repeating: 1), suite: ClearSuite(seed: 1), seed: 1, now: 0)
      receiver = Engine(
        configuration: configuration, secretKey: SecretKey(repeating: 2), suite: ClearSuite(seed: 2), seed: 2, now: 0)
      _ = try sender.connect(to: Address(ipv4: 0x7F00_0001, port: 1), expecting: .anyone)
      for _ in 0..<20 where source.peer == nil || sink.peer == nil { step() }
    }

    mutating func send() { sender.transmit(into: &forth, now: now, handler: &source) }

    mutating func deliver() {
      receiver.receive(&forth, now: now, handler: &sink)
      forth.clear()
    }

    mutating func step() {
      now += .microseconds(100)
      if back.count > 0 { sender.receive(&back, now: now, handler: &source) }
      back.clear()
      sender.expire(now: now, handler: &source)
      send()
      deliver()
      receiver.expire(now: now, handler: &sink)
      receiver.transmit(into: &back, now: now, handler: &sink)
    }

    /// The windows have grown, and the connection is no longer young.
    mutating func warmUp() {
      sender.offer(source.peer!, upTo: 1 << 40)
      for _ in 0..<200 { step() }
    }
  }

  /// A batch of a full message at least, all of which would be taken at once.
  private func batch(of pair: inout Pair) {
    pair.warmUp()
    repeat {
      pair.step()
      pair.now += .microseconds(100)
      if pair.back.count > 0 { pair.sender.receive(&pair.back, now: pair.now, handler: &pair.source) }
      pair.back.clear()
      pair.send()
      if pair.forth.used < 40 * 1400 { pair.deliver() }
    } while pair.forth.used < 40 * 1400
  }

  @Test func everyByteArrives() throws {
    var pair = try Pair()
    pair.warmUp()
    #expect(pair.sink.received > 4 << 20 && pair.sink.wrong == 0)
    #expect(pair.receiver.statistics.isBalanced && pair.sender.statistics.retransmissions == 0)
  }

  /// The rest of what has come with it waits in the pool, and is handed over when the reader goes on.
  @Test func theReaderStopsInTheMiddle() throws {
    var pair = try Pair()
    batch(of: &pair)
    let before = pair.sink.received
    pair.sink.calls = 0
    pair.sink.actAt = 3
    pair.sink.act = { $0.pause($1) }
    pair.deliver()
    #expect(pair.sink.calls == 3)
    let stopped = pair.sink.received
    #expect(stopped > before)
    for _ in 0..<20 { pair.step() }
    #expect(pair.sink.received == stopped)
    pair.receiver.resume(pair.sink.peer!)
    for _ in 0..<200 { pair.step() }
    #expect(pair.sink.received > stopped + 1 << 20 && pair.sink.wrong == 0)
    #expect(pair.receiver.statistics.isBalanced)
  }

  @Test func theReaderClosesInTheMiddle() throws {
    var pair = try Pair()
    batch(of: &pair)
    pair.sink.calls = 0
    pair.sink.actAt = 3
    pair.sink.act = { $0.close($1, code: 7) }
    pair.deliver()
    pair.receiver.transmit(into: &pair.back, now: pair.now, handler: &pair.sink)
    #expect(pair.sink.closed == .local(code: 7) && pair.sink.wrong == 0)
    for _ in 0..<20 { pair.step() }
    #expect(pair.receiver.statistics.isBalanced)
  }

  /// Some are missing in the middle: what follows waits, and the run goes on when they have come.
  @Test(arguments: [1, 5, 39]) func aGapInTheMiddle(_ missing: Int) throws {
    var pair = try Pair()
    batch(of: &pair)
    // The end of its tag is no longer what was sealed.
    let size = pair.forth.messages[0].segmentSize
    let end = pair.forth.messages[0].offset + (missing + 1) * size - 1
    let changed = ~pair.forth.arena.bytes(end, 1).byte(0)
    var byte = pair.forth.arena.mutableBytes(end, 1)
    byte.setByte(0, changed)
    let failures = pair.receiver.statistics.authenticationFailures
    let before = pair.sink.received
    pair.deliver()
    #expect(pair.receiver.statistics.authenticationFailures == failures + 1)
    let received = Int(pair.sink.received - before)
    #expect(received == missing * (size - SendWindow.overhead))
    for _ in 0..<200 { pair.step() }
    #expect(pair.sink.received > before + 1 << 20 && pair.sink.wrong == 0)
    #expect(pair.sender.statistics.retransmissions == 1 && pair.receiver.statistics.isBalanced)
  }

  /// The same datagrams once more are replays, each of them.
  @Test func aMessageThatComesTwice() throws {
    var pair = try Pair()
    batch(of: &pair)
    let count = pair.forth.messages[0].length / pair.forth.messages[0].segmentSize
    var copy = DatagramBatch(messages: 4, messageCapacity: 65_000)
    copy.messages[0] = pair.forth.messages[0]
    copy.messages[0].offset = 0
    copy.count = 1
    var bytes = copy.arena.mutableBytes(0, pair.forth.messages[0].length)
    bytes.copy(pair.forth.arena.bytes(pair.forth.messages[0].offset, pair.forth.messages[0].length), to: 0)
    pair.deliver()
    let (received, replays) = (pair.sink.received, pair.receiver.statistics.replays)
    pair.receiver.receive(&copy, now: pair.now, handler: &pair.sink)
    #expect(pair.sink.received == received && pair.receiver.statistics.replays == replays + UInt64(count))
  }

  /// Keys change while whole messages leave: each datagram is sealed under the key of its number.
  @Test func keysChangeInTheMiddle() throws {
    var pair = try Pair { $0.keyEpochBits = 6 }
    pair.warmUp()
    #expect(pair.sink.received > 4 << 20 && pair.sink.wrong == 0)
    #expect(pair.receiver.statistics.authenticationFailures == 0 && pair.sender.statistics.retransmissions == 0)
  }
}
