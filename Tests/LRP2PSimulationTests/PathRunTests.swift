// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// What `lrp2p-sim paths` measures, where it is known what must come out.
@Suite struct PathRunTests {
  private static func path(
    _ rate: UInt64 = 10_000_000, _ roundTrip: Nanoseconds = .milliseconds(40),
    _ bars: [PathBar] = [PathBar(.goodput, 0.8)], _ change: (inout PathCase) -> Void = { _ in }
  ) -> PathCase {
    PathCase("test", "a path of a test", rate: rate, roundTrip: roundTrip, bars: bars) {
      $0.measured = .seconds(5)..<(.seconds(20))
      change(&$0)
    }
  }

  @Test(arguments: [CongestionAlgorithm.bbr, .cubic]) func aCleanPathIsFilled(congestion: CongestionAlgorithm) {
    let path = Self.path()
    let outcome = path.play(seed: 1, congestion: congestion)
    #expect(outcome.failure == nil && outcome.meets(path.bars))
    // Headers, and a probe of the path now and then, are all that is missing.
    #expect(outcome.goodput > 0.85 && outcome.goodput < 0.98 && outcome.meanGoodput >= outcome.goodput)
    #expect(abs(outcome.arrived - outcome.goodput) < 0.1)
    #expect(outcome.spurious < 0.001 && outcome.queue < 0.045 && outcome.longQueue < 0.045)
    #expect(outcome.firstByte! > 0.06 && outcome.firstByte! < 0.3)
    #expect(outcome.recovery == nil && outcome.completion == nil)
  }

  @Test func aStallIsTheWorstWindow() {
    let path = Self.path {
      $0.changes = { _ in
        [
          PathChange(at: .seconds(12), .both, .halted(true)),
          PathChange(at: .milliseconds(14_500), .both, .halted(false)),
        ]
      }
      $0.event = .milliseconds(14_500)
    }
    let outcome = path.play(seed: 1, congestion: .bbr)
    #expect(!outcome.meets(path.bars) && outcome.goodput < 0.55 && outcome.goodput > 0.1)
    #expect(outcome.worstAt > 9 && outcome.worstAt <= 12.1)
    #expect(outcome.recovery != nil && outcome.meanGoodput > outcome.goodput)
  }

  /// Only ACKs are lost: whatever is sent again was there.
  @Test func aResendOfWhatArrivesIsSpurious() {
    let path = Self.path {
      // Nothing overflows at the start.
      $0.forth.buffer *= 20
      $0.changes = { _ in
        [PathChange(at: .seconds(8), .back, .down(true)), PathChange(at: .seconds(9), .back, .down(false))]
      }
    }
    let outcome = path.play(seed: 1, congestion: .bbr)
    #expect(outcome.loss == 0 && outcome.resends > 0 && outcome.spurious > 0)
    #expect(abs(outcome.spurious + outcome.pairs - outcome.resends) < 1e-9)
  }

  /// Hardly any resend of what was lost at random in a row of datagrams that keep their order is in vain.
  @Test func aResendOfWhatIsLostIsNotSpurious() {
    let path = Self.path { $0.forth.loss = 0.02 }
    let outcome = path.play(seed: 1, congestion: .bbr)
    #expect(outcome.loss > 0.015 && outcome.loss < 0.025)
    #expect(outcome.resends > 0.015 && outcome.spurious < 0.002)
  }

  @Test func theQueueThatAFlowBuildsIsSeen() {
    let path = Self.path { $0.forth.buffer *= 4 }
    let outcome = path.play(seed: 1, congestion: .cubic)
    // At most the four round trips that it holds, and CUBIC does fill them.
    #expect(outcome.longQueue > 0.08 && outcome.longQueue <= 0.162 && outcome.queue < outcome.longQueue)
  }

  @Test func aPathThatCarriesNothingEnds() {
    let path = Self.path(10_000_000, .milliseconds(40), [PathBar(.completion, 10)]) {
      $0.flows = [PathFlow(bytes: 1000)]
      $0.forth.isDown = true
    }
    let outcome = path.play(seed: 1, congestion: .bbr)
    #expect(outcome.failure == nil && !outcome.meets(path.bars) && outcome.firstByte == nil && outcome.loss == 1)
    let result = PathResult(path, .bbr, [outcome])
    #expect(!result.isPassed && result.value(of: .completion) == nil && result.missed.count == 1)
  }

