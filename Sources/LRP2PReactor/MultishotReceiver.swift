// SPDX-License-Identifier: MIT
import CLinux
import CUring
import LRP2PCore

/// Receives by a multishot recvmsg into provided buffers, which are the places of a batch: no byte is copied.
///
/// A place begins with what the kernel says about its message (io_uring_recvmsg_out, the name, the control messages);
/// the message follows at a cache line. It serves the batch that it was made over only.
@safe
struct MultishotReceiver: ~Copyable {
  /// In front of each message: 16 bytes of io_uring_recvmsg_out, the name, the control messages (of which the kernel
  /// can add 184 bytes).
  static var headroom: Int { headerBytes + nameBytes + controlBytes }
  private static var headerBytes: Int { MemoryLayout<io_uring_recvmsg_out>.size }
  private static var nameBytes: Int { 48 }
  private static var controlBytes: Int { 192 }
  private static var group: UInt16 { 0 }
  /// How many messages the kernel takes from the socket before other work has its turn.
  private static var mostAtOnce: Int { 32 }

  /// The kernel's verdict on a message, in place `place`. (Not private, like `DatagramSender.Entry`.)
  struct Arrival: BitwiseCopyable {
    var place = 0
    /// Bytes in the place, the headroom included; negative on failure.
    var result: Int32 = 0
  }

  // Owned; the kernel has it mapped, too. Bound: `entries` of 16 bytes.
  private let buffers: UnsafeMutableRawPointer
  private let entries: Int
  // Owned: what the request says about name and control messages.
  private let header: UnsafeMutablePointer<msghdr>
  // Not owned: `capacity` places of `placeBytes`, which the batch's owner keeps at least as long as this.
  private let arena: UnsafeMutableRawPointer
  let capacity: Int
  private let placeBytes: Int
  private let locals: LocalAddresses
  /// What came since the places were last offered; those before `taken` are in the batch.
  private var arrivals: Column<Arrival>
  private var arrived = 0
  private var taken = 0
  /// Entries that the kernel has, the last ones of the ring.
  private var offered = 0
  /// The place that each entry of the ring names, and the next entry.
  private var places: Column<Int>
  private var entry = 0
  private var isArmed = false
  /// A failure that says the socket is broken.
  private var fault: Int32 = 0
  /// Failures since something came, and what they cost.
  private(set) var backoff = Backoff()
  private(set) var tally = ReceiveTally()
  /// How often all places were full, so that receiving had to be armed anew.
  private(set) var exhausted: UInt64 = 0
  /// Whether the network's errors come, and how many have ended the request since one was read.
  private var isHearing = false
  private var foreign = 0
  private static var mostForeign: Int { 64 }

  init(over batch: borrowing DatagramBatch, locals: LocalAddresses) {
    // Nothing of `self` is read before all is there: the compiler would then destroy what is not initialised yet.
    let capacity = batch.messages.count
    let entries = Self.powerOfTwo(atLeast: capacity)
    let placeBytes = batch.messageCapacity
    precondition(placeBytes > Self.headroom && placeBytes % 8 == 0, "a place without room, or out of alignment")
    let buffers = UnsafeMutableRawPointer.allocate(byteCount: entries * 16, alignment: 4096)
    unsafe buffers.initializeMemory(as: UInt8.self, repeating: 0, count: entries * 16)
    let header = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
    unsafe header.initialize(to: msghdr())
    unsafe header.pointee.msg_namelen = UInt32(Self.nameBytes)
    unsafe header.pointee.msg_controllen = Self.controlBytes
    unsafe self.buffers = buffers
    unsafe self.header = header
    unsafe arena = batch.arena.baseAddress
    arrivals = Column(repeating: Arrival(), count: capacity)
    places = Column(repeating: 0, count: entries)
    self.capacity = capacity
    self.entries = entries
    self.placeBytes = placeBytes
    self.locals = locals
  }

