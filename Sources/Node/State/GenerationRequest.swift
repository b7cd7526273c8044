// GenerationRequest.swift: a request for generated text, independent of its dialect: prompt,
// sampling, limits, terms. Not here: its spelling and the form of the answer
// (Endpoints/HTTP/Dialects), the resulting job (JobRequest). Start at GenerationRequest.
import Accounting
import Control
import Grammar
import Inference
import JSON
import Receipts
import Tools

/// What an answer's text must be, and the field of the request that says so.
struct AskedConstraint: Sendable {
  let source: ConstraintSource
  let field: String
}

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
  /// The field of a limit that yields to the context, where clients have to name one and name the
  /// largest that they know; nil if a limit beyond the context is refused.
  var yieldingLimit: String?
  var stops: [String] = []
  /// What the answer's text must be.
  var constraint: AskedConstraint?
  var ignoresEnd = false
  /// The seed was given; otherwise the node draws one and reports it.
  var hasSeed = false
  /// What comes after the text that is asked for; the prompt, a text, comes before it.
  var suffix: String?
  /// The answer's text begins with the prompt's.
  var echoes = false
  /// The vector of the prompt is asked for, and no text.
  var embedding: EmbeddingTerms?
  /// What a model may call, and whether its answer is read for calls and reasoning.
  var message: MessageTerms?
  /// The client's own value for the commitments, which makes the receipt younger than it.
  var nonce: SHA256Digest?
  var priority = 5
  /// The priority was given.
  var hasPriority = false
  /// Microseconds.
  var timeLimit: Microseconds?
  /// Per million completion tokens.
  var offered: Amount?

  init(_ prompt: Prompt) { self.prompt = prompt }

  /// Fields of the request that were left out of account, with their paths.
  var ignored: [String] = []

  static func drawnSeed() -> UInt64 { UInt64.random(in: 0...(1 << 53)) }
}

/// What a request for the vector of a text has besides it.
struct EmbeddingTerms: Sendable {
  /// Numbers of the vector, the first ones; nil: all.
  var dimensions: Int?
}

/// What a request for a message, which may think and call, has besides a request for text.
struct MessageTerms: Sendable {
  /// The tools that the model may call, as templates read them (OpenAI's form).
  var tools: [JSONValue] = []
  /// The same, as the answer's parser reads them.
  var definitions: [ToolDefinition] = []
  /// More values for the template; `field` is where they stand in the request.
  var variables: [JSONValue.Member] = []
  var variablesField = "chat_template_kwargs"
  /// Whether to think, and the field that says so.
  var thinks: (field: String, value: Bool)?
  /// How much to think, and the field that says so.
  var effort: (field: String, value: String)?
  /// How many tokens of the answer the thinking may take, and the field that says so.
  var budget: (field: String, tokens: Int)?
  /// What the answer's calls must be; nil if any text will do.
  var demand: CallDemand?
  /// At most one call is wanted.
  var isSingleCall = false
  /// The field that demands it.
  var demandField = "tool_choice"
  /// Where the schema of each tool stands in the request.
  var schemaFields: [String: String] = [:]

  /// After how many tokens the thinking is closed; nil if it has no bound. Where it is to be off and
  /// the template leaves room for it, it ends where it begins.
  func bound(_ unread: inout [String]) -> Int? {
    let off = [
      thinks.flatMap { $0.value ? nil : $0.field }, effort.flatMap { $0.value == "none" ? $0.field : nil },
    ].compactMap(\.self)
    guard !off.isEmpty else { return budget?.tokens }
    unread.removeAll(where: off.contains)
    return 0
  }

  /// What the template is handed, and the fields that it does not read.
  func extras(for source: String) -> (extras: ChatExtras, unread: [String]) {
    var extras = ChatExtras(tools: tools)
    var unread: [String] = []
    for member in variables {
      if source.contains(member.key) {
        extras.variables.append(member)
      } else {
        unread.append("\(variablesField).\(member.key)")
      }
    }
    func give(_ name: String, _ value: JSONValue) {
      if !extras.variables.contains(where: { $0.key == name }) {
        extras.variables.append((key: name, value: value))
      }
    }
    // Templates that switch thinking do it by one of these names.
    let toggle = ["enable_thinking", "thinking"].first { name in
      source.contains("\(name) ") || source.contains("\(name))") || source.contains("'\(name)'")
    }
    if let effort {
      if source.contains("reasoning_effort") {
        give("reasoning_effort", .string(effort.value))
      } else if let toggle {
        give(toggle, .bool(effort.value != "none"))
      } else {
        unread.append(effort.field)
      }
    }
    if let thinks {
      if let toggle { give(toggle, .bool(thinks.value)) } else { unread.append(thinks.field) }
    }
    return (extras, unread)
  }
}
