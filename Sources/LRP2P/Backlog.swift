// SPDX-License-Identifier: MIT
/// The connections that wait for `accept`, in their order; any of them can go without a search.
struct Backlog {
  /// Nil where one has gone.
  private var entries: [Channel?] = []
  private var head = 0
  /// The number of `entries[0]`.
  private var first: UInt64 = 0
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  mutating func append(_ channel: Channel) {
    channel.backlogNumber = first + UInt64(entries.count)
    entries.append(channel)
    count += 1
  }

  mutating func popFirst() -> Channel? {
    while head < entries.count {
      let channel = entries[head]
      entries[head] = nil
      head += 1
      if let channel {
        channel.backlogNumber = nil
        count -= 1
        trim()
        return channel
      }
    }
    trim()
    return nil
  }

  mutating func remove(_ channel: Channel) {
    guard let number = channel.backlogNumber else { return }
    channel.backlogNumber = nil
    entries[Int(number - first)] = nil
    count -= 1
    trim()
  }

  mutating func removeAll() -> [Channel] {
    let all = entries.compactMap { $0 }
    for channel in all { channel.backlogNumber = nil }
    self = Backlog()
    return all
  }

  private mutating func trim() {
    while head < entries.count, entries[head] == nil { head += 1 }
    guard head == entries.count || head > 64 && 2 * head > entries.count else { return }
    entries.removeFirst(head)
    first += UInt64(head)
    head = 0
  }
}
