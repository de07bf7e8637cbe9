import LRP2PSodium
import LRP2PTool
import Testing

@Suite struct FramingTests {
  @Test func headersRoundTrip() throws {
    let header = FileHeader(name: "Grüße.txt", size: 1 << 40)
    let encoded = header.encoded
    for length in 0..<encoded.count {
      let part = try FileHeader.decode(Array(encoded[..<length]))
      #expect(part == nil)
    }
    let whole = try #require(try FileHeader.decode(encoded + [1, 2, 3]))
    #expect(whole.header == header && whole.length == encoded.count)
  }

  @Test(arguments: ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\u{0}b", "a\nb", "a\u{7F}"])
  func namesThatLeaveTheFolder(name: String) {
    #expect(!FileHeader.isAcceptable(name))
    #expect(throws: FileHeader.Failure.unacceptableName) {
      try FileHeader.decode(FileHeader(name: name, size: 1).encoded)
    }
  }

  @Test func otherBytes() {
    #expect(throws: FileHeader.Failure.malformed) { try FileHeader.decode(Array("GET / HTTP/1.1".utf8)) }
    #expect(throws: FileHeader.Failure.malformed) { try FileHeader.decode([0x4C, 0x52, 0x50, 0x46, 2]) }
    // A name that is no UTF-8; a size over 2^63.
    let magic: [UInt8] = FileHeader.magic + [1]
    #expect(throws: FileHeader.Failure.unacceptableName) {
      try FileHeader.decode(magic + [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF])
    }
    #expect(throws: FileHeader.Failure.malformed) {
      try FileHeader.decode(magic + [0, 1, 0xFF, 0, 0, 0, 0, 0, 0, 1, 65])
    }
  }
}

@Suite struct SendRingTests {
  @Test func againstAModel() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var ring = SendRing(capacity: 64)
      var stream: [UInt8] = []
      for _ in 0..<200 {
        switch Int.random(in: 0..<3, using: &generator) {
        case 0:
          let wanted = Int.random(in: 0..<40, using: &generator)
          var written: [UInt8] = []
          let count = unsafe ring.append(limit: wanted) { target in
            for index in 0..<target.count {
              let byte = UInt8.random(in: 0...255, using: &generator)
              unsafe target[index] = byte
              written.append(byte)
            }
            return target.count
          }
          #expect(count == written.count)
          stream += written
          if count > 0 { ring.withNewest(count) { #expect($0.byteCount == count) } }
        case 1:
          ring.release(upTo: UInt64.random(in: ring.start...ring.end, using: &generator))
        default:
          let from = UInt64.random(in: ring.start...ring.end, using: &generator)
          let to = UInt64.random(in: from...ring.end, using: &generator)
          var copied = [UInt8](repeating: 0, count: Int(to - from))
          var elements = copied.mutableSpan
          var bytes = unsafe elements.mutableBytes
          ring.copy(from: from, into: &bytes)
          #expect(copied == Array(stream[Int(from)..<Int(to)]))
        }
      }
    }
  }
}

@Suite struct StreamHashTests {
  /// `printf '' | b2sum -l 256`, and `printf abc | b2sum -l 256`.
  @Test func knownAnswers() {
    var hash = StreamHash()
    #expect(hex(hash.finish()) == "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8")
    let bytes = Array("abc".utf8)
    unsafe hash.update(bytes.span.bytes.extracting(0..<1))
    unsafe hash.update(bytes.span.bytes.extracting(1..<3))
    #expect(hex(hash.finish()) == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}

/// What the tool says while it works.
@Suite struct ProgressTests {
  @Test(
    arguments: [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB"), (1_572_864, "1.5 MiB"),
      (3 << 30, "3.0 GiB"), (.max, "16384.0 PiB"),
    ] as [(UInt64, String)]) func bytes(count: UInt64, text: String)
  {
    #expect(Rate.bytes(count) == text)
  }

  @Test func times() {
    #expect(Rate.time(0.4) == "0:00" && Rate.time(7) == "0:07" && Rate.time(754) == "12:34")
    #expect(Rate.time(3723) == "1:02:03" && Rate.time(.infinity) == "--" && Rate.time(1e9) == "--")
  }

  @Test func lineByLine() {
    var progress = Progress(name: "a.bin", total: 4 << 20, now: 0)
    #expect(progress.line(done: 100, now: 1000) == nil, "not that often")
    #expect(progress.line(done: 1 << 20, now: 500_000_000) == "a.bin  25 %  1.0 MiB of 4.0 MiB  2.0 MiB/s  0:02 left")
    #expect(progress.line(done: 4 << 20, now: 1_000_000_000)?.contains("100 %") == true)
    var stuck = Progress(name: "b", total: 10, now: 0)
    #expect(stuck.line(done: 0, now: 1_000_000_000) == "b  0 %  0 B of 10 B  0 B/s  -- left")
  }

  @Test func roundTrips() {
    var trips = RoundTrips()
    #expect(trips.summary(sent: 2) == "2 sent, 0 received, 100 % lost")
    for trip in [100.0, 300] { trips.add(trip) }
    #expect(trips.summary(sent: 3) == "3 sent, 2 received, 33 % lost, min/avg/max 0.100/0.200/0.300 ms")
  }
}

@Suite struct LimitTimesTests {
  @Test func timeIsPutDownToWhatWasWaitedFor() {
    var times = LimitTimes()
    #expect(times.line == nil)
    times.note(.handshake, now: 1000)
    times.note(.congestionWindow, now: 2000)
    times.note(.pacing, now: 9000)
    times.note(.congestionWindow, now: 10_980)
    times.note(.application, now: 10_990)
    times.note(nil, now: 11_000)
    times.note(nil, now: 99_000)
    #expect(times.line == "limited by: congestion window 70 %, pacing 20 %, handshake 10 %")
  }
}
