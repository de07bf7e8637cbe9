// SPDX-License-Identifier: MIT
import LRP2PReactor

/// Connections with news from other threads, for the reactor to look at behind its turn.
package final class Mailbox<Key: Hashable & Sendable>: Sendable {
  private let keys = Locked<Set<Key>>([])
  private let remote: ReactorRemote

  package init(_ remote: ReactorRemote) { self.remote = remote }

  package func post(_ key: Key) {
    let isFirst = keys.withLock {
      let isFirst = $0.isEmpty
      $0.insert(key)
      return isFirst
    }
    if isFirst { remote.wake() }
  }

  package func takeAll() -> Set<Key> {
    keys.withLock { keys in
      defer { keys.removeAll() }
      return keys
    }
  }
}
