// SPDX-License-Identifier: MIT
import LRP2PCore

/// Two hosts and a link each way between them.
package struct World<H: Handler>: ~Copyable {
  package var network: SimulatedNetwork<H>

  package static var firstAddress: Address { Address(ipv4: 0x0A00_0001, port: 1000) }
  package static var secondAddress: Address { Address(ipv4: 0x0A00_0002, port: 2000) }

  package init(
    seed: UInt64, configuration: EngineConfiguration, second: EngineConfiguration? = nil, link: Link, firstHandler: H,
    secondHandler: H, batchMessages: Int = 64, largestDatagram: Int = Datagram.maximumLength
  ) {
    network = SimulatedNetwork(seed: seed, largestDatagram: largestDatagram, batchMessages: batchMessages)
    network.addHost(firstHandler, at: Self.firstAddress, configuration: configuration)
    network.addHost(secondHandler, at: Self.secondAddress, configuration: second ?? configuration)
    network.route(from: 0, to: 1, over: network.addLink(link))
    network.route(from: 1, to: 0, over: network.addLink(link))
  }

  package var now: Instant { network.now }
  package var first: Engine {
    _read { yield network.hosts[0].engine }
    _modify { yield &network.hosts[0].engine }
  }
  package var second: Engine {
    _read { yield network.hosts[1].engine }
    _modify { yield &network.hosts[1].engine }
  }
  package var firstHandler: H {
    _read { yield network.hosts[0].handler }
    _modify { yield &network.hosts[0].handler }
  }
  package var secondHandler: H {
    _read { yield network.hosts[1].handler }
    _modify { yield &network.hosts[1].handler }
  }
  /// From the first host to the second, and back.
  package var forth: Link {
    get { network[link: 0] }
    set { network[link: 0] = newValue }
  }
  package var back: Link {
    get { network[link: 1] }
    set { network[link: 1] = newValue }
  }
  /// Where the first host is at present.
  package var presentAddress: Address {
    get { network.address(of: 0) }
    set { network.rebind(0, to: newValue) }
  }
  /// Repeats everything from the first host under an address of its own, ahead of the original.
  package var spoofer: Address? {
    get { network.spoofer }
    set { network.spoofer = newValue }
  }
  /// Whether the spoofer passes on what it is answered, as if from the second host.
  package var spooferForwards: Bool {
    get { network.spooferForwards }
    set { network.spooferForwards = newValue }
  }
  /// Where a relay stands for the second host, and for the first.
  package static var relayOfSecond: Address { Address(ipv4: 0x0A00_0032, port: 5002) }
  package static var relayOfFirst: Address { Address(ipv4: 0x0A00_0032, port: 5001) }

  /// Adds the relay, with a link each way.
  /// - Returns: the number of the link to the second host; the next is that of the way back.
  package mutating func addRelay(_ link: Link) -> Int {
    let number = network.addLink(link)
    network.relays[Self.relayOfSecond] = Relay(host: 1, source: Self.relayOfFirst, link: number)
    network.relays[Self.relayOfFirst] = Relay(host: 0, source: Self.relayOfSecond, link: network.addLink(link))
    return number
  }

  /// The first host leaves from another address from now on, and is still reached at the one before.
  package mutating func leaveFrom(_ address: Address) {
    network.relays[presentAddress] = Relay(host: 0, link: 1)
    presentAddress = address
  }

  /// The same of the second host.
  package mutating func secondLeavesFrom(_ address: Address) {
    network.relays[network.address(of: 1)] = Relay(host: 1, link: 0)
    network.rebind(1, to: address)
  }

  package var carried: UInt64 { network.counters(ofLink: 0).datagrams + network.counters(ofLink: 1).datagrams }

  /// Goes on until `isDone` or `limit` nanoseconds have passed.
  /// - Returns: whether it was done.
  package mutating func run(
    for limit: Nanoseconds, until isDone: (borrowing World<H>) -> Bool = { _ in false }
  ) -> Bool {
    let end = now + limit
    // In steps of what happens next, as the condition is about this world.
    while !isDone(self) {
      guard now < end else { return false }
      network.step(until: end)
    }
    return true
  }

  /// Puts a datagram of anyone's making on its way to the second host, at once.
  package mutating func inject(_ bytes: [UInt8], from address: Address, toSecond: Bool = true) {
    unsafe network.inject(bytes.span.bytes, from: address, to: toSecond ? 1 : 0)
  }

  /// The handshake message that a dial of the first host has sent.
  package func handshakeDatagram(ofFirst peer: Peer) -> [UInt8] {
    Self.handshakeDatagram(network.hosts[0].engine, peer.slot)
  }

  /// The one in a slot of the second host.
  package func handshakeDatagram(ofSecond slot: Slot) -> [UInt8] {
    Self.handshakeDatagram(network.hosts[1].engine, slot)
  }

  private static func handshakeDatagram(_ engine: borrowing Engine, _ slot: Slot) -> [UInt8] {
    let bytes = engine.peers.handshakes[slot].datagram.bytes(0, engine.peers.handshakes[slot].length)
    return (0..<bytes.byteCount).map { bytes.byte($0) }
  }

  /// Seals `plaintext` as the next datagram of one side of an established connection and delivers it at once, from that host's first
  /// address or another. Nothing happens when that side has no keys any more.
  package mutating func injectSealed(_ plaintext: [UInt8], fromFirst: Bool, peer: Peer, from address: Address? = nil) {
    let slot = peer.slot
    let bytes = fromFirst ? Self.seal(plaintext, slot, &first) : Self.seal(plaintext, slot, &second)
    guard let bytes else { return }
    inject(bytes, from: address ?? (fromFirst ? Self.firstAddress : Self.secondAddress), toSecond: fromFirst)
  }

  private static func seal(_ plaintext: [UInt8], _ slot: Slot, _ engine: inout Engine) -> [UInt8]? {
    guard slot.index < engine.peers.slots, engine.peers.keys[PeerTable.sealingRow(slot)].aead != 0 else { return nil }
    let packetNumber = engine.peers.rows[slot].sendPacketNumber
    engine.peers.rows[slot].sendPacketNumber += 1
    return sealed(
      plaintext, id: engine.peers.rows[slot].remoteID, packetNumber: packetNumber,
      key: engine.peers.keys[PeerTable.sealingRow(slot)])
  }

  /// A datagram as whoever has `key` would seal it.
  package static func sealed(_ plaintext: [UInt8], id: UInt64, packetNumber: UInt64, key: TrafficKey) -> [UInt8] {
    var datagram = [UInt8](repeating: 0, count: 16) + plaintext + [UInt8](repeating: 0, count: 16)
    for index in 0..<8 {
      datagram[index] = UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64(index)))
      datagram[8 + index] = UInt8(truncatingIfNeeded: packetNumber >> (56 - 8 * UInt64(index)))
    }
    ClearSuite.seal(&datagram, packetNumber: packetNumber, key: key)
    return datagram
  }
}
