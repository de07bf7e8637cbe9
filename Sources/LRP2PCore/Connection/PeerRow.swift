// SPDX-License-Identifier: MIT
/// The hot row of a peer: what every datagram of it touches. One cache line.
package struct PeerRow: BitwiseCopyable {
  /// The id this side receives under, slot included; 0 when the slot is free.
  package var connectionID: UInt64 = 0
  /// The id the peer receives under. While answering, and for handshake datagrams ever after, the initiator's id. Of a free slot the
  /// own id that it had last; 0 if it has had none.
  package var remoteID: UInt64 = 0
  package var sendPacketNumber: UInt64 = 0
  /// When the wheel over slots will call; the true deadline may be later.
  package var wheelDeadline: Instant = .never
  /// Where the peer is, and at which of our addresses its datagrams arrive.
  package var address: Address = .none
  package var phase = Phase.free
  package var isReady = false
  package var isDirty = false
  /// The peer dialled us.
  package var isIncoming = false
  /// A sealed datagram of the peer has opened: it has the keys. Version 0 has no confirmation, so it is never set there.
  package var isConfirmed = false
  /// The message in the handshake row is to be sent.
  package var owesHandshake = false
  /// The reader goes on: stored bytes are to be handed over.
  package var isResumed = false
  /// The protocol's version that it speaks; what follows from 0 is in `Original/`.
  package var version: UInt8 = 1
  /// Its datagrams may leave in one message with those of other connections to the same address.
  package var takesMerged = false

  package init() {}

  /// Where its datagrams go. The side that was dialled answers from that address; the side that has dialled leaves the source to the
  /// routes, which may change.
  @inline(__always)
  package var destination: Address { isIncoming ? address : address.fromAnywhere }

  /// Datagrams of one group share messages (`Message.group`).
  @inline(__always)
  package var messageGroup: UInt64 { takesMerged ? 0 : remoteID }
}
