// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2P
import LRP2PCore
import LRP2PReactor

/// Of the commands that move files.
struct ProgressOptions: ParsableArguments {
  @Flag(inversion: .prefixedNo, help: "Show progress on standard error; by default if that is a terminal.")
  var progress: Bool?

  func line(asJSON: Bool) -> ProgressLine { ProgressLine(isWanted: asJSON ? false : progress) }
}

/// Of the commands that dial.
struct DialOptions: ParsableArguments {
  @Option(help: "Gives the dial up after so many seconds: 0.1 to 3600.")
  var dialTimeout = 16.0

  func validate() throws {
    guard (0.1...3600).contains(dialTimeout) else { throw ValidationError("--dial-timeout takes 0.1 to 3600 seconds") }
  }

  /// Dials all addresses of the host.
  func connect(
    _ engine: inout Engine, to addresses: [Address], pinned: PublicKey?, versions: VersionPolicy = .version1,
    payload: [UInt8] = []
  ) throws(Failure) -> Peer {
    do throws(EngineError) {
      return try engine.connect(
        to: addresses, expecting: pinned.map(PeerKeys.key) ?? .anyone, versions: versions, payload: payload,
        timeout: Nanoseconds(dialTimeout * 1e9))
    } catch {
      throw Failure("no room for a connection")
    }
  }
}

/// What every command that opens a socket takes.
struct SocketOptions: ParsableArguments {
  @Option(help: "The identity file that `lrp2p keygen --out` wrote. Without it a new one is made, for this run.")
  var identity: String?

  @Option(help: "Ends a connection on which nothing came for so many seconds: 1 to 86400.")
  var idleTimeout = 30

  @Flag(help: "Have the kernel drop what cannot be for this socket.")
  var socketFilter = false

  @Flag(help: "Print one JSON object a line.")
  var json = false

  func validate() throws {
    guard (1...86_400).contains(idleTimeout) else {
      throw ValidationError("--idle-timeout takes 1 to 86400 seconds")
    }
  }

  func loadIdentity() throws(Failure) -> Identity {
    guard let identity else { return Identity() }
    do throws(IdentityError) { return try Identity(contentsOf: identity) } catch { throw Failure(error) }
  }

  func makeReactor(
    bind address: Address, accepting keys: PeerKeys, configure: (inout ReactorConfiguration) -> Void = { _ in }
  ) throws(Failure) -> Reactor {
    let identity = try loadIdentity()
    var configuration = ReactorConfiguration()
    configuration.engine.idleTimeout = .seconds(UInt64(idleTimeout))
    configuration.socketFilter = socketFilter
    configure(&configuration)
    do throws(ReactorError) {
      return try Reactor(configuration: configuration, identity: identity, bind: address, accepting: keys)
    } catch {
      throw Failure(error)
    }
  }

  static func resolve(_ text: String) throws(Failure) -> [Address] {
    do throws(Resolver.Failure) { return try Resolver.addresses(of: text) } catch { throw Failure(error) }
  }

  static func key(_ text: String, option: String) throws(Failure) -> PublicKey {
    guard let key = PublicKey(text) else {
      throw Failure("\(option) \(text): a public key is 64 hexadecimal characters")
    }
    return key
  }
}

extension Reactor {
  /// Answers what peers still repeat, until nothing has come for half a second, three seconds at most.
  mutating func linger<H: Handler>(_ handler: inout H) throws(Failure) {
    let end = engine.now + .seconds(3)
    var quietSince = engine.now
    var received = engine.statistics.datagramsReceived
    do throws(SystemError) {
      repeat {
        try turn(&handler, timeout: 50_000_000)
        if engine.statistics.datagramsReceived != received {
          received = engine.statistics.datagramsReceived
          quietSince = engine.now
        }
      } while engine.statistics.peers > 0 && engine.now < min(end, quietSince + 500_000_000)
    } catch {
      throw Failure(error)
    }
  }
}
