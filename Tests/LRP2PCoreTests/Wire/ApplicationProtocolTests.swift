// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The parameters by which programs agree: names, bytes of the initiator's program, features.
@Suite struct ApplicationProtocolTests {
  private typealias Message = HandshakeParameters.Message

  private static let magic: [UInt8] = [0x4C, 0x52, 0x50, 0x32]

  /// The magic and one parameter.
  private static func parameter(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
    magic + [0, type, UInt8(value.count >> 8), UInt8(value.count & 255)] + value
  }

  private static func parse(_ bytes: [UInt8], of message: Message?) -> HandshakeParameters? {
    try? HandshakeParameters.parse(bytes.raw, of: message)
  }

  private static func name(_ length: Int, _ byte: UInt8 = 7) -> [UInt8] {
    [UInt8(length)] + [UInt8](repeating: byte, count: length)
  }

  // MARK: Names

  @Test func aNameHasOneTo63Bytes() {
    #expect(ApplicationProtocol(name: "") == nil && ApplicationProtocol(bytes: []) == nil)
    #expect(ApplicationProtocol(name: String(repeating: "a", count: 63))?.bytes.count == 63)
    #expect(ApplicationProtocol(name: String(repeating: "a", count: 64)) == nil)
    // 32 letters, 64 bytes.
    #expect(ApplicationProtocol(name: String(repeating: "\u{e9}", count: 32)) == nil)
    #expect(ApplicationProtocol(bytes: [0, 255])?.bytes == [0, 255])
    let literal: ApplicationProtocol = "chat/2"
    #expect(literal == ApplicationProtocol(name: "chat/2") && literal.description == "chat/2" && literal != "chat/20")
  }

  private static func list(_ names: [ApplicationProtocol]) -> [UInt8] { ProtocolNames(names).bytes }

  private static func first(_ own: [ApplicationProtocol], in other: [ApplicationProtocol]) -> Int {
    ProtocolNames(own).first(in: list(other).raw)
  }

  @Test func theFirstOfTheOwnCounts() {
    #expect(Self.list(["a", "bc"]) == [1, 97, 2, 98, 99] && Self.list([]).isEmpty)
    #expect(Self.first(["a", "b", "c"], in: ["c", "b"]) == 2)
    #expect(Self.first(["a"], in: ["a"]) == 1 && Self.first(["a"], in: []) == 0 && Self.first([], in: ["a"]) == 0)
    // Neither the beginning of a name, nor what stands across two of them.
    #expect(Self.first(["ab"], in: ["a", "abc", "b"]) == 0)
    #expect(Self.first(["a\u{1}b"], in: ["a", "b"]) == 0)
    let names = ProtocolNames(["a", "bcd", "e"])
    #expect(names.place(of: 1) == 0..<2 && names.place(of: 2) == 2..<6 && names.place(of: 3) == 6..<8)
  }

  @Test func listsThatAreMalformed() {
    let full = Self.name(63) + Self.name(63, 8)
    for message in [.second, .third, nil] as [Message?] {
      for list in [[0], [1], [2, 1], Self.name(64), [1, 1, 0], [1, 1, 2, 2]] as [[UInt8]] {
        #expect(Self.parse(Self.parameter(17, list), of: message) == nil, "\(list)")
      }
    }
    // In message 1 it is none.
    #expect(Self.parse(Self.parameter(17, [0]), of: .first)?.protocols == 0..<0)
    #expect(full.count == 128)
    #expect(Self.parse(Self.parameter(17, full), of: .second)?.protocols == 8..<136)
    #expect(Self.parse(Self.parameter(17, full.dropLast(2) + Self.name(2)), of: .second) == nil, "129 bytes")
    #expect(Self.parse(Self.parameter(17, []), of: .second)?.protocols.isEmpty == true)
    // Message 3 has exactly one.
    #expect(Self.parse(Self.parameter(17, full), of: .third) == nil)
    #expect(Self.parse(Self.parameter(17, []), of: .third) == nil)
    #expect(Self.parse(Self.parameter(17, Self.name(63)), of: .third)?.protocols == 8..<72)
    let once = Self.parameter(17, Self.name(3))
    #expect(Self.parse(once + once[4...], of: .second) == nil, "twice")
  }

  // MARK: Payload

  @Test func aPayloadHasUpTo512Bytes() {
    for count in [0, 1, 511, 512, 513, 1000] {
      let bytes = Self.parameter(18, [UInt8](repeating: 3, count: count))
      #expect(Self.parse(bytes, of: .third)?.payload == (count > 512 ? nil : 8..<8 + count), "\(count)")
      // Elsewhere it says nothing.
      for message in [.first, .second] as [Message] {
        #expect(Self.parse(bytes, of: message)?.payload == 0..<0)
      }
      #expect(Self.parse(bytes + bytes[4...], of: .third) == nil, "twice")
    }
  }

