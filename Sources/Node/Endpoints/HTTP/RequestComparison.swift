// RequestComparison.swift: compares a client's own request with a receipt: rendered and tokenised
// by the function that serves requests, with every setting that the receipt names. Start at
// Reexecutor.compare.
import Foundation
import Inference
import JSON
import Receipts

extension Reexecutor {
  /// Whether the receipt is for this request.
  /// - request: the JSON that the client sent
  package func compare(
    request bytes: [UInt8], _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript
  ) -> Verification.RequestComparison {
    guard digest == receipt.modelSHA256 else {
      return .notDone(why: "the model that was given is another, with a template of its own")
    }
    let request: GenerationRequest
    let prompt: [UInt32]
    do {
      let value = try JSONText.parse(bytes)
      let dialect = value["messages"] != nil ? Dialect.openAIChat : .openAICompletions
      request = try dialect.read(value).request
      // A template may print the date, so this uses the day on which the node claims to have
      // rendered it.
      let now = Date(timeIntervalSince1970: Double(receipt.submitted) / 1e6)
      prompt = try Serving.tokens(
        of: request.prompt, chat: chat, tokenizer: tokenizer, context: contextLength, now: now,
        isWanted: { true }
      ).tokens.map { UInt32(bitPattern: $0) }
    } catch { return .notDone(why: "the request cannot be read: \(error)") }

    // If a job was cut during prefill, its receipt commits to the tokens that were read.
    let read = receipt.finish.isCut ? Array(prompt.prefix(transcript.prompt.count)) : prompt
    if read != transcript.prompt {
      let place = zip(read, transcript.prompt).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      let at = place ?? min(read.count, transcript.prompt.count)
      return .differs(
        "the prompt differs at token \(at): your request gives \(read.count) tokens, the node had \(transcript.prompt.count)"
      )
    }
    let sampling = request.sampling
    let biases = sampling.logitBias.map { Receipts.Transcript.Bias($0) }
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
    if biases != transcript.biases { differences.append("'logit_bias' differs") }
    if receipt.version > 1 {
      if request.stops != transcript.stops { differences.append("'stop' differs") }
      compare("ignore_eos", request.ignoresEnd, receipt.ignoresEnd)
      compare("who chose the seed", request.hasSeed ? .client : .node, receipt.seedBy)
    }
    if let limit = request.outputLimit {
      compare("max_tokens", min(limit, Receipts.Receipt.maximumCompletionTokens), receipt.maxTokens)
    } else if receipt.version > 1, receipt.finish == .length, receipt.maxTokens < Serving.defaultOutput {
      differences.append("your request names no max_tokens, and the receipt ends at \(receipt.maxTokens)")
    }
    if let first = differences.first { return .differs(first) }
    return .same(
      "\(transcript.prompt.count) prompt tokens\(receipt.finish.isCut && read.count < prompt.count ? " of \(prompt.count)" : ""), and the settings"
    )
  }
}
