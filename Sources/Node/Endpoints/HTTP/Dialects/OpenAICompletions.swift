// OpenAICompletions.swift: `POST /v1/completions`: its row, its requests and its answers.
// What it shares with chats is in OpenAIRequest.swift and OpenAIAnswer.swift, names of tokens are
// in OpenAILogprobs.swift.
// Start at Dialect.openAICompletions.
// Source: OpenAI API reference, "Create completion".
import Inference
import JSON
import Tools

extension Dialect {
  static let openAICompletions = Dialect(
    name: "openai-completions", path: "/v1/completions",
    read: { (value) throws(Refusal) in try OpenAICompletions.read(value) },
    writer: { OpenAICompletions(answer: OpenAIAnswer($0)) },
    refuse: { APIError($0, in: OpenAICompletions.fieldNames).response })
}

struct OpenAICompletions: OpenAIAnswerWriter {
  static let fieldNames = APIError.FieldNames(prompt: "prompt", outputLimit: "max_tokens")
  static let idPrefix = "cmpl-"
  static let wholeObject = "text_completion"
  static let chunkObject = "text_completion"

  var answer: OpenAIAnswer

  /// A stream begins with its first text.
  var opening: JSONValue? { nil }

  func chunk(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    whole(text: text, logprobs: logprobs, finish: finish)
  }

  func whole(text: String, logprobs: [TextLogprob], finish: String?) -> JSONValue {
    [
      "index": 0, "text": .string(text), "logprobs": lists(logprobs),
      "finish_reason": finish.map { .string($0) } ?? .null,
    ]
  }

  private func lists(_ logprobs: [TextLogprob]) -> JSONValue {
    answer.shape.wantsLogprobs && !logprobs.isEmpty ? Self.form(logprobs) : .null
  }

  /// Four parallel lists.
  static func form(_ logprobs: [TextLogprob]) -> JSONValue {
    let named = logprobs.map { CompletionLogprobs($0) }
    return [
      "tokens": .array(named.map { .string($0.chosen) }),
      "token_logprobs": .array(logprobs.map { .double(Double($0.chosen.logprob)) }),
      "top_logprobs": .array(
        named.map { token in
          .object(token.top.map { (key: $0.name, value: .double(Double($0.logprob))) })
        }),
      "text_offset": .array(logprobs.map { JSONValue($0.offset) }),
    ]
  }

  /// A completion is text alone.
  func chunk(_ event: MessageEvent) -> JSONValue? { nil }

  // MARK: requests

  fileprivate static func read(_ value: JSONValue) throws(Refusal) -> AskedAnswer {
    try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      let prompt: GenerationRequest.Prompt
      switch fields.value("prompt") {
      case .string(let text): prompt = .text(text)
      case .array(let items):
        // A list with one text, as some clients send it, or token ids.
        if items.count == 1, case .string(let text) = items[0] {
          prompt = .text(text)
        } else {
          // A list with one list of ids is one prompt too.
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
      var asked = AskedAnswer(request: GenerationRequest(prompt), form: AnswerForm())
      try asked.readCommon(&fields)
      asked.request.sampling.topLogprobs = try fields.integer("logprobs", 0...5)
      asked.request.outputLimit = try fields.integer("max_tokens", 1...OpenAIRequest.maximumOutput) ?? 16
      _ = try fields.integer("best_of", 1...1)
      try asked.readPlace(&fields)
      asked.request.ignored += try fields.finishTolerantly(NeutralField.completion, NeutralField.both)
      return asked
    }
  }
}

extension AskedAnswer {
  /// What stands around the text that is asked for.
  fileprivate mutating func readPlace(_ fields: inout JSONFields) throws(JSONFieldError) {
    request.echoes = try fields.bool("echo") ?? false
    if request.echoes, request.sampling.topLogprobs != nil {
      throw .unsupported(
        "echo", "'echo' with 'logprobs' asks for those of the prompt, which are not computed; leave one out")
    }
    guard let suffix = try fields.string("suffix", maxBytes: 64 << 20), !suffix.isEmpty else { return }
    guard case .text = request.prompt else {
      throw .unsupported("suffix", "'suffix' wants 'prompt' to be a text, found token ids")
    }
    guard !request.echoes else {
      throw .unsupported("echo", "'echo' with 'suffix' would repeat what comes after too; leave one out")
    }
    request.suffix = suffix
  }
}
