// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PIPSecMB
import LRP2PSodium
import Testing

private let hasIPSecMB = (try? IPSecMBSuite(handshakes: SodiumSuite())) != nil

/// libipsec-mb against published answers and against libsodium. Not run where it cannot be had.
@Suite(.enabled(if: hasIPSecMB, "there is no libipsec-mb"))
struct IPSecMBTests {
  let sodium = SodiumSuite()
  let suite: IPSecMBSuite

  init() throws { suite = try IPSecMBSuite(handshakes: sodium) }

  private func randomBytes(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var elements = bytes.mutableSpan
    var memory = unsafe elements.mutableBytes
    sodium.random(&memory)
    return bytes
  }

  @Test func published() throws {
    let vectors = try JSON.load("aeads")["vectors"].array
    #expect(vectors.count > 300)
    for vector in vectors {
      let name = vector["source"].string
      let aead = try #require(AEAD(rawValue: UInt8(vector["aead"].number)))
      let (key, associated) = (vector["key"].secret, vector["associated"].bytes)
      let (plaintext, ciphertext) = (vector["plaintext"].bytes, vector["ciphertext"].bytes)
      let nonceBytes = vector["nonce"].bytes
      let tagBytes = vector["tag"].bytes
      let nonce = InlineArray<12, UInt8> { nonceBytes[$0] }
      let tag = InlineArray<16, UInt8> { tagBytes[$0] }
      var text = plaintext
      if vector["valid"].flag {
        var elements = text.mutableSpan
        var memory = unsafe elements.mutableBytes
        let computed = suite.sealText(aead, key: key, nonce: nonce, associated: associated.raw, text: &memory)
        #expect(text == ciphertext && array(computed) == tagBytes, "\(name)")
      }
      text = ciphertext
      var elements = text.mutableSpan
      var memory = unsafe elements.mutableBytes
      let isOpened = suite.openText(
        aead, key: key, nonce: nonce, associated: associated.raw, text: &memory, tag: tag)
      #expect(isOpened == vector["valid"].flag, "\(name)")
      #expect(text == (isOpened ? plaintext : [UInt8](repeating: 0, count: text.count)), "\(name)")
    }
  }

  /// Every length up to a datagram's on an Ethernet path and some beyond, with and without associated data: the same
  /// bytes, and each opens what the other has sealed.
  @Test(arguments: AEAD.allCases) func equalToLibsodium(aead: AEAD) {
    if !sodium.supports(aead) { return }
    let keys = trafficKeys([(key(randomBytes(32)), aead), (key(randomBytes(32)), aead)])
    let lengths = Array(0...1500) + [2047, 2048, 4095, 4096, 4097, 8191, 8972, 12_288, 16_351, 16_352]
    for authenticatesHeader in [true, false] {
      for start in stride(from: 0, to: lengths.count, by: 100) {
        let clear = lengths[start..<min(start + 100, lengths.count)].map { length in
          Datagram(
            bytes: randomBytes(16 + length), key: KeyRow(length & 1), packetNumber: UInt64.random(in: 0...UInt64.max),
            authenticatesHeader: authenticatesHeader)
        }
        let sealed = seal(clear, keys: keys, suite)
        #expect(sealed == seal(clear, keys: keys, sodium))
        var wire = clear
        for index in wire.indices { wire[index].bytes = sealed[index] }
        let texts: [[UInt8]?] = clear.map { Array($0.bytes[16...]) }
        #expect(open(wire, keys: keys, suite) == texts)
        #expect(open(wire, keys: keys, sodium) == texts)
      }
    }
  }

