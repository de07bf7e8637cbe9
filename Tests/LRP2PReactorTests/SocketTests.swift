// SPDX-License-Identifier: MIT
import CLinux
import CSystemCallFilter
import LRP2PCore
import LRP2PReactor
import Synchronization
import Testing

@Suite struct SocketTests {
  @Test func portInUseIsATypedErrorOfOneLine() throws {
    let first = try UDPSocket(bind: .loopback4(), configuration: .init())
    do {
      _ = try UDPSocket(bind: first.localAddress, configuration: .init())
      Issue.record("bound twice")
    } catch {
      #expect(error.code == EADDRINUSE)
      #expect("\(error)" == "bind \(first.localAddress): address already in use")
    }
  }

  @Test func foreignAddressIsATypedError() {
    // TEST-NET-1 belongs to nobody.
    do {
      _ = try UDPSocket(bind: Address(ipv4: 0xC000_0201, port: 0), configuration: .init())
      Issue.record("bound a foreign address")
    } catch {
      #expect(error.code == EADDRNOTAVAIL)
    }
  }

  @Test func boundAddressHasItsPort() throws {
    let socket = try UDPSocket(bind: .loopback4(), configuration: .init())
    #expect(socket.localAddress.isIPv4 && socket.localAddress.port != 0)
    let any = try UDPSocket(bind: .any(port: 0), configuration: .init())
    #expect(any.localAddress.isUnspecified && any.localAddress.port != 0)
  }

  @Test func buffersAreSet() throws {
    var configuration = ReactorConfiguration()
    configuration.socketReceiveBuffer = 100_000
    configuration.socketSendBuffer = 90_000
    let socket = try UDPSocket(bind: .loopback4(), configuration: configuration)
    // The kernel doubles them for its own bookkeeping.
    #expect(socket.option(SO_RCVBUF) == 200_000)
    #expect(socket.option(SO_SNDBUF) == 180_000)
  }

  @Test(arguments: availableBackends) func burstCrossesByOffloadAtBothEnds(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    try #require(a.statistics.segmentationOffload && b.statistics.receiveOffload)
    a.append(to: b.localAddress, length: 46 * 1400 - 100, segmentSize: 1400)
    #expect(try a.flush())
    #expect(a.statistics.sendCalls == 1 && a.statistics.datagramsSent == 46)
    let received = try b.receive()
    #expect(received.bytes == pattern(46 * 1400 - 100))
    #expect(received.datagrams == 46)
    #expect(received.messages.count == 1)
    #expect(received.messages.allSatisfy { $0.segmentSize == 1400 && $0.address == a.localAddress })
    #expect(b.statistics.datagramsReceived == 46)
  }

