// SPDX-License-Identifier: MIT
/// The bytes of an endless stream as a function of their offset, so that no side keeps them and the receiver can check
/// every one.
///
/// The stream is a row of 64-bit words, little-endian: word `i` is `seed + i × step` modulo 2^64. With an odd step no
/// two words of a stream are equal, so a block that is shifted, swapped, repeated or left out shows in each of its
/// words. Word 0 is the seed: small numbers from 1, which tell the streams of a run apart, and which no other word near
/// the beginning of a stream is. (Not 0: then word 256 i would be word i moved by one byte.)
struct Pattern: BitwiseCopyable {
  private(set) var seed: UInt64

  /// - Parameter number: from 0; no run has 2^32 streams.
  init(number: Int) { seed = UInt64(number) + 1 }

  /// A stream of which nothing is known yet.
  init() { seed = 0 }

  /// Takes byte `index` of word 0.
  mutating func learn(_ byte: UInt8, at index: UInt64) { seed |= UInt64(byte) &<< (8 &* index) }

  /// Which stream this is; nil when there is none with this seed.
  var number: Int? { seed >= 1 && seed <= 1 << 32 ? Int(seed - 1) : nil }

  private static var step: UInt64 { 0x9E37_79B9_7F4A_7C15 }
  private typealias Lanes = SIMD8<UInt64>

  @inline(__always) private func word(_ index: UInt64) -> UInt64 { seed &+ index &* Self.step }

  /// The 8 bytes at any offset, as a little-endian number.
  @inline(__always) private func word(at offset: UInt64) -> UInt64 {
    let skipped = (offset & 7) &* 8
    let low = word(offset >> 3)
    return skipped == 0 ? low : low &>> skipped | word(offset >> 3 &+ 1) &<< (64 &- skipped)
  }

  @inline(__always) private func lanes(from index: UInt64) -> Lanes {
    let first = Lanes(repeating: word(index))
    return first &+ Lanes(0, 1, 2, 3, 4, 5, 6, 7) &* Lanes(repeating: Self.step)
  }

  /// Writes the bytes at `offset ..< offset + bytes.byteCount`.
  @_lifetime(bytes: copy bytes)
  func fill(offset: UInt64, into bytes: inout MutableRawSpan) {
    unsafe bytes.withUnsafeMutableBytes { unsafe fill(offset: offset, into: $0) }
  }

  /// Whether these are the bytes at `offset ..< offset + bytes.byteCount`.
  func matches(_ bytes: RawSpan, offset: UInt64) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe matches($0, offset: offset) }
  }

  private func fill(offset: UInt64, into bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    let count = bytes.count
    if count < 8 {
      let word = word(at: offset)
      for index in 0..<count {
        unsafe (base + index).storeBytes(of: UInt8(truncatingIfNeeded: word &>> UInt64(8 * index)), as: UInt8.self)
      }
      return
    }
    // The words at either end stick out over the whole words between and agree with them where they overlap.
    unsafe base.storeBytes(of: word(at: offset).littleEndian, as: UInt64.self)
    unsafe (base + count - 8).storeBytes(of: word(at: offset &+ UInt64(count - 8)).littleEndian, as: UInt64.self)
    var position = Int((0 &- offset) & 7)
    var index = (offset &+ 7) >> 3
    var lanes = lanes(from: index)
    let stride = Lanes(repeating: 8 &* Self.step)
    while position <= count - 64 {
      unsafe (base + position).storeBytes(of: lanes.littleEndian, as: Lanes.self)
      lanes &+= stride
      position += 64
      index &+= 8
    }
    while position <= count - 8 {
      unsafe (base + position).storeBytes(of: word(index).littleEndian, as: UInt64.self)
      position += 8
      index &+= 1
    }
  }

  private func matches(_ bytes: UnsafeRawBufferPointer, offset: UInt64) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    let count = bytes.count
    if count < 8 {
      let word = word(at: offset)
      for index in 0..<count where unsafe bytes[index] != UInt8(truncatingIfNeeded: word &>> UInt64(8 * index)) {
        return false
      }
      return true
    }
    var difference = unsafe Self.load(base) ^ word(at: offset)
    difference |= unsafe Self.load(base + count - 8) ^ word(at: offset &+ UInt64(count - 8))
    var position = Int((0 &- offset) & 7)
    var index = (offset &+ 7) >> 3
    var lanes = lanes(from: index)
    let stride = Lanes(repeating: 8 &* Self.step)
    var differences = Lanes()
    while position <= count - 64 {
      differences |= unsafe (base + position).loadUnaligned(as: Lanes.self).littleEndian ^ lanes
      lanes &+= stride
      position += 64
      index &+= 8
    }
    while position <= count - 8 {
      difference |= unsafe Self.load(base + position) ^ word(index)
      position += 8
      index &+= 1
    }
    for lane in 0..<8 { difference |= differences[lane] }
    return difference == 0
  }

  @inline(__always) private static func load(_ from: UnsafeRawPointer) -> UInt64 {
    UInt64(littleEndian: unsafe from.loadUnaligned(as: UInt64.self))
  }
}

extension SIMD where Scalar == UInt64 {
  /// The same on the machines this runs on; a big-endian one swaps lane by lane.
  @inline(__always) fileprivate var littleEndian: Self {
    #if _endian(little)
      return self
    #else
      var swapped = self
      for lane in indices { swapped[lane] = self[lane].littleEndian }
      return swapped
    #endif
  }
}
