// Clients.swift: who may send requests, and how a bearer token identifies them. A value. Tokens are
// shown once, and only their SHA-256 is kept. Limits and money are in Accounting; the list itself
// is kept in the journal. Start at ClientDirectory.identify.
import Control
import Receipts

/// Who sends a request.
package enum Identity: Codable, Sendable, Equatable {
  /// A client in the node's list.
  case known(String)
  /// Someone with a self-made token, identified by its fingerprint.
  case unknown(String)

  /// The name that rows, receipts and policies use.
  package var name: String {
    switch self {
    case .known(let name): name
    case .unknown(let fingerprint): "unknown-\(fingerprint)"
    }
  }

  package var isKnown: Bool {
    if case .known = self { true } else { false }
  }
}

/// The node's list of clients: names and the SHA-256 of their tokens.
///
/// A token that this node made begins with `hotpot_`; a token that begins like that and is not in
/// the list is wrong or revoked, and is refused. Any other token is a name that its bearer chose:
/// they are unknown, and the policy decides.
package struct ClientDirectory: Sendable {
  package struct Entry: Sendable, Equatable {
    package let name: String
    package let tokenDigest: SHA256Digest
    package let added: Microseconds
    package var revoked: Microseconds?
  }

  package enum Refusal: Error, Sendable, Equatable {
    case missingToken
    case wrongToken
    case revoked
  }

  package static let tokenPrefix = "hotpot_"
  /// Names of the node's own jobs, which are never charged and are no earnings.
  static let ownNames: Set<String> = ["operator", "node", "audit"]
  /// The longest token that is considered, in bytes.
  static let longestToken = 512

  package private(set) var entries: [Entry] = []
  private var byDigest: [SHA256Digest: Int] = [:]
  /// Tokens of strangers who came, by fingerprint, the newest last: so that one can become a client.
  private var strangers: [(fingerprint: String, digest: SHA256Digest)] = []
  private static let rememberedStrangers = 256

  package init() {}

  /// A client's name: 1 to 64 letters, digits, `.`, `_`, `-`, `@`, beginning with a letter or
  /// digit, and not a name that this node uses itself.
  package static func isValid(name: String) -> Bool {
    let bytes = name.utf8
    guard (1...64).contains(bytes.count), let first = bytes.first, isAlphanumeric(first) else { return false }
    guard !name.hasPrefix("unknown-"), !ownNames.contains(name) else { return false }
    return bytes.allSatisfy { isAlphanumeric($0) || [0x2E, 0x5F, 0x2D, 0x40].contains($0) }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
  }

  /// A new token: 256 random bits after the prefix.
  package static func makeToken() -> String {
    var generator = SystemRandomNumberGenerator()
    let words = (0..<4).map { _ in generator.next() as UInt64 }
    let digits = words.map { word in
      let hex = String(word, radix: 16)
      return String(repeating: "0", count: 16 - hex.count) + hex
    }
    return tokenPrefix + digits.joined()
  }

  package static func digest(of token: String) -> SHA256Digest { SHA256.hash(Array(token.utf8)) }

  package func entry(named name: String) -> Entry? { entries.last { $0.name == name } }

  /// Whether a client of this name may send requests.
  package func isActive(_ name: String) -> Bool { entry(named: name).map { $0.revoked == nil } ?? false }

  package mutating func add(name: String, tokenDigest: SHA256Digest, at time: Microseconds) {
    byDigest[tokenDigest] = entries.count
    entries.append(Entry(name: name, tokenDigest: tokenDigest, added: time, revoked: nil))
  }

  /// Remembers the token of a stranger who came.
  package mutating func remember(token: String?) {
    guard let token, (1...Self.longestToken).contains(token.utf8.count), !token.hasPrefix(Self.tokenPrefix)
    else { return }
    let digest = Self.digest(of: token)
    guard byDigest[digest] == nil else { return }
    let fingerprint = Self.fingerprint(digest)
    if let place = strangers.lastIndex(where: { $0.fingerprint == fingerprint }) {
      strangers.remove(at: place)
    }
    strangers.append((fingerprint, digest))
    if strangers.count > Self.rememberedStrangers { strangers.removeFirst() }
  }

  /// - name: as rows show it, `unknown-` and the fingerprint
  package func digest(ofStranger name: String) -> SHA256Digest? {
    strangers.last { Identity.unknown($0.fingerprint).name == name }?.digest
  }

  private static func fingerprint(_ digest: SHA256Digest) -> String { String(digest.hex.prefix(12)) }

  /// Revokes every token of that name.
  package mutating func revoke(name: String, at time: Microseconds) {
    for index in entries.indices where entries[index].name == name && entries[index].revoked == nil {
      entries[index].revoked = time
    }
  }

  /// Identifies the bearer of a token. Tokens are compared by their SHA-256, so the timing reveals
  /// nothing about the token.
  package func identify(token: String?) throws(Refusal) -> Identity {
    guard let token, !token.isEmpty, token.utf8.count <= Self.longestToken else { throw .missingToken }
    let digest = Self.digest(of: token)
    if let index = byDigest[digest], entries.indices.contains(index) {
      guard entries[index].revoked == nil else { throw .revoked }
      return .known(entries[index].name)
    }
    guard !token.hasPrefix(Self.tokenPrefix) else { throw .wrongToken }
    return .unknown(Self.fingerprint(digest))
  }
}
