// ModelRoutes.swift: what clients ask about the served model besides answers: its card in the forms of
// OpenAI's and Ollama's clients, tokens of a text, texts of tokens, and how many tokens a request has.
// The cards of the node are in NodeCards.swift. Start at modelCard.
import Accounting
import Foundation
import Inference
import Intake
import JSON
import Receipts

extension HTTPEndpoint {
  // MARK: OpenAI's, OpenRouter's and Venice's forms

  /// The model with its context, what it can do, and its price for this client.
  func modelCard(_ serving: Serving, _ identity: Identity) -> JSONValue {
    let context = serving.facts.contextLength
    var features: [JSONValue] = []
    if serving.generates {
      if serving.chatProblem == nil {
        features.append("tools")
        if serving.messages.reasons { features.append("reasoning") }
      }
      features.append("logprobs")
    }
    if serving.pooling != nil { features.append("embeddings") }
    var members: [JSONValue.Member] = [
      (key: "id", value: .string(serving.name)), (key: "object", value: "model"),
      (key: "created", value: JSONValue(runtime.state.withLock { $0.started.wall } / 1_000_000)),
      (key: "owned_by", value: "hotpot"), (key: "max_model_len", value: JSONValue(context)),
      (key: "sha256", value: .string(serving.facts.modelDigest.hex)),
      (key: "context_length", value: JSONValue(context)),
      (
        key: "max_output_length",
        value: JSONValue(min(context, Receipts.Receipt.maximumCompletionTokens))
      ), (key: "supported_features", value: .array(features)),
      (
        key: "kv_cache",
        value: [
          "tokens": JSONValue(serving.facts.kvBlocks * Engine.blockSize),
          "bytes": JSONValue(
            serving.facts.kvBlocks * Engine.blockSize * serving.engine.model.kvBytesPerPosition),
        ]
      ),
      (
        key: "supported_sampling_parameters",
        value: [
          "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
          "frequency_penalty", "logit_bias", "seed", "stop", "max_tokens",
        ]
      ),
    ]
    var spec: [JSONValue.Member] = [(key: "availableContextTokens", value: JSONValue(context))]
    let hour = NodeClock.now().hour
    if let price = configuration.prices.price(model: serving.name, client: identity.name, hour: hour) {
      let prices: [(String, Amount)] = [
        ("prompt", price.prompt), ("completion", price.completion), ("input_cache_read", price.cached),
      ]
      var each = prices.map { (key: $0.0, value: JSONValue.string(Self.perToken($0.1))) }
      each.append((key: "currency", value: .string(configuration.currency)))
      members.append((key: "pricing", value: .object(each)))
      let currency = configuration.currency.lowercased()
      func million(_ amount: Amount) -> JSONValue {
        .object([(key: currency, value: .double(Double(amount.micro) / 1_000_000))])
      }
      spec.append(
        (
          key: "pricing",
          value: [
            "input": million(price.prompt), "output": million(price.completion),
            "cache_input": million(price.cached),
          ]
        ))
    }
    members.append((key: "model_spec", value: .object(spec)))
    return .object(members)
  }

  /// An amount per million tokens as an exact decimal per token.
  static func perToken(_ amount: Amount) -> String {
    // Micro-units for a million tokens: twelve decimal places.
    let digits = String(abs(amount.micro))
    let padded = String(repeating: "0", count: max(0, 13 - digits.count)) + digits
    let whole = padded.dropLast(12)
    var fraction = String(padded.suffix(12))
    while fraction.hasSuffix("0") { fraction.removeLast() }
    return (amount.micro < 0 ? "-" : "") + whole + (fraction.isEmpty ? "" : "." + fraction)
  }

  // MARK: Ollama's form

  private func ollamaCard(_ serving: Serving) -> [JSONValue.Member] {
    [
      (key: "name", value: .string(serving.name)), (key: "model", value: .string(serving.name)),
      (key: "digest", value: .string(serving.facts.modelDigest.hex)),
      (
        key: "details",
        value: [
          "parent_model": "", "format": "gguf", "family": .string(serving.architecture),
          "families": [.string(serving.architecture)],
        ]
      ),
    ]
  }

  func ollamaTags() -> Response {
    .json(JSONWriter.bytes(["models": .array(model.serving.map { [.object(ollamaCard($0))] } ?? [])]))
  }

  func ollamaRunning() -> Response {
    let models = model.serving.map { serving -> JSONValue in
      .object(ollamaCard(serving) + [(key: "context_length", value: JSONValue(serving.facts.contextLength))])
    }
    return .json(JSONWriter.bytes(["models": .array(models.map { [$0] } ?? [])]))
  }

  func ollamaVersion() -> Response { .json(JSONWriter.bytes(["version": .string(version)])) }

