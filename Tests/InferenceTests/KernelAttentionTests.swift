// KernelAttentionTests.swift: attention over the paged cache: against double precision, split any way, at every
// level, with garbage in every slot that no token may see.

import CKernels
import Foundation
import TestSettings
import Testing

/// A paged cache of one sequence with random contents, and the queries of its last tokens.
struct AttentionCase {
  var kvHeads = 2
  var kvHead = 1
  var group = 3
  var headSize = 64
  var positions = 100
  var tokens = 7
  var window = 0
  var softCap: Float = 0
  let keys: KernelMemory
  let values: KernelMemory
  let pages: [Int32]
  let queries: [Float]
  /// (positions, headSize) of the head, quantised
  let plainKeys: [Float]
  let plainValues: [Float]

  init(
    seed: UInt64, kvHeads: Int, group: Int, headSize: Int, positions: Int, tokens: Int, window: Int = 0,
    softCap: Float = 0
  ) {
    var stream = KernelStream(seed)
    self.kvHeads = kvHeads
    self.group = group
    self.headSize = headSize
    self.positions = positions
    self.tokens = tokens
    self.window = window
    self.softCap = softCap
    kvHead = Int(stream.word()) % kvHeads
    let count = (positions + 15) / 16
    let bytes = ck_page_bytes(UInt32(kvHeads), UInt32(headSize))
    keys = KernelMemory(bytes * (count + 2))
    values = KernelMemory(bytes * (count + 2))
    // NaN wherever nothing was stored
    for i in 0..<(bytes * (count + 2)) {
      keys.bound(UInt8.self)[i] = 0xFF
      values.bound(UInt8.self)[i] = 0xFF
    }
    pages = (0..<Int32(count)).map { $0 + 1 }.shuffled(using: &stream)
    queries = stream.floats(tokens * group * headSize)
    var plainKeys: [Float] = []
    var plainValues: [Float] = []
    for position in 0..<positions {
      let key = stream.floats(kvHeads * headSize)
      let value = stream.floats(kvHeads * headSize)
      let page = bytes * Int(pages[position / 16])
      ck_store_kv(
        CK_SCALAR, key, value, UInt32(kvHeads), UInt32(headSize), keys.bound(UInt8.self) + page,
        values.bound(UInt8.self) + page, UInt32(position % 16))
      let head = (kvHead * headSize)..<((kvHead + 1) * headSize)
      plainKeys += Self.quantised(key[head], 32_767)
      plainValues += Self.quantised(value[head], 32_767)
    }
    self.plainKeys = plainKeys
    self.plainValues = plainValues
  }

  /// What the integers of N1 items 6 and 7 stand for, by their formula.
  private static func quantised(_ x: ArraySlice<Float>, _ top: Float) -> [Float] {
    let largest = x.map(abs).max() ?? 0
    return x.map { (($0 * (top / largest)).rounded(.toNearestOrEven)) * (largest / top) }
  }

  /// (tokens, group, headSize), computed in chunks of the given sizes.
  func attend(_ level: ck_level, chunks: [Int]) -> [Float] {
    var out = [Float](repeating: .nan, count: queries.count)
    let scratch = KernelMemory(ck_attention_scratch(UInt32(positions), UInt32(headSize), UInt32(group)))
    let stride = group * headSize
    out.withUnsafeMutableBufferPointer { out in
      queries.withUnsafeBufferPointer { queries in
        guard let out = out.baseAddress, let queries = queries.baseAddress else { return }
        pages.withUnsafeBufferPointer { pages in
          guard let pages = pages.baseAddress else { return }
          var token = 0
          for chunk in chunks {
            var attention = ck_attention(
              keys: keys.bound(UInt8.self), values: values.bound(UInt8.self),
              page_stride: ck_page_bytes(UInt32(kvHeads), UInt32(headSize)), pages: pages,
              queries: queries + token * stride, query_stride: stride, out: out + token * stride,
              out_stride: stride, kv_head: UInt32(kvHead), group: UInt32(group),
              head_size: UInt32(headSize), first_position: UInt32(positions - tokens + token),
              tokens: UInt32(chunk), scale: 1 / Float(headSize).squareRoot(), window: UInt32(window),
              chunk: 0,
              soft_cap: softCap, sinks: nil)
            ck_attend(level, &attention, scratch.base)
            token += chunk
          }
        }
      }
    }
    return out
  }

