// APIError.swift: OpenAI's error object, and the one table that maps refusals to it.
// Why something is refused is in Refusal. Start at init(_:in:).
// Source: OpenAI API reference, error codes.
import Accounting
import Intake
import JSON
import Scheduling

/// A request that is refused, in OpenAI's terms.
package struct APIError: Error, Sendable, Equatable, CustomStringConvertible {
  package var status: Int
  /// OpenAI's `type`.
  package var type: Kind
  /// Stable, for programs.
  package var code: String
  /// Lower case, no full stop: what was found and what was expected.
  package var message: String
  /// The field at fault.
  package var parameter: String?
  /// Seconds after which a retry is worthwhile.
  package var retryAfter: Int?

  package enum Kind: String, Sendable {
    case request = "invalid_request_error"
    case authentication = "authentication_error"
    case permission = "permission_error"
    case rateLimit = "rate_limit_error"
    case timeout = "timeout_error"
    case server = "server_error"
  }

  package var description: String { message }

  static func invalid(_ parameter: String?, _ message: String, code: String = "invalid_value") -> APIError {
    APIError(status: 400, type: .request, code: code, message: message, parameter: parameter)
  }

  static func notFound(_ what: String) -> APIError {
    APIError(status: 404, type: .request, code: "not_found", message: what)
  }

  static func unavailable(_ code: String, _ message: String, retryAfter: Int?) -> APIError {
    APIError(status: 503, type: .server, code: code, message: message, retryAfter: retryAfter)
  }
}

extension APIError {
  /// An endpoint's names for the two fields that a refusal may be about.
  package struct FieldNames: Sendable {
    package let prompt: String
    package let outputLimit: String
  }

  /// The table. The words are the refusal's own.
  package init(_ refusal: Refusal, in names: FieldNames) {
    func row(
      _ status: Int, _ type: Kind, _ code: String, _ parameter: String? = nil, retryAfter: Int? = nil
    ) -> APIError {
      APIError(
        status: status, type: type, code: code, message: "\(refusal)", parameter: parameter,
        retryAfter: retryAfter)
    }
    self =
      switch refusal {
      case .unidentified(.missingToken): row(401, .authentication, "missing_token")
      case .unidentified(.wrongToken): row(401, .authentication, "invalid_token")
      case .unidentified(.revoked): row(401, .authentication, "revoked_token")
      case .request(.syntax, let field, _): row(400, .request, "invalid_json", field)
      case .request(.value, let field, _): row(400, .request, "invalid_value", field)
      case .request(.unsupported, let field, _): row(400, .request, "unsupported_parameter", field)
      case .modelNotServed: row(404, .request, "model_not_found", "model")
      case .emptyPrompt, .unknownToken: row(400, .request, "invalid_value", "prompt")
      case .promptTooLong: row(400, .request, "context_length_exceeded", names.prompt)
      case .outputTooLong: row(400, .request, "context_length_exceeded", names.outputLimit)
      case .noChatTemplate: row(400, .request, "no_chat_template", "messages")
      case .templateRefused: row(400, .request, "invalid_value", "messages")
      case .sampling(let error): row(400, .request, "invalid_value", error.field)
      case .noModel: row(503, .server, "no_model")
      case .loading: row(503, .server, "loading", retryAfter: 2)
      case .engineFailed: row(503, .server, "engine_failed")
      case .stopping: row(503, .server, "stopping")
      case .journalFailed: row(503, .server, "read_only")
      case .diskFull: row(503, .server, "disk_full", retryAfter: 60)
      case .overLimit: row(503, .server, "over_limit", retryAfter: 30)
      case .auditFailed: row(503, .server, "audit_failed")
      case .unread: row(429, .rateLimit, "overloaded", retryAfter: 2)
      case .answersFull: row(429, .rateLimit, "answers_full", retryAfter: 30)
      case .spoolFull: row(429, .rateLimit, "spool_full", retryAfter: 60)
      case .spoolFailed: row(503, .server, "spool", retryAfter: 60)
      case .queue(.policy), .rejected: row(403, .permission, "rejected")
      case .queue(.queueFull(_, let wait)), .queue(.approvalsFull(_, let wait)),
        .queue(.strangersFull(_, let wait)), .queue(.tokensFull(_, let wait)),
        .queue(.clientFull(_, let wait)):
        row(429, .rateLimit, "queue_full", retryAfter: max(1, Int((wait + 999_999) / 1_000_000)))
      case .sharedQueueFull: row(429, .rateLimit, "queue_full", retryAfter: 5)
      case .sharedQueue: row(503, .server, "shared_queue", retryAfter: 5)
      case .queue(.tooLong): row(400, .request, "context_length_exceeded", "messages")
      case .queue(.draining): row(503, .server, "draining")
      case .queue(.duplicate), .queue(.invalid), .unreserved: row(400, .request, "invalid_value")
      case .priorityForbidden: row(403, .permission, "priority_forbidden", "hotpot.priority")
      case .clientLimit(let limit) where limit.isTemporary:
        row(429, .rateLimit, "client_limit", retryAfter: 10)
      case .clientLimit: row(403, .permission, "client_forbidden")
      case .voucherRequired: row(402, .permission, "voucher_required")
      case .unpriced, .tooExpensive: row(400, .request, "invalid_value", "max_tokens")
      case .notTaken: row(503, .server, "refused", retryAfter: 30)
      case .undecided: row(408, .timeout, "expired", retryAfter: 60)
      case .timeLimit: row(408, .timeout, "expired")
      case .cancelled(by: .client): row(409, .request, "cancelled")
      case .cancelled(by: .operator): row(403, .permission, "cancelled")
      case .cancelled(by: .shutdown): row(503, .server, "interrupted", retryAfter: 30)
      case .failed: row(500, .server, "failed")
      case .interrupted: row(503, .server, "interrupted")
      case .answerLost: row(500, .server, "answer_lost")
      }
  }

  /// For requests without a dialect yet, which have neither a prompt nor a limit.
  package init(_ refusal: Refusal) {
    self.init(refusal, in: FieldNames(prompt: "prompt", outputLimit: "max_tokens"))
  }

  /// OpenAI's error object; it includes `status`, because a stream's status line has already been
  /// sent.
  var json: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(type.rawValue),
        "param": parameter.map { .string($0) } ?? .null, "code": .string(code), "status": JSONValue(status),
      ]
    ]
  }

  var response: Response {
    var response = Response.json(JSONWriter.bytes(json), status: status)
    // RFC 9110, 15.5.2: a 401 names the required scheme.
    if status == 401 { response = response.with("WWW-Authenticate", "Bearer realm=\"hotpot\"") }
    return retryAfter.map { response.with("Retry-After", String($0)) } ?? response
  }
}
