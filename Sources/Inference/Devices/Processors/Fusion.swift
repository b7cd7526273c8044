// Fusion.swift: a program's operations joined into phases, which workers do between two barriers.
// Not here: how a phase is run (ProcessorDevice.swift) and laid out (Schedule.swift). Start at
// phases(of:fuses:).
//
// Every rule joins neighbours, and none changes a bit: a fused phase does the same roundings in the
// same order, and only skips writing a row that nobody else reads. Without the rules each operation
// is a separate phase, against which a test compares the fused ones.

/// What workers do between two barriers.
package enum Phase: Equatable, Sendable {
  /// Operations on each row separately, one after the other.
  case rows([Operation])
  /// Products of one input.
  case products(Input, [Product])
  /// The product with one matrix, activated, times that with another.
  case gated(Input, gate: Matrix, up: Matrix, into: Row)
  /// Attention, preceded by operations on the heads of its queries, keys and values.
  case attend(Attend, turns: [Operation])
  /// What experts give, which is also added to a row if one is given.
  case experts(Experts, addedTo: Row?)
  case headProducts(HeadProducts)
  /// Divided by sequences and channels.
  case convolve(Convolve)
  /// Divided by sequences, heads and rows of a head's state.
  case recur(Recur)

  /// What is quantised for products: a row, normalised first if a norm is given.
  package struct Input: Equatable, Sendable, BitwiseCopyable {
    package let row: Row
    package let norm: Norm?

    /// The row that would hold the result.
    var name: Row { norm?.into ?? row }
  }

  package struct Product: Equatable, Sendable, BitwiseCopyable {
    package let weights: Matrix
    package let bias: Vector?
    package let into: Row
    /// The row that the product is added to, in place.
    package let isAdded: Bool
  }
}

