// Pooler.swift: the vector of a text: what becomes of the final hidden states of its positions
// (N1 item 14). The hidden states come from steps, in chunks. Start at Pooler.

/// Takes a text's hidden states as its chunks are computed.
public struct Pooler: Sendable {
  public let pooling: Pooling
  /// Whether the model sees both ways, so that a text is one chunk.
  private let isWhole: Bool
  private var row: [Float] = []
  private var count = 0

  public init(_ pooling: Pooling, of model: Model) {
    self.pooling = pooling
    isWhole = model.readsBothWays
  }

  /// Whether a text's beginning may be taken from what an earlier one computed: its hidden states are
  /// not needed, and what follows has no part in it.
  public var reusesBeginnings: Bool { pooling == .last && !isWhole }

  /// Which hidden states of a chunk are needed.
  /// - position: of its first token
  /// - isLast: whether the text ends with it
  public func output(at position: Int, isLast: Bool) -> StepItem.Output {
    if isWhole { return .all }
    switch pooling {
    case .mean: return .all
    case .first: return position == 0 ? .all : .none
    case .last: return isLast ? .end : .none
    }
  }

  /// Takes the hidden states of a chunk's outputs. A chunk at position 0 begins anew, as after a
  /// preemption that computes again.
  /// - states: (outputs, width)
  public mutating func take(_ states: [Float], width: Int, position: Int) {
    if position == 0 { (row, count) = ([], 0) }
    guard width > 0 else { return }
    let rows = states.count / width
    guard rows > 0 else { return }
    switch pooling {
    case .first: if row.isEmpty { row = Array(states[..<width]) }
    case .last: row = Array(states[((rows - 1) * width)...])
    case .mean:
      if row.isEmpty { row = [Float](repeating: 0, count: width) }
      for index in 0..<rows {
        for column in 0..<width { row[column] = row[column] + states[index * width + column] }
      }
      count += rows
    }
  }

  /// The vector before the model's own products and before its length is made 1.
  var pooled: [Float] {
    guard pooling == .mean, count > 0 else { return row }
    let share = 1 / Float(count)
    return row.map { $0 * share }
  }
}

extension Engine {
  /// The vector of a text whose chunks a pooler took: of the model's length or shorter, of length 1.
  /// Not during a step.
  /// - dimensions: how many numbers are kept, the first ones
  public func vector(_ pooler: Pooler, dimensions: Int) throws(EngineError) -> [Float] {
    guard (1...model.vectorLength).contains(dimensions) else {
      throw .badConfiguration(
        field: "dimensions", found: "\(dimensions)", wanted: "1 to \(model.vectorLength)")
    }
    let pooled = pooler.pooled
    guard pooled.count == model.hyperparameters.embeddingLength else {
      throw .badConfiguration(
        field: "the hidden state", found: "\(pooled.count) numbers",
        wanted: "\(model.hyperparameters.embeddingLength), which a text's chunks give")
    }
    guard let projected = try project(pooled) else { throw .notFinite(position: 0) }
    return Engine.normalised(projected.prefix(dimensions))
  }

  /// x / |x|, with the sum of squares in 16 lanes and the tree of item 4; zeros stay zeros.
  static func normalised(_ x: some Collection<Float>) -> [Float] {
    var lanes = [Float](repeating: 0, count: 16)
    for (index, value) in x.enumerated() {
      lanes[index % 16] = lanes[index % 16].addingProduct(value, value)
    }
    for distance in [8, 4, 2, 1] {
      for lane in 0..<distance { lanes[lane] = lanes[lane] + lanes[lane + distance] }
    }
    guard lanes[0] > 0 else { return Array(x) }
    let r = 1 / lanes[0].squareRoot()
    return x.map { $0 * r }
  }

  /// The vector of one text, on an engine that does nothing else: its blocks are those of the text.
  /// - chunk: tokens of a step
  public func embed(
    _ tokens: [Int32], _ pooling: Pooling, dimensions: Int, chunk: Int = 512,
    progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
  ) throws(EngineError) -> [Float] {
    var pooler = Pooler(pooling, of: model)
    let blocks = (0..<Int32(configuration.kvBlocks)).map { $0 }
    var position = 0
    while position < tokens.count {
      let end = model.readsBothWays ? tokens.count : min(tokens.count, position + chunk)
      let item = StepItem(
        tokens: Array(tokens[position..<end]), position: position, blocks: blocks, state: .init(0),
        output: pooler.output(at: position, isLast: end == tokens.count), states: true)
      let results = try step([item])
      if let failure = results.first?.failure { throw failure }
      pooler.take(
        results.first?.states ?? [], width: model.hyperparameters.embeddingLength, position: position)
      position = end
      progress(position, tokens.count)
    }
    return try vector(pooler, dimensions: dimensions)
  }
}
