// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2PCore
import LRP2PReactor

/// New connections.
struct HandshakesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "handshakes",
    abstract: "New connections a second at one responder on one core.",
    discussion: """
      The dialling process keeps --in-flight handshakes on their way, each from an address of its own in 127.0.0.0/8 \
      (all from one where the responder is elsewhere). Both sides make their ephemeral keys as the handshakes go, and the \
      connections are left open. The responder's processor time is that of its process, kernel included; ratio_to_bound \
      divides it by three X25519 multiplications and one key generation, timed before and behind on the same core. The first \
      second is not measured.

      --reactors N has N reactors on one port, each on a thread and a processor, and takes turns with one reactor alone; \
      --seconds is the length of each of four runs. A handshake costs the dialling side as much as the responder, so where both \
      share the processors handshakes_per_s cannot grow with N. What N processors would do is told from processor time: \
      handshakes_per_busiest_cpu_s divides all handshakes by the processor time of the busiest reactor's thread, so that \
      whatever the reactors cost each other, and any uneven share, counts against it; ratio_to_one_reactor compares it with one \
      reactor's.
      """)

  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Handshakes on their way at the same time.", valueName: "n"))
  var inFlight = 256

  @Option(help: ArgumentHelp("Reactors on the responder's port.", valueName: "n"))
  var reactors = 1

  func run() throws {
    try common.check()
    if common.seconds < 2 { throw Failure("--seconds must be at least 2: the first second is not measured") }
    if inFlight < 1 || inFlight > 4096 { throw Failure("--in-flight must be 1 … 4096") }
    let aead = try common.oneAEAD()
    var job = common.job(.handshakes, aead: aead)
    job.active = inFlight
    if !(1...16).contains(reactors) { throw Failure("--reactors must be 1 … 16") }
    if reactors > 1 {
      try common.checkNoSingleEnd()
      common.show([try HandshakeScaling.measure(job, reactors: reactors)])
      return
    }
    var runner = try common.runner()
    let results = try runner.run(job) {
      Output.line("listening on \($0)", to: common.json ? Output.error : Output.standard)
    }
    guard let responder = results.listening.first else { return }
    let count = responder[.handshakes]
    if count == 0 { throw Failure("no handshake came to its end") }
    let cost = Double(responder[.cpuNanoseconds]) / Double(count)
    let elapsed = Double(responder[.elapsedNanoseconds])
    let multiplication = Double(responder[.multiplication])
    let base = Double(responder[.baseMultiplication])
    var report = Report()
    report.add("handshakes_per_s", Double(count) / elapsed * 1e9)
    report.add("responder_cpu_us_per_handshake", cost / 1e3)
    report.add("x25519_us", multiplication / 1e3)
    report.add("x25519_base_us", base / 1e3)
    report.add("ratio_to_bound", cost / (3 * multiplication + base))
    report.add("handshakes", count)
    report.add("in_flight", UInt64(inFlight))
    report.add("responder_core_percent", Double(responder[.cpuNanoseconds]) / elapsed * 100)
    report.add("kernel_drops", responder[.kernelDrops])
    report.add("cookie_replies", responder[.cookieReplies])
    report.add("allocations_per_handshake", Double(responder[.allocations]) / Double(count))
    report.add("aead", aead.name)
    report.add("backend", common.backend.rawValue)
    common.show([report])
  }
}
