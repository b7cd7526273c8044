// NumericsManualTests.swift: the worked examples of hotpot-numerics(7), recomputed by every kernel level, and step by
// step as the page says it.

import CKernels
import Inference
import ManualPages
import Testing

@Suite struct NumericsManualTests {
  /// The words of each line of a block that begin with `name`, one after the other.
  private func words(_ name: String, in block: String) -> [String] {
    block.split(separator: "\n").flatMap { line -> [String] in
      let words = line.split(separator: " ").map(String.init)
      return words.first == name ? Array(words.dropFirst()) : []
    }
  }

  private func float(_ digits: String) throws -> Float {
    Float(bitPattern: try #require(UInt32(digits, radix: 16)))
  }

  @Test func theWorkedBlockIsWhatTheKernelsCompute() throws {
    let block = try ManualPage("hotpot-numerics.7").commands("block")
    let digits = try #require(words("weights", in: block).first)
    let weights = try stride(from: 0, to: digits.utf8.count, by: 2).map { at in
      try #require(UInt8(digits.dropFirst(at).prefix(2), radix: 16))
    }
    try #require(weights.count == 20)
    let x = try words("x", in: block).map(float)
    let v = words("v", in: block).compactMap { Int16($0) }
    try #require(x.count == 32 && v.count == 32)
    func number(_ name: String) throws -> Float { try float(#require(words(name, in: block).first)) }

    // As the page says it.
    let amax = try #require(x.map(abs).max())
    #expect(try number("amax") == amax)
    #expect(try number("id") == 16_383 / amax)
    #expect(try number("d") == amax / 16_383)
    let id = try number("id")
    #expect(x.map { Int16(($0 * id).rounded(.toNearestOrEven)) } == v)
    let d = try number("d")
    let s = d * Float(v.reduce(0) { $0 + Int32($1) })
    #expect(try number("s") == s)
    let nibbles = weights.dropFirst(4).map { $0 & 15 } + weights.dropFirst(4).map { $0 >> 4 }
    var isum: Int32 = 0
    for (q, v) in zip(nibbles, v) { isum += Int32(q) * Int32(v) }
    #expect(words("isum", in: block) == [String(isum)])
    func half(_ at: Int) -> Float {
      Float(Float16(bitPattern: UInt16(weights[at]) | UInt16(weights[at + 1]) << 8))
    }
    let scale = half(0) * d
    #expect(try number("scale") == scale)
    let first = (Float(0)).addingProduct(Float(isum), scale)
    #expect(try number("first") == first)
    #expect(try number("product") == first.addingProduct(half(2), s))

    // As each level computes it.
    let matrix = KernelMatrix(CK_Q4_1, rows: 1, cols: 32, source: weights)
    for level in kernelLevels {
      let blocks = KernelMemory(ck_blocks_bytes(CK_A15, 32))
      #expect(ck_quantise(level, CK_A15, x, 32, blocks.base))
      var stored = [Int16](repeating: 0, count: 32)
      var storedD: Float = 0
      var storedS: Float = 0
      ck_blocks_read(level, CK_A15, blocks.base, 0, &stored, &storedD, &storedS)
      #expect(stored == v)
      #expect(storedD == d)
      #expect(storedS == s)
      var product = [Float](repeating: 0, count: 16)
      try product.withUnsafeMutableBufferPointer { product in
        let target = try #require(product.baseAddress)
        var value = matrix.value
        var input = ck_input(
          values: nil, value_stride: 0, blocks: blocks.bound(UInt8.self),
          block_stride: ck_blocks_bytes(CK_A15, 32), profile: CK_A15, groups: nil, group_stride: 0)
        var output = ck_output(values: target, stride: 1, bias: nil, residual: nil, residual_stride: 0)
        ck_multiply(
          level, &value, &input, &output,
          ck_range(first_tile: 0, tiles: 1, first_token: 0, tokens: 1, next: nil))
      }
      #expect(
        try number("product").bitPattern == product[0].bitPattern, "\(String(cString: ck_level_name(level)))")
    }
  }

  @Test func theExponentialsAreWhatTheKernelsCompute() throws {
    let lines = try ManualPage("hotpot-numerics.7").commands("exponential").split(separator: "\n")
    try #require(lines.count == 3)
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      try #require(words.count == 2)
      for level in kernelLevels {
        let x = [try float(words[0])]
        var y = [Float](repeating: 0, count: 1)
        ck_exp(level, x, 1, &y)
        #expect(y[0].bitPattern == UInt32(words[1], radix: 16))
      }
    }
  }
}
