// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// Moves standard input to one peer and the peer to standard output; never holds more than a ring and a backlog.
struct PipeHandler: Handler {
  /// Bytes that wait for standard output before the peer is paused, and at which it goes on.
  private static let highWater = 1 << 20
  private static let lowWater = 1 << 18

  private(set) var outcome: Result<Void, Failure>?
  private(set) var peer: Peer?
  private var ring = SendRing(capacity: 16 << 20)
  private var output: StandardOutput
  /// As much has come as was asked for (`--bytes`), and the connection ends when the last ACK has left for sure.
  private var endsSoon = false
  private let name: String
  private let endsAfter: UInt64?
  /// Keys of pings that are about to be connected.
  private var pings: Set<PublicKey> = []
  private var isConnected = false
  private var isDialled = false
  private var isPaused = false
  private var inputEnded = false
  private var peerFinished = false
  /// The connection is over but for what the peer has sent.
  private var isDraining = false
  private var acknowledged: UInt64 = 0
  private var received: UInt64 = 0

  /// - Parameter endsAfter: bytes from the peer after which the connection ends; `nil` waits for its FIN.
  init(peerName: String, endsAfter: UInt64?) {
    name = peerName
    self.endsAfter = endsAfter
    output = StandardOutput()
  }

  /// Whether standard input is to be read now.
  var wantsInput: Bool { isConnected && !isDraining && !inputEnded && ring.free >= 1 << 16 && outcome == nil }
  /// Whether it is known how it ends, and everything that came is written: also what came before a peer failed.
  var isDone: Bool { outcome != nil && output.isEmpty }
  /// Whether bytes wait for standard output.
  var wantsOutput: Bool { !output.isEmpty }
  var outputDescriptor: Int32 { output.descriptor }

  /// A pipe has one other end. A ping says what it is: it is answered, and takes nobody's place.
  mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission {
    if PingHandler.isPing(payload), pings.count < 64 {
      pings.insert(key)
      return .accepted
    }
    return peer == nil ? .accepted : .refused(reason: "this end has its peer already")
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if info.isIncoming, pings.remove(info.key) != nil { return }
    guard self.peer == nil || self.peer == peer else {
      engine.close(peer, code: CloseCode.refused, reason: "this end has its peer already")
      return
    }
    self.peer = peer
    isConnected = true
    if ring.end > 0 { engine.offer(peer, upTo: ring.end) }
    if inputEnded { engine.finish(peer) }
  }

  /// Ends it from this side.
  mutating func interrupt(_ engine: inout Engine) {
    if let peer { engine.close(peer, code: CloseCode.interrupted, reason: "the other end was interrupted") }
  }

  mutating func dialled(_ peer: Peer) {
    self.peer = peer
    isDialled = true
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    ring.copy(from: offset, into: &bytes)
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    guard peer == self.peer else { return }
    ring.release(upTo: offset)
    acknowledged = offset
    endIfComplete(&engine)
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard peer == self.peer else { return }
    output.append(bytes)
    received += UInt64(bytes.byteCount)
    if output.count > Self.highWater, !isPaused {
      isPaused = true
      engine.pause(peer)
    }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    guard peer == self.peer else { return }
    peerFinished = true
    output.closeWhenEmpty()
  }

  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    if peer == self.peer { isDraining = true }
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard peer == self.peer, outcome == nil else { return }
    if isUntouched, case .remote(code: 0, _) = reason {
      // It has looked whether somebody is here, and nothing was lost: the next is served.
      (self.peer, isConnected, isPaused, isDraining) = (nil, false, false, false)
      return
    }
    outcome = isSuccess(reason) ? .success(()) : .failure(Failure(reason, of: name, wasAnswered: isConnected))
  }

  /// Whether nothing has gone either way.
  private var isUntouched: Bool { !isDialled && received == 0 && acknowledged == 0 && !peerFinished }

  /// Either both have ended, or the peer has had enough (`--bytes`) when there was nothing left to say.
  private func isSuccess(_ reason: CloseReason) -> Bool {
    switch reason {
    case .finished: true
    case .remote(code: 0, _): endsSoon || peerFinished && inputEnded && acknowledged == ring.end
    default: false
    }
  }

  /// Reads what is there of standard input, as far as the ring takes it.
  mutating func readInput(_ engine: inout Engine) {
    guard let peer, wantsInput else { return }
    let count = unsafe ring.append(limit: 1 << 20) { target in
      var count: Int
      repeat { count = unsafe read(STDIN_FILENO, target.baseAddress!, target.count) } while count < 0 && errno == EINTR
      return count
    }
    if count < 0 {
      if errno == EAGAIN { return }
      // Nothing to send, as with /dev/null.
      if ClosedDescriptors.contains(STDIN_FILENO) { return endInput(peer, &engine) }
      fail("standard input: \(Files.errorText())", &engine)
    } else if count == 0 {
      endInput(peer, &engine)
    } else {
      engine.offer(peer, upTo: ring.end)
    }
  }

  private mutating func endInput(_ peer: Peer, _ engine: inout Engine) {
    inputEnded = true
    engine.finish(peer)
    endIfComplete(&engine)
  }

  /// Writes what standard output takes without waiting.
  mutating func writeOutput(_ engine: inout Engine) {
    guard output.flush() else {
      fail("standard output: \(Files.errorText())", &engine)
      return
    }
    if isPaused, output.count < Self.lowWater, let peer {
      isPaused = false
      engine.resume(peer)
    }
    endIfComplete(&engine)
  }

  private mutating func endIfComplete(_ engine: inout Engine) {
    guard let endsAfter, outcome == nil, received >= endsAfter, inputEnded, acknowledged == ring.end, output.isEmpty,
      !endsSoon
    else { return }
    endsSoon = true
    engine.setTimer(at: engine.now + Self.longestAckDelay, token: 0)
  }

  /// A CLOSE that comes before the ACK would leave the peer in doubt whether its bytes have arrived. Twice
  /// `EngineConfiguration.maximumAckDelay`.
  private static var longestAckDelay: Nanoseconds { .milliseconds(50) }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    guard let peer, outcome == nil else { return }
    outcome = .success(())
    engine.close(peer, code: 0)
  }

  private mutating func fail(_ text: String, _ engine: inout Engine) {
    // What was received and cannot be written is not delivered, whatever the connection came to.
    if case .failure = outcome { return }
    outcome = .failure(Failure(text))
    if let peer { engine.close(peer, code: CloseCode.interrupted, reason: text) }
  }
}
