// KernelProductTests.swift: quantised activations and matrix products: against double precision, against frozen
// digests at every level, and level against level in shapes that are not multiples of the tiles.

import CKernels
import Foundation
import TestSettings
import Testing

@Suite struct KernelProductTests {
  @Test(arguments: kernelLevels) func everyLevelPassesItsSelfTest(level: ck_level) {
    #expect(ck_self_test(level))
  }

  @Test func theScalarLevelIsAlwaysThereAndTheBestIsAvailable() {
    #expect(ck_level_available(CK_SCALAR))
    #expect(ck_level_available(ck_best_level()))
    #expect(kernelLevels.contains(ck_best_level()))
  }

  // ------------------------------------------------------------ quantising

  /// The integers, d and s of a token, as the level stored them.
  func read(_ level: ck_level, _ profile: ck_profile, _ input: KernelInput, blocks: Int) -> [UInt32] {
    var all: [UInt32] = []
    for block in 0..<blocks {
      var v = [Int16](repeating: 0, count: 32)
      var d: Float = 0
      var s: Float = 0
      ck_blocks_read(level, profile, input.blocks.base, UInt32(block), &v, &d, &s)
      all += v.map { UInt32(bitPattern: Int32($0)) } + [d.bitPattern, s.bitPattern]
    }
    return all
  }

  @Test(arguments: kernelLevels, kernelProfiles)
  func quantisingFollowsTheFormula(level: ck_level, profile: ck_profile) throws {
    var stream = KernelStream(11)
    let top: Float = profile == CK_A15 ? 16_383 : profile == CK_A12 ? 2032 : 127
    for round in 0..<200 {
      // Levels may take several blocks at once, each with a size of its own.
      let blocks = 1 + round % 9
      var values: [Float] = []
      var expected: [UInt32] = []
      for block in round..<(round + blocks) {
        var x = stream.floats(32)
        if block % 5 == 0 { x = x.map { $0 * 0x1p-126 } }
        if block % 7 == 0 { x = x.map { $0 * 0x1p120 } }
        if block % 11 == 0 { x = x.map { ($0 * 4).rounded() / 8 } }
        if block % 13 == 0 { x = x.map { $0 * 0 } }
        let amax = x.map { $0.magnitude }.max() ?? 0
        let id = top / amax
        let zero = !id.isFinite
        let v = x.map { zero ? 0 : ($0 * id).rounded(.toNearestOrEven) }
        let d = zero ? 0 : amax / top
        let s = d * v.reduce(0, +)
        values += x
        expected += v.map { UInt32(bitPattern: Int32($0)) } + [d.bitPattern, s.bitPattern]
      }
      let input = try #require(KernelInput(level, profile, values, tokens: 1, cols: 32 * blocks))
      #expect(read(level, profile, input, blocks: blocks) == expected, "round \(round)")
    }
  }

  @Test(arguments: kernelLevels) func valuesThatAreNotFiniteAreRefused(level: ck_level) {
    for bad in [Float.nan, .infinity, -.infinity, .signalingNaN] {
      for position in [0, 15, 16, 31, 32, 63, 127, 128, 159] {
        var x = [Float](repeating: 1, count: 160)
        x[position] = bad
        for profile in kernelProfiles { #expect(KernelInput(level, profile, x, tokens: 1, cols: 160) == nil) }
      }
    }
  }

  @Test(arguments: kernelLevels) func zerosAndTheSmallestDenormalsBecomeZeroBlocks(level: ck_level) throws {
    for value in [Float(0), -0.0, .leastNonzeroMagnitude, 0x1p-140] {
      let x = [Float](repeating: value, count: 32)
      let input = try #require(KernelInput(level, CK_A12, x, tokens: 1, cols: 32))
      #expect(read(level, CK_A12, input, blocks: 1) == [UInt32](repeating: 0, count: 34), "\(value)")
    }
  }

  // ------------------------------------------------------------ products

  /// sum of w[row][k] * x[k] in double, and the sum of magnitudes that bounds its error.
  func exact(
    _ type: ck_type, _ source: [UInt8], _ x: [Double], row: Int, cols: Int
  ) -> (sum: Double, magnitude: Double) {
    var w = [Float](repeating: 0, count: cols)
    source.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      ck_dequantise(type, base + ck_row_bytes(type, UInt32(cols)) * row, UInt32(cols), &w)
    }
    var sum = 0.0
    var magnitude = 0.0
    for k in 0..<cols {
      sum += Double(w[k]) * x[k]
      magnitude += abs(Double(w[k]) * x[k])
    }
    return (sum, magnitude)
  }

