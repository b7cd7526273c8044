// Texts.swift: what the tests of this target share: judging whole texts, and small vocabularies.

import Grammar
import JSON

/// Whether a text meets a constraint.
func accepts(_ constraint: Constraint, _ text: some Sequence<UInt8>) -> Bool {
  var state = ConstraintState(constraint)
  return state.advance(text) && state.isComplete
}

func accepts(_ constraint: Constraint, _ text: String) -> Bool { accepts(constraint, text.utf8) }

/// Moves a state; a function, since `#expect` takes no mutating method.
func moves(_ state: inout ConstraintState, _ text: some Sequence<UInt8>) -> Bool { state.advance(text) }

func schema(_ text: String) throws -> JSONValue {
  try JSONText.parse(Array(text.utf8), limits: ConstraintSource.limits)
}

/// The refusal of a source; nil if it is taken.
func refusal(_ source: ConstraintSource) -> GrammarError? {
  do throws(GrammarError) {
    _ = try Constraint(source)
    return nil
  } catch {
    return error
  }
}

/// A vocabulary of all bytes, of the JSON's usual pieces and of some words.
let smallVocabulary: [[UInt8]?] =
  [nil] + (UInt8.min...UInt8.max).map { [$0] }
  + [
    "{\"", "\": ", "\",", "\"}", "\"]", "}, {", "[[", "]]", "]}", "\": \"", "\", \"", "null", "true", "false",
    "tru", "nul", "12", "345", "0.", ".5", "-1", "e+", "name", "value", "the", " the", "  ", "\n  ", "\\n",
    "\\u00", "\\\"", "日本", "é", "日", "kind", "aa", "aaa", "ab", "}}", "}}}", "\"}]", "[]", "{}", "\"\"",
    ",\"",
  ].map { Array($0.utf8) } + [[0xE6], [0xE6, 0x97], [0x97, 0xA5], [0xA5, 0x22], nil, []]
