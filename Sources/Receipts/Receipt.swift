// Receipt.swift: what a receipt says, how tokens are committed to, and how hidden states become
// window hashes. The doc comment of Receipt is the specification of its line. Not here: where
// receipts are kept (Journal.swift), how they are checked (Verification.swift). Start at Receipt.

/// One job's receipt: this key ran these weights on this prompt with this sampler and got these
/// tokens, for this price.
///
/// A receipt is one line of the journal: a JSON object with these keys in this order, no white
/// space, and a newline.
///
/// | key | value |
/// | --- | --- |
/// | `seq` | number of the line in the journal, from 0 |
/// | `t` | when it was written, microseconds since 1970-01-01 00:00 UTC, as all times here |
/// | `type` | `"receipt"` |
/// | `group` | `seq` of the first line that was synced together with this one |
/// | `v` | version of these keys: `5` for the vector of a text; `4` for an answer to messages, which a template rendered; `3` for another answer under a constraint, otherwise `2`; a receipt has no key marked with a higher version, one of version 5 none marked with 3 or 4, and one of version 1 has no `v` |
/// | `index` | number of the receipt in the log, from 0 |
/// | `node` | fingerprint of the node's key as `ssh-keygen -l` prints it |
/// | `job`, `client` | job id (16 hexadecimal digits), client's name |
/// | `model`, `model_sha256` | the model's name, and the SHA-256 of the bytes of its GGUF file |
/// | `numerics` | profile of the arithmetic, for example `N1/A15/KVi16` |
/// | `prompt_commitment` | SHA-256(nonce of the prompt, 32 bytes \|\| token ids as little-endian 32-bit words) |
/// | `output_commitment` | the same with the nonce of the output, over the generated tokens; of a vector over the bits of its 32-bit floats |
/// | `prompt_tokens`, `cached_tokens`, `completion_tokens` | counts; cached ones are part of the prompt's |
/// | `max_tokens` | the most that could have been generated |
/// | `temperature`, `top_p`, `min_p`, `repetition_penalty`, `presence_penalty`, `frequency_penalty` | the bits of the 32-bit float, in hexadecimal: `3f000000` is 0.5 |
/// | `top_k`, `seed` | integer; integer below 2^64 as a string |
/// | `logit_bias` | SHA-256(nonce of the prompt \|\| for each bias: token id, bits of the 32-bit float, both little-endian) |
/// | `stop_strings` (2) | SHA-256(nonce of the prompt \|\| for each stop string: its length in bytes, little-endian 32-bit, its UTF-8) |
/// | `ignore_eos` (2) | `true` where the client asked to go on past end tokens |
/// | `seed_by` (2) | who chose the seed: `client` or `node` |
/// | `constraint` (3) | SHA-256(nonce of the prompt \|\| SHA-256 of what the text had to be: its kind, a line feed, its text); in version 4 zeros where it could be any text |
/// | `template` (4) | SHA-256 of the chat template's text, in UTF-8 |
/// | `template_time`, `template_zone` (4) | the clock that the template was handed: when, and the seconds east of UTC of the node's time zone then |
/// | `parser` (4) | the form in which the answer's text was read as a message with calls and reasoning; `reasoning` where only that was read; empty where the answer is its text |
/// | `pooling`, `dimensions` (5) | how the hidden states of the text became its vector (`mean`, `cls`, `last`); how many numbers it has |
/// | `finish` | why generation ended: `stop` (an end token), `stop_string`, `length` (`max_tokens`), `context` (`max_tokens` is what the context left, and was reached), `cancelled_by_client`, `cancelled_by_operator`, `expired` (the job's time limit). Version 1 says `cancelled` for the last three and `length` for `context` |
/// | `submitted`, `started`, `first_token`, `ended` | times; `first_token` is 0 when there was none |
/// | `currency`, `price_prompt`, `price_cached`, `price_completion`, `price_minimum` | micro-units for a million tokens; the minimum in micro-units |
/// | `amount` | micro-units: the larger of the minimum and the sum of tokens times price, rounded up |
/// | `day` | days since 1970-01-01 in the node's time zone when the job ended: the day on which the amount is earned |
/// | `windows` | 32 bytes for every 32 generated tokens, the last may be shorter, in base64 |
/// | `prev` | SHA-256 of the previous line with its newline, zeros for the first |
/// | `h` | first 16 hexadecimal digits of the SHA-256 of the line up to here, that is of all before `,"h":` |
///
/// A window hash is the SHA-256 of its positions' digests one after the other. A position's digest
/// is the SHA-256 of the bits of the final hidden state (after the last normalisation, f32,
/// little-endian) from which its token was chosen.
///
/// The log's leaf is SHA-256(0x00 || line with its newline). The receipt's id is the first 16
/// hexadecimal digits of it.
///
/// Example: 3 tokens were generated, and the nonces are 32 bytes of 0x11 and 32 bytes of 0x22
/// (never use such).
///
/// ```
/// {"seq":0,"t":1790000001000123,"type":"receipt","group":0,"v":2,"index":0,"node":"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU","job":"000000000000feed","client":"alice","model":"smollm2","model_sha256":"2d6e5b4efedbc3a739d84f09bfd11328b7807c96ba35aeb2643aed289c4b0604","numerics":"N1/A15/KVi16","prompt_commitment":"8b4fe897be8dd15edec4cb7ada69421a23ce278779a737900f33b4181c378c1f","output_commitment":"dd71c22ce950619d88e9829c33a023f53ca083a9c7254491e92da7dc634744fa","prompt_tokens":2,"cached_tokens":0,"completion_tokens":3,"max_tokens":64,"temperature":"3f333333","top_p":"3f733333","min_p":"00000000","repetition_penalty":"3f800000","presence_penalty":"00000000","frequency_penalty":"00000000","top_k":0,"seed":"18446744073709551615","logit_bias":"02d449a31fbb267c8f352e9968a79e3e5fc95c1bbeaa502fd6454ebde5a4bedc","stop_strings":"02d449a31fbb267c8f352e9968a79e3e5fc95c1bbeaa502fd6454ebde5a4bedc","ignore_eos":false,"seed_by":"client","finish":"stop","submitted":1790000000000000,"started":1790000000100000,"first_token":1790000000200000,"ended":1790000001000000,"currency":"EUR","price_prompt":100000,"price_cached":10000,"price_completion":400000,"price_minimum":1,"amount":2,"day":20000,"windows":"qJji3I8lg5Ui5LdCH+sWkyt67OI88OMFmZlIPrN70WU=","prev":"0000000000000000000000000000000000000000000000000000000000000000","h":"9d11d19bf39fe48e"}
/// ```
public struct Receipt: Hashable, Sendable {
  /// How a job ended.
  public enum Finish: String, Sendable, CaseIterable, LineChoice {
    /// The model produced an end token.
    case stop
    /// The text reached a stop string.
    case stopString = "stop_string"
    /// `max_tokens`; in version 1 also the end of the context.
    case length
    /// The client named no `max_tokens`, and the context is full.
    case context
    /// Version 1: the client disconnected, the operator stopped it or its time ran out. The receipt
    /// covers what was generated.
    case cancelled
    case cancelledByClient = "cancelled_by_client"
    case cancelledByOperator = "cancelled_by_operator"
    /// The job's own time limit.
    case expired

