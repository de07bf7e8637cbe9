// SPDX-License-Identifier: MIT
import LRP2PCore

/// A peer that wants to connect, as the `admission` of an `Endpoint` judges it.
public struct ConnectionRequest: Hashable, Sendable {
  /// The peer's key, which it has proved and which the endpoint accepts.
  public let key: PublicKey
  /// Where it is.
  public let address: Address
  /// What its program says of itself (`Endpoint.connect`): at most 512 bytes, a token or the name of a room for example. It is the
  /// stranger's: nothing is known of it but whose it is. `Connection.requestPayload` has it later.
  public let payload: [UInt8]
}
