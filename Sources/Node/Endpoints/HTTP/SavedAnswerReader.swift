// SavedAnswerReader.swift: combines the objects of a saved answer, one or the chunks of a stream, into
// what it says: OpenAI's chats and completions, jobs, and what opens the receipt. Not here: the answers
// of other dialects (SavedAnswerDialects.swift). Start at take.
import Intake
import JSON
import Receipts

/// What the objects so far say.
struct SavedAnswerReader {
  var answer = Verification.Answer()
  var hasOwn = false
  /// The message's reasoning under both of its names.
  var reasoning: (content: String?, short: String?)
  var nonce: String?
  var nonceShare: String?
  var signature: String?
  var prompt: [UInt32]?
  var output: [UInt32]?
  var biases: [Receipts.Transcript.Bias] = []
  var stops: [String] = []
  var constraint: Receipts.Transcript.Constraint?
  var logprobs = SavedLogprobs()
  /// What the objects say that they are answers of; nil while none has said it.
  var dialect: Dialect?
  /// Calls' arguments stand as JSON and not as its text.
  var hasArgumentValues = false
  /// Prompt tokens that a stream named as it began.
  var promptAtStart: Int?
  /// Of a stream in blocks or items: the text of each, by its place.
  var parts = SavedParts()

  func opening(_ nonces: Nonces?) -> Result<Receipts.Transcript, SavedAnswerError> {
    guard hasOwn else {
      return .failure(
        SavedAnswerError(
          "found no member 'hotpot', which a node's answer ends with",
          hint: "save the whole answer, of a stream with its last events"))
    }
    guard let nonces else {
      return .failure(
        SavedAnswerError("the answer has no receipt: its member 'hotpot' has no nonce"))
    }
    guard let prompt, let output else {
      return .failure(
        SavedAnswerError(
          "the answer holds no token ids",
          hint:
            "ask for them with \"return_token_ids\": true, or give '--request' and '--model', which generate it again"
        ))
    }
    return .success(
      Receipts.Transcript(
        nonces: nonces, prompt: prompt, output: output, biases: biases, stops: stops,
        constraint: constraint
      ))
  }

  mutating func take(_ value: JSONValue) throws(JSONFieldError) {
    var fields = try JSONFields(value)
    switch Self.dialect(of: value) {
    case .ollama(let dialect):
      try become(dialect)
      try take(ollama: &fields)
    case .messages:
      try become(.anthropicMessages)
      try take(messages: &fields)
    case .responses:
      try become(.openAIResponses)
      try take(responses: &fields)
    case .openAI(let dialect):
      try become(dialect)
      try take(openAI: &fields)
    }
    note(fields.unread)
  }

  /// All objects are of one dialect.
  private mutating func become(_ dialect: Dialect?) throws(JSONFieldError) {
    guard let dialect else { return }
    guard self.dialect == nil || self.dialect?.name == dialect.name else {
      throw JSONFieldError(field: "object", message: "the answer has objects of two protocols")
    }
    self.dialect = dialect
  }

  mutating func take(openAI fields: inout JSONFields) throws(JSONFieldError) {
    let object = try fields.string("object")
    if object == "job" {
      answer.job = try same(answer.job, fields.string("id"), "id")
      answer.receipt = try same(answer.receipt, fields.string("receipt"), "receipt")
      try count(&answer.usage.prompt, fields.integer("prompt_tokens", 0...Int.max), "prompt_tokens")
      try count(
        &answer.usage.completion, fields.integer("completion_tokens", 0...Int.max),
        "completion_tokens")
    } else {
      answer.id = try same(answer.id, fields.string("id"), "id")
    }
    answer.model = try same(answer.model, fields.string("model"), "model")
    if let choices = try fields.array("choices", count: 0...1), let choice = choices.first {
      try take(choice: choice)
    }
    if var usage = try fields.object("usage") {
      try count(
        &answer.usage.prompt, usage.integer("prompt_tokens", 0...Int.max), "usage.prompt_tokens")
      try count(
        &answer.usage.completion, usage.integer("completion_tokens", 0...Int.max),
        "usage.completion_tokens"
      )
      try count(
        &answer.usage.total, usage.integer("total_tokens", 0...Int.max), "usage.total_tokens")
      if var details = try usage.object("prompt_tokens_details") {
        try count(
          &answer.usage.cached, details.integer("cached_tokens", 0...Int.max), "usage cached_tokens"
        )
        note(details.unread)
      }
      note(usage.unread)
    }
    if var error = try fields.object("error") {
      answer.errorCode = try same(answer.errorCode, error.string("code"), "error.code")
      note(error.unread)
    }
    if let own = try fields.object("hotpot") { try take(own: own) }
  }

