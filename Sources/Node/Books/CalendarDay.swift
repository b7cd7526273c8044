// CalendarDay.swift: days as people write them. Start at parse.
import Accounting

/// Days as people write them.
package enum CalendarDay {
  /// `2026-11-23` as days since 1970-01-01; nil for anything else, including 30 February.
  /// Source: Hinnant, "chrono-compatible low-level date algorithms".
  package static func parse(_ text: String) -> Day? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard text.utf8.count == 10, parts.count == 3, let year = Int(parts[0]), let month = Int(parts[1]),
      let day = Int(parts[2]), (1...9999).contains(year), (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let found = Day(era * 146_097 + dayOfEra - 719_468)
    return Statement.date(found) == text ? found : nil
  }
}
