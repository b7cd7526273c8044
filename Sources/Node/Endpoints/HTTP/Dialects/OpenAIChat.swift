// OpenAIChat.swift: `POST /v1/chat/completions`: its row, its requests and its answers.
// What it shares with completions is in OpenAIRequest.swift and OpenAIAnswer.swift. Start at
// Dialect.openAIChat.
// Source: OpenAI API reference, "Create chat completion".
import Inference
import JSON

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
    [
      "index": 0, "message": ["role": "assistant", "content": .string(text), "refusal": nil],
      "logprobs": list(logprobs), "finish_reason": finish.map { .string($0) } ?? .null,
    ]
  }

  private func choice(delta: JSONValue, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    [
      "index": 0, "delta": delta, "logprobs": list(logprobs),
      "finish_reason": finish.map { .string($0) } ?? .null,
    ]
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
      var chat: [ChatMessage] = []
      for (index, item) in messages.enumerated() {
        chat.append(try message(item, path: "messages[\(index)]"))
      }
      var asked = AskedAnswer(request: GenerationRequest(.messages(chat)), form: AnswerForm())
      try asked.readCommon(&fields)
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
      if let effort = try fields.string("reasoning_effort") {
        guard OpenAIRequest.reasoningEfforts.contains(effort) else {
          throw .unsupported(
            "reasoning_effort",
            "'reasoning_effort' is \(JSONFields.show(.string(effort))), which is not supported here")
        }
        asked.request.reasoningEffort = effort
      }
      try fields.finish(NeutralField.chat, NeutralField.both)
      return asked
    }
  }

  private static func message(_ value: JSONValue, path: String) throws(JSONFieldError) -> ChatMessage {
    var fields = try JSONFields(value, path: path)
    let role = try fields.require("role", fields.word("role", ["system", "developer", "user", "assistant"]))
    var message = ChatMessage(role: role == "developer" ? "system" : role, content: "")
    switch fields.value("content") {
    case .string(let text): message.content = text
    case .array(let parts):
      var texts: [String] = []
      for (index, part) in parts.enumerated() {
        var part = try JSONFields(part, path: "\(path).content[\(index)]")
        _ = try part.require("type", part.word("type", ["text"]))
        texts.append(try part.require("text", part.string("text")))
        try part.finish(NeutralField.part)
      }
      message = ChatMessage(role: message.role, parts: texts)
    case .some(let other): throw fields.wrong("content", other, "a text or a list of text parts")
    // An assistant message without content, as clients send it back.
    case nil where message.role == "assistant": break
    case nil:
      throw JSONFieldError(
        field: fields.fullName("content"), message: "'\(fields.fullName("content"))' is missing")
    }
    try fields.finish(NeutralField.message)
    return message
  }
}
