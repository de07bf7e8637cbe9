// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// Datagrams to and from random peers among many.
struct FanoutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fanout",
    abstract: "Cost of a datagram to and from random peers among many.",
    discussion: """
      Each peer has an address of its own in 127.0.0.0/8. Requests of 64 bytes come from peers drawn at random, at most one \
      under way for each, and every answer is checked. Two responders on one core, one with all peers and one with 1,000, are \
      asked in turn, half a second each; cpu_ns_per_datagram is the first one's processor time, kernel included, by the \
      datagrams that it has received and sent, acknowledgements too. Then the same without sockets (core_…): two engines hand \
      each other batches of 64, and the responder's receive, expire and transmit are timed; the AEAD is real.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Connections.", valueName: "n"))
  var peers = 10_000

  @Option(help: ArgumentHelp("Of these, the ones that send. (default: all)", valueName: "n"))
  var active: Int?

  @Option(help: "Whether the tables ask for huge pages. (default: as the library has it)")
  var hugePages: Toggle?

  @Flag(help: "Leave the sockets out.")
  var coreOnly = false

  func run() throws {
    try common.check()
    try common.checkNoSingleEnd()
    if peers < 1000 || peers > 16_000_000 { throw Failure("--peers must be 1000 … 16000000") }
    let active = active ?? peers
    if active < 4 || active > peers { throw Failure("--active must be 4 … --peers") }
    var job = common.job(.fanout, aead: try common.oneAEAD())
    job.peers = peers
    job.active = active
    job.hugePages = hugePages
    _ = try job.crowdConfiguration(isResponder: true)
    var report = Report()
    report.add("peers", UInt64(peers))
    report.add("active", UInt64(active))
    if let hugePages { report.add("huge_pages", hugePages.rawValue) }
    var isVerified = true
    if !coreOnly { isVerified = try measureSockets(job, &report) }
    job.kind = .fanoutCore
    let isCoreVerified = try measureCore(job, &report)
    isVerified = isVerified && isCoreVerified
    report.add("verified", isVerified)
    report.add("aead", job.aead.name)
    report.add("backend", common.backend.rawValue)
    common.show([report])
    if !isVerified { throw Failure("bytes arrived that were not the bytes that were sent") }
  }

  private func measureSockets(_ job: Job, _ report: inout Report) throws -> Bool {
    var group = ProcessGroup(
      deadline: currentInstant() &+ 2 * job.length &+ 2 * job.preparation &+ ProcessGroup.slack)
    let address = try group.startListening("responder", WorkerCommand.arguments(job, listen: .loopback))
    let thirdParty = try group.startListening(
      "second responder", WorkerCommand.arguments(job.fanoutBaseline, listen: .loopback))
    var crowd = job
    crowd.thirdParty = thirdParty
    try group.start("crowd", WorkerCommand.arguments(crowd, connect: address))
    let results = try group.collect()
    let (large, small, asked) = (results[0][0], results[1][0], results[2][0])
    let cost = Self.cost(large)
    report.add("cpu_ns_per_datagram", cost)
    report.add(
      "datagrams_per_s",
      Double(asked[.datagramsSent] + asked[.datagramsReceived]) / Double(asked[.elapsedNanoseconds]) * 1e9)
    report.add("ratio_to_1k_peers", cost / Self.cost(small))
    report.add("cpu_ns_per_datagram_1k_peers", Self.cost(small))
    report.add("requests", asked[.rounds])
    report.add("allocations_per_datagram", Double(large[.allocations]) / Double(Self.datagrams(large)))
    report.add("datagrams_retransmitted", large[.datagramsRetransmitted])
    report.add("kernel_drops", large[.kernelDrops])
    return results.joined().allSatisfy { $0[.wrongPieces] == 0 }
  }

  private func measureCore(_ job: Job, _ report: inout Report) throws -> Bool {
    var group = ProcessGroup(
      deadline: currentInstant() &+ 2 * job.length &+ job.preparation &+ ProcessGroup.slack)
    try group.start("core", WorkerCommand.arguments(job))
    let results = try group.collect()[0]
    let (large, small) = (results[0], results[1])
    report.add("core_cpu_ns_per_datagram", Self.cost(large))
    report.add("core_ratio_to_1k_peers", Self.cost(large) / Self.cost(small))
    report.add("core_cpu_ns_per_datagram_1k_peers", Self.cost(small))
    return results.allSatisfy { $0[.wrongPieces] == 0 }
  }

  private static func cost(_ responder: Measurement) -> Double {
    Double(responder[.cpuNanoseconds]) / Double(datagrams(responder))
  }

  private static func datagrams(_ responder: Measurement) -> UInt64 {
    responder[.datagramsReceived] + responder[.datagramsSent]
  }
}
