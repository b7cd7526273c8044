// Activations.swift: the memory in which a step computes. It grows with the largest step and is
// reused by all.

import CKernels

/// Row strides are in floats and multiples of 16, or in bytes and multiples of 64.
final class Activations {
  /// (rows, width) of one `Row`.
  struct Buffer: BitwiseCopyable {
    let base: UnsafeMutablePointer<Float>
    let stride: Int

    func row(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * stride }
  }

  let rows: Int
  /// (rows, longest input)
  let quantised: QuantisedRows
  /// What experts need; nil where there are none.
  let experts: ExpertActivations?
  /// (heads * rows, longest input): what single heads are multiplied by; empty without such products.
  let heads: QuantisedRows
  /// (workers, rows): whether a worker found something that is not finite
  let failures: UnsafeMutablePointer<Bool>
  private let buffers: UnsafeMutablePointer<Buffer>
  private let arena = Arena()

  init(rows: Int, workers: Int, schedule: Schedule, level: ck_level, profile: ck_profile) {
    self.rows = rows
    buffers = arena.take(Row.allCases.count)
    for row in Row.allCases {
      let stride = Activations.stride(schedule.widths[row.rawValue])
      (buffers + row.rawValue).initialize(to: Buffer(base: arena.take(rows * stride), stride: stride))
    }
    let isGrouped = rows > ProcessorDevice.fewTokens
    quantised = QuantisedRows(
      rows: rows, columns: schedule.longestInput, isGrouped: isGrouped, arena, level, profile)
    experts = ExpertActivations(
      schedule.experts, rows: rows, workers: workers, isGrouped: isGrouped, arena, level, profile)
    let products = schedule.headProducts
    heads = QuantisedRows(
      rows: rows * products.reduce(0) { max($0, $1.heads) },
      columns: products.reduce(0) { max($0, $1.matrices.columns) }, isGrouped: false, arena, level, profile)
    failures = arena.take(workers * rows)
  }

  subscript(_ row: Row) -> Buffer { buffers[row.rawValue] }

  /// A multiple of a cache line, but not of a page: rows of one column would share the cache's
  /// sets.
  fileprivate static func stride(_ width: Int) -> Int {
    let lines = (width + 15) / 16 * 16
    return lines > 0 && lines % 1_024 == 0 ? lines + 16 : lines
  }
}

/// Rows of integers with their scales (N1 item 2), as products read them.
struct QuantisedRows: BitwiseCopyable {
  let blocks: UnsafeMutablePointer<UInt8>
  let blockStride: Int
  /// The same, 16 rows together, if the level uses that and there are more than a few rows.
  let groups: UnsafeMutablePointer<UInt8>?
  let groupStride: Int

  init(
    rows: Int, columns: Int, isGrouped: Bool, _ arena: Arena, _ level: ck_level, _ profile: ck_profile
  ) {
    blockStride = ck_blocks_bytes(profile, UInt32(columns))
    blocks = arena.take(rows * blockStride)
    groupStride = isGrouped ? ck_group_bytes(level, UInt32(columns)) : 0
    if groupStride > 0 {
      let bytes = (rows + 15) / 16 * groupStride
      let memory = arena.take(bytes, of: UInt8.self)
      memory.initialize(repeating: 0, count: bytes)
      groups = memory
    } else {
      groups = nil
    }
  }
}

/// The memory of experts: one row for each place, which is a token and one of its experts
/// (ck_places). All layers with experts use the same.
struct ExpertActivations: BitwiseCopyable {
  /// What the experts multiply: as numbers, if one of their matrices does, and quantised.
  let values: Activations.Buffer
  let input: QuantisedRows
  /// What an expert's first two products give.
  let opened: Activations.Buffer
  let up: Activations.Buffer
  /// The activated rows.
  let hidden: QuantisedRows
  /// Each worker's own: which place is whose.
  let places: UnsafeMutablePointer<ck_places>

  /// nil without experts.
  init?(
    _ layers: [Experts], rows: Int, workers: Int, isGrouped: Bool, _ arena: Arena, _ level: ck_level,
    _ profile: ck_profile
  ) {
    guard !layers.isEmpty else { return nil }
    func most(_ number: (Experts) -> Int) -> Int { layers.reduce(0) { max($0, number($1)) } }
    let pairs = rows * most(\.chosen)
    let (columns, width, count) = (most(\.columns), most(\.width), most(\.count))
    func buffer(_ width: Int) -> Activations.Buffer {
      let stride = Activations.stride(width)
      return Activations.Buffer(base: arena.take(pairs * stride), stride: stride)
    }
    values = buffer(layers.contains { $0.multipliesNumbers || $0.weighting == .input } ? columns : 0)
    input = QuantisedRows(rows: pairs, columns: columns, isGrouped: isGrouped, arena, level, profile)
    opened = buffer(width)
    up = buffer(layers.contains { $0.gate != nil } ? width : 0)
    hidden = QuantisedRows(rows: pairs, columns: width, isGrouped: isGrouped, arena, level, profile)
    places = arena.take(workers)
    for worker in 0..<workers {
      (places + worker).initialize(
        to: ck_places(
          first: arena.take(count + 1), experts: arena.take(count), busy: 0, tokens: arena.take(pairs),
          weights: arena.take(pairs), of_token: arena.take(pairs)))
    }
  }
}

extension Experts {
  /// Whether a matrix of the input multiplies numbers, and whether one multiplies blocks.
  var multipliesNumbers: Bool { !up.takesBlocks || gate.map { !$0.takesBlocks } ?? false }
  var multipliesBlocks: Bool { up.takesBlocks || gate?.takesBlocks ?? false }
}

extension ExpertMatrices {
  var takesBlocks: Bool { ck_type_takes_blocks(all.type.kernels) }
}
