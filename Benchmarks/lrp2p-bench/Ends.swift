// SPDX-License-Identifier: MIT
import CBenchSystem
import CLinux
import LRP2PCore

/// The two ends of every kind of run.
enum Ends {
  /// The end that waits to be called: it receives, or answers.
  /// - Parameter announce: told where it listens, once it does.
  static func listen(_ job: Job, at address: Address, announce: (Address) -> Void) throws -> [Measurement] {
    // Threads that each have a processor of their own.
    if job.reactors > 1 { return try HandshakeGroup.run(job, at: address, announce: announce) }
    try pin(to: job.oneCore ? 0 : 1)
    switch job.kind {
    case .transfer: return [try ThroughputReceiver.run(job, at: address, announce: announce)]
    case .ceiling: return [try CeilingReceiver.run(job, at: address, announce: announce)]
    case .tcp: return [try TCPBaseline.receive(job, at: address, announce: announce)]
    case .echo: return [try EchoServer.run(job, at: address, announce: announce)]
    case .handshakes: return [try HandshakeResponder.run(job, at: address, announce: announce)]
    case .idle: return [try IdleResponder.run(job, at: address, announce: announce)]
    case .fanout: return [try FanoutResponder.run(job, at: address, announce: announce)]
    case .churn: return [try ChurnResponder.run(job, at: address, announce: announce)]
    case .flood: return [try FloodTarget.run(job, at: address, announce: announce)]
    case .publish: return [try Publisher.run(job, at: address, announce: announce)]
    case .publishCeiling: return [try PublishCeiling.publish(job, at: address, announce: announce)]
    case .messages: return [try MessagesReceiver.run(job, at: address, announce: announce)]
    case .fanoutCore, .publishCore, .flooder: throw Failure("\(job.kind.rawValue): has no listening end")
    }
  }

  /// The end that calls: it sends, or asks.
  static func connect(_ job: Job, to address: Address) throws -> [Measurement] {
    // Several reactors leave no processor free: the scheduler puts this process where there is room.
    if job.reactors == 1 { try pin(to: 0) }
    switch job.kind {
    case .transfer: return [try ThroughputSender.run(job, to: address)]
    case .ceiling: return [try CeilingSender.run(job, to: address)]
    case .tcp: return [try TCPBaseline.send(job, to: address)]
    case .echo: return try EchoClient.run(job, to: address)
    case .handshakes: return [try HandshakeDialler.run(job, to: address)]
    case .idle: return [try IdleCrowd.run(job, to: address)]
    case .fanout: return try FanoutCrowd.run(job, to: address)
    case .churn: return [try ChurnDialler.run(job, to: address)]
    case .flood: return [try FloodLoad.run(job, to: address)]
    case .flooder: return [try Flooder.run(job, to: address, announce: ProcessGroup.announce)]
    case .publish: return [try Subscribers.run(job, to: address)]
    case .publishCeiling: return [try PublishCeiling.answer(job, to: address)]
    case .messages: return [try MessagesSender.run(job, to: address)]
    case .fanoutCore, .publishCore: throw Failure("\(job.kind.rawValue): has no connecting end")
    }
  }

  /// What has one end only.
  static func alone(_ job: Job) throws -> [Measurement] {
    try pin(to: job.oneCore ? 0 : 1)
    switch job.kind {
    case .fanoutCore: return try FanoutCore.run(job)
    case .publishCore: return [try PublishCore.run(job)]
    default: throw Failure("\(job.kind.rawValue): has two ends")
    }
  }

  /// Left alone, the scheduler likes to bring two processes that talk over loopback together on one core.
  static func pin(to cpu: Int32) throws {
    lrp2p_refuse_timer_slack()
    try check(bench_pin(cpu), "run on CPU \(cpu)\(cpu == 0 ? "" : " (--one-core does without)")")
  }
}
