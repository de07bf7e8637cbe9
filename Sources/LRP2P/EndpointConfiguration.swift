// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// Every knob of an `Endpoint`: its buffers here, sockets and protocol in `reactor`.
public struct EndpointConfiguration: Sendable {
  /// The reactor and the protocol.
  public var reactor = ReactorConfiguration()
  /// Bytes that all connections together may hold in this layer: received and not read, or written and not acknowledged:
  /// 1 MiB … 1 TiB. A connection may take as much as is left free behind it, so one alone half of it, and of many each a like
  /// part. When it is used up a connection still gets a datagram at a time to read, and 16 KiB to write.
  public var bufferBytes = 256 << 20
  /// Bytes of one connection that wait for a read before the peer is held back: 1 … 1 GiB; of one that nobody has accepted yet
  /// 64 KiB at most. Memory is taken as bytes arrive, not before. (What the protocol itself may keep behind it is
  /// `EngineConfiguration.receiveWindow`.)
  public var readBuffer = 1 << 20
  /// Bytes of one connection that were written and are not acknowledged yet; more makes writers wait: 1 … 1 GiB. It
  /// bounds the throughput of a connection: a write buffer for each round trip.
  public var writeBuffer = 4 << 20
  /// Connections that wait for `accept`: 1 … 1,048,576. One more is closed with `CloseCode.backlogFull`.
  public var backlog = 1024

  /// How long a peer may take to end its direction when nobody here holds the connection any more.
  package var lingerInterval: Nanoseconds = .seconds(30)

  /// All defaults.
  public init() {}

  /// Bytes that one call of `Handler.received` may bring.
  var longestPayload: Int { max(reactor.engine.maximumDatagram, 1400) }

  func validate() throws(TransportError) {
    func check(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws(TransportError) {
      guard range.contains(value) else {
        throw .configuration(.outOfRange(field: field, allowed: "\(range.lowerBound) … \(range.upperBound)"))
      }
    }
    try check("bufferBytes", bufferBytes, (1 << 20)...(1 << 40))
    try check("readBuffer", readBuffer, 1...(1 << 30))
    try check("writeBuffer", writeBuffer, 1...(1 << 30))
    try check("backlog", backlog, 1...(1 << 20))
  }
}
