// ReceiptBundle.swift: all that a stranger needs to check one receipt, in one text file; and the
// client's transcript.
// The checks are in Verification.swift. Start at ReceiptBundle.

/// One receipt with its proofs, as a text of sections.
///
/// ```
/// hotpot-bundle 1
/// --- receipt
/// {"seq":7,...}
/// --- proof
/// c2sp.org/tlog-proof@v1
/// ...
/// --- checkpoint
/// hotpot/...
/// ...
/// --- checkpoint.sig
/// -----BEGIN SSH SIGNATURE-----
/// ...
/// --- allowed_signers
/// hotpot namespaces="checkpoint@hotpot,segment@hotpot" ssh-ed25519 AAAA...
/// ```
///
/// The first line is the header. A line of `--- ` and a name begins a section, which lasts to the
/// next such line or the end. Sections come in the order above. These optional ones follow:
/// `consistency` (to an earlier checkpoint), `witness.sig` (a cosignature of the same checkpoint),
/// `cosigned` (one for each other witness: a proof of this receipt for the checkpoint that it saw,
/// an empty line, its signature of that), `note` (a C2SP tlog-proof of this receipt, with the
/// checkpoint as a note that witnesses cosigned), and `transcript` (only if the client added it: it
/// holds prompt and output). No line of a section begins with `--- `. The bytes of a section, extracted,
/// are the file that stock tools check.
///
/// The key in `allowed_signers` is the node's own claim: verifiers compare it with a key that they
/// trust.
public struct ReceiptBundle: Hashable, Sendable {
  static let header = "hotpot-bundle 1"

  /// The names of sections, in their order.
  enum Section: String, CaseIterable {
    case receipt, proof, checkpoint
    case signature = "checkpoint.sig"
    case allowedSigners = "allowed_signers"
    case consistency
    case witness = "witness.sig"
    case cosigned
    case note
    case transcript
  }

  /// Another witness' signature for the receipt, under a separate checkpoint.
  public struct Cosigned: Hashable, Sendable {
    public var proof: InclusionProof
    /// Armored.
    public var signature: String

    public init(proof: InclusionProof, signature: String) {
      self.proof = proof
      self.signature = signature
    }

    var text: String { proof.text + "\n" + signature }

