// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

/// A socket on all addresses answers from the one that was asked. Loopback has sixteen million of them.
@Suite struct LocalAddressTests {
  private static let families = [AF_INET, AF_INET6]
  /// Documentation addresses, which no host has.
  private static let foreign4 = Address(ipv4: 0xC000_0201, port: 0)
  private static let foreign6 = Address(high: 0x2001_0DB8 << 32, low: 1, port: 0)

  private static func host(_ number: UInt32, _ port: UInt16) -> Address {
    Address(ipv4: 0x7F00_0000 + number, port: port)
  }

  private static func control(_ address: Address, interface: UInt32 = 1) -> lrp2p_control {
    var control = lrp2p_control()
    control.has_destination = true
    control.destination = address.native
    control.interface = interface
    return control
  }

  private static func at(_ address: Address, _ local: UInt8) -> Address {
    var address = address
    address.local = local
    return address
  }

  // MARK: Over sockets

  @Test(arguments: availableBackends, families) func answersLeaveFromTheAddressThatWasAsked(
    backend: ReactorBackend, family: Int32
  ) throws {
    var a = try Endpoint(bind: .any(port: 0), backend: backend, family: family, answersApart: true)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let port = a.localAddress.port
    // Many as one message, one alone, one that asks for a socket of its own; each of them twice, side by side.
    for (length, segment, isUnproved) in [(40 * 1000, 1000, false), (100, 100, false), (50, 50, true)] {
      for number: UInt32 in [2, 3, 1, 77] {
        b.append(to: Self.host(number, port), length: length, segmentSize: segment, salt: Int(number))
        #expect(try b.flush())
        let asked = try a.receive()
        #expect(asked.bytes == pattern(length, salt: Int(number)))
        #expect(asked.messages.allSatisfy { $0.address.local != 0 })
        let client = try #require(asked.messages.first?.address)
        #expect(client == b.localAddress)
        for _ in 0..<2 { a.append(to: client, length: length, segmentSize: segment, isUnproved: isUnproved) }
        #expect(try a.flush())
        let answer = try b.receive()
        #expect(answer.bytes == pattern(length) + pattern(length))
        #expect(answer.messages.allSatisfy { $0.address == Self.host(number, port) })
      }
    }
    #expect(a.statistics.sourcesRefused == 0)
  }

  @Test(.enabled(if: hasIPv6), arguments: availableBackends) func bothFamiliesInOneBatch(backend: ReactorBackend) throws
  {
    var a = try Endpoint(bind: .any(port: 0), backend: backend)
    var four = try Endpoint(bind: .loopback4(), backend: .epoll)
    var six = try Endpoint(bind: .loopback6(), backend: .epoll)
    let port = a.localAddress.port
    for number: UInt32 in [9, 8] {
      four.append(to: Self.host(number, port), length: 3000, segmentSize: 1000)
      #expect(try four.flush())
    }
    six.append(to: .loopback6(port), length: 3000, segmentSize: 1000)
    #expect(try six.flush())
    let asked = try a.receive().messages
    #expect(Set(asked.map(\.address.local)).count == 3)
    for message in asked { a.append(to: message.address, length: 2000, segmentSize: 500) }
    #expect(try a.flush())
    let answers = try four.receive().messages
    #expect(Set(answers.map(\.address)) == [Self.host(9, port), Self.host(8, port)])
    #expect(try six.receive().messages.allSatisfy { $0.address == .loopback6(port) })
    #expect(a.statistics.datagramsSent == 4 * UInt64(asked.count))
  }

  @Test(arguments: availableBackends) func aSocketOnOneAddressAsksForNothing(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    b.append(to: a.localAddress, length: 100, segmentSize: 100)
    #expect(try b.flush())
    #expect(try a.receive().messages.map(\.address.local) == [0])
  }

  // MARK: An address that is gone

