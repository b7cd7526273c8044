// ListClients.swift: the clients with their limits and sums.
import Control

package struct ListClients: Verb {
  package static let word = "clients"
  package static let right = Role.viewer

  package init() {}

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .clients(tag: tag, desk.accounts.clientRows())
  }
}
