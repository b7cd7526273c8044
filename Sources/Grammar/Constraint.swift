// Constraint.swift: what a text must be, as a client asks for it, and its compiled form, which every
// sequence under it shares. Not here: schemas (folder Schemas), notations (folder Notations), the
// state of one sequence (ConstraintState.swift). Start at Constraint.init.

import CDigest
import JSON

/// What the text of an answer must be.
package enum ConstraintSource: Sendable, Equatable {
  /// Any JSON object.
  case jsonObject
  /// A JSON text that meets a JSON Schema (draft 2020-12, the subset in Schemas/SchemaCompiler.swift).
  case jsonSchema(JSONValue)
  /// A grammar in GBNF, from its rule `root`.
  case gbnf(String)
  /// A regular expression that the whole text must match.
  case regex(String)
  /// One of these texts.
  case choice([String])
  /// A message with thinking and calls. Programs make it, and no client sends it.
  case message(MessageShape)

  /// One word.
  package var kind: String {
    switch self {
    case .jsonObject: "json_object"
    case .jsonSchema: "json_schema"
    case .gbnf: "gbnf"
    case .regex: "regex"
    case .choice: "choice"
    case .message: "message"
    }
  }

  /// The source as one text, from which `init(kind:text:)` makes it again: a schema and choices as
  /// JSON on one line, in the client's order.
  package var text: String {
    switch self {
    case .jsonObject: ""
    case .jsonSchema(let schema): String(decoding: JSONWriter.bytes(schema), as: UTF8.self)
    case .gbnf(let text), .regex(let text): text
    case .choice(let choices):
      String(decoding: JSONWriter.bytes(.array(choices.map { .string($0) })), as: UTF8.self)
    case .message(let shape): String(decoding: JSONWriter.bytes(shape.json), as: UTF8.self)
    }
  }

  /// A source from what `kind` and `text` made; nil if they made no such thing.
  package init?(kind: String, text: String) {
    switch kind {
    case "json_object" where text.isEmpty: self = .jsonObject
    case "json_schema":
      guard let schema = try? JSONText.parse(Array(text.utf8), limits: Self.limits) else { return nil }
      self = .jsonSchema(schema)
    case "gbnf": self = .gbnf(text)
    case "regex": self = .regex(text)
    case "choice":
      // What cannot be read is no choice; the caller says so.
      guard let list = (try? JSONText.parse(Array(text.utf8), limits: Self.limits))?.array else { return nil }
      let choices = list.compactMap(\.string)
      guard choices.count == list.count else { return nil }
      self = .choice(choices)
    case "message":
      // What cannot be read is no shape; the caller says so.
      guard let json = try? JSONText.parse(Array(text.utf8), limits: Self.limits),
        let shape = MessageShape(json)
      else { return nil }
      self = .message(shape)
    default: return nil
    }
  }

  /// What is read of a schema's text: deeper than a request, since a schema says `properties` between
  /// any two levels of what it describes.
  package static var limits: JSONText.Limits {
    var limits = JSONText.Limits()
    limits.depth = 192
    limits.integers = .exact
    return limits
  }

  /// SHA-256 of the kind, a line feed, and the text.
  package var digest: [UInt8] {
    let bytes = Array("\(kind)\n\(text)".utf8)
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256(bytes, bytes.count, &digest)
    return digest
  }
}

extension ConstraintSource {
  /// The same texts as an element of a shape.
  package var element: JSONValue {
    switch self {
    case .jsonObject: ["schema": ["type": "object"]]
    case .jsonSchema(let schema): ["schema": schema]
    case .gbnf(let text): ["gbnf": .string(text)]
    case .regex(let text): ["regex": .string(text)]
    case .choice(let choices): ["choice": .array(choices.map { .string($0) })]
    case .message(let shape): shape.whole
    }
  }

  /// The shape, of a message.
  package var shape: MessageShape? {
    if case .message(let shape) = self { return shape }
    return nil
  }
}

/// A compiled constraint. It is immutable; all sequences under one source may share it.
package struct Constraint: Sendable {
  package let source: ConstraintSource
  /// `ConstraintSource.digest`.
  package let digest: [UInt8]
  let automaton: Automaton
  /// The names of schemas that could not be held and yielded (ShapeReader.swift).
  package let loosened: [String]

  /// The most bytes of a source's text.
  package static let mostBytes = 1 << 20

  /// Compiles a source. The work is bounded by `Budget`, so that any source takes at most a few
  /// hundredths of a second. Throws where in the source is what cannot be held, or if no text meets
  /// it.
  package init(_ source: ConstraintSource) throws(GrammarError) {
    self.source = source
    let text = source.text
    guard text.utf8.count <= Self.mostBytes else {
      throw GrammarError(
        place: .whole, message: "\(text.utf8.count) bytes, wanted at most \(Self.mostBytes)")
    }
    digest = source.digest
    var budget = Budget.whole
    var loosened: [String] = []
    switch source {
    case .jsonObject:
      automaton = try SchemaCompiler.compile(.object([(key: "type", value: "object")]), budget)
    case .jsonSchema(let schema): automaton = try SchemaCompiler.compile(schema, budget)
    case .gbnf(let text):
      let (rules, root) = try GBNFReader.read(text, &budget)
      automaton = try Self.compile(rules, root, budget)
    case .regex(let text):
      let language: DFA
      do throws(Refusal) {
        language = try DFA(try ExpressionReader.read(text, &budget), &budget)
      } catch {
        throw error.at(.whole)
      }
      var rules = Rules()
      let root = rules.add("expression", .language(language, .utf8))
      automaton = try Self.compile(rules, root, budget)
    case .choice(let choices):
      do throws(Refusal) {
        guard !choices.isEmpty else { throw Refusal(message: "no choice") }
        var rules = Rules()
        let root = rules.add("choice", .language(try DFA(words: choices, &budget), .utf8))
        automaton = try RuleCompiler.compile(rules, root: root, productive: [true], budget)
      } catch {
        throw error.at(.whole)
      }
    case .message(let shape):
      var rules = Rules()
      let read = try ShapeReader.read(shape.whole, into: &rules, &budget)
      loosened = read.loosened
      automaton = try Self.compile(rules, read.root, budget)
    }
    self.loosened = loosened
  }

  private static func compile(
    _ rules: Rules, _ root: Int, _ budget: Budget
  ) throws(GrammarError) -> Automaton {
    var budget = budget
    do throws(Refusal) {
      let productive = try RuleCompiler.productive(rules, &budget)
      guard productive[root] else { throw Refusal(message: "no text meets it") }
      return try RuleCompiler.compile(rules, root: root, productive: productive, budget)
    } catch {
      throw error.at(.whole)
    }
  }
}
