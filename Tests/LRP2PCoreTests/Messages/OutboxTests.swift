// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Whose turn it is, among the lanes of one connection and the stream.
@Suite struct OutboxTests {
  private func table(_ lanes: [(priority: Int, weight: Int)], stream: (priority: Int, weight: Int) = (4, 1))
    -> LaneTable
  {
    var configuration = EngineConfiguration()
    configuration.lanes = lanes.map { LaneConfiguration(priority: $0.priority, weight: $0.weight) }
    configuration.streamPriority = stream.priority
    configuration.streamWeight = stream.weight
    return LaneTable(configuration)
  }

  /// Serves whoever is next so many times, with messages of random lengths.
  /// - Returns: the bytes of each lane.
  private func serve(
    _ outbox: inout Outbox, _ lanes: LaneTable, times: Int, longest: Int = 1400, _ random: inout SplitMix
  ) -> [Int] {
    var bytes = [Int](repeating: 0, count: 16)
    for _ in 0..<times {
      guard let lane = outbox.nextLane(lanes) else { break }
      let length = 1 + random.below(longest)
      outbox.serve(lane, length, lanes)
      bytes[lane] += length
    }
    return bytes
  }

  @Test func nobodyWaits() {
    let lanes = table([(0, 1), (0, 1)])
    let outbox = Outbox()
    #expect(outbox.nextLane(lanes) == nil && !outbox.goesFirst(lanes))
  }

  /// As long as one of a lower number has something, those of a higher one wait.
  @Test func prioritiesAreStrict() {
    let lanes = table([(3, 200), (1, 1), (2, 255), (1, 1)])
    var outbox = Outbox()
    var random = SplitMix(state: 1)
    for lane in 0..<4 { outbox.begins(lane, lanes) }
    var bytes = serve(&outbox, lanes, times: 1000, &random)
    #expect(bytes[1] > 0 && bytes[3] > 0 && bytes[0] == 0 && bytes[2] == 0)
    outbox.waiting &= ~(1 << 1)
    bytes = serve(&outbox, lanes, times: 10, &random)
    #expect(bytes[3] > 0 && bytes[0] + bytes[1] + bytes[2] == 0)
    outbox.waiting = 0b101
    #expect(outbox.nextLane(lanes) == 2)
    outbox.waiting = 0b001
    #expect(outbox.nextLane(lanes) == 0)
    outbox.begins(1, lanes)
    #expect(outbox.nextLane(lanes) == 1)
  }

  /// Shares of bytes, not of messages, whatever the lengths are.
  @Test(
    arguments: [
      [1, 1], [1, 2], [2, 3], [1, 255], [100, 150], [129, 200, 255], [255, 254], [10, 20, 30, 40],
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ]) func weightsAreShares(weights: [Int])
  {
    let lanes = table(weights.map { (2, $0) })
    var outbox = Outbox()
    var random = SplitMix(state: 2)
    for lane in weights.indices { outbox.begins(lane, lanes) }
    let bytes = serve(&outbox, lanes, times: 200_000, &random)
    let (all, sum) = (Double(bytes.reduce(0, +)), Double(weights.reduce(0, +)))
    for (lane, weight) in weights.enumerated() {
      let (share, expected) = (Double(bytes[lane]) / all, Double(weight) / sum)
      #expect(abs(share - expected) < 0.02 * expected, "lane \(lane) of \(weights) has \(share), not \(expected)")
    }
  }

  /// One that has had nothing to send neither catches up nor has to wait for others, however much they have sent meanwhile.
  @Test(arguments: [1, 1_000_000, 9_000_000, 40_000_000, 5_000_000_000]) func whoBeginsIsNotAhead(before: Int) {
    let lanes = table([(2, 1), (2, 1), (2, 3)])
    var outbox = Outbox()
    var random = SplitMix(state: 3)
    outbox.begins(1, lanes)
    outbox.serve(1, 700, lanes)
    outbox.waiting = 0
    outbox.begins(0, lanes)
    for _ in 0..<10 { outbox.serve(0, before / 10, lanes) }
    outbox.begins(1, lanes)
    outbox.begins(2, lanes)
    // Until lane 0 has its turn again, the others have no more than its last message, by their weights.
    var others = 0
    while let lane = outbox.nextLane(lanes), lane != 0, others <= before {
      outbox.serve(lane, 1000, lanes)
      others += 1000
    }
    #expect(others <= 4 * (before / 10 + 1) + before / 10_000 + 4000, "\(others) bytes of others")
    let bytes = serve(&outbox, lanes, times: 20_000, &random)
    let whole = Double(bytes.reduce(0, +))
    #expect(abs(Double(bytes[0]) / whole - 0.2) < 0.02 && abs(Double(bytes[1]) / whole - 0.2) < 0.02)
  }

