// GoldenTests.swift: logits against exact ones, computed elsewhere, for every quantisation type and architecture.
// The reference folder lies beside the repository; without it these tests are skipped.

import Foundation
import Inference
import TestSettings
import Testing

/// n, vocabulary, n ids, n x vocabulary logits; all little-endian.
struct GoldenLogits {
  let tokens: [Int32]
  let vocabulary: Int
  let logits: [Float]

  init(_ url: URL) throws {
    let data = try Data(contentsOf: url)
    let words = data.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    let count = Int(words[0])
    vocabulary = Int(words[1])
    tokens = Array(words[2..<(2 + count)])
    logits = words[(2 + count)...].map { Float(bitPattern: UInt32(bitPattern: $0)) }
  }
}

extension Engine {
  /// Logits of every position of one text, from position 0, in chunks.
  func allLogits(_ tokens: [Int32], chunk: Int = 512) throws -> [Float] {
    let blocks = (0..<Int32((tokens.count + Engine.blockSize - 1) / Engine.blockSize)).map { $0 }
    var logits: [Float] = []
    for first in stride(from: 0, to: tokens.count, by: chunk) {
      let part = Array(tokens[first..<min(first + chunk, tokens.count)])
      let item = StepItem(
        tokens: part, position: first, blocks: blocks, state: .init(0), output: .all, logits: true)
      let result = try step([item])[0]
      if let failure = result.failure { throw failure }
      logits += result.logits
    }
    return logits
  }
}

/// Natural log-softmax in double.
func logSoftmax(_ row: ArraySlice<Float>) -> [Double] {
  let values = row.map(Double.init)
  let maximum = values.max() ?? 0
  let sum = values.reduce(0) { $0 + exp($1 - maximum) }
  return values.map { $0 - maximum - log(sum) }
}

/// The first of the largest values of a row, and the logarithm of the sum of all exponentials. Plain loops: a vocabulary
/// times many positions, in tests that are compiled without optimisation.
func likeliest(_ logits: UnsafeBufferPointer<Float>, _ row: Int, _ count: Int) -> (
  best: Int, normaliser: Double
) {
  var best = 0
  var i = 1
  while i < count {
    if logits[row + i] > logits[row + best] { best = i }
    i += 1
  }
  let maximum = Double(logits[row + best])
  var sum = 0.0
  i = 0
  while i < count {
    sum += exp(Double(logits[row + i]) - maximum)
    i += 1
  }
  return (best, maximum + log(sum))
}

/// Mean over positions of KL(golden || ours).
func meanDivergence(_ golden: [Float], _ ours: [Float], vocabulary: Int) -> Double {
  let all = divergences(golden, ours, vocabulary: vocabulary)
  return all.reduce(0, +) / Double(all.count)
}

/// KL(golden || ours) of each position.
func divergences(_ golden: [Float], _ ours: [Float], vocabulary: Int) -> [Double] {
  (0..<(golden.count / vocabulary)).map { row in
    let range = (row * vocabulary)..<((row + 1) * vocabulary)
    let p = logSoftmax(golden[range])
    let q = logSoftmax(ours[range])
    return (0..<vocabulary).reduce(0) { $0 + exp(p[$1]) * (p[$1] - q[$1]) }
  }
}

