// SPDX-License-Identifier: MIT
import CLinux

/// What an errno of a send means for the message it was for. The table is in docs/errors.md.
package enum SendFault: Equatable {
  /// The socket's buffer is full: keep the rest of the batch until the socket is writable.
  case wouldBlock
  /// The kernel or the device is short of memory for a moment: keep the rest and try again shortly.
  case shortOfBuffers
  /// A signal came first: try again at once.
  case interrupted
  /// Either bursts cannot be cut on the way to this destination or this message is bad: a single datagram of it will tell.
  case burstSuspect
  /// Longer than the interface allows: drop the message.
  case tooLarge
  /// This destination cannot be reached, or must not be, or the kernel has a word for it that is not known here: drop the
  /// message; loss recovery covers it.
  case undeliverable
  /// Our own descriptor is broken.
  case fatal

  /// Whether an errno may be about the address that a message is to leave from, which this host may have no more; each of them can be
  /// about other things, too.
  static func isOfSource(_ code: Int32) -> Bool {
    switch code {
    case EINVAL, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH, ENODEV: true
    default: false
    }
  }

  /// - Parameter isSegmented: whether the message carried UDP_SEGMENT.
  package init(errno code: Int32, isSegmented: Bool) {
    switch code {
    case EAGAIN: self = .wouldBlock
    case ENOBUFS, ENOMEM: self = .shortOfBuffers
    case EINTR: self = .interrupted
    case EIO where isSegmented, EINVAL where isSegmented, EOPNOTSUPP where isSegmented: self = .burstSuspect
    case EMSGSIZE: self = .tooLarge
    case EBADF, ENOTSOCK, EFAULT: self = .fatal
    // Whatever it is, it was about this message: routes, tunnels, filters and modules bring any errno they like (ENOKEY of a
    // WireGuard device without the peer's key), and a peer chooses its address. EINVAL of a single datagram is port 0, which
    // anyone can forge as its source; EAFNOSUPPORT an IPv6 destination on an IPv4 socket.
    default: self = .undeliverable
    }
  }

  /// Whether the network can bring this errno: while it is heard (`UDPSocket.hear`), it may be about another datagram.
  package static func isOfNetwork(_ code: Int32) -> Bool {
    switch code {
    case EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EACCES, EOPNOTSUPP: true
    default: isOfNetworkOnly(code)
    }
  }

  /// Whether only the network brings it, so that it is never about the datagram that is being sent.
  package static func isOfNetworkOnly(_ code: Int32) -> Bool {
    switch code {
    case ECONNREFUSED, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET: true
    default: false
    }
  }
}
