// SPDX-License-Identifier: MIT
import CLinux

/// Tells whether the process is still the one that made it, or a forked child, which has a copy of all memory: of keys and packet numbers
/// too, and what two processes seal under the same number is no secret any more.
///
/// `@unchecked Sendable`: nothing writes to it after `init` but the kernel, into the child's copy.
@safe
package final class ProcessMark: @unchecked Sendable {
  private static var word: UInt64 { 0x6C72_7032_7021 }

  // A page that the kernel gives a child as zeros (Linux 4.14); nil where it refuses, and then the process is asked for.
  private let page: UnsafeMutablePointer<UInt64>?
  private let process: Int32

  /// - Parameter asksForProcess: do without the page, as on an older kernel; for tests.
  package init(asksForProcess: Bool = false) {
    process = lrp2p_process()
    var start: UnsafeMutableRawPointer?
    if !asksForProcess, unsafe lrp2p_mark_page(&start) == 0, let start = unsafe start {
      unsafe page = start.bindMemory(to: UInt64.self, capacity: 1)
      unsafe page!.pointee = Self.word
    } else {
      unsafe page = nil
    }
  }

  deinit {
    if let page = unsafe page { unsafe lrp2p_unmap(UnsafeMutableRawPointer(page), lrp2p_page_size()) }
  }

  /// Whether this is a child of the process that made it.
  @inline(__always)
  package var isForked: Bool {
    if let page = unsafe page { return unsafe page.pointee != Self.word }
    return lrp2p_process() != process
  }

  /// - Throws: `SystemError.forked`.
  @inline(__always)
  package func check() throws(SystemError) {
    if isForked { throw .forked }
  }
}

extension SystemError {
  /// A reactor, or an endpoint, was used in a forked child of the process that has made it. The child can do nothing with it but let
  /// go of it, and make one of its own; the parent's goes on.
  public static let forked = SystemError(code: EPERM, operation: "use what the parent process has made")
}