  @Test(arguments: kernelTypes, kernelProfiles)
  func productsAreExactArithmeticOnTheQuantisedActivations(type: ck_type, profile: ck_profile) throws {
    let (rows, cols, tokens) = (21, 768, 3)
    var stream = KernelStream(21)
    let source = stream.weights(type, rows: rows, cols: cols)
    let x = stream.floats(tokens * cols)
    let matrix = KernelMatrix(type, rows: rows, cols: cols, source: source)
    let input = try #require(KernelInput(CK_SCALAR, profile, x, tokens: tokens, cols: cols))
    let found = kernelProduct(CK_SCALAR, matrix, input, tokens: tokens)
    for token in 0..<tokens {
      var seen = x[(token * cols)..<((token + 1) * cols)].map(Double.init)
      if ck_type_takes_blocks(type) {
        for block in 0..<(cols / 32) {
          var v = [Int16](repeating: 0, count: 32)
          var d: Float = 0
          var s: Float = 0
          let at = input.blocks.base + input.value.block_stride * token
          ck_blocks_read(CK_SCALAR, profile, at, UInt32(block), &v, &d, &s)
          for i in 0..<32 { seen[block * 32 + i] = Double(d) * Double(v[i]) }
        }
      }
      for row in 0..<rows {
        let reference = exact(type, source, seen, row: row, cols: cols)
        let error = abs(Double(found[token * rows + row]) - reference.sum)
        #expect(error <= reference.magnitude * 2e-6, "row \(row), token \(token)")
      }
    }
  }

  @Test(arguments: kernelTypes) func quantisedActivationsStayCloseToTheFloats(type: ck_type) throws {
    let (rows, cols) = (16, 512)
    var stream = KernelStream(31)
    let source = stream.weights(type, rows: rows, cols: cols)
    let x = stream.floats(cols)
    let matrix = KernelMatrix(type, rows: rows, cols: cols, source: source)
    for (profile, bound) in [(CK_A8, 8e-3), (CK_A12, 5e-4), (CK_A15, 6.3e-5)] {
      let input = try #require(KernelInput(CK_SCALAR, profile, x, tokens: 1, cols: cols))
      let found = kernelProduct(CK_SCALAR, matrix, input, tokens: 1)
      for row in 0..<rows {
        let reference = exact(type, source, x.map(Double.init), row: row, cols: cols)
        #expect(abs(Double(found[row]) - reference.sum) <= reference.magnitude * bound, "row \(row)")
      }
    }
  }

  /// Covers the scalar level's own fused multiply-add: f32 weights, two columns, extreme exponents.
  @Test(arguments: kernelLevels) func floatProductsAreChainsOfFusedMultiplyAdds(level: ck_level) throws {
    var stream = KernelStream(41)
    let rounds = isHeavy ? 2_000_000 : 20_000
    for round in 0..<(rounds / 16) {
      func extreme() -> Float {
        let bits = stream.word()
        let exponent = [bits >> 23 & 255, 127, 1, 0, 254, 100 + bits >> 20 & 31][Int(stream.word() % 6)]
        let value = Float(bitPattern: bits & 0x807f_ffff | min(exponent, 254) << 23)
        return stream.word() % 4 == 0 ? Float(bitPattern: value.bitPattern & 0xffff_f000) : value
      }
      let w = (0..<48).map { _ in extreme() }
      let x = (0..<3).map { _ in extreme() }
      let source = w.withUnsafeBytes { [UInt8]($0) }
      let matrix = KernelMatrix(CK_F32, rows: 16, cols: 3, source: source)
      let input = try #require(KernelInput(level, CK_A12, x, tokens: 1, cols: 3))
      let found = kernelProduct(level, matrix, input, tokens: 1)
      for row in 0..<16 {
        var sum: Float = 0
        for k in 0..<3 { sum.addProduct(w[row * 3 + k], x[k]) }
        guard found[row].bitPattern != sum.bitPattern, !(found[row].isNaN && sum.isNaN) else { continue }
        Issue.record("round \(round): \(w[(row * 3)..<(row * 3 + 3)]) * \(x) = \(found[row]), not \(sum)")
        return
      }
    }
  }

