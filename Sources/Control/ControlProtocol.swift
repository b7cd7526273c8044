// ControlProtocol.swift: what goes over the control socket: one JSON object a line, snake_case keys.
// Leaves out sockets and what commands do. Start at ControlRequest; a peer's first line is `hello`.
import Foundation
import JSON

/// Lines from a dashboard or a script to a node.
package enum ControlRequest: Codable, Sendable, Equatable {
  /// The version spoken, and how often snapshots are wanted, in milliseconds; 0 for none.
  case hello(version: Int, every: Int, readOnly: Bool)
  /// Before `hello`, from what sshd runs in its user's place: from now on this connection is somebody else's, with no
  /// more rights than before. A key without a role has the role that the configuration gives it; as a client it is the
  /// client whose key it is.
  case restrict(role: Role?, name: String?, key: String?)
  /// This snapshot has been read: of those that come after two unread ones only the newest is sent, with the next
  /// `seen`. So a slow line shows the present late, and not the past.
  case seen(sequence: UInt64)
  /// Answered by `ControlReply.message` with the reply of that tag.
  case command(tag: UInt64, command: NodeCommand)
  case snapshot(tag: UInt64)
  /// A request in OpenAI's form, run as the operator's own job. Answered by chunks and an end.
  case submit(tag: UInt64, chat: Bool, body: String)
  case clients(tag: UInt64)
  case addClient(tag: UInt64, name: String)
  case revokeClient(tag: UInt64, name: String)
  /// Amounts and counts as texts; an empty text takes a limit away, nil leaves it.
  case limitClient(tag: UInt64, name: String, budget: String?)
  case settle(tag: UInt64, client: String, amount: String, reference: String)
  /// A transfer that changes what a client owes; a negative amount gives back.
  case correct(tag: UInt64, client: String, amount: String, reason: String)
  /// A witness' signature over a checkpoint of this log.
  /// - witnesses: keys that are trusted from now on, of which only the owner's word counts; may be empty
  case cosign(tag: UInt64, checkpoint: String, signature: String, witnesses: String)
  /// A bundle of a receipt for offline verification.
  /// - earlier: size of a checkpoint that its reader holds, for the proof that the log continues it
  case exportReceipt(tag: UInt64, id: String, earlier: Int?)
  /// Sums by day, client and model; `since` is a day such as `2026-11-23`.
  case earnings(tag: UInt64, since: String?)
  /// What a client owes for the days from `since` to `until`, both included.
  case statement(tag: UInt64, client: String, since: String?, until: String?, form: StatementForm)
  case setLimits(tag: UInt64, name: String, changes: LimitChanges)
  /// The SSH key that a client signs vouchers with, as in a `.pub` file; empty takes it away.
  case setKey(tag: UInt64, name: String, key: String)
  /// A voucher that a client handed over by other means than HTTP.
  case voucher(tag: UInt64, client: String, text: String, signature: String)
  /// The best voucher of a client, with what proves it.
  case exportVoucher(tag: UInt64, client: String)
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
  /// A new client's token: shown once.
  case token(tag: UInt64, name: String, token: String)
  case bundle(tag: UInt64, text: String)
  case earnings(tag: UInt64, table: EarningsTable)
  case statement(tag: UInt64, text: String, signature: String?)
  /// `key` is the client's, `type base64`.
  case voucher(tag: UInt64, text: String, signature: String, key: String)
  case refused(tag: UInt64, reason: String)
  /// Refused because of who asks; nothing was done.
  case denied(tag: UInt64, reason: String)
  case done(tag: UInt64, words: String)
}

/// The lines of the control protocol.
package enum ControlProtocol {
  /// Grows with every change that an older peer would misread.
  package static let version = 2

  package static func line(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Values of these types always encode; a line that says nothing is skipped by its reader.
    guard let data = try? encoder.encode(value) else { return [] }
    return Array(data)
  }

  package static func parse<Value: Decodable>(_ type: Value.Type, _ line: [UInt8]) -> Value? {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // A line that cannot be read is answered as such by the caller.
    return try? decoder.decode(type, from: Data(line))
  }

  /// Whether a line that cannot be read was, as far as one can tell, to say who a connection is for.
  package static func concernsRights(_ line: [UInt8]) -> Bool {
    let text = String(decoding: line, as: UTF8.self).lowercased()
    return ["restrict", "hello", "read_only"].contains { text.contains($0) }
  }

  /// The first key of a line that its reader passed over. A condition that a newer release adds must not be lost here
  /// without a word where it takes rights away.
  package static func unreadKey(of request: ControlRequest, in line: [UInt8]) -> String? {
    var limits = JSONText.Limits()
    limits.duplicateKeys = .refused
    // Foundation has read both, so that only a key that stands twice is left to be wrong.
    guard let found = try? JSONText.parse(line, limits: limits),
      let read = try? JSONText.parse(self.line(request))
    else { return "a key that stands there twice" }
    return unreadKey(found, read)
  }

  private static func unreadKey(_ found: JSONValue, _ read: JSONValue) -> String? {
    guard case .object(let members) = found else { return nil }
    guard case .object(let others) = read else { return members.first?.key }
    // As the reader has them: `read_only` and `readOnly` are one key.
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
