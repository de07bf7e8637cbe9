import CBenchSystem
import CLinux
import LRP2PCore
import LRP2PReactor

/// One end of a run in a process of its own. It is killed with its owner, and by the kernel with this process.
struct ChildProcess: ~Copyable {
  private let name: String
  private let id: Int32
  private let output: FileDescriptor
  private var isReaped = false
  private var unread: [UInt8] = []
  private(set) var isAtEnd = false

  /// - Parameter name: for messages about it.
  init(_ name: String, arguments: [String]) throws {
    var id: Int32 = 0
    var descriptor: Int32 = -1
    let texts = ["lrp2p-bench"] + arguments
    let joined = texts.joined(separator: "\0")
    try check(unsafe bench_spawn(joined, Int32(texts.count), &id, &descriptor), "start the \(name)")
    self.name = name
    self.id = id
    output = FileDescriptor(owning: descriptor)
  }

  deinit {
    if isReaped { return }
    _ = bench_kill(id)
    _ = bench_reap(id)
  }

  /// What to poll; -1 at the end.
  var descriptor: Int32 { isAtEnd ? -1 : output.raw }

  /// Reads what is there; blocks when nothing is.
  mutating func read() throws {
    var buffer = InlineArray<4096, UInt8>(repeating: 0)
    var span = buffer.mutableSpan
    let count = try check(
      unsafe span.withUnsafeMutableBufferPointer { unsafe lrp2p_read(output.raw, $0.baseAddress!, $0.count) },
      "read from the \(name)")
    if count == 0 { isAtEnd = true }
    for index in 0..<count { unread.append(buffer[index]) }
  }

  /// The next whole line that was read.
  mutating func nextLine() -> String? {
    guard let end = unread.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let line = String(decoding: unread[..<end], as: UTF8.self)
    unread.removeSubrange(...end)
    return line
  }

  /// Waits for the end of a process whose output has ended.
  mutating func reap() throws {
    let status = bench_reap(id)
    isReaped = true
    if status == 0 { return }
    if status <= -1000 { throw Failure("\(name): ended by signal \(-1000 - status)") }
    throw Failure("\(name): ended with status \(status)")
  }
}

/// Runs both ends of a job in two processes and collects what they measured.
struct ProcessPair: ~Copyable {
  private static let failureMark = "failure "
  private static let addressMark = "listening "
  /// Beyond the run itself: to start, to connect, to say farewell.
  private static let slack: Nanoseconds = .seconds(30)

  struct Results {
    var connecting: [Measurement] = []
    var listening: [Measurement] = []
  }

  // What the ends say on their standard output.
  static func announce(_ address: Address) { Output.line(addressMark + "\(address)") }
  static func report(_ measurements: [Measurement]) {
    for measurement in measurements { for line in measurement.lines { Output.line(line) } }
  }
  static func report(_ failure: any Error) { Output.line(failureMark + "\(failure)") }

  /// - Parameter oneCore: both ends on processor 0, else the connecting end on 0 and the listening one on 1.
  static func run(_ job: Job, oneCore: Bool) throws -> Results {
    let deadline = currentInstant() &+ job.length &+ slack
    var listener = try ChildProcess(
      "receiver", arguments: WorkerCommand.arguments(job, listen: .loopback, cpu: oneCore ? 0 : 1))
    var results = Results()
    var address: Address?
    while address == nil {
      while let line = listener.nextLine() {
        if line.hasPrefix(addressMark) { address = Address(String(line.dropFirst(addressMark.count))) }
        if line.hasPrefix(failureMark) { throw Failure("receiver: \(line.dropFirst(failureMark.count))") }
      }
      if listener.isAtEnd {
        try listener.reap()
        throw Failure("receiver: said nothing")
      }
      if address == nil { try wait(&listener, until: deadline) }
    }
    var connector = try ChildProcess("sender", arguments: WorkerCommand.arguments(job, connect: address!, cpu: 0))
    try collect(&connector, &listener, &results, deadline)
    return results
  }

  private static func wait(_ child: inout ChildProcess, until deadline: Instant) throws {
    let now = currentInstant()
    if now >= deadline { throw Failure("the run does not end") }
    if bench_wait_readable(child.descriptor, deadline &- now) > 0 { try child.read() }
  }

  private static func collect(
    _ connector: inout ChildProcess, _ listener: inout ChildProcess, _ results: inout Results, _ deadline: Instant
  ) throws {
    var connecting = Measurement()
    var listening = Measurement()
    while !connector.isAtEnd || !listener.isAtEnd {
      let now = currentInstant()
      if now >= deadline { throw Failure("the run does not end") }
      var isReady = (false, false)
      _ = unsafe bench_wait_either(
        connector.descriptor, listener.descriptor, deadline &- now, &isReady.0, &isReady.1)
      if isReady.0 { try read(&connector, "sender", &connecting, &results.connecting) }
      if isReady.1 { try read(&listener, "receiver", &listening, &results.listening) }
    }
    try connector.reap()
    try listener.reap()
  }

  private static func read(
    _ child: inout ChildProcess, _ name: String, _ measurement: inout Measurement, _ results: inout [Measurement]
  ) throws {
    try child.read()
    while let line = child.nextLine() {
      if line.hasPrefix(failureMark) { throw Failure("\(name): \(line.dropFirst(failureMark.count))") }
      if line == Measurement.endLine {
        results.append(measurement)
        measurement = Measurement()
      } else if !measurement.parse(line) {
        throw Failure("\(name): said \"\(line)\"")
      }
    }
  }
}
