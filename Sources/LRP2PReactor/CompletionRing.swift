// SPDX-License-Identifier: MIT
import CLinux
import CUring
import LRP2PCore

/// What the kernel says of a request.
struct Completion {
  /// What the request was given to be told by.
  var token: UInt64
  /// The system call's result, -errno on failure.
  var result: Int32
  /// Whether more completions of the same request will come.
  var isContinued: Bool
  /// The provided buffer that holds what came, if any.
  var buffer: Int?
}

/// An io_uring with a socket registered to it.
///
/// The kernel does its work on the thread that enters it (IORING_SETUP_DEFER_TASKRUN): what was asked for before in
/// `collect` and `wait` only, so between them no buffer changes. The first thread that calls one of these, or `submit`,
/// is the ring's; to others they answer -EEXIST.
@safe
struct CompletionRing: ~Copyable {
  // Owned. liburing keeps pointers into mappings of its own in it.
  private let ring: UnsafeMutablePointer<io_uring>
  private var isEnabled = false

  /// Taken where memory is mapped and given back. liburing does that by system calls of its own, unseen by the thread
  /// sanitizer, which would take the next ring at an address for a race with the one before.
  private static let mapping = Locked(())

  /// The place of the socket in the table of registered files.
  private static var socketIndex: Int32 { 0 }

