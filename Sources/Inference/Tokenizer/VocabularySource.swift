// VocabularySource.swift: builds the tables of a tokenizer from a file's metadata. Start at load().
// Unusable data is an error; tolerable faults are warnings that say what is done about them.

struct VocabularySource {
  struct SpecialIds {
    var infillPrefix: Int32?
    var infillSuffix: Int32?
    var infillMiddle: Int32?
    var bos: Int32?
    var eos: Int32?
    var eot: Int32?
    var unknown: Int32?
    var padding: Int32?
    var endOfGeneration: Set<Int32> = []
  }

  enum Algorithm {
    case byteLevel(PreTokenizer, MergeTable, byteSymbols: [UInt32])
    case characters(PreTokenizer, MergeTable, byteSymbols: [UInt32])
    case sentencePiece(order: [UInt32], byteTokens: [Int32])
  }

  private let file: GGUFFile
  private(set) var warnings: [String] = []
  private(set) var kinds: [TokenKind] = []
  private(set) var table = ByteStringTable(minimumCapacity: 0, byteCapacity: 0)
  private(set) var special = SpecialIds()
  private(set) var addsBOS = false
  private(set) var addsEOS = false
  private(set) var addsSpacePrefix = false
  private(set) var preTokenizerName = "default"
  private(set) var algorithm = Algorithm.sentencePiece(order: [], byteTokens: [])
  /// Names that become their tokens only in trusted text, and those that do so in any text.
  private(set) var specialNames: [(bytes: [UInt8], token: Int32)] = []
  private(set) var plainNames: [(bytes: [UInt8], token: Int32)] = []

  /// The token for text that cannot be encoded otherwise. Only a token of kind "unknown" is used: a
  /// file may name the end of text as its unknown token, and no user must be able to write that.
  var unknownPiece: Int32? { special.unknown.flatMap { kinds[Int($0)] == .unknown ? $0 : nil } }

  init(_ file: GGUFFile) { self.file = file }

  mutating func load() throws(TokenizerError) {
    let metadata = file.metadata
    guard let model = try read({ () throws(GGUFError) in try metadata.string("tokenizer.ggml.model") }) else {
      throw failure(.missingKey("tokenizer.ggml.model"))
    }
    let name = try read { () throws(GGUFError) in try metadata.string("tokenizer.ggml.pre") }
    switch model {
    case "gpt2": try loadByteLevel(preTokenizerName: name)
    case "llama": try loadSentencePiece(preTokenizerName: name)
    case "gemma4": try loadCharacters(preTokenizerName: name)
    default: throw failure(.unsupportedModel(model))
    }
  }

  // MARK: - The algorithms

  private mutating func loadByteLevel(preTokenizerName name: String?) throws(TokenizerError) {
    let preTokenizer: PreTokenizer
    if let name {
      preTokenizerName = name
      if let known = PreTokenizer.named(name) {
        preTokenizer = known
      } else {
        preTokenizer = .guess
        warnings.append(
          "pre-tokenizer '\(name)' is not known; words are cut as for llama-bpe, so answers may be worse")
      }
    } else {
      preTokenizer = .unnamed
      warnings.append("the file names no pre-tokenizer; 'default' is used, so answers may be worse")
    }
    try loadTokens { text, kind, bytes in
      if kind == .normal || kind == .unused || kind == .userDefined,
        ByteLevel.decode(text, into: &bytes)
      {
        return
      }
      bytes.append(contentsOf: text)
    }
    try loadSpecialIds()
    for id in kinds.indices where kinds[id] == .normal || kinds[id] == .unused || kinds[id] == .byte {
      table.publish(id, replacing: true)
    }
    for id in kinds.indices
    where kinds[id] == .userDefined && !SpecialTokenNames.looksLikeMark(table.bytes(of: id)) {
      table.publish(id, replacing: false)
    }
    let byteSymbols = (0..<256).map { value in
      let symbol = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { single in
        single.initialize(repeating: UInt8(value))
        return self.symbol(UnsafeBufferPointer(single))
      }
      return UInt32(symbol)
    }
    warn(ofMissing: (UInt8.min...UInt8.max).filter { byteSymbols[Int($0)] >= kinds.count })
    let merges = try loadMerges(ByteLevel.decode)
    algorithm = .byteLevel(preTokenizer, merges, byteSymbols: byteSymbols)
    try loadPolicy(addsBOS: preTokenizer.addsBOS)
  }

