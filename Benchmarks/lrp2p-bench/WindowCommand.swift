// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation

/// The protocol's own cost of a datagram, by how many are in flight.
struct WindowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "window",
    abstract: "Cost per datagram with 2^10 … 2^24 packets in flight, without sockets.",
    discussion: """
      Both windows, the replay window, the receive pool, ACK blocks and the delivery rate's snapshots, with 1 % loss, \
      reordering and an ACK every 64 packets; neither ciphers nor the kernel. Two numbers of packets are measured in turn, \
      so that both see the same machine.
      """)

  @Flag(help: "One JSON object a line.")
  var json = false

  @Option(help: ArgumentHelp("The largest power of two in flight.", valueName: "n"))
  var largest = 24

  @Option(help: ArgumentHelp("The smallest.", valueName: "n"))
  var smallest = 10

  func run() throws {
    if smallest < 10 || largest > 24 || smallest > largest { throw Failure("--smallest and --largest must be 10 … 24") }
    // What the machine has to be warm for.
    _ = cost(10, packets: 1 << 22)
    var reports: [Report] = []
    for power in stride(from: smallest, through: largest, by: 2) {
      var ratios: [Double] = []
      var costs: [Double] = []
      for _ in 0..<3 {
        let small = cost(10, packets: 1 << 23)
        let cost = cost(power, packets: max(1 << 23, 3 << power))
        costs.append(cost)
        ratios.append(cost / small)
      }
      var report = Report()
      report.add("in_flight", UInt64(1) << UInt64(power))
      report.add("cpu_ns_per_datagram", costs.sorted()[1])
      report.add("ratio_to_1k", ratios.sorted()[1])
      if json { Output.line(report.json) } else { reports.append(report) }
    }
    if !json { Output.line(Report.table(reports)) }
  }

  private func cost(_ power: Int, packets: Int) -> Double {
    var run = WindowRun(inFlight: 1 << power)
    return run.measure(packets: packets)
  }
}

/// A sender and a receiver with so many packets between them.
private struct WindowRun: ~Copyable {
  private struct Packet: BitwiseCopyable {
    var sequence: UInt32
    var number: UInt64
  }

  private let inFlight: Int
  private var send = SendWindow(first: 0, window: 0xFF_FFFF)
  private var receive = ReceiveWindow(first: 0, window: 0xFF_FFFF)
  private var replay = ReplayWindow(bits: 1 << 16)
  private var rate = DeliveryRate()
  private var pool = ReceivePool(cellBytes: 64, maximumBytes: 64 << 25)
  /// The path: what goes in comes out when so many more places have passed. One more than the sequence number; 0 is nothing,
  /// or something lost. Small, so that its memory is not taken for the protocol's.
  private var path: [UInt32]
  /// A packet that the next one overtakes.
  private var overtaken: Packet?
  /// Of the last place, whether anything was sent in it or not: numbers may be skipped.
  private var packetNumber: UInt64 = 0
  private var sent = 0
  private var largest: UInt64 = 0
  private var random = SeededRandom(seed: 1)
  private var block = Arena(byteCount: 2048)
  private var payload = Arena(byteCount: 64)
  private var now: Instant = 1_000_000_000
  private var sinceAck = 0

  /// What one packet takes on the path, nanoseconds.
  private static var interval: Nanoseconds { 100 }

  init(inFlight: Int) {
    self.inFlight = inFlight
    path = Array(repeating: 0, count: inFlight)
    send.offer(upTo: 1 << 60)
  }

  /// - Returns: nanoseconds of one packet, sender and receiver together.
  mutating func measure(packets: Int) -> Double {
    // The path fills, and everything has its size.
    run(12 * inFlight + 100_000)
    let start = currentInstant()
    sent = 0
    run(packets)
    return Double(currentInstant() - start) / Double(sent)
  }