  // MARK: Features

  @Test(
    arguments: [
      ([], 0), ([1], 1), ([0, 1], 0x100), ([1, 2, 3, 4], 0x0403_0201), ([1, 2, 3, 4, 5, 6], 0x0403_0201),
      ([0, 0, 0, 0x80], 0x8000_0000),
    ] as [([UInt8], UInt32)]) func featuresAreBits(bytes: [UInt8], expected: UInt32)
  {
    for message in [.second, .third, nil] as [Message?] {
      #expect(Self.parse(Self.parameter(15, bytes), of: message)?.features == expected)
    }
    #expect(Self.parse(Self.parameter(15, bytes), of: .first)?.features == 0)
  }

  // MARK: Writing

  private static func write(
    _ parameters: HandshakeParameters, protocols: [UInt8] = [], payload: [UInt8] = []
  ) -> [UInt8] {
    written(room: HandshakeParameters.bound) {
      parameters.write(into: &$0, protocols: protocols.raw, payload: payload.raw)
    }
  }

  @Test func whatIsWrittenIsRead() throws {
    var parameters = HandshakeParameters()
    let plain = Self.write(parameters)
    for features in [1, 0x80, 0x100, 0xFFFF, 0x1_0000, .max] as [UInt32] {
      parameters.features = features
      let bytes = Self.write(parameters, protocols: [2, 98, 99], payload: [5, 6, 7])
      #expect(
        bytes.count == plain.count + 4 + (features > 0xFF_FFFF ? 4 : features > 0xFFFF ? 3 : features > 0xFF ? 2 : 1)
          + 14)
      let read = try #require(Self.parse(bytes, of: .third))
      #expect(read.features == features && Array(bytes[read.protocols]) == [2, 98, 99])
      #expect(Array(bytes[read.payload]) == [5, 6, 7])
    }
    // In the clear there is nothing of it.
    parameters.isPublic = true
    let open = Self.write(parameters, protocols: [2, 98, 99], payload: [5, 6, 7])
    let read = try #require(Self.parse(open, of: nil))
    #expect(read.features == 0 && read.protocols.isEmpty && read.payload.isEmpty)
  }

  /// All that a message may have.
  @Test func theLongestIsWithinTheBound() {
    var parameters = HandshakeParameters()
    parameters.hasReceiveID = true
    parameters.hasAttemptToken = true
    parameters.takesMerged = true
    parameters.features = .max
    for _ in 0..<8 { parameters.offer(.aes256GCM) }
    (parameters.reservedType, parameters.reservedVersion) = (0xFFFF, 1)
    parameters.cookie = ShownCookie([UInt8](repeating: 7, count: ShownCookie.longest).raw)
    let payload = [UInt8](repeating: 1, count: HandshakeParameters.longestPayload)
    let bytes = Self.write(parameters, protocols: Self.name(63) + Self.name(63), payload: payload)
    // With room for a reset token.
    #expect(bytes.count + 20 <= HandshakeParameters.bound)
  }

  /// What a message does not have is ignored there, but for coming twice.
  @Test func whatIsElsewhereIsIgnored() throws {
    let idle = Self.parameter(10, [0, 0, 1, 0])
    #expect(Self.parse(idle, of: .first)?.idleTimeoutMilliseconds == 0)
    #expect(Self.parse(idle, of: .second)?.idleTimeoutMilliseconds == 256)
    #expect(Self.parse(idle + idle[4...], of: .first) == nil)
    let token = Self.parameter(7, [UInt8](repeating: 1, count: 16))
    #expect(Self.parse(token, of: .first)?.hasAttemptToken == true)
    #expect(Self.parse(token, of: .third)?.hasAttemptToken == false)
  }

  // MARK: Configuration

  @Test func aListenersNamesFitMessage2() throws {
    var configuration = EngineConfiguration()
    let long = try #require(ApplicationProtocol(name: String(repeating: "a", count: 63)))
    configuration.applicationProtocols = [long, long]
    try configuration.validate()
    configuration.applicationProtocols.append("b")
    #expect(throws: ConfigurationError.self) { try configuration.validate() }
    configuration.accepting = .nobody
    try configuration.validate()
    configuration.applicationProtocols = Array(repeating: "b", count: 255)
    try configuration.validate()
    configuration.applicationProtocols.append("b")
    #expect(throws: ConfigurationError.self) { try configuration.validate() }
  }
}
