// VulkanMemory.swift: what lies where on a graphics processor: weights, keys and values, and the rows of a
// step. All of it is taken when the device starts, or the device is refused. Start at init.

import CKernels
import CVulkan

struct VulkanMemory {
  /// Arenas hold at most so much, except for one thing that is larger: drivers bound an allocation.
  private static let arenaBytes = 1 << 30
  private static let alignment = 256
  static let stagingBytes = 16 << 20

  /// By tensor of the program; 0: not on the device.
  let tensors: [UInt64]
  /// By state of the program: its block 0.
  let states: [UInt64]
  /// By row: (mostRows, width)
  let rows: [UInt64]
  let ones: UInt64
  let records: UInt64
  let digits: UInt64
  let inverses: UInt64
  let scores: UInt64
  let partial: UInt64
  /// A copy of `VulkanPlan.inputWords` words that the processor writes; the flags come first.
  let inputs: UInt64

  /// What goes to the device, and what comes from it.
  let staging: cv_arena
  /// A step's inputs, then its embeddings.
  let given: cv_arena
  /// The flags, final hidden states, logits.
  let results: cv_arena
  /// By state: keys and values that a step stores, `mostRows` blocks.
  let stored: cv_arena
  let storedStates: [Int]
  private let arenas: GraphicsMemory

  let stateOffset: Int
  let logitOffset: Int

  struct Sizes {
    var weights = 0
    var cache = 0
    /// Rows, scores and what is exchanged.
    var step = 0
    var total: Int { weights + cache + step }
  }

  private struct Places {
    var sizes: [Int] = []
    mutating func add(_ bytes: Int) -> Int {
      sizes.append((max(bytes, 4) + alignment - 1) / alignment * alignment)
      return sizes.count - 1
    }
  }

  /// What the device's own memory must hold.
  static func sizes(_ plan: VulkanPlan) -> Sizes {
    Sizes(
      weights: plan.tensors.reduce(0) { $0 + plan.byteCount(of: $1) },
      cache: plan.states.reduce(0) { $0 + plan.blocks[$1.kind] * $1.stride },
      step: step(plan).reduce(0, +))
  }

  private static func step(_ plan: VulkanPlan) -> [Int] {
    let most = VulkanPlan.mostRows
    let attends = plan.attends
    let columns = plan.operations.map { $0.operation.contents.cost.longestInput }
    let longest = max(columns.max() ?? 0, plan.ending.product.weights.columns)
    return plan.widths.enumerated().map { row, width in
      row == Row.logits.rawValue ? 4 : 4 * most * width
    } + [
      4 * (plan.widths.max() ?? 1), most * longest / 32 * Int(CV_RECORD_BYTES),
      attends.reduce(4) { max($0, 4 * most * $1.heads * ($1.size / 2 + 1)) },
      attends.reduce(4) { max($0, 4 * most * $1.heads) },
      4 * plan.scoreCount, 4 * plan.partialCount, 4 * plan.inputWords,
    ]
  }

  init(_ plan: VulkanPlan, on processor: GraphicsProcessor) throws(VulkanLoader.Refusal) {
    let device = GraphicsMemory(processor)
    arenas = device
    let most = VulkanPlan.mostRows
    var places = Places()
    let tensors = plan.tensors.map { places.add(plan.byteCount(of: $0)) }
    let states = plan.states.map { places.add(plan.blocks[$0.kind] * $0.stride) }
    let step = VulkanMemory.step(plan).map { places.add($0) }
    var addresses: [UInt64] = []
    var first = 0
    while first < places.sizes.count {
      var end = first + 1
      var size = places.sizes[first]
      while end < places.sizes.count, size + places.sizes[end] <= VulkanMemory.arenaBytes {
        size += places.sizes[end]
        end += 1
      }
      var at = try device.arena(size, CV_OWN).address
      for place in first..<end {
        addresses.append(at)
        at += UInt64(places.sizes[place])
      }
      first = end
    }
    var found = [UInt64](repeating: 0, count: plan.program.tensors.count)
    for (tensor, place) in zip(plan.tensors, tensors) { found[tensor] = addresses[place] }
    self.tensors = found
    self.states = states.map { addresses[$0] }
    let count = plan.widths.count
    rows = step[..<count].map { addresses[$0] }
    let rest = step[count...].map { addresses[$0] }
    (ones, records, digits, inverses) = (rest[0], rest[1], rest[2], rest[3])
    (scores, partial, inputs) = (rest[4], rest[5], rest[6])
    staging = try device.arena(VulkanMemory.stagingBytes, CV_SHARED)
    let width = plan.widths[Row.stream.rawValue]
    given = try device.arena(4 * (plan.inputWords + most * width), CV_SHARED)
    stateOffset = 64
    logitOffset = stateOffset + 4 * most * plan.ending.product.weights.columns
    results = try device.arena(
      logitOffset + 4 * VulkanPlan.logitRows * plan.ending.product.weights.rows, CV_SHARED)
    var offset = 0
    storedStates = plan.states.map { state in
      defer { offset += most * state.stride }
      return offset
    }
    stored = try device.arena(offset, CV_SHARED)
  }
}
