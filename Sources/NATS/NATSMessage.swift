// NATSMessage.swift: what arrives on a subscription: subject, reply subject, headers, payload; and
// what a subject may be. Reading them from bytes is NATSParser's. Start at NATSMessage.

/// A block of headers: `NATS/1.0`, perhaps a status, then fields in their order.
package struct NATSHeaders: Sendable, Equatable {
  /// 100 to 999, on what the server itself says.
  package var status: Int?
  /// The words behind the status.
  package var words = ""
  package var fields: [(name: String, value: String)] = []

  package init(_ fields: [(name: String, value: String)] = []) { self.fields = fields }

  package static func == (one: NATSHeaders, other: NATSHeaders) -> Bool {
    one.status == other.status && one.words == other.words
      && one.fields.elementsEqual(other.fields) { $0.name == $1.name && $0.value == $1.value }
  }

  /// The first value of a field, whatever the case of its name.
  package subscript(name: String) -> String? {
    fields.first { $0.name.lowercased() == name.lowercased() }?.value
  }

  static let version = Array("NATS/1.0".utf8)
  /// The most fields that are read.
  static let maximumFields = 256

  /// nil for what is no block of headers.
  package init?(parsing bytes: some Collection<UInt8>) {
    // Lines end with CRLF; the last one is empty.
    var lines = String(decoding: bytes, as: UTF8.self).split(
      separator: "\r\n", omittingEmptySubsequences: false)
    guard lines.count >= 3, lines.count <= Self.maximumFields + 3, lines.removeLast().isEmpty,
      lines.removeLast().isEmpty, let first = lines.first, first.hasPrefix("NATS/1.0")
    else { return nil }
    let rest = first.dropFirst(8).drop { $0 == " " || $0 == "\t" }
    if !rest.isEmpty {
      let digits = rest.prefix { $0 != " " && $0 != "\t" }
      guard digits.utf8.count == 3, let number = Int(digits), number >= 100 else { return nil }
      status = number
      words = String(rest.dropFirst(digits.count).drop { $0 == " " || $0 == "\t" }.prefix(200))
    }
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return nil }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      fields.append((String(line[..<colon]), String(value)))
    }
  }

  /// The block's bytes. Line breaks in names and values are left out: they would begin a field.
  var bytes: [UInt8] {
    var out = Self.version + [0x0D, 0x0A]
    for (name, value) in fields {
      out += name.utf8.filter { $0 != 0x0D && $0 != 0x0A && $0 != 0x3A }
      out += [0x3A, 0x20]
      out += value.utf8.filter { $0 != 0x0D && $0 != 0x0A }
      out += [0x0D, 0x0A]
    }
    return out + [0x0D, 0x0A]
  }
}

package struct NATSMessage: Sendable, Equatable {
  package var subject: String
  /// The number of the subscription that it came on.
  package var subscription: UInt64
  package var reply: String?
  package var headers: NATSHeaders?
  package var payload: [UInt8]

  package init(
    subject: String, subscription: UInt64 = 0, reply: String? = nil, headers: NATSHeaders? = nil,
    payload: [UInt8] = []
  ) {
    self.subject = subject
    self.subscription = subscription
    self.reply = reply
    self.headers = headers
    self.payload = payload
  }

  /// What the server says in place of a message: nobody listens, no messages, a heartbeat.
  package var status: Int? { headers?.status }
}

package enum NATSSubject {
  /// Whether it names one place: tokens joined by dots, without wildcards, spaces and controls.
  package static func isPlain(_ subject: String) -> Bool {
    guard (1...1_024).contains(subject.utf8.count) else { return false }
    return subject.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isToken)
  }

  /// Whether it may be one token of a subject.
  package static func isToken(_ token: some StringProtocol) -> Bool {
    !token.isEmpty
      && token.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != 0x2A && $0 != 0x3E && $0 != 0x2E }
  }

  /// Whether it may be subscribed to: `*` is any one token, `>` at the end all that follow.
  package static func isPattern(_ subject: String) -> Bool {
    guard (1...1_024).contains(subject.utf8.count) else { return false }
    let tokens = subject.split(separator: ".", omittingEmptySubsequences: false)
    return tokens.enumerated().allSatisfy { index, token in
      token == "*" || (token == ">" && index == tokens.count - 1) || isToken(token)
    }
  }

  /// A text as one token: what none may have becomes `_`.
  package static func token(_ text: String) -> String {
    let bytes = text.utf8.map { byte -> UInt8 in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: byte
      default: 0x5F
      }
    }
    return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
  }
}
