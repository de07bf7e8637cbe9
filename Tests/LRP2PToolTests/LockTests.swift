// SPDX-License-Identifier: MIT
import CSystemCallFilter
import Glibc
import LRP2PReactor
import LRP2PTool
import Testing

/// Runs `body` on a thread of its own, in which the kernel refuses a system call.
private func refusing(_ call: Int32, _ error: Int32, _ body: @escaping () throws -> Void) throws {
  let work = Work(body)
  let done = Rendezvous<(refused: Int32, failure: (any Error)?)>()
  try Thread.start("refusing") {
    let refused = system_call_filter_refuse(call, error)
    do {
      try work.body()
      done.deliver((refused, nil))
    } catch {
      done.deliver((refused, error))
    }
  }
  let (refused, failure) = done.wait()
  try #require(refused == 0)
  if let failure { throw failure }
}

/// `@unchecked Sendable`: one thread runs it, and the other waits.
private struct Work: @unchecked Sendable {
  let body: () throws -> Void
  init(_ body: @escaping () throws -> Void) { self.body = body }
}

/// File systems, or sandboxes, where a file without a name cannot get one.
@Suite struct NamelessTests {
  @Test(arguments: [EPERM, ENOENT, EOPNOTSUPP, EXDEV]) func filesAreStoredAllTheSame(error: Int32) throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.makeFolder("all")
    for index in 0..<200 { try from.write("all/\(index)", pattern(index * 50, index), mode: 0o640) }
    try refusing(SYS_linkat, error) {
      let events = try TransferPair([from.bytes("all")], into: to).complete()
      #expect(events.count == 200 && events.allSatisfy { $0.isStored })
    }
    #expect(to.names == ["all"] && to.read("all/199") == pattern(199 * 50, 199))
    #expect(try to.status("all/7").st_mode & 0o777 == 0o640)
  }
}

/// File systems that know no locks, as some of the network: flock(2) fails there, and not as where another has one.
@Suite struct LockTests {
  private let size = 3_000_000

  private func withoutLocks(_ error: Int32, _ body: @escaping () throws -> Void) throws {
    try refusing(SYS_flock, error, body)
  }

  @Test(arguments: [EOPNOTSUPP, ENOLCK, ENOSYS]) func filesAreStoredAllTheSame(error: Int32) throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    try withoutLocks(error) {
      let first = try TransferPair([from.bytes("a")], into: to)
      try first.run(upTo: 2_000_000)
      let kept = first.intake.abandon()?.bytes ?? 0
      let again = try TransferPair([from.bytes("a")], into: to)
      let event = try #require(try again.complete().first)
      #expect(event.isStored && kept > 0 && event.resumed == kept)
    }
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }

  @Test func twoOfOneReceiverKeepAway() throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    try withoutLocks(EOPNOTSUPP) {
      let store = try StoreFolder(to.path)
      let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
      try first.run(upTo: 2_000_000)
      let second = TransferPair(try SourceList([from.bytes("a")]), into: store)
      #expect(try second.complete().map(\.resumed) == [0])
      #expect(try first.complete().map(\.outcome) == [.present])
    }
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }
  /// Its file was removed by somebody, and another connection brings the same.
  @Test func nothingEmptyIsLeftUnderANameThatIsTaken() throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    try withoutLocks(EOPNOTSUPP) {
      let store = try StoreFolder(to.path)
      let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
      try first.run(upTo: 2_000_000)
      let part = try #require(to.parts.first { $0.hasSuffix(".part") })
      try Disk.remove(Disk.here, to.bytes(".lrp2p-parts/\(part)"))
      let second = TransferPair(try SourceList([from.bytes("a")]), into: store)
      #expect(try second.complete().map(\.isStored) == [true])
      #expect(!to.parts.contains { $0.hasSuffix(".part") } && to.read("a") == pattern(size))
      _ = first.intake.abandon()
    }
    #expect(to.names == ["a"])
  }

  /// Out of locks, and then not any more.
  @Test func aPartOfWhenThereWereNoLocksStaysLocked() throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    let store = try StoreFolder(to.path)
    let first = TransferPair(try SourceList([from.bytes("a")]), into: store)
    try withoutLocks(ENOLCK) { try first.run(upTo: 2_000_000) }
    let second = TransferPair(try SourceList([from.bytes("a")]), into: store)
    #expect(try second.complete().map(\.resumed) == [0])
    #expect(try first.complete().map(\.outcome) == [.present])
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }

  /// As two processes on one folder, which know nothing of each other but what is in it.
  @Test func twoReceiversKeepAway() throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    try withoutLocks(EOPNOTSUPP) {
      let first = try TransferPair([from.bytes("a")], into: to)
      try first.run(upTo: 2_000_000)
      let second = try TransferPair([from.bytes("a")], into: to)
      #expect(try second.complete().map(\.resumed) == [0])
      #expect(try first.complete().map(\.outcome) == [.present])
    }
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }

  /// A process that was killed has left its claim: with the number of none that lives.
  @Test(arguments: [true, false]) func claimsOfTheDeadAreTaken(isOfThisMachine: Bool) throws {
    let (from, to) = (try Scratch(), try Scratch())
    try from.write("a", pattern(size))
    try withoutLocks(EOPNOTSUPP) {
      let first = try TransferPair([from.bytes("a")], into: to)
      try first.run(upTo: 2_000_000)
      let part = try #require(to.parts.first { $0.hasSuffix(".part") })
      let claim = String(decoding: try #require(to.read(".lrp2p-parts/\(part).lock")), as: UTF8.self)
      let kept = first.intake.abandon()?.bytes ?? 0
      #expect(to.parts == [part])
      var words = claim.split(separator: " ").map(String.init)
      words[isOfThisMachine ? 2 : 0] += "1"
      try to.write(
        ".lrp2p-parts/\(part).lock", Array(words.joined(separator: " ").utf8), seconds: Int64(time(nil)))
      let again = try TransferPair([from.bytes("a")], into: to)
      #expect(try again.complete().map(\.resumed) == [isOfThisMachine ? kept : 0])
      if !isOfThisMachine {
        // Nothing was written for long.
        for name in [part, part + ".lock"] {
          let file = try Disk.open(Disk.here, to.bytes(".lrp2p-parts/\(name)"), O_RDONLY)
          try Disk.setTime(file, seconds: Int64(time(nil)) - 1000, nanoseconds: 0)
        }
        try StoreFolder(to.path).cleanUp(olderThan: 500, now: Int64(time(nil)))
      }
    }
    #expect(to.read("a") == pattern(size) && to.names == ["a"])
  }
}
