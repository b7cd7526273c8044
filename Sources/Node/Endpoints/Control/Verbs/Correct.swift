// Correct.swift: a transfer that changes what a client owes.
import Control

package struct Correct: Verb {
  package static let word = "correct"
  package static let right = Role.owner

  let client: String
  /// Negative gives back.
  let amount: String
  let reason: String

  package init(client: String, amount: String, reason: String) {
    self.client = client
    self.amount = amount
    self.reason = reason
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(tag: tag, words: try desk.accounts.correct(client, amount, reason, by: desk.who).get())
  }
}
