// SetLimits.swift: a client's limits.
import Control

package struct SetLimits: Verb {
  package static let word = "setLimits"
  package static let right = Role.owner
  package static let limitsRights = true

  let name: String
  let changes: LimitChanges

  package init(name: String, changes: LimitChanges) {
    self.name = name
    self.changes = changes
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(tag: tag, words: try desk.accounts.setLimits(name, changes, by: desk.who).get())
  }
}
