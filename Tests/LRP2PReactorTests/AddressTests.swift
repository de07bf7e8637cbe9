// SPDX-License-Identifier: MIT
import LRP2PCore
import LRP2PReactor
import Testing

@Suite struct AddressTests {
  @Test(arguments: [
    "127.0.0.1:4433", "0.0.0.0:0", "255.255.255.255:65535", "[::]:1", "[::1]:4433", "[2001:db8::1]:4433",
    "[fe80::1%7]:53", "[2001:db8:0:1:1:1:1:1]:80",
  ])
  func textFormsSurviveTheRoundTrip(text: String) throws {
    #expect(try #require(Address(text)).description == text)
  }

  @Test(arguments: [
    "", ":", "127.0.0.1", "127.0.0.1:", ":4433", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
    "127.0.0.1: 1", "127.0.0:1", "256.0.0.1:1", "[127.0.0.1]:1", "::1:4433", "[::1]", "[::1]4433", "[]:1",
    "[::1:4433", "::1]:4433", "[::g]:1", "[fe80::1%]:1", "[fe80::1%nonesuch0]:1", "localhost:1", "127.0.0.1\0:1",
    "[fe80::1%0]:1", "1.2.3.4%1:5",
  ])
  func nonsenseIsRefused(text: String) { #expect(Address(text) == nil) }

  @Test func mappedAddressesAreIPv4() throws {
    #expect(Address("[::ffff:192.0.2.1]:7") == Address(ipv4: 0xC000_0201, port: 7))
    #expect(try #require(Address("[::FFFF:c000:201]:7")).description == "192.0.2.1:7")
  }

  @Test func zonesHaveNames() throws {
    #expect(try #require(Address("[fe80::1%lo]:7")).scope == 1)
  }

  @Test func partsAreInHostOrder() throws {
    let address = try #require(Address("[2001:db8:1:2:3:4:5:6]:4433"))
    #expect(address == Address(high: 0x2001_0db8_0001_0002, low: 0x0003_0004_0005_0006, port: 4433))
  }

  @Test func socketAddressesComeBack() throws {
    for text in ["192.0.2.1:4433", "[2001:db8::5]:1", "[fe80::1%7]:65535", "0.0.0.0:0", "[::]:0"] {
      let address = try #require(Address(text))
      let bytes = address.sockaddr
      #expect(bytes.count == (address.isIPv4 ? 16 : 28))
      #expect(unsafe Address(sockaddr: bytes.span.bytes) == address)
      // What the system's calls leave behind it is ignored, and less is no address.
      let longer = bytes + [1, 2, 3]
      #expect(unsafe Address(sockaddr: longer.span.bytes) == address)
      let shorter = Array(bytes.dropLast())
      #expect(unsafe Address(sockaddr: shorter.span.bytes) == nil)
    }
    let unix: [UInt8] = [1, 0] + [UInt8](repeating: 65, count: 30)
    #expect(unsafe Address(sockaddr: unix.span.bytes) == nil)
    #expect(Address("127.0.0.1:258")!.sockaddr == [2, 0, 1, 2, 127, 0, 0, 1] + [UInt8](repeating: 0, count: 8))
  }

  @Test func resolverTakesDigitsAndNames() throws {
    #expect(try Resolver.addresses(of: "[::1]:5") == [.loopback6(5)])
    let local = try Resolver.addresses(of: "localhost:4433")
    #expect(local.contains { $0 == .loopback4(4433) || $0 == .loopback6(4433) })
  }

  @Test func resolverNamesTheHost() {
    #expect(throws: Resolver.Failure.malformed(text: "nonsense")) { try Resolver.addresses(of: "nonsense") }
    do {
      // RFC 6761: never exists.
      _ = try Resolver.addresses(of: "host.invalid:1")
      Issue.record("host.invalid exists")
    } catch {
      #expect("\(error)".hasPrefix("look up host.invalid: "))
      #expect(!"\(error)".contains("\n"))
    }
  }
}
