// SPDX-License-Identifier: MIT
// A server with callbacks inside of a loop that is not its own: `poll` waits for the reactor and for standard input, whose end
// ends the program. It tells each peer how much that has sent.
//
//   example-embedded 127.0.0.1:0

import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

struct Counting: WritingHandler {
  private var received = PeerColumn<Int>()
  private(set) var served = 0

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) { received[peer] = 0 }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    received[peer]? += bytes.byteCount
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    engine.write(peer, Array("\(received[peer, default: 0]) bytes, thank you".utf8))
    engine.finish(peer)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    received[peer] = nil
    served += 1
  }
}

guard CommandLine.arguments.count == 2, let address = Address(CommandLine.arguments[1]) else {
  print("usage: example-embedded HOST:PORT")
  exit(2)
}
var handler = Counting()
var reactor = try Reactor(identity: Identity(), bind: address, accepting: .anyone)
print("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
fflush(nil)

var isOpen = true
while isOpen {
  // The loop's own wait, no longer than the reactor's timers allow; rounded up to milliseconds.
  let timeout = reactor.nextTimeout.map { Int32(clamping: ($0 + 999_999) / 1_000_000) } ?? -1
  var descriptors = [
    pollfd(fd: reactor.fileDescriptor, events: Int16(POLLIN), revents: 0),
    pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
  ]
  unsafe poll(&descriptors, 2, timeout)
  // Cheap when nothing is to be done; it also serves the timers, which no descriptor shows.
  try reactor.turn(&handler, timeout: 0)
  if descriptors[1].revents != 0 {
    var byte: UInt8 = 0
    isOpen = unsafe read(STDIN_FILENO, &byte, 1) > 0
  }
}
print("served \(handler.served)")
