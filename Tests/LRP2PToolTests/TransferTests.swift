// SPDX-License-Identifier: MIT
import Glibc
import LRP2PReactor
import LRP2PTool
import Testing

@Suite struct TransferTests {
  let from: Scratch
  let to: Scratch

  init() throws { (from, to) = (try Scratch(), try Scratch()) }

  private func send(
    _ names: String..., owner: String = "aa", policy: IntakePolicy = IntakePolicy(),
    options: SourceList.Options = SourceList.Options()
  ) throws -> [FileEvent] {
    let pair = try TransferPair(names.map { from.bytes($0) }, into: to, owner: owner, policy: policy, options: options)
    // In the order of the names: failures are told at once.
    return try pair.complete().sorted { $0.path.lexicographicallyPrecedes($1.path) }
  }

  // MARK: What arrives

  @Test func filesArriveWithTheirModesAndTimes() throws {
    try from.write("a", pattern(3_000_000), mode: 0o640)
    try from.write("empty", [])
    try from.write("b", [1, 2, 3], seconds: -5, mode: 0o4755)
    let events = try send("a", "empty", "b")
    #expect(events.count == 3 && events.allSatisfy { $0.isStored })
    #expect(to.read("a") == pattern(3_000_000) && to.read("empty") == [] && to.read("b") == [1, 2, 3])
    let (a, b) = (try to.status("a"), try to.status("b"))
    #expect(a.st_mtim.tv_sec == 1_000_000_000 && a.st_mtim.tv_nsec == 5 && a.st_mode & 0o7777 == 0o640)
    #expect(b.st_mtim.tv_sec == -5 && b.st_mode & 0o7777 == 0o755, "no set-user-id bit of a stranger's")
    #expect(to.names == ["a", "b", "empty"], "nothing is left behind")
  }

