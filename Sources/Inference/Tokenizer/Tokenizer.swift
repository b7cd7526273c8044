// Tokenizer.swift: text to token ids and back, as the metadata of a GGUF file specifies; a
// vocabulary-only file suffices. Not here: where the pieces of a prompt come from
// (ChatFormat.swift). Start at encode(segments:addBOS:). Three algorithms: byte-level BPE
// (`tokenizer.ggml.model` gpt2), SentencePiece BPE (llama), and BPE over characters (gemma4).

/// A model's tokenizer. Immutable; any number of threads may use it concurrently.
///
/// Special tokens are found only in trusted text, see ``PromptSegment``. Two other ways to smuggle
/// them in through the vocabulary are closed as well: no merge of ordinary text ever produces a
/// control token, and names in brackets that a vocabulary calls user-defined (`<think>`) count as
/// special here. Runs of spaces and the like are found in any text, as their models expect.
public final class Tokenizer: Sendable {
  /// Oddities of the vocabulary and what was done about them; show them when a model is loaded.
  public let warnings: [String]
  /// The number of tokens; ids are 0 to this minus one.
  public let vocabularySize: Int
  public let bosToken: Int32?
  public let eosToken: Int32?
  /// The end of a turn (`<|im_end|>`), if it has a separate token.
  public let eotToken: Int32?
  public let unknownToken: Int32?
  public let paddingToken: Int32?
  /// What a text is asked for with whose middle is missing; nil: the model has no such tokens.
  public let infill: Infill?
  /// Every token after which generation is over, ascending.
  public let endOfGenerationTokens: [Int32]
  /// Whether prompts of this model start with BOS or end with EOS.
  public let addsBOS: Bool
  public let addsEOS: Bool
  /// Whether a space is inserted before text at the start and after special tokens (SentencePiece
  /// only).
  public let addsSpacePrefix: Bool
  /// The name of the model's pre-tokenizer (`tokenizer.ggml.pre`), "default" if it has none.
  public let preTokenizerName: String
  /// Whether text is first converted to Normalization Form C, as some model families (Qwen) expect:
  /// two spellings of one text have the same ids, and decoding gives the composed spelling.
  public let composesText: Bool

  private let kinds: [TokenKind]
  private let table: ByteStringTable
  private let algorithm: Algorithm
  private let special: TokenMatcher
  private let plain: TokenMatcher

  private enum Algorithm {
    case byteLevel(PreTokenizer, BytePairEncoder)
    case characters(PreTokenizer, BytePairEncoder)
    case sentencePiece(SentencePieceEncoder)
  }

  /// The tokens before what comes first, before what comes last, and before the middle, which the model
  /// then writes.
  public struct Infill: Sendable, Equatable {
    public let prefix: Int32
    public let suffix: Int32
    public let middle: Int32
  }

  public static let maximumTokenCount = 1 << 20
  public static let maximumMergeCount = 1 << 21 - 1

  /// Reads the vocabulary of a file. Copies what it needs; the file may be closed.
  public init(_ file: GGUFFile) throws(TokenizerError) {
    var source = VocabularySource(file)
    try source.load()
    warnings = source.warnings
    vocabularySize = source.kinds.count
    bosToken = source.special.bos
    eosToken = source.special.eos
    eotToken = source.special.eot
    unknownToken = source.special.unknown
    paddingToken = source.special.padding
    if let prefix = source.special.infillPrefix, let suffix = source.special.infillSuffix,
      let middle = source.special.infillMiddle
    {
      infill = Infill(prefix: prefix, suffix: suffix, middle: middle)
    } else {
      infill = nil
    }
    endOfGenerationTokens = source.special.endOfGeneration.sorted()
    addsBOS = source.addsBOS
    addsEOS = source.addsEOS
    addsSpacePrefix = source.addsSpacePrefix
    preTokenizerName = source.preTokenizerName
    composesText =
      switch source.algorithm {
      case .byteLevel(let preTokenizer, _, _): preTokenizer.composesText
      case .characters, .sentencePiece: false
      }
    kinds = source.kinds
    table = source.table
    switch source.algorithm {
    case .byteLevel(let preTokenizer, let merges, let byteSymbols):
      algorithm = .byteLevel(
        preTokenizer,
        BytePairEncoder(
          table: source.table, tokenCount: source.kinds.count, merges: merges, byteSymbols: byteSymbols,
          wholeWordsFirst: preTokenizer.wholeWordsFirst, startsFromCharacters: false))
    case .characters(let preTokenizer, let merges, let byteSymbols):
      algorithm = .characters(
        preTokenizer,
        BytePairEncoder(
          table: source.table, tokenCount: source.kinds.count, merges: merges, byteSymbols: byteSymbols,
          wholeWordsFirst: false, startsFromCharacters: true))
    case .sentencePiece(let order, let byteTokens):
      algorithm = .sentencePiece(
        SentencePieceEncoder(
          table: source.table, order: order, byteTokens: byteTokens, unknown: source.unknownPiece,
          longestToken: (0..<source.kinds.count).reduce(0) { max($0, source.table.range($1).count) },
          wordsAreApart: !(0..<source.kinds.count).contains { id in
            source.table.withBytes(of: id) { SentencePieceEncoder.hasInnerSpace($0) }
          }))
    }
    special = TokenMatcher(source.specialNames)
    plain = TokenMatcher(source.plainNames)
  }
}

