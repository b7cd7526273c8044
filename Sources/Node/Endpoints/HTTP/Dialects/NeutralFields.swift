// NeutralFields.swift: fields that clients send although they have no effect here, each with the
// values that change nothing. Any other value of them would change the answer, and is refused by
// name. What was left out of account is named in the answer, and so are fields that nobody knows. Null
// counts as absent, everywhere.
// Source: OpenAI API reference; vLLM's and llama.cpp's names; requests recorded from 28 clients.
// Start at the tables.
import JSON

/// A field, its accepted values, and why they change nothing.
struct NeutralField: Sendable {
  enum Accepted: Sendable {
    /// An empty list, an empty object or an empty text.
    case nothing
    /// No value at all.
    case never
    /// One of these values.
    case oneOf([JSONValue])
    case anyBool
    /// A text of at most this many bytes.
    case text(Int)
    /// An object of texts.
    case labels
    /// An object, whatever it holds.
    case anyObject
    /// Whatever it is: a wish that an answer without it still answers.
    case wish
  }

  let name: String
  let accepts: Accepted
  let why: String

  init(_ name: String, _ accepts: Accepted, _ why: String) {
    self.name = name
    self.accepts = accepts
    self.why = why
  }

  /// Fields of `POST /v1/chat/completions`.
  static let chat: [NeutralField] = [
    NeutralField("functions", .nothing, "there is nothing to call; tools are what came after them"),
    NeutralField("function_call", .oneOf(["none", "auto"]), "without functions there is nothing to choose"),
    NeutralField("modalities", .oneOf([["text"]]), "answers are text"),
    NeutralField("audio", .nothing, "answers are text"),
    NeutralField("web_search_options", .never, "nothing is searched"),
    NeutralField("verbosity", .wish, "a wish for the length of answers"),
    NeutralField("prediction", .wish, "a guess at the answer, which makes it come sooner elsewhere"),
    NeutralField("add_generation_prompt", .oneOf([true]), "the template adds it"),
    NeutralField("continue_final_message", .oneOf([false]), "an answer is a message of its own"),
  ]

  /// Fields of `POST /v1/completions`.
  static let completion: [NeutralField] = []

  /// Fields of both.
  static let both: [NeutralField] = [
    NeutralField("store", .wish, "answers are not kept to be listed"),
    NeutralField("metadata", .labels, "labels of what is stored; nothing is"),
    NeutralField("user", .text(512), "the token says who asks"),
    NeutralField("safety_identifier", .text(512), "the token says who asks"),
    NeutralField("prompt_cache_key", .text(512), "prefixes are found by their content"),
    NeutralField("prompt_cache_retention", .text(64), "prefixes stay while there is room"),
    NeutralField("service_tier", .wish, "there is one tier"),
    NeutralField("cache_prompt", .anyBool, "cached or computed, the bits are the same"),
    NeutralField("use_beam_search", .oneOf([false]), "answers are sampled"),
    NeutralField("length_penalty", .oneOf([1, 1.0]), "only beams have one"),
    NeutralField("early_stopping", .oneOf([false]), "only beams stop early"),
    NeutralField("min_tokens", .oneOf([0]), "an answer may end at once"),
    NeutralField("stop_token_ids", .nothing, "the model's own end tokens end it"),
    NeutralField("bad_words", .nothing, "no word is forbidden"),
    NeutralField("include_stop_str_in_output", .oneOf([false]), "the stop string is left out"),
    NeutralField("skip_special_tokens", .oneOf([true]), "special tokens leave no text"),
    NeutralField("spaces_between_special_tokens", .anyBool, "special tokens leave no text"),
    NeutralField("typical_p", .oneOf([1, 1.0]), "1 cuts nothing"),
    NeutralField("tfs_z", .oneOf([1, 1.0]), "1 cuts nothing"),
    NeutralField("top_a", .oneOf([0, 0.0]), "0 cuts nothing"),
    NeutralField("mirostat", .oneOf([0]), "0 is off"),
    NeutralField("dry_multiplier", .oneOf([0, 0.0]), "0 is off"),
    NeutralField("xtc_probability", .oneOf([0, 0.0]), "0 is off"),
    NeutralField("dynatemp_range", .oneOf([0, 0.0]), "0 is off"),
  ]

