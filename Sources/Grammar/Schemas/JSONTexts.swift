// JSONTexts.swift: rules for JSON whatever its schema: white space, strings, numbers, any value, and
// the texts of given values. Start at JSONTexts.

import JSON

/// The rules that all schemas of a grammar share, made on first use.
struct JSONTexts {
  /// How strings stand in a text.
  enum Quoting: Sendable, Equatable {
    /// As in JSON.
    case json
    /// Between two of these marks, without escapes: the mark itself is in no string. Names of members
    /// stand without marks where they are words.
    case marks(String)
  }

  let quoting: Quoting
  private var space: Int?
  private var string: Int?
  private var number: Int?
  private var integer: Int?
  private var any: Int?
  private var lengths: [[UInt32]: Int] = [:]
  /// What may stand between two marks.
  private var unmarked: DFA?

  init(_ quoting: Quoting = .json) { self.quoting = quoting }

  /// Spaces at the start of a line, at most: enough for any indentation that is read, and an end to
  /// a model that writes nothing else.
  private static let mostIndentation: UInt32 = 64

  /// Nothing, one space, or a line feed and an indentation.
  mutating func blank(_ rules: inout Rules) -> Expression {
    let rule =
      space
      ?? rules.add(
        "white space",
        .alternatives([
          .text(" "),
          .sequence([
            .text("\n"),
            .repeated(.counted(.scalars(ScalarSet([0x20...0x20, 0x09...0x09]))), least: 0, most: nil),
          ]),
        ]), most: Self.mostIndentation)
    space = rule
    return .optional(.call(rule))
  }

  mutating func comma(_ rules: inout Rules) -> Expression { .sequence([.text(","), blank(&rules)]) }

  /// Any string.
  mutating func anyString(_ rules: inout Rules, _ budget: inout Budget) throws(Refusal) -> Expression {
    if let string { return .call(string) }
    let body: Expression
    switch quoting {
    case .json:
      body = .sequence([.text("\""), .repeated(JSONSpelling.character, least: 0, most: nil), .text("\"")])
    case .marks(let mark):
      body = .sequence([.text(mark), .language(try withoutMark(mark, &budget), .utf8), .text(mark)])
    }
    let rule = rules.add("string", body)
    string = rule
    return .call(rule)
  }

  private mutating func withoutMark(_ mark: String, _ budget: inout Budget) throws(Refusal) -> DFA {
    if let unmarked { return unmarked }
    let language = try DFA(without: [mark], &budget)
    unmarked = language
    return language
  }

  /// The strings of a language.
  mutating func strings(_ language: DFA, _ budget: inout Budget) throws(Refusal) -> Expression {
    switch quoting {
    case .json: return .sequence([.text("\""), .language(language, .json), .text("\"")])
    case .marks(let mark):
      let kept = try language.intersection(try withoutMark(mark, &budget), &budget)
      guard !kept.isEmpty else { return .nothing }
      return .sequence([.text(mark), .language(kept, .utf8), .text(mark)])
    }
  }

  /// A string whose number of characters is in the range.
  mutating func string(
    from least: UInt32, to most: UInt32, _ rules: inout Rules, _ budget: inout Budget
  ) throws(Refusal) -> Expression {
    guard quoting == .json else {
      let longest = UInt32(Self.longestMarked)
      guard least <= longest, most <= longest || most == .max else {
        throw Refusal(
          message: "a length above \(Self.longestMarked) is not supported in this form of strings")
      }
      return try strings(
        try DFA(lengthFrom: Int(least), to: most == .max ? nil : Int(most), &budget), &budget)
    }
    let rule =
      lengths[[least, most]]
      ?? rules.add(
        "characters", .repeated(.counted(JSONSpelling.character), least: 0, most: nil), least: least,
        most: most)
    lengths[[least, most]] = rule
    return .sequence([.text("\""), .call(rule), .text("\"")])
  }

  private static let longestMarked = 4_096
  private static let digits = Expression.scalars(.digits)
  private static let wholePart: Expression = .sequence([
    .optional(.text("-")),
    .alternatives([
      .text("0"),
      .sequence([.scalars(ScalarSet([0x31...0x39])), .repeated(digits, least: 0, most: nil)]),
    ]),
  ])

