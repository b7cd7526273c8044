// SamplingTests.swift: the sampler against a reference that sorts everything, and the stop strings against any cut.

import CKernels
import Inference
import Testing

@Suite struct PhiloxTests {
  /// Random123's kat_vectors, philox4x32 with 10 rounds.
  @Test func `the generator gives the published answers`() {
    let ones = SIMD4<UInt32>(repeating: 0xFFFF_FFFF)
    #expect(
      Philox.words(counter: .zero, key: .zero) == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
    #expect(
      Philox.words(counter: ones, key: SIMD2(repeating: 0xFFFF_FFFF))
        == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
    #expect(
      Philox.words(
        counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344),
        key: SIMD2(0xa409_3822, 0x299f_31d0))
        == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
  }
}

@Suite struct SamplerTests {
  static let vocabulary = 1_000

  static func logits(_ random: inout SplitMix, spread: Float) -> [Float] {
    (0..<vocabulary).map { _ in
      // Ties are common, so that the second rule of the order matters.
      (random.signed() * spread * 8).rounded() / 8
    }
  }

  static func choose(
    _ logits: [Float], _ context: SamplingContext, position: Int, level: KernelLevel = .scalar
  ) -> SampledToken? {
    var row = logits
    return row.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap {
        Sampler(vocabularySize: vocabulary, level: level).choose(
          from: $0, context: context, position: position)
      }
    }
  }

  /// What SamplingRequest's comment says, word by word, with a full sort.
  static func reference(_ logits: [Float], _ context: SamplingContext, position: Int) -> Int32 {
    let request = context.request
    var l = logits
    for entry in request.logitBias { l[Int(entry.token)] += entry.bias }
    if request.usesHistory {
      let transcript = Array(context.transcript.prefix(position))
      for id in Set(transcript) {
        let count = transcript.dropFirst(context.promptCount).filter { $0 == id }.count
        var value = l[Int(id)]
        if request.repetitionPenalty != 1 {
          value = value > 0 ? value / request.repetitionPenalty : value * request.repetitionPenalty
        }
        if count > 0 {
          value -= request.frequencyPenalty * Float(count)
          value -= request.presencePenalty
        }
        l[Int(id)] = value
      }
    }
    var order = Array(0..<l.count)
    order.sort { l[$0] > l[$1] || (l[$0] == l[$1] && $0 < $1) }
    if request.temperature == 0 { return Int32(order[0]) }
    let temperature = max(request.temperature, 0.01)
    let first = l[order[0]] / temperature
    var exps = order.map { l[$0] / temperature - first }
    ck_exp(CK_SCALAR, exps, UInt32(exps.count), &exps)
    var weights = exps.map { UInt64(($0 * 0x1p32).rounded(.down)) }
    let floor = UInt64((request.minP * 0x1p32).rounded(.down))
    weights = weights.map { $0 < floor ? 0 : $0 }
    if request.topK > 0 { weights = Array(weights.prefix(request.topK)) }
    if request.topP < 1 {
      let wanted = Double(request.topP) * Double(weights.reduce(0, +))
      var sum: UInt64 = 0
      var kept = 0
      for weight in weights {
        sum += weight
        kept += 1
        if Double(sum) >= wanted { break }
      }
      weights = Array(weights.prefix(kept))
    }
    let total = weights.reduce(0, +)
    let u = Philox.bits24(seed: request.seed, index: position - context.promptCount)
    var sum: UInt64 = 0
    for (i, weight) in weights.enumerated() {
      sum += weight
      if UInt128(sum) << 24 > UInt128(u) * UInt128(total) { return Int32(order[i]) }
    }
    return Int32(order[0])
  }

  static func request(_ random: inout SplitMix) -> SamplingRequest {
    func one<T>(_ choices: [T]) -> T { choices[Int(random.next() % UInt64(choices.count))] }
    return SamplingRequest(
      temperature: one([0, 0.001, 0.3, 0.7, 1, 1.5, 100]), topK: one([0, 1, 2, 40, 500, 999, 5_000]),
      topP: one([1, 1, 0.95, 0.5, 0.01]), minP: one([0, 0, 0.05, 0.5, 1]),
      repetitionPenalty: one([1, 1, 1.1, 0.5, 3]), presencePenalty: one([0, 0, 0.5, -1, 2]),
      frequencyPenalty: one([0, 0, 0.25, -0.5, 2]),
      logitBias: one([[], [], [.init(token: 3, bias: -100), .init(token: 7, bias: 100)]]), seed: random.next()
    )
  }

  @Test(arguments: KernelLevel.available)
  func `the choice is that of a full sort`(_ level: KernelLevel) throws {
    let seed: UInt64 = 20_261_123
    var random = SplitMix(state: seed)
    for round in 0..<400 {
      let spread: Float = [0, 0.5, 4, 30][round % 4]
      let logits = Self.logits(&random, spread: spread)
      let request = Self.request(&random)
      try request.validate(vocabularySize: Self.vocabulary)
      let transcript = (0..<60).map { _ in Int32(random.next() % 50) }
      let context = SamplingContext(request, promptCount: 20, transcript: transcript)
      for position in [20, 21, 60] {
        let chosen = try #require(Self.choose(logits, context, position: position, level: level))
        #expect(
          chosen.token == Self.reference(logits, context, position: position),
          "seed \(seed), round \(round), position \(position), \(request)")
      }
    }
  }

  @Test func `draws follow the probabilities`() throws {
    var logits = [Float](repeating: -50, count: Self.vocabulary)
    logits[5] = 1
    logits[9] = 1
    logits[2] = 1 - 1.0986123
    let request = SamplingRequest(temperature: 1, seed: 11)
    var counts = [Int32: Int]()
    let context = SamplingContext(request, promptCount: 0)
    for position in 0..<7_000 {
      counts[try #require(Self.choose(logits, context, position: position)).token, default: 0] += 1
    }
    // 3/7, 3/7 and 1/7 of 7,000; four standard deviations are 166 and 117.
    #expect(abs(counts[5, default: 0] - 3_000) < 166)
    #expect(abs(counts[9, default: 0] - 3_000) < 166)
    #expect(abs(counts[2, default: 0] - 1_000) < 117)
    #expect(counts.count == 3)
  }

  @Test func `log-probabilities are of the model's own logits`() throws {
    var logits = [Float](repeating: -.greatestFiniteMagnitude / 1e30, count: Self.vocabulary)
    for i in logits.indices { logits[i] = -100 }
    logits[4] = 2
    logits[8] = 1
    logits[6] = 1
    let request = SamplingRequest(logitBias: [.init(token: 8, bias: 50)], topLogprobs: 3)
    let chosen = try #require(Self.choose(logits, SamplingContext(request, promptCount: 0), position: 0))
    #expect(chosen.token == 8)
    // log(1 / (e + 2)) and log(e / (e + 2))
    #expect(abs((chosen.logprob ?? 0) - -1.5514447) < 1e-6)
    #expect(chosen.top.map(\.token) == [4, 6, 8])
    #expect(abs(chosen.top[0].logprob - -0.5514447) < 1e-6)
  }

  /// Allows the ids that leave a rest, which grows with the output.
  private struct Rests: TokenConstraint {
    var divisor: Int
    var allowsNone = false

    func allowed(after output: ArraySlice<Int32>) -> [UInt64]? {
      if allowsNone { return nil }
      var words = [UInt64](repeating: 0, count: (SamplerTests.vocabulary + 63) / 64)
      for id in 0..<SamplerTests.vocabulary where isAllowed(id, output.count) {
        words[id >> 6] |= 1 << UInt64(id & 63)
      }
      return words
    }

    func isAllowed(_ id: Int, _ position: Int) -> Bool { id % divisor == position % divisor }
  }

  @Test func `a constraint leaves the choice among what it allows`() throws {
    var random = SplitMix(state: 41)
    for round in 0..<60 {
      let logits = Self.logits(&random, spread: 6)
      let output = round % 7
      let constraint = Rests(divisor: [2, 63, 500][round % 3])
      let request = SamplingRequest(
        temperature: [0, 0.7, 1.3][round % 3], topK: [0, 5, 900][round / 3 % 3], topP: [1, 0.8][round % 2],
        minP: round % 5 == 0 ? 0.1 : 0, repetitionPenalty: round % 4 == 0 ? 1.2 : 1, seed: UInt64(round))
      let transcript = (0..<Int32(10 + output)).map { $0 * 3 }
      let context = SamplingContext(request, promptCount: 10, transcript: transcript, constraint: constraint)
      let chosen = try #require(Self.choose(logits, context, position: 10 + output)).token
      #expect(constraint.isAllowed(Int(chosen), output))
      var left = logits
      for id in left.indices where !constraint.isAllowed(id, output) { left[id] = -1e25 }
      let free = SamplingContext(request, promptCount: 10, transcript: transcript)
      #expect(chosen == Self.reference(left, free, position: 10 + output), "round \(round)")
      // The other level gives the same token.
      for level in KernelLevel.available {
        #expect(Self.choose(logits, context, position: 10 + output, level: level)?.token == chosen)
      }
    }
    let none = SamplingContext(.greedy, promptCount: 0, constraint: Rests(divisor: 2, allowsNone: true))
    #expect(Self.choose(Self.logits(&random, spread: 6), none, position: 0) == nil)
  }

  @Test func `a logit that is not finite gives no token`() {
    for bad in [Float.nan, .infinity, -.infinity, 0x1p100] {
      for index in [0, 500, 999] {
        var logits = [Float](repeating: 0, count: Self.vocabulary)
        logits[index] = bad
        #expect(Self.choose(logits, SamplingContext(.greedy, promptCount: 0), position: 0) == nil)
      }
    }
  }

  @Test func `values outside their bounds are refused by name`() {
    func check(_ field: String, _ change: (inout SamplingRequest) -> Void) {
      var request = SamplingRequest()
      change(&request)
      do {
        try request.validate(vocabularySize: 100)
        Issue.record("\(field) was accepted: \(request)")
      } catch {
        #expect(error.field == field)
      }
    }
    for value in [-0.1, 101, Float.nan, .infinity] { check("temperature") { $0.temperature = value } }
    for value in [-1, Int.max] { check("top_k") { $0.topK = value } }
    for value in [0, 1.1, -1, Float.nan] { check("top_p") { $0.topP = value } }
    for value in [1.1, -1, Float.nan] { check("min_p") { $0.minP = value } }
    for value in [0, -1, 101, Float.nan] { check("repetition_penalty") { $0.repetitionPenalty = value } }
    for value in [2.1, -2.1, Float.nan] {
      check("presence_penalty") { $0.presencePenalty = value }
      check("frequency_penalty") { $0.frequencyPenalty = value }
      check("logit_bias") { $0.logitBias = [.init(token: 1, bias: value * 100)] }
    }
    check("logit_bias") { $0.logitBias = [.init(token: 100, bias: 1)] }
    check("logit_bias") { $0.logitBias = [.init(token: -1, bias: 1)] }
    check("logit_bias") { $0.logitBias = [.init(token: 2, bias: 1), .init(token: 2, bias: 1)] }
    check("top_logprobs") { $0.topLogprobs = 21 }
    check("top_logprobs") { $0.topLogprobs = -1 }
  }
}

