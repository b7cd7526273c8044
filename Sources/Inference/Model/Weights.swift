// Weights.swift: packed weights as the kernels take them: pointers, in the order of the forward pass.

import CKernels

/// One decoder layer.
struct LayerWeights {
  /// (embedding)
  let attentionNorm: UnsafePointer<Float>
  /// (heads * headSize, embedding), (kvHeads * headSize, embedding) twice
  let query: ck_matrix
  let key: ck_matrix
  let value: ck_matrix
  let queryBias: UnsafePointer<Float>?
  let keyBias: UnsafePointer<Float>?
  let valueBias: UnsafePointer<Float>?
  /// (headSize)
  let queryNorm: UnsafePointer<Float>?
  let keyNorm: UnsafePointer<Float>?
  /// (embedding, heads * headSize)
  let output: ck_matrix
  let outputBias: UnsafePointer<Float>?
  /// (embedding)
  let feedForwardNorm: UnsafePointer<Float>
  /// (feedForward, embedding) twice
  let gate: ck_matrix
  let up: ck_matrix
  /// (embedding, feedForward)
  let down: ck_matrix
}

/// All weights of a decoder.
struct Weights {
  /// (vocabulary, embedding)
  let embedding: ck_matrix
  /// (vocabulary, embedding); the embedding itself where the model is tied
  let head: ck_matrix
  /// (embedding)
  let outputNorm: UnsafePointer<Float>
  /// (rotarySize / 2), what the frequencies are divided by
  let rotaryFactors: UnsafePointer<Float>?
  let layers: [LayerWeights]

  init(plan: WeightPlan, base: UnsafeMutableRawPointer) {
    func floats(_ offset: Int) -> UnsafePointer<Float> {
      UnsafePointer((base + offset).assumingMemoryBound(to: Float.self))
    }
    func matrix(_ plan: MatrixPlan) -> ck_matrix {
      ck_matrix(
        data: UnsafePointer((base + plan.offset).assumingMemoryBound(to: UInt8.self)), type: plan.type,
        rows: UInt32(plan.rows), cols: UInt32(plan.columns))
    }
    embedding = matrix(plan.embedding)
    head = plan.head.map(matrix) ?? matrix(plan.embedding)
    outputNorm = floats(plan.outputNorm)
    rotaryFactors = plan.rotaryFactors.map(floats)
    layers = plan.layers.map { layer in
      LayerWeights(
        attentionNorm: floats(layer.attentionNorm),
        query: matrix(layer.query), key: matrix(layer.key), value: matrix(layer.value),
        queryBias: layer.queryBias.map(floats), keyBias: layer.keyBias.map(floats),
        valueBias: layer.valueBias.map(floats),
        queryNorm: layer.queryNorm.map(floats), keyNorm: layer.keyNorm.map(floats),
        output: matrix(layer.output), outputBias: layer.outputBias.map(floats),
        feedForwardNorm: floats(layer.feedForwardNorm),
        gate: matrix(layer.gate), up: matrix(layer.up), down: matrix(layer.down))
    }
  }

  private var matrices: [ck_matrix] {
    layers.flatMap { [$0.query, $0.key, $0.value, $0.output, $0.gate, $0.up, $0.down] } + [head]
  }

  var bytesPerToken: Int {
    matrices.reduce(0) { $0 + Int(ck_packed_bytes($1.type, $1.rows, $1.cols)) }
  }

  var operationsPerToken: Int {
    matrices.reduce(0) { $0 + 2 * Int($1.rows) * Int($1.cols) }
  }

  /// Factors divide, so each must be a positive number.
  func checkRotaryFactors(file: String, count: Int) throws(ModelError) {
    guard let rotaryFactors else { return }
    for i in 0..<count where !(rotaryFactors[i] > 0 && rotaryFactors[i].isFinite) {
      throw ModelError(
        file: file,
        problem: .badWeights(
          name: "rope_freqs.weight", reason: "has \(rotaryFactors[i]) at index \(i), wanted above 0"))
    }
  }
}