    /// Whether a receipt of this version can have this value.
    func exists(inVersion version: Int) -> Bool {
      switch self {
      case .stop, .stopString, .length: true
      case .cancelled: version == 1
      case .context, .cancelledByClient, .cancelledByOperator, .expired: version > 1
      }
    }

    /// It was ended from outside, between any two tokens.
    public var isCut: Bool {
      switch self {
      case .stop, .stopString, .length, .context: false
      case .cancelled, .cancelledByClient, .cancelledByOperator, .expired: true
      }
    }
  }

  /// Who chose the seed.
  public enum Chooser: String, Sendable, CaseIterable, LineChoice { case client, node }

  /// Settings of the sampler, as defined by the numerics profile.
  public struct Sampler: Hashable, Sendable {
    public var temperature: Float = 0
    public var topK: Int = 0
    public var topP: Float = 1
    public var minP: Float = 0
    public var repetitionPenalty: Float = 1
    public var presencePenalty: Float = 0
    public var frequencyPenalty: Float = 0
    public var seed: UInt64 = 0

    public init() {}
  }

  /// How messages became a prompt, and the text of the answer a message.
  public struct Rendering: Hashable, Sendable {
    /// SHA-256 of the chat template's text.
    public var template: SHA256Digest
    /// The clock that it was handed: microseconds since 1970, and seconds east of UTC.
    public var time: Int64
    public var zone: Int32
    /// The form in which the answer was read; empty where the answer is its text.
    public var parser: String

