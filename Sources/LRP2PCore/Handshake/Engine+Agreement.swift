// SPDX-License-Identifier: MIT
// What both sides of a handshake agree on.

extension Engine {
  /// What both sides speak over this connection: of the dialler's `EngineConfiguration.applicationProtocols` the first that the listener
  /// has. `nil` until the handshake is done, where this side has none configured, with the original peer, and when the handle is void.
  public func applicationProtocol(of peer: Peer) -> ApplicationProtocol? {
    known(peer).flatMap { applicationProtocol($0) }
  }

  func applicationProtocol(_ slot: Slot) -> ApplicationProtocol? {
    let index = Int(peers.headers[slot].applicationProtocol)
    return index == 0 ? nil : configuration.applicationProtocols[index - 1]
  }

  /// The responder's choice: the first AEAD of the initiator's that it has too.
  func choose(_ parameters: HandshakeParameters) -> AEAD? {
    for index in 0..<parameters.aeadCount {
      if let aead = ownAEAD(parameters.aeads[index]) { return aead }
    }
    return nil
  }

  /// The AEAD of this number, if this side has it.
  func ownAEAD(_ number: UInt8) -> AEAD? {
    guard let aead = AEAD(rawValue: number), configuration.aeads.contains(aead), suite.supports(aead) else {
      return nil
    }
    return aead
  }

  /// Which of its application protocols this side speaks over the connection, counted from 1: the first that the other lists or has
  /// named, whose parameters were read from the start of `scratch`. 0 if this side has none, `nil` if none is common.
  func agreedProtocol(_ parameters: HandshakeParameters) -> Int? {
    if protocolNames.isEmpty { return 0 }
    let index = protocolNames.first(
      in: scratch.bytes(parameters.protocols.lowerBound, parameters.protocols.count))
    return index == 0 ? nil : index
  }
}
