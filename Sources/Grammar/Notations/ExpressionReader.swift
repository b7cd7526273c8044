// ExpressionReader.swift: regular expressions as text, to a Pattern. It takes what Python's `re` and
// ECMAScript mean alike; what they or an automaton cannot agree on (lookaround, back-references,
// flags, word boundaries) is refused by name. Start at ExpressionReader.read.

struct ExpressionReader {
  private let scalars: [Unicode.Scalar]
  private var at = 0
  private var budget: Budget
  /// Nesting of groups; it bounds the recursion here and in what walks the pattern.
  private static let deepest = 64
  private static let largestCount = 1_000_000

  /// The pattern of an expression, or why there is none.
  static func read(_ text: String, _ budget: inout Budget) throws(Refusal) -> Pattern {
    var reader = ExpressionReader(text, budget)
    let pattern = try reader.alternatives(depth: 0)
    guard reader.at == reader.scalars.count else {
      throw Refusal(message: "the expression has a ')' without its '(' (character \(reader.at + 1))")
    }
    budget = reader.budget
    return pattern
  }

  private init(_ text: String, _ budget: Budget) {
    scalars = Array(text.unicodeScalars)
    self.budget = budget
  }

  private var next: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    at += 1
    return true
  }

  private func refusal(_ words: String) -> Refusal {
    Refusal(message: "the expression has \(words) (character \(at + 1))")
  }

  private mutating func alternatives(depth: Int) throws(Refusal) -> Pattern {
    guard depth < Self.deepest else { throw refusal("groups that are nested deeper than \(Self.deepest)") }
    var branches = [try sequence(depth)]
    while take("|") { branches.append(try sequence(depth)) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence(_ depth: Int) throws(Refusal) -> Pattern {
    var parts: [Pattern] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      try budget.step()
      parts.append(try counted(try atom(depth)))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom(_ depth: Int) throws(Refusal) -> Pattern {
    guard let scalar = next else { return .empty }
    switch scalar {
    case "(": return try group(depth)
    case "[": return .set(try set())
    case ".":
      at += 1
      return .set(.point)
    case "^":
      at += 1
      return .start
    case "$":
      at += 1
      return .end
    case "\\": return try escape()
    case "*", "+", "?": throw refusal("a '\(scalar)' with nothing before it")
    default:
      at += 1
      return .set(ScalarSet(scalar))
    }
  }

  private mutating func group(_ depth: Int) throws(Refusal) -> Pattern {
    let opened = at
    at += 1
    if take("?") {
      switch next {
      case ":": at += 1
      case "P" where at + 1 < scalars.count && scalars[at + 1] == "<":
        at += 2
        try name()
      case "<" where at + 1 < scalars.count && scalars[at + 1] != "=" && scalars[at + 1] != "!":
        at += 1
        try name()
      case "=", "!", "<": throw refusal("a lookahead or lookbehind, which is not supported")
      default: throw refusal("a flag, a condition or a back-reference in a group, which is not supported")
      }
    }
    let body = try alternatives(depth: depth + 1)
    guard take(")") else {
      at = opened
      throw refusal("a '(' without its ')'")
    }
    return body
  }

  private mutating func name() throws(Refusal) {
    while let scalar = next, scalar != ">" {
      guard ScalarSet.words.contains(scalar) else { throw refusal("a group name with '\(scalar)'") }
      at += 1
    }
    guard take(">") else { throw refusal("a group name that does not end") }
  }

  // MARK: Counts

  private mutating func counted(_ atom: Pattern) throws(Refusal) -> Pattern {
    var result = atom
    var isCounted = false
    while let (least, most) = try count() {
      if isCounted { throw refusal("one count after another") }
      isCounted = true
      switch atom {
      case .start, .end: throw refusal("a count after '^' or '$'")
      default: result = .repeated(result, least: least, most: most)
      }
      // A lazy count matches the same texts.
      if !take("?"), next == "+" { throw refusal("a possessive count, which is not supported") }
    }
    return result
  }

  private mutating func count() throws(Refusal) -> (Int, Int?)? {
    switch next {
    case "*":
      at += 1
      return (0, nil)
    case "+":
      at += 1
      return (1, nil)
    case "?":
      at += 1
      return (0, 1)
    case "{":
      let start = at
      at += 1
      let least = try number()
      var most = least
      if take(",") {
        most = try number()
        if least == nil, most == nil || !isAtBrace {
          at = start
          return literalBrace(start)
        }
        guard take("}") else { return literalBrace(start) }
        if let most, most < (least ?? 0) { throw refusal("a count whose end is below its start") }
        return (least ?? 0, most)
      }
      guard let least, take("}") else { return literalBrace(start) }
      return (least, most)
    default: return nil
    }
  }

  private var isAtBrace: Bool { next == "}" }

  /// A brace that begins no count stands for itself, in both dialects.
  private mutating func literalBrace(_ start: Int) -> (Int, Int?)? {
    at = start
    return nil
  }

  private mutating func number() throws(Refusal) -> Int? {
    var value: Int?
    while let scalar = next, ScalarSet.digits.contains(scalar) {
      value = (value ?? 0) * 10 + Int(scalar.value - 0x30)
      guard let value, value <= Self.largestCount else { throw refusal("a count above \(Self.largestCount)") }
      at += 1
    }
    return value
  }

  // MARK: Escapes and classes

  private mutating func escape() throws(Refusal) -> Pattern {
    let start = at
    at += 1
    switch next {
    case "A":
      at += 1
      return .start
    case "Z", "z":
      at += 1
      return .end
    case "b", "B": throw refusal("a word boundary, which is not supported")
    case "k", "1", "2", "3", "4", "5", "6", "7", "8", "9":
      throw refusal("a back-reference, which is not supported")
    default:
      at = start
      return .set(try escapedSet())
    }
  }

  /// The scalars that an escape stands for, inside a class or outside.
  private mutating func escapedSet() throws(Refusal) -> ScalarSet {
    at += 1
    guard let scalar = next else { throw refusal("a '\\' at its end") }
    at += 1
    switch scalar {
    case "d": return .digits
    case "D": return .notDigits
    case "w": return .words
    case "W": return .notWords
    case "s": return .spaces
    case "S": return .notSpaces
    case "n": return ScalarSet("\n")
    case "r": return ScalarSet("\r")
    case "t": return ScalarSet("\t")
    case "f": return ScalarSet("\u{C}")
    case "v": return ScalarSet("\u{B}")
    case "0": return ScalarSet("\0")
    case "x": return ScalarSet(try hexadecimal(2))
    case "U": return ScalarSet(try hexadecimal(8))
    case "u":
      if take("{") {
        var value: UInt32 = 0
        var digits = 0
        while let scalar = next, let digit = Self.hexValue(scalar), digits < 6 {
          value = value << 4 | digit
          digits += 1
          at += 1
        }
        guard digits > 0, take("}"), let plain = Unicode.Scalar(value) else {
          throw refusal("a '\\u{' escape of no character")
        }
        return ScalarSet(plain)
      }
      return ScalarSet(try hexadecimal(4))
    case "p", "P": throw refusal("a Unicode property, which is not supported")
    default:
      guard !ScalarSet.words.contains(scalar) || scalar == "_" else {
        at -= 1
        throw refusal("an escape '\\\(scalar)' that is not known")
      }
      return ScalarSet(scalar)
    }
  }

  private static func hexValue(_ scalar: Unicode.Scalar) -> UInt32? {
    scalar.isASCII ? Character(scalar).hexDigitValue.map(UInt32.init) : nil
  }

  private mutating func hexadecimal(_ count: Int) throws(Refusal) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = next, let digit = Self.hexValue(scalar) else {
        throw refusal("an escape with fewer than \(count) hexadecimal digits")
      }
      value = value << 4 | digit
      at += 1
    }
    // Two escapes of halves spell one character, as ECMAScript reads them.
    if (0xD800..<0xDC00).contains(value), count == 4, at + 1 < scalars.count, scalars[at] == "\\",
      scalars[at + 1] == "u"
    {
      at += 2
      var low: UInt32 = 0
      for _ in 0..<4 {
        guard let scalar = next, let digit = Self.hexValue(scalar) else {
          throw refusal("an escape with fewer than 4 hexadecimal digits")
        }
        low = low << 4 | digit
        at += 1
      }
      if (0xDC00..<0xE000).contains(low),
        let whole = Unicode.Scalar(0x10000 + (value - 0xD800) << 10 + low - 0xDC00)
      {
        return whole
      }
    }
    guard let plain = Unicode.Scalar(value) else { throw refusal("an escape of half a surrogate pair") }
    return plain
  }

  private mutating func set() throws(Refusal) -> ScalarSet {
    let opened = at
    at += 1
    let isNegated = take("^")
    var result: [ClosedRange<UInt32>] = []
    // What a negated class leaves out: of a class whose readings differ, all that one of them matches.
    var isFirst = true
    while let scalar = next, scalar != "]" || isFirst && isPythonBracket(opened, isNegated) {
      isFirst = false
      try budget.step()
      let low = try member(isNegated)
      guard next == "-", at + 1 < scalars.count, scalars[at + 1] != "]" else {
        result += low.ranges
        continue
      }
      at += 1
      let high = try member(isNegated)
      guard let first = low.single, let last = high.single else {
        throw refusal("a range between classes")
      }
      guard first <= last else { throw refusal("a range whose end is below its start") }
      result.append(first...last)
    }
    guard take("]") else {
      at = opened
      throw refusal("a '[' without its ']'")
    }
    let set = ScalarSet(result)
    return isNegated ? set.inverted : set
  }

  /// Whether a ']' right after '[' or '[^' stands for itself, which Python reads so; ECMAScript reads
  /// an empty class, which matches nothing and which nobody writes.
  private func isPythonBracket(_ opened: Int, _ isNegated: Bool) -> Bool {
    at == opened + (isNegated ? 2 : 1)
  }

  private mutating func member(_ isNegated: Bool) throws(Refusal) -> ScalarSet {
    guard let scalar = next else { throw refusal("a '[' without its ']'") }
    guard scalar == "\\" else {
      at += 1
      return ScalarSet(scalar)
    }
    if at + 1 < scalars.count, scalars[at + 1] == "b" {
      at += 2
      return ScalarSet("\u{8}")
    }
    let set = try escapedSet()
    // Inside a negated class the wider reading is the safe one.
    guard isNegated else { return set }
    switch set {
    case .digits: return ScalarSet.notDigits.inverted
    case .words: return ScalarSet.notWords.inverted
    case .spaces: return ScalarSet.notSpaces.inverted
    case .notDigits: return ScalarSet.digits.inverted
    case .notWords: return ScalarSet.words.inverted
    case .notSpaces: return ScalarSet.spaces.inverted
    default: return set
    }
  }
}

extension ScalarSet {
  func contains(_ scalar: Unicode.Scalar) -> Bool { ranges.contains { $0.contains(scalar.value) } }

  /// The one scalar of a set that has one.
  fileprivate var single: UInt32? {
    guard ranges.count == 1, ranges[0].count == 1 else { return nil }
    return ranges[0].lowerBound
  }
}
