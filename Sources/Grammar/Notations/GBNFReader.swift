// GBNFReader.swift: GBNF, the grammar notation of llama.cpp (its grammars/README.md), to rules. Tokens
// by name or number are refused: a constraint is over text. Start at GBNFReader.read.

struct GBNFReader {
  private let scalars: [Unicode.Scalar]
  private var at = 0
  private var budget: Budget
  private var rules = Rules()
  private var numbers: [String: Int] = [:]
  private var isDefined: Set<Int> = []
  /// Where each rule is first named, for messages.
  private var places: [Int] = []

  private static let deepest = 64
  private static let largestCount = 10_000
  private static let nameScalars = ScalarSet.words.union(ScalarSet("-"))

  /// The rules of a grammar, and the number of its root.
  static func read(
    _ text: String, _ budget: inout Budget
  ) throws(GrammarError) -> (rules: Rules, root: Int) {
    var reader = GBNFReader(text, budget)
    do throws(Refusal) {
      try reader.readRules()
    } catch {
      throw error.at(reader.place(reader.at))
    }
    if let missing = reader.places.indices.first(where: { !reader.isDefined.contains($0) }) {
      throw GrammarError(
        place: reader.place(reader.places[missing]),
        message: "the rule '\(reader.rules[missing].name)' is not defined")
    }
    guard let root = reader.numbers["root"] else {
      throw GrammarError(place: .whole, message: "the grammar has no rule 'root'")
    }
    budget = reader.budget
    return (reader.rules, root)
  }

  private init(_ text: String, _ budget: Budget) {
    scalars = Array(text.unicodeScalars)
    self.budget = budget
  }

  private func place(_ offset: Int) -> GrammarError.Place {
    let before = scalars.prefix(offset)
    let line = 1 + before.count { $0 == "\n" }
    let column = offset - (before.lastIndex(of: "\n") ?? -1)
    return .position(line: line, column: column)
  }

  // MARK: Rules

