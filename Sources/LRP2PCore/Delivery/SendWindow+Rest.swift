// SPDX-License-Identifier: MIT
extension SendWindow {
  /// What is kept of it while nothing is under way.
  package struct Rest: BitwiseCopyable {
    var nextOffset: UInt64 = 0
    var next: UInt32 = 0
    var edge: UInt32 = 0
    var packetThreshold: Int32 = 0
    var doublingCredit: Int32 = 0

    package init() {}

    package var windowLeft: Int { (edge &+ 1).ahead(of: next) }
  }

  /// Nothing is under way, nor about to be, and the stream goes on.
  @inline(__always)
  package var isQuiet: Bool { base == next && !hasNew && !hasLost && !finRequested && !hasMessages && !isHeld }

  @inline(__always)
  package var rest: Rest {
    var rest = Rest()
    rest.nextOffset = nextOffset
    rest.next = next
    rest.edge = edge
    rest.packetThreshold = packetThreshold
    rest.doublingCredit = Int32(doublingCredit)
    return rest
  }

  /// Becomes the window of a connection that goes on behind a rest, in the memory of another; `first` is the same for all.
  package mutating func restart(from rest: Rest) {
    if ring.count > Self.smallestRing { ring = Column(repeating: Sent(), count: Self.smallestRing) }
    base = rest.next
    next = rest.next
    nextOffset = rest.nextOffset
    acknowledgedOffset = rest.nextOffset
    offered = rest.nextOffset
    finRequested = false
    finSent = false
    finAcknowledged = false
    hasMessages = false
    prefersMessages = true
    isHeld = false
    keepsRoom = false
    acknowledgedMessages.removeAll()
    edge = rest.edge
    acknowledged.removeAll()
    settled.removeAll()
    lostQueue.removeAll()
    resends.removeAll()
    refused.removeAll()
    refusedPending = 0
    suspectCount = 0
    packetThreshold = rest.packetThreshold
    reorderingSteps = min(
      (packetThreshold / 3).bitWidth - 1 - (packetThreshold / 3).leadingZeroBitCount, Self.mostReorderingSteps)
    widenedAt = 0
    lossesAtThreshold = 0
    packetsInFlight = 0
    bytesInFlight = 0
    lostPending = 0
    doublesPending = 0
    mayDouble = true
    doublingCredit = Int(rest.doublingCredit)
  }

  /// Gives back what a large window took, if nothing is outstanding.
  package mutating func shrink() {
    guard base == next, ring.count > Self.smallestRing else { return }
    ring = Column(repeating: Sent(), count: Self.smallestRing)
    acknowledged.removeAll()
    settled.removeAll()
    refused.removeAll()
  }

  /// The connection is over: what is outstanding will never be sent again, and what it was described by is given back.
  package mutating func abandon() {
    guard isComplete else { return restart(from: rest) }
    shrink()
    lostQueue.removeAll()
    resends.removeAll()
  }
}
