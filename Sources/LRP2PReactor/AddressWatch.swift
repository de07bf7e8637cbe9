// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// Hears from the kernel (rtnetlink) when this host's addresses come and go, for a socket on all of them.
///
/// A peer that is heard at a lost address must learn of another one, or all that it sends from then on is lost. Where there is no such
/// socket, or messages of it are lost, that is found out by silence.
struct AddressWatch: ~Copyable {
  private let descriptor: FileDescriptor

  init?() {
    let raw = lrp2p_addresses_open()
    if raw < 0 { return nil }
    descriptor = FileDescriptor(owning: raw)
  }

  /// Readable when `read` has something to do.
  var raw: Int32 { descriptor.raw }

  private static var mostMessages: Int { 4096 }

  /// Takes what the kernel reports.
  /// - Returns: what is gone, when there has been a change that concerns it: one more has gone, or one has come, from which what is
  ///   sent may leave from now on.
  func read(_ locals: LocalAddresses) -> LocalSet? {
    var changes = InlineArray<8, lrp2p_address_change>(repeating: lrp2p_address_change())
    var isNews = false
    for _ in 0..<Self.mostMessages {
      var span = changes.mutableSpan
      // Bound: C writes as many as there are places, inside the call.
      let count = unsafe span.withUnsafeMutableBufferPointer {
        unsafe lrp2p_addresses_read(descriptor.raw, $0.baseAddress!, Int32($0.count))
      }
      if count < 0 {
        // Some are lost.
        if count == -ENOBUFS { continue }
        break
      }
      for index in 0..<Int(count) where note(changes[index], locals) { isNews = true }
    }
    let gone = locals.refused
    return isNews && !gone.isEmpty ? gone : nil
  }

  private func note(_ change: lrp2p_address_change, _ locals: LocalAddresses) -> Bool {
    let number = locals.known(change.address, interface: change.interface)
    locals.withdraw(number, isGone: !change.is_there)
    return change.is_there || number != 0
  }
}
