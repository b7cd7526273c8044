// AnthropicMessages.swift: `POST /v1/messages`: its row and its requests. Answers are in
// AnthropicAnswer.swift; counting tokens is a route. Start at Dialect.anthropicMessages.
// Source: Anthropic API reference, "Create a Message".
import Inference
import JSON
import Tools

extension Dialect {
  static let anthropicMessages = Dialect(
    name: "anthropic-messages", path: "/v1/messages",
    read: { (value) throws(Refusal) in try AnthropicMessages.read(value, needsLimit: true) },
    writer: { AnthropicAnswer($0) },
    refuse: { AnthropicAnswer.response(APIError($0, in: AnthropicMessages.fieldNames)) })
}

enum AnthropicMessages {
  static let fieldNames = APIError.FieldNames(prompt: "messages", outputLimit: "max_tokens")

  /// What Claude Code's first system block begins with. The block is another one in each request:
  /// with it in the prompt no request would find anything that an earlier one computed.
  static let billingHeader = "x-anthropic-billing-header:"

  private static let neutral: [NeutralField] = [
    NeutralField("metadata", .wish, "labels of the request"),
    NeutralField("service_tier", .wish, "there is one tier"),
    NeutralField("container", .never, "nothing is run here"),
    NeutralField("mcp_servers", .nothing, "nothing is connected"),
    NeutralField("thread", .never, "every request holds its whole conversation"),
    NeutralField("context_management", .wish, "the conversation stays as it is sent"),
    NeutralField("inference_geo", .wish, "this node computes"),
    NeutralField("cache_control", .anyObject, "prefixes are found by their content"),
  ]
  private static let block: [NeutralField] = [
    NeutralField("cache_control", .anyObject, "prefixes are found by their content"),
    NeutralField("citations", .wish, "texts are not cited"),
    NeutralField("signature", .wish, "thoughts are not signed"),
  ]

