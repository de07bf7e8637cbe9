// SPDX-License-Identifier: MIT
// Runs what handles secrets with these marked as undefined for valgrind's memcheck, which then reports every branch and every
// address that depends on one. scripts/check-constant-time runs it and says which reports are none.
//   constant-time            the library
//   constant-time leak       a branch and an address that do depend on a secret: both have to be reported
import CMemcheck
import LRP2PCore
import LRP2PIPSecMB
import LRP2PSodium

guard memcheck_is_running() != 0 else { fatalError("only under valgrind") }

/// Bytes each way: some hundreds of datagrams, so several epochs of the keys.
let amount: UInt64 = 400_000

/// Both ends of a connection that sends and receives.
struct Talker: Handler {
  var peer: Peer?
  var received: UInt64 = 0

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    self.peer = peer
    engine.offer(peer, upTo: amount)
  }
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) { received += UInt64(bytes.byteCount) }
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    for index in 0..<bytes.byteCount { bytes.storeBytes(of: 1, toByteOffset: index, as: UInt8.self) }
  }
  mutating func finished(_ peer: Peer, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// An engine whose secrets are hidden. The tag of its ids is none: it is in each of them, and the kernel has it.
func makeEngine(_ configuration: EngineConfiguration, _ suite: HidingSuite, seed: UInt64) -> Engine {
  let secret = hiddenKey()
  var keys = StatelessKeys(identity: secret, suite: suite)
  unsafe memcheck_show(&keys.tag, MemoryLayout<IDHash>.size)
  return Engine(configuration: configuration, secretKey: secret, suite: suite, seed: seed, now: 0, keys: keys)
}

/// Two engines, a handshake, data under keys that change, and forgeries.
func talk(_ make: () -> any CipherSuite, _ aead: AEAD) {
  var configuration = EngineConfiguration()
  configuration.aeads = aead == .chacha20Poly1305 ? [aead] : [aead, .chacha20Poly1305]
  configuration.keyEpochBits = 6
  var dialler = makeEngine(configuration, HidingSuite(make()), seed: 1)
  var listener = makeEngine(configuration, HidingSuite(make()), seed: 2)
  var (ours, theirs) = (Talker(), Talker())
  var forth = DatagramBatch(messages: 4, messageCapacity: 65_000)
  var back = DatagramBatch(messages: 4, messageCapacity: 65_000)
  do { _ = try dialler.connect(to: Address(ipv4: 0x7F00_0001, port: 1), expecting: .key(listener.publicKey)) } catch {
    fatalError("\(error)")
  }
  var now: Instant = .seconds(1)
  var changed = 0
  for _ in 0..<20_000 where ours.received < amount || theirs.received < amount {
    now += .microseconds(500)
    if back.count > 0 { dialler.receive(&back, now: now, handler: &ours) }
    back.clear()
    dialler.expire(now: now, handler: &ours)
    dialler.transmit(into: &forth, now: now, handler: &ours)
    if changed < 5, theirs.received > 0, forth.used > 100 {
      changed += 1
      // The last byte of the first message: a forged tag.
      let last = forth.messages[0].offset + forth.messages[0].length - 1
      let byte = forth.arena.bytes(last, 1).byte(0)
      var forged = forth.arena.mutableBytes(last, 1)
      forged.setByte(0, byte ^ 1)
    }
    listener.receive(&forth, now: now, handler: &theirs)
    forth.clear()
    listener.expire(now: now, handler: &theirs)
    listener.transmit(into: &back, now: now, handler: &theirs)
  }
  let forged = listener.statistics.authenticationFailures
  guard ours.received == amount, theirs.received == amount, forged > 0 else {
    fatalError("\(ours.received) and \(theirs.received) bytes, \(forged) forgeries")
  }
  print("\(dialler.aeadProvider), \(aead): \(ours.received + theirs.received) bytes, \(forged) forgeries")
}

/// What is compared with a secret, with equal values and with others: the result is told to everybody, how it came about is not.
@inline(never)
func told(_ result: Bool) -> Bool {
  var result = result
  unsafe memcheck_show(&result, 1)
  return result
}

func compare() {
  let suite = HidingSuite(SodiumSuite())
  var keys = CookieKeys(identity: suite.randomKey(), boot: 1, suite: suite)
  let address = Address(ipv4: 0x7F00_0001, port: 1)
  for isLasting in [false, true] {
    var cookie = keys.issue(isLasting: isLasting, to: address, token: (1, 2), now: 0, suite: suite)
    unsafe memcheck_show(&cookie, MemoryLayout<Cookie>.size)
    let right = told(keys.accepts(cookie, from: address, token: (1, 2), now: 1, suite: suite))
    cookie.tag.1 ^= 1
    let wrong = told(keys.accepts(cookie, from: address, token: (1, 2), now: 1, suite: suite))
    cookie.tag.0 ^= 1
    let worse = told(keys.accepts(cookie, from: address, token: (1, 2), now: 1, suite: suite))
    precondition(right && !wrong && !worse)
    let shown = cookie
    var hidden = cookie
    unsafe memcheck_hide(&hidden.tag, 16)
    precondition(told(shown == hidden))
  }
  var secret = hiddenKey()
  let pin = PublicKey(bytes: secret.bytes)
  unsafe memcheck_show(&secret, 32)
  for index in [-1, 0, 9, 31] {
    var key = secret
    if index >= 0 { key[index] ^= 1 }
    precondition(told(pin == PublicKey(bytes: key.bytes)) == (index < 0))
  }
  // What a peer has told, and what is shown by who may have made it up.
  let stateless = StatelessKeys(identity: suite.randomKey(), suite: suite)
  let token = ResetToken(key: stateless.resets, id: 5, address: address, suite: suite)
  var copy = token
  unsafe memcheck_show(&copy, ResetToken.length)
  var bytes = [UInt8](repeating: 0, count: ResetToken.length)
  for index in [-1, 0, 7, 8, 15] {
    var elements = bytes.mutableSpan
    var target = unsafe elements.mutableBytes
    copy.write(into: &target, at: 0)
    if index >= 0 { bytes[index] ^= 1 }
    let other = unsafe ResetToken(bytes.span.bytes)
    precondition(told(token == other) == (index < 0))
  }
  print("cookies, pins and reset tokens")
}

@inline(never)
func branched(_ sum: inout Int) { sum += 1 }

func leak() {
  let table: [Int] = (0..<256).map { $0 &* 7 }
  let key = hiddenKey()
  var sum = 0
  if key[3] & 1 == 0 { branched(&sum) }
  sum += table[Int(key[5])]
  unsafe memcheck_show(&sum, 8)
  print("a leak: \(sum)")
}

if CommandLine.arguments.contains("leak") {
  leak()
} else {
  compare()
  for aead in AEAD.allCases where SodiumSuite().supports(aead) {
    talk({ SodiumSuite() }, aead)
    if (try? IPSecMBSuite(handshakes: SodiumSuite())) != nil {
      talk({ try! IPSecMBSuite(handshakes: SodiumSuite()) }, aead)
    }
  }
}
