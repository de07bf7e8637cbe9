// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSodium
import Testing

@Suite struct PrimitiveTests {
  let suite = SodiumSuite()
  let vectors: JSON

  init() throws { vectors = try JSON.load("primitives") }

  @Test func hashes() {
    for vector in vectors["hashes"].array {
      let (key, first, second) = (vector["key"].bytes, vector["first"].bytes, vector["second"].bytes)
      let digest: [UInt8]
      switch vector["kind"].string {
      case "hash": digest = array(suite.hash(first.raw, second.raw))
      case "hmac": digest = array(suite.hmac(key: key.raw, first.raw))
      default: digest = array(suite.keyedHash(key: key.raw, first.raw))
      }
      #expect(digest == vector["digest"].bytes)
    }
  }

  @Test func messages() {
    for vector in vectors["messages"].array {
      let plaintext = vector["plaintext"].bytes
      let associated = vector["associated"].bytes
      var sealed = [UInt8](repeating: 0, count: plaintext.count + 16)
      sealMessage(vector["key"].secret, vector["counter"].number, associated, plaintext, &sealed)
      #expect(sealed == vector["ciphertext"].bytes)
      var opened = [UInt8](repeating: 0, count: plaintext.count)
      #expect(openMessage(vector["key"].secret, vector["counter"].number, associated, sealed, &opened))
      #expect(opened == plaintext)
      sealed[3] ^= 1
      #expect(!openMessage(vector["key"].secret, vector["counter"].number, associated, sealed, &opened))
      #expect(!openMessage(vector["key"].secret, vector["counter"].number, associated, Array(sealed[..<15]), &opened))
    }
  }

  private func sealMessage(
    _ key: SecretKey, _ counter: UInt64, _ associated: [UInt8], _ plaintext: [UInt8], _ out: inout [UInt8]
  ) {
    var elements = out.mutableSpan
    var memory = unsafe elements.mutableBytes
    suite.sealMessage(
      key: key, counter: counter, associated: associated.raw, plaintext: plaintext.raw, into: &memory)
  }

  private func openMessage(
    _ key: SecretKey, _ counter: UInt64, _ associated: [UInt8], _ ciphertext: [UInt8], _ out: inout [UInt8]
  ) -> Bool {
    var elements = out.mutableSpan
    var memory = unsafe elements.mutableBytes
    return suite.openMessage(
      key: key, counter: counter, associated: associated.raw, ciphertext: ciphertext.raw, into: &memory)
  }

  /// All in one batch, so that the rows and AEADs alternate.
  @Test func datagrams() throws {
    let cases = vectors["datagrams"].array.filter { suite.supports(AEAD(rawValue: UInt8($0["aead"].number))!) }
    #expect(cases.count >= 6)
    let keys = trafficKeys(cases.map { ($0["key"].secret, AEAD(rawValue: UInt8($0["aead"].number))!) })
    var clear: [Datagram] = []
    for (row, vector) in cases.enumerated() {
      clear.append(
        Datagram(
          bytes: vector["header"].bytes + vector["plaintext"].bytes, key: KeyRow(row),
          packetNumber: vector["packet_number"].number,
          authenticatesHeader: vector["authenticates_header"].flag))
    }
    let sealed = seal(clear, keys: keys, suite)
    #expect(sealed == cases.map { $0["header"].bytes + $0["ciphertext"].bytes })
    var wire = clear
    for index in wire.indices { wire[index].bytes = sealed[index] }
    #expect(open(wire, keys: keys, suite) == cases.map { Optional($0["plaintext"].bytes) })
  }

  /// Long runs and alternating rows, forgeries among them: each job is judged alone.
  @Test(arguments: AEAD.allCases)
  func batches(aead: AEAD) throws {
    try #require(suite.supports(.chacha20Poly1305))
    if !suite.supports(aead) { return }
    let rows = (0..<4).map { row in
      (key([UInt8](repeating: UInt8(row), count: 32)), row == 3 ? .chacha20Poly1305 : aead)
    }
    let keys = trafficKeys(rows)
    var clear: [Datagram] = []
    for index in 0..<200 {
      let text = (0..<Int.random(in: 0...1500)).map { _ in UInt8.random(in: 0...255) }
      clear.append(
        Datagram(
          bytes: [UInt8](repeating: 9, count: 16) + text, key: KeyRow(index < 100 ? index / 25 : Int.random(in: 0..<4)),
          packetNumber: UInt64(index), authenticatesHeader: Bool.random()))
    }
    let sealed = seal(clear, keys: keys, suite)
    var wire = clear
    var expected: [[UInt8]?] = []
    for index in wire.indices {
      wire[index].bytes = sealed[index]
      expected.append(Array(clear[index].bytes[16...]))
      switch index % 8 {
      case 1:
        wire[index].bytes[Int.random(in: 16..<sealed[index].count)] ^= 4
        expected[index] = nil
      case 3:
        // Only v1 notices a changed header.
        wire[index].bytes[Int.random(in: 0..<16)] ^= 4
        if wire[index].authenticatesHeader { expected[index] = nil }
      case 5:
        wire[index].packetNumber += 1 << 40
        expected[index] = nil
      case 7:
        wire[index].bytes.removeLast(Int.random(in: 1...sealed[index].count))
        expected[index] = nil
      default: break
      }
    }
    #expect(open(wire, keys: keys, suite) == expected)
  }

  @Test func aRowWithoutAKeyOpensNothing() {
    let keys = KeyTable(repeating: TrafficKey(), count: 1)
    let datagram = Datagram(bytes: [UInt8](repeating: 0, count: 40), key: KeyRow(0), packetNumber: 0)
    #expect(open([datagram], keys: keys, suite) == [nil])
  }

  @Test func aForgeryLeavesNoPlaintext() {
    for aead in AEAD.allCases where suite.supports(aead) {
      let keys = trafficKeys([(key([UInt8](repeating: 1, count: 32)), aead)])
      let text = [UInt8](repeating: 0x41, count: 64)
      var datagram = Datagram(bytes: [UInt8](repeating: 0, count: 16) + text, key: KeyRow(0), packetNumber: 5)
      datagram.bytes = seal([datagram], keys: keys, suite)[0]
      datagram.bytes[16 + 64] ^= 1
      var batch = Batch([datagram], room: 0)
      suite.open(&batch.jobs, count: 1, in: &batch.arena, keys: keys)
      #expect(!batch.jobs[0].opened)
      #expect(batch.bytes(batch.jobs[0].offset + 16, 64) == [UInt8](repeating: 0, count: 64))
    }
  }

  @Test func keyAgreement() {
    #expect(suite.agree(key([UInt8](repeating: 1, count: 32)), PublicKey()) == nil)
    let secrets = (0..<2).map { _ in
      var bytes = [UInt8](repeating: 0, count: 32)
      var elements = bytes.mutableSpan
      var memory = unsafe elements.mutableBytes
      suite.random(&memory)
      return bytes
    }
    #expect(secrets[0] != secrets[1])
    let shared = suite.agree(key(secrets[0]), suite.publicKey(of: key(secrets[1])))
    let other = suite.agree(key(secrets[1]), suite.publicKey(of: key(secrets[0])))
    #expect(shared.map { array($0) } == other.map { array($0) })
  }
}