  func ollamaShow(_ call: Call) -> Response {
    let body: JSONValue
    do throws(JSONError) { body = try JSONText.parse(call.request.body) } catch {
      return OllamaAnswer.response(.invalid(nil, "the body is not the JSON that is wanted: \(error)"))
    }
    let name = Ollama.model(body["model"]?.string ?? body["name"]?.string ?? "")
    guard let serving = model.serving, serving.name == name else {
      return OllamaAnswer.response(.notFound("the model '\(name.prefix(200))' is not served here"))
    }
    var abilities: [JSONValue] = serving.generates ? ["completion"] : []
    if serving.pooling != nil { abilities.append("embedding") }
    if serving.generates, serving.chatProblem == nil {
      abilities.append("tools")
      if serving.messages.reasons { abilities.append("thinking") }
    }
    let architecture = serving.architecture
    let info: [JSONValue.Member] = [
      (key: "general.architecture", value: .string(architecture)),
      (key: "\(architecture).context_length", value: JSONValue(serving.facts.contextLength)),
    ]
    return .json(
      JSONWriter.bytes(
        .object(
          ollamaCard(serving) + [
            (key: "template", value: .string(serving.templateSource ?? "")),
            (key: "model_info", value: .object(info)), (key: "capabilities", value: .array(abilities)),
          ])))
  }

  // MARK: tokens

  /// `POST /tokenize`, in the forms of llama.cpp (`content`) and vLLM (`prompt`, `messages`).
  func tokenize(_ call: Call, _ caller: Admission.Caller) {
    inTurn(caller, call) { [self] in
      call.respond(
        answered { () throws(Refusal) in
          let serving = try model.required()
          let body = try Self.body(call)
          if body["messages"] != nil {
            let asked = try Dialect.openAIChat.read(body)
            let tokens = try serving.tokens(asked.request, isWanted: { !call.exchange.isGone })
            return tokenCard(tokens, serving)
          }
          guard let text = body["content"]?.string ?? body["prompt"]?.string else {
            throw Refusal.request(.value, field: "content", words: "'content' is missing")
          }
          let adds = body["add_special"]?.bool ?? body["add_special_tokens"]?.bool ?? false
          let tokenizer = serving.tokenizer
          let segment = PromptSegment(text: text, isTrusted: body["parse_special"]?.bool ?? false)
          return tokenCard(
            tokenizer.encode(segments: [segment], addBOS: adds && tokenizer.addsBOS), serving)
        })
    }
  }

  private func tokenCard(_ tokens: [Int32], _ serving: Serving) -> JSONValue {
    [
      "tokens": .array(tokens.map { JSONValue($0) }), "count": JSONValue(tokens.count),
      "max_model_len": JSONValue(serving.facts.contextLength),
    ]
  }

  /// `POST /detokenize`: `tokens` to `content`, which vLLM calls `prompt`.
  func detokenize(_ call: Call, _ caller: Admission.Caller) {
    inTurn(caller, call) { [self] in
      call.respond(
        answered { () throws(Refusal) in
          let serving = try model.required()
          var tokens: [Int32] = []
          for item in try Self.body(call)["tokens"]?.array ?? [] {
            guard let token = item.integer.flatMap({ Int32(exactly: $0) }), serving.tokenizer.contains(token)
            else {
              throw Refusal.request(
                .value, field: "tokens",
                words: "'tokens' holds \(JSONFields.show(item)), which is not in the vocabulary")
            }
            tokens.append(token)
          }
          let text = serving.tokenizer.decode(tokens)
          return ["content": .string(text), "prompt": .string(text)]
        })
    }
  }

  /// How many tokens a request of this dialect has, under the name that its clients read.
  func countTokens(_ call: Call, _ caller: Admission.Caller, _ dialect: Dialect) {
    inTurn(caller, call) { [self] in
      do throws(Refusal) {
        let value = try Self.body(call)
        // A message's limit is no part of its prompt.
        let asked =
          try dialect.name == Dialect.anthropicMessages.name
          ? AnthropicMessages.read(value, needsLimit: false) : dialect.read(value)
        let count = try model.required().tokens(asked.request, isWanted: { !call.exchange.isGone }).count
        call.respond(
          .json(JSONWriter.bytes(["object": "response.input_tokens", "input_tokens": JSONValue(count)])))
      } catch {
        call.respond(dialect.refuse(error))
      }
    }
  }

  private func answered(_ body: () throws(Refusal) -> JSONValue) -> Response {
    do throws(Refusal) { return .json(JSONWriter.bytes(try body())) } catch {
      return APIError(error).response
    }
  }

  private static func body(_ call: Call) throws(Refusal) -> JSONValue {
    do throws(JSONError) { return try JSONText.parse(call.request.body) } catch {
      throw .request(.syntax, field: nil, words: "the body is not the JSON that is wanted: \(error)")
    }
  }
}
