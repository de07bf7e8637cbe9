// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// What the kernel and the network had against datagrams while a dial was under way, for the engine to find its own among them.
package struct DialFaults: ~Copyable {
  // (Not private, like `DatagramSender.Entry`.)
  package struct Entry: BitwiseCopyable {
    package var id: UInt64 = 0
    package var address = Address.none
    package var fault = DialFault.refusedByKernel
    package var source = FaultSource.network
  }

  /// Beyond it they are lost, which costs a dial the time until its next attempt.
  private static var most: Int { 64 }

  package private(set) var entries = Column(repeating: Entry(), count: Self.most)
  package private(set) var count = 0

  package init() {}

  mutating func append(_ id: UInt64, to address: Address, _ fault: DialFault, by source: FaultSource) {
    guard count < entries.count else { return }
    entries[count] = Entry(id: id, address: address, fault: fault, source: source)
    count += 1
  }

  /// Reports all to the engine, and is empty then.
  /// - Returns: whether there was anything.
  @discardableResult
  mutating func report(to engine: inout Engine) -> Bool {
    defer { count = 0 }
    for index in 0..<count {
      let entry = entries[index]
      engine.dialRefused(id: entry.id, to: entry.address, entry.fault, by: entry.source)
    }
    return count > 0
  }
}

extension UDPSocket {
  /// Entries of the error queue that one call reads: forged ones must not hold up everybody.
  private static var mostHeard: Int { 64 }

  /// Has the network's errors come (IP_RECVERR), or not.
  ///
  /// While they do, any call of the socket may answer with the errno of somebody else's datagram. Afterwards there is none left over:
  /// the kernel empties its queue with the option.
  package func hear(_ isOn: Bool) {
    _ = lrp2p_hear(descriptor.raw, isOn)
    if !isOn { lrp2p_clear_error(descriptor.raw) }
  }

  /// Reads what has come.
  /// - Returns: whether there was anything.
  @discardableResult
  func readFaults(into faults: inout DialFaults) -> Bool {
    var heard = lrp2p_heard()
    for index in 0..<Self.mostHeard {
      let result = unsafe lrp2p_next_heard(descriptor.raw, &heard)
      if result < 0 {
        // Not to be read: then it is not to end every wait, either.
        if result != -EAGAIN, result != -EINTR { hear(false) }
        return index > 0
      }
      guard result > 0, let fault = DialFault(heard) else { continue }
      faults.append(heard.id, to: Address(heard.address), fault, by: .network)
    }
    return true
  }
}

extension DialFault {
  /// What it means that the kernel has refused to send.
  init(refused code: Int32) {
    self =
      switch code {
      case EMSGSIZE: .tooLarge
      case EPERM, EACCES: .notPermitted
      case ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT: .noRoute
      case EHOSTUNREACH: .hostUnreachable
      default: .refusedByKernel
      }
  }

  /// What an ICMP error means; nil of one that says nothing of the destination.
  init?(_ heard: lrp2p_heard) {
    switch (heard.is_v6, heard.type, heard.icmp_code) {
    case (false, 3, 3), (false, 3, 2), (true, 1, 4): self = .portUnreachable
    case (false, 3, 4), (true, 2, _): self = .tooLarge
    case (false, 3, 9), (false, 3, 10), (false, 3, 13), (true, 1, 1), (true, 1, 5), (true, 1, 6): self = .notPermitted
    case (false, 3, 0), (false, 3, 6), (false, 3, 11), (true, 1, 0): self = .noRoute
    // Time exceeded, too: routers that send it in a circle.
    case (false, 3, _), (false, 11, _), (true, 1, _), (true, 3, _): self = .hostUnreachable
    default: return nil
    }
  }
}
