// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor
import LRP2PTool
import Testing

/// A transfer that was cut off is tried again.
@Suite struct ResumeTests {
  let from: Scratch
  let to: Scratch
  private let size = 6_000_000

  init() throws {
    (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
  }

  private func cutOff(after bytes: Int, owner: String = "aa", policy: IntakePolicy = IntakePolicy()) throws -> UInt64 {
    let pair = try TransferPair([from.bytes("a")], into: to, owner: owner, policy: policy)
    try pair.run(upTo: bytes)
    return pair.intake.abandon()?.bytes ?? 0
  }

  @Test(arguments: [1, 1_500_000, 3_000_000, 4_000_000]) func itGoesOnWhereItWas(bytes: Int) throws {
    let kept = try cutOff(after: bytes)
    let pair = try TransferPair([from.bytes("a")], into: to)
    let events = try pair.complete()
    #expect(events.map(\.isStored) == [true] && to.read("a") == pattern(size) && to.names == ["a"])
    #expect(events[0].resumed == kept && pair.moved < size - Int(kept) + 1000)
    #expect(kept + (2 << 20) >= UInt64(bytes))
  }

  /// As after kill -9: nobody has said good-bye.
  @Test func withoutAnEnd() throws {
    var pair: TransferPair? = try TransferPair([from.bytes("a")], into: to)
    try pair?.run(upTo: 4_000_000)
    pair = nil
    #expect(to.names == [".lrp2p-parts"])
    try StoreFolder(to.path).cleanUp(olderThan: 3600, now: Int64(time(nil)))
    let again = try TransferPair([from.bytes("a")], into: to)
    let events = try again.complete()
    #expect(events[0].resumed > 3_000_000 && to.read("a") == pattern(size) && to.names == ["a"])
  }

  /// Who has made a new key for this run is known by what he has.
  @Test func anotherKeyWithTheSameFile() throws {
    let kept = try cutOff(after: 3_000_000)
    let pair = try TransferPair([from.bytes("a")], into: to, owner: "bb")
    #expect(try pair.complete()[0].resumed == kept && to.names == ["a"])
  }

  /// The same name, size and time do not make it the same file.
  @Test(arguments: ["aa", "bb"]) func anotherFileTouchesNoPart(owner: String) throws {
    let kept = try cutOff(after: 3_000_000)
    let other = try Scratch()
    try other.write("a", pattern(size, 2))
    let pair = try TransferPair([other.bytes("a")], into: to, owner: owner)
    let events = try pair.complete()
    #expect(events.map(\.isStored) == [true] && events[0].resumed == 0 && to.read("a") == pattern(size, 2))
    // The own part of what is not sent any more is given up, and no other's.
    #expect(to.names == (owner == "bb" ? [".lrp2p-parts", "a"] : ["a"]))
    try Disk.remove(Disk.here, to.bytes("a"))
    let again = try TransferPair([from.bytes("a")], into: to)
    #expect(try again.complete()[0].resumed == (owner == "bb" ? kept : 0) && to.read("a") == pattern(size))
  }

  /// Whoever brought the rest, or all of it: other parts of the same content are for nobody.
  @Test func partsOfWhatIsStoredGo() throws {
    _ = try cutOff(after: 3_000_000, owner: "cc")
    let parts = try Disk.open(Disk.here, to.bytes(".lrp2p-parts"), O_RDONLY | O_DIRECTORY)
    let name = try Disk.names(parts)[0]
    let held = try Disk.open(parts.descriptor, name, O_RDWR)
    #expect(Disk.lock(held) == .mine)
    let pair = try TransferPair([from.bytes("a")], into: to)
    try pair.run(upTo: 2_000_000)
    try Disk.unlock(held)
    #expect(try pair.complete().map(\.isStored) == [true] && to.names == ["a"])
  }

  /// It was stored, and the receiver killed, before they could go: the next to offer it finds it there.
  @Test func partsOfWhatIsThereGo() throws {
    let pair = try TransferPair([from.bytes("a")], into: to, owner: "bb")
    _ = try pair.complete()
    try Disk.rename(Disk.here, to.bytes("a"), Disk.here, to.bytes("b"))
    _ = try cutOff(after: 3_000_000)
    try Disk.rename(Disk.here, to.bytes("b"), Disk.here, to.bytes("a"))
    #expect(to.names == [".lrp2p-parts", "a"])
    let again = try TransferPair([from.bytes("a")], into: to, owner: "bb")
    #expect(try again.complete().map(\.outcome) == [.present] && to.names == ["a"])
  }

  @Test func filesOfOthersAreNotTouched() throws {
    try to.write(".a.part", [1, 2, 3])
    _ = try TransferPair([from.bytes("a")], into: to).complete()
    #expect(to.read(".a.part") == [1, 2, 3] && to.names == [".a.part", "a"])
  }

  /// What is on the disk may have suffered.
  @Test func aPartThatWasDamagedIsNotGoneOnWith() throws {
    _ = try cutOff(after: 3_000_000)
    let parts = try Disk.open(Disk.here, to.bytes(".lrp2p-parts"), O_RDONLY | O_DIRECTORY)
    let file = try Disk.open(parts.descriptor, try Disk.names(parts)[0], O_RDWR)
    try unsafe Disk.write(file, [UInt8](repeating: 0, count: 10).span.bytes, at: 1000)
    let events = try TransferPair([from.bytes("a")], into: to).complete()
    #expect(events.map(\.isStored) == [true] && events[0].resumed == 0 && to.read("a") == pattern(size))
  }

  @Test func aPartThatSomebodyWorksOnStaysHis() throws {
    let store = try StoreFolder(to.path)
    let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
    try first.run(upTo: 3_000_000)
    let second = TransferPair(try SourceList([from.bytes("a")]), into: try StoreFolder(to.path))
    try second.run(upTo: 2_000_000)
    #expect(try first.complete().map(\.isStored) == [true])
    #expect(try second.complete().map(\.outcome) == [.present])
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }

  @Test func whatIsCompleteIsStoredWhateverFollows() throws {
    try from.write("b", pattern(50))
    let pair = try TransferPair([from.bytes("b"), from.bytes("a")], into: to)
    try pair.run(upTo: 2_000_000)
    #expect(pair.outlet.takeEvents().map(\.isStored) == [true] && to.read("b") == pattern(50))
    _ = pair.intake.abandon()
    #expect(to.names == [".lrp2p-parts", "b"])
  }

  @Test func partsAreCleanedUpByRule() throws {
    _ = try cutOff(after: 3_000_000)
    let store = try StoreFolder(to.path)
    let now = Int64(time(nil))
    store.cleanUp(olderThan: 3600, now: now)
    #expect(to.names == [".lrp2p-parts"])
    // Somebody works on it.
    let pair = TransferPair(try SourceList([from.bytes("a")]), into: store)
    try pair.run(upTo: 500)
    store.cleanUp(olderThan: -1, now: now)
    #expect(try pair.complete()[0].resumed > 0)
    try Disk.remove(Disk.here, to.bytes("a"))
    _ = try cutOff(after: 3_000_000)
    store.cleanUp(olderThan: -1, now: now)
    #expect(to.names.isEmpty)
  }

  /// Strangers cannot fill the folder with parts: the oldest go.
  @Test func onlySoManyPartsAreKept() throws {
    for (seconds, name) in [(1_000_000_000, "x"), (2_000_000_000, "y")] as [(Int64, String)] {
      try from.write(name, pattern(size), seconds: seconds)
      let pair = try TransferPair([from.bytes(name)], into: to)
      try pair.run(upTo: 3_000_000)
      #expect(pair.intake.abandon() != nil)
    }
    let parts = try Disk.open(Disk.here, to.bytes(".lrp2p-parts"), O_RDONLY | O_DIRECTORY)
    let names = try Disk.names(parts)
    for (index, name) in names.enumerated() {
      try Disk.setTime(Disk.open(parts.descriptor, name, O_RDWR), seconds: Int64(1_000_000_000 + index), nanoseconds: 0)
    }
    let store = try StoreFolder(to.path)
    store.cleanUp(olderThan: 1 << 40, now: Int64(time(nil)), most: 2)
    #expect(try Disk.names(parts) == names && names.count == 2)
    store.cleanUp(olderThan: 1 << 40, now: Int64(time(nil)), most: 1)
    #expect(try Disk.names(parts) == [names[1]])
  }

  @Test func smallOnesAndUnwantedOnesAreNotKept() throws {
    #expect(try cutOff(after: 1) == 0 && to.names.isEmpty)
    var policy = IntakePolicy()
    policy.keepsParts = false
    #expect(try cutOff(after: 3_000_000, policy: policy) == 0 && to.names.isEmpty)
  }
}

/// A sender that comes again while his old connection has not been given up yet.
@Suite struct RivalTests {
  let from: Scratch
  let to: Scratch
  private let size = 6_000_000

