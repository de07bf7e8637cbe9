// SPDX-License-Identifier: MIT
// One socket talks with two peers at the same time: it accepts both, asks each for its name, and greets it.
//
//   example-multiplexing

import LRP2P
import LRP2PCore

/// Everything up to the end of a line, or of the stream, but no more than `limit` bytes. The peer waits for an answer to each line, so
/// nothing follows the end of one.
func line(from connection: Connection, limit: Int = 1000) async throws -> String {
  var all: [UInt8] = []
  while all.count < limit, all.last != UInt8(ascii: "\n"),
    case let bytes = try await connection.read(upTo: limit - all.count), !bytes.isEmpty
  {
    all += bytes
  }
  if all.last == UInt8(ascii: "\n") { all.removeLast() }
  return String(decoding: all, as: UTF8.self)
}

/// The side with one socket.
func greet(_ connection: Connection) async throws {
  try await connection.write(Array("Who are you?\n".utf8))
  let name = try await line(from: connection)
  try await connection.write(Array("Welcome, \(name)!\n".utf8))
  connection.finish()
}

/// A peer, with a socket and an identity of its own.
func visit(_ address: Address, key: PublicKey, name: String) async throws -> [String] {
  let endpoint = try Endpoint(bind: .any(port: 0), accepting: .nobody)
  let connection = try await endpoint.connect(to: address, expecting: .key(key))
  let question = try await line(from: connection)
  try await connection.write(Array("\(name)\n".utf8))
  let welcome = try await line(from: connection)
  connection.finish()
  _ = try await connection.closed()
  await endpoint.close()
  return ["to \(name): \(question)", "to \(name): \(welcome)"]
}

let host = try Endpoint(bind: Address("127.0.0.1:0")!, accepting: .anyone)
async let alice = visit(host.localAddress, key: host.publicKey, name: "Alice")
async let bob = visit(host.localAddress, key: host.publicKey, name: "Bob")
try await withThrowingTaskGroup(of: Void.self) { greetings in
  for _ in 0..<2 {
    let connection = try await host.accept()
    greetings.addTask { try await greet(connection) }
  }
  try await greetings.waitForAll()
}
for said in try await alice + bob { print(said) }
await host.close()
