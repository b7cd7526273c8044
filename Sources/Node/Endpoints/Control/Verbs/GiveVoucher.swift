// GiveVoucher.swift: a voucher that a client handed over by other means than HTTP.
import Accounting
import Control

package struct GiveVoucher: Verb {
  package static let word = "voucher"
  package static let right = Role.owner
  package static let usesKey = true

  let client: String
  let text: String
  let signature: String

  package init(client: String, text: String, signature: String) {
    self.client = client
    self.text = text
    self.signature = signature
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    let voucher = try desk.accounts.takeVoucher(text, signature: signature, from: client).get()
    return .done(
      tag: tag, words: "\(voucher.client) promised \(voucher.amount) \(voucher.currency) in all")
  }
}