  mutating func take(choice: JSONValue) throws(JSONFieldError) {
    var fields = try JSONFields(choice, path: "choices[0]")
    _ = try fields.integer("index", 0...0)
    if let reason = try fields.string("finish_reason") {
      answer.finishReason = try same(answer.finishReason, reason, "finish_reason")
    }
    for name in ["message", "delta"] {
      guard var message = try fields.object(name) else { continue }
      _ = try message.word("role", ["assistant"])
      if let text = try message.string("content") { answer.text = (answer.text ?? "") + text }
      if let text = try message.string("reasoning_content") {
        reasoning.content = (reasoning.content ?? "") + text
      }
      if let text = try message.string("reasoning") {
        reasoning.short = (reasoning.short ?? "") + text
      }
      for (position, item) in (try message.array("tool_calls") ?? []).enumerated() {
        try take(call: item, position, path: message.fullName("tool_calls[\(position)]"))
      }
      noteForeign(message)
    }
    if let text = try fields.string("text") { answer.text = (answer.text ?? "") + text }
    if let found = fields.value("logprobs") {
      logprobs.add(found)
      answer.hasLogprobs = true
    }
    note(fields.unread)
  }

  /// A call, or a piece of one.
  mutating func take(call value: JSONValue, _ position: Int, path: String) throws(JSONFieldError) {
    var fields = try JSONFields(value, path: path)
    let index = try fields.integer("index", 0...answer.calls.count) ?? position
    guard index <= answer.calls.count else {
      throw JSONFieldError(field: path, message: "'\(path)' follows no call before it")
    }
    if index == answer.calls.count { answer.calls.append(.init(id: "", name: "", arguments: "")) }
    _ = try fields.word("type", ["function"])
    if let id = try fields.string("id") { answer.calls[index].id += id }
    if var function = try fields.object("function") {
      if let name = try function.string("name") { answer.calls[index].name += name }
      if let piece = try function.string("arguments") { answer.calls[index].arguments += piece }
      note(function.unread)
    }
    note(fields.unread)
  }

  /// What nothing reads in the text, no token gives.
  mutating func finishMessage() throws(JSONFieldError) {
    try finishDialect()
    guard reasoning.content == nil || reasoning.short == nil || reasoning.content == reasoning.short
    else {
      throw JSONFieldError(
        field: "reasoning",
        message: "'reasoning' and 'reasoning_content' are two things in one answer")
    }
    answer.reasoning = reasoning.content ?? reasoning.short ?? ""
    guard answer.parser == nil else { return }
    if !answer.reasoning.isEmpty {
      answer.foreign.append(reasoning.content == nil ? "reasoning" : "reasoning_content")
    }
    if !answer.calls.isEmpty { answer.foreign.append("tool_calls") }
  }

