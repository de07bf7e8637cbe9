// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// The window next to what a plain set says it must do. Numbers of the model count from the first one.
private struct Checked: ~Copyable {
  enum Arrival: Equatable {
    case direct, inOrder
    case early(opensGap: Bool)
    case duplicate, beyond, exhausted, violation
  }

  let first: UInt32
  let size: Int
  let poolCells: Int
  var window: ReceiveWindow
  var pool: ReceivePool
  /// Every third number is a segment of messages.
  var hasMessages = false
  /// Numbers that have come ahead of their turn; and those in order that nobody has read.
  var early: Set<Int> = []
  var unread: [Int] = []
  var next = 0
  var highest = 0
  var fin: Int?
  var finsTaken = 0
  var promised: Int
  var refused: Int?
  /// Of what is stored, those that are not empty.
  var storedCells = 0
  var ring = 4
  var bits = 64
  /// Room of the queue of what is unread, and what that has been charged for.
  var unreadRoom = 1
  var unreadCharged = 0
  var wrong: [String] = []

  init(first: UInt32, window size: Int, poolCells: Int) {
    self.first = first
    self.size = size
    self.poolCells = poolCells
    window = ReceiveWindow(first: first, window: UInt32(size))
    pool = ReceivePool(cellBytes: 64, maximumBytes: 64 * poolCells)
    promised = size
  }

  static func payload(_ number: Int) -> [UInt8] { (0..<number % 5 * 13).map { UInt8(truncatingIfNeeded: number + $0) } }

  func isMessages(_ number: Int) -> Bool { hasMessages && number % 3 == 1 }

  private func isEmpty(_ number: Int) -> Bool { number % 5 == 0 || isMessages(number) }

  /// Where the window begins: messages leave nothing unread.
  var delivered: Int { next - unread.count }

  private func expected(_ number: Int, isFin: Bool) -> Arrival {
    if number < next { return .duplicate }
    if number >= delivered + size { return .beyond }
    if let fin, number > fin || (isFin && number != fin) { return .violation }
    if isFin, fin == nil, number + 1 < highest { return .violation }
    if number == next, isMessages(number), early.isEmpty { return .inOrder }
    if number == next, !isMessages(number), !window.isPaused, unread.isEmpty { return .direct }
    if early.contains(number) { return .duplicate }
    if room(for: number) == nil { return .exhausted }
    return number == next ? .inOrder : .early(opensGap: number > highest)
  }

  /// All numbers before `end` are in order.
  private mutating func pass(_ end: Int) {
    while next < end || early.contains(next) {
      if early.remove(next) != nil || next < end, !isMessages(next) {
        if unread.count == unreadRoom {
          unreadCharged += 8 * unreadRoom
          unreadRoom *= 2
        }
        unread.append(next)
      }
      next += 1
    }
  }

  @discardableResult
  mutating func accept(_ number: Int, isFin: Bool = false) -> Arrival {
    let isFin = isFin && !isMessages(number)
    let expected = expected(number, isFin: isFin)
    let arrival = arrive(number, isFin: isFin)
    if arrival != expected { wrong.append("\(number) is \(arrival), not \(expected)") }
    switch arrival {
    case .direct, .inOrder, .early:
      let isPassing = isMessages(number) && number == next && early.isEmpty
      if arrival != .direct, !isPassing, let room = room(for: number) { (ring, bits) = room }
      highest = max(highest, number + 1)
      if isFin { fin = number }
      if arrival == .direct {
        let mayBeMore = window.deliveredDirectly(pool: &pool)
        next += 1
        pass(next)
        if mayBeMore != (fin != nil || !unread.isEmpty) { wrong.append("more behind \(number), or not") }
      } else {
        if !isEmpty(number) { storedCells += 1 }
        if number == next { pass(next + 1) } else { early.insert(number) }
      }
    case .exhausted:
      _ = window.refuse(first &+ UInt32(number))
      refused = min(refused ?? number, number)
    case .duplicate, .beyond, .violation:
      break
    }
    return arrival
  }

  private mutating func arrive(_ number: Int, isFin: Bool) -> Arrival {
    // Every other number tries the short way first.
    if !isFin, !isMessages(number), number % 2 == 0, window.acceptsDirectly(first &+ UInt32(number)) { return .direct }
    let content = Self.payload(number)
    let arrival =
      isMessages(number)
      ? window.accept(messages: first &+ UInt32(number), pool: &pool)
      : window.accept(first &+ UInt32(number), isFin: isFin, content.rawBytes, pool: &pool)
    return switch arrival {
    case .direct: .direct
    case .storedInOrder: .inOrder
    case .storedEarly(let opensGap): .early(opensGap: opensGap)
    case .duplicate: .duplicate
    case .beyondWindow: .beyond
    case .poolExhausted: .exhausted
    case .violation: .violation
    }
  }