  mutating func anyInteger(_ rules: inout Rules) -> Expression {
    let rule = integer ?? rules.add("integer", Self.wholePart)
    integer = rule
    return .call(rule)
  }

  /// Any number; exponents have at most two digits, which keeps it within the range of a double.
  mutating func anyNumber(_ rules: inout Rules) -> Expression {
    let rule =
      number
      ?? rules.add(
        "number",
        .sequence([
          Self.wholePart,
          .optional(.sequence([.text("."), .repeated(Self.digits, least: 1, most: nil)])),
          .optional(
            .sequence([
              .scalars(ScalarSet([0x45...0x45, 0x65...0x65])),
              .optional(.scalars(ScalarSet([0x2B...0x2B, 0x2D...0x2D]))),
              .repeated(Self.digits, least: 1, most: 2),
            ])),
        ]))
    number = rule
    return .call(rule)
  }

  static let anyBoolean: Expression = .alternatives([.text("true"), .text("false")])

  /// Any JSON value.
  mutating func anyValue(_ rules: inout Rules, _ budget: inout Budget) throws(Refusal) -> Expression {
    if let any { return .call(any) }
    let rule = rules.declare("value")
    any = rule
    let value = Expression.call(rule)
    let string = try anyString(&rules, &budget)
    let member = Expression.sequence([string, .text(":"), blank(&rules), value])
    rules.set(
      rule,
      .alternatives([
        string, anyNumber(&rules), Self.anyBoolean, .text("null"), list(of: value, &rules),
        object(of: member, &rules),
      ]))
    return value
  }

  /// Any array of such elements.
  mutating func list(of element: Expression, _ rules: inout Rules) -> Expression {
    .sequence([.text("["), blank(&rules), listed(element, &rules), .text("]")])
  }

  /// Any object of such members.
  mutating func object(of member: Expression, _ rules: inout Rules) -> Expression {
    .sequence([.text("{"), blank(&rules), listed(member, &rules), .text("}")])
  }

  private mutating func listed(_ element: Expression, _ rules: inout Rules) -> Expression {
    .optional(
      .sequence([
        element, .repeated(.sequence([comma(&rules), element]), least: 0, most: nil), blank(&rules),
      ]))
  }

  /// The text of one value, free in its white space. Its nesting is bounded by the reader's.
  mutating func text(
    of value: JSONValue, _ rules: inout Rules, _ budget: inout Budget
  ) throws(Refusal) -> Expression {
    switch value {
    case .string(let text): return try strings(try DFA(words: [text], &budget), &budget)
    case .array(let elements):
      var parts: [Expression] = [.text("["), blank(&rules)]
      for (index, element) in elements.enumerated() {
        if index > 0 { parts.append(comma(&rules)) }
        parts.append(try text(of: element, &rules, &budget))
      }
      if !elements.isEmpty { parts.append(blank(&rules)) }
      return .sequence(parts + [.text("]")])
    case .object(let members):
      var parts: [Expression] = [.text("{"), blank(&rules)]
      for (index, member) in members.enumerated() {
        if index > 0 { parts.append(comma(&rules)) }
        parts += [key(member.key), blank(&rules), try text(of: member.value, &rules, &budget)]
      }
      if !members.isEmpty { parts.append(blank(&rules)) }
      return .sequence(parts + [.text("}")])
    case .double(let number) where number == number.rounded() && abs(number) < 1e15:
      // A whole number is written with or without its point.
      return .alternatives([.bytes(JSONWriter.bytes(value)), .text(String(Int(number)))])
    default: return .bytes(JSONWriter.bytes(value))
    }
  }

  /// A member's key with its colon.
  func key(_ name: String) -> Expression {
    if case .marks(let mark) = quoting {
      let isWord = !name.isEmpty && name.unicodeScalars.allSatisfy { ScalarSet.words.contains($0) }
      return .text((isWord ? name : mark + name + mark) + ":")
    }
    var bytes: [UInt8] = []
    JSONWriter.writeString(name, into: &bytes)
    return .bytes(bytes + [UInt8(ascii: ":")])
  }
}
