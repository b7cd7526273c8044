// HTTPCall.swift: one request to another HTTP server, plain or over TLS, blocking, with a deadline
// and bounds: for a node that asks a witness, and for a client that checks a node. HTTP/1.0, so that
// an answer is never in chunks; no redirects. Start at HTTPCall.send.
import TLS

/// Why a call has no answer, in words.
public struct HTTPCallError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
  public let hint: String?

  package init(_ description: String, hint: String? = nil) {
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

  private let isSecure: Bool
  private let host: String
  private let port: UInt16
  private let path: String
  private let trust: TLSTrust

  /// - url: `http://HOST[:PORT][/PATH]`, or the same with `https`
  /// - trust: whom an https server must be certified by
  public init(_ url: String, trust: TLSTrust = TLSTrust()) throws(HTTPCallError) {
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw HTTPCallError("the address has spaces or letters that no address has")
    }
    isSecure = url.hasPrefix("https://")
    guard isSecure || url.hasPrefix("http://") else {
      throw HTTPCallError("'\(url.prefix(80))' does not begin with 'http://' or 'https://'")
    }
    self.trust = trust
    let rest = url.dropFirst(isSecure ? 8 : 7)
    let authority = rest.prefix { $0 != "/" }
    path = rest.count == authority.count ? "/" : String(rest.dropFirst(authority.count))
    let colon = authority.lastIndex(of: ":").flatMap { authority[$0...].contains("]") ? nil : $0 }
    host = String(authority[..<(colon ?? authority.endIndex)]).filter { $0 != "[" && $0 != "]" }
    let digits = colon.map { String(authority[authority.index(after: $0)...]) } ?? (isSecure ? "443" : "80")
    guard !host.isEmpty, let number = UInt16(digits) else {
      throw HTTPCallError("'\(url.prefix(80))' is no address, wanted http://HOST:PORT/PATH")
    }
    port = number
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
    do throws(StreamError) {
      return try answer(to: request(method, body, fields), by: ContinuousClock.now + timeout)
    } catch {
      throw HTTPCallError(error.description, hint: error.hint)
    }
  }

  private func request(_ method: String, _ body: [UInt8], _ fields: [String]) -> [UInt8] {
    let name = host.contains(":") ? "[\(host)]" : host
    let lines =
      [
        "\(method) \(path) HTTP/1.0", "Host: \(name):\(port)", "Content-Length: \(body.count)",
        "Connection: close",
      ]
      + fields
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
  }

  private func answer(to request: [UInt8], by end: ContinuousClock.Instant) throws(StreamError) -> Answer {
    let stream = try OutgoingStream(host: host, port: port, by: end)
    if isSecure {
      let context: TLSContext
      do throws(TLSError) { context = try TLSContext.client(trust) } catch {
        throw StreamError(error.description, hint: error.hint)
      }
      try stream.secure(context, host: host, by: end)
    }
    try stream.write(request)
    try stream.flushAll(by: end)
    var received: [UInt8] = []
    // Where the body begins, and its length if the answer says it.
    var body: (start: Int, count: Int?)?
    while received.count <= Self.maximumBytes {
      if let body, let count = body.count, received.count - body.start >= count {
        received.removeLast(received.count - body.start - count)
        stream.finish()
        break
      }
      switch try stream.read() {
      case .bytes(let more):
        received += more
        if body == nil { body = Self.body(received) }
        continue
      case .ended:
        return try Self.checked(received, body?.count)
      case .nothing:
        guard stream.wait(until: end) else { throw StreamError("it did not answer in time") }
      }
    }
    return try Self.checked(received, body?.count)
  }

  private static func checked(_ bytes: [UInt8], _ count: Int?) throws(StreamError) -> Answer {
    let found: Answer
    do throws(HTTPCallError) { found = try answer(bytes) } catch { throw StreamError(error.description) }
    guard count.map({ found.body.count >= $0 }) ?? true else {
      throw StreamError("its answer ended after \(found.body.count) of \(count ?? 0) bytes")
    }
    return found
  }

  private static let mark: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]

  /// Where an answer's body begins, and the length that its head names; nil before its head is
  /// there.
  private static func body(_ bytes: [UInt8]) -> (start: Int, count: Int?)? {
    guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }) else { return nil }
    let head = String(decoding: bytes[..<place], as: UTF8.self).split(separator: "\r\n").dropFirst()
    let lengths = head.filter { $0.lowercased().hasPrefix("content-length:") }
    let count = lengths.first.flatMap { line in
      Int(line.drop { $0 != ":" }.dropFirst().filter { $0 != " " && $0 != "\t" })
    }
    return (place + mark.count, count.flatMap { $0 >= 0 ? $0 : nil })
  }

  /// The status and the body of an answer that ends with its connection.
  static func answer(_ bytes: [UInt8]) throws(HTTPCallError) -> Answer {
    guard bytes.count <= maximumBytes else {
      throw HTTPCallError("its answer has more than \(maximumBytes) bytes")
    }
    guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }),
      bytes.starts(with: Array("HTTP/1.".utf8)), bytes.count >= 12,
      let status = Int(String(decoding: bytes[9..<12], as: UTF8.self)), (100...599).contains(status)
    else { throw HTTPCallError("it answered no HTTP") }
    return Answer(status: status, body: Array(bytes[(place + 4)...]))
  }
}
