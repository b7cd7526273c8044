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
  package func answer(_ request: ControlRequest, by name: String) -> ControlReply {
    let who = Operator(name)
    func reply<Value>(
      _ tag: UInt64, _ result: Result<Value, AdministrationError>, _ words: (Value) -> ControlReply
    ) -> ControlReply {
      switch result {
      case .success(let value): words(value)
      case .failure(let error): .refused(tag: tag, reason: error.description)
      }
    }
    func done(_ tag: UInt64) -> (String) -> ControlReply { { .done(tag: tag, words: $0) } }
    switch request {
    case .clients(let tag): return .clients(tag: tag, node.accounts.clientRows())
    case .addClient(let tag, let name):
      return reply(tag, node.accounts.addClient(name, by: who)) { .token(tag: tag, name: name, token: $0) }
    case .revokeClient(let tag, let name):
      return reply(tag, node.accounts.revokeClient(name, by: who)) {
        .done(tag: tag, words: "revoked \(name)")
      }
    case .limitClient(let tag, let name, let budget):
      return reply(tag, node.accounts.limitClient(name, budget: budget, by: who), done(tag))
    case .setLimits(let tag, let name, let changes):
      return reply(tag, node.accounts.setLimits(name, changes, by: who), done(tag))
    case .setKey(let tag, let name, let key):
      return reply(tag, node.accounts.setKey(name, key, by: who), done(tag))
    case .settle(let tag, let client, let amount, let reference):
      return reply(tag, node.accounts.settle(client, amount, reference, by: who), done(tag))
    case .correct(let tag, let client, let amount, let reason):
      return reply(tag, node.accounts.correct(client, amount, reason, by: who), done(tag))
    case .earnings(let tag, let since):
      return reply(tag, node.accounts.earningsTable(since: since)) { .earnings(tag: tag, table: $0) }
    case .statement(let tag, let client, let since, let until, let form):
      do throws(NodeStartError) { try node.makeKey() } catch {
        return .refused(tag: tag, reason: "\(error)")
      }
      return reply(tag, node.accounts.statement(of: client, since: since, until: until, form: form, by: who))
      {
        .statement(tag: tag, text: $0.text, signature: $0.signature)
      }
    case .voucher(let tag, let client, let text, let signature):
      do throws(NodeStartError) { try node.makeKey() } catch {
        return .refused(tag: tag, reason: "\(error)")
      }
      return reply(tag, node.accounts.takeVoucher(text, signature: signature, from: client)) {
        .done(tag: tag, words: "\($0.client) promised \($0.amount) \($0.currency) in all")
      }
    case .exportVoucher(let tag, let client):
      return reply(tag, node.accounts.voucherProof(of: client)) {
        .voucher(tag: tag, text: $0.text, signature: $0.signature, key: $0.key)
      }
    case let other:
      return .refused(tag: other.tag, reason: "that wants a node that runs; 'hotpot serve' starts one")
    }
  }
}
