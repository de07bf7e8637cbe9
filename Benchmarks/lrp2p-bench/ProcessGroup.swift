// SPDX-License-Identifier: MIT
import CBenchSystem
import LRP2PCore
import LRP2PReactor

/// The ends of one run in processes of their own, and what they say on their standard output: where they listen, what
/// they measured, or why they could not.
struct ProcessGroup {
  private static let failureMark = "failure "
  private static let addressMark = "listening "
  /// Beyond the run itself: to start, to connect, to say farewell.
  static let slack: Nanoseconds = .seconds(30)

  private let deadline: Instant
  private var children: [ChildProcess] = []
  private var measurement: [Measurement] = []
  private var results: [[Measurement]] = []

  /// - Parameter deadline: when a run that has not ended has failed.
  init(deadline: Instant) { self.deadline = deadline }

  // What the ends say.
  static func announce(_ address: Address) { Output.line(addressMark + "\(address)") }
  static func report(_ measurements: [Measurement]) {
    for measurement in measurements { for line in measurement.lines { Output.line(line) } }
  }
  static func report(_ failure: any Error) { Output.line(failureMark + "\(failure)") }

  /// Starts an end and returns its number.
  @discardableResult
  mutating func start(_ name: String, _ arguments: [String]) throws -> Int {
    children.append(try ChildProcess(name, arguments: arguments))
    measurement.append(Measurement())
    results.append([])
    return children.count - 1
  }

  /// Starts an end that listens and waits until it says where.
  mutating func startListening(_ name: String, _ arguments: [String]) throws -> Address {
    let child = children[try start(name, arguments)]
    while true {
      while let line = child.nextLine() {
        if line.hasPrefix(Self.failureMark) { throw failure(of: child, line) }
        if line.hasPrefix(Self.addressMark), let address = Address(String(line.dropFirst(Self.addressMark.count))) {
          return address
        }
      }
      if child.isAtEnd {
        try child.reap()
        throw Failure("\(name): said nothing")
      }
      let now = currentInstant()
      if now >= deadline { throw Failure("the run does not end") }
      if bench_wait_readable(child.descriptor, deadline &- now) > 0 { try child.read() }
    }
  }

  /// Waits until all have ended.
  /// - Returns: what each has measured, by number.
  mutating func collect() throws -> [[Measurement]] {
    while children.contains(where: { !$0.isAtEnd }) {
      let now = currentInstant()
      if now >= deadline { throw Failure("the run does not end") }
      let descriptors = children.map(\.descriptor)
      var ready: UInt32 = 0
      _ = unsafe bench_wait_any(descriptors, Int32(descriptors.count), deadline &- now, &ready)
      for index in children.indices where ready & 1 << UInt32(index) != 0 { try read(index) }
    }
    for child in children { try child.reap() }
    return results
  }

  private mutating func read(_ index: Int) throws {
    let child = children[index]
    try child.read()
    while let line = child.nextLine() {
      if line.hasPrefix(Self.failureMark) { throw failure(of: child, line) }
      if line == Measurement.endLine {
        results[index].append(measurement[index])
        measurement[index] = Measurement()
      } else if !measurement[index].parse(line) {
        throw Failure("\(child.name): said \"\(line)\"")
      }
    }
  }

  private func failure(of child: ChildProcess, _ line: String) -> Failure {
    Failure("\(child.name): \(line.dropFirst(Self.failureMark.count))")
  }
}
