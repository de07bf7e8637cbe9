// SPDX-License-Identifier: MIT
/// What the engine reports to its user, and what it asks: one value per reactor, called on the reactor's thread only.
///
/// `connected`, `received`, `fill` and `closed` have no default, so a misspelt one does not compile. A handler that needs only one of them says so by its
/// protocol: `ReceivingHandler` sends nothing, `WritingHandler` keeps no bytes of its own, `SendingHandler` reads nothing, and `MessagingHandler` has no stream. Everything
/// else has a default that does nothing.
///
/// Every callback may call the engine back (`offer`, `finish`, `close`, `pause`, `connect`, `setTimer`); the effects
/// leave with the same turn, and what cannot be done is answered by a value. A span is valid during the call only. No callback may block.
public protocol Handler: SendableMetatype {
  /// Judges a peer that has dialled and whose key the listener accepts (`PeerKeys`), before there is a connection. The default has nothing
  /// against it.
  ///
  /// - Parameters:
  ///   - key: the peer's, which it has proved.
  ///   - address: where it is.
  ///   - payload: what the peer's program says of itself (`Engine.connect`): at most 512 bytes, which only the two sides can read. It is
  ///     empty where the peer says nothing, and from the original peer. Whatever it is, it is the stranger's: nothing is known of it
  ///     but whose it is.
  mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission

  /// The handshake is done; data may be offered. `info` has the peer's key and address, the application
  /// protocol, and which side has dialled.
  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine)

  /// The next bytes of the peer's stream, in order, each exactly once.
  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine)

  /// The peer has ended its direction: no more `received` will follow. The own direction goes on until `finish`, unless the
  /// connection has ended meanwhile (`draining`).
  mutating func finished(_ peer: Peer, engine: inout Engine)

  /// Writes the bytes of the own stream at `offset ..< offset + bytes.byteCount` into `bytes`: called when they are
  /// sent, and again with the same range, or parts of it, when they have to be sent again. Only what was offered and not yet
  /// reported as acknowledged is asked for.
  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan)

  /// The peer has everything below `offset`; those bytes are never asked for again.
  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine)

  /// A connection whose last `Engine.write` or `Engine.send` was answered with `full` has room again: for 16 KiB at least, and it holds no
  /// more than half of `writePeerBytes`. Called once for each such answer, or for several. It is called, too, where the connection has ended and its reader has
  /// not had everything (`draining`), so that one that has paused resumes; a write is answered with `ended` then.
  mutating func writable(_ peer: Peer, engine: inout Engine)

  /// A message of the peer's, whole, exactly once at most: in an ordered lane in the order in which they were sent, in others as soon as it
  /// has come. It comes whether the stream's reader is paused or not.
  mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine)

  /// It is known what has become of a message that was sent with this token (`MessageOptions.token`). The end of a connection is that of all
  /// its messages: nothing more is heard of any.
  mutating func outcome(_ peer: Peer, token: UInt64, _ outcome: MessageOutcome, engine: inout Engine)

  /// A group whose last publish was answered with `full` takes messages again (`GroupPolicy.keepPace`).
  mutating func writable(_ group: PeerGroup, engine: inout Engine)

  /// The connection is over, for `reason`, and its reader has not had all that was acknowledged. Nothing can be sent any more, and
  /// nothing will be acknowledged; `received` and `finished` follow as the reader goes on, and `closed` behind them. Called once
  /// at most. Who has paused until something of the own stream is acknowledged has to resume, or close, here.
  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine)

  /// The connection is over and the handle is void. Called exactly once for every connection that was `connected`
  /// or dialled, and behind everything else that concerns it: what was acknowledged to the peer, in order, has been handed over,
  /// unless this side has closed, the peer broke the protocol, or the reader stood still for
  /// `EngineConfiguration.unreadTimeout`. Behind an own `close` it is the only callback.
  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine)

  /// The peer has another address from now on, and has proved that it receives there: its NAT has given it a new
  /// mapping, it has moved, or either side's program has asked for it (`Engine.switchPath`). The connection goes on.
  mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine)

  /// `Engine.switchPath` has ended: both sides use the new path from now on, or nobody has answered there, and all is as it was.
  mutating func pathSwitched(_ peer: Peer, succeeded: Bool, engine: inout Engine)

  /// The peer has answered `Engine.ping` with this token.
  mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine)

  /// The memory for received segments, which all connections of the engine share (`EngineConfiguration.receivePoolBytes`),
  /// is full, or no longer: told once each time. Nothing is lost; what is refused is not acknowledged.
  mutating func receivePoolChanged(to pressure: ReceivePoolPressure, engine: inout Engine)

  /// A timer set by `Engine.setTimer` is due.
  mutating func timerFired(token: UInt64, engine: inout Engine)

  /// For the reactor only: a descriptor of the program is ready. A program implements `DescriptorHandler.descriptorReady`, which this calls.
  ///
  /// - Returns: whether the handler serves descriptors; the default does not.
  mutating func serveDescriptor(_ descriptor: Int32, events: UInt32, engine: inout Engine) -> Bool
}

extension Handler {
  public mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission { .accepted }
  public mutating func finished(_ peer: Peer, engine: inout Engine) {}
  public mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {}
  public mutating func writable(_ peer: Peer, engine: inout Engine) {}
  public mutating func received(_ peer: Peer, message: RawSpan, lane: Lane, engine: inout Engine) {}
  public mutating func outcome(_ peer: Peer, token: UInt64, _ outcome: MessageOutcome, engine: inout Engine) {}
  public mutating func writable(_ group: PeerGroup, engine: inout Engine) {}
  public mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  public mutating func moved(_ peer: Peer, to address: Address, engine: inout Engine) {}
  public mutating func pathSwitched(_ peer: Peer, succeeded: Bool, engine: inout Engine) {}
  public mutating func pongReceived(_ peer: Peer, token: UInt16, engine: inout Engine) {}
  public mutating func receivePoolChanged(to pressure: ReceivePoolPressure, engine: inout Engine) {}
  public mutating func timerFired(token: UInt64, engine: inout Engine) {}
  public mutating func serveDescriptor(_ descriptor: Int32, events: UInt32, engine: inout Engine) -> Bool { false }
}

/// A handler that only receives: it offers no bytes, so none are asked of it. Should it offer some all the same, zeros are sent.
public protocol ReceivingHandler: Handler {}

extension ReceivingHandler {
  public mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) { bytes.setZero() }
}

/// A handler that sends by `Engine.write` only: the engine keeps the bytes, so none are asked of it. Should it offer some all the same,
/// zeros are sent.
public protocol WritingHandler: Handler {}

extension WritingHandler {
  public mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) { bytes.setZero() }
}

/// A handler that sends and receives messages only. Should a peer send a stream all the same, it is dropped.
public protocol MessagingHandler: Handler {}

extension MessagingHandler {
  public mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
  public mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) { bytes.setZero() }
}

/// A handler that only sends, as a publisher does: what peers send is dropped, and their windows stay open.
public protocol SendingHandler: Handler {}

extension SendingHandler {
  public mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}
}
