// AddClient.swift: a new client. Its token is shown once.
import Control

package struct AddClient: Verb {
  package static let word = "addClient"
  package static let right = Role.owner

  let name: String

  package init(name: String) {
    self.name = name
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .token(tag: tag, name: name, token: try desk.accounts.addClient(name, by: desk.who).get())
  }
}
