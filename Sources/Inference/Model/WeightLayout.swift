// WeightLayout.swift: which tensors a decoder has, in which shapes, and where each lies in memory once packed.
// Start at plan(), the list of tensors in the order of the forward pass.

import CKernels

/// Places of one layer's tensors, as offsets into the packed weights.
struct LayerPlan {
  var attentionNorm: Int
  var query: MatrixPlan
  var key: MatrixPlan
  var value: MatrixPlan
  var queryBias: Int?
  var keyBias: Int?
  var valueBias: Int?
  var queryNorm: Int?
  var keyNorm: Int?
  var output: MatrixPlan
  var outputBias: Int?
  var feedForwardNorm: Int
  var gate: MatrixPlan
  var up: MatrixPlan
  var down: MatrixPlan
}

struct MatrixPlan {
  var offset: Int
  var type: ck_type
  var rows: Int
  var columns: Int
}

struct WeightPlan {
  var embedding: MatrixPlan
  /// nil: the embedding serves as the head (tied).
  var head: MatrixPlan?
  var outputNorm: Int
  var rotaryFactors: Int?
  var layers: [LayerPlan]
}

/// Finds every tensor, gives it a place, and packs it there.
struct WeightLayout {
  let file: GGUFFile
  let shape: Hyperparameters
  private(set) var byteCount = 0
  private var entries: [Entry] = []
  private var seen: Set<String> = []

  private struct Entry {
    let tensor: GGUFTensor
    let offset: Int
    let isMatrix: Bool
  }

  init(file: GGUFFile, shape: Hyperparameters) {
    self.file = file
    self.shape = shape
  }

  /// Every tensor of the architecture in its shape; extents as in the file, row length first.
  mutating func plan() throws(ModelError) -> WeightPlan {
    let e = shape.embeddingLength
    let f = shape.feedForwardLength
    let q = shape.queryLength
    let k = shape.keyLength
    let embedding = try matrix("token_embd.weight", e, shape.vocabularySize)
    let head = try optionalMatrix("output.weight", e, shape.vocabularySize)
    let outputNorm = try vector("output_norm.weight", e)
    let factors = try optionalVector("rope_freqs.weight", shape.rotarySize / 2)
    let needsBias = shape.architecture == .qwen2
    var layers: [LayerPlan] = []
    for i in 0..<shape.layerCount {
      let b = "blk.\(i)"
      layers.append(
        LayerPlan(
          attentionNorm: try vector("\(b).attn_norm.weight", e),
          query: try matrix("\(b).attn_q.weight", e, q),
          key: try matrix("\(b).attn_k.weight", e, k),
          value: try matrix("\(b).attn_v.weight", e, k),
          queryBias: try bias("\(b).attn_q.bias", q, needed: needsBias),
          keyBias: try bias("\(b).attn_k.bias", k, needed: needsBias),
          valueBias: try bias("\(b).attn_v.bias", k, needed: needsBias),
          queryNorm: shape.hasHeadNorms ? try vector("\(b).attn_q_norm.weight", shape.headSize) : nil,
          keyNorm: shape.hasHeadNorms ? try vector("\(b).attn_k_norm.weight", shape.headSize) : nil,
          output: try matrix("\(b).attn_output.weight", q, e),
          outputBias: try optionalVector("\(b).attn_output.bias", e),
          feedForwardNorm: try vector("\(b).ffn_norm.weight", e),
          gate: try matrix("\(b).ffn_gate.weight", e, f),
          up: try matrix("\(b).ffn_up.weight", e, f),
          down: try matrix("\(b).ffn_down.weight", f, e)))
    }
    // A tensor that is not computed with would change the answer of whoever made the file: refuse rather than ignore.
    for tensor in file.tensors where !seen.contains(tensor.name) {
      throw failure(.unknownTensor(name: tensor.name, architecture: shape.architecture.rawValue))
    }
    return WeightPlan(
      embedding: embedding, head: head, outputNorm: outputNorm, rotaryFactors: factors, layers: layers)
  }

