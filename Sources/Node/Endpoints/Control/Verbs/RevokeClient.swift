// RevokeClient.swift: a client that may ask no more.
import Control

package struct RevokeClient: Verb {
  package static let word = "revokeClient"
  package static let right = Role.owner

  let name: String

  package init(name: String) {
    self.name = name
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    try desk.accounts.revokeClient(name, by: desk.who).get()
    return .done(tag: tag, words: "revoked \(name)")
  }
}