  /// Hands over up to `limit` stored segments.
  mutating func deliver(limit: Int = .max) {
    var left = limit
    while left > 0, let (place, length) = window.nextStored() {
      guard let number = unread.first else {
        wrong.append("nothing is unread, before \(next)")
        return
      }
      unread.removeFirst()
      let isSame = unsafe length == 0 || pool.bytes(place, length).equals(Self.payload(number))
      if !isSame || (length == 0) != (number % 5 == 0) { wrong.append("wrong bytes for \(number)") }
      if !isEmpty(number) { storedCells -= 1 }
      window.storedDelivered(to: &pool)
      if unread.isEmpty { (unreadRoom, unreadCharged) = (1, 0) }
      left -= 1
    }
    if left > 0, !window.isPaused, !unread.isEmpty { wrong.append("stops at \(unread[0]), before \(next)") }
    let isDue = fin.map { unread.isEmpty && next == $0 + 1 } ?? false
    if window.takeFin() {
      finsTaken += 1
      if !isDue { wrong.append("FIN too early, before \(next)") }
    }
    if finsTaken != (isDue ? 1 : 0) { wrong.append("FIN taken \(finsTaken) times before \(next)") }
  }

  mutating func check() {
    if window.next != first &+ UInt32(next) { wrong.append("next is \(window.next)") }
    if window.delivered != first &+ UInt32(delivered) { wrong.append("delivered is \(window.delivered)") }
    if window.highest != first &+ UInt32(highest) { wrong.append("highest is \(window.highest)") }
    if window.hasEarly == early.isEmpty || window.packetsUnread != unread.count { wrong.append("early, unread or not") }
    if pool.cellsInUse != storedCells || window.cells != storedCells {
      wrong.append("\(pool.cellsInUse) cells for \(storedCells)")
    }
    if pool.bytesInUse != held || window.held(pool) != held { wrong.append("\(pool.bytesInUse) bytes, not \(held)") }
    if window.isFinDelivered != (finsTaken > 0) { wrong.append("isFinDelivered") }
    let room = delivered + size - promised
    if !window.isPressed, window.reopened(pool) != (room >= size / 2 && promised - next <= size / 2) {
      wrong.append("reopened")
    }
  }

  mutating func advertise() {
    let wasPressed = window.isPressed
    let edge = next + Int(window.advertise(pool))
    if let refused {
      // What was refused is told by the next ACK, which takes back what was promised from there on.
      if edge != max(min(refused, promised), next) { wrong.append("edge \(edge) where \(refused) was refused") }
    } else if wasPressed {
      if edge < promised || edge > delivered + size { wrong.append("edge \(edge), promised \(promised)") }
    } else if edge != max(promised, delivered + size) {
      wrong.append("edge \(edge), promised \(promised)")
    }
    refused = nil
    promised = edge
  }

  /// Bytes that the window has charged: cells of 64 bytes, eight bytes a number in the ring and in the queue of what is unread, five bits
  /// a number in the bitmap.
  private var held: Int { storedCells * 64 + (ring - 4) * 8 + (bits - 64) * 5 / 8 + unreadCharged }

  /// Whether there is room for `number`, and how long ring and bitmap are then.
  private func room(for number: Int) -> (ring: Int, bits: Int)? {
    var (ring, bits) = (ring, bits)
    while ring < number - next + 1 { ring *= 2 }
    while bits < max(highest, number + 1) - next + 2 { bits *= 2 }
    let growth = (ring - self.ring) * 8 + (bits - self.bits) * 5 / 8
    let more = growth + (isEmpty(number) ? 0 : 64)
    let left = (poolCells - min(max(poolCells / 32, 1), poolCells - 1)) * 64 - held - more
    guard more == 0 || left >= 0 && held + more <= max(2 * left, max(poolCells / 8192, 4) * 64) else { return nil }
    return (ring, bits)
  }

  /// Writes an ACK and reads it back: what it says of each number.
  mutating func describe() -> [Int: Bool] {
    var header = AckBlock(
      largestPacketNumber: 77, delayMicroseconds: 5, duplicates: 1, ect0: 2, ect1: 3, ce: 1 << 40)
    header.intervalCount = 3
    // What the smallest path has room for.
    var arena = Arena(byteCount: 1100)
    var span = arena.mutableBytes(0, 1100)
    let length = window.writeRuns(header: header, packets: PacketRuns(), into: &span)
    let bytes = arena.bytes(0, length)
    guard let block = try? AckBlock.parse(bytes) else {
      wrong.append("an ACK that does not parse")
      return [:]
    }
    if block.largestPacketNumber != 77 || block.ce != 1 << 40 { wrong.append("another header") }
    var described: [Int: Bool] = [:]
    var reader = AckRunReader(block: block, lastInOrder: window.next &- 1)
    while let run = reader.next(bytes) {
      for ahead in 0..<run.count {
        let number = Int(run.first &+ ahead &- first)
        // What has just been filled may also be among the newest, or have its turn.
        described[number] = run.received
        if run.received != early.contains(number) || number < next { wrong.append("\(number) is told wrongly") }
      }
    }
    return described
  }