  /// One token's attention in parts, chain by chain, added up to chain `cut` and from there; of the head that `attend` computes.
  func attendInParts(_ level: ck_level, cut: Int) -> [Float] {
    let heads = kvHeads * group
    let chains = (positions + 255) / 256
    let stride = (positions + 15) / 16 * 16 + 16
    let all = (0..<kvHeads).flatMap { _ in queries }
    let scratch = KernelMemory(ck_attention_scratch(1, UInt32(headSize), UInt32(group)))
    let scores = KernelMemory(heads * stride * 4)
    let largest = KernelMemory(chains * heads * 4)
    let partials = KernelMemory(chains * heads * headSize * 4)
    var sums = [Float](repeating: 0, count: heads * 16)
    var totals = [Float](repeating: 0, count: heads * headSize)
    var out = [Float](repeating: .nan, count: heads * headSize)
    all.withUnsafeBufferPointer { queries in
      pages.withUnsafeBufferPointer { pages in
        guard let queries = queries.baseAddress, let pages = pages.baseAddress else { return }
        out.withUnsafeMutableBufferPointer { out in
          guard let out = out.baseAddress else { return }
          var attention = ck_attention(
            keys: keys.bound(UInt8.self), values: values.bound(UInt8.self),
            page_stride: ck_page_bytes(UInt32(kvHeads), UInt32(headSize)), pages: pages, queries: queries,
            query_stride: heads * headSize, out: out, out_stride: heads * headSize, kv_head: 0,
            group: UInt32(group), head_size: UInt32(headSize), first_position: UInt32(positions - 1),
            tokens: 1,
            scale: 1 / Float(headSize).squareRoot(), window: 0, chunk: 0,
            soft_cap: softCap, sinks: nil)
          let kv = UInt32(kvHeads)
          let count = UInt32(chains)
          for chain in (0..<count).reversed() {
            ck_attend_scores(
              level, &attention, kv, chain, min(chain + 1, count), scores.bound(Float.self), stride,
              largest.bound(Float.self) + Int(chain) * heads, scratch.base)
          }
          for chain in (0..<count).reversed() {
            ck_attend_mix(
              level, &attention, kv, chain, count, largest.bound(Float.self), scores.bound(Float.self),
              stride,
              partials.bound(Float.self) + Int(chain) * heads * headSize)
          }
          for range in [0..<UInt32(cut), UInt32(cut)..<count] {
            ck_attend_add(
              level, &attention, UInt32(heads), range.lowerBound, range.upperBound, scores.bound(Float.self),
              stride,
              partials.bound(Float.self), heads * headSize, &sums, &totals)
          }
          ck_attend_finish(level, UInt32(heads), UInt32(headSize), sums, totals, out)
        }
      }
    }
    return Array(out[(kvHead * group * headSize)..<((kvHead + 1) * group * headSize)])
  }

  /// The same in double precision.
  func exact() -> [Double] {
    var out: [Double] = []
    for token in 0..<tokens {
      let position = positions - tokens + token
      let first = window > 0 ? max(0, position + 1 - window) : 0
      for head in 0..<group {
        let query = Self.quantised(queries[((token * group + head) * headSize)...].prefix(headSize), 32_639)
          .map(Double.init)
        var scores = (first...position).map { p in
          var score = 0.0
          for d in 0..<headSize { score += query[d] * Double(plainKeys[p * headSize + d]) }
          return score / Double(headSize).squareRoot()
        }
        if softCap > 0 { scores = scores.map { Double(softCap) * tanh($0 / Double(softCap)) } }
        let maximum = scores.max() ?? 0
        let weights = scores.map { exp($0 - maximum) }
        let sum = weights.reduce(0, +)
        for d in 0..<headSize {
          var value = 0.0
          for (i, weight) in weights.enumerated() {
            value += weight * Double(plainValues[(first + i) * headSize + d])
          }
          out.append(value / sum)
        }
      }
    }
    return out
  }
}

extension Float {
  fileprivate func clamped(to range: ClosedRange<Float>) -> Float {
    min(max(self, range.lowerBound), range.upperBound)
  }
}