@Suite(.serialized) struct GoldenTests {
  static let files: [String] = {
    guard let folder = ReferenceFolder.url?.appending(path: "golden").path else { return [] }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".gguf") }.sorted()
  }()

  @Test(.disabled(if: ReferenceFolder.isAbsent, "the reference folder is not beside the repository"))
  func `logits are close to the exact ones for every type and architecture`() throws {
    let folder = try #require(ReferenceFolder.url).appending(path: "golden")
    try #require(Self.files.count >= 22)
    var table = "mean KL(exact || ours)          A15        A12         A8\n"
    for name in Self.files {
      let stem = String(name.dropLast(".gguf".count))
      let golden = try GoldenLogits(folder.appending(path: "\(stem).logits"))
      let model = try Model(path: folder.appending(path: name).path)
      var line = stem.padding(toLength: 24, withPad: " ", startingAt: 0)
      let isFloat = ["F32", "F16", "BF16"].contains { stem.hasSuffix(".\($0)") }
      for (profile, limit) in [(Engine.Profile.a15, 8e-6), (.a12, 8e-5), (.a8, 1e-3)] {
        let engine = try Engine(model: model, configuration: .init(profile: profile, kvBlocks: 64))
        let ours = try engine.allLogits(golden.tokens)
        try #require(ours.count == golden.logits.count)
        let divergence = meanDivergence(golden.logits, ours, vocabulary: golden.vocabulary)
        #expect(divergence <= (isFloat ? 1e-6 : limit), "\(stem) \(profile.rawValue)")
        line += String(format: "  %9.2e", divergence)
      }
      table += line + "\n"
    }
    print(table)
  }

  /// Those of `golden/arch` whose architecture is in the table; `.long` and `.8k` hold some rows of a
  /// long text.
  @Test(.disabled(if: ReferenceFolder.isAbsent, "the reference folder is not beside the repository"))
  func `logits of further architectures are close to the exact ones`() throws {
    let folder = try #require(ReferenceFolder.url).appending(path: "golden/arch")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    var table = "mean KL(exact || ours)            A15        A12\n"
    var refused: [String] = []
    var seen: Set<String> = []
    for name in names where name.hasSuffix(".gguf") {
      let stem = String(name.dropLast(".gguf".count))
      let model: Model
      do throws(ModelError) {
        model = try Model(path: folder.appending(path: name).path)
      } catch {
        refused.append("\(stem): \(error)")
        continue
      }
      seen.insert(model.hyperparameters.architecture)
      // The reference of Phi-3 took the factors of the context that it was started for; here the
      // context in the file decides.
      let short =
        stem.hasPrefix("phi3.") ? try Self.model(folder.appending(path: name), context: 256) : model
      for (suffix, step) in [("", 1), (".long", 16), (".8k", 64)]
      where names.contains("\(stem)\(suffix).logits") {
        // gpt-oss is run as its makers define it, and the long text's logits are not.
        let isExact = model.hyperparameters.architecture == "gpt-oss"
        let file = isExact && suffix.isEmpty ? "golden.\(stem).notrunc" : "\(stem)\(suffix)"
        let golden = try GoldenLogits(folder.appending(path: "\(file).logits"))
        let model =
          isExact && !suffix.isEmpty
          ? try Model(file: model.file, among: [.gptOSS(roundsYaRN: true)]) : model
        var line = "\(stem)\(suffix)".padding(toLength: 26, withPad: " ", startingAt: 0)
        for (profile, limit) in [(Engine.Profile.a15, 2e-5), (.a12, 8e-5)] {
          if suffix == ".8k", profile != .a15 { continue }
          let engine = try Engine(
            model: suffix == "" ? short : model, configuration: .init(profile: profile, kvBlocks: 528))
          let all = try engine.allLogits(golden.tokens)
          let rows = stride(from: step - 1, to: golden.tokens.count, by: step).map { $0 }.prefix(
            golden.logits.count / golden.vocabulary)
          let ours = rows.flatMap { all[($0 * golden.vocabulary)..<(($0 + 1) * golden.vocabulary)] }
          try #require(ours.count == golden.logits.count)
          let each = divergences(golden.logits, ours, vocabulary: golden.vocabulary)
          let mean = each.reduce(0, +) / Double(each.count)
          // A12's rounding may decide between two experts that a router finds equally good, and such
          // a position is far off; so the median is judged there.
          let hasExperts = model.program.operations.contains { if case .experts = $0 { true } else { false } }
          let judged = profile == .a12 && hasExperts ? each.sorted()[each.count / 2] : mean
          #expect(judged <= limit, "\(stem)\(suffix) \(profile.rawValue)")
          line += String(format: "  %9.2e", mean)
        }
        table += line + "\n"
      }
    }
    print(table + "not run:\n" + refused.joined(separator: "\n"))
    #expect(
      seen.isSuperset(
        of: Set(Architecture.all.map(\.name)).subtracting(
          ["qwen2", "qwen3", "gemma-embedding"] + Self.ownReferences)),
      "\(seen)")
  }

  /// The file with another context length.
  private static func model(_ url: URL, context: UInt32) throws -> Model {
    var bytes = [UInt8](try Data(contentsOf: url))
    let key = Array("context_length".utf8)
    let at = try #require(bytes.firstRange(of: key)).upperBound
    // The number's type stands before it.
    try #require(bytes[at] == 4)
    withUnsafeBytes(of: context.littleEndian) { bytes.replaceSubrange((at + 4)..<(at + 8), with: $0) }
    return try Model(file: GGUFFile(bytes: bytes, name: url.lastPathComponent))
  }

  /// These have no reference logits elsewhere: those of Tests/Acceptance/References are made by the
  /// scripts beside them, from the small models that UPDATE_REFERENCES names a folder for.
  private static let ownReferences = ["glm4moe", "muse-glimmer", "nemotron_h", "nemotron_h_moe"]

  @Test(arguments: ownReferences)
  func `architectures without others' logits agree with references of their own`(_ name: String) throws {
    let synthetic = try #require(ProgramTests.models.first { $0.architecture == name })
    if let folder = ProcessInfo.processInfo.environment["UPDATE_REFERENCES"] {
      try Data(synthetic.bytes()).write(to: URL(filePath: folder).appending(path: "\(name).gguf"))
      return
    }
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let golden = try GoldenLogits(folder.appending(path: "Acceptance/References/\(name).logits"))
    let model = try synthetic.model()
    for (profile, limit) in [(Engine.Profile.a15, 2e-6), (.a12, 8e-5)] {
      let engine = try Engine(model: model, configuration: .init(profile: profile, kvBlocks: 8))
      let ours = try engine.allLogits(golden.tokens)
      try #require(ours.count == golden.logits.count)
      let divergence = meanDivergence(golden.logits, ours, vocabulary: golden.vocabulary)
      print("\(name) against its reference, \(profile.rawValue): mean KL \(divergence)")
      #expect(divergence <= limit)
    }
  }

  /// One text of smollm2.json.
  private struct Reference: Decodable {
    let tokens: [Int32]
    let top_ids: [[Int]]
    let top_logprobs: [[Double]]
  }

  @Test(
    .disabled(if: ReferenceFolder.isAbsent, "the reference folder is not beside the repository"),
    .disabled(if: RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func `the real model agrees with its F16 form`() throws {
    let url = try #require(ReferenceFolder.url).appending(path: "golden/smollm2.json")
    let references = try JSONDecoder().decode([Reference].self, from: Data(contentsOf: url))
    let model = try Model(path: try #require(RealModel.path))
    for profile in Engine.Profile.allCases {
      try compare(model, profile, references)
    }
  }

  private func compare(_ model: Model, _ profile: Engine.Profile, _ references: [Reference]) throws {
    let engine = try Engine(model: model, configuration: .init(profile: profile, kvBlocks: 64))
    let vocabulary = engine.model.hyperparameters.vocabularySize
    var positions = 0
    var same = 0
    var difference = 0.0
    var widest = 0.0
    for reference in references {
      let logits = try engine.allLogits(reference.tokens)
      for i in reference.tokens.indices {
        let row = i * vocabulary
        let (best, normaliser) = logits.withUnsafeBufferPointer { likeliest($0, row, vocabulary) }
        positions += 1
        let gap = reference.top_logprobs[i][0] - reference.top_logprobs[i][1]
        if best == reference.top_ids[i][0] { same += 1 } else { widest = max(widest, gap) }
        for (id, expected) in zip(reference.top_ids[i], reference.top_logprobs[i]) {
          let ours = Double(logits[row + id]) - normaliser
          difference += abs(ours - expected) / Double(reference.top_ids[i].count)
        }
      }
    }
    let agreement = Double(same) / Double(positions)
    print(
      "\(profile.rawValue), \(positions) positions: \(same) top-1 equal at \(agreement), mean difference \(difference / Double(positions)),",
      "widest gap in the reference where top-1 differs \(widest)")
    #expect(positions == 325)
    // The F16 form is no exact reference: it lies a mean KL of 5e-6 from exact arithmetic on these weights. Exact arithmetic has
    // another first token at one position, where the form's first two are 0.004 apart.
    #expect(agreement >= (profile == .a8 ? 0.97 : 0.995))
    #expect(widest < (profile == .a8 ? 0.25 : 0.01))
    #expect(difference / Double(positions) <= (profile == .a8 ? 0.2 : 0.02))
  }
}
