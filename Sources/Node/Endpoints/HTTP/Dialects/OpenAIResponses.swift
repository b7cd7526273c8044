// OpenAIResponses.swift: `POST /v1/responses`: its row and its requests, each with its whole
// conversation, since nothing is kept here. Answers are in OpenAIResponsesAnswer.swift. Start at
// Dialect.openAIResponses.
// Source: OpenAI API reference, "Create a model response".
import Inference
import JSON
import Tools

extension Dialect {
  static let openAIResponses = Dialect(
    name: "openai-responses", path: "/v1/responses",
    read: { (value) throws(Refusal) in try OpenAIResponses.read(value) },
    writer: { OpenAIResponsesAnswer($0) },
    refuse: { APIError($0, in: OpenAIResponses.fieldNames).response })
}

enum OpenAIResponses {
  static let fieldNames = APIError.FieldNames(prompt: "input", outputLimit: "max_output_tokens")

  private static let neutral: [NeutralField] = [
    NeutralField("background", .oneOf([false]), "an answer is sent as it comes"),
    NeutralField("previous_response_id", .never, "answers are not kept; send the whole conversation"),
    NeutralField("conversation", .never, "answers are not kept; send the whole conversation"),
    NeutralField("prompt", .never, "prompts are not kept; send the text"),
    NeutralField("include", .wish, "what an answer has is in it"),
    NeutralField("truncation", .oneOf(["disabled", "auto"]), "a conversation that is too long is refused"),
    NeutralField("max_tool_calls", .wish, "a bound on tools that are run elsewhere"),
    NeutralField("top_logprobs", .oneOf([0]), "none are asked for"),
    NeutralField("context_management", .wish, "the conversation stays as it is sent"),
  ]
  private static let item: [NeutralField] = [
    NeutralField("id", .wish, "items are not kept"), NeutralField("status", .wish, "items are whole"),
    NeutralField("phase", .wish, "items are whole"),
    NeutralField("annotations", .wish, "notes on what was said"),
    NeutralField("logprobs", .wish, "what was said is text"),
  ]

