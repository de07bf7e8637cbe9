// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// Whether ECN marks are believed, and when they are given up.
@Suite struct ECNValidationTests {
  private static func testing() -> ECNValidation { ECNValidation(.testing, next: 100, reported: 7) }

  /// Reports of a peer that has acknowledged up to `base`.
  private static func report(
    _ validation: inout ECNValidation, base: UInt32, reported: UInt64, ect1: UInt64 = 0, sent: UInt64 = 1000
  ) -> Bool {
    validation.acknowledged(reported: reported, ect1: ect1, base: base, next: 200, sent: sent)
  }

  @Test func nothingIsMarkedUnlessItIsWanted() {
    var validation = ECNValidation()
    #expect(validation.mark == 0)
    let isBelieved = Self.report(&validation, base: 5, reported: 5)
    #expect(isBelieved == false)
    validation.probed(2)
    validation.pathChanged(next: 9, reported: 9)
    #expect(validation.state == .off && validation.mark == 0)
  }

  @Test func marksThatArriveAreBelieved() {
    var validation = Self.testing()
    #expect(validation.mark == 2)
    // Nothing that was marked is acknowledged yet.
    var isBelieved = Self.report(&validation, base: 100, reported: 7)
    #expect(isBelieved == false && validation.state == .testing)
    isBelieved = Self.report(&validation, base: 103, reported: 10)
    #expect(isBelieved && validation.state == .capable)
    isBelieved = Self.report(&validation, base: 150, reported: 90)
    #expect(isBelieved && validation.mark == 2)
  }

  /// What left unmarked before the test is not asked for.
  @Test func earlierSegmentsDoNotCount() {
    var validation = Self.testing()
    var isBelieved = Self.report(&validation, base: 40, reported: 7)
    #expect(isBelieved == false && validation.state == .testing)
    isBelieved = Self.report(&validation, base: 101, reported: 8)
    #expect(isBelieved)
  }

  @Test(arguments: [(103, 9, 0), (103, 10, 1), (103, 1001, 0), (101, 0, 0)])
  func marksThatDoNotAddUpAreGivenUp(base: UInt32, reported: UInt64, ect1: UInt64) {
    var validation = Self.testing()
    var isBelieved = Self.report(&validation, base: base, reported: reported, ect1: ect1)
    #expect(isBelieved == false)
    #expect(validation.state == .bleached && validation.mark == 0)
    // For this path for good.
    isBelieved = Self.report(&validation, base: 110, reported: 500)
    #expect(isBelieved == false)
    validation.pathChanged(next: 300, reported: 500)
    #expect(validation.state == .testing && validation.mark == 2)
  }

  /// The peer goes on counting over the wrap of sequence numbers.
  @Test func sequenceNumbersWrap() {
    var validation = ECNValidation(.testing, next: 0xFFFF_FFF0, reported: 0)
    var isBelieved = validation.acknowledged(reported: 32, ect1: 0, base: 0x10, next: 0x20, sent: 99)
    #expect(isBelieved)
    isBelieved = validation.acknowledged(reported: 31, ect1: 0, base: 0x10, next: 0x20, sent: 99)
    #expect(isBelieved == false)
  }

  @Test func whatVanishesFromTheBeginningIsNotMarked() {
    var validation = Self.testing()
    validation.probed(1)
    #expect(validation.state == .testing)
    validation.probed(2)
    #expect(validation.state == .blocked && validation.mark == 0)
  }

  /// An outage is not taken for a path that drops marks, unless it looks like one twice.
  @Test func silenceSuspendsTheMarksOnce() {
    var validation = Self.testing()
    _ = Self.report(&validation, base: 103, reported: 10)
    validation.probed(2)
    #expect(validation.state == .capable && validation.mark == 0)
    var isBelieved = Self.report(&validation, base: 104, reported: 10)
    #expect(isBelieved == false)
    #expect(validation.state == .testing && validation.mark == 2)
    // Only what left from then on counts.
    isBelieved = Self.report(&validation, base: 200, reported: 10)
    #expect(isBelieved == false && validation.state == .testing)
    isBelieved = Self.report(&validation, base: 201, reported: 11)
    #expect(isBelieved && validation.state == .capable)
    validation.probed(2)
    _ = Self.report(&validation, base: 202, reported: 11)
    validation.probed(2)
    #expect(validation.state == .blocked)
  }

  // MARK: Connections

  /// What a connection finds out when one end sends 200 kB over links that do so with marks.
  private static func outcome(_ marks: Link.Marks, asks: Bool = true) throws -> (ECNState?, EngineStatistics) {
    var link = Link()
    link.rate = 20_000_000
    link.delay = .milliseconds(10)
    link.marks = marks
    var world = try LifecycleTests.openWorld(link: link) { $0.usesECN = asks }
    let dialled = try LifecycleTests.only(world.firstHandler)
    world.secondHandler.bytesToSend = 0
    for bytes: UInt64 in [100_000, 200_000] {
      world.first.offer(dialled, upTo: bytes)
      #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers[dialled]?.acknowledged == bytes })
      // The connection rests in between.
      _ = world.run(for: .seconds(5))
    }
    return (world.first.statistics(of: dialled)?.ecn, world.first.statistics)
  }

  @Test(arguments: [
    (Link.Marks.kept, ECNState.capable), (.removed, .bleached), (.changed, .bleached), (.dropped, .blocked),
  ])
  func aConnectionFindsOutAndGoesOn(marks: Link.Marks, state: ECNState) throws {
    let (found, statistics) = try Self.outcome(marks)
    #expect(found == state && statistics.marksLost == (state == .bleached ? 1 : 0))
  }

  @Test func withoutTheOptionNothingIsMarked() throws {
    let (found, _) = try Self.outcome(.dropped, asks: false)
    #expect(found == .off)
  }
}
