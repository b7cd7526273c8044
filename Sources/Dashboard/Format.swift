// Format.swift: numbers as an operator reads them: short, right-aligned, stable in width. Every
// function accepts any value that a socket may carry (NaN, extremes) and never traps. Start at any.
import Control

/// `1,204`; nothing is rounded.
package func grouped(_ value: Int) -> String {
  let digits = String(value.magnitude)
  var result = ""
  for (index, digit) in digits.enumerated() {
    if index > 0 && (digits.utf8.count - index) % 3 == 0 { result.append(",") }
    result.append(digit)
  }
  return value < 0 ? "-" + result : result
}

/// Four characters at most: `7`, `412`, `3.1k`, `12k`, `1.2M`.
package func compact(_ value: Int) -> String { compact(Double(value)) }

package func compact(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  let size = abs(value)
  if size < 999.5 { return integer(value) }
  for (limit, divisor, suffix) in [
    (999_500.0, 1e3, "k"), (999.5e6, 1e6, "M"), (999.5e9, 1e9, "G"), (.infinity, 1e12, "T"),
  ] where size < limit {
    let scaled = value / divisor
    return (abs(scaled) < 9.95 ? decimal(scaled, 1) : integer(scaled)) + suffix
  }
  return "-"
}

/// `51.2` below a hundred, `412` from there on.
package func rate(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  return abs(value) < 99.95 ? decimal(value, 1) : compact(value)
}

package func integer(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  return String(Int(max(-1e15, min(1e15, value.rounded()))))
}

/// Fixed point with `places` (0 to 6) decimals.
package func decimal(_ value: Double, _ places: Int) -> String {
  guard value.isFinite else { return "-" }
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  let scaled = Int(max(-1e15, min(1e15, (value * scale).rounded())))
  if places == 0 { return String(scaled) }
  let digits = String(scaled.magnitude)
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.utf8.count)) + digits
  return (scaled < 0 ? "-" : "") + padded.dropLast(places) + "." + padded.suffix(places)
}

/// `83 %` without its sign: a share of 0...1 as whole percent.
package func percent(_ share: Double) -> String {
  guard share.isFinite else { return "-" }
  return integer(max(-9.99, min(9.99, share)) * 100)
}

/// Money: two decimals from 100 on, three from 1 on, otherwise four; `0.000012` for an amount that
/// would otherwise be shown as 0.
package func money(_ amount: MicroUnits) -> String {
  let value = Double(amount) / 1e6
  if amount != 0 && amount.magnitude < 50 { return decimal(value, 6) }
  return decimal(value, amount.magnitude >= 100_000_000 ? 2 : amount.magnitude >= 1_000_000 ? 3 : 4)
}

/// Money in a column: always six decimals below ten, so that the decimal points align and nothing
/// is rounded.
package func exactMoney(_ amount: MicroUnits) -> String {
  decimal(Double(amount) / 1e6, amount.magnitude < 10_000_000 ? 6 : amount.magnitude < 1_000_000_000 ? 4 : 2)
}

/// Sums in a column: four decimals, from a thousand on two.
package func sumMoney(_ amount: MicroUnits) -> String {
  decimal(Double(amount) / 1e6, amount.magnitude < 1_000_000_000 ? 4 : 2)
}

/// A price for a million tokens: three decimals.
package func price(_ amount: MicroUnits) -> String { decimal(Double(amount) / 1e6, 3) }

/// Energy: `0.42 J`, `51.2 J`, `2,730 J`, from an hour of a watt on `1.25 Wh`, then `4.10 kWh`.
package func energy(_ joules: Double) -> String {
  guard joules.isFinite else { return "-" }
  for (limit, unit, suffix) in [(3_600.0, 1.0, "J"), (3_600_000, 3_600, "Wh"), (.infinity, 3_600_000, "kWh")]
  where joules < limit {
    let value = joules / unit
    if value >= 99.95 { return grouped(Int(min(1e15, value.rounded()))) + " " + suffix }
    return decimal(value, value < 9.995 ? 2 : 1) + " " + suffix
  }
  return "-"
}

/// `12.1G`, `640M`: powers of 1024.
package func bytes(_ count: Int64) -> String {
  var value = Double(count)
  for suffix in ["", "K", "M", "G"] {
    if abs(value) < 999.5 {
      return (suffix.isEmpty || abs(value) >= 99.95 ? integer(value) : decimal(value, 1)) + suffix
    }
    value /= 1024
  }
  return decimal(value, 1) + "T"
}

/// Microseconds from `start` to `end`, never negative, never overflowing.
package func elapsed(_ start: Microseconds, _ end: Microseconds) -> Microseconds {
  let (difference, overflow) = end.subtractingReportingOverflow(start)
  if overflow { return end > start ? .max : 0 }
  return max(0, difference)
}

/// An age in a list: seconds up to 10, then in fives up to a minute, then minutes, hours, days. It
/// is coarse on purpose: a column of ages that all change every second is restless and costs bytes.
package func age(_ span: Microseconds) -> String {
  let seconds = max(0, span) / 1_000_000
  switch seconds {
  case ..<10: return "\(seconds)s"
  case ..<60: return "\(seconds / 5 * 5)s"
  case ..<3600: return "\(seconds / 60)m"
  case ..<86_400: return "\(seconds / 3600)h\(twoDigits(seconds / 60 % 60))"
  default: return "\(min(9999, seconds / 86_400))d"
  }
}

