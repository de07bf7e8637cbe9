// SPDX-License-Identifier: MIT
import LRP2PCore

/// One datagram as it left a host, whatever became of it.
package struct RecordedDatagram {
  package var time: Instant
  package var host: Int
  package var destination: Address
  package var bytes: [UInt8]

  /// Of a sealed one.
  package var packetNumber: UInt64 { bytes[8..<16].reduce(0) { $0 << 8 | UInt64($1) } }
  /// Of a sealed one; the suite leaves it readable.
  package var plaintext: ArraySlice<UInt8> { bytes[Datagram.headerLength..<bytes.count - Datagram.tagLength] }
}

extension SimulatedNetwork {
  /// Whether a host may send a datagram of so many bytes. An empty plaintext, which is shorter, goes to peers of version 0 only.
  func maySend(_ length: Int, from host: Int) -> Bool {
    let isNudge = length == Datagram.headerLength + Datagram.tagLength
    return length >= Datagram.minimumLength && length <= Datagram.maximumLength
      || isNudge && hosts[host].engine.peers.originals.inUse > 0
  }
}

extension World {
  /// What leaves both hosts while `body` runs.
  package mutating func recording(_ body: (inout World<H>) throws -> Void) rethrows -> [RecordedDatagram] {
    network.recorded = []
    defer { network.recorded = nil }
    try body(&self)
    return network.recorded ?? []
  }

  /// What leaves both hosts at once, before any time passes, when `act` has been done.
  package mutating func sentAtOnce(_ act: (inout World<H>) -> Void) -> [RecordedDatagram] {
    let start = now
    return recording {
      act(&$0)
      _ = $0.run(for: 1)
    }.filter { $0.time == start }
  }
}