  @Test func everyFlowHasItsOwnFigures() {
    let path = Self.path(10_000_000, .milliseconds(40), [PathBar(.loss, 0.2), PathBar(.leastFlow, 0)]) {
      $0.flows = (0..<4).map { PathFlow(host: $0) }
      // One that comes when the first windows are over has stood still in them.
      $0.flows.append(PathFlow(host: 4, at: .seconds(12)))
    }
    let late = path.play(seed: 1, congestion: .bbr)
    #expect(late.leastFlow == 0 && !late.meets(path.bars) && late.goodput > 0.7)
    var timely = path
    timely.flows.removeLast()
    let outcome = timely.play(seed: 1, congestion: .bbr)
    #expect(outcome.leastFlow > 0.1 && outcome.leastFlow <= 1 && outcome.meets(path.bars))
  }

  @Test func shortFlowsAreTimedForThemselves() {
    let path = Self.path(10_000_000, .milliseconds(40), [PathBar(.shortCompletion, 2)]) {
      $0.flows += (6..<12).map { PathFlow(host: 1, at: .seconds($0), bytes: 50_000, isShort: true) }
    }
    let outcome = path.play(seed: 1, congestion: .bbr)
    #expect(outcome.failure == nil && outcome.shortCompletion! > 0.1 && outcome.shortCompletion! < 2)
    #expect(outcome.completion == nil && outcome.meets(path.bars))
  }

  @Test func memoryIsComparedWithNone() {
    let path = Self.path(10_000_000, .milliseconds(400), [PathBar(.slowdown, 1)]) {
      $0.flows = [PathFlow(bytes: 2_000_000)]
      $0.remembered = RememberedPath(roundTrip: .milliseconds(400), bytesPerSecond: 10_000_000 / 8)
      $0.measured = 0..<(.seconds(60))
    }
    let outcome = path.play(seed: 1, congestion: .bbr)
    // What is remembered is right: it can only help.
    #expect(outcome.slowdown! < 1 && outcome.slowdown! > 0.3 && outcome.completion! > 2)
  }

  /// Looking at it changes nothing.
  @Test func aTraceIsOfTheSamePlaying() {
    let path = Self.path {
      $0.turn = .milliseconds(10)
      $0.forth.loss = 0.01
    }
    let plain = path.play(seed: 7, congestion: .bbr)
    let traced = path.play(seed: 7, congestion: .bbr, sampling: .milliseconds(2) + 1)
    #expect(plain.traceHash == traced.traceHash && plain.goodput == traced.goodput && plain.samples.isEmpty)
    #expect(traced.samples.count > 9000 && traced.samples.allSatisfy { $0.flow == 0 })
    #expect(path.play(seed: 8, congestion: .bbr).traceHash != plain.traceHash)
  }

  @Test func theTableIsWellFormed() {
    let table = PathCase.table
    #expect(Set(table.map(\.name)).count == table.count)
    for path in table {
      #expect(!path.bars.isEmpty && path.end <= .seconds(1200), "\(path.name)")
      #expect(path.measured.lowerBound % .milliseconds(50) == 0 && path.window % .milliseconds(50) == 0, "\(path.name)")
      #expect(!path.bars.contains { $0.measure == .recovery } || path.event != nil, "\(path.name)")
      #expect(!path.bars.contains { $0.measure == .slowdown } || path.remembered != nil, "\(path.name)")
    }
  }

  @Test func medians() {
    func result(_ recoveries: [Double?]) -> PathResult {
      let path = Self.path(10_000_000, .milliseconds(40), [PathBar(.recovery, 2)])
      return PathResult(path, .bbr, recoveries.enumerated().map { PathOutcome(seed: UInt64($0), recovery: $1) })
    }
    #expect(result([1, 3, nil]).value(of: .recovery) == 3 && !result([1, 3, nil]).isPassed)
    #expect(result([1, 3, 0.5, 2]).value(of: .recovery) == 1.5 && result([1, 3, 0.5, 2]).isPassed)
    #expect(result([1, nil, nil]).value(of: .recovery) == nil)
    // The worst first.
    #expect(result([1, 3, nil, 2.5]).missed.map(\.seed) == [2, 1, 3])
  }
}
