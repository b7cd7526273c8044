// CallNotationTests.swift: answers that must call, or may, in every format: texts sampled at random under
// the notation of a format are read by the format's parser as calls of the tools that were offered,
// with arguments that meet their schemas.
import Dice
import Foundation
import Grammar
import JSON
import Testing
import Tools

@Suite struct CallNotationTests {
  private static func schema(_ text: String) throws -> JSONValue {
    try JSONText.parse(Array(text.utf8), limits: ConstraintSource.limits)
  }

  /// Arguments of every kind: strings of all sorts, numbers, lists, objects, branches, references.
  private static func tools() throws -> [ToolDefinition] {
    [
      ToolDefinition(
        name: "get_weather",
        parameters: try schema(
          """
          {"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["C","F"]},
           "days":{"type":"integer","minimum":1,"maximum":14}},"required":["city"],"additionalProperties":false}
          """)),
      ToolDefinition(
        name: "edit-file",
        parameters: try schema(
          """
          {"type":"object","$defs":{"Line":{"type":"object","properties":{"at":{"type":"integer"},
           "text":{"type":"string","maxLength":12}},"required":["at","text"],"additionalProperties":false}},
           "properties":{"path":{"type":"string","pattern":"^[a-z/]{1,20}$"},
           "lines":{"type":"array","items":{"$ref":"#/$defs/Line"},"maxItems":3},
           "note":{"anyOf":[{"type":"string"},{"type":"null"}]},"force":{"type":"boolean"},
           "ratio":{"type":"number","minimum":0,"maximum":1}},
           "required":["path","lines","force"],"additionalProperties":false}
          """)),
      ToolDefinition(
        name: "stop",
        parameters: try schema(#"{"type":"object","properties":{},"additionalProperties":false}"#)),
    ]
  }

  /// Bytes, what JSON is made of, and the format's marks.
  private static func vocabulary(_ format: ToolFormat) -> [[UInt8]?] {
    (UInt8.min...UInt8.max).map { [$0] }
      + (["{\"", "\": ", "\", ", "\"}", "}]", "]}", "city", "true", "12", "</", "<|", "é"] + format.marks).map
    {
      Array($0.utf8)
    }
  }

  /// A text whose tokens are chosen at random, of those that are no plain characters more often, and
  /// which ends where it can after some length. Nil if it did not end.
  private static func sample(
    _ constraint: Constraint, _ masks: ConstraintMasks, _ vocabulary: [[UInt8]?],
    _ dice: inout SeededGenerator
  ) -> String? {
    var state = ConstraintState(constraint)
    var mask = TokenMask(size: vocabulary.count)
    var text: [UInt8] = []
    for step in 0..<4_000 {
      if state.isComplete, step > 40 || Int.random(in: 0..<6, using: &dice) == 0 {
        return String(decoding: text, as: UTF8.self)
      }
      state.allowed(masks, into: &mask)
      var allowed = vocabulary.indices.filter { mask.contains($0) }
      let marks = allowed.filter { token in
        token >= 256 || Set("\"{}[]<>(),:=\n|'".utf8).contains(UInt8(token))
      }
      if !marks.isEmpty, step > 30 || Bool.random(using: &dice) { allowed = marks }
      guard let token = allowed.randomElement(using: &dice), let bytes = vocabulary[token] else { return nil }
      guard state.advance(bytes) else { return nil }
      text += bytes
    }
    return nil
  }

  private static func read(_ text: String, _ format: ToolFormat, _ tools: [ToolDefinition]) -> (
    calls: [(name: String, arguments: String)], content: String
  ) {
    var parser = MessageParser(format: format, reasoning: nil, tools: tools)
    var calls: [(name: String, arguments: String)] = []
    var content = ""
    for event in parser.feed(text) + parser.finish(isCut: false) {
      switch event {
      case .call(_, _, let name): calls.append((name, ""))
      case .arguments(let index, let piece): calls[index].arguments += piece
      case .content(let piece): content += piece
      case .reasoning, .finished: break
      }
    }
    return (calls, content)
  }

  private static func meets(_ arguments: String, _ tool: ToolDefinition) throws -> Bool {
    let constraint = try Constraint(.jsonSchema(tool.parameters ?? [:]))
    var state = ConstraintState(constraint)
    let isBegun = state.advance(arguments.utf8)
    return isBegun && state.isComplete
  }

  private static func source(_ shape: JSONValue, _ format: ToolFormat) -> ConstraintSource {
    .message(MessageShape(marks: format.marks, thinking: nil, text: shape))
  }

  @Test("calls that are required are read as calls, in every format", arguments: ToolFormat.all.map(\.name))
  func required(_ name: String) throws {
    let format = try #require(ToolFormat.named(name))
    let tools = try Self.tools()
    var dice = SeededGenerator(seed: 18)
    for isSingle in [true, false] {
      let shape = try format.notation(
        CallDemand(isRequired: true, isSingle: isSingle, tools: tools, strict: Set(tools.map(\.name))))
      let constraint = try Constraint(Self.source(shape, format))
      let vocabulary = Self.vocabulary(format)
      let masks = ConstraintMasks(constraint, TokenTrie(vocabulary))
      var ended = 0
      for _ in 0..<16 {
        guard let text = Self.sample(constraint, masks, vocabulary, &dice) else { continue }
        ended += 1
        let found = Self.read(text, format, tools)
        let isCalled = !found.calls.isEmpty && found.content.isEmpty && (!isSingle || found.calls.count == 1)
        #expect(isCalled, "\(text.debugDescription) is read as \(found)")
        for call in found.calls {
          let tool = try #require(tools.first { $0.name == call.name }, "\(call.name) in \(text)")
          let holds = try Self.meets(call.arguments, tool)
          #expect(holds, "\(text.debugDescription): \(call.name) \(call.arguments)")
        }
        guard isCalled else { return }
      }
      #expect(ended > 3, "\(ended) of 16 texts ended")
    }
  }

  @Test("where calls may be made, what is a call meets its schema", arguments: ToolFormat.all.map(\.name))
  func possible(_ name: String) throws {
    let format = try #require(ToolFormat.named(name))
    let tools = try Self.tools()
    var dice = SeededGenerator(seed: 81)
    let shape = try format.notation(
      CallDemand(isRequired: false, isSingle: false, tools: tools, strict: Set(tools.map(\.name))))
    let constraint = try Constraint(Self.source(shape, format))
    let vocabulary = Self.vocabulary(format)
    let masks = ConstraintMasks(constraint, TokenTrie(vocabulary))
    var state = ConstraintState(constraint)
    let plain =
      (format.hasChannels ? "<|channel|>final<|message|>" : "") + "It is sunny in Paris, <b>22</b> degrees."
    let isTaken = name == "atem" || (state.advance(plain.utf8) && state.isComplete)
    #expect(isTaken, "plain text")
    var called = 0
    for _ in 0..<20 {
      guard let text = Self.sample(constraint, masks, vocabulary, &dice) else { continue }
      for call in Self.read(text, format, tools).calls {
        called += 1
        let tool = try #require(tools.first { $0.name == call.name }, "\(call.name) in \(text)")
        let holds = try Self.meets(call.arguments, tool)
        #expect(holds, "\(text.debugDescription): \(call.name) \(call.arguments)")
      }
    }
    #expect(called > 0)
  }

  @Test("a schema that a format cannot hold is refused for a strict tool, and yields for another")
  func yielding() throws {
    let tool = ToolDefinition(
      name: "f",
      parameters: try Self.schema(#"{"type":"object","properties":{"a":{"not":{"type":"string"}}}}"#))
    func constraint(_ format: ToolFormat, strict: Bool) throws(any Error) -> Constraint {
      let shape = try format.notation(
        CallDemand(isRequired: true, isSingle: true, tools: [tool], strict: strict ? ["f"] : []))
      return try Constraint(Self.source(shape, format))
    }
    let error = #expect(throws: GrammarError.self) { try constraint(.hermesJSON, strict: true) }
    #expect(error?.of == "f")
    let loose = try constraint(.hermesJSON, strict: false)
    #expect(loose.loosened == ["f"])
    let python = try #require(ToolFormat.named("python-like"))
    let branched = ToolDefinition(name: "g", parameters: try Self.schema(#"{"anyOf":[{"type":"object"}]}"#))
    let refused = #expect(throws: CallNotationError.self) {
      try python.notation(CallDemand(isRequired: true, isSingle: true, tools: [branched], strict: ["g"]))
    }
    #expect(
      "\(try #require(refused))"
        == "its calls cannot be held, which this model writes in the format 'python-like': wanted a schema that lists its properties and no more"
    )
  }
}
