// MakeStatement.swift: what a client owes, signed.
import Control

package struct MakeStatement: Verb {
  package static let word = "statement"
  package static let right = Role.owner
  package static let usesKey = true

  let client: String
  /// Both days are included.
  let since: String?
  let until: String?
  let form: StatementForm

  package init(client: String, since: String? = nil, until: String? = nil, form: StatementForm) {
    self.client = client
    self.since = since
    self.until = until
    self.form = form
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    let made = try desk.accounts.statement(
      of: client, since: since, until: until, form: form, by: desk.who
    ).get()
    return .statement(tag: tag, text: made.text, signature: made.signature)
  }
}
