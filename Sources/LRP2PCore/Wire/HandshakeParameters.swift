// SPDX-License-Identifier: MIT
/// What a version 1 peer says of itself in the payloads of the handshake: a magic, then parameters as
/// `type 2 ‖ length 2 ‖ value`. The receive id comes first. Unknown types are skipped, but for those from 0x4000 to 0x7FFF, which are
/// critical; those with the top bit set mean nothing for ever. No type comes twice. What a known value has behind the bytes that are
/// known is ignored.
package struct HandshakeParameters: BitwiseCopyable {
  /// "LRP2".
  package static let magic: UInt32 = 0x4C52_5032
  package static let version: UInt8 = 1

  private enum Parameter {
    static let receiveID: UInt16 = 1
    static let versions: UInt16 = 2
    static let maximumDatagram: UInt16 = 3
    static let initialWindow: UInt16 = 4
    static let aeads: UInt16 = 5
    static let cookie: UInt16 = 6
    static let attemptToken: UInt16 = 7
    static let padding: UInt16 = 8
    static let idleTimeout: UInt16 = 10
    static let maximumAckDelay: UInt16 = 11
    static let ackRatio: UInt16 = 12
    static let takesMerged: UInt16 = 14
    static let features: UInt16 = 15
    static let resetToken: UInt16 = 16
    static let protocols: UInt16 = 17
    static let payload: UInt16 = 18
    static let maximumMessage: UInt16 = 21
  }

  /// What is in which message.
  package enum Message { case first, second, third }

  /// The most bytes that `write` needs without padding.
  package static let bound = 988
  /// The most that the initiator's program may tell the responder's.
  package static let longestPayload = 512

  /// The id that the sender of these parameters receives data under.
  package var receiveID: UInt64 = 0
  package var hasReceiveID = false
  /// Whether version 1 is among those offered.
  package var offersVersion1 = false
  package var maximumDatagram = 1400
  /// Packets that may be sent before the first ACK tells the window.
  package var initialWindow: UInt32 = 0
  /// Up to eight AEADs by number in order of preference; message 2 holds the one chosen.
  package var aeads = InlineArray<8, UInt8>(repeating: 0)
  package var aeadCount = 0
  /// Common to all attempts of one dial.
  package var attemptToken: (UInt64, UInt64) = (0, 0)
  package var hasAttemptToken = false
  /// In message 1 proof that its sender receives at its address, in message 2 one for later dials.
  package var cookie: ShownCookie?
  /// 0: none.
  package var idleTimeoutMilliseconds: UInt32 = 0
  package var maximumAckDelayMicroseconds: UInt32 = 25_000
  /// The sender of these parameters wants an ACK for every so many packets.
  package var ackRatio: UInt16 = 2
  /// Datagrams of several connections may come in one message of the kernel's (UDP_SEGMENT, UDP_GRO): one socket takes them
  /// all, whichever connection the first is for.
  package var takesMerged = false
  /// Whoever shows this has lost the connection: of the sender's receive id.
  package var resetToken: ResetToken?
  /// Bit 0 is feature 0; of more than 32 those are known.
  package var features: UInt32 = 0
  /// The longest message that the sender takes.
  package var maximumMessage: UInt32 = 1 << 20
  private var protocolsPlace = (at: 0, count: 0)
  private var payloadPlace = (at: 0, count: 0)
  /// Whether to leave out what need not be public: message 1 travels in the clear.
  package var isPublic = false
  /// Sent as a parameter that means nothing; 0 sends none.
  package var reservedType: UInt16 = 0
  /// Sent as a version beside the own; 0 sends none.
  package var reservedVersion: UInt8 = 0
  /// What must not be ignored, and is not known.
  package var unknownCritical: UnknownCritical?
  /// The known types that have come.
  private var seen: UInt64 = 0

  package init() {}

  /// Of parameters that were read: where in them the application protocols stand, each a length and a name, and the bytes of the
  /// initiator's program.
  package var protocols: Range<Int> { protocolsPlace.at..<protocolsPlace.at + protocolsPlace.count }
  package var payload: Range<Int> { payloadPlace.at..<payloadPlace.at + payloadPlace.count }

  private static var critical: ClosedRange<UInt16> { 0x4000...0x7FFF }
  /// The known types but padding: 1 to 7, 10 to 12, 14 to 18, 21.
  private static var once: UInt64 { 0b10_0111_1101_1100_1111_1110 }

  /// Those of them that are in a message; others that come there are ignored.
  private static func known(in message: Message?) -> UInt64 {
    switch message {
    case .first: 0b1111_1110
    case .second: 0b10_0011_1101_1100_0111_1110
    case .third: 0b10_0111_1101_1100_0011_1110
    case nil: once
    }
  }

  package mutating func offer(_ aead: AEAD) {
    guard aeadCount < 8 else { return }
    aeads[aeadCount] = aead.rawValue
    aeadCount += 1
  }

  /// Whether an unknown datagram has the shape of a version 1 message 1.
  package static func isMessage1(_ datagram: RawSpan) -> Bool {
    // Behind the id (8) and the ephemeral key (32): magic, then type and length of the receive id, then the id.
    guard datagram.byteCount >= Datagram.smallestPath else { return false }
    return datagram.bigEndian32(40) == magic && datagram.bigEndian32(44) == receiveIDHead
      && datagram.bigEndian64(message1ReceiveID) == datagram.bigEndian64(0) && datagram.bigEndian64(0) != 0
  }

  /// Words that every message 1 has, and where: the magic, then type and length of the receive id.
  package static var message1Words: [(offset: Int, word: UInt32)] { [(40, magic), (44, receiveIDHead)] }
  private static var receiveIDHead: UInt32 { UInt32(Parameter.receiveID) << 16 | 8 }
  /// Where message 1 has the receive id, which is the same as that of the datagram.
  package static var message1ReceiveID: Int { 48 }

  /// The cookie of a message 1, if it may be of our making: it stands right behind the receive id, or does not count.
  package static func cookie(ofMessage1 datagram: RawSpan) -> Cookie? {
    guard datagram.byteCount >= Datagram.smallestPath, datagram.bigEndian16(56) == Parameter.cookie,
      Int(datagram.bigEndian16(58)) == Cookie.length
    else { return nil }
    return Cookie(datagram.extracting(60..<60 + Cookie.length))
  }

  /// The attempt token of a message 1 if it is among the first parameters, else zeros.
  package static func token(ofMessage1 datagram: RawSpan) -> (UInt64, UInt64) {
    var at = 56
    for _ in 0..<16 {
      guard at + 4 <= datagram.byteCount else { break }
      let type = datagram.bigEndian16(at)
      let length = Int(datagram.bigEndian16(at + 2))
      at += 4
      if type == Parameter.attemptToken, length == 16, at + length <= datagram.byteCount {
        return (datagram.bigEndian64(at), datagram.bigEndian64(at + 8))
      }
      at += length
    }
    return (0, 0)
  }

  /// - Parameter message: whose payload this is; `nil` takes whatever is in any.
  package static func parse(_ bytes: RawSpan, of message: Message? = nil) throws(Malformed) -> HandshakeParameters {
    guard bytes.byteCount >= 4, bytes.bigEndian32(0) == magic else { throw Malformed() }
    var parameters = HandshakeParameters()
    var at = 4
    while at < bytes.byteCount {
      guard at + 4 <= bytes.byteCount else { throw Malformed() }
      let type = bytes.bigEndian16(at)
      let length = Int(bytes.bigEndian16(at + 2))
      at += 4
      guard at + length <= bytes.byteCount else { throw Malformed() }
      try parameters.take(type, bytes.extracting(at..<at + length), at: at, of: message)
      at += length
    }
    return parameters
  }

  private mutating func take(_ type: UInt16, _ value: RawSpan, at: Int, of message: Message?) throws(Malformed) {
    func expect(_ length: Int) throws(Malformed) {
      guard value.byteCount >= length else { throw Malformed() }
    }
    if type < 64, Self.once & 1 << UInt64(type) != 0 {
      guard seen & 1 << UInt64(type) == 0 else { throw Malformed() }
      seen |= 1 << UInt64(type)
      guard Self.known(in: message) & 1 << UInt64(type) != 0 else { return }
    }
    switch type {
    case Parameter.receiveID:
      try expect(8)
      receiveID = value.bigEndian64(0)
      guard receiveID != 0 else { throw Malformed() }
      hasReceiveID = true
    case Parameter.versions:
      for index in 0..<value.byteCount where value.byte(index) == Self.version { offersVersion1 = true }
    case Parameter.maximumDatagram:
      try expect(2)
      maximumDatagram = Int(value.bigEndian16(0))
      guard maximumDatagram >= Datagram.smallestPath else { throw Malformed() }
    case Parameter.initialWindow:
      try expect(4)
      initialWindow = min(value.bigEndian32(0), PacketWindow.largest)
    case Parameter.aeads:
      aeadCount = min(value.byteCount, 8)
      for index in 0..<aeadCount { aeads[index] = value.byte(index) }
    case Parameter.cookie:
      cookie = ShownCookie(value)
    case Parameter.attemptToken:
      try expect(16)
      attemptToken = (value.bigEndian64(0), value.bigEndian64(8))
      hasAttemptToken = true
    case Parameter.idleTimeout:
      try expect(4)
      idleTimeoutMilliseconds = value.bigEndian32(0)
    case Parameter.maximumAckDelay:
      try expect(4)
      maximumAckDelayMicroseconds = min(value.bigEndian32(0), 1_000_000)
    case Parameter.ackRatio:
      try expect(2)
      ackRatio = max(value.bigEndian16(0), 1)
    case Parameter.takesMerged:
      try expect(0)
      takesMerged = true
    case Parameter.resetToken:
      try expect(ResetToken.length)
      resetToken = ResetToken(value)
    case Parameter.features:
      for index in 0..<min(value.byteCount, 4) { features |= UInt32(value.byte(index)) << UInt32(8 * index) }
    case Parameter.maximumMessage:
      try expect(4)
      maximumMessage = value.bigEndian32(0)
    case Parameter.protocols:
      let names = try Self.names(in: value)
      guard message != .third || names == 1, message != .second || value.byteCount <= ProtocolNames.longestList else {
        throw Malformed()
      }
      protocolsPlace = (at, value.byteCount)
    case Parameter.payload:
      guard value.byteCount <= Self.longestPayload else { throw Malformed() }
      payloadPlace = (at, value.byteCount)
    default:
      if Self.critical.contains(type), unknownCritical == nil { unknownCritical = .parameter(type) }
    }
  }

  /// How many names a list of application protocols has.
  private static func names(in list: RawSpan) throws(Malformed) -> Int {
    var (at, count) = (0, 0)
    while at < list.byteCount {
      let length = Int(list.byte(at))
      at += 1 + length
      guard length >= 1, length <= ApplicationProtocol.longest, at <= list.byteCount else { throw Malformed() }
      count += 1
    }
    return count
  }

  /// Writes magic and parameters, and pads to `paddedTo` bytes in all.
  /// - Parameters:
  ///   - protocols: names, each behind its length, of at most `ProtocolNames.longestList` bytes.
  ///   - payload: at most `longestPayload` bytes.
  /// - Returns: bytes written: `bound` at most, or `paddedTo` if that is more.
  @_lifetime(bytes: copy bytes)
  package func write(
    into bytes: inout MutableRawSpan, paddedTo: Int = 0, protocols: RawSpan = RawSpan(), payload: RawSpan = RawSpan()
  ) -> Int {
    bytes.setBigEndian32(0, Self.magic)
    var at = 4
    if hasReceiveID {
      begin(Parameter.receiveID, 8, &bytes, &at)
      bytes.setBigEndian64(at - 8, receiveID)
    }
    if let cookie {
      begin(Parameter.cookie, cookie.length, &bytes, &at)
      cookie.write(into: &bytes, at: at - cookie.length)
    }
    begin(Parameter.versions, reservedVersion == 0 ? 1 : 2, &bytes, &at)
    if reservedVersion != 0 { bytes.setByte(at - 2, reservedVersion & 0xF0 | 0x0A) }
    bytes.setByte(at - 1, Self.version)
    begin(Parameter.maximumDatagram, 2, &bytes, &at)
    bytes.setBigEndian16(at - 2, UInt16(truncatingIfNeeded: maximumDatagram))
    begin(Parameter.initialWindow, 4, &bytes, &at)
    bytes.setBigEndian32(at - 4, initialWindow)
    begin(Parameter.aeads, aeadCount, &bytes, &at)
    for index in 0..<aeadCount { bytes.setByte(at - aeadCount + index, aeads[index]) }
    if hasAttemptToken {
      begin(Parameter.attemptToken, 16, &bytes, &at)
      bytes.setBigEndian64(at - 16, attemptToken.0)
      bytes.setBigEndian64(at - 8, attemptToken.1)
    }
    if !isPublic {
      begin(Parameter.idleTimeout, 4, &bytes, &at)
      bytes.setBigEndian32(at - 4, idleTimeoutMilliseconds)
      begin(Parameter.maximumAckDelay, 4, &bytes, &at)
      bytes.setBigEndian32(at - 4, maximumAckDelayMicroseconds)
      begin(Parameter.ackRatio, 2, &bytes, &at)
      bytes.setBigEndian16(at - 2, ackRatio)
      if takesMerged { begin(Parameter.takesMerged, 0, &bytes, &at) }
      if let resetToken {
        begin(Parameter.resetToken, ResetToken.length, &bytes, &at)
        resetToken.write(into: &bytes, at: at - ResetToken.length)
      }
      writeFeatures(&bytes, &at)
      if features & 1 != 0, maximumMessage != 1 << 20 {
        begin(Parameter.maximumMessage, 4, &bytes, &at)
        bytes.setBigEndian32(at - 4, maximumMessage)
      }
      write(Parameter.protocols, protocols, &bytes, &at)
      write(Parameter.payload, payload, &bytes, &at)
    }
    if reservedType != 0 {
      begin(reservedType | 0x8000, 3, &bytes, &at)
      for index in 1...3 { bytes.setByte(at - index, UInt8(truncatingIfNeeded: reservedType)) }
    }
    if at + 4 <= paddedTo {
      let length = paddedTo - at - 4
      begin(Parameter.padding, length, &bytes, &at)
      for index in at - length..<at { bytes.setByte(index, 0) }
    }
    return at
  }

  /// As many bytes as it takes.
  @_lifetime(bytes: copy bytes)
  private func writeFeatures(_ bytes: inout MutableRawSpan, _ at: inout Int) {
    guard features != 0 else { return }
    let length = (32 - features.leadingZeroBitCount + 7) / 8
    begin(Parameter.features, length, &bytes, &at)
    for index in 0..<length { bytes.setByte(at - length + index, UInt8(truncatingIfNeeded: features >> (8 * index))) }
  }

  /// A parameter that is left out if it is empty.
  @_lifetime(bytes: copy bytes)
  private func write(_ type: UInt16, _ value: RawSpan, _ bytes: inout MutableRawSpan, _ at: inout Int) {
    guard value.byteCount > 0 else { return }
    begin(type, value.byteCount, &bytes, &at)
    bytes.copy(value, to: at - value.byteCount)
  }

  /// Writes a parameter's head and moves `at` behind its value, which the caller then fills in.
  @_lifetime(bytes: copy bytes)
  private func begin(_ type: UInt16, _ length: Int, _ bytes: inout MutableRawSpan, _ at: inout Int) {
    bytes.setBigEndian16(at, type)
    bytes.setBigEndian16(at + 2, UInt16(truncatingIfNeeded: length))
    at += 4 + length
  }
}
