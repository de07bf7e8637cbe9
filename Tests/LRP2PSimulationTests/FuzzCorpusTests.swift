// SPDX-License-Identifier: MIT
import Foundation
import LRP2PSimulation
import Testing

/// Every input that is kept for the fuzzer (Fuzz/corpus): what reaches the most of the code, and what once failed.
@Suite struct FuzzCorpusTests {
  static var folder: URL {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fuzz/corpus")
  }

  @Test func everyInputIsReplayed() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path()).sorted()
    #expect(names.count > 20)
    for name in names { FuzzSmokeTests.run([UInt8](try Data(contentsOf: Self.folder.appending(path: name)))) }
  }
}