  /// Merges as in byte-level vocabularies, over characters as in SentencePiece's.
  private mutating func loadCharacters(preTokenizerName name: String?) throws(TokenizerError) {
    if let name { preTokenizerName = name }
    try loadTokens(Self.writePiece)
    try loadSpecialIds()
    let byteTokens = publishPieces()
    warn(ofMissingPieces: byteTokens)
    let merges = try loadMerges { text, bytes in
      Self.appendUnescaped(text.bindMemory(to: UInt8.self), to: &bytes)
      return true
    }
    algorithm = .characters(
      .lines, merges, byteSymbols: byteTokens.map { $0 < 0 ? UInt32.max : UInt32($0) })
    addsSpacePrefix =
      try read { () throws(GGUFError) in try file.metadata.bool("tokenizer.ggml.add_space_prefix") } ?? false
    try loadPolicy(addsBOS: PreTokenizer.lines.addsBOS)
  }

  private mutating func loadSentencePiece(preTokenizerName name: String?) throws(TokenizerError) {
    if let name { preTokenizerName = name }
    try loadTokens(Self.writePiece)
    let scores = try loadScores()
    special.bos = kinds.count > 1 ? 1 : nil
    special.eos = kinds.count > 2 ? 2 : nil
    special.unknown = kinds.isEmpty ? nil : 0
    try loadSpecialIds()
    let byteTokens = publishPieces()
    warn(ofMissingPieces: byteTokens)
    algorithm = .sentencePiece(
      order: scores.map { SentencePieceEncoder.order(ofScore: $0) }, byteTokens: byteTokens)
    addsSpacePrefix =
      try read { () throws(GGUFError) in try file.metadata.bool("tokenizer.ggml.add_space_prefix") } ?? true
    try loadPolicy(addsBOS: true)
  }

  /// A token as its bytes: U+2581 stands for a space, `<0x0A>` for a byte.
  private static func writePiece(_ text: UnsafeRawBufferPointer, _ kind: TokenKind, _ bytes: inout [UInt8]) {
    switch kind {
    case .byte:
      if let byte = byte(named: text) {
        bytes.append(byte)
      } else {
        bytes.append(contentsOf: text)
      }
    case .normal, .unused:
      appendUnescaped(text.bindMemory(to: UInt8.self), to: &bytes)
    case .unknown, .control, .userDefined:
      bytes.append(contentsOf: text)
    }
  }

  /// Makes the tokens that text may become findable.
  /// - Returns: the token of each byte, -1 where there is none.
  private mutating func publishPieces() -> [Int32] {
    var byteTokens = [Int32](repeating: -1, count: 256)
    for id in kinds.indices {
      switch kinds[id] {
      case .normal, .unused:
        table.publish(id, replacing: true)
      case .userDefined:
        if !SpecialTokenNames.looksLikeMark(table.bytes(of: id)) { table.publish(id, replacing: true) }
      case .byte:
        let bytes = table.bytes(of: id)
        if bytes.count == 1, let byte = bytes.first { byteTokens[Int(byte)] = Int32(id) }
      case .unknown, .control:
        break
      }
    }
    return byteTokens
  }

  private mutating func warn(ofMissingPieces byteTokens: [Int32]) {
    // A byte token may be missing if the character is itself a token.
    warn(
      ofMissing: (UInt8.min...UInt8.max).filter { byte in
        byteTokens[Int(byte)] < 0
          && (byte >= 0x80
            || withUnsafeBytes(of: byte) { table.find($0.bindMemory(to: UInt8.self)) } == nil)
      })
  }

  // MARK: - Arrays