  /// Batches as they come: both AEADs, many keys, long runs and single datagrams, forgeries of every kind. Both
  /// libraries give the same verdict and leave the same bytes.
  @Test func randomBatches() {
    let places = 256
    let aeads = AEAD.allCases.filter(sodium.supports)
    var rows = (0..<2 * places + 10).map { _ in (key(randomBytes(32)), aeads.randomElement()!) }
    for round in 0..<60 {
      // Peers come and go: their rows get other keys, and perhaps another AEAD.
      for _ in 0..<20 { rows[Int.random(in: 0..<rows.count)] = (key(randomBytes(32)), aeads.randomElement()!) }
      let keys = trafficKeys(rows)
      var row = 0
      var clear: [Datagram] = []
      for _ in 0..<200 {
        // A run goes on, or another row follows: often one that shares its place in the table with the last.
        switch Int.random(in: 0..<4) {
        case 0: row = Int.random(in: 0..<rows.count)
        case 1: row = (row + places) % rows.count
        default: break
        }
        clear.append(
          Datagram(
            bytes: randomBytes(16 + Int.random(in: 0...1500)), key: KeyRow(row),
            packetNumber: UInt64.random(in: 0..<1 << 40),
            authenticatesHeader: round % 3 > 0))
      }
      let sealed = seal(clear, keys: keys, suite)
      #expect(sealed == seal(clear, keys: keys, sodium))
      var wire = clear
      for index in wire.indices {
        wire[index].bytes = sealed[index]
        let length = sealed[index].count
        switch Int.random(in: 0..<16) {
        case 0: wire[index].bytes[Int.random(in: 16..<length)] ^= 1 << Int.random(in: 0..<8)
        case 1: wire[index].bytes[Int.random(in: length - 16..<length)] ^= 1 << Int.random(in: 0..<8)
        case 2: wire[index].bytes[Int.random(in: 0..<16)] ^= 1 << Int.random(in: 0..<8)
        case 3: wire[index].packetNumber ^= 1 << UInt64.random(in: 0..<64)
        case 4: wire[index].key = KeyRow(Int.random(in: 0..<rows.count))
        case 5: wire[index].authenticatesHeader.toggle()
        case 6: wire[index].bytes.removeLast(Int.random(in: 1...length))
        default: break
        }
      }
      var own = Batch(wire, room: 0)
      var other = Batch(wire, room: 0)
      suite.open(&own.jobs, count: wire.count, in: &own.arena, keys: keys)
      sodium.open(&other.jobs, count: wire.count, in: &other.arena, keys: keys)
      var opened = 0
      for index in wire.indices {
        #expect(own.jobs[index].opened == other.jobs[index].opened)
        if own.jobs[index].opened { opened += 1 }
      }
      #expect(opened > 50)
      #expect(own.bytes(0, own.arena.byteCount) == other.bytes(0, other.arena.byteCount))
    }
  }

  @Test func aRowThatChangesItsKey() {
    if !sodium.supports(.aes256GCM) { return }
    let texts = (0..<4).map { _ in randomBytes(100) }
    for row in [0, 5, 255, 256, 700].map(KeyRow.init) {
      var keys = KeyTable(repeating: TrafficKey(), count: 1000)
      for text in texts {
        // As the next epoch does, and a slot's next peer.
        keys[row].bytes = key(randomBytes(32))
        keys[row].aead = AEAD.aes256GCM.rawValue
        let datagram = Datagram(bytes: text, key: row, packetNumber: 1, authenticatesHeader: true)
        #expect(seal([datagram], keys: keys, suite) == seal([datagram], keys: keys, sodium))
        // One bit is enough.
        keys[row].bytes[Int.random(in: 0..<32)] ^= 1 << UInt8.random(in: 0..<8)
        #expect(seal([datagram], keys: keys, suite) == seal([datagram], keys: keys, sodium))
      }
    }
  }

  @Test func aRowWithoutAKeyOpensNothing() {
    let keys = KeyTable(repeating: TrafficKey(), count: 1)
    let datagram = Datagram(bytes: [UInt8](repeating: 0, count: 40), key: KeyRow(0), packetNumber: 0)
    #expect(open([datagram], keys: keys, suite) == [nil])
  }

  @Test func forgottenRowsAreWiped() {
    let keys = trafficKeys((0..<600).map { _ in (key(randomBytes(32)), .aes256GCM) })
    let datagrams = [3, 4, 5, 300].map { Datagram(bytes: randomBytes(50), key: KeyRow($0), packetNumber: 9) }
    let sealed = seal(datagrams, keys: keys, suite)
    #expect(suite.expandedKeyCount == 4)
    suite.forget(KeyRow(3))
    suite.forget(KeyRow(300))
    #expect(suite.expandedKeyCount == 2)
    // 260 has the place of 4, which stays; 7 was never there.
    suite.forget(KeyRow(260))
    suite.forget(KeyRow(7))
    #expect(suite.expandedKeyCount == 2)
    #expect(seal(datagrams, keys: keys, suite) == sealed)
    #expect(suite.expandedKeyCount == 4)
    // Nothing is kept of ChaCha20-Poly1305.
    let others = trafficKeys((0..<600).map { _ in (key(randomBytes(32)), .chacha20Poly1305) })
    for row in [3, 4, 5, 300] { suite.forget(KeyRow(row)) }
    _ = seal(datagrams, keys: others, suite)
    #expect(suite.expandedKeyCount == 0)
  }

  /// The vectors of the wire format.
  @Test func datagrams() throws {
    let cases = try JSON.load("primitives")["datagrams"].array
    let keys = trafficKeys(cases.map { ($0["key"].secret, AEAD(rawValue: UInt8($0["aead"].number))!) })
    var wire = cases.enumerated().map { row, vector in
      Datagram(
        bytes: vector["header"].bytes + vector["plaintext"].bytes, key: KeyRow(row),
        packetNumber: vector["packet_number"].number, authenticatesHeader: vector["authenticates_header"].flag)
    }
    let sealed = seal(wire, keys: keys, suite)
    #expect(sealed == cases.map { $0["header"].bytes + $0["ciphertext"].bytes })
    for index in wire.indices { wire[index].bytes = sealed[index] }
    #expect(open(wire, keys: keys, suite) == cases.map { Optional($0["plaintext"].bytes) })
  }
}
