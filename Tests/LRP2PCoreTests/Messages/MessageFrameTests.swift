// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Frames of a segment of messages, as they are written and as anybody may have written them.
@Suite struct MessageFrameTests {
  private static let numbers: [UInt32] = [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1]

  /// All frames of a segment; `nil` where one is malformed.
  private func frames(_ bytes: [UInt8]) -> [MessageFrame]? {
    var frames: [MessageFrame] = []
    var at = 0
    while at < bytes.count {
      let before = at
      guard let frame = try? MessageFrame.read(bytes.raw, at: &at) else { return nil }
      // It moves on, and stays within the bytes.
      guard at > before, at <= bytes.count, frame.start >= 0, frame.length >= 0,
        frame.start + frame.length <= bytes.count, frame.number <= MessageFrame.numberMask
      else {
        Issue.record("beyond the bytes: \(frame) of \(bytes)")
        return nil
      }
      if frame.kind == .fragment, frame.length == 0 || frame.offset + frame.length > frame.total {
        Issue.record("beyond the message: \(frame)")
      }
      frames.append(frame)
    }
    return frames
  }

  private func isEqual(_ a: MessageFrame, _ b: MessageFrame) -> Bool {
    a.kind == b.kind && a.lane == b.lane && a.isOrdered == b.isOrdered && a.number == b.number && a.offset == b.offset
      && a.total == b.total && a.length == b.length
  }

  /// One of each kind and order, with numbers and lengths at which an integer needs another byte.
  private static var samples: [(frame: MessageFrame, bytes: [UInt8], isLast: Bool)] {
    var samples: [(MessageFrame, [UInt8], Bool)] = []
    for kind in [MessageFrame.Kind.whole, .fragment, .skip] {
      for isOrdered in [false, true] {
        for number in numbers where kind != .whole || isOrdered || number == 0 {
          for length in kind == .skip ? [0] : [0, 1, 63, 64, 1000] where kind != .fragment || length > 0 {
            for isLast in kind == .skip ? [false] : [false, true] {
              var frame = MessageFrame()
              frame.kind = kind
              frame.lane = UInt8(samples.count % MessageFrame.lanes)
              frame.isOrdered = isOrdered
              frame.number = number
              frame.length = length
              if kind == .fragment {
                frame.offset = [0, 1, 70_000][samples.count % 3]
                frame.total = frame.offset + length + [0, 1, 1 << 20][samples.count / 3 % 3]
              }
              let bytes = MessageFrame.bytes(
                kind, lane: frame.lane, isOrdered: isOrdered, number: number, offset: frame.offset, total: frame.total,
                [UInt8](repeating: 0xA5, count: length), isLast: isLast)
              samples.append((frame, bytes, isLast))
            }
          }
        }
      }
    }
    return samples
  }

  @Test func whatIsWrittenIsRead() {
    for (frame, bytes, isLast) in Self.samples {
      #expect(bytes.count == frame.headLength(isLast: isLast) + frame.length)
      #expect(frame.headLength(isLast: isLast) <= MessageFrame.longestHead)
      guard let read = frames(bytes), read.count == 1 else {
        Issue.record("\(frame) is not read")
        continue
      }
      #expect(isEqual(read[0], frame) && (frame.kind == .skip || read[0].start == bytes.count - frame.length))
    }
  }

  /// Several in one segment, the last without its length.
  @Test func severalShareASegment() throws {
    var random = SplitMix(state: 3)
    for _ in 0..<300 {
      let inner = (0..<random.below(6)).map { _ in Self.samples[random.below(Self.samples.count)] }.filter {
        !$0.isLast
      }
      let last = Self.samples[random.below(Self.samples.count)]
      let all = inner + [last]
      let read = try #require(frames(all.flatMap(\.bytes)))
      #expect(read.count == all.count && zip(read, all).allSatisfy { isEqual($0, $1.frame) })
    }
  }

