// SPDX-License-Identifier: MIT
import Glibc

/// How many descriptors the process may have.
enum DescriptorLimit {
  /// Raised to what the system allows. Each sender has several files open, and the usual 1024 is for programs that use
  /// select(2).
  static func raise() {
    let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard unsafe getrlimit(files, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
    limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, 1 << 20))
    _ = unsafe setrlimit(files, &limit)
  }
}
