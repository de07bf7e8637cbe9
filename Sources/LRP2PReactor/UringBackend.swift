// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// What the backend tells completions apart by: below `first`, the message of the outgoing batch.
enum UringToken {
  static var first: UInt64 { 1 << 32 }
  static var receive: UInt64 { first }
  static var signal: UInt64 { first + 1 }
  static var descriptors: UInt64 { first + 2 }
  static var room: UInt64 { first + 3 }
  static var timer: UInt64 { first + 4 }
  static var errors: UInt64 { first + 5 }
  static var addresses: UInt64 { first + 6 }
}

/// Completion by io_uring: a request that keeps receiving into the places of the incoming batch, and sends that are
/// submitted together. See `CompletionRing` for when the kernel works.
package struct UringBackend: Backend, ~Copyable {
  package let socket: UDPSocket
  private let signal: Int32
  // The ring goes before what its requests point to.
  private var ring: CompletionRing
  private var receiver: MultishotReceiver
  private var sender: RingSender
  package private(set) var sendState = SendState.open
  private var timer = WaitTimer()
  private var failures = WaitFailures()
  /// For a host's loop, whom the ring's own descriptor does not wake: work that waits for the ring's thread does not
  /// count as readiness until that thread has done it.
  private let readiness: FileDescriptor
  private var descriptors: Int32?
  private var addresses: Int32?
  // Which requests are under way.
  private var isAwaitingSignal = false
  private var isAwaitingDescriptors = false
  private var isAwaitingRoom = false
  private var isAwaitingTimer = false
  private var isAwaitingErrors = false
  /// Another socket whose errors end a wait; -1 for none.
  private var errorDescriptor: Int32 = -1
  private var isAwaitingAddresses = false
  /// One of them was refused.
  private var isPollRefused = false
  // What came that no `wait` has told of yet.
  private var isSignalled = false
  private var hasDescriptors = false
  private var hasAddressChanges = false
  private let sendMessages: Int
  /// Rings in a row that were refused as another thread's.
  private var moves = 0
  /// Sends in a row that the ring did not take.
  private var refusals = 0
  private static var mostInterruptions: Int { 16 }

  /// What a kernel may refuse, made before the backend takes the socket.
  struct Parts: ~Copyable {
    fileprivate let ring: CompletionRing
    fileprivate let receiver: MultishotReceiver
    fileprivate let readiness: FileDescriptor
    fileprivate let locals: LocalAddresses

    /// - Parameters:
    ///   - incoming: the batch that every `receive` will bring; its places have `MultishotReceiver.headroom`.
    ///   - sendMessages: the most messages of an outgoing batch.
    ///   - locals: stay as long as the backend.
    /// - Throws: ENOSYS, EPERM, EINVAL and the like where io_uring is missing, forbidden or too old.
    init(
      for socket: borrowing UDPSocket, incoming: borrowing DatagramBatch, sendMessages: Int, locals: LocalAddresses
    ) throws(SystemError) {
      let readiness = FileDescriptor(owning: try check(lrp2p_epoll_create(), "create epoll"))
      try CompletionRing.tryEntering()
      let ring = try UringBackend.makeRing(for: socket, places: incoming.messages.count, sendMessages: sendMessages)
      var receiver = MultishotReceiver(over: incoming, locals: locals)
      try receiver.attach(to: ring)
      self.ring = ring
      self.receiver = receiver
      self.readiness = readiness
      self.locals = locals
    }
  }

  private static func makeRing(for socket: borrowing UDPSocket, places: Int, sendMessages: Int) throws(SystemError)
    -> CompletionRing
  {
    // Beside the sends: receiving and six polls. Each completes once, and receiving once more for each place.
    let submissions = RingSender.window(messages: sendMessages) + 7
    return try CompletionRing(for: socket, submissions: submissions, completions: 2 * submissions + places)
  }

  /// - Parameter signal: an eventfd that stays open as long as this backend.
  init(
    _ parts: consuming Parts, socket: consuming UDPSocket, signal: Int32, sendMessages: Int, maximumSegments: Int
  ) {
    sender = RingSender(
      for: socket, messages: sendMessages, maximumSegments: maximumSegments, locals: parts.locals)
    ring = parts.ring
    receiver = parts.receiver
    readiness = parts.readiness
    self.socket = socket
    self.signal = signal
    self.sendMessages = sendMessages
  }

  package mutating func wait(until deadline: Instant) throws(SystemError) -> Wake {
    var result: Int32
    let deadline = min(deadline, receiver.backoff.end)
    repeat {
      let timeout = timer.timeout(until: isAwake ? 0 : deadline)
      arm()
      result = timeout == 0 ? ring.collect() : ring.wait(timeout)
    } while try isMoved(result)
    try excuse(result, "wait for completions", deadline)
    reap()
    let wake = Wake(
      isReadable: receiver.hasArrivals, isSignalled: isSignalled, hasDescriptors: hasDescriptors,
      hasAddressChanges: hasAddressChanges, isInterrupted: result == -EINTR)
    isSignalled = false
    hasDescriptors = false
    hasAddressChanges = false
    return wake
  }

  package mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    // What `wait` has brought comes first. Only then is the batch of the call before given back.
    if !receiver.hasArrivals {
      var result: Int32
      repeat {
        arm()
        result = ring.collect()
      } while try isMoved(result)
      try excuse(result, "receive datagrams")
      reap()
    }
    return try receiver.take(into: &batch)
  }

  package mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool {
    var interruptions = 0
    while sender.inFlight > 0 || sender.prepare(batch, on: ring, now: now) {
      // All of them are done when this returns, but for a kernel that takes its time.
      sender.countCall()
      let result = ring.hasUnsubmitted ? ring.submit() : ring.wait(.never)
      if try isMoved(result) { continue }
      try excuse(result, "send datagrams")
      reap()
      if result == -EINTR || result == -ETIME { interruptions += 1 }
      if result == -EAGAIN || result == -EBUSY || result == -ENOMEM || interruptions > Self.mostInterruptions {
        refusals += 1
        sendState = SendState(.later(Backoff.pause(refusals)), now: now)
        return false
      }
      refusals = 0
    }
    let progress = try sender.finish(&batch, to: socket, now: now)
    sendState = SendState(progress, now: now)
    if progress == .blocked { watchReadiness(EPOLL_CTL_MOD) }
    guard progress == .done else { return false }
    batch.clear()
    return true
  }

  package var receiveDeadline: Instant { receiver.backoff.end }

  /// `sendState`, for a `SelectedBackend`: only a mutating call reaches what is in an optional in its place.
  mutating func tellSendState() -> SendState { sendState }
  mutating func tellReceiveDeadline() -> Instant { receiveDeadline }

  package func count(into statistics: inout ReactorStatistics) {
    receiver.tally.count(into: &statistics, drops: socket.drops)
    statistics.receivePlacesExhausted = receiver.exhausted
    sender.count(into: &statistics)
    statistics.receiveOffload = socket.receiveOffload
    statistics.socketFilter = socket.isFiltered
    statistics.waitFailures = failures.count
    statistics.backend = .ioUring
  }

  // MARK: The network's errors

  package mutating func hear(_ isOn: Bool) {
    socket.hear(isOn)
    sender.isHearing = isOn
    receiver.hear(isOn)
  }

  package mutating func readFaults(into faults: inout DialFaults) {
    if socket.readFaults(into: &faults) { receiver.hasHeard() }
  }

  package mutating func reportRefusals(to engine: inout Engine) -> Bool { sender.report(to: &engine) }

  package mutating func watchErrors(of descriptor: Int32) {
    errorDescriptor = descriptor
    _ = lrp2p_epoll_control(readiness.raw, EPOLL_CTL_ADD, descriptor, 0, 0)
  }

  // MARK: Requests and completions

  /// Prepares the requests that are not under way.
  private mutating func arm() {
    receiver.arm(ring)
    if !isAwaitingSignal {
      isAwaitingSignal = true
      ring.awaitReadable(signal, isRepeated: true, token: UringToken.signal)
    }
    // Each time anew, so that what is left unread is reported again.
    if let descriptors, !isAwaitingDescriptors {
      isAwaitingDescriptors = true
      ring.awaitReadable(descriptors, isRepeated: false, token: UringToken.descriptors)
    }
    if timer.descriptor >= 0, !isAwaitingTimer {
      isAwaitingTimer = true
      ring.awaitReadable(timer.descriptor, isRepeated: true, token: UringToken.timer)
    }
    if sender.isHearing, errorDescriptor >= 0, !isAwaitingErrors {
      isAwaitingErrors = true
      ring.awaitReadable(errorDescriptor, isRepeated: false, token: UringToken.errors)
    }
    if let addresses, !isAwaitingAddresses {
      isAwaitingAddresses = true
      ring.awaitReadable(addresses, isRepeated: true, token: UringToken.addresses)
    }
    if sendState.isUntilWritable, !isAwaitingRoom {
      isAwaitingRoom = true
      ring.awaitRoom(token: UringToken.room)
    }
  }

  /// Whether a wait has something to tell already.
  private var isAwake: Bool { receiver.hasArrivals || isSignalled || hasDescriptors || hasAddressChanges }

  private mutating func reap() {
    let count = ring.completionCount
    isPollRefused = false
    for index in 0..<count {
      let completion = ring.completion(index)
      if completion.token > UringToken.receive, completion.result < 0, completion.result != -ECANCELED {
        // It would be asked for again at once, and so on.
        isPollRefused = true
        failures.failed(isSignal: false)
      }
      switch completion.token {
      case UringToken.receive:
        receiver.complete(completion)
      // Not positive when it was cancelled, with the thread that had the ring: then it is asked for again.
      case UringToken.signal:
        isAwaitingSignal = completion.isContinued
        if completion.result > 0 { isSignalled = true }
      case UringToken.descriptors:
        isAwaitingDescriptors = false
        if completion.result > 0 { hasDescriptors = true }
      case UringToken.room:
        isAwaitingRoom = false
        // An error of the socket is no room.
        if sendState.isUntilWritable, completion.result < 0 || completion.result & Int32(EPOLLOUT.rawValue) != 0 {
          sendState = .open
          watchReadiness(EPOLL_CTL_MOD)
        }
      case UringToken.errors:
        isAwaitingErrors = false
      case UringToken.timer:
        isAwaitingTimer = completion.isContinued
        timer.didExpire()
      case UringToken.addresses:
        isAwaitingAddresses = completion.isContinued
        if completion.result > 0 { hasAddressChanges = true }
      default:
        sender.complete(Int(completion.token), completion.result)
      }
    }
    ring.release(count)
  }

  /// Lets pass what ends a call early and says nothing about the ring.
  private mutating func excuse(_ result: Int32, _ operation: StaticString, _ deadline: Instant = .never)
    throws(SystemError)
  {
    switch -result {
    case ETIME where currentInstant() >= deadline: failures.succeeded()
    case EINTR, ETIME, EAGAIN, EBUSY, ENOMEM: failures.failed(isSignal: result == -EINTR)
    default:
      _ = try check(result, "\(operation)")
      if !isPollRefused { failures.succeeded() }
    }
  }

  /// Whether the call was refused because another thread has the ring; then there is a new one, of this thread.
  private mutating func isMoved(_ result: Int32) throws(SystemError) -> Bool {
    if result != -EEXIST {
      moves = 0
      return false
    }
    moves += 1
    // A ring of this very thread says so, too: something else refuses it.
    if moves > 2 { throw SystemError(code: EEXIST, operation: "enter io_uring") }
    reap()
    let fresh = try Self.makeRing(for: socket, places: receiver.capacity, sendMessages: sendMessages)
    try receiver.attach(to: fresh)
    sender.forget()
    (isAwaitingSignal, isAwaitingDescriptors, isAwaitingRoom, isAwaitingTimer) = (false, false, false, false)
    isAwaitingErrors = false
    isAwaitingAddresses = false
    ring = fresh
    return true
  }

  // MARK: A host's loop

  /// Readable when a turn has something to do, but for timers.
  package var fileDescriptor: Int32 {
    // From the second time on they are there.
    _ = lrp2p_epoll_control(readiness.raw, EPOLL_CTL_ADD, signal, EPOLLIN.rawValue, 0)
    watchReadiness(EPOLL_CTL_ADD)
    return readiness.raw
  }

  /// Does nothing, unless a host has asked for the descriptor.
  private func watchReadiness(_ operation: Int32) {
    let events = EPOLLIN.rawValue | (sendState.isUntilWritable ? EPOLLOUT.rawValue : 0)
    _ = lrp2p_epoll_control(readiness.raw, operation, socket.descriptor.raw, events, 0)
  }

  /// Ends waits also when this descriptor has news.
  mutating func watch(addresses raw: Int32) {
    addresses = raw
    _ = lrp2p_epoll_control(readiness.raw, EPOLL_CTL_ADD, raw, EPOLLIN.rawValue | EPOLLET.rawValue, 0)
  }

  /// Ends waits also when `descriptors`, an epoll, has something ready.
  mutating func add(_ descriptors: borrowing DescriptorSet) throws(SystemError) {
    _ = try check(
      lrp2p_epoll_control(readiness.raw, EPOLL_CTL_ADD, descriptors.descriptor, EPOLLIN.rawValue, 0),
      "add descriptors to epoll")
    self.descriptors = descriptors.descriptor
  }
}