  static func read(_ value: JSONValue) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      var ignored: [String] = []
      var chat: [ChatMessage] = []
      if let text = try fields.string("instructions"), !text.isEmpty {
        chat.append(ChatMessage(role: "system", content: text))
      }
      // What goes on from elsewhere is refused by that name.
      let isWhole = fields.value("previous_response_id") == nil && fields.value("conversation") == nil
      switch fields.value("input") {
      case .string(let text): chat.append(ChatMessage(role: "user", content: text))
      case .array(let items):
        guard items.count <= OpenAIRequest.maximumMessages else {
          throw fields.wrong("input", .array([]), "at most \(OpenAIRequest.maximumMessages) items")
        }
        for (index, value) in items.enumerated() {
          try add(value, path: "input[\(index)]", isWhole: isWhole, to: &chat, &ignored)
        }
      case .some(let other): throw fields.wrong("input", other, "a text or a list of items")
      case nil: throw JSONFieldError(field: "input", message: "'input' is missing")
      }
      guard !chat.isEmpty else { throw fields.wrong("input", .array([]), "at least one message") }
      var asked = AskedAnswer(request: GenerationRequest(.messages(chat)), form: AnswerForm())
      try asked.readCommon(&fields)
      asked.request.outputLimit = try fields.integer("max_output_tokens", 1...OpenAIRequest.maximumOutput)
      if var text = try fields.object("text") {
        try asked.readFormat(&text, "format")
        ignored += try text.finishTolerantly()
      }
      let tools = try tools(&fields, &ignored)
      var terms = MessageTerms()
      try tools.apply(to: &terms, &ignored)
      if var reasoning = try fields.object("reasoning") {
        if let effort = try reasoning.string("effort") { terms.effort = ("reasoning.effort", effort) }
        try terms.readBudget(&reasoning, "max_tokens")
        ignored += try reasoning.finishTolerantly()
      }
      asked.request.message = terms
      asked.offered = tools
      asked.request.ignored += try ignored + fields.finishTolerantly(neutral, NeutralField.both)
      return asked
    }
  }

  /// Adds an item of the conversation; reasoning and calls belong to the assistant's message before
  /// them.
  private static func add(
    _ value: JSONValue, path: String, isWhole: Bool, to chat: inout [ChatMessage],
    _ ignored: inout [String]
  ) throws(JSONFieldError) {
    var fields = try JSONFields(value, path: path)
    let type = try fields.string("type") ?? "message"
    switch type {
    case "message":
      let role = try fields.require(
        "role", fields.word("role", ["system", "developer", "user", "assistant"]))
      let texts = try texts(&fields, "content", &ignored)
      var message = ChatMessage(role: OpenAIRequest.roles[role] ?? role, content: texts.first ?? "")
      if texts.count > 1 { message = ChatMessage(role: message.role, parts: texts) }
      // Reasoning that stands before belongs to this message.
      if message.role == "assistant", let last = chat.last, last.role == "assistant", last.content.isEmpty,
        last.calls.isEmpty
      {
        message.reasoning = last.reasoning
        chat.removeLast()
      }
      chat.append(message)
    case "reasoning":
      let summaries = try texts(&fields, "summary", &ignored)
      let thoughts = try texts(&fields, "content", &ignored)
      let text = (thoughts.isEmpty ? summaries : thoughts).joined(separator: "\n")
      if fields.value("encrypted_content") != nil { ignored.append(fields.fullName("encrypted_content")) }
      if !text.isEmpty { assistant(in: &chat, new: true) { $0.reasoning = text } }
    case "function_call":
      let call = ChatToolCall(
        id: try fields.string("call_id", maxBytes: 512) ?? "",
        name: try fields.require("name", fields.string("name", maxBytes: 256)),
        arguments: try fields.string("arguments") ?? "")
      assistant(in: &chat, new: false) { $0.calls.append(call) }
    case "function_call_output":
      var message = ChatMessage(role: "tool", content: "")
      message.callID = try fields.require("call_id", fields.string("call_id", maxBytes: 512))
      if isWhole { try chat.answers(message.callID, field: path) }
      message.content = try texts(&fields, "output", &ignored).joined(separator: "\n")
      chat.append(message)
    default:
      throw .unsupported(
        fields.fullName("type"),
        "'\(fields.fullName("type"))' is \(JSONFields.show(.string(type))), which is not supported here")
    }
    // Ids and states of items are the server's own.
    _ = try fields.finishTolerantly(item)
  }

  private static func assistant(
    in chat: inout [ChatMessage], new: Bool, _ change: (inout ChatMessage) -> Void
  ) {
    if new || chat.last?.role != "assistant" { chat.append(ChatMessage(role: "assistant", content: "")) }
    if let last = chat.indices.last { change(&chat[last]) }
  }

  private static func texts(
    _ fields: inout JSONFields, _ name: String, _ ignored: inout [String]
  ) throws(JSONFieldError) -> [String] {
    switch fields.value(name) {
    case nil: return []
    case .string(let text): return [text]
    case .array(let parts):
      var texts: [String] = []
      for (index, value) in parts.enumerated() {
        var part = try JSONFields(value, path: "\(fields.fullName(name))[\(index)]")
        let type = try part.require(
          "type",
          part.word(
            "type", ["input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal"]))
        let member = type == "refusal" ? "refusal" : "text"
        texts.append(try part.require(member, part.string(member)))
        ignored += try part.finishTolerantly(item).filter { !$0.hasSuffix("annotations") }
      }
      return texts
    case .some(let other): throw fields.wrong(name, other, "a text or a list of texts")
    }
  }

  private static func tools(
    _ fields: inout JSONFields, _ ignored: inout [String]
  ) throws(JSONFieldError) -> OfferedTools {
    var tools = OfferedTools()
    for (index, value) in (try fields.array("tools", count: 0...OfferedTools.maximum) ?? []).enumerated() {
      let path = "tools[\(index)]"
      var tool = try JSONFields(value, path: path)
      // Tools that another server runs, and kinds that come with new clients, are left out.
      guard try tool.require("type", tool.string("type")) == "function" else {
        ignored.append(path)
        continue
      }
      try tools.add(tool, schema: "parameters")
    }
    try tools.readChoice(&fields, .flat)
    return tools
  }
}
