// AnswerText.swift: turns tokens into the text that a client gets, and decides where it ends: one
// rule for the node that answers and for everyone who checks an answer. Not here: the search for
// stop strings (StopMatcher), partial characters (StreamingDetokenizer).
// Start at append.
import Inference

/// The text of one answer as its tokens come.
struct AnswerText: Sendable {
  enum End: Sendable, Equatable {
    case endToken, stopString, limit
  }

  private let tokenizer: Tokenizer
  private let ignoresEnd: Bool
  private let limit: Int
  /// Special tokens that leave text: the marks that an answer is read by.
  private let shown: Set<Int32>
  private var detokenizer: StreamingDetokenizer
  private var stop: StopMatcher
  private var count = 0
  /// Why nothing follows; nil while more may follow.
  private(set) var end: End?

  /// - limit: tokens after which the answer ends
  /// - shown: special tokens whose names are text
  init(
    tokenizer: Tokenizer, stops: StopMatcher, ignoresEnd: Bool, limit: Int, shown: Set<Int32> = []
  ) {
    self.tokenizer = tokenizer
    self.ignoresEnd = ignoresEnd
    self.limit = limit
    self.shown = shown
    detokenizer = StreamingDetokenizer(tokenizer, special: shown.isEmpty ? .hidden : .shown)
    stop = stops
  }

  /// Where the text of the next token begins, in code points of the whole text.
  func offset(of token: Int32) -> Int { detokenizer.offset(of: token) }

  /// The text that this token adds. An end token adds none. A token that may begin a stop string or
  /// a character adds less than its own text. The last token also adds what was withheld, but never
  /// a stop string.
  mutating func append(_ token: Int32) -> String {
    guard end == nil else { return "" }
    count += 1
    let isEnd = tokenizer.isEndOfGeneration(token) && !ignoresEnd
    let isSilent = isEnd || (!shown.isEmpty && tokenizer.isSpecial(token) && !shown.contains(token))
    var text = isSilent ? "" : stop.append(detokenizer.append(token))
    if stop.matched != nil {
      end = .stopString
    } else if isEnd || count >= limit {
      text += stop.append(detokenizer.finish())
      if stop.matched == nil { text += stop.finish() }
      end = stop.matched != nil ? .stopString : isEnd ? .endToken : .limit
    }
    return text
  }
}