  init() throws {
    (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
  }

  /// - Parameter lastHeard: of the first, as the second sees it.
  /// - Parameter atTheEnd: what the first still does with its part when it is asked to give way.
  private func twice(
    lastHeard: Instant, second: Scratch? = nil, atTheEnd: @escaping @Sendable (OpenFile) -> Void = { _ in }
  )
    throws -> (
      first: TransferPair, event: FileEvent, gaveUp: Bool
    )
  {
    let store = try StoreFolder(to.path)
    let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
    let hasGivenUp = Locked(false)
    let folder = to.bytes(".lrp2p-parts")
    let intake = Unchecked(first.intake)
    first.intake.rival = Rivals.Entry(
      lastHeard: { lastHeard },
      giveUp: {
        hasGivenUp.withLock { $0 = true }
        if let parts = try? Disk.open(Disk.here, folder, O_RDONLY | O_DIRECTORY),
          let name = try? Disk.names(parts).first,
          let part = try? Disk.open(parts.descriptor, name, O_RDWR)
        {
          atTheEnd(part)
        }
        _ = intake.value?.abandon()
      })
    try first.run(upTo: 3_000_000)
    let again = TransferPair(try SourceList([(second ?? from).bytes("a")]), into: store, owner: "bb")
    let event = try #require(try again.complete().first)
    return (first, event, hasGivenUp.withLock { $0 })
  }

  @Test func theSilentOneGivesWay() throws {
    let (_, event, gaveUp) = try twice(lastHeard: 0)
    #expect(gaveUp && event.isStored && event.resumed > 2_000_000 && to.read("a") == pattern(size) && to.names == ["a"])
  }

  /// What was proved was not locked yet.
  @Test func theSilentOneChangesItsPartMeanwhile() throws {
    let (_, event, gaveUp) = try twice(lastHeard: 0) { part in
      let other: [UInt8] = [1, 2, 3]
      try? unsafe Disk.write(part, other.span.bytes, at: 1000)
    }
    #expect(gaveUp && event.isStored && event.resumed == 0 && to.read("a") == pattern(size))
  }

  @Test func theSilentOneAddsToItsPartMeanwhile() throws {
    let (_, event, gaveUp) = try twice(lastHeard: 0) { part in
      let other: [UInt8] = [1, 2, 3]
      try? unsafe Disk.write(part, other.span.bytes, at: 7_000_000)
    }
    #expect(gaveUp && event.isStored && event.resumed > 2_000_000 && to.read("a") == pattern(size))
  }

  /// Bytes of it wait for the disk.
  @Test func theOtherGoesOn() throws {
    let (first, event, gaveUp) = try twice(lastHeard: .never)
    #expect(!gaveUp && event.isStored && event.resumed == 0)
    #expect(try first.complete().map(\.outcome) == [.present] && to.names == ["a"])
  }

  /// He knows its name, size and time.
  @Test func whoHasAnotherFileTakesNothing() throws {
    let other = try Scratch()
    try other.write("a", pattern(size, 2))
    let (first, event, gaveUp) = try twice(lastHeard: .never, second: other)
    #expect(!gaveUp && event.isStored && event.resumed == 0 && to.read("a") == pattern(size, 2))
    #expect(try first.complete().map(\.failure) == [.exists])
  }

  /// His is stored; the other is silent, and has begun a file of other bytes.
  @Test func whoHasAnotherFileEndsNobody() throws {
    let other = try Scratch()
    try other.write("a", pattern(size, 2))
    let (_, event, gaveUp) = try twice(lastHeard: 0, second: other)
    #expect(event.isStored && event.resumed == 0 && to.read("a") == pattern(size, 2))
    #expect(!gaveUp && to.names == [".lrp2p-parts", "a"])
  }

  /// A connection whose part is the beginning of what is stored has nothing to add.
  @Test func whoHasTheSameFileIsEnded() throws {
    let store = try StoreFolder(to.path)
    let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
    let second = TransferPair(try SourceList([from.bytes("a")]), into: store, owner: "bb")
    try second.run(upTo: 100_000)
    let hasGivenUp = Locked(false)
    let intake = Unchecked(first.intake)
    first.intake.rival = Rivals.Entry(
      lastHeard: { 0 },
      giveUp: {
        hasGivenUp.withLock { $0 = true }
        _ = intake.value?.abandon()
      })
    try first.run(upTo: 3_000_000)
    let isStored = try second.complete().map(\.isStored)
    #expect(isStored == [true] && hasGivenUp.withLock { $0 } && to.names == ["a"])
  }

  /// `@unchecked Sendable`: one thread has it.
  private struct Unchecked: @unchecked Sendable {
    // It has who has this.
    weak var value: FileIntake?
    init(_ value: FileIntake) { self.value = value }
  }
}
