// Verb.swift: what an operator can ask of the books and the log over the control socket. Each verb
// is a file and a row: its word and its fields on the wire, who may ask for it, what is done, and
// what is answered. To add one, write a file beside this one and put its type into `all`.
// The session is in ControlServer.swift, what is recorded in Accounts.swift. Start at Verb.
import Control
import Foundation

/// The stored properties are its fields on the wire.
package protocol Verb: Codable, Equatable, Sendable {
  /// Its name on the wire, where it is spelt in snake case.
  static var word: String { get }
  /// The lowest role that may ask for it; clients never may.
  static var right: Role { get }
  /// Whether the verb takes rights or means away. Such a verb is read whole or refused.
  static var limitsRights: Bool { get }
  /// Whether the verb signs or verifies. That starts a process, so it needs the node's key.
  static var usesKey: Bool { get }
  /// Whether it waits for a process or the disk, and so runs on a thread of its own.
  static var usesThread: Bool { get }
  /// Whether the state directory is enough, so that the verb works without a running node.
  static var isOffline: Bool { get }
  /// - Throws: why it was not done, in words; then nothing was.
  func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply
}

extension Verb {
  package static var limitsRights: Bool { false }
  package static var usesKey: Bool { false }
  package static var usesThread: Bool { usesKey }
  package static var isOffline: Bool { true }
}

/// What a verb may use, and for whom.
package struct VerbDesk: Sendable {
  let accounts: Accounts
  let signing: Signing
  let receipts: ReceiptLog
  let publication: Publication
  let who: Operator
  let role: Role
}

/// One verb on its way: `{"add_client":{"tag":7,"name":"aria"}}`.
package struct VerbRequest: Sendable {
  package let tag: UInt64
  package let verb: any Verb

  package init(tag: UInt64, _ verb: any Verb) {
    self.tag = tag
    self.verb = verb
  }

  /// The table.
  static let all: [any Verb.Type] = [
    ListClients.self, AddClient.self, RevokeClient.self, LimitClient.self, SetLimits.self,
    SetKey.self,
    Settle.self, PayAhead.self, Correct.self, ShowEarnings.self, MakeStatement.self, GiveVoucher.self,
    ExportVoucher.self,
    ExportReceipt.self, Cosign.self, ReadPublic.self, OfferSample.self, ListPast.self,
  ]

  private static let byWord = Dictionary(uniqueKeysWithValues: all.map { ($0.word, $0) })

  /// What was done, or why not.
  func answer(_ desk: VerbDesk) -> ControlReply {
    do throws(AdministrationError) { return try verb.perform(desk, tag: tag) } catch {
      return .refused(tag: tag, reason: error.description)
    }
  }
}

extension VerbRequest: Codable {
  private struct Word: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ word: String) { stringValue = word }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { nil }
  }

  private enum Key: CodingKey { case tag }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Word.self)
    guard container.allKeys.count == 1, let word = container.allKeys.first,
      let type = Self.byWord[word.stringValue]
    else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "wanted one verb"))
    }
    tag = try container.nestedContainer(keyedBy: Key.self, forKey: word).decode(UInt64.self, forKey: .tag)
    verb = try container.decode(type, forKey: word)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Word.self)
    let fields = container.superEncoder(forKey: Word(type(of: verb).word))
    try verb.encode(to: fields)
    var tagged = fields.container(keyedBy: Key.self)
    try tagged.encode(tag, forKey: .tag)
  }
}
