// ConformanceTests.swift: the same bits for every level, thread count, chunking and batch: one frozen number each.
// Numbers, not comparisons: a build that is wrong in the same way everywhere would agree with itself.

import CDigest
import CKernels
import Foundation
import Inference
import TestSettings
import Testing

/// A prompt of 600 tokens and 64 more, the logits of all 664 positions.
struct ConformanceText {
  let vocabulary: Int
  let tokens: [Int32]

  static let promptCount = 600
  static let generatedCount = 64

  init(vocabulary: Int, seed: UInt64) {
    var random = SplitMix(state: seed)
    self.vocabulary = vocabulary
    tokens = (0..<Self.promptCount).map { _ in Int32(random.next() % UInt64(vocabulary)) }
  }
}

/// SHA-256 of floats as little-endian bits.
struct LogitsDigest {
  private var context = hp_sha256_ctx()

  init() { hp_sha256_init(&context) }

  mutating func update(_ values: [Float]) {
    values.withUnsafeBytes { hp_sha256_update(&context, $0.baseAddress, $0.count) }
  }

  /// In lower-case hexadecimal.
  consuming func finish() -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return digest.map { String(format: "%02x", $0) }.joined()
  }
}

func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
  var digest = [UInt8](repeating: 0, count: 32)
  hp_sha256(bytes.baseAddress, bytes.count, &digest)
  return digest
}

/// One way to compute the text.
struct Route: CustomTestStringConvertible {
  var threads = 1
  var chunk = 512
  /// Other sequences in every step.
  var neighbours = 0
  /// The generated tokens are given all at once with the prompt, or chosen one by one.
  var isTeacherForced = false
  /// Every step puts the text's block through the swap, into another place.
  var isSwapped = false
  /// The text's first 256 positions, and its state there, serve another sequence too, which goes on
  /// from them: so two requests with one prefix share them.
  var sharesPrefix = false

  var testDescription: String {
    "\(threads) threads, chunks of \(chunk), \(neighbours) neighbours"
      + (isTeacherForced ? ", teacher-forced" : "") + (isSwapped ? ", swapped" : "")
      + (sharesPrefix ? ", prefix shared" : "")
  }

