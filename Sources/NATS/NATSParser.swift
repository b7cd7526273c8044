// NATSParser.swift: the bytes of a server to what it says, as they come, in any pieces. Every length
// is bounded, and the first fault ends it: what follows one is never read. Source: NATS protocol,
// "Protocol messages". Start at NATSParser.next.

import JSON

/// One thing that a server says.
package enum NATSSaid: Sendable, Equatable {
  case info([UInt8])
  case message(NATSMessage)
  case ping
  case pong
  case ok
  /// `-ERR`, in the server's words.
  case error(String)
}

/// What a server did that it may not.
package struct NATSFault: Error, Sendable, Hashable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}

package struct NATSParser: Sendable {
  package struct Bounds: Sendable {
    /// Bytes of a control line, without its end.
    package var line = 4_096
    /// Bytes of the line that `INFO` begins, which lists a cluster.
    package var info = 65_536
    /// Bytes of a payload with its headers.
    package var payload = 8 << 20

    package init() {}
  }

  private enum Part: Sendable {
    case line
    /// A message whose bytes are awaited: of headers, of all.
    case payload(NATSMessage, headers: Int?, total: Int)
  }

  private let bounds: Bounds
  private var part = Part.line
  private var buffer: [UInt8] = []
  /// Where the unread bytes begin.
  private var start = 0
  /// How far a line's end was looked for.
  private var searched = 0
  private var fault: NATSFault?

  package init(_ bounds: Bounds = Bounds()) { self.bounds = bounds }

  /// Whether bytes wait that are no whole message yet.
  package var holdsBytes: Bool {
    if case .payload = part { return true }
    return start < buffer.count
  }

  package mutating func append(_ bytes: some Collection<UInt8>) {
    if start == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.count < 1 << 16)
      (start, searched) = (0, 0)
    } else if start > 1 << 16 {
      buffer.removeFirst(start)
      searched -= start
      start = 0
    }
    buffer += bytes
  }

  /// The next thing that is there in full; nil if more bytes are needed.
  package mutating func next() throws(NATSFault) -> NATSSaid? {
    if let fault { throw fault }
    do throws(NATSFault) { return try read() } catch {
      fault = error
      buffer = []
      (start, searched) = (0, 0)
      throw error
    }
  }

  private mutating func read() throws(NATSFault) -> NATSSaid? {
    while true {
      switch part {
      case .payload(let message, let headers, let total):
        return try finish(message, headers: headers, total: total)
      case .line:
        guard let line = try line() else { return nil }
        if let said = try take(line) { return said }
      }
    }
  }

  /// The next line without its end, which is LF with or without CR.
  private mutating func line() throws(NATSFault) -> ArraySlice<UInt8>? {
    let unread = buffer[max(start, searched)...]
    guard let end = unread.firstIndex(of: 0x0A) else {
      searched = buffer.count
      // One more may be the CR before the end.
      if buffer.count - start > limit + 1 { throw NATSFault("a control line has more than \(limit) bytes") }
      return nil
    }
    guard end - start <= limit + 1 else {
      throw NATSFault("a control line has more than \(limit) bytes")
    }
    var line = buffer[start..<end]
    if line.last == 0x0D { line.removeLast() }
    start = end + 1
    searched = start
    return line
  }

  /// The longest that the line which begins here may be.
  private var limit: Int {
    Self.isWord(buffer[start...].prefix(4), "INFO") ? bounds.info : bounds.line
  }

  /// Verbs are the same in capitals and small letters.
  private static func isWord(_ bytes: ArraySlice<UInt8>, _ word: StaticString) -> Bool {
    guard bytes.count == word.utf8CodeUnitCount else { return false }
    return word.withUTF8Buffer { wanted in
      zip(bytes, wanted).allSatisfy { ($0 >= 0x61 && $0 <= 0x7A ? $0 - 0x20 : $0) == $1 }
    }
  }

  private mutating func take(_ line: ArraySlice<UInt8>) throws(NATSFault) -> NATSSaid? {
    let verb = line.prefix { $0 != 0x20 && $0 != 0x09 }
    let rest = line[verb.endIndex...].drop { $0 == 0x20 || $0 == 0x09 }
    if Self.isWord(verb, "MSG") {
      try begin(fields(rest), hasHeaders: false)
      return nil
    }
    if Self.isWord(verb, "HMSG") {
      try begin(fields(rest), hasHeaders: true)
      return nil
    }
    if Self.isWord(verb, "PING") { return .ping }
    if Self.isWord(verb, "PONG") { return .pong }
    if Self.isWord(verb, "+OK") { return .ok }
    if Self.isWord(verb, "INFO") { return .info(Array(rest)) }
    if Self.isWord(verb, "-ERR") {
      let words = rest.drop { $0 == 0x27 }.prefix(256)
      let text = String(decoding: words, as: UTF8.self)
      return .error(text.hasSuffix("'") ? String(text.dropLast()) : text)
    }
    throw NATSFault("it sent no verb of NATS: '\(Self.shown(verb))'")
  }

  private func fields(_ rest: ArraySlice<UInt8>) -> [String] {
    rest.split { $0 == 0x20 || $0 == 0x09 }.map { String(decoding: $0, as: UTF8.self) }
  }

  /// `SUBJECT SID [REPLY] [HEADER BYTES] BYTES`
  private mutating func begin(_ fields: [String], hasHeaders: Bool) throws(NATSFault) {
    let least = hasHeaders ? 4 : 3
    guard fields.count == least || fields.count == least + 1 else {
      throw NATSFault("a message has \(fields.count) fields")
    }
    guard let subscription = UInt64(fields[1]), let total = Self.size(fields[fields.count - 1]) else {
      throw NATSFault("a message has a number that is none")
    }
    var headers: Int?
    if hasHeaders {
      headers = Self.size(fields[fields.count - 2])
      guard let headers, headers <= total else {
        throw NATSFault("a message's headers are longer than the message")
      }
    }
    guard total <= bounds.payload else {
      throw NATSFault("a message has \(total) bytes, at most \(bounds.payload) are taken")
    }
    let message = NATSMessage(
      subject: fields[0], subscription: subscription, reply: fields.count > least ? fields[2] : nil)
    part = .payload(message, headers: headers, total: total)
  }

  /// A whole number in digits alone.
  private static func size(_ text: String) -> Int? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
  }

  private mutating func finish(
    _ begun: NATSMessage, headers: Int?, total: Int
  ) throws(NATSFault) -> NATSSaid? {
    guard buffer.count - start >= total + 2 else { return nil }
    let end = start + total
    guard buffer[end] == 0x0D, buffer[end + 1] == 0x0A else {
      throw NATSFault("a message does not end where its length says")
    }
    var message = begun
    let body = start + (headers ?? 0)
    if headers != nil {
      guard let found = NATSHeaders(parsing: buffer[start..<body]) else {
        throw NATSFault("a message's headers are none")
      }
      message.headers = found
    }
    message.payload = Array(buffer[body..<end])
    start = end + 2
    searched = start
    part = .line
    return .message(message)
  }

  private static func shown(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.prefix(32).map { $0 > 0x20 && $0 < 0x7F ? $0 : 0x3F }, as: UTF8.self)
  }
}