  private mutating func loadTokens(
    _ write: (UnsafeRawBufferPointer, TokenKind, inout [UInt8]) -> Void
  ) throws(TokenizerError) {
    let metadata = file.metadata
    let key = "tokenizer.ggml.tokens"
    guard let tokens = try read({ () throws(GGUFError) in try metadata.array(key, of: .string) }) else {
      throw failure(.missingKey(key))
    }
    guard tokens.count <= Tokenizer.maximumTokenCount else {
      throw failure(.tooMany(item: "tokens", found: tokens.count, limit: Tokenizer.maximumTokenCount))
    }
    let byteCount = tokens.range.count - 8 * tokens.count
    guard byteCount <= ByteStringTable.maximumByteCount else {
      throw failure(
        .tooMany(item: "bytes of tokens", found: byteCount, limit: ByteStringTable.maximumByteCount))
    }
    let types = try loadKinds(count: tokens.count)
    kinds = types ?? [TokenKind](repeating: .normal, count: tokens.count)
    table = ByteStringTable(minimumCapacity: tokens.count, byteCapacity: byteCount)
    let ending = Set(SpecialTokenNames.endOfGeneration)
    tokens.forEachString { index, text in
      // Make a string only of names that look like marks.
      if let first = text.first,
        first == UInt8(ascii: "<") || first == UInt8(ascii: "[") || first == UInt8(ascii: "_")
      {
        let name = String(decoding: text, as: UTF8.self)
        if ending.contains(name) {
          kinds[index] = .control
        } else if types == nil {
          if SpecialTokenNames.looksLikeControl(name) {
            kinds[index] = .control
          } else if Self.byte(named: text) != nil {
            kinds[index] = .byte
          }
        }
      }
      table.append { write(text, kinds[index], &$0) }
    }
  }

  /// The kinds in the file; nil if it has none.
  private mutating func loadKinds(count: Int) throws(TokenizerError) -> [TokenKind]? {
    let metadata = file.metadata
    let key = "tokenizer.ggml.token_type"
    guard let array = try read({ () throws(GGUFError) in try metadata.array(key) }) else {
      warnings.append("the file does not say which tokens are special; they are told by their names")
      return nil
    }
    guard array.count == count else {
      throw failure(.countMismatch(key: key, found: array.count, wanted: count))
    }
    guard let numbers = array.integers else {
      throw failure(
        .metadata(
          .wrongValueType(
            key: key, found: "an array of \(array.elementType.name)", wanted: "an array of int32")))
    }
    return numbers.map { UInt8(exactly: $0).flatMap(TokenKind.init(rawValue:)) ?? .normal }
  }

  private func loadScores() throws(TokenizerError) -> [Float] {
    let metadata = file.metadata
    let key = "tokenizer.ggml.scores"
    guard let array = try read({ () throws(GGUFError) in try metadata.array(key, of: .float32) }) else {
      throw failure(.missingKey(key))
    }
    guard array.count == kinds.count else {
      throw failure(.countMismatch(key: key, found: array.count, wanted: kinds.count))
    }
    return array.floats ?? []
  }

  // MARK: - Merges

  /// The index of these bytes in the table; adds them if they are new.
  private mutating func symbol(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    if let known = table.find(bytes) { return known }
    table.append { $0.append(contentsOf: bytes) }
    table.publish(table.count - 1, replacing: false)
    return table.count - 1
  }

