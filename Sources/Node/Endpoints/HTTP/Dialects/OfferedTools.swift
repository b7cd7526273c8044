// OfferedTools.swift: the tools of a request, read alike in each dialect, and what the answer's calls
// must be. What a model calls is read by Tools.
import Inference
import JSON
import Tools

struct OfferedTools: Sendable {
  enum Choice: Sendable, Equatable {
    case none, auto, required
    case named(String)

    init?(_ word: String) {
      switch word {
      case "none": self = .none
      case "auto": self = .auto
      case "required", "any": self = .required
      default: return nil
      }
    }
  }

  struct Tool: Sendable {
    let name: String
    let description: String?
    let parameters: JSONValue?
    let isStrict: Bool
    /// Where it stands in the request.
    let path: String
    /// Where its schema does.
    let schemaPath: String
  }

  static let maximum = 1_024

  private(set) var tools: [Tool] = []
  var choice = Choice.auto
  /// Whether an answer may call more than once; nil if the request does not say.
  var isParallel: Bool?

  /// Reads a tool's definition.
  /// - schema: the name of the field with the schema of its arguments
  mutating func add(_ given: JSONFields, schema: String) throws(JSONFieldError) {
    var fields = given
    let name = try fields.require("name", fields.string("name", maxBytes: 256))
    guard !name.isEmpty else {
      throw JSONFieldError(field: fields.fullName("name"), message: "'\(fields.fullName("name"))' is empty")
    }
    let parameters = fields.value(schema)
    if let parameters {
      guard case .object = parameters else { throw fields.wrong(schema, parameters, "a JSON schema") }
    }
    tools.append(
      Tool(
        name: name, description: try fields.string("description"), parameters: parameters,
        isStrict: try fields.bool("strict") ?? false, path: fields.path, schemaPath: fields.fullName(schema)))
  }

  /// How a dialect names one tool in a choice.
  enum Naming {
    /// `{"type":"function","function":{"name":...}}`
    case nested
    /// `{"type":"function","name":...}`
    case flat
  }

  /// Reads `tool_choice` and `parallel_tool_calls` as OpenAI's dialects have them.
  mutating func readChoice(_ fields: inout JSONFields, _ naming: Naming) throws(JSONFieldError) {
    switch fields.value("tool_choice") {
    case nil: break
    case .string(let word):
      guard let choice = Choice(word) else {
        throw .unsupported(
          "tool_choice",
          "'tool_choice' is \(JSONFields.show(.string(word))), wanted none, auto, required or a tool")
      }
      self.choice = choice
    case .some(let value):
      var given = try JSONFields(value, path: "tool_choice")
      switch try given.require("type", given.string("type")) {
      case "function":
        var function = naming == .nested ? try given.require("function", given.object("function")) : given
        choice = .named(try function.require("name", function.string("name", maxBytes: 256)))
      case "allowed_tools":
        let allowed =
          naming == .nested ? try given.require("allowed_tools", given.object("allowed_tools")) : given
        try allow(allowed) { $0["function"]?["name"]?.string ?? $0["name"]?.string }
      case let other:
        throw .unsupported(
          "tool_choice.type",
          "'tool_choice.type' is \(JSONFields.show(.string(other))), which is not supported here")
      }
    }
    isParallel = try fields.bool("parallel_tool_calls")
  }

  /// Leaves only the tools that a request allows.
  private mutating func allow(
    _ given: JSONFields, name: (JSONValue) -> String?
  ) throws(JSONFieldError) {
    var fields = given
    let mode = try fields.word("mode", ["auto", "required"]) ?? "auto"
    let names = (try fields.array("tools") ?? []).compactMap(name)
    tools.removeAll { !names.contains($0.name) }
    choice = mode == "required" ? .required : .auto
  }

  /// Hands the tools to the template, to the answer's parser and, if calls or arguments are demanded,
  /// to its constraint.
  /// - Throws: if a call is demanded that no tool is offered for.
  func apply(to terms: inout MessageTerms, _ ignored: inout [String]) throws(JSONFieldError) {
    var callable = tools
    switch choice {
    case .none: return
    case .auto: break
    case .required:
      guard !tools.isEmpty else {
        throw JSONFieldError(
          field: "tool_choice", message: "'tool_choice' demands a call, and the request offers no tool")
      }
    case .named(let name):
      callable = tools.filter { $0.name == name }
      guard !callable.isEmpty else {
        throw JSONFieldError(
          field: "tool_choice",
          message: "'tool_choice' names \(JSONFields.show(.string(name))), which the request does not offer")
      }
    }
    terms.tools = tools.map(\.json)
    terms.definitions = tools.map { ToolDefinition(name: $0.name, parameters: $0.parameters) }
    terms.schemaFields = Dictionary(tools.map { ($0.name, $0.schemaPath) }) { first, _ in first }
    terms.isSingleCall = isParallel == false
    guard choice != .auto || tools.contains(where: \.isStrict) else {
      if !tools.isEmpty, isParallel == false { ignored.append("parallel_tool_calls") }
      return
    }
    if choice == .auto, let strict = tools.first(where: \.isStrict) {
      terms.demandField = "\(strict.path).strict"
    }
    let isNamed = if case .named = choice { true } else { false }
    terms.demand = CallDemand(
      // Where a call must come, small models would not stop calling.
      isRequired: choice != .auto, isSingle: isNamed || !(isParallel ?? (choice == .auto)),
      tools: callable.map { ToolDefinition(name: $0.name, parameters: $0.parameters) },
      strict: Set(callable.filter(\.isStrict).map(\.name)))
  }
}

extension [ChatMessage] {
  /// Checks that what a tool answered answers a call of these messages, which stand before it.
  /// - id: as the answer names the call; calls without names are answered by any
  /// - field: where the answer stands
  func answers(_ id: String?, field: String) throws(JSONFieldError) {
    let calls = flatMap(\.calls)
    guard !calls.isEmpty else {
      throw JSONFieldError(
        field: field, message: "'\(field)' is a tool's result, and no call stands before it")
    }
    guard let id, !id.isEmpty, calls.allSatisfy({ !$0.id.isEmpty }), !calls.contains(where: { $0.id == id })
    else { return }
    throw JSONFieldError(
      field: field,
      message:
        "'\(field)' is the result of the call \(JSONFields.show(.string(id))), which does not stand before it"
    )
  }
}

extension OfferedTools.Tool {
  /// As chat templates read it.
  var json: JSONValue {
    var function: [JSONValue.Member] = [(key: "name", value: .string(name))]
    if let description { function.append((key: "description", value: .string(description))) }
    function.append((key: "parameters", value: parameters ?? ["type": "object", "properties": [:]]))
    return ["type": "function", "function": .object(function)]
  }
}
