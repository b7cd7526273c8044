// Ollama.swift: Ollama's `POST /api/chat` and `POST /api/generate`: rows and requests. Answers, lines
// of JSON, are in OllamaAnswer.swift; what is asked about models is in ModelRoutes.swift. Start at
// Dialect.ollamaChat.
// Source: Ollama API reference.
import Inference
import JSON
import Tools

extension Dialect {
  static let ollamaChat = Dialect(
    name: "ollama-chat", path: "/api/chat",
    read: { (value) throws(Refusal) in try Ollama.readChat(value) },
    writer: { OllamaAnswer($0, .message) }, refuse: { OllamaAnswer.response(APIError($0)) })

  static let ollamaGenerate = Dialect(
    name: "ollama-generate", path: "/api/generate",
    read: { (value) throws(Refusal) in try Ollama.readGenerate(value) },
    writer: { OllamaAnswer($0, .response) }, refuse: { OllamaAnswer.response(APIError($0)) })
}

enum Ollama {
  private static let neutral: [NeutralField] = [
    NeutralField("keep_alive", .wish, "the model stays"),
    NeutralField("images", .nothing, "prompts are text"),
    NeutralField("suffix", .nothing, "nothing comes after"),
    NeutralField("template", .nothing, "the model's own template is used"),
    NeutralField("context", .nothing, "every request holds its whole conversation"),
    NeutralField("logprobs", .oneOf([false]), "none are asked for"),
    NeutralField("top_logprobs", .oneOf([0]), "none are asked for"),
    NeutralField("truncate", .wish, "a conversation that is too long is refused"),
    NeutralField("shift", .wish, "an answer ends where the context does"),
  ]
  private static let options: [NeutralField] = [
    NeutralField("num_ctx", .wish, "the context is what the node has"),
    NeutralField("mirostat", .oneOf([0]), "0 is off"),
    NeutralField("typical_p", .oneOf([1, 1.0]), "1 cuts nothing"),
    NeutralField("tfs_z", .oneOf([1, 1.0]), "1 cuts nothing"),
  ]
  private static let message: [NeutralField] = [NeutralField("images", .nothing, "messages are text")]

  /// The name without the tag that clients add to every name.
  static func model(_ name: String) -> String {
    name.hasSuffix(":latest") ? String(name.dropLast(":latest".count)) : name
  }

