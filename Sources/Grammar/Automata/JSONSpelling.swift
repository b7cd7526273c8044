// JSONSpelling.swift: how characters are spelled inside of JSON strings (RFC 8259, section 7), as
// byte ranges for automata and as rules for whole strings. Start at JSONSpelling.sequences.

enum JSONSpelling {
  /// Control characters without a short escape, by the digits that spell them.
  private static let longControls: [ClosedRange<UInt32>] = [
    0x00...0x07, 0x0B...0x0B, 0x0E...0x0F, 0x10...0x19, 0x1A...0x1F,
  ]
  private static let short: [(scalar: UInt32, letter: UInt8)] = [
    (0x08, 0x62), (0x09, 0x74), (0x0A, 0x6E), (0x0C, 0x66), (0x0D, 0x72), (0x22, 0x22), (0x5C, 0x5C),
  ]

  /// Characters that stand for themselves.
  static let plain = ScalarSet([0x20...0x21, 0x23...0x5B, 0x5D...ScalarSet.lastScalar])

  /// The bytes that spell each scalar of a range in the shortest way. No surrogates are in it.
  static func sequences(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    if range.lowerBound <= 0x5C {
      for escape in short where range.contains(escape.scalar) {
        result.append([0x5C...0x5C, escape.letter...escape.letter])
      }
      for controls in longControls where controls.overlaps(range) {
        let part = controls.clamped(to: range)
        let high = UInt8(part.lowerBound >> 4) + 0x30
        let start: [ClosedRange<UInt8>] = [0x5C...0x5C, 0x75...0x75, 0x30...0x30, 0x30...0x30, high...high]
        let low = UInt8(part.lowerBound & 15)
        let last = UInt8(part.upperBound & 15)
        if low < 10 {
          result.append(start + [(low + 0x30)...(last + 0x30)])
        } else {
          result.append(start + [(low + 0x57)...(last + 0x57)])
          result.append(start + [(low + 0x37)...(last + 0x37)])
        }
      }
    }
    for part in plain.ranges where part.overlaps(range) {
      let part = part.clamped(to: range)
      result += UTF8Ranges.sequences(part.lowerBound, part.upperBound)
    }
    return result
  }

  /// One character of a string in any spelling of RFC 8259, halves of surrogate pairs only together.
  static let character: Expression = {
    let hex = Expression.scalars(.hexadecimal)
    func digits(_ text: String) -> Expression {
      .scalars(text.unicodeScalars.reduce(ScalarSet.empty) { $0.union(ScalarSet($1)) })
    }
    let first = digits("0123456789abcABCefEF")
    return .alternatives([
      .scalars(plain),
      .sequence([.text("\\"), digits("\"\\/bfnrt")]),
      .sequence([.text("\\u"), first, hex, hex, hex]),
      .sequence([.text("\\u"), digits("dD"), digits("01234567"), hex, hex]),
      .sequence([
        .text("\\u"), digits("dD"), digits("89abAB"), hex, hex, .text("\\u"), digits("dD"),
        digits("cdefCDEF"), hex, hex,
      ]),
    ])
  }()
}
