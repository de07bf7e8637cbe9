// SPDX-License-Identifier: MIT
import LRP2PCore

/// The backend that was chosen when the reactor was made. The choice costs a branch a call, none a datagram.
package struct SelectedBackend: Backend, ~Copyable {
  /// For what goes to addresses that have not proved themselves; goes first, as nothing has to come to it.
  private var answers: AnswerSender?
  // One of them is there. (An enum's noncopyable payload cannot be changed in place.)
  private var epoll: EpollBackend?
  private var uring: UringBackend?
  private let isUring: Bool
  /// Kept here as well: to read it in there would copy the whole backend out of its optional.
  package private(set) var sendState = SendState.open
  package private(set) var receiveDeadline = Instant.never
  /// Why io_uring was asked for and is not used.
  package let refusal: SystemError?
  private var watch: AddressWatch?
  // After those that point into it.
  private let locals = LocalAddressTable()
  /// Whether the network's errors come: while a dial is under way, and no longer.
  package private(set) var isHearing = false
  private var faults = DialFaults()
  private var isWatchingAnswers = false

  /// A batch to receive into by whatever backend `configuration` comes to.
  package static func incomingBatch(_ configuration: ReactorConfiguration, messageCapacity: Int) -> DatagramBatch {
    let headroom = configuration.backend == .ioUring ? MultishotReceiver.headroom : 0
    return DatagramBatch(messages: configuration.receiveMessages, messageCapacity: headroom + messageCapacity)
  }

  /// With one socket for everything.
  package init(
    _ configuration: ReactorConfiguration, socket: consuming UDPSocket, signal: Int32,
    incoming: borrowing DatagramBatch
  ) throws(SystemError) {
    try self.init(
      configuration, sockets: PortSockets(main: socket, answers: nil), signal: signal, incoming: incoming)
  }

  /// - Parameters:
  ///   - signal: an eventfd that stays open as long as this backend.
  ///   - incoming: the batch that every `receive` will bring, made by `incomingBatch`.
  package init(
    _ configuration: ReactorConfiguration, sockets: consuming PortSockets, signal: Int32,
    incoming: borrowing DatagramBatch
  ) throws(SystemError) {
    var refusal: SystemError?
    let socket = sockets.main
    let answers = sockets.answers
    watch = socket.localAddress.isUnspecified ? AddressWatch() : nil
    switch consume answers {
    case .some(let answers): self.answers = AnswerSender(answers, locals: locals.addresses)
    case .none: self.answers = nil
    }
    if configuration.backend == .ioUring {
      do {
        let parts = try UringBackend.Parts(
          for: socket, incoming: incoming, sendMessages: configuration.sendMessages, locals: locals.addresses)
        uring = UringBackend(
          parts, socket: socket, signal: signal, sendMessages: configuration.sendMessages,
          maximumSegments: configuration.maximumSegments)
        epoll = nil
        isUring = true
        self.refusal = nil
        if let raw = watch?.raw { uring!.watch(addresses: raw) }
        return
      } catch {
        refusal = error
      }
    }
    epoll = try EpollBackend(
      socket: socket, signal: signal, incoming: incoming, maximumSegments: configuration.maximumSegments,
      locals: locals.addresses)
    uring = nil
    isUring = false
    self.refusal = refusal
    if let raw = watch?.raw { epoll!.watch(addresses: raw) }
  }

  /// Why io_uring cannot be had here; nil when it can.
  package static func uringRefusal(_ configuration: ReactorConfiguration, bind address: Address) -> SystemError? {
    var configuration = configuration
    configuration.backend = .ioUring
    do throws(SystemError) {
      let remote = try ReactorRemote()
      defer { remote.retire() }
      let incoming = incomingBatch(configuration, messageCapacity: ReactorConfiguration.receiveMessageCapacity)
      let socket = try UDPSocket(bind: address, configuration: configuration)
      return try SelectedBackend(configuration, socket: socket, signal: remote.descriptor, incoming: incoming).refusal
    } catch {
      return error
    }
  }

  package var localAddress: Address {
    switch uring {
    case .some(let uring): return uring.socket.localAddress
    case .none: break
    }
    switch epoll {
    case .some(let epoll): return epoll.socket.localAddress
    case .none: preconditionFailure("no backend")
    }
  }

  /// Readable when a turn has something to do, but for timers.
  package var fileDescriptor: Int32 {
    switch uring {
    case .some(let uring): return uring.fileDescriptor
    case .none: break
    }
    switch epoll {
    case .some(let epoll): return epoll.fileDescriptor
    case .none: preconditionFailure("no backend")
    }
  }

  /// Ends waits also when `descriptors`, an epoll, has something ready.
  mutating func add(_ descriptors: borrowing DescriptorSet) throws(SystemError) {
    if isUring { try uring!.add(descriptors) } else { try epoll!.add(descriptors) }
  }

  package mutating func wait(until deadline: Instant) throws(SystemError) -> Wake {
    let wake = isUring ? try uring!.wait(until: deadline) : try epoll!.wait(until: deadline)
    if !sendState.isOpen { keepSendState() }
    if isUring || receiveDeadline != .never { keepReceiveDeadline() }
    return wake
  }

  package mutating func receive(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    let hasMore = isUring ? try uring!.receive(into: &batch) : try epoll!.receive(into: &batch)
    if !sendState.isOpen { keepSendState() }
    if !hasMore { keepReceiveDeadline() }
    return hasMore
  }

  package mutating func send(_ batch: inout DatagramBatch, now: Instant) throws(SystemError) -> Bool {
    if batch.hasUnproved { answers?.send(&batch) }
    let isDone = isUring ? try uring!.send(&batch, now: now) : try epoll!.send(&batch, now: now)
    keepSendState()
    return isDone
  }

  /// Has the network's errors come, or not. Cold, like all that belongs to dials: a steady turn looks at `isHearing` only.
  @inline(never)
  package mutating func hear(_ isOn: Bool) {
    isHearing = isOn
    answers?.hear(isOn)
    if isOn, !isWatchingAnswers {
      isWatchingAnswers = true
      if let descriptor = answers?.tellDescriptor() { watchErrors(of: descriptor) }
    }
    if isUring { uring!.hear(isOn) } else { epoll!.hear(isOn) }
  }

  package mutating func watchErrors(of descriptor: Int32) {
    if isUring { uring!.watchErrors(of: descriptor) } else { epoll!.watchErrors(of: descriptor) }
  }

  package mutating func readFaults(into faults: inout DialFaults) {
    answers?.readFaults(into: &faults)
    if isUring { uring!.readFaults(into: &faults) } else { epoll!.readFaults(into: &faults) }
  }

  /// Reports to the engine what the network says of its dials.
  @inline(never)
  package mutating func reportFaults(to engine: inout Engine) {
    answers?.readFaults(into: &faults)
    // At once: what one socket has heard leaves no room for the other's.
    faults.report(to: &engine)
    if isUring { uring!.readFaults(into: &faults) } else { epoll!.readFaults(into: &faults) }
    faults.report(to: &engine)
  }

  /// A refusal may have left an entry in the error queue, too.
  @inline(never)
  @discardableResult
  package mutating func reportRefusals(to engine: inout Engine) -> Bool {
    let hasAny = isUring ? uring!.reportRefusals(to: &engine) : epoll!.reportRefusals(to: &engine)
    if hasAny { reportFaults(to: &engine) }
    return hasAny
  }

  /// To be called behind whatever may have changed it: a send, or what may have told that there is room again.
  private mutating func keepSendState() { sendState = isUring ? uring!.tellSendState() : epoll!.tellSendState() }

  private mutating func keepReceiveDeadline() {
    receiveDeadline = isUring ? uring!.tellReceiveDeadline() : epoll!.tellReceiveDeadline()
  }

  /// Where datagrams have come to, if the socket is bound to all addresses.
  package var localAddresses: LocalAddresses { locals.addresses }

  /// What a wait has reported: own addresses that are gone, if there is something to be done about them.
  func departed() -> LocalSet? { watch?.read(locals.addresses) ?? nil }

  package func count(into statistics: inout ReactorStatistics) {
    locals.addresses.count(into: &statistics)
    switch answers {
    case .some(let answers): answers.count(into: &statistics)
    case .none: break
    }
    switch uring {
    case .some(let uring): return uring.count(into: &statistics)
    case .none: break
    }
    switch epoll {
    case .some(let epoll): return epoll.count(into: &statistics)
    case .none: preconditionFailure("no backend")
    }
  }
}
