// Amount.swift: money as a whole number of micro-units, and the tokens it is charged for. Every sum
// is checked: money that overflows is an error and never wraps to another amount. Start at Amount.

/// Errors of bookkeeping.
package enum AccountingError: Error, Sendable, Equatable, CustomStringConvertible {
  case overflow(String)
  case badAmount(String)
  case negative(String)
  case noReservation(UInt64)
  case reservedTwice(UInt64)
  case overReservation(job: UInt64, reserved: Amount, wanted: Amount)
  case receiptTwice(UInt64)
  case settledTwice(String)
  case overpaid(client: String, owed: Amount, paid: Amount)
  case otherCurrency(found: String, wanted: String)
  case voucher(String)

  package var description: String {
    switch self {
    case .overflow(let what): "\(what) passes the largest amount, \(Amount.max)"
    case .badAmount(let text):
      "found '\(text.prefix(40))', wanted an amount such as 0.25 with at most 6 digits after the point"
    case .negative(let what): "\(what) is negative"
    case .noReservation(let job): "job \(Self.id(job)) has no reservation to post or void"
    case .reservedTwice(let job): "job \(Self.id(job)) has a reservation already"
    case .overReservation(let job, let reserved, let wanted):
      "job \(Self.id(job)) reserved \(reserved) and wants to post \(wanted)"
    case .receiptTwice(let index): "receipt \(index) is posted already"
    case .settledTwice(let reference): "a payment with the reference '\(reference)' is recorded already"
    case .overpaid(let client, let owed, let paid):
      "\(client) owes \(owed), a payment of \(paid) is more than that"
    case .otherCurrency(let found, let wanted):
      "the currency is '\(found)', this node keeps its books in '\(wanted)'"
    case .voucher(let problem): problem
    }
  }

  /// The first 8 of the 16 hexadecimal digits that name a job everywhere.
  private static func id(_ job: UInt64) -> String {
    let digits = String(job, radix: 16)
    return String((String(repeating: "0", count: 16 - digits.utf8.count) + digits).prefix(8))
  }
}

/// An amount of the node's currency in micro-units (millionths), negative only in corrections.
///
/// As text it has a point with 2 to 6 digits after it, without trailing zeros beyond the second:
/// `1.284`, `0.0214`, `3.00`.
package struct Amount: Hashable, Sendable, Comparable, CustomStringConvertible {
  package let micro: Int64

  package static let zero = Amount(micro: 0)
  package static let max = Amount(micro: .max)

  package init(micro: Int64) { self.micro = micro }

  /// An amount from its decimal text: digits, optionally followed by a point and 1 to 6 digits.
  package init(parsing text: String) throws(AccountingError) {
    var digits = Substring(text)
    let isNegative = digits.first == "-"
    if isNegative { digits = digits.dropFirst() }
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    guard let whole = parts.first, parts.count <= 2, Self.areDigits(whole) else { throw .badAmount(text) }
    var fraction = Substring("")
    if parts.count == 2 {
      fraction = parts[1]
      guard fraction.utf8.count <= 6, Self.areDigits(fraction) else { throw .badAmount(text) }
    }
    let padded = fraction + String(repeating: "0", count: 6 - fraction.utf8.count)
    guard let micro = Int64((isNegative ? "-" : "") + whole + padded) else {
      throw .overflow("'\(text.prefix(40))'")
    }
    self.micro = micro
  }

  private static func areDigits(_ text: Substring) -> Bool {
    (1...19).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  package var description: String {
    let magnitude = micro.magnitude
    let (whole, rest) = magnitude.quotientAndRemainder(dividingBy: 1_000_000)
    var fraction = String(rest)
    fraction = String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    while fraction.utf8.count > 2, fraction.hasSuffix("0") { fraction.removeLast() }
    return "\(micro < 0 ? "-" : "")\(whole).\(fraction)"
  }

  package static func < (a: Amount, b: Amount) -> Bool { a.micro < b.micro }

  package func adding(_ other: Amount) throws(AccountingError) -> Amount {
    let (sum, overflow) = micro.addingReportingOverflow(other.micro)
    guard !overflow else { throw .overflow("\(self) + \(other)") }
    return Amount(micro: sum)
  }

  package func subtracting(_ other: Amount) throws(AccountingError) -> Amount {
    let (difference, overflow) = micro.subtractingReportingOverflow(other.micro)
    guard !overflow else { throw .overflow("\(self) - \(other)") }
    return Amount(micro: difference)
  }
}

/// Tokens of one job. Cached prompt tokens are part of `prompt`.
package struct Usage: Hashable, Sendable {
  package let prompt: Int
  package let cached: Int
  package let completion: Int

  package init(prompt: Int, cached: Int, completion: Int) {
    self.prompt = Swift.max(0, prompt)
    self.cached = Swift.min(Swift.max(0, cached), self.prompt)
    self.completion = Swift.max(0, completion)
  }
}
