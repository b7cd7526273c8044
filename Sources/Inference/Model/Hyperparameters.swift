// Hyperparameters.swift: the numbers that make one decoder into Llama, Qwen2 or Qwen3, each with its bounds.
// Leaves out the weights (Model.swift). Start at init(_:).

/// The architectures that the decoder can be. The raw value is `general.architecture`.
public enum Architecture: String, Sendable, CaseIterable {
  /// Llama 2 and 3, Mistral, SmolLM2.
  case llama
  case qwen2
  case qwen3

  static var names: String { allCases.map(\.rawValue).joined(separator: ", ") }
}

/// How rotary embedding pairs the elements of a head.
public enum RotaryPairing: Sendable, Equatable {
  /// (0, 1), (2, 3), ... as Llama's GGUF files store them.
  case neighbours
  /// (0, n/2), (1, n/2 + 1), ... as Qwen's do (GPT-NeoX).
  case halves
}

/// The shape of a decoder. Every value is inside the bounds that `init(_:)` states, so products of any three fit an `Int`.
public struct Hyperparameters: Sendable, Equatable {
  public let architecture: Architecture
  public let layerCount: Int
  /// Positions that the model was trained for.
  public let contextLength: Int
  public let embeddingLength: Int
  public let feedForwardLength: Int
  public let headCount: Int
  public let kvHeadCount: Int
  public let headSize: Int
  public let vocabularySize: Int
  public let normEpsilon: Float
  public let rotaryPairing: RotaryPairing
  /// Elements of a head that are rotated, the first ones.
  public let rotarySize: Int
  public let rotaryBase: Double
  /// Positions are divided by this (linear scaling); 1 where the file says nothing.
  public let rotaryScale: Double
  /// q and k are normalised per head before rotation (Qwen3).
  public let hasHeadNorms: Bool

  /// Query heads that share one key and value head.
  public var groupSize: Int { headCount / kvHeadCount }
  public var queryLength: Int { headCount * headSize }
  public var keyLength: Int { kvHeadCount * headSize }
  /// Bytes of keys and values of one position over all layers: 16 bits each, and a scale per head.
  public var kvBytesPerPosition: Int { 2 * layerCount * kvHeadCount * (2 * headSize + 4) }

