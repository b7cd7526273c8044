// KernelExpertTests.swift: which experts a token goes to, where its rows are, and what the experts give, at every
// level against plain arithmetic and against ck_multiply.

import CKernels
import Testing

@Suite struct KernelExpertTests {
  private func route(
    _ level: ck_level, _ logits: [Float], chosen: Int, _ gating: ck_gating = CK_GATING_SOFTMAX,
    bias: [Float]? = nil, groups: (count: Int, chosen: Int) = (0, 0), normalises: Bool = false,
    scale: Float = 1
  ) -> (experts: [Int], weights: [Float]) {
    var choices = [Float](repeating: -1, count: 2 * chosen)
    func run(_ bias: UnsafePointer<Float>?) {
      var router = ck_router(
        experts: UInt32(logits.count), chosen: UInt32(chosen), gating: gating, bias: bias,
        groups: UInt32(groups.count), groups_chosen: UInt32(groups.chosen), normalises: normalises,
        scale: scale, factors: nil)
      ck_route(level, &router, logits, &choices)
    }
    if let bias { bias.withUnsafeBufferPointer { run($0.baseAddress) } } else { run(nil) }
    return (choices.prefix(chosen).map { Int($0) }, Array(choices.suffix(chosen)))
  }

  @Test(arguments: kernelLevels) func equalExpertsAreTakenByTheirNumber(level: ck_level) {
    #expect(route(level, [1, 2, 2, 1, 2, 0], chosen: 4).experts == [1, 2, 4, 0])
    let many = [Float](repeating: 0.5, count: 512)
    let found = route(level, many, chosen: 10, normalises: true)
    #expect(found.experts == Array(0..<10))
    #expect(found.weights.allSatisfy { $0 == found.weights[0] && abs($0 - 0.1) < 1e-6 })
  }

