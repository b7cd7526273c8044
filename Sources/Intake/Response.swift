// Response.swift: a handler's answer, and its bytes on the wire. The loop decides Connection,
// Content-Length, Transfer-Encoding and Date: a handler's own values are ignored.

/// A status, fields and a complete body.
public struct Response: Sendable {
  public var status: Int
  public private(set) var fields: [(name: String, value: String)]
  public var body: [UInt8]
  /// Whether the connection is closed after this response, whatever the client requested.
  public var closes = false

  public init(status: Int, contentType: String? = nil, body: [UInt8] = []) {
    self.status = status
    self.body = body
    fields = contentType.map { [("Content-Type", $0)] } ?? []
  }

  public static func json(_ body: [UInt8], status: Int = 200) -> Response {
    Response(status: status, contentType: "application/json", body: body)
  }

  public static func text(_ text: String, status: Int = 200) -> Response {
    Response(status: status, contentType: "text/plain; charset=utf-8", body: Array(text.utf8))
  }

  /// Adds a field. Control bytes in the value become spaces, so that no text can inject another
  /// field.
  public func with(_ name: String, _ value: String) -> Response {
    var copy = self
    copy.fields.append((name, value))
    return copy
  }
}

/// How the end of a response body is marked.
enum ResponseFraming {
  case length(Int)
  case chunked
  case untilClose
}

/// The bytes of a status line and fields.
struct ResponseHead {
  var status: Int
  var fields: [(name: String, value: String)]
  var framing: ResponseFraming
  var minorVersion: Int
  var keepsAlive: Bool
  var date: String

  /// Decided by the loop, because by RFC 9112 wrong values would allow response smuggling.
  private static let reserved = ["connection", "content-length", "date", "keep-alive", "transfer-encoding"]

  func write(to output: inout OutputBuffer) {
    let code = (100...999).contains(status) ? status : 500
    var text = "HTTP/1.1 \(code) \(reasonPhrase(code))\r\nDate: \(date)\r\n"
    var mayCache = false
    for field in fields {
      let name = field.name.lowercased()
      guard !name.isEmpty, name.utf8.allSatisfy(ByteSet.token.contains), !Self.reserved.contains(name) else {
        continue
      }
      if name == "cache-control" { mayCache = true }
      text += field.name + ": " + cleaned(field.value) + "\r\n"
    }
    if !mayCache { text += "Cache-Control: no-store\r\n" }
    text += "X-Content-Type-Options: nosniff\r\n"
    switch framing {
    case .length(let count):
      // RFC 9110, 8.6: no Content-Length with 1xx and 204.
      if code >= 200, code != 204 { text += "Content-Length: \(count)\r\n" }
    case .chunked: text += "Transfer-Encoding: chunked\r\n"
    case .untilClose: break
    }
    if !keepsAlive {
      text += "Connection: close\r\n"
    } else if minorVersion == 0 {
      text += "Connection: keep-alive\r\n"
    }
    output.append(Array((text + "\r\n").utf8))
  }

  private func cleaned(_ value: String) -> String {
    guard value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return value }
    return String(decoding: value.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
  }
}

/// The phrase of RFC 9110, 15, for the statuses in use here.
func reasonPhrase(_ status: Int) -> String {
  switch status {
  case 100: "Continue"
  case 200: "OK"
  case 201: "Created"
  case 202: "Accepted"
  case 204: "No Content"
  case 304: "Not Modified"
  case 400: "Bad Request"
  case 401: "Unauthorized"
  case 402: "Payment Required"
  case 403: "Forbidden"
  case 404: "Not Found"
  case 405: "Method Not Allowed"
  case 406: "Not Acceptable"
  case 408: "Request Timeout"
  case 409: "Conflict"
  case 410: "Gone"
  case 413: "Content Too Large"
  case 414: "URI Too Long"
  case 415: "Unsupported Media Type"
  case 417: "Expectation Failed"
  case 421: "Misdirected Request"
  case 422: "Unprocessable Content"
  case 429: "Too Many Requests"
  case 431: "Request Header Fields Too Large"
  case 500: "Internal Server Error"
  case 501: "Not Implemented"
  case 503: "Service Unavailable"
  case 504: "Gateway Timeout"
  case 505: "HTTP Version Not Supported"
  default: "Status"
  }
}

/// Whether a response of that status never has a body.
func hasNoBody(_ status: Int) -> Bool { status == 204 || status == 304 || status < 200 }
