// SPDX-License-Identifier: MIT
// One peer listens, one connects, and they exchange a message.
//
//   example-simple listen 127.0.0.1:0              prints its address and key
//   example-simple connect 127.0.0.1:PORT KEY

import Glibc
import LRP2P
import LRP2PCore

func listen(_ address: Address) async throws {
  let endpoint = try Endpoint(bind: address, accepting: .anyone)
  print("listening on \(endpoint.localAddress) key \(endpoint.publicKey)")
  fflush(nil)
  let connection = try await endpoint.accept()
  print("heard: \(try await text(from: connection))")
  try await connection.write(Array("Hello to you too".utf8))
  connection.finish()
  // What is written still has to arrive.
  await endpoint.close(lingering: .seconds(10))
}

func connect(to address: Address, expecting keys: PeerKeys) async throws {
  let endpoint = try Endpoint(bind: .any(port: 0), accepting: .nobody)
  let connection = try await endpoint.connect(to: address, expecting: keys)
  try await connection.write(Array("Hello World".utf8))
  connection.finish()
  print("heard: \(try await text(from: connection))")
  await endpoint.close()
}

/// What the peer says, up to its end. A stranger may say any amount, so no more than `limit` bytes are taken.
func text(from connection: Connection, limit: Int = 65_536) async throws -> String {
  var all: [UInt8] = []
  while all.count < limit, case let bytes = try await connection.read(upTo: limit - all.count), !bytes.isEmpty {
    all += bytes
  }
  return String(decoding: all, as: UTF8.self)
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
  if arguments.count == 2, arguments[0] == "listen", let address = Address(arguments[1]) {
    try await listen(address)
  } else if arguments.count == 3, arguments[0] == "connect", let address = Address(arguments[1]),
    let key = PublicKey(arguments[2])
  {
    try await connect(to: address, expecting: .key(key))
  } else {
    print("usage: example-simple listen HOST:PORT | connect HOST:PORT KEY")
    exit(2)
  }
} catch {
  print("example-simple: \(error)")
  exit(1)
}
