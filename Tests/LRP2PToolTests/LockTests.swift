// SPDX-License-Identifier: MIT
import CSystemCallFilter
import Glibc
import LRP2PReactor
import LRP2PTool
import Testing

/// File systems that know no locks, as some of the network: flock(2) fails there, and not as where another has one.
@Suite struct LockTests {
  private let size = 3_000_000

  /// On a thread of its own, in which flock fails.
  private func withoutLocks(_ error: Int32, _ body: @escaping () throws -> Void) throws {
    let work = Work(body)
    let done = Rendezvous<(refused: Int32, failure: (any Error)?)>()
    try Thread.start("without-locks") {
      let refused = system_call_filter_refuse(SYS_flock, error)
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
}
