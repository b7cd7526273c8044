// HTTPCall.swift: one request to another HTTP server, blocking, with a deadline and bounds: for a
// node that asks a witness, and for a client that checks a node. HTTP/1.0, so that an answer is never in chunks; no TLS, no redirects.
// Start at HTTPCall.send.
import CSystem
import Glibc

/// Why a call has no answer, in words.
public struct HTTPCallError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
  public let hint: String?

  init(_ description: String, hint: String? = nil) {
    self.description = description
    self.hint = hint
  }
}

public struct HTTPCall: Sendable {
  public struct Answer: Sendable {
    public let status: Int
    public let body: [UInt8]

    package init(status: Int, body: [UInt8]) {
      self.status = status
      self.body = body
    }
  }

  /// The longest answer that is read, head included.
  public static let maximumBytes = 16 << 20

  private let host: String
  private let port: String
  private let path: String

  /// - url: `http://HOST[:PORT][/PATH]`
  public init(_ url: String) throws(HTTPCallError) {
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw HTTPCallError("the address has spaces or letters that no address has")
    }
    guard url.hasPrefix("http://") else {
      throw HTTPCallError(
        "'\(url.prefix(80))' does not begin with 'http://'",
        hint: "there is no TLS here: 'ssh -L' or a proxy on this machine brings an https server near")
    }
    let rest = url.dropFirst(7)
    let authority = rest.prefix { $0 != "/" }
    path = rest.count == authority.count ? "/" : String(rest.dropFirst(authority.count))
    let colon = authority.lastIndex(of: ":").flatMap { authority[$0...].contains("]") ? nil : $0 }
    host = String(authority[..<(colon ?? authority.endIndex)]).filter { $0 != "[" && $0 != "]" }
    port = colon.map { String(authority[authority.index(after: $0)...]) } ?? "80"
    guard !host.isEmpty, UInt16(port) != nil else {
      throw HTTPCallError("'\(url.prefix(80))' is no address, wanted http://HOST:PORT/PATH")
    }
  }

  /// Posts a body and waits for the whole answer.
  public func post(
    _ body: [UInt8], contentType: String, timeout: Duration = .seconds(10)
  ) throws(HTTPCallError) -> Answer {
    try send("POST", body, fields: ["Content-Type: \(contentType)"], timeout: timeout)
  }

  /// Sends a request and waits for the whole answer.
  /// - fields: lines of the head
  public func send(
    _ method: String, _ body: [UInt8] = [], fields: [String] = [], timeout: Duration = .seconds(10)
  ) throws(HTTPCallError) -> Answer {
    // A line break would begin another field.
    guard fields.allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }) else {
      throw HTTPCallError("a field of the request has a control character")
    }
    let end = ContinuousClock.now + timeout
    let descriptor = try connect(timeout)
    defer { _ = csystem_close(descriptor) }
    let name = host.contains(":") ? "[\(host)]" : host
    let lines =
      [
        "\(method) \(path) HTTP/1.0", "Host: \(name):\(port)", "Content-Length: \(body.count)",
        "Connection: close",
      ]
      + fields
    let head = lines.joined(separator: "\r\n") + "\r\n\r\n"
    var out = (Array(head.utf8) + body)[...]
    while !out.isEmpty {
      let sent = out.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
      guard sent > 0 else { throw HTTPCallError("it took no request: \(Self.words(-sent))") }
      out = out.dropFirst(sent)
    }
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while received.count <= Self.maximumBytes {
      guard ContinuousClock.now < end else { throw HTTPCallError("it did not answer in time") }
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw HTTPCallError("it did not answer: \(String(cString: strerror(errno)))") }
      if count == 0 { break }
      received += buffer[..<count]
    }
    return try Self.answer(received)
  }

  /// The status and the body of an answer that ends with its connection.
  static func answer(_ bytes: [UInt8]) throws(HTTPCallError) -> Answer {
    guard bytes.count <= maximumBytes else {
      throw HTTPCallError("its answer has more than \(maximumBytes) bytes")
    }
    let mark: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
    guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }),
      bytes.starts(with: Array("HTTP/1.".utf8)), bytes.count >= 12,
      let status = Int(String(decoding: bytes[9..<12], as: UTF8.self)), (100...599).contains(status)
    else { throw HTTPCallError("it answered no HTTP") }
    return Answer(status: status, body: Array(bytes[(place + 4)...]))
  }

  private func connect(_ timeout: Duration) throws(HTTPCallError) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, port, &hints, &found)
    guard code == 0 else {
      throw HTTPCallError("'\(host)' is not found: \(String(cString: gai_strerror(code)))")
    }
    defer { freeaddrinfo(found) }
    var last = ECONNREFUSED
    var next = found
    while let place = next {
      next = place.pointee.ai_next
      let type = place.pointee.ai_socktype | Int32(bitPattern: SOCK_CLOEXEC.rawValue)
      let descriptor = socket(place.pointee.ai_family, type, place.pointee.ai_protocol)
      guard descriptor >= 0 else {
        last = errno
        continue
      }
      // Bounds connecting too.
      _ = csystem_set_timeouts(descriptor, Int32(clamping: max(1, timeout.components.seconds * 1000)))
      if Glibc.connect(descriptor, place.pointee.ai_addr, place.pointee.ai_addrlen) == 0 { return descriptor }
      last = errno
      _ = csystem_close(descriptor)
    }
    throw HTTPCallError("'\(host):\(port)' cannot be reached: \(String(cString: strerror(last)))")
  }

  private static func words(_ code: Int) -> String { String(cString: strerror(Int32(clamping: code))) }
}
