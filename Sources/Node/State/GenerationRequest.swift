// GenerationRequest.swift: a request for generated text, independent of its dialect: prompt,
// sampling, limits, terms. Not here: its spelling and the form of the answer
// (Endpoints/HTTP/Dialects), the resulting job (JobRequest). Start at GenerationRequest.
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
  /// nil accepts whichever model is served.
  var model: String?
  var sampling = SamplingRequest(temperature: 1)
  /// nil means what the context leaves, up to a default.
  var outputLimit: Int?
  var stops: [String] = []
  /// What the answer's text must be.
  var constraint: AskedConstraint?
  var ignoresEnd = false
  /// The seed was given; otherwise the node draws one and reports it.
  var hasSeed = false
  /// Accepted if the model's template does not use it: then it changes nothing.
  var reasoningEffort: String?
  var priority = 5
  /// The priority was given.
  var hasPriority = false
  /// Microseconds.
  var timeLimit: Microseconds?
  /// Per million completion tokens.
  var offered: Amount?

  init(_ prompt: Prompt) { self.prompt = prompt }

  static func drawnSeed() -> UInt64 { UInt64.random(in: 0...(1 << 53)) }
}
