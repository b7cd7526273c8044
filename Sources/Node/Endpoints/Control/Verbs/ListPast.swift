// ListPast.swift: jobs that ended, from the journal.
import Control

package struct ListPast: Verb {
  package static let word = "past"
  package static let right = Role.viewer
  /// It reads segments of the journal, which must not hold up other peers.
  package static let usesThread = true

  let query: PastQuery

  package init(query: PastQuery) {
    self.query = query
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .past(tag: tag, try desk.receipts.past(query))
  }
}
