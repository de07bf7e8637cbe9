// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct ConnectionHeaderTests {
  @Test func deadlinesCountFromWhatWasHeardAndSent() {
    var header = ConnectionHeader()
    header.lastReceived = .seconds(10)
    header.lastSent = .seconds(20)
    #expect(header.idleDeadline == .never && header.keepAliveDeadline(0) == .never)
    #expect(header.keepAliveDeadline(.seconds(70)) == .seconds(90))
    header.idleTimeout = .seconds(30)
    #expect(header.idleDeadline == .seconds(40) && header.keepAliveDeadline(.seconds(7)) == .seconds(27))
    #expect(header.keepAliveDeadline(.seconds(70)) == .seconds(35))
  }

  /// RFC 9001, 6.6: 2^36 with ChaCha20-Poly1305, 2^52 with AES-GCM.
  @Test func keysAreUsedUpByForgeries() {
    for (aead, limit) in [(AEAD.chacha20Poly1305, UInt64(1) << 36), (.aes256GCM, 1 << 52)] {
      var header = ConnectionHeader()
      header.aead = aead
      header.authenticationFailures = limit
      #expect(!header.isKeyExhausted)
      header.authenticationFailures += 1
      #expect(header.isKeyExhausted)
    }
  }

  /// A path is remembered once it is known how long it is and how fast.
  @Test func whatTheNextDataStartsFrom() {
    var header = ConnectionHeader()
    func learnt() -> RememberedPath? {
      var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: 0)
      flow.restart(from: header, configuration: EngineConfiguration(), seed: 1)
      return flow.learnt
    }
    #expect(learnt() == nil)
    header.rest.deliveryRate = 5_000_000
    #expect(learnt() == nil)
    var estimate = RoundTripEstimate()
    for milliseconds in [30, 20, 40] as [UInt64] {
      estimate.update(sample: .milliseconds(milliseconds), acknowledgementDelay: 0)
    }
    header.rest.roundTrip = estimate.rest
    #expect(learnt()?.roundTrip == .milliseconds(20) && learnt()?.bytesPerSecond == 5_000_000)
    header.rest.deliveryRate = 0
    #expect(learnt() == nil)
  }

  /// The smaller of both idle timeouts counts; 0 is none. Of features those of both, messages (feature 0) among them.
  @Test func takesOverWhatThePeerSays() {
    for (own, offered, agreed) in [(30, 20, 20), (20, 30, 20), (0, 20, 20), (20, 0, 20), (0, 0, 0)]
      as [(UInt64, UInt32, UInt64)]
    {
      var configuration = EngineConfiguration()
      configuration.idleTimeout = .seconds(own)
      configuration.features = 0b110
      var header = ConnectionHeader(configuration: configuration, now: 7)
      #expect(header.lastReceived == 7 && header.lastSent == 7)
      var parameters = HandshakeParameters()
      parameters.idleTimeoutMilliseconds = offered * 1000
      parameters.maximumAckDelayMicroseconds = 5000
      parameters.ackRatio = 9
      parameters.features = 0b011
      header.agree(parameters, configuration: configuration)
      #expect(header.idleTimeout == .seconds(agreed) && header.features == 0b011)
      #expect(header.peerAckRatio == 9 && header.peerMaximumAckDelay == .milliseconds(5))
    }
  }
}

/// What the memory of a flow is when nothing needs it.
@Suite struct FlowMemoryTests {
  @Test func whatWasRememberedOfPacketsIsGivenBack() {
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: 0)
    let isSmall = flow.isSmall
    #expect(isSmall)
    for number in 0..<10_000 as Range<UInt64> {
      flow.rate.sent(packetNumber: number * 200, bytesInFlight: 10_000, bytes: 1000, now: number)
    }
    let isLarge = !flow.isSmall
    #expect(isLarge)
    flow.shrink()
    let isSmallAgain = flow.isSmall
    #expect(isSmallAgain)
  }

  /// Cells of segments that come in pieces are the peer's like any others.
  @Test func incompleteSegmentsAreCharged() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 20)
    var flow = Flow(configuration: EngineConfiguration(), seed: 1, now: 0)
    let piece = [UInt8](repeating: 1, count: 64)
    for number in 1...10 as ClosedRange<UInt32> {
      _ = unsafe flow.reassemble(number, isMessages: false, offset: 0, total: 128, piece.span.bytes, pool: &pool)
    }
    var held = flow.receive.held(pool)
    #expect(held == 10 * 1408)
    // One is complete, and its cell the caller's.
    guard
      case .complete(let cell) = unsafe flow.reassemble(
        3, isMessages: false, offset: 64, total: 128, piece.span.bytes, pool: &pool)
    else {
      Issue.record("not complete")
      return
    }
    pool.release(cell)
    held = flow.receive.held(pool)
    #expect(held == 9 * 1408)
  }
}

@Suite struct PeerTests {
  /// A handle names its slot, and is another when the slot has another generation.
  @Test func aHandleIsSlotAndGeneration() {
    let one = Peer(connectionID: 0xABCD_EF12_3400_0102)
    let other = Peer(connectionID: 0xABCD_EF12_3500_0102)
    #expect(one.slot == Slot(0x102) && other.slot == one.slot && one != other)
    #expect(Set([one, other, Peer(connectionID: one.connectionID)]).count == 2)
    #expect(Peer(connectionID: .max).slot == Slot(0xFF_FFFF))
  }
}
