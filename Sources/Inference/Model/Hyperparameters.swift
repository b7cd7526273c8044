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
    kvHeadCount = try reader.optional("\(prefix).attention.head_count_kv", 1...1_024) ?? headCount
    guard headCount % kvHeadCount == 0 else {
      throw reader.failure(
        .badHyperparameter(
          key: "\(prefix).attention.head_count_kv", found: "\(kvHeadCount)",
          wanted: "a divisor of the \(headCount) heads"))
    }
    if let stated = try reader.optional("\(prefix).attention.key_length", 1...16_384) {
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
    if let value = try reader.optional("\(prefix).attention.value_length", 1...16_384), value != headSize {
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
    rotarySize = try reader.optional("\(prefix).rope.dimension_count", 2...16_384) ?? headSize
    guard rotarySize % 2 == 0, rotarySize <= headSize else {
      throw reader.failure(
        .badHyperparameter(
          key: "\(prefix).rope.dimension_count", found: "\(rotarySize)",
          wanted: "an even number up to the head size \(headSize)"))
    }
    rotaryBase = try reader.number("\(prefix).rope.freq_base", from: 1, to: 1e12) ?? 10_000
    rotaryScale = try reader.rotaryScale(prefix)
    try reader.refuseUnsupported(prefix, contextLength: contextLength)

    guard let embedding = file.tensor("token_embd.weight") else {
      throw reader.failure(.missingTensor(name: "token_embd.weight", wanted: [embeddingLength]))
    }
    let extents = embedding.extents(atLeast: 2)
    guard extents.count == 2, extents[0] == embeddingLength else {
      throw reader.failure(
        .wrongShape(name: embedding.name, found: embedding.dimensions, wanted: [embeddingLength]))
    }
    vocabularySize = extents[1]
    // A prompt with one of the others would have no row to look up. Fewer tokens than rows are usual: rows are
    // padded to a round number.
    let tokenCount = try reader.count("tokenizer.ggml.tokens") ?? 0
    guard tokenCount <= vocabularySize else {
      throw reader.failure(.moreTokensThanRows(tokens: tokenCount, rows: vocabularySize))
    }
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

  /// An integer that must be there: one number, or one for each layer where all are the same.
  func required(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let value = try integer(key, range) else { throw failure(.missingKey(key)) }
    return value
  }

  /// An integer that may be left out, also by writing -1, in whatever type, for "none".
  func optional(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
    if let value = file.metadata[key], value.isAllOnes, !(value.integer.map(range.contains) ?? false) {
      return nil
    }
    return try integer(key, range)
  }

  private func integer(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
    if case .array(let array) = file.metadata[key] {
      guard let values = array.integers, let first = values.first else {
        throw failure(
          .file(
            .wrongValueType(
              key: key, found: "an array of \(array.count) of type \(array.elementType.name)",
              wanted: "an integer")))
      }
      guard values.allSatisfy({ $0 == first }) else {
        throw failure(.unsupportedFeature("'\(key)' differs from layer to layer"))
      }
      guard range.contains(first) else {
        throw failure(
          .file(
            .valueOutOfRange(
              key: key, found: "\(first)", wanted: "\(range.lowerBound) to \(range.upperBound)")))
      }
      return first
    }
    do { return try file.metadata.integer(key, in: range) } catch { throw failure(.file(error.problem)) }
  }

  /// How many entries an array has.
  func count(_ key: String) throws(ModelError) -> Int? {
    do { return try file.metadata.array(key)?.count } catch { throw failure(.file(error.problem)) }
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

  /// What positions are divided by. As llama.cpp reads it: a factor without a type is a linear one, the older
  /// key counts where the newer is absent, and 0 means none.
  func rotaryScale(_ prefix: String) throws(ModelError) -> Double {
    // Written by few files, for every type of scaling; rotated vectors would have to be multiplied by it.
    let lengthens = try number("\(prefix).rope.scaling.attn_factor", from: -1e6, to: 1e6) ?? 1
    guard lengthens == 1 || lengthens == 0 else {
      throw failure(.unsupportedFeature("rotated vectors are multiplied by \(lengthens)"))
    }
    switch try string("\(prefix).rope.scaling.type") {
    case "none":
      return 1
    case nil, "", "linear":
      let newer = "\(prefix).rope.scaling.factor"
      let key = file.metadata[newer] == nil ? "\(prefix).rope.scale_linear" : newer
      guard let factor = try number(key, from: 0, to: 1e6), factor != 0 else { return 1 }
      guard factor >= 1e-6 else {
        throw failure(.badHyperparameter(key: key, found: "\(factor)", wanted: "0 or 1e-6 to 1e6"))
      }
      return factor
    case .some(let other):
      throw failure(.unsupportedFeature("the rotary embedding is scaled by '\(other)'"))
    }
  }

  func refuseUnsupported(_ prefix: String, contextLength: Int) throws(ModelError) {
    if let experts = try optional("\(prefix).expert_count", 0...16_384), experts > 0 {
      throw failure(.unsupportedFeature("the model is a mixture of \(experts) experts"))
    }
    // A window of the whole context hides nothing.
    if let window = try optional("\(prefix).attention.sliding_window", 0...Int.max), window > 0,
      window < contextLength
    {
      throw failure(.unsupportedFeature("attention slides over a window of \(window) positions"))
    }
  }
}
