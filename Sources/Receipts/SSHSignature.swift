// SSHSignature.swift: what an SSH public key and a detached SSH signature contain, read without
// verifying anything.
// ssh-keygen does the verifying (SSHKeygen.swift); this only explains failures. Start at
// SSHSignature.

/// A public key as in a `.pub` file: type, base64 blob, comment.
public struct SSHPublicKey: Hashable, Sendable {
  public let type: String
  public let blob: [UInt8]

  /// As `ssh-keygen -l` prints it: `SHA256:` and base64 without padding.
  public var fingerprint: String {
    "SHA256:" + String(Base64.format(SHA256.hash(blob).bytes).prefix { $0 != "=" })
  }

  /// The origin line of this key's log.
  public var origin: String { "hotpot/" + SHA256.hash(blob).hex }

  /// `type base64`, for `allowed_signers`.
  public var text: String { "\(type) \(Base64.format(blob))" }

  /// The 32 bytes of an Ed25519 key; nil for another type.
  package var ed25519: [UInt8]? {
    var reader = WireReader(blob)
    guard type == "ssh-ed25519", reader.string() != nil, let key = reader.string(), key.count == 32,
      reader.isAtEnd
    else { return nil }
    return key
  }

  /// The first key in the text of a `.pub` file; nil for anything else.
  public init?(parsing text: String) {
    let words = text.split(whereSeparator: { $0 == " " || $0 == "\n" })
    guard words.count >= 2, let blob = Base64.parse(words[1]), let type = SSHPublicKey.type(of: blob),
      type == words[0]
    else { return nil }
    self.type = type
    self.blob = blob
  }

  init?(blob: [UInt8]) {
    guard let type = SSHPublicKey.type(of: blob) else { return nil }
    self.type = type
    self.blob = blob
  }

  private static func type(of blob: [UInt8]) -> String? {
    var reader = WireReader(blob)
    guard let name = reader.string(), (1...64).contains(name.count),
      name.allSatisfy({ $0 > .space && $0 < .delete })
    else { return nil }
    return String(decoding: name, as: UTF8.self)
  }
}

/// A detached signature (`PROTOCOL.sshsig`): which key, for which namespace. Parsing it does not
/// verify it.
public struct SSHSignature: Hashable, Sendable {
  public let key: SSHPublicKey
  public let namespace: String

  public init(parsing armored: String) throws(FormatError) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "signature", line: line, wanted: wanted)
    }
    var lines = armored.split(separator: "\n", omittingEmptySubsequences: false)[...]
    while lines.last?.isEmpty == true { lines.removeLast() }
    guard lines.popFirst() == "-----BEGIN SSH SIGNATURE-----" else {
      throw refuse(1, "'-----BEGIN SSH SIGNATURE-----'")
    }
    let count = lines.count
    guard lines.popLast() == "-----END SSH SIGNATURE-----" else {
      throw refuse(count + 1, "'-----END SSH SIGNATURE-----'")
    }
    guard let blob = Base64.parse(lines.joined()) else { throw refuse(2, "base64") }
    guard blob.starts(with: Array("SSHSIG".utf8)) else { throw refuse(2, "an SSH signature") }
    var reader = WireReader(Array(blob.dropFirst(6)))
    guard reader.number() == 1 else { throw refuse(2, "version 1 of the format") }
    guard let key = reader.string().flatMap({ SSHPublicKey(blob: $0) }), let namespace = reader.string(),
      reader.string() != nil, reader.string() != nil, reader.string() != nil, reader.isAtEnd
    else { throw refuse(2, "key, namespace, hash and signature") }
    self.key = key
    self.namespace = String(decoding: namespace, as: UTF8.self)
  }
}

/// SSH's wire encoding (RFC 4251, 5), as far as signatures need it.
struct WireReader {
  private let bytes: [UInt8]
  private var at = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { at == bytes.count }

  mutating func number() -> Int? {
    guard bytes.count - at >= 4 else { return nil }
    let value = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
    at += 4
    return value
  }

  mutating func string() -> [UInt8]? {
    guard let count = number(), count <= bytes.count - at else { return nil }
    defer { at += count }
    return Array(bytes[at..<at + count])
  }
}
