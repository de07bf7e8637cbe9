// SPDX-License-Identifier: MIT
import LRP2PCore

/// Feeds an established connection with what a fuzzer makes up: raw datagrams, sealed ones that reach the parsers and
/// the state machine, well-formed ones with numbers at the boundaries of both ends' state, and the user's commands and the clock
/// in between. Total over all inputs.
package enum FuzzHarness {
  /// One input: a sequence of operations, each an operation byte and its operands. Bytes that are missing end it.
  package static func run(_ input: RawSpan) {
    var reader = Reader(bytes: input)
    var configuration = EngineConfiguration()
    configuration.receivePoolBytes = 1 << 17
    configuration.receiveWindow = 64
    configuration.maximumHalfOpen = 4
    configuration.maximumPeers = 8
    let variant = reader.byte(input)
    let isOriginal = variant & 2 != 0
    configuration.acceptsOriginal = isOriginal
    configuration.initialSequence = variant & 1 == 0 || isOriginal ? 0 : UInt32.max - 5
    configuration.keyEpochBits = variant & 4 == 0 ? 24 : 3
    if variant & 8 != 0 { configuration.halfOpenMark = 0 }
    if variant & 16 != 0 { configuration.receiveWindow = 0xFF_FFFF }
    var world = World<FuzzHandler>(
      seed: 1, configuration: configuration, link: Link(), firstHandler: FuzzHandler(), secondHandler: FuzzHandler(),
      batchMessages: 4, largestDatagram: 2048)
    guard
      let dialled = try? world.first.connect(
        to: World<FuzzHandler>.secondAddress, expecting: .anyone, versions: isOriginal ? .original : .version1)
    else { return }
    _ = world.run(for: .milliseconds(200))
    guard let accepted = world.secondHandler.peer else { preconditionFailure("no connection on a clean path") }
    // An engine that hears of data which it has not sent would end the connection: one of them may be deaf.
    if variant & 32 != 0 { world.back.isDown = true }
    if variant & 64 != 0 { world.forth.isDown = true }
    while !reader.isAtEnd(input) {
      step(&world, &reader, input, dialled: dialled, accepted: accepted)
      check(world.first, dialled)
      check(world.second, accepted)
    }
    // Whatever happened, both ends get rid of everything, though a peer may have made the round trip seem long.
    world.first.close(dialled, code: 1)
    world.second.close(accepted, code: 2, reason: "end")
    _ = world.run(for: Flow.longestLinger + .seconds(1))
    precondition(world.first.statistics.peers == 0, "the dialling side keeps a connection")
    precondition(world.second.statistics.peers == 0, "the listening side keeps a connection")
    precondition(world.first.statistics.poolBytesInUse == 0 && world.second.statistics.poolBytesInUse == 0)
    precondition(world.first.statistics.isBalanced && world.second.statistics.isBalanced, "a datagram went uncounted")
    precondition(world.firstHandler.closes == world.firstHandler.opens)
    precondition(world.secondHandler.closes == world.secondHandler.opens)
  }

  private static func step(
    _ world: inout World<FuzzHandler>, _ reader: inout Reader, _ input: RawSpan, dialled: Peer, accepted: Peer
  ) {
    let operation = reader.byte(input)
    switch operation & 15 {
    case 0:
      world.inject(reader.bytes(input), from: World<FuzzHandler>.firstAddress)
    case 1 where operation & 16 != 0:
      // A reset, with the right token or another one.
      var reset = Self.prefixed(
        accepted.connectionID, [UInt8](repeating: 0xFF, count: 7) + [HandshakeKind.reset.rawValue])
      if operation & 32 != 0, let slot = world.first.peers.slot(of: dialled.connectionID) {
        reset += Self.bytes(world.first.peers.resetTokens[slot])
      }
      world.inject(reset + reader.bytes(input), from: World<FuzzHandler>.secondAddress, toSecond: false)
    case 1:
      world.inject(reader.bytes(input), from: Address(ipv4: 0x0A00_0003, port: 3000))
    case 2:
      // Known ids, anything behind them.
      world.inject(Self.prefixed(accepted.connectionID, reader.bytes(input)), from: World<FuzzHandler>.firstAddress)
    case 3:
      world.inject(
        Self.prefixed(dialled.connectionID, reader.bytes(input)), from: World<FuzzHandler>.secondAddress,
        toSecond: false)
    case 4:
      // A well-formed start of a message 1 under an id of the fuzzer's choice.
      world.inject(Self.message1(reader.bytes(input)), from: Address(ipv4: 0x0A00_0004, port: UInt16(operation)))
    case 5:
      world.injectSealed(reader.bytes(input), fromFirst: true, peer: dialled)
    case 6, 7, 8:
      // Well formed, and its numbers are near what the other end has: from the second host with the 16 set.
      let isFromFirst = operation & 16 == 0
      let view =
        isFromFirst
        ? PeerView(world.second, id: accepted.connectionID) : PeerView(world.first, id: dialled.connectionID)
      let segment = reader.segment(input, operation: operation, view ?? PeerView())
      world.injectSealed(segment, fromFirst: isFromFirst, peer: isFromFirst ? dialled : accepted)
    case 9:
      world.injectSealed(reader.bytes(input), fromFirst: false, peer: accepted)
    case 10:
      _ = world.run(for: .milliseconds(UInt64(reader.byte(input))))
    case 11:
      _ = world.run(for: .milliseconds(100 * UInt64(reader.byte(input))))
    case 12 where operation & 16 != 0:
      if !world.firstHandler.isFinished {
        world.firstHandler.offered += UInt64(reader.byte(input)) * 100
        world.first.offer(dialled, upTo: world.firstHandler.offered)
      }
    case 12:
      if !world.secondHandler.isFinished {
        world.secondHandler.offered += UInt64(reader.byte(input)) * 100
        world.second.offer(accepted, upTo: world.secondHandler.offered)
      }
    case 13:
      if operation & 48 == 16 {
        world.first.pause(dialled)
      } else if operation & 32 == 0 {
        world.second.pause(accepted)
      } else {
        world.presentAddress = Address(ipv4: 0x0A00_0010, port: UInt16(operation >> 4))
        if operation & 64 != 0 { world.first.switchPath(dialled) }
      }
    case 14:
      if operation & 16 == 0 { world.second.resume(accepted) } else { world.first.resume(dialled) }
    default:
      if operation & 16 == 0 {
        world.secondHandler.isFinished = true
        world.second.finish(accepted)
      } else {
        world.second.close(accepted, code: 7, reason: "fuzz")
      }
    }
  }

  /// Whatever a peer sends, its numbers stay within the windows, and its receive window takes no more than this beside the pool.
  private static func check(_ engine: borrowing Engine, _ peer: Peer) {
    guard let view = PeerView(engine, id: peer.connectionID), let slot = engine.peers.slot(of: peer.connectionID) else {
      return
    }
    precondition(view.isWithinBounds, "numbers beyond all windows")
    precondition(engine.peers.flows[slot].receivingBytes <= HostileHosts.mostBytes, "the receive window is too large")
  }

  private static func prefixed(_ id: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64($0))) } + bytes
  }

  private static func bytes(_ token: ResetToken) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: ResetToken.length)
    var elements = bytes.mutableSpan
    var target = unsafe elements.mutableBytes
    token.write(into: &target, at: 0)
    return bytes
  }

  private static func message1(_ bytes: [UInt8]) -> [UInt8] {
    var datagram = [UInt8](repeating: 0, count: 1400)
    for (index, byte) in bytes.prefix(8).enumerated() { datagram[index] = byte }
    datagram[8] = 1
    for (index, byte) in [0x4C, 0x52, 0x50, 0x32, 0, 1, 0, 8].enumerated() { datagram[40 + index] = UInt8(byte) }
    for index in 0..<8 { datagram[48 + index] = datagram[index] }
    for (index, byte) in bytes.dropFirst(8).enumerated() where 56 + index < 1400 { datagram[56 + index] = byte }
    return datagram
  }

  /// Takes operands from the front of the input; zeros behind its end.
  private struct Reader {
    private var at = 0

    init(bytes: RawSpan) {}

    func isAtEnd(_ input: RawSpan) -> Bool { at >= input.byteCount }

    mutating func byte(_ input: RawSpan) -> UInt8 {
      guard at < input.byteCount else { return 0 }
      at += 1
      return input.byte(at - 1)
    }

    /// A length byte (times eight from 128 on) and so many bytes.
    mutating func bytes(_ input: RawSpan) -> [UInt8] {
      let head = Int(byte(input))
      let length = head < 128 ? head : (head - 112) * 8
      let end = min(at + length, input.byteCount)
      defer { at = end }
      return (at..<end).map { input.byte($0) }
    }

    private mutating func oneOf<Number>(_ numbers: [Number], _ input: RawSpan) -> Number {
      numbers[Int(byte(input)) % numbers.count]
    }

    /// A number at a boundary's distance from one of `origins`: which of them in the low two bits of a byte, the sign in the
    /// next, and the distance above; then a byte to be added.
    private mutating func number(_ origins: [UInt32], _ input: RawSpan) -> UInt32 {
      let head = byte(input)
      let distance = Boundary.distances[Int(head >> 4) % Boundary.distances.count]
      let origin = origins[Int(head & 3) % origins.count]
      // Mostly none.
      let added = byte(input)
      let delta = added < 0xC0 ? 0 : UInt32(bitPattern: Int32(added) - 0xE0)
      return (head & 4 == 0 ? origin &+ distance : origin &- distance) &+ delta
    }

    /// Data, an ACK, or a piece or CONTROL, as the operation has it.
    mutating func segment(_ input: RawSpan, operation: UInt8, _ view: PeerView) -> [UInt8] {
      let received = [view.next, view.delivered, view.highest, view.delivered &+ view.window]
      switch operation & 15 {
      case 6:
        let number = number(received, input)
        let head = byte(input)
        var flags: UInt8 = head & 1 != 0 ? SegmentFlag.fin : 0
        if head & 2 != 0 { flags |= SegmentFlag.ackNow }
        let lengths = [1, 0, 2, 63, 64, 700, 1300, 1362]
        return RawSegment.data(
          number, flags: flags, [UInt8](repeating: head, count: lengths[Int(head >> 2) % lengths.count]))
      case 7:
        let last = number([view.sendNext &- 1, view.base &- 1, view.edge], input)
        let head = byte(input)
        let packetNumbers = [view.newest, view.newest + 1, view.newest / 2] + Boundary.packetNumbers
        let window = oneOf(Boundary.windows, input)
        return RawSegment.ack(
          last, window: window, largest: packetNumbers[Int(head >> 2) % packetNumbers.count],
          (0..<head & 3).map { _ in interval(input) })
      case 8 where operation & 32 == 0:
        let number = number(received, input)
        let (offset, total) = (oneOf(Boundary.lengths, input), oneOf(Boundary.lengths, input))
        let length = Int(min(oneOf(Boundary.lengths, input), 1400))
        return RawSegment.piece(number, offset: offset, total: total, [UInt8](repeating: 7, count: length))
      default:
        return RawSegment.control(
          UInt16(byte(input) % 8), token: UInt16(byte(input)), flags: byte(input) & SegmentFlag.ackNow, bytes(input))
      }
    }

    private mutating func interval(_ input: RawSpan) -> RawSegment.Interval {
      let head = byte(input)
      let start = head & 64 == 0 ? UInt32(head & 15) : oneOf(Boundary.runs, input)
      let runs = (0...head >> 4 & 3).map { _ in
        let length = byte(input)
        return length < 128 ? UInt32(length) + 1 : Boundary.runs[Int(length) % Boundary.runs.count]
      }
      return RawSegment.Interval(start: start, isFirstReceived: head & 128 != 0, runs: runs)
    }
  }
}

/// Counts, and takes what comes.
package struct FuzzHandler: ReceivingHandler {
  package var peer: Peer?
  package var offered: UInt64 = 0
  package var isFinished = false
  package var opens = 0
  package var closes = 0

  package init() {}

  package mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if self.peer == nil { self.peer = peer }
    opens += 1
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { closes += 1 }
}
