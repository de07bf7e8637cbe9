// SPDX-License-Identifier: MIT
import Glibc
import LRP2P
import LRP2PCore
import LRP2PReactor
import LRP2PTool

/// What is said of each file, on either side, and what it comes to.
final class TransferReport {
  /// Who sends, for the receiver's lines.
  struct Origin {
    var address: String
    var key: String
  }

  private let asJSON: Bool
  /// Whether the command ends with this transfer: its last failure is the command's own.
  private let isOne: Bool
  private var held: Failure?
  private var failed = 0
  private var told = 0

  init(asJSON: Bool, isOne: Bool) {
    self.asJSON = asJSON
    self.isOne = isOne
  }

  /// What the command ends with.
  var failure: Failure? { failed > 1 ? Failure("\(failed) of \(told) files were not stored") : held }

  /// - Parameter isAlone: there is no other file.
  func tell(_ event: FileEvent, of peer: String, isAlone: Bool = false, from origin: Origin? = nil) {
    told += 1
    let name = Printable.text(event.path)
    switch event.outcome {
    case .stored(let digest): line(event, name: name, digest: digest, origin)
    case .present: present(event, name: name, origin)
    case .failed(let failure):
      failed += 1
      if asJSON { Output.json(Self.name(event) + [("error", Output.quoted(failure.text))] + fields(origin)) }
      fail(Failure("\(peer): \(name): \(failure.text)"))
    }
  }

  /// A failure of the connection.
  func fail(_ failure: Failure) {
    guard isOne else {
      Output.error("\(Output.time()) \(failure.description)")
      return
    }
    // One line, if it stays the only one.
    if let held { Output.error(held.description) }
    held = failure
    if failed > 1 {
      Output.error(failure.description)
      held = nil
    }
  }

  private func line(_ event: FileEvent, name: String, digest: [UInt8], _ origin: Origin?) {
    let seconds = Double(event.nanoseconds) / 1e9
    let rate = seconds > 0 ? Double(event.bytes - event.resumed) * 8 / seconds / 1e9 : 0
    if asJSON {
      var fields = Self.name(event)
      fields += [
        ("bytes", "\(event.bytes)"), ("seconds", Output.decimal(seconds)),
        ("goodput_gbit_per_s", Output.decimal(rate)), (event.kind.jsonKey, Output.quoted(Output.hex(digest))),
      ]
      if event.resumed > 0 { fields.append(("resumed_bytes", "\(event.resumed)")) }
      Output.json(fields + self.fields(origin))
    } else {
      let resumed = event.resumed > 0 ? "  resumed at \(event.resumed)" : ""
      Output.line(
        "\(event.kind.name) \(Output.hex(digest))  \(name)  \(event.bytes) bytes  \(Output.decimal(seconds)) s  "
          + "\(Output.decimal(rate)) Gbit/s\(resumed)\(text(origin))")
    }
  }

  private func present(_ event: FileEvent, name: String, _ origin: Origin?) {
    if asJSON {
      Output.json(Self.name(event) + [("bytes", "\(event.bytes)"), ("present", "true")] + fields(origin))
    } else {
      Output.line("\(name)  \(event.bytes) bytes  there already\(text(origin))")
    }
  }

  /// The name, and its bytes where it is no UTF-8.
  private static func name(_ event: FileEvent) -> [(String, String)] {
    let isText = String(validating: event.path, as: UTF8.self) != nil
    let name = ("file", Output.quoted(String(decoding: event.path, as: UTF8.self)))
    return isText ? [name] : [name, ("file_hex", Output.quoted(Output.hex(event.path)))]
  }

  private func fields(_ origin: Origin?) -> [(String, String)] {
    guard let origin else { return [] }
    return [
      ("address", Output.quoted(origin.address)), ("key", Output.quoted(origin.key)),
      ("time", Output.quoted(Output.time())),
    ]
  }

  private func text(_ origin: Origin?) -> String {
    origin.map { "  from \($0.address) key \($0.key) at \(Output.time())" } ?? ""
  }
}
