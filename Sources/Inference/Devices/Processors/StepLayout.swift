// StepLayout.swift: one step laid out for the workers: which row of the activations belongs to
// which item, and the units of attention that workers take from common counters. Start at init.

import CKernels

/// Plain memory, written before the workers start and only read by them (the counters and result
/// slots aside).
final class StepLayout {
  /// One item's rows.
  struct Segment: BitwiseCopyable {
    /// First row of the activations.
    let first: Int
    let count: Int
    /// Absolute position of the first row.
    let position: Int
    /// Of the sequence, with this step's rows.
    let end: Int
    /// For each kind of place that has tables, the page of each block.
    let pages: UnsafePointer<UnsafePointer<Int32>>
    /// The slot that the recurrent state is read from, -1 for zeros, and the one it is left in.
    let from: Int32
    let into: Int32
  }

  /// One KV head of some consecutive query tokens of a segment.
  struct AttentionUnit: BitwiseCopyable {
    let segment: Int
    let kvHead: Int
    /// Within the segment.
    let first: Int
    let count: Int
  }

  /// A row whose final hidden state is needed.
  struct OutputRow: BitwiseCopyable {
    let item: Int
    let row: Int
    let position: Int
  }

  let tokenCount: Int
  let segments: UnsafeMutablePointer<Segment>
  let segmentCount: Int
  /// The token of each row, and its segment.
  let tokens: UnsafeMutablePointer<Int32>
  let segmentOfRow: UnsafeMutablePointer<Int32>
  /// (tables, rows): where a row's position is in each table of angles
  private let rotations: UnsafeMutablePointer<UnsafePointer<Float>>
  /// By number of key and value heads, in the schedule's order: the longest units first.
  private let units: UnsafeMutablePointer<UnsafeBufferPointer<AttentionUnit>>
  /// In the order of their rows.
  let outputs: UnsafeBufferPointer<OutputRow>
  let choices: UnsafeMutablePointer<SampledToken?>
  /// 32 bytes each.
  let digests: UnsafeMutablePointer<UInt8>
  let logits: UnsafeMutablePointer<[Float]>
  /// Final hidden states.
  let states: UnsafeMutablePointer<[Float]>
  /// Indexed as in the schedule, one for each worker, so that none is ever reset while in use.
  private let counters: UnsafeMutablePointer<ck_counter>
  private let workers: Int
  /// One for each layer: worker 0 writes before the layer's last barrier, all read after it.
  let cancellations: UnsafeMutablePointer<Bool>
  /// Whether every item has so few tokens that the unit that attends to a key may also store it,
  /// which saves a barrier.
  let hasFewTokensEach: Bool
  /// Whether few but long sequences are decoded, so that workers divide each one's positions.
  let sharesPositions: Bool
  /// If positions are divided: every segment's chains of 256 positions, and the index of each
  /// segment's first one.
  let chains: UnsafeBufferPointer<Chain>
  let firstChain: UnsafeMutablePointer<Int>
  /// The number of positions of the longest segment.
  let reach: Int
  private let arena = Arena()

  struct Chain: BitwiseCopyable {
    let segment: Int
    let chain: Int
  }

