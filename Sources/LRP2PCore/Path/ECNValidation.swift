// SPDX-License-Identifier: MIT
/// What is known of a path and its peer with respect to ECN (RFC 3168).
public enum ECNState: UInt8, BitwiseCopyable, Sendable {
  /// Nothing is marked: `EngineConfiguration.usesECN` is false, or the connection is of version 0.
  case off
  /// Datagrams are marked as ECN-capable, and nothing has shown yet that the marks arrive.
  case testing
  /// Datagrams are marked, and the peer reports it.
  case capable
  /// Nothing is marked any more: the path removes or changes the marks, or the peer does not report them.
  case bleached
  /// Nothing is marked any more: what was marked seems to vanish.
  case blocked
}

/// Whether what one peer is sent is marked as ECN-capable, and whether the marks can be believed: RFC 9000, section 13.4.2, with one sum
/// instead of an account of packets.
///
/// ACKs count the marked datagrams that have arrived. A segment that was marked each time it left and is acknowledged has come in one of
/// them at least, so the counts are never smaller than the number of such segments, in whatever order ACKs come.
package struct ECNValidation: BitwiseCopyable {
  package private(set) var state = ECNState.off
  /// Two probe timeouts have passed in a row: nothing is marked until something arrives, and then there is one more test.
  private var isSuspended = false
  /// Segments that are acknowledged, of those that were marked each time.
  private var acknowledged: UInt64 = 0
  /// They are counted up to this one; those before the first one are not.
  private var counted: UInt32 = 0
  /// What the peer had reported when the test began.
  private var reportedBefore: UInt64 = 0

  package init() {}

  /// Of a connection that begins, or moves again.
  ///
  /// - Parameters:
  ///   - next: the next segment to leave for the first time.
  ///   - reported: what the peer has reported so far.
  package init(_ state: ECNState, next: UInt32, reported: UInt64) {
    self.state = state
    counted = next
    reportedBefore = reported
  }

  /// The ECN bits of what leaves now.
  @inline(__always)
  package var mark: UInt8 { !isSuspended && (state == .testing || state == .capable) ? Self.ect0 : 0 }

  private static var ect0: UInt8 { 2 }

  /// The path is another one from here on.
  package mutating func pathChanged(next: UInt32, reported: UInt64) {
    if state != .off { self = ECNValidation(.testing, next: next, reported: reported) }
  }

  /// The probe timeout has passed for the `count`th time in a row.
  package mutating func probed(_ count: Int) {
    guard count == 2 else { return }
    switch state {
    case .testing: state = .blocked
    case .capable: isSuspended = true
    case .off, .bleached, .blocked: break
    }
  }

  /// The newest ACK has come.
  ///
  /// - Parameters:
  ///   - reported: ECT(0) and CE together, the most that any ACK has reported.
  ///   - base: the first segment that is not acknowledged.
  ///   - next: the next one to leave for the first time.
  ///   - sent: datagrams that have left.
  /// - Returns: whether the count of CE means something.
  @inline(__always)
  package mutating func acknowledged(
    reported: UInt64, ect1: UInt64, base: UInt32, next: UInt32, sent: UInt64
  ) -> Bool {
    guard state == .testing || state == .capable else { return false }
    return check(reported: reported, ect1: ect1, base: base, next: next, sent: sent)
  }

  private mutating func check(reported: UInt64, ect1: UInt64, base: UInt32, next: UInt32, sent: UInt64) -> Bool {
    if counted.precedes(base) {
      acknowledged += UInt64(base &- counted)
      counted = base
      if isSuspended {
        // Something gets through.
        self = ECNValidation(.testing, next: next, reported: reported)
        return false
      }
    }
    if reported < reportedBefore + acknowledged || reported > sent || ect1 > 0 {
      state = .bleached
      return false
    }
    if acknowledged > 0 { state = .capable }
    return state == .capable
  }
}
