import LRP2PCore

/// The two ends of every kind of run.
enum Ends {
  /// The end that waits to be called: it receives, or answers.
  /// - Parameter announce: told where it listens, once it does.
  static func listen(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> [Measurement] {
    switch job.kind {
    case .transfer: [try ThroughputReceiver.run(job, at: address, announce: announce)]
    case .ceiling: [try CeilingReceiver.run(job, at: address, announce: announce)]
    case .tcp: [try TCPBaseline.receive(job, at: address, announce: announce)]
    case .echo: [try EchoServer.run(job, at: address, announce: announce)]
    }
  }

  /// The end that calls: it sends, or asks.
  static func connect(_ job: Job, to address: Address) throws -> [Measurement] {
    switch job.kind {
    case .transfer: [try ThroughputSender.run(job, to: address)]
    case .ceiling: [try CeilingSender.run(job, to: address)]
    case .tcp: [try TCPBaseline.send(job, to: address)]
    case .echo: try EchoClient.run(job, to: address)
    }
  }
}
