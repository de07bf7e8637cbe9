// A server that publishes to any number of subscribers, and survives those that stand still. It holds at most 64 KiB for each.

import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

func serve(_ address: Address) throws {
  var configuration = ReactorConfiguration()
  // The most that a subscriber can hold up, and all of them together.
  configuration.engine.writePeerBytes = 64 << 10
  configuration.engine.writePoolBytes = 128 << 20
  // Subscribers are not expected to send.
  configuration.engine.receivePeerBytes = 64 << 10
  configuration.engine.receivePoolBytes = 16 << 20
  configuration.engine.maximumPeers = 10_000
  var publisher = Publisher(patience: .seconds(2), pause: .milliseconds(20))
  var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
  print("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
  fflush(nil)
  // The first message; each timer sets the next.
  reactor.engine.setTimer(at: reactor.engine.now + .milliseconds(20), token: 0)
  try reactor.run(&publisher)
}

try serve(Address("127.0.0.1:4433")!)
