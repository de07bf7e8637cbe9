// SPDX-License-Identifier: MIT
import Glibc
import LRP2PCore
import LRP2PReactor

/// Who is receiving which file at the moment, so that a sender that comes again need not wait until his old connection is given up: one that
/// is silent gives way to another that has the same file.
package final class Rivals: Sendable {
  /// A file in the making, of one connection.
  package struct Entry: Sendable {
    /// When bytes have last come for it; `never` while some wait for the disk.
    package let lastHeard: @Sendable () -> Instant
    /// Ends it: what has come is put away as if the connection had ended.
    package let giveUp: @Sendable () -> Void

    package init(lastHeard: @escaping @Sendable () -> Instant, giveUp: @escaping @Sendable () -> Void) {
      self.lastHeard = lastHeard
      self.giveUp = giveUp
    }
  }

  struct Named: Sendable {
    let entry: Entry
    let part: [UInt8]
  }

  /// After so long a connection is silent.
  private static let silence: Instant = .seconds(1)
  /// How long its threads have to put away what there is.
  private static let patience: Instant = .seconds(2)
  /// Threads that may wait for the silence of others.
  private static let mostWaiting = 4

  private struct State: ~Copyable {
    var files: [[UInt8]: [Named]] = [:]
    var waiting = 0
  }

  private let state = Locked(State())

  /// - Parameter file: what the part's name begins with.
  func add(_ file: [UInt8], part: [UInt8], _ entry: Entry) {
    state.withLock { $0.files[file, default: []].append(Named(entry: entry, part: part)) }
  }

  func remove(_ file: [UInt8], part: [UInt8]) {
    state.withLock {
      $0.files[file]?.removeAll { $0.part == part }
      if $0.files[file]?.isEmpty == true { $0.files[file] = nil }
    }
  }

  func has(_ file: [UInt8]) -> Bool { state.withLock { $0.files[file] != nil } }

  /// Somebody else who receives this file and is silent, or becomes so within a moment.
  /// - Parameter parts: not one of these.
  func silent(_ file: [UInt8], except parts: Set<[UInt8]> = [], clock: () -> Instant) -> Named? {
    let isFree = state.withLock {
      if $0.files[file] == nil || $0.waiting >= Self.mostWaiting { return false }
      $0.waiting += 1
      return true
    }
    guard isFree else { return nil }
    defer { state.withLock { $0.waiting -= 1 } }
    let end = clock() &+ Self.silence + Self.silence / 4
    while true {
      let others = state.withLock { $0.files[file] ?? [] }.filter { !parts.contains($0.part) }
      let now = clock()
      if let silent = others.first(where: {
        let last = $0.entry.lastHeard()
        return last != .never && now >= last &+ Self.silence
      }) {
        return silent
      }
      if others.isEmpty || now >= end { return nil }
      usleep(20_000)
    }
  }

  /// Has it give up, and waits until its part is nobody's.
  func takeOver(_ named: Named, _ isFree: () -> Bool, clock: () -> Instant) -> Bool {
    named.entry.giveUp()
    let end = clock() &+ Self.patience
    while !isFree() {
      if clock() >= end { return false }
      usleep(10_000)
    }
    return true
  }
}
