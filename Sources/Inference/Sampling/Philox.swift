// Philox.swift: Philox4x32-10, the counter-based generator: a draw depends only on (key, counter).
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; checked against the
// Random123 known answers.

/// Philox4x32 with ten rounds.
public enum Philox {
  /// The four 32-bit words for one counter under one key.
  public static func words(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var c = counter
    var k = key
    for round in 0..<10 {
      if round > 0 {
        k[0] &+= 0x9E37_79B9
        k[1] &+= 0xBB67_AE85
      }
      let p0 = UInt64(c[0]) &* 0xD251_1F53
      let p1 = UInt64(c[2]) &* 0xCD9E_8D57
      c = SIMD4(
        UInt32(truncatingIfNeeded: p1 &>> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 &>> 32) ^ c[3] ^ k[1], UInt32(truncatingIfNeeded: p0))
    }
    return c
  }

  /// 24 uniform bits for the token at `index` of the output under `seed`: the upper bits of the
  /// first word, with key = (low, high half of the seed) and counter = (low, high half of the
  /// index, 0, 0).
  public static func bits24(seed: UInt64, index: Int) -> UInt32 {
    let i = UInt64(bitPattern: Int64(index))
    let key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed &>> 32))
    let counter = SIMD4(UInt32(truncatingIfNeeded: i), UInt32(truncatingIfNeeded: i &>> 32), 0, 0)
    return words(counter: counter, key: key)[0] &>> 8
  }
}
