// GenerationRequest.swift: what somebody wants generated, whatever they said it in: prompt, sampling, limits, terms.
// Leaves out how it is spelt (Endpoints/HTTP/Dialects) and how the answer is to look (AnswerForm there); what it comes
// to as a job is JobRequest. Start at GenerationRequest.
import Accounting
import Control
import Inference

struct GenerationRequest: Sendable {
  enum Prompt: Sendable {
    case messages([ChatMessage])
    case text(String)
    case tokens([Int32])
  }

  var prompt: Prompt
  /// nil takes whatever model is served.
  var model: String?
  var sampling = SamplingRequest(temperature: 1)
  /// nil takes what the context leaves, up to a default.
  var outputLimit: Int?
  var stops: [String] = []
  var ignoresEnd = false
  /// The seed was given; otherwise the node draws one and says which.
  var hasSeed = false
  /// Taken where the model's template asks for none: then it changes nothing.
  var reasoningEffort: String?
  var priority = 5
  /// The priority was given.
  var hasPriority = false
  /// Microseconds.
  var timeLimit: Microseconds?
  /// For a million completion tokens.
  var offered: Amount?

  init(_ prompt: Prompt) { self.prompt = prompt }

  static func drawnSeed() -> UInt64 { UInt64.random(in: 0...(1 << 53)) }
}
