import CLinux

/// What an errno of a send means for the message it was for. The table is in docs/errors.md.
package enum SendFault: Equatable {
  /// The socket's buffer is full: keep the rest of the batch until the socket is writable.
  case wouldBlock
  /// The kernel or the device is short of memory for a moment: keep the rest and try again shortly.
  case shortOfBuffers
  /// A signal came first: try again at once.
  case interrupted
  /// The device or the socket cannot cut messages: send singly from now on.
  case offloadUnsupported
  /// Either the socket cannot cut messages or this message is bad: a single datagram of it will tell.
  case offloadSuspect
  /// Longer than the interface allows: drop the message.
  case tooLarge
  /// This destination cannot be reached, or must not be: drop the message; loss recovery covers it.
  case undeliverable
  /// The socket itself is broken.
  case fatal

  /// - Parameter isSegmented: whether the message carried UDP_SEGMENT.
  package init(errno code: Int32, isSegmented: Bool) {
    switch code {
    case EAGAIN: self = .wouldBlock
    case ENOBUFS, ENOMEM: self = .shortOfBuffers
    case EINTR: self = .interrupted
    case EIO where isSegmented: self = .offloadUnsupported
    case EINVAL where isSegmented: self = .offloadSuspect
    case EMSGSIZE: self = .tooLarge
    // EINVAL of a single datagram: a destination nobody can send to, such as port 0 — which any peer can forge as
    // its source. EAFNOSUPPORT: an IPv6 destination on an IPv4 socket.
    case ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EPERM, EACCES, EINVAL, EADDRNOTAVAIL, EAFNOSUPPORT, ENETDOWN,
      EHOSTDOWN, ENODEV, ENXIO, ENONET, EDESTADDRREQ, EPROTO, ENOPROTOOPT, EIO:
      self = .undeliverable
    default: self = .fatal
    }
  }
}