// MARK: - Encoding

extension Tokenizer {
  /// The tokens of one text.
  ///
  /// - parseSpecial: the text is trusted: names of special tokens in it become these tokens.
  /// Bytes for which a byte-level vocabulary has no token are skipped.
  ///
  /// - addBOS: prepends BOS if the model wants it (`addsBOS`) and the text does not already begin
  /// with it. Source of the vectors: llama.cpp. Checked against TokenizerTests.
  public func encode(_ text: String, parseSpecial: Bool = false, addBOS: Bool = false) -> [Int32] {
    encode(segments: [PromptSegment(text: text, isTrusted: parseSpecial)], addBOS: addBOS)
  }

  /// The tokens of a prompt. Special tokens are found only in trusted text; all text between two of
  /// them is tokenized as a whole, across the borders of segments.
  public func encode(segments: [PromptSegment], addBOS: Bool = false) -> [Int32] {
    encode(segments: segments, addBOS: addBOS, within: EncodingBudget(most: .max) { true })
  }

  /// The same for a stranger's prompt: it stops as soon as there are more than `most` tokens, and
  /// judges a word of megabytes by its length alone, so no text costs more than one of `most`
  /// tokens. It also stops when `isWanted`, which is called now and then, returns false.
  public func encode(
    segments: [PromptSegment], addBOS: Bool, atMost most: Int, isWanted: @escaping () -> Bool
  ) -> BoundedEncoding {
    let budget = EncodingBudget(most: max(0, most), isWanted: isWanted)
    let tokens = encode(segments: segments, addBOS: addBOS, within: budget)
    if budget.isAbandoned { return .notWanted }
    return budget.isOver || tokens.count > most ? .tooMany : .tokens(tokens)
  }

  private func encode(segments: [PromptSegment], addBOS: Bool, within budget: EncodingBudget) -> [Int32] {
    var text: [UInt8] = []
    var runs: [(end: Int, isTrusted: Bool)] = []
    for segment in segments where !segment.text.isEmpty {
      text.append(contentsOf: segment.text.utf8)
      if let last = runs.last, last.isTrusted == segment.isTrusted { runs.removeLast() }
      runs.append((text.count, segment.isTrusted))
    }
    var output: [Int32] = []
    text.withUnsafeBufferPointer { encode($0, runs: runs, into: &output, within: budget) }
    if addBOS, addsBOS, let bosToken, output.first != bosToken { output.insert(bosToken, at: 0) }
    return output
  }

  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, runs: [(end: Int, isTrusted: Bool)], into output: inout [Int32],
    within budget: EncodingBudget
  ) {
    var fragments = FragmentEncoder(tokenizer: self, budget: budget)
    var pending = 0
    var position = 0
    for run in runs {
      let matcher = run.isTrusted ? special : plain
      if matcher.isEmpty {
        position = run.end
        continue
      }
      while position < run.end {
        if let match = matcher.match(text, at: position, to: run.end) {
          fragments.encode(text, pending..<position, into: &output)
          guard budget.allows(1, after: output.count) else { return }
          output.append(match.token)
          fragments.followsSpecial = true
          position = match.end
          pending = position
        } else {
          position += 1
        }
      }
    }
    fragments.encode(text, pending..<text.count, into: &output)
  }

  /// Encodes the text between special tokens, reusing the scratch memory.
  private struct FragmentEncoder {
    let tokenizer: Tokenizer
    let budget: EncodingBudget
    var followsSpecial = true
    var bytePairs = BytePairEncoder.Scratch()
    var pieces = SentencePieceEncoder.Scratch()

    mutating func encode(
      _ text: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, into output: inout [Int32]
    ) {
      guard !range.isEmpty else { return }
      let fragment = UnsafeBufferPointer(rebasing: text[range])
      switch tokenizer.algorithm {
      case .byteLevel(let preTokenizer, let encoder) where preTokenizer.composesText:
        // Composing leaves at least a third of the bytes: three letters of Hangul become one
        // syllable.
        guard budget.allows(encoder.fewestTokens(fragment) / 3, after: output.count) else { return }
        var prepared: [UInt8] = []
        prepared.reserveCapacity(fragment.count)
        CanonicalComposition.compose(fragment, into: &prepared)
        prepared.withUnsafeBufferPointer { encodeWords($0, preTokenizer, encoder, into: &output) }
      case .byteLevel(let preTokenizer, let encoder):
        encodeWords(fragment, preTokenizer, encoder, into: &output)
      case .characters(let preTokenizer, let encoder):
        unescaped(fragment).withUnsafeBufferPointer { encodeWords($0, preTokenizer, encoder, into: &output) }
      case .sentencePiece(let encoder):
        unescaped(fragment).withUnsafeBufferPointer {
          encoder.encode($0, into: &output, scratch: &pieces) { budget.allows($0, after: $1) }
        }
      }
      followsSpecial = false
    }

    /// With U+2581 as spaces, and one before it where the model wants that.
    private func unescaped(_ fragment: UnsafeBufferPointer<UInt8>) -> [UInt8] {
      var prepared: [UInt8] = []
      prepared.reserveCapacity(fragment.count + 1)
      if tokenizer.addsSpacePrefix && followsSpecial { prepared.append(0x20) }
      VocabularySource.appendUnescaped(fragment, to: &prepared)
      return prepared
    }

    private mutating func encodeWords(
      _ text: UnsafeBufferPointer<UInt8>, _ preTokenizer: PreTokenizer, _ encoder: BytePairEncoder,
      into output: inout [Int32]
    ) {
      preTokenizer.forEachWord(in: text) { start, end in
        let word = UnsafeBufferPointer(rebasing: text[start..<end])
        guard budget.allows(encoder.fewestTokens(word), after: output.count) else { return false }
        encoder.encode(word, into: &output, scratch: &bytePairs)
        return true
      }
    }
  }
}

