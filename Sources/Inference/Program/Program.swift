// Program.swift: a decoder as lists of operations over the tensors of one file, and what follows
// from the lists: sizes, counts, kinds of state, the printed form. Running it is in Devices/. Start
// at init(_:among:).

import CKernels

/// One file's decoder. Everything that is derived from its layers is a fold over `operations`.
package struct Program: Sendable {
  package let shape: Hyperparameters
  package let embedding: [Operation]
  package let layers: [[Operation]]
  package let head: [Operation]
  /// What becomes of the vector of a whole text (`Architecture.pooled`).
  package let pooled: [Multiply]
  /// How the file's makers made one vector of a text; nil: it is not made for that.
  package let pooling: Pooling?
  /// Every tensor of the file, each once, in the order in which the lists first name them.
  package let tensors: [PackedTensor]
  /// What people should know about the file: what of it is not run.
  package let notes: [String]
  /// Bytes of the packed weights.
  package let packedByteCount: Int
  /// The widest use of each row, indexed by `Row.rawValue`; 0: not used.
  package let widths: [Int]
  /// What a sequence keeps: one entry for each operation that keeps something, in their order.
  package let states: [SequenceState]
  /// The kinds of place that a sequence has, each once. `all` is always present and comes first; it
  /// counts a sequence's positions; `slot` comes last, if it is there.
  package let kinds: [StateKind]

  /// - architectures: those to choose from; the file names one of them.
  package init(_ file: GGUFFile, among architectures: [Architecture]) throws(ModelError) {
    let keys = try MetadataReader(file)
    guard let architecture = architectures.first(where: { $0.name == keys.architecture }) else {
      throw keys.failure(
        .unsupportedArchitecture(keys.architecture, supported: architectures.map(\.name)))
    }
    shape = try architecture.shape(keys)
    let reader = TensorReader(keys: keys, shape: shape)
    embedding = try architecture.embedding(reader)
    var layers: [[Operation]] = []
    for index in 0..<shape.layerCount {
      reader.enter(layer: index)
      layers.append(try architecture.layer(index, reader))
    }
    self.layers = layers
    let skipped = shape.layerCount..<(shape.layerCount + shape.predictionLayerCount)
    for index in skipped { reader.skip(layer: index) }
    notes =
      skipped.isEmpty
      ? []
      : [
        skipped.count == 1
          ? "1 more layer, which predicts further tokens, is not run"
          : "\(skipped.count) more layers, which predict further tokens, are not run"
      ]
    reader.enter(layer: nil)
    head = try architecture.head(reader)
    let pooled = try architecture.pooled(reader)
    self.pooled = pooled.compactMap { if case .multiply(let product) = $0 { product } else { nil } }
    pooling = try keys.pooling()
    try reader.refuseUnread()
    states = (embedding + layers.joined() + head).compactMap(\.contents.state)
    var kinds = [StateKind.all]
    for state in states where !kinds.contains(state.kind) && state.kind != .slot {
      kinds.append(state.kind)
    }
    self.kinds = kinds + (states.contains { $0.kind == .slot } ? [.slot] : [])
    tensors = reader.tensors
    packedByteCount = reader.byteCount
    do throws(ListError) {
      widths = try Program.widths(of: embedding + layers.joined() + head + pooled)
      guard self.pooled.count == pooled.count else {
        throw ListError(text: "something else than products follows the vector of a text")
      }
      guard let ending = HeadEnding(head), ending.product.weights.rows == shape.vocabularySize else {
        throw ListError(text: "the head does not end with a product into logits")
      }
    } catch {
      throw keys.failure(
        .unsupportedFeature("the list of architecture '\(architecture.name)' is wrong: \(error.text),"))
    }
  }

  /// From the embedding to the logits.
  package var operations: [Operation] { embedding + layers.joined() + head }

  /// Whether tokens see what comes behind them: such a model reads whole texts, and generates none.
  package var readsBothWays: Bool {
    operations.contains { if case .attend(let attend) = $0 { attend.isBothWays } else { false } }
  }

  /// Bytes of packed weights that one token's forward pass reads, the head included and the
  /// embedding not; of experts only those that one token goes through.
  package var bytesPerToken: Int {
    operations.reduce(0) { $0 + $1.contents.cost.bytes }
  }

  /// Multiplications and additions of the products for one token, the head included.
  package var operationsPerToken: Int {
    operations.reduce(0) { $0 + $1.contents.cost.operations }
  }

  // MARK: - Checks

  /// Why a list cannot be run: a fault in the list, or in a file that its checks let through.
  struct ListError: Error { let text: String }

  /// Follows every row through the list: each row that is read must have been written before, at
  /// least as wide.
  static func widths(of operations: [Operation]) throws(ListError) -> [Int] {
    var written = [Int](repeating: 0, count: Row.allCases.count)
    var widths = written
    var states: [SequenceState] = []
    for operation in operations {
      let contents = operation.contents
      if case .attend(let attend) = operation, let source = attend.source {
        guard states.indices.contains(source), states[source] == attend.kept else {
          throw ListError(text: "attention to keys and values that no layer before it keeps")
        }
      }
      if let state = contents.state { states.append(state) }
      for read in contents.reads where read.width > written[read.row.rawValue] {
        throw ListError(
          text: "\(operation.kind) reads \(read.width) of \(read.row.name), which has "
            + "\(written[read.row.rawValue])")
      }
      if let reason = operation.fault { throw ListError(text: reason) }
      let target = contents.writes
      written[target.row.rawValue] = target.width
      widths[target.row.rawValue] = max(widths[target.row.rawValue], target.width)
    }
    return widths
  }
}

