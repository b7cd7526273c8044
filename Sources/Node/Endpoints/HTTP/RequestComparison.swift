// RequestComparison.swift: a client's own request beside a receipt: rendered and tokenised by the
// function that serves requests, and every setting that the receipt names. Not here: the order of
// the checks (ReceiptProof.swift). Start at OwnRequest.
import Foundation
import Inference
import JSON
import Receipts

/// The request that a client sent, read as the node reads it.
struct OwnRequest: Sendable {
  let request: GenerationRequest
  /// The one that it was read in.
  let dialect: Dialect

  /// One of the texts of a request for vectors. Nothing reads a dialect's text in their answers.
  init(_ bytes: [UInt8], vector: Int) throws(Refusal) {
    let requests = try EmbeddingDialect.openAI.read(bytes, atMost: SavedAnswer.maximumBytes).requests
    guard requests.indices.contains(vector) else {
      throw .request(.value, field: "input", words: "it has no text \(vector)")
    }
    request = requests[vector]
    dialect = .openAICompletions
  }

  init(_ value: JSONValue, _ dialect: Dialect) throws(Refusal) {
    request = try dialect.read(value).request
    self.dialect = dialect
  }

  /// - dialect: that of the answer, if it says so; else the one in which the request names the
  ///   receipt's settings, of those that have its fields
  init(_ bytes: [UInt8], to dialect: Dialect?, _ receipt: Receipts.Receipt?) throws(Refusal) {
    let value: JSONValue
    do throws(JSONError) { value = try JSONText.parse(bytes) } catch {
      throw .request(.syntax, field: nil, words: "it is not the JSON that is wanted: \(error)")
    }
    // An answer in a protocol that has no such requests is another's: the other checks say so.
    if let dialect, let own = try? OwnRequest(value, dialect) {
      self = own
      return
    }
    let likely = Self.dialects(of: value)
    let read = likely.map { dialect in
      Result { () throws(Refusal) in try OwnRequest(value, dialect) }
    }
    let same = read.first { result in
      guard let receipt, let own = try? result.get(), case .same = own.settings(receipt, nil) else {
        return false
      }
      return true
    }
    self = try (same ?? read.first { (try? $0.get()) != nil } ?? read[0]).get()
  }

  /// The dialects whose requests have these fields, the likeliest first; never none.
  private static func dialects(of value: JSONValue) -> [Dialect] {
    func has(_ names: String...) -> Bool { names.contains { value[$0] != nil } }
    if has("input") { return [.openAIResponses] }
    let isOllamas = has("options", "think", "keep_alive")
    if has("messages") {
      if isOllamas { return [.ollamaChat, .openAIChat] }
      return has("system", "stop_sequences", "thinking")
        ? [.anthropicMessages, .openAIChat] : [.openAIChat, .anthropicMessages, .ollamaChat]
    }
    return isOllamas || has("system", "raw")
      ? [.ollamaGenerate, .openAICompletions] : [.openAICompletions, .ollamaGenerate]
  }

  var biases: [Receipts.Transcript.Bias] {
    request.sampling.logitBias.map { Receipts.Transcript.Bias($0) }
  }

  /// What the text had to be as far as the request alone says. The model's way of writing calls and
  /// thoughts adds to it (`Reexecutor.constraint`).
  private var constraint: Receipts.Transcript.Constraint? {
    (request.constraint?.source).map { Receipts.Transcript.Constraint($0) }
  }

