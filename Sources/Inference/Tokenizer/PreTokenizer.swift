// PreTokenizer.swift: splits text into the words within which byte pairs may merge. The patterns
// are regular expressions in the models' files; here each is a scanner over UTF-8, written from the
// pattern above it. Merging is in BytePairEncoder.swift. Start at PreTokenizer.named(_:).

/// Unicode classes of a character, as bits.
struct CharacterClass: OptionSet, Sendable {
  let rawValue: UInt8
  static let letter = CharacterClass(rawValue: 1)  // \p{L}, with one of the next two where it has case
  static let number = CharacterClass(rawValue: 2)  // \p{N}
  static let space = CharacterClass(rawValue: 4)  // \s
  static let mark = CharacterClass(rawValue: 8)  // \p{M}
  static let punctuation = CharacterClass(rawValue: 16)  // \p{P}
  static let symbol = CharacterClass(rawValue: 32)  // \p{S}
  static let upper = CharacterClass(rawValue: 64)  // \p{Lu}, \p{Lt}
  static let lower = CharacterClass(rawValue: 128)  // \p{Ll}

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
    case .uppercaseLetter, .titlecaseLetter: self = [.letter, .upper]
    case .lowercaseLetter: self = [.letter, .lower]
    case .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
      .finalPunctuation, .otherPunctuation:
      self = .punctuation
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: self = .symbol
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
  /// The pattern of OpenAI's o200k and its kin, with case:
  ///
  ///     [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
  ///     [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
  ///     \p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
  case cased(Cased)
  /// `[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|
  /// \s*[\r\n]+|\s+(?!\S)|\s+`
  case deepSeekV3
  /// `\p{N}{1,count}`
  case numbers(atMost: Int)
  /// `[characters]+`; with `afterSpace`, `\s?[characters]+`
  case runs(CharacterRanges, afterSpace: Bool)
  /// `\s?\p{L}+`
  case letterRunsAfterSpace
  /// `\s?\p{P}+`
  case punctuationRunsAfterSpace
  /// `[\r\n]`
  case singleNewlines
  /// `\s+$`
  case spacesAtEnd
  /// `[^\n]+|\n+`
  case lines
  /// `[0-9][0-9][0-9]`
  case threeDigits
  /// `[\p{P}\$\+<=>\^~\|]+`, and with `backtick` also that character
  case punctuationRuns(backtick: Bool)

  /// How the members of the cased family differ.
  package struct Cased: Sendable, Equatable {
    var digits: Int
    /// Whether a word may end in `'s` and its like.
    var contractions: Bool
    /// Whether slashes belong to the punctuation before them, as newlines do.
    var slashes: Bool
    /// Whether `[\p{Han}]+` comes first, and letters are those of other scripts.
    var hanApart: Bool
  }
}

