// PendingLogprobs.swift: log-probabilities of one answer on their way to the client: one rule for
// the node that answers and for everyone who checks an answer. Not here: their form in a dialect
// (OpenAILogprobs.swift). Start at PendingLogprobs.take.
import Inference

/// The log-probabilities of tokens whose text has not begun to be sent.
struct PendingLogprobs: Sendable {
  private var unsent: [TextLogprob] = []
  /// Number of code points of the text so far.
  private var answered = 0

  mutating func add(_ logprob: TextLogprob) { unsent.append(logprob) }

  /// The log-probabilities to send with the text of one token: of tokens whose text has begun to be
  /// sent, and with the last token all the others.
  /// - endsWithNoText: the token is an end token, which is no character
  mutating func take(text: String, isLast: Bool, endsWithNoText: Bool) -> [TextLogprob] {
    answered += text.unicodeScalars.count
    guard isLast else {
      let count = unsent.firstIndex { $0.offset >= answered } ?? unsent.count
      defer { unsent.removeFirst(count) }
      return Array(unsent.prefix(count))
    }
    // An end token follows whatever began before it and isn't a character.
    if endsWithNoText, let last = unsent.indices.last { unsent[last].offset = answered }
    defer { unsent = [] }
    return unsent.map { token in
      var token = token
      token.offset = min(token.offset, answered)
      return token
    }
  }
}

extension TextLogprob {
  /// - offset: where its text begins in the answer, in code points
  init(_ sampled: SampledToken, at offset: Int, tokenizer: Tokenizer) {
    func entry(_ token: Int32, _ logprob: Float) -> Entry {
      Entry(
        token: token, bytes: tokenizer.bytes(of: token), isSpecial: tokenizer.isSpecial(token),
        logprob: logprob)
    }
    self.init(
      chosen: entry(sampled.token, sampled.logprob ?? 0),
      top: sampled.top.map { entry($0.token, $0.logprob) }, offset: offset)
  }
}
