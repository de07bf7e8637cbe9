// SPDX-License-Identifier: MIT
// A server that publishes to any number of subscribers, and survives those that stand still. It holds at most 64 KiB for each.
//
//   example-publisher serve 127.0.0.1:0                              prints its address and key
//   example-publisher subscribe 127.0.0.1:PORT KEY COUNT MESSAGES    that many subscribers, until each has that many messages

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

func subscribe(to address: Address, key: PublicKey, count: Int, messages: Int) throws {
  var subscribers = Subscribers(wanted: messages)
  var reactor = try Reactor(identity: Identity(), bind: .any(port: 0), accepting: .nobody)
  for _ in 0..<count { _ = try reactor.engine.connect(to: address, expecting: .key(key)) }
  while subscribers.ended < count { try reactor.turn(&subscribers, timeout: nil) }
  try reactor.flush(&subscribers)
  print("\(subscribers.finished) of \(count) subscribers got \(messages) messages")
  if subscribers.finished < count { exit(1) }
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
  if arguments.count == 2, arguments[0] == "serve", let address = Address(arguments[1]) {
    try serve(address)
  } else if arguments.count == 5, arguments[0] == "subscribe", let address = Address(arguments[1]),
    let key = PublicKey(arguments[2]), let count = Int(arguments[3]), let messages = Int(arguments[4]),
    (1...100_000).contains(count), (1...100_000_000).contains(messages)
  {
    try subscribe(to: address, key: key, count: count, messages: messages)
  } else {
    print("usage: example-publisher serve HOST:PORT | subscribe HOST:PORT KEY COUNT MESSAGES")
    exit(2)
  }
} catch {
  print("example-publisher: \(error)")
  exit(1)
}
