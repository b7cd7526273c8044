// PreTokenizer.swift: splits text into the words within which byte pairs may merge. The patterns
// are regular expressions in the models' files; here each is a scanner over UTF-8, written from the
// pattern above it. Merging is in BytePairEncoder.swift. Start at PreTokenizer.named(_:).

/// Unicode classes of a character, as bits.
struct CharacterClass: OptionSet, Sendable {
  let rawValue: UInt8
  static let letter = CharacterClass(rawValue: 1)  // \p{L}
  static let number = CharacterClass(rawValue: 2)  // \p{N}
  static let space = CharacterClass(rawValue: 4)  // \s
  static let mark = CharacterClass(rawValue: 8)  // \p{M}
  static let punctuation = CharacterClass(rawValue: 16)  // \p{P}

  /// The classes of a character by Unicode's general category and White_Space, as of Unicode 15.1:
  /// later characters count as unassigned. So the ids of a text don't depend on the Swift version
  /// that built this, and equal those of llama.cpp, whose tables have that version (compared for
  /// all code points, November 2026).
  init(_ scalar: Unicode.Scalar) {
    let properties = scalar.properties
    guard let age = properties.age, age.major < 15 || age.major == 15 && age.minor <= 1 else {
      self = []
      return
    }
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      self = .punctuation
    default:
      self = properties.isWhitespace ? .space : []
    }
  }

  init(rawValue: UInt8) { self.rawValue = rawValue }

  static let ascii: [CharacterClass] = (0..<128).map { CharacterClass(Unicode.Scalar(UInt8($0))) }
}

/// One pattern; a pre-tokenizer applies several in turn, each to all pieces that the previous one
/// produced.
package enum PreTokenizerPass: Sendable, Equatable {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
  /// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+| \s+(?!\S)|\s+`; with `marks`, `[\p{L}\p{M}]` stands for
  /// each `\p{L}`
  case tiktoken(digits: Int, marks: Bool)
  /// `\p{N}`: each number character alone
  case singleNumbers
  /// `\p{N}+`
  case numberRuns
  /// `[0-9][0-9][0-9]`
  case threeDigits
  /// `[\p{P}\$\+<=>\^~\|]+`, and with `backtick` also that character
  case punctuationRuns(backtick: Bool)
}

/// How a model splits text before merging.
package struct PreTokenizer: Sendable, Equatable {
  package let passes: [PreTokenizerPass]
  /// A word that is a token as a whole is not merged.
  package let wholeWordsFirst: Bool
  /// Whether prompts start with BOS if the metadata doesn't say.
  package let addsBOS: Bool
  /// Text is first converted to Normalization Form C. GGUF files do not say so; it follows from the
  /// name.
  package let composesText: Bool

  init(
    _ passes: [PreTokenizerPass], wholeWordsFirst: Bool = false, addsBOS: Bool = false,
    composesText: Bool = false
  ) {
    self.passes = passes
    self.wholeWordsFirst = wholeWordsFirst
    self.addsBOS = addsBOS
    self.composesText = composesText
  }

  /// What most files without a name were converted with.
  static let unnamed = PreTokenizer([
    .punctuationRuns(backtick: false), .gpt2, .numberRuns, .threeDigits,
  ])

  /// For unknown names: the pattern that most of today's models use, in one form or another.
  static let guess = PreTokenizer([.tiktoken(digits: 3, marks: false)])

  /// The pre-tokenizer of a `tokenizer.ggml.pre`; nil if the name is unknown. Source of the
  /// aliases: llama.cpp's llama-vocab.cpp, where each name stands for the same pattern; source of
  /// `composesText`, which llama.cpp lacks: the `normalizer` in each family's tokenizer.json.
  package static func named(_ name: String) -> PreTokenizer? {
    switch name {
    case "default":
      .unnamed
    case "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
      "jina-v1-en", "jina-v2-code", "roberta-bpe", "jais", "trillion", "granite-docling", "exaone4":
      PreTokenizer([.gpt2])
    // GPT-NeoX's tokenizer and its derivatives.
    case "olmo", "mpt", "modern-bert":
      PreTokenizer([.gpt2], composesText: true)
    case "smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2":
      PreTokenizer([.singleNumbers, .gpt2])
    case "command-r":
      PreTokenizer([.singleNumbers, .gpt2], composesText: true)
    case "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      "jina-v5-nano":
      PreTokenizer([.tiktoken(digits: 3, marks: false)], wholeWordsFirst: true, addsBOS: true)
    case "smaug-bpe", "dbrx", "chatglm-bpe":
      PreTokenizer([.tiktoken(digits: 3, marks: false)])
    case "glm4", "glm5":
      PreTokenizer([.tiktoken(digits: 3, marks: false)], wholeWordsFirst: true)
    case "qwen2", "f2llmv2", "stablelm2":
      PreTokenizer([.tiktoken(digits: 1, marks: false)], composesText: true)
    case "deepseek-r1-qwen", "kormo", "megrez", "hunyuan", "solar-open", "grok-2":
      PreTokenizer([.tiktoken(digits: 1, marks: false)])
    case "qwen35":
      PreTokenizer([.tiktoken(digits: 1, marks: true)], composesText: true)
    case "falcon":
      PreTokenizer([.punctuationRuns(backtick: true), .gpt2, .threeDigits])
    default:
      nil
    }
  }

  /// Calls `body` with the bounds of each word of `text`, in order, until it returns false;
  /// together they cover the whole text. The text must be valid UTF-8, as in Swift strings.
  func forEachWord(in text: UnsafeBufferPointer<UInt8>, _ body: (Int, Int) -> Bool) {
    _ = TextScanner(text).split(from: 0, to: text.count, passes: passes[...], body)
  }

  /// The words of a text, for tests and tools.
  package func words(of text: String) -> [String] {
    var text = text
    return text.withUTF8 { bytes in
      var words: [String] = []
      forEachWord(in: bytes) {
        words.append(String(decoding: bytes[$0..<$1], as: UTF8.self))
        return true
      }
      return words
    }
  }
}

