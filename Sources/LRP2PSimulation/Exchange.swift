// SPDX-License-Identifier: MIT
import LRP2PCore

/// An address that stands for a host: what is sent there reaches the host, from the sender's address or another of the relay's.
package struct Relay {
  package var host: Int
  package var source: Address?
  package var link: Int

  package init(host: Int, source: Address? = nil, link: Int) {
    self.host = host
    self.source = source
    self.link = link
  }
}

/// What a host and an address have sent each other.
struct Exchange {
  var received = 0
  var sent = 0
  var isProved = false
}

struct ExchangeKey: Hashable {
  var host: Int
  var address: Address
}

extension SimulatedNetwork {
  mutating func noteSent(_ host: Int, to address: Address, bytes: Int) {
    let key = ExchangeKey(host: host, address: address)
    var exchange = exchanged[key, default: Exchange()]
    exchange.sent += bytes
    if !exchange.isProved {
      exchange.isProved = hosts[host].trusts(address)
      if !exchange.isProved, exchange.sent > 3 * exchange.received { amplifications += 1 }
    }
    exchanged[key] = exchange
  }
}
