// Vouchers.swift: `POST /v1/vouchers`, a client's signed promise to pay, and `GET /v1/vouchers`,
// its account. Not here: what a voucher is (Accounting), which are accepted (NodeState+Vouchers).
// Start at takeVoucher.
import Accounting
import Intake
import JSON

extension HTTPEndpoint {
  /// The body: `{"text": "hotpot voucher v1\n...", "signature": "-----BEGIN SSH SIGNATURE-----\n..."}`.
  func takeVoucher(_ call: Call, _ identity: Identity) {
    // Verifying starts a process, so never on the server's thread.
    inTurn(caller(identity), call) { [self] in
      call.respond(takeVoucher(call.request.body, identity))
    }
  }

  private func takeVoucher(_ body: [UInt8], _ identity: Identity) -> Response {
    let value: JSONValue
    do throws(JSONError) { value = try JSONText.parse(body) } catch {
      return APIError.invalid(
        nil, "the body is not the JSON that is wanted: \(error)", code: "invalid_json"
      ).response
    }
    guard let text = value["text"]?.string, let signature = value["signature"]?.string else {
      return APIError.invalid("text", "a voucher wants the texts 'text' and 'signature'").response
    }
    switch accounts.takeVoucher(text, signature: signature, from: identity.name) {
    case .success: return account(of: identity)
    case .failure(let error):
      return APIError.invalid("text", error.description, code: "voucher_refused").response
    }
  }

  /// What a client owes and has promised, and what it needs to write the next voucher.
  func account(of identity: Identity) -> Response {
    let (account, voucher) = runtime.state.withLock {
      ($0.ledger.account(of: identity.name), $0.vouchers.voucher(of: identity.name))
    }
    return .json(
      JSONWriter.bytes([
        "object": "account", "client": .string(identity.name),
        "node": signing.notary.map { .string($0.key.fingerprint) } ?? .null,
        "currency": .string(configuration.currency), "demo": .bool(isDemo),
        "vouchers": .string(configuration.vouchers.rawValue),
        "posted": .string(account.posted.description), "reserved": .string(account.reserved.description),
        "settled": .string(account.settled.description),
        "promised": voucher.map { .string($0.amount.description) } ?? .null,
      ]))
  }
}
