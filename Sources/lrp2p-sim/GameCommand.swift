// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2PCore
import LRP2PSimulation

/// Plays a game server and its clients.
struct GameCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lrp2p-sim game",
    abstract:
      "Plays a server that sends snapshots 60 times a second, a few events that must arrive, and a stream beside them.",
    discussion: """
      Snapshots are sent once, events in order and until they arrive. Ages are in milliseconds, from the call that sends to the \
      callback that receives. With --peers many are played, four on a path, of which one has the stream ("lrp2p-sim fanout" \
      is the same with 1,000 of them, 50 times a second, and a stream whose datagrams fill 95 % of the path).
      """)

  @Option(help: ArgumentHelp("One way, in ms.", valueName: "n"))
  var delayMs: Double?

  @Option(
    help: ArgumentHelp("Rate of the path in Mbit/s; its queue is one bandwidth-delay product.", valueName: "mbit"))
  var rate = 20.0

  @Option(help: ArgumentHelp("Probability of loss, each way.", valueName: "p"))
  var loss = 0.01

  @Option(help: ArgumentHelp("Snapshots a second.", valueName: "n"))
  var hertz: Double?

  @Option(help: ArgumentHelp("Of a snapshot.", valueName: "n"))
  var bytes = 200

  @Option(help: ArgumentHelp("The stream, as a part of the path's rate.", valueName: "x"))
  var stream: Double?

  @Option(help: ArgumentHelp("Virtual seconds.", valueName: "n"))
  var seconds = 60

  @Option(help: ArgumentHelp("Clients.", valueName: "n"))
  var peers: Int?

  @Option(help: ArgumentHelp("The seed.", valueName: "n"))
  var seed: UInt64 = 1

  @Flag(help: "Snapshots are sent again until they arrive.")
  var reliable = false

  @Flag(help: "No messages, only the stream.")
  var streamOnly = false

  @Flag(help: "One JSON object.")
  var json = false

  func play(isFanout: Bool = false) throws {
    let hertz = hertz ?? (isFanout ? 50 : 60)
    let delayMs = delayMs ?? (isFanout ? 20 : 80)
    guard hertz > 0, rate > 0, delayMs > 0, seconds > 0, (0..<1).contains(loss), (16...1000).contains(bytes) else {
      throw Failure("--hertz, --rate, --delay-ms and --seconds must be above 0, --loss 0 … 1, --bytes 16 … 1000")
    }
    var plan = GameHandler.Plan()
    plan.tick = Nanoseconds(1e9 / hertz)
    plan.patience = plan.tick
    plan.snapshotBytes = bytes
    plan.isReliable = reliable
    plan.seconds = seconds
    plan.sendsMessages = !streamOnly
    plan.streamRate = UInt64(rate * 1e6 * (stream ?? (isFanout ? 0.924 : 0.5)))
    let roundTrip = Nanoseconds(2 * delayMs * 1e6)
    let peers = peers ?? (isFanout ? 1000 : 1)
    let result =
      peers == 1
      ? try Game.play(plan: plan, roundTrip: roundTrip, rate: UInt64(rate * 1e6), loss: loss, seed: seed)
      : try Game.playMany(
        plan: plan, peers: peers, roundTrip: roundTrip, rate: UInt64(rate * 1e6), loss: loss, seed: seed)
    let streamMbit = Double(result.streamBytes) * 8 / max(result.streamSeconds, Double(seconds)) / 1e6
    if json {
      Output.line(
        """
        {"peers":\(peers),"loss":\(loss),"sent":\(result.sent),"received":\(result.received),"p50_ms":\(result.p50),\
        "p99_ms":\(result.p99),"longest_ms":\(result.longest),"events_sent":\(result.eventsSent),\
        "events_received":\(result.eventsReceived),"events_in_order":\(result.eventsInOrder),\
        "event_p99_ms":\(result.eventP99),"stream_mbit_per_s":\(streamMbit),"not_taken":\(result.notTaken)}
        """)
    } else {
      Output.line(
        """
        snapshots  \(result.received) of \(result.sent) came, age p50 \(result.p50) ms, p99 \(result.p99) ms, longest \(result.longest) ms
        events     \(result.eventsReceived) of \(result.eventsSent) came, \(result.eventsInOrder ? "in order" : "OUT OF ORDER"), age p99 \(result.eventP99) ms
        stream     \(streamMbit) Mbit/s
        """)
    }
    if result.eventsReceived != result.eventsSent || !result.eventsInOrder { Glibc.exit(1) }
  }
}
