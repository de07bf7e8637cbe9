// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Two engines in virtual time: messages arrive whole and once, in the order of their lane, whatever the path does.
@Suite struct MessageTests {
  func exchange(
    _ plan: MessageHandler.Plan, seed: UInt64 = 1, link: Link = Link(), limit: Nanoseconds = .seconds(600),
    configure: (inout EngineConfiguration) -> Void = { _ in }
  ) throws {
    var exchange = MessageExchange()
    exchange.plan = plan
    exchange.link = link
    exchange.limit = limit
    configure(&exchange.configuration)
    let result = try exchange.play(seed: seed)
    #expect(result.faults.isEmpty, "seed \(seed): \(result.faults)")
  }

  @Test func cleanPath() throws { try exchange(MessageHandler.Plan()) }

  @Test(arguments: 1...20) func lossReorderingDuplicationCorruption(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.05
    link.jitter = .milliseconds(10)
    link.duplication = 0.02
    link.corruption = 0.01
    var plan = MessageHandler.Plan()
    plan.count = 1000
    plan.streamBytes = 300_000
    try exchange(plan, seed: seed, link: link)
  }

  @Test(arguments: 1...20) func someAreGivenUp(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.1
    link.jitter = .milliseconds(10)
    var plan = MessageHandler.Plan()
    plan.count = 1000
    plan.unreliable = 30
    plan.dated = 30
    plan.streamBytes = 100_000
    try exchange(plan, seed: seed, link: link)
  }

  @Test(arguments: 1...5) func heavyLoss(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.3
    link.jitter = .milliseconds(3)
    var plan = MessageHandler.Plan()
    plan.unreliable = 20
    plan.dated = 20
    try exchange(plan, seed: seed, link: link, limit: .seconds(3000)) { $0.idleTimeout = .seconds(300) }
  }

  @Test(arguments: 1...5) func narrowPath(seed: UInt64) throws {
    var link = Link()
    link.rate = 1_000_000
    link.delay = .milliseconds(100)
    link.buffer = 30_000
    var plan = MessageHandler.Plan()
    plan.count = 2000
    plan.dated = 50
    plan.unreliable = 20
    plan.streamBytes = 200_000
    try exchange(plan, seed: seed, link: link)
  }

  @Test(arguments: 1...5) func smallPool(seed: UInt64) throws {
    var link = Link()
    link.loss = 0.05
    link.jitter = .milliseconds(5)
    var plan = MessageHandler.Plan()
    plan.count = 500
    plan.streamBytes = 200_000
    try exchange(plan, seed: seed, link: link) { $0.receivePoolBytes = 1 << 17 }
  }
}