  @Test func namesOfAnyBytesUpToTheLongest() throws {
    let names: [[UInt8]] = [
      [UInt8](repeating: 0x61, count: 255), Array(String(repeating: "漢", count: 85).utf8), [0x63, 0xE9, 0x2E, 0x74],
      Array("\u{301}accent".utf8), Array("new\nline".utf8),
    ]
    for (index, name) in names.enumerated() { try from.write(name, pattern(100 + index, index)) }
    let pair = try TransferPair(names.map { Array("\(from.path)/".utf8) + $0 }, into: to)
    let events = try pair.complete()
    #expect(events.count == 5 && events.allSatisfy { $0.isStored })
    for (index, name) in names.enumerated() { #expect(to.read(name) == pattern(100 + index, index)) }
  }

  @Test func foldersWithAllThatIsInThem() throws {
    for folder in ["d", "d/e", "d/e/.git", "d/none"] { try from.makeFolder(folder) }
    for (name, seed) in [("d/x", 1), ("d/e/x", 2), ("d/e/.git/x", 3)] { try from.write(name, pattern(1000, seed)) }
    try Disk.makeLink(Disk.here, from.bytes("d/link"), to: Array("e/x".utf8))
    let folder = try Disk.open(Disk.here, from.bytes("d/e"), O_RDONLY)
    try Disk.setMode(folder, 0o700)
    try Disk.setTime(folder, seconds: 1000, nanoseconds: 0)
    let events = try send("d")
    #expect(events.count == 3 && events.allSatisfy { $0.isStored })
    #expect(to.read("d/e/.git/x") == pattern(1000, 3) && to.read("d/link") == pattern(1000, 2))
    #expect(try to.status("d/link").isLink && to.status("d/none").isFolder)
    #expect(try to.status("d/e").st_mtim.tv_sec == 1000 && to.status("d/e").st_mode & 0o777 == 0o700)
    let again = try send("d")
    #expect(again.count == 3 && again.allSatisfy { $0.outcome == .present })
  }

  /// Nobody looks into a folder that has just been made, until a file gets its name.
  @Test func whatSomebodyPutsIntoANewFolderStays() throws {
    try from.makeFolder("d")
    try from.write("d/a", pattern(2_000_000))
    try from.write("d/b", [7])
    let pair = try TransferPair([from.bytes("d")], into: to)
    try pair.run(upTo: 1_000_000)
    try to.write("d/a", [1, 2, 3])
    try to.write("d/b", [7])
    let events = try pair.complete().filter { $0.path.count == 3 }
    #expect(Set(events.map(\.failure)) == [.exists, nil] && to.read("d/a") == [1, 2, 3] && to.read("d/b") == [7])
  }

  @Test func linksByChoice() throws {
    try from.makeFolder("d")
    try from.write("target", [1])
    try Disk.makeLink(Disk.here, from.bytes("d/link"), to: Array("../target".utf8))
    var options = SourceList.Options()
    options.links = .skip
    _ = try send("d", options: options)
    #expect(to.names == ["d"] && to.read("d/link") == nil)
    options.links = .follow
    let events = try send("d", options: options)
    #expect(events.map(\.isStored) == [true] && to.read("d/link") == [1])
  }

  @Test func aLinkThatLeadsOutIsRefused() throws {
    try from.makeFolder("d")
    try Disk.makeLink(Disk.here, from.bytes("d/link"), to: Array("/etc/passwd".utf8))
    let events = try send("d")
    #expect(events.map(\.failure) == [.refused] && to.read("d/link") == nil)
  }

  @Test func holesStayHoles() throws {
    let path = try from.write("s", pattern(5000))
    let file = try Disk.open(Disk.here, path, O_WRONLY)
    try Disk.setLength(file, 9_000_001)
    try unsafe Disk.write(file, pattern(10).span.bytes, at: 5_000_000)
    let events = try send("s")
    let status = try to.status("s")
    #expect(events.map(\.isStored) == [true] && to.read("s") == from.read("s") && status.size == 9_000_001)
    #expect(UInt64(status.st_blocks) * 512 < 1 << 20)
  }

  /// More than descriptors, and no reply is waited for between them.
  @Test func manySmallFiles() throws {
    try from.makeFolder("d")
    for index in 0..<3000 { try from.write("d/\(index)", pattern(index % 50, index)) }
    let pair = try TransferPair([from.bytes("d")], into: to)
    var rounds = 0
    try pair.run { block in
      rounds += 1
      return block
    }
    #expect(pair.outlet.isFinished && rounds < 20)
    for index in [0, 1, 1023, 1024, 2999] { #expect(to.read("d/\(index)") == pattern(index % 50, index)) }
  }

  @Test func smallFilesAreWrittenByManyThreads() throws {
    try from.makeFolder("d")
    for index in 0..<1000 { try from.write("d/\(index)", pattern(index * 7, index), seconds: Int64(index + 1)) }
    let pair = TransferPair(
      try SourceList([from.bytes("d")]), into: try StoreFolder(to.path), hashing: WorkPool(mostThreads: 4))
    let events = try pair.complete()
    #expect(events.count == 1000 && events.allSatisfy { $0.isStored } && to.names == ["d"])
    for index in 0..<1000 { #expect(to.read("d/\(index)") == pattern(index * 7, index)) }
    #expect(try to.status("d/9").st_mtim.tv_sec == 10)
  }

  /// At the top only from those that may; below it from anyone; never among the parts.
  @Test(arguments: [true, false]) func hiddenNames(isTrusted: Bool) throws {
    try from.write(".profile", [1])
    try from.makeFolder("d")
    try from.makeFolder("d/.git")
    try from.write("d/.git/config", [2])
    try from.makeFolder(".lrp2p-parts")
    try from.write(".lrp2p-parts/x", [3])
    var policy = IntakePolicy()
    policy.isTrusted = isTrusted
    let events = try TransferPair(
      [from.bytes(".profile"), from.bytes("d"), from.bytes(".lrp2p-parts")], into: to, policy: policy
    ).complete()
    #expect(to.names == (isTrusted ? [".profile", "d"] : ["d"]) && to.read("d/.git/config") == [2])
    // A folder is offered twice.
    #expect(events.filter { $0.failure == .refused }.count == (isTrusted ? 3 : 4))
  }

  @Test func proceedsByTwoThreads() throws {
    try from.write("a", pattern(7_000_000))
    let pair = TransferPair(
      try SourceList([from.bytes("a")]), into: try StoreFolder(to.path), hashing: WorkPool(mostThreads: 2))
    let events = try pair.complete()
    #expect(events.map(\.isStored) == [true] && to.read("a") == pattern(7_000_000))
  }

  // MARK: What cannot be sent

  @Test func whatIsNoFileIsTold() throws {
    try #require(unsafe mkfifo("\(from.path)/fifo", 0o600) == 0)
    #expect(throws: SourceList.Failure.self) { try SourceList([from.bytes("fifo")]) }
    #expect(throws: SourceList.Failure.self) { try SourceList([from.bytes("missing")]) }
    #expect(throws: SourceList.Failure.self) { try SourceList([Array("/dev/null".utf8)]) }
    // Within a folder it is only left out.
    try from.makeFolder("d")
    try #require(unsafe mkfifo("\(from.path)/d/fifo", 0o600) == 0)
    let list = try SourceList([from.bytes("d")])
    #expect(list.leftOut == 1 && list.files == 0)
  }

  /// They say that they are empty.
  @Test func filesOfProc() throws {
    let pair = try TransferPair([Array("/proc/self/status".utf8)], into: to)
    let events = try pair.complete()
    #expect(events.map(\.isStored) == [true] && (to.read("status") ?? []).starts(with: Array("Name:".utf8)))
  }

  @Test func aFileThatChangesIsNotStored() throws {
    for (name, change) in [("grows", 2_500_000), ("shrinks", 100_000)] {
      let path = try from.write(name, pattern(2_000_000))
      try from.write("other", [7])
      let pair = try TransferPair([path, from.bytes("other")], into: to)
      try pair.run(upTo: 1_000_000)
      let file = try Disk.open(Disk.here, path, O_WRONLY)
      try Disk.setLength(file, UInt64(change))
      let events = try pair.complete()
      #expect(events.map(\.failure) == [.refused, nil] && events[1].isStored, "the others go on")
      #expect(to.names == ["other"])
      try Disk.remove(Disk.here, to.bytes("other"))
    }
  }

  @Test func aFileThatCannotBeReadIsToldAndTheOthersGoOn() throws {
    let path = try from.write("gone", [1, 2])
    try from.write("other", [7])
    let pair = try TransferPair([path, from.bytes("other")], into: to)
    try Disk.remove(Disk.here, path)
    let events = try pair.complete()
    #expect(events.map(\.failure) == [.refused, nil] && to.names == ["other"])
  }

  // MARK: Names that are taken

  @Test func theSameCommandOnceMore() throws {
    try from.write("a", pattern(100_000))
    try from.write("b", pattern(50))
    _ = try send("a")
    let pair = try TransferPair([from.bytes("a"), from.bytes("b")], into: to)
    let events = try pair.complete()
    #expect(events[0].outcome == .present && events[1].isStored && pair.moved < 1000)
  }

  @Test func theSameContentWithAnotherTime() throws {
    try from.write("a", pattern(100_000))
    try to.write("a", pattern(100_000), seconds: 77)
    let pair = try TransferPair([from.bytes("a")], into: to)
    let events = try pair.complete()
    #expect(events.map(\.outcome) == [.present] && pair.moved < 1000)
  }

  @Test func anotherContentOfTheSameSizeAndTime() throws {
    try from.write("a", pattern(1000, 1))
    try to.write("a", pattern(1000, 2))
    #expect(try send("a").map(\.outcome) == [.present], "size and time are what is looked at")
    var options = SourceList.Options()
    options.compares = true
    #expect(try send("a", options: options).map(\.failure) == [.exists] && to.read("a") == pattern(1000, 2))
  }

  @Test(arguments: [1000, 999]) func anotherFileOfThatName(size: Int) throws {
    try from.write("a", pattern(1000))
    try from.write("b", [5])
    try to.write("a", pattern(size, 2), seconds: 77)
    let refused = try send("a", "b")
    #expect(refused.map(\.failure) == [.exists, nil] && refused[1].isStored && to.read("a") == pattern(size, 2))
    var options = SourceList.Options()
    options.skipsExisting = true
    #expect(try send("a", options: options).map(\.outcome) == [.present] && to.read("a") == pattern(size, 2))
    var policy = IntakePolicy()
    policy.existing = .skip
    #expect(try send("a", policy: policy).map(\.outcome) == [.present] && to.read("a") == pattern(size, 2))
    policy.existing = .rename
    #expect(try send("a", policy: policy).map(\.isStored) == [true])
    #expect(to.read("a") == pattern(size, 2) && to.read("a.1") == pattern(1000))
    policy.existing = .overwrite
    #expect(try send("a", policy: policy).map(\.isStored) == [true] && to.read("a") == pattern(1000))
  }

  @Test func aFolderOrALinkOfThatName() throws {
    try from.write("a", [1])
    try from.write("b", [1])
    try to.makeFolder("a")
    try Disk.makeLink(Disk.here, to.bytes("b"), to: Array("elsewhere".utf8))
    #expect(try send("a", "b").map(\.failure) == [.exists, .exists])
    #expect(to.names == ["a", "b"] && to.read("b") == nil)
  }

  @Test func twoSendersOfOneNameAtOnce() throws {
    let other = try Scratch()
    try from.write("a", pattern(2_000_000, 1))
    try other.write("a", pattern(2_000_000, 2))
    let store = try StoreFolder(to.path)
    let first = TransferPair(try SourceList([from.bytes("a")]), into: store, owner: "aa")
    let second = TransferPair(try SourceList([other.bytes("a")]), into: store, owner: "bb")
    let third = TransferPair(try SourceList([from.bytes("a")]), into: store, owner: "aa")
    for pair in [first, second, third] { try pair.run(upTo: 1_000_000) }
    #expect(try first.complete().map(\.isStored) == [true])
    #expect(try second.complete().map(\.failure) == [.exists], "another content")
    #expect(try third.complete().map(\.outcome) == [.present], "the same content")
    #expect(to.names == ["a"] && to.read("a") == pattern(2_000_000, 1))
  }

  @Test func aLinkWithinTheFolderIsNotFollowed() throws {
    let outside = try Scratch()
    try from.makeFolder("d")
    try from.write("d/x", [1])
    try Disk.makeLink(Disk.here, to.bytes("d"), to: Array(outside.path.utf8))
    let events = try send("d")
    #expect(events.allSatisfy { $0.failure != nil } && outside.names.isEmpty)
  }

  // MARK: Limits

  @Test func limitsForStrangers() throws {
    try from.write("a", pattern(1000))
    try from.write("b", pattern(500))
    try from.write("c", pattern(500))
    var policy = IntakePolicy()
    policy.largestFile = 999
    #expect(try send("a", "b", policy: policy).map(\.failure) == [.refused, nil])
    try Disk.remove(Disk.here, to.bytes("b"))
    policy = IntakePolicy()
    policy.mostBytes = 1100
    #expect(try send("a", "b", policy: policy).map(\.failure) == [nil, .refused])
    policy = IntakePolicy()
    policy.mostFiles = 1
    #expect(try send("b", "c", policy: policy).map(\.failure) == [nil, .refused])
    // A folder is offered twice, and counts once.
    try from.makeFolder("d")
    try from.write("d/e", pattern(10))
    policy.mostFiles = 2
    #expect(try send("d", policy: policy).map(\.failure) == [nil])
    policy = IntakePolicy()
    policy.keepFree = .max
    #expect(try send("c", policy: policy).map(\.failure) == [.storage])
    #expect(to.names == ["a", "b", "d"])
  }

  @Test func whatIsDamagedOnTheWayIsNotStored() throws {
    try from.write("a", pattern(2_000_000))
    let pair = try TransferPair([from.bytes("a")], into: to)
    var isDone = false
    try pair.run { block in
      guard block.count > 500_000, !isDone else { return block }
      isDone = true
      let other = Block()
      other.append(block.bytes)
      other.replace(at: 400_000, [0, 0, 0, 0])
      return other
    }
    #expect(pair.outlet.takeEvents().map(\.failure) == [.damaged])
    _ = pair.intake.abandon()
    #expect(to.names.isEmpty)
  }

  /// A file of /proc has no size before it is read.
  @Test func whatHasNoSizeIsBoundedToo() throws {
    var policy = IntakePolicy()
    policy.mostBytes = 10
    let pair = try TransferPair([Array("/proc/cpuinfo".utf8)], into: to, policy: policy)
    let events = try pair.complete()
    #expect(events.map(\.failure) == [.refused] && to.names.isEmpty)
  }

  /// A receiver's answers: a link has nothing to be sent, and a folder's second offer is no file.
  @Test(arguments: 0..<4 as Range<UInt32>) func onlyFilesAreSent(index: UInt32) throws {
    try from.makeFolder("d")
    try Disk.makeLink(Disk.here, from.bytes("d/l"), to: Array("x".utf8))
    let outlet = FileOutlet(try SourceList([from.bytes("d")]), hashing: nil)
    _ = outlet.produce(into: Block())
    let send = ReceiverRecord.send(index: index, offset: 0).encoded
    #expect(throws: Malformed.self) { try unsafe outlet.take(send.span.bytes) }
  }
}
