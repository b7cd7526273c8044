// MetadataReader.swift: typed look-ups in a file's metadata that throw a `ModelError`. The keys are
// in Hyperparameters.swift and each architecture's own file.

/// The metadata of one file under its architecture's prefix: keys are given without it.
package struct MetadataReader: Sendable {
  package let file: GGUFFile
  /// `general.architecture`, which begins the names of all keys below.
  package let architecture: String

  package init(_ file: GGUFFile) throws(ModelError) {
    self.file = file
    let name: String?
    do { name = try file.metadata.string("general.architecture") } catch {
      throw ModelError(file: file.path, problem: .file(error.problem))
    }
    guard let name else {
      throw ModelError(file: file.path, problem: .missingKey("general.architecture"))
    }
    architecture = name
  }

  /// The full key in the file.
  func full(_ key: String) -> String { "\(architecture).\(key)" }

  func failure(_ problem: ModelError.Problem) -> ModelError { ModelError(file: file.path, problem: problem) }

  func string(_ key: String) throws(ModelError) -> String? {
    let key = full(key)
    do { return try file.metadata.string(key) } catch { throw failure(.file(error.problem)) }
  }

  /// A required integer: one number, or one for each layer if all are equal.
  func required(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
    guard let value = try integer(full(key), range) else { throw failure(.missingKey(full(key))) }
    return value
  }

  /// An optional integer; it is also absent if it is -1, in any type, which means "none".
  func optional(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
    let key = full(key)
    if let value = file.metadata[key], value.isAllOnes, !(value.integer.map(range.contains) ?? false) {
      return nil
    }
    return try integer(key, range)
  }

  /// An integer for each layer, or one for all; nil where the key is absent.
  func each(_ key: String, layers: Int, _ range: ClosedRange<Int>) throws(ModelError) -> [Int]? {
    guard case .array(let array) = file.metadata[full(key)] else {
      return try optional(key, range).map { [Int](repeating: $0, count: layers) }
    }
    guard let values = array.integers, values.count >= layers else {
      throw failure(
        .file(
          .wrongValueType(
            key: full(key), found: "an array of \(array.count) of type \(array.elementType.name)",
            wanted: "an integer for each of the \(layers) layers")))
    }
    if let wrong = values.prefix(layers).first(where: { !range.contains($0) }) {
      throw failure(
        .file(
          .valueOutOfRange(
            key: full(key), found: "\(wrong)", wanted: "\(range.lowerBound) to \(range.upperBound)")))
    }
    return Array(values.prefix(layers))
  }

  private func integer(_ key: String, _ range: ClosedRange<Int>) throws(ModelError) -> Int? {
    if case .array(let array) = file.metadata[key] {
      guard let values = array.integers, let first = values.first else {
        throw failure(
          .file(
            .wrongValueType(
              key: key, found: "an array of \(array.count) of type \(array.elementType.name)",
              wanted: "an integer")))
      }
      guard values.allSatisfy({ $0 == first }) else {
        throw failure(.unsupportedFeature("'\(key)' differs from layer to layer"))
      }
      guard range.contains(first) else {
        throw failure(
          .file(
            .valueOutOfRange(
              key: key, found: "\(first)", wanted: "\(range.lowerBound) to \(range.upperBound)")))
      }
      return first
    }
    do { return try file.metadata.integer(key, in: range) } catch { throw failure(.file(error.problem)) }
  }

  /// How many tokens the vocabulary has; 0 if the file has none.
  func vocabularyCount() throws(ModelError) -> Int {
    do { return try file.metadata.array("tokenizer.ggml.tokens")?.count ?? 0 } catch {
      throw failure(.file(error.problem))
    }
  }

  func number(_ key: String, from low: Double, to high: Double) throws(ModelError) -> Double? {
    let key = full(key)
    let value: Double?
    do { value = try file.metadata.double(key) } catch { throw failure(.file(error.problem)) }
    guard let value else { return nil }
    guard value >= low, value <= high else {
      throw failure(.badHyperparameter(key: key, found: "\(value)", wanted: "\(low) to \(high)"))
    }
    return value
  }

  func required(_ key: String, from low: Double, to high: Double) throws(ModelError) -> Double {
    guard let value = try number(key, from: low, to: high) else { throw failure(.missingKey(full(key))) }
    return value
  }

  /// What positions are divided by. As in llama.cpp: a factor without a type is linear, the older
  /// key is used if the newer is absent, and 0 means none.
  func rotaryScale() throws(ModelError) -> Double {
    switch try string("rope.scaling.type") {
    case "none":
      return 1
    case nil, "", "linear", "longrope":
      let newer = "rope.scaling.factor"
      let key = file.metadata[full(newer)] == nil ? "rope.scale_linear" : newer
      guard let factor = try number(key, from: 0, to: 1e6), factor != 0 else { return 1 }
      guard factor >= 1e-6 else {
        throw failure(.badHyperparameter(key: full(key), found: "\(factor)", wanted: "0 or 1e-6 to 1e6"))
      }
      return factor
    case "yarn": return 1
    case .some(let other):
      throw failure(.unsupportedFeature("the rotary embedding is scaled by '\(other)'"))
    }
  }

  /// What rotated vectors are multiplied by, beside what YaRN multiplies them by; 1 where the file
  /// says nothing, or 0.
  func rotaryMagnitude() throws(ModelError) -> Double {
    let factor = try number("rope.scaling.attn_factor", from: 0, to: 1e3) ?? 1
    return factor == 0 ? 1 : factor
  }

  /// Positions that the model was trained for before its context was stretched.
  func originalContextLength(_ contextLength: Int) throws(ModelError) -> Int {
    try optional("rope.scaling.original_context_length", 1...16_777_216) ?? contextLength
  }

  func flag(_ key: String) throws(ModelError) -> Bool? {
    let key = full(key)
    do { return try file.metadata.bool(key) } catch { throw failure(.file(error.problem)) }
  }

  /// A list of numbers or flags, one for each layer or more; nil where the key is absent.
  func integers(_ key: String, atLeast count: Int) throws(ModelError) -> [Int]? {
    let key = full(key)
    guard let value = file.metadata[key] else { return nil }
    guard case .array(let array) = value, let found = array.integers, found.count >= count else {
      throw failure(
        .file(
          .wrongValueType(key: key, found: value.type.name, wanted: "numbers for each of the \(count) layers")
        ))
    }
    return found
  }

  /// How many last positions each layer sees; nil: all.
  /// - period: every so many layers one has no window, where the file does not say which have one
  func windows(layers: Int, period: Int) throws(ModelError) -> [Int?] {
    let none = [Int?](repeating: nil, count: layers)
    guard let stated = try optional("attention.sliding_window", 0...Int.max), stated > 0 else { return none }
    // No context is longer, and kernels count positions in 32 bits.
    let window = min(stated, 16_777_216)
    let key = full("attention.sliding_window_pattern")
    if case .array(let array) = file.metadata[key] {
      guard let flags = array.integers, flags.count >= layers else {
        throw failure(
          .file(
            .wrongValueType(
              key: key, found: "an array of \(array.count) of type \(array.elementType.name)",
              wanted: "a number, or a flag for each of the \(layers) layers")))
      }
      return flags.prefix(layers).map { $0 != 0 ? window : nil }
    }
    let every = try optional("attention.sliding_window_pattern", 0...layers) ?? period
    return (0..<layers).map { every == 0 || $0 % every < every - 1 ? window : nil }
  }

  /// How positions beyond those of the training are reached; nil: not by YaRN.
  /// - size: elements of a head that turn
  /// - original: positions that the model was trained for before
  /// - fast, slow, rounds: see `YaRN`
  func yarn(
    size: Int, base: Double, original: Int, fast: Double = 32, slow: Double = 1, rounds: Bool = true
  ) throws(ModelError) -> YaRN? {
    guard try string("rope.scaling.type") == "yarn" else { return nil }
    guard let factor = try number("rope.scaling.factor", from: 0, to: 1e6), factor > 1 else { return nil }
    guard base > 1 else {
      throw failure(
        .badHyperparameter(key: full("rope.freq_base"), found: "\(base)", wanted: "more than 1 for YaRN"))
    }
    return YaRN(
      factor: factor, original: original, size: size, base: base, fast: fast, slow: slow, rounds: rounds)
  }

  /// Refuses experts, for architectures whose list has none.
  func refuseExperts() throws(ModelError) {
    if let experts = try optional("expert_count", 0...16_384), experts > 0 {
      throw failure(.unsupportedFeature("the model is a mixture of \(experts) experts"))
    }
  }

  /// Refuses windows, for architectures whose list attends to all positions. A window of the whole
  /// context is allowed, because it hides nothing.
  func refuseWindow(below contextLength: Int) throws(ModelError) {
    if let window = try optional("attention.sliding_window", 0...Int.max), window > 0, window < contextLength
    {
      throw failure(.unsupportedFeature("attention slides over a window of \(window) positions"))
    }
  }
}
