// VulkanStep.swift: some rows of a step as launches: which rows, what the processor gives for them, and
// what each operation of the program becomes. Start at VulkanBatch.batches and VulkanStep.record.

import CKernels
import CVulkan

/// Rows of a step that go through the program together.
struct VulkanBatch {
  struct Part {
    let item: Int
    /// Indices into the item's tokens.
    let tokens: Range<Int>
    /// Its first row.
    let row: Int
    /// Absolute position of that row.
    let position: Int
  }

  struct Output {
    let item: Int
    let row: Int
    let position: Int
  }

  var parts: [Part] = []
  var rows = 0
  /// In the order of their rows.
  var outputs: [Output] = []

  /// All rows of the items, in order. Rows see only those before them, so earlier batches come first.
  static func batches(_ items: [StepItem]) -> [VulkanBatch] {
    var batches: [VulkanBatch] = []
    var batch = VulkanBatch()
    for (index, item) in items.enumerated() {
      var first = 0
      while first < item.tokens.count {
        let count = min(item.tokens.count - first, VulkanPlan.mostRows - batch.rows)
        let part = Part(
          item: index, tokens: first..<(first + count), row: batch.rows, position: item.position + first)
        batch.parts.append(part)
        for i in item.outputs where part.tokens.contains(i) {
          batch.outputs.append(
            Output(item: index, row: batch.rows + i - first, position: item.position + i))
        }
        batch.rows += count
        first += count
        if batch.rows == VulkanPlan.mostRows {
          batches.append(batch)
          batch = VulkanBatch()
        }
      }
    }
    if batch.rows > 0 { batches.append(batch) }
    return batches
  }
}

struct VulkanStep {
  private let plan: VulkanPlan
  private let memory: VulkanMemory
  private let batch: VulkanBatch
  private let items: [StepItem]
  private let weights: Weights
  var list = LaunchList()
  /// By kind: the blocks that the batch writes, in the order of their copies, and the slots of each.
  private(set) var pages: [[(block: Int, slots: [Int])]] = []
  /// The row whose integers are in the records.
  private var quantised: Row?
  private var layersInSlice = 0

  // Places in the inputs, in words.
  private var tableAt: [Int] = []
  private var placesAt: [Int] = []
  private var storedAt: [Int] = []
  /// By kind, then part.
  private var pagesAt: [[Int]] = []
  private var inputWords = 0

  init(plan: VulkanPlan, memory: VulkanMemory, batch: VulkanBatch, items: [StepItem], weights: Weights) {
    self.plan = plan
    self.memory = memory
    self.batch = batch
    self.items = items
    self.weights = weights
  }

  private var n: Int { batch.rows }

  // MARK: - Inputs

  /// - angles: writes those of a table and a position
  mutating func writeInputs(_ angles: (Int, Int, UnsafeMutablePointer<Float>) -> Void) {
    guard let bytes = memory.given.bytes else { return }
    let words = UnsafeMutableRawPointer(bytes).assumingMemoryBound(to: UInt32.self)
    let floats = UnsafeMutableRawPointer(bytes).assumingMemoryBound(to: Float.self)
    words.update(repeating: 0, count: 16)
    var at = 16
    for (index, table) in plan.tables.enumerated() {
      tableAt.append(at)
      for part in batch.parts {
        for i in 0..<part.tokens.count {
          angles(index, part.position + i, floats + at + 2 * table.pairs * (part.row + i))
        }
      }
      at += 2 * table.pairs * n
    }
    for kind in plan.program.kinds.indices {
      var pages: [(block: Int, slots: [Int])] = []
      let (places, stored) = (at, at + n)
      at += 2 * n
      var starts: [Int] = []
      for part in batch.parts {
        let table = items[part.item].table(kind)
        for i in 0..<part.tokens.count {
          let position = part.position + i
          let (block, slot) = (Int(max(table[position / 16], 0)), position % 16)
          if i == 0 || slot == 0 { pages.append((block, [])) }
          pages[pages.count - 1].slots.append(slot)
          words[places + part.row + i] = UInt32(block * 16 + slot)
          words[stored + part.row + i] = UInt32((pages.count - 1) * 16 + slot)
        }
        starts.append(at)
        let count = (part.position + part.tokens.count + 15) / 16
        for (i, block) in table.prefix(count).enumerated() { words[at + i] = UInt32(max(block, 0)) }
        at += count
      }
      placesAt.append(places)
      storedAt.append(stored)
      pagesAt.append(starts)
      self.pages.append(pages)
    }
    inputWords = at
    for case .embed(let embed) in plan.operations.map(\.operation) {
      var table = weights.matrix(embed.table)
      for part in batch.parts {
        for (i, token) in items[part.item].tokens[part.tokens].enumerated() {
          ck_matrix_row(
            &table, UInt32(token), floats + plan.inputWords + embed.table.columns * (part.row + i))
        }
      }
    }
  }