/// Finds the ends of words in UTF-8 bytes. All positions are at the first byte of a character.
private struct TextScanner {
  private let text: UnsafeBufferPointer<UInt8>
  private let ascii = CharacterClass.ascii

  init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

  func split(
    from start: Int, to end: Int, passes: ArraySlice<PreTokenizerPass>, _ body: (Int, Int) -> Bool
  ) -> Bool {
    guard let pass = passes.first else { return body(start, end) }
    let rest = passes.dropFirst()
    var position = start
    while position < end {
      let next = self.end(of: pass, from: position, to: end)
      guard split(from: position, to: next, passes: rest, body) else { return false }
      position = next
    }
    return true
  }

  /// The class of the character at `position` and the position after it. Past `end` there is no
  /// class.
  @inline(__always)
  private func character(at position: Int, to end: Int) -> (class: CharacterClass, after: Int) {
    guard position < end else { return ([], position) }
    let first = text[position]
    if first < 0x80 { return (ascii[Int(first)], position + 1) }
    return wideCharacter(first, at: position, to: end)
  }

  private func wideCharacter(
    _ first: UInt8, at position: Int, to end: Int
  ) -> (class: CharacterClass, after: Int) {
    let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    let after = min(position + length, end)
    var value = UInt32(first) & (0xFF >> UInt32(length + 1))
    for index in (position + 1)..<max(after, position + 1) { value = value << 6 | UInt32(text[index] & 0x3F) }
    guard let scalar = Unicode.Scalar(value) else { return ([], after) }
    return (CharacterClass(scalar), after)
  }

  @inline(__always)
  private func run(from position: Int, to end: Int, while matches: (CharacterClass) -> Bool) -> Int {
    var position = position
    while position < end {
      let (found, after) = character(at: position, to: end)
      if !matches(found) { break }
      position = after
    }
    return position
  }

  private func end(of pass: PreTokenizerPass, from start: Int, to end: Int) -> Int {
    switch pass {
    case .gpt2: endOfGPT2(from: start, to: end)
    case .tiktoken(let digits, false): endOfTiktoken(from: start, to: end, digits: digits, letters: .letter)
    case .tiktoken(let digits, true):
      endOfTiktoken(from: start, to: end, digits: digits, letters: [.letter, .mark])
    case .singleNumbers:
      endOfMatchOrGap(from: start, to: end) { position in
        let (found, after) = character(at: position, to: end)
        return found == .number ? after : nil
      }
    case .numberRuns:
      endOfMatchOrGap(from: start, to: end) { position in
        let after = run(from: position, to: end) { $0 == .number }
        return after > position ? after : nil
      }
    case .threeDigits:
      endOfMatchOrGap(from: start, to: end) { position in
        guard end - position >= 3, text[position..<(position + 3)].allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return position + 3
      }
    case .punctuationRuns(let backtick):
      endOfMatchOrGap(from: start, to: end) { position in
        var position = position
        let before = position
        while position < end {
          let byte = text[position]
          let (found, after) = character(at: position, to: end)
          let isListed =
            switch byte {
            case UInt8(ascii: "$"), UInt8(ascii: "+"), UInt8(ascii: "<"), UInt8(ascii: "="),
              UInt8(ascii: ">"),
              UInt8(ascii: "^"), UInt8(ascii: "~"), UInt8(ascii: "|"):
              true
            case UInt8(ascii: "`"): backtick
            default: false
            }
          if found != .punctuation, !isListed { break }
          position = after
        }
        return position > before ? position : nil
      }
    }
  }

