// KernelFormatTests.swift: the file formats of weights, and that packing keeps every value.

import CKernels
import Foundation
import Testing

@Suite struct KernelFormatTests {
  /// SHA-256 of 2,048 f32 values of each type on the bytes that KernelStream(77 + type) makes: up to
  /// BF16 from llama.cpp's own dequantisers (b0c1e570, October 2026), the rest from those of the
  /// Python package `gguf` 0.19.0 (`gguf.quants.dequantize`), which gives the same for Q4_0, Q2_K and
  /// IQ4_XS.
  static let dequantised: [(ck_type, String)] = [
    (CK_F16, "76efe3040fd106f967a0ee74ea268437aa43d77e35ad9a3fc006260791a1b802"),
    (CK_Q4_0, "76125d5965b514adff43a3b223e717b685d34804ee18aa79f4e08e9e7d3f6e6c"),
    (CK_Q4_1, "41e6dda3e63798fc56a596673629376244add07a279d61c7cf7af8d61e4dacc8"),
    (CK_Q5_0, "c07bd407044cea06db1c452639468ad49a32c0d87f261f0155bd5dc4f001b09d"),
    (CK_Q5_1, "1f46079c9d0b69b3f54df70e2fa39681d0380d33825f09f0bdde9035b57493bc"),
    (CK_Q8_0, "6359e4a6099588f79f2016bec11599d181e1aa6a32730b503e178d004a14ab54"),
    (CK_Q2_K, "fa0048606f7eb82e57f23da7d3698fd71a7cec1af4e89cbc3fa810ac615182a6"),
    (CK_Q3_K, "b8775607f7f19f08e7ac9f63eca02208c5f043a196414eef4fd038d26c4e78e4"),
    (CK_Q4_K, "1da6dc0c5333a28eddbe48e7583f90d70ede855d9af60897cfae417fb5d6cb58"),
    (CK_Q5_K, "d4cdd9ac80d2b8ac949b85fdef0bd6c0b120c9a3ff7493dc1780a25db6b2fa13"),
    (CK_Q6_K, "0bd2327c7fd51652bdd6d86679e72cf2d3dbe3f6406631912468f4d5affdb293"),
    (CK_IQ4_NL, "6e5f9bf105eacea36cc527ca5a4471d3640aa929de94fe8a0c3e4afa089da58c"),
    (CK_IQ4_XS, "9b8bef1e73729bf6b512e05b5d9cfd21d37160abc9f4d64a00868a682aee03e8"),
    (CK_BF16, "24c9bbbce208d0fe8455ae75287c5d4a4ecee115b8982c116a9a5320b48d323d"),
    (CK_MXFP4, "0a15be86dbfc430698aba8368718a3b29e74187371a66965b8b871ea16dc266c"),
    (CK_IQ1_S, "6053c768dc9d3ef24ae8094f75be09a96750f8315f44bf154677f947bee43f6c"),
    (CK_IQ1_M, "5893c4fc0c4cbb012c3fab36ad071cdbf83c06701603015e487b86995333b2b6"),
    (CK_IQ2_XXS, "55d3cb49d62efbee5b7f6e246c2fec7d8ea2035767f46711e81e1af89c0460da"),
    (CK_IQ2_XS, "4129a83315d34aaa7e6928e14dcd581dd51e18c7960cbeb12395e1174db995b5"),
    (CK_IQ2_S, "55906ea736230535dfcbca3307167ae9dc87fc4f1b1422b64ee6ca197234ae37"),
    (CK_IQ3_XXS, "33aff92bb590d667c7e82f4b12fe6a5b879be95de41110f242648ce81bc7f448"),
    (CK_IQ3_S, "6fa8f5452756b44a0e28ee80262a57dbcd9c40faa5350bd25676dd6e4d7833c3"),
    (CK_TQ1_0, "c3ddbd7347463f6706c00398af8b9258bcbf57be75818eb357cb087a883c5450"),
    (CK_TQ2_0, "19ace57676d5a17097fb02298e3a749aa2904826cf37c0cc00f8da7a840a70d1"),
  ]

  @Test(arguments: dequantised) func rowsDequantiseToTheReferenceBits(type: ck_type, expected: String) {
    var stream = KernelStream(77 + UInt64(type.rawValue))
    let source = stream.weights(type, rows: 1, cols: 2048)
    var values = [Float](repeating: 0, count: 2048)
    ck_dequantise(type, source, 2048, &values)
    #expect(kernelDigest(values) == expected)
  }

