// SPDX-License-Identifier: MIT
/// The datagrams of an outgoing batch that wait to be sealed.
struct Outbound: ~Copyable {
  static var capacity: Int { 1024 }

  private(set) var jobs = Column(repeating: AEADJob(), count: Self.capacity)
  private(set) var count = 0
  /// The reactor could not send all that there was to send: its socket is full, or its share of the turn is used up.
  var socketIsBehind = false

  /// How many more there is room for.
  var room: Int { Self.capacity - count }

  @inline(__always)
  mutating func append(_ job: AEADJob) {
    jobs[count] = job
    count += 1
  }

  /// Seals what waits, where it stands in `batch`.
  mutating func seal(_ batch: inout DatagramBatch, keys: borrowing KeyTable, _ suite: any CipherSuite) {
    guard count > 0 else { return }
    suite.seal(jobs, count: count, in: &batch.arena, keys: keys)
    count = 0
  }
}
