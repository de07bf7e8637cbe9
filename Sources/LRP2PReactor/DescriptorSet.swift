// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// What a descriptor is watched for, and what it is ready for.
public struct DescriptorEvents: OptionSet, Sendable {
  /// One bit for each event.
  public let rawValue: UInt32
  /// The events of these bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// A read does not block: there is something, or the end.
  public static let readable = DescriptorEvents(rawValue: 1)
  /// A write does not block.
  public static let writable = DescriptorEvents(rawValue: 2)
  /// The other end is gone, or the descriptor is in error; reported whether asked for or not. Read or write to learn
  /// what it is, and unregister the descriptor: it stays ready until then.
  public static let hangup = DescriptorEvents(rawValue: 4)

  var epoll: UInt32 {
    (contains(.readable) ? EPOLLIN.rawValue : 0) | (contains(.writable) ? EPOLLOUT.rawValue : 0)
  }

  init(epoll: UInt32) {
    self = []
    if epoll & EPOLLIN.rawValue != 0 { insert(.readable) }
    if epoll & EPOLLOUT.rawValue != 0 { insert(.writable) }
    if epoll & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { insert(.hangup) }
  }
}

/// A handler that also serves descriptors of its own: pipes, sockets, timers of the kernel. See `Reactor.descriptorSet`.
public protocol DescriptorHandler: Handler {
  /// A registered descriptor is ready. Level-triggered: what is left unread is reported again with the next turn. It may
  /// call the engine, and register and unregister descriptors, this one included. It must not block.
  mutating func descriptorReady(_ descriptor: Int32, _ events: DescriptorEvents, engine: inout Engine)
}

extension DescriptorHandler {
  /// Calls `descriptorReady`.
  public mutating func serveDescriptor(_ descriptor: Int32, events: UInt32, engine: inout Engine) -> Bool {
    descriptorReady(descriptor, DescriptorEvents(rawValue: events), engine: &engine)
    return true
  }
}

/// The descriptors of the user that a reactor watches. It belongs to the reactor's thread; keep it in the handler to register
/// and unregister from callbacks.
///
/// It never owns a descriptor: unregister one before closing it.
public final class DescriptorSet {
  // An epoll of its own inside the reactor's: the reactor's wait has one more event, whoever is in here.
  private let epoll: FileDescriptor
  private var descriptors = [Int32](repeating: -1, count: 64)
  private var events = [UInt32](repeating: 0, count: 64)
  private var readyCount = 0

  init() throws(SystemError) {
    epoll = FileDescriptor(owning: try check(lrp2p_epoll_create(), "create epoll"))
  }

  /// Watches `descriptor` until `unregister`.
  ///
  /// - Throws: EEXIST when it is registered already, EPERM for what is always ready (regular files), EBADF, ENOSPC.
  public func register(_ descriptor: Int32, for events: DescriptorEvents) throws(SystemError) {
    try control(EPOLL_CTL_ADD, descriptor, events, "register")
  }

  /// Changes what a registered descriptor is watched for; nothing (`[]`) leaves only `hangup`.
  public func change(_ descriptor: Int32, to events: DescriptorEvents) throws(SystemError) {
    try control(EPOLL_CTL_MOD, descriptor, events, "change events of")
  }

  /// Watches `descriptor` no more: from here on nothing is reported of it.
  ///
  /// - Throws: ENOENT when it is not registered, EBADF when it was closed before.
  public func unregister(_ descriptor: Int32) throws(SystemError) {
    // What this turn has found already, so that a descriptor that is closed now is not reported behind it.
    for index in 0..<readyCount where descriptors[index] == descriptor { descriptors[index] = -1 }
    try control(EPOLL_CTL_DEL, descriptor, [], "unregister")
  }

  private func control(_ operation: Int32, _ descriptor: Int32, _ events: DescriptorEvents, _ verb: String)
    throws(SystemError)
  {
    // A negative number would be reported as none.
    guard descriptor >= 0 else { throw SystemError(code: EBADF, operation: "\(verb) descriptor \(descriptor)") }
    _ = try check(
      lrp2p_epoll_control(epoll.raw, operation, descriptor, events.epoll, UInt32(descriptor)),
      "\(verb) descriptor \(descriptor)")
  }

  var descriptor: Int32 { epoll.raw }

  /// Reports what is ready, at most 64 descriptors: the kernel takes turns, so the others come next.
  ///
  /// - Throws: EINVAL, where the handler serves no descriptors.
  func report<H: Handler>(to handler: inout H, engine: inout Engine) throws(SystemError) {
    let result = unsafe lrp2p_epoll_ready(epoll.raw, &descriptors, &events, Int32(descriptors.count))
    if result == -EINTR { return }
    readyCount = Int(try check(result, "wait for descriptors"))
    defer { readyCount = 0 }
    for index in 0..<readyCount where descriptors[index] >= 0 {
      let found = DescriptorEvents(epoll: events[index]).rawValue
      guard handler.serveDescriptor(descriptors[index], events: found, engine: &engine) else {
        throw SystemError(code: EINVAL, operation: "serve descriptor \(descriptors[index]): no DescriptorHandler")
      }
    }
  }
}
