import LRP2PCore
import Testing

@Suite struct RestingRowTests {
  @Test func deadlinesCountFromWhatWasHeardAndSent() {
    var lasting = Lasting()
    lasting.lastReceived = .seconds(10)
    lasting.lastSent = .seconds(20)
    #expect(lasting.idleDeadline == .never && lasting.keepAliveDeadline(0) == .never)
    #expect(lasting.keepAliveDeadline(.seconds(70)) == .seconds(90))
    lasting.idleTimeout = .seconds(30)
    #expect(lasting.idleDeadline == .seconds(40) && lasting.keepAliveDeadline(.seconds(7)) == .seconds(27))
    #expect(lasting.keepAliveDeadline(.seconds(70)) == .seconds(35))
  }

  /// RFC 9001, 6.6: 2^36 with ChaCha20-Poly1305, 2^52 with AES-GCM.
  @Test func keysAreUsedUpByForgeries() {
    for (aead, limit) in [(AEAD.chacha20Poly1305, UInt64(1) << 36), (.aes256GCM, 1 << 52)] {
      var lasting = Lasting()
      lasting.aead = aead
      lasting.authenticationFailures = limit
      #expect(!lasting.isKeyExhausted)
      lasting.authenticationFailures += 1
      #expect(lasting.isKeyExhausted)
    }
  }

  /// A path is remembered once it is known how long it is and how fast.
  @Test func whatTheNextDataStartsFrom() {
    var row = RestingRow()
    #expect(row.learnt == nil)
    row.deliveryRate = 5_000_000
    #expect(row.learnt == nil)
    var estimate = RoundTripEstimate()
    for milliseconds in [30, 20, 40] as [UInt64] {
      estimate.update(sample: .milliseconds(milliseconds), acknowledgementDelay: 0)
    }
    row.roundTrip = estimate.rest
    #expect(row.learnt?.roundTrip == .milliseconds(20) && row.learnt?.bytesPerSecond == 5_000_000)
    row.deliveryRate = 0
    #expect(row.learnt == nil)
  }

  @Test func epochsGoOnWhereTheyStood() {
    var row = RestingRow()
    row.sendingEpoch = 5
    row.receivingEpoch = 7
    let epochs = row.epochs(bits: 20)
    #expect(epochs.sending == 5 && epochs.receiving == 7 && epochs.epoch(of: 7 << 20 | 3) == 7)
    // What was overtaken before the rest is too old to be opened.
    #expect(epochs.previous.aead == 0)
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
      _ = unsafe flow.reassemble(number, offset: 0, total: 128, piece.span.bytes, pool: &pool)
    }
    var held = flow.receive.held(pool)
    #expect(held == 10 * 1408)
    // One is complete, and its cell the caller's.
    guard case .complete(let cell) = unsafe flow.reassemble(3, offset: 64, total: 128, piece.span.bytes, pool: &pool)
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
