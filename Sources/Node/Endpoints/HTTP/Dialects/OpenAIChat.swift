// OpenAIChat.swift: `POST /v1/chat/completions`: its row, its requests and its answers.
// What it shares with completions is in OpenAIRequest.swift and OpenAIAnswer.swift. Start at
// Dialect.openAIChat.
// Source: OpenAI API reference, "Create chat completion".
import Inference
import JSON
import Tools

extension Dialect {
  static let openAIChat = Dialect(
    name: "openai-chat", path: "/v1/chat/completions",
    read: { (value) throws(Refusal) in try OpenAIChat.read(value) },
    writer: { OpenAIChat(answer: OpenAIAnswer($0)) },
    refuse: { APIError($0, in: OpenAIChat.fieldNames).response })
}

struct OpenAIChat: OpenAIAnswerWriter {
  static let fieldNames = APIError.FieldNames(prompt: "messages", outputLimit: "max_completion_tokens")
  static let idPrefix = "chatcmpl-"
  static let wholeObject = "chat.completion"
  static let chunkObject = "chat.completion.chunk"

  var answer: OpenAIAnswer

  /// The first chunk of a stream.
  var opening: JSONValue? { choice(delta: ["role": "assistant", "content": ""], logprobs: [], finish: nil) }

  func chunk(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    choice(delta: finish == nil ? ["content": .string(text)] : [:], logprobs: logprobs, finish: finish)
  }

  func whole(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    var message: [JSONValue.Member] = [
      (key: "role", value: "assistant"),
      (key: "content", value: text.isEmpty && !answer.calls.isEmpty ? .null : .string(text)),
      (key: "refusal", value: nil),
    ]
    if !answer.reasoning.isEmpty {
      message.append((key: "reasoning_content", value: .string(answer.reasoning)))
      message.append((key: "reasoning", value: .string(answer.reasoning)))
    }
    if !answer.calls.isEmpty {
      let calls = answer.calls.map { call -> JSONValue in
        [
          "id": .string(call.id), "type": "function",
          "function": ["name": .string(call.name), "arguments": .string(call.arguments)],
        ]
      }
      message.append((key: "tool_calls", value: .array(calls)))
    }
    return [
      "index": 0, "message": .object(message),
      "logprobs": list(logprobs), "finish_reason": finish.map { .string($0) } ?? .null,
    ]
  }

  private func choice(delta: JSONValue, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    [
      "index": 0, "delta": delta, "logprobs": list(logprobs),
      "finish_reason": finish.map { .string($0) } ?? .null,
    ]
  }

  /// A delta with a piece of the message that isn't content.
  func chunk(_ event: MessageEvent) -> JSONValue? {
    switch event {
    case .content, .finished: return nil
    // Both names are in use.
    case .reasoning(let text):
      return choice(
        delta: ["reasoning_content": .string(text), "reasoning": .string(text)], logprobs: [], finish: nil)
    case .call(let index, let id, let name):
      return choice(
        delta: [
          "tool_calls": [
            [
              "index": JSONValue(index), "id": .string(answer.shape.callID(index, id)), "type": "function",
              "function": ["name": .string(name), "arguments": ""],
            ]
          ]
        ], logprobs: [], finish: nil)
    case .arguments(let index, let text):
      return choice(
        delta: ["tool_calls": [["index": JSONValue(index), "function": ["arguments": .string(text)]]]],
        logprobs: [], finish: nil)
    }
  }

  private func list(_ logprobs: [TextLogprob]) -> JSONValue {
    answer.shape.wantsLogprobs && !logprobs.isEmpty ? Self.form(logprobs) : .null
  }

  /// A list of objects, one per token.
  static func form(_ logprobs: [TextLogprob]) -> JSONValue {
    [
      "content": .array(
        logprobs.map { token in
          guard case .object(var members) = token.chosen.json else { return .null }
          members.append((key: "top_logprobs", value: .array(token.top.map(\.json))))
          return .object(members)
        }),
      "refusal": nil,
    ]
  }

  // MARK: requests

