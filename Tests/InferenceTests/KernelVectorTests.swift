// KernelVectorTests.swift: norms, activations, halves, rotary positions and selection, at every level.

import CDigest
import CKernels
import Foundation
import TestSettings
import Testing

@Suite struct KernelVectorTests {
  typealias Kernel = (ck_level, UnsafePointer<Float>, UInt32, UnsafeMutablePointer<Float>) -> Void

  func apply(_ kernel: Kernel, _ level: ck_level, _ x: [Float]) -> [Float] {
    var y = [Float](repeating: .nan, count: x.count)
    kernel(level, x, UInt32(x.count), &y)
    return y
  }

  /// Error in units in the last place of the exact value.
  func ulps(_ found: Float, _ exact: Double) -> Double {
    abs(Double(found) - exact) / Double(Float(exact).ulp)
  }

  @Test func expIsWithin087UnitsInTheLastPlace() {
    var stream = KernelStream(1)
    let count = isHeavy ? 4_000_000 : 200_000
    let x = (0..<count).map { _ in Float(stream.word()) * (175.0 * 0x1p-32) - 87 }
    let y = apply(ck_exp, kernelLevels.last ?? CK_SCALAR, x)
    let worst = zip(x, y).map { ulps($1, exp(Double($0))) }.max() ?? 0
    #expect(worst <= 0.88, "\(worst)")
    #expect(worst > 0.5)
  }

  @Test(arguments: kernelLevels) func expAtItsBorders(level: ck_level) {
    let x: [Float] = [0, -0.0, 88, 89, .infinity, -87, Float(-87).nextDown, -88, -.infinity, .nan, 1]
    let y = apply(ck_exp, level, x)
    #expect(y[0] == 1 && y[1] == 1)
    #expect(y[2] == y[3] && y[2] == y[4] && y[2].isFinite && y[2] > 1.6e38)
    #expect(y[5] > 1.6e-38)
    #expect(y[6...8].allSatisfy { $0.bitPattern == 0 })
    #expect(y[9].isNaN)
    #expect(y[10] == Float(M_E))
  }

  @Test func siluAndTanhAreCloseToExact() {
    var stream = KernelStream(2)
    let x = (0..<50_000).map { _ in stream.float() * 10 }
    for (x, y) in zip(x, apply(ck_silu, CK_SCALAR, x)) {
      let exact = Double(x) / (1 + exp(-Double(x)))
      #expect(abs(Double(y) - exact) <= abs(exact) * 3e-7, "silu \(x)")
    }
    for (x, y) in zip(x, apply(ck_tanh, CK_SCALAR, x)) {
      #expect(abs(Double(y) - tanh(Double(x))) <= 3e-7, "tanh \(x)")
    }
  }

  @Test func vectorKernelsAgreeAtEveryLevelAndLength() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    let kernels: [(String, Kernel)] = [
      ("exp", ck_exp), ("silu", ck_silu), ("tanh", ck_tanh),
      ("add", { level, x, n, y in ck_add(level, x, n, y) }), ("softplus", ck_softplus),
      ("sigmoid times", { level, x, n, y in ck_sigmoid_times(level, x, n, y) }),
      ("unit", { level, x, n, y in ck_unit(level, x, n / 16 * 16, 1e-6, 0.3, y) }),
      ("rms norm", { level, x, n, y in ck_rms_norm(level, x, x, n, 1e-5, y) }),
      ("layer norm", { level, x, n, y in ck_layer_norm(level, x, x, x, n, 1e-5, y) }),
      (
        "gelu",
        { level, x, n, y in
          y.update(from: x, count: Int(n))
          ck_gelu(level, n, y)
        }
      ),
    ]
    for length in Array(1...70) + [576, 2049] {
      let x = (0..<length).map { _ in stream.float() * 12 }
      for (name, kernel) in kernels {
        func run(_ level: ck_level) -> [UInt32] {
          var y = [Float](repeating: 3, count: length)
          kernel(level, x, UInt32(length), &y)
          return kernelBits(y)
        }
        let expected = run(CK_SCALAR)
        for level in kernelLevels { #expect(run(level) == expected, "\(name), \(length), seed \(seed)") }
      }
    }
  }