    public init(template: SHA256Digest = .zero, time: Int64 = 0, zone: Int32 = 0, parser: String = "") {
      self.template = template
      self.time = time
      self.zone = zone
      self.parser = parser
    }
  }

  /// Micro-units of the currency per million tokens, and the least that a job costs.
  public struct Price: Hashable, Sendable {
    public var prompt: Int64 = 0
    public var cached: Int64 = 0
    public var completion: Int64 = 0
    public var minimum: Int64 = 0

    public init(prompt: Int64 = 0, cached: Int64 = 0, completion: Int64 = 0, minimum: Int64 = 0) {
      self.prompt = prompt
      self.cached = cached
      self.completion = completion
      self.minimum = minimum
    }

    /// What the tokens cost: the exact sum, rounded up to a micro-unit, at least the minimum; nil
    /// if it exceeds 64 bits.
    public func amount(promptTokens: Int, cachedTokens: Int, completionTokens: Int) -> Int64? {
      let exact =
        (Int128(promptTokens) - Int128(cachedTokens)) * Int128(prompt) + Int128(cachedTokens) * Int128(cached)
        + Int128(completionTokens) * Int128(completion)
      guard let rounded = Int64(exactly: (exact + 999_999) / 1_000_000) else { return nil }
      return max(rounded, minimum)
    }
  }

  /// The most window hashes that fit a line, and so the most tokens that one job can generate.
  public static let maximumWindows = 1_280
  public static let maximumCompletionTokens = maximumWindows * WindowHashes.tokensPerWindow
  /// The most numbers of a vector.
  static let maximumDimensions = 1 << 20

  /// The newest that this build reads and writes. Receipts of older versions are read, and rewritten
  /// byte for byte.
  public static let newestVersion = 5
  /// What the vector of a text has.
  static let vectorVersion = 5
  /// What an answer has whose prompt a template rendered.
  static let renderedVersion = 4
  /// What an answer under a constraint has whose prompt no template rendered.
  static let constrainedVersion = 3
  /// What an answer without a constraint has whose prompt no template rendered.
  public static let plainVersion = 2

  /// Determines which keys the line has.
  public var version = Receipt.plainVersion
  /// Number in the log. The journal's writer sets it and ignores the caller's value.
  public internal(set) var index: Int = 0
  public var node = ""
  public var job: UInt64 = 0
  public var client = ""
  public var model = ""
  public var modelSHA256 = SHA256Digest.zero
  public var numerics = ""
  public var promptCommitment = SHA256Digest.zero
  public var outputCommitment = SHA256Digest.zero
  public var promptTokens = 0
  public var cachedTokens = 0
  public var completionTokens = 0
  public var maxTokens = 0
  public var sampler = Sampler()
  public var logitBias = SHA256Digest.zero
  /// Version 2, like the next two: the commitment to the strings at which the text ends.
  public var stopStrings = SHA256Digest.zero
  /// Version 3: the commitment to what the text had to be.
  public var constraint = SHA256Digest.zero
  /// Version 4: how the prompt was made, and the answer read.
  public var rendering = Rendering()
  /// Version 5: how the text's hidden states became its vector; empty where tokens were generated.
  public var pooling = ""
  /// Version 5: the numbers of the vector, which stand in the place of an output's tokens.
  public var dimensions = 0
  public var ignoresEnd = false
  public var seedBy = Chooser.client
  public var finish = Finish.stop
  public var submitted: Int64 = 0
  public var started: Int64 = 0
  /// 0 when no token was generated.
  public var firstToken: Int64 = 0
  public var ended: Int64 = 0
  public var currency = ""
  /// The largest price or amount, in micro-units: a line holds no larger number.
  public static let largestAmount = largestExactInteger

  public var price = Price()
  public var amount: Int64 = 0
  public var day: Int32 = 0
  public var windows: [SHA256Digest] = []

  /// An empty receipt, to be filled field by field; `Journal.append` refuses values that don't fit
  /// a line.
  public init() {}
}

