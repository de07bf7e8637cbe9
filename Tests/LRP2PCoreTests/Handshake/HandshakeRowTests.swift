// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

@Suite struct HandshakeRowTests {
  private let suite = ClearSuite(seed: 3)

  private func row(initiator: Bool, started: Instant = .never) -> HandshakeRow {
    let secret = SecretKey(repeating: 1)
    let noise = NoiseHandshake(
      initiator: initiator, staticPublic: suite.publicKey(of: secret), ephemeralSecret: suite.randomKey(), suite: suite)
    return HandshakeRow(noise: noise, byteCount: 256, started: started)
  }

  private func secrets() -> EngineSecrets {
    EngineSecrets(
      staticKey: SecretKey(repeating: 1), resetKey: SecretKey(repeating: 2), suite: suite, memory: OrdinaryMemory())
  }

  /// Writes the next message with this payload, and has the other side read it.
  private func exchange(
    _ payload: [UInt8], id: UInt64, kind: HandshakeKind?, from writer: inout HandshakeRow,
    to reader: inout HandshakeRow,
    location: SourceLocation = #_sourceLocation
  ) {
    var scratch = Arena(byteCount: 64)
    var source = scratch.mutableBytes(0, payload.count)
    for index in payload.indices { source.setByte(index, payload[index]) }
    let header = kind == nil ? 8 : 16
    let overhead = writer.overhead
    let isWritten = writer.write(scratch, payload.count, id: id, secrets: secrets(), suite: suite)
    #expect(overhead + payload.count == writer.length, sourceLocation: location)
    let found = writer.datagram.bytes(0, header).bigEndian64(0)
    let foundKind = Datagram.handshakeKind(writer.datagram.bytes(0, writer.length))
    #expect(isWritten && found == id && foundKind == kind, sourceLocation: location)
    var received = [UInt8](repeating: 0, count: payload.count)
    var elements = received.mutableSpan
    var memory = unsafe elements.mutableBytes
    let count = reader.noise.read(
      writer.datagram.bytes(header, writer.length - header), payload: &memory, suite: suite)
    #expect(count == payload.count && received == payload, sourceLocation: location)
  }

  /// All three messages, each behind the id that it goes to and with its own payload.
  @Test func messagesStandBehindTheirIDs() {
    var initiator = row(initiator: true)
    var responder = row(initiator: false)
    exchange([1, 2, 3], id: 0x0102_0304_0506_0708, kind: nil, from: &initiator, to: &responder)
    exchange([], id: .max, kind: .noise, from: &responder, to: &initiator)
    exchange([UInt8](repeating: 9, count: 64), id: 0, kind: .noise, from: &initiator, to: &responder)
    let isFinished = initiator.noise.isFinished && responder.noise.isFinished
    #expect(isFinished)
  }

  /// Version 0 has no kinds of messages.
  @Test func messagesOfVersion0HaveNothingElse() {
    var initiator = row(initiator: true)
    var responder = row(initiator: false)
    initiator.versions = .original
    responder.versions = .original
    exchange([], id: 1, kind: nil, from: &initiator, to: &responder)
    exchange([], id: 1, kind: nil, from: &responder, to: &initiator)
    exchange([], id: 1, kind: nil, from: &initiator, to: &responder)
  }

  /// A message 1 whose key agrees to zero cannot be answered; the handshake stands where it stood.
  @Test func aKeyOfZeroIsNotAnswered() {
    var responder = row(initiator: false)
    let message = [UInt8](repeating: 0, count: NoiseHandshake.message1Overhead)
    var nothing: [UInt8] = []
    var elements = nothing.mutableSpan
    var memory = unsafe elements.mutableBytes
    let count = responder.noise.read(message.raw, payload: &memory, suite: suite)
    #expect(count == 0)
    let scratch = Arena(byteCount: 0)
    let isWritten = responder.write(scratch, 0, id: 1, secrets: secrets(), suite: suite)
    let (length, step) = (responder.length, responder.noise.step)
    #expect(!isWritten && length == 0 && step == 1)
  }

  /// From here on something else is sent: the refusal of message 3.
  @Test func theDatagramIsReplaced() {
    var row = row(initiator: false)
    var arena = Arena(byteCount: 3)
    var bytes = arena.mutableBytes(0, 3)
    bytes.setByte(2, 7)
    row.replaceDatagram(arena, length: 3)
    let (length, last) = (row.length, row.datagram.bytes(0, 3).byte(2))
    #expect(length == 3 && last == 7)
  }

  @Test func isGivenUpFromItsFirstMessageOn() {
    var row = row(initiator: true)
    let unsent = row.deadline(.seconds(5))
    row.started = .seconds(2)
    let sent = row.deadline(.seconds(5))
    #expect(unsent == .never && sent == .seconds(7))
  }
}
