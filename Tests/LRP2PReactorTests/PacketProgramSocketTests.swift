// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore
import LRP2PReactor
import Testing

/// The programs where they belong: attached to sockets.
@Suite struct PacketProgramSocketTests {
  private static let any = Address.loopback4()

  /// A socket's next datagram; nil when there is none.
  private struct Receiver: ~Copyable {
    var receiver: DatagramReceiver
    var batch: DatagramBatch

    init() {
      batch = DatagramBatch(messages: 16, messageCapacity: 65_536)
      receiver = DatagramReceiver(over: batch)
    }

    /// Lengths of the datagrams that wait, each message's apart.
    mutating func lengths(_ socket: borrowing UDPSocket) throws -> [[Int]] {
      var lengths: [[Int]] = []
      var hasMore = true
      while hasMore {
        hasMore = try receiver.fill(&batch, from: socket)
        for index in 0..<batch.count {
          let message = batch.messages[index]
          lengths.append(
            stride(from: 0, to: message.length, by: message.segmentSize).map {
              min(message.segmentSize, message.length - $0)
            })
        }
      }
      return lengths
    }
  }

  private struct Sender: ~Copyable {
    let socket: UDPSocket
    var sender: DatagramSender

    init() throws {
      socket = try UDPSocket(bind: .loopback4(), configuration: .init())
      sender = DatagramSender(for: socket, maximumSegments: 46)
    }

    /// Sends datagrams of one length as one message.
    mutating func send(_ datagrams: [[UInt8]], to address: Address) throws {
      var batch = DatagramBatch(messages: 1, messageCapacity: 65_000)
      for bytes in datagrams {
        let offset = batch.place(bytes.count, for: address, group: 1)
        let at = try #require(offset)
        var place = batch.arena.mutableBytes(at, bytes.count)
        for index in bytes.indices { place.setByte(index, bytes[index]) }
      }
      precondition(batch.count == 1)
      let progress = try sender.send(&batch, to: socket, now: 0)
      #expect(progress == .done)
    }
  }

  @Test func theFilterDropsWhatIsForeignAndCountsIt() throws {
    var shapes = Shapes()
    var socket = try UDPSocket(bind: Self.any, configuration: .init())
    socket.attach(filter: .filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false))
    let isFiltered = socket.isFiltered
    try #require(isFiltered)
    var sender = try Sender()
    var receiver = Receiver()
    for _ in 0..<20 {
      try sender.send([shapes.datagram(shapes.foreignID(), 100)], to: socket.localAddress)
      try sender.send([shapes.datagram(shapes.ownID(), 37)], to: socket.localAddress)
      try sender.send([shapes.datagram(shapes.foreignID(), 1300)], to: socket.localAddress)
    }
    #expect(try receiver.lengths(socket).isEmpty)
    #expect(socket.drops == 60)
    try sender.send([shapes.datagram(shapes.ownID(), 38)], to: socket.localAddress)
    try sender.send([shapes.message1(shapes.foreignID())], to: socket.localAddress)
    #expect(try receiver.lengths(socket) == [[38], [1200]])
    var statistics = ReactorStatistics()
    receiver.receiver.tally.count(into: &statistics, drops: socket.drops)
    #expect(statistics.kernelDrops == 60)
  }

  @Test func ipv6IsFilteredAlike() throws {
    var shapes = Shapes()
    var socket = try UDPSocket(bind: .any(port: 0), configuration: .init())
    let family = socket.family
    try #require(family == AF_INET6)
    socket.attach(filter: .filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false))
    let sender = try UDPSocket(bind: .any(port: 0), configuration: .init())
    var datagrams = DatagramSender(for: sender, maximumSegments: 46)
    var receiver = Receiver()
    for (id, length) in [(shapes.foreignID(), 100), (shapes.ownID(), 101)] {
      for address in [Address.loopback6(socket.localAddress.port), .loopback4(socket.localAddress.port)] {
        var batch = DatagramBatch(messages: 1, messageCapacity: 2000)
        let bytes = shapes.datagram(id, length)
        _ = batch.place(length, for: address, group: id)
        var place = batch.arena.mutableBytes(0, length)
        for index in bytes.indices { place.setByte(index, bytes[index]) }
        let progress = try datagrams.send(&batch, to: sender, now: 0)
        #expect(progress == .done)
      }
    }
    #expect(try receiver.lengths(socket) == [[101], [101]])
  }

  /// Merged datagrams pass or fall together, by the first; without receive offload each is judged.
  @Test(arguments: [true, false]) func aMergedMessageIsJudgedByItsFirstDatagram(offload: Bool) throws {
    var shapes = Shapes()
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = offload
    var socket = try UDPSocket(bind: Self.any, configuration: configuration)
    socket.attach(filter: .filter(shapes.tag, acceptsConnections: true, acceptsOriginal: false))
    var sender = try Sender()
    var receiver = Receiver()
    let own = (0..<3).map { _ in shapes.datagram(shapes.ownID(), 300) }
    let foreign = (0..<3).map { _ in shapes.datagram(shapes.foreignID(), 300) }
    try sender.send(own + foreign, to: socket.localAddress)
    #expect(try receiver.lengths(socket) == (offload ? [Array(repeating: 300, count: 6)] : [[300], [300], [300]]))
    try sender.send(foreign + own, to: socket.localAddress)
    #expect(try receiver.lengths(socket) == (offload ? [] : [[300], [300], [300]]))
  }

  @Test func thePortOfAGroupIsNobodyElses() throws {
    let group = try ReactorGroup(count: 2, bind: Self.any, accepting: .anyone)
    #expect(group.localAddress.port != 0)
    for other in [1, 2] {
      do {
        _ = try ReactorGroup(count: other, bind: group.localAddress, accepting: .anyone)
        Issue.record("bound twice")
      } catch {
        #expect("\(error)" == "bind \(group.localAddress): address already in use")
      }
    }
    do {
      _ = try UDPSocket(bind: group.localAddress, configuration: .init())
      Issue.record("bound twice")
    } catch {
      #expect(error.code == EADDRINUSE)
    }
    do {
      _ = try ReactorGroup(count: 257, bind: Self.any, accepting: .anyone)
      Issue.record("257 reactors accepted")
    } catch {
      #expect("\(error)" == "configuration: count must be 1 … 256")
    }
  }

  @Test(arguments: [2, 3], [Address.loopback4(), .any(port: 0)]) func datagramsComeToTheReactorThatTheirIDNames(
    count: Int, bind: Address
  ) throws {
    var shapes = Shapes()
    let first = try UDPSocket(
      bind: bind, configuration: .init(), sharing: .first(.steering(shapes.tag, count: count)))
    let second = try UDPSocket(
      bind: first.localAddress, configuration: .init(), family: first.family, sharing: .further)
    let third =
      count < 3
      ? nil
      : try UDPSocket(bind: first.localAddress, configuration: .init(), family: first.family, sharing: .further)
    var sender = try Sender()
    var expected = Array(repeating: 0, count: count)
    for _ in 0..<60 {
      let id = shapes.random.next()
      expected[ConnectionIDs.destination(shapes.tag, id, of: count)] += 1
      try sender.send([shapes.datagram(id, 60)], to: .loopback4(first.localAddress.port))
    }
    var receiver = Receiver()
    #expect(try receiver.lengths(first).count == expected[0])
    #expect(try receiver.lengths(second).count == expected[1])
    if let third { #expect(try receiver.lengths(third).count == expected[2]) }
  }
}
