// SPDX-License-Identifier: MIT
/// A first-in, first-out queue on a ring of a power of two that doubles when full and halves when it runs empty.
package struct Queue<Element: BitwiseCopyable>: ~Copyable {
  private var ring: Column<Element>
  private let filler: Element
  private let minimumCapacity: Int
  private var head = 0
  package private(set) var count = 0

  package init(minimumCapacity: Int = 8, filler: Element) {
    var capacity = 1
    while capacity < minimumCapacity { capacity *= 2 }
    self.minimumCapacity = capacity
    self.filler = filler
    ring = Column(repeating: filler, count: capacity)
  }

  package var isEmpty: Bool { count == 0 }
  package var capacity: Int { ring.count }
  /// The element so many behind the first.
  package subscript(index: Int) -> Element {
    precondition(index >= 0 && index < count)
    return ring[(head &+ index) & (ring.count - 1)]
  }
  package var first: Element? { count == 0 ? nil : ring[head] }

  package mutating func append(_ element: Element) {
    if count == ring.count { relocate(to: ring.count * 2) }
    ring[(head &+ count) & (ring.count - 1)] = element
    count += 1
  }

  package mutating func removeAll() {
    head = 0
    count = 0
    if ring.count > minimumCapacity { ring = Column(repeating: filler, count: minimumCapacity) }
  }

  @discardableResult
  package mutating func popFirst() -> Element? {
    guard count > 0 else { return nil }
    let element = ring[head]
    head = (head + 1) & (ring.count - 1)
    count -= 1
    if count == 0 {
      head = 0
      if ring.count > 64 * minimumCapacity { ring = Column(repeating: filler, count: minimumCapacity) }
    }
    return element
  }

  private mutating func relocate(to capacity: Int) {
    var larger = Column(repeating: filler, count: capacity)
    for i in 0..<count { larger[i] = ring[(head &+ i) & (ring.count - 1)] }
    ring = larger
    head = 0
  }
}