    init(parsing text: String) throws(FormatError) {
      let mark = Array("\n\n-----BEGIN SSH SIGNATURE-----".utf8)
      let bytes = Array(text.utf8)
      guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }) else {
        throw FormatError(what: "cosigned", line: 1, wanted: "a proof, an empty line and a signature")
      }
      proof = try InclusionProof(parsing: String(decoding: bytes[...place], as: UTF8.self))
      signature = String(decoding: bytes[(place + 2)...], as: UTF8.self)
    }
  }

  /// The most that are read: each takes two processes to check.
  public static let maximumCosigned = 16

  /// The receipt's line with its newline.
  public var receipt: String
  public var proof: String
  public var checkpoint: String
  public var signature: String
  public var allowedSigners: String
  public var consistency: String?
  public var witness: String?
  public var cosigned: [Cosigned] = []
  /// `NoteProof`.
  public var note: String?
  public var transcript: String?

  public init(
    receipt: String, proof: String, checkpoint: String, signature: String, allowedSigners: String,
    consistency: String? = nil, witness: String? = nil, transcript: String? = nil
  ) {
    self.receipt = receipt
    self.proof = proof
    self.checkpoint = checkpoint
    self.signature = signature
    self.allowedSigners = allowedSigners
    self.consistency = consistency
    self.witness = witness
    self.transcript = transcript
  }

  /// A bundle for a logged receipt under a signed checkpoint; nil if the checkpoint does not cover
  /// it.
  package init?(
    _ logged: LoggedReceipt, journal: Journal, under signed: SignedCheckpoint, key: SSHPublicKey,
    consistency: ConsistencyProof? = nil
  ) {
    guard let proof = journal.proof(of: logged.receipt.index, under: signed.checkpoint) else { return nil }
    self.init(
      receipt: String(decoding: logged.line, as: UTF8.self), proof: proof.text,
      checkpoint: signed.checkpoint.text,
      signature: signed.signature, allowedSigners: ReceiptBundle.allowedSigners(key),
      consistency: consistency?.text)
  }

  /// The allowed_signers line of a node's key.
  public static func allowedSigners(_ key: SSHPublicKey) -> String {
    "hotpot namespaces=\"\(Checkpoint.namespace),\(Notary.segmentNamespace)\" \(key.text)\n"
  }

  private func contents(_ section: Section) -> [String] {
    switch section {
    case .receipt: [receipt]
    case .proof: [proof]
    case .checkpoint: [checkpoint]
    case .signature: [signature]
    case .allowedSigners: [allowedSigners]
    case .consistency: consistency.map { [$0] } ?? []
    case .witness: witness.map { [$0] } ?? []
    case .cosigned: cosigned.map(\.text)
    case .note: note.map { [$0] } ?? []
    case .transcript: transcript.map { [$0] } ?? []
    }
  }

  public var text: String {
    var text = Self.header + "\n"
    for section in Section.allCases {
      for content in contents(section) {
        text += "--- \(section.rawValue)\n\(content)"
        if !content.hasSuffix("\n") { text += "\n" }
      }
    }
    return text
  }

  /// The largest bundle that is read: a receipt and a transcript of 10^6 tokens fit.
  public static let maximumBytes = 32 << 20

  public init(parsing text: String) throws(FormatError) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "bundle", line: line, wanted: wanted)
    }
    guard text.utf8.count <= Self.maximumBytes else { throw refuse(1, "at most \(Self.maximumBytes) bytes") }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.last?.isEmpty == true else { throw refuse(lines.count, "a newline at the end") }
    lines.removeLast()
    guard lines.first.map(String.init) == Self.header else { throw refuse(1, "'\(Self.header)'") }
    var found: [Section: String] = [:]
    var cosigned: [Cosigned] = []
    var current: Section?
    var content = ""
    var order = -1
    func keep(_ section: Section?, _ content: String, _ line: Int) throws(FormatError) {
      guard let section else { return }
      guard section == .cosigned else {
        found[section] = content
        return
      }
      guard cosigned.count < Self.maximumCosigned else {
        throw refuse(line, "at most \(Self.maximumCosigned) sections 'cosigned'")
      }
      cosigned.append(try Cosigned(parsing: content))
    }
    for (i, line) in lines.enumerated().dropFirst() {
      if line.hasPrefix("--- ") {
        try keep(current, content, i)
        guard let section = Section(rawValue: String(line.dropFirst(4))),
          let place = Section.allCases.firstIndex(of: section)
        else { throw refuse(i + 1, "the name of a section, not '\(line.dropFirst(4).prefix(40))'") }
        guard place > order || section == .cosigned && section == current else {
          throw refuse(i + 1, "each section once and in order, not '\(section.rawValue)' here")
        }
        order = place
        current = section
        content = ""
      } else {
        guard current != nil else { throw refuse(i + 1, "a section") }
        content += line
        content += "\n"
      }
    }
    try keep(current, content, lines.count)
    func need(_ section: Section) throws(FormatError) -> String {
      guard let content = found[section] else {
        throw refuse(lines.count, "the section '\(section.rawValue)'")
      }
      return content
    }
    self.init(
      receipt: try need(.receipt), proof: try need(.proof), checkpoint: try need(.checkpoint),
      signature: try need(.signature), allowedSigners: try need(.allowedSigners),
      consistency: found[.consistency],
      witness: found[.witness], transcript: found[.transcript])
    self.cosigned = cosigned
    note = found[.note]
  }
}

/// What only the client holds: the nonces and the tokens, as one line of canonical JSON.
///
/// ```
/// {"nonce":"<128 hexadecimal
/// digits>","prompt":[1,2],"output":[3],"logit_bias":[[50256,"c2c80000"]],"stop":["END"]}
/// ```
///
/// Token ids are integers below 2^32. A bias is a token id and the bits of its 32-bit float in
/// hexadecimal, in ascending order of id. `stop` holds the stop strings as the client gave them;
/// the key is absent if there are none.
public struct Transcript: Hashable, Sendable {
  public struct Bias: Hashable, Sendable {
    public let token: UInt32
    public let bias: Float

    public init(token: UInt32, bias: Float) {
      self.token = token
      self.bias = bias
    }
  }

  /// What the text had to be, as the client asked for it.
  public struct Constraint: Hashable, Sendable {
    /// One word, such as `json_schema` or `gbnf`.
    public let kind: String
    /// The schema, the grammar, the expression or the choices.
    public let text: String

    public init(kind: String, text: String) {
      self.kind = kind
      self.text = text
    }

    /// SHA-256 of the kind, a line feed, and the text.
    public var digest: SHA256Digest { SHA256.hash(Array("\(kind)\n\(text)".utf8)) }
  }

  public let nonces: Nonces
  public let prompt: [UInt32]
  public let output: [UInt32]
  public let biases: [Bias]
  public let stops: [String]
  public let constraint: Constraint?

  public init(
    nonces: Nonces, prompt: [UInt32], output: [UInt32], biases: [Bias] = [], stops: [String] = [],
    constraint: Constraint? = nil
  ) {
    self.nonces = nonces
    self.prompt = prompt
    self.output = output
    self.biases = biases
    self.stops = stops
    self.constraint = constraint
  }

