// SPDX-License-Identifier: MIT
import CLinux
import Glibc
import LRP2PCore
import LRP2PReactor
import Testing

/// Descriptors of the user that the reactor watches.
@Suite struct DescriptorTests {
  /// Notes what is reported, and does what it is told to.
  private struct Noting: DescriptorHandler, ReceivingHandler {
    var seen: [Int32: [DescriptorEvents]] = [:]
    var order: [Int32] = []
    var onReady: (Int32) throws -> Void = { _ in }

    mutating func received(_ peer: Peer, _ bytes: RawSpan, engine: inout Engine) {}

    mutating func descriptorReady(_ descriptor: Int32, _ events: DescriptorEvents, engine: inout Engine) {
      seen[descriptor, default: []].append(events)
      order.append(descriptor)
      do { try onReady(descriptor) } catch { Issue.record("\(error)") }
    }
    mutating func connected(_ peer: Peer, _ info: PeerInfo, engine: inout Engine) {}
    mutating func closed(_ peer: Peer, reason: CloseReason, engine: inout Engine) {}
  }

  /// A pipe, closed with its owner.
  private struct Pipe: ~Copyable {
    let reading: Int32
    let writing: Int32

    init() {
      var ends: [Int32] = [0, 0]
      precondition(unsafe pipe(&ends) == 0)
      (reading, writing) = (ends[0], ends[1])
    }

    func write() { _ = unsafe Glibc.write(writing, "x", 1) }

    static func read(_ descriptor: Int32) {
      var byte: UInt8 = 0
      _ = unsafe Glibc.read(descriptor, &byte, 1)
    }

    deinit {
      close(reading)
      close(writing)
    }
  }

  @Test(arguments: availableBackends) func reportsAsLongAsItIsReady(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Noting()
    let pipe = Pipe()
    let descriptors = try reactor.descriptorSet()
    #expect(try reactor.descriptorSet() === descriptors)
    try descriptors.register(pipe.reading, for: .readable)
    try reactor.turn(&handler, timeout: 0)
    #expect(handler.seen.isEmpty)
    pipe.write()
    try reactor.turn(&handler, timeout: nil)
    try reactor.turn(&handler, timeout: nil)
    #expect(handler.seen[pipe.reading] == [.readable, .readable])
    handler.onReady = { Pipe.read($0) }
    try reactor.turn(&handler, timeout: nil)
    try reactor.turn(&handler, timeout: 0)
    #expect(handler.seen[pipe.reading]?.count == 3)
  }

  @Test(arguments: availableBackends) func changesWhatItWatches(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Noting()
    let pipe = Pipe()
    let descriptors = try reactor.descriptorSet()
    try descriptors.register(pipe.writing, for: .writable)
    try reactor.turn(&handler, timeout: nil)
    #expect(handler.seen[pipe.writing] == [.writable])
    try descriptors.change(pipe.writing, to: [])
    try reactor.turn(&handler, timeout: 0)
    #expect(handler.seen[pipe.writing]?.count == 1)
    try descriptors.unregister(pipe.writing)
    // The other end has gone, which is reported unasked.
    let lonely = Pipe()
    let reading = dup(lonely.reading)
    defer { close(reading) }
    try descriptors.register(reading, for: [])
    _ = consume lonely
    try reactor.turn(&handler, timeout: nil)
    #expect(handler.seen[reading] == [.hangup])
  }

  /// What a callback unregisters is not reported any more, even if it was found ready in the same turn.
  @Test(arguments: availableBackends) func unregisteredDescriptorIsSilent(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Noting()
    let first = Pipe()
    let second = Pipe()
    let descriptors = try reactor.descriptorSet()
    let both = [first.reading, second.reading]
    for descriptor in both { try descriptors.register(descriptor, for: .readable) }
    first.write()
    second.write()
    handler.onReady = { ready in for other in both where other != ready { try descriptors.unregister(other) } }
    try reactor.turn(&handler, timeout: nil)
    #expect(handler.order.count == 1)
    handler.onReady = { try descriptors.unregister($0) }
    try reactor.turn(&handler, timeout: nil)
    try reactor.turn(&handler, timeout: 0)
    #expect(handler.order.count == 2)
  }

  @Test(arguments: availableBackends) func moreThanOneCallReports(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    var handler = Noting()
    let descriptors = try reactor.descriptorSet()
    let raw = (0..<100).map { _ in lrp2p_eventfd() }
    defer { for descriptor in raw { close(descriptor) } }
    for descriptor in raw {
      _ = lrp2p_eventfd_signal(descriptor)
      try descriptors.register(descriptor, for: .readable)
    }
    handler.onReady = { _ = lrp2p_eventfd_clear($0) }
    for _ in 0..<2 { try reactor.turn(&handler, timeout: nil) }
    try reactor.turn(&handler, timeout: 0)
    #expect(handler.seen.count == 100 && handler.order.count == 100)
  }

  @Test(arguments: availableBackends) func mistakesAreTyped(backend: ReactorBackend) throws {
    var reactor = try makeReactor(backend)
    let pipe = Pipe()
    let descriptors = try reactor.descriptorSet()
    func code(_ body: () throws(SystemError) -> Void) -> Int32 {
      do throws(SystemError) { try body() } catch { return error.code }
      return 0
    }
    try descriptors.register(pipe.reading, for: .readable)
    #expect(code { () throws(SystemError) in try descriptors.register(pipe.reading, for: .readable) } == EEXIST)
    #expect(code { () throws(SystemError) in try descriptors.unregister(pipe.writing) } == ENOENT)
    #expect(code { () throws(SystemError) in try descriptors.register(-1, for: .readable) } == EBADF)
    #expect(code { () throws(SystemError) in try descriptors.change(pipe.writing, to: .readable) } == ENOENT)
  }

  /// The reactor may be gone before its descriptors' set.
  @Test(arguments: availableBackends) func setOutlivesTheReactor(backend: ReactorBackend) throws {
    let pipe = Pipe()
    let descriptors: DescriptorSet
    do {
      var reactor = try makeReactor(backend)
      descriptors = try reactor.descriptorSet()
    }
    try descriptors.register(pipe.reading, for: .readable)
    try descriptors.unregister(pipe.reading)
  }
}
