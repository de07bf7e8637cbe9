// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// Moves bytes between the engine and the channels of an endpoint.
struct EndpointHandler: Handler {
  let core: EndpointCore
  /// Of the peer that was judged last: `connected` follows at once where it is taken.
  private var payload: [UInt8] = []

  init(core: EndpointCore) { self.core = core }

  mutating func admission(of key: PublicKey, from address: Address, payload: RawSpan) -> Admission {
    self.payload = (0..<payload.byteCount).map { payload.byte($0) }
    return core.admission(ConnectionRequest(key: key, address: address, payload: self.payload))
  }

  mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {
    if info.isIncoming {
      let channel = Channel(core: core)
      channel.peer = peer
      channel.state.withLock { state in
        state.connected(info)
        swap(&state.payload, &payload)
      }
      core.insert(channel, peer)
      if let code = core.offer(channel) { channel.close(code: code, reason: "") }
    } else if let channel = core.channel(of: peer) {
      var due = DeferredActions()
      channel.state.withLock { state in
        state.connected(info)
        if let dialler = state.dialler { due.answer(dialler, .success(())) }
        state.dialler = nil
      }
      due.run()
    }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let channel = core.channel(of: peer) else { return }
    let isFull = unsafe bytes.withUnsafeBytes { bytes in
      channel.state.withLock { unsafe $0.receive(bytes) }
    }
    if isFull { engine.pause(peer) }
    core.mark(channel)
  }

  mutating func finished(_ peer: Peer, engine: inout Engine) {
    guard let channel = core.channel(of: peer) else { return }
    channel.state.withLock { $0.isEndOfStream = true }
    core.mark(channel)
  }

  mutating func fill(_ peer: Peer, offset: UInt64, into bytes: inout MutableRawSpan) {
    let channel = core.channel(of: peer)
    unsafe bytes.withUnsafeMutableBytes { target in
      let isHeld = channel?.state.withLock { unsafe $0.outbound.copy(from: offset, to: target) } ?? false
      // The engine asks for what was offered, and not behind `closed`. Should it ask for more, that is no reason to take all
      // other connections down: nobody is there to be sent anything, and it shall be nothing that was in this memory.
      if !isHeld { unsafe target.initializeMemory(as: UInt8.self, repeating: 0) }
    }
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    guard let channel = core.channel(of: peer) else { return }
    var due = DeferredActions()
    channel.state.withLock { $0.outbound.acknowledge(upTo: offset, &due) }
    core.mark(channel)
    due.run()
  }

  /// It is over, and what its reader has not taken yet comes as it goes on.
  mutating func draining(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    core.channel(of: peer)?.draining(.closed(reason))
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard let channel = core.remove(peer) else { return }
    if !channel.state.withLock({ $0.hasSomethingToRead }) { core.withdraw(channel) }
    channel.ended(.closed(reason))
  }

  // `receivePool` is not answered: a full pool is flow control, as a full socket buffer is to TCP. To close those that hold the
  // most would drop what was acknowledged, and let whoever fills the pool choose when; to let paused readers go on would
  // only move the bytes. `readBuffer` and `bufferBytes` bound what they have here.

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    // A detached connection; the peer's handle is its id. Anything else has only ended the reactor's wait.
    core.lingered(token, &engine)
  }
}

extension ChannelState {
  mutating func connected(_ info: PeerInfo) {
    isConnected = true
    remoteKey = info.key
    remoteAddress = info.address
    applicationProtocol = info.applicationProtocol
  }
}

extension EndpointCore {
  /// Looks after a finished connection that nobody holds. As long as the peer has not everything, the end of the stream
  /// included, it stays, however slow the peer's reader is: a peer that is gone ends it by the idle timeout. From then on
  /// the peer has an interval to end its own direction.
  func lingered(_ token: UInt64, _ engine: inout Engine) {
    guard let channel = channels[Peer(connectionID: token)], let peer = channel.peer else { return }
    let figures = engine.statistics(of: peer)
    let isIdle = figures.map { $0.packetsInFlight == 0 && $0.limitedBy == .application } ?? true
    channel.change { state, due in
      guard state.isDetached, state.over == nil else { return }
      let isDelivered = isIdle && state.outbound.count == 0
      if isDelivered, state.isDelivered {
        state.order(ChannelState.Close(code: CloseCode.abandoned, reason: ""), &due)
      } else {
        state.isDelivered = isDelivered
        state.lingers = true
      }
    }
  }
}
