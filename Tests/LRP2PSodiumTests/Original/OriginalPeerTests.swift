// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSodium
import Testing

/// What the original peer put on the wire, reproduced byte for byte and understood.
@Suite struct OriginalPeerTests {
  let suite = SodiumSuite()
  let vectors: JSON

  init() throws { vectors = try JSON.load("original-peer") }

  /// Runs a recorded handshake on both sides and compares every message and state.
  private func check(handshake vector: JSON) throws {
    let keys = vector["keys"]
    for name in ["initiator_static", "initiator_ephemeral", "responder_static", "responder_ephemeral"] {
      #expect(suite.publicKey(of: keys[name + "_private"].secret).bytes == keys[name + "_public"].bytes)
    }
    let agreed = vector["dh"]
    #expect(
      suite.agree(keys["initiator_static_private"].secret, publicKey(keys["responder_ephemeral_public"].bytes))
        .map { array($0) } == agreed["se"].bytes)

    var initiator = handshake(
      initiator: true, staticSecret: keys["initiator_static_private"].secret,
      ephemeralSecret: keys["initiator_ephemeral_private"].secret, suite)
    var responder = handshake(
      initiator: false, staticSecret: keys["responder_static_private"].secret,
      ephemeralSecret: keys["responder_ephemeral_private"].secret, suite)
    #expect(array(initiator.handshakeHash) == vector["initial_state"]["h"].bytes)
    #expect(array(initiator.chainingKey) == vector["initial_state"]["ck"].bytes)

    for (index, step) in vector["handshake"].array.enumerated() {
      let payload = step["payload"].bytes
      let message = step["message"].bytes
      if step["from"].string == "initiator" {
        #expect(initiator.isWriter && !responder.isWriter)
        #expect(write(&initiator, payload, suite) == message)
        #expect(read(&responder, message, suite) == payload)
      } else {
        #expect(responder.isWriter && !initiator.isWriter)
        #expect(write(&responder, payload, suite) == message)
        #expect(read(&initiator, message, suite) == payload)
      }
      for side in [initiator, responder] {
        #expect(array(side.handshakeHash) == step["after"]["h"].bytes)
        #expect(array(side.chainingKey) == step["after"]["ck"].bytes)
        #expect(side.isFinished == (index == 2))
      }
      // The initiator knows whom it talks to before it tells who it is.
      if index == 1 { #expect(initiator.remoteStatic.bytes == keys["responder_static_public"].bytes) }
    }
    #expect(responder.remoteStatic.bytes == keys["initiator_static_public"].bytes)
    for side in [initiator, responder] {
      #expect(array(side.handshakeHash) == vector["handshake_hash"].bytes)
      let split = side.noise.split(suite: suite)
      #expect(array(split.initiatorToResponder) == vector["transport_keys"]["initiator_to_responder"].bytes)
      #expect(array(split.responderToInitiator) == vector["transport_keys"]["responder_to_initiator"].bytes)
    }
  }

  @Test func handshakes() throws {
    #expect(vectors["vectors"].array.count == 3)
    for vector in vectors["vectors"].array { try check(handshake: vector) }
  }

  @Test func handshakesWithPayloads() throws {
    #expect(vectors["handshakes_with_payloads"].array.count == 2)
    for vector in vectors["handshakes_with_payloads"].array { try check(handshake: vector) }
  }

  /// Rows: initiator to responder, responder to initiator.
  private func keys(_ vector: JSON) -> KeyTable {
    let keys = vector["transport_keys"]
    return trafficKeys([
      (keys["initiator_to_responder"].secret, .chacha20Poly1305),
      (keys["responder_to_initiator"].secret, .chacha20Poly1305),
    ])
  }

  /// Opens and seals again, both as one batch.
  private func check(_ sealed: [Datagram], plaintexts: [[UInt8]], keys: borrowing KeyTable) {
    let opened = open(sealed, keys: keys, suite)
    #expect(opened == plaintexts.map { Optional($0) })
    var clear = sealed
    for index in clear.indices { clear[index].bytes = sealed[index].bytes[..<16] + plaintexts[index] }
    let resealed = seal(clear, keys: keys, suite)
    #expect(resealed == sealed.map(\.bytes))
  }

  @Test func datagrams() throws {
    var count = 0
    for vector in vectors["vectors"].array {
      let transport = vector["transport"].array
      let sealed = transport.map {
        Datagram(
          bytes: $0["datagram"].bytes, key: KeyRow($0["from"].string == "initiator" ? 0 : 1),
          packetNumber: $0["nonce"].number)
      }
      for datagram in sealed { #expect(datagram.bytes.raw.bigEndian64(8) == datagram.packetNumber) }
      check(sealed, plaintexts: transport.map { $0["segment_plaintext"].bytes }, keys: keys(vector))
      count += transport.count
    }
    #expect(count == 25)
  }

  @Test func acceptedByOriginal() throws {
    let items = vectors["accepted_by_original"]["items"].array
    #expect(items.count == 7)
    let sealed = items.map { Datagram(bytes: $0["datagram"].bytes, key: KeyRow(0), packetNumber: $0["nonce"].number) }
    for datagram in sealed { #expect(datagram.bytes.raw.bigEndian64(8) == datagram.packetNumber) }
    check(sealed, plaintexts: items.map { $0["plaintext"].bytes }, keys: keys(vectors["vectors"].array[0]))
  }

  @Test func mustFailAuthentication() throws {
    let items = vectors["must_fail_authentication"]["items"].array
    #expect(items.count == 5)
    let datagrams = items.map {
      Datagram(bytes: $0["datagram"].bytes, key: KeyRow(0), packetNumber: $0["datagram"].bytes.raw.bigEndian64(8))
    }
    let opened = open(datagrams, keys: keys(vectors["vectors"].array[0]), suite)
    #expect(opened == [nil, nil, nil, nil, nil])
  }
}
