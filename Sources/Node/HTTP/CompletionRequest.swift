// CompletionRequest.swift: what a client asks for, in OpenAI's words, every field checked and none ignored.
// Leaves out tokenising and deciding (Serving) and the answer's form (Responder). Start at init(chat:) and init(completion:).
// Source: OpenAI API reference, "Create chat completion" and "Create completion"; vLLM's names for what goes beyond it.
import Accounting
import Control
import Inference
import Intake
import JSON

/// One decoded request for tokens.
struct CompletionRequest: Sendable {
  enum Prompt: Sendable {
    case messages([ChatMessage])
    case text(String)
    case tokens([Int32])
  }

  var prompt: Prompt
  var model: String
  var sampling = SamplingRequest(temperature: 1)
  /// nil takes what the context leaves, up to a default.
  var outputLimit: Int?
  var stops: [String] = []
  var isStreamed = false
  var includesUsage = false
  /// The seed was given; otherwise the node draws one and says which.
  var hasSeed = false
  var ignoresEnd = false
  var returnsTokens = false
  /// Taken where the model's template asks for none: then it changes nothing.
  var reasoningEffort: String?
  var priority = 5
  /// The priority was given.
  var hasPriority = false
  /// Microseconds.
  var timeLimit: Microseconds?
  /// For a million completion tokens.
  var offered: Amount?

  var isChat: Bool {
    if case .messages = prompt { true } else { false }
  }

