// SPDX-License-Identifier: MIT
import CIPSecMB
package import LRP2PCore

// ChaCha20-Poly1305 and AES-256-GCM over datagrams in place. The library is asked for one datagram at a time: its bursts
// of jobs were measured and are no faster, as it works on one such text at a time anyway.

/// What stands before the plaintext of a datagram, and behind it.
private let headerLength = 16
private let tagLength = 16

/// What one datagram needs: the nonce, the tag that was computed, and the library's notes about the text.
@safe
struct Workspace: ~Copyable {
  private static var byteCount: Int { 192 }

  // Bound: `byteCount` bytes, owned: nonce at 0, tag at 16, and at 64 the context, 88 bytes in all known versions.
  private let base: UnsafeMutableRawPointer

  init() {
    unsafe base = .allocate(byteCount: Self.byteCount, alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.byteCount)
  }

  deinit {
    wipe()
    unsafe base.deallocate()
  }

  @inline(__always) var nonce: UnsafeMutablePointer<UInt8> { unsafe base.assumingMemoryBound(to: UInt8.self) }
  @inline(__always) var tag: UnsafeMutablePointer<UInt8> { unsafe (base + 16).assumingMemoryBound(to: UInt8.self) }
  @inline(__always) var context: UnsafeMutableRawPointer { unsafe base + 64 }

  /// 4 zero bytes, then `packetNumber` little-endian.
  @inline(__always) func setNonce(_ packetNumber: UInt64) {
    unsafe base.storeBytes(of: packetNumber.littleEndian, toByteOffset: 4, as: UInt64.self)
  }

  /// Whether the computed tag is the one at `other`; takes the same time whatever they are.
  @inline(__always) func tagEquals(_ other: UnsafePointer<UInt8>) -> Bool {
    let own = unsafe (base + 16).load(as: (UInt64, UInt64).self)
    let other = unsafe UnsafeRawPointer(other).loadUnaligned(as: (UInt64, UInt64).self)
    return lrp2p_mb_opaque((own.0 ^ other.0) | (own.1 ^ other.1)) == 0
  }

  /// The notes hold a piece of key stream, which tells nobody more than the expanded key beside it: they go when that does. The
  /// nonce's first four bytes are zero again, too.
  func wipe() { unsafe lrp2p_mb_wipe(base, Self.byteCount) }
}

/// One text in memory and what belongs to it. Bound: `length` bytes at `text`, `associatedLength` at `associated`, 32 at
/// `key`; whoever makes one has checked it.
@unsafe
private struct Text {
  var aead: AEAD
  var key: UnsafePointer<UInt8>
  var row: Int
  var text: UnsafeMutablePointer<UInt8>
  var length: Int
  var associated: UnsafePointer<UInt8>?
  var associatedLength: Int
}

extension IPSecMBSuite {
  /// The tag goes to `tag`, where there is room for it.
  @inline(__always) private func seal(_ text: Text, tag: UnsafeMutablePointer<UInt8>) {
    switch unsafe text.aead {
    case .aes256GCM:
      let expanded = unsafe expandedKeys.expand(text.key, row: text.row, with: manager)
      unsafe lrp2p_mb_aes_seal(
        manager, expanded, workspace.context, text.text, UInt64(text.length), workspace.nonce, text.associated,
        UInt64(text.associatedLength), tag)
    case .chacha20Poly1305:
      let isDone = unsafe lrp2p_mb_chacha(
        manager, Int32(LRP2P_MB_SEAL.rawValue), text.key, text.text, UInt64(text.length), workspace.nonce,
        text.associated, UInt64(text.associatedLength), tag)
      // What is not sealed must not go out in the clear.
      precondition(isDone, "sealing failed")
    }
  }

  /// Of a forgery zeros are left: the library deciphers before the tag can be compared, and nobody may see that.
  @inline(__always) private func open(_ text: Text, tag: UnsafePointer<UInt8>) -> Bool {
    var isDone = true
    switch unsafe text.aead {
    case .aes256GCM:
      let expanded = unsafe expandedKeys.expand(text.key, row: text.row, with: manager)
      unsafe lrp2p_mb_aes_open(
        manager, expanded, workspace.context, text.text, UInt64(text.length), workspace.nonce, text.associated,
        UInt64(text.associatedLength), workspace.tag)
    case .chacha20Poly1305:
      isDone = unsafe lrp2p_mb_chacha(
        manager, Int32(LRP2P_MB_OPEN.rawValue), text.key, text.text, UInt64(text.length), workspace.nonce,
        text.associated, UInt64(text.associatedLength), workspace.tag)
    }
    if isDone, unsafe workspace.tagEquals(tag) { return true }
    unsafe lrp2p_mb_wipe(text.text, text.length)
    return false
  }

