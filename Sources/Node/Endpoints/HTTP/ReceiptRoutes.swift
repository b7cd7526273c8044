// ReceiptRoutes.swift: a client's receipts with their proofs and bundles, and the log's checkpoints for
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
        return Self.unsigned
      }
      return .text(proof.text)
    }
  }

  /// A receipt of this client with all that proves it offline, as `hotpot receipts export` writes it.
  func bundle(_ id: String, _ identity: Identity) -> Response {
    switch logged(id, identity) {
    case .failure(let error): error.response
    case .success(let receipt): signing.bundle(of: receipt).map { .text($0.bundle.text) } ?? Self.unsigned
    }
  }

  private static var unsigned: Response {
    APIError.unavailable(
      "unsigned", "the receipt is logged and not yet under a signed checkpoint", retryAfter: 2
    ).response
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
    return .text(current.text)
  }

  /// The newest checkpoint that a witness cosigned, as a note with its lines; or the newest one, with
  /// this node's line alone. Signing takes a process's time, so not on the loop.
  func note(_ call: Call) {
    signing.inlineQueue.async { [signing] in
      let none = APIError.unavailable("unsigned", "there is no checkpoint as a note yet", retryAfter: 2)
      do throws(SignatureError) {
        var note = signing.notary?.cosignedNote
        if note == nil { note = try signing.notary?.note() }
        call.respond(note.map { .text($0.whole) } ?? none.response)
      } catch {
        call.respond(APIError.unavailable("unsigned", "\(error)", retryAfter: 10).response)
      }
    }
  }

  /// C2SP's tlog-witness, for the logs that the configuration names.
  func addCheckpoint(_ call: Call) {
    guard witnessing.isWitness else {
      return call.respond(APIError.notFound("this node cosigns no log").response)
    }
    guard call.request.body.count <= AddCheckpoint.maximumBytes else {
      return call.respond(Response(status: 413, contentType: "text/plain; charset=utf-8"))
    }
    witnessing.add(call.request.body) { call.respond($0) }
  }

  /// A file of what the node publishes, if the configuration lets it be read here. A note may have to
  /// be signed first, so not on the loop.
  func published(_ call: Call) {
    let path = call.request.head.path
    let absent = APIError.notFound("there is nothing at '\(path.prefix(200))'").response
    guard configuration.publish.isOpen else { return call.respond(absent) }
    signing.inlineQueue.async { [publication] in
      do throws(AdministrationError) {
        guard let file = try publication.file(String(path.dropFirst())) else {
          return call.respond(absent)
        }
        call.respond(Response(status: 200, contentType: file.type, body: file.bytes))
      } catch {
        call.respond(APIError.unavailable("unpublished", "\(error)", retryAfter: 10).response)
      }
    }
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