  var intervals: Int { early.filter { !early.contains($0 + 1) }.count }

  /// Everything up to the highest early one must be told.
  mutating func checkRuns() {
    let described = describe()
    guard intervals <= 12 else { return }
    let end = early.max().map { $0 + 1 } ?? next
    if described.count != max(end - next, 0) { wrong.append("\(described.count) of \(end - next) are told") }
  }
}

@Suite struct ReceiveWindowTests {
  /// - Parameters:
  ///   - seed: also chooses the sizes, where the numbers start, and whether the sender is honest.
  ///   - hasMessages: whether every third segment is one of messages.
  @Test(arguments: 0..<60, [false, true])
  func agreesWithAModel(seed: Int, hasMessages: Bool) {
    var random = TestRandom(seed: seed)
    let first: UInt32 = [0, 1, .max - 40, .max - 1000, 1 << 31 - 100][seed % 5]
    let size = [1, 2, 7, 64, 300, 1000][seed % 6]
    let isHonest = seed % 4 != 3
    var checked = Checked(first: first, window: size, poolCells: seed % 7 == 0 ? 1 + size / 3 : 4096)
    checked.hasMessages = hasMessages
    var end = 200 + random.below(3000)
    if checked.isMessages(end) { end += 1 }
    for step in 0..<20_000 where checked.wrong.isEmpty {
      var number: Int
      switch random.below(100) {
      case 0..<55: number = checked.next
      case 55..<75: number = checked.next + random.below(5)
      case 75..<92: number = checked.next + random.below(size + 3)
      default: number = checked.next - random.below(20)
      }
      if number < 0 { continue }
      var isFin = number == end
      if isHonest {
        if number > end { continue }
      } else if random.happens(percent: 1), step > 500 {
        isFin.toggle()
      }
      checked.accept(number, isFin: isFin)
      if random.happens(percent: 2) { checked.window.isPaused.toggle() }
      // As the engine does it, and now and then stopped half way.
      if random.happens(percent: 5) { checked.deliver(limit: random.below(4)) } else { checked.deliver() }
      if random.happens(percent: 20) { checked.advertise() }
      if random.happens(percent: 5) { checked.checkRuns() }
      checked.check()
    }
    if isHonest, checked.wrong.isEmpty {
      checked.window.isPaused = false
      checked.deliver()
      while checked.next <= end, checked.wrong.isEmpty {
        checked.accept(checked.next, isFin: checked.next == end)
        checked.deliver()
      }
      let (delivered, unread, fins) = (checked.delivered, checked.unread.count, checked.finsTaken)
      #expect(delivered == end + 1 && unread == 0 && fins == 1)
    }
    let wrong = checked.wrong.first
    #expect(wrong == nil)
    checked.window.releaseAll(to: &checked.pool)
    let (left, bytes) = (checked.pool.cellsInUse, checked.pool.bytesInUse)
    #expect(left == 0 && bytes == 0)
  }

  /// With something unread, something in order and something early: all cells come back, once.
  @Test func releaseAll() {
    var checked = Checked(first: .max - 3, window: 32, poolCells: 32)
    checked.window.isPaused = true
    for number in [0, 1, 2, 5, 6, 9, 3, 31] { checked.accept(number) }
    checked.check()
    let before = checked.pool.cellsInUse
    checked.window.releaseAll(to: &checked.pool)
    let after = checked.pool.cellsInUse
    checked.window.releaseAll(to: &checked.pool)
    let wrong = checked.wrong.first
    // The payloads of 0 and 5 are empty.
    #expect(before == 6 && after == 0 && wrong == nil)
  }

