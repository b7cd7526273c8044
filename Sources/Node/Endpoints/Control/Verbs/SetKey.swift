// SetKey.swift: the SSH key that a client signs vouchers with.
import Control

package struct SetKey: Verb {
  package static let word = "setKey"
  package static let right = Role.owner

  let name: String
  /// The text of a `.pub` file; empty takes the key away.
  let key: String

  package init(name: String, key: String) {
    self.name = name
    self.key = key
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(tag: tag, words: try desk.accounts.setKey(name, key, by: desk.who).get())
  }
}