  /// - decode: appends the bytes that a merge's text stands for; false if it stands for none
  private mutating func loadMerges(
    _ decode: (UnsafeRawBufferPointer, inout [UInt8]) -> Bool
  ) throws(TokenizerError) -> MergeTable {
    let metadata = file.metadata
    let key = "tokenizer.ggml.merges"
    guard let array = try read({ () throws(GGUFError) in try metadata.array(key, of: .string) }) else {
      throw failure(.missingKey(key))
    }
    guard array.count <= Tokenizer.maximumMergeCount else {
      throw failure(.tooMany(item: "merges", found: array.count, limit: Tokenizer.maximumMergeCount))
    }
    var merges = MergeTable(count: array.count)
    var scratch: [UInt8] = []
    var malformed = 0
    var overflows = false
    var expected = 0
    array.forEachString { rank, text in
      // The space between the two; symbols have no space in this alphabet.
      guard let space = text.dropFirst().firstIndex(of: 0x20) else {
        malformed += 1
        return
      }
      scratch.removeAll(keepingCapacity: true)
      guard decode(UnsafeRawBufferPointer(rebasing: text[..<space]), &scratch) else {
        malformed += 1
        return
      }
      let border = scratch.count
      guard decode(UnsafeRawBufferPointer(rebasing: text[(space + 1)...]), &scratch),
        scratch.count > border
      else {
        malformed += 1
        return
      }
      guard table.count + 3 <= MergeTable.symbolLimit,
        table.byteCount + 2 * scratch.count <= 2 * ByteStringTable.maximumByteCount
      else {
        overflows = true
        return
      }
      scratch.withUnsafeBufferPointer { joined in
        let left = symbol(UnsafeBufferPointer(rebasing: joined[..<border]))
        let right = symbol(UnsafeBufferPointer(rebasing: joined[border...]))
        // Merges are usually in the order of the tokens they produce, which saves most look-ups.
        var result = expected
        if result >= kinds.count || !isOrdinary(result) || !table.equals(result, joined) {
          result = symbol(joined)
        }
        expected = result + 1
        merges.insert(left: left, right: right, rank: rank, result: result)
      }
    }
    if overflows {
      throw failure(
        .tooMany(item: "symbols in merges", found: table.count, limit: MergeTable.symbolLimit))
    }
    if malformed > 0 { warnings.append("\(malformed) of \(array.count) merges are malformed and not used") }
    return merges
  }

  /// True for tokens that merging may produce.
  private func isOrdinary(_ id: Int) -> Bool {
    kinds[id] == .normal || kinds[id] == .unused
  }

  // MARK: - Special tokens

  private mutating func loadSpecialIds() throws(TokenizerError) {
    special.bos = try specialId("bos") ?? special.bos
    special.eos = try specialId("eos") ?? special.eos
    special.unknown = try specialId("unknown") ?? special.unknown
    special.padding = try specialId("padding")
    special.eot = try specialId("eot")
    let endOfMessage = try specialId("eom")
    // Older files have the first names.
    for (names, place) in [
      (["prefix", "fim_pre"], \SpecialIds.infillPrefix), (["suffix", "fim_suf"], \.infillSuffix),
      (["middle", "fim_mid"], \.infillMiddle),
    ] {
      for name in names {
        if let id = try specialId(name) { special[keyPath: place] = id }
      }
    }

    var byName: [String: Int32] = [:]
    for id in kinds.indices where kinds[id] == .control {
      byName[String(decoding: table.bytes(of: id), as: UTF8.self)] = Int32(id)
    }
    if special.eot == nil { special.eot = SpecialTokenNames.endOfTurn.lazy.compactMap { byName[$0] }.first }
    func named(_ names: [String]) -> Int32? { names.lazy.compactMap { byName[$0] }.first }
    special.infillPrefix = special.infillPrefix ?? named(SpecialTokenNames.infillPrefix)
    special.infillSuffix = special.infillSuffix ?? named(SpecialTokenNames.infillSuffix)
    special.infillMiddle = special.infillMiddle ?? named(SpecialTokenNames.infillMiddle)
    special.endOfGeneration = Set(SpecialTokenNames.endOfGeneration.compactMap { byName[$0] })
    // In these families the name has another use: "<|end|>" closes a message before a tool call,
    // "</s>" is markup.
    let closesMessages =
      byName["<|call|>"] != nil && byName["<|return|>"] != nil
      || byName["<|flush|>"] != nil && (byName["<|call|>"] ?? byName["<|calls|>"]) != nil
    if closesMessages, let end = byName["<|end|>"] { special.endOfGeneration.remove(end) }
    if byName["<|tool_response>"] != nil, let markup = byName["</s>"] {
      special.endOfGeneration.remove(markup)
    }
    for id in [special.eos, special.eot, endOfMessage] {
      if let id { special.endOfGeneration.insert(id) }
    }
    // A token that the metadata names as special is not text, whatever its type says; a user must
    // not be able to write it.
    for id in special.endOfGeneration.union([special.bos, special.eos].compactMap(\.self))
    where kinds[Int(id)] == .normal || kinds[Int(id)] == .userDefined {
      kinds[Int(id)] = .control
    }
    for id in kinds.indices {
      let kind = kinds[id]
      guard kind.isSpecial || kind == .userDefined else { continue }
      let bytes = Array(table.bytes(of: id))
      specialNames.append((bytes, Int32(id)))
      if kind == .userDefined, !SpecialTokenNames.looksLikeMark(bytes) {
        plainNames.append((bytes, Int32(id)))
      }
    }
  }