  private static func setUp(_ ring: UnsafeMutablePointer<io_uring>, _ submissions: Int, _ completions: Int) -> Int32 {
    var parameters = io_uring_params()
    // Disabled at first: the thread that turns a reactor need not be the one that makes it.
    parameters.flags =
      UInt32(IORING_SETUP_DEFER_TASKRUN) | UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_SUBMIT_ALL)
      | UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_R_DISABLED)
    parameters.cq_entries = UInt32(completions)
    return mapping.withLock { _ in unsafe io_uring_queue_init_params(UInt32(submissions), ring, &parameters) }
  }

  /// Enters a ring, which is thrown away: what a filter of system calls forbids shows here, and not when a reactor turns. The real
  /// one cannot be tried, as it would then belong to this thread.
  static func tryEntering() throws(SystemError) {
    let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    defer { unsafe ring.deallocate() }
    unsafe ring.initialize(to: io_uring())
    _ = try check(unsafe setUp(ring, 1, 2), "set up io_uring")
    defer { mapping.withLock { _ in unsafe io_uring_queue_exit(ring) } }
    _ = try check(unsafe lrp2p_uring_enable(ring), "enable io_uring")
    var result = unsafe io_uring_get_events(ring)
    if result == -EINTR { result = unsafe io_uring_get_events(ring) }
    _ = try check(result, "enter io_uring")
  }

  /// - Parameters:
  ///   - submissions: the most requests between two calls that submit.
  ///   - completions: the most that come between two looks.
  /// - Throws: ENOSYS and EPERM where the system has no io_uring for us, EINVAL before Linux 6.1, ENOMEM.
  init(for socket: borrowing UDPSocket, submissions: Int, completions: Int) throws(SystemError) {
    let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
    unsafe ring.initialize(to: io_uring())
    var result = unsafe Self.setUp(ring, submissions, completions)
    if result >= 0 {
      var raw = socket.descriptor.raw
      result = unsafe io_uring_register_files(ring, &raw, 1)
      if result < 0 { Self.mapping.withLock { _ in unsafe io_uring_queue_exit(ring) } }
    }
    if result < 0 {
      unsafe ring.deallocate()
      throw SystemError(code: -result, operation: "set up io_uring")
    }
    unsafe self.ring = ring
  }

  deinit {
    // What is under way holds the socket, and the kernel would cancel it at leisure: the port has to be free at once.
    // On a thread that is not the ring's this does nothing, and the port follows in some milliseconds.
    unsafe lrp2p_uring_cancel_all(ring)
    unsafe io_uring_get_events(ring)
    unsafe io_uring_unregister_files(ring)
    Self.mapping.withLock { _ in unsafe io_uring_queue_exit(ring) }
    unsafe ring.deallocate()
  }

  /// Registers `memory` for the entries of a ring of buffers; see `BufferRing`, which keeps it for as long.
  func register(_ memory: UnsafeMutableRawPointer, entries: Int, group: UInt16) throws(SystemError) {
    _ = try check(
      unsafe lrp2p_uring_register_buffers(ring, memory, UInt32(entries), group), "register buffers with io_uring")
  }

  // MARK: Requests

  /// The next request, to be prepared. Whoever finds none has miscounted `submissions`.
  private func next() -> UnsafeMutablePointer<io_uring_sqe> {
    guard let request = unsafe io_uring_get_sqe(ring) else { preconditionFailure("the submission queue is full") }
    return unsafe request
  }

  /// Receives every message that comes, each into a buffer of `group`, until there is none left. Of `header` only the
  /// lengths of name and control count.
  func receive(_ header: UnsafeMutablePointer<msghdr>, group: UInt16, token: UInt64) {
    let request = unsafe next()
    unsafe io_uring_prep_recvmsg_multishot(request, Self.socketIndex, header, 0)
    unsafe request.pointee.flags = UInt8(LRP2P_URING_FIXED_FILE) | UInt8(LRP2P_URING_BUFFER_SELECT)
    unsafe request.pointee.buf_group = group
    unsafe request.pointee.user_data = token
  }

  /// Sends a message, without waiting for room. The header and what it points to are read by the call that submits.
  func send(_ header: UnsafePointer<msghdr>, token: UInt64) {
    let request = unsafe next()
    unsafe io_uring_prep_sendmsg(request, Self.socketIndex, header, UInt32(LRP2P_SEND_FLAGS))
    unsafe request.pointee.flags = UInt8(LRP2P_URING_FIXED_FILE)
    unsafe request.pointee.user_data = token
  }

  /// Completes once the socket has room to send.
  func awaitRoom(token: UInt64) {
    let request = unsafe next()
    unsafe io_uring_prep_poll_add(request, Self.socketIndex, EPOLLOUT.rawValue)
    unsafe request.pointee.flags = UInt8(LRP2P_URING_FIXED_FILE)
    unsafe request.pointee.user_data = token
  }

  /// Completes once `descriptor` is readable, or each time it becomes so.
  func awaitReadable(_ descriptor: Int32, isRepeated: Bool, token: UInt64) {
    let request = unsafe next()
    if isRepeated {
      unsafe io_uring_prep_poll_multishot(request, descriptor, EPOLLIN.rawValue)
    } else {
      unsafe io_uring_prep_poll_add(request, descriptor, EPOLLIN.rawValue)
    }
    unsafe request.pointee.user_data = token
  }

  // MARK: Calls, which return -errno on failure

  /// Whether requests are prepared that no call has taken yet.
  var hasUnsubmitted: Bool { unsafe io_uring_sq_ready(ring) > 0 }

  /// Submits what is prepared. Sends complete inside; nothing is received.
  mutating func submit() -> Int32 {
    enable()
    return unsafe io_uring_submit(ring)
  }

  /// Submits, and does what work there is, without waiting.
  mutating func collect() -> Int32 {
    enable()
    return unsafe io_uring_submit_and_get_events(ring)
  }

  /// Submits, and does the work, for at most `timeout` nanoseconds (`.never`: for ever) until something is complete.
  mutating func wait(_ timeout: Nanoseconds) -> Int32 {
    enable()
    var first: UnsafeMutablePointer<io_uring_cqe>?
    if timeout == .never { return unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, nil, nil) }
    var time = __kernel_timespec(
      tv_sec: Int64(timeout / 1_000_000_000), tv_nsec: Int64(timeout % 1_000_000_000))
    return unsafe io_uring_submit_and_wait_timeout(ring, &first, 1, &time, nil)
  }

  private mutating func enable() {
    if isEnabled { return }
    // A failure shows in the call that follows.
    isEnabled = unsafe lrp2p_uring_enable(ring) >= 0
  }

  // MARK: Completions

  var completionCount: Int { Int(unsafe io_uring_cq_ready(ring)) }

  /// Completion `index` of those that are counted.
  func completion(_ index: Int) -> Completion {
    let entry = unsafe lrp2p_uring_completion(ring, UInt32(index))
    return Completion(
      token: entry.user_data, result: entry.res, isContinued: entry.flags & UInt32(IORING_CQE_F_MORE) != 0,
      buffer: entry.flags & UInt32(IORING_CQE_F_BUFFER) != 0
        ? Int(entry.flags >> UInt32(IORING_CQE_BUFFER_SHIFT)) : nil)
  }

  /// Gives the places of the first `count` completions back.
  func release(_ count: Int) { unsafe io_uring_cq_advance(ring, UInt32(count)) }
}
