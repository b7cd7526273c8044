// ReceiptSampler.swift: converts sampling settings to a receipt's and back, so that those who
// answer and those who check an answer use one mapping. The sampler is Inference's. Start at
// Receipt.Sampler.init.
import Grammar
import Inference
import Receipts

extension Receipts.Receipt.Sampler {
  /// Without logit biases: a receipt only commits to them.
  init(_ sampling: SamplingRequest) {
    self.init()
    temperature = sampling.temperature
    topK = sampling.topK
    topP = sampling.topP
    minP = sampling.minP
    repetitionPenalty = sampling.repetitionPenalty
    presencePenalty = sampling.presencePenalty
    frequencyPenalty = sampling.frequencyPenalty
    seed = sampling.seed
  }
}

extension SamplingRequest {
  /// - biases: from the transcript that opens the receipt
  init(_ sampler: Receipts.Receipt.Sampler, biases: [Receipts.Transcript.Bias]) {
    self.init(
      temperature: sampler.temperature, topK: sampler.topK, topP: sampler.topP, minP: sampler.minP,
      repetitionPenalty: sampler.repetitionPenalty, presencePenalty: sampler.presencePenalty,
      frequencyPenalty: sampler.frequencyPenalty, logitBias: biases.map { TokenBias($0) }, seed: sampler.seed)
  }
}

extension SamplingRequest.TokenBias {
  init(_ bias: Receipts.Transcript.Bias) {
    self.init(token: Int32(bitPattern: bias.token), bias: bias.bias)
  }
}

extension Receipts.Transcript.Bias {
  init(_ bias: SamplingRequest.TokenBias) {
    self.init(token: UInt32(bitPattern: bias.token), bias: bias.bias)
  }
}

extension Receipts.Transcript.Constraint {
  init(_ source: ConstraintSource) { self.init(kind: source.kind, text: source.text) }
}
