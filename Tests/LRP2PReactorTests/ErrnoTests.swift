// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// Every errno from every system call, by a filter on the thread: a filter cannot be taken off again, so that a socket that goes on
/// to another thread shows what is left when the errno has gone.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ErrnoTests {
  struct Call: CustomTestStringConvertible, Sendable {
    var number: Int32
    var testDescription: String
    init(_ number: Int32, _ name: String) { (self.number, testDescription) = (number, name) }
  }

  private static let all = Array(1...133 as ClosedRange<Int32>)
  /// They say that the descriptor of the call is broken.
  private static let broken: Set<Int32> = [EBADF, ENOTSOCK, EFAULT]
  /// How long each one turns, and how many turns that may take: a spinning core would make thousands.
  private static let span = Nanoseconds.milliseconds(40)
  private static let mostTurns = 400
  private static let threads = 19

  /// What came of one errno; told behind the filter, which may forbid to write.
  private struct Outcome {
    var refused: Int32 = -1
    var error: SystemError?
    var turns = 0
    var failure: String?
  }

  /// Runs `body` for every errno, some at once, and hands the outcomes to `judge`.
  private static func forEveryErrno(
    _ body: @escaping @Sendable (Int32, inout Outcome) -> Void, judge: (Int32, Outcome) -> Void
  ) {
    for start in stride(from: 0, to: all.count, by: threads) {
      let chunk = Array(all[start..<min(start + threads, all.count)])
      let outcomes = Mutex<[Int32: Outcome]>([:])
      onThreads(chunk.count) { index in
        var outcome = Outcome()
        body(chunk[index], &outcome)
        outcomes.withLock { $0[chunk[index]] = outcome }
      }
      for code in chunk { judge(code, outcomes.withLock { $0[code]! }) }
    }
  }

  // MARK: Sending, receiving, waiting

  private static let moving = [
    Call(SYS_sendmmsg, "sendmmsg"), Call(SYS_sendmsg, "sendmsg"), Call(SYS_sendto, "sendto"),
    Call(SYS_recvmmsg, "recvmmsg"), Call(SYS_recvmsg, "recvmsg"), Call(SYS_epoll_pwait2, "epoll_pwait2"),
    Call(SYS_epoll_pwait, "epoll_pwait"), Call(SYS_timerfd_settime, "timerfd_settime"),
    Call(SYS_io_uring_enter, "io_uring_enter"), Call(SYS_epoll_ctl, "epoll_ctl"),
  ]

  @Test(arguments: moving, availableBackends) func noErrnoOfMovingDatagramsEndsItOrTakesACore(
    call: Call, backend: ReactorBackend
  ) {
    Self.forEveryErrno { code, outcome in
      do {
        var a = try Endpoint(bind: .loopback4(), backend: backend, receiveCapacity: 2048, sendCapacity: 2048)
        var b = try Endpoint(bind: .loopback4(), backend: .epoll, receiveCapacity: 2048, sendCapacity: 2048)
        // From then on they are taken one by one.
        for _ in 0..<10 {
          b.append(to: a.localAddress, length: 10, segmentSize: 10)
          guard try b.flush(), try a.receive().bytes.count == 10 else {
            throw SystemError(code: 0, operation: "receive")
          }
        }
        // What waits while nothing can be received is there when it can.
        for _ in 0..<3 { b.append(to: a.localAddress, length: 100, segmentSize: 100) }
        _ = try b.flush()
        var arrived = 0
        onThread {
          outcome.refused = system_call_filter_refuse(call.number, code)
          do throws(SystemError) {
            arrived = try Self.turn(&a, to: b.localAddress, &outcome.turns)
          } catch {
            outcome.error = error
          }
        }
        if outcome.error == nil {
          outcome.failure = try Self.recover(&a, &b, arrived: &arrived)
        }
      } catch {
        outcome.failure = "\(error)"
      }
    } judge: { code, outcome in
      #expect(outcome.refused == 0)
      #expect(outcome.turns < Self.mostTurns, "errno \(code): \(outcome.turns) turns")
      if let failure = outcome.failure { Issue.record("errno \(code): \(failure)") }
      if let error = outcome.error {
        #expect(error.code == code)
        // What a ring cannot enter, and what an epoll does not let go of, ends it as well.
        let isOwn = call.number == SYS_io_uring_enter || call.number == SYS_epoll_ctl
        #expect(isOwn || Self.broken.contains(code), "errno \(code): \(error)")
      }
    }
  }

  /// A few batches, one after the other, and whatever comes: as a reactor turns.
  private static func turn(_ a: inout Endpoint, to peer: Address, _ turns: inout Int) throws(SystemError) -> Int {
    let end = currentInstant() + span
    var (arrived, batches) = (0, 0)
    while currentInstant() < end, turns < mostTurns {
      turns += 1
      if a.outgoing.count == 0, batches < 6 {
        batches += 1
        for index in 0..<(batches % 3 + 1) {
          a.append(
            to: peer, length: batches > 3 ? 90 : 30, segmentSize: 30, ecn: index == 0 && batches % 2 == 0 ? 2 : 0)
        }
      }
      let hasWork = a.outgoing.count > 0
      let deadline = hasWork ? (a.canSend ? 0 : a.backend.sendDeadline) : .never
      let wake = try a.backend.wait(until: min(deadline, a.backend.receiveDeadline, end))
      if wake.isReadable {
        _ = try a.backend.receive(into: &a.incoming)
        for index in 0..<a.incoming.count { arrived += a.incoming.messages[index].length }
      }
      let now = currentInstant()
      if a.outgoing.count > 0, a.backend.canSend(now: now) { _ = try a.flush(now: now) }
    }
    return arrived
  }

  /// The errno has gone: everything works as before, and nothing that waited is lost.
  private static func recover(_ a: inout Endpoint, _ b: inout Endpoint, arrived: inout Int) throws(SystemError)
    -> String?
  {
    let end = currentInstant() + .seconds(10)
    while a.outgoing.count > 0 || arrived < 300, currentInstant() < end {
      let wait = min(end, a.backend.sendDeadline, a.backend.receiveDeadline)
      let hasWork = a.outgoing.count > 0 && a.canSend
      if try a.backend.wait(until: hasWork ? 0 : wait).isReadable { arrived += try a.receive().bytes.count }
      if a.outgoing.count > 0, a.backend.canSend(now: currentInstant()) { _ = try a.flush(now: currentInstant()) }
    }
    if arrived != 300 || a.outgoing.count > 0 { return "\(arrived) of 300 bytes, \(a.outgoing.count) messages left" }
    _ = try b.receive()
    a.append(to: b.localAddress, length: 300, segmentSize: 100)
    guard try a.flush(now: currentInstant()), try b.receive().bytes == pattern(300) else { return "it sends nothing" }
    b.append(to: a.localAddress, length: 70, segmentSize: 70)
    guard try b.flush(), try a.receive().bytes == pattern(70) else { return "it receives nothing" }
    return nil
  }

  // MARK: Setting up

  private static let settingUp = [
    Call(SYS_socket, "socket"), Call(SYS_bind, "bind"), Call(SYS_getsockname, "getsockname"),
    Call(SYS_setsockopt, "setsockopt"), Call(SYS_getsockopt, "getsockopt"), Call(SYS_epoll_create1, "epoll_create1"),
    Call(SYS_eventfd2, "eventfd2"), Call(SYS_timerfd_create, "timerfd_create"), Call(SYS_epoll_ctl, "epoll_ctl"),
    Call(SYS_io_uring_setup, "io_uring_setup"), Call(SYS_io_uring_register, "io_uring_register"),
    Call(SYS_io_uring_enter, "io_uring_enter"), Call(SYS_epoll_pwait2, "epoll_pwait2"),
  ]
  /// Without these there can be none.
  private static let needed: Set<Int32> = [
    SYS_socket, SYS_bind, SYS_getsockname, SYS_setsockopt, SYS_epoll_create1, SYS_eventfd2, SYS_epoll_ctl,
  ]

  @Test(arguments: settingUp, availableBackends) func everyErrnoOfSettingUpIsTypedOrDoneWithout(
    call: Call, backend: ReactorBackend
  ) {
    Self.forEveryErrno { code, outcome in
      do {
        var b = try Endpoint(bind: .loopback4(), backend: .epoll, receiveCapacity: 2048, sendCapacity: 2048)
        outcome.refused = system_call_filter_refuse(call.number, code)
        do {
          var reactor = try makeReactor(backend) { $0.receiveMessages = 1 }
          b.append(to: reactor.localAddress, length: 90, segmentSize: 30)
          _ = try b.flush()
          var handler = NullHandler()
          // A wait that is always interrupted sleeps for 1 ms each time.
          let end = currentInstant() + (code == EINTR ? .milliseconds(200) : .seconds(2))
          while reactor.statistics.bytesReceived < 90, currentInstant() < end, outcome.turns < Self.mostTurns {
            outcome.turns += 1
            try reactor.turn(&handler, timeout: .milliseconds(20))
          }
          if reactor.statistics.bytesReceived != 90, !(call.number == SYS_epoll_pwait2 && code == EINTR) {
            outcome.failure = "nothing arrives"
          }
        } catch ReactorError.system(let error) {
          outcome.error = error
        }
      } catch {
        outcome.failure = "\(error)"
      }
    } judge: { code, outcome in
      #expect(outcome.refused == 0)
      #expect(outcome.turns < Self.mostTurns, "errno \(code): \(outcome.turns) turns")
      if let failure = outcome.failure { Issue.record("errno \(code): \(failure)") }
      if let error = outcome.error {
        #expect(error.code == code)
        #expect(Self.needed.contains(call.number), "errno \(code): \(error)")
      }
    }
  }

  // MARK: The remote

  /// The eventfd stays readable when it cannot be read.
  @Test(arguments: [Call(SYS_read, "read"), Call(SYS_write, "write")], availableBackends)
  func aRemoteThatCannotBeHeardOrClearedTakesNoCore(call: Call, backend: ReactorBackend) {
    Self.forEveryErrno { code, outcome in
      do {
        var reactor = try makeReactor(backend) { $0.receiveMessages = 1 }
        let runs = Atomic<Int>(0)
        var handler = NullHandler()
        onThread {
          outcome.refused = system_call_filter_refuse(call.number, code)
          do throws(SystemError) {
            let end = currentInstant() + Self.span
            for _ in 0..<3 {
              reactor.remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
              outcome.turns += 1
              try reactor.turn(&handler, timeout: .milliseconds(1))
            }
            while currentInstant() < end, outcome.turns < Self.mostTurns {
              outcome.turns += 1
              try reactor.turn(&handler, timeout: end - min(currentInstant(), end))
            }
          } catch {
            outcome.error = error
          }
        }
        reactor.remote.submit { _ in _ = runs.add(1, ordering: .relaxed) }
        let end = currentInstant() + .seconds(10)
        while runs.load(ordering: .relaxed) < 4, currentInstant() < end {
          try reactor.turn(&handler, timeout: .milliseconds(20))
        }
        if runs.load(ordering: .relaxed) != 4 { outcome.failure = "\(runs.load(ordering: .relaxed)) of 4 tasks" }
      } catch {
        outcome.failure = "\(error)"
      }
    } judge: { code, outcome in
      #expect(outcome.refused == 0 && outcome.error == nil)
      #expect(outcome.turns < Self.mostTurns, "errno \(code): \(outcome.turns) turns")
      if let failure = outcome.failure { Issue.record("errno \(code): \(failure)") }
    }
  }
}

