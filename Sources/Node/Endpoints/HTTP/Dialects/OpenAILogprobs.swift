// OpenAILogprobs.swift: tokens with their log-probabilities, in OpenAI's two forms. Start at
// CompletionLogprobs.
import JSON

/// One token in the form of completions, where names stand for tokens: every token has a unique
/// name, and the chosen one is listed with the likeliest, as an additional entry if it isn't among
/// them.
///
/// - A token's name is its text. A token that isn't valid text by itself, such as part of a
///   character, is named `bytes:` and its bytes, each as `\xe6`, like OpenAI's names; so is a text
///   that looks like such a name.
/// - Two tokens may have the same text. The chosen one keeps it, otherwise the likelier one; the
///   other is named `token_id:` and its id, as in vLLM.
///
/// Source: OpenAI API reference, completions: "there may be up to `logprobs+1` elements".
struct CompletionLogprobs: Sendable {
  let chosen: String
  /// Likeliest first.
  let top: [(name: String, logprob: Float)]

  init(_ token: TextLogprob) {
    let chosen = token.chosen.name
    // Two spellings of one character are different names for every JSON reader, so names are
    // compared as bytes.
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
  /// Its text; nil if its bytes aren't valid text.
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

  /// Chat's form. Bytes that aren't valid text are written as `\xe6`, and are listed as numbers
  /// too.
  var json: JSONValue {
    [
      "token": .string(text ?? escaped), "logprob": .double(Double(logprob)),
      // A special token is a name, not bytes of a text.
      "bytes": isSpecial ? .null : .array(bytes.map { JSONValue($0) }),
    ]
  }
}
