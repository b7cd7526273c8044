// StatementPage.swift: a statement for programs, as JSON. Its content is Accounting's. Start at
// init.
import Accounting

/// A statement for programs. Amounts are decimal texts, exact.
struct StatementPage: Encodable {
  struct Row: Encodable {
    let date: String
    let kind: String
    let name: String
    let jobs: Int
    let promptTokens: Int
    let cachedTokens: Int
    let completionTokens: Int
    let amount: String
  }

  let node: String
  let client: String
  let currency: String
  let from: String
  let to: String
  let rows: [Row]
  let unsettled: String
  /// The signed text and its signature, armored.
  let text: String
  let signature: String

  init(_ statement: Statement, signature: String) {
    node = statement.node
    client = statement.client
    currency = statement.currency
    from = Statement.date(statement.days.lowerBound)
    to = Statement.date(statement.days.upperBound)
    rows = statement.rows.map {
      Row(
        date: Statement.date($0.day), kind: $0.kind, name: $0.name, jobs: $0.totals.jobs,
        promptTokens: $0.totals.promptTokens, cachedTokens: $0.totals.cachedTokens,
        completionTokens: $0.totals.completionTokens, amount: $0.amount.description)
    }
    unsettled = statement.unsettled.description
    text = statement.text
    self.signature = signature
  }
}