  /// Takes the inputs over.
  mutating func begin() {
    list.copy(from: memory.given.address, to: memory.inputs, count: inputWords)
  }

  private func input(_ word: Int) -> UInt64 { memory.inputs + UInt64(4 * word) }

  private func address(_ row: Row, _ index: Int = 0, width: Int = 0) -> UInt64 {
    memory.rows[row.rawValue] + UInt64(4 * index * width)
  }

  private func address(_ vector: Vector) -> UInt64 {
    memory.tensors[vector.tensor] + UInt64(vector.offset - plan.program.tensors[vector.tensor].offset)
  }

  private func address(_ matrix: Matrix) -> UInt64 {
    memory.tensors[matrix.tensor] + UInt64(matrix.offset - plan.program.tensors[matrix.tensor].offset)
  }

  // MARK: - Operations

  /// Whether the launches since the last submit are enough for one: short enough to be cancelled, long
  /// enough to be worth it.
  var isSliceFull: Bool { layersInSlice * n >= VulkanPlan.mostRows }

  mutating func record(_ entry: VulkanPlan.Entry) {
    if list.count == 0 { layersInSlice = 0 }
    if entry.endsLayer { layersInSlice += 1 }
    switch entry.operation {
    case .embed(let embed):
      list.copy(
        from: memory.given.address + UInt64(4 * plan.inputWords), to: address(embed.into),
        count: n * embed.table.columns)
    case .norm(let norm):
      list.add(
        CV_NORM,
        cv_norm_push(
          x: address(norm.from), weight: norm.weight.map(address) ?? memory.ones, y: address(norm.into),
          n: UInt32(norm.size), epsilon: norm.epsilon), n * norm.parts)
    case .multiply(let product):
      multiply(product, from: address(product.from), row: product.from, into: address(product.into), n)
    case .rotate(let turn):
      list.add(
        CV_ROPE,
        cv_rope_push(
          x: address(turn.row) + UInt64(4 * turn.start), table: input(tableAt[entry.index]),
          heads: UInt32(turn.heads), head_size: UInt32(turn.size), pairs: UInt32(turn.angles.pairs),
          style: turn.pairing == .halves ? 1 : 0), turn.heads, n)
    case .temper(let temper):
      for part in batch.parts {
        for i in 0..<part.tokens.count {
          let factor = temper.factor(at: part.position + i)
          if factor == 1 { continue }
          scale(address(temper.row, part.row + i, width: temper.width), temper.width, factor)
        }
      }
    case .attend(let attend):
      self.attend(attend, state: entry.index)
    case .gate(let gate):
      let kernel =
        switch gate.activation {
        case .silu: CV_SILU_TIMES
        case .sigmoid: CV_SIGMOID_TIMES
        case .gelu: CV_GELU_TIMES
        case .plain, .clampedSwish: CV_MULTIPLY
        }
      function(kernel, address(gate.up), address(gate.gate), n * gate.width)
    case .add(let add):
      function(CV_ADD, address(add.from), address(add.to), n * add.width)
    case .scale(let scale):
      self.scale(address(scale.row), n * scale.width, scale.factor)
    case .slice(let slice):
      list.copy(
        from: address(slice.from) + UInt64(4 * slice.start), to: address(slice.into), rows: n * slice.parts,
        count: slice.count, fromStride: slice.stride, toStride: slice.count)
    case .activate, .cap, .route, .experts, .weigh, .headProducts, .assemble, .unit, .softplus, .convolve,
      .recur:
      preconditionFailure("VulkanPlan refuses \(entry.operation.kind)")
    }
    if entry.operation.contents.writes.row == quantised { quantised = nil }
  }