  /// What lanes of another priority have sent meanwhile counts for nothing.
  @Test(arguments: [1_000_000, 9_000_000, 30_000_000]) func otherPrioritiesCountForNothing(before: Int) {
    let lanes = table([(0, 1), (5, 1), (5, 1)])
    var outbox = Outbox()
    var random = SplitMix(state: 4)
    outbox.begins(1, lanes)
    outbox.begins(0, lanes)
    for _ in 0..<1000 { outbox.serve(0, before / 1000, lanes) }
    outbox.begins(2, lanes)
    outbox.waiting &= ~1
    let bytes = serve(&outbox, lanes, times: 1000, &random)
    #expect(bytes[0] == 0 && abs(bytes[1] - bytes[2]) <= 2 * 1400, "\(bytes)")
  }

  // MARK: The stream

  @Test func theStreamHasAPriority() {
    for (own, stream, isFirst) in [(2, 4, true), (4, 2, false), (0, 7, true), (7, 0, false)] {
      let lanes = table([(own, 1)], stream: (stream, 1))
      var outbox = Outbox()
      outbox.begins(0, lanes)
      for _ in 0..<10 {
        #expect(outbox.goesFirst(lanes) == isFirst)
        outbox.serve(isFirst ? 0 : Outbox.stream, 1000, lanes)
      }
    }
  }

  @Test(arguments: [(1, 1), (1, 4), (4, 1), (200, 255)]) func theStreamHasAShare(lane: Int, stream: Int) {
    let lanes = table([(4, lane)], stream: (4, stream))
    var outbox = Outbox()
    var random = SplitMix(state: 5)
    outbox.begins(0, lanes)
    var bytes = (0, 0)
    for _ in 0..<50_000 {
      let length = 1 + random.below(1400)
      if outbox.goesFirst(lanes) {
        outbox.serve(0, length, lanes)
        bytes.0 += length
      } else {
        outbox.serve(Outbox.stream, length, lanes)
        bytes.1 += length
      }
    }
    let (share, expected) = (Double(bytes.1) / Double(bytes.0 + bytes.1), Double(stream) / Double(lane + stream))
    #expect(abs(share - expected) < 0.02 * expected, "\(share)")
  }

  /// A stream that has had nothing new does not catch up on the lanes.
  @Test func aStreamThatBeginsIsNotAhead() {
    let lanes = table([(4, 1)], stream: (4, 1))
    var outbox = Outbox()
    outbox.begins(0, lanes)
    for _ in 0..<10_000 {
      outbox.streamRests(lanes)
      outbox.serve(0, 1000, lanes)
    }
    var inARow = 0
    while !outbox.goesFirst(lanes), inARow < 100 {
      outbox.serve(Outbox.stream, 1000, lanes)
      inARow += 1
    }
    #expect(inARow <= 2)
  }

  // MARK: Fragments

  /// A message in fragments begins behind one of another lane that goes on, if that has the same priority.
  @Test func oneInFragmentsWaitsForAnother() {
    let lanes = table([(1, 1), (2, 1), (2, 1), (3, 1)])
    var outbox = Outbox()
    outbox.open = 0b0100
    #expect(outbox.other(before: 1, lanes) == 2)
    #expect(outbox.other(before: 2, lanes) == nil, "itself")
    #expect(outbox.other(before: 0, lanes) == nil, "a lower priority")
    #expect(outbox.other(before: 3, lanes) == 2)
    outbox.open = 0
    #expect(outbox.other(before: 1, lanes) == nil)
  }
}