  /// E8M0 as the `gguf` package reads it: the two smallest scales are subnormal halves, and 255,
  /// which the OCP's text keeps for NaN, is a power of two like the rest.
  @Test func everyScaleOfMXFP4IsItsPowerOfTwo() {
    for exponent in 0...255 {
      // The integers 12, -12, 2 and -2 in the low nibbles.
      let source = [UInt8(exponent), 7, 15, 2, 10] + [UInt8](repeating: 0, count: 12)
      var values = [Float](repeating: .nan, count: 32)
      ck_dequantise(CK_MXFP4, source, 32, &values)
      let d = Float(scalbn(1.0, exponent - 128))
      let expected = [12 * d, -12 * d, 2 * d, -2 * d]
      #expect(kernelBits(Array(values[0..<4])) == kernelBits(expected), "\(exponent)")
      #expect(values[4...].allSatisfy { $0 == 0 })
    }
  }

  /// SHA-256 of the levels of all points, from the tables of `gguf` 0.19.0: random blocks need not meet
  /// every one of them.
  static let grids: [(ck_type, Int, String)] = [
    (CK_IQ1_S, 2048, "bf92c60e2ed15644d2d948b652a55624cc35699ef5c8e0337258e332f8c47b48"),
    (CK_IQ1_M, 2048, "bf92c60e2ed15644d2d948b652a55624cc35699ef5c8e0337258e332f8c47b48"),
    (CK_IQ2_XXS, 256, "886814bc08b031008eb1086cdbc5c3fae78eecc764a4a6742f8eb839b9f37ef6"),
    (CK_IQ2_XS, 512, "e9567eb15257b717a029c8c1e574ffd87af0c95090552eff83eb6e09b1211046"),
    (CK_IQ2_S, 1024, "1d4ca1e2fbd2be073bef55f6582ad20109dc746ebd39b5c0780d57ebacc73024"),
    (CK_IQ3_XXS, 256, "e86540e4e7b2d3375c137ffe84467dc402396c6da24273f9007b5db112172f4c"),
    (CK_IQ3_S, 512, "acb8a458f699e571cf55c9270a4bc15facd6653b40450ce1f449f345c95e4407"),
  ]

  @Test(arguments: grids) func everyPointOfAGridIsThatOfTheFormat(type: ck_type, count: Int, expected: String)
  {
    var all: [UInt8] = []
    var levels = [UInt8](repeating: 0, count: 8)
    for index in 0..<UInt32(count) {
      let columns = Int(ck_grid_point(type, index, &levels))
      all += levels[0..<columns]
    }
    #expect(kernelDigest(all) == expected)
    #expect(ck_grid_point(type, UInt32(count), &levels) == 0)
    #expect(ck_grid_point(CK_Q4_0, 0, &levels) == 0)
  }

  @Test(arguments: kernelTypes) func packingKeepsEveryValue(type: ck_type) {
    for (rows, cols) in [(1, 256), (16, 512), (17, 768), (45, 256)] {
      var stream = KernelStream(5)
      let source = stream.weights(type, rows: rows, cols: cols)
      let matrix = KernelMatrix(type, rows: rows, cols: cols, source: source)
      var value = matrix.value
      let rowBytes = ck_row_bytes(type, UInt32(cols))
      for row in 0..<rows {
        var expected = [Float](repeating: 0, count: cols)
        var found = expected
        source.withUnsafeBytes { bytes in
          if let base = bytes.baseAddress {
            ck_dequantise(type, base + rowBytes * row, UInt32(cols), &expected)
          }
        }
        ck_matrix_row(&value, UInt32(row), &found)
        #expect(kernelBits(found) == kernelBits(expected), "row \(row) of (\(rows), \(cols))")
      }
    }
  }

  @Test func packedSizeIsTheFileSizeOrAtMostFivePercentMore() {
    // TQ1_0 is packed as TQ2_0.
    for type in kernelTypes where type != CK_TQ1_0 {
      let packed = Double(ck_packed_bytes(type, 1536, 768))
      let file = Double(ck_row_bytes(type, 768) * 1536)
      #expect(packed >= file && packed <= file * 1.05, "\(type): \(packed) of \(file) bytes")
    }
  }

  @Test func rowsThatAreNotWholeBlocksHaveNoSize() {
    #expect(ck_row_bytes(CK_Q4_0, 48) == 0)
    #expect(ck_row_bytes(CK_Q4_K, 128) == 0)
    #expect(ck_row_bytes(CK_F16, 0) == 0)
    #expect(ck_row_bytes(CK_F16, 7) == 14)
    #expect(ck_packed_bytes(CK_Q6_K, 16, 100) == 0)
    #expect(!ck_type_supported(4) && !ck_type_supported(31) && !ck_type_supported(.max))
  }
}
