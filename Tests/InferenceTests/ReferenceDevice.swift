// ReferenceDevice.swift: hotpot-numerics(7) in Swift: a device that interprets a program's list one
// operation, one token and one number at a time, from the bytes of the file. Slow, and shares no
// arithmetic with the kernels.
// Leaves out sampling, which is no device's matter, and blocks, which ReferenceBlocks.swift reads.
// Start at run(_:).

import Inference

/// Items 1 to 9, 12 and 13 of the page; comments name them.
final class ReferenceDevice: Device {
  let name = "reference"
  let threadCount = 1
  private let program: Program
  private let file: GGUFFile
  private let top: Float
  private let sampler: Sampler
  private let kinds: [Int]
  private var matrices: [Int: [ReferenceBlock]] = [:]
  private var vectors: [Int: [Float]] = [:]
  /// By state of the program, then place: block and slot.
  private var kept: [[Int: Kept]]
  /// By state of the program, then slot: a convolution's columns or a recurrent state's matrices.
  private var slots: [[Int: [Float]]]

  /// A key and a value of one position, by head.
  private struct Kept {
    var keys: [Vector16]
    var values: [Vector16]
  }

  /// Integers and their scale (items 2 and 6).
  private struct Vector16 {
    var integers: [Int32]
    var scale: Float
  }

  init(model: Model, profile: Engine.Profile) {
    program = model.program
    file = model.file
    top =
      switch profile {
      case .a8: 127
      case .a12: 2_032
      case .a15: 16_383
      }
    sampler = Sampler(vocabularySize: program.shape.vocabularySize, level: .scalar)
    kept = program.states.map { _ in [:] }
    slots = program.states.map { _ in [:] }
    let all = program.kinds
    kinds = program.states.map { all.firstIndex(of: $0.kind) ?? 0 }
  }

  // MARK: - Blocks of states

  func blockByteCount(of kind: Int) -> Int {
    zip(program.states, kinds).reduce(0) { sum, found in
      guard found.1 == kind else { return sum }
      guard case .keysAndValues(let heads, let size, _) = found.0 else {
        return sum + found.0.bytesPerSequence
      }
      return sum + 16 * 2 * heads * (4 + 2 * size)
    }
  }

  func read(_ block: Int, of kind: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
    for (index, state) in program.states.enumerated() where kinds[index] == kind {
      guard case .keysAndValues(let heads, let size, _) = state else {
        let zeros = [Float](repeating: 0, count: state.bytesPerSequence / 4)
        for number in slots[index][block] ?? zeros { put(number.bitPattern) }
        continue
      }
      let empty = [Vector16](
        repeating: Vector16(integers: .init(repeating: 0, count: size), scale: 0), count: heads)
      for slot in 0..<16 {
        let found = kept[index][block * 16 + slot] ?? Kept(keys: empty, values: empty)
        for vector in found.keys + found.values {
          put(vector.scale.bitPattern)
          for integer in vector.integers { put(Int16(integer)) }
        }
      }
    }
    return bytes
  }

  func write(_ bytes: [UInt8], to block: Int, of kind: Int) {
    var at = 0
    func take<T: FixedWidthInteger>(_ type: T.Type) -> T {
      defer { at += MemoryLayout<T>.size }
      return bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
    }
    for (index, state) in program.states.enumerated() where kinds[index] == kind {
      guard case .keysAndValues(let heads, let size, _) = state else {
        slots[index][block] = (0..<(state.bytesPerSequence / 4)).map { _ in
          Float(bitPattern: take(UInt32.self))
        }
        continue
      }
      for slot in 0..<16 {
        func vectors() -> [Vector16] {
          (0..<heads).map { _ in
            let scale = Float(bitPattern: take(UInt32.self))
            return Vector16(integers: (0..<size).map { _ in Int32(take(Int16.self)) }, scale: scale)
          }
        }
        let keys = vectors()
        kept[index][block * 16 + slot] = Kept(keys: keys, values: vectors())
      }
    }
  }

