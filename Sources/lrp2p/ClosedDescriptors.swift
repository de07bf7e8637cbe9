// SPDX-License-Identifier: MIT
import Glibc

/// Which of the first three descriptors were closed when the program began, as some init systems and `cron` have them.
enum ClosedDescriptors {
  private static let found = [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO].filter { fcntl($0, F_GETFD) < 0 }

  /// Puts something there, or the next that is opened would be taken for it: a socket, or somebody's file. It can be neither
  /// read nor written, so what needs the descriptor still fails.
  static func fill() {
    for descriptor in found {
      _ = unsafe open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  static func contains(_ descriptor: Int32) -> Bool { found.contains(descriptor) }
}
