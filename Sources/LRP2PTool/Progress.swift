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

  private let name: String
  private let total: UInt64
  private var lastTime: UInt64
  private var lastBytes: UInt64 = 0
  /// Bytes a second, smoothed over a few lines.
  private var rate = 0.0

  package init(name: String, total: UInt64, now: UInt64) {
    self.name = name
    self.total = total
    lastTime = now
  }

  /// The next line, at most one each interval; `nil` in between.
  package mutating func line(done: UInt64, now: UInt64) -> String? {
    guard now >= lastTime + Self.interval, done >= lastBytes else { return nil }
    let recent = Double(done - lastBytes) * 1e9 / Double(now - lastTime)
    rate = rate == 0 ? recent : 0.7 * rate + 0.3 * recent
    lastTime = now
    lastBytes = done
    let percent = total > 0 ? 100 * (Double(done) / Double(total)) : 100
    let left = rate > 0 ? Double(total - min(done, total)) / rate : .infinity
    return "\(name)  \(Rate.decimal(percent, places: 0)) %  \(Rate.bytes(done)) of \(Rate.bytes(total))  "
      + "\(Rate.bytes(UInt64(min(rate, 1e15))))/s  \(Rate.time(left)) left"
  }
}