  /// If `match` matches at `start`, its end; otherwise the position of its next match, or `end`.
  private func endOfMatchOrGap(from start: Int, to end: Int, _ match: (Int) -> Int?) -> Int {
    if let matched = match(start) { return matched }
    var position = character(at: start, to: end).after
    while position < end, match(position) == nil { position = character(at: position, to: end).after }
    return position
  }

  /// The length of `'s|'t|'re|'ve|'m|'ll|'d` at `start`, or 0.
  private func contraction(at start: Int, to end: Int, ignoringCase: Bool) -> Int {
    guard end - start >= 2, text[start] == UInt8(ascii: "'") else { return 0 }
    func lower(_ byte: UInt8) -> UInt8 {
      ignoringCase && (0x41...0x5A).contains(byte) ? byte + 0x20 : byte
    }
    let first = lower(text[start + 1])
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"):
      guard end - start >= 3 else { return 0 }
      let second = lower(text[start + 2])
      return second == (first == UInt8(ascii: "l") ? UInt8(ascii: "l") : UInt8(ascii: "e")) ? 3 : 0
    default: return 0
    }
  }

  private func endOfGPT2(from start: Int, to end: Int) -> Int {
    let contracted = contraction(at: start, to: end, ignoringCase: false)
    if contracted > 0 { return start + contracted }
    var (found, after) = character(at: start, to: end)
    if text[start] == 0x20, after < end {
      let (following, afterFollowing) = character(at: after, to: end)
      if following != .space { (found, after) = (following, afterFollowing) }
    }
    switch found {
    case .space: return endOfSpaces(from: start, to: end, newlinesEndWords: false)
    case .letter: return run(from: after, to: end) { $0 == .letter }
    case .number: return run(from: after, to: end) { $0 == .number }
    default: return run(from: after, to: end) { $0.isDisjoint(with: [.space, .letter, .number]) }
    }
  }

  private func endOfTiktoken(from start: Int, to end: Int, digits: Int, letters: CharacterClass) -> Int {
    let contracted = contraction(at: start, to: end, ignoringCase: true)
    if contracted > 0 { return start + contracted }
    let byte = text[start]
    let (found, after) = character(at: start, to: end)
    let isNewline = byte == 0x0A || byte == 0x0D
    let (following, afterFollowing) = character(at: after, to: end)

    if !found.isDisjoint(with: letters) {
      return run(from: after, to: end) { !$0.isDisjoint(with: letters) }
    }
    if found == .number {
      var position = after
      for _ in 1..<max(digits, 1) {
        let (next, afterNext) = character(at: position, to: end)
        if next != .number { break }
        position = afterNext
      }
      return position
    }
    if !isNewline, after < end, !following.isDisjoint(with: letters) {
      return run(from: afterFollowing, to: end) { !$0.isDisjoint(with: letters) }
    }
    let neither: CharacterClass = letters.union([.space, .number])
    let isOther = found.isDisjoint(with: neither)
    if isOther || byte == 0x20 && after < end && following.isDisjoint(with: neither) {
      var position = run(from: isOther ? after : afterFollowing, to: end) { $0.isDisjoint(with: neither) }
      while position < end, text[position] == 0x0A || text[position] == 0x0D { position += 1 }
      return position
    }
    return endOfSpaces(from: start, to: end, newlinesEndWords: true)
  }

  /// `\s*[\r\n]+` (if requested), `\s+(?!\S)`, `\s+`.
  private func endOfSpaces(from start: Int, to end: Int, newlinesEndWords: Bool) -> Int {
    var position = start
    var last = start
    var afterNewline = start
    while position < end {
      let (found, after) = character(at: position, to: end)
      if found != .space { break }
      if text[position] == 0x0A || text[position] == 0x0D { afterNewline = after }
      last = position
      position = after
    }
    if newlinesEndWords, afterNewline > start { return afterNewline }
    // The last space belongs to the following word, if there is one and other spaces precede that
    // space.
    return position < end && last > start ? last : position
  }
}
