// SavedAnswerDialects.swift: saved answers of Anthropic's messages, OpenAI's responses and Ollama, read
// back as what they say: whole, as events, as lines. The counterparts of these dialects' writers. Start
// at SavedAnswerReader.dialect.
import JSON
import Receipts

/// The items of a response, in its order, as a stream's pieces make them.
struct SavedParts: Equatable {
  struct Item: Equatable {
    enum Kind: Equatable { case message, reasoning, call }

    var kind: Kind
    /// Of a call.
    var id = ""
    var name = ""
    /// The text, or a call's arguments.
    var text = ""
  }

  var items: [Item] = []

  static let maximum = 4_096
}

extension SavedAnswerReader {
  /// Whose object it is, by the members that only its dialect has.
  enum Kind {
    case ollama(Dialect?)
    case messages
    case responses
    case openAI(Dialect?)
  }

  static func dialect(of value: JSONValue) -> Kind {
    switch value["object"]?.string {
    case "response": return .responses
    case "chat.completion", "chat.completion.chunk": return .openAI(.openAIChat)
    case "text_completion": return .openAI(.openAICompletions)
    case .some: return .openAI(nil)
    case nil: break
    }
    if let type = value["type"]?.string {
      return type.hasPrefix("response.") ? .responses : .messages
    }
    if value["message"] != nil { return .ollama(.ollamaChat) }
    if value["response"] != nil { return .ollama(.ollamaGenerate) }
    if value["error"]?.string != nil { return .ollama(nil) }
    return .openAI(nil)
  }

  /// Members of a message on which whoever reads it acts, and which no token of a receipt gives.
  mutating func noteForeign(_ given: JSONFields) {
    var message = given
    for member in message.unread {
      let key = String(member.dropFirst(message.path.count + 1))
      guard let value = message.value(key), !Self.isEmpty(value) else { continue }
      if !answer.foreign.contains(key) { answer.foreign.append(key) }
    }
  }

  /// The job, out of an id that a dialect makes of it; or an id that is none of it.
  private mutating func take(id: String?, prefix: String) throws(JSONFieldError) {
    guard let id else { return }
    if id.hasPrefix(prefix) {
      answer.job = try same(answer.job, String(id.dropFirst(prefix.count)), "id")
    } else {
      answer.id = try same(answer.id, id, "id")
    }
  }

  private static func without(_ prefix: String, _ id: String) -> String {
    id.hasPrefix(prefix) ? String(id.dropFirst(prefix.count)) : id
  }

  private mutating func finish(_ reason: String, _ words: [String: String]) throws(JSONFieldError) {
    answer.finishReason = try same(
      answer.finishReason, words[reason] ?? reason, "the reason of the end")
  }

  // MARK: Ollama

  mutating func take(ollama fields: inout JSONFields) throws(JSONFieldError) {
    hasArgumentValues = true
    answer.model = try same(answer.model, fields.string("model"), "model")
    _ = try fields.string("created_at")
    if var message = try fields.object("message") {
      _ = try message.word("role", ["assistant"])
      if let text = try message.string("content") { answer.text = (answer.text ?? "") + text }
      if let text = try message.string("thinking") {
        reasoning.content = (reasoning.content ?? "") + text
      }
      for (position, item) in (try message.array("tool_calls") ?? []).enumerated() {
        var call = try JSONFields(item, path: "message.tool_calls[\(position)]")
        let id = try call.string("id") ?? ""
        var function = try call.require("function", call.object("function"))
        answer.calls.append(
          .init(
            id: id, name: try function.string("name") ?? "",
            arguments: Self.text(function.value("arguments") ?? [:])))
        note(function.unread + call.unread)
      }
      noteForeign(message)
    }
    if let text = try fields.string("response") { answer.text = (answer.text ?? "") + text }
    if let text = try fields.string("thinking") {
      reasoning.content = (reasoning.content ?? "") + text
    }
    _ = try fields.bool("done")
    if let reason = try fields.string("done_reason") { try finish(reason, [:]) }
    try count(
      &answer.usage.prompt, fields.integer("prompt_eval_count", 0...Int.max), "prompt_eval_count")
    try count(&answer.usage.completion, fields.integer("eval_count", 0...Int.max), "eval_count")
    if let own = try fields.object("hotpot") { try take(own: own) }
  }