  private static func powerOfTwo(atLeast count: Int) -> Int { 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount) }

  deinit {
    unsafe buffers.deallocate()
    unsafe header.deallocate()
  }

  /// Attaches to a ring that has no buffers yet. What has arrived by another one stays.
  mutating func attach(to ring: borrowing CompletionRing) throws(SystemError) {
    unsafe try ring.register(buffers, entries: entries, group: Self.group)
    offered = 0
    isArmed = false
  }

  /// Whether messages, or a failure, wait for `take`.
  var hasArrivals: Bool { taken < arrived || fault != 0 }

  /// Makes `ring` receive with its next call, and into all places once `take` has brought what came: whoever got that is
  /// done with it by now.
  mutating func arm(_ ring: borrowing CompletionRing) {
    if taken == arrived, offered < capacity { offer() }
    if isArmed { return }
    if backoff.isOn, !backoff.ends(now: currentInstant()) { return }
    isArmed = true
    unsafe ring.receive(header, group: Self.group, token: UringToken.receive)
  }

  /// Offers all places: those of what was taken before those that the kernel still has, as they are in the cache. The kernel reads
  /// an entry when it takes it, which it does inside our calls only, so those it has not taken can be written anew.
  private mutating func offer() {
    let added = capacity - offered
    if arrived < added {
      // A ring that has had none so far.
      for place in 0..<capacity { put(place, place - offered) }
    } else {
      // Whose entry is taken over has one behind the others.
      let behind = max(added - offered, 0)
      for index in 0..<min(added, offered) { put(places[wrapped(index - offered)], behind + index) }
      for index in 0..<added { put(arrivals[index].place, index - offered) }
    }
    unsafe lrp2p_uring_advance_buffers(buffers, Int32(added))
    entry = wrapped(added)
    offered = capacity
    arrived = 0
    taken = 0
  }

  /// Names a place in the entry so far from the next one.
  private mutating func put(_ place: Int, _ offset: Int) {
    unsafe lrp2p_uring_put_buffer(
      buffers, UInt32(entries), Int32(offset), arena + place * placeBytes, UInt32(placeBytes), UInt16(place))
    places[wrapped(offset)] = place
  }

  private func wrapped(_ offset: Int) -> Int { (entry &+ offset) & (entries &- 1) }

  /// Notes a completion of the request.
  mutating func complete(_ completion: Completion) {
    if !completion.isContinued { isArmed = false }
    if let place = completion.buffer {
      precondition(place < capacity && arrived < capacity, "the kernel filled a place it did not have")
      backoff.succeeded()
      arrivals[arrived] = Arrival(place: place, result: completion.result)
      arrived += 1
      offered -= 1
    } else if completion.result == -ENOBUFS, offered == 0 {
      exhausted &+= 1
    } else if isHearing, SendFault.isOfNetwork(-completion.result), foreign < Self.mostForeign {
      // About a datagram that was sent: the request is made again.
      foreign += 1
    } else if completion.result < 0, completion.result != -ECANCELED {
      if tally.excuses(-completion.result) {
        backoff.failed(now: currentInstant())
      } else {
        fault = -completion.result
      }
    }
  }

  mutating func hear(_ isOn: Bool) {
    isHearing = isOn
    foreign = 0
  }

  /// An error of the network was read, so those that came meanwhile were no others.
  mutating func hasHeard() { foreign = 0 }

  /// Sets the batch to what has arrived.
  /// - Returns: whether more may be waiting.
  mutating func take(into batch: inout DatagramBatch) throws(SystemError) -> Bool {
    unsafe precondition(batch.arena.baseAddress == arena, "a receiver serves the batch it was made over")
    batch.clear()
    if fault != 0 {
      defer { fault = 0 }
      throw SystemError(code: fault, operation: "receive datagrams")
    }
    let count = arrived - taken
    tally.calls &+= 1
    while taken < arrived {
      append(arrivals[taken], to: &batch)
      taken += 1
    }
    return (!isArmed && !backoff.isOn) || count >= Self.mostAtOnce
  }

  /// Appends a message to the batch, unless it is useless.
  private mutating func append(_ arrival: Arrival, to batch: inout DatagramBatch) {
    // Bound: the place lies within the arena, and its headroom within the place.
    let start = arrival.place * placeBytes
    guard Int(arrival.result) >= Self.headroom else {
      _ = tally.excuses(ENOBUFS)
      return
    }
    let base = unsafe arena + start
    let out = unsafe base.load(as: io_uring_recvmsg_out.self)
    let control = unsafe lrp2p_control_read_bytes(
      base + Self.headerBytes + Self.nameBytes, min(Int(out.controllen), Self.controlBytes))
    let room = placeBytes - Self.headroom
    let length = Int(out.payloadlen)
    let isTruncated = out.flags & UInt32(LRP2P_TRUNCATED) != 0 || length > room
    guard tally.accepts(length, control, isTruncated: isTruncated) else { return }
    let name = unsafe (base + Self.headerBytes).assumingMemoryBound(to: sockaddr_in6.self)
    batch.append(length, at: start + Self.headroom, from: Address(unsafe lrp2p_load_address(name)), control, locals)
  }
}
