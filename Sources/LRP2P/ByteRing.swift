import LRP2PCore

/// Bytes that were received and not read yet: a ring that doubles as it has to, and goes when it runs empty.
struct ByteRing {
  private var storage: [UInt8] = []
  private var head = 0
  private(set) var count = 0

  /// Storage of more than this is given back when the ring runs empty: idle connections shall cost nothing.
  private static var kept: Int { 16_384 }

  mutating func append(_ source: UnsafeRawBufferPointer) {
    guard let base = source.baseAddress, source.count > 0 else { return }
    if source.count > storage.count - count { grow(toHold: count + source.count) }
    let tail = (head + count) & (storage.count - 1)
    let first = min(source.count, storage.count - tail)
    unsafe storage.withUnsafeMutableBytes { target in
      // Within the ring: first <= storage.count - tail, and the rest is at most what is free before head.
      unsafe (target.baseAddress! + tail).copyMemory(from: base, byteCount: first)
      unsafe target.baseAddress!.copyMemory(from: base + first, byteCount: source.count - first)
    }
    count += source.count
  }

  /// Takes the first bytes, at most `limit`.
  mutating func take(_ limit: Int) -> [UInt8] {
    let length = min(limit, count)
    let bytes = linear(length)
    count -= length
    head = count == 0 ? 0 : (head + length) & (storage.count - 1)
    if count == 0, storage.count > Self.kept { storage = [] }
    return bytes
  }

  mutating func removeAll() { self = ByteRing() }

  /// A copy of the first `length` bytes, which are there.
  private func linear(_ length: Int) -> [UInt8] {
    guard length > 0 else { return [] }
    let first = min(length, storage.count - head)
    return unsafe [UInt8](unsafeUninitializedCapacity: length) { target, initialized in
      unsafe storage.withUnsafeBytes { source in
        // head + first <= storage.count; what is left over begins at 0.
        unsafe UnsafeMutableRawPointer(target.baseAddress!).copyMemory(
          from: source.baseAddress! + head, byteCount: first)
        unsafe UnsafeMutableRawPointer(target.baseAddress! + first).copyMemory(
          from: source.baseAddress!, byteCount: length - first)
      }
      initialized = length
    }
  }

  private mutating func grow(toHold needed: Int) {
    var capacity = max(storage.count, 4096)
    while capacity < needed { capacity *= 2 }
    var larger = linear(count)
    larger.reserveCapacity(capacity)
    larger.append(contentsOf: repeatElement(0, count: capacity - count))
    storage = larger
    head = 0
  }
}
