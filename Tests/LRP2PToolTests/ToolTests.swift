// SPDX-License-Identifier: MIT
import LRP2PSodium
import LRP2PTool
import Testing

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

  @Test func aDigestInBetweenChangesNothing() {
    var hash = StreamHash()
    let bytes = Array("abc".utf8)
    unsafe hash.update(bytes.span.bytes.extracting(0..<1))
    let early = hash.digest()
    let again = hash.digest()
    unsafe hash.update(bytes.span.bytes.extracting(1..<3))
    let whole = hash.digest()
    #expect(early == again && hex(whole) == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
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
    var progress = Progress(now: 0)
    func line(_ done: UInt64, now: UInt64) -> String? {
      progress.line("a.bin", done: done, total: 4 << 20, columns: 80, now: now)
    }
    #expect(line(100, now: 1000) == nil, "not that often")
    #expect(line(1 << 20, now: 500_000_000) == "a.bin  25 %  0.017 Gbit/s  0:02 left  1.0 MiB of 4.0 MiB")
    #expect(line(4 << 20, now: 1_000_000_000)?.contains("100 %") == true)
    var stuck = Progress(now: 0)
    #expect(
      stuck.line("b", done: 0, total: 10, columns: 80, now: 1_000_000_000)
        == "b  0 %  0.000 Gbit/s  -- left  0 B of 10 B")
  }

  /// It has fewer columns than the terminal, or the cursor goes to the next line.
  @Test(arguments: [
    (200, "a name that is really quite long.tar.gz  50 %  0.017 Gbit/s  0:02 left  2.0 MiB of 4.0 MiB"),
    (80, "a name that is …ly quite long.tar.gz  50 %  0.017 Gbit/s  0:02 left  2.0 MiB of 4.0 MiB"),
    (50, "a name that …ng.tar.gz  50 %  0.017 Gbit/s"), (20, "a na…r.gz  50 %"), (4, "50 "),
  ]) func itFitsTheTerminal(columns: Int, text: String) {
    for title in ["a name that is really quite long.tar.gz", "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"] {
      var progress = Progress(now: 0)
      let line = progress.line(title, done: 2 << 20, total: 4 << 20, columns: columns, now: 1_000_000_000) ?? ""
      #expect(Columns.count(line) < max(columns - 2, 1))
    }
  }

  @Test func namesAreCutInTheMiddle() {
    #expect(Columns.cut("abcdef", to: 6) == "abcdef" && Columns.cut("abcdefg", to: 6) == "abc…fg")
    #expect(Columns.cut("漢字漢字", to: 5) == "漢…字" && Columns.count("e\u{301}漢") == 3)
  }

  @Test(
    arguments: [
      ("0", 0), ("7", 7), ("2K", 2048), ("3m", 3 << 20), ("1G", 1 << 30), ("8T", 8 << 40), ("", nil), ("K", nil),
      ("-1", nil), ("1.5G", nil), ("9999999999999999999", nil), ("8000000T", 8_000_000 << 40), ("9000000T", nil),
    ] as [(String, UInt64?)]) func byteCounts(text: String, bytes: UInt64?)
  {
    #expect(Rate.byteCount(text) == bytes)
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_796_083_176, "2026-11-30T23:59:36Z"),
      (-1, "1969-12-31T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] as [(Int64, String)]) func timesOfDay(seconds: Int64, text: String)
  {
    #expect(Moment.text(seconds) == text)
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
