// SchemaCompiler.swift: a JSON Schema (draft 2020-12, and of older drafts what means the same) to the
// rules of its texts. A schema is held exactly or refused with the place of what is not supported.
// Texts are narrower than JSON where a schema leaves room: members in the schema's order, no members
// that it does not name unless it speaks of them, little white space. Which values are made of each
// alternative is in SchemaCompiler+Texts.swift. Start at SchemaCompiler.compile.

import JSON

struct SchemaCompiler {
  /// Schemas that hold together, by number, and whether formats count among what they say.
  private struct Key: Hashable {
    var schemas: [Int]
    var holdsFormats: Bool
  }

  private struct Schema {
    var part: Keywords.Part
    /// Read on first use.
    var keywords: Keywords?
  }

  private var references: References
  private var schemas: [Schema] = []
  private var numbers: [String: Int] = [:]
  private var ruleNumbers: [Key: Int] = [:]
  private var waiting: [(rule: Int, key: Key)] = []
  /// Rules that no text may meet, since a value must not meet two branches of one `oneOf`; where that
  /// stands.
  private var overlaps: [(rule: Int, pointer: String)] = []

  var rules = Rules()
  var texts = JSONTexts()
  var budget: Budget
  /// Languages of expressions by their text, and of formats.
  var expressions: [String: DFA] = [:]
  var formats: [String: DFA] = [:]
  /// Whether the rule that is made holds formats.
  private(set) var holdsFormats = true

  private static let mostAlternatives = 512
  private static let deepest = 96

  /// The automaton of a schema's texts. Throws where something is not supported, or that no text
  /// meets the schema.
  static func compile(_ schema: JSONValue, _ budget: Budget) throws(GrammarError) -> Automaton {
    var rules = Rules()
    var budget = budget
    let root = try add(schema, to: &rules, &budget)
    do throws(Refusal) {
      let productive = try RuleCompiler.productive(rules, &budget)
      return try RuleCompiler.compile(rules, root: root, productive: productive, budget)
    } catch {
      throw error.at(.pointer(""))
    }
  }

  /// How values are written.
  enum Form: Sendable, Equatable {
    case json
    /// Strings and names of members between two marks, without escapes.
    case marks(String)
    /// A string as itself, without this text in it; any other value as JSON.
    case bare(end: String)
  }

  /// Adds the rules of a schema's texts.
  /// - pointer: of the schema within `schema`, whose references it may use
  /// - Returns: the rule of its texts, of which there are some.
  static func add(
    _ schema: JSONValue, at pointer: String = "", _ form: Form = .json, to rules: inout Rules,
    _ budget: inout Budget
  ) throws(GrammarError) -> Int {
    var compiler = SchemaCompiler(schema, form, budget)
    let root = try compiler.compile(schema, at: pointer, form)
    budget = compiler.budget
    return root + rules.append(compiler.rules)
  }

  private init(_ schema: JSONValue, _ form: Form, _ budget: Budget) {
    references = References(schema)
    self.budget = budget
    if case .marks(let mark) = form { texts = JSONTexts(.marks(mark)) }
  }

  private mutating func compile(
    _ schema: JSONValue, at pointer: String, _ form: Form
  ) throws(GrammarError) -> Int {
    var part: Keywords.Part = ("", schema)
    if !pointer.isEmpty {
      do throws(Refusal) { part = try references.part("#" + pointer) } catch {
        throw error.at(.pointer(pointer))
      }
    }
    switch part.value {
    case .object, .bool: break
    default:
      throw GrammarError(
        place: .pointer(part.pointer),
        message: "found \(part.value.shortText), wanted a schema, which is an object, true or false")
    }
    let root: Int
    if case .bare(let end) = form {
      let body = try bareText(of: try alternatives(of: [part]), end: end)
      root = rules.add(part.pointer, body)
    } else {
      root = try rule([part])
    }
    while let (rule, key) = waiting.popLast() {
      holdsFormats = key.holdsFormats
      rules.set(rule, try body(key))
    }
    let rules = rules
    let productive = try attempt(at: "") { (budget) throws(Refusal) in
      try RuleCompiler.productive(rules, &budget)
    }
    for overlap in overlaps where productive[overlap.rule] {
      throw GrammarError(
        place: .pointer(overlap.pointer),
        message: "two branches of 'oneOf' may be valid together, which is not supported")
    }
    guard productive[root] else {
      throw GrammarError(
        place: .pointer(rules[rules.culprit(of: root, productive)].name),
        message: "no value meets this schema")
    }
    return root
  }