  private var next: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    at += 1
    return true
  }

  /// Spaces and comments, and ends of lines where the rule goes on behind them.
  private mutating func skipBlanks(lines: Bool) {
    while let scalar = next {
      if scalar == " " || scalar == "\t" || lines && (scalar == "\n" || scalar == "\r") {
        at += 1
      } else if scalar == "#" {
        while let rest = next, rest != "\n", rest != "\r" { at += 1 }
      } else {
        return
      }
    }
  }

  private mutating func readRules() throws(Refusal) {
    skipBlanks(lines: true)
    while next != nil {
      let start = at
      let rule = try self.rule(named: try name("a rule's name"))
      skipBlanks(lines: false)
      guard take(":"), take(":"), take("=") else {
        throw Refusal(message: "wanted '::=' after the rule's name")
      }
      skipBlanks(lines: true)
      guard isDefined.insert(rule).inserted else {
        at = start
        throw Refusal(message: "the rule '\(rules[rule].name)' is defined twice")
      }
      rules.set(rule, try alternatives(depth: 0))
      if let scalar = next, scalar != "\n", scalar != "\r" {
        throw Refusal(message: "found '\(scalar)', wanted the end of the rule")
      }
      skipBlanks(lines: true)
    }
  }

  private mutating func name(_ wanted: String) throws(Refusal) -> String {
    let start = at
    while let scalar = next, Self.nameScalars.contains(scalar) { at += 1 }
    guard at > start else {
      throw Refusal(message: "found \(next.map { "'\($0)'" } ?? "the end"), wanted \(wanted)")
    }
    return String(String.UnicodeScalarView(scalars[start..<at]))
  }

  private mutating func rule(named name: String) throws(Refusal) -> Int {
    if let known = numbers[name] { return known }
    try budget.state()
    let rule = rules.declare(name)
    numbers[name] = rule
    places.append(at - name.unicodeScalars.count)
    return rule
  }

  // MARK: Bodies

  private mutating func alternatives(depth: Int) throws(Refusal) -> Expression {
    guard depth < Self.deepest else {
      throw Refusal(message: "groups are nested deeper than \(Self.deepest)")
    }
    var branches = [try sequence(depth)]
    while take("|") {
      skipBlanks(lines: true)
      branches.append(try sequence(depth))
    }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func sequence(_ depth: Int) throws(Refusal) -> Expression {
    var parts: [Expression] = []
    while let scalar = next {
      try budget.step()
      var part: Expression
      switch scalar {
      case "\"": part = try literal()
      case "[": part = .scalars(try set())
      case ".":
        at += 1
        part = .scalars(.all)
      case "(":
        let opened = at
        at += 1
        skipBlanks(lines: true)
        part = try alternatives(depth: depth + 1)
        guard take(")") else {
          if next == nil { at = opened }
          throw Refusal(message: next == nil ? "a '(' without its ')'" : "wanted ')'")
        }
      case "<", "!": throw Refusal(message: "a token by name, which is not supported: a grammar is over text")
      case _ where Self.nameScalars.contains(scalar):
        part = .call(try rule(named: try name("a rule's name")))
      default: return .sequence(parts)
      }
      skipBlanks(lines: depth > 0)
      part = try counted(part)
      skipBlanks(lines: depth > 0)
      parts.append(part)
    }
    return .sequence(parts)
  }

  private mutating func counted(_ body: Expression) throws(Refusal) -> Expression {
    switch next {
    case "*":
      at += 1
      return .repeated(body, least: 0, most: nil)
    case "+":
      at += 1
      return .repeated(body, least: 1, most: nil)
    case "?":
      at += 1
      return .optional(body)
    case "{":
      at += 1
      skipBlanks(lines: true)
      guard let least = try number() else { throw Refusal(message: "wanted a number after '{'") }
      var most: Int? = least
      skipBlanks(lines: true)
      if take(",") {
        skipBlanks(lines: true)
        most = try number()
        skipBlanks(lines: true)
      }
      guard take("}") else { throw Refusal(message: "a count that does not end in '}'") }
      if let most, most < least { throw Refusal(message: "a count whose end is below its start") }
      return .repeated(body, least: least, most: most)
    default: return body
    }
  }

  private mutating func number() throws(Refusal) -> Int? {
    var value: Int?
    while let scalar = next, ScalarSet.digits.contains(scalar) {
      value = (value ?? 0) * 10 + Int(scalar.value - 0x30)
      guard let value, value <= Self.largestCount else {
        throw Refusal(message: "a count above \(Self.largestCount)")
      }
      at += 1
    }
    return value
  }

  // MARK: Characters

  private mutating func literal() throws(Refusal) -> Expression {
    let opened = at
    at += 1
    var bytes: [UInt8] = []
    while let scalar = next, scalar != "\"", scalar != "\n" {
      try budget.step()
      bytes += UTF8Ranges.bytes(try character().value)
    }
    guard take("\"") else {
      at = opened
      throw Refusal(message: "a literal that does not end on its line")
    }
    return .bytes(bytes)
  }

  private mutating func set() throws(Refusal) -> ScalarSet {
    let opened = at
    at += 1
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while let scalar = next, scalar != "]" {
      try budget.step()
      let low = try character().value
      if next == "-", at + 1 < scalars.count, scalars[at + 1] != "]" {
        at += 1
        let high = try character().value
        guard low <= high else { throw Refusal(message: "a range whose end is below its start") }
        ranges.append(low...high)
      } else {
        ranges.append(low...low)
      }
    }
    guard take("]") else {
      at = opened
      throw Refusal(message: "a '[' without its ']'")
    }
    let set = ScalarSet(ranges)
    return isNegated ? set.inverted : set
  }

  /// One character of a literal or a class, an escape read.
  private mutating func character() throws(Refusal) -> Unicode.Scalar {
    guard let scalar = next else { throw Refusal(message: "the text ends inside of a literal") }
    at += 1
    guard scalar == "\\" else { return scalar }
    guard let escaped = next else { throw Refusal(message: "a '\\' at the end") }
    at += 1
    switch escaped {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "\\", "\"", "[", "]", "-", "^": return escaped
    case "x": return try hexadecimal(2)
    case "u": return try hexadecimal(4)
    case "U": return try hexadecimal(8)
    default:
      at -= 1
      throw Refusal(message: "an escape '\\\(escaped)' that is not known")
    }
  }

  private mutating func hexadecimal(_ count: Int) throws(Refusal) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw Refusal(message: "an escape with fewer than \(count) hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    guard let scalar = Unicode.Scalar(value) else { throw Refusal(message: "an escape of no character") }
    return scalar
  }
}