  func copy(_ block: Int, to other: Int, of kind: Int) { write(read(block, of: kind), to: other, of: kind) }

  func weightBandwidth(rounds: Int) -> Double { 0 }

  // MARK: - Steps

  func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]? {
    var results: [StepResult] = []
    for item in items {
      var result = StepResult(firstPosition: item.position + item.outputs.lowerBound)
      let both = program.readsBothWays ? runBothWays(item) : []
      for (index, token) in item.tokens.enumerated() {
        if cancelled() { return nil }
        let position = item.position + index
        let rows =
          both.isEmpty
          ? run(program.embedding + program.layers.joined(), [:], token, position, index, item) : both[index]
        guard item.outputs.contains(index) else { continue }
        let ends = run(program.head, rows, token, position, index, item)
        guard let head = HeadEnding(program.head)?.product, let state = ends[head.from],
          let logits = ends[.logits]
        else { preconditionFailure("a program ends with logits") }
        if item.digests { result.digests.append(state.withUnsafeBytes { sha256($0) }) }
        if item.logits { result.logits += logits }
        if item.states { result.states += state }
        guard let context = item.context else { continue }
        var scratch = logits
        scratch.withUnsafeMutableBufferPointer { logits in
          guard let base = logits.baseAddress else { return }
          let choice = sampler.choose(from: base, context: context, position: position + 1)
          if let choice { result.choices.append(choice) }
        }
      }
      results.append(result)
    }
    return results
  }

  /// One operation after the other, each for all tokens: what is seen both ways is stored before
  /// anyone attends.
  private func runBothWays(_ item: StepItem) -> [[Row: [Float]]] {
    var rows = item.tokens.map { _ in [Row: [Float]]() }
    var state = 0
    for operation in program.embedding + program.layers.joined() {
      guard case .attend(let attend) = operation else {
        for (index, token) in item.tokens.enumerated() {
          rows[index] = run([operation], rows[index], token, item.position + index, index, item)
        }
        continue
      }
      // The first round stores; what it attends to is not complete.
      for _ in 0..<2 {
        for index in item.tokens.indices {
          rows[index][attend.into] = attended(
            attend, rows[index], state: state, item.position + index, item.table(kinds[state]),
            end: item.position + item.tokens.count)
        }
      }
      state += 1
    }
    return rows
  }

  func project(_ vector: [Float]) -> [Float]? {
    program.pooled.reduce(vector) { row, product in multiplied(row, by: product.weights) }
  }

  /// Every operation in its order, for one token.
  private func run(
    _ operations: [Inference.Operation], _ rows: [Row: [Float]], _ token: Int32, _ position: Int,
    _ index: Int, _ item: StepItem
  ) -> [Row: [Float]] {
    var rows = rows
    var state = 0
    for operation in operations {
      switch operation {
      case .embed(let embed):
        rows[embed.into] = values(matrix(embed.table), row: Int(token), of: embed.table)
      case .norm(let norm):
        let x = rows[norm.from] ?? []
        let size = norm.size
        rows[norm.into] = (0..<norm.parts).flatMap { part in
          var x = Array(x[(part * size)..<((part + 1) * size)])
          if norm.isCentred {
            let mean = tree(lanes(x) { $0 + $1 }) / Float(size)
            x = x.map { $0 - mean }
          }
          var weight = norm.weight.map(vector)
          if norm.isWhole { weight = weight.map { Array($0[(part * size)..<((part + 1) * size)]) } }
          let y = normalised(x, by: weight, norm.epsilon)
          return norm.bias.map { zip(y, vector($0)).map { $0 + $1 } } ?? y
        }
      case .multiply(let product):
        var y = multiplied(rows[product.from] ?? [], by: product.weights)
        if let bias = product.bias { y = zip(y, vector(bias)).map { $0 + $1 } }
        rows[product.into] = y
      case .rotate(let turn):
        rows[turn.row] = turned(rows[turn.row] ?? [], turn, position)
      case .attend(let attend):
        let source = attend.source ?? state
        rows[attend.into] = attended(attend, rows, state: source, position, item.table(kinds[source]))
        if attend.source == nil { state += 1 }
      case .gate(let gate):
        rows[gate.gate] = zip(rows[gate.gate] ?? [], (rows[gate.up] ?? []).dropFirst(gate.start)).map {
          x, up in activated(gate.activation, x, up)
        }
      case .activate(let activate):
        rows[activate.row] = (rows[activate.row] ?? []).map { activated(activate.activation, $0) }
      case .temper(let temper):
        let logarithm =
          logarithm2(Double(1 + (position + temper.offset) / temper.period)) * 0x1.62e42fefa39efp-1
        let factor = Float(1 + temper.slope * logarithm)
        rows[temper.row] = (rows[temper.row] ?? []).map { $0 * factor }
      case .route(let route):
        rows[route.into] = routed(route, rows[route.logits] ?? [])
      case .experts(let experts):
        rows[experts.into] = mixed(experts, rows[experts.from] ?? [], rows[experts.choices] ?? [])
      case .headProducts(let products):
        let x = rows[products.from] ?? []
        rows[products.into] = (0..<products.heads).flatMap { head -> [Float] in
          let first = head * products.stride
          return multiplied(
            Array(x[first..<(first + products.matrices.columns)]), by: products.matrices.all,
            first: head * products.matrices.rows, rows: products.matrices.rows)
        }
      case .assemble(let assembly):
        rows[assembly.into] = (0..<assembly.heads).flatMap { head -> [Float] in
          let found = assembly.parts.flatMap { part in
            (rows[part.row] ?? [])[(part.start + head * part.stride)...].prefix(part.width)
          }
          return found + [Float](repeating: 0, count: assembly.size - found.count)
        }
      case .weigh(let weigh):
        let share = 1 / (1 + exponential(-(rows[weigh.share] ?? [])[0]))
        rows[weigh.row] = (rows[weigh.row] ?? []).map { $0 * share }
      case .slice(let slice):
        rows[slice.into] = (0..<slice.parts).flatMap { part in
          let first = part * slice.stride + slice.start
          return (rows[slice.from] ?? [])[first..<(first + slice.count)]
        }
      case .unit(let unit):
        let x = rows[unit.row] ?? []
        rows[unit.row] = (0..<unit.heads).flatMap { head in
          let part = x[(head * unit.size)..<((head + 1) * unit.size)]
          let r = 1 / (product(part, part) + unit.epsilon).squareRoot()
          return part.map { $0 * r * unit.scale }
        }
      case .softplus(let softplus):
        rows[softplus.row] = zip(rows[softplus.row] ?? [], vector(softplus.bias)).map { x, bias in
          softened(x + bias)
        }
      case .convolve(let convolve):
        rows[convolve.row] = convolved(convolve, rows, state: state, position, index, item)
        state += 1
      case .recur(let recur):
        rows[recur.into] = recurred(recur, rows, state: state, position, index, item)
        state += 1
      case .cap(let cap):
        rows[cap.row] = (rows[cap.row] ?? []).map { x in
          let tanh = 1 - 2 / (1 + exponential(2 * (x / cap.bound)))
          return tanh * cap.bound
        }
      case .scale(let scale):
        rows[scale.row] = (rows[scale.row] ?? []).map { $0 * scale.factor }
      case .add(let add):
        rows[add.to] = zip(rows[add.to] ?? [], rows[add.from] ?? []).map { $0 + $1 }
      }
    }
    return rows
  }

  private func activated(_ activation: Activate.Activation, _ x: Float) -> Float {
    switch activation {
    case .gelu: return gelu(x)
    case .squaredRelu: return x < 0 ? 0 : x * x
    }
  }

  private func activated(_ activation: Gate.Activation, _ x: Float, _ up: Float) -> Float {
    switch activation {
    case .silu: return x / (1 + exponential(-x)) * up
    case .gelu: return gelu(x) * up
    case .clampedSwish:
      let x = min(x, 7)
      return x / (1 + exponential(x * -1.702)) * (min(max(up, -7), 7) + 1)
    case .sigmoid: return 1 / (1 + exponential(-x)) * up
    case .plain: return x * up
    }
  }

  // MARK: - Item 12

  /// Numbers of the chosen experts, then their weights.
  private func routed(_ route: Inference.Route, _ logits: [Float]) -> [Float] {
    let bias = route.bias.map(vector)
    var p = logits
    switch route.gating {
    case .softmax:
      let most = logits.max() ?? 0
      let powers = logits.map { exponential($0 - most) }
      var lanes = [Float](repeating: 0, count: 16)
      for (i, power) in powers.enumerated() { lanes[i % 16] = lanes[i % 16] + power }
      let sum = tree(lanes)
      p = powers.map { $0 / sum }
    case .sigmoid: p = logits.map { 1 / (1 + exponential(-$0)) }
    case .softmaxOfChosen: break
    }
    var compared = logits
    if bias != nil || route.groups != nil { compared = p.enumerated().map { $1 + (bias?[$0] ?? 0) } }
    func best(_ values: [Float], _ count: Int) -> [Int] {
      Array(
        values.indices.sorted { values[$0] > values[$1] || (values[$0] == values[$1] && $0 < $1) }.prefix(
          count))
    }
    if let groups = route.groups {
      let size = route.experts / groups.count
      let scores = (0..<groups.count).map { group -> Float in
        let ordered = compared[(group * size)..<((group + 1) * size)].sorted(by: >)
        return size > 1 ? ordered[0] + ordered[1] : ordered[0]
      }
      let kept = best(scores, groups.chosen)
      for expert in compared.indices where !kept.contains(expert / size) { compared[expert] = -.infinity }
    }
    let chosen = best(compared, route.chosen)
    var weights = chosen.map { p[$0] }
    if route.gating == .softmaxOfChosen { weights = chosen.map { exponential(p[$0] - p[chosen[0]]) } }
    if route.gating == .softmaxOfChosen || route.isNormalised {
      let sum = max(weights.reduce(0, +), 0x1p-14)
      weights = weights.map { $0 / sum }
    }
    weights = weights.map { $0 * route.scale }
    if let factors = route.factors.map(vector) {
      weights = zip(weights, chosen).map { $0 * factors[$1] }
    }
    return chosen.map(Float.init) + weights
  }

  private func mixed(_ experts: Experts, _ x: [Float], _ choices: [Float]) -> [Float] {
    let chosen = (0..<experts.chosen).map { (Int(choices[$0]), choices[experts.chosen + $0]) }
    var sum = [Float](repeating: 0, count: experts.down.rows)
    for (expert, weight) in chosen.sorted(by: { $0.0 < $1.0 }) {
      func product(_ x: [Float], _ matrices: ExpertMatrices, _ bias: Vector?) -> [Float] {
        let perExpert = matrices.all.rows / matrices.count
        let y = multiplied(
          x, by: matrices.all, first: expert * perExpert + matrices.first, rows: matrices.rows)
        guard let bias else { return y }
        return zip(y, vector(bias)[(expert * matrices.rows)...]).map { $0 + $1 }
      }
      let input = experts.weighting == .input ? x.map { $0 * weight } : x
      let up = product(input, experts.up, experts.upBias)
      let hidden =
        switch experts.hidden {
        case .gated(let matrices, let bias, let activation):
          zip(product(input, matrices, bias), up).map { activated(activation, $0, $1) }
        case .plain(let activation): up.map { activated(activation, $0) }
        }
      let y = product(hidden, experts.down, experts.downBias)
      let weight = experts.weighting == .output ? weight : 1
      sum = zip(sum, y).map { $0 + weight * $1 }
    }
    return sum
  }

  // MARK: - Items 1 to 3

  private func matrix(_ matrix: Matrix) -> [ReferenceBlock] {
    let tensor = program.tensors[matrix.tensor].tensor
    let perRow = matrix.columns / min(tensor.type.blockSize, 32)
    if let known = matrices[matrix.tensor] {
      return Array(known[(matrix.firstRow * perRow)..<((matrix.firstRow + matrix.rows) * perRow)])
    }
    let bytes = file.bytes(of: tensor)
    let count = tensor.rowCount * (matrix.columns / tensor.type.blockSize)
    let blocks = (0..<count).flatMap { ReferenceBlock.read(tensor.type, bytes, block: $0) }
    matrices[matrix.tensor] = blocks
    return self.matrix(matrix)
  }

  private func vector(_ vector: Vector) -> [Float] {
    if let known = vectors[vector.tensor] {
      return Array(known[vector.first..<(vector.first + vector.count)])
    }
    let tensor = program.tensors[vector.tensor].tensor
    precondition(tensor.type == .f32, "the reference's vectors are F32")
    let bytes = file.bytes(of: tensor)
    vectors[vector.tensor] = (0..<bytes.count / 4).map { float(bytes, 4 * $0) }
    return self.vector(vector)
  }

  private func float(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Float {
    Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
  }

  private func values(_ blocks: [ReferenceBlock], row: Int, of matrix: Matrix) -> [Float] {
    let perRow = blocks.count / matrix.rows
    return blocks[(row * perRow)..<((row + 1) * perRow)].flatMap { block -> [Float] in
      if block.integers.isEmpty { return [block.value] }
      return block.integers.map { q in
        let product = block.scale * Float(q)
        return block.minimum.map { product + $0 } ?? product
      }
    }
  }

  /// Item 2; nil where everything is zero.
  private func quantised(_ x: ArraySlice<Float>, top: Float) -> Vector16? {
    let amax = x.reduce(0) { max($0, abs($1)) }
    let id = top / amax
    guard amax > 0, id.isFinite else { return nil }
    return Vector16(
      integers: x.map { Int32(($0 * id).rounded(.toNearestOrEven)) }, scale: amax / top)
  }

  /// - first, rows: which of the matrix's; nil: all
  private func multiplied(_ x: [Float], by weights: Matrix, first: Int = 0, rows: Int? = nil) -> [Float] {
    let blocks = matrix(weights)
    let perRow = blocks.count / weights.rows
    let wanted = first..<first + (rows ?? weights.rows)
    if perRow == weights.columns {
      return wanted.map { row in
        var sum: Float = 0
        for column in 0..<perRow { sum = sum.addingProduct(blocks[row * perRow + column].value, x[column]) }
        return sum
      }
    }
    let inputs = stride(from: 0, to: x.count, by: 32).map { quantised(x[$0..<($0 + 32)], top: top) }
    return wanted.map { row in
      var sum: Float = 0
      for (index, input) in inputs.enumerated() {
        let block = blocks[row * perRow + index]
        let (v, d) = (input?.integers ?? [Int32](repeating: 0, count: 32), input?.scale ?? 0)
        var isum: Int32 = 0
        for (q, v) in zip(block.integers, v) { isum += q * v }
        sum = sum.addingProduct(Float(isum), block.scale * d)
        if let minimum = block.minimum {
          sum = sum.addingProduct(minimum, d * Float(v.reduce(0, +)))
        }
      }
      return sum
    }
  }

  // MARK: - Items 4 and 5

  /// Lane l and l + 8, then 4, 2 and 1 apart.
  private func tree(_ lanes: [Float]) -> Float {
    var lanes = lanes
    for apart in [8, 4, 2, 1] { for lane in 0..<apart { lanes[lane] = lanes[lane] + lanes[lane + apart] } }
    return lanes[0]
  }

  /// Element i in lane i mod 16, ascending.
  private func lanes(_ x: [Float], _ add: (Float, Float) -> Float) -> [Float] {
    var lanes = [Float](repeating: 0, count: 16)
    for (i, value) in x.enumerated() { lanes[i % 16] = add(lanes[i % 16], value) }
    return lanes
  }

  private func normalised(_ x: [Float], by weight: [Float]?, _ epsilon: Float) -> [Float] {
    let squares = tree(lanes(x) { $0.addingProduct($1, $1) })
    let r = 1 / (squares / Float(x.count) + epsilon).squareRoot()
    guard let weight else { return x.map { $0 * r } }
    return zip(x, weight).map { $0 * r * $1 }
  }

  private func turned(_ x: [Float], _ turn: Rotate, _ position: Int) -> [Float] {
    var x = x
    let n = turn.angles.pairs
    let divisors = turn.angles.divisors(turn.angles.factors.map(vector))
    for i in 0..<n {
      var frequency =
        power2(-(Double(i) / Double(n)) * logarithm2(turn.angles.base)) * (1 / turn.angles.scale)
      frequency = frequency / Double(divisors[i])
      let (c, s) = cosineAndSine(Double(position) * frequency)
      let (cosine, sine) = (Float(turn.angles.magnitude * c), Float(turn.angles.magnitude * s))
      for head in 0..<turn.heads {
        let first = head * turn.size + turn.start
        let (a, b) =
          switch turn.pairing {
          case .neighbours: (first + 2 * i, first + 2 * i + 1)
          case .halves: (first + i, first + i + n)
          }
        let (x0, x1) = (x[a], x[b])
        x[a] = (x0 * cosine).addingProduct(-x1, sine)
        x[b] = (x1 * cosine).addingProduct(x0, sine)
      }
    }
    return x
  }

  private func logarithm2(_ x: Double) -> Double {
    var m = x.significand
    var e = Double(x.exponent)
    if m > 0x1.6a09e667f3bcdp+0 {
      m *= 0.5
      e += 1
    }
    let z = (m - 1) / (m + 1)
    let q = z * z
    var t = 0.0
    for k in stride(from: 27, through: 1, by: -2) { t = t * q + 1 / Double(k) }
    return e + 2 * z * t * 0x1.71547652b82fep+0
  }

  private func power2(_ x: Double) -> Double {
    let k = (x + 0x1.8p52) - 0x1.8p52
    let r = (x - k) * 0x1.62e42fefa39efp-1
    var t = 1.0
    for n in stride(from: 18, through: 1, by: -1) { t = 1 + t * r / Double(n) }
    return t * Double(sign: .plus, exponent: Int(k), significand: 1)
  }

  private func cosineAndSine(_ x: Double) -> (Double, Double) {
    let k = (x * 0x1.45f306dc9c883p-1 + 0x1.8p52) - 0x1.8p52
    var r = x - k * 0x1.921fb544p+0
    r = r - k * 0x1.0b4611a6p-34
    r = r - k * 0x1.3198a2e037073p-69
    let q = r * r
    var s = 1.0
    for j in stride(from: 20, through: 2, by: -2) { s = 1 - s * q / Double(j * (j + 1)) }
    s = s * r
    var c = 1.0
    for j in stride(from: 19, through: 1, by: -2) { c = 1 - c * q / Double(j * (j + 1)) }
    switch Int(k) & 3 {
    case 0: return (c, s)
    case 1: return (-s, c)
    case 2: return (-c, -s)
    default: return (s, -c)
    }
  }

  // MARK: - Items 6 to 8

  private func attended(
    _ attend: Attend, _ rows: [Row: [Float]], state: Int, _ position: Int, _ blocks: [Int32], end: Int = 0
  ) -> [Float] {
    let size = attend.size
    func heads(_ row: Row, _ count: Int, top: Float) -> [Vector16] {
      (0..<count).map { head in
        let x = rows[row] ?? []
        return quantised(x[(head * size)..<((head + 1) * size)], top: top)
          ?? Vector16(integers: [Int32](repeating: 0, count: size), scale: 0)
      }
    }
    func place(_ position: Int) -> Int { Int(blocks[position / 16]) * 16 + position % 16 }
    if attend.source == nil {
      kept[state][place(position)] = Kept(
        keys: heads(attend.key, attend.kvHeads, top: size > 512 ? 29_127 : 32_767),
        values: heads(attend.value, attend.kvHeads, top: size > 512 ? 29_127 : 32_767))
    }
    var first = max(
      attend.window.map { max(0, position + 1 - $0) } ?? 0,
      attend.chunk.map { position / $0 * $0 } ?? 0)
    var last = position
    if attend.isBothWays {
      let half = attend.window.map { $0 / 2 } ?? end
      (first, last) = (max(0, position - half), min(end - 1, position + half))
    }
    let seen = (first...last).map { kept[state][place($0)] }
    return heads(attend.query, attend.heads, top: 32_639).enumerated().flatMap { head, query -> [Float] in
      let high = query.integers.map { ($0 + 128) >> 8 }
      let low = zip(query.integers, high).map { $0 - 256 * $1 }
      let kvHead = head / attend.group
      let scores = seen.map { entry -> Float in
        guard let key = entry?.keys[kvHead] else { return .nan }
        let h = zip(high, key.integers).reduce(Int32(0)) { $0 + $1.0 * $1.1 }
        let l = zip(low, key.integers).reduce(Int32(0)) { $0 + $1.0 * $1.1 }
        let score = Float(l).addingProduct(Float(h), 256) * key.scale * (query.scale * attend.scale)
        guard let cap = attend.cap else { return score }
        return cap * (1 - 2 / (1 + exponential(2 * (score / cap))))
      }
      let sink = attend.sinks.map { vector($0)[head] }
      let most = max(scores.max() ?? 0, sink ?? -.infinity)
      let weights = scores.map { exponential($0 - most) }
      var lanes = [Float](repeating: 0, count: 16)
      for (i, weight) in weights.enumerated() { lanes[(first + i) % 16] = lanes[(first + i) % 16] + weight }
      let share = 1 / (tree(lanes) + (sink.map { exponential($0 - most) } ?? 0))
      return (0..<size).map { d in
        var total: Float = 0
        var chain: Float = 0
        for (i, weight) in weights.enumerated() {
          if i > 0, (first + i) % 256 == 0 {
            total = total + chain
            chain = 0
          }
          guard let value = seen[i]?.values[kvHead] else { return .nan }
          chain = chain.addingProduct(weight * value.scale, Float(value.integers[d]))
        }
        return (total + chain) * share
      }
    }
  }

  private func gelu(_ x: Float) -> Float {
    let t = x * 0x1.988454p-1 * (x * x * 0x1.6e4e26p-5 + 1)
    let tanh = 1 - 2 / (1 + exponential(2 * t))
    return x * (tanh * 0.5 + 0.5)
  }

  /// max(x, 0) + log(1 + exp(-|x|))
  private func softened(_ x: Float) -> Float {
    let t = exponential(-abs(x))
    let z = t / (2 + t)
    let q = z * z
    var p: Float = 1 / 15
    for k: Float in [13, 11, 9, 7, 5, 3, 1] { p = (1 / k).addingProduct(p, q) }
    return max(x, 0) + 2 * z * p
  }

  // MARK: - Item 13

  /// What an operation kept of the positions before this one: the item's first token reads the slot
  /// that the item names, the others go on where it leaves its own.
  private func before(_ state: Int, _ position: Int, _ index: Int, _ item: StepItem) -> [Float] {
    let zeros = [Float](repeating: 0, count: program.states[state].bytesPerSequence / 4)
    guard position > 0, let places = item.state else { return zeros }
    return slots[state][Int(index == 0 ? places.from : places.into)] ?? zeros
  }

  private func convolved(
    _ convolve: Convolve, _ rows: [Row: [Float]], state: Int, _ position: Int, _ index: Int, _ item: StepItem
  ) -> [Float] {
    let (x, taps) = (rows[convolve.row] ?? [], vector(convolve.weights))
    let columns = before(state, position, index, item) + x
    slots[state][Int(item.state?.into ?? 0)] = Array(columns.dropFirst(convolve.channels))
    let bias = convolve.bias.map(vector)
    return (0..<convolve.channels).map { channel in
      var sum: Float = 0
      for tap in 0..<convolve.taps {
        sum = sum.addingProduct(
          taps[channel * convolve.taps + tap], columns[tap * convolve.channels + channel])
      }
      if let bias { sum = sum + bias[channel] }
      return convolve.activates ? sum / (1 + exponential(-sum)) : sum
    }
  }

  /// 16 lanes and their tree (item 4).
  private func product(_ x: ArraySlice<Float>, _ y: ArraySlice<Float>) -> Float {
    var lanes = [Float](repeating: 0, count: 16)
    for (i, (a, b)) in zip(x, y).enumerated() { lanes[i % 16] = lanes[i % 16].addingProduct(a, b) }
    return tree(lanes)
  }

  private func recurred(
    _ recur: Recur, _ rows: [Row: [Float]], state: Int, _ position: Int, _ index: Int, _ item: StepItem
  ) -> [Float] {
    var matrices = before(state, position, index, item)
    func part(_ row: Row, _ at: Int, of size: Int) -> ArraySlice<Float> {
      (rows[row] ?? [])[(at * size)..<((at + 1) * size)]
    }
    let columns = recur.keySize
    let out = (0..<(recur.heads * recur.valueSize)).map { row -> Float in
      let head = row / recur.valueSize
      let key = part(recur.key, recur.keyHead(of: head), of: columns)
      let query = part(recur.query, recur.keyHead(of: head), of: columns)
      let (value, step) = (rows[recur.value]?[row] ?? 0, rows[recur.step]?[head] ?? 0)
      let decay = exponential(step * vector(recur.rates)[head])
      var m = matrices[(row * columns)..<((row + 1) * columns)].map { $0 * decay }
      let change: Float
      switch recur.rule {
      case .delta(let strength):
        let share = 1 / (1 + exponential(-(rows[strength]?[head] ?? 0)))
        change = (value - product(m[...], key)) * share
      case .mamba2: change = value * step
      }
      m = zip(m, key).map { $0.addingProduct($1, change) }
      matrices.replaceSubrange((row * columns)..<((row + 1) * columns), with: m)
      let read = product(m[...], query)
      guard case .mamba2(let skip) = recur.rule else { return read }
      return read.addingProduct(vector(skip)[head], value)
    }
    slots[state][Int(item.state?.into ?? 0)] = matrices
    return out
  }

  private func exponential(_ x: Float) -> Float {
    if x < -87 { return 0 }
    let x = min(x, 88)
    let n = Float(12_582_912).addingProduct(x, 0x1.715476p+0)
    let f = n - 12_582_912
    var r = x.addingProduct(f, -0x1.62e4p-1)
    r = r.addingProduct(f, -0x1.7f7d1cp-20)
    var p: Float = 0x1.6850e4p-10
    for c: Float in [0x1.123bccp-7, 0x1.555b98p-5, 0x1.55548ep-3, 0x1.fffff8p-2, 1, 1] {
      p = c.addingProduct(p, r)
    }
    return Float(bitPattern: p.bitPattern &+ n.bitPattern << 23)
  }
}
