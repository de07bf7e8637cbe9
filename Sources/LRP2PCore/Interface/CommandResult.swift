// SPDX-License-Identifier: MIT
/// What has become of a command to the engine (`offer`, `close`, `ping` …). Whatever is not `done` has changed nothing.
public enum CommandResult: Sendable, Hashable, BitwiseCopyable {
  /// It was taken, or there is nothing left to do.
  case done
  /// The connection is over, or its user has closed it, or there never was one with this handle.
  case ended
  /// The own direction was finished before: nothing can come behind its end.
  case finished
  /// It cannot be done here: an argument outside of its range, a command that the original peer cannot be asked, or one that
  /// comes too late to have an effect.
  case refused
}
