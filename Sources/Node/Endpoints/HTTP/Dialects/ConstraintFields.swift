// ConstraintFields.swift: the fields by which clients say what an answer's text must be, in OpenAI's,
// Anthropic's, Ollama's, vLLM's, SGLang's and llama.cpp's names. One of them at most. Start at
// readConstraint.
// Source: OpenAI API reference, "Structured outputs"; vLLM, "Structured Outputs"; llama.cpp,
// tools/server/README.md.
import Grammar
import JSON

extension AskedAnswer {
  mutating func readConstraint(_ fields: inout JSONFields) throws(JSONFieldError) {
    var found: [AskedConstraint] = []
    func add(_ source: ConstraintSource, _ field: String) {
      found.append(AskedConstraint(source: source, field: field))
    }
    if var format = try fields.object("response_format") {
      let type = try format.require("type", format.word("type", ["text", "json_object", "json_schema"]))
      switch type {
      case "json_object":
        // llama.cpp's form has the schema beside the type.
        if let schema = format.value("schema") {
          add(.jsonSchema(schema), "response_format.schema")
        } else {
          add(.jsonObject, "response_format")
        }
      case "json_schema":
        var named = try format.require("json_schema", format.object("json_schema"))
        found.append(try Self.named(&named))
        try named.finish()
      default: break
      }
      try format.finish()
    }
    if let text = try fields.string("grammar"), !text.isEmpty { add(.gbnf(text), "grammar") }
    for name in ["json_schema", "guided_json"] {
      if let schema = fields.value(name) { add(try Self.schema(schema, &fields, name), name) }
    }
    if let text = try fields.string("regex") { add(.regex(text), "regex") }
    if let text = try fields.string("guided_regex") { add(.regex(text), "guided_regex") }
    if let text = try fields.string("guided_grammar") { add(.gbnf(text), "guided_grammar") }
    if let choices = try Self.choices(&fields, "guided_choice") { add(.choice(choices), "guided_choice") }
    if var outputs = try fields.object("structured_outputs") {
      if let schema = outputs.value("json") {
        add(try Self.schema(schema, &outputs, "json"), outputs.fullName("json"))
      }
      if let text = try outputs.string("regex") { add(.regex(text), outputs.fullName("regex")) }
      if let text = try outputs.string("grammar") { add(.gbnf(text), outputs.fullName("grammar")) }
      if let choices = try Self.choices(&outputs, "choice") {
        add(.choice(choices), outputs.fullName("choice"))
      }
      if try outputs.bool("json_object") ?? false { add(.jsonObject, outputs.fullName("json_object")) }
      try outputs.finish()
    }
    guard let first = found.first else { return }
    if found.count > 1 {
      throw JSONFieldError(
        field: found[1].field,
        message: "'\(found[1].field)' stands beside '\(first.field)', wanted one of them")
    }
    if request.ignoresEnd {
      throw JSONFieldError(
        field: "ignore_eos", message: "'ignore_eos' is true beside '\(first.field)', whose text has an end")
    }
    request.constraint = first
  }

  /// Reads a format whose schema stands beside its type, as OpenAI's responses and Anthropic's messages
  /// have it. A format that asks for text asks for nothing.
  mutating func readFormat(_ fields: inout JSONFields, _ name: String) throws(JSONFieldError) {
    guard var format = try fields.object(name) else { return }
    let kind = try format.word("type", ["text", "json_object", "json_schema"])
    switch kind ?? (format.value("schema") == nil ? "text" : "json_schema") {
    case "json_object": try constrain(AskedConstraint(source: .jsonObject, field: fields.fullName(name)))
    case "json_schema":
      try constrain(try Self.named(&format))
    default: break
    }
    request.ignored += try format.finishTolerantly()
  }

  /// Reads Ollama's format: a schema, or the word for any object.
  mutating func readOllamaFormat(_ fields: inout JSONFields) throws(JSONFieldError) {
    switch fields.value("format") {
    case nil, .string("")?: break
    case .string("json")?: try constrain(AskedConstraint(source: .jsonObject, field: "format"))
    case .object(let members)?:
      guard !members.isEmpty else { break }
      try constrain(AskedConstraint(source: .jsonSchema(.object(members)), field: "format"))
    case let other?: throw fields.wrong("format", other, "'json' or a JSON schema")
    }
  }

  private mutating func constrain(_ constraint: AskedConstraint) throws(JSONFieldError) {
    if let first = request.constraint {
      throw JSONFieldError(
        field: constraint.field,
        message: "'\(constraint.field)' stands beside '\(first.field)', wanted one of them")
    }
    request.constraint = constraint
  }

  /// A schema with its name; any object where there is no schema.
  private static func named(_ fields: inout JSONFields) throws(JSONFieldError) -> AskedConstraint {
    _ = try fields.string("name", maxBytes: 256)
    _ = try fields.string("description", maxBytes: 1 << 16)
    // Whether strict or not, the schema is held.
    _ = try fields.bool("strict")
    guard let schema = fields.value("schema") else {
      return AskedConstraint(source: .jsonObject, field: fields.path)
    }
    return AskedConstraint(source: .jsonSchema(schema), field: fields.fullName("schema"))
  }

  /// A schema, or its text.
  private static func schema(
    _ value: JSONValue, _ fields: inout JSONFields, _ name: String
  ) throws(JSONFieldError) -> ConstraintSource {
    guard let text = value.string else { return .jsonSchema(value) }
    do throws(JSONError) {
      return .jsonSchema(try JSONText.parse(Array(text.utf8), limits: ConstraintSource.limits))
    } catch {
      let field = fields.fullName(name)
      throw JSONFieldError(field: field, message: "'\(field)' is not the JSON that is wanted: \(error)")
    }
  }

  private static func choices(
    _ fields: inout JSONFields, _ name: String
  ) throws(JSONFieldError) -> [String]? {
    guard let items = try fields.array(name) else { return nil }
    var choices: [String] = []
    for item in items {
      guard let text = item.string else { throw fields.wrong(name, item, "a list of strings") }
      choices.append(text)
    }
    return choices
  }
}