  fileprivate static func read(_ value: JSONValue) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      let messages = try fields.require(
        "messages", fields.array("messages", count: 1...OpenAIRequest.maximumMessages))
      var ignored: [String] = []
      var chat: [ChatMessage] = []
      for (index, item) in messages.enumerated() {
        let message = try message(item, path: "messages[\(index)]", &ignored)
        if message.role == "tool" { try chat.answers(message.callID, field: "messages[\(index)]") }
        chat.append(message)
      }
      var asked = AskedAnswer(request: GenerationRequest(.messages(chat)), form: AnswerForm())
      try asked.readCommon(&fields)
      var terms = MessageTerms()
      let tools = try tools(&fields)
      try tools.apply(to: &terms, &ignored)
      try terms.readThinking(&fields, &ignored)
      asked.request.message = terms
      asked.offered = tools
      let wantsLogprobs = try fields.bool("logprobs") ?? false
      let top = try fields.integer("top_logprobs", 0...SamplingRequest.maximumTopLogprobs)
      if let top, top > 0, !wantsLogprobs {
        throw JSONFieldError(field: "top_logprobs", message: "'top_logprobs' wants 'logprobs' to be true")
      }
      if wantsLogprobs { asked.request.sampling.topLogprobs = top ?? 0 }
      let new = try fields.integer("max_completion_tokens", 1...OpenAIRequest.maximumOutput)
      let old = try fields.integer("max_tokens", 1...OpenAIRequest.maximumOutput)
      if let new, let old, new != old {
        throw JSONFieldError(
          field: "max_tokens",
          message: "'max_tokens' is \(old) and 'max_completion_tokens' is \(new), wanted one of them")
      }
      asked.request.outputLimit = new ?? old
      asked.request.ignored += try ignored + fields.finishTolerantly(NeutralField.chat, NeutralField.both)
      return asked
    }
  }

  private static func tools(_ fields: inout JSONFields) throws(JSONFieldError) -> OfferedTools {
    var tools = OfferedTools()
    for (index, item) in (try fields.array("tools", count: 0...OfferedTools.maximum) ?? []).enumerated() {
      let path = "tools[\(index)]"
      var tool = try JSONFields(item, path: path)
      let type = try tool.string("type") ?? "function"
      guard type == "function" else {
        throw .unsupported(
          "\(path).type", "'\(path).type' is \(JSONFields.show(.string(type))); tools here are functions")
      }
      try tools.add(try tool.require("function", tool.object("function")), schema: "parameters")
    }
    try tools.readChoice(&fields, .nested)
    return tools
  }

  private static func message(
    _ value: JSONValue, path: String, _ ignored: inout [String]
  ) throws(JSONFieldError) -> ChatMessage {
    var fields = try JSONFields(value, path: path)
    let role = try fields.require(
      "role", fields.word("role", ["system", "developer", "user", "assistant", "tool", "function"]))
    var message = ChatMessage(role: OpenAIRequest.roles[role] ?? role, content: "")
    let isAssistant = message.role == "assistant"
    let refusal = try fields.string("refusal")
    switch fields.value("content") {
    case .string(let text): message.content = text
    case .array(let parts):
      var texts: [String] = []
      for (index, part) in parts.enumerated() {
        var part = try JSONFields(part, path: "\(path).content[\(index)]")
        let type = try part.require("type", part.word("type", isAssistant ? ["text", "refusal"] : ["text"]))
        texts.append(try part.require(type, part.string(type)))
        ignored += try part.finishTolerantly(NeutralField.part)
      }
      message = ChatMessage(role: message.role, parts: texts)
    case .some(let other): throw fields.wrong("content", other, "a text or a list of text parts")
    // Messages without content, as clients send them back.
    case nil where isAssistant || message.role == "tool": message.content = refusal ?? ""
    case nil:
      throw JSONFieldError(
        field: fields.fullName("content"), message: "'\(fields.fullName("content"))' is missing")
    }
    if isAssistant {
      message.calls = try calls(&fields)
      // Both names are in use; messages that come back have the same under both.
      let names = [try fields.string("reasoning_content"), try fields.string("reasoning")]
      message.reasoning = names.compactMap(\.self).first { !$0.isEmpty }
    }
    if message.role == "tool" {
      message.callID = try fields.string("tool_call_id", maxBytes: 512)
      message.name = try fields.string("name", maxBytes: 512)
    }
    ignored += try fields.finishTolerantly(NeutralField.message)
    return message
  }

  private static func calls(_ fields: inout JSONFields) throws(JSONFieldError) -> [ChatToolCall] {
    var calls: [ChatToolCall] = []
    for (index, item) in (try fields.array("tool_calls", count: 0...OfferedTools.maximum) ?? []).enumerated()
    {
      let path = fields.fullName("tool_calls[\(index)]")
      var call = try JSONFields(item, path: path)
      let type = try call.string("type") ?? "function"
      guard type == "function" else {
        throw .unsupported(
          "\(path).type", "'\(path).type' is \(JSONFields.show(.string(type))); calls here are of functions")
      }
      var function = try call.require("function", call.object("function"))
      calls.append(
        ChatToolCall(
          id: try call.string("id", maxBytes: 512) ?? "",
          name: try function.require("name", function.string("name", maxBytes: 256)),
          arguments: try function.string("arguments") ?? ""))
    }
    if var old = try fields.object("function_call") {
      calls.append(
        ChatToolCall(
          id: "", name: try old.require("name", old.string("name", maxBytes: 256)),
          arguments: try old.string("arguments") ?? ""))
    }
    return calls
  }
}