extension Receipt: JournalRecord {
  static let word = "receipt"
  static let keeping = Keeping.receipts

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.version(&version, upTo: Receipt.newestVersion)
    try line.count("index", &index)
    try line.text("node", &node, max: 128)
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.text("model", &model, max: 512)
    try line.digest("model_sha256", &modelSHA256)
    try line.text("numerics", &numerics, max: 64)
    try line.digest("prompt_commitment", &promptCommitment)
    try line.digest("output_commitment", &outputCommitment)
    try line.count("prompt_tokens", &promptTokens, max: Int(UInt32.max))
    try line.count("cached_tokens", &cachedTokens, max: Int(UInt32.max))
    try line.count("completion_tokens", &completionTokens, max: Int(UInt32.max))
    try line.count("max_tokens", &maxTokens, max: Int(UInt32.max))
    try line.bits("temperature", &sampler.temperature)
    try line.bits("top_p", &sampler.topP)
    try line.bits("min_p", &sampler.minP)
    try line.bits("repetition_penalty", &sampler.repetitionPenalty)
    try line.bits("presence_penalty", &sampler.presencePenalty)
    try line.bits("frequency_penalty", &sampler.frequencyPenalty)
    try line.count("top_k", &sampler.topK)
    try line.big("seed", &sampler.seed)
    try line.digest("logit_bias", &logitBias)
    if version > 1 {
      try line.digest("stop_strings", &stopStrings)
      try line.flag("ignore_eos", &ignoresEnd)
      try line.choice("seed_by", &seedBy)
    } else {
      // The reused value may have held another line's.
      (stopStrings, ignoresEnd, seedBy) = (.zero, false, .client)
    }
    if version > 2, version != Receipt.vectorVersion {
      try line.digest("constraint", &constraint)
    } else {
      constraint = .zero
    }
    if isRendered {
      try line.digest("template", &rendering.template)
      try line.time("template_time", &rendering.time)
      var zone = Int64(rendering.zone)
      try line.integer("template_zone", &zone, -86_400...86_400)
      rendering.zone = Int32(truncatingIfNeeded: zone)
      try line.text("parser", &rendering.parser, max: 64)
    } else {
      rendering = Rendering()
    }
    if version == Receipt.vectorVersion {
      try line.text("pooling", &pooling, max: 16)
      try line.count("dimensions", &dimensions, max: Receipt.maximumDimensions)
    } else {
      (pooling, dimensions) = ("", 0)
    }
    try line.choice("finish", &finish)
    guard finish.exists(inVersion: version) else {
      throw line.refusal(
        "an end that receipts of version \(version) know, not '\(finish.rawValue)', for 'finish'")
    }
    try line.time("submitted", &submitted)
    try line.time("started", &started)
    try line.time("first_token", &firstToken)
    try line.time("ended", &ended)
    try line.text("currency", &currency, max: 16)
    try line.amount("price_prompt", &price.prompt)
    try line.amount("price_cached", &price.cached)
    try line.amount("price_completion", &price.completion)
    try line.amount("price_minimum", &price.minimum)
    try line.amount("amount", &amount)
    try line.day("day", &day)
    try line.digests("windows", &windows, max: Receipt.maximumWindows)
  }
}

extension LineCoder {
  @inline(__always)
  mutating func day(_ key: StaticString, _ value: inout Int32) throws(LineError) {
    var wide = Int64(value)
    try integer(key, &wide, Int64(Int32.min)...Int64(Int32.max))
    value = Int32(truncatingIfNeeded: wide)
  }
}

/// The two random values that only the client gets: they keep everyone else from confirming a
/// guessed prompt by its commitment.
///
/// Text: 128 lower-case hexadecimal digits, the prompt's nonce first.
public struct Nonces: Hashable, Sendable {
  /// 32 bytes each.
  public let prompt: SHA256Digest
  public let output: SHA256Digest

  /// From 64 random bytes (the caller's generator must be the system's); nil for another count.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 64, let prompt = SHA256Digest(bytes: bytes[..<32]),
      let output = SHA256Digest(bytes: bytes[32...])
    else { return nil }
    self.prompt = prompt
    self.output = output
  }

  /// From the text that the client was given.
  public init?(hex: String) {
    guard let bytes = Hex.parse(hex.utf8) else { return nil }
    self.init(bytes: bytes)
  }

  /// Fresh ones from the system's generator.
  public static func random() -> Nonces {
    var generator = SystemRandomNumberGenerator()
    func word() -> UInt64 { generator.next() }
    return Nonces(
      prompt: SHA256Digest(word(), word(), word(), word()),
      output: SHA256Digest(word(), word(), word(), word()))
  }

  private init(prompt: SHA256Digest, output: SHA256Digest) {
    self.prompt = prompt
    self.output = output
  }

  /// The nonces of a receipt whose client chose a value too: SHA-256(the client's 32 bytes || each
  /// of these). A receipt that they open is younger than the client's value.
  package func bound(to client: SHA256Digest) -> Nonces {
    func both(_ own: SHA256Digest) -> SHA256Digest {
      var hash = SHA256()
      hash.update(client)
      hash.update(own)
      return hash.finish()
    }
    return Nonces(prompt: both(prompt), output: both(output))
  }

  /// Those of somebody who has none: they open nothing.
  package static let zero = Nonces(prompt: .zero, output: .zero)

  public var hex: String { prompt.hex + output.hex }
}

