// OfflineBooks.swift: clients and books of a state directory that no node is using: the same acts,
// with the same records in the same journal, under the same lock. Whatever needs an engine or a
// socket is in NodeService. Start at init and answer.
import Control
import Foundation
import Receipts

/// A node that serves nobody. Made for one command, and closed afterwards.
package final class OfflineBooks: Sendable {
  private let node: NodeService

  /// Takes the state directory's lock and opens its journal, to which nothing is written before the
  /// first record.
  /// - Throws: like a node's start; no command opens a damaged journal.
  package init(_ options: NodeOptions) throws(NodeStartError) {
    node = try NodeService(options)
    if let damage = node.damage { throw .journal(.readOnly(damage)) }
  }

  /// Closes the journal; the lock is released with this value.
  package func close() { node.runtime.journal.close() }

  package func snapshot() -> NodeSnapshot { node.snapshot() }

  /// The answer that a node would give its owner.
  package func answer(_ verb: some Verb, by name: String) -> ControlReply {
    let request = VerbRequest(tag: 1, verb)
    guard type(of: verb).isOffline else {
      return .refused(tag: 1, reason: "that wants a node that runs; 'hotpot serve' starts one")
    }
    if type(of: verb).usesKey {
      do throws(NodeStartError) { try node.makeKey() } catch { return .refused(tag: 1, reason: "\(error)") }
    }
    return request.answer(
      VerbDesk(
        accounts: node.accounts, signing: node.signing, receipts: node.receipts,
        publication: node.publication, who: Operator(name), role: .owner))
  }
}