  private static func text(_ value: JSONValue) -> String {
    String(decoding: JSONWriter.bytes(value), as: UTF8.self)
  }

  // MARK: Anthropic's messages

  private static let stopReasons = [
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
  ]

  mutating func take(messages fields: inout JSONFields) throws(JSONFieldError) {
    switch try fields.string("type") {
    case "message": try take(message: &fields, isWhole: true)
    case "message_start":
      if var message = try fields.object("message") {
        try take(message: &message, isWhole: false)
        note(message.unread)
      }
    case "content_block_start":
      let index = try fields.integer("index", 0...SavedParts.maximum) ?? parts.items.count
      guard index == parts.items.count, var block = try fields.object("content_block") else {
        throw JSONFieldError(
          field: "index", message: "block \(index) follows \(parts.items.count) others")
      }
      try take(block: &block, isWhole: false)
    case "content_block_delta":
      guard try fields.integer("index", 0...SavedParts.maximum) == parts.items.count - 1,
        let kind = parts.items.last?.kind, var delta = try fields.object("delta")
      else { throw JSONFieldError(field: "index", message: "a delta belongs to no open block") }
      let type = try delta.string("type") ?? ""
      switch (kind, type) {
      case (.message, "text_delta"):
        answer.text = (answer.text ?? "") + (try delta.string("text") ?? "")
      case (.reasoning, "thinking_delta"):
        reasoning.content = (reasoning.content ?? "") + (try delta.string("thinking") ?? "")
      case (.call, "input_json_delta"):
        let piece = try delta.string("partial_json") ?? ""
        if let last = answer.calls.indices.last { answer.calls[last].arguments += piece }
      default: if !answer.foreign.contains(type) { answer.foreign.append(type) }
      }
      note(delta.unread)
    case "content_block_stop": _ = try fields.integer("index", 0...SavedParts.maximum)
    case "message_delta":
      if var delta = try fields.object("delta") { try take(ending: &delta) }
      try take(usage: &fields, isEnd: true)
      if let own = try fields.object("hotpot") { try take(own: own) }
    case "message_stop", "ping": break
    case "error":
      if var error = try fields.object("error") {
        answer.errorCode = try same(answer.errorCode, error.string("code"), "error.code")
        note(error.unread)
      }
      try take(usage: &fields, isEnd: true)
      if let own = try fields.object("hotpot") { try take(own: own) }
    case let type: note([type ?? "type"])
    }
  }

  private mutating func take(message fields: inout JSONFields, isWhole: Bool) throws(JSONFieldError) {
    _ = try fields.string("type")
    try take(id: fields.string("id"), prefix: "msg_")
    _ = try fields.word("role", ["assistant"])
    answer.model = try same(answer.model, fields.string("model"), "model")
    for (index, item) in (try fields.array("content", count: 0...SavedParts.maximum) ?? [])
      .enumerated()
    {
      var block = try JSONFields(item, path: "content[\(index)]")
      try take(block: &block, isWhole: isWhole)
    }
    try take(ending: &fields)
    try take(usage: &fields, isEnd: isWhole)
    if let own = try fields.object("hotpot") { try take(own: own) }
  }

  /// A block of content; in a stream its beginning.
  private mutating func take(block: inout JSONFields, isWhole: Bool) throws(JSONFieldError) {
    switch try block.string("type") {
    case "text":
      parts.items.append(.init(kind: .message))
      answer.text = (answer.text ?? "") + (try block.string("text") ?? "")
    case "thinking":
      parts.items.append(.init(kind: .reasoning))
      reasoning.content = (reasoning.content ?? "") + (try block.string("thinking") ?? "")
      if try block.string("signature") ?? "" != "" { note([block.fullName("signature")]) }
    case "tool_use":
      parts.items.append(.init(kind: .call))
      let input = block.value("input") ?? [:]
      if isWhole { hasArgumentValues = true }
      answer.calls.append(
        .init(
          id: Self.without("toolu_", try block.string("id") ?? ""),
          name: try block.string("name") ?? "",
          arguments: isWhole || !Self.isEmpty(input) ? Self.text(input) : ""))
    case let type:
      parts.items.append(.init(kind: .message))
      if !answer.foreign.contains(type ?? "a block") { answer.foreign.append(type ?? "a block") }
    }
    note(block.unread)
  }

