// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct HeldDatagramsTests {
  private static let address = Address(ipv4: 1, port: 2)

  @Test func aCopyIsKept() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 20)
    var held = HeldDatagrams()
    var datagram: [UInt8] = [1, 2, 3]
    let isHeld = held.hold(datagram.raw, connectionID: 7, from: Self.address, pool: &pool)
    datagram = [9, 9, 9]
    let entry = held[0]
    let bytes = unsafe pool.bytes(entry.cell, Int(entry.length))
    let isSame = bytes.byteCount == 3 && bytes.byte(0) == 1 && bytes.byte(2) == 3
    #expect(isHeld && isSame && entry.connectionID == 7 && entry.address == Self.address)
    held.remove(0, pool: &pool)
    let (count, capacity, cells) = (held.count, held.capacity, pool.cellsInUse)
    #expect(count == 0 && capacity == 0 && cells == 0, "and nothing is left of them all")
  }

  /// The last takes the place of one that goes.
  @Test func othersStay() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 20)
    var held = HeldDatagrams()
    for id in 0..<40 as Range<UInt64> {
      let isHeld = held.hold([UInt8(id)].raw, connectionID: id, from: Self.address, pool: &pool)
      #expect(isHeld)
    }
    held.remove(3, pool: &pool)
    held.remove(38, pool: &pool)
    var ids: Set<UInt64> = []
    for index in 0..<held.count { ids.insert(held[index].connectionID) }
    #expect(ids == Set(0..<40).subtracting([3, 38]))
    let cells = pool.cellsInUse
    #expect(cells == 38)
  }

  /// A mebibyte of all handshakes together, by cells.
  @Test func thereIsABound() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 24)
    var held = HeldDatagrams()
    while held.count < 10_000, held.hold([1].raw, connectionID: 1, from: Self.address, pool: &pool) {}
    let count = held.count
    #expect(count == (1 << 20) / 1408)
    held.remove(0, pool: &pool)
    let isHeld = held.hold([1].raw, connectionID: 1, from: Self.address, pool: &pool)
    #expect(isHeld)
  }

  @Test func whatFitsNoCellIsRefused() {
    var pool = ReceivePool(cellBytes: 1408, maximumBytes: 1 << 20)
    var held = HeldDatagrams()
    let isHeld = held.hold(
      [UInt8](repeating: 0, count: 1409).raw, connectionID: 1, from: Self.address, pool: &pool)
    let cells = pool.cellsInUse
    #expect(!isHeld && cells == 0)
  }
}
