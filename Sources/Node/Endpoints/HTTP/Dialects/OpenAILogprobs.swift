// OpenAILogprobs.swift: tokens with their log-probabilities, in OpenAI's two forms. Start at CompletionLogprobs.
import JSON

/// One token in the form of completions, where names stand for tokens: every token has a name of its own, and
/// the chosen one is among the likeliest, as one more where it is not one of them.
///
/// - The name is the token's text. That of a token which is no text of its own, such as a part of a character, is
///   `bytes:` and its bytes, each as `\xe6`, as OpenAI names it; so is that of a text which looks like such a name.
/// - Two tokens may have one text. The chosen one keeps it, else the likelier; the other is `token_id:` and its id, vLLM's
///   name for it.
///
/// Source: OpenAI API reference, completions: "there may be up to `logprobs+1` elements".
struct CompletionLogprobs: Sendable {
  let chosen: String
  /// Likeliest first.
  let top: [(name: String, logprob: Float)]

  init(_ token: TextLogprob) {
    let chosen = token.chosen.name
    // Two spellings of one character are two names to every reader of JSON.
    var taken: Set<[UInt8]> = [Array(chosen.utf8)]
    var top: [(name: String, logprob: Float)] = []
    for entry in token.top {
      if entry.token == token.chosen.token {
        top.append((chosen, entry.logprob))
      } else {
        let isFree = taken.insert(Array(entry.name.utf8)).inserted
        top.append((isFree ? entry.name : "token_id:\(entry.token)", entry.logprob))
      }
    }
    if !token.top.contains(where: { $0.token == token.chosen.token }) {
      top.append((chosen, token.chosen.logprob))
    }
    self.chosen = chosen
    self.top = top
  }
}

extension TextLogprob.Entry {
  /// Its text; nil where its bytes are none.
  private var text: String? { String(validating: bytes, as: UTF8.self) }

  private var escaped: String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return byte < 16 ? "\\x0" + digits : "\\x" + digits
    }.joined()
  }

  fileprivate var name: String {
    guard let text, !text.isEmpty else { return bytes.isEmpty ? "token_id:\(token)" : "bytes:" + escaped }
    return ["bytes:", "token_id:"].contains(where: text.hasPrefix) ? "bytes:" + escaped : text
  }

  /// Chat's form. What is no text of its own is written as its bytes, `\xe6`; they stand beside it as numbers too.
  var json: JSONValue {
    [
      "token": .string(text ?? escaped), "logprob": .double(Double(logprob)),
      // A special token is a name, and no bytes of any text.
      "bytes": isSpecial ? .null : .array(bytes.map { JSONValue($0) }),
    ]
  }
}