  /// - needsLimit: whether the answer's limit must be given, as for a message
  static func read(_ value: JSONValue, needsLimit: Bool) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      var ignored: [String] = []
      var chat = try system(&fields, &ignored)
      let messages = try fields.require(
        "messages", fields.array("messages", count: 1...OpenAIRequest.maximumMessages))
      // A thread that goes on elsewhere is refused by that name.
      let isWhole = fields.value("thread") == nil
      for (index, item) in messages.enumerated() {
        let found = try message(item, path: "messages[\(index)]", &ignored)
        for answer in found where isWhole && answer.role == "tool" {
          try chat.answers(answer.callID, field: "messages[\(index)]")
        }
        chat += found
      }
      var asked = AskedAnswer(request: GenerationRequest(.messages(chat)), form: AnswerForm())
      asked.request.model = try fields.require("model", fields.string("model", maxBytes: 512))
      asked.request.outputLimit = try fields.integer("max_tokens", 1...OpenAIRequest.maximumOutput)
      asked.request.yieldingLimit = "max_tokens"
      if needsLimit { _ = try fields.require("max_tokens", asked.request.outputLimit) }
      asked.request.sampling.temperature = Float(try fields.number("temperature", 0...1) ?? 1)
      if let share = try fields.number("top_p", 0...1), share > 0 {
        asked.request.sampling.topP = Float(share)
      }
      asked.request.sampling.topK = max(0, try fields.integer("top_k", -1...Int(Int32.max)) ?? 0)
      asked.request.stops = try stops(&fields)
      asked.form.isStreamed = try fields.bool("stream") ?? false
      try asked.readOwn(&fields)
      let tools = try tools(&fields, &ignored)
      var terms = MessageTerms()
      try tools.apply(to: &terms, &ignored)
      if var thinking = try fields.object("thinking") {
        let type = try thinking.require(
          "type", thinking.word("type", ["enabled", "disabled", "adaptive"]))
        if type != "adaptive" { terms.thinks = ("thinking", type == "enabled") }
        try terms.readBudget(&thinking, "budget_tokens")
        ignored += try thinking.finishTolerantly()
      }
      if var output = try fields.object("output_config") {
        if let effort = try output.string("effort") { terms.effort = ("output_config.effort", effort) }
        try asked.readFormat(&output, "format")
        ignored += try output.finishTolerantly()
      }
      try asked.readFormat(&fields, "output_format")
      asked.request.message = terms
      asked.request.ignored += try ignored + fields.finishTolerantly(neutral)
      return asked
    }
  }

  private static func stops(_ fields: inout JSONFields) throws(JSONFieldError) -> [String] {
    var texts: [String] = []
    for item in try fields.array("stop_sequences", count: 0...StopMatcher.maximumStops) ?? [] {
      guard case .string(let text) = item else { throw fields.wrong("stop_sequences", item, "texts") }
      texts.append(text)
    }
    return texts
  }

  private static func system(
    _ fields: inout JSONFields, _ ignored: inout [String]
  ) throws(JSONFieldError) -> [ChatMessage] {
    switch fields.value("system") {
    case nil: return []
    case .string(let text): return text.isEmpty ? [] : [ChatMessage(role: "system", content: text)]
    case .array(let blocks):
      var texts: [String] = []
      for (index, item) in blocks.enumerated() {
        let path = "system[\(index)]"
        var block = try JSONFields(item, path: path)
        _ = try block.require("type", block.word("type", ["text"]))
        let text = try block.require("text", block.string("text"))
        ignored += try block.finishTolerantly(Self.block)
        if text.hasPrefix(billingHeader) {
          ignored.append(path)
        } else {
          texts.append(text)
        }
      }
      return texts.isEmpty ? [] : [ChatMessage(role: "system", content: texts.joined(separator: "\n\n"))]
    case .some(let other): throw fields.wrong("system", other, "a text or a list of text blocks")
    }
  }

  /// One message, which is more than one where a user's message holds what tools answered.
  private static func message(
    _ value: JSONValue, path: String, _ ignored: inout [String]
  ) throws(JSONFieldError) -> [ChatMessage] {
    var fields = try JSONFields(value, path: path)
    let role = try fields.require("role", fields.word("role", ["user", "assistant", "system"]))
    guard let content = fields.value("content") else {
      throw JSONFieldError(
        field: fields.fullName("content"), message: "'\(fields.fullName("content"))' is missing")
    }
    ignored += try fields.finishTolerantly()
    switch content {
    case .string(let text): return [ChatMessage(role: role, content: text)]
    case .array(let blocks):
      var answers: [ChatMessage] = []
      var message = ChatMessage(role: role, content: "")
      var texts: [String] = []
      for (index, item) in blocks.enumerated() {
        var block = try JSONFields(item, path: "\(path).content[\(index)]")
        let type = try block.require("type", block.string("type"))
        switch (role, type) {
        case (_, "text"): texts.append(try block.require("text", block.string("text")))
        case ("assistant", "thinking"):
          message.reasoning = (message.reasoning ?? "") + (try block.string("thinking") ?? "")
        case ("assistant", "redacted_thinking"):
          ignored.append(block.path)
          _ = block.value("data")
        case ("assistant", "tool_use"):
          let input = block.value("input") ?? [:]
          message.calls.append(
            ChatToolCall(
              id: try block.string("id", maxBytes: 512) ?? "",
              name: try block.require("name", block.string("name", maxBytes: 256)),
              arguments: String(decoding: JSONWriter.bytes(input), as: UTF8.self)))
        case ("user", "tool_result"): answers.append(try answer(&block, &ignored))
        default:
          throw .unsupported(
            block.fullName("type"),
            "'\(block.fullName("type"))' is \(JSONFields.show(.string(type))), which is not supported here")
        }
        ignored += try block.finishTolerantly(Self.block)
      }
      if texts.count == 1 { message.content = texts[0] }
      if texts.count > 1 {
        let (calls, reasoning) = (message.calls, message.reasoning)
        message = ChatMessage(role: role, parts: texts)
        (message.calls, message.reasoning) = (calls, reasoning)
      }
      let isEmpty = texts.isEmpty && message.calls.isEmpty && message.reasoning == nil
      return answers + (isEmpty && !answers.isEmpty ? [] : [message])
    default: throw fields.wrong("content", content, "a text or a list of blocks")
    }
  }

  private static func answer(
    _ block: inout JSONFields, _ ignored: inout [String]
  ) throws(JSONFieldError) -> ChatMessage {
    var message = ChatMessage(role: "tool", content: "")
    message.callID = try block.require("tool_use_id", block.string("tool_use_id", maxBytes: 512))
    switch block.value("content") {
    case nil: break
    case .string(let text): message.content = text
    case .array(let parts):
      var texts: [String] = []
      for (index, item) in parts.enumerated() {
        var part = try JSONFields(item, path: "\(block.fullName("content"))[\(index)]")
        _ = try part.require("type", part.word("type", ["text"]))
        texts.append(try part.require("text", part.string("text")))
        ignored += try part.finishTolerantly(Self.block)
      }
      message.content = texts.joined(separator: "\n")
    case .some(let other): throw block.wrong("content", other, "a text or a list of text blocks")
    }
    if try block.bool("is_error") ?? false { message.content = "Error: " + message.content }
    return message
  }

  private static func tools(
    _ fields: inout JSONFields, _ ignored: inout [String]
  ) throws(JSONFieldError) -> OfferedTools {
    var tools = OfferedTools()
    for (index, item) in (try fields.array("tools", count: 0...OfferedTools.maximum) ?? []).enumerated() {
      let path = "tools[\(index)]"
      var tool = try JSONFields(item, path: path)
      // Tools that another server runs have a type and no schema: they are left out.
      let type = try tool.string("type") ?? "custom"
      guard type == "custom" || tool.value("input_schema") != nil else {
        ignored.append(path)
        continue
      }
      try tools.add(tool, schema: "input_schema")
    }
    guard var choice = try fields.object("tool_choice") else { return tools }
    switch try choice.require("type", choice.word("type", ["auto", "any", "tool", "none"])) {
    case "tool": tools.choice = .named(try choice.require("name", choice.string("name", maxBytes: 256)))
    case let word: tools.choice = OfferedTools.Choice(word) ?? .auto
    }
    tools.isParallel = try choice.bool("disable_parallel_tool_use").map { !$0 }
    return tools
  }
}