  static let maximumMessages = 2_048
  static let maximumOutput = 1 << 20
  /// Source: OpenAI API reference.
  static let reasoningEfforts: Set<String> = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]

  /// `POST /v1/chat/completions`.
  init(chat value: JSONValue) throws(APIError) {
    self = try Self.read(value) { (fields) throws(JSONFieldError) in
      let messages = try fields.require("messages", fields.array("messages", count: 1...Self.maximumMessages))
      var chat: [ChatMessage] = []
      for (index, message) in messages.enumerated() {
        chat.append(try Self.message(message, path: "messages[\(index)]"))
      }
      var request = CompletionRequest(prompt: .messages(chat), model: "")
      try request.readCommon(&fields)
      let wantsLogprobs = try fields.bool("logprobs") ?? false
      let top = try fields.integer("top_logprobs", 0...SamplingRequest.maximumTopLogprobs)
      if let top, top > 0, !wantsLogprobs {
        throw JSONFieldError(field: "top_logprobs", message: "'top_logprobs' wants 'logprobs' to be true")
      }
      if wantsLogprobs { request.sampling.topLogprobs = top ?? 0 }
      let new = try fields.integer("max_completion_tokens", 1...Self.maximumOutput)
      let old = try fields.integer("max_tokens", 1...Self.maximumOutput)
      if let new, let old, new != old {
        throw JSONFieldError(
          field: "max_tokens",
          message: "'max_tokens' is \(old) and 'max_completion_tokens' is \(new), wanted one of them")
      }
      request.outputLimit = new ?? old
      if var format = try fields.object("response_format") {
        if case .string(let type) = format.value("type"), ["json_object", "json_schema"].contains(type) {
          throw .unsupported(
            "response_format.type",
            "'response_format.type' is \"\(type)\"; response formats here are text only")
        }
        _ = try format.require("type", format.word("type", ["text"]))
        try format.finish()
      }
      if let effort = try fields.string("reasoning_effort") {
        guard Self.reasoningEfforts.contains(effort) else {
          throw .unsupported(
            "reasoning_effort",
            "'reasoning_effort' is \(JSONFields.show(.string(effort))), which is not supported here")
        }
        request.reasoningEffort = effort
      }
      try fields.finish(NeutralField.chat, NeutralField.both)
      return request
    }
  }

  /// `POST /v1/completions`.
  init(completion value: JSONValue) throws(APIError) {
    self = try Self.read(value) { (fields) throws(JSONFieldError) in
      let prompt: Prompt
      switch fields.value("prompt") {
      case .string(let text): prompt = .text(text)
      case .array(let items):
        // One text in a list, as some clients send it, or token ids.
        if items.count == 1, case .string(let text) = items[0] {
          prompt = .text(text)
        } else {
          // A list of one list of ids is one prompt too.
          var items = items
          if items.count == 1, case .array(let ids) = items[0] { items = ids }
          var tokens: [Int32] = []
          tokens.reserveCapacity(items.count)
          for (index, item) in items.enumerated() {
            guard let token = item.integer.flatMap({ Int32(exactly: $0) }), token >= 0 else {
              throw JSONFieldError(
                field: "prompt[\(index)]",
                message: "'prompt[\(index)]' is no token id; prompts are one text or one list of ids")
            }
            tokens.append(token)
          }
          prompt = .tokens(tokens)
        }
      case .some(let other): throw fields.wrong("prompt", other, "a text or a list of token ids")
      case nil: throw JSONFieldError(field: "prompt", message: "'prompt' is missing")
      }
      var request = CompletionRequest(prompt: prompt, model: "")
      try request.readCommon(&fields)
      request.sampling.topLogprobs = try fields.integer("logprobs", 0...5)
      request.outputLimit = try fields.integer("max_tokens", 1...Self.maximumOutput) ?? 16
      _ = try fields.integer("best_of", 1...1)
      try fields.finish(NeutralField.completion, NeutralField.both)
      return request
    }
  }

  /// The operator's own conversation with whatever model is served.
  init(messages: [ChatMessage]) { self.init(prompt: .messages(messages), model: "") }

  private init(prompt: Prompt, model: String) {
    self.prompt = prompt
    self.model = model
  }

  private static func read(
    _ value: JSONValue, _ body: (inout JSONFields) throws(JSONFieldError) -> CompletionRequest
  ) throws(APIError) -> CompletionRequest {
    do throws(JSONFieldError) {
      var fields = try JSONFields(value)
      return try body(&fields)
    } catch {
      let code =
        switch error.kind {
        case .invalid: "invalid_value"
        case .unsupported: "unsupported_parameter"
        }
      throw .invalid(error.field.isEmpty ? nil : error.field, error.message, code: code)
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
    // An assistant that said nothing, as clients send it back.
    case nil where message.role == "assistant": break
    case nil:
      throw JSONFieldError(
        field: fields.fullName("content"), message: "'\(fields.fullName("content"))' is missing")
    }
    try fields.finish(NeutralField.message)
    return message
  }

  /// The fields that both endpoints have.
  private mutating func readCommon(_ fields: inout JSONFields) throws(JSONFieldError) {
    model = try fields.require("model", fields.string("model", maxBytes: 512))
    sampling.temperature = Float(try fields.number("temperature", 0...2) ?? 1)
    sampling.topP = Float(try fields.number("top_p", 0...1) ?? 1)
    if sampling.topP == 0 {
      throw JSONFieldError(field: "top_p", message: "'top_p' is 0, wanted a number above 0, at most 1")
    }
    sampling.topK = max(0, try fields.integer("top_k", -1...Int(Int32.max)) ?? 0)
    sampling.minP = Float(try fields.number("min_p", 0...1) ?? 0)
    sampling.repetitionPenalty = Float(try fields.number("repetition_penalty", 0.01...100) ?? 1)
    sampling.presencePenalty = Float(try fields.number("presence_penalty", -2...2) ?? 0)
    sampling.frequencyPenalty = Float(try fields.number("frequency_penalty", -2...2) ?? 0)
    if let seed = try fields.integer("seed", 0...Int(Int64.max)) {
      sampling.seed = UInt64(seed)
      hasSeed = true
    }
    if let value = fields.value("logit_bias") { sampling.logitBias = try Self.biases(value) }
    stops = try Self.stops(&fields)
    isStreamed = try fields.bool("stream") ?? false
    if var options = try fields.object("stream_options") {
      includesUsage = try options.bool("include_usage") ?? false
      try options.finish(NeutralField.streamOptions)
      guard isStreamed || !includesUsage else {
        throw JSONFieldError(field: "stream_options", message: "'stream_options' wants 'stream' to be true")
      }
    }
    _ = try fields.integer("n", 1...1)
    ignoresEnd = try fields.bool("ignore_eos") ?? false
    returnsTokens = try fields.bool("return_token_ids") ?? false
    if var own = try fields.object("hotpot") {
      if let asked = try own.integer("priority", 0...9) {
        priority = asked
        hasPriority = true
      }
      timeLimit = try own.integer("time_limit_s", 1...86_400 * 7).map { Microseconds($0) * 1_000_000 }
      if let text = try own.string("price", maxBytes: 32) {
        do throws(AccountingError) {
          let amount = try Amount(parsing: text)
          guard amount >= .zero else { throw .negative("the price") }
          guard amount <= NodeConfiguration.largestAmount else { throw .overflow("the price") }
          offered = amount
        } catch {
          throw JSONFieldError(field: "hotpot.price", message: "'hotpot.price': \(error)")
        }
      }
      try own.finish()
    }
  }

  private static func stops(_ fields: inout JSONFields) throws(JSONFieldError) -> [String] {
    switch fields.value("stop") {
    case nil: return []
    case .string(let text): return [text]
    case .array(let items):
      guard items.count <= StopMatcher.maximumStops else {
        throw JSONFieldError(
          field: "stop",
          message: "'stop' has \(items.count) entries, wanted at most \(StopMatcher.maximumStops)")
      }
      var texts: [String] = []
      for (index, item) in items.enumerated() {
        guard case .string(let text) = item else {
          throw JSONFieldError(field: "stop[\(index)]", message: "'stop[\(index)]' is no string")
        }
        texts.append(text)
      }
      return texts
    case .some(let other): throw fields.wrong("stop", other, "a string or a list of strings")
    }
  }

  private static func biases(_ value: JSONValue) throws(JSONFieldError) -> [SamplingRequest.TokenBias] {
    guard case .object(let members) = value, members.count <= SamplingRequest.maximumBiases else {
      throw JSONFieldError(
        field: "logit_bias",
        message:
          "'logit_bias' wants an object of at most \(SamplingRequest.maximumBiases) token ids and biases")
    }
    var biases: [SamplingRequest.TokenBias] = []
    for member in members {
      guard let token = Int32(member.key), token >= 0, let bias = member.value.number,
        (-100...100).contains(bias)
      else {
        throw JSONFieldError(
          field: "logit_bias",
          message: "'logit_bias.\(member.key.prefix(20))' wants a token id, and a number from -100 to 100")
      }
      biases.append(.init(token: token, bias: Float(bias)))
    }
    return biases.sorted { $0.token < $1.token }
  }
}

/// Whether a body would be taken, for tests and tools that have no model.
package enum RequestCheck {
  package static func chat(_ value: JSONValue) -> APIError? {
    refusal { () throws(APIError) in _ = try CompletionRequest(chat: value) }
  }

  package static func completion(_ value: JSONValue) -> APIError? {
    refusal { () throws(APIError) in _ = try CompletionRequest(completion: value) }
  }

  private static func refusal(_ body: () throws(APIError) -> Void) -> APIError? {
    do throws(APIError) {
      try body()
      return nil
    } catch { return error }
  }
}