  /// SHA-256 over the products of a (45, 768) matrix with 37 tokens, A8 then A12, and the same of A15, from
  /// the scalar level.
  static let frozen: [(ck_type, String, String)] = [
    (
      CK_F32, "eacb94ed44f6bf8907a298588592b2d6563c71226d046a55786164d7b132f1ac",
      "ece9d24b29c619039f1e7c68815bf3c4d5b889ef77692f97c4431598e355fe76"
    ),
    (
      CK_F16, "08e5b0f7569afa499cf8e81d91f1432edf4d7a4b0fa4d7ec8b5d32fc3ab24ad4",
      "6a632f91bd0552a464e22056189abb724dd5df7c959b7a3577454aa3af187b9e"
    ),
    (
      CK_BF16, "812a8d478cc4db6103daeb38aa19e10e1ee3aa12602957e537714b99e2433f4a",
      "d5a0d62b571f32a016c24f6b0592b8dd8e65442dde968a58d277191863df0ded"
    ),
    (
      CK_Q8_0, "5dfd9a3c0f9e1a4df7beb49bcf69587384663726c22ee276095d330c9789b0cc",
      "2d2566e2fb74b9f831c344cbfe9a0b488f38e177cc78c0d77a766790fc5d20be"
    ),
    (
      CK_Q4_0, "5eae7d5b5daf119c113999e59558479f8e59403716781b2cc15a606d7993b68f",
      "e1504e2a323b5ece98d9c69cda62b92b310e8f27add20afccfff5527aa5bae42"
    ),
    (
      CK_Q4_1, "3b17780b3ec49f970e0b7c9c182115cf6e1e62e7025169a4da27be4e67b78a38",
      "773f19c43351dd9eda364e35cc82c764cf55700fe1d30e7aa463da2e7840d1b8"
    ),
    (
      CK_Q5_0, "e2d3b4d3144f25b2834582ecc349f7a1cb5e0f5e206719993a01121122702cce",
      "2f229cc0ba2f3df3555376685d69dcd7abba9db75aeb5fc4b1721403aded923c"
    ),
    (
      CK_Q5_1, "829df6a9757f3eccaf03665d11a67ef15f2a1dee7738a0edc1c2dbc8c665b3cd",
      "406e88aa6ad52c6616861db39687b36392634d77c9c59d3abcc57f5a3ceaffda"
    ),
    (
      CK_Q2_K, "3134eb9e46abd5e0c528db791ddc33138ae15e9190366cf8794837f4fbccaafe",
      "461a18146f33a19c5abe8f98ec0d874632c05897aaf4312386eec4aaf7084849"
    ),
    (
      CK_Q3_K, "fc7325a52d49e5e0e5896b8ad1667b6a8929802af5512a6e0375b14b11acd1e8",
      "3ea6dc85920af2f1c79a6eea2fef5a2702b7b34dd2c352ce1b800300b4cf714a"
    ),
    (
      CK_Q4_K, "fea44df248e5381ead554f0ac9a2ef1842dcaf58a0fe5ddb78b1a00eda7b02e7",
      "846b444f0bc0417982331bbd11449cc63fb8c8b3e1bcbbdcd76d49d3a76234e0"
    ),
    (
      CK_Q5_K, "f176fcfe4d311246c484e741e1a7e0f840cea56488ccdf20f62becbece55f244",
      "a689b1f25e2cc6db1d2f700a744452780e9fefc3664e42d57f1b9215a3bb595a"
    ),
    (
      CK_Q6_K, "a262eb6684487f4729870304bf0009c881e526a07b1e2f6d5d24de1028608ab9",
      "ea46c96bb4ddb0df9f98188b6768c13d3009963c3cebad982790341b75a7fea8"
    ),
    (
      CK_IQ4_NL, "8af848f5027f3fe29e37611bc6eb75357afeab4da32be3ae08dfb67d0fe06530",
      "3c3c566147833f749eb6ffcae0c8dcfcb8ac6a09367c6b484df77da779e132ff"
    ),
    (
      CK_IQ4_XS, "d5898b2d939eecbbda4214695d51021c72c93d74985481c59ce358404c163b7b",
      "9abf00db2f2341484e51f42a7a8f4460fe97764f888f2a72e8b2f2004021e5e0"
    ),
    (
      CK_MXFP4, "6b4ce56a0228c127bfdcd9a0073547c89726f12d03018fc37b069c5852b194c4",
      "b0e2daac5819334433db04c8ccb573f291e25e3dc07c4d7ee370f9533be56d24"
    ),
    (
      CK_IQ1_S, "3ff375388eb1d8bb9c46bef614f274890dcda8d428e374885ef6737ff417817d",
      "0c3ccdf9df53c282180b806e7765b884f5edc4b665cbffc0ce6ec7e4fa5e4701"
    ),
    (
      CK_IQ1_M, "ff947b89dddf66a3aa6c3ff8e8d3439a20719a3817728e77abebd3be812f6a93",
      "db8fbeb78fad51bf429e646fd097777e34dfe139f033b09e1d18ce5abfbb8ab1"
    ),
    (
      CK_IQ2_XXS, "4d7ebaf146138e903b8cf90bd67ce96b74d77be358c201e83dbb5635cf7f94b4",
      "7e7fa57a4caff98a2b3d75827b74aa446662be708194cd782ebd223eb04f0196"
    ),
    (
      CK_IQ2_XS, "be220729db7029b73576b9f16a6e453f173d1ce9f6b0d74f39c2eba321db3bff",
      "5d664a44bcdbc6a55fafe098152a0c3c9f2d4c2130088d1c98ee9021853df7c0"
    ),
    (
      CK_IQ2_S, "125d2ab9d18fe1cfde0bfcb886563ec1889eafcd62afaf40c2c74e61d42a64d2",
      "1372310f77d45b3ae08fc44b852a463a7c42bc3c21d71e1056327e9ca052d0e8"
    ),
    (
      CK_IQ3_XXS, "e6415eb855a47e604f1ce0740da04ed4af74b073e4832eea3d5fa85aac3cc046",
      "f5bfcee20a75b4862ba9dc72dee435370751df0fc77b765ffc9ddf2e3b12c7b7"
    ),
    (
      CK_IQ3_S, "52d956129b3cd227723aa17a8d017c4c3aa6cc709ce40d4dbac710fb99c3c381",
      "071fddb1c10b1026ec01b8dc92f0ff3d40745aaba56396e58cae2103a2e4ab84"
    ),
    (
      CK_TQ1_0, "6ceeb33fd83d28a38ee53ea9000d66662774abae07d95efca71497dc5a44f813",
      "a774b5f98e055bb3c967031bb3920de4e101ce6c32aff0cc804c28375ffefd68"
    ),
    (
      CK_TQ2_0, "a41c9736d269c8f01674e60e80fb7c7a1bffc80ff65a1fd7082d201414f8e5c7",
      "4fa7b7fc02ac8ed1f3101f273f62c712852d2255bc8dd6f1d5b02113aaa0c05b"
    ),
  ]

