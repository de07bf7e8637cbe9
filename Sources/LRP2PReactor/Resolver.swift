// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Turns `HOST:PORT` into addresses.
public enum Resolver {
  /// A host that has no address, or a text that is no `HOST:PORT`.
  public enum Failure: Error, Hashable, Sendable {
    /// Not of the form `HOST:PORT` (an IPv6 address needs brackets: `[::1]:4433`).
    case malformed(text: String)
    /// The look-up failed, with the resolver's words.
    case notFound(host: String, cause: String)
  }

  /// The addresses of a host, in the order the system prefers (RFC 6724); never empty.
  ///
  /// Blocks the thread while the system looks the name up, which can take seconds: not for a handler. Addresses
  /// in digits are not looked up.
  public static func addresses(of text: String) throws(Failure) -> [Address] {
    if let address = Address(text) { return [address] }
    guard let (host, port) = Address.split(text), UInt16(decimal: port) != nil, !text.utf8.contains(0) else {
      throw .malformed(text: text)
    }
    var found = [lrp2p_address](repeating: lrp2p_address(), count: 16)
    var count = 0
    let code = unsafe lrp2p_resolve(String(host), String(port), &found, found.count, &count)
    guard code == 0, count > 0 else {
      let cause = code == 0 ? "no addresses" : unsafe String(cString: lrp2p_resolve_error_text(code))
      throw .notFound(host: String(host), cause: lowercasedFirst(cause))
    }
    return found[..<count].map { Address($0) }
  }
}

extension Resolver.Failure: CustomStringConvertible {
  public var description: String {
    switch self {
    case .malformed(let text): "\"\(text)\" is no HOST:PORT (an IPv6 address is written [::1]:4433)"
    case .notFound(let host, let cause): "look up \(host): \(cause)"
    }
  }
}