@Suite struct KernelAttentionTests {
  func check(_ attention: AttentionCase, _ name: String) {
    let exact = attention.exact()
    let scalar = attention.attend(CK_SCALAR, chunks: [attention.tokens])
    let worst = zip(scalar, exact).map { abs(Double($0) - $1) }.max() ?? 0
    #expect(worst < 2e-5, "\(name)")
    let one = [Int](repeating: 1, count: attention.tokens)
    for level in kernelLevels where level != CK_SCALAR {
      let whole = attention.attend(level, chunks: [attention.tokens])
      #expect(kernelBits(whole) == kernelBits(scalar), "\(name), \(level)")
      #expect(
        kernelBits(attention.attend(level, chunks: one)) == kernelBits(scalar), "\(name), single, \(level)")
    }
  }

  @Test func attentionIsCloseToExactAndTheSameAtEveryLevel() {
    check(
      AttentionCase(seed: 1, kvHeads: 3, group: 3, headSize: 64, positions: 1, tokens: 1), "first token")
    check(AttentionCase(seed: 2, kvHeads: 1, group: 1, headSize: 64, positions: 40, tokens: 40), "prefill")
    check(AttentionCase(seed: 3, kvHeads: 3, group: 3, headSize: 64, positions: 530, tokens: 20), "blocks")
    check(AttentionCase(seed: 4, kvHeads: 2, group: 2, headSize: 128, positions: 257, tokens: 2), "border")
    check(
      AttentionCase(seed: 10, kvHeads: 1, group: Int(CK_MOST_GROUP), headSize: 32, positions: 40, tokens: 3),
      "the largest group")
    check(AttentionCase(seed: 5, kvHeads: 1, group: 7, headSize: 80, positions: 300, tokens: 9), "size 80")
  }

  @Test func windowsAndSoftCapsFollowTheirFormulas() {
    check(
      AttentionCase(seed: 6, kvHeads: 2, group: 2, headSize: 32, positions: 700, tokens: 30, window: 300),
      "window")
    check(
      AttentionCase(seed: 7, kvHeads: 2, group: 2, headSize: 32, positions: 60, tokens: 60, window: 1),
      "window of one")
    check(
      AttentionCase(seed: 8, kvHeads: 2, group: 5, headSize: 64, positions: 90, tokens: 3, softCap: 2), "cap")
  }

  @Test func anyShapeAndSplitGivesTheSameBits() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for round in 0..<(isHeavy ? 300 : 12) {
      let positions = 1 + Int(stream.word()) % 800
      let tokens = 1 + Int(stream.word()) % min(positions, 90)
      let attention = AttentionCase(
        seed: stream.next(), kvHeads: 1 + Int(stream.word() % 3), group: 1 + Int(stream.word() % 9),
        headSize: 16 * (1 + Int(stream.word() % 9)), positions: positions, tokens: tokens,
        window: stream.word() % 3 == 0 ? 1 + Int(stream.word() % 400) : 0)
      let name = "seed \(seed), round \(round)"
      var chunks: [Int] = []
      while chunks.reduce(0, +) < tokens {
        chunks.append(min(tokens - chunks.reduce(0, +), 1 + Int(stream.word() % 30)))
      }
      let whole = attention.attend(kernelLevels.last ?? CK_SCALAR, chunks: [tokens])
      #expect(whole.allSatisfy { $0.isFinite }, "\(name)")
      for level in kernelLevels where level != CK_SCALAR || round % 4 == 0 {
        #expect(kernelBits(attention.attend(level, chunks: chunks)) == kernelBits(whole), "\(name), \(level)")
      }
    }
  }

  @Test func attentionInPartsGivesTheSameBits() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for round in 0..<(isHeavy ? 300 : 12) {
      let attention = AttentionCase(
        seed: stream.next(), kvHeads: 1 + Int(stream.word() % 3), group: 1 + Int(stream.word() % 9),
        headSize: 16 * (1 + Int(stream.word() % 9)), positions: 1 + Int(stream.word()) % 1_100, tokens: 1,
        softCap: stream.word() % 3 == 0 ? 2 : 0)
      let whole = attention.attend(kernelLevels.last ?? CK_SCALAR, chunks: [1])
      let cut = Int(stream.word()) % ((attention.positions + 255) / 256 + 1)
      for level in kernelLevels where level != CK_SCALAR || round % 4 == 0 {
        #expect(
          kernelBits(attention.attendInParts(level, cut: cut)) == kernelBits(whole),
          "seed \(seed), round \(round), \(level)")
      }
    }
  }

  @Test(arguments: kernelLevels) func attentionGivesTheFrozenBits(level: ck_level) {
    let attention = AttentionCase(seed: 9, kvHeads: 2, group: 3, headSize: 64, positions: 530, tokens: 33)
    #expect(
      kernelDigest(attention.attend(level, chunks: [33]))
        == "e5c8ff68fb5c4d6a0ab5ed6ee291ca36861cbb41bd65d8b00aa121578e866e86")
  }

  /// Keys and values of any size, for which N1 item 6 is the formula, and none that is not finite.
  @Test(arguments: kernelLevels) func keysAndValuesAreStoredAsTheFormulaHasThem(level: ck_level) {
    var stream = KernelStream(10)
    let (heads, size) = (3, 48)
    let bytes = ck_page_bytes(UInt32(heads), UInt32(size))
    let (keys, values) = (KernelMemory(bytes), KernelMemory(bytes))
    let magnitudes: [Float] = [
      0, .leastNonzeroMagnitude, 1e-38, 1e-36, 1e-3, 1, 1e30, .greatestFiniteMagnitude,
    ]
    for (slot, magnitude) in (magnitudes + [.infinity, .nan]).enumerated() {
      var key = (0..<(heads * size)).map { _ in (stream.float() * 2).clamped(to: -1...1) * magnitude }
      var value = (0..<(heads * size)).map { _ in (stream.float() * 2).clamped(to: -1...1) * magnitude }
      if !magnitude.isFinite {
        key = stream.floats(heads * size)
        value = stream.floats(heads * size)
        for head in 0..<heads {
          key[head * size + slot] = magnitude
          value[head * size + slot] = -magnitude
        }
      }
      ck_store_kv(
        level, key, value, UInt32(heads), UInt32(size), keys.bound(UInt8.self), values.bound(UInt8.self),
        UInt32(slot))
      for head in 0..<heads {
        for (x, page, isKey) in [(key, keys, true), (value, values, false)] {
          let vector = x[(head * size)..<((head + 1) * size)]
          let at = Int(ck_page_bytes(UInt32(head), UInt32(size)))
          let scale = page.bound(Float.self)[at / 4 + slot]
          if !magnitude.isFinite {
            #expect(scale.isNaN)
            continue
          }
          let largest = vector.map(abs).max() ?? 0
          let inverse = 32_767 / largest
          #expect(scale == (inverse.isFinite ? largest / 32_767 : 0), "\(magnitude)")
          for (d, x) in vector.enumerated() {
            let place = isKey ? d / 2 * 32 + slot * 2 + d % 2 : slot * size + d
            let found = page.bound(Int16.self)[at / 2 + 32 + place]
            #expect(
              Float(found) == (inverse.isFinite ? (x * inverse).rounded(.toNearestOrEven) : 0), "\(magnitude)"
            )
          }
        }
      }
    }
  }

  /// Digits and keys all as large as they can be, in the largest heads: no sum wraps.
  @Test(arguments: kernelLevels, [512, 576]) func theLargestSumsFit(level: ck_level, size: Int) {
    let bytes = ck_page_bytes(1, UInt32(size))
    // Low digits of -128, but for the largest element.
    var query = [Float](repeating: Float(127 * 256 - 128) / 32_639, count: size)
    query[0] = 1
    for sign in [Float(1), -1] {
      let (keys, values) = (KernelMemory(bytes), KernelMemory(bytes))
      for slot in 0..<2 {
        ck_store_kv(
          level, [Float](repeating: slot == 0 ? -sign : sign, count: size),
          [Float](repeating: Float(slot), count: size),
          1, UInt32(size), keys.bound(UInt8.self), values.bound(UInt8.self), UInt32(slot))
      }
      let scratch = KernelMemory(ck_attention_scratch(2, UInt32(size), 1))
      var out = [Float](repeating: 0, count: size)
      out.withUnsafeMutableBufferPointer { out in
        query.withUnsafeBufferPointer { query in
          [Int32(0)].withUnsafeBufferPointer { pages in
            guard let out = out.baseAddress, let query = query.baseAddress, let pages = pages.baseAddress
            else { return }
            var attention = ck_attention(
              keys: keys.bound(UInt8.self), values: values.bound(UInt8.self), page_stride: bytes,
              pages: pages,
              queries: query, query_stride: size, out: out, out_stride: size, kv_head: 0, group: 1,
              head_size: UInt32(size), first_position: 1, tokens: 1, scale: 1 / 512, window: 0, chunk: 0,
              soft_cap: 0,
              sinks: nil)
            ck_attend(level, &attention, scratch.base)
          }
        }
      }
      let score = query.map(Double.init).reduce(0, +) * Double(sign) / 512
      let expected = 1 / (1 + exp(-2 * score))
      #expect(out.allSatisfy { abs(Double($0) - expected) < 1e-5 }, "\(out[0]), \(expected)")
    }
  }

  @Test func scratchGrowsWithThePositionsAndStaysBounded() {
    #expect(ck_attention_scratch(100, 64, 3) <= ck_attention_scratch(10_000, 64, 3))
    #expect(ck_attention_scratch(8_192, 64, 3) < 1 << 20)
    #expect(ck_attention_scratch(131_072, 64, 3) < 3 << 20)
  }
}