  private mutating func function(_ kernel: cv_kernel, _ x: UInt64, _ y: UInt64, _ count: Int) {
    list.add(kernel, cv_function_push(x: x, y: y, n: UInt32(count), factor: 0), (count + 63) / 64)
  }

  private mutating func scale(_ y: UInt64, _ count: Int, _ factor: Float) {
    list.add(CV_SCALE, cv_function_push(x: y, y: y, n: UInt32(count), factor: factor), (count + 63) / 64)
  }

  /// - row: what is at `from`; nil: rows that the records do not keep
  private mutating func multiply(
    _ product: Multiply, from: UInt64, row: Row?, into: UInt64, _ count: Int, record: Int = 0
  ) {
    let (type, columns) = (product.weights.type.kernels, UInt32(product.weights.columns))
    let tiles = Int(ck_tile_count(UInt32(product.weights.rows)))
    let tileWords = UInt32(ck_tile_bytes(type, columns) / 4)
    let bias = product.bias.map(address) ?? into
    let adds: UInt32 = product.bias == nil ? 0 : 1
    guard ck_type_takes_blocks(type) else {
      list.add(
        cv_product_of(type),
        cv_floats_push(
          weights: address(product.weights), x: from, y: into, bias: bias, residual: into,
          rows: UInt32(product.weights.rows), columns: columns, tile_words: tileWords, tokens: UInt32(count),
          adds: adds, rest: 0), tiles, (count + 3) / 4)
      return
    }
    if row == nil || quantised != row {
      quantise(from, Int(columns), count)
      quantised = row
    }
    list.add(
      cv_product_of(type),
      cv_product_push(
        weights: address(product.weights), records: memory.records, y: into, bias: bias, residual: into,
        rows: UInt32(product.weights.rows), blocks: columns / 32,
        scale_words: cv_scale_words(type, columns), tile_words: tileWords, adds: adds, rest: 0), tiles, count)
  }

  private mutating func quantise(_ from: UInt64, _ columns: Int, _ count: Int) {
    list.add(
      CV_QUANTISE,
      cv_quantise_push(
        x: from, records: memory.records, flags: memory.inputs, blocks: UInt32(columns / 32),
        top: ck_profile_top(plan.profile)), count)
  }

  // MARK: - Attention

  private mutating func attend(_ attend: Attend, state: Int) {
    let (kind, stride) = plan.states[state]
    let words = UInt32(stride / 4)
    let (keys, values) = (memory.states[state], memory.states[state] + UInt64(stride / 2))
    let size = UInt32(attend.size)
    if attend.source == nil {
      let copies = memory.stored.address + UInt64(memory.storedStates[state])
      // Once for the device, once for the processors' copy.
      for (places, keys, values) in [
        (placesAt[kind], keys, values), (storedAt[kind], copies, copies + UInt64(stride / 2)),
      ] {
        list.add(
          CV_STORE,
          cv_store_push(
            keys: address(attend.key), values: address(attend.value), places: input(places),
            key_pages: keys, value_pages: values, flags: memory.inputs, heads: UInt32(attend.kvHeads),
            head_size: size, page_words: words, top: attend.size > 512 ? 29127 : 32767),
          2 * attend.kvHeads, n)
      }
    }
    list.add(
      CV_QUERIES,
      cv_queries_push(
        queries: address(attend.query), digits: memory.digits, flags: memory.inputs, head_size: size,
        scale: attend.scale), n * attend.heads)
    for (index, part) in batch.parts.enumerated() {
      var first = 0
      while first < part.tokens.count {
        let pages = (part.position + part.tokens.count + 15) / 16
        let chains = (pages + 15) / 16
        let count = max(
          1,
          min(
            part.tokens.count - first, plan.scoreCount / (attend.heads * pages * 16),
            plan.partialCount / (attend.heads * chains * attend.size)))
        attendTo(
          attend, row: part.row + first, position: part.position + first, count,
          pages: input(pagesAt[kind][index]), keys, values, words)
        first += count
      }
    }
  }

