// SPDX-License-Identifier: MIT
import ArgumentParser
import LRP2P
import LRP2PCore
import LRP2PReactor

struct Keygen: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Make an identity and print its public key.")

  @Option(help: "Write the identity to this new file, readable by its owner only.")
  var out: String?

  @Option(help: "Print the public key of this identity file, and make none.")
  var show: String?

  @Flag(help: "Print one JSON object a line.")
  var json = false

  func validate() throws {
    guard out == nil || show == nil else { throw ValidationError("one of --out and --show") }
  }

  func run() throws {
    let identity: Identity
    if let show {
      do throws(IdentityError) { identity = try Identity(contentsOf: show) } catch { throw Failure(error) }
    } else {
      identity = Identity()
    }
    if let out {
      do throws(IdentityError) { try identity.save(to: out) } catch { throw Failure(error) }
    }
    let key = "\(identity.publicKey)"
    if json { Output.json([("key", Output.quoted(key))]) } else { Output.line(key) }
    try Output.check()
  }
}
