// ReceiptRoutes.swift: a client's receipts with their proofs, and the log's checkpoints for
// everyone. Start at receipt.
import Intake
import Receipts

extension HTTPEndpoint {
  func receipt(_ id: String, _ identity: Identity) -> Response {
    switch logged(id, identity) {
    case .failure(let error): error.response
    case .success(let receipt):
      Response(status: 200, contentType: "application/json", body: receipt.line)
        .with("Hotpot-Receipt-Status", "\(receipt.status.seal)")
    }
  }

  func proof(_ id: String, _ identity: Identity) -> Response {
    switch logged(id, identity) {
    case .failure(let error): return error.response
    case .success(let receipt):
      guard let current = signing.notary?.current, current.checkpoint.size > receipt.receipt.index,
        let proof = runtime.journal.proof(of: receipt.receipt.index, under: current.checkpoint)
      else {
        return APIError.unavailable(
          "unsigned", "the receipt is logged and not yet under a signed checkpoint", retryAfter: 2
        ).response
      }
      return .text(proof.text)
    }
  }

  /// The newest signed checkpoint. With `from=SIZE` it is the proof that its log continues the one
  /// of that size; with `to=SIZE` too, the same proof for an earlier state of it.
  func checkpoint(_ query: String?) -> Response {
    guard let current = signing.notary?.current else {
      return APIError.unavailable("unsigned", "no checkpoint has been signed yet", retryAfter: 2).response
    }
    if let query {
      let parts = query.split(separator: "&", maxSplits: 1, omittingEmptySubsequences: false)
      let to =
        parts.count == 1
        ? current.checkpoint.size : parts[1].hasPrefix("to=") ? Int(parts[1].dropFirst(3)) : nil
      guard parts[0].hasPrefix("from="), let from = Int(parts[0].dropFirst(5)), let to, from >= 0, from <= to,
        to <= current.checkpoint.size, let proof = runtime.journal.consistency(from: from, to: to)
      else {
        return APIError.invalid(
          "from",
          "the query is '\(query.prefix(40))', wanted from=SIZE or from=SIZE&to=SIZE with sizes of 0 to \(current.checkpoint.size)"
        ).response
      }
      return .text(proof.text)
    }
    return .text(current.checkpoint.text + "\n" + current.signature)
  }

  /// A receipt of this client.
  private func logged(_ id: String, _ identity: Identity) -> Result<LoggedReceipt, APIError> {
    let absent = APIError.notFound("no receipt of yours has the id '\(id.prefix(40))'")
    guard let index = runtime.journal.read({ $0.indexes(idPrefix: id, limit: 1).first }), id.utf8.count == 16
    else {
      return .failure(absent)
    }
    do throws(JournalError) {
      let receipt = try runtime.journal.receipt(at: index)
      return receipt.receipt.client == identity.name ? .success(receipt) : .failure(absent)
    } catch {
      return .failure(.unavailable("journal", "\(error)", retryAfter: nil))
    }
  }
}
