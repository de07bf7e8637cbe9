// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct HandshakeParametersTests {
  private static let magic = "4c525032"

  private func parse(_ bytes: [UInt8]) throws(Malformed) -> HandshakeParameters {
    try HandshakeParameters.parse(bytes.raw)
  }
  /// The magic, then `hex`.
  private func parse(_ hex: String) throws(Malformed) -> HandshakeParameters { try parse(bytes(Self.magic + hex)) }
  private func isMalformed(_ bytes: [UInt8]) -> Bool { (try? parse(bytes)) == nil }
  private func isMalformed(_ hex: String) -> Bool { isMalformed(bytes(Self.magic + hex)) }

  private func write(_ parameters: HandshakeParameters, paddedTo: Int = 0) -> [UInt8] {
    written(room: max(HandshakeParameters.bound, paddedTo)) { parameters.write(into: &$0, paddedTo: paddedTo) }
  }

  private func aeads(_ parameters: HandshakeParameters) -> [UInt8] {
    (0..<parameters.aeadCount).map { parameters.aeads[$0] }
  }

  /// Whether all that travels is the same.
  private func areEqual(_ a: HandshakeParameters, _ b: HandshakeParameters) -> Bool {
    a.hasReceiveID == b.hasReceiveID && a.receiveID == b.receiveID && a.offersVersion1 == b.offersVersion1
      && a.maximumDatagram == b.maximumDatagram && a.initialWindow == b.initialWindow && aeads(a) == aeads(b)
      && a.hasAttemptToken == b.hasAttemptToken && a.attemptToken == b.attemptToken
      && a.idleTimeoutMilliseconds == b.idleTimeoutMilliseconds
      && a.maximumAckDelayMicroseconds == b.maximumAckDelayMicroseconds && a.ackRatio == b.ackRatio
      && a.takesMerged == b.takesMerged && a.cookie == b.cookie && a.resetToken == b.resetToken
  }

  private static let token = ResetToken(bytes("3132333435363738 4142434445464748").raw)

  private var sample: HandshakeParameters {
    var parameters = HandshakeParameters()
    parameters.receiveID = 0x0102_0304_0506_0708
    parameters.hasReceiveID = true
    parameters.maximumDatagram = 1500
    parameters.initialWindow = 0x1000
    parameters.offer(.aes256GCM)
    parameters.offer(.chacha20Poly1305)
    parameters.attemptToken = (0x1112_1314_1516_1718, 0x2122_2324_2526_2728)
    parameters.hasAttemptToken = true
    parameters.idleTimeoutMilliseconds = 30_000
    parameters.maximumAckDelayMicroseconds = 5_000
    parameters.ackRatio = 64
    parameters.takesMerged = true
    parameters.resetToken = Self.token
    return parameters
  }

  private static let publicHex =
    magic + """
      0001 0008 0102030405060708
      0002 0001 01
      0003 0002 05dc
      0004 0004 00001000
      0005 0002 02 01
      0007 0010 1112131415161718 2122232425262728
      """
  private static let privateHex = """
    000a 0004 00007530
    000b 0004 00001388
    000c 0002 0040
    000e 0000
    0010 0010 3132333435363738 4142434445464748
    """

  // MARK: Writing

  @Test func writtenByHand() throws {
    var parameters = sample
    #expect(write(parameters) == bytes(Self.publicHex + Self.privateHex))
    parameters.isPublic = true
    #expect(write(parameters) == bytes(Self.publicHex))
  }

  @Test func readByHand() throws {
    let read = try parse(bytes(Self.publicHex + Self.privateHex))
    #expect(read.hasReceiveID && read.receiveID == 0x0102_0304_0506_0708 && read.offersVersion1)
    #expect(read.maximumDatagram == 1500 && read.initialWindow == 0x1000 && aeads(read) == [2, 1])
    #expect(read.hasAttemptToken && read.attemptToken == (0x1112_1314_1516_1718, 0x2122_2324_2526_2728))
    #expect(read.idleTimeoutMilliseconds == 30_000 && read.maximumAckDelayMicroseconds == 5_000)
    #expect(read.ackRatio == 64 && read.takesMerged && read.resetToken == Self.token)
  }

  /// Of a longer one the first 16 bytes count, a shorter one is none; in message 1 it means nothing, whatever it is.
  @Test func resetTokens() throws {
    let value = "3132333435363738 4142434445464748"
    for right in ["0010 0010" + value, "0010 0012" + value + "0102"] {
      #expect(try parse(right).resetToken == Self.token)
    }
    let short = "0010 000f 313233343536373841424344454647"
    for malformed in [short, "0010 0000", "0010 0010" + value + "0010 0010" + value] {
      #expect(isMalformed(malformed))
    }
    for hex in [short, "0010 0010" + value] {
      let message1 = bytes(Self.magic + hex)
      #expect(try HandshakeParameters.parse(message1.raw, of: .first).resetToken == nil)
    }
  }

  /// Said with messages (feature 0) only, and where it is not the default; in message 1 it means nothing.
  @Test func theLargestMessage() throws {
    #expect(HandshakeParameters().maximumMessage == 1 << 20)
    var parameters = sample
    for (features, largest, tail) in [
      (0, 5000, ""), (1, 1 << 20, "000f 0001 01"), (1, 5000, "000f 0001 01 0015 0004 00001388"),
      (3, 1 << 24, "000f 0001 03 0015 0004 01000000"), (2, 1024, "000f 0001 02"),
    ] as [(UInt32, UInt32, String)] {
      parameters.features = features
      parameters.maximumMessage = largest
      let output = write(parameters)
      #expect(output == bytes(Self.publicHex + Self.privateHex + tail))
      for message in [HandshakeParameters.Message.second, .third] {
        let read = try HandshakeParameters.parse(output.raw, of: message)
        #expect(read.maximumMessage == (features & 1 == 1 ? largest : 1 << 20) && read.features == features)
      }
      #expect(try HandshakeParameters.parse(output.raw, of: .first).maximumMessage == 1 << 20)
    }
    // Of no bytes, too few, and more than are known.
    #expect(isMalformed("0015 0000") && isMalformed("0015 0003 000001"))
    #expect(try parse("0015 0004 00000000").maximumMessage == 0)
    #expect(try parse("0015 0006 ffffffff 0102").maximumMessage == .max)
    #expect(try HandshakeParameters.parse(bytes(Self.magic + "0015 0000").raw, of: .first).maximumMessage == 1 << 20)
  }

  /// What is left out has its default.
  @Test func magicAlone() throws {
    let read = try parse("")
    #expect(areEqual(read, HandshakeParameters()))
    #expect(!read.offersVersion1 && !read.hasReceiveID && !read.hasAttemptToken && read.maximumDatagram == 1400)
    #expect(read.idleTimeoutMilliseconds == 0 && read.maximumAckDelayMicroseconds == 25_000 && read.ackRatio == 2)
  }

  @Test func whatNeedNotBePublicStaysBehind() throws {
    var parameters = sample
    parameters.isPublic = true
    var expected = parameters
    expected.offersVersion1 = true
    expected.idleTimeoutMilliseconds = 0
    expected.maximumAckDelayMicroseconds = 25_000
    expected.ackRatio = 2
    expected.takesMerged = false
    expected.resetToken = nil
    #expect(areEqual(try parse(write(parameters)), expected))
  }

  @Test func optionalOnesAreLeftOut() throws {
    let output = write(HandshakeParameters())
    #expect(
      output
        == bytes(
          Self.magic
            + "0002000101 000300020578 0004000400000000 00050000 000a000400000000 000b0004000061a8 000c00020002"
        ))
    let read = try parse(output)
    #expect(!read.hasReceiveID && !read.hasAttemptToken && read.aeadCount == 0 && read.offersVersion1)
  }

  @Test func atMostEightAEADs() throws {
    var parameters = HandshakeParameters()
    for index in 0..<10 { parameters.offer(index == 0 ? .aes256GCM : .chacha20Poly1305) }
    #expect(parameters.aeadCount == 8)
    #expect(aeads(try parse(write(parameters))) == [2, 1, 1, 1, 1, 1, 1, 1])
  }

  @Test func padding() throws {
    let plain = write(sample)
    for length in plain.count + 4..<plain.count + 40 {
      let padded = write(sample, paddedTo: length)
      try #require(padded.count == length)
      #expect(Array(padded[..<plain.count]) == plain)
      #expect(padded.raw.bigEndian16(plain.count) == 8)
      #expect(padded.raw.bigEndian16(plain.count + 2) == length - plain.count - 4)
      #expect(padded[(plain.count + 4)...].allSatisfy { $0 == 0 })
      #expect(areEqual(try parse(padded), try parse(plain)))
    }
    // Shorter than what there is, or no room for the head of the padding.
    for length in 0..<plain.count + 4 { #expect(write(sample, paddedTo: length) == plain) }
    #expect(write(sample, paddedTo: 1360).count == 1360)
  }

  @Test func reservedTypes() throws {
    for type in [1, 3, 0x7FFF, 0x8000, 0x8001, 0xFFFF] as [UInt16] {
      var parameters = sample
      parameters.reservedType = type
      let output = write(parameters)
      let plain = write(sample)
      try #require(output.count == plain.count + 7)
      #expect(Array(output[..<plain.count]) == plain)
      // Whatever was asked for, nothing but a type that means nothing is sent.
      #expect(output.raw.bigEndian16(plain.count) == type | 0x8000)
      #expect(output.raw.bigEndian16(plain.count + 2) == 3)
      #expect(areEqual(try parse(output), try parse(plain)))
    }
  }

  /// The longest that there is stays within the bound.
  @Test func bound() {
    var parameters = sample
    for _ in 0..<8 { parameters.offer(.aes256GCM) }
    parameters.reservedType = 0xFFFF
    parameters.cookie = ShownCookie([UInt8](repeating: 7, count: ShownCookie.longest).raw)
    (parameters.features, parameters.maximumMessage, parameters.reservedVersion) = (.max, 1024, 1)
    #expect(parameters.takesMerged && parameters.hasAttemptToken && parameters.hasReceiveID)
    let names = [UInt8](repeating: 7, count: ProtocolNames.longestList)
    let payload = [UInt8](repeating: 7, count: HandshakeParameters.longestPayload)
    let longest = written { parameters.write(into: &$0, protocols: names.raw, payload: payload.raw) }
    #expect(longest.count <= HandshakeParameters.bound, "\(longest.count)")
  }

  @Test func roundTrips() throws {
    var random = SplitMix(state: 9)
    var wrong = 0
    for _ in 0..<5_000 {
      var parameters = HandshakeParameters()
      parameters.hasReceiveID = Bool.random(using: &random)
      if parameters.hasReceiveID { parameters.receiveID = random.next() }
      parameters.maximumDatagram = .random(in: Datagram.smallestPath...Datagram.maximumLength, using: &random)
      parameters.initialWindow = UInt32(random.below(0x100_0000))
      for _ in 0..<random.below(9) { parameters.offer(AEAD.allCases.randomElement(using: &random)!) }
      parameters.hasAttemptToken = Bool.random(using: &random)
      if parameters.hasAttemptToken { parameters.attemptToken = (random.next(), random.next()) }
      parameters.idleTimeoutMilliseconds = UInt32(truncatingIfNeeded: random.next())
      parameters.maximumAckDelayMicroseconds = UInt32(random.below(1_000_001))
      parameters.ackRatio = .random(in: 1 ... .max, using: &random)
      parameters.takesMerged = Bool.random(using: &random)
      if Bool.random(using: &random) { parameters.resetToken = ResetToken(random.bytes(16).raw) }
      if Bool.random(using: &random) { parameters.cookie = ShownCookie(random.bytes(8 + random.below(121)).raw) }
      parameters.reservedType = UInt16(truncatingIfNeeded: random.next())
      let read = try parse(write(parameters, paddedTo: random.below(300)))
      parameters.offersVersion1 = true
      if !areEqual(read, parameters) { wrong += 1 }
    }
    #expect(wrong == 0)
  }

  // MARK: Reading

  @Test func magic() {
    for input in ["", "4c", "4c5250", "4c525033", "00000000", "3250524c"] { #expect(isMalformed(bytes(input))) }
    for index in 0..<4 {
      var input = bytes(Self.publicHex)
      input[index] ^= 1
      #expect(isMalformed(input))
    }
  }

  @Test(arguments: [0x3FFF, 0x4000, 0x5A5A, 0x7FFF, 0x8000] as [UInt16]) func criticalTypes(type: UInt16) throws {
    let input = bytes(Self.magic) + [UInt8(type >> 8), UInt8(type & 255), 0, 1, 9]
    let expected: UnknownCritical? = (0x4000...0x7FFF).contains(type) ? .parameter(type) : nil
    #expect(try parse(input + input[4...]).unknownCritical == expected)
  }

  /// Of the known types, but for padding, none comes twice; and no id is 0.
  @Test func twiceIsMalformed() throws {
    for type in [UInt8](0...16) + [19, 20, 21, 22] {
      let one: [UInt8] = [0, type, 0, 20, 4, 176] + [UInt8](repeating: 1, count: 18)
      #expect(!isMalformed(bytes(Self.magic) + one))
      #expect(isMalformed(bytes(Self.magic) + one + one) == ![0, 8, 9, 13, 19, 20, 22].contains(type))
    }
    #expect(isMalformed("0001 0008 0000000000000000"))
  }

  @Test func aMeaninglessVersionStandsBesideTheOwn() throws {
    var parameters = HandshakeParameters()
    parameters.reservedVersion = 0x31
    let output = write(parameters)
    #expect(Array(output[4..<10]) == [0, 2, 0, 2, 0x3A, 1])
    #expect(try parse(output).offersVersion1)
  }

  /// Whole up to the end of a parameter, malformed elsewhere.
  @Test func cutAtEveryByte() throws {
    let whole = bytes(Self.publicHex + Self.privateHex)
    let ends: Set = [4, 16, 21, 27, 35, 41, 61, 69, 77, 83, 87, 107]
    for count in 0...whole.count { #expect(isMalformed(Array(whole[..<count])) == !ends.contains(count)) }
  }

  @Test(arguments: [(1, 8), (3, 2), (4, 4), (7, 16), (10, 4), (11, 4), (12, 2), (14, 0), (16, 16), (21, 4)])
  func everyLength(type: Int, right: Int) {
    for length in 0...40 {
      let input = bytes(Self.magic) + [0, UInt8(type), 0, UInt8(length)] + [UInt8](repeating: 0x11, count: length)
      // What a later version has put behind the bytes that are known is ignored.
      #expect(isMalformed(input) == (length < right))
    }
  }

  @Test(arguments: [2, 5, 6, 8, 9, 13, 15, 0, 0x7FFF, 0x8000, 0xFFFF] as [UInt16])
  func anyLength(type: UInt16) {
    for length in 0...40 {
      let head = [UInt8(type >> 8), UInt8(type & 0xFF), 0, UInt8(length)]
      #expect(!isMalformed(bytes(Self.magic) + head + [UInt8](repeating: 0x11, count: length)))
      // One byte less than it says.
      #expect(
        isMalformed(bytes(Self.magic) + head + [UInt8](repeating: 0x11, count: max(length, 1) - 1)) == (length > 0))
    }
  }

  /// The known ones around it keep their values.
  @Test func unknownTypesAreSkipped() throws {
    let before = bytes(Self.publicHex)
    let after = bytes(Self.privateHex)
    let expected = try parse(before + after)
    var random = SplitMix(state: 10)
    let known: Set<UInt16> = [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 14, 15, 16, 17, 18, 21]
    var wrong = 0
    for type in UInt16.min...UInt16.max where !known.contains(type) {
      let value = random.bytes(random.below(20))
      let unknown = [UInt8(type >> 8), UInt8(type & 0xFF), 0, UInt8(value.count)] + value
      guard let read = try? parse(before + unknown + after), areEqual(read, expected) else {
        wrong += 1
        continue
      }
    }
    #expect(wrong == 0)
  }

  @Test func longValues() throws {
    // A length of two bytes: 300 bytes of padding, and one that reaches behind the end.
    let padding = bytes(Self.magic + "0008 012c") + [UInt8](repeating: 0, count: 300)
    #expect(!isMalformed(padding))
    #expect(isMalformed(Array(padding.dropLast())))
    #expect(isMalformed("0008 ffff 00"))
  }

  @Test func versions() throws {
    #expect(try parse("0002 0001 01").offersVersion1)
    #expect(try parse("0002 0003 00 02 01").offersVersion1)
    #expect(try !parse("0002 0003 00 02 ff").offersVersion1)
    #expect(try !parse("0002 0000").offersVersion1)
  }

  @Test func aeadsAreCut() throws {
    #expect(aeads(try parse("0005 0000")) == [])
    #expect(aeads(try parse("0005 0003 ff 01 02")) == [255, 1, 2])
    #expect(aeads(try parse("0005 0008 0102030405060708")) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(aeads(try parse("0005 000a 0102030405060708090a")) == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test func lowestAndHighest() throws {
    #expect(isMalformed("0003 0002 04af"))
    #expect(isMalformed("0003 0002 0000"))
    #expect(try parse("0003 0002 04b0").maximumDatagram == 1200)
    #expect(try parse("0003 0002 ffff").maximumDatagram == 65535)
    #expect(try parse("0004 0004 00ffffff").initialWindow == 0xFF_FFFF)
    #expect(try parse("0004 0004 01000000").initialWindow == 0xFF_FFFF)
    #expect(try parse("0004 0004 ffffffff").initialWindow == 0xFF_FFFF)
    #expect(try parse("000b 0004 000f4240").maximumAckDelayMicroseconds == 1_000_000)
    #expect(try parse("000b 0004 000f4241").maximumAckDelayMicroseconds == 1_000_000)
    #expect(try parse("000b 0004 00000000").maximumAckDelayMicroseconds == 0)
    #expect(try parse("000c 0002 0000").ackRatio == 1)
    #expect(try parse("000c 0002 ffff").ackRatio == 65535)
    #expect(try parse("000e 0000").takesMerged)
    #expect(try parse("000a 0004 ffffffff").idleTimeoutMilliseconds == .max)
  }

  // MARK: The shape of message 1

  private func isMessage1(_ datagram: [UInt8]) -> Bool { HandshakeParameters.isMessage1(datagram.raw) }

  private func message1() -> [UInt8] {
    let id = bytes("0102030405060708")
    let ephemeral = [UInt8](repeating: 0x77, count: 32)
    var parameters = sample
    parameters.isPublic = true
    return id + ephemeral + write(parameters, paddedTo: 1160)
  }

  @Test func shapeOfMessage1() {
    let message = message1()
    #expect(message.count == 1200)
    #expect(isMessage1(message))
    #expect(isMessage1(message + [0]))
    for count in 0..<1200 { #expect(!isMessage1(Array(message[..<count]))) }
  }

  /// The id twice, the magic and the head of the receive id; nothing else.
  @Test func everyByteOfMessage1() {
    for index in 0..<1200 {
      for change in [1, 0x80] as [UInt8] {
        var message = message1()
        message[index] ^= change
        let matters = index < 8 || (40..<56).contains(index)
        #expect(isMessage1(message) == !matters)
      }
    }
  }

  // MARK: Random bytes

  @Test func randomBytes() {
    let whole = bytes(Self.publicHex + Self.privateHex)
    let valid = [
      whole, bytes(Self.publicHex), bytes(Self.magic), bytes(Self.magic + "0002000101 0008000400000000"),
      bytes(Self.magic + "8123000301020300050003ff0102"),
    ]
    var random = SplitMix(state: 11)
    var parsed = 0
    var wrong = 0
    for _ in 0..<100_000 {
      var input = random.untrusted(like: valid, longest: 60)
      // Else hardly any wholly random bytes came further than the magic.
      if input.count >= 4 && random.next() % 2 == 0 { input.replaceSubrange(0..<4, with: whole[..<4]) }
      guard let read = try? parse(input) else { continue }
      parsed += 1
      if !(1200...65535).contains(read.maximumDatagram) || read.initialWindow > 0xFF_FFFF { wrong += 1 }
      if !(0...8).contains(read.aeadCount) || read.ackRatio == 0 { wrong += 1 }
      if read.maximumAckDelayMicroseconds > 1_000_000 { wrong += 1 }
      // What was understood is understood again.
      var again = read
      again.offersVersion1 = true
      if !areEqual((try? parse(write(read))) ?? HandshakeParameters(), again) { wrong += 1 }
    }
    #expect(wrong == 0 && parsed > 5_000)
  }

  @Test func randomMessages1() {
    let valid = message1()
    var random = SplitMix(state: 12)
    var taken = 0
    var wrong = 0
    // Fewer than elsewhere, as each is 1200 bytes; what may matter of them are 24.
    for _ in 0..<100_000 {
      let input =
        random.next() % 8 == 0 ? random.bytes(random.below(1300)) : random.untrusted(like: [valid], longest: 56)
      guard isMessage1(input) else { continue }
      taken += 1
      if input.count < 1200 || input[..<8] != input[48..<56] { wrong += 1 }
    }
    #expect(wrong == 0 && taken > 1_000)
  }
}
