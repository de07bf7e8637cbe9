// SPDX-License-Identifier: MIT
/// What a received batch becomes on its way in: jobs for the suite, and whose datagram each is.
struct Inbound: ~Copyable {
  static var capacity: Int { 1024 }

  var jobs = Column(repeating: AEADJob(), count: Self.capacity)
  var arrivals = Column(repeating: Arrival(), count: Self.capacity)
  private(set) var count = 0
  var scratchKeys = ScratchKeys()
  /// What `Engine.readAhead` has read: kept, so that the reading is not left out.
  var readAhead: UInt64 = 0

  /// Whether there is no room, or no scratch key, for one more: then the batch so far has to be opened.
  var isFull: Bool { count == Self.capacity || scratchKeys.isFull }

  @inline(__always)
  mutating func append(_ job: AEADJob, of arrival: Arrival) {
    jobs[count] = job
    arrivals[count] = arrival
    count += 1
  }

  /// As many datagrams of one connection as stand side by side in a message, from `start` on: new ones of the key epoch in use.
  /// - Parameters:
  ///   - offset: of the message, in the batch's memory.
  ///   - job: what all of them have in common.
  ///   - run: what they have to be.
  /// - Returns: where in the message the first other one begins.
  @inline(__always)
  mutating func appendRun(
    _ message: RawSpan, at offset: Int, from start: Int, of arrival: Arrival, like job: AEADJob, _ run: Run
  ) -> Int {
    let end = Self.appendRun(message, at: offset, from: start, of: arrival, like: job, run, &jobs, &arrivals, count)
    count = end.count
    return end.at
  }

  @inline(__always)
  private static func appendRun(
    _ message: RawSpan, at offset: Int, from start: Int, of arrival: Arrival, like job: AEADJob, _ run: Run,
    _ jobs: inout Column<AEADJob>, _ arrivals: inout Column<Arrival>, _ count: Int
  ) -> (at: Int, count: Int) {
    var jobs = jobs.mutableSpan
    var arrivals = arrivals.mutableSpan
    var job = job
    var (at, count) = (start, count)
    while at < message.byteCount, count < Self.capacity {
      job.offset = offset + at
      job.length = min(run.segmentSize, message.byteCount - at)
      guard job.length >= Datagram.minimumLength, job.length <= Datagram.maximumLength,
        message.bigEndian64(at) == arrival.connectionID
      else { break }
      job.packetNumber = message.bigEndian64(at + 8)
      guard job.packetNumber >> run.epochBits == run.epoch, job.packetNumber > run.newest
      else { break }
      jobs[count] = job
      arrivals[count] = arrival
      count += 1
      at += job.length
    }
    return (at, count)
  }

  /// What the datagrams of a run have to be.
  struct Run: BitwiseCopyable {
    var segmentSize: Int
    var epoch: UInt64
    var epochBits: UInt64
    /// The newest packet number that the connection has seen.
    var newest: UInt64
  }

  mutating func clear() { count = 0 }
}

/// One datagram between opening and dispatch.
struct Arrival: BitwiseCopyable {
  var connectionID: UInt64 = 0
  private var slotIndex: Int32 = 0
  /// Index of the batch's message that it came in.
  var message: Int32 = 0
  var ecn: UInt8 = 0

  @inline(__always) var slot: Slot { Slot(Int(slotIndex)) }

  init() {}

  @inline(__always)
  init(connectionID: UInt64, slot: Slot, message: Int, ecn: UInt8) {
    self.connectionID = connectionID
    slotIndex = Int32(slot.index)
    self.message = Int32(message)
    self.ecn = ecn
  }
}

/// The first rows of the key table, which hold keys of other epochs for a batch.
struct ScratchKeys: BitwiseCopyable {
  private(set) var count = 0
  /// Whose the last one is.
  private var slot = Slot(0)
  private var epoch: UInt64 = 0

  var isFull: Bool { count == PeerTable.scratchRows }

  /// The row of an epoch's key, if it is the last that was put down: datagrams of a new epoch come in bursts.
  func row(of slot: Slot, epoch: UInt64) -> KeyRow? {
    count > 0 && self.slot == slot && self.epoch == epoch ? KeyRow(count - 1) : nil
  }

  /// - Returns: the row that the key stands in.
  mutating func put(_ key: TrafficKey, of slot: Slot, epoch: UInt64, _ keys: inout KeyTable) -> KeyRow {
    keys[KeyRow(count)] = key
    self.slot = slot
    self.epoch = epoch
    count += 1
    return KeyRow(count - 1)
  }

  mutating func wipe(_ keys: inout KeyTable, _ suite: any CipherSuite) {
    for row in KeyRow.all(count) {
      keys[row].bytes.wipe()
      suite.forget(row)
    }
    count = 0
  }
}
