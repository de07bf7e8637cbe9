extension SendWindow {
  /// What is kept of it while nothing is under way.
  package struct Rest: BitwiseCopyable {
    var nextOffset: UInt64 = 0
    var next: UInt32 = 0
    var edge: UInt32 = 0
    var packetThreshold: Int32 = 0
    var doublingCredit: Int32 = 0

    package init() {}
  }

  /// Nothing is under way, nor about to be, and the stream goes on.
  package var isQuiet: Bool { base == next && !hasNew && !hasLost && !finRequested }

  package var rest: Rest {
    var rest = Rest()
    rest.nextOffset = nextOffset
    rest.next = next
    rest.edge = edge
    rest.packetThreshold = packetThreshold
    rest.doublingCredit = Int32(doublingCredit)
    return rest
  }

  /// Gives back what a large window took, if nothing is outstanding.
  package mutating func shrink() {
    guard base == next, ring.count > Self.smallestRing else { return }
    ring = Column(repeating: Sent(), count: Self.smallestRing)
    acknowledged.removeAll()
    settled.removeAll()
  }
}
