// SPDX-License-Identifier: MIT
/// What keeps a connection from sending more than it does. In the terms of Linux's `tcp_info`: `receiveWindow` is what
/// `tcpi_rwnd_limited` counts, `socket` what `tcpi_sndbuf_limited` does, and `congestionWindow` and `pacing` are the rest of
/// `tcpi_busy_time`.
public enum SendLimit: String, Sendable, Hashable, CaseIterable, BitwiseCopyable {
  /// The keys are not agreed yet; with the original peer, also the pause that it needs behind message 3.
  case handshake
  /// All that was offered has left: the program gives no more.
  case application
  /// The peer takes no more: its reader is slow, or its window is small for the path.
  case receiveWindow
  /// As much is in flight as the path is taken to carry.
  case congestionWindow
  /// The path is taken to carry no more than this in a second; the next burst leaves in a moment.
  case pacing
  /// The protocol would send, but the reactor's socket is full, or the reactor is: others have the batch, or processor time is
  /// short. `ReactorStatistics.sendBlocked` tells the first from the second.
  case socket
  /// Nothing: what there is leaves in this turn.
  case nothing
}
