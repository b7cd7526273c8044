// RequestHead.swift: a request line and its fields, after they were checked.

/// The methods that this server implements. Others are refused with 501.
public enum Method: String, Sendable, CaseIterable {
  case get = "GET"
  case head = "HEAD"
  case post = "POST"
  case put = "PUT"
  case patch = "PATCH"
  case delete = "DELETE"
  case options = "OPTIONS"
}

/// How the length of a request body is determined.
public enum BodyFraming: Sendable, Equatable {
  case none
  case length(Int)
  case chunked
}

/// The head of one request.
public struct RequestHead: Sendable, Equatable {
  public let method: Method
  /// The path as sent, percent-encoding included; it begins with "/", or is "*" for `OPTIONS *`.
  public let path: String
  /// The part after the first "?", as sent; nil if there is none.
  public let query: String?
  /// The host and port that the request names, from an absolute-form target or otherwise from the
  /// Host field. nil only for an HTTP/1.0 request without a Host field.
  public let authority: String?
  /// The minor version: 0 or 1.
  public let minorVersion: Int
  public let fields: HeaderFields
  public let framing: BodyFraming
  /// Whether the client allows the connection to be reused.
  public let keepsAlive: Bool
  /// Whether the client waits for `100 Continue` before it sends the body.
  public let expectsContinue: Bool
}

/// A complete request.
public struct Request: Sendable {
  public let head: RequestHead
  /// The body without its chunked framing; empty if there is none.
  public let body: [UInt8]
  public let peer: Peer

  package init(head: RequestHead, body: [UInt8], peer: Peer) {
    self.head = head
    self.body = body
    self.peer = peer
  }

  /// Whether the Content-Type is `application/json`, with or without parameters such as a charset
  /// of UTF-8.
  public var isJSON: Bool { head.isJSON }
}

extension RequestHead {
  /// Whether the Content-Type is `application/json`; a charset parameter other than UTF-8 is not.
  public var isJSON: Bool {
    guard fields.count(of: "content-type") == 1, let type = fields.firstBytes("content-type") else {
      return false
    }
    let parts = type.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false).map { trimmed($0) }
    guard let media = parts.first, equalIgnoringCase(media, "application/json".utf8) else { return false }
    return parts.dropFirst().allSatisfy { part in
      let isCharset = equalIgnoringCase(part.prefix(8), "charset=".utf8)
      guard isCharset else { return true }
      let name = part.dropFirst(8)
      return equalIgnoringCase(name, "utf-8".utf8) || equalIgnoringCase(name, "\"utf-8\"".utf8)
    }
  }
}

/// Who is at the other end of a connection.
public enum Peer: Sendable, Equatable {
  case tcp(address: String, port: UInt16)
  /// A process on this machine, as the kernel recorded it when it connected.
  case local(PeerCredentials)
}

/// Who connected to a Unix socket, as the kernel recorded it at that moment (SO_PEERCRED).
public struct PeerCredentials: Sendable, Equatable {
  public let uid: UInt32
  public let gid: UInt32
  public let pid: Int32

  public init(uid: UInt32, gid: UInt32, pid: Int32) {
    self.uid = uid
    self.gid = gid
    self.pid = pid
  }
}
