// SPDX-License-Identifier: MIT
/// What the initiator's program has to say in message 3, which may be a secret of its own: overwritten when it is forgotten.
@safe
package struct ProgramBytes: ~Copyable {
  // Bound: `count` initialised bytes, owned; nil where there are none, as mostly.
  private let base: UnsafeMutableRawPointer?
  private let count: Int

  package init() {
    unsafe base = nil
    count = 0
  }

  package init(_ bytes: [UInt8]) {
    count = bytes.count
    guard !bytes.isEmpty else {
      unsafe base = nil
      return
    }
    let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 16)
    for index in bytes.indices { unsafe copy.storeBytes(of: bytes[index], toByteOffset: index, as: UInt8.self) }
    unsafe base = copy
  }

  deinit {
    guard let base = unsafe base else { return }
    unsafe wipe(base, count)
    unsafe base.deallocate()
  }

  package var isEmpty: Bool { count == 0 }

  package var bytes: RawSpan {
    @_lifetime(borrow self) borrowing get {
      guard let base = unsafe base else { return RawSpan() }
      return unsafe _overrideLifetime(RawSpan(_unsafeStart: base, byteCount: count), borrowing: self)
    }
  }
}
