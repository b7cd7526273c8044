// ConstraintFields.swift: the fields by which clients say what an answer's text must be, in OpenAI's,
// vLLM's, SGLang's and llama.cpp's names. One of them at most. Start at readConstraint.
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
        let schema = try named.require("schema", named.value("schema"))
        _ = try named.string("name", maxBytes: 256)
        _ = try named.string("description", maxBytes: 1 << 16)
        // Whether strict or not, the schema is held.
        _ = try named.bool("strict")
        try named.finish()
        add(.jsonSchema(schema), "response_format.json_schema.schema")
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
