// SPDX-License-Identifier: MIT
import LRP2PCore

/// Reaches a reactor and its handler from any thread, also after the reactor is gone (then nothing happens).
public struct HandlerRemote<H: Handler>: Sendable {
  /// The same without the handler.
  public let reactor: ReactorRemote

  /// Has the reactor's thread run `task` in its next turn, with the handler and the engine; what it asks of the engine leaves with that
  /// turn. Tasks run in the order of their submission, each once, and not at all when the reactor is gone. They must not block.
  public func submit(_ task: @escaping @Sendable (_ handler: inout H, _ engine: inout Engine) -> Void) {
    reactor.submit(HandlerTask(body: task))
  }

  /// Ends the reactor's wait: the turn continues as if its timeout had passed.
  public func wake() { reactor.wake() }

  /// Makes `Reactor.run` return at the end of its turn; a run that has not begun returns after one turn.
  public func stop() { reactor.stop() }
}

extension Reactor {
  /// Reaches this reactor and its handler from other threads.
  ///
  /// - Parameter type: of the handler that `run` or `turn` is called with. With another one, a turn that meets a task throws EINVAL.
  public func remote<H: Handler>(to type: H.Type) -> HandlerRemote<H> { HandlerRemote(reactor: remote) }
}
