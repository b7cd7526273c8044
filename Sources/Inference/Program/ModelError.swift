// ModelError.swift: why a well-formed GGUF file is not a model that can be run.

/// What is wrong with a model. The description reads `model 'NAME': what was found, what was
/// wanted`; lower case, no full stop.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file's path as the caller gave it.
  public let file: String
  public let problem: Problem

  public init(file: String, problem: Problem) {
    self.file = file
    self.problem = problem
  }

  public enum Problem: Sendable, Equatable {
    case file(GGUFError.Problem)
    case missingKey(String)
    case unsupportedArchitecture(String, supported: [String])
    case badHyperparameter(key: String, found: String, wanted: String)
    case unsupportedFeature(String)
    case missingTensor(name: String, wanted: [Int])
    case wrongShape(name: String, found: [Int], wanted: [Int])
    case moreTokensThanRows(tokens: Int, rows: Int)
    case wrongType(name: String, found: String, wanted: String)
    case unknownTensor(name: String, architecture: String)
    case badWeights(name: String, reason: String)
    case noMemory(bytes: Int, purpose: String)
    /// More than may be used.
    case tooLarge(bytes: Int, available: Int)
    /// For a copy of the weights, with the system's reason.
    case noDisk(bytes: Int, folder: String, reason: String)
    case noThreads(String)
  }

  public var description: String { "model '\(file)': \(problem)" }
}

extension ModelError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .file(let problem):
      "\(problem)"
    case .missingKey(let key):
      "metadata key '\(key)' is missing"
    case .unsupportedArchitecture(let found, let supported):
      "architecture '\(found)' is not supported, supported are \(supported.joined(separator: ", "))"
    case .badHyperparameter(let key, let found, let wanted):
      "\(key) is \(found), wanted \(wanted)"
    case .unsupportedFeature(let feature):
      "\(feature), which is not supported"
    case .missingTensor(let name, let wanted):
      "tensor '\(name)' is missing, wanted \(Self.shape(wanted))"
    case .wrongShape(let name, let found, let wanted):
      "tensor '\(name)' is \(Self.shape(found)), wanted \(Self.shape(wanted))"
    case .moreTokensThanRows(let tokens, let rows):
      "the vocabulary has \(tokens) tokens, and tensor 'token_embd.weight' has rows for \(rows)"
    case .wrongType(let name, let found, let wanted):
      "tensor '\(name)' is stored as \(found), wanted \(wanted)"
    case .unknownTensor(let name, let architecture):
      "tensor '\(name)' has no place in a model of architecture '\(architecture)'"
    case .badWeights(let name, let reason):
      "tensor '\(name)' \(reason)"
    case .noMemory(let bytes, let purpose):
      "no memory for \(bytes) bytes of \(purpose)"
    case .tooLarge(let bytes, let available):
      "its weights take \(bytes) bytes, and \(available) bytes of memory are available"
    case .noDisk(let bytes, let folder, let reason):
      "no \(bytes) bytes for a copy of its weights in '\(folder)': \(reason)"
    case .noThreads(let reason):
      reason
    }
  }

  private static func shape(_ extents: [Int]) -> String {
    extents.map(String.init).joined(separator: " x ")
  }
}
