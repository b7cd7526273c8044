// Voucher.swift: a client's cumulative promise to pay, as text that it signs with its SSH key.
// Stock ssh-keygen, which callers run, checks the signature (namespace voucher@hotpot). Start at
// Voucher.

/// "I owe node N up to X". It is cumulative, so only the highest one is needed.
///
/// The text that is signed, five lines each ending in a newline:
/// ```
/// hotpot voucher v1
/// node SHA256:2Oq0…
/// client aria-research
/// owes 12.50 EUR
/// time 1764000000000000
/// ```
/// `node` is the fingerprint of the node's key, `time` microseconds since 1970.
package struct Voucher: Sendable, Equatable {
  package let node: String
  package let client: String
  package let amount: Amount
  package let currency: String
  package let time: Int64

  package static let namespace = "voucher@hotpot"

  package init(node: String, client: String, amount: Amount, currency: String, time: Int64) {
    self.node = node
    self.client = client
    self.amount = amount
    self.currency = currency
    self.time = time
  }

  package var text: String {
    """
    hotpot voucher v1
    node \(node)
    client \(client)
    owes \(amount) \(currency)
    time \(time)

    """
  }

  /// Accepts exactly what `text` produces, and nothing else.
  package init(parsing text: String) throws(AccountingError) {
    guard text.utf8.count <= 1024 else { throw .voucher("the voucher is longer than 1,024 bytes") }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 6, lines[5].isEmpty, lines[0] == "hotpot voucher v1" else {
      throw .voucher("found no voucher, wanted 'hotpot voucher v1' and the lines node, client, owes, time")
    }
    func value(_ line: Int, _ name: String) throws(AccountingError) -> Substring {
      guard lines[line].hasPrefix(name + " ") else {
        throw .voucher("line \(line + 1) of the voucher is '\(lines[line].prefix(40))', wanted '\(name) ...'")
      }
      return lines[line].dropFirst(name.count + 1)
    }
    node = String(try value(1, "node"))
    client = String(try value(2, "client"))
    let owes = try value(3, "owes").split(separator: " ", omittingEmptySubsequences: false)
    guard owes.count == 2 else { throw .voucher("line 4 of the voucher wants an amount and a currency") }
    amount = try Amount(parsing: String(owes[0]))
    currency = String(owes[1])
    guard let time = Int64(try value(4, "time")) else {
      throw .voucher("line 5 of the voucher wants a time in microseconds")
    }
    self.time = time
    guard self.text == text else { throw .voucher("the voucher is not in its canonical form:\n\(self.text)") }
  }
}

/// The highest valid voucher of each client.
package struct VoucherBook: Sendable {
  private var best: [String: Voucher] = [:]

  package init() {}

  package func voucher(of client: String) -> Voucher? { best[client] }

  /// Accepts a voucher whose signature the caller has checked against the client's key. Refuses one
  /// for another node or client, in another currency, not above the last one, or dated before it.
  package mutating func accept(
    _ voucher: Voucher, node: String, client: String, currency: String
  ) throws(AccountingError) {
    guard voucher.node == node else {
      throw .voucher("the voucher is for node \(voucher.node), this is \(node)")
    }
    guard voucher.client == client else {
      throw .voucher("the voucher is signed for client '\(voucher.client)', it came from '\(client)'")
    }
    guard voucher.currency == currency else {
      throw .otherCurrency(found: voucher.currency, wanted: currency)
    }
    guard voucher.amount > .zero else { throw .negative("the voucher's amount") }
    if let last = best[client] {
      guard voucher.amount > last.amount else {
        throw .voucher(
          "the voucher says \(voucher.amount), the last one already said \(last.amount); vouchers only grow")
      }
      guard voucher.time >= last.time else { throw .voucher("the voucher is older than the last one") }
    }
    best[client] = voucher
  }

  /// Whether a client's promise covers its debt, its reservations and this job.
  package func covers(_ price: Amount, account: Account, client: String) -> Bool {
    guard let voucher = best[client],
      let owed = try? account.posted.adding(account.reserved).adding(price)  // An overflow is not covered.
    else { return false }
    return owed <= voucher.amount
  }
}
