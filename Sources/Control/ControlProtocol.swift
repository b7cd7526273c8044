// ControlProtocol.swift: the messages on the control socket: one JSON object per line, snake_case
// keys. Sockets are in SocketConnection.swift, what commands do in Node. Start at ControlRequest; a
// peer's first line is `hello`.
import Foundation
import JSON

/// Lines from a dashboard or a script to a node, except verbs: requests to the books and the log,
/// each `{"WORD":{"tag":7,...}}`, which are defined in Node (Verb).
package enum ControlRequest: Codable, Sendable, Equatable {
  /// The protocol version, and the interval between snapshots in milliseconds; 0 for none.
  case hello(version: Int, every: Int, readOnly: Bool)
  /// Sent before `hello` by the command that sshd runs for a user: from now on this connection
  /// belongs to someone else, with no more rights than before. A key without a role gets the role
  /// that the configuration gives it; as a client it is the client whose key it is.
  case restrict(role: Role?, name: String?, key: String?)
  /// This snapshot has been read. While two snapshots are unread, only the newest of the later ones
  /// is sent, after the next `seen`. So a slow connection shows the present with a delay, rather
  /// than the past.
  case seen(sequence: UInt64)
  /// Answered by `ControlReply.message` with the reply to that tag.
  case command(tag: UInt64, command: NodeCommand)
  case snapshot(tag: UInt64)
  /// A request in OpenAI's form, run as the operator's own job. Answered by chunks and an end.
  case submit(tag: UInt64, chat: Bool, body: String)
}

/// Lines from a node.
package enum ControlReply: Codable, Sendable, Equatable {
  case hello(version: Int, node: String, software: String)
  case message(NodeMessage)
  case snapshot(tag: UInt64, NodeSnapshot)
  /// One event of a submitted job's stream, in OpenAI's form.
  case chunk(tag: UInt64, data: String)
  /// The end of a submitted job, with its HTTP status.
  case ended(tag: UInt64, status: Int)
  case clients(tag: UInt64, [ClientRow])
  /// A new client's token, which is shown only once.
  case token(tag: UInt64, name: String, token: String)
  case bundle(tag: UInt64, text: String)
  /// A file that the node publishes; nil if there is none.
  case file(tag: UInt64, base64: String?)
  case earnings(tag: UInt64, table: EarningsTable)
  /// The newest first.
  case past(tag: UInt64, [PastJob])
  case statement(tag: UInt64, text: String, signature: String?)
  /// `key` is the client's, `type base64`.
  case voucher(tag: UInt64, text: String, signature: String, key: String)
  case refused(tag: UInt64, reason: String)
  /// Refused because of the peer's role; nothing was done.
  case denied(tag: UInt64, reason: String)
  case done(tag: UInt64, words: String)
}

/// The lines of the control protocol.
package enum ControlProtocol {
  /// Increased with every change that an older peer would misread.
  package static let version = 2

  package static func line(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Values of these types always encode; the reader skips an empty line.
    guard let data = try? encoder.encode(value) else { return [] }
    return Array(data)
  }

  package static func parse<Value: Decodable>(_ type: Value.Type, _ line: [UInt8]) -> Value? {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // The caller answers a line that cannot be parsed with an error.
    return try? decoder.decode(type, from: Data(line))
  }

  /// Whether an unreadable line was probably meant to say who a connection is for.
  package static func concernsRights(_ line: [UInt8]) -> Bool {
    let text = String(decoding: line, as: UTF8.self).lowercased()
    return ["restrict", "hello", "read_only"].contains { text.contains($0) }
  }

  /// The first key of a line that its decoder ignored. If a newer release adds a condition to a
  /// request that takes rights away, that condition must not be silently dropped.
  package static func unreadKey(of request: some Encodable, in line: [UInt8]) -> String? {
    var limits = JSONText.Limits()
    limits.duplicateKeys = .refused
    // Foundation has parsed this line, so the only remaining fault is a duplicate key.
    guard let found = try? JSONText.parse(line, limits: limits),
      let read = try? JSONText.parse(self.line(request))
    else { return "a key that stands there twice" }
    return unreadKey(found, read)
  }

  private static func unreadKey(_ found: JSONValue, _ read: JSONValue) -> String? {
    guard case .object(let members) = found else { return nil }
    guard case .object(let others) = read else { return members.first?.key }
    // As the decoder sees them: `read_only` and `readOnly` are one key.
    func plain(_ key: String) -> String { key.filter { $0 != "_" }.lowercased() }
    for member in members {
      if case .null = member.value { continue }
      guard let other = others.first(where: { plain($0.key) == plain(member.key) })?.value else {
        return member.key
      }
      if let stray = unreadKey(member.value, other) { return stray }
    }
    return nil
  }
}
