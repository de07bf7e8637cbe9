// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor

/// A publisher and its subscribers in one process that hand each other their batches. Only the publisher's verbs are timed.
enum PublishCore {
  private static var batch: Int { 64 }

  static func run(_ job: Job) throws -> Measurement {
    let now = currentInstant()
    let configuration = try job.publisherConfiguration()
    var publisher = Engine(
      configuration: configuration.engine, secretKey: Identity().secretKey,
      suite: QuickAgreement(seed: 1, ciphers: try CipherSuites.make(.automatic)), seed: 1, now: now)
    var crowd = Engine(
      configuration: try job.crowdConfiguration(isResponder: false).engine, secretKey: Identity().secretKey,
      suite: QuickAgreement(seed: 2, ciphers: try CipherSuites.make(.automatic)), seed: 2, now: now)
    var sink = PublishSink(Publisher.groups(job, &publisher), of: Publisher.members)
    var caller = PublishCaller(length: job.messageBytes)
    var forth = DatagramBatch(messages: batch, messageCapacity: job.datagram)
    var back = DatagramBatch(messages: batch, messageCapacity: job.datagram)
    var cost: Nanoseconds = 0
    var pages = HugePages()

    /// Batches both ways, until the publisher has nothing to send.
    func exchange() {
      while true {
        var start = currentInstant()
        publisher.expire(now: start, handler: &sink)
        publisher.transmit(into: &forth, now: start, handler: &sink)
        let middle = currentInstant()
        cost += middle &- start
        if forth.count > 0 { crowd.receive(&forth, now: middle, handler: &caller) }
        let isEmpty = forth.count == 0
        forth.clear()
        crowd.expire(now: middle, handler: &caller)
        crowd.transmit(into: &back, now: middle, handler: &caller)
        start = currentInstant()
        if back.count > 0 { publisher.receive(&back, now: start, handler: &sink) }
        cost += currentInstant() &- start
        if isEmpty, back.count == 0 { return }
        back.clear()
      }
    }

    while caller.presence.answered < job.peers + 1 {
      while caller.presence.peers.count < job.peers + 1,
        caller.presence.peers.count - caller.presence.answered < batch
      {
        do {
          caller.presence.dialled(
            try crowd.connect(to: .loopback(caller.presence.peers.count).with(port: 1), expecting: .anyone))
        } catch { throw Failure("connect: the engine refuses (\(error))") }
      }
      exchange()
      pages.advise(publisher)
      try caller.presence.check()
    }
    var result = Measurement()
    let bytes = [UInt8](repeating: 7, count: job.messageBytes)
    var target = publisher.statistics.messagesAcknowledged
    let end = currentInstant() &+ job.length
    var round: UInt64 = 0
    while currentInstant() < end {
      // The first is to make room.
      if round == 1 { cost = 0 }
      guard let message = unsafe publisher.store(bytes.span.bytes) else { throw Failure("no room") }
      for group in sink.groups {
        let start = currentInstant()
        guard case .queued(let members, _) = publisher.publish(message, to: group) else { throw Failure("full") }
        cost += currentInstant() &- start
        target += UInt64(members)
        exchange()
      }
      publisher.release(message)
      round += 1
    }
    while publisher.statistics.messagesAcknowledged < target { exchange() }
    result[.cpuNanoseconds] = cost
    result[.deliveries] = (round - 1) * UInt64(job.peers)
    return result
  }
}
