// SPDX-License-Identifier: MIT
/// The bottleneck's capacity from how far it pulls trains of packets apart (Dovrolis, Ramanathan and Moore, 2001).
///
/// The first window of a long path leaves as trains, each at once. Where its packets arrive apart is where they queued, and
/// the ACKs tell when that was. The median of all trains is taken, and only if enough of them tell anything.
package struct PacketTrains: BitwiseCopyable {
  /// Packets of one train.
  package static var length: Int { 32 }
  private static var maximum: Int { 16 }
  /// Packets between the first and the last ACK of a train, to be worth measuring.
  private static var shortestSpan: UInt64 { 8 }
  private static var fewestRates: Int { 3 }

  private var starts = InlineArray<16, UInt64>(repeating: 0)
  private var count = 0
  private var lastSent: Instant = 0
  /// Behind the last packet of the last train.
  private var end: UInt64 = 0
  private var rates = InlineArray<16, UInt64>(repeating: 0)
  private var rateCount = 0

  // The train that is being acknowledged.
  private var current = -1
  private var first: UInt64 = 0
  private var firstArrival: Instant = 0
  private var last: UInt64 = 0
  private var lastArrival: Instant = 0
  private var isSending = true
  package private(set) var isOver = false

  package init(isOver: Bool = false) { self.isOver = isOver }

  package mutating func sent(packetNumber: UInt64, now: Instant) {
    guard !isOver, isSending else { return }
    if now != lastSent, count < Self.maximum {
      starts[count] = packetNumber
      count += 1
      lastSent = now
    }
    if now == lastSent { end = packetNumber + 1 }
  }

  /// An ACK tells that `largest` arrived at `arrival`, by the own clock plus a constant.
  /// - Returns: the capacity in bytes per second, once, when the trains are over and agree.
  package mutating func acknowledged(largest: UInt64, arrival: Instant, segment: UInt64) -> UInt64? {
    guard !isOver, count > 0 else { return nil }
    var train = -1
    if largest < end {
      for index in 0..<count where starts[index] <= largest { train = index }
    }
    if train != current {
      finish(segment)
      current = train
      first = largest
      firstArrival = arrival
    }
    last = largest
    lastArrival = arrival
    // What is sent after the first ACK belongs to the next round trip.
    isSending = false
    guard largest + 1 >= end else { return nil }
    finish(segment)
    isOver = true
    return rateCount >= Self.fewestRates ? median() : nil
  }

  private mutating func finish(_ segment: UInt64) {
    guard current >= 0, last >= first + Self.shortestSpan, lastArrival > firstArrival, rateCount < Self.maximum else {
      return
    }
    let bytes = Double((last - first) * segment)
    rates[rateCount] = UInt64(min(bytes * 1e9 / Double(lastArrival - firstArrival), 1e15))
    rateCount += 1
  }

  private func median() -> UInt64 {
    var sorted = rates
    for i in 1..<rateCount {
      var j = i
      while j > 0, sorted[j] < sorted[j - 1] {
        sorted.swapAt(j, j - 1)
        j -= 1
      }
    }
    return sorted[rateCount / 2]
  }
}
