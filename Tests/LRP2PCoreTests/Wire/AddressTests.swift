// SPDX-License-Identifier: MIT
import LRP2PCore
import Testing

@Suite struct AddressTests {
  @Test func ipv4IsMapped() {
    let address = Address(ipv4: 0x7F00_0001, port: 4433)
    #expect(address.high == 0 && address.low == 0x0000_FFFF_7F00_0001)
    #expect(address.scope == 0 && address.port == 4433 && address.isIPv4)
    // What a dual-stack socket reports is the same address.
    #expect(address == Address(high: 0, low: 0x0000_FFFF_7F00_0001, port: 4433))
  }

  @Test func extremesOfIPv4() {
    #expect(Address(ipv4: 0, port: 0).isIPv4)
    #expect(Address(ipv4: .max, port: .max).isIPv4)
    #expect(Address(ipv4: .max, port: 1).low == 0x0000_FFFF_FFFF_FFFF)
  }

  @Test(arguments: [
    Address.none, Address(high: 0, low: 1, port: 1), Address(high: 0, low: 0x7F00_0001, port: 1),
    Address(high: 1, low: 0x0000_FFFF_7F00_0001, port: 1), Address(high: 0, low: 0x0001_FFFF_7F00_0001, port: 1),
    Address(high: 0, low: 0x0000_FFFE_7F00_0001, port: 1), Address(high: 0xFE80 << 48, low: 1, scope: 2, port: 1),
  ])
  func otherAddressesAreNot(address: Address) { #expect(!address.isIPv4) }

  /// Connections are found by address, so every part counts.
  @Test func everyPartCounts() {
    let address = Address(high: 1, low: 2, scope: 3, port: 4)
    let others = [
      Address(high: 0, low: 2, scope: 3, port: 4), Address(high: 1, low: 0, scope: 3, port: 4),
      Address(high: 1, low: 2, scope: 0, port: 4), Address(high: 1, low: 2, scope: 3, port: 0),
    ]
    #expect(Set(others + [address]).count == 5)
    #expect(MemoryLayout<Address>.stride == 24)
  }
}