  /// Packs every tensor at its place, tile by tile on all workers, and drops the file's pages on the way.
  func pack(into base: UnsafeMutableRawPointer, team: Team) {
    let counters = UnsafeMutablePointer<ck_counter>.alignedToLines(capacity: entries.count)
    defer { counters.deallocate() }
    for i in entries.indices { ck_counter_set(counters + i, 0) }
    let entries = entries
    let file = file
    nonisolated(unsafe) let memory = base
    nonisolated(unsafe) let tickets = counters
    team.run { worker in
      for (i, entry) in entries.enumerated() {
        let bytes = file.bytes(of: entry.tensor)
        guard let source = bytes.baseAddress else { continue }
        let type = ck_type(entry.tensor.type.rawValue)
        let destination = memory + entry.offset
        if entry.isMatrix {
          let rows = UInt32(entry.tensor.rowCount)
          let columns = UInt32(entry.tensor.rowLength)
          let tiles = ck_tile_count(rows)
          let chunk: UInt32 = 16
          while true {
            let first = Int(ck_counter_take(tickets + i)) * Int(chunk)
            if first >= Int(tiles) { break }
            ck_pack(
              type, source, rows, columns, UInt32(first), min(chunk, tiles - UInt32(first)), destination)
            // A big tensor is not kept whole in memory twice, not even now. Whoever still reads there reads again; slices are big
            // because the system maps more than the page that is touched.
            let rowBytes = entry.tensor.rowByteCount
            let end = first + min(Int(chunk), Int(tiles) - first)
            let slice = 4 << 20
            if first * Int(CK_TILE_ROWS) * rowBytes / slice != end * Int(CK_TILE_ROWS) * rowBytes / slice {
              file.dropPages(at: entry.tensor.byteOffset, count: first * Int(CK_TILE_ROWS) * rowBytes)
            }
          }
        } else if ck_counter_take(tickets + i) == 0 {
          ck_dequantise(
            type, source, UInt32(entry.tensor.rowLength), destination.assumingMemoryBound(to: Float.self))
        }
        team.barrier()
        if worker == 0 { file.dropPages(of: entry.tensor) }
      }
    }
    file.dropPages()
  }

  // MARK: - One tensor

  private mutating func matrix(_ name: String, _ columns: Int, _ rows: Int) throws(ModelError) -> MatrixPlan {
    guard let plan = try optionalMatrix(name, columns, rows) else {
      throw failure(.missingTensor(name: name, wanted: [columns, rows]))
    }
    return plan
  }

  private mutating func optionalMatrix(_ name: String, _ columns: Int, _ rows: Int) throws(ModelError)
    -> MatrixPlan?
  {
    guard let tensor = try find(name, [columns, rows]) else { return nil }
    let type = ck_type(tensor.type.rawValue)
    guard ck_type_supported(tensor.type.rawValue) else {
      throw failure(.wrongType(name: name, found: tensor.type.name, wanted: GGUFTensorType.supportedNames))
    }
    let size = ck_packed_bytes(type, UInt32(rows), UInt32(columns))
    let offset = place(tensor, size: size, isMatrix: true)
    return MatrixPlan(offset: offset, type: type, rows: rows, columns: columns)
  }

  private mutating func vector(_ name: String, _ count: Int) throws(ModelError) -> Int {
    guard let offset = try optionalVector(name, count) else {
      throw failure(.missingTensor(name: name, wanted: [count]))
    }
    return offset
  }

  private mutating func bias(_ name: String, _ count: Int, needed: Bool) throws(ModelError) -> Int? {
    needed ? try vector(name, count) : try optionalVector(name, count)
  }

  private mutating func optionalVector(_ name: String, _ count: Int) throws(ModelError) -> Int? {
    guard let tensor = try find(name, [count]) else { return nil }
    switch tensor.type {
    case .f32, .f16, .bf16: break
    case .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K, .q6K, .iq4NL, .iq4XS:
      throw failure(.wrongType(name: name, found: tensor.type.name, wanted: "F32, F16, BF16"))
    }
    return place(tensor, size: count * MemoryLayout<Float>.size, isMatrix: false)
  }

  private mutating func find(_ name: String, _ wanted: [Int]) throws(ModelError) -> GGUFTensor? {
    guard let tensor = file.tensor(name) else { return nil }
    guard tensor.extents(atLeast: wanted.count) == wanted else {
      throw failure(.wrongShape(name: name, found: tensor.dimensions, wanted: wanted))
    }
    seen.insert(name)
    return tensor
  }

  private mutating func place(_ tensor: GGUFTensor, size: Int, isMatrix: Bool) -> Int {
    let offset = byteCount
    byteCount = (offset + size + 63) / 64 * 64
    entries.append(Entry(tensor: tensor, offset: offset, isMatrix: isMatrix))
    return offset
  }

  private func failure(_ problem: ModelError.Problem) -> ModelError {
    ModelError(file: file.path, problem: problem)
  }
}