  /// Whether the receipt names the settings of this request. Needs no model.
  /// - nonces: of the receipt, which open what it commits to; nil leaves biases and stop strings
  ///   open.
  func settings(_ receipt: Receipts.Receipt, _ nonces: Nonces?) -> Verification.Comparison {
    if receipt.isVector { return vector(receipt) }
    let sampling = request.sampling
    let sampler = receipt.sampler
    var differences: [String] = []
    func compare<T: Equatable>(_ name: String, _ asked: T, _ found: T) {
      if asked != found {
        differences.append("'\(name)' is \(asked) in your request and \(found) in the receipt")
      }
    }
    compare("model", request.model ?? "", receipt.model)
    compare("temperature", sampling.temperature, sampler.temperature)
    compare("top_p", sampling.topP, sampler.topP)
    compare("top_k", sampling.topK, sampler.topK)
    compare("min_p", sampling.minP, sampler.minP)
    compare("repetition_penalty", sampling.repetitionPenalty, sampler.repetitionPenalty)
    compare("presence_penalty", sampling.presencePenalty, sampler.presencePenalty)
    compare("frequency_penalty", sampling.frequencyPenalty, sampler.frequencyPenalty)
    if request.hasSeed { compare("seed", sampling.seed, sampler.seed) }
    if let nonces {
      let committed = Commitment.to(biases: biases.map { ($0.token, $0.bias) }, nonce: nonces.prompt)
      if committed != receipt.logitBias { differences.append("'logit_bias' differs") }
    }
    if receipt.version > 1 {
      if let nonces,
        Commitment.to(stopStrings: request.stops, nonce: nonces.prompt) != receipt.stopStrings
      {
        differences.append("'stop' differs")
      }
      // The constraint of a message is compared where the model is known.
      if request.message == nil {
        if let nonces,
          constraint.map({ Commitment.to(constraint: $0, nonce: nonces.prompt) }) ?? .zero
            != receipt.constraint
        {
          differences.append("'\(request.constraint?.field ?? "response_format")' differs")
        }
        compare("whether the text was constrained", constraint != nil, receipt.isConstrained)
      } else if constraint != nil || request.message?.demand != nil {
        compare("whether the text was constrained", true, receipt.isConstrained)
      }
      compare("ignore_eos", request.ignoresEnd, receipt.ignoresEnd)
      compare("who chose the seed", request.hasSeed ? .client : .node, receipt.seedBy)
    }
    if let limit = request.outputLimit {
      compare("max_tokens", min(limit, Receipts.Receipt.maximumCompletionTokens), receipt.maxTokens)
    } else if receipt.version > 1, receipt.finish == .length, receipt.maxTokens < Serving.defaultOutput {
      differences.append("your request names no max_tokens, and the receipt ends at \(receipt.maxTokens)")
    }
    if let offered = request.offered, receipt.price.completion > offered.micro {
      let asked = Verification.decimal(micro: receipt.price.completion)
      differences.append("'hotpot.price' is \(offered) in your request, and the receipt charges \(asked)")
    }
    guard differences.isEmpty else { return .differs(differences.joined(separator: "; ")) }
    let seed = request.hasSeed ? "seed chosen by you" : "seed chosen by the node"
    let path =
      dialect.name == Dialect.openAIChat.name || dialect.name == Dialect.openAICompletions.name
      ? "" : ", as a request to \(dialect.path)"
    let rest = nonces == nil ? "; not logit_bias, stop and a constraint, which no nonce opens" : ""
    return .same("model, sampler, max_tokens and ignore_eos; \(seed)\(rest)\(path)")
  }

  /// The same for the vector of a text.
  private func vector(_ receipt: Receipts.Receipt) -> Verification.Comparison {
    if let model = request.model, model != receipt.model {
      return .differs("'model' is \(model) in your request and \(receipt.model) in the receipt")
    }
    if let asked = request.embedding?.dimensions, asked != receipt.dimensions {
      return .differs("'dimensions' is \(asked) in your request and \(receipt.dimensions) in the receipt")
    }
    return .same("model and dimensions")
  }

  /// Whether the receipt's commitments hold the nonce of this request, which then is older.
  /// - share: the node's part
  func freshness(
    _ receipt: Receipts.Receipt, _ nonces: Nonces?, share: Nonces?
  ) -> Verification.Comparison {
    guard let nonce = request.nonce else { return .notDone(why: "your request names no nonce") }
    guard let nonces else { return .notDone(why: "the answer holds no nonce, which opens the commitments") }
    guard let share else {
      return .differs(
        "your request names a nonce, and the answer has no 'nonce_share': the commitments are without it")
    }
    guard share.bound(to: nonce) == nonces else {
      return .differs(
        "your request's nonce and 'nonce_share' do not give 'nonce': the commitments are without yours")
    }
    guard Commitment.to(biases: biases.map { ($0.token, $0.bias) }, nonce: nonces.prompt) == receipt.logitBias
    else {
      return .differs("'nonce' does not open the receipt, so nothing says that yours is in its commitments")
    }
    return .same("the commitments hold the nonce of your request: the receipt is younger than it")
  }
}