  private mutating func run(_ places: Int) {
    let end = packetNumber + UInt64(places)
    while packetNumber < end {
      advance()
      let place = Int(packetNumber & UInt64(inFlight - 1))
      let arrived = path[place]
      path[place] = 0
      if arrived != 0 {
        let packet = Packet(sequence: arrived - 1, number: packetNumber - UInt64(inFlight))
        // One packet in 128 is overtaken by the next.
        if overtaken == nil, random.next() & 127 == 0 {
          overtaken = packet
        } else {
          deliver(packet)
          if let late = overtaken {
            overtaken = nil
            deliver(late)
          }
        }
      }
      guard let segment = send.nextSegment(capacity: 48) else {
        // What is lost over and over holds the largest window: nothing new may leave until more arrives.
        while packetNumber < end, path[Int((packetNumber + 1) & UInt64(inFlight - 1))] == 0 { advance() }
        continue
      }
      sent += 1
      send.sent(segment, packetNumber: packetNumber, now: now)
      rate.sent(packetNumber: packetNumber, bytesInFlight: send.bytesInFlight, bytes: 86, now: now & ~0x1FFF)
      if random.next() % 100 != 0 { path[place] = segment.number + 1 }
    }
  }

  private mutating func advance() {
    packetNumber += 1
    now += Self.interval
  }

  private mutating func deliver(_ packet: Packet) {
    guard replay.accepts(packet.number) else { return }
    replay.insert(packet.number)
    largest = max(largest, packet.number)
    switch Self.accept(packet.sequence, payload, &receive, &pool) {
    case .direct:
      _ = receive.deliveredDirectly(pool: &pool)
      drain()
    case .storedInOrder:
      drain()
    case .storedEarly, .duplicate, .beyondWindow, .poolExhausted, .violation:
      break
    }
    let span = receive.packetsBehindGaps
    if span * 4 > replay.bits, replay.bits < 1 << 25 { replay.grow(toBits: replay.bits * 2) }
    sinceAck += 1
    if sinceAck == 64 { acknowledge() }
  }

  private mutating func drain() {
    while receive.nextStored() != nil {
      receive.storedDelivered(to: &pool)
    }
  }

  private mutating func acknowledge() {
    sinceAck = 0
    let header = AckBlock(
      largestPacketNumber: largest, delayMicroseconds: 0, duplicates: 0, ect0: 0, ect1: 0, ce: 0)
    receive.tune(roundTrip: UInt64(inFlight) * Self.interval, now: now)
    let length = Self.write(header, of: &receive, into: &block)
    let outcome = Self.take(block, length, lastInOrder: receive.next &- 1, by: &send, now: now)
    guard let outcome else { return }
    _ = rate.acknowledged(
      bytes: outcome.acknowledgedBytes, newest: outcome.hasNewest ? outcome.newestPacketNumber : nil,
      minimumRoundTrip: 0, now: now)
    if outcome.spuriousLosses > 0 { send.widenReordering(roundTrip: UInt64(inFlight) * Self.interval, now: now) }
  }

  private static func accept(
    _ number: UInt32, _ payload: borrowing Arena, _ receive: inout ReceiveWindow, _ pool: inout ReceivePool
  ) -> ReceiveWindow.Arrival {
    receive.accept(number, isFin: false, payload.bytes(0, 48), pool: &pool)
  }

  private static func write(_ header: AckBlock, of receive: inout ReceiveWindow, into block: inout Arena) -> Int {
    var bytes = block.mutableBytes(0, 1200)
    return receive.writeRuns(header: header, packets: PacketRuns(), into: &bytes)
  }

  private static func take(
    _ block: borrowing Arena, _ length: Int, lastInOrder: UInt32, by send: inout SendWindow, now: Instant
  ) -> SendWindow.Outcome? {
    let bytes = block.bytes(0, length)
    guard let parsed = try? AckBlock.parse(bytes) else { return nil }
    return try? send.acknowledge(
      lastInOrder: lastInOrder, window: 0xFF_FFFF, block: parsed, bytes, lossDelay: .seconds(1000), now: now)
  }
}
