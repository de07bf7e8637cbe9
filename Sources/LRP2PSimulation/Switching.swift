// SPDX-License-Identifier: MIT
import LRP2PCore

/// Sides that leave a path which still carries datagrams (SWITCH), from a randomness of their own; and somebody near who repeats
/// what the server sends to a client, ahead of it and from an address at which nobody answers.
struct Switching {
  private var random: SeededRandom
  private let clients: Int
  private var ports: UInt16 = 40_000
  private(set) var faults: [String: UInt64] = [:]

  private static var spoofer: Address { Address(ipv4: 0x0A00_0042, port: 666) }

  init(seed: UInt64, clients: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    random = SeededRandom(seed: seed ^ 0x5317_C400_5317_C400)
    self.clients = clients
    for host in 0...clients { network.hosts[host].handler.shunned = Self.spoofer }
  }

  mutating func strike(_ network: inout SimulatedNetwork<BulkHandler>) {
    guard random.happens(0.2) else { return }
    switch random.below(4) {
    case 0: leaveNetwork(&network)
    case 1:
      network.spoofer = network.spoofer == nil ? Self.spoofer : nil
      fallthrough
    case 2:
      count("switch_by_server")
      switchPaths(of: 0, &network)
    default:
      count("switch_of_nothing")
      switchPaths(of: 1 + Int(random.below(UInt64(clients))), &network)
    }
  }

  private mutating func count(_ fault: String) { faults[fault, default: 0] += 1 }

  /// A client takes another network while it is still reached by the one before.
  private mutating func leaveNetwork(_ network: inout SimulatedNetwork<BulkHandler>) {
    let client = 1 + Int(random.below(UInt64(clients)))
    guard let link = network.link(from: 0, to: client) else { return }
    count("network_left")
    network.relays[network.address(of: client)] = Relay(host: client, link: link)
    ports += 1
    network.rebind(client, to: Address(ipv4: 0x0A00_0100 + UInt32(client) + 0x2000, port: ports))
    if random.happens(0.8) { switchPaths(of: client, &network) }
  }

  private func switchPaths(of host: Int, _ network: inout SimulatedNetwork<BulkHandler>) {
    network.onHost(host) { engine, handler in
      for stream in handler.streams where stream.closed == nil && !stream.isHostile { engine.switchPath(stream.peer) }
    }
  }
}