  /// What was to leave from there leaves from elsewhere at once, and nothing is lost.
  @Test(arguments: availableBackends, families) func aSourceThatIsGoneIsDoneWithout(
    backend: ReactorBackend, family: Int32
  ) throws {
    var a = try Endpoint(bind: .any(port: 0), backend: backend, family: family, answersApart: true)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let locals = a.backend.localAddresses
    var refused: UInt64 = 0
    for (length, segment) in [(40 * 1000, 1000), (100, 100)] {
      // It is there again, as far as one can tell.
      let gone = locals.number(of: Self.control(Self.foreign4))
      for _ in 0..<3 { a.append(to: Self.at(b.localAddress, gone), length: length, segmentSize: segment) }
      #expect(try a.flush())
      #expect(try b.receive().bytes == pattern(length) + pattern(length) + pattern(length))
      refused += 1
      #expect(a.statistics.sourcesRefused == refused)
      // From then on it is not tried.
      let calls = a.statistics.sendCalls
      a.append(to: Self.at(b.localAddress, gone), length: 100, segmentSize: 100)
      #expect(try a.flush())
      #expect(try b.receive().messages.map(\.address) == [.loopback4(a.localAddress.port)])
      #expect(a.statistics.sendCalls == calls + 1 && a.statistics.sourcesRefused == refused)
    }
    let gone = locals.number(of: Self.control(Self.foreign4))
    for _ in 0..<3 { a.append(to: Self.at(b.localAddress, gone), length: 30, segmentSize: 30, isUnproved: true) }
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(30) + pattern(30) + pattern(30))
    #expect(a.statistics.sendDropsUnproved == 0 && a.statistics.sendDropsUndeliverable == 0)
    #expect(a.statistics.segmentationOffload)
  }

  /// Port 0 is refused with the same word: it says nothing about the source.
  @Test(arguments: availableBackends) func aDestinationThatIsRefusedCostsNoSource(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .any(port: 0), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    let locals = a.backend.localAddresses
    let two = locals.number(of: Self.control(Self.host(2, 0)))
    a.append(to: Self.at(.loopback4(0), two), length: 4000, segmentSize: 1000)
    a.append(to: Self.at(.loopback4(0), two), length: 100, segmentSize: 100)
    a.append(to: Self.at(b.localAddress, two), length: 4000, segmentSize: 1000)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(4000))
    #expect(received.messages.allSatisfy { $0.address == Self.host(2, a.localAddress.port) })
    #expect(a.statistics.sourcesRefused == 0 && a.statistics.sendDropsUndeliverable == 5)
  }

  /// The kernel would refuse it, and it would be taken for gone.
  @Test(.enabled(if: hasIPv6), arguments: availableBackends) func aSourceOfTheOtherFamilyIsNotNamed(
    backend: ReactorBackend
  ) throws {
    var a = try Endpoint(bind: .any(port: 0), backend: backend)
    var four = try Endpoint(bind: .loopback4(), backend: .epoll)
    var six = try Endpoint(bind: .loopback6(), backend: .epoll)
    let locals = a.backend.localAddresses
    let two = locals.number(of: Self.control(Self.host(2, 0)))
    let one = locals.number(of: Self.control(.loopback6()))
    #expect(locals.source(for: Self.at(.loopback6(), two)) == 0 && locals.source(for: Self.at(.loopback4(), one)) == 0)
    a.append(to: Self.at(six.localAddress, two), length: 100, segmentSize: 100)
    a.append(to: Self.at(four.localAddress, one), length: 100, segmentSize: 100)
    #expect(try a.flush())
    #expect(try six.receive().bytes == pattern(100) && four.receive().bytes == pattern(100))
    #expect(a.statistics.sourcesRefused == 0)
  }

  /// What may be about the source has the message go once more without; sendto, which has no room for one, is not refused here.
  @Test(arguments: Array(1...133 as ClosedRange<Int32>)) func whichErrnoMayBeAboutTheSource(code: Int32) {
    let outcome = Mutex<(delivered: Bool, refused: UInt64)?>(nil)
    onThread {
      do {
        var a = try Endpoint(bind: .any(port: 0), backend: .epoll, receiveCapacity: 2048, sendCapacity: 2048)
        var b = try Endpoint(bind: .loopback4(), backend: .epoll, receiveCapacity: 2048, sendCapacity: 2048)
        let two = a.backend.localAddresses.number(of: Self.control(Self.host(2, 0)))
        a.append(to: Self.at(b.localAddress, two), length: 50, segmentSize: 50)
        guard system_call_filter_refuse(SYS_sendmsg, code) == 0 else { return }
        do throws(SystemError) { _ = try a.flush() } catch { #expect(error.code == code) }
        let isDelivered = try b.receive().bytes == pattern(50)
        let refused = a.statistics.sourcesRefused
        outcome.withLock { $0 = (isDelivered, refused) }
      } catch {
        Issue.record("\(error)")
      }
    }
    let isOfSource = [EINVAL, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH, ENODEV].contains(code)
    #expect(outcome.withLock { $0?.delivered } == isOfSource, "errno \(code)")
    #expect(outcome.withLock { $0?.refused } == (isOfSource ? 1 : 0), "errno \(code)")
  }

  // MARK: Numbers

  @Test func eachAddressHasItsNumber() {
    let table = LocalAddressTable()
    let locals = table.addresses
    var seen: Set<UInt8> = [0]
    for number: UInt32 in 1...255 {
      let address = Self.host(number, 0)
      let local = locals.number(of: Self.control(address))
      #expect(seen.insert(local).inserted && locals[local] == address)
    }
    for number: UInt32 in 1...255 {
      #expect(locals[locals.number(of: Self.control(Self.host(number, 0)))] == Self.host(number, 0))
    }
    #expect(!locals.lacksRoom)
    // The next ones have none, until those that nobody uses are taken back.
    #expect(locals.number(of: Self.control(Self.host(256, 0))) == 0 && locals.lacksRoom)
    let used = locals.number(of: Self.control(Self.host(40, 0)))
    locals.makeRoom { $0 == used }
    #expect(!locals.lacksRoom)
    #expect(locals.number(of: Self.control(Self.host(40, 0))) == used)
    let fresh = locals.number(of: Self.control(Self.host(256, 0)))
    #expect(fresh != 0 && fresh != used && locals[fresh] == Self.host(256, 0))
    // Nobody's number names nothing.
    #expect(locals.source(for: Self.at(.loopback4(), used)) == used)
    let unused: UInt8 = used == 200 ? 201 : 200
    #expect(locals.source(for: Self.at(.loopback4(), unused)) == 0)
    extendLifetime(table)
  }

  @Test func whatCanBeNoSourceHasNone() {
    let table = LocalAddressTable()
    let locals = table.addresses
    for address in [
      Address(ipv4: 0xE000_00FB, port: 0), Address(ipv4: 0xFFFF_FFFF, port: 0),
      Address(high: 0xFF02 << 48, low: 1, port: 0),
    ] { #expect(locals.number(of: Self.control(address)) == 0) }
    var silent = Self.control(Self.host(1, 0))
    silent.has_destination = false
    #expect(locals.number(of: silent) == 0)
    #expect(LocalAddresses.none.number(of: Self.control(Self.host(1, 0))) == 0)
    #expect(LocalAddresses.none.source(for: Self.at(Self.host(1, 0), 7)) == 0)
    extendLifetime(table)
  }

  /// The same one can be at two interfaces.
  @Test func linkLocalAddressesHaveTheirInterface() {
    let table = LocalAddressTable()
    let locals = table.addresses
    let address = Address(high: 0xFE80 << 48, low: 1, port: 0)
    let (one, two) = (
      locals.number(of: Self.control(address, interface: 1)), locals.number(of: Self.control(address, interface: 2))
    )
    #expect(one != two && locals[one].scope == 1 && locals[two].scope == 2)
    // Of others it says nothing.
    #expect(
      locals.number(of: Self.control(Self.foreign6, interface: 1))
        == locals.number(of: Self.control(Self.foreign6, interface: 2)))
    extendLifetime(table)
  }

  @Test func whatIsRefusedComesBackWhenItIsHeardAt() {
    let table = LocalAddressTable()
    let locals = table.addresses
    let local = locals.number(of: Self.control(Self.host(5, 0)))
    let peer = Self.at(.loopback4(1), local)
    #expect(locals.source(for: peer) == local)
    locals.refuse(local)
    #expect(locals.source(for: peer) == 0)
    #expect(locals.number(of: Self.control(Self.host(5, 0))) == local && locals.source(for: peer) == local)
    extendLifetime(table)
  }

  // MARK: What the kernel tells of addresses

  private static func change(_ type: Int, family: Int32, _ parts: [(type: Int, bytes: [UInt8])])
    -> lrp2p_address_change?
  {
    var message: [UInt8] = [UInt8(family), 24, 0, 0, 7, 0, 0, 0]
    for part in parts {
      message += [UInt8(4 + part.bytes.count), 0, UInt8(part.type), 0] + part.bytes
      while message.count % 4 != 0 { message.append(0) }
    }
    let header = [UInt8(16 + message.count), 0, 0, 0, UInt8(type), 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    var change = lrp2p_address_change()
    let isOne = unsafe (header + message).withUnsafeBytes {
      unsafe lrp2p_addresses_parse($0.baseAddress!.assumingMemoryBound(to: nlmsghdr.self), &change)
    }
    return isOne ? change : nil
  }

  @Test func theKernelsMessagesAreRead() throws {
    let (address, local) = (1, 2)
    let gone = try #require(Self.change(RTM_DELADDR, family: AF_INET, [(address, [10, 0, 0, 1])]))
    #expect(Address(gone.address) == Address(ipv4: 0x0A00_0001, port: 0) && !gone.is_there && gone.interface == 7)
    // The other end's stands beside the own one.
    let there = try #require(
      Self.change(RTM_NEWADDR, family: AF_INET, [(address, [10, 0, 0, 1]), (local, [10, 0, 0, 2])]))
    #expect(Address(there.address) == Address(ipv4: 0x0A00_0002, port: 0) && there.is_there)
    let six: [UInt8] = [0xFD, 0x34] + [UInt8](repeating: 0, count: 13) + [3]
    let change = try #require(Self.change(RTM_NEWADDR, family: AF_INET6, [(8, [0, 0, 0, 0]), (address, six)]))
    #expect(Address(change.address) == Address(high: 0xFD34 << 48, low: 3, port: 0))
    #expect(Self.change(RTM_NEWADDR, family: AF_INET, [(address, six)]) == nil)
    #expect(Self.change(RTM_NEWADDR, family: AF_INET6, []) == nil)
    #expect(Self.change(RTM_NEWLINK, family: AF_INET, [(address, [10, 0, 0, 1])]) == nil)
  }
}
