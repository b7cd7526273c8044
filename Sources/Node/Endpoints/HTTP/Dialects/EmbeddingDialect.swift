// EmbeddingDialect.swift: HTTP dialects for requesting vectors of texts: bytes to requests, one for each
// text, and vectors to bytes. Pure: knows no job and no connection. To add one: a row in `all`. Running
// them is in Embeddings.swift. Start at EmbeddingDialect.
// Sources: OpenAI API reference, "Create embeddings"; Ollama API reference, "Generate Embeddings".
import Inference
import Intake
import JSON
import Receipts

struct EmbeddingDialect: Sendable {
  let path: String
  let read: @Sendable (JSONValue) throws(Refusal) -> AskedEmbeddings
  let write: @Sendable (AskedEmbeddings, [AnsweredEmbedding]) -> JSONValue
  /// The response that replaces an answer.
  let refuse: @Sendable (Refusal) -> Response

  static let all = [openAI, ollama, ollamaSingle]

  /// Reads a request's body.
  func read(_ body: [UInt8], atMost bytes: Int) throws(Refusal) -> AskedEmbeddings {
    var limits = JSONText.Limits()
    limits.bytes = bytes
    let value: JSONValue
    do throws(JSONError) { value = try JSONText.parse(body, limits: limits) } catch {
      throw .request(.syntax, field: nil, words: "the body is not the JSON that is wanted: \(error)")
    }
    return try read(value)
  }
}

/// Vectors that were asked for together.
struct AskedEmbeddings: Sendable {
  /// As the request named it.
  var model = ""
  /// One for each text, in the order of the request.
  var requests: [GenerationRequest] = []
  var form = AnswerForm()
  /// The bits of the numbers, instead of decimals.
  var isBase64 = false
  var ignored: [String] = []

  /// As OpenAI's.
  static let mostInputs = 2_048
}

/// One text's vector, and what opens its receipt.
struct AnsweredEmbedding: Sendable {
  let job: String
  let prompt: [Int32]
  let end: AnswerEnd
}

extension EmbeddingDialect {
  static let openAI = EmbeddingDialect(
    path: "/v1/embeddings",
    read: { (value) throws(Refusal) in
      try read(value) { (fields, asked) throws(JSONFieldError) in
        let inputs = try inputs(&fields, "input")
        asked.isBase64 = try fields.word("encoding_format", ["float", "base64"]) == "base64"
        return inputs
      }
    },
    write: { asked, answers in
      let data = answers.enumerated().map { index, answer -> JSONValue in
        [
          "object": "embedding", "index": JSONValue(index), "embedding": numbers(answer, asked),
          "hotpot": own(answer, asked),
        ]
      }
      let count = answers.reduce(0) { $0 + $1.end.usage.prompt }
      let cached = answers.reduce(0) { $0 + $1.end.usage.cached }
      var members: [JSONValue.Member] = [
        (key: "object", value: "list"), (key: "data", value: .array(data)),
        (key: "model", value: .string(asked.model)),
        (
          key: "usage",
          value: [
            "prompt_tokens": JSONValue(count), "total_tokens": JSONValue(count),
            "prompt_tokens_details": ["cached_tokens": JSONValue(cached)],
          ]
        ),
      ]
      if !asked.ignored.isEmpty { members.append((key: "hotpot", value: ["ignored": ignored(asked)])) }
      return .object(members)
    },
    refuse: { APIError($0, in: names).response })

  static let ollama = EmbeddingDialect(
    path: "/api/embed",
    read: { (value) throws(Refusal) in
      try read(value) { (fields, _) throws(JSONFieldError) in try inputs(&fields, "input") }
    },
    write: { asked, answers in
      .object([
        (key: "model", value: .string(asked.model)),
        (key: "embeddings", value: .array(answers.map { numbers($0, asked) })),
        (key: "prompt_eval_count", value: JSONValue(answers.reduce(0) { $0 + $1.end.usage.prompt })),
        (key: "hotpot", value: owns(answers, asked)),
      ])
    },
    refuse: { OllamaAnswer.response(APIError($0, in: names)) })

  /// What came before `ollama`: one text.
  static let ollamaSingle = EmbeddingDialect(
    path: "/api/embeddings",
    read: { (value) throws(Refusal) in
      try read(value) { (fields, _) throws(JSONFieldError) in
        [.text(try fields.require("prompt", fields.string("prompt")))]
      }
    },
    write: { asked, answers in
      .object([
        (key: "embedding", value: answers.first.map { numbers($0, asked) } ?? []),
        (key: "hotpot", value: owns(answers, asked)),
      ])
    },
    refuse: { OllamaAnswer.response(APIError($0, in: names)) })

  private static let names = APIError.FieldNames(prompt: "input", outputLimit: "input")

