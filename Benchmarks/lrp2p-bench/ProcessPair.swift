// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// Runs both ends of a job in two processes and collects what they measured.
enum ProcessPair {
  struct Results {
    var connecting: [Measurement] = []
    var listening: [Measurement] = []
  }

  static func run(_ job: Job) throws -> Results {
    var group = ProcessGroup(deadline: currentInstant() &+ job.length &+ job.preparation &+ ProcessGroup.slack)
    let address = try group.startListening("receiver", WorkerCommand.arguments(job, listen: .loopback))
    try group.start("sender", WorkerCommand.arguments(job, connect: address))
    let results = try group.collect()
    return Results(connecting: results[1], listening: results[0])
  }
}