  private mutating func take(ending fields: inout JSONFields) throws(JSONFieldError) {
    if let reason = try fields.string("stop_reason") { try finish(reason, Self.stopReasons) }
    if try fields.string("stop_sequence") != nil { note([fields.fullName("stop_sequence")]) }
  }

  /// - isEnd: what a stream begins with counts the prompt alone
  private mutating func take(usage fields: inout JSONFields, isEnd: Bool) throws(JSONFieldError) {
    guard var usage = try fields.object("usage") else { return }
    let read = try usage.integer("input_tokens", 0...Int(Int32.max))
    let cached = try usage.integer("cache_read_input_tokens", 0...Int(Int32.max))
    _ = try usage.integer("cache_creation_input_tokens", 0...0)
    let completion = try usage.integer("output_tokens", 0...Int(Int32.max))
    if let read {
      if isEnd {
        try count(&answer.usage.prompt, read + (cached ?? 0), "usage.input_tokens")
      } else {
        promptAtStart = read + (cached ?? 0)
      }
    }
    if isEnd {
      try count(&answer.usage.cached, cached, "usage.cache_read_input_tokens")
      try count(&answer.usage.completion, completion, "usage.output_tokens")
    }
    note(usage.unread)
  }

  // MARK: OpenAI's responses

  mutating func take(responses fields: inout JSONFields) throws(JSONFieldError) {
    guard let type = try fields.string("type") else { return try take(response: &fields) }
    _ = try fields.integer("sequence_number", 0...Int.max)
    let index = try fields.integer("output_index", 0...SavedParts.maximum)
    _ = try fields.string("item_id")
    _ = try fields.integer("content_index", 0...SavedParts.maximum)
    switch type {
    case "response.created", "response.in_progress":
      guard var response = try fields.object("response") else { return }
      try take(id: response.string("id"), prefix: "resp_")
      answer.model = try same(answer.model, response.string("model"), "model")
    case "response.completed", "response.incomplete", "response.failed":
      if var response = try fields.object("response") {
        try take(response: &response)
        note(response.unread)
      }
    case "response.output_item.added":
      guard index == parts.items.count, let item = fields.value("item") else {
        throw JSONFieldError(field: "output_index", message: "an item follows no item before it")
      }
      parts.items.append(try self.item(item))
    case "response.output_text.delta", "response.reasoning_text.delta",
      "response.function_call_arguments.delta":
      guard let index, parts.items.indices.contains(index) else { throw Self.noItem(type) }
      parts.items[index].text += try fields.string("delta") ?? ""
      try takeLogprobs(&fields)
    case "response.output_text.done", "response.reasoning_text.done",
      "response.function_call_arguments.done":
      guard let index, parts.items.indices.contains(index) else { throw Self.noItem(type) }
      let item = parts.items[index]
      let text = try fields.string(item.kind == .call ? "arguments" : "text") ?? ""
      let name = try fields.string("name") ?? item.name
      guard text == item.text, name == item.name else { throw Self.otherItem(index) }
      try takeLogprobs(&fields)
    case "response.content_part.added", "response.content_part.done":
      guard let index, parts.items.indices.contains(index), var part = try fields.object("part")
      else {
        throw Self.noItem(type)
      }
      guard try part.string("text") ?? "" == parts.items[index].text else {
        throw Self.otherItem(index)
      }
    case "response.output_item.done":
      guard let index, parts.items.indices.contains(index), let item = fields.value("item") else {
        throw Self.noItem(type)
      }
      guard try self.item(item) == parts.items[index] else { throw Self.otherItem(index) }
    default: note([type])
    }
  }

  private static func noItem(_ type: String) -> JSONFieldError {
    JSONFieldError(field: "output_index", message: "'\(type.prefix(60))' belongs to no item")
  }

  private static func otherItem(_ index: Int) -> JSONFieldError {
    JSONFieldError(field: "output", message: "item \(index) is not what its pieces make")
  }

  private mutating func takeLogprobs(_ fields: inout JSONFields) throws(JSONFieldError) {
    if let found = fields.value("logprobs"), !Self.isEmpty(found) { note(["logprobs"]) }
  }

