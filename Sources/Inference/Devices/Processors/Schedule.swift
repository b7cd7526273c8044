// Schedule.swift: a program's phases laid out for the workers: counters, prefetch targets, places
// of states, as plain memory.
// Not here: which operations make a phase (Fusion.swift) and running them (ProcessorDevice.swift).
// Start at Schedule.init.

import CKernels

/// Written once, read by all workers: lists without reference counts.
final class Schedule {
  /// An operation on one row, and the table of angles that it rotates by.
  struct Turn: BitwiseCopyable {
    let operation: Operation
    let table: Int
  }

  enum Work: BitwiseCopyable {
    case rows(UnsafeBufferPointer<Turn>)
    case products(Phase.Input, UnsafeBufferPointer<Phase.Product>, Stream)
    case gated(Phase.Input, gate: Matrix, up: Matrix, into: Row, Stream)
    /// - state: index in the program's states
    /// - units: index in the layout's lists of units, one for each number of heads
    case attend(Attend, state: Int, units: Int, UnsafeBufferPointer<Turn>)
    case experts(Experts, addedTo: Row?)
    case headProducts(HeadProducts)
    case convolve(Convolve, state: Int)
    case recur(Recur, state: Int)
  }

  /// The weights that a phase reads, and those that come after them.
  struct Stream: BitwiseCopyable {
    let weights: Weights
    /// nil if nothing is read after them.
    let next: Weights?
    /// Whether a matrix multiplies quantised blocks.
    let takesBlocks: Bool

    /// Matrices that are read consecutively: the first of them, and the number of tiles of all.
    struct Weights: BitwiseCopyable {
      let first: ck_matrix
      let tiles: UInt32
    }
  }

  struct Entry: BitwiseCopyable {
    let work: Work
    /// The index of its first counter.
    let counters: Int
    /// -1: none.
    let endsLayer: Int
    /// From here on only rows that produce an output are needed.
    let gathers: Bool
  }

  /// From the embedding to the last layer.
  let entries: UnsafeBufferPointer<Entry>
  /// The operations that make the final hidden state of a row.
  let ending: UnsafeBufferPointer<Turn>
  /// What is done to the logits that the head gives.
  let closing: UnsafeBufferPointer<Turn>
  let head: Multiply
  let headStream: Stream
  /// Counters that the entries use; a round of the head uses `countersPerRound` more.
  let counterCount: Int
  static let countersPerRound = 3
  /// Rows that move when rows without an output are dropped.
  let gathered: [Row]
  /// Whether there is attention after that, which keeps nothing.
  let attendsGathered: Bool
  /// The widest use of each row that a phase names; the logits have separate memory.
  let widths: [Int]
  /// Numbers of the longest input of a product.
  let longestInput: Int
  let tables: [RotaryAngles]
  /// The different numbers of key and value heads that occur.
  let kvHeads: [Int]
  let attends: [Attend]
  let experts: [Experts]
  let headProducts: [HeadProducts]
  /// Kinds of place that have tables of blocks.
  let tableCount: Int
  /// The weights of the longest norm that has none.
  let ones: UnsafePointer<Float>
  private let arena = Arena()