  mutating func take(own given: JSONFields) throws(JSONFieldError) {
    var own = given
    guard !hasOwn else {
      throw JSONFieldError(
        field: "hotpot", message: "'hotpot' stands in the stream twice, wanted once")
    }
    hasOwn = true
    nonce = try own.string("nonce")
    nonceShare = try own.string("nonce_share")
    answer.line = try own.string("receipt_line", maxBytes: InlineReceipt.maximumLineBytes)
    signature = try own.string("receipt_signature", maxBytes: 16_384)
    answer.job = try same(answer.job, own.string("job"), "hotpot.job")
    answer.receipt = try same(answer.receipt, own.string("receipt"), "hotpot.receipt")
    if let value = own.value("seed") {
      guard let seed = Self.unsigned(value) else {
        throw own.wrong("seed", value, "an integer below 2^64")
      }
      answer.seed = seed
    }
    answer.amount = try own.integer("amount_micro", Int.min...Int.max).map { Int64($0) }
    prompt = try tokens(&own, "prompt_token_ids")
    output = try tokens(&own, "token_ids")
    answer.unreceipted = try tokens(&own, "unreceipted_token_ids") ?? []
    answer.ignoresEnd = try own.bool("ignore_eos")
    answer.echoed = try own.integer("echoed", 0...Int.max) ?? 0
    for (index, pair) in (try own.array("logit_bias") ?? []).enumerated() {
      let last = biases.last?.token
      guard let items = pair.array, items.count == 2,
        let token = items[0].integer.flatMap({ UInt32(exactly: $0) }),
        let text = items[1].string, text.utf8.count == 8, let bits = UInt32(text, radix: 16),
        ReceiptMembers.hexadecimal(bits) == text, last.map({ $0 < token }) ?? true
      else {
        throw JSONFieldError(
          field: "hotpot.logit_bias",
          message:
            "'hotpot.logit_bias[\(index)]' is no pair of a token id and eight hexadecimal digits, in ascending order of id"
        )
      }
      biases.append(.init(token: token, bias: Float(bitPattern: bits)))
    }
    for item in try own.array("stop") ?? [] {
      guard let text = item.string else { throw own.wrong("stop", item, "texts") }
      stops.append(text)
    }
    if let pair = try own.array("constraint", count: 2...2) {
      guard let kind = pair[0].string, let text = pair[1].string else {
        throw own.wrong("constraint", .array(pair), "a kind and a text")
      }
      constraint = Receipts.Transcript.Constraint(kind: kind, text: text)
    }
    _ = own.value("ignored")
    answer.parser = try own.string("parser", maxBytes: 256)
    note(own.unread)
  }

  mutating func tokens(_ fields: inout JSONFields, _ name: String) throws(JSONFieldError)
    -> [UInt32]?
  {
    guard let items = try fields.array(name) else { return nil }
    var tokens: [UInt32] = []
    tokens.reserveCapacity(items.count)
    for item in items {
      guard let token = item.integer.flatMap({ UInt32(exactly: $0) }) else {
        throw fields.wrong(name, item, "token ids")
      }
      tokens.append(token)
    }
    return tokens
  }

  static func unsigned(_ value: JSONValue) -> UInt64? {
    switch value {
    case .unsigned(let number): number
    case .int(let number): UInt64(exactly: number)
    case .null, .bool, .big, .double, .string, .array, .object: nil
    }
  }

  static func isEmpty(_ value: JSONValue) -> Bool {
    switch value {
    case .null, .string(""): true
    case .array(let items): items.isEmpty
    case .object(let members): members.isEmpty
    case .bool, .int, .unsigned, .big, .double, .string: false
    }
  }

  /// All chunks of a stream must agree.
  func same(_ old: String?, _ new: String?, _ name: String) throws(JSONFieldError) -> String? {
    guard let old, let new else { return old ?? new }
    guard old == new else {
      throw JSONFieldError(field: name, message: "'\(name)' is two things in one answer")
    }
    return old
  }

  func count(_ old: inout Int?, _ new: Int?, _ name: String) throws(JSONFieldError) {
    guard let new else { return }
    guard old == nil || old == new else {
      throw JSONFieldError(field: name, message: "'\(name)' is two things in one answer")
    }
    old = new
  }

  mutating func note(_ names: [String]) {
    for name in names where !answer.undetermined.contains(name) { answer.undetermined.append(name) }
  }
}
