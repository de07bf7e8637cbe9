// SPDX-License-Identifier: MIT
import Foundation
import LRP2PCore
import LRP2PSodium
import Testing

/// A JSON object of a vector file. Missing members are programming errors of the test.
struct JSON {
  let value: Any

  static func load(_ name: String) throws -> JSON {
    let url = try #require(Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Vectors"))
    return JSON(value: try JSONSerialization.jsonObject(with: Data(contentsOf: url)))
  }

  subscript(_ key: String) -> JSON { JSON(value: (value as! [String: Any])[key]!) }
  func has(_ key: String) -> Bool { (value as! [String: Any])[key] != nil }
  var array: [JSON] { (value as! [Any]).map(JSON.init) }
  var string: String { value as! String }
  /// A number, or a string of digits where JSON's numbers are too short.
  var number: UInt64 { (value as? String).map { UInt64($0)! } ?? (value as! NSNumber).uint64Value }
  var flag: Bool { (value as! NSNumber).boolValue }
  var bytes: [UInt8] { LRP2PSodiumTests.bytes(string) }
  var secret: SecretKey { key(bytes) }
}

/// The bytes of a hexadecimal string; spaces and line ends are ignored.
func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func key(_ bytes: [UInt8]) -> SecretKey {
  precondition(bytes.count == 32)
  return SecretKey { bytes[$0] }
}

func array<let count: Int>(_ bytes: InlineArray<count, UInt8>) -> [UInt8] { (0..<count).map { bytes[$0] } }

func publicKey(_ bytes: [UInt8]) -> PublicKey { unsafe PublicKey(bytes: bytes.span.bytes) }

extension Array where Element == UInt8 {
  var raw: RawSpan { @_lifetime(borrow self) get { unsafe span.bytes } }
}

/// A datagram, to seal (`header ‖ plaintext`) or to open.
struct Datagram {
  var bytes: [UInt8]
  var key: KeyRow
  var packetNumber: UInt64
  var authenticatesHeader = false
}

func trafficKeys(_ rows: [(SecretKey, AEAD)]) -> KeyTable {
  var column = KeyTable(repeating: TrafficKey(), count: rows.count)
  for (row, key) in zip(KeyRow.all(rows.count), rows) {
    column[row].bytes = key.0
    column[row].aead = key.1.rawValue
  }
  return column
}

/// Datagrams in an arena, with a gap before each, and their jobs.
struct Batch: ~Copyable {
  var arena: Arena
  var jobs: Column<AEADJob>

  /// - Parameter room: How much a job is longer than what is laid out.
  init(_ datagrams: [Datagram], room: Int) {
    let gap = 3
    arena = Arena(byteCount: datagrams.reduce(0) { $0 + $1.bytes.count + room + gap })
    jobs = Column(repeating: AEADJob(), count: datagrams.count)
    var at = 0
    for (index, datagram) in datagrams.enumerated() {
      at += gap
      jobs[index].offset = at
      jobs[index].length = datagram.bytes.count + room
      jobs[index].key = datagram.key
      jobs[index].packetNumber = datagram.packetNumber
      jobs[index].authenticatesHeader = datagram.authenticatesHeader
      var target = arena.mutableBytes(at, datagram.bytes.count)
      target.copy(datagram.bytes.raw, to: 0)
      at += datagram.bytes.count + room
    }
  }

  func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
    let memory = arena.bytes(offset, count)
    return (0..<count).map { memory.byte($0) }
  }
}

/// The sealed datagrams.
func seal(_ datagrams: [Datagram], keys: borrowing KeyTable, _ suite: any CipherSuite) -> [[UInt8]] {
  var batch = Batch(datagrams, room: 16)
  suite.seal(batch.jobs, count: datagrams.count, in: &batch.arena, keys: keys)
  var sealed: [[UInt8]] = []
  for index in datagrams.indices { sealed.append(batch.bytes(batch.jobs[index].offset, batch.jobs[index].length)) }
  return sealed
}

/// The plaintexts, `nil` for what is refused.
func open(_ datagrams: [Datagram], keys: borrowing KeyTable, _ suite: any CipherSuite) -> [[UInt8]?] {
  var batch = Batch(datagrams, room: 0)
  // A stale flag must not survive.
  for index in datagrams.indices { batch.jobs[index].opened = true }
  suite.open(&batch.jobs, count: datagrams.count, in: &batch.arena, keys: keys)
  var opened: [[UInt8]?] = []
  for index in datagrams.indices {
    let job = batch.jobs[index]
    opened.append(job.opened ? batch.bytes(job.offset + 16, job.length - 32) : nil)
  }
  return opened
}

/// One side of a handshake, and its static secret, which the handshake does not keep.
@dynamicMemberLookup
struct Side {
  var noise: NoiseHandshake
  let secret: SecretKey

  subscript<Value>(dynamicMember path: KeyPath<NoiseHandshake, Value>) -> Value { noise[keyPath: path] }
}

func write(_ handshake: inout Side, _ payload: [UInt8], _ suite: SodiumSuite) -> [UInt8]? {
  var out = [UInt8](repeating: 0, count: payload.count + handshake.overhead + 5)
  var elements = out.mutableSpan
  var memory = unsafe elements.mutableBytes
  guard
    let length = handshake.noise.write(
      payload: payload.raw, into: &memory, staticSecret: handshake.secret, suite: suite)
  else { return nil }
  return Array(out[..<length])
}

func read(_ handshake: inout Side, _ message: [UInt8], room: Int = 2000, _ suite: SodiumSuite) -> [UInt8]? {
  var out = [UInt8](repeating: 0, count: room)
  var elements = out.mutableSpan
  var memory = unsafe elements.mutableBytes
  guard let length = handshake.noise.read(message.raw, payload: &memory, suite: suite) else { return nil }
  return Array(out[..<length])
}

func rawState(_ handshake: Side) -> [UInt8] { unsafe withUnsafeBytes(of: handshake.noise) { unsafe Array($0) } }

func handshake(
  initiator: Bool, staticSecret: SecretKey, ephemeralSecret: SecretKey, prologue: [UInt8] = [], _ suite: SodiumSuite
) -> Side {
  Side(
    noise: NoiseHandshake(
      initiator: initiator, staticPublic: suite.publicKey(of: staticSecret), ephemeralSecret: ephemeralSecret,
      prologue: prologue.raw, suite: suite), secret: staticSecret)
}