  private mutating func specialId(_ name: String) throws(TokenizerError) -> Int32? {
    let metadata = file.metadata
    let key = "tokenizer.ggml.\(name)_token_id"
    guard let value = metadata[key] else { return nil }
    guard let id = value.integer else {
      // Above 63 bits: "none" in 64 bits, or nonsense.
      guard case .uint64(let large) = value else {
        _ = try read { () throws(GGUFError) in try metadata.integer(key, in: Int.min...Int.max) }
        return nil
      }
      if large != UInt64.max { warn(outsideVocabulary: key, "\(large)") }
      return nil
    }
    guard kinds.indices.contains(id) else {
      // Converters write -1 for "none", in whatever type they store the key; anything else deserves
      // a warning.
      if !value.isAllOnes { warn(outsideVocabulary: key, "\(id)") }
      return nil
    }
    return Int32(id)
  }

  private mutating func warn(outsideVocabulary key: String, _ found: String) {
    warnings.append("\(key) is \(found), outside the vocabulary of \(kinds.count); it is not used")
  }

  private mutating func loadPolicy(addsBOS byDefault: Bool) throws(TokenizerError) {
    let metadata = file.metadata
    addsBOS =
      try read { () throws(GGUFError) in try metadata.bool("tokenizer.ggml.add_bos_token") } ?? byDefault
    addsEOS = try read { () throws(GGUFError) in try metadata.bool("tokenizer.ggml.add_eos_token") } ?? false
    if addsBOS, special.bos == nil {
      warnings.append("prompts should begin with BOS, but the vocabulary names no such token")
      addsBOS = false
    }
    if addsEOS, special.eos == nil { addsEOS = false }
  }

  // MARK: - Small parts

  /// Many vocabularies lack some control characters and the bytes of unassigned planes, which text
  /// does not need.
  private mutating func warn(ofMissing bytes: [UInt8]) {
    let usual: [ClosedRange<UInt8>] = [9...10, 13...13, 0x20...0x7E, 0x80...0xBF, 0xC2...0xF0]
    let missing = bytes.count { byte in usual.contains { $0.contains(byte) } }
    if missing > 0 {
      warnings.append(
        "the vocabulary lacks tokens for \(missing) of the bytes that text is made of; they are left out")
    }
  }

  /// 10 for `<0x0A>`.
  static func byte(named text: UnsafeRawBufferPointer) -> UInt8? {
    guard text.count == 6, text[0] == UInt8(ascii: "<"), text[1] == UInt8(ascii: "0"),
      text[2] == UInt8(ascii: "x"),
      text[5] == UInt8(ascii: ">")
    else { return nil }
    func digit(_ byte: UInt8) -> UInt8? {
      Unicode.Scalar(byte).properties.isASCIIHexDigit
        ? Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) } : nil
    }
    guard let high = digit(text[3]), let low = digit(text[4]) else { return nil }
    return high << 4 | low
  }

  /// Appends text with each U+2581 as a space, which is how SentencePiece writes it.
  static func appendUnescaped(_ text: UnsafeBufferPointer<UInt8>, to output: inout [UInt8]) {
    var index = 0
    while index < text.count {
      if text[index] == 0xE2, text.count - index >= 3, text[index + 1] == 0x96, text[index + 2] == 0x81 {
        output.append(0x20)
        index += 3
      } else {
        output.append(text[index])
        index += 1
      }
    }
  }

  private func read<T>(_ body: () throws(GGUFError) -> T) throws(TokenizerError) -> T {
    do {
      return try body()
    } catch {
      throw failure(.metadata(error.problem))
    }
  }

  private func failure(_ problem: TokenizerError.Problem) -> TokenizerError {
    TokenizerError(file: file.path, problem: problem)
  }
}
