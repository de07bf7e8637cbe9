// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

// What users ask of a channel, from any thread: each first tries, then waits under a ticket by which it can be cancelled.

extension Channel {
  // MARK: Read

  func tryRead(_ limit: Int) -> Attempt<Result<ReadBytes, TransportError>> {
    change { state, _ in
      if state.readers.isEmpty, let answer = state.take(max(limit, 1)) { return .done(answer) }
      return .wait(ticket: state.nextTicket())
    }
  }

  func read(_ limit: Int, ticket: UInt64, _ waiter: Waiter<Result<ReadBytes, TransportError>>) {
    change { state, due in
      if Task.isCancelled {
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
        return
      }
      state.readers.append(ChannelState.Reader(ticket: ticket, limit: max(limit, 1), waiter: waiter))
      state.answerReaders(&due)
    }
  }

  func cancelRead(_ ticket: UInt64) {
    change { state, due in
      guard let index = state.readers.firstIndex(where: { $0.ticket == ticket }) else { return }
      due.answer(state.readers.remove(at: index).waiter, .failure(.cancelled(accepted: 0)))
    }
  }

  // MARK: Write

  /// Takes all of a write, when nobody waits and there is room, or refuses it.
  func tryWrite(_ source: WriteSource) -> Attempt<Result<Void, TransportError>> {
    change(releases: true) { state, due in
      if let refusal = state.refusal {
        if let release = source.release { due.release(release) }
        return .done(.failure(refusal))
      }
      guard state.writers.isEmpty, source.count <= state.room else { return .wait(ticket: state.nextTicket()) }
      state.outbound.append(source, &due)
      return .done(.success(()))
    }
  }

  func write(_ source: WriteSource, ticket: UInt64, _ waiter: Waiter<Result<Void, TransportError>>) {
    change(releases: true) { state, due in
      if let error = Task.isCancelled ? .cancelled(accepted: 0) : state.refusal {
        if let release = source.release { due.release(release) }
        due.answer(waiter, .failure(error))
        return
      }
      state.writers.append(ChannelState.Writer(ticket: ticket, source: source, waiter: waiter))
      state.admitWriters(&due)
    }
  }

  func cancelWrite(_ ticket: UInt64) {
    change { state, due in state.cancelWriter(ticket, &due) }
  }

  // MARK: Flush

  func flush(_ waiter: Waiter<Result<Void, TransportError>>, ticket: UInt64) {
    change { state, due in
      if Task.isCancelled {
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
        return
      }
      state.flushers.append(ChannelState.Flusher(ticket: ticket, offset: state.outbound.end, waiter: waiter))
      state.answerFlushes(&due)
      if !state.flushers.isEmpty { state.flushes = true }
    }
  }

  func cancelFlush(_ ticket: UInt64) {
    change { state, due in
      guard let index = state.flushers.firstIndex(where: { $0.ticket == ticket }) else { return }
      due.answer(state.flushers.remove(at: index).waiter, .failure(.cancelled(accepted: 0)))
    }
  }

  // MARK: End

  func finish() {
    change { state, _ in state.isFinished = true }
  }

  func close(code: CloseCode, reason: String) {
    change { state, due in state.order(ChannelState.Close(code: code, reason: reason), &due) }
  }

  /// The last reference of the user is gone.
  func abandon() {
    change { state, due in
      guard state.over == nil else { return }
      guard state.isFinished else {
        state.order(ChannelState.Close(code: CloseCode.abandoned, reason: ""), &due)
        return
      }
      state.isDetached = true
      state.lingers = true
      due.discard(state.inbound.takeAll())
      if state.isPaused {
        state.isPaused = false
        state.resumes = true
      }
    }
  }

  /// The program has it now, and may have more of it.
  func accepted() {
    change { state, _ in
      state.isAccepted = true
      state.resumeIfRoom()
    }
  }

  func watch(_ waiter: Waiter<Result<CloseReason, TransportError>>, ticket: UInt64) {
    change { state, due in
      if let end = state.knownEnd {
        due.answer(waiter, ChannelState.word(end))
      } else if Task.isCancelled {
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
      } else {
        state.watchers.append(ChannelState.Watcher(ticket: ticket, waiter: waiter))
      }
    }
  }

  func cancelWatch(_ ticket: UInt64) {
    change { state, due in
      guard let index = state.watchers.firstIndex(where: { $0.ticket == ticket }) else { return }
      due.answer(state.watchers.remove(at: index).waiter, .failure(.cancelled(accepted: 0)))
    }
  }

  func figures(_ waiter: Waiter<PeerStatistics?>) {
    change { state, due in
      if state.over != nil { due.answer(waiter, nil) } else { state.figures.append(waiter) }
    }
  }

  func nextTicket() -> UInt64 { state.withLock { $0.nextTicket() } }

  // MARK: Connect

  /// Dials; the answer comes when the handshake is done.
  func dial(_ waiter: Waiter<Result<Void, TransportError>>) {
    change { state, due in
      if Task.isCancelled {
        state.end(.cancelled(accepted: 0), &due)
        due.answer(waiter, .failure(.cancelled(accepted: 0)))
      } else if let over = state.over {
        due.answer(waiter, .failure(over))
      } else {
        state.dialler = waiter
      }
    }
  }

  /// Undoes a connect that is not done.
  func cancelDial() {
    change { state, due in
      guard !state.isConnected, state.dialler != nil, state.over == nil else { return }
      state.order(ChannelState.Close(code: 0, reason: ""), &due, as: .cancelled(accepted: 0))
    }
  }
}

extension ChannelState {
  /// This side closes: over at once for the user, CLOSE goes out with the reactor's next turn.
  mutating func order(_ close: Close, _ due: inout DeferredActions, as error: TransportError? = nil) {
    guard over == nil else { return }
    self.close = close
    end(error ?? .closed(.local(code: close.code)), &due)
  }
}
