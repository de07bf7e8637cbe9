import LRP2PCore

/// Feeds an established connection with what a fuzzer makes up: raw datagrams, sealed ones that reach the parsers and
/// the state machine, and the user's commands and the clock in between. Total over all inputs.
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
    var world = World<FuzzHandler>(
      seed: 1, configuration: configuration, link: Link(), firstHandler: FuzzHandler(), secondHandler: FuzzHandler(),
      batchMessages: 4)
    guard
      let dialled = try? world.first.connect(
        to: World<FuzzHandler>.secondAddress, versions: isOriginal ? .original : .version1)
    else { return }
    _ = world.run(for: .milliseconds(200))
    guard let accepted = world.secondHandler.peer else { preconditionFailure("no connection on a clean path") }
    while !reader.isAtEnd(input) { step(&world, &reader, input, dialled: dialled, accepted: accepted) }
    // Whatever happened, both ends get rid of everything.
    world.first.close(dialled, code: 1)
    world.second.close(accepted, code: 2, reason: "end")
    _ = world.run(for: .seconds(100))
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
    case 5, 6, 7, 8:
      world.injectSealed(reader.bytes(input), fromFirst: true, peer: dialled)
    case 9:
      world.injectSealed(reader.bytes(input), fromFirst: false, peer: accepted)
    case 10:
      _ = world.run(for: .milliseconds(UInt64(reader.byte(input))))
    case 11:
      _ = world.run(for: .milliseconds(100 * UInt64(reader.byte(input))))
    case 12:
      if !world.secondHandler.isFinished {
        world.secondHandler.offered += UInt64(reader.byte(input)) * 100
        world.second.offer(accepted, upTo: world.secondHandler.offered)
      }
    case 13:
      if operation & 32 == 0 {
        world.second.pause(accepted)
      } else {
        world.presentAddress = Address(ipv4: 0x0A00_0010, port: UInt16(operation >> 4))
      }
    case 14:
      world.second.resume(accepted)
    default:
      if operation & 16 == 0 {
        world.secondHandler.isFinished = true
        world.second.finish(accepted)
      } else {
        world.second.close(accepted, code: 7, reason: "fuzz")
      }
    }
  }

  private static func prefixed(_ id: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64($0))) } + bytes
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
  }
}

/// Counts, and takes what comes.
package struct FuzzHandler: Handler {
  package var peer: Peer?
  package var offered: UInt64 = 0
  package var isFinished = false
  package var opens = 0
  package var closes = 0

  package init() {}

  package mutating func connected(_ peer: Peer, incoming: Bool, engine: inout Engine) {
    if self.peer == nil { self.peer = peer }
    opens += 1
  }

  package mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

  package mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { closes += 1 }
}