package enum Fusion {
  /// A phase, how many of the program's operations are done after it, and the layer that it ends
  /// (nil: none).
  package typealias Step = (phase: Phase, done: Int, endsLayer: Int?)

  /// The phases of everything before the head.
  package static func phases(of program: Program, fuses: Bool) -> [Step] {
    var steps: [Step] = []
    var rest = Liveness(program.operations)
    for (index, list) in ([program.embedding] + program.layers).enumerated() {
      let joined = join(list, &rest, fuses: fuses)
      for (at, found) in joined.enumerated() {
        let isLast = at == joined.count - 1
        steps.append((found.phase, found.done, index > 0 && isLast ? index - 1 : nil))
      }
    }
    return steps
  }

  private static func join(_ list: [Operation], _ rest: inout Liveness, fuses: Bool) -> [(
    phase: Phase, done: Int
  )] {
    var phases: [(phase: Phase, done: Int)] = []
    var at = 0
    while at < list.count {
      let (phase, count) =
        fuses ? joined(list[at...], rest) : (alone(list[at]), 1)
      at += count
      rest.advance(by: count)
      if fuses, case .rows(let more) = phase, case .rows(let before)? = phases.last?.phase {
        phases[phases.count - 1] = (.rows(before + more), rest.at)
      } else {
        phases.append((phase, rest.at))
      }
    }
    return phases
  }

  private static func alone(_ operation: Operation) -> Phase {
    switch operation {
    case .multiply(let product): .products(.init(row: product.from, norm: nil), [plain(product)])
    case .attend(let attend): .attend(attend, turns: [])
    case .experts(let experts): .experts(experts, addedTo: nil)
    case .headProducts(let products): .headProducts(products)
    case .convolve(let convolve): .convolve(convolve)
    case .recur(let recur): .recur(recur)
    case .embed, .norm, .rotate, .temper, .gate, .activate, .add, .scale, .cap, .route, .weigh, .assemble,
      .slice, .unit, .softplus:
      .rows([operation])
    }
  }

  private static func plain(_ product: Multiply) -> Phase.Product {
    .init(weights: product.weights, bias: product.bias, into: product.into, isAdded: false)
  }

  /// The phase that the list begins with, and how many operations it is.
  private static func joined(_ list: ArraySlice<Operation>, _ rest: Liveness) -> (Phase, Int) {
    if let found = attention(list, rest) { return found }
    if let found = experts(list, rest) { return found }
    if case .norm(let norm)? = list.first, norm.parts == 1, norm.from != norm.into,
      let (phase, count) = products(list.dropFirst(), rest, skipped: 1, norm: norm)
    {
      // Some workers may already write products while others still normalise their copy of the
      // input, so the products must not overwrite that input.
      let writes = written(by: phase)
      if !writes.contains(norm.from), !rest.isRead(norm.into, after: 1 + count) { return (phase, 1 + count) }
    }
    if let found = products(list, rest, skipped: 0, norm: nil) { return found }
    return (alone(list[list.startIndex]), 1)
  }

  private static func written(by phase: Phase) -> [Row] {
    switch phase {
    case .products(_, let products): products.map(\.into)
    case .gated(_, _, _, let into): [into]
    case .rows(let operations): operations.map { $0.contents.writes.row }
    case .attend(let attend, _): [attend.into]
    case .experts(let experts, let sum): [experts.into] + (sum.map { [$0] } ?? [])
    case .headProducts(let products): [products.into]
    case .convolve(let convolve): [convolve.row]
    case .recur(let recur): [recur.into]
    }
  }

  /// Operations that rotate, normalise or temper heads of the attention's own rows, then the attention, if
  /// no later operation reads these rows.
  private static func attention(_ list: ArraySlice<Operation>, _ rest: Liveness) -> (Phase, Int)? {
    var turns: [Operation] = []
    for operation in list {
      switch operation {
      case .norm(let norm) where norm.from == norm.into: turns.append(operation)
      case .rotate, .temper: turns.append(operation)
      case .attend(let attend):
        let rows = [attend.query, attend.key, attend.value]
        for turn in turns {
          guard rows.contains(turn.contents.writes.row), turn.headSize ?? attend.size == attend.size,
            !rest.isRead(turn.contents.writes.row, after: turns.count + 1)
          else { return nil }
        }
        return (.attend(attend, turns: turns), turns.count + 1)
      case .embed, .norm, .multiply, .gate, .activate, .add, .scale, .cap, .route, .experts, .weigh,
        .headProducts, .assemble,
        .slice, .unit, .softplus, .convolve, .recur:
        return nil
      }
    }
    return nil
  }

  /// Experts, and the addition of what they give, if nothing else reads it.
  private static func experts(_ list: ArraySlice<Operation>, _ rest: Liveness) -> (Phase, Int)? {
    guard case .experts(let experts)? = list.first else { return nil }
    if case .add(let add)? = list.dropFirst().first, add.from == experts.into, add.to != experts.into,
      add.width == experts.down.rows, !rest.isRead(experts.into, after: 2)
    {
      return (.experts(experts, addedTo: add.to), 2)
    }
    return (.experts(experts, addedTo: nil), 1)
  }

  /// All products of the row that the first one reads; or two of them, one activated and multiplied
  /// by the other; or one, added to a row.
  private static func products(
    _ list: ArraySlice<Operation>, _ rest: Liveness, skipped: Int, norm: Norm?
  ) -> (Phase, Int)? {
    guard case .multiply(let first)? = list.first else { return nil }
    if let norm, norm.into != first.from { return nil }
    let input = Phase.Input(row: norm?.from ?? first.from, norm: norm)
    if let (gate, up) = gated(list), !rest.isRead(up.into, after: skipped + 3) {
      return (.gated(input, gate: gate.weights, up: up.weights, into: gate.into), 3)
    }
    if case .add(let add)? = list.dropFirst().first, add.from == first.into, add.to != first.from,
      add.width == first.weights.rows, !rest.isRead(first.into, after: skipped + 2)
    {
      let sum = Phase.Product(weights: first.weights, bias: first.bias, into: add.to, isAdded: true)
      return (.products(input, [sum]), 2)
    }
    var group: [Phase.Product] = []
    for at in list.indices {
      guard case .multiply(let product) = list[at], product.from == first.from, product.into != first.from,
        !group.contains(where: { $0.into == product.into }), group.isEmpty || gated(list[at...]) == nil
      else { break }
      group.append(plain(product))
    }
    return (.products(input, group), group.count)
  }

  /// The two products at the list's beginning, if a gate joins them.
  private static func gated(_ list: ArraySlice<Operation>) -> (gate: Multiply, up: Multiply)? {
    let list = list.prefix(3)
    guard list.count == 3, case .multiply(let gate) = list[list.startIndex],
      case .multiply(let up) = list[list.startIndex + 1], case .gate(let join) = list[list.startIndex + 2],
      join.activation == .silu, join.start == 0, join.gate == gate.into, join.up == up.into,
      join.gate != join.up,
      gate.from == up.from,
      gate.into != gate.from, up.into != gate.from, gate.bias == nil, up.bias == nil,
      join.width == gate.weights.rows, join.width == up.weights.rows
    else { return nil }
    return (gate, up)
  }
}

/// The remaining operations, and whether one of them reads a row before it is written again.
struct Liveness {
  private let operations: [Operation]
  private(set) var at = 0

  init(_ operations: [Operation]) { self.operations = operations }

  mutating func advance(by count: Int) { at += count }

  func isRead(_ row: Row, after count: Int) -> Bool {
    for operation in operations[(at + count)...] {
      let contents = operation.contents
      if contents.reads.contains(where: { $0.row == row }) { return true }
      if contents.writes.row == row { return false }
    }
    return false
  }

  /// Rows that are read after the next `count` operations.
  func live(after count: Int) -> [Row] { Row.allCases.filter { isRead($0, after: count) } }
}

extension Operation {
  /// The head size of an operation that works on each head of a row separately; nil for others, which
  /// treat all numbers alike.
  fileprivate var headSize: Int? {
    switch self {
    case .norm(let norm): norm.isWhole ? nil : norm.size
    case .rotate(let turn): turn.size
    case .embed, .multiply, .attend, .temper, .gate, .activate, .add, .scale, .cap, .route, .experts,
      .weigh, .headProducts, .assemble,
      .slice, .unit, .softplus, .convolve, .recur:
      nil
    }
  }
}