  @Test(arguments: frozen, kernelLevels)
  func productsGiveTheFrozenBits(expected: (ck_type, String, String), level: ck_level) throws {
    let (rows, cols, tokens) = (45, 768, 37)
    var stream = KernelStream(51)
    let source = stream.weights(expected.0, rows: rows, cols: cols)
    let x = stream.floats(tokens * cols)
    let matrix = KernelMatrix(expected.0, rows: rows, cols: cols, source: source)
    var all: [Float] = []
    for profile in [CK_A8, CK_A12] {
      let input = try #require(KernelInput(level, profile, x, tokens: tokens, cols: cols))
      all += kernelProduct(level, matrix, input, tokens: tokens)
    }
    #expect(kernelDigest(all) == expected.1)
    let finest = try #require(KernelInput(level, CK_A15, x, tokens: tokens, cols: cols))
    #expect(kernelDigest(kernelProduct(level, matrix, finest, tokens: tokens)) == expected.2)
  }

  /// Any cut of the tiles and tokens into ranges.
  func cuts(_ stream: inout KernelStream, tiles: Int, tokens: Int) -> [ck_range] {
    func pieces(_ count: Int) -> [(Int, Int)] {
      var result: [(Int, Int)] = []
      var at = 0
      while at < count {
        let size = min(count - at, 1 + Int(stream.word()) % max(count / 2, 1))
        result.append((at, size))
        at += size
      }
      return result
    }
    let rows = pieces(tiles)
    return pieces(tokens).flatMap { token in
      rows.map { tile in
        ck_range(
          first_tile: UInt32(tile.0), tiles: UInt32(tile.1), first_token: UInt32(token.0),
          tokens: UInt32(token.1), next: nil)
      }
    }
  }

