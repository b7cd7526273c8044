// Hyperparameters.swift: the numbers of a dense decoder, each with its bounds. Every architecture
// has these; those of a single architecture are read in its own file (Architectures/). Not here:
// the weights (TensorReader.swift). Start at init(dense:).

/// The shape of a decoder. Every value is inside the bounds that `init` states, so products of any
/// three fit an `Int`.
public struct Hyperparameters: Sendable, Equatable {
  /// `general.architecture`.
  public let architecture: String
  public let layerCount: Int
  /// Layers behind those, which predict tokens beyond the next one (MTP) and are not run.
  package let predictionLayerCount: Int
  /// Positions that the model was trained for.
  public let contextLength: Int
  public let embeddingLength: Int
  public let feedForwardLength: Int
  public let headCount: Int
  public let kvHeadCount: Int
  public let headSize: Int
  public let vocabularySize: Int
  public let normEpsilon: Float
  /// Which norm the model has.
  package let norm: NormKind
  /// How many elements of a head, from the first, are rotated.
  public let rotarySize: Int
  public let rotaryBase: Double
  /// Positions are divided by this (linear scaling); 1 if the file doesn't say.
  public let rotaryScale: Double
  /// How frequencies are stretched; nil: not at all.
  package let yarn: YaRN?
  /// What rotated vectors are multiplied by; 1 if the file doesn't say.
  package let rotaryMagnitude: Double
  /// Positions that the model was trained for before its context was stretched.
  package let originalContextLength: Int

  public var queryLength: Int { headCount * headSize }
  public var keyLength: Int { kvHeadCount * headSize }

  /// The norm of a whole row.
  package enum NormKind: Sendable, Equatable {
    case rootMeanSquare
    /// Of what is left when the mean is taken away.
    case layer(hasBias: Bool)
  }

  /// Reads and checks the metadata of a file, and the vocabulary's size from its embedding tensor.
  /// - layersVary: whether layers may differ in their networks' widths and in their heads of keys
  ///   and values, of which the largest number then stands here
  /// - headSize: what attention works on, where that is not what the keys say
  /// - kvHeadCount, feedForwardLength: where they are not one number in the file
  /// - epsilonKey: where the norm's epsilon does not have the key of its kind
  package init(
    dense keys: MetadataReader, norm: NormKind = .rootMeanSquare, layersVary: Bool = false,
    headSize given: Int? = nil, kvHeadCount stated: Int? = nil, feedForwardLength width: Int? = nil,
    epsilonKey: String? = nil
  ) throws(ModelError) {
    architecture = keys.architecture
    let blockCount = try keys.required("block_count", 1...1_024)
    predictionLayerCount = try keys.optional("nextn_predict_layers", 0...(blockCount - 1)) ?? 0
    layerCount = blockCount - predictionLayerCount
    contextLength = try keys.required("context_length", 1...16_777_216)
    embeddingLength = try keys.required("embedding_length", 32...65_536)
    let widths =
      layersVary ? try keys.each("feed_forward_length", layers: layerCount, 32...1_048_576) : nil
    if let width {
      feedForwardLength = width
    } else if let widest = widths?.max() {
      feedForwardLength = widest
    } else {
      feedForwardLength = try keys.required("feed_forward_length", 32...1_048_576)
    }
    headCount = try keys.required("attention.head_count", 1...1_024)
    let kvHeads =
      layersVary ? try keys.each("attention.head_count_kv", layers: layerCount, 1...1_024) : nil
    if let stated {
      kvHeadCount = stated
    } else if let most = kvHeads?.max() {
      kvHeadCount = most
    } else {
      kvHeadCount = try keys.optional("attention.head_count_kv", 1...1_024) ?? headCount
    }
    guard (1...1_024).contains(kvHeadCount), headCount % kvHeadCount == 0 else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("attention.head_count_kv"), found: "\(kvHeadCount)",
          wanted: "a divisor of the \(headCount) heads"))
    }
    if let given {
      headSize = given
    } else if let stated = try keys.optional("attention.key_length", 1...16_384) {
      headSize = stated
    } else {
      guard embeddingLength % headCount == 0 else {
        throw keys.failure(
          .badHyperparameter(
            key: keys.full("embedding_length"), found: "\(embeddingLength)",
            wanted: "a multiple of the \(headCount) heads"))
      }
      headSize = embeddingLength / headCount
    }
    guard headSize % 16 == 0, (16...(given == nil ? 512 : 576)).contains(headSize) else {
      throw keys.failure(
        .badHyperparameter(
          key: "the head size", found: "\(headSize)", wanted: "a multiple of 16 up to 512"))
    }
    if given == nil, let value = try keys.optional("attention.value_length", 1...16_384), value != headSize {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("attention.value_length"), found: "\(value)", wanted: "the key length \(headSize)"))
    }
    for (key, length) in [
      (keys.full("embedding_length"), embeddingLength), (keys.full("feed_forward_length"), feedForwardLength),
      ("the length of all heads", headCount * headSize),
    ] where length % 32 != 0 {
      throw keys.failure(
        .badHyperparameter(key: key, found: "\(length)", wanted: "a multiple of 32"))
    }
    self.norm = norm
    let epsilon =
      epsilonKey
      ?? (norm == .rootMeanSquare ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon")
    normEpsilon = Float(try keys.required(epsilon, from: 1e-12, to: 0.1))
    rotarySize = try keys.optional("rope.dimension_count", 2...16_384) ?? headSize
    guard rotarySize % 2 == 0, rotarySize <= headSize else {
      throw keys.failure(
        .badHyperparameter(
          key: keys.full("rope.dimension_count"), found: "\(rotarySize)",
          wanted: "an even number up to the head size \(headSize)"))
    }
    rotaryBase = try keys.number("rope.freq_base", from: 1, to: 1e12) ?? 10_000
    rotaryScale = try keys.rotaryScale()
    originalContextLength = try keys.originalContextLength(contextLength)
    yarn = try keys.yarn(size: rotarySize, base: rotaryBase, original: originalContextLength)
    rotaryMagnitude = try keys.rotaryMagnitude() * (yarn?.magnitude() ?? 1)

    guard let embedding = keys.file.tensor("token_embd.weight") else {
      throw keys.failure(.missingTensor(name: "token_embd.weight", wanted: [embeddingLength]))
    }
    let extents = embedding.extents(atLeast: 2)
    guard extents.count == 2, extents[0] == embeddingLength else {
      throw keys.failure(
        .wrongShape(name: embedding.name, found: embedding.dimensions, wanted: [embeddingLength]))
    }
    vocabularySize = extents[1]
    // A token without a row could not be looked up. Fewer tokens than rows are usual, because rows
    // are padded to a round number.
    let tokenCount = try keys.vocabularyCount()
    guard tokenCount <= vocabularySize else {
      throw keys.failure(.moreTokensThanRows(tokens: tokenCount, rows: vocabularySize))
    }
    guard (1...4_194_304).contains(vocabularySize) else {
      throw keys.failure(
        .badHyperparameter(key: "the vocabulary", found: "\(vocabularySize)", wanted: "1 to 4194304"))
    }
  }

  /// The angles that the metadata gives.
  /// - base: another base; nil: the model's
  /// - isStretched: false for layers that see no more positions than they were trained for
  package func angles(base: Double? = nil, isStretched: Bool = true, factors: Vector? = nil) -> RotaryAngles {
    RotaryAngles(
      pairs: rotarySize / 2, base: base ?? rotaryBase, scale: isStretched ? rotaryScale : 1,
      factors: factors, yarn: isStretched ? yarn : nil, magnitude: isStretched ? rotaryMagnitude : 1)
  }
}
