// StepPlan.swift: one step laid out for the workers: which row of the activations belongs to which item, and the
// units of work that they take from common counters. Start at init.

import CKernels

/// Plain memory, written before the workers start and only read by them (the counters and result slots aside).
final class StepPlan {
  /// One item's rows.
  struct Segment {
    /// First row of the activations.
    let first: Int
    let count: Int
    /// Absolute position of the first row.
    let position: Int
    let pages: UnsafePointer<Int32>
  }

  /// One KV head of some consecutive query tokens of a segment.
  struct AttentionUnit {
    let segment: Int
    let kvHead: Int
    /// Within the segment.
    let first: Int
    let count: Int
  }

  /// A row whose final hidden state is wanted.
  struct OutputRow {
    let item: Int
    let row: Int
    let position: Int
  }

  let tokenCount: Int
  let segments: UnsafeMutableBufferPointer<Segment>
  /// Token of each row, its position, its segment and its RoPE table row.
  let tokens: UnsafeMutablePointer<Int32>
  let segmentOfRow: UnsafeMutablePointer<Int32>
  let rotations: UnsafeMutablePointer<UnsafePointer<Float>>
  let units: UnsafeMutableBufferPointer<AttentionUnit>
  /// In the order of their rows.
  let outputs: UnsafeMutableBufferPointer<OutputRow>
  let choices: UnsafeMutablePointer<SampledToken?>
  /// 32 bytes each.
  let digests: UnsafeMutablePointer<UInt8>
  let logits: UnsafeMutablePointer<[Float]>
  /// One for each phase of the step and worker, so that none is ever reset while it is in use.
  private let counters: UnsafeMutablePointer<ck_counter>
  private let workers: Int
  /// One for each layer: worker 0 writes before the layer's last barrier, all read after it.
  let cancellations: UnsafeMutablePointer<Bool>
  /// Whether keys are rotated and stored by the unit that attends to them, which saves a barrier.
  let storesInAttention: Bool
  /// Whether few but long sequences are decoded, so that threads share each one's positions.
  let sharesPositions: Bool
  /// Where positions are shared: every segment's chains of 256 positions, and the index of each segment's first one.
  let chains: UnsafeMutableBufferPointer<(segment: Int, chain: Int)>
  let firstChain: UnsafeMutablePointer<Int>
  /// Positions that the longest segment reaches.
  let reach: Int
  private let pages: UnsafeMutablePointer<Int32>