  public var promptCommitment: SHA256Digest { Commitment.to(tokens: prompt, nonce: nonces.prompt) }
  public var outputCommitment: SHA256Digest { Commitment.to(tokens: output, nonce: nonces.output) }
  public var biasCommitment: SHA256Digest {
    Commitment.to(biases: biases.map { ($0.token, $0.bias) }, nonce: nonces.prompt)
  }
  public var stopCommitment: SHA256Digest { Commitment.to(stopStrings: stops, nonce: nonces.prompt) }

  /// Of what the text had to be; zeros if anything would do.
  public var constraintCommitment: SHA256Digest {
    constraint.map { Commitment.to(constraint: $0, nonce: nonces.prompt) } ?? .zero
  }

  public var text: String {
    func list(_ tokens: [UInt32]) -> String { tokens.map(String.init).joined(separator: ",") }
    let pairs = biases.map { "[\($0.token),\"\(LineWriter.hex(UInt64($0.bias.bitPattern)).suffix(8))\"]" }
    func list(_ texts: [String]) -> String {
      texts.map { text in
        var writer = LineWriter(capacity: text.utf8.count + 2)
        writer.string(text)
        return String(decoding: writer.bytes, as: UTF8.self)
      }.joined(separator: ",")
    }
    let stop = stops.isEmpty ? "" : ",\"stop\":[\(list(stops))]"
    let held = constraint.map { ",\"constraint\":[\(list([$0.kind, $0.text]))]" } ?? ""
    return
      "{\"nonce\":\"\(nonces.hex)\",\"prompt\":[\(list(prompt))],\"output\":[\(list(output))],"
      + "\"logit_bias\":[\(pairs.joined(separator: ","))]\(stop)\(held)}\n"
  }

  public init(parsing text: String) throws(FormatError) {
    let bytes = Array(text.utf8)
    let parsed: Result<Transcript, LineError> = bytes.withUnsafeBytes { raw in
      var scanner = LineScanner(raw)
      do throws(LineError) { return .success(try scanner.transcript()) } catch { return .failure(error) }
    }
    switch parsed {
    case .success(let transcript): self = transcript
    case .failure(let error):
      throw FormatError(what: "transcript", line: 1, wanted: "\(error.wanted) at byte \(error.offset)")
    }
  }
}

extension LineScanner {
  fileprivate mutating func transcript() throws(LineError) -> Transcript {
    try literal("{\"nonce\":")
    let hex = try string(max: 128)
    guard let nonces = Nonces(hex: hex) else { throw LineError(offset: at, wanted: "128 hexadecimal digits") }
    try literal(",\"prompt\":[")
    let prompt = try tokens()
    try literal(",\"output\":[")
    let output = try tokens()
    try literal(",\"logit_bias\":[")
    var biases: [Transcript.Bias] = []
    while !starts(with: "]") {
      if !biases.isEmpty { try literal(",") }
      try literal("[")
      let token = try token()
      guard biases.last.map({ $0.token < token }) ?? true else {
        throw LineError(offset: at, wanted: "biases in ascending order of token")
      }
      try literal(",")
      let start = at
      let text = try string(max: 8)
      guard text.utf8.count == 8, text.utf8.allSatisfy({ Hex.value($0) != nil }),
        let bits = UInt32(text, radix: 16)
      else { throw LineError(offset: start, wanted: "8 hexadecimal digits") }
      try literal("]")
      biases.append(Transcript.Bias(token: token, bias: Float(bitPattern: bits)))
    }
    try literal("]")
    var stops: [String] = []
    if starts(with: ",\"stop\":[") {
      try literal(",\"stop\":[")
      repeat {
        if !stops.isEmpty { try literal(",") }
        guard stops.count < 64 else { throw LineError(offset: at, wanted: "at most 64 stop strings") }
        stops.append(try string(max: 1 << 16))
      } while !starts(with: "]")
      try literal("]")
    }
    var constraint: Transcript.Constraint?
    if starts(with: ",\"constraint\":[") {
      try literal(",\"constraint\":[")
      let kind = try string(max: 64)
      try literal(",")
      constraint = Transcript.Constraint(kind: kind, text: try string(max: 1 << 20))
      try literal("]")
    }
    try literal("}\n")
    guard at == bytes.count else { throw LineError(offset: at, wanted: "the end of the line") }
    return Transcript(
      nonces: nonces, prompt: prompt, output: output, biases: biases, stops: stops, constraint: constraint)
  }

  private mutating func token() throws(LineError) -> UInt32 {
    let start = at
    guard let token = UInt32(exactly: try decimal()) else {
      throw LineError(offset: start, wanted: "a token id")
    }
    return token
  }

  private mutating func tokens() throws(LineError) -> [UInt32] {
    var tokens: [UInt32] = []
    while !starts(with: "]") {
      if !tokens.isEmpty { try literal(",") }
      tokens.append(try token())
    }
    try literal("]")
    return tokens
  }
}
