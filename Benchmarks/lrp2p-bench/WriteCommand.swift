// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2P
import LRP2PCore
import LRP2PReactor

/// What `Engine.write` costs beside a program that keeps the bytes itself.
struct WriteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write",
    abstract: "Bulk data that is echoed: by README's server, and by one that keeps its bytes in a ring.",
    discussion: """
      Client and server are two reactors that one thread turns, over loopback. Both servers echo the same bytes by turns; each \
      figure is the median of the rounds. The last column is README's server as a part of the other.
      """)

  @Option(help: ArgumentHelp("Bytes of a round.", valueName: "n"))
  var bytes: UInt64 = 256 << 20

  @Option(help: ArgumentHelp("Rounds of each.", valueName: "n"))
  var rounds = 5

  @Flag(help: "One JSON object.")
  var json = false

  func run() throws {
    guard rounds > 0, bytes > 0 else { throw Failure("--rounds and --bytes must be above 0") }
    var (written, ringed): ([Double], [Double]) = ([], [])
    for _ in 0..<rounds {
      var ring = RingEcho()
      ringed.append(try EchoRound(bytes).run(&ring))
      var echo = WrittenEcho()
      written.append(try EchoRound(bytes).run(&echo))
    }
    let (write, fill) = (median(written), median(ringed))
    if json {
      Output.line("{\"write_bytes_per_second\": \(Int(write)), \"fill_bytes_per_second\": \(Int(fill))}")
    } else {
      Output.line("write \(Int(write / 1e6)) MB/s, fill \(Int(fill / 1e6)) MB/s, \(Int(100 * write / fill)) %")
    }
  }

  private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}

/// README's echo server.
private struct WrittenEcho: WritingHandler {
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard case .full(let accepted) = engine.write(peer, bytes) else { return }
    engine.pause(peer)
    if accepted < bytes.byteCount { engine.close(peer, code: 1, reason: "out of memory") }
  }

  mutating func writable(_ peer: Peer, engine: inout Engine) { engine.resume(peer) }
  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// The same with a ring of its own, for one peer.
private struct RingEcho: Handler {
  private var ring = [UInt8](repeating: 0, count: 4 << 20)
  private var total: UInt64 = 0
  private var acknowledged: UInt64 = 0
  private var isPaused = false

  private var room: Int { ring.count - Int(total - acknowledged) }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    let start = Int(total) & (ring.count - 1)
    let first = min(bytes.byteCount, ring.count - start)
    var span = ring.mutableSpan
    var target = unsafe span.mutableBytes
    target.copy(bytes.extracting(0..<first), to: start)
    if first < bytes.byteCount { target.copy(bytes.extracting(first..<bytes.byteCount), to: 0) }
    total &+= UInt64(bytes.byteCount)
    engine.offer(peer, upTo: total)
    if room < 16_384 {
      isPaused = true
      engine.pause(peer)
    }
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    let start = Int(offset) & (ring.count - 1)
    let first = min(bytes.byteCount, ring.count - start)
    let source = unsafe ring.span.bytes
    bytes.copy(source.extracting(start..<start + first), to: 0)
    if first < bytes.byteCount { bytes.copy(source.extracting(0..<bytes.byteCount - first), to: first) }
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    acknowledged = offset
    if isPaused, room >= ring.count / 2 {
      isPaused = false
      engine.resume(peer)
    }
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) { engine.finish(peer) }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
}

/// Sends a pattern, and checks what comes back.
private struct EchoAsker: Handler {
  private let pattern = Pattern(number: 0)
  private(set) var check = StreamCheck()
  private(set) var end: CloseReason?

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) { check.take(bytes) }
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    pattern.fill(offset: offset, into: &bytes)
  }
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) { end = reason }
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
}

private struct EchoRound {
  private let bytes: UInt64

  init(_ bytes: UInt64) { self.bytes = bytes }

  /// - Returns: bytes a second that came back.
  func run<Server: Handler>(_ handler: inout Server) throws -> Double {
    let loopback = Address("127.0.0.1:0")!
    let identity = Identity()
    var server = try Reactor(identity: identity, bind: loopback, accepting: .anyone)
    var client = try Reactor(identity: Identity(), bind: loopback, accepting: .anyone)
    var asker = EchoAsker()
    let peer = try client.engine.connect(to: server.localAddress, expecting: .key(identity.publicKey))
    client.engine.offer(peer, upTo: bytes)
    client.engine.finish(peer)
    let start = currentInstant()
    while asker.check.count < bytes, asker.end == nil {
      try client.turn(&asker, timeout: 0)
      try server.turn(&handler, timeout: client.nextTimeout == 0 ? 0 : .milliseconds(1))
    }
    let seconds = Double(currentInstant() - start) / 1e9
    guard asker.check.count == bytes, asker.check.isRight else {
      throw Failure("\(asker.check.count) of \(bytes) bytes came back\(asker.check.isRight ? "" : ", and wrong")")
    }
    return Double(bytes) / seconds
  }
}
