// SPDX-License-Identifier: MIT
/// The PONGs that are owed: one for each PING with a token, of the newest eight.
package struct Pongs: BitwiseCopyable {
  private static var most: Int { 8 }
  private var tokens = InlineArray<8, UInt16>(repeating: 0)
  private var count = 0

  package init() {}

  package var isEmpty: Bool { count == 0 }
  /// The token of the one that leaves next.
  package var first: UInt16? { count == 0 ? nil : tokens[0] }

  package mutating func owe(_ token: UInt16) {
    if count == Self.most { removeFirst() }
    tokens[count] = token
    count += 1
  }

  package mutating func removeFirst() {
    count -= 1
    for index in 0..<count { tokens[index] = tokens[index + 1] }
  }
}
