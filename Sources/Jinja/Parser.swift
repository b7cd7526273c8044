// Parser.swift: builds a syntax tree from tokens, by Jinja's grammar and precedence (Jinja 3.1,
// parser.py): conditional, or, and, not, comparison, + -, ~, * / // %, **, unary, postfix, filters
// and tests. Statements: if, for, set, macro, call, filter, with, do, break, continue, raw (in the
// lexer) and generation, whose body is kept. Statements that would reach other files or templates
// (include, import, extends, block) are refused by name.

struct Parser {
  typealias Expression = Syntax.Expression
  typealias Kind = Syntax.Kind
  typealias Statement = Syntax.Statement

  private let tokens: [Token]
  private var at = 0
  private var nesting = 0
  private let stack = StackBound()
  private var loops = 0
  /// Names that the macros around the cursor read, the innermost last.
  private var reads: [Set<String>] = []
  private static let mostNested = 100
  private static let highest = 250

  static func parse(_ source: String, limits: TemplateLimits) throws(TemplateError) -> [Statement] {
    var parser = Parser(tokens: try Lexer.tokens(of: source, limit: limits.source))
    return try parser.statements(until: [], opened: nil)
  }

  private init(tokens: [Token]) {
    self.tokens = tokens
  }

  // MARK: Tokens

  private var current: Token {
    // The lexer's last token is `.end`, which is never consumed.
    at < tokens.count ? tokens[at] : Token(kind: .end, line: tokens.last?.line ?? 1)
  }
  private var next: Token.Kind { at + 1 < tokens.count ? tokens[at + 1].kind : .end }
  private var line: Int { current.line }

  private mutating func advance() { if at < tokens.count { at += 1 } }