/// What a server says about itself.
package struct NATSInfo: Sendable, Equatable {
  package var version = ""
  package var name = ""
  package var hasHeaders = false
  package var maximumPayload = 1 << 20
  package var hasJetStream = false
  package var wantsLogin = false
  package var wantsTLS = false
  package var offersTLS = false
  package var nonce: String?
  /// It is about to stop: clients are to go elsewhere.
  package var isLeaving = false

  init(parsing bytes: [UInt8]) throws(NATSFault) {
    var limits = JSONText.Limits()
    limits.bytes = 1 << 16
    limits.depth = 16
    limits.duplicateKeys = .allowed
    let value: JSONValue
    do throws(JSONError) { value = try JSONText.parse(bytes, limits: limits) } catch {
      throw NATSFault("its INFO is no JSON: \(error)")
    }
    guard value.members != nil else { throw NATSFault("its INFO is no object") }
    version = String((value["version"]?.string ?? "").prefix(40))
    name = String((value["server_name"]?.string ?? "").prefix(80))
    hasHeaders = value["headers"]?.bool ?? false
    maximumPayload = max(0, min(value["max_payload"]?.integer ?? 1 << 20, 64 << 20))
    hasJetStream = value["jetstream"]?.bool ?? false
    wantsLogin = value["auth_required"]?.bool ?? false
    wantsTLS = value["tls_required"]?.bool ?? false
    offersTLS = value["tls_available"]?.bool ?? false
    nonce = value["nonce"]?.string
    isLeaving = value["ldm"]?.bool ?? false
  }

  package init() {}
}
