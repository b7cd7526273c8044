// Statement.swift: what one client owes for a period, as text to sign, CSV or JSON. Stock
// ssh-keygen makes the signature (namespace statement@hotpot). Start at Statement.

/// A client's account over some days: sums by day and model, then payments and corrections.
package struct Statement: Sendable, Equatable {
  package let node: String
  package let client: String
  package let currency: String
  package let days: ClosedRange<Day>
  package let cells: [Ledger.Cell]
  package let payments: [Transfer]
  /// At the end of the period: everything posted and corrected until then, less payments; negative
  /// is what the client has paid ahead.
  package let unsettled: Amount

  package static let namespace = "statement@hotpot"

  package init(ledger: Ledger, client: String, days: ClosedRange<Day>, node: String, currency: String) {
    self.node = node
    self.client = client
    self.currency = currency
    self.days = days
    cells = ledger.cells(LedgerQuery(days: days, client: client))
    payments = ledger.payments(of: client, days: days)
    let until = Day.min...days.upperBound
    let moved = ledger.payments(of: client, days: until).reduce(into: Int64(0)) { sum, transfer in
      switch transfer {
      case .posted: break
      case .settled(_, let amount, _, _), .deposited(_, let amount, _, _): sum -= amount.micro
      case .corrected(_, let amount, _, _): sum += amount.micro
      }
    }
    unsettled = Amount(
      micro: ledger.total(LedgerQuery(days: until, client: client)).amount.micro + moved)
  }

  /// One line of the statement: a day's jobs with a model, a payment (negative) or a correction.
  package struct Row: Sendable, Equatable {
    package let day: Day
    /// `posted`, `settled`, `deposited` or `corrected`.
    package let kind: String
    /// The model, the payment's reference, or the reason.
    package let name: String
    package let totals: Totals
    package let amount: Amount
  }

  /// By day within each kind.
  package var rows: [Row] {
    let postings = cells.map {
      Row(day: $0.day, kind: "posted", name: $0.model, totals: $0.totals, amount: $0.totals.amount)
    }
    let moved = payments.compactMap { transfer -> Row? in
      switch transfer {
      case .posted: nil
      case .settled(_, let amount, let reference, let day):
        Row(
          day: day, kind: "settled", name: reference, totals: Totals(), amount: Amount(micro: -amount.micro))
      case .deposited(_, let amount, let reference, let day):
        Row(
          day: day, kind: "deposited", name: reference, totals: Totals(), amount: Amount(micro: -amount.micro)
        )
      case .corrected(_, let amount, let reason, let day):
        Row(day: day, kind: "corrected", name: reason, totals: Totals(), amount: amount)
      }
    }
    return postings + moved
  }

  /// The text that is signed: a heading, one line per row with tabs between the fields, and the
  /// amount left to pay.
  package var text: String {
    var lines = [
      "hotpot statement v1", "node \(node)", "client \(client)", "currency \(currency)",
      "from \(Self.date(days.lowerBound))", "to \(Self.date(days.upperBound))", "",
    ]
    for row in rows {
      lines.append(
        [
          Self.date(row.day), row.kind, Self.plain(row.name), "\(row.totals.jobs)",
          "\(row.totals.promptTokens)",
          "\(row.totals.cachedTokens)", "\(row.totals.completionTokens)", row.amount.description,
        ].joined(separator: "\t"))
    }
    lines += ["", "unsettled \(unsettled) \(currency)", ""]
    return lines.joined(separator: "\n")
  }

  /// RFC 4180.
  package var csv: String {
    var lines = ["date,kind,name,jobs,prompt_tokens,cached_tokens,completion_tokens,amount,currency"]
    for row in rows {
      lines.append(
        [
          Self.date(row.day), row.kind, Self.quoted(row.name), "\(row.totals.jobs)",
          "\(row.totals.promptTokens)",
          "\(row.totals.cachedTokens)", "\(row.totals.completionTokens)", row.amount.description, currency,
        ].joined(separator: ","))
    }
    return lines.map { $0 + "\r\n" }.joined()
  }

  private static func plain(_ text: String) -> String {
    String(text.map { $0.isNewline || $0 == "\t" ? " " : $0 })
  }

  /// A cell, quoted if needed; one that a spreadsheet would read as a formula is quoted with an
  /// apostrophe before it.
  private static func quoted(_ text: String) -> String {
    var cell = plain(text)
    if let first = cell.first, "=+-@".contains(first) { cell = "'" + cell }
    guard cell.contains(where: { $0 == "," || $0 == "\"" || $0 == "'" }) else { return cell }
    return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }

  /// `2026-11-23` for a day since 1970-01-01. Source: Hinnant, "chrono-compatible low-level date
  /// algorithms".
  package static func date(_ day: Day) -> String {
    let shifted = Int(day) + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let dayOfMonth = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(year)-\(two(month))-\(two(dayOfMonth))"
  }
}
