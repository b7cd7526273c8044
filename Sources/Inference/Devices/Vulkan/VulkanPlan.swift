// VulkanPlan.swift: whether a graphics processor has a kernel for all that a program does, and how much
// memory it takes there, known before anything runs. Start at init(_:blocks:profile:).

import CKernels
import CVulkan

struct VulkanPlan {
  /// Rows that go through the program together. A step with more goes through it in parts, as a prompt
  /// in chunks does: so launches are short, and memory does not depend on the step.
  static let mostRows = 64
  /// Rows of logits at a time.
  static let logitRows = 32

  let program: Program
  let ending: HeadEnding
  let profile: ck_profile
  /// Blocks of each kind of place.
  let blocks: [Int]
  /// By state: the kind of its place, and bytes of one block, keys and values.
  let states: [(kind: Int, stride: Int)]
  /// The operations, each with the index of its state or table of angles.
  let operations: [Entry]
  /// Those of the head before its product.
  let closing: [Entry]
  let tables: [RotaryAngles]
  /// Numbers of each row at its widest.
  let widths: [Int]

  struct Entry {
    let operation: Operation
    /// Of a rotation its table, of an attention its state.
    let index: Int
    let endsLayer: Bool
  }

  struct Refusal: Error { let reason: String }

  init(_ program: Program, blocks: [Int], profile: ck_profile) throws(Refusal) {
    self.program = program
    self.blocks = blocks
    self.profile = profile
    guard let ending = HeadEnding(program.head) else { throw Refusal(reason: "its head is unknown") }
    self.ending = ending
    // Every device takes so many workgroups in each direction.
    let most = 65_535
    guard program.shape.contextLength <= 16 * most else {
      throw Refusal(reason: "contexts of \(program.shape.contextLength) tokens, \(16 * most) are the most")
    }
    let widest = program.widths.dropLast().max() ?? 0
    guard widest <= most, program.shape.vocabularySize <= 16 * most else {
      throw Refusal(reason: "rows of \(widest) numbers, \(most) are the most")
    }
    let kinds = program.kinds
    var states: [(kind: Int, stride: Int)] = []
    for state in program.states {
      guard case .keysAndValues(let heads, let size, _) = state else {
        throw Refusal(reason: "no kernel for recurrent states")
      }
      let kind = kinds.firstIndex(of: state.kind) ?? 0
      let stride = Int(2 * ck_page_bytes(UInt32(heads), UInt32(size)))
      guard blocks[kind] <= (1 << 32) / (stride / 4) else {
        throw Refusal(
          reason: "\(blocks[kind]) blocks of keys and values, \((1 << 32) / (stride / 4)) are the most")
      }
      states.append((kind, stride))
    }
    self.states = states
    var tables: [RotaryAngles] = []
    var state = 0
    func entry(_ operation: Operation, _ isLast: Bool) -> Entry {
      var index = 0
      switch operation {
      case .rotate(let turn):
        index = tables.firstIndex(of: turn.angles) ?? tables.count
        if index == tables.count { tables.append(turn.angles) }
      case .attend(let attend):
        index = attend.source ?? state
        if attend.source == nil { state += 1 }
      default: break
      }
      return Entry(operation: operation, index: index, endsLayer: isLast)
    }
    var operations: [Entry] = []
    var written = [Int](repeating: 0, count: Row.allCases.count)
    for (number, list) in ([program.embedding] + program.layers).enumerated() {
      for (at, operation) in list.enumerated() {
        if let reason = VulkanPlan.lack(operation, &written) {
          throw Refusal(
            reason: (number == 0 ? "the embedding: " : "layer \(number - 1): ") + reason)
        }
        operations.append(entry(operation, at == list.count - 1))
      }
    }
    self.operations = operations
    var closing: [Entry] = []
    for operation in ending.before {
      if let reason = VulkanPlan.lack(operation, &written) { throw Refusal(reason: "the head: \(reason)") }
      closing.append(entry(operation, false))
    }
    self.closing = closing
    if let reason = VulkanPlan.lack(.multiply(ending.product), &written) {
      throw Refusal(reason: "the head: \(reason)")
    }
    self.tables = tables
    widths = program.widths
  }

