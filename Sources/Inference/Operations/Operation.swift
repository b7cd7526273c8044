// Operation.swift: the closed set of steps that a decoder is made of. An architecture is a list of
// them, a device interprets the list, and hotpot-numerics(7) gives each its bits. Start at
// Operation.
//
// A new operation is a file beside this one and a case below; the compiler then names every place
// that must know it.

/// One step of a decoder, for every token of a batch. Plain data without references, so that
/// workers read lists of them without counting references.
package enum Operation: Hashable, Sendable, BitwiseCopyable {
  case embed(Embed)
  case norm(Norm)
  case multiply(Multiply)
  case rotate(Rotate)
  case attend(Attend)
  case temper(Temper)
  case gate(Gate)
  case activate(Activate)
  case add(Add)
  case scale(Scale)
  case cap(Cap)
  case route(Route)
  case experts(Experts)
  case weigh(Weigh)
  case headProducts(HeadProducts)
  case assemble(Assemble)
  case slice(Slice)
  case unit(Unit)
  case softplus(Softplus)
  case convolve(Convolve)
  case recur(Recur)

  package var contents: any OperationContents {
    switch self {
    case .embed(let operation): operation
    case .norm(let operation): operation
    case .multiply(let operation): operation
    case .rotate(let operation): operation
    case .attend(let operation): operation
    case .temper(let operation): operation
    case .gate(let operation): operation
    case .activate(let operation): operation
    case .add(let operation): operation
    case .scale(let operation): operation
    case .cap(let operation): operation
    case .route(let operation): operation
    case .experts(let operation): operation
    case .weigh(let operation): operation
    case .headProducts(let operation): operation
    case .assemble(let operation): operation
    case .slice(let operation): operation
    case .unit(let operation): operation
    case .softplus(let operation): operation
    case .convolve(let operation): operation
    case .recur(let operation): operation
    }
  }
}

/// What every operation declares. Sizes, order, counts and the printed list are derived from this.
package protocol OperationContents: Hashable, Sendable, BitwiseCopyable {
  /// The rows that it reads, and how many numbers of each.
  var reads: [Access] { get }
  /// The row that it writes; one that it also reads is changed in place.
  var writes: Access { get }
  /// The matrix that it reads completely for every token.
  var matrix: Matrix? { get }
  /// What its products are for one token.
  var cost: ProductCost { get }
  /// What it keeps of a sequence from one step to the next. Only what is kept makes a row depend on
  /// others: the rest can be left out for rows without an output.
  var state: SequenceState? { get }
  /// One line of the printed list. `name` gives a tensor's name.
  func text(_ name: (Int) -> String) -> String
}

/// A row and how many of its numbers are used.
package struct Access: Hashable, Sendable {
  package let row: Row
  package let width: Int

  init(_ row: Row, _ width: Int) {
    self.row = row
    self.width = width
  }
}

/// What one token's products read and take.
package struct ProductCost: Sendable {
  /// Of packed weights.
  package let bytes: Int
  /// Multiplications and additions.
  package let operations: Int
  /// Numbers of the longest row that a matrix multiplies.
  package let longestInput: Int

  init(bytes: Int, operations: Int, longestInput: Int) {
    self.bytes = bytes
    self.operations = operations
    self.longestInput = longestInput
  }

  /// Of the product with one matrix; nil: none.
  init(_ matrix: Matrix?) {
    self.init(
      bytes: matrix?.packedBytes ?? 0, operations: matrix.map { 2 * $0.rows * $0.columns } ?? 0,
      longestInput: matrix?.columns ?? 0)
  }
}

extension OperationContents {
  package var matrix: Matrix? { nil }
  package var cost: ProductCost { ProductCost(matrix) }
  package var state: SequenceState? { nil }
}

extension Matrix {
  /// For the printed list: name, type and shape.
  func text(_ name: (Int) -> String) -> String {
    "\(name(tensor)) \(type.name) \(columns)x\(rows)" + (firstRow == 0 ? "" : " from row \(firstRow)")
  }
}
