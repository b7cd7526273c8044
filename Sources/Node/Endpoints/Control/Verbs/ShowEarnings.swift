// ShowEarnings.swift: sums by day, client and model.
import Control

package struct ShowEarnings: Verb {
  package static let word = "earnings"
  package static let right = Role.viewer

  /// A day such as `2026-11-23`.
  let since: String?

  package init(since: String? = nil) {
    self.since = since
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .earnings(tag: tag, table: try desk.accounts.earningsTable(since: since).get())
  }
}