  @Test(arguments: kernelLevels) func weightsAreThoseOfTheGating(level: ck_level) {
    let logits: [Float] = [0, 1, -1, 2]
    func near(_ found: [Float], _ wanted: [Float]) -> Bool {
      zip(found, wanted).allSatisfy { abs($0 - $1) < 1e-6 }
    }
    #expect(near(route(level, logits, chosen: 2).weights, [0.643914260, 0.236882818]))
    #expect(near(route(level, logits, chosen: 2, normalises: true).weights, [0.731058579, 0.268941421]))
    #expect(
      near(route(level, logits, chosen: 2, CK_GATING_SOFTMAX_OF_CHOSEN).weights, [0.731058579, 0.268941421]))
    #expect(
      near(
        route(level, logits, chosen: 3, CK_GATING_SIGMOID, scale: 2).weights,
        [1.761594156, 1.462117157, 1]))
    // Weights that are all nearly nothing are not blown up.
    let small = route(level, [-30, -30], chosen: 2, CK_GATING_SIGMOID, normalises: true).weights
    #expect(small.allSatisfy { $0 > 0 && $0 < 1e-8 })
  }

  @Test(arguments: kernelLevels) func aBiasChoosesAndDoesNotWeigh(level: ck_level) {
    let found = route(
      level, [2, 1, 0, -1], chosen: 2, CK_GATING_SIGMOID, bias: [0, 0, 0, 5])
    #expect(found.experts == [3, 0])
    #expect(abs(found.weights[0] - 0.268941421) < 1e-6 && abs(found.weights[1] - 0.880797078) < 1e-6)
  }

  @Test(arguments: kernelLevels) func onlyTheBestGroupsAreChosenFrom(level: ck_level) {
    // The first group has the largest number, and the smallest sum of two.
    let bias: [Float] = [3.9, -9, -9, 2.5, 2.5, 0, 2, 2, 0]
    let found = route(
      level, [Float](repeating: 0, count: 9), chosen: 3, CK_GATING_SIGMOID, bias: bias, groups: (3, 2))
    #expect(found.experts == [3, 4, 6])
    // Of equal groups the first.
    #expect(
      route(
        level, [Float](repeating: 0, count: 8), chosen: 2, bias: [0, 0, 1, 1, 1, 1, 0, 0], groups: (4, 1)
      ).experts == [2, 3])
  }

  @Test(arguments: kernelLevels) func logitsThatAreNotFiniteMakeWeightsNaN(level: ck_level) {
    for bad in [Float.nan, .infinity, -.infinity] {
      for gating in [CK_GATING_SOFTMAX, CK_GATING_SIGMOID, CK_GATING_SOFTMAX_OF_CHOSEN] {
        var logits = [Float](repeating: 1, count: 20)
        logits[17] = bad
        let found = route(level, logits, chosen: 3, gating)
        #expect(found.experts == [0, 1, 2] && found.weights.allSatisfy(\.isNaN))
      }
    }
  }

  // ------------------------------------------------------------ places

  @Test func placesAreOrderedByExpertThenToken() {
    // (tokens, 2 * chosen), with a stride of 5
    let choices: [Float] = [2, 0, 0.1, 0.2, -1, 0, 2, 0.3, 0.4, -1, 4, 2, 0.5, 0.6, -1]
    let memory = (0..<5).map { _ in KernelMemory(64) }
    var places = ck_places(
      first: memory[0].bound(UInt32.self), experts: memory[1].bound(UInt32.self), busy: 0,
      tokens: memory[2].bound(UInt32.self), weights: memory[3].bound(Float.self),
      of_token: memory[4].bound(UInt32.self))
    // Twice: nothing of the first call is left.
    for _ in 0..<2 { ck_place_choices(choices, 5, 3, 2, 5, &places) }
    #expect((0..<6).map { places.first[$0] } == [0, 2, 2, 5, 5, 6])
    #expect((0..<Int(places.busy)).map { places.experts[$0] } == [0, 2, 4])
    #expect((0..<6).map { places.tokens[$0] } == [0, 1, 0, 1, 2, 2])
    #expect((0..<6).map { places.weights[$0] } == [0.2, 0.3, 0.1, 0.4, 0.6, 0.5])
    #expect((0..<6).map { places.of_token[$0] } == [2, 0, 1, 3, 5, 4])
  }

  // ------------------------------------------------------------ products

  @Test(arguments: kernelLevels)
  func anExpertAddsWhatTheProductGives(level: ck_level) throws {
    let (rows, cols, count) = (40, 256, 70)
    for type in [CK_Q4_K, CK_Q8_0, CK_F16] {
      var stream = KernelStream(5)
      let matrix = KernelMatrix(
        type, rows: rows, cols: cols, source: stream.weights(type, rows: rows, cols: cols))
      let input = try #require(
        KernelInput(level, CK_A15, stream.floats(count * cols), tokens: count, cols: cols))
      let products = kernelProduct(level, matrix, input, tokens: count)
      let bias = stream.floats(rows)
      let weights = stream.floats(count)
      // Each token twice, from the end.
      let tokens = (0..<count).map { UInt32((count - 1 - $0) / 2) }
      for (first, places) in [(0, 1), (3, 5), (5, 64), (0, 70)] {
        var out = [Float](repeating: 0.25, count: count * rows)
        var wanted = out
        for place in first..<(first + places) {
          for row in 0..<rows {
            let sum = products[place * rows + row] + bias[row]
            let weighted = weights[place] * sum
            wanted[Int(tokens[place]) * rows + row] += weighted
          }
        }
        var (weightsOf, inputOf) = (matrix.value, input.value)
        for part in [0..<2, 2..<3] {
          ck_multiply_expert(
            level, &weightsOf, &inputOf, bias, tokens, weights, &out, rows,
            ck_range(
              first_tile: UInt32(part.lowerBound), tiles: UInt32(part.count), first_token: UInt32(first),
              tokens: UInt32(places), next: nil))
        }
        let isSame = out.map(\.bitPattern) == wanted.map(\.bitPattern)
        #expect(isSame, "type \(type.rawValue), \(places) places from \(first)")
      }
    }
  }
}
