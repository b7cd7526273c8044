// OpenAIRequest.swift: what requests for chats and for completions have in common: every field is
// checked, and what is left out of account is noted. Not here: fields of only one of them (OpenAIChat.swift,
// OpenAICompletions.swift), fields that change nothing (NeutralFields.swift). Start at readCommon.
// Source: OpenAI API reference, "Create chat completion" and "Create completion"; vLLM's names for
// extensions.
import Accounting
import Control
import Inference
import JSON
import Receipts

enum OpenAIRequest {
  static let maximumMessages = 2_048
  static let maximumOutput = 1 << 20
  /// Roles that mean another one.
  static let roles = ["developer": "system", "function": "tool"]
  /// Source: OpenAI API reference.
  static let reasoningEfforts: Set<String> = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]

  /// Reads one request; a refusal says which field is wrong.
  static func read(
    _ value: JSONValue, _ body: (inout JSONFields) throws(JSONFieldError) -> AskedAnswer
  ) throws(Refusal) -> AskedAnswer {
    do throws(JSONFieldError) {
      var fields = try JSONFields(value)
      return try body(&fields)
    } catch {
      let fault: Refusal.RequestFault =
        switch error.kind {
        case .invalid: .value
        case .unsupported: .unsupported
        }
      throw .request(fault, field: error.field.isEmpty ? nil : error.field, words: error.message)
    }
  }
}

extension AskedAnswer {
  /// The fields that both endpoints have.
  mutating func readCommon(_ fields: inout JSONFields) throws(JSONFieldError) {
    request.model = try fields.require("model", fields.string("model", maxBytes: 512))
    request.sampling.temperature = Float(try fields.number("temperature", 0...2) ?? 1)
    request.sampling.topP = Float(try fields.number("top_p", 0...1) ?? 1)
    if request.sampling.topP == 0 {
      throw JSONFieldError(field: "top_p", message: "'top_p' is 0, wanted a number above 0, at most 1")
    }
    request.sampling.topK = max(0, try fields.integer("top_k", -1...Int(Int32.max)) ?? 0)
    request.sampling.minP = Float(try fields.number("min_p", 0...1) ?? 0)
    request.sampling.repetitionPenalty = Float(try fields.number("repetition_penalty", 0.01...100) ?? 1)
    request.sampling.presencePenalty = Float(try fields.number("presence_penalty", -2...2) ?? 0)
    request.sampling.frequencyPenalty = Float(try fields.number("frequency_penalty", -2...2) ?? 0)
    if let seed = try fields.integer("seed", 0...Int(Int64.max)) {
      request.sampling.seed = UInt64(seed)
      request.hasSeed = true
    }
    if let value = fields.value("logit_bias") { request.sampling.logitBias = try Self.biases(value) }
    request.stops = try Self.stops(&fields)
    form.isStreamed = try fields.bool("stream") ?? false
    if var options = try fields.object("stream_options") {
      form.includesUsage = try options.bool("include_usage") ?? false
      request.ignored += try options.finishTolerantly(NeutralField.streamOptions)
      guard form.isStreamed || !form.includesUsage else {
        throw JSONFieldError(field: "stream_options", message: "'stream_options' wants 'stream' to be true")
      }
    }
    _ = try fields.integer("n", 1...1)
    request.ignoresEnd = try fields.bool("ignore_eos") ?? false
    try readConstraint(&fields)
    try readOwn(&fields)
  }

