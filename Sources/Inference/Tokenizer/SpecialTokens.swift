// SpecialTokens.swift: finds the names of special tokens in trusted text, and lists those that end
// a generation.

/// A set of token names, matched leftmost and longest first.
///
/// The names are sorted, so those that begin with the bytes read so far form one range, which each
/// further byte narrows by bisection.
struct TokenMatcher: Sendable {
  private let names: [(bytes: [UInt8], token: Int32)]
  private var startsName = [Bool](repeating: false, count: 256)

  init(_ names: [(bytes: [UInt8], token: Int32)]) {
    // Among equal names the one with the highest id comes last and wins, as if each overwrote the
    // one before.
    self.names = names.filter { !$0.bytes.isEmpty }.sorted {
      $0.bytes == $1.bytes ? $0.token < $1.token : $0.bytes.lexicographicallyPrecedes($1.bytes)
    }
    for name in self.names { startsName[Int(name.bytes[0])] = true }
  }

  var isEmpty: Bool { names.isEmpty }

  /// The longest name at `position` that ends at or before `end`.
  func match(_ text: UnsafeBufferPointer<UInt8>, at position: Int, to end: Int) -> (token: Int32, end: Int)? {
    guard position < end, startsName[Int(text[position])] else { return nil }
    var low = 0
    var high = names.count
    var depth = 0
    var found: (token: Int32, end: Int)?
    while position + depth < end {
      let byte = text[position + depth]
      low = bisect(low, high, depth) { $0 < byte }
      high = bisect(low, high, depth) { $0 <= byte }
      if low == high { break }
      depth += 1
      // Among names with this prefix, the one equal to it sorts first (with its duplicates).
      var index = low
      while index < high, names[index].bytes.count == depth {
        found = (names[index].token, position + depth)
        index += 1
      }
    }
    return found
  }

  /// The first index in low..<high whose name has no byte at `depth` for which `isBefore` holds.
  /// Names that end before `depth` count as before.
  private func bisect(_ low: Int, _ high: Int, _ depth: Int, _ isBefore: (UInt8) -> Bool) -> Int {
    var low = low
    var high = high
    while low < high {
      let middle = (low + high) / 2
      let bytes = names[middle].bytes
      if bytes.count <= depth || isBefore(bytes[depth]) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }
}

enum SpecialTokenNames {
  /// Names that end a turn, the most common first. If the metadata names no end-of-turn token, it
  /// is the first of these in the vocabulary.
  static let endOfTurn = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>",
    "_<EOT>",
    "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
  ]

  /// Names after which generation is over. Source: llama.cpp's llama-vocab.cpp, which names the
  /// model of each.
  static let endOfGeneration =
    endOfTurn + [
      "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "</s>", "<|eom_id|>", "[EOS]", "<eos>", "<turn|>",
      "<|tool_response>", "[e~[", "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>",
      "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
    ]

  /// What stands before, between and behind the parts of a text whose middle is asked for, where the
  /// metadata does not say so. Source: llama.cpp's llama-vocab.cpp.
  static let infillPrefix = [
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
  ]
  static let infillSuffix = [
    "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
  ]
  static let infillMiddle = [
    "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
  ]

  /// True for names in brackets, which chat templates use as marks (`<think>`, `[INST]`); a user
  /// who writes one must not get the token, whatever its kind. False for runs of spaces, tabs and
  /// such.
  static func looksLikeMark(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
    guard bytes.count >= 3, let first = bytes.first, let last = bytes.last else { return false }
    return first == UInt8(ascii: "<") && last == UInt8(ascii: ">")
      || first == UInt8(ascii: "[") && last == UInt8(ascii: "]")
  }

  /// `<|name|>` and `<｜name｜>`, for vocabularies that do not say which tokens are special.
  static func looksLikeControl(_ name: String) -> Bool {
    name.hasPrefix("<|") && name.hasSuffix("|>") && name.utf8.count > 4
      || name.hasPrefix("<｜") && name.hasSuffix("｜>")
  }
}
