// SPDX-License-Identifier: MIT
import LRP2PCore

/// A datagram under way; its bytes lie in a cell.
struct Flight: BitwiseCopyable {
  var arrival: Instant = 0
  /// Keeps the order of sending among equal arrivals.
  var sequence: UInt64 = 0
  var source = Address.none
  var cell: UInt32 = 0
  var length: UInt32 = 0
  var ecn: UInt8 = 0
  /// Only its ends are kept.
  var isElided = false
  /// When it was sent, its id was that of a connection of the host that it goes to.
  var isToConnection = false
  /// It carries message 1, 2 or 3.
  var isHandshake = false
  /// Somebody repeats what he has seen.
  var isCopy = false

  func precedes(_ other: Flight) -> Bool {
    arrival != other.arrival ? arrival < other.arrival : sequence < other.sequence
  }
}

/// Datagrams under way to one host, earliest first: a queue for those that come in the order of their arrival, and a
/// binary heap for the others.
struct Inbox: ~Copyable {
  private var inOrder = Queue<Flight>(minimumCapacity: 64, filler: Flight())
  private var newest: Instant = 0
  private var heap = Column(repeating: Flight(), count: 16)
  private var heapCount = 0

  init() {}

  var count: Int { inOrder.count + heapCount }
  var nextArrival: Instant { min(inOrder.first?.arrival ?? .never, heapCount > 0 ? heap[0].arrival : .never) }

  mutating func push(_ flight: Flight) {
    guard flight.arrival < newest else {
      newest = flight.arrival
      inOrder.append(flight)
      return
    }
    if heapCount == heap.count { heap.resize(to: 2 * heapCount, filling: Flight()) }
    heap[heapCount] = flight
    heapCount += 1
    var child = heapCount - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].precedes(heap[parent]) else { break }
      exchange(child, parent)
      child = parent
    }
  }

  /// The earliest, if it has arrived by `now`.
  mutating func pop(by now: Instant) -> Flight? {
    let first = inOrder.first
    if heapCount > 0, first.map({ heap[0].precedes($0) }) ?? true {
      return heap[0].arrival <= now ? popHeap() : nil
    }
    guard let first, first.arrival <= now else { return nil }
    inOrder.popFirst()
    return first
  }

  private mutating func popHeap() -> Flight {
    let first = heap[0]
    heapCount -= 1
    heap[0] = heap[heapCount]
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heapCount else { break }
      if child + 1 < heapCount, heap[child + 1].precedes(heap[child]) { child += 1 }
      guard heap[child].precedes(heap[parent]) else { break }
      exchange(child, parent)
      parent = child
    }
    return first
  }

  private mutating func exchange(_ a: Int, _ b: Int) {
    let row = heap[a]
    heap[a] = heap[b]
    heap[b] = row
  }
}