  /// Logits of the 664 positions and the generated tokens.
  func run(
    _ model: Model, _ text: ConformanceText, level: KernelLevel, profile: Engine.Profile, forced: [Int32],
    engine make: (Model, Engine.Configuration) throws -> Engine = { try Engine(model: $0, configuration: $1) }
  )
    throws -> (digest: String, generated: [Int32])
  {
    let total = ConformanceText.promptCount + ConformanceText.generatedCount
    let perSequence = (total + Engine.blockSize - 1) / Engine.blockSize
    let blocks = perSequence * (1 + neighbours) + 2
    let engine = try make(
      model, .init(threads: threads, profile: profile, kvBlocks: blocks, level: level))
    // Stale memory must not be seen: every block starts as NaN.
    let garbage = [UInt8](repeating: 0xFF, count: engine.blockByteCount())
    for block in 0..<Int32(blocks) { try engine.writeBlock(block, garbage) }
    // The recurrent state moves to another slot with every step; neighbours change theirs in place.
    let ruined = [UInt8](repeating: 0xFF, count: engine.stateByteCount)
    var slot: Int32 = 0
    if model.stateBytes > 0 { for slot in 0..<Int32(16) { try engine.writeState(slot, ruined) } }
    func state() -> StepItem.State { StepItem.State(from: slot, into: slot == 7 ? 0 : 7) }
    // Blocks of the sequences alternate.
    var table = (0..<perSequence).map { Int32($0 * (1 + neighbours)) }
    var spare = Int32(perSequence * (1 + neighbours))
    var random = SplitMix(state: 99)
    var others = (0..<neighbours).map { k in
      (0..<(total)).map { _ in Int32((random.next() >> 33) % UInt64(text.vocabulary)) }[k...]
    }
    var otherPositions = [Int](repeating: 0, count: neighbours)
    var digest = LogitsDigest()
    var last: ArraySlice<Float> = []
    var generated: [Int32] = []

    func step(_ item: StepItem) throws -> StepResult {
      var items = [item]
      for k in 0..<neighbours {
        // Neighbours take prompt chunks of changing length, then decode.
        let count = min(otherPositions[k] < 100 ? 1 + (otherPositions[k] + k) % 13 : 1, others[k].count)
        if count == 0 || otherPositions[k] + count > total { continue }
        let blocks = (0..<perSequence).map { Int32($0 * (1 + neighbours) + 1 + k) }
        items.insert(
          StepItem(
            tokens: Array(others[k].prefix(count)), position: otherPositions[k], blocks: blocks,
            state: .init(Int32(k + 1)),
            output: k % 2 == 0 ? .none : .last(SamplingContext(.greedy, promptCount: 0))),
          at: k % 2 == 0 ? 0 : items.count)
        others[k] = others[k].dropFirst(count)
        otherPositions[k] += count
      }
      let results = try engine.step(items)
      for result in results { if let failure = result.failure { throw failure } }
      let result = results[items.firstIndex { $0.logits } ?? 0]
      if isSwapped {
        let at = item.position / Engine.blockSize
        try engine.writeBlock(spare, engine.readBlock(table[at]))
        try engine.writeBlock(table[at], garbage)
        swap(&spare, &table[at])
      }
      slot = item.state?.into ?? 0
      if isSwapped, model.stateBytes > 0 {
        let bytes = try engine.readState(slot)
        try engine.writeState(slot, ruined)
        slot = 12
        try engine.writeState(slot, bytes)
      }
      return result
    }

    let given = text.tokens + (isTeacherForced ? forced : [])
    var position = 0
    var next: Int32 = 0
    while position < given.count {
      let part = Array(given[position..<min(position + chunk, given.count)])
      let result = try step(
        StepItem(tokens: part, position: position, blocks: table, state: state(), output: .all, logits: true))
      digest.update(result.logits)
      last = result.logits.suffix(text.vocabulary)
      position += part.count
      if sharesPrefix, position == 256 {
        let others = text.tokens.suffix(Engine.blockSize).reversed()
        let result = try engine.step([
          StepItem(
            tokens: Array(others), position: position,
            blocks: table.prefix(position / Engine.blockSize) + [Int32(blocks - 1)],
            state: .init(from: slot, into: 9), output: .none)
        ])
        if let failure = result.first?.failure { throw failure }
      }
    }
    if isTeacherForced { return (digest.finish(), forced) }
    next = Int32((last.firstIndex(of: last.max() ?? 0) ?? last.startIndex) - last.startIndex)
    for _ in 0..<ConformanceText.generatedCount {
      generated.append(next)
      let context = SamplingContext(.greedy, promptCount: ConformanceText.promptCount)
      let result = try step(
        StepItem(
          tokens: [next], position: position, blocks: table, state: state(), output: .last(context),
          logits: true))
      digest.update(result.logits)
      next = try #require(result.token)
      position += 1
    }
    return (digest.finish(), generated)
  }
}

@Suite(.serialized) struct ConformanceTests {
  /// Every quantisation type, untied, Llama's rotation with frequency factors.
  /// Types by their numbers in files: this list stays as it is when types are added.
  static let mixed = SyntheticModel(
    hasRotaryFactors: true,
    types: [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 30].compactMap(GGUFTensorType.init))
  /// The types with a grid or a code book, and the ternary ones.
  static let grids = SyntheticModel(
    types: [16, 17, 18, 19, 21, 22, 29, 34, 35, 39].compactMap(GGUFTensorType.init), seed: 4)
  /// Tied, 4-bit types only, head norms and the other rotation, a group of 3, odd extents.
  static let qwen3 = SyntheticModel(
    architecture: "qwen3", embedding: 160, feedForward: 352, heads: 6, kvHeads: 2, headSize: 32,
    vocabulary: 331,
    isTied: true, types: [.q41, .q80, .q40], seed: 2)
  static let qwen2 = SyntheticModel(
    architecture: "qwen2", heads: 4, kvHeads: 1, vocabulary: 300, types: [.q4K, .q4K, .q6K, .q5K], seed: 3)

  struct Frozen {
    let model: SyntheticModel
    let profile: Engine.Profile
    let digest: String
  }

  static let frozen: [Frozen] = [
    Frozen(
      model: mixed, profile: .a12, digest: "73ac097de6d555ddaf92839c4b6c62afe40f372236ba22d51bf747f82e0446bd"),
    Frozen(
      model: mixed, profile: .a8, digest: "e51e77efb8a3cea301598df40ed9e34c1f6138edc20ddf56480734b6e26092b5"),
    Frozen(
      model: qwen3, profile: .a12, digest: "9b89a9f8df0a7e4b60d5571f2f6708c71a8b3f99bdec38072a7fea65508e58f5"),
    Frozen(
      model: grids, profile: .a15, digest: "2569cc2aa06aad79fe059e5f050b4ea4674b4c1706976ccdff267c127eb37c73"),
    Frozen(
      model: mixed, profile: .a15, digest: "bc9ed44f671351df648a08d3a69433f88936bce345e7024554c448479726f4ac"),
    Frozen(
      model: qwen3, profile: .a15, digest: "0306d05e15a1b749d8d8080028c4ba5e80e70950a095fb19d35964c0b4e40ab8"),
    Frozen(
      model: qwen2, profile: .a12, digest: "89bc10fbb15a2bd6ad754970be2139bcc981dceabad75dc1babeeb2905f8ac16"),
  ]

