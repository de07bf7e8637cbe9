// SPDX-License-Identifier: MIT
import LRP2PCore

/// The connections that come in, to loop over: `for try await connection in endpoint.incoming`. It ends when the endpoint is
/// closed or the task cancelled, and throws when the socket breaks. Several loops share the connections.
public struct IncomingConnections: AsyncSequence, Sendable {
  let endpoint: Endpoint

  public struct AsyncIterator: AsyncIteratorProtocol {
    let endpoint: Endpoint

    public mutating func next() async throws(TransportError) -> Connection? {
      try await next(isolation: nil)
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(TransportError) -> Connection? {
      do throws(TransportError) { return try await endpoint.accept() } catch {
        switch error {
        case .endpointClosed, .cancelled: return nil
        case .closed, .finished, .ownThread, .tooManyPeers, .noAddress, .originalHasNoIdentity, .configuration, .system:
          throw error
        }
      }
    }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(endpoint: endpoint) }
}

extension Endpoint {
  /// The connections that come in. The sequence keeps the endpoint: close it to end the loop.
  public var incoming: IncomingConnections { IncomingConnections(endpoint: self) }
}
