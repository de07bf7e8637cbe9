// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PSimulation
import Testing

/// How long a dial takes where the path is short, what it says when it cannot succeed, and names with several addresses.
@Suite struct DialTests {
  typealias StreamWorld = World<StreamHandler>

  private static let deadIPv6 = Address(high: 0x2001_0DB8_0000_0000, low: 1, port: 2000)
  private static let elsewhere = Address(ipv4: 0x0A00_0063, port: 2000)

  private static func world(delay: Nanoseconds = .milliseconds(5), largest: Int = .max) -> StreamWorld {
    var link = Link()
    link.delay = delay
    link.largestDatagram = largest
    return LifecycleTests.world(link: link, sends: nil)
  }

  /// The ids of attempts that have left and have no answer, the newest last.
  private static func attempts(_ world: borrowing StreamWorld, to address: Address? = nil) -> [UInt64] {
    var found: [(Instant, UInt64)] = []
    for slot in Slot.all(world.first.peers.slots) where world.first.peers.rows[slot].phase == .dialling {
      let row = world.first.peers.rows[slot]
      guard world.first.peers.handshakes[slot].started != .never, address ?? row.address == row.address else {
        continue
      }
      found.append((world.first.peers.handshakes[slot].started, row.connectionID))
    }
    return found.sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// The word of the kernel or the network about every attempt that is open.
  private static func refuseAll(
    _ world: inout StreamWorld, to address: Address, _ fault: DialFault, by source: FaultSource = .kernel
  ) {
    for id in attempts(world, to: address) { world.first.dialRefused(id: id, to: address, fault, by: source) }
  }

  // MARK: Short paths

  @Test func aShortPathCostsAFifthOfASecondAndTheNextDialNothing() throws {
    var world = Self.world(largest: 1280)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .milliseconds(215)) { $0.firstHandler.peers.count == 1 })
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.run(for: .milliseconds(11)) { $0.firstHandler.peers.count == 2 })
    // What the path is known to carry holds for data, too.
    for peer in world.firstHandler.peers.keys { #expect(world.first.statistics(of: peer)?.datagramBytes == 1200) }
  }

  @Test func whatTheKernelRefusesAsTooLongIsShorterAtOnce() throws {
    var world = Self.world(largest: 1280)
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    Self.refuseAll(&world, to: StreamWorld.secondAddress, .tooLarge)
    #expect(world.run(for: .milliseconds(11)) { $0.firstHandler.peers.count == 1 })
  }

  /// What was learnt of a path is forgotten in time, however often it was used.
  @Test func aPathThatGotBetterIsTriedAgain() throws {
    var world = Self.world(largest: 1280)
    for _ in 0..<3 {
      let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      _ = world.run(for: .seconds(200))
      world.first.close(peer, code: 0)
    }
    world.forth.largestDatagram = .max
    world.back.largestDatagram = .max
    _ = world.run(for: .seconds(30))
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(world.handshakeDatagram(ofFirst: peer).count == 1400)
  }

  /// The short attempt is for paths of which nothing is known.
  @Test func aHostThatIsKnownGetsNoSpareAttempt() throws {
    var world = Self.world(delay: .milliseconds(150))
    for known in [false, true] {
      let started = world.second.statistics.handshakesStarted
      _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
      _ = world.run(for: .milliseconds(900))
      #expect(world.second.statistics.handshakesStarted - started == (known ? 1 : 2))
    }
  }

  // MARK: Faults

  @Test(arguments: [DialFault.portUnreachable, .hostUnreachable, .noRoute, .notPermitted, .refusedByKernel])
  func aFaultThatIsToldTwiceEndsADial(fault: DialFault) throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    Self.refuseAll(&world, to: StreamWorld.secondAddress, fault)
    // The same word about the same attempt says nothing new.
    for _ in 0..<10 { Self.refuseAll(&world, to: StreamWorld.secondAddress, fault) }
    _ = world.run(for: .milliseconds(98))
    #expect(world.firstHandler.closedCount == 0 && Self.attempts(world).count == 1)
    _ = world.run(for: .milliseconds(3))
    #expect(Self.attempts(world).count == 2)
    Self.refuseAll(&world, to: StreamWorld.secondAddress, fault)
    _ = world.run(for: .milliseconds(1))
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(fault))
    _ = world.run(for: .seconds(30))
    #expect(world.first.statistics.peers == 0 && !world.first.isDialling)
  }

  /// Who sees a dial can forge ICMP errors about each of its attempts: the true answer still wins.
  @Test func forgedErrorsDoNotEndADial() throws {
    var world = Self.world(delay: .milliseconds(75))
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<140 {
      _ = world.run(for: .milliseconds(1))
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .portUnreachable, by: .network)
    }
    #expect(world.run(for: .milliseconds(400)) { $0.firstHandler.peers.count == 1 })
    #expect(world.first.statistics(of: peer) != nil && world.firstHandler.closedCount == 0 && !world.first.isDialling)
  }

  /// Where none comes the dial ends with them, within a second.
  @Test func whatTheNetworkSaysAgainEndsADial() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<9 {
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .portUnreachable, by: .network)
      _ = world.run(for: .milliseconds(101))
    }
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.portUnreachable))
  }

  /// Two moments without a network are not the end, either.
  @Test func oldFaultsAreForgotten() throws {
    var world = Self.world()
    world.forth.isDown = true
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<2 {
      _ = world.run(for: .milliseconds(1))
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .noRoute)
      _ = world.run(for: .seconds(5))
    }
    #expect(world.firstHandler.closedCount == 0)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(9)) { $0.firstHandler.peers.count == 1 })
  }

  /// A dial that has a minute goes on asking, with no more slots than any other.
  @Test func aLongDialGoesOnAsking() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(
      to: [Self.deadIPv6, StreamWorld.secondAddress], expecting: .anyone, timeout: .seconds(60))
    _ = world.run(for: .seconds(40))
    #expect(world.firstHandler.closedCount == 0 && world.first.statistics.peers <= 24)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(9)) { $0.firstHandler.peers.count == 1 })
    _ = world.run(for: .seconds(20))
    #expect(world.first.statistics(of: peer) != nil && world.firstHandler.closedCount == 0)
  }

  /// Its last attempts are repeated, and those are short.
  @Test func aLongDialOverATunnelSucceeds() throws {
    var world = Self.world(largest: 1280)
    world.forth.isDown = true
    _ = try world.first.connect(to: [StreamWorld.secondAddress], expecting: .anyone, timeout: .seconds(60))
    _ = world.run(for: .seconds(20))
    world.forth.isDown = false
    #expect(world.run(for: .seconds(20)) { $0.firstHandler.peers.count == 1 })
  }

  /// A neighbour that does not answer is reported every three seconds.
  @Test func aDeadNeighbourEndsADial() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<2 {
      _ = world.run(for: .milliseconds(3060))
      #expect(world.firstHandler.closedCount == 0)
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .hostUnreachable, by: .network)
    }
    _ = world.run(for: .milliseconds(510))
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.hostUnreachable))
  }

  @Test func manyAddressesTakeFewSlots() throws {
    var world = Self.world()
    world.forth.isDown = true
    let list = (1...8).map { Address(ipv4: 0x0A00_0100 + UInt32($0), port: 7) }
    _ = try world.first.connect(to: list, expecting: .anyone)
    _ = world.run(for: .seconds(15))
    #expect(world.first.statistics.peers <= 24 && world.firstHandler.closedCount == 0)
    _ = world.run(for: .seconds(3))
    #expect(world.firstHandler.closedCount == 1 && world.first.statistics.peers == 0)
  }

  /// A moment without a route is not the end.
  @Test func oneFaultEndsNothing() throws {
    var world = Self.world()
    world.forth.isDown = true
    _ = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    Self.refuseAll(&world, to: StreamWorld.secondAddress, .noRoute)
    world.forth.isDown = false
    #expect(world.run(for: .milliseconds(111)) { $0.firstHandler.peers.count == 1 })
  }

  /// Who has not seen message 1 knows no id; who quotes another's is not heard; and a connection does not mind at all.
  @Test func whatIsMadeUpEndsNothing() throws {
    var world = Self.world(delay: .milliseconds(50))
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    for _ in 0..<5 {
      _ = world.run(for: .milliseconds(15))
      for id in Self.attempts(world) {
        world.first.dialRefused(id: id ^ 1 << 40, to: StreamWorld.secondAddress, .portUnreachable, by: .network)
        world.first.dialRefused(id: id, to: Self.elsewhere, .portUnreachable, by: .network)
      }
      world.first.dialRefused(id: 0, to: StreamWorld.secondAddress, .tooLarge, by: .network)
    }
    _ = world.run(for: .milliseconds(50))
    #expect(world.firstHandler.peers.count == 1)
    for slot in Slot.all(world.first.peers.slots) {
      for id in [world.first.peers.rows[slot].connectionID, world.first.peers.rows[slot].remoteID] {
        for _ in 0..<3 {
          world.first.dialRefused(id: id, to: StreamWorld.secondAddress, .portUnreachable, by: .network)
          _ = world.run(for: .milliseconds(100))
        }
      }
    }
    #expect(world.firstHandler.closedCount == 0 && world.first.statistics(of: peer) != nil)
  }

  @Test func aPathThatCarriesNothingIsTold() throws {
    var world = Self.world(largest: 1100)
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    #expect(
      world.run(for: .milliseconds(500)) {
        $0.firstHandler.closedCount == 1
      } == false)
    for _ in 0..<3 {
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .tooLarge)
      _ = world.run(for: .milliseconds(101))
    }
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.tooLarge))
  }

  @Test func portZeroIsTold() throws {
    var world = Self.world()
    let peer = try world.first.connect(to: Address(ipv4: 0x0A00_0002, port: 0), expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.badPort) && world.carried == 0)
  }

  /// What comes back as it was sent has met this side's own socket.
  @Test func anAddressOfOnesOwnIsTold() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    world.inject(world.handshakeDatagram(ofFirst: peer), from: StreamWorld.secondAddress, toSecond: false)
    #expect(world.run(for: .milliseconds(600)) { $0.firstHandler.closedCount == 1 })
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.ownAddress))
    #expect(world.first.statistics.isBalanced)
  }

  @Test func aDialHasItsOwnTime() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(to: StreamWorld.secondAddress, expecting: .anyone, timeout: .seconds(3))
    _ = world.run(for: .milliseconds(2990))
    #expect(world.firstHandler.closedCount == 0)
    _ = world.run(for: .milliseconds(20))
    #expect(world.firstHandler.peers[peer]?.closed == .handshakeTimeout)
  }

  // MARK: Several addresses

  @Test func aDeadAddressCostsAQuarterOfASecond() throws {
    var world = Self.world()
    let peer = try world.first.connect(
      to: [Self.deadIPv6, Self.elsewhere, StreamWorld.secondAddress], expecting: .anyone)
    // Both families by turns: the last of them is the third.
    #expect(world.run(for: .milliseconds(520)) { $0.secondHandler.peers.count == 1 })
    #expect(world.first.statistics(of: peer)?.address == StreamWorld.secondAddress)
    _ = world.run(for: .seconds(1))
    #expect(world.first.statistics.peers == 2, "the connection, and the slot of its handle")
  }

  @Test func theNextAddressIsTriedAtOnceWhenOneFails() throws {
    var world = Self.world()
    _ = try world.first.connect(to: [Self.deadIPv6, StreamWorld.secondAddress], expecting: .anyone)
    _ = world.run(for: .milliseconds(1))
    Self.refuseAll(&world, to: Self.deadIPv6, .noRoute)
    #expect(world.run(for: .milliseconds(11)) { $0.firstHandler.peers.count == 1 })
  }

  @Test func theMostTellingFaultOfAllIsTold() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(
      to: [Self.deadIPv6, StreamWorld.secondAddress, Address(ipv4: 0x0A00_0002, port: 0)], expecting: .anyone)
    for _ in 0..<5 {
      _ = world.run(for: .milliseconds(101))
      Self.refuseAll(&world, to: Self.deadIPv6, .noRoute)
      Self.refuseAll(&world, to: StreamWorld.secondAddress, .portUnreachable)
    }
    _ = world.run(for: .milliseconds(1))
    #expect(world.firstHandler.peers[peer]?.closed == .unreachable(.portUnreachable))
  }

  /// An address that has failed does not end the dial of one that is silent, nor use up its attempts.
  @Test func anAddressThatIsSilentIsWaitedFor() throws {
    var world = Self.world()
    world.forth.isDown = true
    _ = try world.first.connect(to: [Self.deadIPv6, StreamWorld.secondAddress], expecting: .anyone)
    for _ in 0..<5 {
      _ = world.run(for: .milliseconds(101))
      Self.refuseAll(&world, to: Self.deadIPv6, .noRoute)
    }
    _ = world.run(for: .seconds(7))
    #expect(world.firstHandler.closedCount == 0)
    world.forth.isDown = false
    #expect(world.run(for: .seconds(9)) { $0.firstHandler.peers.count == 1 })
  }

  /// An impostor at one address does not end it, either.
  @Test func anUnwantedKeyAtOneAddressLeavesTheOthers() throws {
    var world = Self.world()
    let peer = try world.first.connect(to: [StreamWorld.secondAddress, Self.deadIPv6], expecting: .key(PublicKey()))
    _ = world.run(for: .seconds(2))
    #expect(world.firstHandler.closedCount == 0)
    for _ in 0..<3 {
      Self.refuseAll(&world, to: Self.deadIPv6, .noRoute)
      _ = world.run(for: .milliseconds(101))
    }
    #expect(world.firstHandler.peers[peer]?.closed == .keyRefused)
  }

  @Test func theListIsReadOnceAndBounded() throws {
    let port: UInt16 = 7
    let v4 = (1...10).map { Address(ipv4: UInt32($0), port: port) }
    let v6 = (1...10).map { Address(high: 1, low: UInt64($0), port: port) }
    let list = DialTarget.list([v6[0], v6[0], v6[1]] + v4 + v4 + v6).map(\.address)
    #expect(list == [v6[0], v4[0], v6[1], v4[1], v6[2], v4[2], v6[3], v4[3]])
    // What stands for all addresses of the host is dialled as its loopback.
    let any = DialTarget.list([Address(high: 0, low: 0, port: port), Address(ipv4: 0, port: port)]).map(\.address)
    #expect(any == [Address(high: 0, low: 1, port: port), Address(ipv4: 0x7F00_0001, port: port)])
    var world = Self.world()
    do {
      _ = try world.first.connect(to: [], expecting: .anyone)
      Issue.record("nothing to dial")
    } catch {
      #expect(error == .noAddress)
    }
  }

  /// Closing ends the attempts to all addresses.
  @Test func closingEndsTheAttemptsToAll() throws {
    var world = Self.world()
    world.forth.isDown = true
    let peer = try world.first.connect(
      to: [Self.deadIPv6, StreamWorld.secondAddress, Self.elsewhere], expecting: .anyone)
    _ = world.run(for: .seconds(8))
    #expect(world.first.statistics.peers == 15)
    world.first.close(peer, code: 1)
    _ = world.run(for: .seconds(1))
    #expect(world.firstHandler.peers[peer]?.closed == .local(code: 1) && world.first.statistics.peers == 0)
  }
}