/// A span to the second: `4.2 s`, `1:05`, `3:04:12`, `3d 04:12`.
package func span(_ length: Microseconds) -> String {
  let seconds = max(0, length) / 1_000_000
  if seconds < 10 { return decimal(Double(max(0, length)) / 1e6, 1) + " s" }
  if seconds < 60 { return "\(seconds) s" }
  if seconds < 3600 { return countdown(length) }
  if seconds < 86_400 {
    return "\(seconds / 3600):\(twoDigits(seconds / 60 % 60)):\(twoDigits(seconds % 60))"
  }
  return uptime(length)
}

/// `4:12`; `0:00` when it is over.
package func countdown(_ left: Microseconds) -> String {
  let seconds = max(0, left) / 1_000_000
  if seconds >= 3600 { return "\(min(9999, seconds / 3600))h\(twoDigits(seconds / 60 % 60))" }
  return "\(seconds / 60):\(twoDigits(seconds % 60))"
}

/// The time left to decide: in minutes, and to the second in the last five minutes.
package func patience(_ left: Microseconds) -> String {
  left >= 300_000_000 ? age(left) : countdown(left)
}

/// `3d 04:12`, `4:12` (hours and minutes), `12m`.
package func uptime(_ length: Microseconds) -> String {
  let minutes = max(0, length) / 60_000_000
  if minutes < 60 { return "\(minutes)m" }
  let clock = "\(twoDigits(minutes / 60 % 24)):\(twoDigits(minutes % 60))"
  return minutes < 1440 ? clock : "\(min(99_999, minutes / 1440))d \(clock)"
}

/// Time of day, `12:04` or `12:04:31`, `offset` seconds east of Greenwich.
package func clock(_ time: Microseconds, offset: Int, withSeconds: Bool) -> String {
  let seconds = (time / 1_000_000).addingReportingOverflow(Int64(offset)).partialValue
  let day = ((seconds % 86_400) + 86_400) % 86_400
  let minutes = "\(twoDigits(day / 3600)):\(twoDigits(day / 60 % 60))"
  return withSeconds ? minutes + ":" + twoDigits(day % 60) : minutes
}

/// The day, `2026-03-14`, `offset` seconds east of Greenwich.
/// Source: Hinnant, "chrono-compatible low-level date algorithms".
package func date(_ time: Microseconds, offset: Int) -> String {
  let seconds = (time / 1_000_000).addingReportingOverflow(Int64(offset)).partialValue
  let days = (seconds - ((seconds % 86_400) + 86_400) % 86_400) / 86_400 + 719_468
  let era = (days >= 0 ? days : days - 146_096) / 146_097
  let dayOfEra = days - era * 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let shifted = (5 * dayOfYear + 2) / 153
  let month = shifted < 10 ? shifted + 3 : shifted - 9
  let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return "\(year)-\(twoDigits(month))-\(twoDigits(dayOfYear - (153 * shifted + 2) / 5 + 1))"
}

private func twoDigits(_ value: Int64) -> String { value < 10 ? "0\(value)" : String(value) }

package func milliseconds(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  return abs(value) < 9.95 ? decimal(value, 1) : compact(value)
}

/// Two latencies in one unit, milliseconds below ten seconds: `84/310` and `ms`, `28.4/58.1` and
/// `s`.
package func latencyPair(_ first: Double, _ second: Double?) -> (words: String, unit: String) {
  let isLong = [first, second ?? 0].contains { $0.isFinite && $0 >= 9_950 }
  func word(_ value: Double) -> String { isLong ? rate(value / 1000) : milliseconds(value) }
  return (word(first) + (second.map { "/" + word($0) } ?? ""), isLong ? "s" : "ms")
}

/// `40/s`, `3.4K/s`, `31K/s`: only two digits, because the number changes every second.
package func byteRate(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  var size = max(0, min(1e15, value))
  if size < 1000 { return "\(Int(size) / 10 * 10)/s" }
  for suffix in ["K", "M", "G"] {
    size /= 1024
    if size < 999.5 { return (size < 9.95 ? decimal(size, 1) : integer(size)) + suffix + "/s" }
  }
  return decimal(size / 1024, 1) + "T/s"
}

/// `84ms`, `1.1s`, `1:05`, `2h05`.
package func latencyWords(_ span: Microseconds) -> String {
  if span < 1_000_000 { return "\(max(0, span) / 1000)ms" }
  if span < 60_000_000 { return decimal(Double(span) / 1e6, 1) + "s" }
  return countdown(span)
}

extension String {
  func trimmingSuffix(_ isTrimmed: (Character) -> Bool) -> String {
    var rest = self
    while let last = rest.last, isTrimmed(last) { rest.removeLast() }
    return rest
  }

  /// Pads with blanks on the left to `columns`; text that is already as wide is unchanged. ASCII
  /// only.
  func right(_ columns: Int) -> String {
    let missing = columns - unicodeScalars.count
    return missing > 0 ? String(repeating: " ", count: missing) + self : self
  }
}

package func plural(_ count: Int, _ noun: String) -> String {
  count == 1 ? "1 \(noun)" : "\(grouped(count)) \(noun)s"
}
