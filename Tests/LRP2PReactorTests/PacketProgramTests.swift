import CLinux
import LRP2PCore
import LRP2PReactor
import Testing

/// Datagrams of every shape, for a socket whose ids have a mark.
struct Shapes {
  var random = SystemRandomNumberGenerator()
  let tag: IDHash
  let mark: IDMark
  let ids: ConnectionIDs

  init() {
    tag = IDHash(key: (random.next(), random.next()))
    var ids = ConnectionIDs()
    mark = IDMark(tag: tag, lengths: IDHash(key: (random.next(), random.next())))
    ids.mark(with: mark)
    self.ids = ids
  }

  mutating func ownID() -> UInt64 { ids.draw(slot: Int(random.next() & 0xFF_FFFF), random: random.next()) }

  /// An id without the mark, under which message 3 has none of the lengths that are used here for others.
  mutating func foreignID() -> UInt64 {
    while true {
      let id = random.next()
      if !ids.isMarked(id), mark.message3Length(id) != 300 { return id }
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

  mutating func message3(_ id: UInt64) -> [UInt8] { datagram(id, mark.message3Length(id)) }

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
        #expect(PacketMachine(.filter(shapes.mark, acceptsConnections: connections, acceptsOriginal: original)).isValid)
      }
    }
    for count in [1, 2, 256] { #expect(PacketMachine(.steering(shapes.tag, count: count)).isValid) }
  }

  @Test func ownIDsPass() {
    var shapes = Shapes()
    for connections in [true, false] {
      let filter = PacketProgram.filter(shapes.mark, acceptsConnections: connections, acceptsOriginal: false)
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
      let filter = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: original)
      for length in 0..<38 { #expect(!Self.accepts(filter, shapes.datagram(shapes.ownID(), length))) }
    }
  }

  @Test func message1PassesWhereItIsExpected() {
    var shapes = Shapes()
    let listener = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: false)
    let dialler = PacketProgram.filter(shapes.mark, acceptsConnections: false, acceptsOriginal: false)
    for length in [1200, 1400, 16_384] {
      #expect(Self.accepts(listener, shapes.message1(shapes.foreignID(), length: length)))
      #expect(!Self.accepts(dialler, shapes.message1(shapes.foreignID(), length: length)))
    }
    #expect(!Self.accepts(listener, shapes.message1(shapes.foreignID(), length: 1199)))
  }

  /// Each byte of the shape counts, and both agree on it: what the filter lets pass is what the engine takes for one.
  @Test func aWrongByteOfMessage1IsDropped() {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: false)
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

  @Test func message3PassesByItsLength() {
    var shapes = Shapes()
    let listener = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: false)
    let dialler = PacketProgram.filter(shapes.mark, acceptsConnections: false, acceptsOriginal: false)
    for _ in 0..<1000 {
      let id = shapes.foreignID()
      let message = shapes.message3(id)
      #expect((256..<768).contains(message.count))
      #expect(Self.accepts(listener, message))
      #expect(!Self.accepts(dialler, message))
      #expect(!Self.accepts(listener, shapes.datagram(id, message.count + 1)))
      #expect(!Self.accepts(listener, shapes.datagram(id, message.count - 1)))
    }
  }

  /// Whatever its length, a forged id passes once in 65,536 times as an own one, and once in 512 as that of a message 3.
  @Test(arguments: [100, 300, 600]) func garbageAndForgedIDsPassByChanceOnly(length: Int) {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: false)
    var passed = 0
    var expected = 0
    var packet = Array(repeating: UInt8(0), count: length)
    for _ in 0..<1 << 17 {
      let id = shapes.random.next()
      Shapes.write(id, at: 0, &packet)
      if Self.accepts(filter, packet) { passed += 1 }
      if shapes.ids.isMarked(id) || shapes.mark.message3Length(id) == length { expected += 1 }
    }
    // Two, and 256 more where message 3 may be so long.
    #expect(passed == expected && passed < (length == 100 ? 20 : 400))
  }

  /// All ids of connections with the original peer are its own.
  @Test func withOriginalsOnlyTheLengthCounts() {
    var shapes = Shapes()
    let filter = PacketProgram.filter(shapes.mark, acceptsConnections: true, acceptsOriginal: true)
    for length in [38, 40, 72, 1400] { #expect(Self.accepts(filter, shapes.datagram(shapes.foreignID(), length))) }
    // Who takes no connections has no such ids.
    let dialler = PacketProgram.filter(shapes.mark, acceptsConnections: false, acceptsOriginal: true)
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
