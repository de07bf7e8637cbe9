// SPDX-License-Identifier: MIT
// Sends back what it gets, to any number of peers. A peer that does not read what it asked for is paused.
//
//   example-echo 127.0.0.1:4433        prints its address and key; `lrp2p pipe --connect ADDRESS --peer KEY` talks to it

import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

struct Echo: WritingHandler {
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard case .full(let accepted) = engine.write(peer, bytes) else { return }
    engine.pause(peer)
    if accepted < bytes.byteCount { engine.close(peer, code: 1, reason: "out of memory") }
  }

  mutating func writable(_ peer: Peer, engine: inout Engine) { engine.resume(peer) }
  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

guard CommandLine.arguments.count == 2, let address = Address(CommandLine.arguments[1]) else {
  print("usage: example-echo HOST:PORT")
  exit(2)
}
// What one peer may hold: bytes that it does not read, and what it sends meanwhile.
var configuration = ReactorConfiguration()
configuration.engine.writePeerBytes = 1 << 20
configuration.engine.receivePeerBytes = 1 << 20
// One that never reads keeps its place: so few that they leave room for others.
configuration.engine.maximumPeers = 1000
configuration.engine.maximumConnectionsPerIdentity = 8
var echo = Echo()
var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
print("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
fflush(nil)
try reactor.run(&echo)
