// Checkpoint.swift: the signed head of the log, and the proof files that lead to it.
// The tree is in MerkleTree.swift, signing in Notary.swift. Start at Checkpoint.

/// A text that isn't a valid checkpoint, proof or bundle.
public struct FormatError: Error, Hashable, Sendable, CustomStringConvertible {
  public let what: String
  public let line: Int
  public let wanted: String

  public init(what: String, line: Int, wanted: String) {
    self.what = what
    self.line = line
    self.wanted = wanted
  }

  public var description: String { "\(what), line \(line): wanted \(wanted)" }
}

/// The head of the log at one moment, in the layout of C2SP `tlog-checkpoint` with two lines of our
/// own.
///
/// ```
/// hotpot/43a7f15b6ab0a3e17ba2c76f04ee28f5b4b3c54a4ed6d1f3a11ba7f3efb0d5c6
/// 2
/// 7aqhPKzXvNLYbQKEGtVnj9wS4WvZlCLPHCtBoSxBxxU=
/// time 1790000000000000
/// prev-checkpoint-sha256 0000000000000000000000000000000000000000000000000000000000000000
/// ```
///
/// The origin is `hotpot/` and the SHA-256 of the node's public key blob in hexadecimal (what
/// `ssh-keygen -l` shows in base64). It is followed by the size in decimal, the RFC 6962 root in
/// base64, the time in microseconds since 1970-01-01 00:00 UTC, and the SHA-256 of the text of the
/// previous checkpoint, zeros for the first. Every line ends with a newline, and there is no other
/// byte. The signature is a detached SSH signature (`PROTOCOL.sshsig`) over these bytes, namespace
/// `checkpoint@hotpot`.
public struct Checkpoint: Hashable, Sendable {
  public static let namespace = "checkpoint@hotpot"

  public let origin: String
  public let size: Int
  public let root: SHA256Digest
  public let time: Int64
  public let previous: SHA256Digest

  public init(origin: String, size: Int, root: SHA256Digest, time: Int64, previous: SHA256Digest) {
    self.origin = origin
    self.size = size
    self.root = root
    self.time = time
    self.previous = previous
  }

  public var text: String {
    """
    \(origin)
    \(size)
    \(Base64.format(root.bytes))
    time \(time)
    prev-checkpoint-sha256 \(previous.hex)

    """
  }

  /// SHA-256 of the text: what the next checkpoint refers to.
  public var sha256: SHA256Digest { SHA256.hash(Array(text.utf8)) }

  public init(parsing text: String) throws(FormatError) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "checkpoint", line: line, wanted: wanted)
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.count == 6, lines[5].isEmpty else { throw refuse(min(lines.count, 6), "five lines") }
    guard !lines[0].isEmpty, lines[0].utf8.count <= 256,
      lines[0].utf8.allSatisfy({ $0 > .space && $0 < .delete && $0 != 0x2B })
    else { throw refuse(1, "an origin without spaces and '+'") }
    guard let size = Decimal64.parse(lines[1]) else { throw refuse(2, "a size in decimal") }
    guard let root = Base64.parse(lines[2]).flatMap({ SHA256Digest(bytes: $0) }) else {
      throw refuse(3, "a root of 32 bytes in base64")
    }
    guard lines[3].hasPrefix("time "), let time = Decimal64.parse(lines[3].dropFirst(5)) else {
      throw refuse(4, "'time' and microseconds")
    }
    guard lines[4].hasPrefix("prev-checkpoint-sha256 "),
      let previous = SHA256Digest(hex: lines[4].dropFirst(23))
    else {
      throw refuse(5, "'prev-checkpoint-sha256' and 64 hexadecimal digits")
    }
    self.init(origin: String(lines[0]), size: size, root: root, time: Int64(size: time), previous: previous)
  }
}

extension Int64 {
  fileprivate init(size: Int) { self = Int64(size) }
}

/// Decimal numbers from 0 to 2^53 - 1, in their canonical spelling only.
enum Decimal64 {
  static func parse(_ text: some StringProtocol) -> Int? {
    let digits = Array(text.utf8)
    guard (1...16).contains(digits.count), digits.allSatisfy({ (.zero ... .nine).contains($0) }),
      digits.count == 1 || digits[0] != .zero, let value = Int(text), value <= Int(largestExactInteger)
    else { return nil }
    return value
  }
}

