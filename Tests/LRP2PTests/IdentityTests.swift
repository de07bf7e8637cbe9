// SPDX-License-Identifier: MIT
import Foundation
import LRP2P
import LRP2PCore
import LRP2PReactor
import Testing

@Suite struct IdentityTests {
  /// A path in a directory of its own, removed afterwards.
  private func withPath(_ body: (String) throws -> Void) throws {
    let directory = FileManager.default.temporaryDirectory.appending(component: "lrp2p-\(UUID())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    try body(directory.appending(component: "identity").path)
  }

  private func write(_ text: String, to path: String, mode: Int = 0o600) {
    let attributes: [FileAttributeKey: Any] = [.posixPermissions: mode]
    #expect(FileManager.default.createFile(atPath: path, contents: Data(text.utf8), attributes: attributes))
  }

  @Test func savedIdentityComesBack() throws {
    try withPath { path in
      let identity = Identity()
      try identity.save(to: path)
      #expect(try Identity(contentsOf: path).publicKey == identity.publicKey)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text.wholeMatch(of: /lrp2p-identity-v1 [0-9a-f]{64}\n/) != nil)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o600)
    }
  }

  @Test func identitiesDiffer() { #expect(Identity().publicKey != Identity().publicKey) }

  /// Computed with another implementation (OpenSSL).
  @Test func publicKeyBelongsToTheSecret() throws {
    try withPath { path in
      write("lrp2p-identity-v1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\r\n", to: path)
      let expected = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"
      let identity = try Identity(contentsOf: path)
      #expect(identity.publicKey.description == expected)
    }
  }

  @Test func existingFileIsKept() throws {
    try withPath { path in
      write("precious", to: path)
      #expect(throws: IdentityError.exists(path: path)) { try Identity().save(to: path) }
      let kept = try String(contentsOfFile: path, encoding: .utf8)
      #expect(kept == "precious")
    }
  }

  @Test func missingFile() throws {
    try withPath { path in
      #expect(throws: IdentityError.missing(path: path)) { try Identity(contentsOf: path) }
      #expect("\(IdentityError.missing(path: "x"))" == "identity x: no such file or directory")
    }
  }

  @Test(arguments: [
    "", "lrp2p", "lrp2p-identity-v1 ", "lrp2p-identity-v1\n", "lrp2p-identity-v1 00ff\n",
    "lrp2p-identity-v1 " + String(repeating: "0", count: 63),
  ])
  func truncatedFile(text: String) throws {
    try withPath { path in
      write(text, to: path)
      #expect(throws: IdentityError.truncated(path: path)) { try Identity(contentsOf: path) }
    }
  }

  @Test(arguments: [
    "nonsense", "lrp2p-identity-v2 " + String(repeating: "0", count: 64),
    "lrp2p-identity-v1 " + String(repeating: "g", count: 64),
    "lrp2p-identity-v1 " + String(repeating: "0", count: 65),
    "lrp2p-identity-v1 " + String(repeating: "0", count: 64) + "\n\n\n",
    "lrp2p-identity-v1 " + String(repeating: "0", count: 1000),
  ])
  func malformedFile(text: String) throws {
    try withPath { path in
      write(text, to: path)
      #expect(throws: IdentityError.malformed(path: path)) { try Identity(contentsOf: path) }
    }
  }

  @Test func fileOpenToOthersIsRefused() throws {
    try withPath { path in
      write("lrp2p-identity-v1 " + String(repeating: "1", count: 64) + "\n", to: path, mode: 0o640)
      #expect(throws: IdentityError.exposed(path: path, mode: 0o640)) { try Identity(contentsOf: path) }
    }
  }

  @Test func directoryIsNoIdentity() throws {
    try withPath { path in
      let directory = (path as NSString).deletingLastPathComponent
      #expect(throws: IdentityError.self) { try Identity(contentsOf: directory) }
    }
  }

  @Test func publicKeyHasATextForm() throws {
    let text = "00112233445566778899aabbccddeeff" + "0123456789abcdef0123456789abcdef"
    let key = try #require(PublicKey(text))
    #expect(key.description == text)
    #expect(PublicKey(text.uppercased()) == key)
    #expect(key.bytes.prefix(4) == [0, 0x11, 0x22, 0x33])
    for bad in ["", String(text.dropLast()), text + "0", "g" + text.dropFirst(), " " + text.dropFirst()] {
      #expect(PublicKey(bad) == nil)
    }
  }

  @Test func reactorTakesAnIdentity() throws {
    let reactor = try Reactor(identity: Identity(), bind: Address(ipv4: 0x7F00_0001, port: 0), accepting: .anyone)
    #expect(reactor.localAddress.port != 0)
  }
}

/// Identities that do not come from a file of the owner's own.
@Suite struct IdentitySourceTests {
  private let line = "lrp2p-identity-v1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
  private let expected = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"

  @Test func fromBytes() throws {
    let bytes = (0..<32 as Range<UInt8>).map { $0 }
    let identity = try unsafe Identity(secretKey: bytes.span.bytes)
    #expect(identity.publicKey.description == expected)
    let short = Array(bytes.dropLast())
    #expect(throws: IdentityError.wrongLength(31)) { try unsafe Identity(secretKey: short.span.bytes) }
    #expect("\(IdentityError.wrongLength(31))" == "identity: a secret key has 32 bytes, not 31")
  }

  @Test func fromTheEnvironment() throws {
    let name = "LRP2P_TEST_IDENTITY_\(UInt64.random(in: 0 ... .max))"
    #expect(throws: IdentityError.missing(path: "$\(name)")) { try Identity(environment: name) }
    for (value, error) in [
      (line, nil), (line + "\n", nil), ("nonsense", IdentityError.malformed(path: "$\(name)")),
      ("", .truncated(path: "$\(name)")), (line + String(repeating: "0", count: 500), .malformed(path: "$\(name)")),
    ] {
      let isSet = unsafe setenv(name, value, 1) == 0
      #expect(isSet)
      defer { unsafe unsetenv(name) }
      if let error {
        #expect(throws: error) { try Identity(environment: name) }
      } else {
        #expect(try Identity(environment: name).publicKey.description == expected)
      }
    }
  }

  @Test(arguments: [0o600, 0o400, 0o640, 0o440, 0o660, 0o644, 0o650])
  func groupMayReadByChoice(mode: Int) throws {
    let path = FileManager.default.temporaryDirectory.appending(component: "lrp2p-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(
      FileManager.default.createFile(
        atPath: path, contents: Data(line.utf8), attributes: [.posixPermissions: mode]))
    if [0o600, 0o400, 0o640, 0o440].contains(mode) {
      #expect(try Identity(contentsOf: path, access: .group).publicKey.description == expected)
    } else {
      #expect(throws: IdentityError.exposed(path: path, mode: UInt32(mode))) {
        try Identity(contentsOf: path, access: .group)
      }
    }
    if mode & 0o077 != 0 {
      #expect(throws: IdentityError.exposed(path: path, mode: UInt32(mode))) { try Identity(contentsOf: path) }
    }
  }
}
