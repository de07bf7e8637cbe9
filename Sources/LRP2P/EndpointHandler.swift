import LRP2PCore
import LRP2PReactor

/// Moves bytes between the engine and the channels of an endpoint.
struct EndpointHandler: Handler {
  let core: EndpointCore

  mutating func accepts(key: PublicKey, from address: Address) -> Bool { core.accepts(key, address) }

  mutating func connected(_ peer: Peer, incoming: Bool, engine: inout Engine) {
    let figures = engine.statistics(of: peer)
    if incoming {
      let channel = Channel(core: core)
      channel.peer = peer
      channel.state.withLock { $0.connected(figures) }
      core.insert(channel, peer)
      if !core.offer(channel) { channel.close(code: Endpoint.Code.backlogFull, reason: "") }
    } else if let channel = core.channel(of: peer) {
      var due = Due()
      channel.state.withLock { state in
        state.connected(figures)
        if let dialler = state.dialler { due.answer(dialler, .success(())) }
        state.dialler = nil
      }
      due.run()
    }
  }

  mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {
    guard let channel = core.channel(of: peer) else { return }
    let isFull = unsafe bytes.withUnsafeBytes { bytes in
      channel.state.withLock { state in
        if state.isDetached || state.over != nil { return false }
        unsafe state.inbound.append(bytes)
        guard state.inbound.count >= state.readLimit else { return false }
        state.isPaused = true
        return true
      }
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
    // The engine asks only for what was offered, and `closed` comes before the channel goes.
    guard let channel = core.channel(of: peer) else { preconditionFailure("bytes of a connection that is over") }
    unsafe bytes.withUnsafeMutableBytes { target in
      channel.state.withLock { unsafe $0.outbound.copy(from: offset, to: target) }
    }
  }

  mutating func acknowledged(_ peer: Peer, upTo offset: UInt64, engine: inout Engine) {
    guard let channel = core.channel(of: peer) else { return }
    var due = Due()
    channel.state.withLock { $0.outbound.acknowledge(upTo: offset, &due) }
    core.mark(channel)
    due.run()
  }

  mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {
    guard let channel = core.remove(peer) else { return }
    if reason != .finished { core.withdraw(channel) }
    channel.ended(.closed(reason))
  }

  mutating func timerFired(token: UInt64, engine: inout Engine) {
    // A detached connection; the peer's handle is its id. Anything else has only ended the reactor's wait.
    core.lingered(token, &engine)
  }
}

extension ChannelState {
  mutating func connected(_ figures: PeerStatistics?) {
    isConnected = true
    guard let figures else { return }
    remoteKey = figures.key
    remoteAddress = figures.address
  }
}

extension EndpointCore {
  /// Looks after a finished connection that nobody holds: while the peer takes its bytes it may stay.
  func lingered(_ token: UInt64, _ engine: inout Engine) {
    guard let channel = channel(ofToken: token) else { return }
    channel.change { state, due in
      guard state.isDetached, state.over == nil else { return }
      if state.outbound.count > 0, state.outbound.start != state.lingerMark {
        state.lingerMark = state.outbound.start
        state.lingers = true
      } else {
        state.order(ChannelState.Close(code: Endpoint.Code.abandoned, reason: ""), &due)
      }
    }
  }
}
