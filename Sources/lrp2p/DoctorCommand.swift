import ArgumentParser
import LRP2P
import LRP2PTool

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Tell what this machine offers, and what will limit.",
    discussion: """
      Asks the kernel for everything that a reactor asks it for. A line for each thing: whether it is good, limited or missing, \
      what was found, and what to do about it. Exits with 0 whatever it finds, as long as a socket can be had.
      """)

  @Flag(help: "Print one JSON object a line.")
  var json = false

  func run() throws {
    let findings: [Doctor.Finding]
    do throws(SystemError) { findings = try Doctor().examine() } catch { throw Failure(error) }
    if json {
      for finding in findings { Output.json(fields(finding)) }
      try Output.check()
      return
    }
    let names = findings.map(\.check.count).max() ?? 0
    for finding in findings {
      let padding = String(repeating: " ", count: names - finding.check.count)
      let status = finding.status.rawValue + String(repeating: " ", count: 7 - finding.status.rawValue.count)
      Output.line("\(status)  \(finding.check)\(padding)  \(finding.found): \(finding.advice)")
    }
  }

  private func fields(_ finding: Doctor.Finding) -> [(String, String)] {
    var fields = [
      ("check", Output.quoted(finding.check)), ("status", Output.quoted(finding.status.rawValue)),
      ("found", Output.quoted(finding.found)), ("advice", Output.quoted(finding.advice)),
    ]
    for figure in finding.figures { fields.append((figure.name, "\(figure.value)")) }
    return fields
  }
}
