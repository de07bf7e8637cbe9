// SPDX-License-Identifier: MIT
import CLinux
import LRP2PCore

/// The addresses of this host that datagrams have come to, where the socket is bound to all of them: each has a number of one byte
/// (`Address.local`), which the core keeps with a peer and gives back with what is to leave from there. 0 is the kernel's choice.
///
/// The parts of one backend share them, on its thread; `LocalAddressTable` owns them.
@safe
package struct LocalAddresses: BitwiseCopyable {
  // (Not private, like `DatagramSender.Entry`.)
  struct Entry: BitwiseCopyable {
    // Both 0: nobody's.
    var high: UInt64 = 0
    var low: UInt64 = 0
    /// The interface of a link-local address.
    var scope: UInt32 = 0
    /// The kernel sends nothing from here any more, as far as is known.
    var isRefused = false

    func isFor(_ address: lrp2p_address, _ scope: UInt32) -> Bool {
      high == address.high && low == address.low && self.scope == scope
    }
  }

  struct Table: BitwiseCopyable {
    /// By number; nothing stands at 0.
    var entries = InlineArray<256, Entry>(repeating: Entry())
    /// The number of the address that was looked for last, by a hash.
    var recent = InlineArray<256, UInt8>(repeating: 0)
    var lacksRoom = false
    var refused: UInt64 = 0
  }

  // Not owned. Nil: there is nothing to be known, as the socket is bound to one address.
  private let table: UnsafeMutablePointer<Table>?

  fileprivate init(_ table: UnsafeMutablePointer<Table>) { unsafe self.table = table }

  private init() { unsafe table = nil }

  package static var none: LocalAddresses { LocalAddresses() }

  /// The number of the address that a datagram was sent to, which gets one if it is new and there is room.
  @inline(__always)
  package func number(of control: lrp2p_control) -> UInt8 {
    guard control.has_destination, let table = unsafe table else { return 0 }
    let address = control.destination
    let scope = Self.scope(of: address, control.interface)
    let bucket = Self.bucket(address)
    let number = unsafe table.pointee.recent[bucket]
    let entry = unsafe table.pointee.entries[Int(number)]
    if entry.isFor(address, scope), !entry.isRefused { return number }
    return unsafe look(for: address, scope, bucket, in: table)
  }

  private static func bucket(_ address: lrp2p_address) -> Int {
    let mixed = (address.low ^ (address.high &+ address.low >> 32)) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed >> 56)
  }

  private func look(
    for address: lrp2p_address, _ scope: UInt32, _ bucket: Int, in table: UnsafeMutablePointer<Table>
  ) -> UInt8 {
    guard Self.canBeSource(address) else { return 0 }
    var free = 0
    var number = 0
    for index in 1..<256 {
      let entry = unsafe table.pointee.entries[index]
      if entry.isFor(address, scope) {
        number = index
        break
      }
      if free == 0, entry.high | entry.low == 0 { free = index }
    }
    if number == 0 {
      guard free != 0 else {
        unsafe table.pointee.lacksRoom = true
        return 0
      }
      number = free
      unsafe table.pointee.entries[number] = Entry(high: address.high, low: address.low, scope: scope)
    }
    // It is there again.
    unsafe table.pointee.entries[number].isRefused = false
    unsafe table.pointee.recent[bucket] = UInt8(number)
    return UInt8(number)
  }

  /// The number of an address that something has come to; 0 of any other.
  func known(_ address: lrp2p_address, interface: UInt32) -> UInt8 {
    guard let table = unsafe table else { return 0 }
    let scope = Self.scope(of: address, interface)
    for number in 1..<256 {
      if unsafe table.pointee.entries[number].isFor(address, scope) { return UInt8(number) }
    }
    return 0
  }

  /// Of link-local addresses one host can have the same at several interfaces.
  private static func scope(of address: lrp2p_address, _ interface: UInt32) -> UInt32 {
    address.high >> 54 == 0x3FA ? interface : 0
  }

  /// Not what is sent to many: 224.0.0.0 and above, ff00::/8.
  private static func canBeSource(_ address: lrp2p_address) -> Bool {
    if address.high == 0, address.low >> 32 == 0xFFFF { return address.low & 0xFFFF_FFFF < 0xE000_0000 }
    return address.high >> 56 != 0xFF
  }

  /// The number of the address to name as the source of a datagram for `address`; 0 when the kernel is to choose. The one and the
  /// other are of one family: the kernel refuses anything else.
  @inline(__always)
  package func source(for address: Address) -> UInt8 {
    guard address.local != 0, let table = unsafe table else { return 0 }
    let entry = unsafe table.pointee.entries[Int(address.local)]
    let isIPv4 = entry.high == 0 && entry.low >> 32 == 0xFFFF
    return entry.isRefused || entry.high | entry.low == 0 || isIPv4 != address.isIPv4 ? 0 : address.local
  }

  /// What has this number; the port is 0.
  package subscript(number: UInt8) -> Address {
    guard let table = unsafe table else { return .none }
    let entry = unsafe table.pointee.entries[Int(number)]
    return Address(high: entry.high, low: entry.low, scope: entry.scope, port: 0)
  }

  /// The kernel has refused to send from here what it then sent from elsewhere: it chooses, until something comes here again.
  package func refuse(_ number: UInt8) {
    guard let table = unsafe table else { return }
    unsafe table.pointee.refused &+= 1
    unsafe table.pointee.entries[Int(number)].isRefused = true
  }

  /// The kernel reports that an address has gone, or come back.
  func withdraw(_ number: UInt8, isGone: Bool) {
    guard number != 0, let table = unsafe table else { return }
    unsafe table.pointee.entries[Int(number)].isRefused = isGone
  }

  /// Those that nothing is sent from.
  var refused: LocalSet {
    var set = LocalSet()
    guard let table = unsafe table else { return set }
    for number in 1..<256 where unsafe table.pointee.entries[number].isRefused { set.insert(UInt8(number)) }
    return set
  }

  /// Whether an address has found all 255 numbers taken.
  @inline(__always)
  package var lacksRoom: Bool { unsafe table?.pointee.lacksRoom ?? false }

  /// Takes back the numbers that nobody uses.
  package func makeRoom(butFor isUsed: (UInt8) -> Bool) {
    guard let table = unsafe table else { return }
    unsafe table.pointee.lacksRoom = false
    for number in 1...255 where !isUsed(UInt8(number)) { unsafe table.pointee.entries[number] = Entry() }
  }

  func count(into statistics: inout ReactorStatistics) {
    if let table = unsafe table { unsafe statistics.sourcesRefused = table.pointee.refused }
  }
}

/// Owns the addresses of one backend.
@safe
package struct LocalAddressTable: ~Copyable {
  private let table: UnsafeMutablePointer<LocalAddresses.Table>

  package init() {
    unsafe table = UnsafeMutablePointer<LocalAddresses.Table>.allocate(capacity: 1)
    unsafe table.initialize(to: LocalAddresses.Table())
  }

  deinit { unsafe table.deallocate() }

  package var addresses: LocalAddresses { unsafe LocalAddresses(table) }
}
