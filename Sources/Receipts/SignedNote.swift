// SignedNote.swift: notes, their keys and cosignatures as C2SP writes them, so that witnesses of
// any make read this log and this program reads theirs. Not here: making raw signatures
// (SSHAgent.swift), a witness (NoteWitness.swift). Start at SignedNote.
// Source: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature.
import CSystem

/// A key that signs notes, as a line: name, `+`, the first 4 bytes of
/// SHA-256(name || 0x0A || kind || key) in hexadecimal, `+`, and kind and key in base64.
package struct NoteKey: Hashable, Sendable {
  package enum Kind: UInt8, Sendable {
    /// Of a log: Ed25519 over the note's text.
    case log = 1
    /// Of a witness: Ed25519 over a time and the note's text.
    case witness = 4
  }

  /// No white space and no `+`; at most 128 bytes.
  package let name: String
  package let kind: Kind
  /// 32 bytes.
  package let bytes: [UInt8]

  /// nil unless the name has no white space and no `+`, and the key 32 bytes.
  package init?(name: String, kind: Kind, bytes: [UInt8]) {
    guard bytes.count == 32, (1...128).contains(name.utf8.count),
      name.unicodeScalars.allSatisfy({
        $0 != "+" && !$0.properties.isWhitespace && $0.value > 0x20 && $0.value != 0x7F
      })
    else { return nil }
    self.name = name
    self.kind = kind
    self.bytes = bytes
  }

  /// The log key of a node, whose name is the origin of its log; nil for other than Ed25519 keys.
  package init?(log key: SSHPublicKey) {
    guard let bytes = key.ed25519 else { return nil }
    self.init(name: key.origin, kind: .log, bytes: bytes)
  }

  /// The key of a witness, whose name says whose it is; nil for other than Ed25519 keys.
  package init?(witness key: SSHPublicKey) {
    guard let bytes = key.ed25519 else { return nil }
    self.init(name: "hotpot-witness/" + SHA256.hash(key.blob).hex, kind: .witness, bytes: bytes)
  }

  package init?(parsing text: some StringProtocol) {
    let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, let id = Hex.parse(parts[1].utf8), let coded = Base64.parse(parts[2]),
      let kind = coded.first.flatMap({ Kind(rawValue: $0) })
    else { return nil }
    self.init(name: String(parts[0]), kind: kind, bytes: Array(coded.dropFirst()))
    guard self.id == id else { return nil }
  }

  package var id: [UInt8] {
    Array(SHA256.hash(Array(name.utf8) + [0x0A, kind.rawValue] + bytes).bytes.prefix(4))
  }

  package var text: String { "\(name)+\(Hex.format(id))+\(Base64.format([kind.rawValue] + bytes))" }

  /// Whether the 64 bytes are this key's signature over a message.
  package func verify(_ signature: some Collection<UInt8>, over message: [UInt8]) -> Ed25519Result {
    guard signature.count == 64 else { return .wrong }
    return switch csystem_ed25519_verify(bytes, message, message.count, Array(signature)) {
    case 1: .holds
    case 0: .wrong
    default: .cannotTell
    }
  }
}

/// What libcrypto says of a signature.
package enum Ed25519Result: Sendable { case holds, wrong, cannotTell }

/// A text with lines of signatures: the text, an empty line, and for each signature an em dash, the
/// key's name and, in base64, the key's id and the signature.
package struct SignedNote: Hashable, Sendable {
  package struct Line: Hashable, Sendable {
    package let name: String
    /// The first 4 bytes are the key's id.
    package let bytes: [UInt8]

    package init(key: NoteKey, signature: [UInt8]) {
      name = key.name
      bytes = key.id + signature
    }

    package init?(parsing text: some StringProtocol) {
      let parts = text.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 3, parts[0] == "\u{2014}", !parts[1].isEmpty, let bytes = Base64.parse(parts[2]),
        bytes.count > 4
      else { return nil }
      name = String(parts[1])
      self.bytes = bytes
    }

    package var text: String { "\u{2014} \(name) \(Base64.format(bytes))\n" }
  }

  /// Ends with a newline, and so does every line of it.
  package let text: String
  package var lines: [Line]

  package static let maximumBytes = 1 << 20
  /// The most signatures that are read.
  package static let maximumLines = 64

  package init(text: String, lines: [Line]) {
    self.text = text
    self.lines = lines
  }

  package init(parsing whole: String) throws(FormatError) {
    func refuse(_ wanted: String) -> FormatError { FormatError(what: "note", line: 1, wanted: wanted) }
    guard whole.utf8.count <= Self.maximumBytes else { throw refuse("at most \(Self.maximumBytes) bytes") }
    let all = whole.split(separator: "\n", omittingEmptySubsequences: false)
    guard all.last?.isEmpty == true, let gap = all.dropLast().lastIndex(where: \.isEmpty), gap > 0 else {
      throw refuse("a text, an empty line and signatures")
    }
    text = all[..<gap].joined(separator: "\n") + "\n"
    let signatures = all[(gap + 1)...].dropLast()
    guard !signatures.isEmpty, signatures.count <= Self.maximumLines else {
      throw refuse("1 to \(Self.maximumLines) signatures")
    }
    lines = []
    for (number, line) in signatures.enumerated() {
      guard let parsed = Line(parsing: line) else {
        throw FormatError(
          what: "note", line: gap + number + 2, wanted: "an em dash, a name, and a signature in base64")
      }
      lines.append(parsed)
    }
  }

  package var whole: String { text + "\n" + lines.map(\.text).joined() }

  /// The signature of a key, without the key's id.
  package func signature(of key: NoteKey) -> ArraySlice<UInt8>? {
    lines.first { $0.name == key.name && $0.bytes.prefix(4).elementsEqual(key.id) }?.bytes.dropFirst(4)
  }
}

