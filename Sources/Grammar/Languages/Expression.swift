// Expression.swift: what a rule of a grammar may be, as a tree whose leaves are bytes, characters
// and calls of other rules. Readers of notations and schemas make them; Automaton compiles them.
// Start at Expression, then Rules.

/// The body of a rule, in bytes.
indirect enum Expression: Sendable {
  /// How the characters of a language are spelled.
  enum Spelling: Hashable {
    case utf8
    /// As the inside of a JSON string: each character has one spelling, the shortest that RFC 8259
    /// allows.
    case json
  }

  case empty
  case bytes([UInt8])
  /// One character in UTF-8.
  case scalars(ScalarSet)
  case language(DFA, Spelling)
  case call(Int)
  case sequence([Expression])
  /// None of no branches: no text at all.
  case alternatives([Expression])
  case repeated(Expression, least: Int, most: Int?)
  /// The same texts; beginning it counts towards the rule's `least` and `most`.
  case counted(Expression)
  /// The members of a JSON object, without its braces.
  case members(Members)

  /// Members in a fixed order, then free ones, with commas between.
  struct Members: Sendable {
    struct Member: Sendable {
      var text: Expression
      var isRequired: Bool
    }

    var members: [Member]
    /// Any number of these after the members; nil for none.
    var free: Expression?
    /// What stands between two members.
    var comma: Expression
    var least = 0
    var most: Int?
  }

  /// The same with every call of a rule moved.
  func moved(by distance: Int) -> Expression {
    switch self {
    case .empty, .bytes, .scalars, .language: return self
    case .call(let rule): return .call(rule + distance)
    case .sequence(let parts): return .sequence(parts.map { $0.moved(by: distance) })
    case .alternatives(let branches): return .alternatives(branches.map { $0.moved(by: distance) })
    case .repeated(let body, let least, let most):
      return .repeated(body.moved(by: distance), least: least, most: most)
    case .counted(let body): return .counted(body.moved(by: distance))
    case .members(var object):
      for index in object.members.indices {
        object.members[index].text = object.members[index].text.moved(by: distance)
      }
      object.free = object.free?.moved(by: distance)
      object.comma = object.comma.moved(by: distance)
      return .members(object)
    }
  }

  static let nothing = Expression.alternatives([])

  static func text(_ text: String) -> Expression { .bytes(Array(text.utf8)) }
  static func optional(_ expression: Expression) -> Expression { .repeated(expression, least: 0, most: 1) }
}

/// The rules of a grammar.
struct Rules {
  struct Rule {
    /// What error messages call it: a rule's name, or a pointer into a schema.
    var name: String
    var body: Expression
    /// How often `counted` parts may begin in it.
    var least: UInt32 = 0
    var most: UInt32 = .max
  }

  private(set) var rules: [Rule] = []

  var count: Int { rules.count }

  /// A rule whose body is set later.
  mutating func declare(_ name: String) -> Int {
    rules.append(Rule(name: name, body: .nothing))
    return rules.count - 1
  }

  mutating func add(_ name: String, _ body: Expression, least: UInt32 = 0, most: UInt32 = .max) -> Int {
    rules.append(Rule(name: name, body: body, least: least, most: most))
    return rules.count - 1
  }

  /// Adds the rules of another grammar; returns by how much their numbers have moved.
  mutating func append(_ other: Rules) -> Int {
    let distance = rules.count
    rules += other.rules.map { rule in
      Rule(name: rule.name, body: rule.body.moved(by: distance), least: rule.least, most: rule.most)
    }
    return distance
  }

  mutating func set(_ rule: Int, _ body: Expression) { rules[rule].body = body }

  subscript(rule: Int) -> Rule { rules[rule] }
}
