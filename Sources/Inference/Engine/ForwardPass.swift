// ForwardPass.swift: tokens to logits to tokens, for all items of a step at once, on all workers.
// Leaves out the arithmetic (CKernels) and the checking of items (Engine.swift). Start at work(_:), which every
// worker runs from top to bottom; it is the decoder in the order of the paper.
//
// Each phase is cut into units, taken from a counter; a phase whose input is another's output waits at a barrier. For few tokens every
// worker normalises and quantises its own copy of the input, which is cheaper than a barrier: five of those a layer remain.
// Any cut gives the same bits, because no sum is ever divided between units.

import CKernels
import Glibc

final class ForwardPass {
  /// Counters: norm, qkv, rotate and store, attend, quantise, output, norm, gate and up, quantise, down; and, where positions are
  /// shared, weights, mix, finish.
  static let phasesPerLayer = 13
  static let otherPhases = 2
  /// Up to here each worker prepares all inputs for itself.
  private static let fewTokens = 4
  /// Rows of logits that are kept at a time, at most so many and at most 8 MB.
  private let logitRows: Int

  let model: Model
  let cache: KVCache
  let team: Team
  private let shape: Hyperparameters
  private let level: ck_level
  private let profile: ck_profile
  private let scale: Float
  private var activations: Activations
  private let own: [Activations]
  private var scratch: [UnsafeMutableRawPointer]
  private var scratchReach = 0
  /// For attention shared by position: (units, group, sharedStride) scores, (units, chains, group, headSize) partial sums, (units,
  /// group) sums of weights.
  private var shared: UnsafeMutablePointer<Float>?
  private var sharedCapacity = 0
  private var sharedStride = 0
  private var sharedScores: UnsafeMutablePointer<Float>
  private var sharedPartials: UnsafeMutablePointer<Float>
  private var sharedSums: UnsafeMutablePointer<Float>
  private let logits: UnsafeMutablePointer<Float>
  private let samplers: [Sampler]
  private var rotations: [UnsafeMutablePointer<Float>?]
  private static let rotationChunk = 64

  init(model: Model, cache: KVCache, team: Team, level: KernelLevel, profile: Engine.Profile) {
    self.model = model
    self.cache = cache
    self.team = team
    let shape = model.hyperparameters
    self.shape = shape
    self.level = level.kernels
    self.profile = profile.kernels
    scale = Float(1 / Double(shape.headSize).squareRoot())
    let kernelProfile = profile.kernels
    activations = Activations(rows: 8, workers: team.count, shape: shape, profile: kernelProfile)
    own = (0..<team.count).map { _ in
      Activations(rows: ForwardPass.fewTokens, workers: 1, shape: shape, profile: kernelProfile)
    }
    scratch = []
    logitRows = min(32, max(1, (8 << 20) / (shape.vocabularySize * 4)))
    logits = .allocate(capacity: logitRows * shape.vocabularySize)
    (sharedScores, sharedPartials, sharedSums) = (logits, logits, logits)
    samplers = (0..<team.count).map { _ in Sampler(vocabularySize: shape.vocabularySize, level: level) }
    rotations = Array(
      repeating: nil, count: (shape.contextLength + ForwardPass.rotationChunk - 1) / ForwardPass.rotationChunk
    )
  }

  deinit {
    for pointer in scratch { pointer.deallocate() }
    for pointer in rotations { pointer?.deallocate() }
    shared?.deallocate()
    logits.deallocate()
  }