  @Test(arguments: availableBackends) func burstCrossesWithoutReceiveOffload(backend: ReactorBackend) throws {
    var configuration = ReactorConfiguration()
    configuration.receiveOffload = false
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
    a.append(to: b.localAddress, length: 20 * 1200 + 5, segmentSize: 1200)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(20 * 1200 + 5))
    #expect(received.messages.map(\.length) == Array(repeating: 1200, count: 20) + [5])
    #expect(received.messages.allSatisfy { $0.segmentSize == $0.length })
  }

  @Test(arguments: availableBackends) func burstCrossesWithoutSegmentationOffload(backend: ReactorBackend) throws {
    var configuration = ReactorConfiguration()
    configuration.segmentationOffload = false
    var a = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    #expect(a.statistics.segmentationOffload == false)
    // More datagrams than one call has headers for, and a message boundary in between.
    a.append(to: b.localAddress, length: 50 * 100 + 1, segmentSize: 100)
    a.append(to: b.localAddress, length: 30 * 100, segmentSize: 100, salt: 50 * 100 + 1)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(80 * 100 + 1))
    #expect(received.datagrams == 81)
    #expect(a.statistics.datagramsSent == 81 && a.statistics.sendCalls == 2)
  }

  @Test(arguments: availableBackends) func longBurstsAreCutToTheBound(backend: ReactorBackend) throws {
    var configuration = ReactorConfiguration()
    configuration.maximumSegments = 16
    var a = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: b.localAddress, length: 100 * 50 + 7, segmentSize: 50)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(100 * 50 + 7))
    #expect(received.datagrams == 101)
    #expect(a.statistics.sendCalls == 1 && a.statistics.segmentationOffload)
  }

  /// Where datagrams come one by one, one is asked for; a burst that begins there is seen whole after a few.
  @Test func singleDatagramsAreTakenOneByOneUntilMoreCome() throws {
    var a = try Endpoint(bind: .loopback4(), backend: .epoll)
    var b = try Endpoint(bind: .loopback4(), backend: .epoll)
    for round in 1...26 {
      a.append(to: b.localAddress, length: round, segmentSize: round)
      #expect(try a.flush())
      #expect(try b.receiveOnce() == [round])
    }
    var sent: [Int] = []
    for length in 101...160 {
      a.append(to: b.localAddress, length: length, segmentSize: length)
      #expect(try a.flush())
      sent.append(length)
    }
    var (received, sizes): ([Int], [Int]) = ([], [])
    while received.count < sent.count {
      let lengths = try b.receiveOnce()
      try #require(!lengths.isEmpty)
      sizes.append(lengths.count)
      received += lengths
    }
    #expect(received == sent)
    // One by one for a while, then as many as there is room for.
    let whole = try #require(sizes.firstIndex(of: 8))
    #expect(
      whole >= 8 && whole <= 16 && sizes[..<whole].allSatisfy { $0 == 1 }
        && sizes[whole...].dropLast().allSatisfy { $0 == 8 })
    // A burst in one message counts as many.
    for _ in 0..<20 {
      a.append(to: b.localAddress, length: 500, segmentSize: 100)
      #expect(try a.flush())
      #expect(try b.receiveOnce() == [500])
    }
    for length in [1, 2] { a.append(to: b.localAddress, length: length, segmentSize: length) }
    #expect(try a.flush())
    #expect(try b.receiveOnce() == [1, 2])
  }

  @Test(arguments: availableBackends) func oneMessageLeavesByWhicheverCallCarriesIt(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    for (length, size, ecn) in [(700, 700, 0), (700, 700, 2), (1400, 700, 0), (1400, 700, 1)] {
      a.append(to: b.localAddress, length: length, segmentSize: size, ecn: UInt8(ecn))
      #expect(try a.flush())
      let received = try b.receive()
      #expect(received.bytes == pattern(length) && received.messages.map(\.ecn) == [UInt8(ecn)])
      #expect(received.messages.map(\.segmentSize) == [size])
    }
    #expect(a.statistics.sendCalls == 4 && a.statistics.datagramsSent == 6 && a.statistics.bytesSent == 4200)
  }

  /// Whichever call learns that there is room again, wait or receive, the next send is tried.
  @Test(arguments: availableBackends, [false, true])
  func roomBehindAFullQueueIsNoticed(backend: ReactorBackend, byReceiving: Bool) {
    let isRefused = Mutex<Int32>(1)
    // The filter goes with its thread.
    onThread {
      do {
        var configuration = ReactorConfiguration()
        // Else io_uring sends by itself, which the filter does not see.
        configuration.segmentationOffload = false
        var a = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
        a.append(to: .loopback4(9), length: 100, segmentSize: 100)
        isRefused.withLock { $0 = system_call_filter_refuse_sends() }
        var canSend = [a.canSend]
        #expect(try !a.flush())
        canSend.append(a.canSend)
        #expect(a.statistics.sendBlocked == 1)
        // epoll learns it from its waits only.
        if byReceiving, backend == .ioUring { _ = try a.backend.receive(into: &a.incoming) }
        if !byReceiving || backend == .epoll { _ = try a.backend.wait(until: .never) }
        canSend.append(a.canSend)
        #expect(canSend == [true, false, true])
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(isRefused.withLock { $0 } == 0)
  }

  /// A socket without checksums cannot segment: the kernel answers EINVAL.
  @Test(arguments: availableBackends) func burstsStopForWhomTheKernelRefusesThem(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    try #require(lrp2p_set_option(a.raw, SOL_SOCKET, SO_NO_CHECK, 1) == 0)
    a.append(to: b.localAddress, length: 30 * 1000 + 10, segmentSize: 1000)
    a.append(to: b.localAddress, length: 500, segmentSize: 500, salt: 30 * 1000 + 10)
    #expect(try a.flush())
    let received = try b.receive()
    // What io_uring has sent behind the refused message stays ahead of it.
    let all = pattern(30 * 1000 + 510)
    #expect(received.bytes == (backend == .epoll ? all : Array(all[30_010...] + all[..<30_010])))
    #expect(received.datagrams == 32)
    // That was about one host. The next burst to it is not tried.
    #expect(a.statistics.segmentationOffload == true)
    let calls = a.statistics.sendCalls
    a.append(to: b.localAddress, length: 3000, segmentSize: 1000)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(3000))
    #expect(a.statistics.sendCalls == calls + 1)
    // The checksums are back: another host has its bursts.
    try #require(lrp2p_set_option(a.raw, SOL_SOCKET, SO_NO_CHECK, 0) == 0)
    a.append(to: Address(ipv4: 0x7F00_0002, port: b.localAddress.port), length: 3000, segmentSize: 1000)
    #expect(try a.flush())
    #expect(a.statistics.sendCalls == calls + 2 && a.statistics.sendDropsUndeliverable == 0)
  }

  /// Where every host refuses them, no more are asked; after a minute they are.
  @Test func burstsStopForTheSocketWhereNobodyTakesThem() {
    func host(_ index: Int) -> Address { Address(ipv4: 0x0A00_0000 + UInt32(index), port: 9) }
    var refusals = BurstRefusals()
    #expect(refusals.permits(host(0), now: 0))
    for index in 0..<100 {
      refusals.refuse(host(index), now: 5)
      #expect(!refusals.permits(host(index), now: 5) && !refusals.isOff(now: 5))
      #expect(!refusals.permits(Address(ipv4: 0x0A00_0000 + UInt32(index), port: 1), now: 5))
      #expect(refusals.permits(host(index + 1), now: 5))
      refusals.burstLeft()
    }
    for index in 0..<8 {
      #expect(refusals.permits(host(1000 + index), now: 6) && !refusals.isOff(now: 6))
      refusals.refuse(host(1000 + index), now: 6)
    }
    #expect(refusals.isOff(now: 6) && !refusals.permits(host(0), now: 6))
    let later = 6 + BurstRefusals.pause
    #expect(!refusals.permits(host(0), now: later - 1) && refusals.isOff(now: later - 1))
    #expect(refusals.permits(host(0), now: later) && !refusals.isOff(now: later))
  }

  /// Port 0 is EINVAL too, and any peer can forge it: it must neither cost the offload nor end the reactor.
  @Test(arguments: availableBackends) func badDestinationCostsOnlyItsMessage(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: .loopback4(0), length: 3000, segmentSize: 1000)
    a.append(to: b.localAddress, length: 3000, segmentSize: 1000)
    a.append(to: .loopback4(0), length: 1000, segmentSize: 1000)
    // Broadcast without SO_BROADCAST: EACCES.
    a.append(to: Address(ipv4: 0xFFFF_FFFF, port: 9), length: 2000, segmentSize: 1000)
    a.append(to: b.localAddress, length: 500, segmentSize: 500, salt: 3000)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(3500))
    #expect(a.statistics.segmentationOffload == true)
    #expect(a.statistics.sendDropsUndeliverable == 6)
    #expect(a.statistics.datagramsSent == 4)
  }

  @Test(arguments: availableBackends) func tooLargeMessageIsDroppedAndCounted(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend, sendCapacity: 70_000)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: b.localAddress, length: 65_530, segmentSize: 65_530)
    a.append(to: b.localAddress, length: 10, segmentSize: 10)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(10))
    #expect(a.statistics.sendDropsTooLarge == 1)
  }

  @Test(arguments: availableBackends) func largestMessageOfTheConfigurationFits(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: b.localAddress, length: 65_000, segmentSize: 1413)
    #expect(try a.flush())
    #expect(try b.receive().bytes == pattern(65_000))
    #expect(a.statistics.segmentationOffload == true)
  }

  @Test(arguments: availableBackends) func truncatedMessageIsDroppedAndCounted(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend, receiveCapacity: 2048)
    a.append(to: b.localAddress, length: 5000, segmentSize: 1000)
    a.append(to: b.localAddress, length: 2048, segmentSize: 2048, salt: 1)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(2048, salt: 1))
    #expect(b.statistics.receiveDrops == 1)
  }

  @Test(arguments: availableBackends) func emptyDatagramIsDroppedAndCounted(backend: ReactorBackend) throws {
    let a = try UDPSocket(bind: .loopback4(), configuration: .init())
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    guard let ring = unsafe lrp2p_ring_create(1) else { fatalError() }
    _ = unsafe lrp2p_ring_set_address(ring, 0, a.family, b.localAddress.native)
    #expect(unsafe lrp2p_ring_send(a.descriptor.raw, ring, 1) == 1)
    unsafe lrp2p_ring_destroy(ring)
    #expect(try b.receive().messages.isEmpty)
    #expect(b.statistics.receiveDrops == 1)
  }

  @Test(arguments: availableBackends) func nothingThereIsAnEmptyBatch(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    #expect(try a.receive().messages.isEmpty)
    #expect(a.statistics.receiveFailures == 0)
  }

  /// Who sends no ECT is not told of marks, which the kernel would write down for every datagram.
  @Test(arguments: [false, true]) func marksAreAskedForByWhoMarks(marks: Bool) throws {
    var configuration = ReactorConfiguration()
    configuration.engine.usesECN = marks
    let socket = try UDPSocket(bind: .loopback4(), configuration: configuration)
    var value: Int32 = -1
    #expect(unsafe lrp2p_get_option(socket.descriptor.raw, Int32(LRP2P_SOL_IP.rawValue), IP_RECVTOS, &value) >= 0)
    #expect(value == (marks ? 1 : 0))
  }

  @Test(arguments: [UInt8(0), 1, 2, 3], availableBackends)
  func ecnIsReadBack(ecn: UInt8, backend: ReactorBackend) throws {
    var four = try Endpoint(bind: .loopback4(), backend: backend)
    var dual = try Endpoint(bind: .any(port: 0), backend: backend)
    four.append(to: .loopback4(dual.localAddress.port), length: 2400, segmentSize: 1200, ecn: ecn)
    #expect(try four.flush())
    let received = try dual.receive()
    #expect(received.bytes == pattern(2400))
    #expect(received.messages.allSatisfy { $0.ecn == ecn && $0.address == four.localAddress })
    dual.append(to: four.localAddress, length: 100, segmentSize: 100, ecn: ecn)
    #expect(try dual.flush())
    #expect(try four.receive().messages.map(\.ecn) == [ecn])
  }

  @Test(.enabled(if: hasIPv6), arguments: [UInt8(0), 1, 2, 3], availableBackends)
  func ecnIsReadBackOverIPv6(ecn: UInt8, backend: ReactorBackend) throws {
    var six = try Endpoint(bind: .loopback6(), backend: backend)
    var dual = try Endpoint(bind: .any(port: 0), backend: backend)
    six.append(to: .loopback6(dual.localAddress.port), length: 5000, segmentSize: 1200, ecn: ecn)
    #expect(try six.flush())
    let received = try dual.receive()
    #expect(received.bytes == pattern(5000))
    #expect(received.datagrams == 5)
    #expect(received.messages.allSatisfy { $0.ecn == ecn && $0.address == six.localAddress })
  }

  /// What remains where the system has no IPv6.
  @Test(arguments: availableBackends) func socketOfIPv4OnlyWorks(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .any(port: 0), backend: backend, family: AF_INET)
    var b = try Endpoint(bind: .loopback4(), backend: backend, family: AF_INET)
    #expect(a.family == AF_INET && a.localAddress.isIPv4 && b.localAddress.isIPv4)
    let to = b.localAddress
    a.append(to: to, length: 3600, segmentSize: 1200, ecn: 1)
    a.append(to: .loopback6(9), length: 2400, segmentSize: 1200)
    a.append(to: .loopback6(9), length: 10, segmentSize: 10)
    a.append(to: to, length: 100, segmentSize: 100, ecn: 2, salt: 3600)
    a.append(to: .loopback6(9), length: 10, segmentSize: 10)
    #expect(try a.flush())
    let received = try b.receive()
    #expect(received.bytes == pattern(3700))
    #expect(received.messages.last?.ecn == 2 && received.messages.first?.ecn == 1)
    #expect(received.messages.first?.address == .loopback4(a.localAddress.port))
    #expect(a.statistics.sendDropsUndeliverable == 4)
    do {
      _ = try UDPSocket(bind: .loopback6(), configuration: .init(), family: AF_INET)
      Issue.record("bound an IPv6 address without IPv6")
    } catch {
      #expect(error.code == EAFNOSUPPORT)
    }
  }

  @Test(arguments: availableBackends) func differentECNAreNotMerged(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    a.append(to: b.localAddress, length: 1000, segmentSize: 1000, ecn: 2)
    a.append(to: b.localAddress, length: 1000, segmentSize: 1000, ecn: 3)
    #expect(try a.flush())
    #expect(try b.receive().messages.map(\.ecn) == [2, 3])
  }

  @Test(arguments: availableBackends) func unreachablePortDoesNotDisturbTheSocket(backend: ReactorBackend) throws {
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend)
    var closed = Address.loopback4()
    do { closed = try UDPSocket(bind: .loopback4(), configuration: .init()).localAddress }
    for round in 0..<3 {
      a.append(to: closed, length: 100, segmentSize: 100)
      a.append(to: b.localAddress, length: 100, segmentSize: 100, salt: round)
      #expect(try a.flush())
      #expect(try a.receive().messages.isEmpty)
      #expect(try b.receive().bytes == pattern(100, salt: round))
    }
    #expect(a.statistics.sendDropsUndeliverable == 0 && a.statistics.receiveFailures == 0)
  }

  @Test(arguments: availableBackends) func kernelDropsAreCounted(backend: ReactorBackend) throws {
    var configuration = ReactorConfiguration()
    configuration.socketReceiveBuffer = 8192
    configuration.receiveOffload = false
    var a = try Endpoint(bind: .loopback4(), backend: backend)
    var b = try Endpoint(bind: .loopback4(), backend: backend, configuration: configuration)
    for _ in 0..<40 {
      a.append(to: b.localAddress, length: 1000, segmentSize: 1000)
      #expect(try a.flush())
    }
    let before = try b.receive().datagrams
    try #require(before < 40)
    // The count comes with the next datagram.
    a.append(to: b.localAddress, length: 10, segmentSize: 10)
    #expect(try a.flush())
    _ = try b.receive()
    #expect(b.statistics.kernelDrops == UInt64(40 - before))
  }

  @Test func packetInfoTellsTheDestination() throws {
    let a = try UDPSocket(bind: .loopback4(), configuration: .init())
    let b = try UDPSocket(bind: .any(port: 0), configuration: .init())
    try #require(lrp2p_set_option(b.descriptor.raw, ipLevel, IP_PKTINFO, 1) == 0)
    _ = lrp2p_set_option(b.descriptor.raw, ipv6Level, IPV6_RECVPKTINFO, 1)
    guard let ring = unsafe lrp2p_ring_create(1) else { fatalError() }
    defer { unsafe lrp2p_ring_destroy(ring) }
    let to = Address(ipv4: 0x7F00_0003, port: b.localAddress.port)
    var byte: UInt8 = 7
    let result = unsafe withUnsafeMutableBytes(of: &byte) { bytes in
      unsafe lrp2p_ring_set_bytes(ring, 0, bytes.baseAddress!, 1)
      _ = unsafe lrp2p_ring_set_address(ring, 0, a.family, to.native)
      unsafe lrp2p_control_put_source(ring, 0, a.family, Address.loopback4().native, 0)
      guard unsafe lrp2p_ring_send(a.descriptor.raw, ring, 1) == 1 else { return Int32(-1) }
      unsafe lrp2p_ring_rearm(ring, 1)
      return unsafe lrp2p_ring_receive(b.descriptor.raw, ring, 1)
    }
    #expect(result == 1)
    let control = unsafe lrp2p_control_read(ring, 0)
    #expect(control.has_destination && Address(control.destination) == Address(ipv4: 0x7F00_0003, port: 0))
    #expect(control.interface == 1)
  }

  @Test func sendFaultsAreClassified() {
    func fault(_ code: Int32, _ isSegmented: Bool = false) -> SendFault {
      SendFault(errno: code, isSegmented: isSegmented)
    }
    #expect(fault(EAGAIN) == .wouldBlock)
    #expect(fault(ENOBUFS) == .shortOfBuffers)
    #expect(fault(EINTR) == .interrupted)
    for code in [EIO, EINVAL, EOPNOTSUPP] { #expect(fault(code, true) == .burstSuspect) }
    #expect(fault(EINVAL) == .undeliverable)
    #expect(fault(EMSGSIZE) == .tooLarge)
    let special = [EAGAIN, ENOBUFS, ENOMEM, EINTR, EMSGSIZE]
    for code in 1...133 as ClosedRange<Int32> where !special.contains(code) {
      #expect(fault(code) == ([EBADF, ENOTSOCK, EFAULT].contains(code) ? .fatal : .undeliverable))
    }
  }
}

let ipLevel = Int32(LRP2P_SOL_IP.rawValue)
let ipv6Level = Int32(LRP2P_SOL_IPV6.rawValue)
let hasIPv6 = (try? UDPSocket(bind: .loopback6(), configuration: .init())) != nil
