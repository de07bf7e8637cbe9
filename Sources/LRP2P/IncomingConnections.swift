// SPDX-License-Identifier: MIT
import LRP2PCore

/// The connections that come in, to loop over: `for try await connection in endpoint.incoming`. It ends when the endpoint is
/// closed or the task cancelled, and throws when the socket breaks. Several loops share the connections.
public struct IncomingConnections: AsyncSequence, Sendable {
  let endpoint: Endpoint

  /// Accepts one connection after the other.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let endpoint: Endpoint

    /// The next connection; `nil` when the endpoint is closed or the task cancelled. Throws `TransportError.system` when the socket is broken.
    public mutating func next() async throws(TransportError) -> Connection? {
      try await next(isolation: #isolation)
    }

    /// The same, on the executor of the actor that asks.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws(TransportError) -> Connection? {
      do throws(TransportError) { return try await endpoint.accept() } catch {
        switch error {
        case .endpointClosed, .cancelled: return nil
        case .closed, .finished, .ownThread, .tooManyPeers, .noAddress, .payloadTooLong, .originalHasNoIdentity,
          .configuration, .system:
          throw error
        }
      }
    }
  }

  /// A loop of its own; all loops share the connections.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(endpoint: endpoint) }
}

extension Endpoint {
  /// The connections that come in. The sequence keeps the endpoint: close it to end the loop.
  public var incoming: IncomingConnections { IncomingConnections(endpoint: self) }
}