  /// The node's own field.
  mutating func readOwn(_ fields: inout JSONFields) throws(JSONFieldError) {
    if var own = try fields.object("hotpot") {
      if let asked = try own.integer("priority", 0...9) {
        request.priority = asked
        request.hasPriority = true
      }
      request.timeLimit = try own.integer("time_limit_s", 1...86_400 * 7).map { Microseconds($0) * 1_000_000 }
      if let text = try own.string("price", maxBytes: 32) {
        do throws(AccountingError) {
          let amount = try Amount(parsing: text)
          guard amount >= .zero else { throw .negative("the price") }
          guard amount <= NodeConfiguration.largestAmount else { throw .overflow("the price") }
          request.offered = amount
        } catch {
          throw JSONFieldError(field: "hotpot.price", message: "'hotpot.price': \(error)")
        }
      }
      if let value = own.value("nonce") {
        guard let digest = value.string.flatMap({ SHA256Digest(hex: $0) }) else {
          throw own.wrong("nonce", value, "64 lower-case hexadecimal digits")
        }
        request.nonce = digest
      }
      form.hasInlineReceipt = try own.word("receipt", ["inline"]) != nil
      try own.finish()
    }
    form.returnsTokens = try fields.bool("return_token_ids") ?? false
  }

  static func stops(_ fields: inout JSONFields) throws(JSONFieldError) -> [String] {
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

extension MessageTerms {
  /// How much to think, and what else the template is handed.
  mutating func readThinking(
    _ fields: inout JSONFields, _ ignored: inout [String]
  ) throws(JSONFieldError) {
    if let value = fields.value("chat_template_kwargs") {
      guard case .object(let members) = value else {
        throw fields.wrong("chat_template_kwargs", value, "an object")
      }
      let own = ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"]
      if let member = members.first(where: { own.contains($0.key) }) {
        throw .unsupported(
          "chat_template_kwargs.\(member.key)",
          "'chat_template_kwargs.\(member.key)' is what the node itself hands to the template")
      }
      variables = members
    }
    if let effort = try fields.string("reasoning_effort") {
      guard OpenAIRequest.reasoningEfforts.contains(effort) else {
        throw .unsupported(
          "reasoning_effort",
          "'reasoning_effort' is \(JSONFields.show(.string(effort))), which is not supported here")
      }
      self.effort = ("reasoning_effort", effort)
    }
    if let isOn = try fields.bool("enable_thinking") { thinks = ("enable_thinking", isOn) }
    if var thinking = try fields.object("thinking") {
      let type = try thinking.require("type", thinking.word("type", ["enabled", "disabled", "adaptive"]))
      if type != "adaptive" { thinks = ("thinking", type == "enabled") }
      try readBudget(&thinking, "budget_tokens")
      ignored += try thinking.finishTolerantly()
    }
    // OpenRouter's form.
    if var reasoning = try fields.object("reasoning") {
      if let effort = try reasoning.string("effort") { self.effort = ("reasoning.effort", effort) }
      if let isOn = try reasoning.bool("enabled") { thinks = ("reasoning.enabled", isOn) }
      try readBudget(&reasoning, "max_tokens")
      ignored += try reasoning.finishTolerantly()
    }
    // vLLM's, Qwen's and llama.cpp's names.
    for name in ["thinking_token_budget", "thinking_budget", "thinking_budget_tokens", "reasoning_budget"] {
      try readBudget(&fields, name)
    }
  }

  /// How many tokens the thinking may take; -1 is any number of them.
  mutating func readBudget(_ fields: inout JSONFields, _ name: String) throws(JSONFieldError) {
    guard let tokens = try fields.integer(name, -1...OpenAIRequest.maximumOutput), tokens >= 0 else { return }
    budget = (fields.fullName(name), tokens)
  }
}

/// Whether a body would be accepted, for tests and tools that have no model.
package enum RequestCheck {
  package static func chat(_ value: JSONValue) -> APIError? { refusal(of: value, .openAIChat) }

  package static func completion(_ value: JSONValue) -> APIError? { refusal(of: value, .openAICompletions) }

  private static func refusal(of value: JSONValue, _ dialect: Dialect) -> APIError? {
    do throws(Refusal) {
      _ = try dialect.read(value)
      return nil
    } catch {
      return APIError(error, in: OpenAIChat.fieldNames)
    }
  }
}