  /// nil when `cancelled` said so.
  func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]? {
    let plan = StepPlan(items: items, shape: shape, workers: team.count) { rotation(at: $0) }
    makeRoom(for: plan)
    let run = Run(plan: plan, items: items, activations: activations)
    run.clearFailures(workers: team.count)
    let isCancelled = withoutActuallyEscaping(cancelled) { cancelled in
      team.run { worker in work(worker, run, cancelled) }
      return plan.cancellations[shape.layerCount - 1]
    }
    return isCancelled ? nil : results(run)
  }

  /// What the workers of one step share.
  struct Run {
    let plan: StepPlan
    let items: [StepItem]
    let activations: Activations

    func clearFailures(workers: Int) {
      activations.failures.update(repeating: false, count: workers * activations.rows)
    }
  }

  // MARK: - The decoder

  private func work(_ worker: Int, _ run: Run, _ cancelled: () -> Bool) {
    let plan = run.plan
    let a = run.activations
    let n = plan.tokenCount
    let weights = model.weights
    let kv = cache
    let last = shape.layerCount - 1
    let queryLength = shape.queryLength
    let keyLength = shape.keyLength

    take(plan.counters, n) { row in
      var embedding = weights.embedding
      ck_matrix_row(&embedding, UInt32(plan.tokens[row]), a.hidden + row * a.hiddenStride)
    }
    team.barrier()

    for layer in 0...last {
      let w = weights.layers[layer]
      let counters = plan.counters + 1 + layer * ForwardPass.phasesPerLayer

      // x -> norm -> q, k, v
      var input = prepare(
        worker, run, counters, from: a.hidden, stride: a.hiddenStride, columns: shape.embeddingLength,
        norm: w.attentionNorm, for: [w.query, w.key, w.value])
      multiply(
        worker, run, counters + 1, &input,
        [
          Product(w.query, to: a.qkv, stride: a.qkvStride, bias: w.queryBias),
          Product(w.key, to: a.qkv + queryLength, stride: a.qkvStride, bias: w.keyBias),
          Product(w.value, to: a.qkv + queryLength + keyLength, stride: a.qkvStride, bias: w.valueBias),
        ])
      team.barrier()

      // q and k rotated, k and v into the cache, then softmax(q k) v per group of heads
      let keys = kv.keys(layer: layer)
      if !plan.storesInAttention {
        take(counters + 2, n) { row in
          rotateAndStore(row, heads: 0..<shape.kvHeadCount, plan, a, w, keys)
        }
        team.barrier()
      }
      if plan.sharesPositions {
        attendTogether(worker, plan, a, keys, counters + 3, counters + 10)
      } else {
        take(counters + 3, plan.units.count) { index in
          let unit = plan.units[index]
          if plan.storesInAttention {
            let first = plan.segments[unit.segment].first + unit.first
            for row in first..<(first + unit.count) {
              rotateAndStore(row, heads: unit.kvHead..<(unit.kvHead + 1), plan, a, w, keys)
            }
          }
          var attention = attention(unit, plan, a, keys)
          ck_attend(level, &attention, scratch[worker])
        }
      }
      team.barrier()

      // x += output . attended
      input = prepare(
        worker, run, counters + 4, from: a.attended, stride: a.attendedStride, columns: queryLength,
        norm: nil, for: [w.output])
      multiply(
        worker, run, counters + 5, &input,
        [Product(w.output, to: a.hidden, stride: a.hiddenStride, bias: w.outputBias, residual: a.hidden)])
      team.barrier()

      // x -> norm -> silu(gate) * up
      input = prepare(
        worker, run, counters + 6, from: a.hidden, stride: a.hiddenStride, columns: shape.embeddingLength,
        norm: w.feedForwardNorm, for: [w.gate, w.up])
      multiplyGated(worker, run, counters + 7, &input, w.gate, w.up, to: a.gated, stride: a.gatedStride)
      team.barrier()

      // x += down . gated
      input = prepare(
        worker, run, counters + 8, from: a.gated, stride: a.gatedStride, columns: shape.feedForwardLength,
        norm: nil, for: [w.down])
      multiply(
        worker, run, counters + 9, &input,
        [Product(w.down, to: a.hidden, stride: a.hiddenStride, residual: a.hidden)])
      if worker == 0 && cancelled() {
        // The last flag too, for the caller.
        plan.cancellations[layer] = true
        plan.cancellations[last] = true
      }
      team.barrier()
      if plan.cancellations[layer] { return }
    }

    for row in stride(from: worker, to: n, by: team.count)
    where !ck_all_finite(level, a.hidden + row * a.hiddenStride, UInt32(shape.embeddingLength)) {
      a.failures[worker * a.rows + row] = true
    }
    finish(worker, run)
  }

  /// Final norm, digest, head and choice for every output row, some rows at a time.
  private func finish(_ worker: Int, _ run: Run) {
    let plan = run.plan
    let a = run.activations
    let weights = model.weights
    let vocabulary = shape.vocabularySize
    var counters = plan.counters + 1 + shape.layerCount * ForwardPass.phasesPerLayer
    var done = 0
    while done < plan.outputs.count {
      let count = min(logitRows, plan.outputs.count - done)
      let base = done
      // Rows of this round lie packed in `normed` and `blocks`, in the order of the outputs.
      take(counters, count) { i in
        let output = plan.outputs[base + i]
        let state = a.normed + i * a.hiddenStride
        ck_rms_norm(
          level, a.hidden + output.row * a.hiddenStride, weights.outputNorm, UInt32(shape.embeddingLength),
          shape.normEpsilon, state)
        if run.items[output.item].digests {
          hp_sha256(state, shape.embeddingLength * 4, plan.digests + 32 * (base + i))
        }
        quantise(
          state, shape.embeddingLength, a.blocks + i * a.blockStride, failure: worker * a.rows + output.row, a
        )
      }
      team.barrier()
      var input = ck_input(
        values: UnsafePointer(a.normed), value_stride: a.hiddenStride, blocks: UnsafePointer(a.blocks),
        block_stride: a.blockStride, profile: profile)
      let wanted = (0..<count).contains { i in needsLogits(run.items[plan.outputs[base + i].item]) }
      if wanted {
        multiply(
          worker, run, counters + 1, &input, tokens: count,
          [Product(weights.head, to: logits, stride: vocabulary)])
        team.barrier()
        take(counters + 2, count) { i in choose(base + i, logits + i * vocabulary, worker, run) }
      }
      // Not before all have chosen may the next round overwrite the logits.
      team.barrier()
      counters += 3
      done += count
    }
  }

  private func needsLogits(_ item: StepItem) -> Bool { item.logits || item.context != nil }

  private func choose(_ index: Int, _ row: UnsafeMutablePointer<Float>, _ worker: Int, _ run: Run) {
    let plan = run.plan
    let output = plan.outputs[index]
    let item = run.items[output.item]
    if item.logits {
      plan.logits[index] = Array(UnsafeBufferPointer(start: row, count: shape.vocabularySize))
    }
    guard let context = item.context else { return }
    let choice = samplers[worker].choose(from: row, context: context, position: output.position + 1)
    plan.choices[index] = choice
    if choice == nil { run.activations.failures[worker * run.activations.rows + output.row] = true }
  }

  // MARK: - Inputs of the products

  /// The rows, normalised where a norm is given, and quantised where a matrix asks for it. Ends, for many rows, with a barrier.
  private func prepare(
    _ worker: Int, _ run: Run, _ counter: UnsafeMutablePointer<ck_counter>,
    from source: UnsafeMutablePointer<Float>,
    stride: Int, columns: Int, norm: UnsafePointer<Float>?, for matrices: [ck_matrix]
  ) -> ck_input {
    let a = run.activations
    let n = run.plan.tokenCount
    let isShared = n > ForwardPass.fewTokens
    let target = isShared ? a : own[worker]
    let needsBlocks = matrices.contains { ck_type_takes_blocks($0.type) }
    func row(_ i: Int) {
      var values = source + i * stride
      if let norm {
        let normed = target.normed + i * target.hiddenStride
        ck_rms_norm(level, values, norm, UInt32(columns), shape.normEpsilon, normed)
        values = normed
      }
      if needsBlocks {
        quantise(values, columns, target.blocks + i * target.blockStride, failure: worker * a.rows + i, a)
      }
    }
    if isShared {
      take(counter, n, row)
      team.barrier()
    } else {
      for i in 0..<n { row(i) }
    }
    return ck_input(
      values: UnsafePointer(norm == nil ? source : target.normed),
      value_stride: norm == nil ? stride : target.hiddenStride,
      blocks: UnsafePointer(target.blocks), block_stride: target.blockStride, profile: profile)
  }

  private func quantise(
    _ values: UnsafePointer<Float>, _ columns: Int, _ out: UnsafeMutablePointer<UInt8>, failure: Int,
    _ a: Activations
  ) {
    if !ck_quantise(level, profile, values, UInt32(columns), out) {
      a.failures[failure] = true
      // Zeros are valid blocks: the row goes on, its result is thrown away.
      memset(out, 0, ck_blocks_bytes(profile, UInt32(columns)))
    }
  }

  // MARK: - Products

  private struct Product {
    var matrix: ck_matrix
    var output: ck_output

    init(
      _ matrix: ck_matrix, to values: UnsafeMutablePointer<Float>, stride: Int,
      bias: UnsafePointer<Float>? = nil,
      residual: UnsafePointer<Float>? = nil
    ) {
      self.matrix = matrix
      output = ck_output(
        values: values, stride: stride, bias: bias, residual: residual, residual_stride: stride)
    }

    init(
      _ matrix: ck_matrix, to values: UnsafeMutablePointer<Float>, stride: Int,
      bias: UnsafePointer<Float>? = nil,
      residual: UnsafeMutablePointer<Float>
    ) {
      self.init(matrix, to: values, stride: stride, bias: bias, residual: UnsafePointer(residual))
    }
  }

  /// How many tiles and tokens make a unit.
  private func unit(tiles: Int, tokens: Int) -> (tiles: Int, tokens: Int) {
    let perUnit = min(tokens, 64)
    let share = tiles / (team.count * 8)
    return (min(max(share, 1), 16), perUnit)
  }

  /// Several products of one input, their tiles counted through.
  private func multiply(
    _ worker: Int, _ run: Run, _ counter: UnsafeMutablePointer<ck_counter>, _ input: inout ck_input,
    tokens: Int? = nil, _ products: [Product]
  ) {
    let n = tokens ?? run.plan.tokenCount
    var total = 0
    for product in products { total += Int(ck_tile_count(product.matrix.rows)) }
    let size = unit(tiles: total, tokens: n)
    let tileUnits = (total + size.tiles - 1) / size.tiles
    let tokenUnits = (n + size.tokens - 1) / size.tokens
    take(counter, tileUnits * tokenUnits) { index in
      let firstToken = index % tokenUnits * size.tokens
      let first = index / tokenUnits * size.tiles
      let end = min(first + size.tiles, total)
      var start = 0
      for product in products {
        let tiles = Int(ck_tile_count(product.matrix.rows))
        let from = max(first, start)
        let to = min(end, start + tiles)
        if from < to {
          var matrix = product.matrix
          var output = product.output
          ck_multiply(
            level, &matrix, &input, &output,
            ck_range(
              first_tile: UInt32(from - start), tiles: UInt32(to - from), first_token: UInt32(firstToken),
              tokens: UInt32(min(size.tokens, n - firstToken))))
        }
        start += tiles
      }
    }
  }

  private func multiplyGated(
    _ worker: Int, _ run: Run, _ counter: UnsafeMutablePointer<ck_counter>, _ input: inout ck_input,
    _ gate: ck_matrix, _ up: ck_matrix, to values: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let n = run.plan.tokenCount
    let total = Int(ck_tile_count(gate.rows))
    let size = unit(tiles: total, tokens: n)
    let tileUnits = (total + size.tiles - 1) / size.tiles
    let tokenUnits = (n + size.tokens - 1) / size.tokens
    var gate = gate
    var up = up
    var output = ck_output(values: values, stride: stride, bias: nil, residual: nil, residual_stride: 0)
    take(counter, tileUnits * tokenUnits) { index in
      let firstToken = index % tokenUnits * size.tokens
      let first = index / tokenUnits * size.tiles
      ck_multiply_gated(
        level, &gate, &up, &input, &output,
        ck_range(
          first_tile: UInt32(first), tiles: UInt32(min(size.tiles, total - first)),
          first_token: UInt32(firstToken), tokens: UInt32(min(size.tokens, n - firstToken))))
    }
  }

  // MARK: - Attention

  /// Some KV heads of one row: q and k normalised (where the model does), rotated, k and v stored.
  private func rotateAndStore(
    _ row: Int, heads: Range<Int>, _ plan: StepPlan, _ a: Activations, _ w: LayerWeights,
    _ keys: UnsafeMutablePointer<UInt16>
  ) {
    let size = shape.headSize
    let group = shape.groupSize
    let pairs = UInt32(shape.rotarySize / 2)
    let style = shape.rotaryPairing == .neighbours ? CK_ROPE_INTERLEAVED : CK_ROPE_HALVES
    let segment = plan.segments[Int(plan.segmentOfRow[row])]
    let position = segment.position + row - segment.first
    let query = a.qkv + row * a.qkvStride + heads.lowerBound * group * size
    let key = a.qkv + row * a.qkvStride + shape.queryLength + heads.lowerBound * size
    let value = key + shape.keyLength
    if let norm = w.queryNorm {
      for head in 0..<(heads.count * group) {
        ck_rms_norm(level, query + head * size, norm, UInt32(size), shape.normEpsilon, query + head * size)
      }
    }
    if let norm = w.keyNorm {
      for head in 0..<heads.count {
        ck_rms_norm(level, key + head * size, norm, UInt32(size), shape.normEpsilon, key + head * size)
      }
    }
    ck_rope(level, style, query, UInt32(heads.count * group), UInt32(size), pairs, plan.rotations[row])
    ck_rope(level, style, key, UInt32(heads.count), UInt32(size), pairs, plan.rotations[row])
    let page = keys + Int(segment.pages[position / KVCache.blockSize]) * cache.blockStride
    let inPage = heads.lowerBound * size * KVCache.blockSize
    ck_store_kv(
      level, key, value, UInt32(heads.count), UInt32(size), page + inPage, page + cache.pageElements + inPage,
      UInt32(position % KVCache.blockSize))
  }

  private func attention(
    _ unit: StepPlan.AttentionUnit, _ plan: StepPlan, _ a: Activations, _ keys: UnsafeMutablePointer<UInt16>
  ) -> ck_attention {
    let segment = plan.segments[unit.segment]
    let row = segment.first + unit.first
    let head = unit.kvHead * shape.groupSize * shape.headSize
    return ck_attention(
      keys: UnsafePointer(keys), values: UnsafePointer(keys + cache.pageElements),
      page_stride: cache.blockStride,
      pages: segment.pages,
      queries: UnsafePointer(a.qkv + row * a.qkvStride + head), query_stride: a.qkvStride,
      out: a.attended + row * a.attendedStride + head, out_stride: a.attendedStride,
      kv_head: UInt32(unit.kvHead), group: UInt32(shape.groupSize), head_size: UInt32(shape.headSize),
      first_position: UInt32(segment.position + unit.first), tokens: UInt32(unit.count), scale: scale,
      window: 0,
      soft_cap: 0)
  }

  /// Attention of a few long sequences: every phase is divided by chains of 256 positions, or by heads.
  private func attendTogether(
    _ worker: Int, _ plan: StepPlan, _ a: Activations, _ keys: UnsafeMutablePointer<UInt16>,
    _ first: UnsafeMutablePointer<ck_counter>, _ others: UnsafeMutablePointer<ck_counter>
  ) {
    let group = shape.groupSize
    let chains = plan.chains
    let units = plan.units.count
    let stride = sharedStride
    let perChain = group * shape.headSize
    take(first, units * chains) { index in
      let unit = index / chains
      var attention = attention(plan.units[unit], plan, a, keys)
      ck_attend_scores(
        level, &attention, UInt32(index % chains), sharedScores + unit * group * stride, stride,
        scratch[worker])
    }
    team.barrier()
    take(others, units * group) { index in
      let unit = index / group
      var attention = attention(plan.units[unit], plan, a, keys)
      sharedSums[index] = ck_attend_weights(
        level, &attention, UInt32(index % group), sharedScores + unit * group * stride, stride)
    }
    team.barrier()
    take(others + 1, units * chains) { index in
      let unit = index / chains
      var attention = attention(plan.units[unit], plan, a, keys)
      ck_attend_mix(
        level, &attention, UInt32(index % chains), sharedScores + unit * group * stride, stride,
        sharedPartials + index * perChain, scratch[worker])
    }
    team.barrier()
    take(others + 2, units * group) { index in
      let unit = index / group
      var attention = attention(plan.units[unit], plan, a, keys)
      ck_attend_finish(
        &attention, UInt32(index % group), sharedPartials + unit * chains * perChain, perChain,
        sharedSums[index])
    }
  }

  // MARK: - Memory and results

  private func makeRoom(for plan: StepPlan) {
    if activations.rows < plan.tokenCount {
      activations = Activations(
        rows: plan.tokenCount, workers: team.count, shape: shape, profile: profile)
    }
    if scratch.isEmpty || scratchReach < plan.reach {
      // Twice what is needed, so that a growing sequence does not ask at every step.
      scratchReach = min(max(2 * plan.reach, 512), max(shape.contextLength, plan.reach))
      let bytes = ck_attention_scratch(UInt32(scratchReach), UInt32(shape.headSize), UInt32(shape.groupSize))
      for pointer in scratch { pointer.deallocate() }
      scratch = (0..<team.count).map { _ in .allocate(byteCount: max(bytes, 64), alignment: 64) }
    }
    if plan.sharesPositions {
      let heads = plan.units.count * shape.groupSize
      // One vector more than the positions, so that heads do not share their sets of the cache.
      let stride = (scratchReach + 15) / 16 * 16 + 16
      let chains = (scratchReach + Int(CK_CHAIN) - 1) / Int(CK_CHAIN)
      let needed = heads * (stride + chains * shape.headSize + 16)
      if needed > sharedCapacity {
        shared?.deallocate()
        let raw = UnsafeMutableRawPointer.allocate(byteCount: needed * 4, alignment: 64)
        shared = raw.bindMemory(to: Float.self, capacity: needed)
        sharedCapacity = needed
      }
      if let shared {
        sharedStride = stride
        sharedScores = shared
        sharedPartials = shared + heads * stride
        sharedSums = sharedPartials + heads * chains * shape.headSize
      }
    }
  }

  /// cos and sin of one position, from a table that is made 64 positions at a time.
  private func rotation(at position: Int) -> UnsafePointer<Float> {
    let chunk = position / ForwardPass.rotationChunk
    let pairs = shape.rotarySize / 2
    let table: UnsafeMutablePointer<Float>
    if let known = rotations[chunk] {
      table = known
    } else {
      table = .allocate(capacity: ForwardPass.rotationChunk * pairs * 2)
      ck_rope_table(
        shape.rotaryBase, 1 / shape.rotaryScale, model.weights.rotaryFactors, UInt32(pairs),
        UInt32(chunk * ForwardPass.rotationChunk), UInt32(ForwardPass.rotationChunk), table)
      rotations[chunk] = table
    }
    return UnsafePointer(table + position % ForwardPass.rotationChunk * pairs * 2)
  }

  private func results(_ run: Run) -> [StepResult] {
    let plan = run.plan
    let a = run.activations
    var results = run.items.map { item in
      StepResult(firstPosition: item.position + item.outputs.lowerBound, choices: [], digests: [], logits: [])
    }
    for (index, segment) in plan.segments.enumerated() {
      let rows = segment.first..<(segment.first + segment.count)
      let bad = rows.first { row in (0..<team.count).contains { a.failures[$0 * a.rows + row] } }
      if let bad { results[index].failure = .notFinite(position: segment.position + bad - segment.first) }
    }
    for (index, output) in plan.outputs.enumerated() where results[output.item].failure == nil {
      let item = run.items[output.item]
      if let choice = plan.choices[index] { results[output.item].choices.append(choice) }
      if item.digests {
        results[output.item].digests.append(
          Array(UnsafeBufferPointer(start: plan.digests + 32 * index, count: 32)))
      }
      if item.logits { results[output.item].logits += plan.logits[index] }
    }
    return results
  }

  func weightBandwidth(rounds: Int) -> Double {
    let bytes = model.packedBytes
    let slice = 1 << 18
    let count = bytes.count / slice
    let sums = UnsafeMutablePointer<UInt64>.allocate(capacity: team.count)
    defer { sums.deallocate() }
    var best = 0.0
    let counter = UnsafeMutablePointer<ck_counter>.allocate(capacity: 1)
    defer { counter.deallocate() }
    guard let base = bytes.baseAddress, count > 0 else { return 0 }
    for _ in 0..<max(rounds, 1) {
      ck_counter_set(counter, 0)
      let start = ContinuousClock.now
      team.run { worker in
        var sum = SIMD8<UInt64>()
        take(counter, count) { index in
          let from = base + index * slice
          for offset in stride(from: 0, to: slice, by: 256) {
            let a = (from + offset).loadUnaligned(as: SIMD8<UInt64>.self)
            let b = (from + offset + 64).loadUnaligned(as: SIMD8<UInt64>.self)
            let c = (from + offset + 128).loadUnaligned(as: SIMD8<UInt64>.self)
            let d = (from + offset + 192).loadUnaligned(as: SIMD8<UInt64>.self)
            sum ^= (a ^ b) ^ (c ^ d)
          }
        }
        // Kept, so that no load may be left out.
        sums[worker] = sum.wrappedSum()
      }
      let time = ContinuousClock.now - start
      let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
      if seconds > 0 { best = max(best, Double(count * slice) / seconds) }
    }
    return best
  }

  /// Calls `body` with each number below `count` that this worker takes from the counter.
  @inline(__always)
  private func take(_ counter: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int) -> Void) {
    while true {
      let index = Int(ck_counter_take(counter))
      if index >= count { return }
      body(index)
    }
  }
}
