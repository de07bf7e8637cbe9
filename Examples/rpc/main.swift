// SPDX-License-Identifier: MIT
// Calls and answers: each call is a message with a number, and so is its answer, in an unordered lane. Small ones do not wait for large
// ones, and a call that is not answered in time is given up.
//
//   example-rpc serve 127.0.0.1:4433       prints its address and key
//   example-rpc call ADDRESS KEY COUNT     makes so many calls at once: the answer is what was sent, backwards

import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Small answers go before large ones.
let lanes = [LaneConfiguration(isOrdered: false, priority: 1), LaneConfiguration(isOrdered: false, priority: 3)]

extension RawSpan {
  var array: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}

/// The first eight bytes are the number of a call.
func number(of message: [UInt8]) -> UInt64 { message.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

struct Server: MessagingHandler {
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}

  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    let call = message.array
    guard call.count >= 8 else { return }
    let answer = Array(call.prefix(8) + call.dropFirst(8).reversed())
    // A caller that takes no answers loses its place.
    if engine.send(peer, answer, MessageOptions(lane: answer.count > 1000 ? 1 : 0)) != .queued {
      engine.close(peer, code: 1, reason: "answers are not taken")
    }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

struct Caller: MessagingHandler {
  let count: Int
  private(set) var answered = 0
  private(set) var late = 0
  private(set) var wrong = 0
  private(set) var end: CloseReason?
  private var open: [UInt64: [UInt8]] = [:]

  init(count: Int) { self.count = count }

  var isDone: Bool { answered + late + wrong == count || end != nil }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    for index in 0..<count {
      let call = UInt64(index)
      // Every hundredth is a long one.
      let body = (0..<(index % 100 == 0 ? 100_000 : 20)).map { UInt8(truncatingIfNeeded: $0 &+ index) }
      let message = (0..<8).map { UInt8(truncatingIfNeeded: call >> (56 - 8 * UInt64($0))) } + body
      guard engine.send(peer, message, MessageOptions(lane: message.count > 1000 ? 1 : 0)) == .queued else {
        wrong += 1
        continue
      }
      open[call] = body
      engine.setTimer(at: engine.now + .seconds(5), token: call)
    }
  }

  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    let answer = message.array
    guard let body = open.removeValue(forKey: number(of: answer)) else { return }
    if answer.dropFirst(8).elementsEqual(body.reversed()) { answered += 1 } else { wrong += 1 }
  }

  /// A call's time has passed.
  mutating func timerFired(token: UInt64, engine: inout Engine) {
    if open.removeValue(forKey: token) != nil { late += 1 }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { end = reason }
}

func fail(_ text: String) -> Never {
  print(text)
  exit(2)
}

let arguments = CommandLine.arguments
guard arguments.count >= 3, let address = Address(arguments[2]) else {
  fail("usage: example-rpc serve HOST:PORT | call HOST:PORT KEY COUNT")
}
var configuration = ReactorConfiguration()
configuration.engine.lanes = lanes
if arguments[1] == "serve" {
  var server = Server()
  var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
  print("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
  fflush(nil)
  try reactor.run(&server)
}
guard arguments.count == 5, let key = PublicKey(arguments[3]), let count = Int(arguments[4]) else {
  fail("usage: example-rpc call HOST:PORT KEY COUNT")
}
var caller = Caller(count: count)
var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .nobody)
_ = try reactor.engine.connect(to: address, expecting: .key(key))
while !caller.isDone { try reactor.turn(&caller, timeout: .milliseconds(100)) }
print("\(caller.answered) of \(count) calls were answered, \(caller.late) too late, \(caller.wrong) wrong")
exit(caller.answered == count ? 0 : 1)
