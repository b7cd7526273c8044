// NodeCards.swift: what everyone may know of the node, and clients of its model. Start at nodeCard.
import Control
import Intake
import JSON

extension HTTPEndpoint {
  func models(_ identity: Identity) -> Response {
    let list = model.serving.map { [modelCard($0, identity)] } ?? []
    return .json(JSONWriter.bytes(["object": "list", "data": .array(list)]))
  }

  func model(_ name: String, _ identity: Identity) -> Response {
    guard let serving = model.serving, serving.name == name else {
      return APIError(
        status: 404, type: .request, code: "model_not_found",
        message: "the model '\(name.prefix(200))' is not served here", parameter: "model"
      ).response
    }
    return .json(JSONWriter.bytes(modelCard(serving, identity)))
  }

  func health() -> Response {
    let (serving, why, closed) = runtime.state.withLock { ($0.servingState, $0.whyIdle, $0.closed) }
    let isUp =
      switch serving {
      case .serving, .paused: closed == nil
      case .noModel, .loading, .draining, .readOnly, .failed, .stopping: false
      }
    var members: [JSONValue.Member] = [
      (key: "status", value: .string(serving.rawValue)), (key: "admitting", value: .bool(isUp)),
    ]
    if let closed { members.append((key: "why_closed", value: .string("\(closed)"))) }
    if let why { members.append((key: "why_idle", value: .string(why))) }
    return .json(JSONWriter.bytes(.object(members)), status: isUp ? 200 : 503)
  }

  /// What everyone may know of this node: `GET /v1/node`.
  func nodeCard() -> Response {
    let (serving, facts) = runtime.state.withLock { ($0.servingState, $0.facts) }
    let card: JSONValue = [
      "object": "node", "name": .string(configuration.name), "version": .string(version),
      "status": .string(serving.rawValue), "demo": .bool(isDemo),
      "key": signing.notary.map { .string($0.key.text) } ?? .null,
      "key_fingerprint": signing.notary.map { .string($0.key.fingerprint) } ?? .null,
      "model": facts.map { .string($0.model) } ?? .null,
      "model_sha256": facts.map { .string($0.modelDigest.hex) } ?? .null,
      "numerics": facts.map { .string($0.profile) } ?? .null,
      "currency": .string(configuration.currency),
      "prices_per_million_tokens": .array(configuration.openPrices),
    ]
    return .json(JSONWriter.bytes(card))
  }
}
