// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

/// Every number at a boundary's distance, in every state, wherever the sequence numbers stand: taken only if it lies within the
/// window by plain arithmetic on integers that do not wrap, and else without any effect.
@Suite struct ReceiveWindowBoundaryTests {
  enum State: CaseIterable {
    case nothing, earlyStored, storedForReader, storedAndEarly, finEarly, finStored, partlyRead
  }

  /// A window and what it ought to know. Numbers of the model count from the first one.
  private struct World: ~Copyable {
    let first: UInt32
    let size: Int
    var window: ReceiveWindow
    var pool = ReceivePool(cellBytes: 64, maximumBytes: 64 << 20)
    var received: Set<Int> = []
    var delivered = 0
    var fin: Int?

    init(first: UInt32, size: Int, state: State) {
      self.first = first
      self.size = size
      window = ReceiveWindow(first: first, window: UInt32(size))
      switch state {
      case .nothing: break
      case .earlyStored: take([2, 3])
      case .storedForReader:
        window.isPaused = true
        take([0, 1, 2])
      case .storedAndEarly:
        window.isPaused = true
        take([0, 1, 3])
      case .finEarly:
        take([2])
        take([3], isFin: true)
      case .finStored:
        window.isPaused = true
        take([0, 1])
        take([2], isFin: true)
      case .partlyRead:
        window.isPaused = true
        take([0, 1, 2])
        window.isPaused = false
        if window.nextStored() != nil {
          window.storedDelivered(to: &pool)
          delivered = 1
        }
        window.isPaused = true
      }
    }

    private mutating func take(_ numbers: [Int], isFin: Bool = false) {
      for number in numbers {
        _ = accept(first &+ UInt32(number), isFin: isFin)
        received.insert(number)
        if isFin { fin = number }
      }
    }

    /// The bytes of a segment are its number.
    mutating func accept(_ number: UInt32, isFin: Bool = false) -> ReceiveWindow.Arrival {
      window.accept(number, isFin: isFin, ReceiveWindowBoundaryTests.content(number).rawBytes, pool: &pool)
    }

    var next: Int {
      var next = delivered
      while received.contains(next) { next += 1 }
      return next
    }

    /// How far behind the first number: what lies in the window, as an integer; `nil` for all others.
    func inWindow(_ number: UInt32) -> Int? {
      let ahead = Int(number &- first &- UInt32(delivered))
      return ahead < size ? delivered + ahead : nil
    }

    var marks: [Int] {
      [
        Int(window.next), Int(window.delivered), Int(window.highest), window.cells, pool.cellsInUse,
        window.packetsUnread, window.packetsBehindGaps, window.hasEarly ? 1 : 0,
      ]
    }
  }

  static func content(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }

  static let positions = BoundaryNumbers.all + [UInt32.max - 2]
  static let sizes = [4, 1000, 16_384, 0xFF_FFFF]

  private func numbers(_ world: borrowing World) -> [UInt32] {
    let origins = [world.window.delivered, world.window.next, world.window.delivered &+ UInt32(world.size)]
    return origins.reduce(into: Set<UInt32>()) { $0.formUnion(BoundaryNumbers.around($1)) }.sorted()
  }

  @Test(arguments: State.allCases) func piecesAreWantedWithinTheWindowOnly(state: State) {
    for first in Self.positions {
      for size in Self.sizes {
        let world = World(first: first, size: size, state: state)
        for number in numbers(world) {
          let place = world.inWindow(number)
          let isWanted = place.map { $0 >= world.next && !world.received.contains($0) } ?? false
          let need = world.window.need(number)
          guard (need == .wanted) != isWanted else { continue }
          Issue.record("\(number) is \(need), first \(first), window \(size)")
          return
        }
      }
    }
  }

  @Test(arguments: State.allCases) func theShortWayIsForTheNextNumber(state: State) {
    for first in Self.positions {
      for size in Self.sizes {
        for number in numbers(World(first: first, size: size, state: state)) {
          var world = World(first: first, size: size, state: state)
          let isNext = world.next == world.delivered && number == first &+ UInt32(world.next)
          let mayPass = isNext && world.fin == nil && !world.window.isPaused
          guard world.window.acceptsDirectly(number) != mayPass else { continue }
          Issue.record("\(number) is handed over, or not, first \(first), window \(size)")
          return
        }
      }
    }
  }

  /// - Parameter isFin: whether the segments end the stream.
  @Test(arguments: State.allCases, [false, true]) func segmentsAreTakenWithinTheWindowOnly(state: State, isFin: Bool) {
    for first in Self.positions {
      for size in Self.sizes {
        for number in numbers(World(first: first, size: size, state: state)) {
          guard let wrong = judge(number, first, size, state, isFin: isFin) else { continue }
          Issue.record("\(number): \(wrong), first \(first), window \(size)")
          return
        }
      }
    }
  }

  /// - Returns: what is wrong.
  private func judge(_ number: UInt32, _ first: UInt32, _ size: Int, _ state: State, isFin: Bool) -> String? {
    var world = World(first: first, size: size, state: state)
    let before = world.marks
    let place = world.inWindow(number)
    // Far ahead in a large window is the business of the tests of memory.
    if let place, place > 1 << 17 { return nil }
    let arrival = world.accept(number, isFin: isFin)
    let isNew = place.map { $0 >= world.next && !world.received.contains($0) } ?? false
    switch arrival {
    case .direct:
      guard isNew, place == world.next, world.next == world.delivered, !world.window.isPaused else { return "direct" }
      return nil
    case .storedInOrder, .storedEarly:
      guard isNew, let place else { return "stored" }
      world.received.insert(place)
      return deliverAll(&world)
    case .duplicate, .beyondWindow, .poolExhausted:
      if isNew { return "refused" }
      return world.marks == before ? nil : "refused, and yet something has changed"
    case .violation:
      return isFin || world.fin != nil ? nil : "a violation"
    }
  }

  /// What was stored is handed over once, with its own bytes, and every cell is given back once.
  private func deliverAll(_ world: inout World) -> String? {
    world.window.isPaused = false
    while let (place, length) = world.window.nextStored() {
      let number = world.window.delivered
      guard unsafe world.pool.bytes(place, length).equals(Self.content(number)) else { return "bytes of another" }
      world.window.storedDelivered(to: &world.pool)
      guard world.received.contains(Int(number &- world.first)) else { return "\(number) never came" }
    }
    world.window.releaseAll(to: &world.pool)
    return world.pool.cellsInUse == 0 ? nil : "\(world.pool.cellsInUse) cells are left"
  }
}
