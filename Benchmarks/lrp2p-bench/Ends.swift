import CBenchSystem
import LRP2PCore

/// The two ends of every kind of run.
enum Ends {
  /// The end that waits to be called: it receives, or answers.
  /// - Parameter announce: told where it listens, once it does.
  static func listen(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> [Measurement] {
    try pin(to: job.oneCore ? 0 : 1)
    switch job.kind {
    case .transfer: return [try ThroughputReceiver.run(job, at: address, announce: announce)]
    case .ceiling: return [try CeilingReceiver.run(job, at: address, announce: announce)]
    case .tcp: return [try TCPBaseline.receive(job, at: address, announce: announce)]
    case .echo: return [try EchoServer.run(job, at: address, announce: announce)]
    }
  }

  /// The end that calls: it sends, or asks.
  static func connect(_ job: Job, to address: Address) throws -> [Measurement] {
    try pin(to: 0)
    switch job.kind {
    case .transfer: return [try ThroughputSender.run(job, to: address)]
    case .ceiling: return [try CeilingSender.run(job, to: address)]
    case .tcp: return [try TCPBaseline.send(job, to: address)]
    case .echo: return try EchoClient.run(job, to: address)
    }
  }

  /// Left alone, the scheduler likes to bring two processes that talk over loopback together on one core.
  private static func pin(to cpu: Int32) throws {
    try check(bench_pin(cpu), "run on CPU \(cpu)\(cpu == 0 ? "" : " (--one-core does without)")")
  }
}
