// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

@Suite(.serialized, .timeLimit(.minutes(2))) struct BlockingTests {
  @Test func echoes() throws {
    let pair = try EndpointPair(.small)
    let content = streamBytes(0..<100_000)
    let echoed = Rendezvous<Bool>()
    try Thread.start("echo") {
      do {
        let connection = try pair.server.blocking.accept().blocking
        while true {
          let bytes = try connection.read(upTo: 2000)
          if bytes.isEmpty { break }
          try connection.write(bytes)
        }
        try connection.flush()
        connection.connection.finish()
        echoed.deliver(try connection.closed() == .finished)
      } catch {
        Issue.record("\(error)")
        echoed.deliver(false)
      }
    }
    let client = try pair.client.blocking.connect(to: pair.server.localAddress, expecting: .key(pair.server.publicKey))
    let written = Rendezvous<Bool>()
    try Thread.start("write") {
      do {
        try client.blocking.write(content)
        client.finish()
        written.deliver(true)
      } catch {
        Issue.record("\(error)")
        written.deliver(false)
      }
    }
    var all: [UInt8] = []
    while true {
      let bytes = try client.blocking.read()
      if bytes.isEmpty { break }
      all += bytes
    }
    #expect(all == content)
    #expect(written.wait())
    #expect(echoed.wait())
    pair.client.blocking.close()
    pair.server.blocking.close()
    #expect(throws: TransportError.endpointClosed) { _ = try pair.server.blocking.accept() }
  }

  /// In a `release` they would wait for themselves.
  @Test func ownThreadIsRefused() throws {
    let pair = try EndpointPair()
    let client = try pair.client.blocking.connect(to: pair.server.localAddress, expecting: .anyone)
    let memory = Memory([1, 2, 3])
    let ended = Rendezvous<[TransportError]>()
    try unsafe client.blocking.write(memory.bytes) {
      var errors: [TransportError] = []
      func note(_ body: () throws(TransportError) -> Void) {
        do throws(TransportError) { try body() } catch { errors.append(error) }
      }
      note { () throws(TransportError) in _ = try client.blocking.read() }
      note { () throws(TransportError) in try client.blocking.write([1]) }
      note { () throws(TransportError) in try client.blocking.flush() }
      note { () throws(TransportError) in _ = try client.blocking.closed() }
      note { () throws(TransportError) in _ = try pair.client.blocking.accept() }
      note { () throws(TransportError) in
        _ = try pair.client.blocking.connect(to: pair.server.localAddress, expecting: .anyone)
      }
      pair.client.blocking.close()
      ended.deliver(errors)
    }
    #expect(ended.wait() == Array(repeating: .ownThread, count: 6))
    pair.client.blocking.close()
    pair.server.blocking.close()
  }

  @Test func closeEndsWaits() throws {
    let pair = try EndpointPair()
    let client = try pair.client.blocking.connect(to: pair.server.localAddress, expecting: .anyone)
    let server = try pair.server.blocking.accept()
    let ended = Rendezvous<TransportError?>()
    try Thread.start("read") {
      do throws(TransportError) {
        _ = try client.blocking.read()
        ended.deliver(nil)
      } catch { ended.deliver(error) }
    }
    server.close(code: 5)
    #expect(ended.wait() == .closed(.remote(code: 5, reason: "")))
    pair.client.blocking.close()
    pair.server.blocking.close()
  }
}
