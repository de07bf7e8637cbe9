// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor

/// What ends a command from outside.
struct Interrupted: Error {
  let signal: Int32
  /// For people.
  var text: String?
}

/// INT, TERM and HUP, taken by a thread that does nothing else: the first wakes the reactor, whose command then ends in order; a second
/// one ends the process at once. What the process was started to ignore, by nohup(1) or as a job of a script, stays ignored.
enum Signals {
  private static let first = Locked<Int32>(0)

  /// The signal that has come.
  static var caught: Int32? {
    let signal = first.withLock { $0 }
    return signal == 0 ? nil : signal
  }

  /// Call it before there are other threads: they are not to take the signals.
  static func watch(_ remote: ReactorRemote) {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for signal in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(signal) { unsafe sigaddset(&signals, signal) }
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    let watched = signals
    do throws(SystemError) { try Thread.start("lrp2p-signals") { take(watched, remote) } } catch {
      unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }
  }

  private static func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    guard unsafe sigaction(signal, nil, &action) == 0 else { return false }
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  private static func take(_ signals: sigset_t, _ remote: ReactorRemote) {
    var signals = signals
    while true {
      var signal: Int32 = 0
      guard unsafe sigwait(&signals, &signal) == 0 else { continue }
      let isSecond = first.withLock {
        let isSecond = $0 != 0
        if !isSecond { $0 = signal }
        return isSecond
      }
      if isSecond { _exit(128 + signal) }
      remote.wake()
    }
  }
}
