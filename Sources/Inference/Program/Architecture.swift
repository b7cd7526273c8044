// Architecture.swift: the description of one architecture: its name in files, and the operations
// that its models consist of. The architectures themselves are in Architectures/. Start at
// Architecture.

/// An architecture as data: functions from a file to its lists of operations.
package struct Architecture: Sendable {
  package typealias List = @Sendable (TensorReader) throws(ModelError) -> [Operation]

  /// `general.architecture` of its files.
  package let name: String
  let shape: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters
  let embedding: List
  let layer: @Sendable (_ index: Int, TensorReader) throws(ModelError) -> [Operation]
  let head: List
  /// From the vector of a whole text, which stands where the final hidden state does, to the one that
  /// is given out: products alone, the last one's result. Empty: it is given out as it is.
  let pooled: List

  /// - shape: reads the metadata, and refuses features that the lists do not compute.
  /// - embedding: makes `stream`.
  /// - layer: the operations of one layer.
  /// - head: from `stream` to `logits`, which its last operation computes; that operation's input
  ///   is the final hidden state.
  package init(
    name: String,
    shape: @escaping @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = Architecture.dense,
    embedding: @escaping List = Architecture.embedding,
    layer: @escaping @Sendable (_ index: Int, TensorReader) throws(ModelError) -> [Operation],
    head: @escaping List = Architecture.head,
    pooled: @escaping List = { _ throws(ModelError) in [] }
  ) {
    self.name = name
    self.shape = shape
    self.embedding = embedding
    self.layer = layer
    self.head = head
    self.pooled = pooled
  }

  /// The shape of a decoder whose layers are all alike, without experts and with attention to all
  /// positions.
  package static let dense: @Sendable (MetadataReader) throws(ModelError) -> Hyperparameters = {
    keys throws(ModelError) in
    let shape = try Hyperparameters(dense: keys)
    try keys.refuseExperts()
    try keys.refuseWindow(below: shape.contextLength)
    return shape
  }

  /// A row of the embedding, unchanged.
  package static let embedding: List = { t throws(ModelError) in
    let table = try t.matrix("token_embd.weight", t.shape.embeddingLength, t.shape.vocabularySize)
    return [.embed(table, into: .stream)]
  }

  /// A norm and the head, which is the embedding if the file has no separate one (tied).
  package static let head: List = { t throws(ModelError) in
    let (e, v) = (t.shape.embeddingLength, t.shape.vocabularySize)
    let norm = try t.norm(.stream, "output_norm", into: .normed)
    let own = try t.optionalMatrix("output.weight", e, v)
    let weights = if let own { own } else { try t.matrix("token_embd.weight", e, v) }
    return [norm, .multiply(.normed, by: weights, into: .logits)]
  }
}