  fileprivate static func readChat(_ value: JSONValue) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      var ignored: [String] = []
      var chat: [ChatMessage] = []
      let messages = try fields.require(
        "messages", fields.array("messages", count: 1...OpenAIRequest.maximumMessages))
      for (index, item) in messages.enumerated() {
        let message = try read(item, path: "messages[\(index)]", &ignored)
        if message.role == "tool" { try chat.answers(message.callID, field: "messages[\(index)]") }
        chat.append(message)
      }
      var tools = OfferedTools()
      for (index, item) in (try fields.array("tools", count: 0...OfferedTools.maximum) ?? []).enumerated() {
        var tool = try JSONFields(item, path: "tools[\(index)]")
        _ = try tool.word("type", ["function"])
        try tools.add(try tool.require("function", tool.object("function")), schema: "parameters")
      }
      var asked = AskedAnswer(request: GenerationRequest(.messages(chat)), form: AnswerForm())
      var terms = MessageTerms()
      try tools.apply(to: &terms, &ignored)
      try finish(&asked, &fields, &terms, &ignored)
      return asked
    }
  }

  fileprivate static func readGenerate(_ value: JSONValue) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      var ignored: [String] = []
      let prompt = try fields.string("prompt") ?? ""
      let system = try fields.string("system") ?? ""
      guard !prompt.isEmpty else {
        throw JSONFieldError(field: "prompt", message: "'prompt' is missing; models stay as they are loaded")
      }
      let isRaw = try fields.bool("raw") ?? false
      let chat =
        (system.isEmpty ? [] : [ChatMessage(role: "system", content: system)])
        + [ChatMessage(role: "user", content: prompt)]
      var asked = AskedAnswer(
        request: GenerationRequest(isRaw ? .text(prompt) : .messages(chat)), form: AnswerForm())
      var terms = MessageTerms()
      try finish(&asked, &fields, &terms, &ignored)
      if isRaw { asked.request.message = nil }
      return asked
    }
  }

  private static func finish(
    _ asked: inout AskedAnswer, _ fields: inout JSONFields, _ terms: inout MessageTerms,
    _ ignored: inout [String]
  ) throws(JSONFieldError) {
    asked.request.model = model(try fields.require("model", fields.string("model", maxBytes: 512)))
    asked.form.isStreamed = try fields.bool("stream") ?? true
    switch fields.value("think") {
    case nil: break
    case .bool(let isOn): terms.thinks = ("think", isOn)
    case .string(let word): terms.effort = ("think", word)
    case .some(let other): throw fields.wrong("think", other, "true, false or a word")
    }
    if var options = try fields.object("options") {
      let sampling = asked.request.sampling
      asked.request.sampling.temperature = Float(
        try options.number("temperature", 0...2) ?? Double(sampling.temperature))
      if let share = try options.number("top_p", 0...1), share > 0 {
        asked.request.sampling.topP = Float(share)
      }
      asked.request.sampling.topK = max(0, try options.integer("top_k", -1...Int(Int32.max)) ?? 0)
      asked.request.sampling.minP = Float(try options.number("min_p", 0...1) ?? 0)
      asked.request.sampling.repetitionPenalty = Float(try options.number("repeat_penalty", 0.01...100) ?? 1)
      asked.request.sampling.presencePenalty = Float(try options.number("presence_penalty", -2...2) ?? 0)
      asked.request.sampling.frequencyPenalty = Float(try options.number("frequency_penalty", -2...2) ?? 0)
      if let seed = try options.integer("seed", -1...Int(Int64.max)), seed >= 0 {
        asked.request.sampling.seed = UInt64(seed)
        asked.request.hasSeed = true
      }
      // -1 and -2 mean no limit.
      if let limit = try options.integer("num_predict", -2...OpenAIRequest.maximumOutput), limit > 0 {
        asked.request.outputLimit = limit
        asked.request.yieldingLimit = "options.num_predict"
      }
      asked.request.stops = try AskedAnswer.stops(&options)
      ignored += try options.finishTolerantly(Self.options)
    }
    try asked.readOllamaFormat(&fields)
    try asked.readOwn(&fields)
    asked.request.message = terms
    asked.request.ignored += try ignored + fields.finishTolerantly(neutral)
  }

  private static func read(
    _ value: JSONValue, path: String, _ ignored: inout [String]
  ) throws(JSONFieldError) -> ChatMessage {
    var fields = try JSONFields(value, path: path)
    let role = try fields.require("role", fields.word("role", ["system", "user", "assistant", "tool"]))
    var message = ChatMessage(role: role, content: try fields.string("content") ?? "")
    if role == "assistant" {
      message.reasoning = try fields.string("thinking")
      for (index, item) in (try fields.array("tool_calls", count: 0...OfferedTools.maximum) ?? [])
        .enumerated()
      {
        var call = try JSONFields(item, path: "\(path).tool_calls[\(index)]")
        var function = try call.require("function", call.object("function"))
        message.calls.append(
          ChatToolCall(
            id: try call.string("id", maxBytes: 512) ?? "",
            name: try function.require("name", function.string("name", maxBytes: 256)),
            arguments: String(decoding: JSONWriter.bytes(function.value("arguments") ?? [:]), as: UTF8.self)))
      }
    }
    if role == "tool" {
      let names = [try fields.string("tool_name", maxBytes: 256), try fields.string("name", maxBytes: 256)]
      message.name = names.compactMap(\.self).first
      message.callID = try fields.string("tool_call_id", maxBytes: 512)
    }
    ignored += try fields.finishTolerantly(Self.message)
    return message
  }
}
