import CLinux
import LRP2PCore

/// Readiness by epoll, batches by recvmmsg and sendmmsg.
package struct EpollBackend: Backend, ~Copyable {
  /// What the epoll tells events apart by.
  private static var socketToken: UInt32 { 0 }
  private static var signalToken: UInt32 { 1 }
  private static var descriptorsToken: UInt32 { 2 }
  private static var timerToken: UInt32 { 3 }

  package let socket: UDPSocket
  private let epoll: FileDescriptor
  private var receiver: DatagramReceiver
  private var sender: DatagramSender
  package private(set) var sendState = SendState.open
  private var timer = WaitTimer()

  /// - Parameters:
  ///   - signal: an eventfd that stays open as long as this backend.
  ///   - incoming: the batch that every `receive` will bring.
  package init(
    socket: consuming UDPSocket, signal: Int32, incoming: borrowing DatagramBatch, maximumSegments: Int
  ) throws(SystemError) {
    let epoll = FileDescriptor(owning: try check(lrp2p_epoll_create(), "create epoll"))
    _ = try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, socket.descriptor.raw, EPOLLIN.rawValue, Self.socketToken),
      "add socket to epoll")
    _ = try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_ADD, signal, EPOLLIN.rawValue, Self.signalToken),
      "add eventfd to epoll")
    if timer.descriptor >= 0 {
      _ = try check(
        lrp2p_epoll_control(
          epoll.raw, EPOLL_CTL_ADD, timer.descriptor, EPOLLIN.rawValue | EPOLLET.rawValue, Self.timerToken),
        "add timer to epoll")
    }
    receiver = DatagramReceiver(over: incoming)
    sender = DatagramSender(for: socket, maximumSegments: maximumSegments)
    self.epoll = epoll
    self.socket = socket
  }

  /// Readable when a turn has something to do, but for timers.
  package var fileDescriptor: Int32 { epoll.raw }

  package mutating func wait(until deadline: Instant) throws(SystemError) -> Wake {
    var events = lrp2p_epoll_events()
    let result = unsafe lrp2p_epoll_wait(epoll.raw, timer.timeout(until: deadline), &events)
    // Every caller can take that.
    if result == -EINTR { return Wake(isInterrupted: true) }
    _ = try check(result, "wait for events")
    let (socketEvents, signalEvents, descriptorsEvents, timerEvents) = events.token
    if timerEvents != 0 { timer.hasGoneOff() }
    if sendState.isUntilWritable, socketEvents & (EPOLLOUT.rawValue | EPOLLERR.rawValue) != 0 {
      sendState = .open
      try watch(EPOLLIN.rawValue)
    }
    // Receiving also clears an error of the socket, which would else end every wait.
    let readable = EPOLLIN.rawValue | EPOLLERR.rawValue | EPOLLHUP.rawValue
    return Wake(
      isReadable: socketEvents & readable != 0, isSignalled: signalEvents != 0,
      hasDescriptors: descriptorsEvents != 0)
  }

  /// Ends waits also when `descriptors`, an epoll, has something ready.
  func add(_ descriptors: borrowing DescriptorSet) throws(SystemError) {
    _ = try check(
      lrp2p_epoll_control(
        epoll.raw, EPOLL_CTL_ADD, descriptors.descriptor, EPOLLIN.rawValue, Self.descriptorsToken),
      "add descriptors to epoll")
  }

  package mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    try receiver.fill(&batch, from: socket)
  }

  package mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool {
    let progress = try sender.send(&batch, to: socket)
    sendState = SendState(progress, now: now)
    if progress == .blocked { try watch(EPOLLIN.rawValue | EPOLLOUT.rawValue) }
    guard progress == .done else { return false }
    batch.clear()
    return true
  }

  /// `sendState`, for a `SelectedBackend`: only a mutating call reaches what is in an optional in its place.
  mutating func tellSendState() -> SendState { sendState }

  package func count(into statistics: inout ReactorStatistics) {
    receiver.tally.count(into: &statistics, drops: socket.drops)
    sender.count(into: &statistics)
    statistics.receiveOffload = socket.receiveOffload
    statistics.socketFilter = socket.isFiltered
  }

  private func watch(_ events: UInt32) throws(SystemError) {
    _ = try check(
      lrp2p_epoll_control(epoll.raw, EPOLL_CTL_MOD, socket.descriptor.raw, events, Self.socketToken),
      "change events of socket")
  }
}