  /// - rotation: gives the place of a position in a table of angles
  /// - isGathered: whether these are the rows with an output of another layout, which has the memory
  ///   in which positions are divided
  init(
    items: [StepItem], schedule: Schedule, layers: Int, workers: Int, isGathered: Bool = false,
    rotation: (_ table: Int, _ position: Int) -> UnsafePointer<Float>
  ) {
    self.workers = workers
    let tokenCount = items.reduce(0) { $0 + $1.tokens.count }
    self.tokenCount = tokenCount
    segmentCount = items.count
    segments = arena.take(items.count)
    tokens = arena.take(tokenCount)
    segmentOfRow = arena.take(tokenCount)
    rotations = arena.take(tokenCount * schedule.tables.count)
    let blockCounts = items.map {
      ($0.position + $0.tokens.count + KVCache.blockSize - 1) / KVCache.blockSize
    }
    // Worth its barriers from about 512 positions, if whole heads would not divide evenly among the
    // workers.
    let mostHeads = schedule.kvHeads.max() ?? 1
    sharesPositions =
      !isGathered && workers > 1 && items.count * mostHeads < 4 * workers
      && items.count <= ProcessorDevice.fewTokens
      && items.allSatisfy { $0.tokens.count == 1 } && items.contains { $0.position >= 512 }
    hasFewTokensEach = items.allSatisfy { $0.tokens.count <= 4 }

    var outputs: [OutputRow] = []
    var row = 0
    var reach = 0
    for (index, item) in items.enumerated() {
      let pages = arena.take(schedule.tableCount, of: UnsafePointer<Int32>.self)
      for kind in 0..<schedule.tableCount {
        let table = item.table(kind)
        let list = arena.take(blockCounts[index], of: Int32.self)
        // A freed block is before the window: its entry exists but is never read.
        for (i, block) in table.prefix(blockCounts[index]).enumerated() { list[i] = max(block, 0) }
        (pages + kind).initialize(to: UnsafePointer(list))
      }
      (segments + index).initialize(
        to: Segment(
          first: row, count: item.tokens.count, position: item.position,
          end: item.position + item.tokens.count, pages: UnsafePointer(pages),
          from: item.position == 0 ? -1 : item.state?.from ?? -1, into: item.state?.into ?? 0))
      for i in item.outputs {
        outputs.append(OutputRow(item: index, row: row + i, position: item.position + i))
      }
      for (i, token) in item.tokens.enumerated() {
        tokens[row + i] = token
        segmentOfRow[row + i] = Int32(index)
        for table in schedule.tables.indices {
          rotations[table * tokenCount + row + i] = rotation(table, item.position + i)
        }
      }
      row += item.tokens.count
      reach = max(reach, item.position + item.tokens.count)
    }
    self.reach = reach
    units = arena.take(schedule.kvHeads.count)
    for (list, kvHeads) in schedule.kvHeads.enumerated() {
      (units + list).initialize(
        to: arena.copy(
          StepLayout.units(items, kvHeads: kvHeads, workers: workers, fewEach: hasFewTokensEach)))
    }
    self.outputs = arena.copy(outputs)
    choices = .allocate(capacity: outputs.count)
    choices.initialize(repeating: nil, count: outputs.count)
    digests = arena.take(outputs.count * 32)
    digests.initialize(repeating: 0, count: outputs.count * 32)
    logits = .allocate(capacity: outputs.count)
    logits.initialize(repeating: [], count: outputs.count)
    states = .allocate(capacity: outputs.count)
    states.initialize(repeating: [], count: outputs.count)
    let counted = (schedule.counterCount + Schedule.countersPerRound * outputs.count) * workers
    counters = arena.take(counted)
    for i in 0..<counted { ck_counter_set(counters + i, 0) }
    var chains: [Chain] = []
    firstChain = arena.take(items.count)
    for (index, item) in items.enumerated() {
      firstChain[index] = chains.count
      if sharesPositions {
        chains += (0...(item.position / Int(CK_CHAIN))).map { Chain(segment: index, chain: $0) }
      }
    }
    self.chains = arena.copy(chains)
    cancellations = arena.take(layers)
    cancellations.initialize(repeating: false, count: layers)
  }

  private static func units(
    _ items: [StepItem], kvHeads: Int, workers: Int, fewEach: Bool
  ) -> [AttentionUnit] {
    var units: [AttentionUnit] = []
    for (index, item) in items.enumerated() {
      // A unit of a prefill has enough queries to share the work on a page, and few enough to
      // divide evenly.
      let evenly = item.tokens.count * kvHeads / (4 * workers)
      let queriesPerUnit = fewEach ? 4 : min(max(evenly, 4), 32)
      for first in stride(from: 0, to: item.tokens.count, by: queriesPerUnit) {
        for kvHead in 0..<kvHeads {
          units.append(
            AttentionUnit(
              segment: index, kvHead: kvHead, first: first,
              count: min(queriesPerUnit, item.tokens.count - first)))
        }
      }
    }
    // The longest units first: the last ones are short, so workers finish together.
    func work(_ unit: AttentionUnit) -> Int { (items[unit.segment].position + unit.first) * unit.count }
    units.sort { work($0) > work($1) }
    return units
  }

  func units(_ list: Int) -> UnsafeBufferPointer<AttentionUnit> { units[list] }

  func rotation(_ table: Int, _ row: Int) -> UnsafePointer<Float> { rotations[table * tokenCount + row] }

  /// The absolute position of a row.
  func position(_ row: Int) -> Int {
    let segment = segments[Int(segmentOfRow[row])]
    return segment.position + row - segment.first
  }

  /// A phase's counters, one for each worker.
  func counters(_ phase: Int) -> UnsafeMutablePointer<ck_counter> { counters + phase * workers }

  /// Whether the last layer continues after its attention with only the rows that have an output:
  /// for a whole prompt, one row.
  var gathersOutputs: Bool { outputs.count < tokenCount }

  /// The row at index `i` of the `count` rows being computed: all, or those with outputs.
  func row(at i: Int, of count: Int) -> Int { count == tokenCount ? i : outputs[i].row }

  func chainCount(_ segment: Int) -> Int { segments[segment].position / Int(CK_CHAIN) + 1 }

  deinit {
    choices.deinitialize(count: outputs.count)
    choices.deallocate()
    logits.deinitialize(count: outputs.count)
    logits.deallocate()
    states.deinitialize(count: outputs.count)
    states.deallocate()
  }
}
