// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool
import Testing

@Suite struct PathTestTests {
  private struct Listener: ReceivingHandler {
    var closes = false

    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
      if closes { engine.close(peer, code: 7, reason: "not now") }
    }
    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  }

  /// A test of the path to a listener on loopback, to its end.
  private func run(
    _ addresses: (UInt16) -> [Address], takes datagram: Int = 1400, closes: Bool = false, interrupts: Bool = false
  ) throws -> PathTest {
    var configuration = ReactorConfiguration()
    configuration.engine.maximumDatagram = datagram
    var server = try Reactor(
      configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    configuration.engine.maximumDatagram = PathTest.longestDatagram
    var client = try Reactor(
      configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .anyone)
    var listener = Listener(closes: closes)
    var plan = PathTest.Plan()
    (plan.count, plan.interval) = (20, .milliseconds(1))
    var test = PathTest(name: "srv:4433", plan: plan)
    try test.start(addresses(server.localAddress.port), engine: &client.engine) {
      engine, addresses, timeout throws(EngineError) in
      try engine.connect(to: addresses, expecting: .anyone, timeout: timeout)
    }
    if interrupts { test.interrupt() }
    let end = currentInstant() + 60_000_000_000
    while !test.isDone(&client.engine), currentInstant() < end {
      try client.turn(&test, timeout: 0)
      try server.turn(&listener, timeout: client.nextTimeout == 0 ? 0 : .milliseconds(1))
    }
    return test
  }

  private func figure(_ test: PathTest, _ check: String, _ name: String) -> UInt64? {
    test.findings.first { $0.check == check }?.figures.first { $0.name == name }?.value
  }

  @Test func aGoodPath() throws {
    let test = try run { [Address("127.0.0.1:\($0)")!] }
    #expect(test.failure == nil && test.wasAnswered)
    #expect(test.findings.map(\.check) == ["dial", "round_trip", "loss", "datagram"])
    #expect(test.findings.allSatisfy { $0.status == .good && !$0.advice.isEmpty })
    #expect(figure(test, "loss", "sent") == 20 && figure(test, "loss", "received") == 20)
    let trips = ["min_us", "median_us", "max_us"].compactMap { figure(test, "round_trip", $0) }
    #expect(trips.count == 3 && trips == trips.sorted())
    #expect(figure(test, "datagram", "datagram_bytes") == 1400 && figure(test, "datagram", "limit_bytes") == 1400)
    #expect(test.findings[0].texts.map(\.name) == ["address", "key"])
  }

  @Test func theLargestDatagramIsTheEngines() throws {
    let test = try run({ [Address("127.0.0.1:\($0)")!] }, takes: 9000)
    #expect(figure(test, "datagram", "datagram_bytes") == 9000 && figure(test, "datagram", "limit_bytes") == 9000)
  }

  @Test func eachAddressOfANameHasItsLine() throws {
    let test = try run { [Address("127.0.0.1:0")!, Address("127.0.0.1:\($0)")!] }
    #expect(test.failure == nil, "one address of the name is enough")
    let found = test.findings.filter { $0.check == "address" }
    #expect(found.map(\.status) == [.missing, .good])
    #expect(found[0].found == "127.0.0.1:0: port 0 cannot be dialled" && found[0].texts[0].value == "127.0.0.1:0")
  }

  @Test func aDialThatFailsEndsAsPingDoes() throws {
    let test = try run { _ in [Address("127.0.0.1:0")!] }
    #expect(test.failure?.status == 17 && test.failure?.text == "srv:4433: port 0 cannot be dialled")
    #expect(test.findings.map(\.status) == [.missing])
  }

  @Test func aConnectionThatEndsMeanwhileIsAFailure() throws {
    let test = try run({ [Address("127.0.0.1:\($0)")!] }, closes: true)
    #expect(test.failure?.status == 1 && test.failure?.text == "srv:4433: not now")
    #expect(test.findings.map(\.check) == ["dial", "round_trip", "loss", "datagram", "connection"])
    // The dial has succeeded, and what ended it has a line of its own.
    #expect(test.findings[0].status == .good && test.findings[4].found == "srv:4433: not now")
  }

  @Test func anInterruptEndsIt() throws {
    let test = try run({ [Address("127.0.0.1:\($0)")!] }, interrupts: true)
    #expect(!test.wasAnswered && test.failure?.status == 1)
  }
}