/// Proof that a receipt is in the log, in the layout of C2SP `tlog-proof`: a header, the index, the
/// audit path from the leaf's sibling to the root's child in base64, an empty line, and the
/// checkpoint.
///
/// ```
/// c2sp.org/tlog-proof@v1
/// index 1
/// W8MrwZaTQ0ZZGJ5v8uDWCw1nyHqlzKr1b5bCbUW4tGo=
///
/// (the checkpoint's lines)
/// ```
///
/// The checkpoint is included as it was signed; its SSH signature travels in a separate file.
public struct InclusionProof: Hashable, Sendable {
  static let header = "c2sp.org/tlog-proof@v1"

  public let index: Int
  public let path: [SHA256Digest]
  public let checkpoint: Checkpoint

  public init(index: Int, path: [SHA256Digest], checkpoint: Checkpoint) {
    self.index = index
    self.path = path
    self.checkpoint = checkpoint
  }

  public var text: String {
    let hashes = path.map { Base64.format($0.bytes) + "\n" }.joined()
    return "\(Self.header)\nindex \(index)\n\(hashes)\n\(checkpoint.text)"
  }

  public init(parsing text: String) throws(FormatError) {
    (index, path, checkpoint) = try Self.parse(text) { (rest) throws(FormatError) in
      try Checkpoint(parsing: rest)
    }
  }

  /// Index, path, and what a reader makes of the lines after them.
  static func parse<T>(
    _ text: String, _ read: (_ rest: String) throws(FormatError) -> T
  ) throws(FormatError) -> (index: Int, path: [SHA256Digest], rest: T) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "proof", line: line, wanted: wanted)
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.first.map(String.init) == Self.header else { throw refuse(1, "'\(Self.header)'") }
    guard lines.count > 1, lines[1].hasPrefix("index "), let index = Decimal64.parse(lines[1].dropFirst(6))
    else {
      throw refuse(2, "'index' and a number")
    }
    var path: [SHA256Digest] = []
    var at = 2
    while at < lines.count, !lines[at].isEmpty {
      guard path.count < 64, let hash = Base64.parse(lines[at]).flatMap({ SHA256Digest(bytes: $0) }) else {
        throw refuse(at + 1, "a hash of 32 bytes in base64, at most 64 of them")
      }
      path.append(hash)
      at += 1
    }
    guard at < lines.count else { throw refuse(at, "an empty line and a checkpoint") }
    return (index, path, try read(lines[(at + 1)...].joined(separator: "\n")))
  }

  /// Whether the path leads from the receipt's line to the checkpoint's root.
  public func holds(for line: [UInt8]) -> Bool {
    MerkleTree.rootFromInclusion(
      leaf: SHA256.leaf(line), index: index, size: checkpoint.size, path: path) == checkpoint.root
  }
}

/// Proof that one state of the log is a prefix of another (RFC 6962, 2.1.2): a header, both sizes,
/// the hashes in base64.
///
/// ```
/// hotpot-consistency 1
/// from 100
/// to 250
/// W8MrwZaTQ0ZZGJ5v8uDWCw1nyHqlzKr1b5bCbUW4tGo=
/// ```
public struct ConsistencyProof: Hashable, Sendable {
  static let header = "hotpot-consistency 1"

  public let from: Int
  public let to: Int
  public let path: [SHA256Digest]

  public init(from: Int, to: Int, path: [SHA256Digest]) {
    self.from = from
    self.to = to
    self.path = path
  }

  public var text: String {
    "\(Self.header)\nfrom \(from)\nto \(to)\n" + path.map { Base64.format($0.bytes) + "\n" }.joined()
  }

  public init(parsing text: String) throws(FormatError) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "consistency proof", line: line, wanted: wanted)
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.first.map(String.init) == Self.header else { throw refuse(1, "'\(Self.header)'") }
    guard lines.count > 1, lines[1].hasPrefix("from "), let from = Decimal64.parse(lines[1].dropFirst(5))
    else {
      throw refuse(2, "'from' and a size")
    }
    guard lines.count > 2, lines[2].hasPrefix("to "), let to = Decimal64.parse(lines[2].dropFirst(3)) else {
      throw refuse(3, "'to' and a size")
    }
    guard lines.count > 3, lines[lines.count - 1].isEmpty, lines.count - 4 <= 128 else {
      throw refuse(lines.count, "at most 128 hashes and a newline at the end")
    }
    var path: [SHA256Digest] = []
    for (i, line) in lines[3..<(lines.count - 1)].enumerated() {
      guard let hash = Base64.parse(line).flatMap({ SHA256Digest(bytes: $0) }) else {
        throw refuse(i + 4, "a hash of 32 bytes in base64")
      }
      path.append(hash)
    }
    self.init(from: from, to: to, path: path)
  }
}