/// How a head ends: with a product into logits, and perhaps operations on these alone.
package struct HeadEnding {
  /// What makes the row that the product multiplies: the final hidden state.
  package let before: ArraySlice<Operation>
  package let product: Multiply
  package let after: ArraySlice<Operation>

  /// nil where the list ends in another way.
  package init?(_ head: [Operation]) {
    guard
      let at = head.lastIndex(where: {
        if case .multiply(let product) = $0 { product.into == .logits } else { false }
      }), case .multiply(let product) = head[at]
    else { return nil }
    self.product = product
    before = head[..<at]
    after = head[(at + 1)...]
    let isOfLogits = after.allSatisfy { operation in
      switch operation {
      case .scale, .cap: operation.contents.writes.row == .logits
      case .embed, .norm, .multiply, .rotate, .attend, .temper, .gate, .activate, .add, .route, .experts,
        .weigh, .headProducts, .assemble,
        .slice, .unit, .softplus, .convolve, .recur:
        false
      }
    }
    guard isOfLogits else { return nil }
  }
}

extension Operation {
  /// The case's name.
  package var kind: String { String("\(self)".prefix { $0 != "(" }) }

  /// Why the kernels can't run the operation; nil if they can.
  var fault: String? {
    switch self {
    case .multiply(let product):
      if product.from == product.into { return "a product overwrites its input" }
      if product.weights.columns % 32 != 0 { return "a product with rows of \(product.weights.columns)" }
      if let bias = product.bias, bias.count != product.weights.rows {
        return "a bias is not as long as its rows"
      }
      return nil
    case .attend(let attend):
      let isWhole =
        attend.kvHeads > 0 && attend.heads % attend.kvHeads == 0 && attend.group <= Int(CK_MOST_GROUP)
      if !isWhole { return "\(attend.heads) query heads on \(attend.kvHeads)" }
      if attend.size % 16 != 0 || !(16...576).contains(attend.size) { return "heads of \(attend.size)" }
      if let window = attend.window, window < 1 { return "a window of \(window) positions" }
      if let chunk = attend.chunk, chunk < 1 { return "chunks of \(chunk) positions" }
      if let sinks = attend.sinks, sinks.count != attend.heads { return "\(sinks.count) sinks" }
      return nil
    case .rotate(let turn):
      return turn.start + 2 * turn.angles.pairs > turn.size ? "more pairs are rotated than a head has" : nil
    case .route(let route):
      return route.fault
    case .experts(let experts):
      return experts.fault
    case .assemble(let assembly):
      return assembly.fault
    case .headProducts(let products):
      return products.from == products.into ? "products of heads overwrite their input" : nil
    case .norm(let norm):
      return norm.fault
    case .temper(let temper):
      return temper.period < 1 || temper.offset < 0 ? "a factor of \(temper.period) positions" : nil
    case .slice(let slice):
      let isInside = slice.start >= 0 && slice.count > 0 && slice.start + slice.count <= slice.stride
      return isInside && slice.from != slice.into ? nil : "a slice overwrites its input, or lies outside"
    case .unit(let unit):
      return unit.size % 16 != 0 ? "heads of \(unit.size)" : nil
    case .convolve(let convolve):
      if convolve.channels % 16 != 0 { return "a convolution of \(convolve.channels) channels" }
      return (2...Int(CK_MOST_TAPS)).contains(convolve.taps) ? nil : "\(convolve.taps) taps"
    case .recur(let recur):
      let isWhole = recur.keyHeads > 0 && recur.heads % recur.keyHeads == 0
      if !isWhole { return "\(recur.heads) heads on \(recur.keyHeads)" }
      if recur.reads.contains(where: { $0.row == recur.into }) { return "a recurrence overwrites its input" }
      return recur.keySize % 16 != 0 ? "keys of \(recur.keySize)" : nil
    case .embed, .gate, .activate, .add, .scale, .cap, .weigh, .softplus:
      return nil
    }
  }
}