@Suite struct StopMatcherTests {
  /// Feeds pieces and returns what came out and which stop string ended it.
  func run(_ pieces: [String], _ stops: [String]) throws -> (String, String?) {
    var matcher = try StopMatcher(stops)
    var out = ""
    for piece in pieces { out += matcher.append(piece) }
    out += matcher.finish()
    return (out, matcher.matched)
  }

  @Test func `a stop string is found across the borders of tokens`() throws {
    #expect(try run(["Hello", " wor", "ld", " and"], ["world"]) == ("Hello ", "world"))
    #expect(try run(["aab", "ab"], ["abab", "x"]) == ("a", "abab"))
    #expect(try run(["no", "stop"], ["stopped"]) == ("nostop", nil))
    #expect(try run(["x", "y"], []) == ("xy", nil))
  }

  @Test func `of two that end together the longer one wins`() throws {
    #expect(try run(["one two"], ["two", "one two"]) == ("", "one two"))
    #expect(try run(["abcd"], ["bc", "abcd"]) == ("a", "bc"))
  }

  @Test func `text that may become a stop string is withheld`() throws {
    var matcher = try StopMatcher(["\n\nUser:"])
    #expect(matcher.append("Fine.\n") == "Fine.")
    #expect(matcher.append("\nUse") == "")
    #expect(matcher.append("ful") == "\n\nUseful")
    #expect(matcher.append("\n") == "")
    #expect(matcher.finish() == "\n")
  }

