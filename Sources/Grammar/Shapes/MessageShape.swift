// MessageShape.swift: what a whole answer must be: a model's thinking, how long it may be, and the
// shape of what follows. Start at MessageShape.init.

import JSON

/// A message's shape, as `ConstraintSource.message` holds it.
///
/// As JSON: `marks`, texts that special tokens may spell; `thinking`, whose members are those of
/// `Thinking`; and `text`, an element of ShapeReader.swift, which is any text where it is missing.
package struct MessageShape: Sendable, Equatable {
  /// A block in which a model thinks before it answers.
  package struct Thinking: Sendable, Equatable {
    package var open: String
    package var close: String
    /// The prompt has opened it. Otherwise the answer may.
    package var isBegun: Bool
    /// Tokens of the answer after which it is closed; nil for any number of them.
    package var tokens: Int?
    /// The shape of the text has a place for it. Otherwise it stands before the text.
    package var isInText: Bool

    package init(open: String, close: String, isBegun: Bool, tokens: Int? = nil, isInText: Bool = false) {
      self.open = open
      self.close = close
      self.isBegun = isBegun
      self.tokens = tokens
      self.isInText = isInText
    }
  }

  package var marks: [String]
  package var thinking: Thinking?
  package var text: JSONValue?

  /// A larger bound is none: contexts are shorter.
  package static let mostTokens = 1 << 20

  package init(marks: [String], thinking: Thinking?, text: JSONValue?) {
    self.marks = marks
    self.thinking = thinking
    self.text = text
  }

  /// Nil if it is no such JSON.
  package init?(_ json: JSONValue) {
    guard case .object(let members) = json, let list = json["marks"]?.array,
      members.allSatisfy({ ["marks", "thinking", "text"].contains($0.key) })
    else { return nil }
    marks = list.compactMap(\.string)
    guard marks.count == list.count else { return nil }
    text = json["text"]
    guard let given = json["thinking"] else { return }
    guard let open = given["open"]?.string, let close = given["close"]?.string, !close.isEmpty,
      let isBegun = given["begun"]?.bool, let isInText = given["in_text"]?.bool
    else { return nil }
    let tokens = given["tokens"]?.integer
    guard (0...Self.mostTokens).contains(tokens ?? 0) else { return nil }
    thinking = Thinking(open: open, close: close, isBegun: isBegun, tokens: tokens, isInText: isInText)
  }

  package var json: JSONValue {
    var members: [JSONValue.Member] = [(key: "marks", value: .array(marks.map { .string($0) }))]
    if let thinking {
      var own: [JSONValue.Member] = [
        (key: "open", value: .string(thinking.open)), (key: "close", value: .string(thinking.close)),
        (key: "begun", value: .bool(thinking.isBegun)), (key: "in_text", value: .bool(thinking.isInText)),
      ]
      if let tokens = thinking.tokens { own.append((key: "tokens", value: JSONValue(tokens))) }
      members.append((key: "thinking", value: .object(own)))
    }
    if let text { members.append((key: "text", value: text)) }
    return .object(members)
  }

  /// The whole answer as one element.
  var whole: JSONValue {
    let text = text ?? ["free": []]
    guard let thinking, !thinking.isInText else { return text }
    let thoughts: JSONValue = ["free": [.string(thinking.close)]]
    let rest: [JSONValue] = [thoughts, ["text": .string(thinking.close)], ["regex": "[ \\n]{0,4}"]]
    if thinking.isBegun { return ["sequence": .array(rest + [text])] }
    let block: JSONValue = [
      "sequence": .array([["regex": "[ \\n]{0,4}"], ["text": .string(thinking.open)]] + rest)
    ]
    return ["sequence": [["repeat": block, "least": 0, "most": 1], text]]
  }
}