  @Test func edgeAndReopening() {
    var checked = Checked(first: 100, window: 8, poolCells: 32)
    #expect(checked.window.advertise(checked.pool) == 8)
    for number in 0..<3 { checked.accept(number) }
    // Read at once: the edge moves on.
    #expect(checked.window.advertise(checked.pool) == 8)
    checked.promised = 11
    checked.window.isPaused = true
    for number in 3..<11 { #expect(checked.accept(number) == .inOrder) }
    #expect(checked.accept(11) == .beyond)
    #expect(checked.window.advertise(checked.pool) == 0)
    var isReopened = checked.window.reopened(checked.pool)
    #expect(!isReopened)
    checked.window.isPaused = false
    checked.deliver(limit: 3)
    isReopened = checked.window.reopened(checked.pool)
    #expect(!isReopened)
    checked.deliver(limit: 1)
    isReopened = checked.window.reopened(checked.pool)
    #expect(isReopened)
    #expect(checked.window.advertise(checked.pool) == 4)
    checked.promised = 15
    isReopened = checked.window.reopened(checked.pool)
    #expect(!isReopened)
    checked.deliver()
    checked.check()
    let wrong = checked.wrong.first
    #expect(wrong == nil)
  }

  /// The window follows the room while something is stored, and no longer: what it has charged for its rings is kept.
  @Test func pressureEndsWhenNothingIsStored() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 16)
    var window = ReceiveWindow(first: 0, window: 64)
    let payload = [UInt8](repeating: 1, count: 1400)
    func accept(_ number: UInt32) -> Bool {
      switch unsafe window.accept(number, isFin: false, payload.span.bytes, pool: &pool) {
      case .direct: _ = window.deliveredDirectly(pool: &pool)
      case .poolExhausted:
        _ = window.refuse(number)
        return false
      default: break
      }
      while window.nextStored() != nil { window.storedDelivered(to: &pool) }
      return true
    }
    var number: UInt32 = 1
    while accept(number) { number += 1 }
    _ = window.advertise(pool)
    let isPressed = window.isPressed
    #expect(isPressed)
    #expect(accept(0))
    let (unread, charged) = (window.packetsBehindGaps, window.charged)
    #expect(unread == 0 && charged > 0)
    let advertised = window.advertise(pool)
    let isPressedStill = window.isPressed
    #expect(!isPressedStill && advertised <= 64)
    #expect(window.advertise(pool) == 64)
  }

  @Test func finRules() {
    // Data behind FIN, a second FIN elsewhere, and FIN before data that has come.
    var checked = Checked(first: 0, window: 16, poolCells: 16)
    #expect(checked.accept(3, isFin: true) == .early(opensGap: true))
    #expect(checked.accept(4) == .violation)
    #expect(checked.accept(2, isFin: true) == .violation)
    #expect(checked.accept(3, isFin: true) == .duplicate)
    #expect(checked.accept(2) == .early(opensGap: false))
    var other = Checked(first: 0, window: 16, poolCells: 16)
    other.accept(5)
    #expect(other.accept(4, isFin: true) == .violation)
    #expect(other.accept(0, isFin: true) == .violation)
    #expect(other.accept(6, isFin: true) == .early(opensGap: false))
    // FIN as the first and only segment.
    var only = Checked(first: .max, window: 1, poolCells: 1)
    #expect(only.accept(0, isFin: true) == .direct)
    only.deliver()
    only.deliver()
    only.check()
    let (fins, wrong) = (only.finsTaken, checked.wrong + other.wrong + only.wrong)
    #expect(fins == 1 && wrong.isEmpty)
  }

  /// More intervals than an ACK describes: the newest are in every ACK, and several ACKs tell of every number.
  @Test(arguments: [11, 12, 13, 14, 64, 65, 500, 2000], [0, .max - 700] as [UInt32])
  func rotation(intervals: Int, first: UInt32) {
    var checked = Checked(first: first, window: 1 << 16, poolCells: 8192)
    // Intervals of different lengths, with gaps that need longer integers here and there.
    var number = 1
    for interval in 0..<intervals {
      for _ in 0...(interval % 3) {
        checked.accept(number)
        number += 1
      }
      number += interval % 50 == 0 ? 100 : 1 + interval % 4
    }
    let end = checked.highest
    var told: Set<Int> = []
    // The gaps are all new to the first ACK, which tells of 32; the later ones tell of 8, and 4 or more in rotation.
    let acks = intervals <= 12 ? 1 : (intervals - 8 + 3) / 4 + 1
    var newest: Set<Int> = []
    for ack in 0..<acks {
      let described = Set(checked.describe().keys)
      // The last interval, at least, is told every time.
      if !described.contains(end - 1) { checked.wrong.append("the newest is missing") }
      newest = ack == 0 ? described : newest.intersection(described)
      told.formUnion(described)
    }
    let wrong = checked.wrong.first
    #expect(wrong == nil && told == Set(0..<end))
    #expect(newest.count > (intervals <= 12 ? end - 1 : 7 * 2))
    // While the front moves on, whatever is told stays true, and the rotation goes on from anywhere.
    for step in 0..<60 where !checked.early.isEmpty {
      if step % 2 == 0 { for _ in 0..<intervals / 50 { checked.accept(checked.next) } }
      checked.deliver()
      checked.checkRuns()
      checked.check()
    }
    let later = checked.wrong.first
    #expect(later == nil)
  }
}
