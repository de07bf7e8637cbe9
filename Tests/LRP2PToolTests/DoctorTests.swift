// SPDX-License-Identifier: MIT
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool
import Testing

@Suite struct DoctorTests {
  @Test func everythingIsLookedAtOnce() throws {
    let findings = try Doctor().examine()
    let checks = findings.map(\.check)
    #expect(Set(checks).count == checks.count)
    for name in [
      "kernel", "processors", "ipv6", "segmentation_offload", "receive_offload", "io_uring", "socket_filter",
      "reactor_steering", "receive_buffer", "send_buffer", "aes_hardware", "aead_provider", "queueing_discipline",
    ] { #expect(checks.contains(name)) }
    #expect(findings.allSatisfy { !$0.found.isEmpty && !$0.advice.isEmpty })
  }

  /// What it says is what a reactor then has.
  @Test func itSaysWhatAReactorHas() throws {
    var configuration = ReactorConfiguration()
    configuration.socketFilter = true
    configuration.backend = .ioUring
    let reactor = try Reactor(
      configuration: configuration, identity: Identity(), bind: Address(ipv4: 0x7F00_0001, port: 0), accepting: .anyone)
    let findings = try Doctor().examine()
    func isGood(_ check: String) -> Bool { findings.contains { $0.check == check && $0.status == .good } }
    #expect(isGood("segmentation_offload") == reactor.statistics.segmentationOffload)
    #expect(isGood("receive_offload") == reactor.statistics.receiveOffload)
    #expect(isGood("socket_filter") == reactor.statistics.socketFilter)
    #expect(isGood("io_uring") == (reactor.backendFallbackError == nil))
    #expect(isGood("aead_provider") == (reactor.engine.aeadProvider == "libipsec-mb"))
  }

  @Test func aSmallBufferIsSaidWithItsCure() {
    let finding = Doctor.buffer(
      "receive_buffer", granted: 212_992, wanted: 8 << 20, knob: "net.core.rmem_max", cost: "loss")
    #expect(finding.status == .limited && finding.found == "208 of 8192 KiB")
    #expect(finding.advice == "loss; sysctl -w net.core.rmem_max=8388608, or CAP_NET_ADMIN")
    #expect(finding.figures.contains { $0.name == "granted_bytes" && $0.value == 212_992 })
    let enough = Doctor.buffer("send_buffer", granted: 1 << 21, wanted: 1 << 21, knob: "net.core.wmem_max", cost: "")
    #expect(enough.status == .good)
  }

  @Test func mtuDecidesTheDatagram() {
    #expect(Doctor.interface("a", mtu: 1000).status == .missing)
    #expect(Doctor.interface("a", mtu: 1280).advice == "datagrams will be of 1200 to 1232 bytes")
    #expect(Doctor.interface("a", mtu: 1500).advice == "the default of 1400 bytes passes")
    #expect(Doctor.interface("a", mtu: 9000).advice == "EngineConfiguration.maximumDatagram may go up to 8952")
    #expect(Doctor.interface("a", mtu: 65_536).advice == "EngineConfiguration.maximumDatagram may go up to 16384")
  }
}
