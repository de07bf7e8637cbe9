// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct DatagramBatchTests {
  private let here = Address(ipv4: 0x7F00_0001, port: 1)
  private let there = Address(ipv4: 0x7F00_0001, port: 2)

  /// The lengths of a batch's messages, as `bytes/datagram`.
  private func shape(_ batch: borrowing DatagramBatch) -> [String] {
    var shape: [String] = []
    for index in 0..<batch.count {
      shape.append("\(batch.messages[index].length)/\(batch.messages[index].segmentSize)")
    }
    return shape
  }

  /// The receiver's kernel judges what it gets as one by its first datagram.
  @Test func datagramsOfAnotherConnectionDoNotJoin() {
    var batch = DatagramBatch(messages: 3, messageCapacity: 1000)
    #expect(batch.place(300, for: here, group: 1) == 0)
    #expect(batch.place(300, for: here, group: 2) == 300)
    #expect(batch.place(300, for: here, group: 2) == 600)
    #expect(shape(batch) == ["300/300", "600/300"])
    #expect(batch.messages[0].group == 1 && batch.messages[1].group == 2)
    // Nor back to the first, as messages are contiguous.
    #expect(batch.room(300, for: here, group: 1) == 900)
    #expect(batch.place(300, for: here, group: 1) == 900)
    #expect(shape(batch) == ["300/300", "600/300", "300/300"])
    #expect(batch.room(300, for: here, group: 2) == nil)
  }

  /// Not even with those for the same address.
  @Test func unprovedDatagramsHaveMessagesOfTheirOwn() {
    let address = Address(ipv4: 1, port: 1)
    var batch = DatagramBatch(messages: 5, messageCapacity: 1000)
    #expect(batch.place(100, for: address) == 0)
    #expect(batch.hasUnproved == false)
    #expect(batch.placeUnproved(100, for: address, group: 1) == 100)
    #expect(batch.placeUnproved(100, for: address, group: 1) == 200)
    #expect(batch.place(100, for: address) == 300)
    #expect(batch.place(100, for: address) == 400)
    #expect(batch.count == 4 && batch.hasUnproved)
    #expect((0..<4).map { batch.messages[$0].isUnproved } == [false, true, true, false])
    #expect((0..<4).map { batch.messages[$0].length } == [100, 100, 100, 200])
    #expect(batch.placeUnproved(100, for: address, group: 1) != nil)
    #expect(batch.placeUnproved(100, for: address, group: 1) == nil)
    batch.clear()
    #expect(batch.hasUnproved == false && batch.place(10, for: address) == 0 && !batch.messages[0].isUnproved)
  }

  @Test func startsEmpty() {
    let batch = DatagramBatch(messages: 3, messageCapacity: 1000)
    #expect(batch.count == 0 && batch.used == 0 && batch.messages.count == 3 && batch.arena.byteCount == 3000)
    #expect(Message().address == .none && Message().ecn == 0)
  }

  @Test func equalDatagramsJoin() {
    var batch = DatagramBatch(messages: 3, messageCapacity: 1000)
    #expect(batch.place(300, for: here) == 0)
    #expect(batch.place(300, for: here) == 300)
    #expect(batch.place(300, for: here) == 600)
    #expect(shape(batch) == ["900/300"] && batch.used == 900)
    let message = batch.messages[0]
    #expect(message.address == here && message.offset == 0 && message.ecn == 0)
    // A fourth would be more than a message may have.
    #expect(batch.place(300, for: here) == 900)
    #expect(shape(batch) == ["900/300", "300/300"] && batch.messages[1].offset == 900)
  }

  @Test func joiningFillsAMessageToItsLastByte() {
    var batch = DatagramBatch(messages: 2, messageCapacity: 900)
    for _ in 0..<3 { #expect(batch.place(300, for: here) != nil) }
    #expect(shape(batch) == ["900/300"])
    #expect(batch.place(900, for: here) == 900)
    #expect(batch.place(1, for: here) == nil)
  }

  /// What every kernel with UDP_SEGMENT takes.
  @Test func atMost64Datagrams() {
    var batch = DatagramBatch(messages: 3, messageCapacity: 10_000)
    for _ in 0..<64 { #expect(batch.place(100, for: here) != nil) }
    #expect(shape(batch) == ["6400/100"])
    #expect(batch.place(100, for: here) == 6400)
    #expect(shape(batch) == ["6400/100", "100/100"])
    // A shorter one is the 64th, or the first of the next.
    for _ in 0..<62 { #expect(batch.place(100, for: here) != nil) }
    #expect(batch.place(40, for: here) != nil)
    #expect(shape(batch) == ["6400/100", "6340/100"])
    #expect(batch.place(40, for: here) != nil)
    #expect(shape(batch) == ["6400/100", "6340/100", "40/40"])
  }

  @Test func aShorterOneDoesNotJoinAFullMessage() {
    var batch = DatagramBatch(messages: 3, messageCapacity: 10_000)
    for _ in 0..<64 { _ = batch.place(100, for: here) }
    #expect(batch.place(40, for: here) == 6400)
    #expect(shape(batch) == ["6400/100", "40/40"])
  }

  @Test func aShorterOneEndsTheMessage() {
    var batch = DatagramBatch(messages: 4, messageCapacity: 1000)
    for length in [300, 300, 299] { #expect(batch.place(length, for: here) != nil) }
    #expect(shape(batch) == ["899/300"])
    // Nothing follows it, however short.
    #expect(batch.place(1, for: here) == 899)
    #expect(batch.place(300, for: here) == 900)
    #expect(shape(batch) == ["899/300", "1/1", "300/300"])
  }

  @Test func aLongerOneDoesNotJoin() {
    var batch = DatagramBatch(messages: 4, messageCapacity: 1000)
    for length in [300, 301] { #expect(batch.place(length, for: here) != nil) }
    #expect(shape(batch) == ["300/300", "301/301"])
  }

  @Test func everyAddressHasItsMessage() {
    var batch = DatagramBatch(messages: 8, messageCapacity: 1000)
    let zone = Address(high: here.high, low: here.low, scope: 1, port: here.port)
    for address in [here, there, there, zone, here] { #expect(batch.place(100, for: address) != nil) }
    #expect(shape(batch) == ["100/100", "200/100", "100/100", "100/100"])
    #expect((0..<4).map { batch.messages[$0].address } == [here, there, zone, here])
    #expect((0..<4).map { batch.messages[$0].offset } == [0, 100, 300, 400])
  }

  @Test func fullOfMessages() {
    var batch = DatagramBatch(messages: 2, messageCapacity: 1000)
    _ = batch.place(100, for: here)
    _ = batch.place(100, for: there)
    // One that joins the last still has its place.
    #expect(batch.room(100, for: here) == nil && batch.place(100, for: here) == nil)
    #expect(batch.room(101, for: there) == nil && batch.place(101, for: there) == nil)
    #expect(batch.room(100, for: there) == 200 && batch.place(100, for: there) == 200)
    #expect(shape(batch) == ["100/100", "200/100"] && batch.used == 300)
  }

  @Test func fullOfBytes() {
    var batch = DatagramBatch(messages: 8, messageCapacity: 100)
    for _ in 0..<7 { #expect(batch.place(100, for: here) != nil) }
    #expect(batch.place(60, for: here) == 700)
    // A message is left, 40 bytes are.
    #expect(batch.count == 8 && batch.room(41, for: here) == nil && batch.place(41, for: here) == nil)
    #expect(batch.used == 760)
  }

  @Test func longerThanAMessage() {
    var batch = DatagramBatch(messages: 4, messageCapacity: 100)
    #expect(batch.room(101, for: here) == nil && batch.place(101, for: here) == nil)
    #expect(batch.room(100, for: here) == 0 && batch.place(100, for: here) == 0)
  }

  @Test func clear() {
    var batch = DatagramBatch(messages: 1, messageCapacity: 100)
    #expect(batch.place(100, for: here) == 0 && batch.place(1, for: there) == nil)
    batch.clear()
    #expect(batch.count == 0 && batch.used == 0)
    // What was there before joins nothing.
    #expect(batch.place(50, for: here) == 0 && batch.messages[0].length == 50)
  }

  /// What the kernel makes of the messages are the datagrams that were placed.
  @Test(arguments: 0..<100 as Range<UInt64>)
  func messagesAreTheDatagrams(seed: UInt64) {
    var random = SplitMix(state: seed)
    let capacity = [500, 3_000, 20_000][random.below(3)]
    var batch = DatagramBatch(messages: 1 + random.below(20), messageCapacity: capacity)
    var placed: [(address: Address, offset: Int, length: Int)] = []
    var wrong = 0
    for _ in 0..<600 {
      let most = 1 + random.below(random.next() % 4 == 0 ? 600 : 120)
      let address = random.next() % 10 == 0 ? there : here
      // The caller asks with the longest that it may write, and places what it wrote.
      let room = batch.room(most, for: address)
      let length = random.next() % 4 == 0 ? 1 + random.below(most) : most
      let place = room == nil && length < most ? nil : batch.place(length, for: address)
      if place != room { wrong += 1 }
      if let place { placed.append((address, place, length)) }
    }

    var sent: [(address: Address, offset: Int, length: Int)] = []
    for index in 0..<batch.count {
      let message = batch.messages[index]
      if message.length > capacity || message.segmentSize > message.length { wrong += 1 }
      let offsets = stride(from: 0, to: message.length, by: message.segmentSize)
      if Array(offsets).count > 64 { wrong += 1 }
      for offset in offsets {
        let length = min(message.segmentSize, message.length - offset)
        sent.append((message.address, message.offset + offset, length))
      }
    }
    #expect(wrong == 0 && !placed.isEmpty && batch.used <= batch.arena.byteCount)
    #expect(sent.elementsEqual(placed, by: ==))
  }
  /// By its bytes, by the number of its datagrams, or by a shorter one.
  @Test func aMessageIsFull() {
    var batch = DatagramBatch(messages: 4, messageCapacity: 1000)
    #expect(batch.isLastFull == false)
    for count in 1...3 {
      #expect(batch.place(300, for: here) != nil)
      #expect(batch.isLastFull == (count == 3))
    }
    #expect(batch.place(400, for: here) != nil)
    #expect(batch.isLastFull == false)
    #expect(batch.place(399, for: here) != nil)
    #expect(batch.isLastFull == true)
    for count in 1...64 {
      #expect(batch.place(10, for: there) != nil)
      #expect(batch.isLastFull == (count == 64))
    }
  }

  /// Several at once stand where they would stand one by one, as far as one message takes them.
  @Test(arguments: 0..<100 as Range<UInt64>)
  func severalAtOnce(seed: UInt64) {
    var random = SplitMix(state: seed)
    let capacity = [500, 3_000, 65_000][random.below(3)]
    let messages = 1 + random.below(6)
    var together = DatagramBatch(messages: messages, messageCapacity: capacity)
    var singly = DatagramBatch(messages: messages, messageCapacity: capacity)
    var wrong = 0
    var length = 100
    for _ in 0..<200 {
      if random.below(3) == 0 { length = 1 + random.below(520) }
      let most = 1 + random.below(90)
      let used = singly.used
      guard let (offset, count) = together.place(length, upTo: most, for: here, group: 1) else {
        if singly.room(length, for: here) != nil { wrong += 1 }
        continue
      }
      if offset != used || count < 1 || count > most { wrong += 1 }
      for index in 0..<count where singly.place(length, for: here) != used + index * length { wrong += 1 }
      if together.used != singly.used || shape(together) != shape(singly) { wrong += 1 }
      // Neither fewer than the message takes.
      if count < most, singly.messages[singly.count - 1].segmentSize == length, singly.room(length, for: here) != nil {
        let (messages, last) = (singly.count, singly.messages[singly.count - 1])
        if last.length + length <= capacity, last.length < 64 * length, messages > 0 { wrong += 1 }
      }
    }
    #expect(wrong == 0 && together.used > 0)
  }
}

// One connection, where it does not matter which.
extension DatagramBatch {
  fileprivate func room(_ length: Int, for address: Address) -> Int? { room(length, for: address, group: 1) }
  fileprivate mutating func place(_ length: Int, for address: Address) -> Int? { place(length, for: address, group: 1) }
}
