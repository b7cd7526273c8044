// ShapeReader.swift: the shape of a message as JSON, to rules: fixed texts around the texts of schemas,
// grammars and expressions. Programs write it (Tools writes the shape of calls); clients do not.
// Start at ShapeReader.read, then MessageShape, which is a whole answer.
//
// | element | its texts |
// | --- | --- |
// | `{"text": T}` | T |
// | `{"schema": S}` | JSON under the schema S; `at` points to the schema within S that is meant |
// | `{"schema": S, "marks": M}` | the same, strings and names of members between two M, without escapes |
// | `{"schema": S, "end": E}` | a string under S as itself, without E in it; any other value as JSON |
// | `{"gbnf": G}`, `{"regex": R}`, `{"choice": [T, ...]}` | as constraints of those kinds |
// | `{"sequence": [...]}`, `{"either": [...]}` | all in this order; one of them |
// | `{"repeat": E, "least": n, "most": m}` | E several times; without `most` any number of times |
// | `{"members": [[E, isRequired], ...]}` | these in this order, a comma between two |
// | `{"free": [T, ...], "start": [T, ...]}` | any text without a T of `free`, and that does not begin with one of `start` |
//
// A schema's `of` names it in errors. With `"yields": true` a schema that cannot be held is any object
// instead, and `ShapeReader.loosened` names it.

import JSON

struct ShapeReader {
  private var rules: Rules
  private var budget: Budget
  /// The names of the schemas that yielded.
  private(set) var loosened: [String] = []

  /// The rule of a shape's texts.
  static func read(
    _ shape: JSONValue, into rules: inout Rules, _ budget: inout Budget
  ) throws(GrammarError) -> (root: Int, loosened: [String]) {
    var reader = ShapeReader(rules: rules, budget: budget)
    let body = try reader.expression(shape)
    rules = reader.rules
    budget = reader.budget
    return (rules.add("shape", body), reader.loosened)
  }

  private init(rules: Rules, budget: Budget) {
    self.rules = rules
    self.budget = budget
  }

  /// Its nesting is bounded by the reader's of the JSON.
  private mutating func expression(_ shape: JSONValue) throws(GrammarError) -> Expression {
    try attempt { (_, budget) throws(Refusal) in try budget.state() }
    guard let first = shape.members?.first else { throw Self.wrong(shape) }
    switch (first.key, first.value) {
    case ("text", .string(let text)): return .text(text)
    case ("schema", let schema): return try self.schema(schema, shape)
    case ("gbnf", .string(let text)):
      let (own, root) = try GBNFReader.read(text, &budget)
      return .call(root + rules.append(own))
    case ("regex", .string(let text)):
      return try attempt { (_, budget) throws(Refusal) in
        .language(try DFA(try ExpressionReader.read(text, &budget), &budget), .utf8)
      }
    case ("choice", .array(let items)):
      let choices = try texts(items)
      return try attempt { (_, budget) throws(Refusal) in
        .language(try DFA(words: choices, &budget), .utf8)
      }
    case ("sequence", .array(let items)): return .sequence(try expressions(items))
    case ("either", .array(let items)): return .alternatives(try expressions(items))
    case ("repeat", let body):
      let least = shape["least"]?.integer ?? 0
      let most = shape["most"]?.integer
      guard (0...64).contains(least), (least...64).contains(most ?? least) else { throw Self.wrong(shape) }
      // A rule of its own, so that it is compiled once.
      let part = rules.add("repeated", try expression(body))
      return .repeated(.call(part), least: least, most: most)
    case ("members", .array(let items)):
      var members = Expression.Members(
        members: [], comma: .sequence([.text(","), .optional(.text(" "))]))
      for item in items {
        guard let pair = item.array, pair.count == 2, let isRequired = pair[1].bool else {
          throw Self.wrong(item)
        }
        members.members.append(.init(text: try expression(pair[0]), isRequired: isRequired))
      }
      return .members(members)
    case ("free", .array(let items)):
      let without = try texts(items)
      let start = try texts(shape["start"]?.array ?? [])
      return try attempt { (_, budget) throws(Refusal) in
        .language(try DFA(without: without, start: start, &budget), .utf8)
      }
    default: throw Self.wrong(shape)
    }
  }

  private mutating func schema(_ schema: JSONValue, _ shape: JSONValue) throws(GrammarError) -> Expression {
    var form = SchemaCompiler.Form.json
    if let mark = shape["marks"]?.string { form = .marks(mark) }
    if let end = shape["end"]?.string { form = .bare(end: end) }
    let pointer = shape["at"]?.string ?? ""
    let name = shape["of"]?.string
    do throws(GrammarError) {
      return .call(try SchemaCompiler.add(schema, at: pointer, form, to: &rules, &budget))
    } catch {
      guard shape["yields"]?.bool == true else {
        throw GrammarError(place: error.place, message: error.message, of: name)
      }
      if let name, !loosened.contains(name) { loosened.append(name) }
      if case .bare(let end) = form {
        return try attempt { (_, budget) throws(Refusal) in
          .language(try DFA(without: [end], &budget), .utf8)
        }
      }
      return .call(try SchemaCompiler.add(["type": "object"], form, to: &rules, &budget))
    }
  }

  private mutating func expressions(_ items: [JSONValue]) throws(GrammarError) -> [Expression] {
    var found: [Expression] = []
    for item in items { found.append(try expression(item)) }
    return found
  }

  private func texts(_ items: [JSONValue]) throws(GrammarError) -> [String] {
    let texts = items.compactMap(\.string)
    guard texts.count == items.count else { throw Self.wrong(.array(items)) }
    return texts
  }

  private mutating func attempt<Result>(
    _ work: (inout Rules, inout Budget) throws(Refusal) -> Result
  ) throws(GrammarError) -> Result {
    do throws(Refusal) { return try work(&rules, &budget) } catch { throw error.at(.whole) }
  }

  private static func wrong(_ shape: JSONValue) -> GrammarError {
    GrammarError(place: .whole, message: "found \(shape.shortText), wanted an element of a message's shape")
  }
}
