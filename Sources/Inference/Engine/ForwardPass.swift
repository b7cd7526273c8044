// ForwardPass.swift: tokens to logits to tokens, for all items of a step at once, on all workers.
// Leaves out the arithmetic (CKernels) and the checking of items (Engine.swift). Start at work(_:), which every
// worker runs from top to bottom; it is the decoder in the order of the paper.
//
// Each phase is cut into units. A worker first takes those of its own part, in order, so that its memory can be asked for ahead of use
// and what it wrote is found in its own cache; then what the others have not come to. A phase whose input is another's output waits at
// a barrier. For few tokens every worker normalises and quantises its own copy of the input, which is cheaper than a barrier: five of
// those a layer remain. Any cut gives the same bits, because no sum is ever divided between units.

import CKernels
import Glibc

final class ForwardPass {
  /// Phases with counters: norm, qkv, rotate and store, attend (or score), quantise, output, norm, gate and up, quantise, down; and,
  /// where positions are shared, mix.
  static let phasesPerLayer = 11
  static let otherPhases = 2
  /// Up to here each worker prepares all inputs for itself.
  static let fewTokens = 4
  /// Up to here memory limits the products, so weights are asked for ahead: so many bytes of them make a unit, which is what the
  /// memory needs to answer in time.
  private static let streamedTokens = 16
  private static let streamedBytes = 12 << 10
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
  private var shared: SharedAttention?
  private var pacing: Pacing
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
    activations = Activations(
      rows: 8, workers: team.count, shape: shape, level: level.kernels, profile: kernelProfile)
    own = (0..<team.count).map { _ in
      Activations(
        rows: ForwardPass.fewTokens, workers: 1, shape: shape, level: level.kernels, profile: kernelProfile)
    }
    scratch = []
    pacing = Pacing(workers: team.count)
    logitRows = min(64, max(1, (16 << 20) / (shape.vocabularySize * 4)))
    logits = .allocate(capacity: logitRows * shape.vocabularySize)
    samplers = (0..<team.count).map { _ in Sampler(vocabularySize: shape.vocabularySize, level: level) }
    rotations = Array(
      repeating: nil, count: (shape.contextLength + ForwardPass.rotationChunk - 1) / ForwardPass.rotationChunk
    )
  }

  deinit {
    for pointer in scratch { pointer.deallocate() }
    for pointer in rotations { pointer?.deallocate() }
    logits.deallocate()
  }

  /// nil when `cancelled` said so.
  func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]? {
    let tokens = items.reduce(0) { $0 + $1.tokens.count }
    let isPaced = tokens <= Pacing.mostTokens
    let workers = isPaced ? pacing.workers(tokens: tokens) : team.count
    let plan = StepPlan(items: items, shape: shape, workers: workers) { rotation(at: $0) }
    makeRoom(for: plan)
    let run = Run(plan: plan, items: items, activations: activations)
    run.clearFailures(workers: team.count)
    let isCancelled = withoutActuallyEscaping(cancelled) { cancelled in
      let sleeps = team.sleeps
      let start = ContinuousClock.now
      team.run(workers: workers) { worker in work(worker, run, cancelled) }
      if isPaced {
        let time = (ContinuousClock.now - start).components
        pacing.stepped(
          time: Double(time.seconds) + Double(time.attoseconds) * 1e-18, slept: team.sleeps != sleeps)
      }
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
    var n = plan.tokenCount
    let weights = model.weights
    let kv = cache
    let last = shape.layerCount - 1
    let queryLength = shape.queryLength
    let keyLength = shape.keyLength

    shareRows(worker, plan.counters(0), n) { row in
      var embedding = weights.embedding
      ck_matrix_row(&embedding, UInt32(plan.tokens[row]), a.hidden + row * a.hiddenStride)
    }
    team.barrier()

    for layer in 0...last {
      let w = weights.layers[layer]
      let phase = 1 + layer * ForwardPass.phasesPerLayer
      let next: LayerWeights? = layer < last ? weights.layers[layer + 1] : nil

      // x -> norm -> q, k, v
      var input = prepare(
        worker, run, plan.counters(phase), rows: n, from: a.hidden, stride: a.hiddenStride,
        columns: shape.embeddingLength,
        norm: w.attentionNorm, for: [w.query, w.key, w.value])
      var part = division(
        worker, plan.counters(phase + 1), tokens: n, of: Upcoming(w.query, w.key, w.value),
        before: Upcoming(w.output))
      let projections = [
        product(w.query, to: a.qkv, stride: a.qkvStride, bias: w.queryBias),
        product(w.key, to: a.qkv + queryLength, stride: a.qkvStride, bias: w.keyBias),
        product(w.value, to: a.qkv + queryLength + keyLength, stride: a.qkvStride, bias: w.valueBias),
      ]
      ck_multiply_part(level, projections, 3, &input, &part)
      team.barrier()

      // q and k rotated, k and v into the cache, then softmax(q k) v per group of heads
      let keys = kv.keys(layer: layer)
      if plan.sharesPositions, let shared {
        attendTogether(
          worker, plan, a, w, keys, shared, scores: plan.counters(phase + 3),
          mixtures: plan.counters(phase + 10))
      } else {
        if !plan.storesInAttention {
          shareRows(worker, plan.counters(phase + 2), n) { row in
            rotateAndStore(row, heads: 0..<shape.kvHeadCount, plan, a, w, keys)
          }
          team.barrier()
        }
        share(worker, plan.counters(phase + 3), plan.units.count) { index in
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

      if layer == last && plan.gathersOutputs {
        // Nobody reads the others' rows any more.
        if worker == 0 { gatherOutputs(plan, a) }
        n = plan.outputs.count
        if n == 0 { return }
        team.barrier()
      }

      // x += output . attended
      input = prepare(
        worker, run, plan.counters(phase + 4), rows: n, from: a.attended, stride: a.attendedStride,
        columns: queryLength,
        norm: nil, for: [w.output])
      part = division(
        worker, plan.counters(phase + 5), tokens: n, of: Upcoming(w.output), before: Upcoming(w.gate))
      var output = product(
        w.output, to: a.hidden, stride: a.hiddenStride, bias: w.outputBias, residual: a.hidden)
      ck_multiply_part(level, &output, 1, &input, &part)
      team.barrier()

      // x -> norm -> silu(gate) * up
      input = prepare(
        worker, run, plan.counters(phase + 6), rows: n, from: a.hidden, stride: a.hiddenStride,
        columns: shape.embeddingLength,
        norm: w.feedForwardNorm, for: [w.gate, w.up])
      part = division(
        worker, plan.counters(phase + 7), tokens: n, of: Upcoming(w.gate), before: Upcoming(w.down))
      var gate = w.gate
      var up = w.up
      var gated = ck_output(
        values: a.gated, stride: a.gatedStride, bias: nil, residual: nil, residual_stride: 0)
      ck_multiply_gated_part(level, &gate, &up, &input, &gated, &part)
      team.barrier()

      // x += down . gated
      input = prepare(
        worker, run, plan.counters(phase + 8), rows: n, from: a.gated, stride: a.gatedStride,
        columns: shape.feedForwardLength,
        norm: nil, for: [w.down])
      part = division(
        worker, plan.counters(phase + 9), tokens: n, of: Upcoming(w.down),
        before: next.map { Upcoming($0.query, $0.key, $0.value) } ?? Upcoming(weights.head))
      output = product(w.down, to: a.hidden, stride: a.hiddenStride, residual: a.hidden)
      ck_multiply_part(level, &output, 1, &input, &part)
      if worker == 0 && cancelled() {
        // The last flag too, for the caller.
        plan.cancellations[layer] = true
        plan.cancellations[last] = true
      }
      team.barrier()
      if plan.cancellations[layer] { return }
    }

    for i in stride(from: worker, to: n, by: team.active)
    where !ck_all_finite(level, a.hidden + i * a.hiddenStride, UInt32(shape.embeddingLength)) {
      a.failures[worker * a.rows + plan.row(at: i, of: n)] = true
    }
    finish(worker, run)
  }

  /// The rows that have an output, one behind the other; both move towards the beginning, so in their order.
  private func gatherOutputs(_ plan: StepPlan, _ a: Activations) {
    for (i, output) in plan.outputs.enumerated() where i != output.row {
      memcpy(
        a.hidden + i * a.hiddenStride, a.hidden + output.row * a.hiddenStride, 4 * shape.embeddingLength)
      memcpy(
        a.attended + i * a.attendedStride, a.attended + output.row * a.attendedStride, 4 * shape.queryLength)
    }
  }

  /// Final norm, digest, head and choice for every output row, some rows at a time.
  private func finish(_ worker: Int, _ run: Run) {
    let plan = run.plan
    let a = run.activations
    let weights = model.weights
    let vocabulary = shape.vocabularySize
    var phase = 1 + shape.layerCount * ForwardPass.phasesPerLayer
    var done = 0
    while done < plan.outputs.count {
      let count = min(logitRows, plan.outputs.count - done)
      let base = done
      // Rows of this round lie packed in `normed` and `blocks`, in the order of the outputs.
      share(worker, plan.counters(phase), count) { i in
        let output = plan.outputs[base + i]
        let state = a.normed + i * a.hiddenStride
        ck_rms_norm(
          level, a.hidden + (plan.gathersOutputs ? base + i : output.row) * a.hiddenStride,
          weights.outputNorm, UInt32(shape.embeddingLength),
          shape.normEpsilon, state)
        if run.items[output.item].digests {
          hp_sha256(state, shape.embeddingLength * 4, plan.digests + 32 * (base + i))
        }
        quantise(
          state, shape.embeddingLength, to: i, of: a, together: count, row: output.row, worker, run)
      }
      team.barrier()
      var input = ck_input(
        values: UnsafePointer(a.normed), value_stride: a.hiddenStride, blocks: UnsafePointer(a.blocks),
        block_stride: a.blockStride, profile: profile, groups: a.groups.map { UnsafePointer($0) },
        group_stride: a.groupStride)
      let wanted = (0..<count).contains { i in needsLogits(run.items[plan.outputs[base + i].item]) }
      if wanted {
        var part = division(
          worker, plan.counters(phase + 1), tokens: count, of: Upcoming(weights.head), before: nil)
        var head = product(weights.head, to: logits, stride: vocabulary)
        ck_multiply_part(level, &head, 1, &input, &part)
        team.barrier()
        share(worker, plan.counters(phase + 2), count) { i in
          choose(base + i, logits + i * vocabulary, worker, run)
        }
      }
      // Not before all have chosen may the next round overwrite the logits.
      team.barrier()
      phase += 3
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
    _ worker: Int, _ run: Run, _ counters: UnsafeMutablePointer<ck_counter>, rows n: Int,
    from source: UnsafeMutablePointer<Float>,
    stride: Int, columns: Int, norm: UnsafePointer<Float>?, for matrices: [ck_matrix]
  ) -> ck_input {
    let a = run.activations
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
        quantise(
          values, columns, to: i, of: target, together: n, row: run.plan.row(at: i, of: n), worker, run)
      }
    }
    if isShared {
      shareRows(worker, counters, n, row)
      team.barrier()
    } else {
      for i in 0..<n { row(i) }
    }
    return ck_input(
      values: UnsafePointer(norm == nil ? source : target.normed),
      value_stride: norm == nil ? stride : target.hiddenStride,
      blocks: UnsafePointer(target.blocks), block_stride: target.blockStride, profile: profile,
      groups: target.groups.map { UnsafePointer($0) }, group_stride: target.groupStride)
  }

  /// Place `place` of the blocks of `target`.
  /// - together: how many are multiplied together
  /// - row: whose failure it is, if the values are not finite
  private func quantise(
    _ values: UnsafePointer<Float>, _ columns: Int, to place: Int, of target: Activations, together: Int,
    row: Int, _ worker: Int, _ run: Run
  ) {
    let columns = UInt32(columns)
    let blocks = target.blocks + place * target.blockStride
    if !ck_quantise(level, profile, values, columns, blocks) {
      run.activations.failures[worker * run.activations.rows + row] = true
      // Zeros are valid blocks: the row goes on, its result is thrown away.
      memset(blocks, 0, ck_blocks_bytes(profile, columns))
    }
    if together >= CK_FEWEST_GROUPED, let groups = target.groups {
      ck_group(level, profile, blocks, columns, groups + place / 16 * target.groupStride, UInt32(place % 16))
    }
  }

  // MARK: - Products

  private func product(
    _ matrix: ck_matrix, to values: UnsafeMutablePointer<Float>, stride: Int,
    bias: UnsafePointer<Float>? = nil, residual: UnsafeMutablePointer<Float>? = nil
  ) -> ck_product {
    ck_product(
      matrix: matrix,
      output: ck_output(
        values: values, stride: stride, bias: bias, residual: residual.map { UnsafePointer($0) },
        residual_stride: stride))
  }

  /// The products after those in hand: their first matrix, and the tiles of all.
  private struct Upcoming {
    let first: ck_matrix
    var tiles: UInt32

    init(_ first: ck_matrix, _ second: ck_matrix? = nil, _ third: ck_matrix? = nil) {
      self.first = first
      tiles = ck_tile_count(first.rows)
      if let second { tiles += ck_tile_count(second.rows) }
      if let third { tiles += ck_tile_count(third.rows) }
    }
  }

  /// How the products of one input are divided: their tiles, counted through, times groups of tokens.
  private func division(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, tokens: Int, of products: Upcoming,
    before next: Upcoming?
  ) -> ck_division {
    var division = ck_division(
      tokens: UInt32(tokens), tokens_at_once: UInt32(min(tokens, 64)),
      tiles_at_once: tilesAtOnce(tokens, products), worker: UInt32(worker), workers: UInt32(team.active),
      counters: counters, next: nil)
    if let next, tokens <= ForwardPass.streamedTokens {
      // Matrices of one phase lie behind each other in the model.
      var upcoming = division
      upcoming.tiles_at_once = tilesAtOnce(tokens, next)
      let units = Int(ck_division_units(&upcoming, next.tiles))
      let tile = units * worker / team.active * Int(upcoming.tiles_at_once)
      division.next = next.first.data + tile * ck_tile_bytes(next.first.type, next.first.cols)
    }
    return division
  }

  private func tilesAtOnce(_ tokens: Int, _ products: Upcoming) -> UInt32 {
    if tokens > ForwardPass.streamedTokens {
      return min(max(products.tiles / UInt32(team.active * 8), 1), 16)
    }
    let first = products.first
    // Without quantised blocks four tiles share the work on an input; big tiles ask for their own memory.
    let bytes = ck_tile_bytes(first.type, first.cols)
    if !ck_type_takes_blocks(first.type) || bytes > 4 * ForwardPass.streamedBytes / 3 { return 4 }
    return UInt32(min(max(ForwardPass.streamedBytes / bytes, 1), 4))
  }

  // MARK: - Attention

  /// Some KV heads of one row: q and k normalised (where the model does), rotated, k and v stored.
  private func rotateAndStore(
    _ row: Int, heads: Range<Int>, _ plan: StepPlan, _ a: Activations, _ w: LayerWeights,
    _ keys: UnsafeMutablePointer<UInt8>
  ) {
    let query = a.qkv + row * a.qkvStride + heads.lowerBound * shape.groupSize * shape.headSize
    rotate(query, heads: heads.count * shape.groupSize, norm: w.queryNorm, plan.rotations[row])
    rotateAndStoreKey(row, heads: heads, plan, a, w, keys)
  }

  private func rotate(
    _ vectors: UnsafeMutablePointer<Float>, heads: Int, norm: UnsafePointer<Float>?,
    _ rotation: UnsafePointer<Float>
  ) {
    let size = shape.headSize
    if let norm {
      for head in 0..<heads {
        ck_rms_norm(
          level, vectors + head * size, norm, UInt32(size), shape.normEpsilon, vectors + head * size)
      }
    }
    let style = shape.rotaryPairing == .neighbours ? CK_ROPE_INTERLEAVED : CK_ROPE_HALVES
    ck_rope(level, style, vectors, UInt32(heads), UInt32(size), UInt32(shape.rotarySize / 2), rotation)
  }

  private func rotateAndStoreKey(
    _ row: Int, heads: Range<Int>, _ plan: StepPlan, _ a: Activations, _ w: LayerWeights,
    _ keys: UnsafeMutablePointer<UInt8>
  ) {
    let size = shape.headSize
    let segment = plan.segments[Int(plan.segmentOfRow[row])]
    let position = segment.position + row - segment.first
    let key = a.qkv + row * a.qkvStride + shape.queryLength + heads.lowerBound * size
    rotate(key, heads: heads.count, norm: w.keyNorm, plan.rotations[row])
    let page = keys + Int(segment.pages[position / KVCache.blockSize]) * cache.blockStride
    let inPage = ck_page_bytes(UInt32(heads.lowerBound), UInt32(size))
    ck_store_kv(
      level, key, key + shape.keyLength, UInt32(heads.count), UInt32(size), page + inPage,
      page + cache.pageBytes + inPage, UInt32(position % KVCache.blockSize))
  }

  private func attention(
    _ unit: StepPlan.AttentionUnit, _ plan: StepPlan, _ a: Activations, _ keys: UnsafeMutablePointer<UInt8>
  ) -> ck_attention {
    let segment = plan.segments[unit.segment]
    let row = segment.first + unit.first
    let head = unit.kvHead * shape.groupSize * shape.headSize
    return ck_attention(
      keys: UnsafePointer(keys), values: UnsafePointer(keys + cache.pageBytes),
      page_stride: cache.blockStride,
      pages: segment.pages,
      queries: UnsafePointer(a.qkv + row * a.qkvStride + head), query_stride: a.qkvStride,
      out: a.attended + row * a.attendedStride + head, out_stride: a.attendedStride,
      kv_head: UInt32(unit.kvHead), group: UInt32(shape.groupSize), head_size: UInt32(shape.headSize),
      first_position: UInt32(segment.position + unit.first), tokens: UInt32(unit.count), scale: scale,
      window: 0,
      soft_cap: 0)
  }

  /// Attention of a few long sequences, one token each: scores and mixtures are divided by chains of 256 positions, then the chains are
  /// added in order. A worker adds the first chains itself where they are its own, so that only their total goes to another one.
  private func attendTogether(
    _ worker: Int, _ plan: StepPlan, _ a: Activations, _ w: LayerWeights,
    _ keys: UnsafeMutablePointer<UInt8>,
    _ shared: SharedAttention, scores: UnsafeMutablePointer<ck_counter>,
    mixtures: UnsafeMutablePointer<ck_counter>
  ) {
    let kvHeads = UInt32(shape.kvHeadCount)
    let heads = shape.headCount
    // Every worker turns the queries for itself, which is cheaper than a barrier.
    let queries = own[worker].qkv
    let queryStride = own[worker].qkvStride
    func attention(_ segment: Int) -> ck_attention {
      ck_attention(
        keys: UnsafePointer(keys), values: UnsafePointer(keys + cache.pageBytes),
        page_stride: cache.blockStride, pages: plan.segments[segment].pages,
        queries: UnsafePointer(queries + segment * queryStride), query_stride: queryStride,
        out: a.attended + segment * a.attendedStride, out_stride: a.attendedStride,
        kv_head: 0, group: UInt32(shape.groupSize), head_size: UInt32(shape.headSize),
        first_position: UInt32(plan.segments[segment].position), tokens: 1, scale: scale, window: 0,
        soft_cap: 0)
    }
    for row in 0..<plan.segments.count {
      (queries + row * queryStride).update(from: a.qkv + row * a.qkvStride, count: shape.queryLength)
      rotate(queries + row * queryStride, heads: heads, norm: w.queryNorm, plan.rotations[row])
    }
    let part = (plan.chains.count * worker / team.active)..<(plan.chains.count * (worker + 1) / team.active)
    share(worker, scores, plan.chains.count) { index, isLast in
      let (segment, chain) = plan.chains[index]
      let count = plan.chainCount(segment)
      // Behind the last one's keys come the first one's values.
      var next = isLast ? count : chain + 1
      if isLast, part.contains(index), plan.chains[part.lowerBound].segment == segment {
        next = plan.chains[part.lowerBound].chain
      }
      if chain == count - 1 {
        rotateAndStoreKey(segment, heads: 0..<shape.kvHeadCount, plan, a, w, keys)
      }
      var attention = attention(segment)
      ck_attend_scores(
        level, &attention, kvHeads, UInt32(chain), UInt32(next), shared.scores(segment),
        shared.stride, shared.largest(segment, chain), scratch[worker])
    }
    team.barrier()
    // From the first of its own part on, this worker has mixed up to here without a gap.
    var mixed = part.lowerBound
    share(worker, mixtures, plan.chains.count) { index, isLast in
      let (segment, chain) = plan.chains[index]
      var attention = attention(segment)
      ck_attend_mix(
        level, &attention, kvHeads, UInt32(chain), UInt32(isLast ? plan.chainCount(segment) : chain + 1),
        shared.largest(segment, 0), shared.scores(segment), shared.stride, shared.partial(segment, chain))
      if index == mixed { mixed += 1 }
    }
    for segment in 0..<plan.segments.count where part.contains(plan.firstChain[segment]) {
      let count = max(0, min(mixed - plan.firstChain[segment], plan.chainCount(segment)))
      add(segment, heads: 0..<heads, chains: 0..<count)
      shared.added[segment] = count
    }
    team.barrier()
    // Where there are many workers heads are divided, or else the owner of the last chains has most at hand.
    let parts = team.active <= 2 ? 1 : min(team.active, heads)
    for segment in 0..<plan.segments.count {
      let count = plan.chainCount(segment)
      let owner = ((plan.firstChain[segment] + count) * team.active - 1) / plan.chains.count
      for part in 0..<parts where (owner + part) % team.active == worker {
        let range = (heads * part / parts)..<(heads * (part + 1) / parts)
        add(segment, heads: range, chains: shared.added[segment]..<count)
        let at = range.lowerBound * shape.headSize
        ck_attend_finish(
          level, UInt32(range.count), UInt32(shape.headSize), shared.sums(segment) + range.lowerBound * 16,
          shared.totals(segment) + at, a.attended + segment * a.attendedStride + at)
      }
    }

    func add(_ segment: Int, heads: Range<Int>, chains: Range<Int>) {
      let sums = shared.sums(segment) + heads.lowerBound * 16
      let totals = shared.totals(segment) + heads.lowerBound * shape.headSize
      if chains.lowerBound == 0 {
        sums.update(repeating: 0, count: heads.count * 16)
        totals.update(repeating: 0, count: heads.count * shape.headSize)
      }
      var attention = attention(segment)
      ck_attend_add(
        level, &attention, UInt32(heads.count), UInt32(chains.lowerBound), UInt32(chains.upperBound),
        shared.scores(segment) + heads.lowerBound * shared.stride, shared.stride,
        shared.partial(segment, 0) + heads.lowerBound * shape.headSize, shared.perChain, sums, totals)
    }
  }

  // MARK: - Memory and results

  private func makeRoom(for plan: StepPlan) {
    if activations.rows < plan.tokenCount {
      activations = Activations(
        rows: plan.tokenCount, workers: team.count, shape: shape, level: level, profile: profile)
    }
    if scratch.isEmpty || scratchReach < plan.reach {
      // Twice what is needed, so that a growing sequence does not ask at every step.
      scratchReach = min(max(2 * plan.reach, 512), max(shape.contextLength, plan.reach))
      let bytes = ck_attention_scratch(UInt32(scratchReach), UInt32(shape.headSize), UInt32(shape.groupSize))
      for pointer in scratch { pointer.deallocate() }
      scratch = (0..<team.count).map { _ in .allocate(byteCount: max(bytes, 64), alignment: 64) }
    }
    if plan.sharesPositions, shared?.holds(rows: plan.segments.count, positions: plan.reach) != true {
      shared = SharedAttention(rows: plan.segments.count, positions: scratchReach, shape: shape)
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
    let counters = UnsafeMutablePointer<ck_counter>.alignedToLines(capacity: team.count)
    defer { counters.deallocate() }
    guard let base = bytes.baseAddress, count > 0 else { return 0 }
    for _ in 0..<max(rounds, 1) {
      for i in 0..<team.count { ck_counter_set(counters + i, 0) }
      let start = ContinuousClock.now
      team.run { worker in
        var sum: UInt64 = 0
        share(worker, counters, count) { index in sum ^= ck_read_memory(base + index * slice, slice) }
        // Kept, so that no load may be left out.
        sums[worker] = sum
      }
      let time = ContinuousClock.now - start
      let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
      if seconds > 0 { best = max(best, Double(count * slice) / seconds) }
    }
    return best
  }

  /// Calls `body` with each number below `count` that this worker takes: those of its own part in order, then what the others have not
  /// come to; and whether it is the last one of its own part, or of another's.
  @inline(__always)
  private func share(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int, Bool) -> Void
  ) {
    var owner = worker
    for _ in 0..<team.active {
      let first = count * owner / team.active
      let end = count * (owner + 1) / team.active
      let limit = UInt32(end - first)
      while true {
        let taken = ck_counter_take_below(counters + owner, limit)
        if taken == limit { break }
        let index = first + Int(taken)
        body(index, owner != worker || index + 1 == end)
      }
      owner = owner + 1 == team.active ? 0 : owner + 1
    }
  }

  @inline(__always)
  private func share(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int) -> Void
  ) {
    share(worker, counters, count) { index, _ in body(index) }
  }

  /// Rows of activations. Of many, some at a time: a row is less work than it takes to ask for one.
  @inline(__always)
  private func shareRows(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ count: Int, _ body: (Int) -> Void
  ) {
    let together = count >= 64 * team.active ? 16 : 1
    share(worker, counters, (count + together - 1) / together) { index in
      for row in index * together..<min(count, (index + 1) * together) { body(row) }
    }
  }
}
