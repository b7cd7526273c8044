// OfferedTools.swift: the tools of a request, read alike in each dialect, with what they ask for that
// is not enforced here. What a model calls is read by Tools.
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
  }

  static let maximum = 1_024

  private(set) var tools: [Tool] = []
  var choice = Choice.auto
  var allowsParallel = true

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
        isStrict: try fields.bool("strict") ?? false, path: fields.path))
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
    allowsParallel = try fields.bool("parallel_tool_calls") ?? true
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

  /// Hands the tools to the template and to the answer's parser.
  /// - Throws: by name, what the answer could not be held to.
  func apply(to terms: inout MessageTerms, _ ignored: inout [String]) throws(JSONFieldError) {
    switch choice {
    case .none: return
    case .auto: break
    case .required, .named:
      throw .unsupported(
        "tool_choice", "'tool_choice' demands a call, which is not supported here; none and auto are")
    }
    if let strict = tools.first(where: \.isStrict) {
      throw .unsupported(
        "\(strict.path).strict",
        "'\(strict.path).strict' is true, which is not supported here; arguments are as the model writes them"
      )
    }
    terms.tools = tools.map(\.json)
    terms.definitions = tools.map { ToolDefinition(name: $0.name, parameters: $0.parameters) }
    if !tools.isEmpty, !allowsParallel { ignored.append("parallel_tool_calls") }
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