  private mutating func attendTo(
    _ attend: Attend, row: Int, position: Int, _ count: Int, pages: UInt64, _ keys: UInt64,
    _ values: UInt64, _ pageWords: UInt32
  ) {
    let rows = count * attend.heads
    let pageCount = (position + count + 15) / 16
    let chains = (pageCount + 15) / 16
    let stride = UInt32(pageCount * 16)
    let (heads, group, size) = (UInt32(attend.heads), UInt32(attend.group), UInt32(attend.size))
    let inverses = memory.inverses
    list.add(
      CV_SCORES,
      cv_scores_push(
        digits: memory.digits + UInt64(4 * row * attend.heads * (attend.size / 2 + 1)), key_pages: keys,
        pages: pages, scores: memory.scores, rows: UInt32(rows), heads: heads, group: group, head_size: size,
        page_words: pageWords, stride: stride, first_position: UInt32(position),
        window: UInt32(attend.window ?? 0), cap: attend.cap ?? 0, rest: 0), pageCount, (rows + 3) / 4)
    list.add(
      CV_SOFTMAX,
      cv_softmax_push(scores: memory.scores, inverses: inverses, positions: stride, stride: stride), rows)
    list.add(
      CV_MIX,
      cv_mix_push(
        weights: memory.scores, value_pages: values, pages: pages, partial: memory.partial, heads: heads,
        group: group, head_size: size, page_words: pageWords, stride: stride, chains: UInt32(chains),
        first_position: UInt32(position), window: UInt32(attend.window ?? 0)), rows, chains)
    list.add(
      CV_FINISH,
      cv_finish_push(
        partial: memory.partial, inverses: inverses,
        y: address(attend.into, row, width: attend.queryLength), head_size: size, chains: UInt32(chains)),
      rows)
  }

  // MARK: - Outputs

  /// The rows with outputs, as runs of consecutive ones.
  private static func runs(_ outputs: [VulkanBatch.Output]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for output in outputs {
      if let last = runs.last, last.upperBound == output.row {
        runs[runs.count - 1] = last.lowerBound..<(output.row + 1)
      } else {
        runs.append(output.row..<(output.row + 1))
      }
    }
    return runs
  }

  /// Copies the final hidden states of outputs, and the flags, to where the processor reads them.
  mutating func gatherStates() {
    let head = plan.ending.product
    let width = head.weights.columns
    var at = memory.results.address + UInt64(memory.stateOffset)
    for run in VulkanStep.runs(batch.outputs) {
      list.copy(from: address(head.from, run.lowerBound, width: width), to: at, count: run.count * width)
      at += UInt64(4 * run.count * width)
    }
    list.copy(from: memory.inputs, to: memory.results.address, count: 1)
  }

  /// The logits of some outputs, from the first place on.
  mutating func recordLogits(_ outputs: [VulkanBatch.Output]) {
    let head = plan.ending.product
    var at = memory.results.address + UInt64(memory.logitOffset)
    quantised = nil
    for run in VulkanStep.runs(outputs) {
      multiply(
        head, from: address(head.from, run.lowerBound, width: head.weights.columns), row: nil, into: at,
        run.count)
      at += UInt64(4 * run.count * head.weights.rows)
    }
    list.copy(from: memory.inputs, to: memory.results.address, count: 1)
  }

  private func result(_ offset: Int) -> UnsafeMutablePointer<Float> {
    guard let bytes = memory.results.bytes else { preconditionFailure("results are shared memory") }
    return UnsafeMutableRawPointer(bytes + offset).assumingMemoryBound(to: Float.self)
  }

  /// Not 0: bit 0: a number is not finite; bit 1: there is no proof for one.
  var flags: UInt32 { result(0)[0].bitPattern }

  /// - index: among the batch's outputs
  func state(_ index: Int) -> UnsafePointer<Float> {
    UnsafePointer(result(memory.stateOffset) + index * plan.ending.product.weights.columns)
  }

  /// - row: among those of the last `recordLogits`
  func logits(_ row: Int) -> UnsafeMutablePointer<Float> {
    result(memory.logitOffset) + row * plan.program.shape.vocabularySize
  }
}
