import LRP2PCore

/// What one direction of a path does to datagrams. Probabilities are 0 … 1, times nanoseconds.
package struct Link {
  package var delay: Nanoseconds = .milliseconds(5)
  /// Added at random, up to this: it reorders.
  package var jitter: Nanoseconds = 0
  package var loss = 0.0
  package var duplication = 0.0
  package var corruption = 0.0
  /// Bits per second; 0 is unlimited.
  package var rate: UInt64 = 0
  /// Bytes that wait at most when the rate is exceeded.
  package var buffer = 1 << 20
  /// Longer datagrams vanish.
  package var largestDatagram = Int.max
  /// Nothing passes.
  package var isDown = false

  /// When the link has carried what it was given so far.
  var freeAt: Instant = 0

  package init() {}
}

/// A datagram under way.
package struct Flight {
  package var arrival: Instant
  /// Keeps the order of sending among equal arrivals.
  package var sequence: UInt64
  package var destination: Int
  package var address: Address
  package var bytes: [UInt8]

  package init(
    arrival: Instant, sequence: UInt64, destination: Int, address: Address, bytes: [UInt8]
  ) {
    self.arrival = arrival
    self.sequence = sequence
    self.destination = destination
    self.address = address
    self.bytes = bytes
  }

  static func precedes(_ a: Flight, _ b: Flight) -> Bool {
    a.arrival != b.arrival ? a.arrival < b.arrival : a.sequence < b.sequence
  }
}

/// Datagrams under way, earliest first: a binary heap.
package struct FlightQueue {
  private var heap: [Flight] = []

  package var nextArrival: Instant { heap.first?.arrival ?? .never }
  package var count: Int { heap.count }

  package init() {}

  package mutating func push(_ flight: Flight) {
    heap.append(flight)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard Flight.precedes(heap[child], heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  package mutating func pop() -> Flight {
    heap.swapAt(0, heap.count - 1)
    let first = heap.removeLast()
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, Flight.precedes(heap[child + 1], heap[child]) { child += 1 }
      guard Flight.precedes(heap[child], heap[parent]) else { break }
      heap.swapAt(child, parent)
      parent = child
    }
    return first
  }
}