  init(_ program: Program, weights: Weights, fuses: Bool) {
    let steps = Fusion.phases(of: program, fuses: fuses)
    let operations = program.operations
    var tables: [RotaryAngles] = []
    for case .rotate(let turn) in operations where !tables.contains(turn.angles) {
      tables.append(turn.angles)
    }
    var attends: [Attend] = []
    for case .attend(let attend) in operations { attends.append(attend) }
    var experts: [Experts] = []
    for case .experts(let found) in operations { experts.append(found) }
    self.experts = experts
    var headProducts: [HeadProducts] = []
    for case .headProducts(let found) in operations { headProducts.append(found) }
    self.headProducts = headProducts
    var kvHeads: [Int] = []
    for attend in attends where !kvHeads.contains(attend.kvHeads) { kvHeads.append(attend.kvHeads) }
    let arena = arena

    func turns(_ operations: [Operation]) -> UnsafeBufferPointer<Turn> {
      arena.copy(
        operations.map { operation in
          guard case .rotate(let turn) = operation else { return Turn(operation: operation, table: 0) }
          return Turn(operation: operation, table: tables.firstIndex(of: turn.angles) ?? 0)
        })
    }
    func matrices(_ phase: Phase) -> [Matrix] {
      switch phase {
      case .headProducts(let products): (0..<products.heads).map { products.matrices[$0] }
      case .rows, .attend, .experts, .convolve, .recur: []
      case .products(_, let products): products.map(\.weights)
      case .gated(_, let gate, let up, _): [gate, up]
      }
    }
    /// Tiles of a gated product are counted once: its two matrices are read side by side.
    func stream(_ phase: Phase) -> Stream.Weights? {
      guard let first = matrices(phase).first else { return nil }
      var tiles: UInt32 = 0
      if case .gated = phase {
        tiles = ck_tile_count(UInt32(first.rows))
      } else {
        for matrix in matrices(phase) { tiles += ck_tile_count(UInt32(matrix.rows)) }
      }
      return Stream.Weights(first: weights.matrix(first), tiles: tiles)
    }
    func takesBlocks(_ phase: Phase) -> Bool {
      matrices(phase).contains { ck_type_takes_blocks($0.type.kernels) }
    }

    guard let end = HeadEnding(program.head) else {
      preconditionFailure("Program.init checks that the head ends with a product")
    }
    let head = end.product
    let headPhase = Phase.products(
      .init(row: head.from, norm: nil),
      [.init(weights: head.weights, bias: head.bias, into: .logits, isAdded: false)])
    guard let headWeights = stream(headPhase) else { preconditionFailure("a product has a matrix") }
    self.head = head
    headStream = Stream(weights: headWeights, next: nil, takesBlocks: takesBlocks(headPhase))
    ending = turns(Array(end.before))
    closing = turns(Array(end.after))

    // Built from the end, so that each product knows what is read after it.
    var upcoming: Stream.Weights? = headWeights
    var streams: [Stream?] = []
    for step in steps.reversed() {
      guard let own = stream(step.phase) else {
        streams.append(nil)
        // Which experts are read is not known before their router has run.
        if case .experts = step.phase { upcoming = nil }
        continue
      }
      streams.append(Stream(weights: own, next: upcoming, takesBlocks: takesBlocks(step.phase)))
      upcoming = own
    }
    streams.reverse()

    let mixing = (operations.lastIndex { $0.contents.state != nil } ?? program.embedding.count - 1) + 1
    var counters = 0
    var state = 0
    var entries: [Entry] = []
    for (step, stream) in zip(steps, streams) {
      let work: Work
      let taken: Int
      switch (step.phase, stream) {
      case (.rows(let operations), _):
        (work, taken) = (.rows(turns(operations)), 1)
      case (.products(let input, let products), let stream?):
        (work, taken) = (.products(input, arena.copy(products), stream), 2)
      case (.gated(let input, let gate, let up, let into), let stream?):
        (work, taken) = (.gated(input, gate: gate, up: up, into: into, stream), 2)
      case (.attend(let attend, let operations), _):
        let units = kvHeads.firstIndex(of: attend.kvHeads) ?? 0
        (work, taken) = (.attend(attend, state: attend.source ?? state, units: units, turns(operations)), 3)
        if attend.source == nil { state += 1 }
      case (.experts(let experts, let sum), _):
        (work, taken) = (.experts(experts, addedTo: sum), 4)
      case (.headProducts(let products), _):
        (work, taken) = (.headProducts(products), 2)
      case (.convolve(let convolve), _):
        (work, taken) = (.convolve(convolve, state: state), 1)
        state += 1
      case (.recur(let recur), _):
        (work, taken) = (.recur(recur, state: state), 1)
        state += 1
      case (.products, nil), (.gated, nil):
        preconditionFailure("a product has a matrix")
      }
      entries.append(
        Entry(work: work, counters: counters, endsLayer: step.endsLayer ?? -1, gathers: step.done == mixing))
      counters += taken
    }
    self.entries = arena.copy(entries)
    counterCount = counters
    gathered = Liveness(operations).live(after: mixing)
    attendsGathered = operations.dropFirst(mixing).contains { operation in
      if case .attend = operation { true } else { false }
    }
    self.tables = tables
    self.kvHeads = kvHeads
    self.attends = attends
    tableCount = program.kinds.count { $0 != .slot }
    let unweighted = operations.reduce(0) { longest, operation in
      if case .norm(let norm) = operation, norm.weight == nil { max(longest, norm.size) } else { longest }
    }
    let ones = arena.take(unweighted, of: Float.self)
    ones.initialize(repeating: 1, count: unweighted)
    self.ones = UnsafePointer(ones)
    longestInput = operations.reduce(0) { max($0, $1.contents.cost.longestInput) }

    var used: Set<Row> = [.stream, head.from]
    for operation in end.before { used.insert(operation.contents.writes.row) }
    for step in steps {
      switch step.phase {
      case .rows(let operations):
        for operation in operations {
          used.formUnion(operation.contents.reads.map(\.row) + [operation.contents.writes.row])
        }
      case .products(let input, let products):
        used.formUnion([input.row, input.name] + products.map(\.into))
      case .gated(let input, _, _, let into):
        used.formUnion([input.row, input.name, into])
      case .attend(let attend, _):
        used.formUnion(attend.reads.map(\.row) + [attend.into])
      case .headProducts(let products):
        used.formUnion([products.from, products.into])
      case .experts(let experts, let sum):
        used.formUnion([experts.from, experts.choices, experts.into] + (sum.map { [$0] } ?? []))
      case .convolve(let convolve):
        used.insert(convolve.row)
      case .recur(let recur):
        used.formUnion(recur.reads.map(\.row) + [recur.into])
      }
    }
    widths = Row.allCases.map { used.contains($0) && $0 != .logits ? program.widths[$0.rawValue] : 0 }
  }
}
