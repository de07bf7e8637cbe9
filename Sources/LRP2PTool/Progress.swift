// SPDX-License-Identifier: MIT
/// A figure with a fixed number of decimals: the library does without Foundation.
package enum Rate {
  package static func decimal(_ value: Double, places: Int) -> String {
    var scale = 1
    for _ in 0..<places { scale *= 10 }
    let scaled = Int(min(max(value, 0) * Double(scale), 1e17).rounded())
    guard places > 0 else { return "\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
  }

  /// Bytes with a unit: `999 B`, `1.0 KiB`, `2.3 GiB`.
  package static func bytes(_ count: UInt64) -> String {
    guard count >= 1024 else { return "\(count) B" }
    var value = Double(count)
    var unit = -1
    while value >= 1023.95, unit < 4 {
      value /= 1024
      unit += 1
    }
    return "\(decimal(value, places: 1)) \(["KiB", "MiB", "GiB", "TiB", "PiB"][unit])"
  }

  /// Bytes as people write them: digits, and K, M, G or T for 2^10, 2^20, 2^30 or 2^40; `nil` for anything else, and beyond 2^63.
  package static func byteCount(_ text: String) -> UInt64? {
    var digits = text[...]
    var shift: UInt64 = 0
    for (index, letter) in ["K", "M", "G", "T"].enumerated() where text.uppercased().hasSuffix(letter) {
      digits = text.dropLast()
      shift = UInt64(index + 1) * 10
    }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let value = UInt64(digits),
      value <= UInt64(Int64.max) >> shift
    else { return nil }
    return value << shift
  }

  /// `0:07`, `12:34`, `1:02:03`; more than 99 hours are `--`.
  package static func time(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 360_000 else { return "--" }
    let whole = Int(max(seconds, 0).rounded())
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let (hours, minutes) = (whole / 3600, whole / 60 % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(whole % 60))" : "\(minutes):\(two(whole % 60))"
  }
}

/// How far a transfer is, its rate over the last moments, and what is left of the time.
package struct Progress {
  /// Nanoseconds between two lines.
  package static let interval: UInt64 = 200_000_000

  private var lastTime: UInt64
  private var lastBytes: UInt64 = 0
  /// Bytes a second, smoothed over a few lines.
  private var rate = 0.0

  package init(now: UInt64) { lastTime = now }

  /// The next line, at most one each interval; `nil` in between. It has three columns less than the terminal: the title is cut off in its
  /// middle, and what is behind it from the end.
  package mutating func line(_ title: String, done: UInt64, total: UInt64, columns: Int, now: UInt64) -> String? {
    guard now >= lastTime + Self.interval, done >= lastBytes else { return nil }
    let recent = Double(done - lastBytes) * 1e9 / Double(now - lastTime)
    rate = rate == 0 ? recent : 0.7 * rate + 0.3 * recent
    lastTime = now
    lastBytes = done
    let percent = total > 0 ? min(100 * (Double(done) / Double(total)), 100) : 100
    let left = rate > 0 ? Double(total - min(done, total)) / rate : .infinity
    let figures = [
      "\(Rate.decimal(percent, places: 0)) %", "\(Rate.decimal(rate * 8 / 1e9, places: 3)) Gbit/s",
      "\(Rate.time(left)) left",
      "\(Rate.bytes(done)) of \(Rate.bytes(total))",
    ]
    // A terminal shows `^C` behind it.
    return Self.fitted(title, figures, columns: columns - 3)
  }

  /// Percent, rate and time before anything of the title; all of the figures before more than twelve columns of it.
  private static func fitted(_ title: String, _ figures: [String], columns: Int) -> String {
    var text = ""
    for figure in figures {
      let next = text.isEmpty ? figure : text + "  " + figure
      let forTitle = figure == figures.last ? min(Columns.count(title), 12) + 2 : 0
      if Columns.count(next) + forTitle > columns, !text.isEmpty { break }
      text = next
    }
    let room = columns - Columns.count(text) - 2
    return room >= 4 ? Columns.cut(title, to: room) + "  " + text : String(text.prefix(max(columns, 0)))
  }
}

/// Columns that text takes in a terminal.
package enum Columns {
  package static func count(_ text: String) -> Int { text.unicodeScalars.reduce(0) { $0 + width($1) } }

  /// The text, with its middle left out where it is too long.
  package static func cut(_ text: String, to columns: Int) -> String {
    guard count(text) > columns, columns > 1 else { return text }
    let scalars = Array(text.unicodeScalars)
    let tail = fit(scalars.reversed(), columns: (columns - 1) / 2)
    let head = fit(scalars, columns: columns - 1 - tail.columns)
    var result = String.UnicodeScalarView(head.scalars)
    result.append("…")
    result.append(contentsOf: tail.scalars.reversed())
    return String(result)
  }

  private static func fit(_ scalars: [Unicode.Scalar], columns: Int) -> (scalars: [Unicode.Scalar], columns: Int) {
    var used = 0
    let fitting = scalars.prefix {
      used += width($0)
      return used <= columns
    }
    return (Array(fitting), fitting.reduce(0) { $0 + width($1) })
  }

  private static func width(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.value {
    // Marks that stand above or below another.
    case 0x300...0x36F, 0x200B...0x200D, 0xFE00...0xFE0F: 0
    // East Asian wide forms, and pictures.
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
      0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      2
    default: 1
    }
  }
}

/// Times of day, in UTC.
package enum Moment {
  /// `2026-11-30T23:59:36Z`, of seconds since 1970.
  package static func text(_ seconds: Int64) -> String {
    let (days, second) = (Int(seconds.floored(by: 86_400)), Int(seconds - 86_400 * seconds.floored(by: 86_400)))
    // Years begin in March here, so that the leap day is the last (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468
    let era = Int(Int64(shifted).floored(by: 146_097))
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * month + 2) / 5 + 1
    let calendarMonth = month < 10 ? month + 3 : month - 9
    let year = yearOfEra + era * 400 + (calendarMonth <= 2 ? 1 : 0)
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return
      "\(year)-\(two(calendarMonth))-\(two(day))T\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))Z"
  }
}

extension Int64 {
  fileprivate func floored(by divisor: Int64) -> Int64 { (self >= 0 ? self : self - divisor + 1) / divisor }
}
