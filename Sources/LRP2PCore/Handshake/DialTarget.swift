// SPDX-License-Identifier: MIT
/// One address of a dial, and what has become of it.
package struct DialTarget {
  package let address: Address
  /// Why it is given up; the dial continues with the others.
  package var end: CloseReason?
  /// Attempts that time has brought, and when the next one is due; the one that is short in case the path carries no more; and one
  /// more after a fault, to see whether it is repeated.
  package var timed = 0
  var nextAttempt: Instant = .never
  var shortAttempt: Instant = .never
  var extraAttempt: Instant = .never
  /// An attempt of 1200 bytes has been made.
  var hasShort = false
  /// The newest cookie that the responder has asked for, and attempts that were made for one.
  var cookie: ShownCookie?
  var cookieAttempts = 0
  /// What a message 2 that is not wanted has spoken for, and when the address is given up for it.
  var doubt: CloseReason?
  var doubtEnds: Instant = .never
  /// When a fault was reported: the next one counts only of an attempt that has left since.
  var faultAt: Instant = .never
  /// The ids of its attempts but the dial's first.
  private(set) var ids = InlineArray<14, UInt64>(repeating: 0)
  package private(set) var count = 0

  init(_ address: Address) {
    self.address = address
    if address.port == 0 { end = .unreachable(.badPort) }
  }

  var hasRoom: Bool { count < ids.count }

  mutating func add(_ id: UInt64) {
    ids[count] = id
    count += 1
  }

  /// When it is to be looked at.
  var deadline: Instant {
    end == nil ? min(nextAttempt, shortAttempt, extraAttempt, doubtEnds) : .never
  }

  /// Addresses that one dial takes at most.
  private static var most: Int { 8 }

  /// The addresses of a dial, in their order but with both families by turns (RFC 8305, section 4), each once. Those that stand for
  /// every address of the host are its loopback, as the kernel has it.
  package static func list(_ addresses: [Address]) -> [DialTarget] {
    var families: (first: [Address], second: [Address]) = ([], [])
    for address in addresses {
      let address = address.dialled
      let isFirst = families.first.first.map { $0.isIPv4 == address.isIPv4 } ?? true
      if isFirst, families.first.count < most, !families.first.contains(address) { families.first.append(address) }
      if !isFirst, families.second.count < most, !families.second.contains(address) { families.second.append(address) }
    }
    var targets: [DialTarget] = []
    for index in 0..<max(families.first.count, families.second.count) {
      if index < families.first.count { targets.append(DialTarget(families.first[index])) }
      if index < families.second.count { targets.append(DialTarget(families.second[index])) }
    }
    return Array(targets.prefix(most))
  }

  /// What to tell of a dial whose addresses have all been given up: an answer that is not wanted before what the network says.
  static func reason(of targets: [DialTarget]) -> CloseReason {
    var fault: DialFault?
    for target in targets {
      switch target.end {
      case .unreachable(let other): if fault.map({ other.tellsMore(than: $0) }) ?? true { fault = other }
      case .some(let reason): return reason
      case .none: break
      }
    }
    return fault.map { .unreachable($0) } ?? .handshakeTimeout
  }
}