/// The head of a log, as the first three lines of a note or a checkpoint say it.
package struct LogHead: Hashable, Sendable {
  package let origin: String
  package let size: Int
  package let root: SHA256Digest

  package init(origin: String, size: Int, root: SHA256Digest) {
    self.origin = origin
    self.size = size
    self.root = root
  }

  /// - text: of a note; lines after the third are of others' making
  package init(parsing text: String) throws(FormatError) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count >= 4, !lines[0].isEmpty, lines[0].utf8.count <= 256,
      let size = Decimal64.parse(lines[1]),
      let root = Base64.parse(lines[2]).flatMap({ SHA256Digest(bytes: $0) })
    else {
      throw FormatError(
        what: "checkpoint", line: 1, wanted: "an origin, a size in decimal and a root in base64")
    }
    self.init(origin: String(lines[0]), size: size, root: root)
  }
}

/// Proof that a receipt is in a log whose checkpoint is a note: C2SP's tlog-proof, with the note in
/// the place of our checkpoint.
package struct NoteProof: Hashable, Sendable {
  package let index: Int
  package let path: [SHA256Digest]
  package let note: SignedNote

  package init(index: Int, path: [SHA256Digest], note: SignedNote) {
    self.index = index
    self.path = path
    self.note = note
  }

  package var text: String {
    let hashes = path.map { Base64.format($0.bytes) + "\n" }.joined()
    return "\(InclusionProof.header)\nindex \(index)\n\(hashes)\n\(note.whole)"
  }

  package init(parsing text: String) throws(FormatError) {
    (index, path, note) = try InclusionProof.parse(text) { (rest) throws(FormatError) in
      try SignedNote(parsing: rest)
    }
  }

  /// Whether the path leads from the receipt's line to the root of the note's head.
  func holds(for line: [UInt8], _ head: LogHead) -> Bool {
    MerkleTree.rootFromInclusion(leaf: SHA256.leaf(line), index: index, size: head.size, path: path)
      == head.root
  }
}

extension Checkpoint {
  /// The checkpoint as the text of a note: its first three lines, without ours.
  package var noteText: String { "\(origin)\n\(size)\n\(Base64.format(root.bytes))\n" }
}

/// A witness' statement that it saw a log's head at a time, and that the log only grew.
package enum NoteCosignature {
  /// What a witness signs.
  static func message(time: UInt64, _ text: String) -> [UInt8] {
    Array("cosignature/v1\ntime \(time)\n\(text)".utf8)
  }

  /// - signature: 64 bytes, over the message
  static func line(_ key: NoteKey, time: UInt64, signature: [UInt8]) -> SignedNote.Line {
    let seconds = (0..<8).map { UInt8(truncatingIfNeeded: time >> (56 - 8 * UInt64($0))) }
    return SignedNote.Line(key: key, signature: seconds + signature)
  }

  /// The time of a key's cosignature of this note, seconds since 1970.
  package static func time(of note: SignedNote, by key: NoteKey) -> Result<UInt64, NoteProblem> {
    guard let bytes = note.signature(of: key) else {
      return .failure(NoteProblem("it has no line of \(key.name)"))
    }
    guard bytes.count == 72 else { return .failure(NoteProblem("the line of \(key.name) is no cosignature")) }
    let time = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    switch key.verify(bytes.dropFirst(8), over: message(time: time, note.text)) {
    case .holds: return .success(time)
    case .wrong: return .failure(NoteProblem("the cosignature of \(key.name) does not hold"))
    case .cannotTell: return .failure(NoteProblem("there is no libcrypto, which checks cosignatures"))
    }
  }
}

/// What is wrong with a note, in words.
package struct NoteProblem: Error, Hashable, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}
