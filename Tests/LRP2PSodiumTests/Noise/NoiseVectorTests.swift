// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSodium
import Testing

/// The public vectors of other implementations (cacophony, snow, flynn/noise).
@Suite struct NoiseVectorTests {
  @Test func publicVectors() throws {
    let suite = SodiumSuite()
    let vectors = try JSON.load("noise-xx")["vectors"].array
    #expect(vectors.count == 6)
    for vector in vectors {
      var sides = [true, false].map { initiator in
        let name = initiator ? "initiator" : "responder"
        return handshake(
          initiator: initiator, staticSecret: vector[name + "_static"].secret,
          ephemeralSecret: vector[name + "_ephemeral"].secret, prologue: vector["prologue"].bytes, suite)
      }
      let messages = vector["messages"].array
      for message in messages.prefix(3) {
        let writer = message["from"].string == "initiator" ? 0 : 1
        #expect(write(&sides[writer], message["payload"].bytes, suite) == message["ciphertext"].bytes)
        #expect(read(&sides[1 - writer], message["ciphertext"].bytes, suite) == message["payload"].bytes)
      }
      #expect(array(sides[0].handshakeHash) == array(sides[1].handshakeHash))
      if vector.has("handshake_hash") { #expect(array(sides[0].handshakeHash) == vector["handshake_hash"].bytes) }

      let split = sides[0].noise.split(suite: suite)
      #expect(array(split.initiatorToResponder) == array(sides[1].noise.split(suite: suite).initiatorToResponder))
      let keys = trafficKeys([
        (split.initiatorToResponder, .chacha20Poly1305), (split.responderToInitiator, .chacha20Poly1305),
      ])
      var counters: [UInt64] = [0, 0]
      for message in messages.dropFirst(3) {
        let row = message["from"].string == "initiator" ? 0 : 1
        let header = [UInt8](repeating: 0, count: 16)
        let sealed = seal(
          [Datagram(bytes: header + message["payload"].bytes, key: KeyRow(row), packetNumber: counters[row])],
          keys: keys,
          suite)
        #expect(sealed[0] == header + message["ciphertext"].bytes)
        counters[row] += 1
      }
    }
  }
}
