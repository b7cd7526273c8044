// RequestRefusal.swift: why a request was refused, as a status, a stable code and a sentence. Not
// here: how the refusal is written as a response (Server.swift). Start at the factories.

/// A request that this server refuses, and the HTTP status of the refusal.
///
/// `code` is stable and meant for programs; `message` is for people: lower case, what was found and
/// what was wanted. After a refusal the connection is answered and closed, because the framing of
/// what follows can't be trusted. Source: RFC 9112 for 400, 408, 414, 431, 501 and 505; RFC 9110
/// for 413, 417, 421 and 503.
public struct RequestRefusal: Error, Sendable, Equatable {
  public let status: Int
  public let code: String
  public let message: String

  public init(status: Int, code: String, message: String) {
    self.status = status
    self.code = code
    self.message = message
  }
}

extension RequestRefusal {
  static func bad(_ code: String, _ message: String) -> RequestRefusal {
    RequestRefusal(status: 400, code: code, message: message)
  }

  static let bareCarriageReturn = bad("bare_cr", "a CR without its LF; lines end in CRLF")
  static let bareLineFeed = bad("bare_lf", "a LF without its CR; lines end in CRLF")
  static func controlByte(_ byte: UInt8) -> RequestRefusal {
    bad("control_byte", "byte \(byte) has no place in a request line or a field")
  }
  static func requestLine(_ detail: String) -> RequestRefusal {
    bad("bad_request_line", "\(detail); wanted 'METHOD target HTTP/1.1' with single spaces")
  }
  static func target(_ detail: String) -> RequestRefusal { bad("bad_target", "request target: \(detail)") }
  static func targetTooLong(_ limit: Int) -> RequestRefusal {
    RequestRefusal(
      status: 414, code: "target_too_long", message: "the request line is longer than \(limit) bytes")
  }
  static func version(_ found: String) -> RequestRefusal {
    RequestRefusal(
      status: 505, code: "version_not_supported", message: "HTTP version \(found); wanted 1.0 or 1.1")
  }
  static func method(_ found: String) -> RequestRefusal {
    RequestRefusal(status: 501, code: "method_not_implemented", message: "method '\(found)' is unknown here")
  }
  static let fieldName = bad("bad_field_name", "a field name is empty or has a byte that no token has")
  static let spaceBeforeColon = bad("space_before_colon", "whitespace between a field name and its colon")
  static let foldedField = bad(
    "folded_field", "a line that begins with whitespace: folded fields are refused")
  static let fieldWithoutColon = bad("bad_field", "a field line without a colon")
  static func tooManyFields(_ limit: Int) -> RequestRefusal {
    RequestRefusal(status: 431, code: "too_many_fields", message: "more than \(limit) header fields")
  }
  static func fieldsTooLarge(_ limit: Int) -> RequestRefusal {
    RequestRefusal(
      status: 431, code: "fields_too_large", message: "the header fields are longer than \(limit) bytes")
  }
  static let hostMissing = bad("host_missing", "no Host field; HTTP/1.1 wants exactly one")
  static let hostRepeated = bad("host_repeated", "more than one Host field")
  static let hostInvalid = bad("host_invalid", "the host is not a name or address with an optional port")
  static func hostNotServed(_ host: String) -> RequestRefusal {
    RequestRefusal(
      status: 421, code: "host_not_served", message: "host '\(host)' is not one that this server answers for")
  }
  static let originRefused = RequestRefusal(
    status: 403, code: "origin_refused", message: "requests from web pages (with an Origin field) are refused"
  )
  static let lengthRepeated = bad("length_repeated", "more than one Content-Length")
  static let lengthInvalid = bad("length_invalid", "Content-Length is not a decimal number")
  static let lengthAndEncoding = bad(
    "length_and_encoding", "both Content-Length and Transfer-Encoding; either one frames a body")
  static let encodingInOldVersion = bad("encoding_in_1_0", "Transfer-Encoding in an HTTP/1.0 request")
  static let encodingInvalid = bad("encoding_invalid", "Transfer-Encoding does not end in one 'chunked'")
  static let encodingUnknown = RequestRefusal(
    status: 501, code: "encoding_not_implemented",
    message: "a Transfer-Encoding besides 'chunked' is not implemented")
  static func bodyTooLarge(_ limit: Int) -> RequestRefusal {
    RequestRefusal(status: 413, code: "body_too_large", message: "the body is longer than \(limit) bytes")
  }
  static func chunk(_ detail: String) -> RequestRefusal { bad("bad_chunk", "chunked body: \(detail)") }
  static func chunkExtensionsTooLarge(_ limit: Int) -> RequestRefusal {
    bad("chunk_extensions_too_large", "the chunk sizes and extensions are longer than \(limit) bytes")
  }
  static let expectation = RequestRefusal(
    status: 417, code: "expectation_failed", message: "an Expect field other than '100-continue'")
  static let headTimeout = RequestRefusal(
    status: 408, code: "head_timeout", message: "the request head did not arrive in time")
  static let bodyTimeout = RequestRefusal(
    status: 408, code: "body_timeout", message: "the request body did not arrive in time")
  static let tooManyConnections = RequestRefusal(
    status: 503, code: "too_many_connections", message: "as many connections as allowed are open")
  static let bodiesTooLarge = RequestRefusal(
    status: 503, code: "bodies_too_large", message: "the request bodies being received fill their memory")
  static let unanswered = RequestRefusal(
    status: 500, code: "unanswered", message: "the request was dropped without an answer")
}
