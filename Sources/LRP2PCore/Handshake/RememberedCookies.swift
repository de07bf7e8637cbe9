// SPDX-License-Identifier: MIT
/// Cookies that responders have given for later dials, by address: a few, as a process dials few hosts again and again. Of two
/// addresses that share a place the newer stays.
package struct RememberedCookies: ~Copyable {
  // Not private: a debug build fails on private types in generic storage (Swift 6.3).
  package struct Entry: BitwiseCopyable {
    var address: Address = .none
    var cookie = ShownCookie(Cookie())
  }

  private static var places: Int { 64 }

  private var entries = Column(repeating: Entry(), count: Self.places)

  package init() {}

  package subscript(address: Address) -> ShownCookie? {
    get {
      let entry = entries[Self.place(address)]
      return entry.address == address ? entry.cookie : nil
    }
    set {
      guard let newValue else { return }
      entries[Self.place(address)] = Entry(address: address, cookie: newValue)
    }
  }

  private static func place(_ address: Address) -> Int {
    let h = (address.high ^ address.low ^ UInt64(address.port) << 32) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: h >> 40) & (places - 1)
  }
}