  /// Does work that does not know its place in the schema.
  mutating func attempt<Result>(
    at pointer: String, _ work: (inout Budget) throws(Refusal) -> Result
  ) throws(GrammarError) -> Result {
    do throws(Refusal) { return try work(&budget) } catch { throw error.at(.pointer(pointer)) }
  }

  /// The rule for values that meet all of some schemas.
  mutating func rule(_ parts: [Keywords.Part]) throws(GrammarError) -> Int {
    try rule(parts, holdingFormats: holdsFormats)
  }

  private mutating func rule(
    _ parts: [Keywords.Part], holdingFormats: Bool
  ) throws(GrammarError) -> Int {
    let key = Key(schemas: Array(Set(parts.map { number($0) })).sorted(), holdsFormats: holdingFormats)
    if let known = ruleNumbers[key] { return known }
    let pointer = parts.last?.pointer ?? ""
    try spend(at: pointer)
    let rule = rules.declare(pointer)
    ruleNumbers[key] = rule
    waiting.append((rule, key))
    return rule
  }

  private mutating func number(_ part: Keywords.Part) -> Int {
    if let known = numbers[part.pointer] { return known }
    schemas.append(Schema(part: part))
    numbers[part.pointer] = schemas.count - 1
    return schemas.count - 1
  }

  private mutating func spend(_ states: Int = 1, at pointer: String) throws(GrammarError) {
    try attempt(at: pointer) { (budget) throws(Refusal) in try budget.state(states) }
  }

