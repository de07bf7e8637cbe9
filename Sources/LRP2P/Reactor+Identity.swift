// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor

extension Reactor {
  /// Binds a socket and makes a reactor for it, with the cryptography of libsodium and, for datagrams, of what
  /// `ReactorConfiguration.aeadProvider` says.
  ///
  /// - Parameters:
  ///   - configuration: options of the socket and of the protocol.
  ///   - identity: who this side is.
  ///   - address: where to listen; port 0 takes any free port, `Address.any(port:)` binds all addresses of IPv6 and
  ///     IPv4.
  ///   - keys: who may connect: `.anyone`, `.keys(set)`, or `.nobody` for a reactor that only dials.
  /// - Throws: a configuration out of range or beyond this machine, or a socket that cannot be had (address in use, no descriptors left).
  public init(
    configuration: ReactorConfiguration = .init(), identity: Identity, bind address: Address, accepting keys: PeerKeys
  )
    throws(ReactorError)
  {
    var configuration = configuration
    configuration.engine.accepting = keys
    let suite: any CipherSuite
    do { suite = try CipherSuites.make(configuration.aeadProvider) } catch { throw .configuration(error) }
    var key = identity.secretKey
    defer { wipe(&key) }
    try self.init(configuration: configuration, secretKey: key, suite: suite, bind: address)
    wipeStack()
  }

  /// Takes over a socket that is open and bound: one of a service manager (systemd's socket activation), or of a parent that may bind
  /// ports which this process may not. Its options are set as for any other; with one socket alone, answers to strangers share its buffer.
  ///
  /// - Parameters:
  ///   - configuration: options of the socket and of the protocol.
  ///   - identity: who this side is.
  ///   - descriptor: of a UDP socket of IPv4 or IPv6 that is bound and not connected. It is the reactor's from this call on, which
  ///     closes it also where it throws. 0 to 2 are refused, and left open.
  ///   - keys: who may connect.
  /// - Throws: a configuration out of range or beyond this machine; not such a socket (`ReactorError.system` with EBADF, ENOTSOCK,
  ///   EPROTOTYPE, EAFNOSUPPORT, EADDRNOTAVAIL or EISCONN); what the configuration asks of it cannot be had (ENODEV, EPERM).
  public init(
    configuration: ReactorConfiguration = .init(), identity: Identity, adopting descriptor: Int32,
    accepting keys: PeerKeys
  )
    throws(ReactorError)
  {
    var configuration = configuration
    configuration.engine.accepting = keys
    let owned: FileDescriptor
    do { owned = try UDPSocket.own(descriptor) } catch { throw .system(error) }
    let suite: any CipherSuite
    do { suite = try CipherSuites.make(configuration.aeadProvider) } catch { throw .configuration(error) }
    var key = identity.secretKey
    defer { wipe(&key) }
    try self.init(configuration: configuration, secretKey: key, suite: suite, adopting: owned)
    wipeStack()
  }

  /// One of several reactors on one port, each on a thread of its own.
  ///
  /// - Parameters:
  ///   - identity: who this side is: the same for all of a group, as peers do not choose whom they meet.
  ///   - group: has bound the sockets, and holds the configuration and the rule for keys.
  ///   - index: which of them this is: 0 ..< `group.count`, each once.
  /// - Throws: a configuration beyond this machine, or no descriptors left.
  public init(identity: Identity, group: ReactorGroup, index: Int) throws(ReactorError) {
    let suite: any CipherSuite
    do { suite = try CipherSuites.make(group.configuration.aeadProvider) } catch { throw .configuration(error) }
    var key = identity.secretKey
    defer { wipe(&key) }
    try self.init(group: group, index: index, secretKey: key, suite: suite)
    wipeStack()
  }
}