  package func seal(
    _ jobs: borrowing Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    let jobs = jobs.span
    let arenaLength = arena.byteCount
    let arenaBase = unsafe arena.baseAddress
    for index in 0..<count {
      let job = jobs[index]
      precondition(
        job.length >= headerLength + tagLength && job.offset >= 0 && job.offset <= arenaLength - job.length,
        "a datagram outside of the arena")
      let key = unsafe keys.pointer(job.key)
      guard let aead = AEAD(rawValue: unsafe key.pointee.aead) else { preconditionFailure("sealing without a key") }
      let text = unsafe Self.text(of: job, aead, key, arenaBase)
      workspace.setNonce(job.packetNumber)
      unsafe seal(text, tag: text.text + text.length)
    }
  }

  package func open(
    _ jobs: inout Column<AEADJob>, count: Int, in arena: inout Arena, keys: borrowing KeyTable
  ) {
    var jobs = jobs.mutableSpan
    let arenaLength = arena.byteCount
    let arenaBase = unsafe arena.baseAddress
    for index in 0..<count {
      let job = jobs[index]
      jobs[index].opened = false
      if job.length < headerLength + tagLength { continue }
      precondition(job.offset >= 0 && job.offset <= arenaLength - job.length, "a datagram outside of the arena")
      let key = unsafe keys.pointer(job.key)
      guard let aead = AEAD(rawValue: unsafe key.pointee.aead) else { continue }
      let text = unsafe Self.text(of: job, aead, key, arenaBase)
      workspace.setNonce(job.packetNumber)
      jobs[index].opened = unsafe open(text, tag: text.text + text.length)
    }
  }

  /// - Parameters:
  ///   - job: checked to lie in the arena.
  ///   - key: the row that it names; its first 32 bytes are the key.
  @inline(__always)
  private static func text(
    of job: AEADJob, _ aead: AEAD, _ key: UnsafeMutablePointer<TrafficKey>, _ arena: UnsafeMutableRawPointer
  ) -> Text {
    let key = UnsafeRawPointer(key)
    let datagram = unsafe (arena + job.offset).assumingMemoryBound(to: UInt8.self)
    return unsafe Text(
      aead: aead, key: key.assumingMemoryBound(to: UInt8.self), row: job.key.index, text: datagram + headerLength,
      length: job.length - headerLength - tagLength, associated: UnsafePointer(datagram),
      associatedLength: job.authenticatesHeader ? headerLength : 0)
  }

  /// Seals `text` in place under any nonce, and gives the tag. Not for datagrams: for the check with known answers.
  @_lifetime(text: copy text)
  package func sealText(
    _ aead: AEAD, key: SecretKey, nonce: InlineArray<12, UInt8>, associated: RawSpan, text: inout MutableRawSpan
  ) -> InlineArray<16, UInt8> {
    var tag = InlineArray<16, UInt8>(repeating: 0)
    var elements = tag.mutableSpan
    unsafe withText(aead, key, nonce, associated, &text) { text in
      unsafe elements.withUnsafeMutableBufferPointer { tag in unsafe seal(text, tag: tag.baseAddress!) }
    }
    return tag
  }

  /// The counterpart of `sealText`; a forgery leaves zeros.
  @_lifetime(text: copy text)
  package func openText(
    _ aead: AEAD, key: SecretKey, nonce: InlineArray<12, UInt8>, associated: RawSpan, text: inout MutableRawSpan,
    tag: InlineArray<16, UInt8>
  ) -> Bool {
    unsafe withText(aead, key, nonce, associated, &text) { text in
      unsafe tag.span.withUnsafeBufferPointer { tag in unsafe open(text, tag: tag.baseAddress!) }
    }
  }

  @_lifetime(text: copy text)
  private func withText<Result>(
    _ aead: AEAD, _ key: SecretKey, _ nonce: InlineArray<12, UInt8>, _ associated: RawSpan,
    _ text: inout MutableRawSpan, _ body: (Text) -> Result
  ) -> Result {
    for index in 0..<12 { unsafe workspace.nonce[index] = nonce[index] }
    defer {
      workspace.wipe()
      expandedKeys.forget(0)
    }
    return unsafe text.withUnsafeMutableBytes { text in
      unsafe associated.withUnsafeBytes { associated in
        unsafe key.span.withUnsafeBufferPointer { key in
          // An empty text has no address, and the library is given one in any case.
          let address = unsafe text.baseAddress ?? UnsafeMutableRawPointer(workspace.tag)
          return unsafe body(
            Text(
              aead: aead, key: key.baseAddress!, row: 0, text: address.assumingMemoryBound(to: UInt8.self),
              length: text.count, associated: associated.baseAddress?.assumingMemoryBound(to: UInt8.self),
              associatedLength: associated.count))
        }
      }
    }
  }
}