/// Binding and hiding: SHA-256(nonce || data).
public enum Commitment {
  /// Commits to token ids, each as a little-endian 32-bit word.
  public static func to(tokens: [UInt32], nonce: SHA256Digest) -> SHA256Digest {
    var hash = SHA256()
    hash.update(nonce)
    tokens.map(\.littleEndian).withUnsafeBytes { hash.update($0) }
    return hash.finish()
  }

  /// Commits to logit biases in ascending order of token: id, then the bits of the bias, both
  /// little-endian 32-bit words.
  public static func to(biases: [(token: UInt32, bias: Float)], nonce: SHA256Digest) -> SHA256Digest {
    var hash = SHA256()
    hash.update(nonce)
    biases.flatMap { [$0.token.littleEndian, $0.bias.bitPattern.littleEndian] }.withUnsafeBytes {
      hash.update($0)
    }
    return hash.finish()
  }
}

extension Commitment {
  /// Commits to stop strings as the client gave them: the length of each in bytes as a
  /// little-endian 32-bit word, then its UTF-8.
  public static func to(stopStrings: [String], nonce: SHA256Digest) -> SHA256Digest {
    var hash = SHA256()
    hash.update(nonce)
    for text in stopStrings {
      let bytes = Array(text.utf8)
      withUnsafeBytes(of: UInt32(truncatingIfNeeded: bytes.count).littleEndian) { hash.update($0) }
      hash.update(bytes)
    }
    return hash.finish()
  }
}

extension Commitment {
  /// Commits to what a text had to be.
  public static func to(constraint: Transcript.Constraint, nonce: SHA256Digest) -> SHA256Digest {
    var hash = SHA256()
    hash.update(nonce)
    hash.update(constraint.digest)
    return hash.finish()
  }
}

extension Receipt {
  /// Whether the text had to be something.
  public var isConstrained: Bool { constraint != .zero }

  /// Whether a template made the prompt, and the receipt says which.
  public var isRendered: Bool { version == Receipt.renderedVersion }

  /// Says what the text had to be and how the prompt was made, in the version that can.
  /// - rendering: nil if no template made the prompt
  public mutating func bind(
    _ constraint: Transcript.Constraint?, _ rendering: Rendering?, nonce: SHA256Digest
  ) {
    version =
      rendering != nil
      ? Receipt.renderedVersion : constraint != nil ? Receipt.constrainedVersion : Receipt.plainVersion
    self.rendering = rendering ?? Rendering()
    self.constraint = constraint.map { Commitment.to(constraint: $0, nonce: nonce) } ?? .zero
  }

  /// Says that the output is a vector, in the version that can.
  public mutating func embed(pooling: String, dimensions: Int) {
    version = Receipt.vectorVersion
    (self.pooling, self.dimensions) = (pooling, dimensions)
  }

  /// Whether the output is the vector of a text: its commitment is to the bits of its numbers.
  public var isVector: Bool { version == Receipt.vectorVersion }

  /// Words of the output: generated tokens, or numbers of a vector.
  public var outputCount: Int { isVector ? dimensions : completionTokens }
}

/// Collects one digest per generated token and returns one hash per window of 32.
public struct WindowHashes: Sendable {
  public static let tokensPerWindow = 32

  private var complete: [SHA256Digest] = []
  private var open = SHA256()
  /// Positions so far.
  public private(set) var count = 0

  public init() {}

  /// How many windows `tokens` generated tokens have.
  public static func count(tokens: Int) -> Int {
    tokens / tokensPerWindow + (tokens % tokensPerWindow > 0 ? 1 : 0)
  }

  /// - position: SHA-256 of the bits of the final hidden state of the next generated token.
  public mutating func append(_ position: SHA256Digest) {
    open.update(position)
    count += 1
    if count % WindowHashes.tokensPerWindow == 0 {
      complete.append(open.finish())
      open = SHA256()
    }
  }

  /// All windows so far, including the unfinished one.
  public var windows: [SHA256Digest] {
    count % WindowHashes.tokensPerWindow == 0 ? complete : complete + [open.finish()]
  }
}