  static let routes: [Route] = [
    Route(threads: 1, chunk: 512),
    Route(threads: 2, chunk: 64),
    Route(threads: 3, chunk: 7),
    Route(threads: 4, chunk: 1),
    Route(threads: 2, chunk: 64, neighbours: 5),
    Route(threads: 2, chunk: 512, isTeacherForced: true),
    Route(threads: 2, chunk: 100, isSwapped: true),
    Route(threads: 2, chunk: 64, sharesPrefix: true),
  ]

  @Test(arguments: KernelLevel.available)
  func `a synthetic model gives the frozen bits on every route`(_ level: KernelLevel) throws {
    for frozen in Self.frozen {
      let model = try frozen.model.model()
      let text = ConformanceText(vocabulary: frozen.model.vocabulary, seed: 7)
      var generated: [Int32] = []
      // The scalar level is for machines without any other; here one route of each kind is enough.
      let routes = level == .scalar ? [Self.routes[1], Self.routes[4], Self.routes[5]] : Self.routes
      for route in routes {
        let result = try route.run(model, text, level: level, profile: frozen.profile, forced: generated)
        if generated.isEmpty { generated = result.generated }
        #expect(result.generated == generated)
        #expect(
          result.digest == frozen.digest,
          "\(frozen.model.architecture) \(frozen.profile.rawValue) at \(level.name), \(route.testDescription)"
        )
      }
    }
  }

  /// Small models of the architectures that are not above (A15).
  static let further: [String: String] = [
    "ernie4_5-moe": "eea4ac68f92d12f0c4ef17d632159529dab5fe313a8366f56f1948c5611d9847",
    "cohere2": "3fff382636e7884f7f7f735dfe7f3fdda843729cef20ce96ad5b5c8e3cc29772",
    "deepseek2": "4ad0d2ec4b61612f16a1e58206c022471e0431e4555b983d24d57d8e583f8cf9",
    "llama4": "f93558fbce24167446cce37d73ef5892dd5a6a3f764f27f2397eddfbbbdb9250",
    "gemma4": "db7ec2e29d1d50562d199dd22b88fbeea26e0f3033f1acaeb8cf29f24301ed87",
    "glm4moe": "a0f2d8857c04bef004872c699a4d16f81a85f18368d320f5871eedbfe9c1340d",
    "glm4": "3185eab2ac86240e56bc80c33043d8699a4023f90cf7e2c74be3d4632bb919ae",
    "mistral3": "7a8e1080d225fc7562fe5016a99a627692105227c6d705622786a69e4bc4487a",
    "nemotron": "2fd814c2a8932f763591f52152880c03b700c964100315856797d1c6e9c68528",
    "phi3": "989d59973e75303212d1999046b6a1f6641e24dd060dddc4df67bc6d139e1a26",
    "starcoder2": "4b62b9cd86ddb2f1ddd657b638165b56cf01b3e588ab22d50fca97653bf9e5df",
    "ernie4_5": "2b7452c93e2db2e33b4d988b123b1a6d50f2023654ef576286275afe67b9386f",
    "exaone4": "3ca9fd4186385d0c2af525251b1db50be7f6d4dc5878690812f99b125eed30f9",
    "falcon-h1": "d809b226bb841cc3db933529b664917d0669dd1e621e316a6830a30f69fabfe3",
    "gemma2": "f7cb1bb9d1fb0f031dc563299f430e30706312f21dd21862fec3d7bc52c418a1",
    "gemma3": "1bb54b7407d0c255dafc3f9994f96f7159c2a07e593acff66da1cd9b2e7667c6",
    "gpt-oss": "e24dafa2190905aad7a7e64f39b67e07b7f1d4423991500338b84b8efeae2b7a",
    "granitemoe": "0158ca3674f6d589c72209c6de2bc6fb83856e823ca1fe1e506ec03ddee34614",
    "granite": "372a971a63888a06b44334ba0fcb91a8bcef2d9429cc0cf50eb82f77e00527ff",
    "hunyuan-dense": "7822105ade3d2add0ffcb03676607a4b66b88b063dacc6d24c15d4769a4ddec0",
    "lfm2": "8edfcdee825404446e615035640e26ecd2faf2475daceb9c25381a7db4539529",
    "minicpm": "d7fc941a78827d2185b91229a5421c85770fa428f8ed7f17cd96382c88570f4c",
    "olmo2": "7ebf6f1407615d86885272824d40f4e7aa4df44e934c56b635271f18410f7233",
    "qwen2moe": "616a428a2479ce6a83a69fc3b8b1f5c950e8a93773fbfd77bbf2c8a9166b8715",
    "qwen3moe": "c60df4793d27638bc43312ac9260653fbed36933ef0f56b6b4a001d19cf5714f",
    "qwen3next": "b9a56f3e521e8d1ae3f6f928f55402a60c40d5fce5819721084e4b3fdc813ea5",
    "qwen35": "441730fbc4f55f9d830535ac9cb04dc0883a11aea95711a0d9e9b9dc28c84a5f",
    "qwen35moe": "58287fd7b239baab02f8368b7ca3c6913aad72c7d323feb9e40be223325909dd",
    "muse-glimmer": "8d62d540c2a02934b86be3aa3272e582263b514fc80c7e4324209c7e0442b00a",
    "nemotron_h": "4e8d94c5267d32ebe267329c296ae89d21864c281cd11e5ebab5971331579b89",
    "nemotron_h_moe": "3c5b576c7f394500ed92db0e1aabe408ea546ecc4cd316446cc0febfa51addc3",
    "smollm3": "97616c584afa4b0bacbd78dd37d5b4d7671807688eb7ecee4d79301f41ca1fa0",
  ]

  @Test(arguments: KernelLevel.available)
  func `every further architecture gives its frozen bits on every route`(_ level: KernelLevel) throws {
    let models = ProgramTests.models.filter { !["llama", "qwen2", "qwen3"].contains($0.architecture) }
    #expect(Set(models.map(\.architecture)) == Set(Self.further.keys))
    for synthetic in models {
      var synthetic = synthetic
      synthetic.context = 1_024
      let model = try synthetic.model()
      let text = ConformanceText(vocabulary: synthetic.vocabulary, seed: 7)
      var generated: [Int32] = []
      // Swapping a window's blocks is tested by itself (DeviceTests).
      let routes = Self.routes.filter { !$0.isSwapped || model.windows.isEmpty }
      for route in level == .scalar ? [routes[1], routes[4], routes[5]] : routes {
        let result = try route.run(model, text, level: level, profile: .a15, forced: generated)
        if generated.isEmpty { generated = result.generated }
        #expect(result.generated == generated)
        let isFrozen = result.digest == Self.further[synthetic.architecture]
        #expect(
          isFrozen, "\(synthetic.architecture) at \(level.name), \(route.testDescription): \(result.digest)")
      }
    }
  }

  /// SmolLM2-135M-Instruct, Q4_1, as `models pull smollm2` fetches it.
  @Test(.disabled(if: RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func `the real model gives the frozen bits on every route`() throws {
    let path = try #require(RealModel.path)
    let model = try Model(path: path)
    let digest = model.fileDigest().map { String(format: "%02x", $0) }.joined()
    guard digest == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" else {
      print("skipped: \(path) is not the file that the number was frozen for")
      return
    }
    let text = ConformanceText(vocabulary: model.hyperparameters.vocabularySize, seed: 7)
    let environment = ProcessInfo.processInfo.environment
    // Where a product takes many times as long, the best level alone: the synthetic models go through all of them.
    let isSlow = environment["HOTPOT_SANITIZER"] == "thread"
    let levels = KernelLevel.available.reversed().filter { $0 != .scalar || isHeavy }
    // The default, and the one before it, whose receipts are to be checked for as long as there are any.
    for (profile, frozen) in [
      (Engine.Profile.a15, "9375732197ba406cf2a473d24a9d3d2c3ee015a6b9527d40109ecabb27130bd4"),
      (.a12, "f1884bd504a7895138e680aa7aa54fb56fbe021236f3107eabda17371a97bfd2"),
    ] {
      var generated: [Int32] = []
      for level in levels.prefix(isSlow ? 1 : levels.count) {
        for route in isHeavy ? Self.routes : [Self.routes[1], Self.routes[4], Self.routes[5]] {
          let result = try route.run(model, text, level: level, profile: profile, forced: generated)
          if generated.isEmpty { generated = result.generated }
          #expect(result.generated == generated)
          #expect(
            result.digest == frozen, "\(profile.rawValue) at \(level.name), \(route.testDescription)")
        }
      }
    }
  }
}