/// The result of encoding a prompt with a bound on its tokens.
public enum BoundedEncoding: Sendable, Equatable {
  case tokens([Int32])
  case tooMany
  /// `isWanted` returned false: the result is no longer needed.
  case notWanted
}

/// The bound of one encoding. A class, because the parts of an encoding share it.
private final class EncodingBudget {
  private let most: Int
  private let isWanted: () -> Bool
  private var asked = 0
  private(set) var isOver = false
  private(set) var isAbandoned = false

  init(most: Int, isWanted: @escaping () -> Bool) {
    self.most = most
    self.isWanted = isWanted
  }

  /// Whether at least `fewest` more tokens may follow `count`.
  func allows(_ fewest: Int, after count: Int) -> Bool {
    if isOver || isAbandoned { return false }
    // Words take microseconds; a long one counts by its length.
    asked += 1 + fewest / 64
    if asked >= 1_024 {
      asked = 0
      isAbandoned = !isWanted()
    }
    isOver = fewest > most - count
    return !isOver && !isAbandoned
  }
}

// MARK: - Decoding and look-up

/// What happens to special tokens when ids are turned into text.
public enum SpecialTokenRendering: Sendable {
  /// They are omitted.
  case hidden
  /// Their names are written out.
  case shown
}

extension Tokenizer {
  /// The text of ids. Bytes that are not UTF-8 become U+FFFD. Ids outside the vocabulary are
  /// omitted. The one space that encoding inserts before a text (`addsSpacePrefix`) is removed, so
  /// that this is the inverse of `encode`.
  public func decode(_ ids: [Int32], special: SpecialTokenRendering = .shown) -> String {
    var detokenizer = StreamingDetokenizer(self, special: special, dropsSpacePrefix: addsSpacePrefix)
    var text = ""
    for id in ids { text += detokenizer.append(id) }
    return text + detokenizer.finish()
  }

  /// The bytes of a token: for special tokens their names, for `<0x0A>` one byte; empty outside the
  /// vocabulary.
  public func bytes(of id: Int32) -> [UInt8] {
    contains(id) ? Array(table.bytes(of: Int(id))) : []
  }

  public func contains(_ id: Int32) -> Bool { id >= 0 && Int(id) < vocabularySize }

  /// True for tokens that are not text: control tokens and the unknown token.
  public func isSpecial(_ id: Int32) -> Bool { contains(id) && kinds[Int(id)].isSpecial }

  /// How many tokens of a prompt lie before each end of a message, ascending: a chat template ends
  /// messages with the token that the model ends its own with.
  public func messageEnds(of prompt: [Int32]) -> [Int] {
    prompt.indices.filter { isEndOfGeneration(prompt[$0]) }.map { $0 + 1 }
  }

  public func isEndOfGeneration(_ id: Int32) -> Bool {
    var low = 0
    var high = endOfGenerationTokens.count
    while low < high {
      let middle = (low + high) / 2
      if endOfGenerationTokens[middle] < id { low = middle + 1 } else { high = middle }
    }
    return low < endOfGenerationTokens.count && endOfGenerationTokens[low] == id
  }

  /// The special token of that name (`<|im_end|>`).
  public func specialToken(named name: String) -> Int32? {
    let bytes = Array(name.utf8)
    return bytes.withUnsafeBufferPointer { buffer in
      guard let match = special.match(buffer, at: 0, to: buffer.count), match.end == buffer.count else {
        return nil
      }
      return match.token
    }
  }

  /// The name of a token as text, for chat templates' `bos_token` and `eos_token`.
  public func name(of id: Int32) -> String? {
    contains(id) ? String(decoding: table.bytes(of: Int(id)), as: UTF8.self) : nil
  }
}