  @Test func `softplus is close to exact, also where it is tiny`() {
    let x = (-1_700...1_700).map { Float($0) / 20 }
    for (x, y) in zip(x, apply(ck_softplus, CK_SCALAR, x)) {
      #expect(ulps(y, max(Double(x), 0) + log1p(exp(-abs(Double(x))))) <= 4, "softplus \(x)")
    }
  }

  @Test func rmsNormIsCloseToExact() {
    var stream = KernelStream(3)
    for n in [16, 64, 100, 576, 4096] {
      let x = stream.floats(n)
      let weight = stream.floats(n)
      var y = [Float](repeating: 0, count: n)
      ck_rms_norm(CK_SCALAR, x, weight, UInt32(n), 1e-6, &y)
      let mean = x.map { Double($0) * Double($0) }.reduce(0, +) / Double(n)
      let r = 1 / (mean + 1e-6).squareRoot()
      for i in 0..<n {
        let exact = Double(x[i]) * r * Double(weight[i])
        #expect(abs(Double(y[i]) - exact) <= abs(exact) * 1e-6)
      }
    }
  }

  @Test func layerNormIsCloseToExact() {
    var stream = KernelStream(4)
    for n in [16, 64, 100, 576, 4096] {
      let x = stream.floats(n).map { $0 + 3 }
      let (weight, bias) = (stream.floats(n), stream.floats(n))
      let mean = x.map(Double.init).reduce(0, +) / Double(n)
      let variance = x.map { (Double($0) - mean) * (Double($0) - mean) }.reduce(0, +) / Double(n)
      for hasBias in [true, false] {
        var y = [Float](repeating: 0, count: n)
        ck_layer_norm(CK_SCALAR, x, weight, hasBias ? bias : nil, UInt32(n), 1e-6, &y)
        for i in 0..<n {
          let exact =
            (Double(x[i]) - mean) / (variance + 1e-6).squareRoot() * Double(weight[i])
            + (hasBias ? Double(bias[i]) : 0)
          #expect(abs(Double(y[i]) - exact) <= 1e-5)
        }
      }
    }
  }

  @Test func aSquaredReluKeepsWhatIsNotANumber() {
    var y: [Float] = [3, -3, 0, .nan, .infinity, -.infinity]
    ck_squared_relu(6, &y)
    #expect(y[0] == 9 && y[1] == 0 && y[2] == 0 && y[3].isNaN && y[4] == .infinity && y[5] == 0)
  }

  @Test func logarithmAndPowerAreCloseToExact() {
    for x in [1e-300, 0.001, 0.5, 1, 1.5, 2, 10, 1e6, 1e300] {
      #expect(abs(ck_log(x) - log(x)) <= abs(log(x)) * 2e-15)
    }
    for x in [-900, -3.7, -0.5, 0, 0.25, 1, 10.1, 900] {
      #expect(abs(ck_exp2(x) - exp2(x)) <= exp2(x) * 1e-15)
    }
  }

  @Test(arguments: kernelLevels) func valuesThatAreNotFiniteAreFound(level: ck_level) {
    for count in [1, 15, 16, 17, 40] {
      var x = [Float](repeating: -Float.greatestFiniteMagnitude, count: count)
      #expect(ck_all_finite(level, x, UInt32(count)))
      for position in 0..<count {
        for bad in [Float.nan, .infinity, -.infinity] {
          x[position] = bad
          #expect(!ck_all_finite(level, x, UInt32(count)))
        }
        x[position] = 0
      }
    }
  }

  // ------------------------------------------------------------ positions

  @Test func theRotaryTableBelow131072PositionsIsFrozen() {
    var stream: [UInt8] = []
    var table = [Float](repeating: 0, count: 4096 * 64)
    for first in stride(from: UInt32(0), to: 131_072, by: 4096) {
      ck_rope_table(10_000, 1, 1, nil, 32, first, 4096, &table)
      var digest = [UInt8](repeating: 0, count: 32)
      table.withUnsafeBytes { hp_sha256($0.baseAddress, $0.count, &digest) }
      stream += digest
    }
    #expect(kernelDigest(stream) == "d78ee141997aa989c19c951e000ce469d4fd649ae932cbab80b5adc7b449228a")
  }