  private mutating func body(_ key: Key) throws(GrammarError) -> Expression {
    let alternatives = try alternatives(of: key.schemas.map { schemas[$0].part })
    var branches: [Expression] = []
    for alternative in alternatives { branches.append(try text(of: alternative)) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  // MARK: References, branches and conjunctions

  /// What values that meet all the schemas may be.
  mutating func alternatives(of parts: [Keywords.Part]) throws(GrammarError) -> [Alternative] {
    var result = [Alternative()]
    for part in parts { result = try merge(part, into: result, path: []) }
    return result
  }

  /// Each alternative with one more schema. `path` are the schemas that led here by references and
  /// branches.
  private mutating func merge(
    _ part: Keywords.Part, into alternatives: [Alternative], path: [Int]
  ) throws(GrammarError) -> [Alternative] {
    let members: [JSONValue.Member]
    switch part.value {
    case .bool(let isAnything): return isAnything ? alternatives : []
    case .object(let own): members = own
    default:
      throw GrammarError(
        place: .pointer(part.pointer),
        message: "found \(part.value.shortText), wanted a schema, which is an object, true or false")
    }
    let number = number(part)
    guard !path.contains(number) else {
      throw GrammarError(
        place: .pointer(part.pointer), message: "the schema refers to itself with nothing between")
    }
    guard path.count < Self.deepest else {
      throw GrammarError(
        place: .pointer(part.pointer),
        message: "references and branches are nested deeper than \(Self.deepest)")
    }
    let keywords: Keywords
    if let known = schemas[number].keywords {
      keywords = known
    } else {
      keywords = try Keywords(members, at: part.pointer)
      schemas[number].keywords = keywords
    }
    try spend(alternatives.count, at: part.pointer)
    // An alternative that has it already stays as it is.
    var result = alternatives.filter { $0.merged.contains(number) }
    var merged: [Alternative] = []
    for var alternative in alternatives where alternative.merged.insert(number).inserted {
      if alternative.merge(keywords, at: part.pointer) { merged.append(alternative) }
    }
    let path = path + [number]
    if let reference = keywords.reference {
      merged = try merge(
        try target(of: reference, at: part.pointer + "/$ref"), into: merged, path: path)
    }
    for condition in keywords.allOf { merged = try merge(condition, into: merged, path: path) }
    for (name, condition) in keywords.dependent {
      // Either the member is not there, or the condition holds.
      let absent: Keywords.Part = (
        condition.pointer + "#absent", .object([("properties", .object([(name, .bool(false))]))])
      )
      let present: Keywords.Part = (condition.pointer + "#present", .object([("required", [.string(name)])]))
      let with = try merge(condition, into: try merge(present, into: merged, path: path), path: path)
      merged = try merge(absent, into: merged, path: path) + with
    }
    if let branches = keywords.anyOf { merged = try merge(branches, into: merged, path: path, part.pointer) }
    if let branches = keywords.oneOf {
      for (index, one) in branches.enumerated() {
        for other in branches[..<index] where try !areApart(one, other) {
          overlaps.append(
            (try rule([other, one], holdingFormats: false), part.pointer + "/oneOf"))
        }
      }
      merged = try merge(branches, into: merged, path: path, part.pointer)
    }
    result += merged
    return result
  }

  private mutating func target(
    of reference: String, at pointer: String
  ) throws(GrammarError) -> Keywords.Part {
    do throws(Refusal) { return try references.part(reference) } catch { throw error.at(.pointer(pointer)) }
  }

  private mutating func merge(
    _ branches: [Keywords.Part], into alternatives: [Alternative], path: [Int], _ pointer: String
  ) throws(GrammarError) -> [Alternative] {
    var result: [Alternative] = []
    for branch in branches {
      result += try merge(branch, into: alternatives, path: path)
      guard result.count <= Self.mostAlternatives else {
        throw GrammarError(
          place: .pointer(pointer),
          message: "branches combine to more than \(Self.mostAlternatives) alternatives")
      }
    }
    return result
  }

  /// Whether no value meets both schemas, as far as their types or a member that tells them apart
  /// show at once.
  private mutating func areApart(_ one: Keywords.Part, _ other: Keywords.Part) throws(GrammarError) -> Bool {
    guard let left = try ownKeywords(one), let right = try ownKeywords(other) else { return false }
    if let kinds = left.kinds, let others = right.kinds, kinds.isDisjoint(with: others) { return true }
    guard left.kinds == .object, right.kinds == .object else { return false }
    for name in left.required where right.required.contains(name) {
      guard let mine = try values(of: name, in: left), let yours = try values(of: name, in: right) else {
        continue
      }
      if mine.common(with: yours).isEmpty { return true }
    }
    return false
  }

  private mutating func values(of name: String, in keywords: Keywords) throws(GrammarError) -> [JSONValue]? {
    guard let part = keywords.object.properties.first(where: { $0.name == name })?.part else { return nil }
    return try ownKeywords(part)?.values
  }

  /// The keywords of a schema behind its references; nil if they lead nowhere.
  private mutating func ownKeywords(_ part: Keywords.Part) throws(GrammarError) -> Keywords? {
    var part = part
    for _ in 0..<8 {
      guard case .object(let members) = part.value else { return nil }
      let keywords = try Keywords(members, at: part.pointer)
      guard let reference = keywords.reference else { return keywords }
      // A reference that leads nowhere is refused where its schema is merged.
      guard let target = try? references.part(reference) else { return nil }
      part = target
    }
    return nil
  }
}

extension Rules {
  /// The rule that has no text and calls no other such rule, on the way from `root`; `root` where
  /// such rules only call each other.
  fileprivate func culprit(of root: Int, _ productive: [Bool]) -> Int {
    var seen: Set<Int> = [root]
    var order = [root]
    var next = 0
    while next < order.count {
      let dead = self[order[next]].body.calls.filter { !productive[$0] }
      if dead.isEmpty { return order[next] }
      for rule in dead where seen.insert(rule).inserted { order.append(rule) }
      next += 1
    }
    return root
  }
}

extension Expression {
  /// The rules that it calls.
  fileprivate var calls: [Int] {
    switch self {
    case .empty, .bytes, .scalars, .language: []
    case .call(let rule): [rule]
    case .sequence(let parts), .alternatives(let parts): parts.flatMap(\.calls)
    case .repeated(let body, _, _), .counted(let body): body.calls
    case .members(let object): object.members.flatMap(\.text.calls) + (object.free?.calls ?? [])
    }
  }
}
