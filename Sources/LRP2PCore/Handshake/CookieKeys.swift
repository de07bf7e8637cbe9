// SPDX-License-Identifier: MIT
/// What a responder makes cookies with: secrets that change, each also accepted for as long again as it was in use. Nothing is kept
/// of a cookie that was issued. A secret follows from the identity, the clock and what the clock counts from, so that all reactors of a
/// host that have the same identity take each other's cookies, and those from before the program was started anew.
package struct CookieKeys: BitwiseCopyable {
  /// One for a dial that is under way.
  package static var period: Nanoseconds { .seconds(60) }
  /// One for later dials from the same host.
  package static var lastingPeriod: Nanoseconds { .seconds(12 * 3600) }

  /// Two generations in a row.
  private struct Secrets: BitwiseCopyable {
    var current = SecretKey(repeating: 0)
    var previous = SecretKey(repeating: 0)
    var generation: UInt64 = .max
  }

  private var root: SecretKey
  private var brief = Secrets()
  private var lasting = Secrets()

  /// - Parameter boot: tells this run of the clock from others.
  package init(identity: SecretKey, boot: UInt64, suite: any CipherSuite) {
    var input = InlineArray<21, UInt8>(repeating: 0)
    for (index, byte) in "lrp2p cookies".utf8.enumerated() { input[index] = byte }
    for index in 0..<8 { input[13 + index] = UInt8(truncatingIfNeeded: boot >> (8 * UInt64(index))) }
    root = suite.keyedHash(key: identity.bytes, input.bytes)
  }

  /// - Parameter token: of the dial; for a lasting cookie it does not count, and neither does the address's port.
  package mutating func issue(
    isLasting: Bool, to address: Address, token: (UInt64, UInt64), now: Instant, suite: any CipherSuite
  ) -> Cookie {
    follow(isLasting: isLasting, now: now, suite: suite)
    let secrets = isLasting ? lasting : brief
    var cookie = Cookie()
    cookie.generation = secrets.generation << 1 | (isLasting ? 1 : 0)
    cookie.tag = Self.tag(secrets.current, cookie, address, token, suite)
    return cookie
  }

  /// Whether a cookie is ours, not too old, and for this address and dial.
  package mutating func accepts(
    _ cookie: Cookie, from address: Address, token: (UInt64, UInt64), now: Instant, suite: any CipherSuite
  ) -> Bool {
    follow(isLasting: cookie.isLasting, now: now, suite: suite)
    let secrets = cookie.isLasting ? lasting : brief
    let age = secrets.generation &- cookie.generation >> 1
    guard age <= 1 else { return false }
    let tag = Self.tag(age == 0 ? secrets.current : secrets.previous, cookie, address, token, suite)
    // In a time that does not depend on where they differ.
    return isZero((tag.0 ^ cookie.tag.0) | (tag.1 ^ cookie.tag.1))
  }

  package mutating func wipe() {
    root.wipe()
    brief.current.wipe()
    brief.previous.wipe()
    lasting.current.wipe()
    lasting.previous.wipe()
  }

  /// The secrets of this moment.
  private mutating func follow(isLasting: Bool, now: Instant, suite: any CipherSuite) {
    if isLasting {
      let generation = now / Self.lastingPeriod
      if lasting.generation != generation { lasting = secrets(generation, isLasting, suite) }
    } else {
      let generation = now / Self.period
      if brief.generation != generation { brief = secrets(generation, isLasting, suite) }
    }
  }

  private func secrets(_ generation: UInt64, _ isLasting: Bool, _ suite: any CipherSuite) -> Secrets {
    var secrets = Secrets()
    secrets.generation = generation
    secrets.current = secret(generation, isLasting, suite)
    secrets.previous = secret(generation &- 1, isLasting, suite)
    return secrets
  }

  private func secret(_ generation: UInt64, _ isLasting: Bool, _ suite: any CipherSuite) -> SecretKey {
    var input = InlineArray<9, UInt8>(repeating: isLasting ? 1 : 0)
    var elements = input.mutableSpan
    var bytes = unsafe elements.mutableBytes
    bytes.setBigEndian64(0, generation)
    return suite.keyedHash(key: root.bytes, bytes.bytes)
  }

  /// The first half of keyed BLAKE2b-32 of `generation 8 ‖ address 16 ‖ scope 4 ‖ port 2 ‖ token 16`.
  private static func tag(
    _ secret: SecretKey, _ cookie: Cookie, _ address: Address, _ token: (UInt64, UInt64), _ suite: any CipherSuite
  ) -> (UInt64, UInt64) {
    var input = InlineArray<46, UInt8>(repeating: 0)
    var elements = input.mutableSpan
    var bytes = unsafe elements.mutableBytes
    bytes.setBigEndian64(0, cookie.generation)
    bytes.setBigEndian64(8, address.high)
    bytes.setBigEndian64(16, address.low)
    bytes.setBigEndian32(24, address.scope)
    if !cookie.isLasting {
      bytes.setBigEndian16(28, address.port)
      bytes.setBigEndian64(30, token.0)
      bytes.setBigEndian64(38, token.1)
    }
    let hash = suite.keyedHash(key: secret.bytes, bytes.bytes)
    return (hash.bytes.bigEndian64(0), hash.bytes.bigEndian64(8))
  }
}
