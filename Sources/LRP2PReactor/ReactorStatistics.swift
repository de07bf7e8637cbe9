// SPDX-License-Identifier: MIT
/// Counters of one reactor, all since its start. What the protocol counts is in `Engine.statistics`.
public struct ReactorStatistics: Sendable, BitwiseCopyable {
  /// What moves the datagrams.
  public var backend = ReactorBackend.epoll
  /// Each begins with one wait, which may be for no time.
  public var turns: UInt64 = 0
  /// Waits that polled before they slept (`ReactorConfiguration.longestSpin`), and those of them that slept after all.
  public var spins: UInt64 = 0
  /// Of `spins`, those in which nothing came.
  public var spinsInVain: UInt64 = 0
  /// System calls that received or sent.
  public var receiveCalls: UInt64 = 0
  /// Calls that have sent, of one message or many.
  public var sendCalls: UInt64 = 0
  /// Messages received; with receive offload one can hold many datagrams.
  public var messagesReceived: UInt64 = 0
  /// Datagrams in them.
  public var datagramsReceived: UInt64 = 0
  /// Datagrams that the kernel has taken.
  public var datagramsSent: UInt64 = 0
  /// Bytes of UDP payload.
  public var bytesReceived: UInt64 = 0
  /// UDP payload bytes that the kernel has taken.
  public var bytesSent: UInt64 = 0
  /// Datagrams the kernel dropped because the socket's receive buffer was full or because of the socket filter; it does not tell
  /// the two apart, and counts what receive offload has merged as one.
  public var kernelDrops: UInt64 = 0
  /// Messages dropped as useless: without a byte, or longer than their place.
  public var receiveDrops: UInt64 = 0
  /// Receive calls that failed. Nothing is received for 1 ms behind each, and for up to 100 ms behind many in a row.
  public var receiveFailures: UInt64 = 0
  /// Waits that a signal ended, or that the kernel refused for the moment. Behind many in a row the reactor sleeps for 1 to 100 ms.
  public var waitFailures: UInt64 = 0
  /// How often io_uring had filled all `receiveMessages` places, so that receiving had to be armed anew. Nothing is lost by it.
  public var receivePlacesExhausted: UInt64 = 0
  /// Datagrams dropped because they were too large for the interface (EMSGSIZE).
  public var sendDropsTooLarge: UInt64 = 0
  /// Datagrams dropped because the kernel refused them (unreachable, prohibited, or any other word of it).
  public var sendDropsUndeliverable: UInt64 = 0
  /// Datagrams dropped because they met EAGAIN, ENOBUFS or ENOMEM again and again for an eighth of a second, and held up all others.
  public var sendDropsStuck: UInt64 = 0
  /// Datagrams to addresses that have not proved themselves, dropped because those before them wait for their addresses in the
  /// kernel, or because the kernel refused them. They are not among the other drops.
  public var sendDropsUnproved: UInt64 = 0
  /// Addresses of this host that the kernel has refused to send from, as they have been taken away: what was for them has left from
  /// another one. One that goes and comes back counts again.
  public var sourcesRefused: UInt64 = 0
  /// Sends that found the socket's send buffer full (EAGAIN). Nothing is lost by it; connections that it holds back say
  /// `SendLimit.socket`.
  public var sendBlocked: UInt64 = 0
  /// Sends that found the kernel short of memory (ENOBUFS).
  public var sendShortOfBuffers: UInt64 = 0
  /// Whether bursts leave as one message. Where the kernel refuses them they stop for a minute: for the one host, or for the
  /// socket when one after the other is refused.
  public var segmentationOffload = false
  /// Whether the kernel merges arriving datagrams.
  public var receiveOffload = false
  /// Whether the kernel drops what cannot be ours: `ReactorConfiguration.socketFilter`, where it can.
  public var socketFilter = false

  /// Whether answers to addresses that have not proved themselves leave by a socket of their own.
  public var answersApart = false

  package init() {}

  /// Datagrams that a system call has received or sent on average; 0 before the first. Near 1, each datagram pays for a call.
  public var datagramsPerReceiveCall: Double { Self.mean(datagramsReceived, receiveCalls) }
  /// The mean number of datagrams that one call has sent; 0 before the first.
  public var datagramsPerSendCall: Double { Self.mean(datagramsSent, sendCalls) }

  private static func mean(_ sum: UInt64, _ count: UInt64) -> Double { count == 0 ? 0 : Double(sum) / Double(count) }
}