  @Test func `the result does not depend on how the text is cut`() throws {
    let seed: UInt64 = 42
    var random = SplitMix(state: seed)
    let alphabet = ["a", "b", "é", "世", "ab"]
    for round in 0..<2_000 {
      func word(_ most: UInt64) -> String {
        (0..<(1 + random.next() % most)).map { _ in alphabet[Int(random.next() % 5)] }.joined()
      }
      let stops = (0..<(1 + random.next() % 3)).map { _ in word(4) }
      let text = word(30)
      let whole = try run([text], stops)
      let single = try run(text.map(String.init), stops)
      #expect(whole == single, "seed \(seed), round \(round)")
      let first = stops.compactMap { stop in text.utf8.firstRange(of: stop.utf8)?.upperBound }.min()
      #expect((whole.1 == nil) == (first == nil), "seed \(seed), round \(round)")
      if let first, let matched = whole.1 { #expect(whole.0 + matched == String(text[..<first])) }
    }
  }

  @Test func `empty, long and too many stop strings are refused`() {
    #expect(throws: SamplingError.self) { try StopMatcher([""]) }
    #expect(throws: SamplingError.self) { try StopMatcher([String(repeating: "x", count: 1_025)]) }
    #expect(throws: SamplingError.self) { try StopMatcher(Array(repeating: "x", count: 17)) }
  }
}
