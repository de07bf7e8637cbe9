// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// The sockets of one reactor: the one that receives and sends, and one that sends answers to addresses that have not proved
/// themselves, from the same port (`AnswerSender`).
///
/// They share the port by SO_REUSEPORT, and a program that is there before the first one is bound brings everything that arrives to
/// the first: so the port is nobody else's, as without. Where the system does not have that, there is one socket for all.
package struct PortSockets: ~Copyable {
  package var main: UDPSocket
  package var answers: UDPSocket?

  package init(main: consuming UDPSocket, answers: consuming UDPSocket?) {
    self.main = main
    self.answers = answers
  }

  /// - Parameter family: as for one socket.
  package init(bind address: Address, configuration: ReactorConfiguration, family: Int32 = AF_INET6) throws(SystemError)
  {
    do throws(SystemError) {
      let main = try UDPSocket(
        bind: address, configuration: configuration, family: family, sharing: .first(.toFirst))
      let answers = try Self.answers(beside: main.localAddress, family: main.family, configuration)
      self.init(main: main, answers: answers)
    } catch {
      // In use, or not ours: then it says so once more.
      self.init(main: try UDPSocket(bind: address, configuration: configuration, family: family), answers: nil)
    }
  }

  /// A socket for answers from the port of one that steers; bound behind all that receive.
  static func answers(beside address: Address, family: Int32, _ configuration: ReactorConfiguration)
    throws(SystemError) -> UDPSocket
  {
    var configuration = configuration
    // Nothing comes to it. But receive offload asks any socket of the port whether it is wanted.
    configuration.socketReceiveBuffer = 4096
    configuration.socketSendBuffer = min(configuration.socketSendBuffer, AnswerSender.sendBuffer)
    var socket = try UDPSocket(bind: address, configuration: configuration, family: family, sharing: .further)
    // While the sockets are closed, one after the other, something may.
    socket.attach(filter: .nothing)
    return socket
  }
}