  private func isName(_ name: String) -> Bool { current.kind == .name(name) }
  private func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }

  private mutating func skip(name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  private mutating func skip(_ symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    advance()
    return true
  }

  private mutating func expect(_ symbol: String) throws(TemplateError) {
    guard skip(symbol) else { throw unexpected(wanted: "'\(symbol)'") }
  }

  private mutating func expectName(_ what: String) throws(TemplateError) -> String {
    guard case .name(let name) = current.kind else { throw unexpected(wanted: what) }
    advance()
    return name
  }

  private mutating func expectBlockEnd() throws(TemplateError) {
    guard current.kind == .blockEnd else { throw unexpected(wanted: "'%}'") }
    advance()
  }

  private func unexpected(wanted: String) -> TemplateError {
    .syntax(line: line, "found \(current.description), wanted \(wanted)")
  }

  private mutating func nested<T>(
    _ work: (inout Parser) throws(TemplateError) -> T
  ) throws(TemplateError) -> T {
    guard nesting < Self.mostNested else {
      throw .tooLarge(line: line, "blocks or brackets are nested deeper than \(Self.mostNested)")
    }
    try stack.check(line: line)
    nesting += 1
    defer { nesting -= 1 }
    return try work(&self)
  }

  // MARK: Statements

  /// Parses statements up to a block that starts with one of `ends`; its name is then the current
  /// token.
  private mutating func statements(until ends: Set<String>, opened: String?) throws(TemplateError)
    -> [Statement]
  {
    let start = line
    var body: [Statement] = []
    while true {
      switch current.kind {
      case .data(let text):
        body.append(.text(text))
        advance()
      case .variableBegin:
        advance()
        body.append(.output(try tuple()))
        guard current.kind == .variableEnd else { throw unexpected(wanted: "'}}'") }
        advance()
      case .blockBegin:
        advance()
        if case .name(let name) = current.kind, ends.contains(name) { return body }
        body += try nested { (parser) throws(TemplateError) in try parser.statement() }
      case .end:
        guard let opened else { return body }
        throw .syntax(
          line: start,
          "'\(opened)' is not closed: wanted \(ends.sorted().map { "'\($0)'" }.joined(separator: " or "))")
      default:
        throw unexpected(wanted: "text or a tag")
      }
    }
  }

  /// The body of a block and its closing tag.
  private mutating func block(_ name: String, until end: String) throws(TemplateError) -> [Statement] {
    try expectBlockEnd()
    let body = try statements(until: [end], opened: name)
    advance()
    return body
  }

  private mutating func statement() throws(TemplateError) -> [Statement] {
    let start = line
    let name = try expectName("the name of a statement")
    let result: [Statement]
    switch name {
    case "if": result = [try conditional()]
    case "for": result = [try loop(line: start)]
    case "set": result = [try assignment(line: start)]
    case "macro":
      let macro = try expectName("the name of a macro")
      let parameters = try signature()
      result = [.macro(try self.macro(macro, parameters, "macro", until: "endmacro"))]
    case "call":
      let parameters = isSymbol("(") ? try signature() : []
      let call = try expression()
      guard case .call = call.kind else { throw .syntax(line: start, "'call' wants a call of a macro") }
      result = [.callBlock(call, try macro(nil, parameters, "call", until: "endcall"))]
    case "filter":
      let filter = try filters(of: nil, first: true)
      result = [.filterBlock(filter, try block("filter", until: "endfilter"))]
    case "with":
      var values: [(Syntax.Target, Expression)] = []
      while current.kind != .blockEnd {
        if !values.isEmpty { try expect(",") }
        let target = try assignmentTarget(allowingAttribute: false)
        try expect("=")
        values.append((target, try expression()))
      }
      result = [.with(values, try block("with", until: "endwith"), line: start)]
    case "do": result = [.evaluate(try tuple())]
    case "generation": result = try block("generation", until: "endgeneration")
    case "break", "continue":
      guard loops > 0 else { throw .syntax(line: start, "'\(name)' stands outside of a loop") }
      result = [name == "break" ? .breakLoop : .continueLoop]
    case "include", "import", "from", "extends", "block", "autoescape", "trans", "debug":
      throw .unsupported(line: start, "the statement '\(name)'")
    default:
      throw .syntax(line: start, "the statement '\(name)' is not known here")
    }
    try expectBlockEnd()
    return result
  }

  private mutating func withoutLoop<T>(
    _ work: (inout Parser) throws(TemplateError) -> T
  ) throws(TemplateError) -> T {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try work(&self)
  }

  /// The body of a macro, and which of the implicit values of macros it reads.
  private mutating func macro(
    _ name: String?, _ parameters: [Syntax.Parameter], _ word: String, until end: String
  ) throws(TemplateError) -> Syntax.Macro {
    reads.append([])
    let body = try withoutLoop { (p) throws(TemplateError) in try p.block(word, until: end) }
    let names = reads.popLast() ?? []
    // An enclosing macro closes over what this one reads.
    if let outer = reads.indices.last { reads[outer].formUnion(names) }
    return Syntax.Macro(name: name, parameters: parameters, body: body, reads: names)
  }

  private mutating func conditional() throws(TemplateError) -> Statement {
    var branches: [(Expression, [Statement])] = []
    while true {
      let condition = try tuple(conditional: false)
      try expectBlockEnd()
      branches.append((condition, try statements(until: ["elif", "else", "endif"], opened: "if")))
      if skip(name: "elif") { continue }
      if skip(name: "else") { return .conditional(branches, otherwise: try block("if", until: "endif")) }
      advance()
      return .conditional(branches, otherwise: [])
    }
  }

  private mutating func loop(line: Int) throws(TemplateError) -> Statement {
    let target = try assignmentTarget(allowingAttribute: false)
    if case .name("loop") = target { throw .syntax(line: line, "a for block cannot assign to 'loop'") }
    guard skip(name: "in") else { throw unexpected(wanted: "'in'") }
    let over = try tuple(conditional: false, until: "recursive")
    let condition = skip(name: "if") ? try expression() : nil
    let isRecursive = skip(name: "recursive")
    try expectBlockEnd()
    loops += 1
    let body = try statements(until: ["else", "endfor"], opened: "for")
    loops -= 1
    let rest: [Statement]
    if skip(name: "else") {
      rest = try block("for", until: "endfor")
    } else {
      advance()
      rest = []
    }
    return .loop(
      Syntax.For(
        target: target, over: over, condition: condition, isRecursive: isRecursive, body: body,
        otherwise: rest,
        line: line))
  }

  private mutating func assignment(line: Int) throws(TemplateError) -> Statement {
    let target = try assignmentTarget(allowingAttribute: true)
    if skip("=") { return .assign(target, try tuple(), line: line) }
    let filter = isSymbol("|") ? try filters(of: nil, first: false) : nil
    return .capture(target, filter: filter, try block("set", until: "endset"), line: line)
  }

  private mutating func assignmentTarget(allowingAttribute: Bool) throws(TemplateError)
    -> Syntax.Target
  {
    var targets: [Syntax.Target] = []
    var isTuple = false
    while true {
      if skip("(") {
        let inner = try nested { (p) throws(TemplateError) in
          try p.assignmentTarget(allowingAttribute: allowingAttribute)
        }
        try expect(")")
        targets.append(inner)
      } else {
        let name = try expectName("a name to assign to")
        guard !Self.reserved.contains(name) else {
          throw .syntax(line: line, "nothing can be assigned to '\(name)'")
        }
        if allowingAttribute, skip(".") {
          targets.append(.attribute(name, try expectName("the name of an attribute")))
        } else {
          targets.append(.name(name))
        }
      }
      guard skip(",") else { break }
      isTuple = true
      if isName("in") || isSymbol("=") || isSymbol(")") { break }
    }
    return isTuple || targets.count != 1 ? .tuple(targets) : targets[0]
  }

  private static let reserved: Set<String> = [
    "true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else",
  ]

  private mutating func signature() throws(TemplateError) -> [Syntax.Parameter] {
    try expect("(")
    var parameters: [Syntax.Parameter] = []
    while !isSymbol(")") {
      if !parameters.isEmpty { try expect(",") }
      if isSymbol(")") { break }
      let name = try expectName("the name of a parameter")
      guard isSymbol("=") || parameters.last?.value == nil else {
        throw .syntax(line: line, "the parameter '\(name)' without a value follows one with a value")
      }
      parameters.append(Syntax.Parameter(name: name, value: skip("=") ? try expression() : nil))
    }
    try expect(")")
    return parameters
  }

  // MARK: Expressions

  private func make(_ kind: Kind, _ parts: [Expression?], line: Int) throws(TemplateError) -> Expression {
    let height = (parts.lazy.compactMap { $0?.height }.max() ?? 0) + 1
    guard height <= Self.highest else {
      throw .tooLarge(line: line, "an expression is nested deeper than \(Self.highest)")
    }
    return Expression(kind, line: line, height: height)
  }

  private func parts(_ arguments: Syntax.Arguments) -> [Expression?] {
    arguments.positional + arguments.named.map(\.1) + [arguments.spread, arguments.spreadNamed]
  }

  private mutating func expression(conditional: Bool = true) throws(TemplateError) -> Expression {
    try nested { (parser) throws(TemplateError) in
      conditional ? try parser.conditionalExpression() : try parser.orExpression()
    }
  }

  /// An expression, or several with commas between.
  private mutating func tuple(
    conditional: Bool = true, until end: String? = nil, bracketed: Bool = false
  ) throws(TemplateError) -> Expression {
    let start = line
    var items: [Expression] = []
    var isTuple = false
    while true {
      if endsTuple(end) { break }
      items.append(try expression(conditional: conditional))
      guard skip(",") else { break }
      isTuple = true
    }
    if !isTuple {
      if items.count == 1 { return items[0] }
      guard bracketed else { throw unexpected(wanted: "an expression") }
    }
    return try make(.tuple(items), items, line: start)
  }

  private func endsTuple(_ end: String?) -> Bool {
    switch current.kind {
    case .variableEnd, .blockEnd, .symbol(")"), .end: true
    case .name(let name): name == end
    default: false
    }
  }

  private mutating func conditionalExpression() throws(TemplateError) -> Expression {
    var value = try orExpression()
    while isName("if") {
      let start = line
      advance()
      let condition = try orExpression()
      let otherwise = skip(name: "else") ? try expression() : nil
      value = try make(
        .conditional(value, if: condition, otherwise: otherwise), [value, condition, otherwise], line: start)
    }
    return value
  }

  private mutating func orExpression() throws(TemplateError) -> Expression {
    var left = try andExpression()
    while isName("or") {
      let start = line
      advance()
      let right = try andExpression()
      left = try make(.or(left, right), [left, right], line: start)
    }
    return left
  }

  private mutating func andExpression() throws(TemplateError) -> Expression {
    var left = try notExpression()
    while isName("and") {
      let start = line
      advance()
      let right = try notExpression()
      left = try make(.and(left, right), [left, right], line: start)
    }
    return left
  }

  private mutating func notExpression() throws(TemplateError) -> Expression {
    guard isName("not") else { return try comparison() }
    let start = line
    advance()
    let value = try nested { (parser) throws(TemplateError) in try parser.notExpression() }
    return try make(.not(value), [value], line: start)
  }

  private mutating func comparison() throws(TemplateError) -> Expression {
    let start = line
    let left = try sum()
    var rest: [(Syntax.Comparison, Expression)] = []
    while true {
      if case .symbol(let symbol) = current.kind, let operation = Syntax.Comparison(rawValue: symbol) {
        advance()
        rest.append((operation, try sum()))
      } else if skip(name: "in") {
        rest.append((.contained, try sum()))
      } else if isName("not"), next == .name("in") {
        advance()
        advance()
        rest.append((.notContained, try sum()))
      } else {
        break
      }
    }
    guard !rest.isEmpty else { return left }
    return try make(.comparison(left, rest), [left] + rest.map(\.1), line: start)
  }

  private mutating func sum() throws(TemplateError) -> Expression {
    var left = try concatenation()
    while case .symbol(let symbol) = current.kind, symbol == "+" || symbol == "-" {
      let start = line
      advance()
      let right = try concatenation()
      left = try make(.binary(symbol == "+" ? .add : .subtract, left, right), [left, right], line: start)
    }
    return left
  }

  private mutating func concatenation() throws(TemplateError) -> Expression {
    let start = line
    var items = [try product()]
    while skip("~") { items.append(try product()) }
    return items.count == 1 ? items[0] : try make(.concatenation(items), items, line: start)
  }

  private mutating func product() throws(TemplateError) -> Expression {
    var left = try power()
    while case .symbol(let symbol) = current.kind, ["*", "/", "//", "%"].contains(symbol),
      let operation = Syntax.Operator(rawValue: symbol)
    {
      let start = line
      advance()
      let right = try power()
      left = try make(.binary(operation, left, right), [left, right], line: start)
    }
    return left
  }

  private mutating func power() throws(TemplateError) -> Expression {
    var left = try unary(filtered: true)
    while isSymbol("**") {
      let start = line
      advance()
      let right = try unary(filtered: true)
      left = try make(.binary(.power, left, right), [left, right], line: start)
    }
    return left
  }

  private mutating func unary(filtered: Bool) throws(TemplateError) -> Expression {
    let start = line
    var value: Expression
    if isSymbol("-") || isSymbol("+") {
      let negates = isSymbol("-")
      advance()
      let inner = try nested { (parser) throws(TemplateError) in try parser.unary(filtered: false) }
      value = try make(negates ? .negative(inner) : .positive(inner), [inner], line: start)
    } else {
      value = try primary()
    }
    value = try postfix(value)
    return filtered ? try filterExpression(value) : value
  }

  private mutating func primary() throws(TemplateError) -> Expression {
    let start = line
    switch current.kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return try make(.constant(.bool(true)), [], line: start)
      case "false", "False": return try make(.constant(.bool(false)), [], line: start)
      case "none", "None": return try make(.constant(.none), [], line: start)
      case "and", "or", "not", "in", "is", "if", "else", "elif":
        throw .syntax(line: start, "found '\(name)', wanted a value")
      case "varargs", "kwargs", "caller":
        if let inner = reads.indices.last { reads[inner].insert(name) }
        return try make(.name(name), [], line: start)
      default: return try make(.name(name), [], line: start)
      }
    case .string(var text):
      advance()
      while case .string(let more) = current.kind {
        text += more
        advance()
      }
      return try make(.constant(.text(text)), [], line: start)
    case .int(let value):
      advance()
      return try make(.constant(value.int.map { .int($0) } ?? .big(value)), [], line: start)
    case .double(let value):
      advance()
      return try make(.constant(.double(value)), [], line: start)
    case .symbol("("):
      advance()
      let value = try tuple(bracketed: true)
      try expect(")")
      return value
    case .symbol("["):
      advance()
      var items: [Expression] = []
      while !isSymbol("]") {
        if !items.isEmpty { try expect(",") }
        if isSymbol("]") { break }
        items.append(try expression())
      }
      try expect("]")
      return try make(.list(items), items, line: start)
    case .symbol("{"):
      advance()
      var pairs: [(Expression, Expression)] = []
      while !isSymbol("}") {
        if !pairs.isEmpty { try expect(",") }
        if isSymbol("}") { break }
        let key = try expression()
        try expect(":")
        pairs.append((key, try expression()))
      }
      try expect("}")
      return try make(.dictionary(pairs), pairs.flatMap { [$0.0, $0.1] }, line: start)
    default:
      throw unexpected(wanted: "a value")
    }
  }

  private mutating func postfix(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    while case .symbol(let symbol) = current.kind {
      let line = line
      switch symbol {
      case ".":
        advance()
        if case .int(let index) = current.kind {
          advance()
          let key = try make(.constant(index.int.map { .int($0) } ?? .big(index)), [], line: line)
          value = try make(.item(value, key), [value], line: line)
        } else {
          value = try make(.attribute(value, try expectName("the name of an attribute")), [value], line: line)
        }
      case "[":
        advance()
        value = try subscripted(value, line: line)
        try expect("]")
      case "(":
        value = try call(value)
      default:
        return value
      }
    }
    return value
  }

  private mutating func subscripted(_ value: Expression, line: Int) throws(TemplateError) -> Expression {
    var bounds: [Expression?] = [nil, nil, nil]
    var place = 0
    var keys: [Expression] = []
    while true {
      if isSymbol(":") {
        advance()
        place += 1
        guard place < 3 else { throw .syntax(line: line, "a slice has at most three parts") }
      } else if isSymbol("]") {
        break
      } else if place == 0, let key = bounds[0], skip(",") {
        keys.append(key)
        bounds[0] = nil
        if isSymbol("]") { break }
      } else {
        guard bounds[place] == nil else { throw unexpected(wanted: "']' or ':'") }
        bounds[place] = try expression()
      }
    }
    if place > 0 {
      return try make(
        .slice(value, from: bounds[0], to: bounds[1], step: bounds[2]), [value] + bounds, line: line)
    }
    if !keys.isEmpty {
      let all = keys + [bounds[0]].compactMap(\.self)
      let key = try make(.tuple(all), all, line: line)
      return try make(.item(value, key), [value, key], line: line)
    }
    guard let key = bounds[0] else { throw unexpected(wanted: "an index or a key") }
    return try make(.item(value, key), [value, key], line: line)
  }

  private mutating func call(_ value: Expression) throws(TemplateError) -> Expression {
    let start = line
    let arguments = try arguments()
    return try make(.call(value, arguments), [value] + parts(arguments), line: start)
  }

  private mutating func arguments() throws(TemplateError) -> Syntax.Arguments {
    var arguments = Syntax.Arguments()
    try expect("(")
    var isFirst = true
    while !isSymbol(")") {
      if !isFirst { try expect(",") }
      isFirst = false
      if isSymbol(")") { break }
      if skip("*") {
        guard arguments.spread == nil else { throw .syntax(line: line, "one '*' argument at most") }
        arguments.spread = try expression()
      } else if skip("**") {
        guard arguments.spreadNamed == nil else { throw .syntax(line: line, "one '**' argument at most") }
        arguments.spreadNamed = try expression()
      } else if case .name(let name) = current.kind, next == .symbol("=") {
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.spread == nil else {
          throw .syntax(line: line, "a positional argument follows a named one")
        }
        arguments.positional.append(try expression())
      }
    }
    try expect(")")
    return arguments
  }

  private mutating func filterExpression(_ start: Expression) throws(TemplateError) -> Expression {
    var value = start
    while true {
      if isSymbol("|") {
        value = try filters(of: value, first: false)
      } else if isName("is") {
        value = try test(value)
      } else if isSymbol("(") {
        value = try call(value)
      } else {
        return value
      }
    }
  }

  /// `| name(arguments)` once or more; `first` if the bar before the first name is missing, as in a
  /// filter block.
  private mutating func filters(of start: Expression?, first: Bool) throws(TemplateError) -> Expression {
    var value = start
    var expectsName = first
    while true {
      let line = line
      if !expectsName {
        if let value, !isSymbol("|") { return value }
        try expect("|")
      }
      expectsName = false
      var name = try expectName("the name of a filter")
      while skip(".") { name += "." + (try expectName("the name of a filter")) }
      let arguments = isSymbol("(") ? try arguments() : Syntax.Arguments()
      value = try make(.filter(value, name, arguments), [value] + parts(arguments), line: line)
    }
  }

  private mutating func test(_ value: Expression) throws(TemplateError) -> Expression {
    let start = line
    advance()
    let negated = skip(name: "not")
    let name: String
    if isName("in") {
      advance()
      name = "in"
    } else {
      name = try expectName("the name of a test")
    }
    var given = Syntax.Arguments()
    switch current.kind {
    case .symbol("("):
      given = try arguments()
    case .name("else"), .name("or"), .name("and"), .name("if"), .name("in"), .name("not"), .name("recursive"):
      break
    case .name("is"):
      throw .syntax(line: start, "tests with 'is' cannot be chained")
    case .name, .string, .int, .double, .symbol("["), .symbol("{"):
      given.positional = [try postfix(try primary())]
    default: break
    }
    return try make(.test(value, name, given, negated: negated), [value] + parts(given), line: start)
  }
}