  @Test func paddingTakesTheRest() throws {
    let bytes = MessageFrame.bytes(.whole, [1, 2]) + [0x60] + [UInt8](repeating: 0xFF, count: 30)
    let read = try #require(frames(bytes))
    #expect(read.count == 2 && read[1].kind == .padding && read[1].length == 0)
    #expect(try #require(frames([0x7F])).first?.kind == .padding)
  }

  /// Cut at any byte it is malformed, or shorter at the end.
  @Test func cutAnywhere() {
    for (frame, bytes, isLast) in Self.samples {
      for count in 0..<bytes.count {
        let read = frames(Array(bytes[..<count]))
        let head = frame.headLength(isLast: isLast)
        // Only what takes all that is left loses nothing but its end.
        let isShorter = isLast && count >= head && (frame.kind == .whole || count > head)
        #expect((read != nil) == (isShorter || count == 0), "\(frame) cut to \(count)")
        if isShorter { #expect(read?.first?.length == count - head) }
      }
    }
  }

  @Test func anyBytesStayWithinBounds() {
    var random = SplitMix(state: 4)
    let valid = Self.samples.map(\.bytes)
    for _ in 0..<200_000 { _ = frames(random.untrusted(like: valid, longest: 60)) }
    for first in UInt8.min...UInt8.max {
      for second in UInt8.min...UInt8.max {
        for count in [0, 1, 7, 8, 20] { _ = frames([first, second] + [UInt8](repeating: second, count: count)) }
      }
    }
  }

  /// Numbers have 30 bits, and totals 32; a part lies within its message, and has bytes.
  @Test func whatCannotBeIsMalformed() {
    let wide: [UInt8] = [0xC0, 0, 0, 0]
    #expect(frames([0x50] + wide + [0x3F, 0xFF, 0xFF, 0xFF])?.first?.number == MessageFrame.numberMask)
    #expect(frames([0x50] + wide + [0x40, 0, 0, 0]) == nil)
    #expect(frames([0x10] + wide + [0x40, 0, 0, 0, 1, 9]) == nil)
    // Totals.
    #expect(frames([0xA0, 1] + wide + [0xFF, 0xFF, 0xFF, 0xFF, 0, 9])?.first?.total == Int(UInt32.max))
    #expect(frames([0xA0, 1, 0xC0, 0, 0, 1, 0, 0, 0, 0, 0, 9]) == nil)
    // Offsets: the largest that there is, and at the end.
    #expect(frames([0xA0, 1, 5, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 9]) == nil)
    #expect(frames(MessageFrame.bytes(.fragment, offset: 5, total: 6, [1], isLast: true)) != nil)
    #expect(frames(MessageFrame.bytes(.fragment, offset: 6, total: 6, [1], isLast: true)) == nil)
    #expect(frames(MessageFrame.bytes(.fragment, offset: 0, total: 6, [], isLast: true)) == nil)
    #expect(frames(MessageFrame.bytes(.fragment, offset: 0, total: 6, [])) == nil)
    // A length beyond the end.
    #expect(frames([0, 3, 1, 2]) == nil && frames([0, 2, 1, 2]) != nil)
    #expect(frames([0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]) == nil)
  }

  @Test func numbersWrap() {
    #expect(MessageFrame.next(MessageFrame.numberMask) == 0 && MessageFrame.next(5) == 6)
    #expect(MessageFrame.distance(0, from: MessageFrame.numberMask) == 1)
    #expect(MessageFrame.distance(MessageFrame.numberMask, from: 0) == -1)
    let half: UInt32 = 1 << 29
    for origin in [0, 1, half - 1, half, half + 1, MessageFrame.numberMask] {
      for ahead in [0, 1, 2, 1000, Int(half) - 1] {
        let number = (origin &+ UInt32(ahead)) & MessageFrame.numberMask
        #expect(MessageFrame.distance(number, from: origin) == ahead)
        #expect(MessageFrame.distance(origin, from: number) == -ahead)
      }
      // What lies farthest is behind.
      #expect(MessageFrame.distance((origin &+ half) & MessageFrame.numberMask, from: origin) == -Int(half))
    }
  }
}
