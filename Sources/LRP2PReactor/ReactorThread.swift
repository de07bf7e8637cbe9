// SPDX-License-Identifier: MIT
import LRP2PCore

/// A reactor that runs on a thread of its own (`Reactor.start`), until it is stopped. Letting go of this object does not stop it.
public final class ReactorThread<H: Handler>: Sendable {
  /// Where the socket is bound, the port filled in.
  public let localAddress: Address
  /// Who this side is.
  public let publicKey: PublicKey
  /// Reaches the reactor and its handler.
  public let remote: HandlerRemote<H>
  fileprivate let ending = Locked(Ending())

  fileprivate struct Ending: Sendable {
    var result: Result<Void, SystemError>?
    var waiting: [Rendezvous<Result<Void, SystemError>>] = []
  }

  fileprivate init(_ reactor: borrowing Reactor) {
    localAddress = reactor.localAddress
    publicKey = reactor.engine.publicKey
    remote = reactor.remote(to: H.self)
  }

  /// Makes the reactor end: its last datagrams leave, its handler goes, and its descriptors are closed. Returns at once; `wait` waits for
  /// it.
  public func stop() { remote.stop() }

  /// Blocks the calling thread until the reactor has ended. On the reactor's own thread it would wait for itself.
  ///
  /// - Throws: as `Reactor.run`, what has ended it; `SystemError.forked` in a forked child.
  @available(*, noasync, message: "it would take a thread away from all tasks")
  public func wait() throws(SystemError) {
    try remote.reactor.process.check()
    let rendezvous = Rendezvous<Result<Void, SystemError>>()
    ending.withLock { ending in
      if let result = ending.result { rendezvous.deliver(result) } else { ending.waiting.append(rendezvous) }
    }
    try rendezvous.wait().get()
  }

  fileprivate func end(_ result: Result<Void, SystemError>) {
    let waiting = ending.withLock { ending in
      ending.result = result
      defer { ending.waiting = [] }
      return ending.waiting
    }
    for rendezvous in waiting { rendezvous.deliver(result) }
  }
}

extension Reactor {
  /// Runs the reactor on a new thread, until `stop` is called on what is returned. It may be made on one thread and started on another.
  ///
  ///     let server = try reactor.start(Echo())
  ///     server.remote.submit { echo, engine in echo.greets = true }
  ///     server.stop()
  ///     try server.wait()
  ///
  /// - Parameters:
  ///   - handler: goes to that thread, and is called and destroyed there.
  ///   - name: of the thread, at most 15 bytes; what `ps -L` shows.
  /// - Throws: EAGAIN when the system allows no more threads; the reactor is closed then.
  public consuming func start<H: Handler>(_ handler: sending H, name: String = "lrp2p") throws(SystemError)
    -> ReactorThread<H>
  {
    let thread = ReactorThread<H>(self)
    let handover = Handover(self, handler, thread)
    try Thread.start(name) { handover.run() }
    return thread
  }
}

/// Brings a reactor and its handler to their thread.
///
/// `@unchecked Sendable`: made by one thread, emptied once by another that it starts.
private final class Handover<H: Handler>: @unchecked Sendable {
  private var reactor: Reactor?
  private var handler: H?
  private let thread: ReactorThread<H>

  init(_ reactor: consuming Reactor, _ handler: consuming H, _ thread: ReactorThread<H>) {
    self.reactor = consume reactor
    self.handler = consume handler
    self.thread = thread
  }

  func run() {
    let result = turn()
    // Reactor and handler are gone before anyone is told.
    thread.end(result)
  }

  private func turn() -> Result<Void, SystemError> {
    guard var reactor = reactor.take(), var handler = handler.take() else { return .success(()) }
    do throws(SystemError) { try reactor.run(&handler) } catch { return .failure(error) }
    return .success(())
  }
}
