// LimitClient.swift: the older request for a budget alone.
import Control

package struct LimitClient: Verb {
  package static let word = "limitClient"
  package static let right = Role.owner
  package static let limitsRights = true

  let name: String
  /// An empty text lifts it; nil leaves it.
  let budget: String?

  package init(name: String, budget: String? = nil) {
    self.name = name
    self.budget = budget
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(
      tag: tag, words: try desk.accounts.limitClient(name, budget: budget, by: desk.who).get())
  }
}