/// A set of characters as ranges in ascending order.
package struct CharacterRanges: Sendable, Equatable {
  private let ranges: [ClosedRange<UInt32>]

  init(_ ranges: [ClosedRange<UInt32>]) { self.ranges = ranges }

  func contains(_ value: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].contains(value)
  }

  /// Hexadecimal ranges, such as `41-5A B5`.
  private init(text: String) {
    ranges = text.split(whereSeparator: \.isWhitespace).compactMap { word in
      let ends = word.split(separator: "-").compactMap { UInt32($0, radix: 16) }
      guard let first = ends.first, let last = ends.last, first <= last else { return nil }
      return first...last
    }
  }

  /// `\p{Han}` as of Unicode 15.1. Source: Scripts.txt of the Unicode Character Database.
  static let han = CharacterRanges(
    text: """
      2E80-2E99 2E9B-2EF3 2F00-2FD5 3005 3007 3021-3029 3038-303B 3400-4DBF 4E00-9FFF F900-FA6D FA70-FAD9
      16FE2-16FE3 16FF0-16FF1 20000-2A6DF 2A700-2B739 2B740-2B81D 2B820-2CEA1 2CEB0-2EBE0 2EBF0-2EE5D
      2F800-2FA1D 30000-3134A 31350-323AF
      """)

  /// `[一-龥\u3040-\u309F\u30A0-\u30FF]`: Chinese and Japanese, of DeepSeek-V3.
  static let chineseAndKana = CharacterRanges(text: "3040-30FF 4E00-9FA5")

  /// `[一-龥\u0800-一\uAC00-\uD7FF]`, of DeepSeek LLM and Coder.
  static let chineseToHangul = CharacterRanges(text: "800-9FA5 AC00-D7FF")

  /// `[!-/:-~！-／：-～‘-‟　-。]`, of DeepSeek LLM; it has ASCII's letters too.
  static let deepSeekMarks = CharacterRanges(text: "21-2F 3A-7E 2018-201F 3000-3002 FF01-FF0F FF1A-FF5E")

  /// The letters of DeepSeek LLM: those with case of most scripts.
  static let deepSeekLetters = CharacterRanges(
    text: """
      41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386 388-38A 38C
      38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B
      1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D
      1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102
      2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E
      2183-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2-2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E
      AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2
      10CC0-10CF2 118A0-118DF 1E900-1E943
      """)
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
    .punctuationRuns(backtick: false), .gpt2, .numbers(atMost: .max), .threeDigits,
  ])

  /// Gemma 4's: merges cross words, but not lines.
  static let lines = PreTokenizer([.lines], addsBOS: true)

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
      PreTokenizer([.numbers(atMost: 1), .gpt2])
    case "command-r":
      PreTokenizer([.numbers(atMost: 1), .gpt2], composesText: true)
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
    case "gpt-4o", "minimax-m2", "llama4", "kanana2", "talkie":
      PreTokenizer([.cased(.init(digits: 3, contractions: true, slashes: true, hanApart: false))])
    case "tekken":
      PreTokenizer(
        [.cased(.init(digits: 1, contractions: false, slashes: true, hanApart: false))],
        wholeWordsFirst: true,
        addsBOS: true)
    case "kimi-k2":
      PreTokenizer([.cased(.init(digits: 3, contractions: true, slashes: false, hanApart: true))])
    case "deepseek-v3", "hunyuan-dense", "joyai-llm":
      PreTokenizer([.numbers(atMost: 3), .runs(.chineseAndKana, afterSpace: false), .deepSeekV3])
    case "deepseek-llm":
      PreTokenizer([
        .singleNewlines, .runs(.deepSeekLetters, afterSpace: true), .runs(.deepSeekMarks, afterSpace: true),
        .spacesAtEnd, .runs(.chineseToHangul, afterSpace: false), .numbers(atMost: .max),
      ])
    case "deepseek-coder":
      PreTokenizer([
        .singleNewlines, .letterRunsAfterSpace, .punctuationRunsAfterSpace,
        .runs(.chineseToHangul, afterSpace: false), .numbers(atMost: 1),
      ])
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
    let (value, after) = self.value(first, at: position, to: end)
    guard let scalar = Unicode.Scalar(value) else { return ([], after) }
    return (CharacterClass(scalar), after)
  }

  /// The code point of the character at `position`, which begins with the byte `first`.
  @inline(__always)
  private func value(_ first: UInt8, at position: Int, to end: Int) -> (value: UInt32, after: Int) {
    if first < 0x80 { return (UInt32(first), position + 1) }
    let length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    let after = min(position + length, end)
    var value = UInt32(first) & (0xFF >> UInt32(length + 1))
    for index in (position + 1)..<max(after, position + 1) { value = value << 6 | UInt32(text[index] & 0x3F) }
    return (value, after)
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
    case .cased(let form): endOfCased(from: start, to: end, form)
    case .deepSeekV3:
      endOfMatchOrGap(from: start, to: end) { endOfDeepSeekV3(from: $0, to: end) }
    case .numbers(let most):
      endOfMatchOrGap(from: start, to: end) { position in
        let after = endOfNumbers(from: position, to: end, atMost: most)
        return after > position ? after : nil
      }
    case .runs(let ranges, let afterSpace):
      endOfMatchOrGap(from: start, to: end) { position in
        endOfRun(from: position, to: end, afterSpace: afterSpace) { position in
          let (value, after) = self.value(text[position], at: position, to: end)
          return ranges.contains(value) ? after : nil
        }
      }
    case .letterRunsAfterSpace:
      endOfMatchOrGap(from: start, to: end) { endOfRun(of: .letter, from: $0, to: end) }
    case .punctuationRunsAfterSpace:
      endOfMatchOrGap(from: start, to: end) { endOfRun(of: .punctuation, from: $0, to: end) }
    case .singleNewlines:
      endOfMatchOrGap(from: start, to: end) { isNewline(at: $0) ? $0 + 1 : nil }
    case .spacesAtEnd: endOfSpacesAtEnd(from: start, to: end)
    case .lines: text[start..<end].firstIndex { ($0 == 0x0A) != (text[start] == 0x0A) } ?? end
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

  private func isNewline(at position: Int) -> Bool { text[position] == 0x0A || text[position] == 0x0D }

  /// The position after at most `most` numbers.
  private func endOfNumbers(from start: Int, to end: Int, atMost most: Int) -> Int {
    var position = start
    var count = 0
    while count < most {
      let (found, after) = character(at: position, to: end)
      if found != .number { break }
      position = after
      count += 1
    }
    return position
  }

  /// The end of `member+`, or of `\s?member+`; nil if it does not match at `start`.
  /// - member: the position after a character that belongs to the run
  private func endOfRun(
    from start: Int, to end: Int, afterSpace: Bool, _ member: (Int) -> Int?
  ) -> Int? {
    func run(_ position: Int) -> Int? {
      guard position < end, var position = member(position) else { return nil }
      while position < end, let after = member(position) { position = after }
      return position
    }
    let (found, after) = character(at: start, to: end)
    if afterSpace, found == .space, let end = run(after) { return end }
    return run(start)
  }

  /// The same for a class.
  private func endOfRun(of wanted: CharacterClass, from start: Int, to end: Int) -> Int? {
    endOfRun(from: start, to: end, afterSpace: true) { position in
      let (found, after) = character(at: position, to: end)
      return found.isDisjoint(with: wanted) ? nil : after
    }
  }

  /// Cuts before the spaces that end the text.
  private func endOfSpacesAtEnd(from start: Int, to end: Int) -> Int {
    var cut = start
    var position = start
    while position < end {
      let (found, after) = character(at: position, to: end)
      if found != .space { cut = after }
      position = after
    }
    return cut > start ? cut : end
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
    case .number: return run(from: after, to: end) { $0 == .number }
    case _ where found.contains(.letter): return run(from: after, to: end) { $0.contains(.letter) }
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
    if found == .number { return endOfNumbers(from: start, to: end, atMost: digits) }
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

  private func isHan(at position: Int, to end: Int) -> Bool {
    // The first is U+2E80, whose bytes begin with E2.
    position < end && text[position] >= 0xE2
      && CharacterRanges.han.contains(value(text[position], at: position, to: end).value)
  }

  /// The class of a character for the two alternatives with case: only what is a letter or a mark
  /// counts, and Han counts for nothing if it stands apart.
  private func casedCharacter(
    at position: Int, to end: Int, _ form: PreTokenizerPass.Cased
  ) -> (mayBeUpper: Bool, mayBeLower: Bool, after: Int) {
    let (found, after) = character(at: position, to: end)
    guard !found.isDisjoint(with: [.letter, .mark]), !(form.hanApart && isHan(at: position, to: end)) else {
      return (false, false, after)
    }
    return (!found.contains(.lower), !found.contains(.upper), after)
  }

  private func endOfCased(from start: Int, to end: Int, _ form: PreTokenizerPass.Cased) -> Int {
    if form.hanApart, isHan(at: start, to: end) {
      var position = start
      while isHan(at: position, to: end) {
        position = value(text[position], at: position, to: end).after
      }
      return position
    }
    let (found, after) = character(at: start, to: end)
    let mayLead = found.isDisjoint(with: [.letter, .number]) && !isNewline(at: start)
    let starts = mayLead ? [after, start] : [start]
    for first in starts {
      if let word = endOfUpperThenLower(from: first, to: end, form) { return endOfWord(word, to: end, form) }
    }
    for first in starts {
      let upper = run(from: first, to: end, form, isUpper: true)
      guard upper > first else { continue }
      return endOfWord(run(from: upper, to: end, form, isUpper: false), to: end, form)
    }
    if found == .number { return endOfNumbers(from: start, to: end, atMost: form.digits) }
    let neither: CharacterClass = [.space, .letter, .number]
    let isOther = found.isDisjoint(with: neither)
    let (following, afterFollowing) = character(at: after, to: end)
    if isOther || text[start] == 0x20 && after < end && following.isDisjoint(with: neither) {
      var position = run(from: isOther ? after : afterFollowing, to: end) { $0.isDisjoint(with: neither) }
      while position < end, isNewline(at: position) || form.slashes && text[position] == UInt8(ascii: "/") {
        position += 1
      }
      return position
    }
    return endOfSpaces(from: start, to: end, newlinesEndWords: true)
  }

  /// The end of the run of characters that may be upper letters, or lower ones.
  private func run(
    from start: Int, to end: Int, _ form: PreTokenizerPass.Cased, isUpper: Bool
  ) -> Int {
    var position = start
    while position < end {
      let found = casedCharacter(at: position, to: end, form)
      if isUpper ? !found.mayBeUpper : !found.mayBeLower { break }
      position = found.after
    }
    return position
  }

  /// The end of `U*L+`, where letters without case and marks are both. As the pattern backtracks:
  /// if no lower letter follows the run of upper ones, the last of them that is both ends the match.
  private func endOfUpperThenLower(
    from start: Int, to end: Int, _ form: PreTokenizerPass.Cased
  ) -> Int? {
    var position = start
    var lastOfBoth: Int?
    while position < end {
      let found = casedCharacter(at: position, to: end, form)
      if !found.mayBeUpper {
        if found.mayBeLower { return run(from: position, to: end, form, isUpper: false) }
        break
      }
      position = found.after
      if found.mayBeLower { lastOfBoth = position }
    }
    return lastOfBoth
  }

  private func endOfWord(_ position: Int, to end: Int, _ form: PreTokenizerPass.Cased) -> Int {
    form.contractions ? position + contraction(at: position, to: end, ignoringCase: true) : position
  }

  private func endOfDeepSeekV3(from start: Int, to end: Int) -> Int? {
    func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }
    let (found, after) = character(at: start, to: end)
    let byte = text[start]
    if (0x21...0x7E).contains(byte), !isLetter(byte), !(0x30...0x39).contains(byte), after < end,
      isLetter(text[after])
    {
      var position = after
      while position < end, isLetter(text[position]) { position += 1 }
      return position
    }
    let letters: CharacterClass = [.letter, .mark]
    let marks: CharacterClass = [.punctuation, .symbol]
    if found.isDisjoint(with: [.letter, .punctuation, .symbol]), !isNewline(at: start) {
      let word = run(from: after, to: end) { !$0.isDisjoint(with: letters) }
      if word > after { return word }
    }
    if !found.isDisjoint(with: letters) { return run(from: after, to: end) { !$0.isDisjoint(with: letters) } }
    let first = byte == 0x20 ? after : start
    var position = run(from: first, to: end) { !$0.isDisjoint(with: marks) }
    if position > first {
      while position < end, isNewline(at: position) { position += 1 }
      return position
    }
    return found == .space ? endOfSpaces(from: start, to: end, newlinesEndWords: true) : nil
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
