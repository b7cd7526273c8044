// TensorReader.swift: the tensors of a file, checked as an architecture's list names them, each
// assigned its place in the packed weights. Not here: packing (Model/Packing.swift) and the lists
// (Architectures/). Start at multiply(_:_:_:_:bias:into:).

import CKernels

/// A tensor that some operation uses, and its place.
package struct PackedTensor: Sendable {
  package let tensor: GGUFTensor
  package let offset: Int
  package let isMatrix: Bool
}

/// Finds tensors by name and makes the operations that use them. A tensor that is named twice is
/// packed once.
package final class TensorReader {
  package let keys: MetadataReader
  package let shape: Hyperparameters
  private(set) var tensors: [PackedTensor] = []
  private(set) var byteCount = 0
  private var places: [String: Int] = [:]
  /// The prefix of tensor names: "blk.3." while layer 3 is read, otherwise empty.
  private var prefix = ""
  private var skipped: Set<String> = []

  init(keys: MetadataReader, shape: Hyperparameters) {
    self.keys = keys
    self.shape = shape
  }

  /// From now on names are those of this layer, or, for nil, of the whole model.
  func enter(layer: Int?) { prefix = layer.map { "blk.\($0)." } ?? "" }

  /// Tensors of this layer are no part of the program, and are not packed.
  func skip(layer: Int) { skipped.insert("blk.\(layer).") }

  /// An unused tensor means that the file's author computes something else: refuse it rather than
  /// ignore it.
  func refuseUnread() throws(ModelError) {
    for tensor in keys.file.tensors
    where places[tensor.name] == nil && !skipped.contains(where: tensor.name.hasPrefix) {
      throw keys.failure(.unknownTensor(name: tensor.name, architecture: keys.architecture))
    }
  }

  /// Whether the file has a tensor of that name.
  func has(_ name: String) -> Bool { keys.file.tensor(prefix + name) != nil }

  // MARK: - Operations as the dense decoders have them

  /// Whether a product has a bias.
  package enum Bias {
    case none, optional, required
  }

  /// The model's norm of a whole row of the embedding's width.
  package func norm(_ from: Row, _ name: String, into: Row) throws(ModelError) -> Operation {
    let weight = try vector("\(name).weight", shape.embeddingLength)
    switch shape.norm {
    case .rootMeanSquare: return .norm(from, by: weight, epsilon: shape.normEpsilon, into: into)
    case .layer(let hasBias):
      let bias = hasBias ? try vector("\(name).bias", shape.embeddingLength) : nil
      return .layerNorm(from, by: weight, plus: bias, epsilon: shape.normEpsilon, into: into)
    }
  }

  /// RMSNorm of each head, in place.
  package func headNorm(_ row: Row, _ name: String, heads: Int) throws(ModelError) -> Operation {
    .norm(
      row, by: try vector("\(name).weight", shape.headSize), parts: heads, epsilon: shape.normEpsilon,
      into: row)
  }

  /// The product with `name.weight`, plus `name.bias` if wanted.
  package func multiply(
    _ from: Row, _ name: String, _ columns: Int, _ rows: Int, bias: Bias = .none, into: Row
  ) throws(ModelError) -> Operation {
    let weights = try matrix("\(name).weight", columns, rows)
    return .multiply(from, by: weights, plus: try self.bias(name, rows, bias), into: into)
  }

  /// The product with some rows of `name.weight`, which holds several matrices of equal width, one
  /// after the other.
  /// - rows: those of the part
  /// - total: of all parts
  package func multiply(
    _ from: Row, _ name: String, _ columns: Int, rows: Range<Int>, of total: Int, bias: Bias = .none,
    into: Row
  ) throws(ModelError) -> Operation {
    let whole = try matrix("\(name).weight", columns, total)
    guard rows.lowerBound % Int(CK_TILE_ROWS) == 0 else {
      throw keys.failure(
        .unsupportedFeature("a part of tensor '\(prefix)\(name).weight' begins at row \(rows.lowerBound)"))
    }
    return .multiply(
      from, by: whole.part(rows), plus: try self.bias(name, total, bias)?.part(rows), into: into)
  }

  private func bias(_ name: String, _ count: Int, _ bias: Bias) throws(ModelError) -> Vector? {
    switch bias {
    case .none: nil
    case .optional: try optionalVector("\(name).bias", count)
    case .required: try vector("\(name).bias", count)
    }
  }

  /// Rotary embedding with the angles that the metadata gives, and the model's own factors if it
  /// has any.
  package func rotate(_ row: Row, heads: Int, _ pairing: Rotate.Pairing) throws(ModelError) -> Operation {
    .rotate(
      row, heads: heads, of: shape.headSize, pairing, shape.angles(factors: try rotaryFactors()))
  }

  /// What the frequency of each pair is divided by, where the model has that: factors for every
  /// context, or, of two lists, that for contexts beyond the original one or that for others
  /// (Ding et al. 2024, https://arxiv.org/abs/2402.13753).
  package func rotaryFactors() throws(ModelError) -> Vector? {
    let pairs = shape.rotarySize / 2
    let long = try optionalVector("rope_factors_long.weight", pairs, of: .model)
    let short = try optionalVector("rope_factors_short.weight", pairs, of: .model)
    return try optionalVector("rope_freqs.weight", pairs, of: .model)
      ?? (shape.contextLength > shape.originalContextLength ? long : short)
  }

  /// Attention over the rows query, key and value, scaled by the root of the head size unless a scale
  /// is given.
  package func attend(
    window: Int? = nil, chunk: Int? = nil, cap: Float? = nil, scale: Double? = nil, isBothWays: Bool = false,
    sinks: Vector? = nil
  ) -> Operation {
    .attend(
      .query, to: .key, .value, heads: shape.headCount, on: shape.kvHeadCount, of: shape.headSize,
      scale: Float(scale ?? 1 / Double(shape.headSize).squareRoot()), window: window, chunk: chunk, cap: cap,
      isBothWays: isBothWays, sinks: sinks, into: .attended)
  }

  package func add(_ row: Row, to stream: Row) -> Operation {
    .add(row, to: stream, width: shape.embeddingLength)
  }

  // MARK: - One tensor

  /// Which part of the model a tensor belongs to.
  package enum Owner {
    /// The layer that is being read, or the model when outside of layers.
    case here
    case model
  }

  package func matrix(_ name: String, _ columns: Int, _ rows: Int) throws(ModelError) -> Matrix {
    guard let found = try optionalMatrix(name, columns, rows) else {
      throw keys.failure(.missingTensor(name: prefix + name, wanted: [columns, rows]))
    }
    return found
  }

  /// - columns: the length of a row in the file, which is the length of the input
  package func optionalMatrix(_ name: String, _ columns: Int, _ rows: Int) throws(ModelError) -> Matrix? {
    let name = prefix + name
    guard let tensor = try find(name, [columns, rows]) else { return nil }
    let size = ck_packed_bytes(tensor.type.kernels, UInt32(rows), UInt32(columns))
    let index = place(tensor, size: size, isMatrix: true)
    return Matrix(
      tensor: index, type: tensor.type, rows: rows, columns: columns, offset: tensors[index].offset)
  }

  /// One matrix of each expert.
  /// - part: which rows of each expert's are meant; nil: all
  package func experts(
    _ name: String, _ columns: Int, _ rows: Int, count: Int, part: Range<Int>? = nil
  ) throws(ModelError) -> ExpertMatrices {
    let name = prefix + name
    guard let tensor = try find(name, [columns, rows, count]) else {
      throw keys.failure(.missingTensor(name: name, wanted: [columns, rows, count]))
    }
    let part = part ?? 0..<rows
    // Tiles of 16 rows may not be shared by two experts.
    guard rows % 16 == 0, part.lowerBound % 16 == 0, part.count % 16 == 0 else {
      throw keys.failure(.unsupportedFeature("tensor '\(name)' has experts of \(rows) rows"))
    }
    let size = ck_packed_bytes(tensor.type.kernels, UInt32(rows * count), UInt32(columns))
    let index = place(tensor, size: size, isMatrix: true)
    let all = Matrix(
      tensor: index, type: tensor.type, rows: rows * count, columns: columns, offset: tensors[index].offset)
    return ExpertMatrices(all: all, count: count, first: part.lowerBound, rows: part.count)
  }

  /// One vector of each expert, one after the other.
  package func expertVectors(_ name: String, _ rows: Int, count: Int) throws(ModelError) -> Vector {
    try vector(name, shape: [rows, count])
  }

  package func vector(_ name: String, _ count: Int, of owner: Owner = .here) throws(ModelError) -> Vector {
    guard let found = try optionalVector(name, count, of: owner) else {
      throw keys.failure(.missingTensor(name: (owner == .here ? prefix : "") + name, wanted: [count]))
    }
    return found
  }

  package func optionalVector(_ name: String, _ count: Int, of owner: Owner = .here) throws(ModelError)
    -> Vector?
  {
    try optionalVector(name, shape: [count], of: owner)
  }

  /// Numbers that the file has as a matrix, in its order: the first extent varies fastest.
  package func vector(_ name: String, shape: [Int]) throws(ModelError) -> Vector {
    guard let found = try optionalVector(name, shape: shape, of: .here) else {
      throw keys.failure(.missingTensor(name: prefix + name, wanted: shape))
    }
    return found
  }

  func optionalVector(_ name: String, shape: [Int], of owner: Owner = .here) throws(ModelError) -> Vector? {
    let name = (owner == .here ? prefix : "") + name
    guard let tensor = try find(name, shape) else { return nil }
    let count = shape.reduce(1, *)
    guard !ck_type_takes_blocks(tensor.type.kernels) else {
      throw keys.failure(.wrongType(name: name, found: tensor.type.name, wanted: "F32, F16, BF16"))
    }
    let index = place(tensor, size: count * MemoryLayout<Float>.size, isMatrix: false)
    return Vector(tensor: index, count: count, offset: tensors[index].offset)
  }

  /// The only number of a tensor, which becomes part of the list.
  package func optionalNumber(_ name: String) throws(ModelError) -> Float? {
    guard let vector = try optionalVector(name, 1) else { return nil }
    let tensor = tensors[vector.tensor].tensor
    var value = Float.nan
    if let bytes = keys.file.bytes(of: tensor).baseAddress {
      ck_dequantise(tensor.type.kernels, bytes, 1, &value)
    }
    guard value.isFinite else {
      throw keys.failure(.badWeights(name: tensor.name, reason: "is \(value), wanted a finite number"))
    }
    return value
  }

  private func find(_ name: String, _ wanted: [Int]) throws(ModelError) -> GGUFTensor? {
    guard let tensor = keys.file.tensor(name) else { return nil }
    guard tensor.extents(atLeast: wanted.count) == wanted else {
      throw keys.failure(.wrongShape(name: name, found: tensor.dimensions, wanted: wanted))
    }
    return tensor
  }

  private func place(_ tensor: GGUFTensor, size: Int, isMatrix: Bool) -> Int {
    if let known = places[tensor.name] { return known }
    let index = tensors.count
    tensors.append(PackedTensor(tensor: tensor, offset: byteCount, isMatrix: isMatrix))
    // Each tensor begins on a cache line.
    byteCount = (byteCount + size + 63) / 64 * 64
    places[tensor.name] = index
    return index
  }
}
