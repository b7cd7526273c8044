// PayAhead.swift: a payment by a client before it owes.
import Control

package struct PayAhead: Verb {
  package static let word = "deposit"
  package static let right = Role.owner

  let client: String
  let amount: String
  let reference: String

  package init(client: String, amount: String, reference: String) {
    self.client = client
    self.amount = amount
    self.reference = reference
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(
      tag: tag, words: try desk.accounts.deposit(client, amount, reference, by: desk.who).get())
  }
}
