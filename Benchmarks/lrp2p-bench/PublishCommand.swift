// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// One message to many.
struct PublishCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "publish",
    abstract: "Cost of a message that is published to many encrypted peers, and how old it is when they have it.",
    discussion: """
      Another process dials all subscribers, each from an address of its own in 127.0.0.0/8. They are in groups of 2,000. A \
      message is kept once, and published to the next group as the ones before acknowledge it, so that no more is under way \
      than the other process's socket takes; then the next message is. cpu_ns_per_delivery is the publisher's processor \
      time, kernel included, by the messages that were acknowledged. Stalled subscribers take nothing after they have \
      connected. With --ceiling the same datagrams are then sealed and sent to the same addresses, and a datagram as long as an \
      ACK is received and opened for each, and nothing else is done.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Peers that get each message.", valueName: "n"))
  var subscribers = 10_000

  @Option(help: ArgumentHelp("Of a message.", valueName: "n"))
  var bytes = 1024

  @Option(help: ArgumentHelp("The part of the subscribers that takes nothing.", valueName: "p"))
  var stalled = 0.0

  @Flag(help: "Only the protocol's own cost, without sockets.")
  var coreOnly = false

  @Flag(help: "Measure the machine's own cost, too.")
  var ceiling = false

  func run() throws {
    try common.check()
    try common.checkNoSingleEnd()
    if subscribers < 1 || subscribers > 4_000_000 { throw Failure("--subscribers must be 1 … 4000000") }
    if bytes < 16 || bytes > 1300 { throw Failure("--bytes must be 16 … 1300") }
    if stalled < 0 || stalled > 0.5 { throw Failure("--stalled must be 0 … 0.5") }
    var job = common.job(.publish, aead: try common.oneAEAD())
    job.peers = subscribers
    job.active = subscribers - Int(Double(subscribers) * stalled)
    job.messageBytes = bytes
    if coreOnly { return try measureCore(job) }
    let results = try measure(job)
    let (publisher, crowd) = (results.listening[0], results.connecting[0])
    let cost = Double(publisher[.cpuNanoseconds]) / Double(publisher[.deliveries])
    var report = Report()
    report.add("subscribers", UInt64(subscribers))
    report.add("bytes", UInt64(bytes))
    report.add("stalled", UInt64(subscribers - job.active))
    report.add("messages", publisher[.rounds])
    report.add("deliveries_per_s", Double(publisher[.deliveries]) / Double(publisher[.elapsedNanoseconds]) * 1e9)
    report.add("cpu_ns_per_delivery", cost)
    if ceiling {
      job.kind = .publishCeiling
      let ceiling = try measure(job).listening[0]
      let least = Double(ceiling[.cpuNanoseconds]) / Double(ceiling[.deliveries])
      report.add("ratio_to_ceiling", cost / least)
      report.add("ceiling_cpu_ns_per_delivery", least)
    }
    report.add("p50_us", Double(crowd[.medianNanoseconds]) / 1e3)
    report.add("p99_us", Double(crowd[.slowNanoseconds]) / 1e3)
    report.add("rss_mib", Double(publisher[.residentBytes]) / 0x10_0000)
    report.add("message_bytes", publisher[.messageBytes])
    report.add("allocations_per_delivery", Double(publisher[.allocations]) / Double(publisher[.deliveries]))
    report.add("datagrams_per_delivery", Double(publisher[.datagramsSent]) / Double(publisher[.deliveries]))
    report.add("datagrams_retransmitted", publisher[.datagramsRetransmitted])
    report.add("kernel_drops", publisher[.kernelDrops])
    report.add("aead", job.aead.name)
    report.add("backend", common.backend.rawValue)
    common.show([report])
    if crowd[.wrongPieces] > 0 { throw Failure("messages arrived that were not the ones that were sent") }
  }

  private func measureCore(_ job: Job) throws {
    var job = job
    job.kind = .publishCore
    var group = ProcessGroup(deadline: currentInstant() &+ 2 * job.length &+ job.preparation &+ ProcessGroup.slack)
    try group.start("core", WorkerCommand.arguments(job))
    let core = try group.collect()[0][0]
    var report = Report()
    report.add("subscribers", UInt64(subscribers))
    report.add("bytes", UInt64(bytes))
    report.add("core_cpu_ns_per_delivery", Double(core[.cpuNanoseconds]) / Double(core[.deliveries]))
    common.show([report])
  }

  private func measure(_ job: Job) throws -> ProcessPair.Results { try ProcessPair.run(job) }
}

/// What both ends know of a message: its time, its number, and bytes that follow from that.
enum Publication {
  static func fill(_ bytes: inout MutableRawSpan, number: UInt64, time: Instant) {
    bytes.setBigEndian64(0, time)
    bytes.setBigEndian64(8, number)
    for index in 16..<bytes.byteCount { bytes.setByte(index, byte(number, index)) }
  }

  static func byte(_ number: UInt64, _ index: Int) -> UInt8 { UInt8(truncatingIfNeeded: number &* 31 &+ UInt64(index)) }

  /// Whether the first and the last bytes are what they should be.
  static func isRight(_ bytes: RawSpan, length: Int) -> Bool {
    guard bytes.byteCount == length else { return false }
    let number = bytes.bigEndian64(8)
    return length == 16
      || (bytes.byte(16) == byte(number, 16) && bytes.byte(length - 1) == byte(number, length - 1))
  }
}