extension Reexecutor {
  /// A request as this machine's template writes it.
  struct RenderedRequest {
    let tokens: [UInt32]
    let text: String
    /// The fields that the template does not read.
    let unread: [String]
  }

  /// The prompt that this machine makes of a request, or why there is none.
  enum Rendered {
    case prompt(RenderedRequest)
    case none(why: String)
    /// The receipt says that it was made otherwise.
    case other(String)
  }

  /// Renders and tokenises a request as the receipt's node did.
  ///
  /// A template may print the date, and prints it in the time zone of the node. A receipt of version 4
  /// names template, clock and zone. Before, none did: the clock of the receipt is tried in this machine's zone, a minute before, where the
  /// job may have been rendered, and in the zones of the earth, until the prompt is the receipt's.
  /// - isReceipts: whether a prompt is the one that the receipt is about
  func prompt(
    of own: OwnRequest, _ receipt: Receipts.Receipt, isReceipts: ([UInt32]) -> Bool
  ) -> Rendered {
    guard digest == receipt.modelSHA256 else {
      return .none(why: "the model that was given is another, with a template of its own")
    }
    func prompt(at time: Double) throws(Refusal) -> RenderedRequest {
      let found = try Serving.tokens(
        of: own.request, chat: chat, tokenizer: tokenizer, context: contextLength,
        now: Date(timeIntervalSince1970: time), isWanted: { true })
      return RenderedRequest(
        tokens: found.tokens.map { UInt32(bitPattern: $0) }, text: found.text, unread: found.unread)
    }
    let submitted = Double(receipt.submitted) / 1e6
    if receipt.isRendered, case .messages = own.request.prompt {
      let template = MessageFormat(chat, tokenizer, named: nil).template
      guard template == receipt.rendering.template else {
        return .other(
          "the receipt names a chat template with the SHA-256 \(receipt.rendering.template.hex), this model file's has \(template.hex)"
        )
      }
      let time = Double(receipt.rendering.time) / 1e6
      let here = TimeZone.current.secondsFromGMT(for: Date(timeIntervalSince1970: time))
      do throws(Refusal) {
        return .prompt(try prompt(at: time + Double(Int(receipt.rendering.zone) - here)))
      } catch { return .none(why: "the request cannot be read: \(error)") }
    }
    do throws(Refusal) {
      let first = try prompt(at: submitted)
      if isReceipts(first.tokens) { return .prompt(first) }
      // Another month, weekday, hour, minute and second: what prints no time gives the same.
      guard try prompt(at: submitted + 40 * 86_400 + 3_723).tokens != first.tokens else {
        return .prompt(first)
      }
      let here = Double(TimeZone.current.secondsFromGMT(for: Date(timeIntervalSince1970: submitted)))
      let zones = stride(from: -12.0, through: 14, by: 0.25).map { $0 * 3_600 - here }
      for shift in [-60] + zones + zones.map({ $0 - 60 }) {
        let found = try prompt(at: submitted + shift)
        if isReceipts(found.tokens) { return .prompt(found) }
      }
      return .prompt(first)
    } catch { return .none(why: "the request cannot be read: \(error)") }
  }

  /// What the texts of answers to a request had to be, for each way in which this model may write
  /// calls: its template's own, and the one that an answer names.
  func constraints(
    of own: OwnRequest, _ rendered: RenderedRequest, parser: String?
  ) -> [Receipts.Transcript.Constraint?] {
    var unique: [Receipts.Transcript.Constraint?] = []
    for name in parser.map({ [nil, $0] }) ?? [nil] {
      var unread = rendered.unread
      // A request that cannot be held in one way may be in the other.
      guard
        let source = try? MessageFormat(chat, tokenizer, named: name).constraint(
          own.request.constraint, own.request.message, prompt: rendered.text, unread: &unread)
      else {
        if !unique.contains(nil) { unique.append(nil) }
        continue
      }
      let found = Receipts.Transcript.Constraint(source)
      if !unique.contains(found) { unique.append(found) }
    }
    return unique
  }
}
