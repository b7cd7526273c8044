// Pooling.swift: how the hidden states of a text become one vector, as files say it. Computing that is
// in Engine/Pooler.swift.

/// How the final hidden states of a text become one.
public enum Pooling: String, Sendable, CaseIterable, Codable {
  case mean
  /// The first position's.
  case first = "cls"
  /// The last position's.
  case last
}

extension MetadataReader {
  /// How the file's makers pooled; nil: they did not.
  func pooling() throws(ModelError) -> Pooling? {
    switch try optional("pooling_type", 0...1_024) {
    case nil, 0: return nil
    case 1: return .mean
    case 2: return .first
    case 3: return .last
    case 4: throw failure(.unsupportedFeature("it ranks pairs of texts ('\(full("pooling_type"))' is 4)"))
    case .some(let other):
      throw failure(.unsupportedFeature("hidden states are pooled by rule \(other)"))
    }
  }
}
