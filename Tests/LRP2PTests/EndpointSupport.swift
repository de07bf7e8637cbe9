// SPDX-License-Identifier: MIT
import Foundation
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PSimulation
import Testing

/// Two endpoints on loopback.
struct EndpointPair {
  let server: Endpoint
  let client: Endpoint

  init(
    _ configuration: EndpointConfiguration = .init(),
    accepts: @escaping @Sendable (PublicKey, Address) -> Bool = { _, _ in true }
  ) throws {
    server = try Endpoint(bind: .loopback, accepting: .matching(accepts), configuration: configuration)
    client = try Endpoint(bind: .loopback, accepting: .anyone, configuration: configuration)
  }

  /// The client's end and the server's.
  func connect() async throws -> (Connection, Connection) {
    let dialled = try await client.connect(to: server.localAddress, expecting: .key(server.publicKey))
    return (dialled, try await server.accept())
  }

  func close() async {
    await client.close()
    await server.close()
  }
}

extension Address {
  static var loopback: Address { Address(ipv4: 0x7F00_0001, port: 0) }
}

extension EndpointConfiguration {
  /// So little of everything that every bound is met.
  static var small: EndpointConfiguration {
    var configuration = EndpointConfiguration()
    configuration.readBuffer = 5000
    configuration.writeBuffer = 7000
    configuration.reactor.engine.receiveWindow = 8
    return configuration
  }

  static var overUring: EndpointConfiguration {
    var configuration = EndpointConfiguration()
    configuration.reactor.backend = .ioUring
    return configuration
  }

  /// The most that a writer can get rid of while nobody reads: both buffers, the window, and a datagram that overshoots.
  var mostInFlight: Int { readBuffer + writeBuffer + (reactor.engine.receiveWindow + 1) * 1400 }
}

/// The bytes `range` of an endless stream that no two neighbouring parts have in common.
func streamBytes(_ range: Range<Int>, salt: Int = 0) -> [UInt8] {
  range.map { index in
    var z = UInt64(truncatingIfNeeded: index / 8 &+ salt &* 0x1_0000_0001) &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    return UInt8(truncatingIfNeeded: (z ^ (z >> 27)) >> UInt64(8 * (index % 8)))
  }
}

extension Connection {
  /// Everything up to the end.
  func readAll(upTo limit: Int = 65_536) async throws(TransportError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let bytes = try await read(upTo: limit)
      if bytes.isEmpty { return all }
      all += bytes
    }
  }

  /// Sends back what comes, and ends with it.
  func echo() async throws(TransportError) {
    while true {
      let bytes = try await read()
      if bytes.isEmpty { break }
      try await write(bytes)
    }
    finish()
  }
}

/// Lets other tasks run until `condition` holds; the suite's time limit ends it otherwise.
func until(_ condition: () async -> Bool) async {
  while !(await condition()) { await Task.yield() }
}

/// How many descriptors the process has open.
func openDescriptors() -> Int {
  (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? -1
}

/// Counts calls from any thread.
final class Counter: Sendable {
  private let state = Locked(0)
  var value: Int { state.withLock { $0 } }
  func increment() { state.withLock { $0 += 1 } }
}

/// Bytes at a fixed place in memory.
@safe
final class Memory: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  init(_ content: [UInt8]) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: content.count, alignment: 8)
    unsafe buffer.copyBytes(from: content)
    unsafe bytes = UnsafeRawBufferPointer(buffer)
  }
  deinit { unsafe bytes.deallocate() }
}
