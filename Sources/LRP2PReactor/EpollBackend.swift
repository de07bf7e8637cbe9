// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Readiness by epoll, batches by recvmmsg and sendmmsg.
package struct EpollBackend: Backend, ~Copyable {
  /// What the epoll tells events apart by.
  private static var socketToken: UInt32 { 0 }
  private static var signalToken: UInt32 { 1 }
  private static var descriptorsToken: UInt32 { 2 }
  private static var timerToken: UInt32 { 3 }
  private static var addressesToken: UInt32 { 4 }

  package let socket: UDPSocket
  private let epoll: FileDescriptor
  private var receiver: DatagramReceiver
  private var sender: DatagramSender
  package private(set) var sendState = SendState.open
  private var timer = WaitTimer()
  /// epoll_pwait2 is missing or forbidden here.
  private var isCoarse = false
  private var failures = WaitFailures()
  /// Whether the epoll watches the socket: not during a pause behind a failed receive.
  private var isWatching = true

  /// - Parameters:
  ///   - signal: an eventfd that stays open as long as this backend.
  ///   - incoming: the batch that every `receive` will bring.
  ///   - locals: stay as long as this backend.
  package init(
    socket: consuming UDPSocket, signal: Int32, incoming: borrowing DatagramBatch, maximumSegments: Int,
    locals: LocalAddresses = .none
  ) throws(SystemError) {
    let epoll = FileDescriptor(owning: try check(lrp2p_epoll_create(), "create epoll"))
    _ = try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, socket.descriptor.raw, EPOLLIN.rawValue, Self.socketToken),
      "add socket to epoll")
    _ = try check(
      // For edges: should reading it fail, its level would end every wait.
      lrp2p_epoll_control(
        epoll.raw, EPOLL_CTL_ADD, signal, EPOLLIN.rawValue | EPOLLET.rawValue, Self.signalToken),
      "add eventfd to epoll")
    if timer.descriptor >= 0 {
      _ = try check(
        lrp2p_epoll_control(
          epoll.raw, EPOLL_CTL_ADD, timer.descriptor, EPOLLIN.rawValue | EPOLLET.rawValue, Self.timerToken),
        "add timer to epoll")
    }
    receiver = DatagramReceiver(over: incoming, locals: locals)
    sender = DatagramSender(for: socket, maximumSegments: maximumSegments, locals: locals)
    self.epoll = epoll
    self.socket = socket
  }

  /// Readable when a turn has something to do, but for timers.
  package var fileDescriptor: Int32 { epoll.raw }

  package mutating func wait(until deadline: Instant) throws(SystemError) -> Wake {
    var deadline = deadline
    if !isWatching {
      try resume(now: currentInstant())
      deadline = min(deadline, receiver.backoff.end)
    }
    var events = lrp2p_epoll_events()
    let result = unsafe lrp2p_epoll_wait_either(epoll.raw, timer.timeout(until: deadline), &events, &isCoarse)
    // Every caller can take that.
    if result == -EINTR {
      failures.failed(isSignal: true)
      return Wake(isInterrupted: true)
    }
    failures.succeeded()
    _ = try check(result, "wait for events")
    let (socketEvents, signalEvents, descriptorsEvents, timerEvents, addressesEvents) = events.token
    if timerEvents != 0 { timer.didExpire() }
    if sendState.isUntilWritable, socketEvents & EPOLLOUT.rawValue != 0 {
      sendState = .open
      try watch()
    }
    // Receiving also clears an error of the socket, which would else end every wait.
    let readable = EPOLLIN.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue
    return Wake(
      isReadable: socketEvents & readable != 0, isSignalled: signalEvents != 0,
      hasDescriptors: descriptorsEvents != 0, hasAddressChanges: addressesEvents != 0)
  }

  package mutating func hear(_ isOn: Bool) {
    socket.hear(isOn)
    sender.isHearing = isOn
    receiver.isHearing = isOn
  }

  package mutating func readFaults(into faults: inout DialFaults) { socket.readFaults(into: &faults) }

  package mutating func reportRefusals(to engine: inout Engine) -> Bool { sender.faults.report(to: &engine) }

  package mutating func watchErrors(of descriptor: Int32) {
    // An epoll reports errors unasked. Where this fails they are read when something else ends the wait.
    _ = lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, descriptor, 0, Self.socketToken)
  }

  /// Ends waits also when `descriptors`, an epoll, has something ready.
  func add(_ descriptors: borrowing DescriptorSet) throws(SystemError) {
    _ = try check(
      lrp2p_epoll_control(
        epoll.raw, EPOLL_CTL_ADD, descriptors.descriptor, EPOLLIN.rawValue, Self.descriptorsToken),
      "add descriptors to epoll")
  }

  /// Ends waits also when this descriptor has news; for edges, as reading it may fail.
  func watch(addresses raw: Int32) {
    _ = lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, raw, EPOLLIN.rawValue | EPOLLET.rawValue, Self.addressesToken)
  }

  package mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    if receiver.backoff.isOn {
      batch.clear()
      return false
    }
    let hasMore = try receiver.fill(&batch, from: socket)
    // As long as it is watched every wait would end at once, for its error or for what is there to receive.
    if receiver.backoff.isOn, isWatching {
      _ = try check(
        lrp2p_epoll_control(epoll.raw, EPOLL_CTL_DEL, socket.descriptor.raw, 0, Self.socketToken),
        "remove socket from epoll")
      isWatching = false
    }
    return hasMore
  }

  /// When a wait has to end so that receiving goes on; `.never` when it does.
  package var receiveDeadline: Instant { receiver.backoff.end }

  /// Watches the socket again when the pause is over.
  private mutating func resume(now: Instant) throws(SystemError) {
    guard !receiver.backoff.isOn || receiver.resume(now: now) else { return }
    let result = lrp2p_epoll_control(
      epoll.raw, EPOLL_CTL_ADD, socket.descriptor.raw, socketEvents, Self.socketToken)
    switch -result {
    // There is room for one more watch another time.
    case ENOMEM, ENOSPC: receiver.pause(now: now)
    default:
      _ = try check(result, "add socket to epoll")
      isWatching = true
    }
  }

  package mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool {
    let progress = try sender.send(&batch, to: socket, now: now)
    sendState = SendState(progress, now: now)
    if progress == .blocked { try watch() }
    guard progress == .done else { return false }
    batch.clear()
    return true
  }

  /// `sendState`, for a `SelectedBackend`: only a mutating call reaches what is in an optional in its place.
  mutating func tellSendState() -> SendState { sendState }
  mutating func tellReceiveDeadline() -> Instant { receiveDeadline }

  package func count(into statistics: inout ReactorStatistics) {
    receiver.tally.count(into: &statistics, drops: socket.drops)
    sender.count(into: &statistics)
    statistics.receiveOffload = socket.receiveOffload
    statistics.socketFilter = socket.isFiltered
    statistics.waitFailures = failures.count
  }

  private var socketEvents: UInt32 { EPOLLIN.rawValue | (sendState.isUntilWritable ? EPOLLOUT.rawValue : 0) }

  private func watch() throws(SystemError) {
    guard isWatching else { return }
    _ = try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_MOD, socket.descriptor.raw, socketEvents, Self.socketToken),
      "change events of socket")
  }
}