  private static let neutral: [NeutralField] = [
    NeutralField("user", .text(512), "the token says who asks"),
    NeutralField("keep_alive", .wish, "the model stays"),
    NeutralField("truncate", .wish, "a text that is too long is refused"),
    NeutralField("options", .anyObject, "a vector has no settings"),
    NeutralField("input_type", .wish, "texts are read as they are; what marks a query stands in the text"),
    NeutralField("embedding_types", .oneOf([["float"]]), "numbers are floats"),
  ]

  // MARK: reading

  private static func read(
    _ value: JSONValue,
    _ body: (inout JSONFields, inout AskedEmbeddings) throws(JSONFieldError) -> [GenerationRequest.Prompt]
  ) throws(Refusal) -> AskedEmbeddings {
    var asked = AskedEmbeddings()
    var inputs: [GenerationRequest.Prompt] = []
    let shared = try OpenAIRequest.read(value) { (fields) throws(JSONFieldError) in
      inputs = try body(&fields, &asked)
      var one = AskedAnswer(request: GenerationRequest(.tokens([])), form: AnswerForm())
      asked.model = try fields.require("model", fields.string("model", maxBytes: 512))
      one.request.model = Ollama.model(asked.model)
      one.request.embedding = EmbeddingTerms(dimensions: try fields.integer("dimensions", 1...(1 << 20)))
      try one.readOwn(&fields)
      asked.ignored = try fields.finishTolerantly(neutral)
      return one
    }
    asked.form = shared.form
    asked.requests = inputs.map { input in
      var request = shared.request
      request.prompt = input
      request.ignored = asked.ignored
      return request
    }
    return asked
  }

  /// A text, texts, token ids, or lists of token ids.
  private static func inputs(
    _ fields: inout JSONFields, _ name: String
  ) throws(JSONFieldError) -> [GenerationRequest.Prompt] {
    switch fields.value(name) {
    case .string(let text): return [.text(text)]
    case .array(let items):
      guard (1...AskedEmbeddings.mostInputs).contains(items.count) || items.first?.integer != nil else {
        throw JSONFieldError(
          field: name,
          message: "'\(name)' has \(items.count) texts, wanted 1 to \(AskedEmbeddings.mostInputs)")
      }
      if items.first?.integer != nil { return [.tokens(try tokens(items, name))] }
      var inputs: [GenerationRequest.Prompt] = []
      for (index, item) in items.enumerated() {
        switch item {
        case .string(let text): inputs.append(.text(text))
        case .array(let ids): inputs.append(.tokens(try tokens(ids, "\(name)[\(index)]")))
        default:
          throw JSONFieldError(
            field: "\(name)[\(index)]",
            message: "'\(name)[\(index)]' is \(JSONFields.show(item)), wanted a text or a list of token ids")
        }
      }
      return inputs
    case .some(let other):
      throw fields.wrong(name, other, "a text, a list of texts, or token ids")
    case nil: throw JSONFieldError(field: name, message: "'\(name)' is missing")
    }
  }

  private static func tokens(_ items: [JSONValue], _ name: String) throws(JSONFieldError) -> [Int32] {
    var tokens: [Int32] = []
    tokens.reserveCapacity(items.count)
    for (index, item) in items.enumerated() {
      guard let token = item.integer.flatMap({ Int32(exactly: $0) }), token >= 0 else {
        throw JSONFieldError(
          field: "\(name)[\(index)]",
          message: "'\(name)[\(index)]' is \(JSONFields.show(item)), wanted a token id")
      }
      tokens.append(token)
    }
    return tokens
  }

  // MARK: writing

  private static func numbers(_ answer: AnsweredEmbedding, _ asked: AskedEmbeddings) -> JSONValue {
    let vector = answer.end.vector ?? []
    guard asked.isBase64 else { return .array(vector.map { .double(shortest($0)) }) }
    let bytes = vector.flatMap { number in
      withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) }
    }
    return .string(Base64.format(bytes))
  }

  /// The double whose shortest decimal is that of the float: whoever reads it as a float has its bits.
  private static func shortest(_ number: Float) -> Double { Double("\(number)") ?? Double(number) }

  private static func own(_ answer: AnsweredEmbedding, _ asked: AskedEmbeddings) -> JSONValue {
    ReceiptMembers.own(
      answer.end, job: answer.job, prompt: asked.form.returnsTokens ? answer.prompt : nil)
  }

  private static func owns(_ answers: [AnsweredEmbedding], _ asked: AskedEmbeddings) -> JSONValue {
    var members: [JSONValue.Member] = [(key: "jobs", value: .array(answers.map { own($0, asked) }))]
    if !asked.ignored.isEmpty { members.append((key: "ignored", value: ignored(asked))) }
    return .object(members)
  }

  private static func ignored(_ asked: AskedEmbeddings) -> JSONValue {
    .array(asked.ignored.prefix(64).map { .string($0) })
  }
}
