// UTF8Ranges.swift: a range of Unicode scalars as sequences of byte ranges (Russ Cox, "Regular
// Expression Matching in the Wild", 2010). Start at UTF8Ranges.sequences.

enum UTF8Ranges {
  /// Sequences of byte ranges that spell exactly the scalars from `low` to `high`, no surrogates
  /// among them.
  static func sequences(_ low: UInt32, _ high: UInt32) -> [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    split(low, high, &result)
    return result
  }

  private static func split(_ low: UInt32, _ high: UInt32, _ result: inout [[ClosedRange<UInt8>]]) {
    // Scalars of one length.
    for last: UInt32 in [0x7F, 0x7FF, 0xFFFF] where low <= last && last < high {
      split(low, last, &result)
      split(last + 1, high, &result)
      return
    }
    if high <= 0x7F {
      result.append([UInt8(low)...UInt8(high)])
      return
    }
    // Ranges whose trailing bytes are whole.
    for bits: UInt32 in [6, 12, 18] {
      let mask: UInt32 = (1 << bits) - 1
      if low & ~mask != high & ~mask {
        if low & mask != 0 {
          split(low, low | mask, &result)
          split((low | mask) + 1, high, &result)
          return
        }
        if high & mask != mask {
          split(low, (high & ~mask) - 1, &result)
          split(high & ~mask, high, &result)
          return
        }
      }
    }
    result.append(zip(bytes(low), bytes(high)).map { $0...$1 })
  }

  static func bytes(_ scalar: UInt32) -> [UInt8] {
    switch scalar {
    case 0...0x7F: [UInt8(scalar)]
    case 0x80...0x7FF: [0xC0 | UInt8(scalar >> 6), 0x80 | UInt8(scalar & 0x3F)]
    case 0x800...0xFFFF:
      [0xE0 | UInt8(scalar >> 12), 0x80 | UInt8(scalar >> 6 & 0x3F), 0x80 | UInt8(scalar & 0x3F)]
    default:
      [
        0xF0 | UInt8(scalar >> 18 & 7), 0x80 | UInt8(scalar >> 12 & 0x3F), 0x80 | UInt8(scalar >> 6 & 0x3F),
        0x80 | UInt8(scalar & 0x3F),
      ]
    }
  }
}