  @Test(arguments: kernelTypes) func levelsAndCutsAgreeInFuzzedShapes(type: ck_type) throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for round in 0..<(isHeavy ? 200 : 4) {
      let block = Int(ck_type_block_values(type))
      let rows = 1 + Int(stream.word()) % 90
      let cols = block == 1 ? 1 + Int(stream.word()) % 700 : block * (1 + Int(stream.word()) % (900 / block))
      let tokens = round % 4 == 3 ? 600 - Int(stream.word()) % 60 : 1 + Int(stream.word()) % 40
      let profile = kernelProfiles[Int(stream.word() % 3)]
      let source = stream.weights(type, rows: rows, cols: cols)
      let x = stream.floats(tokens * cols)
      let matrix = KernelMatrix(type, rows: rows, cols: cols, source: source)
      // the scalar level is slow: it sees the first tokens only
      let few = min(tokens, 5)
      let input = try #require(KernelInput(CK_SCALAR, profile, x, tokens: few, cols: cols))
      let scalar = kernelProduct(CK_SCALAR, matrix, input, tokens: few)
      var first: [Float]?
      for level in kernelLevels where level != CK_SCALAR {
        let input = try #require(KernelInput(level, profile, x, tokens: tokens, cols: cols))
        let whole = kernelProduct(level, matrix, input, tokens: tokens)
        let tiles = Int(ck_tile_count(UInt32(rows)))
        let ranges = cuts(&stream, tiles: tiles, tokens: tokens).shuffled(using: &stream)
        let parts = kernelProduct(level, matrix, input, tokens: tokens, ranges: ranges)
        let name = "seed \(seed), round \(round), (\(rows), \(cols)), \(tokens) tokens, \(level)"
        #expect(kernelBits(whole) == kernelBits(parts), "\(name), cut")
        #expect(kernelBits(Array(whole.prefix(few * rows))) == kernelBits(scalar), "\(name), scalar")
        if let first { #expect(kernelBits(whole) == kernelBits(first), "\(name), other level") }
        first = whole
      }
    }
  }

  @Test(arguments: kernelLevels) func biasAndResidualAreSeparateRoundedAdditions(level: ck_level) throws {
    let (rows, cols, tokens) = (35, 64, 19)
    var stream = KernelStream(61)
    let source = stream.weights(CK_Q8_0, rows: rows, cols: cols)
    let x = stream.floats(tokens * cols)
    let bias = stream.floats(rows)
    let residual = stream.floats(rows * tokens)
    let matrix = KernelMatrix(CK_Q8_0, rows: rows, cols: cols, source: source)
    let input = try #require(KernelInput(level, CK_A12, x, tokens: tokens, cols: cols))
    let plain = kernelProduct(level, matrix, input, tokens: tokens)
    var out = residual
    var value = matrix.value
    var batch = input.value
    let range = ck_range(first_tile: 0, tiles: 3, first_token: 0, tokens: UInt32(tokens), next: nil)
    bias.withUnsafeBufferPointer { bias in
      out.withUnsafeMutableBufferPointer { out in
        guard let base = out.baseAddress else { return }
        var output = ck_output(
          values: base, stride: rows, bias: bias.baseAddress, residual: base, residual_stride: rows)
        ck_multiply(level, &value, &batch, &output, range)
      }
    }
    for i in 0..<(rows * tokens) {
      let expected = residual[i] + (plain[i] + bias[i % rows])
      #expect(out[i].bitPattern == expected.bitPattern)
    }
  }

  @Test(arguments: kernelLevels) func gatedProductsAreSiluTimesUp(level: ck_level) throws {
    let (rows, cols, tokens) = (70, 256, 21)
    var stream = KernelStream(71)
    let gateSource = stream.weights(CK_Q4_1, rows: rows, cols: cols)
    let upSource = stream.weights(CK_Q6_K, rows: rows, cols: cols)
    let gate = KernelMatrix(CK_Q4_1, rows: rows, cols: cols, source: gateSource)
    let up = KernelMatrix(CK_Q6_K, rows: rows, cols: cols, source: upSource)
    let x = stream.floats(tokens * cols).map { $0 * 0.1 }
    let input = try #require(KernelInput(level, CK_A12, x, tokens: tokens, cols: cols))
    let gates = kernelProduct(level, gate, input, tokens: tokens)
    let ups = kernelProduct(level, up, input, tokens: tokens)
    var activated = gates
    ck_silu(level, gates, UInt32(gates.count), &activated)
    var found = [Float](repeating: 0, count: rows * tokens)
    var gateValue = gate.value
    var upValue = up.value
    var batch = input.value
    let range = ck_range(first_tile: 0, tiles: 5, first_token: 0, tokens: UInt32(tokens), next: nil)
    found.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var output = ck_output(values: base, stride: rows, bias: nil, residual: nil, residual_stride: 0)
      ck_multiply_gated(level, &gateValue, &upValue, &batch, &output, range)
    }
    #expect(kernelBits(found) == kernelBits(zip(activated, ups).map { $0 * $1 }))
  }
}