  init(
    items: [StepItem], shape: Hyperparameters, workers: Int, rotation: (Int) -> UnsafePointer<Float>
  ) {
    tokenCount = items.reduce(0) { $0 + $1.tokens.count }
    segments = .allocate(capacity: items.count)
    tokens = .allocate(capacity: tokenCount)
    segmentOfRow = .allocate(capacity: tokenCount)
    rotations = .allocate(capacity: tokenCount)
    let blockCounts = items.map {
      ($0.position + $0.tokens.count + KVCache.blockSize - 1) / KVCache.blockSize
    }
    pages = .allocate(capacity: blockCounts.reduce(0, +))
    // Worth its barriers from about 512 positions, where whole heads would not divide evenly among the workers.
    sharesPositions =
      workers > 1 && items.count * shape.kvHeadCount < 4 * workers && items.count <= ForwardPass.fewTokens
      && items.allSatisfy { $0.tokens.count == 1 } && items.contains { $0.position >= 512 }
    storesInAttention = !sharesPositions && items.allSatisfy { $0.tokens.count <= 4 }

    var units: [AttentionUnit] = []
    var outputs: [OutputRow] = []
    var row = 0
    var block = 0
    var reach = 0
    for (index, item) in items.enumerated() {
      segments.initializeElement(
        at: index,
        to: Segment(first: row, count: item.tokens.count, position: item.position, pages: pages + block))
      for (i, id) in item.blocks.prefix(blockCounts[index]).enumerated() { pages[block + i] = id }
      block += blockCounts[index]
      for i in item.outputs {
        outputs.append(OutputRow(item: index, row: row + i, position: item.position + i))
      }
      for (i, token) in item.tokens.enumerated() {
        tokens[row + i] = token
        segmentOfRow[row + i] = Int32(index)
        rotations[row + i] = rotation(item.position + i)
      }
      // A unit of a prefill: enough queries to share the work on a page, few enough to divide evenly.
      let evenly = item.tokens.count * shape.kvHeadCount / (4 * workers)
      let queriesPerUnit = storesInAttention ? 4 : min(max(evenly, 4), 32)
      for first in stride(from: 0, to: item.tokens.count, by: queriesPerUnit) {
        for kvHead in 0..<shape.kvHeadCount {
          units.append(
            AttentionUnit(
              segment: index, kvHead: kvHead, first: first,
              count: min(queriesPerUnit, item.tokens.count - first)))
        }
      }
      row += item.tokens.count
      reach = max(reach, item.position + item.tokens.count)
    }
    self.reach = reach
    // The longest first: what is left for the end is short, so workers end together.
    func work(_ unit: AttentionUnit) -> Int { (items[unit.segment].position + unit.first) * unit.count }
    units.sort { work($0) > work($1) }
    self.units = .allocate(capacity: units.count)
    _ = self.units.initialize(from: units)
    self.outputs = .allocate(capacity: outputs.count)
    _ = self.outputs.initialize(from: outputs)
    choices = .allocate(capacity: outputs.count)
    choices.initialize(repeating: nil, count: outputs.count)
    digests = .allocate(capacity: outputs.count * 32)
    digests.initialize(repeating: 0, count: outputs.count * 32)
    logits = .allocate(capacity: outputs.count)
    logits.initialize(repeating: [], count: outputs.count)
    let phases = shape.layerCount * ForwardPass.phasesPerLayer + ForwardPass.otherPhases + 3 * outputs.count
    self.workers = workers
    counters = UnsafeMutablePointer.alignedToLines(capacity: phases * workers)
    for i in 0..<(phases * workers) { ck_counter_set(counters + i, 0) }
    var chains: [(Int, Int)] = []
    firstChain = .allocate(capacity: items.count)
    for (index, item) in items.enumerated() {
      firstChain[index] = chains.count
      if sharesPositions { chains += (0...(item.position / Int(CK_CHAIN))).map { (index, $0) } }
    }
    self.chains = .allocate(capacity: chains.count)
    _ = self.chains.initialize(from: chains)
    cancellations = .allocate(capacity: shape.layerCount)
    cancellations.initialize(repeating: false, count: shape.layerCount)
  }

  /// A phase's counters, one for each worker.
  func counters(_ phase: Int) -> UnsafeMutablePointer<ck_counter> { counters + phase * workers }

  /// Whether the last layer goes on, behind its attention, with only the rows that have an output: one of a whole prompt's.
  var gathersOutputs: Bool { outputs.count < tokenCount }

  /// The row at place `i` of `count` that are worked on: all, or those of the outputs.
  func row(at i: Int, of count: Int) -> Int { count == tokenCount ? i : outputs[i].row }

  func chainCount(_ segment: Int) -> Int { segments[segment].position / Int(CK_CHAIN) + 1 }

  deinit {
    segments.deallocate()
    tokens.deallocate()
    segmentOfRow.deallocate()
    rotations.deallocate()
    pages.deallocate()
    units.deallocate()
    choices.deinitialize(count: outputs.count)
    choices.deallocate()
    digests.deallocate()
    logits.deinitialize(count: outputs.count)
    logits.deallocate()
    outputs.deallocate()
    counters.deallocate()
    chains.deallocate()
    firstChain.deallocate()
    cancellations.deallocate()
  }
}

extension UnsafeMutablePointer {
  /// Memory for things that are as large as a cache line, or several, and each in lines of its own: threads that use one do not slow
  /// down those that use its neighbour.
  static func alignedToLines(capacity: Int) -> UnsafeMutablePointer<Pointee> {
    let bytes = capacity * MemoryLayout<Pointee>.stride
    return UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      .bindMemory(to: Pointee.self, capacity: capacity)
  }
}
