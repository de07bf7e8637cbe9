// SPDX-License-Identifier: MIT
import LRP2PCore

/// What becomes of the data segments that a link is given: who looks at both ends of it knows of each resend whether it was
/// needed, which no engine can.
package struct ResendLedger {
  /// One sequence number of one connection.
  private struct Sent: BitwiseCopyable {
    var at: Instant = 0
    var packetNumber: UInt32 = 0
    var isSent = false
    /// A copy of it arrives.
    var arrives = false
  }

  private let link: Int
  private let start: Instant
  /// What a step of `arrived` takes, nanoseconds.
  private let step: Nanoseconds
  /// A copy under the next packet number within this time is one that was meant to leave twice.
  private let pair: Nanoseconds
  private var flowOfID: [UInt64: Int] = [:]
  private var lastID: UInt64 = 0
  private var lastFlow = 0
  /// By connection, and by sequence number.
  private var sent: [[Sent]] = []

  /// Datagrams with data.
  package private(set) var datagrams: UInt64 = 0
  /// Of these, the ones whose segment had left before.
  package private(set) var resends: UInt64 = 0
  /// Of these, the ones of which an earlier copy arrives, as it had done or was going to when they left.
  package private(set) var spurious: UInt64 = 0
  /// Beside these, copies that left right behind a copy that arrives: a sender sends twice in a row what may not be lost again.
  package private(set) var pairs: UInt64 = 0
  /// Payload bytes by the step in which they arrived for the first time, in whatever order.
  package private(set) var arrived: [UInt64] = []

  /// - Parameters:
  ///   - link: the number of the link that is watched; sequence numbers of its connections begin at 0.
  ///   - start: when the first step begins.
  ///   - step: nanoseconds.
  ///   - roundTrip: of the path, nanoseconds.
  package init(link: Int, start: Instant, step: Nanoseconds, roundTrip: Nanoseconds) {
    self.link = link
    self.start = start
    self.step = step
    pair = roundTrip / 2
  }

  /// The link has been given a segment. - Parameter arrival: when it reaches the other end whole; `nil` if it does not.
  mutating func note(_ segment: DataHeader, over link: Int, arrival: Instant?, now: Instant) {
    guard link == self.link, segment.number < 1 << 26 else { return }
    let (flow, number) = (flow(segment.id), segment.number)
    datagrams += 1
    while sent[flow].count <= number { sent[flow].append(Sent()) }
    judge(flow, number, segment.packetNumber, now)
    // A piece is not all of it.
    if segment.isPiece { return }
    sent[flow][number].isSent = true
    sent[flow][number].at = now
    sent[flow][number].packetNumber = segment.packetNumber
    guard let arrival, !sent[flow][number].arrives else { return }
    sent[flow][number].arrives = true
    let place = Int((max(arrival, start) - start) / step)
    while arrived.count <= place { arrived.append(0) }
    arrived[place] += UInt64(segment.payload)
  }

  private mutating func judge(_ flow: Int, _ number: Int, _ packetNumber: UInt32, _ now: Instant) {
    let before = sent[flow][number]
    guard before.isSent else { return }
    resends += 1
    guard before.arrives else { return }
    if packetNumber == before.packetNumber &+ 1, now - before.at < pair { pairs += 1 } else { spurious += 1 }
  }

  private mutating func flow(_ id: UInt64) -> Int {
    if id == lastID, !sent.isEmpty { return lastFlow }
    lastID = id
    if let flow = flowOfID[id] {
      lastFlow = flow
    } else {
      lastFlow = sent.count
      flowOfID[id] = lastFlow
      sent.append([])
    }
    return lastFlow
  }
}

/// What can be seen of a datagram with data.
struct DataHeader {
  let id: UInt64
  let packetNumber: UInt32
  let number: Int
  let payload: Int
  let isPiece: Bool

  /// `nil` of a datagram without.
  init?(_ bytes: RawSpan) {
    let overhead = Datagram.headerLength + Datagram.tagLength
    guard bytes.byteCount >= overhead + Segment.dataLength else { return nil }
    id = bytes.bigEndian64(0)
    let packetNumber = bytes.bigEndian64(8)
    // No packet number of a segment becomes that large here: it is the beginning of a key.
    guard packetNumber >> 32 == 0 else { return nil }
    self.packetNumber = UInt32(packetNumber)
    let text = bytes.extracting(Datagram.headerLength..<bytes.byteCount - Datagram.tagLength)
    guard let segment = try? Segment.parse(text), segment.kind == .data else { return nil }
    number = Int(segment.number)
    payload = text.byteCount - segment.payloadOffset
    isPiece = segment.fragmentTotal > 0
  }
}

extension SimulatedNetwork {
  /// Tells the ledger of a datagram of the outgoing batch.
  mutating func note(_ offset: Int, _ length: Int, over route: Int, arrival: Instant?) {
    guard let segment = DataHeader(outgoing.arena.bytes(offset, length)) else { return }
    let now = now
    ledger?.note(segment, over: route, arrival: arrival, now: now)
  }
}
