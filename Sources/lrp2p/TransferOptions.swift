// SPDX-License-Identifier: MIT
import ArgumentParser
import Glibc
import LRP2PTool

/// A number of bytes, with K, M, G or T for 2^10, 2^20, 2^30 or 2^40 behind it.
struct ByteCount: ExpressibleByArgument {
  let bytes: UInt64

  init(_ bytes: UInt64) { self.bytes = bytes }

  init?(argument: String) {
    guard let bytes = Rate.byteCount(argument) else { return nil }
    self.bytes = bytes
  }

  var defaultValueDescription: String { "\(bytes)" }
}

/// What a receiver does about a file whose name is taken by another.
struct ExistingOptions: ParsableArguments {
  @Flag(help: "A file whose name is taken by another replaces it. Without one of these three it is refused.")
  var overwrite = false

  @Flag(help: "A file whose name is taken by another is passed over.")
  var skipExisting = false

  @Flag(help: "A file whose name is taken by another gets a number behind its name.")
  var rename = false

  func validate() throws {
    guard [overwrite, skipExisting, rename].count(where: { $0 }) < 2 else {
      throw ValidationError("--overwrite, --skip-existing and --rename exclude each other")
    }
  }

  var existing: IntakePolicy.Existing {
    overwrite ? .overwrite : skipExisting ? .skip : rename ? .rename : .refuse
  }
}

/// What a receiver takes at most.
struct LimitOptions: ParsableArguments {
  @Option(help: "The largest file that is taken, in bytes; K, M, G, T may follow.")
  var maxSize: ByteCount?

  @Option(help: "The most bytes of one connection.")
  var maxTotal: ByteCount?

  @Option(help: "The most files, folders and links of one connection.")
  var maxFiles: UInt64?

  @Option(help: "Bytes that are to stay free on the disk.")
  var keepFree = ByteCount(0)

  @Option(help: "How many hours what has come of a large file waits for its sender: 0 keeps none.")
  var keepParts: UInt32 = 168

  var partsAge: Int64 { Int64(keepParts) * 3600 }

  func policy(existing: IntakePolicy.Existing) -> IntakePolicy {
    var policy = IntakePolicy()
    policy.existing = existing
    policy.largestFile = maxSize?.bytes ?? .max
    policy.mostBytes = maxTotal?.bytes ?? .max
    policy.mostFiles = maxFiles ?? .max
    policy.keepFree = keepFree.bytes
    policy.keepsParts = keepParts > 0
    policy.mask = IntakePolicy.processMask
    return policy
  }
}

/// The command line as it is: names of files need not be UTF-8, and the parser's text is.
enum RawArguments {
  static func bytes(of texts: [String]) -> [[UInt8]] {
    var raw: [[UInt8]] = []
    for index in 1..<max(Int(CommandLine.argc), 1) {
      guard let argument = unsafe CommandLine.unsafeArgv[index] else { continue }
      raw.append(unsafe Array(UnsafeRawBufferPointer(start: argument, count: strlen(argument))))
    }
    return texts.map { text in
      let bytes = Array(text.utf8)
      guard !raw.contains(bytes) else { return bytes }
      guard let index = raw.firstIndex(where: { String(decoding: $0, as: UTF8.self) == text }) else { return bytes }
      return raw.remove(at: index)
    }
  }
}
