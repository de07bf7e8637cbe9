// SPDX-License-Identifier: MIT
/// Sealed datagrams that came before the message 3 which brings their keys. They wait in cells of the receive pool.
package struct HeldDatagrams: ~Copyable {
  package static var maximumPerHandshake: Int { 10 }
  private static var maximumBytes: Int { 1 << 20 }

  package struct Entry: BitwiseCopyable {
    package var connectionID: UInt64 = 0
    package var address = Address.none
    package var cell: UInt32 = 0
    package var length: UInt32 = 0
    package var ecn: UInt8 = 0
  }

  private var entries = Column(repeating: Entry(), count: 0)
  package private(set) var count = 0
  package var capacity: Int { entries.count }
  private var bytes = 0
  /// A connection has got its keys: some of these can be opened.
  package var isReady = false

  package init() {}

  package subscript(index: Int) -> Entry { entries[index] }

  /// Keeps a copy; `false` when there is no room for one more.
  package mutating func hold(
    _ datagram: RawSpan, connectionID: UInt64, from address: Address, ecn: UInt8 = 0, pool: inout ReceivePool
  ) -> Bool {
    guard bytes + pool.cellBytes <= Self.maximumBytes, datagram.byteCount <= pool.cellBytes,
      let cell = pool.store(datagram)
    else { return false }
    bytes += pool.cellBytes
    if count == entries.count { entries.resize(to: max(16, 2 * count), filling: Entry()) }
    entries[count] = Entry(
      connectionID: connectionID, address: address, cell: cell, length: UInt32(datagram.byteCount), ecn: ecn)
    count += 1
    return true
  }

  /// Gives one back; the last takes its place.
  package mutating func remove(_ index: Int, pool: inout ReceivePool) {
    bytes -= pool.cellBytes
    pool.release(entries[index].cell)
    count -= 1
    entries[index] = entries[count]
    if count == 0 { entries = Column(repeating: Entry(), count: 0) }
  }
}
