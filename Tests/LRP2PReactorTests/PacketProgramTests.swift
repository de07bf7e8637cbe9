// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor
import Testing

/// Datagrams of every shape, for a socket whose ids have a mark.
struct Shapes {
  var random = SystemRandomNumberGenerator()
  let tag: IDHash
  let ids: ConnectionIDs

  init() {
    tag = IDHash(key: (random.next(), random.next()))
    var ids = ConnectionIDs()
    ids.mark(with: tag)
    self.ids = ids
  }

  mutating func ownID() -> UInt64 { ids.draw(slot: Peer.slot(of: random.next()), random: random.next()) }

  /// An id without the mark.
  mutating func foreignID() -> UInt64 {
    while true {
      let id = random.next()
      if !ids.isMarked(id) { return id }
    }
  }

  mutating func datagram(_ id: UInt64, _ length: Int) -> [UInt8] {
    var bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
    Self.write(id, at: 0, &bytes)
    return bytes
  }

  mutating func message1(_ id: UInt64, length: Int = 1200) -> [UInt8] {
    var bytes = datagram(id, length)
    bytes.replaceSubrange(40..<48, with: [0x4C, 0x52, 0x50, 0x32, 0, 1, 0, 8])
    Self.write(id, at: 48, &bytes)
    return bytes
  }

  static func write(_ id: UInt64, at offset: Int, _ bytes: inout [UInt8]) {
    for index in 0..<min(8, bytes.count - offset) {
      bytes[offset + index] = UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64(index)))
    }
  }
}

@Suite struct PacketProgramTests {
  /// What the filter says to a datagram, behind a UDP header.
  private static func accepts(_ program: PacketProgram, _ datagram: [UInt8]) -> Bool {
    let verdict = PacketMachine(program).run(Array(repeating: 0xFF, count: 8) + datagram)
    #expect(verdict == 0 || verdict == .max)
    return verdict != 0
  }

  @Test func theKernelWouldTakeThem() {
    let shapes = Shapes()
    for connections in [true, false] {
      for original in [true, false] {
        #expect(PacketMachine(.filter(shapes.tag, acceptsConnections: connections, acceptsOriginal: original)).isValid)
      }
    }
    for count in [1, 2, 256] { #expect(PacketMachine(.steering(shapes.tag, count: count)).isValid) }
  }

  @Test func ownIDsPass() {
    var shapes = Shapes()
    for connections in [true, false] {
      let filter = PacketProgram.filter(shapes.tag, acceptsConnections: connections, acceptsOriginal: false)
      for _ in 0..<1000 {
        let id = shapes.ownID()
        #expect(Self.accepts(filter, shapes.datagram(id, 38)))
        #expect(Self.accepts(filter, shapes.datagram(id, 1400)))
        #expect(!Self.accepts(filter, shapes.datagram(id, 37)))
      }
    }
  }

  @Test func whatIsTooShortIsDropped() {
    var shapes = Shapes()
    for original in [true, false] {
      let filter = PacketProgram.filter(shapes.tag, acceptsConnections: true, acceptsOriginal: original)
      for length in 0..<38 { #expect(!Self.accepts(filter, shapes.datagram(shapes.ownID(), length))) }
    }
  }

  @Test func message1PassesWhereItIsExpected() {
    var shapes = Shapes()
    let listener = PacketProgram.filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false)
    let dialler = PacketProgram.filter(shapes.tag, acceptsConnections: false, acceptsOriginal: false)
    for length in [1200, 1400, 16_384] {
      #expect(Self.accepts(listener, shapes.message1(shapes.foreignID(), length: length)))
      #expect(!Self.accepts(dialler, shapes.message1(shapes.foreignID(), length: length)))
    }
    #expect(!Self.accepts(listener, shapes.message1(shapes.foreignID(), length: 1199)))
  }

  /// Each byte of the shape counts, and both agree on it: what the filter lets pass is what the engine takes for one.
  @Test func aWrongByteOfMessage1IsDropped() {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false)
    let good = shapes.message1(shapes.foreignID())
    for index in 0..<64 {
      var bad = good
      bad[index] ^= 0x10
      let isMessage1 = HandshakeParameters.isMessage1(unsafe bad.span.bytes)
      #expect(isMessage1 == !((0..<8).contains(index) || (40..<56).contains(index)))
      // A changed id may have the mark by chance.
      if !shapes.ids.isMarked(Self.id(bad, 0)) {
        #expect(Self.accepts(filter, bad) == isMessage1)
      }
    }
  }

  /// A reset goes under an id of its sender's; each of its eight bytes counts, and the shape is the engine's.
  @Test func resetsPass() {
    var shapes = Shapes()
    for connections in [true, false] {
      let filter = PacketProgram.filter(shapes.tag, acceptsConnections: connections, acceptsOriginal: false)
      for length in [38, 39, 1400] {
        var reset = shapes.datagram(shapes.foreignID(), length)
        Shapes.write(HandshakeKind.reset.word, at: 8, &reset)
        #expect(Self.accepts(filter, reset) && Datagram.handshakeKind(unsafe reset.span.bytes) == .reset)
        for bit in 0..<64 {
          var other = reset
          other[8 + bit / 8] ^= 1 << (bit % 8)
          #expect(!Self.accepts(filter, other))
        }
      }
      var short = shapes.datagram(shapes.foreignID(), 37)
      Shapes.write(HandshakeKind.reset.word, at: 8, &short)
      #expect(!Self.accepts(filter, short))
    }
  }

  /// Whatever its length, a forged id passes once in 65,536 times.
  @Test(arguments: [100, 300, 600]) func garbageAndForgedIDsPassByChanceOnly(length: Int) {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false)
    var passed = 0
    var expected = 0
    var packet = Array(repeating: UInt8(0), count: length)
    for _ in 0..<1 << 17 {
      let id = shapes.random.next()
      Shapes.write(id, at: 0, &packet)
      if Self.accepts(filter, packet) { passed += 1 }
      if shapes.ids.isMarked(id) { expected += 1 }
    }
    #expect(passed == expected && passed < 20)
  }

  /// All ids of connections with the original peer are its own.
  @Test func withOriginalsOnlyTheLengthCounts() {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.tag, acceptsConnections: true, acceptsOriginal: true)
    for length in [38, 40, 72, 1400] { #expect(Self.accepts(filter, shapes.datagram(shapes.foreignID(), length))) }
    // Who takes no connections has no such ids.
    let dialler = PacketProgram.filter(shapes.tag, acceptsConnections: false, acceptsOriginal: true)
    #expect(!Self.accepts(dialler, shapes.datagram(shapes.foreignID(), 40)))
  }

  @Test(arguments: [1, 2, 3, 7, 256]) func steeringIsTheEngines(count: Int) {
    var shapes = Shapes()
    let machine = PacketMachine(.steering(shapes.tag, count: count))
    for _ in 0..<2000 {
      let id = shapes.random.next()
      #expect(
        Int(machine.run(shapes.datagram(id, 8))) == ConnectionIDs.destination(shapes.tag, id, of: count))
    }
    #expect(machine.run([1, 2, 3]) == 0)
  }

  private static func id(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
    bytes[offset..<offset + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }
}