  private mutating func take(response fields: inout JSONFields) throws(JSONFieldError) {
    _ = try fields.string("object")
    try take(id: fields.string("id"), prefix: "resp_")
    answer.model = try same(answer.model, fields.string("model"), "model")
    var items: [SavedParts.Item] = []
    for value in try fields.array("output", count: 0...SavedParts.maximum) ?? [] {
      items.append(try item(value))
    }
    let status = try fields.string("status")
    // What was open as a job was cut is in the stream's pieces alone.
    let isCut = status == "failed"
    guard parts.items.isEmpty || parts.items == items || (isCut && parts.items.starts(with: items)) else {
      throw JSONFieldError(
        field: "output", message: "the stream's pieces are not the answer that it ends with")
    }
    if parts.items.isEmpty { parts.items = items }
    switch status {
    case "completed": try finish("stop", [:])
    case "incomplete": try finish("length", [:])
    case "failed", nil: break
    case let status?: try finish(status, [:])
    }
    if var error = try fields.object("error") {
      answer.errorCode = try same(answer.errorCode, error.string("code"), "error.code")
      note(error.unread)
    }
    if var usage = try fields.object("usage") {
      try count(
        &answer.usage.prompt, usage.integer("input_tokens", 0...Int.max), "usage.input_tokens")
      try count(
        &answer.usage.completion, usage.integer("output_tokens", 0...Int.max), "usage.output_tokens"
      )
      try count(
        &answer.usage.total, usage.integer("total_tokens", 0...Int.max), "usage.total_tokens")
      if var details = try usage.object("input_tokens_details") {
        try count(
          &answer.usage.cached, details.integer("cached_tokens", 0...Int.max), "usage cached_tokens"
        )
        note(details.unread)
      }
      note(usage.unread)
    }
    if let own = try fields.object("hotpot") { try take(own: own) }
  }

  private mutating func item(_ value: JSONValue) throws(JSONFieldError) -> SavedParts.Item {
    var fields = try JSONFields(value, path: "output")
    var item: SavedParts.Item
    switch try fields.string("type") {
    case "message":
      item = .init(kind: .message)
      _ = try fields.word("role", ["assistant"])
    case "reasoning":
      item = .init(kind: .reasoning)
      if let summary = fields.value("summary"), !Self.isEmpty(summary) { note(["output.summary"]) }
    case "function_call":
      item = .init(kind: .call)
      item.id = Self.without("call_", try fields.string("call_id") ?? "")
      item.name = try fields.string("name") ?? ""
      item.text = try fields.string("arguments") ?? ""
    case let type:
      item = .init(kind: .message)
      if !answer.foreign.contains(type ?? "an item") { answer.foreign.append(type ?? "an item") }
    }
    _ = try fields.string("id")
    _ = try fields.string("status")
    for value in try fields.array("content", count: 0...SavedParts.maximum) ?? [] {
      var part = try JSONFields(value, path: "output.content")
      let type = try part.string("type")
      guard type == "output_text" || type == "reasoning_text" else {
        if !answer.foreign.contains(type ?? "a part") { answer.foreign.append(type ?? "a part") }
        continue
      }
      item.text += try part.string("text") ?? ""
      try takeLogprobs(&part)
      if let notes = part.value("annotations"), !Self.isEmpty(notes) {
        note(["output.content.annotations"])
      }
      note(part.unread)
    }
    note(fields.unread)
    return item
  }

  // MARK: the end

  /// What the items say, and what an end is called where the dialect has one word for two.
  mutating func finishDialect() throws(JSONFieldError) {
    // A job that was cut while its prompt was read is charged for less of it than it began with.
    if answer.errorCode == nil, let promptAtStart {
      try count(&answer.usage.prompt, promptAtStart, "usage.input_tokens")
    }
    if dialect?.name == Dialect.openAIResponses.name {
      for item in parts.items {
        switch item.kind {
        case .message: answer.text = (answer.text ?? "") + item.text
        case .reasoning: reasoning.content = (reasoning.content ?? "") + item.text
        case .call: answer.calls.append(.init(id: item.id, name: item.name, arguments: item.text))
        }
      }
    }
    let distinguishes =
      dialect?.name == Dialect.anthropicMessages.name || dialect?.name == Dialect.openAIChat.name
      || dialect == nil
    if !distinguishes, answer.finishReason == "stop", !answer.calls.isEmpty {
      answer.finishReason = "tool_calls"
    }
  }
}
