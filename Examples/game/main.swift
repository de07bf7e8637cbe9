// SPDX-License-Identifier: MIT
// A game server, and bots that play: 60 times a second everyone gets the state of the world, of which only the newest counts. What a player
// does is sent once; that somebody has scored reaches everyone.
//
//   example-game serve 127.0.0.1:4433              prints its address and key
//   example-game play ADDRESS KEY BOTS SECONDS     prints what the bots got

import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Lane 0 is for what must arrive. Lane 1 goes first, and nothing waits in it but the newest.
let lanes = [LaneConfiguration(), LaneConfiguration(isOrdered: false, priority: 0, whenFull: .keepLatest)]
let (reliable, newest): (Lane, Lane) = (0, 1)
let tick: Nanoseconds = .seconds(1) / 60

struct Server: MessagingHandler {
  private let world: PeerGroup
  private let news: PeerGroup
  private var players = PeerColumn<UInt32>()
  private var ticks: UInt64 = 0
  private var state = [UInt8](repeating: 0, count: 200)

  init(_ engine: inout Engine) {
    world = engine.makeGroup(lane: newest, policy: .keepLatest)
    news = engine.makeGroup(lane: reliable, policy: .close(1), maximumBytes: 64 << 10)
    engine.setTimer(at: engine.now + tick, token: 0)
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    players[peer] = 0
    engine.join(peer, world)
    engine.join(peer, news)
  }

  /// A player has moved; the hundredth move of each scores.
  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    players[peer, default: 0] += 1
    state[peer.index % state.count] &+= 1
    if players[peer] == 100 { engine.publish(Array("player \(peer.index) scores".utf8), to: news) }
  }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    ticks += 1
    for index in 0..<8 { state[index] = UInt8(truncatingIfNeeded: ticks >> (8 * UInt64(index))) }
    engine.publish(state, to: world, until: engine.now + tick, isReliable: false)
    engine.setTimer(at: engine.now + tick, token: 0)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { players[peer] = nil }
}

struct Bots: MessagingHandler {
  private(set) var states = 0
  private(set) var scores = 0
  private(set) var lost = 0
  private var newestTick: UInt64 = 0

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    engine.setTimer(at: engine.now + tick, token: peer.connectionID)
    bots[peer.connectionID] = peer
  }

  private var bots: [UInt64: Peer] = [:]

  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {
    if lane == newest { states += 1 } else { scores += 1 }
  }

  /// A bot moves.
  mutating func timerFired(token: UInt64, engine: inout Engine) {
    guard let peer = bots[token] else { return }
    engine.send(peer, [1, 2, 3, 4], MessageOptions(lane: newest, until: engine.now + tick, isReliable: false))
    engine.setTimer(at: engine.now + tick, token: token)
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    bots[peer.connectionID] = nil
    lost += 1
  }
}

func fail(_ text: String) -> Never {
  print(text)
  exit(2)
}

let arguments = CommandLine.arguments
guard arguments.count >= 3, let address = Address(arguments[2]) else {
  fail("usage: example-game serve HOST:PORT | play HOST:PORT KEY BOTS SECONDS")
}
var configuration = ReactorConfiguration()
configuration.engine.lanes = lanes
switch arguments[1] {
case "serve":
  var reactor = try Reactor(configuration: configuration, identity: Identity(), bind: address, accepting: .anyone)
  print("listening on \(reactor.localAddress) key \(reactor.engine.publicKey)")
  fflush(nil)
  var server = Server(&reactor.engine)
  try reactor.run(&server)
case "play":
  guard arguments.count == 6, let key = PublicKey(arguments[3]), let count = Int(arguments[4]),
    let seconds = UInt64(arguments[5])
  else { fail("usage: example-game play HOST:PORT KEY BOTS SECONDS") }
  var reactor = try Reactor(
    configuration: configuration, identity: Identity(), bind: .any(port: 0), accepting: .nobody)
  var bots = Bots()
  for _ in 0..<count { _ = try reactor.engine.connect(to: address, expecting: .key(key)) }
  let end = ContinuousClock.now + .seconds(Int64(seconds))
  while ContinuousClock.now < end { try reactor.turn(&bots, timeout: .milliseconds(10)) }
  print("\(count) bots got \(bots.states) states of the world and \(bots.scores) scores, \(bots.lost) were lost")
default:
  fail("usage: example-game serve HOST:PORT | play HOST:PORT KEY BOTS SECONDS")
}
