// TokenizerError.swift: why a vocabulary was refused. Tolerable faults are warnings instead
// (Tokenizer.swift).

/// Why no tokenizer could be made from a file's metadata.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file's path as the caller gave it.
  public let file: String
  public let problem: Problem

  public enum Problem: Sendable, Equatable {
    /// A key has the wrong type or value.
    case metadata(GGUFError.Problem)
    case missingKey(String)
    /// `tokenizer.ggml.model` names an algorithm that is not implemented.
    case unsupportedModel(String)
    case tooMany(item: String, found: Int, limit: Int)
    case countMismatch(key: String, found: Int, wanted: Int)
  }

  public var description: String { "model '\(file)': \(problem)" }

  public var hint: String? {
    switch problem {
    case .missingKey:
      "the file holds no vocabulary; models are usually published with one"
    case .unsupportedModel:
      "models with one of these run; most of today's have one"
    case .metadata, .tooMany, .countMismatch:
      nil
    }
  }
}

extension TokenizerError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .metadata(let problem): "\(problem)"
    case .missingKey(let key): "metadata key '\(key)' is missing"
    case .unsupportedModel(let name):
      "tokenizer '\(name)' is not supported, supported are gpt2, llama and gemma4"
    case .tooMany(let item, let found, let limit): "\(found) \(item), at most \(limit) are supported"
    case .countMismatch(let key, let found, let wanted):
      "metadata key '\(key)' has \(found) entries, wanted \(wanted)"
    }
  }
}