  /// What the kernels lack for an operation; nil if nothing. Rows are packed on the device, each as wide
  /// as what was last written into it.
  private static func lack(_ operation: Operation, _ written: inout [Int]) -> String? {
    let contents = operation.contents
    for read in contents.reads where written[read.row.rawValue] != read.width {
      return "\(operation.kind) reads \(read.width) of \(written[read.row.rawValue]) numbers of a row"
    }
    written[contents.writes.row.rawValue] = contents.writes.width
    let absent = "no kernel for '\(operation.kind)'"
    switch operation {
    case .embed(let embed): return embed.into == .stream ? nil : "\(absent) of another row"
    case .add, .scale, .rotate, .temper: return nil
    case .norm(let norm):
      return norm.isCentred || norm.bias != nil
        ? "\(absent) with a mean" : norm.isWhole ? "\(absent) by groups" : nil
    case .multiply(let product):
      let type = product.weights.type
      return cv_product_of(type.kernels) == CV_KERNEL_COUNT ? "no kernel for products with \(type.name)" : nil
    case .attend(let attend):
      if attend.isBothWays { return "\(absent) both ways" }
      if attend.chunk != nil { return "\(absent) in chunks" }
      if attend.sinks != nil { return "\(absent) with sinks" }
      return attend.heads * mostRows > 65_535 ? "\(attend.heads) heads of attention" : nil
    case .gate(let gate):
      switch gate.activation {
      case .silu, .sigmoid, .gelu, .plain: return nil
      case .clampedSwish: return "no kernel for '\(gate.activation)'"
      }
    case .slice: return nil
    case .activate, .cap, .route, .experts, .weigh, .headProducts, .assemble, .unit, .softplus, .convolve,
      .recur:
      return absent
    }
  }

  // MARK: - Memory

  var attends: [Attend] {
    operations.compactMap { if case .attend(let attend) = $0.operation { attend } else { nil } }
  }

  /// Rows of scores and of partial sums: those of one token at the longest context at least.
  var scoreCount: Int {
    attends.reduce(1 << 20) { max($0, $1.heads * ((program.shape.contextLength + 15) / 16 * 16)) }
  }
  var partialCount: Int {
    attends.reduce(1 << 20) {
      max($0, $1.heads * $1.size * ((program.shape.contextLength + 255) / 256))
    }
  }

  /// Words of a step's inputs: the flags, places of rows, their page tables and angles.
  var inputWords: Int {
    let tables = program.kinds.count { $0 != .slot }
    let pages = (program.shape.contextLength + 15) / 16
    let angles = self.tables.reduce(0) { $0 + 2 * $1.pairs }
    return 16 + VulkanPlan.mostRows * (angles + tables * (2 + pages))
  }

  /// Bytes of a tensor as it is packed.
  func byteCount(of tensor: Int) -> Int {
    let entry = program.tensors[tensor]
    let (rows, columns) = (entry.tensor.rowCount, entry.tensor.rowLength)
    return entry.isMatrix
      ? Int(ck_packed_bytes(entry.tensor.type.kernels, UInt32(rows), UInt32(columns))) : 4 * rows * columns
  }

  /// The tensors that kernels read, ascending.
  var tensors: [Int] {
    var found: Set<Int> = []
    for operation in operations.map(\.operation) + closing.map(\.operation) + [.multiply(ending.product)] {
      switch operation {
      case .norm(let norm): if let weight = norm.weight { found.insert(weight.tensor) }
      case .multiply(let product):
        found.insert(product.weights.tensor)
        if let bias = product.bias { found.insert(bias.tensor) }
      default: break
      }
    }
    return found.sorted()
  }
}