/// In virtual time.
@Suite struct HoldTests {
  /// A message that meets the same error again and again does not hold up the others for good.
  @Test(arguments: [EAGAIN, ENOBUFS, ENOMEM, EINTR], availableBackends)
  func aMessageHoldsOthersUpForAWhileOnly(code: Int32, backend: ReactorBackend) {
    let failure = Mutex<String?>("nothing ran")
    onThread {
      do throws(SystemError) {
        // Else io_uring sends by itself, which the filter does not see.
        var configuration = ReactorConfiguration()
        configuration.segmentationOffload = false
        var a = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
        for index in 0..<3 { a.append(to: .loopback4(9), length: 100, segmentSize: 50, ecn: index == 0 ? 2 : 0) }
        for call in [SYS_sendto, SYS_sendmsg, SYS_sendmmsg] { _ = system_call_filter_refuse(call, code) }
        var now: Instant = .seconds(1)
        var tries = 0
        while try !a.flush(now: now), tries < 1000 {
          tries += 1
          // Where an event is to tell, it tells at once.
          if a.backend.sendDeadline == .never { _ = try a.backend.wait(until: 0) }
          if a.backend.sendDeadline != .never { now = a.backend.sendDeadline }
          if !a.backend.canSend(now: now) {
            failure.withLock { $0 = "it waits for ever" }
            return
          }
        }
        let took = now - .seconds(1)
        let dropped = a.statistics.sendDropsStuck
        let isFine =
          tries <= 3 * 9 && dropped == 6 && took >= .milliseconds(100) && took < .seconds(1) && a.outgoing.count == 0
        failure.withLock { $0 = isFine ? nil : "\(tries) tries, \(dropped) dropped, \(took) ns" }
      } catch {
        failure.withLock { $0 = "\(error)" }
      }
    }
    #expect(failure.withLock { $0 } == nil)
  }
}
