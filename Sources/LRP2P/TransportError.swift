// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

/// Everything that can go wrong with an `Endpoint` or a `Connection`. Each case says what to do about it.
public enum TransportError: Error, Hashable, Sendable {
  /// The task was cancelled. Nothing is lost: a cancelled read leaves its bytes to the next read, a cancelled accept its
  /// connection to the next accept, a cancelled connect is undone.
  ///
  /// - Parameter accepted: of a write, how many of its first bytes are in the stream and will arrive; to go on, write the
  ///   rest. 0 for everything else.
  case cancelled(accepted: Int)
  /// The connection is over, for the reason given: connect again, or give up. Bytes that had been received were returned
  /// by reads before; of what was written, the peer has what `flush` had confirmed, and perhaps more.
  case closed(CloseReason)
  /// A write behind `finish`: a mistake of the program.
  case finished
  /// The endpoint was closed, or its last reference is gone: make a new one.
  case endpointClosed
  /// A blocking call on the endpoint's own thread (in `admission` or in a `release`), which would wait for itself: a mistake of
  /// the program; make the call from another thread.
  case ownThread
  /// All of `EngineConfiguration.maximumPeers` connections are in use: close some, or raise it.
  case tooManyPeers
  /// There is no address to dial: a mistake of the program.
  case noAddress
  /// The payload for the listener's program has more than 512 bytes: a mistake of the program.
  case payloadTooLong
  /// Keys were named for a dial that may only end with the original peer, whose keys are throw-away: drop one.
  case originalHasNoIdentity
  /// A field of the configuration is out of its range, or asks for what this machine does not have: correct it.
  case configuration(ConfigurationError)
  /// The system refuses a socket or a thread, or the socket broke: its text says which. Free the port, take another
  /// address, or raise the limit of descriptors.
  case system(SystemError)

  init(_ error: ReactorError) {
    switch error {
    case .configuration(let invalid): self = .configuration(invalid)
    case .system(let error): self = .system(error)
    }
  }
}

extension TransportError: CustomStringConvertible {
  /// One line.
  public var description: String {
    switch self {
    case .cancelled(let accepted): accepted == 0 ? "cancelled" : "cancelled after \(accepted) bytes"
    case .closed(let reason): "connection closed: \(reason)"
    case .finished: "written behind finish"
    case .endpointClosed: "the endpoint is closed"
    case .ownThread: "a blocking call on the endpoint's own thread"
    case .tooManyPeers: "all connections of the endpoint are in use (maximumPeers)"
    case .noAddress: "no address to dial"
    case .payloadTooLong: "the payload of a dial has more than 512 bytes"
    case .originalHasNoIdentity: "the original peer has no lasting key to pin"
    case .configuration(let invalid): ReactorError.configuration(invalid).description
    case .system(let error): error.description
    }
  }
}