  /// Reads and checks the metadata of a file, and the vocabulary's size from its embedding tensor.
  public init(_ file: GGUFFile) throws(ModelError) {
    let reader = MetadataReader(file: file)
    guard let name = try reader.string("general.architecture") else {
      throw reader.failure(.missingKey("general.architecture"))
    }
    guard let architecture = Architecture(rawValue: name) else {
      throw reader.failure(.unsupportedArchitecture(name))
    }
    let prefix = architecture.rawValue
    self.architecture = architecture
    layerCount = try reader.required("\(prefix).block_count", 1...1_024)
    contextLength = try reader.required("\(prefix).context_length", 1...16_777_216)
    embeddingLength = try reader.required("\(prefix).embedding_length", 32...65_536)
    feedForwardLength = try reader.required("\(prefix).feed_forward_length", 32...1_048_576)
    headCount = try reader.required("\(prefix).attention.head_count", 1...1_024)
    kvHeadCount = try reader.integer("\(prefix).attention.head_count_kv", 1...1_024) ?? headCount
    guard headCount % kvHeadCount == 0 else {
      throw reader.failure(
        .badHyperparameter(
          key: "\(prefix).attention.head_count_kv", found: "\(kvHeadCount)",
          wanted: "a divisor of the \(headCount) heads"))
    }
    if let stated = try reader.integer("\(prefix).attention.key_length", 1...65_536) {
      headSize = stated
    } else {
      guard embeddingLength % headCount == 0 else {
        throw reader.failure(
          .badHyperparameter(
            key: "\(prefix).embedding_length", found: "\(embeddingLength)",
            wanted: "a multiple of the \(headCount) heads"))
      }
      headSize = embeddingLength / headCount
    }
    guard headSize % 16 == 0, (16...256).contains(headSize) else {
      throw reader.failure(
        .badHyperparameter(
          key: "the head size", found: "\(headSize)", wanted: "a multiple of 16 up to 256"))
    }
    if let value = try reader.integer("\(prefix).attention.value_length", 1...65_536), value != headSize {
      throw reader.failure(
        .badHyperparameter(
          key: "\(prefix).attention.value_length", found: "\(value)", wanted: "the key length \(headSize)"))
    }
    for (key, length) in [
      ("\(prefix).embedding_length", embeddingLength), ("\(prefix).feed_forward_length", feedForwardLength),
      ("the length of all heads", headCount * headSize),
    ] where length % 32 != 0 {
      throw reader.failure(
        .badHyperparameter(key: key, found: "\(length)", wanted: "a multiple of 32"))
    }
    normEpsilon = Float(
      try reader.required("\(prefix).attention.layer_norm_rms_epsilon", from: 1e-12, to: 0.1))
    switch architecture {
    case .llama: rotaryPairing = .neighbours
    case .qwen2, .qwen3: rotaryPairing = .halves
    }
    hasHeadNorms = architecture == .qwen3
    rotarySize = try reader.integer("\(prefix).rope.dimension_count", 2...65_536) ?? headSize
    guard rotarySize % 2 == 0, rotarySize <= headSize else {
      throw reader.failure(
        .badHyperparameter(
          key: "\(prefix).rope.dimension_count", found: "\(rotarySize)",
          wanted: "an even number up to the head size \(headSize)"))
    }
    rotaryBase = try reader.number("\(prefix).rope.freq_base", from: 1, to: 1e12) ?? 10_000
    rotaryScale = try reader.rotaryScale(prefix)
    try reader.refuseUnsupported(prefix)

    guard let embedding = file.tensor("token_embd.weight") else {
      throw reader.failure(.missingTensor(name: "token_embd.weight", wanted: [embeddingLength]))
    }
    guard embedding.dimensions.count == 2, embedding.dimensions[0] == embeddingLength else {
      throw reader.failure(
        .wrongShape(name: embedding.name, found: embedding.dimensions, wanted: [embeddingLength]))
    }
    vocabularySize = embedding.dimensions[1]
    guard (1...4_194_304).contains(vocabularySize) else {
      throw reader.failure(
        .badHyperparameter(key: "the vocabulary", found: "\(vocabularySize)", wanted: "1 to 4194304"))
    }
  }
}

/// Typed look-ups whose errors are the model's.
struct MetadataReader {
  let file: GGUFFile

  func failure(_ problem: ModelError.Problem) -> ModelError { ModelError(file: file.path, problem: problem) }

  func string(_ key: String) throws(ModelError) -> String? {
    do { return try file.metadata.string(key) } catch { throw failure(.file(error.problem)) }
  }

  func integer(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
    do { return try file.metadata.integer(key, in: range) } catch { throw failure(.file(error.problem)) }
  }

  func required(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let value = try integer(key, range) else { throw failure(.missingKey(key)) }
    return value
  }

  func number(_ key: String, from low: Double, to high: Double) throws(ModelError) -> Double? {
    let value: Double?
    do { value = try file.metadata.double(key) } catch { throw failure(.file(error.problem)) }
    guard let value else { return nil }
    guard value >= low, value <= high else {
      throw failure(.badHyperparameter(key: key, found: "\(value)", wanted: "\(low) to \(high)"))
    }
    return value
  }

  func required(_ key: String, from low: Double, to high: Double) throws(ModelError) -> Double {
    guard let value = try number(key, from: low, to: high) else { throw failure(.missingKey(key)) }
    return value
  }

  func rotaryScale(_ prefix: String) throws(ModelError) -> Double {
    switch try string("\(prefix).rope.scaling.type") {
    case nil, "none":
      return try number("\(prefix).rope.scale_linear", from: 1, to: 1e6) ?? 1
    case "linear":
      return try number("\(prefix).rope.scaling.factor", from: 1, to: 1e6) ?? 1
    case .some(let other):
      throw failure(.unsupportedFeature("the rotary embedding is scaled by '\(other)'"))
    }
  }

  func refuseUnsupported(_ prefix: String) throws(ModelError) {
    if let experts = try integer("\(prefix).expert_count", 0...65_536), experts > 0 {
      throw failure(.unsupportedFeature("the model is a mixture of \(experts) experts"))
    }
    if let window = try integer("\(prefix).attention.sliding_window", 0...Int(Int32.max)), window > 0 {
      throw failure(.unsupportedFeature("attention slides over a window of \(window) positions"))
    }
  }
}
