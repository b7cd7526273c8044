// ProcessorDevice.swift: runs a program on processors: tokens to logits to tokens, for all items of
// a step at once, on all workers.
// Not here: the arithmetic (CKernels), what makes a phase (Fusion.swift), attention and recurrent
// states (ProcessorDevice+Attention.swift, ProcessorDevice+Recurrence.swift). Start at work(_:_:_:), which every worker runs from top to
// bottom: it interprets the phases in their order.
//
// Each phase is split into units. A worker first takes the units of its own share, in order, so
// that their weights can be prefetched and its earlier output is still in its cache; then it steals
// units that other workers haven't reached. After a phase all meet at a barrier, because the next
// one reads what others wrote. For few tokens every worker normalises and quantises its own copy of
// an input, which is cheaper than a barrier: five of those a layer remain. Any split gives the same
// bits, because no sum is ever divided between units.

import CDigest
import CKernels
import Glibc
import Synchronization

package final class ProcessorDevice: Device {
  /// Up to this many tokens each worker prepares its own copy of all inputs.
  static let fewTokens = 4
  /// Below this many tokens a product is memory-bound, so weights are prefetched. A unit is this
  /// many bytes: enough to cover the memory's latency.
  private static let streamedTokens = 16
  static let streamedBytes = 12 << 10
  /// Rows of logits that are computed together: so many that a product is no longer bound by memory,
  /// and that a tile unit is used. Their memory is taken when they are first written.
  private static let logitRows = 64

  package let name: String
  let model: Model
  let cache: KVCache
  let team: Team
  let schedule: Schedule
  let level: ck_level
  private let shape: Hyperparameters
  let profile: ck_profile
  private var activations: Activations
  /// Each worker's own copy of inputs, for few tokens.
  let own: [Activations]
  private(set) var scratch: [UnsafeMutableRawPointer]
  private var scratchReach = 0
  private(set) var shared: SharedAttention?
  private var pacing: Pacing
  private let logits: UnsafeMutablePointer<Float>
  private let samplers: [Sampler]
  /// Indexed by table of angles; computed 64 positions at a time, on first use.
  private var rotations: [[UnsafeMutablePointer<Float>?]]
  private static let rotationChunk = 64

  /// - blocks: how many of each of the program's kinds of place
  /// - threads: nil takes as many as the affinity mask and the control group allow
  /// - level: nil takes the best available one, or what `HOTPOT_ISA` names
  /// - fuses: whether operations are joined into phases; false is for the test that joining changes
  ///   no bit
  package init(
    model: Model, blocks: [Int], threads: Int?, level: KernelLevel?, profile: NumericsProfile,
    fuses: Bool = true
  ) throws(EngineError) {
    let chosen: KernelLevel
    if let level { chosen = level } else { chosen = try KernelLevel.fromEnvironment() }
    guard chosen.isAvailable else {
      throw .levelUnavailable(found: chosen.name, available: KernelLevel.available.map(\.name))
    }
    let processors = Processors.allowed()
    let team = try Team(count: threads ?? processors, processors: processors)
    let rounding = Atomic<Bool>(true)
    team.run { _ in
      if !ck_check_fp_environment() { rounding.store(false, ordering: .relaxed) }
    }
    guard rounding.load(ordering: .relaxed) else { throw .wrongRounding }
    cache = try KVCache(model.program, blocks: blocks)
    self.model = model
    self.team = team
    let shape = model.program.shape
    self.shape = shape
    name = chosen.name
    let level = chosen.kernels
    self.level = level
    self.profile = profile.kernels
    let schedule = Schedule(model.program, weights: model.weights, fuses: fuses)
    self.schedule = schedule
    let kernelProfile = profile.kernels
    activations = Activations(
      rows: 8, workers: team.count, schedule: schedule, level: level, profile: kernelProfile)
    own = (0..<team.count).map { _ in
      Activations(
        rows: ProcessorDevice.fewTokens, workers: 1, schedule: schedule, level: level, profile: kernelProfile)
    }
    scratch = []
    pacing = Pacing(workers: team.count)
    logits = .allocate(capacity: ProcessorDevice.logitRows * shape.vocabularySize)
    samplers = (0..<team.count).map { _ in Sampler(vocabularySize: shape.vocabularySize, level: chosen) }
    let chunks = (shape.contextLength + ProcessorDevice.rotationChunk - 1) / ProcessorDevice.rotationChunk
    rotations = schedule.tables.map { _ in Array(repeating: nil, count: chunks) }
  }

  deinit {
    for pointer in scratch { pointer.deallocate() }
    for table in rotations { for pointer in table { pointer?.deallocate() } }
    logits.deallocate()
  }

  package var threadCount: Int { team.count }
  package func blockByteCount(of kind: Int) -> Int { cache.blockBytes(kind) }
  package func read(_ block: Int, of kind: Int) -> [UInt8] { cache.read(block, of: kind) }
  package func write(_ bytes: [UInt8], to block: Int, of kind: Int) {
    cache.write(bytes, to: block, of: kind)
  }
  package func copy(_ block: Int, to other: Int, of kind: Int) { cache.copy(block, to: other, of: kind) }

  package func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]? {
    let tokens = items.reduce(0) { $0 + $1.tokens.count }
    let isPaced = tokens <= Pacing.mostTokens
    let workers = isPaced ? pacing.workers(tokens: tokens) : team.count
    let layout = StepLayout(items: items, schedule: schedule, layers: shape.layerCount, workers: workers) {
      rotation($0, at: $1)
    }
    makeRoom(for: layout)
    var gathered: StepLayout?
    if schedule.attendsGathered, layout.gathersOutputs {
      let items = items.filter { !$0.outputs.isEmpty }.map { item in
        var item = item
        (item.tokens, item.position, item.output) = (
          Array(item.tokens[item.outputs]), item.position + item.outputs.lowerBound, .none
        )
        return item
      }
      gathered = StepLayout(
        items: items, schedule: schedule, layers: shape.layerCount, workers: workers, isGathered: true
      ) { rotation($0, at: $1) }
    }
    let run = Run(layout: layout, gathered: gathered, items: items, activations: activations)
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
      return layout.cancellations[shape.layerCount - 1]
    }
    return isCancelled ? nil : results(run)
  }

  /// What the workers of one step share.
  struct Run {
    let layout: StepLayout
    /// The rows with an output, for attention after the others were dropped.
    let gathered: StepLayout?
    let items: [StepItem]
    let activations: Activations

    func clearFailures(workers: Int) {
      activations.failures.update(repeating: false, count: workers * activations.rows)
    }
  }

  // MARK: - The phases

  private func work(_ worker: Int, _ run: Run, _ cancelled: () -> Bool) {
    let layout = run.layout
    let a = run.activations
    var n = layout.tokenCount
    var attended = layout
    for entry in schedule.entries {
      let counters = layout.counters(entry.counters)
      let following = layout.counters(entry.counters + 1)
      switch entry.work {
      case .rows(let turns):
        team.shareRows(worker, counters, n) { i in
          for turn in turns { apply(turn, i, row: layout.row(at: i, of: n), layout, a) }
        }
      case .products(let source, let products, let stream):
        var input = prepare(
          worker, run, counters, rows: n, source, columns: Int(stream.weights.first.cols),
          takesBlocks: stream.takesBlocks)
        var part = division(worker, following, tokens: n, of: stream)
        withUnsafeTemporaryAllocation(of: ck_product.self, capacity: products.count) { list in
          for (i, product) in products.enumerated() {
            list.initializeElement(at: i, to: self.product(product, a))
          }
          guard let first = list.baseAddress else { return }
          ck_multiply_part(level, first, UInt32(products.count), &input, &part)
        }
      case .gated(let source, let gate, let up, let into, let stream):
        var input = prepare(
          worker, run, counters, rows: n, source, columns: Int(stream.weights.first.cols),
          takesBlocks: stream.takesBlocks)
        var part = division(worker, following, tokens: n, of: stream)
        var (gate, up) = (model.weights.matrix(gate), model.weights.matrix(up))
        var output = ck_output(
          values: a[into].base, stride: a[into].stride, bias: nil, residual: nil, residual_stride: 0)
        ck_multiply_gated_part(level, &gate, &up, &input, &output, &part)
      case .attend(let attend, let state, let units, let turns):
        self.attend(
          worker, attended, a,
          Attention(attend: attend, part: cache[state], units: attended.units(units), turns: turns),
          counters: entry.counters)
      case .experts(let experts, let sum):
        self.experts(worker, run, rows: n, experts, addedTo: sum, counters: entry.counters)
      case .headProducts(let products):
        multiplyHeads(worker, run, rows: n, products, counters: entry.counters)
      case .convolve(let convolve, let state):
        self.convolve(worker, layout, a, convolve, cache[state], counters)
      case .recur(let recur, let state):
        self.recur(worker, layout, a, recur, cache[state], counters)
      }
      if entry.endsLayer >= 0 {
        if worker == 0 && cancelled() {
          // The last flag too, for the caller.
          layout.cancellations[entry.endsLayer] = true
          layout.cancellations[shape.layerCount - 1] = true
        }
        team.barrier()
        if layout.cancellations[entry.endsLayer] { return }
      } else {
        team.barrier()
      }
      if entry.gathers && layout.gathersOutputs {
        // From here on only rows that produce an output are needed.
        if worker == 0 { gatherOutputs(layout, a) }
        n = layout.outputs.count
        if n == 0 { return }
        attended = run.gathered ?? layout
        team.barrier()
      }
    }

    for i in stride(from: worker, to: n, by: team.active)
    where !ck_all_finite(level, a[.stream].row(i), UInt32(shape.embeddingLength)) {
      a.failures[worker * a.rows + layout.row(at: i, of: n)] = true
    }
    finish(worker, run)
  }

  /// One operation on index `i` of the activations, which is row `row` of the layout.
  private func apply(_ turn: Schedule.Turn, _ i: Int, row: Int, _ layout: StepLayout, _ a: Activations) {
    switch turn.operation {
    case .embed(let embed):
      var table = model.weights.matrix(embed.table)
      ck_matrix_row(&table, UInt32(layout.tokens[row]), a[embed.into].row(i))
    case .norm(let norm):
      self.norm(norm, parts: 0..<norm.parts, a[norm.from].row(i), into: a[norm.into].row(i))
    case .rotate(let rotate):
      self.rotate(rotate, heads: rotate.heads, a[rotate.row].row(i), layout.rotation(turn.table, row))
    case .temper(let temper):
      self.temper(temper, temper.width, a[temper.row].row(i), layout.position(row))
    case .activate(let activate):
      self.activate(activate.activation, a[activate.row].row(i), count: activate.width)
    case .gate(let gate):
      activate(
        gate.activation, a[gate.gate].row(i), times: a[gate.up].row(i) + gate.start, count: gate.width)
    case .add(let add):
      ck_add(level, a[add.from].row(i), UInt32(add.width), a[add.to].row(i))
    case .scale(let scale):
      ck_scale(scale.factor, UInt32(scale.width), a[scale.row].row(i))
    case .cap(let cap):
      ck_cap(level, cap.bound, UInt32(cap.width), a[cap.row].row(i))
    case .route(let route):
      self.route(route, a[route.logits].row(i), into: a[route.into].row(i))
    case .weigh(let weigh):
      ck_weigh(level, a[weigh.share].row(i)[0], UInt32(weigh.width), a[weigh.row].row(i))
    case .assemble(let assembly):
      for head in 0..<assembly.heads {
        var to = a[assembly.into].row(i) + head * assembly.size
        let end = to + assembly.size
        func put(_ part: Assemble.Part) {
          to.update(from: a[part.row].row(i) + part.start + head * part.stride, count: part.width)
          to += part.width
        }
        put(assembly.first)
        if let second = assembly.second { put(second) }
        to.update(repeating: 0, count: end - to)
      }
    case .slice(let slice):
      let (from, into) = (a[slice.from].row(i) + slice.start, a[slice.into].row(i))
      for part in 0..<slice.parts {
        (into + part * slice.count).update(from: from + part * slice.stride, count: slice.count)
      }
    case .unit(let unit):
      for head in 0..<unit.heads {
        let x = a[unit.row].row(i) + head * unit.size
        ck_unit(level, x, UInt32(unit.size), unit.epsilon, unit.scale, x)
      }
    case .softplus(let softplus):
      let (x, count) = (a[softplus.row].row(i), UInt32(softplus.bias.count))
      ck_add(level, model.weights.floats(softplus.bias), count, x)
      ck_softplus(level, x, count, x)
    case .multiply, .attend, .experts, .headProducts,
      .convolve, .recur:
      preconditionFailure("\(turn.operation.kind) is a phase of its own")
    }
  }

  func activate(_ activation: Activate.Activation, _ x: UnsafeMutablePointer<Float>, count: Int) {
    switch activation {
    case .gelu: ck_gelu(level, UInt32(count), x)
    case .squaredRelu: ck_squared_relu(UInt32(count), x)
    }
  }

  /// gate = activation(gate) * up, or as the activation has it.
  func activate(
    _ activation: Gate.Activation, _ gate: UnsafeMutablePointer<Float>, times up: UnsafePointer<Float>,
    count: Int
  ) {
    switch activation {
    case .silu: ck_silu_times(level, up, UInt32(count), gate)
    case .gelu: ck_gelu_times(level, up, UInt32(count), gate)
    case .clampedSwish: ck_clamped_swish_times(level, up, UInt32(count), gate)
    case .sigmoid: ck_sigmoid_times(level, up, UInt32(count), gate)
    case .plain: ck_times(up, UInt32(count), gate)
    }
  }

  /// - parts: the parts of the row to normalise; the pointers refer to the first of them
  func norm(
    _ norm: Norm, parts: Range<Int>, _ from: UnsafePointer<Float>, into: UnsafeMutablePointer<Float>
  ) {
    let size = norm.size
    let weight = norm.weight.map(model.weights.floats) ?? schedule.ones
    let bias = norm.bias.map(model.weights.floats)
    for part in 0..<parts.count {
      let (x, y) = (from + part * size, into + part * size)
      let weight = norm.isWhole ? weight + (parts.lowerBound + part) * size : weight
      if norm.isCentred {
        ck_layer_norm(level, x, weight, bias, UInt32(size), norm.epsilon, y)
      } else {
        ck_rms_norm(level, x, weight, UInt32(size), norm.epsilon, y)
      }
    }
  }

  func temper(_ temper: Temper, _ width: Int, _ vectors: UnsafeMutablePointer<Float>, _ position: Int) {
    let factor = temper.factor(at: position)
    if factor != 1 { ck_scale(factor, UInt32(width), vectors) }
  }

  func rotate(
    _ rotate: Rotate, heads: Int, _ vectors: UnsafeMutablePointer<Float>, _ rotation: UnsafePointer<Float>
  ) {
    let style =
      switch rotate.pairing {
      case .neighbours: CK_ROPE_INTERLEAVED
      case .halves: CK_ROPE_HALVES
      }
    ck_rope(
      level, style, vectors + rotate.start, UInt32(heads), UInt32(rotate.size),
      UInt32(rotate.angles.pairs), rotation)
  }

  /// Moves the rows that have an output together. They move towards the beginning, so copying in
  /// order overwrites nothing that is still needed.
  private func gatherOutputs(_ layout: StepLayout, _ a: Activations) {
    for (i, output) in layout.outputs.enumerated() where i != output.row {
      for row in schedule.gathered {
        a[row].row(i).update(from: a[row].row(output.row), count: a[row].stride)
      }
    }
  }

  /// Final norm, digest, head and choice for every output row, some rows at a time.
  private func finish(_ worker: Int, _ run: Run) {
    let layout = run.layout
    let a = run.activations
    let vocabulary = shape.vocabularySize
    let head = schedule.head
    var counters = schedule.counterCount
    var done = 0
    while done < layout.outputs.count {
      let count = min(ProcessorDevice.logitRows, layout.outputs.count - done)
      let base = done
      // The quantised rows of this round are packed, in the order of the outputs.
      team.share(worker, layout.counters(counters), count) { i in
        let output = layout.outputs[base + i]
        let state = a[head.from].row(base + i)
        for turn in schedule.ending { apply(turn, base + i, row: output.row, layout, a) }
        if run.items[output.item].states {
          layout.states[base + i] = Array(UnsafeBufferPointer(start: state, count: head.weights.columns))
        }
        if run.items[output.item].digests {
          hp_sha256(state, head.weights.columns * 4, layout.digests + 32 * (base + i))
        }
        quantise(
          state, head.weights.columns, to: i, of: a.quantised, together: count, row: output.row, worker, run)
      }
      team.barrier()
      var input = input(a, values: a[head.from].row(base), stride: a[head.from].stride)
      let wanted = (0..<count).contains { i in needsLogits(run.items[layout.outputs[base + i].item]) }
      if wanted {
        var part = division(worker, layout.counters(counters + 1), tokens: count, of: schedule.headStream)
        var product = ck_product(
          matrix: model.weights.matrix(head.weights),
          output: ck_output(
            values: logits, stride: vocabulary, bias: head.bias.map(model.weights.floats), residual: nil,
            residual_stride: 0))
        ck_multiply_part(level, &product, 1, &input, &part)
        team.barrier()
        team.share(worker, layout.counters(counters + 2), count) { i in
          close(logits + i * vocabulary)
          choose(base + i, logits + i * vocabulary, worker, run)
        }
      }
      // The next round may not overwrite the logits before all workers have chosen.
      team.barrier()
      counters += Schedule.countersPerRound
      done += count
    }
  }

  /// What the head does to the logits themselves.
  private func close(_ logits: UnsafeMutablePointer<Float>) {
    for turn in schedule.closing {
      switch turn.operation {
      case .scale(let scale): ck_scale(scale.factor, UInt32(scale.width), logits)
      case .cap(let cap): ck_cap(level, cap.bound, UInt32(cap.width), logits)
      case .embed, .norm, .multiply, .rotate, .attend, .temper, .gate, .activate, .add, .route, .experts,
        .weigh, .headProducts, .assemble,
        .slice, .unit, .softplus, .convolve, .recur:
        preconditionFailure("HeadEnding lets no \(turn.operation.kind) follow the product")
      }
    }
  }

  private func needsLogits(_ item: StepItem) -> Bool { item.logits || item.context != nil }

  private func choose(_ index: Int, _ row: UnsafeMutablePointer<Float>, _ worker: Int, _ run: Run) {
    let layout = run.layout
    let output = layout.outputs[index]
    let item = run.items[output.item]
    if item.logits {
      layout.logits[index] = Array(UnsafeBufferPointer(start: row, count: shape.vocabularySize))
    }
    guard let context = item.context else { return }
    let choice = samplers[worker].choose(from: row, context: context, position: output.position + 1)
    layout.choices[index] = choice
    if choice == nil { run.activations.failures[worker * run.activations.rows + output.row] = true }
  }

  // MARK: - Inputs of the products

  /// The rows, normalised if a norm is given, and quantised if a matrix takes blocks. For many rows
  /// it ends with a barrier.
  func prepare(
    _ worker: Int, _ run: Run, _ counters: UnsafeMutablePointer<ck_counter>, rows n: Int,
    _ source: Phase.Input, columns: Int, takesBlocks: Bool
  ) -> ck_input {
    let a = run.activations
    let isShared = n > ProcessorDevice.fewTokens
    let target = isShared ? a : own[worker]
    let from = a[source.row]
    let values = source.norm.map { target[$0.into] } ?? from
    func row(_ i: Int) {
      if let norm = source.norm { self.norm(norm, parts: 0..<1, from.row(i), into: values.row(i)) }
      if takesBlocks {
        quantise(
          values.row(i), columns, to: i, of: target.quantised, together: n, row: run.layout.row(at: i, of: n),
          worker,
          run)
      }
    }
    if isShared {
      team.shareRows(worker, counters, n, row)
      team.barrier()
    } else {
      for i in 0..<n { row(i) }
    }
    return input(target, values: values.base, stride: values.stride)
  }

  private func input(_ a: Activations, values: UnsafePointer<Float>, stride: Int) -> ck_input {
    input(a.quantised, values: values, stride: stride)
  }

  func input(_ rows: QuantisedRows, values: UnsafePointer<Float>, stride: Int) -> ck_input {
    ck_input(
      values: values, value_stride: stride, blocks: UnsafePointer(rows.blocks),
      block_stride: rows.blockStride,
      profile: profile, groups: rows.groups.map { UnsafePointer($0) }, group_stride: rows.groupStride)
  }

  /// Quantises into index `place` of the blocks of `target`.
  /// - together: how many are multiplied together
  /// - row: the row that fails if the values are not finite
  func quantise(
    _ values: UnsafePointer<Float>, _ columns: Int, to place: Int, of target: QuantisedRows, together: Int,
    row: Int, _ worker: Int, _ run: Run
  ) {
    let columns = UInt32(columns)
    let blocks = target.blocks + place * target.blockStride
    if !ck_quantise(level, profile, values, columns, blocks) {
      run.activations.failures[worker * run.activations.rows + row] = true
      // Zeros are valid blocks: the row is still computed, and its result is discarded.
      memset(blocks, 0, ck_blocks_bytes(profile, columns))
    }
    group(place, Int(columns), of: target, together: together)
  }

  /// Writes index `place` of the blocks into the form of 16 rows together, where that is read.
  func group(_ place: Int, _ columns: Int, of target: QuantisedRows, together: Int) {
    if together >= CK_FEWEST_GROUPED, let groups = target.groups {
      ck_group(
        level, profile, target.blocks + place * target.blockStride, UInt32(columns),
        groups + place / 16 * target.groupStride, UInt32(place % 16))
    }
  }

  // MARK: - Products

  private func product(_ product: Phase.Product, _ a: Activations) -> ck_product {
    let target = a[product.into]
    return ck_product(
      matrix: model.weights.matrix(product.weights),
      output: ck_output(
        values: target.base, stride: target.stride, bias: product.bias.map(model.weights.floats),
        residual: product.isAdded ? UnsafePointer(target.base) : nil, residual_stride: target.stride))
  }

  /// How the products of one input are divided: by their tiles, numbered consecutively, and groups
  /// of tokens.
  private func division(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, tokens: Int, of stream: Schedule.Stream
  ) -> ck_division {
    var division = ck_division(
      tokens: UInt32(tokens), tokens_at_once: UInt32(min(tokens, 64)),
      tiles_at_once: tilesAtOnce(tokens, stream.weights), worker: UInt32(worker),
      workers: UInt32(team.active), counters: counters, next: nil)
    if let next = stream.next, tokens <= ProcessorDevice.streamedTokens {
      // Matrices of one phase are stored consecutively.
      var upcoming = division
      upcoming.tiles_at_once = tilesAtOnce(tokens, next)
      let units = Int(ck_division_units(&upcoming, next.tiles))
      let tile = units * worker / team.active * Int(upcoming.tiles_at_once)
      division.next = next.first.data + tile * ck_tile_bytes(next.first.type, next.first.cols)
    }
    return division
  }

  private func tilesAtOnce(_ tokens: Int, _ weights: Schedule.Stream.Weights) -> UInt32 {
    if tokens > ProcessorDevice.streamedTokens {
      return min(max(weights.tiles / UInt32(team.active * 8), 1), 16)
    }
    let first = weights.first
    // Without quantised blocks four tiles share the work of reading an input; big tiles prefetch
    // within themselves.
    let bytes = ck_tile_bytes(first.type, first.cols)
    if !ck_type_takes_blocks(first.type) || bytes > 4 * ProcessorDevice.streamedBytes / 3 { return 4 }
    return UInt32(min(max(ProcessorDevice.streamedBytes / bytes, 1), 4))
  }

  // MARK: - Memory and results

  private func makeRoom(for layout: StepLayout) {
    if activations.rows < layout.tokenCount {
      activations = Activations(
        rows: layout.tokenCount, workers: team.count, schedule: schedule, level: level, profile: profile)
    }
    if scratch.isEmpty || scratchReach < layout.reach {
      // Allocate twice what is needed, so that a growing sequence does not reallocate at every
      // step.
      scratchReach = min(max(2 * layout.reach, 512), max(shape.contextLength, layout.reach))
      let bytes = schedule.attends.reduce(0) {
        max($0, ck_attention_scratch(UInt32(scratchReach), UInt32($1.size), UInt32($1.group)))
      }
      for pointer in scratch { pointer.deallocate() }
      scratch = (0..<team.count).map { _ in .allocate(byteCount: max(bytes, 64), alignment: 64) }
    }
    if layout.sharesPositions, shared?.holds(rows: layout.segmentCount, positions: layout.reach) != true {
      shared = SharedAttention(
        rows: layout.segmentCount, positions: scratchReach, heads: schedule.attends.map(\.heads).max() ?? 1,
        size: schedule.attends.map(\.size).max() ?? 1)
    }
  }

  /// cos and sin of one position, from a table that is made 64 positions at a time.
  private func rotation(_ index: Int, at position: Int) -> UnsafePointer<Float> {
    let chunk = position / ProcessorDevice.rotationChunk
    let angles = schedule.tables[index]
    let table: UnsafeMutablePointer<Float>
    if let known = rotations[index][chunk] {
      table = known
    } else {
      table = .allocate(capacity: ProcessorDevice.rotationChunk * angles.pairs * 2)
      let factors = angles.factors.map {
        Array(UnsafeBufferPointer(start: model.weights.floats($0), count: $0.count))
      }
      angles.divisors(factors).withUnsafeBufferPointer { divisors in
        ck_rope_table(
          angles.base, 1 / angles.scale, angles.magnitude, divisors.baseAddress, UInt32(angles.pairs),
          UInt32(chunk * ProcessorDevice.rotationChunk), UInt32(ProcessorDevice.rotationChunk), table)
      }
      rotations[index][chunk] = table
    }
    return UnsafePointer(table + position % ProcessorDevice.rotationChunk * angles.pairs * 2)
  }

  private func results(_ run: Run) -> [StepResult] {
    let layout = run.layout
    let a = run.activations
    var results = run.items.map { item in
      StepResult(firstPosition: item.position + item.outputs.lowerBound)
    }
    for index in 0..<layout.segmentCount {
      let segment = layout.segments[index]
      let rows = segment.first..<(segment.first + segment.count)
      let bad = rows.first { row in (0..<team.count).contains { a.failures[$0 * a.rows + row] } }
      if let bad { results[index].failure = .notFinite(position: segment.position + bad - segment.first) }
    }
    for (index, output) in layout.outputs.enumerated() where results[output.item].failure == nil {
      let item = run.items[output.item]
      if let choice = layout.choices[index] { results[output.item].choices.append(choice) }
      if item.digests {
        results[output.item].digests.append(
          Array(UnsafeBufferPointer(start: layout.digests + 32 * index, count: 32)))
      }
      if item.logits { results[output.item].logits += layout.logits[index] }
      if item.states { results[output.item].states += layout.states[index] }
    }
    return results
  }

  package func weightBandwidth(rounds: Int) -> Double {
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
        team.share(worker, counters, count) { index in sum ^= ck_read_memory(base + index * slice, slice) }
        // Kept, so that no load is optimised away.
        sums[worker] = sum
      }
      let time = ContinuousClock.now - start
      let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
      if seconds > 0 { best = max(best, Double(count * slice) / seconds) }
    }
    return best
  }
}