  /// Fields of `stream_options`.
  static let streamOptions: [NeutralField] = [
    NeutralField("include_obfuscation", .oneOf([false]), "chunks are not padded"),
    NeutralField("continuous_usage_stats", .oneOf([false]), "usage comes at the end"),
  ]

  /// Fields of a message.
  static let message: [NeutralField] = [
    NeutralField("name", .text(512), "templates show roles, not names"),
    NeutralField("annotations", .wish, "notes on what was said"),
    NeutralField("audio", .nothing, "messages are text"),
    NeutralField("images", .nothing, "messages are text"),
    NeutralField("cache_control", .anyObject, "prefixes are found by their content"),
  ]

  /// Fields of a part of a message.
  static let part: [NeutralField] = [
    NeutralField("annotations", .wish, "notes on what was said"),
    NeutralField("cache_control", .anyObject, "prefixes are found by their content"),
  ]

  func takes(_ value: JSONValue) -> Bool {
    switch (accepts, value) {
    case (.nothing, .array(let items)): items.isEmpty
    case (.nothing, .object(let members)): members.isEmpty
    case (.nothing, .string(let text)): text.isEmpty
    case (.oneOf(let values), _): values.contains(value)
    case (.anyBool, .bool): true
    case (.text(let most), .string(let text)): text.utf8.count <= most
    case (.labels, .object(let members)):
      members.allSatisfy { if case .string = $0.value { true } else { false } }
    case (.anyObject, .object): true
    case (.wish, _): true
    case (.never, _): false
    case (.nothing, _), (.anyBool, _), (.text, _), (.labels, _), (.anyObject, _): false
    }
  }

  /// The accepted values, in words.
  var wanted: String {
    switch accepts {
    case .nothing: "only an empty one is taken"
    case .never: "leave it out"
    case .oneOf(let values):
      "only "
        + values.prefix(2).map { String(decoding: JSONWriter.bytes($0), as: UTF8.self) }
        .joined(separator: " or ") + " is taken"
    case .anyBool: "only true or false is taken"
    case .text(let most): "only a string of at most \(most) bytes is taken"
    case .labels: "only an object of strings is taken"
    case .anyObject: "only an object is taken"
    case .wish: "anything is taken"
    }
  }

  /// Whether the value says something that is left out of account.
  func leavesOut(_ value: JSONValue) -> Bool {
    switch accepts {
    case .nothing, .never, .oneOf, .anyBool: return false
    case .text, .labels, .anyObject, .wish: break
    }
    switch value {
    case .null, .bool(false): return false
    case .string(let text): return !["", "auto", "default"].contains(text)
    case .array(let items): return !items.isEmpty
    case .object(let members): return !members.isEmpty
    case .bool, .int, .unsigned, .big, .double: return true
    }
  }
}

extension JSONFields {
  /// Reads fields without effect, and refuses values that would have one, and unknown fields.
  mutating func finish(_ tables: [NeutralField]...) throws(JSONFieldError) {
    _ = try readNeutral(tables)
    if let stray = unread.first { throw .unsupported(stray, "'\(stray)' is not supported here") }
  }

  /// The same, but takes unknown fields.
  /// - Returns: the fields that were left out of account.
  mutating func finishTolerantly(_ tables: [NeutralField]...) throws(JSONFieldError) -> [String] {
    try readNeutral(tables) + unread
  }

  private mutating func readNeutral(_ tables: [[NeutralField]]) throws(JSONFieldError) -> [String] {
    var leftOut: [String] = []
    for field in tables.joined() {
      guard let value = value(field.name) else { continue }
      guard field.takes(value) else {
        throw .unsupported(
          fullName(field.name),
          "'\(fullName(field.name))' is \(Self.show(value)), which is not supported here; \(field.wanted)")
      }
      if field.leavesOut(value) { leftOut.append(fullName(field.name)) }
    }
    return leftOut
  }
}
