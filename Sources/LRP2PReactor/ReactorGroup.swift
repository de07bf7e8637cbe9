// SPDX-License-Identifier: MIT
import LRP2PCore

/// Sockets that share a port, for reactors that each have a thread: the kernel brings every datagram to the reactor of its
/// connection.
///
/// It steers by a keyed hash of the connection id. All messages of a handshake carry the same id, so they meet the same
/// reactor, and that draws ids which hash to itself; so connections spread evenly, and none ever crosses threads. Each
/// reactor has its own handler, `maximumPeers`, `receivePoolBytes` and buffers.
///
/// Make the group first, then each reactor on its thread, and end all of them together: when one goes the kernel counts the
/// rest anew, and connections of others lose their way.
public final class ReactorGroup: Sendable {
  /// Reactors of the group.
  public let count: Int
  /// Where all of them are bound, the port filled in.
  public let localAddress: Address
  /// What each of its reactors is made with.
  public let configuration: ReactorConfiguration

  private final class Seat: Sendable {
    let sockets: Locked<PortSockets?>
    init(_ sockets: consuming PortSockets) { self.sockets = Locked(sockets) }

    func add(_ answers: consuming UDPSocket) {
      var added: UDPSocket? = consume answers
      sockets.withLock { swap(&$0!.answers, &added) }
    }
  }

  private let seats: [Seat]
  private let steering: IDHash

  /// Binds `count` sockets.
  ///
  /// - Parameters:
  ///   - count: 1 … 256; one for each processor that is to serve the port.
  ///   - configuration: of each reactor.
  ///   - keys: who may connect.
  ///   - address: port 0 takes any free port.
  /// - Throws: the configuration is out of range; the address is in use (by another group, too) or not ours; the system has
  ///   no SO_REUSEPORT with classic BPF (Linux 4.5), or forbids it.
  public init(
    count: Int, configuration: ReactorConfiguration = .init(), bind address: Address, accepting keys: PeerKeys
  ) throws(ReactorError) {
    var configuration = configuration
    configuration.engine.accepting = keys
    guard (1...256).contains(count) else {
      throw .configuration(.outOfRange(field: "count", allowed: "1 … 256"))
    }
    do { try configuration.validate() } catch { throw .configuration(error) }
    steering = IDHash(key: (.random(in: 0 ... .max), .random(in: 0 ... .max)))
    self.count = count
    self.configuration = configuration
    do {
      let program = PacketProgram.steering(steering, count: count)
      let first = try UDPSocket(bind: address, configuration: configuration, sharing: .first(program))
      let (bound, family) = (first.localAddress, first.family)
      // The kernel numbers them in the order in which they are bound.
      var seats = [Seat(PortSockets(main: first, answers: nil))]
      for _ in 1..<count {
        let socket = try UDPSocket(bind: bound, configuration: configuration, family: family, sharing: .further)
        seats.append(Seat(PortSockets(main: socket, answers: nil)))
      }
      // Those for answers come last: the program names none of them.
      for seat in seats {
        guard let answers = try? PortSockets.answers(beside: bound, family: family, configuration) else { break }
        seat.add(answers)
      }
      self.seats = seats
      localAddress = bound
    } catch {
      throw .system(error)
    }
  }

  /// The sockets of reactor `index`, once.
  func takeSockets(_ index: Int) -> PortSockets {
    var taken: PortSockets?
    seats[index].sockets.withLock { swap(&$0, &taken) }
    guard let sockets = taken.take() else { preconditionFailure("reactor \(index) of the group has been made before") }
    return sockets
  }

  /// How reactor `index` draws its ids.
  func ids(_ index: Int) -> ConnectionIDs {
    var ids = ConnectionIDs()
    ids.steer(by: steering, to: index, of: count)
    return ids
  }
}