  @Test(arguments: [(10_000.0, 1.0, 32), (500_000.0, 1.0, 64), (1_000_000.0, 0.25, 40)])
  func theRotaryTableIsCosineAndSine(base: Double, scale: Double, pairs: Int) {
    let factors = (0..<pairs).map { 1 + Float($0) / 8 }
    for first in [0, 1, 100, 4_095, 131_000] {
      var plain = [Float](repeating: 0, count: pairs * 2 * 3)
      var factored = plain
      ck_rope_table(base, scale, 1, nil, UInt32(pairs), UInt32(first), 3, &plain)
      ck_rope_table(base, scale, 1, factors, UInt32(pairs), UInt32(first), 3, &factored)
      for position in 0..<3 {
        for pair in 0..<pairs {
          let at = (position * pairs + pair) * 2
          let angle = Double(first + position) * scale * pow(base, -Double(pair) / Double(pairs))
          let slower = angle / Double(factors[pair])
          #expect(abs(Double(plain[at]) - cos(angle)) < 6.1e-8)
          #expect(abs(Double(plain[at + 1]) - sin(angle)) < 6.1e-8)
          #expect(abs(Double(factored[at]) - cos(slower)) < 6.1e-8)
          #expect(abs(Double(factored[at + 1]) - sin(slower)) < 6.1e-8)
        }
      }
    }
  }

  @Test(arguments: [CK_ROPE_INTERLEAVED, CK_ROPE_HALVES], [4, 16, 20, 32, 64, 37])
  func rotationFollowsTheFormulaAtEveryLevel(style: ck_rope_style, pairs: Int) {
    var stream = KernelStream(6)
    let heads = 3
    let size = pairs * 2 + 8
    let x = stream.floats(heads * size)
    var table = [Float](repeating: 0, count: pairs * 2)
    ck_rope_table(10_000, 1, 1, nil, UInt32(pairs), 77, 1, &table)
    var expected = x
    for head in 0..<heads {
      for pair in 0..<pairs {
        let a = head * size + (style == CK_ROPE_HALVES ? pair : 2 * pair)
        let b = style == CK_ROPE_HALVES ? a + pairs : a + 1
        let (c, s) = (table[2 * pair], table[2 * pair + 1])
        expected[a] = (x[a] * c).addingProduct(-x[b], s)
        expected[b] = (x[b] * c).addingProduct(x[a], s)
      }
    }
    for level in kernelLevels {
      var found = x
      ck_rope(level, style, &found, UInt32(heads), UInt32(size), UInt32(pairs), table)
      #expect(kernelBits(found) == kernelBits(expected))
    }
  }

  // ------------------------------------------------------------ selection

  @Test func selectionOrdersByValueThenIndex() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for n in [1, 2, 16, 31, 1000, 5000] {
      // few distinct values, so that ties are common; zeros of both signs are equal
      let x = (0..<n).map { _ in Float(Int(stream.word() % 40) - 20) * (stream.word() % 2 == 0 ? 1 : 0.5) * -1
      }
      let order = (0..<n).sorted { x[$0] != x[$1] ? x[$0] > x[$1] : $0 < $1 }
      for level in kernelLevels {
        #expect(ck_argmax(level, x, UInt32(n)) == UInt32(order[0]), "seed \(seed)")
        #expect(ck_maximum(level, x, UInt32(n)) == x[order[0]])
        for k in [1, 2, 40, n, n + 5] {
          var indices = [UInt32](repeating: 0, count: k)
          var values = [Float](repeating: 0, count: k)
          let count = Int(ck_top_k(level, x, UInt32(n), UInt32(k), &indices, &values))
          #expect(count == min(k, n))
          #expect(indices.prefix(count).map(Int.init) == Array(order.prefix(count)), "seed \(seed)")
          #expect(values.prefix(count).map { $0 } == order.prefix(count).map { x[$0] })
        }
      }
    }
  }

  @Test(arguments: kernelLevels) func theMaximumOfNegativeZeroIsPositiveZero(level: ck_level) {
    let x = [Float](repeating: -0.0, count: 20)
    #expect(ck_maximum(level, x, 20).bitPattern == 0)
    #expect(ck_argmax(level, [Float](repeating: .nan, count: 20), 20) == 0)
  }
}
