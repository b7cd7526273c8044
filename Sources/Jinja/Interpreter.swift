// Interpreter.swift: evaluates the syntax tree of a template with the values of one conversation.
//
// Safe by construction: a name is looked up only in the given values and the functions of Function;
// a member only in the keys of a dictionary and the methods of Methods.swift. Every node costs a
// step and every character produced is counted, so a hostile template ends with an error before it
// uses up memory or time. Scopes are Jinja's: bodies of for, macros and captured blocks have their
// own names, if blocks do not. Start at run(_:). Operators are in Operators.swift, filters in
// Filters.swift, tests in Tests.swift.

import Foundation

final class Interpreter {
  typealias Expression = Syntax.Expression
  typealias Statement = Syntax.Statement

  enum Flow { case normal, breakLoop, continueLoop }

  let limits: TemplateLimits
  let now: Date
  private var stepsLeft: Int
  private var charactersLeft: Int
  private var depth = 0
  private let stack = StackBound()
  /// The line of the node being evaluated, for messages.
  var line = 1
  /// Captured output; the last one is written to.
  private var buffers: [[UInt32]] = [[]]
  /// Containers and scopes that may be part of a cycle. They are emptied at the end, so that none
  /// leaks and freeing them never recurses without bound.
  private var changedLists: [List] = []
  private var changedDictionaries: [Mapping] = []
  private var closedScopes: [Scope] = []
  private static let highestRank = 100

  init(limits: TemplateLimits, now: Date) {
    self.limits = limits
    self.now = now
    stepsLeft = limits.steps
    charactersLeft = limits.characters
  }

  /// The prompt with its marks.
  func run(_ statements: [Statement], names: [String: Value]) throws(TemplateError) -> Text {
    let scope = Scope(parent: nil)
    scope.names = names
    defer {
      for list in changedLists { list.items = [] }
      for dictionary in changedDictionaries { dictionary.removeAll() }
      for closed in closedScopes { closed.names = [:] }
      scope.names = [:]
    }
    _ = try execute(statements, scope)
    return Text(units: buffers[0])
  }

  // MARK: Bounds

  func step(_ count: Int = 1) throws(TemplateError) {
    stepsLeft -= count
    guard stepsLeft >= 0 else {
      throw .tooLarge(line: line, "the template takes more than \(limits.steps) steps")
    }
  }

  /// Charges for `count` characters about to be produced, and for walking over them.
  func spend(_ count: Int) throws(TemplateError) {
    guard count <= charactersLeft else {
      throw .tooLarge(line: line, "the template makes more than \(limits.characters) characters of text")
    }
    charactersLeft -= count
    try step(count >> 4)
  }

  func failure(_ what: String) -> TemplateError { .evaluation(line: line, what) }

  func deeper<T>(_ work: () throws(TemplateError) -> T) throws(TemplateError) -> T {
    guard depth < limits.depth else {
      throw .tooLarge(line: line, "the template nests deeper than \(limits.depth) evaluations")
    }
    try stack.check(line: line)
    depth += 1
    defer { depth -= 1 }
    return try work()
  }

  // MARK: Making values

  func makeList(_ items: [Value], _ kind: List.Kind = .list) throws(TemplateError) -> Value {
    try spend(items.count * 8)
    return .list(List(items, kind, rank: try rank(above: items)))
  }

  func rank(above items: [Value]) throws(TemplateError) -> Int {
    var highest = 0
    for item in items { highest = max(highest, item.rank) }
    guard highest < Self.highestRank else {
      throw .tooLarge(line: line, "lists and mappings are nested deeper than \(Self.highestRank)")
    }
    return highest + 1
  }

  func set(_ dictionary: Mapping, _ key: Value, _ value: Value) throws(TemplateError) {
    guard let plain = key.key else { throw failure("\(key.kind) cannot be a key of a mapping") }
    try spend(16)
    dictionary.rank = max(dictionary.rank, try rank(above: [value]))
    dictionary.set(plain, key, value)
  }

  /// Appends to a list that a template holds.
  func insert(_ value: Value, into list: List, at place: Int) throws(TemplateError) {
    try spend(8)
    try step(list.items.count >> 6)
    list.rank = max(list.rank, try rank(above: [value]))
    list.items.insert(value, at: place)
    if !list.isNoted {
      list.isNoted = true
      changedLists.append(list)
    }
  }

  func noteChange(_ dictionary: Mapping) {
    guard !dictionary.isNoted else { return }
    dictionary.isNoted = true
    changedDictionaries.append(dictionary)
  }

  // MARK: Output

  func emit(_ text: Text) throws(TemplateError) {
    try spend(text.count)
    // The last buffer exists as long as the template runs: every capture pops only its own.
    buffers[buffers.count - 1] += text.units
  }

  /// Captures what `work` prints.
  func capture(_ work: () throws(TemplateError) -> Void) throws(TemplateError) -> Text {
    let height = buffers.count
    buffers.append([])
    defer { buffers.removeLast(buffers.count - height) }
    try work()
    return Text(units: buffers[height])
  }

  // MARK: Statements

  func execute(_ statements: [Statement], _ scope: Scope) throws(TemplateError) -> Flow {
    for statement in statements {
      try step()
      let flow = try execute(statement, scope)
      if flow != .normal { return flow }
    }
    return .normal
  }

  private func execute(_ statement: Statement, _ scope: Scope) throws(TemplateError) -> Flow {
    switch statement {
    case .text(let text):
      try emit(Text(text))
    case .output(let expression):
      let value = try evaluate(expression, scope)
      try emit(try text(of: value))
    case .conditional(let branches, let otherwise):
      return try executeBranch(branches, otherwise, scope)
    case .loop(let loop):
      let items = try elements(of: try evaluate(loop.over, scope), doing: "loop over")
      return try deeper { () throws(TemplateError) in try run(loop, over: items, scope) }
    case .assign(let target, let expression, let line):
      let value = try evaluate(expression, scope)
      self.line = line
      try assign(target, value, scope)
    case .capture(let target, let filter, let body, let line):
      let text = try capture { () throws(TemplateError) in try block(body, scope) }
      let value = try filter.map { (filter) throws(TemplateError) in
        try evaluate(filter, scope, piped: .text(text))
      }
      self.line = line
      try assign(target, value ?? .text(text), scope)
    case .macro(let macro):
      if closedScopes.last !== scope { closedScopes.append(scope) }
      scope.names[macro.name ?? ""] = .macro(BoundMacro(macro, scope: scope))
    case .callBlock(let call, let body):
      if closedScopes.last !== scope { closedScopes.append(scope) }
      let caller = BoundMacro(body, scope: scope)
      guard case .call(let function, let arguments) = call.kind else { return .normal }
      line = call.line
      let value = try self.call(
        try evaluate(function, scope), try values(of: arguments, scope), caller: .macro(caller))
      try emit(try text(of: value))
    case .filterBlock(let filter, let body):
      let text = try capture { () throws(TemplateError) in try block(body, scope) }
      guard case .text(let result) = try evaluate(filter, scope, piped: .text(text)) else {
        throw failure("the filters of a filter block want to end in a text")
      }
      try emit(result)
    case .with(let values, let body, let line):
      let inner = Scope(parent: scope)
      for (target, expression) in values {
        let value = try evaluate(expression, scope)
        self.line = line
        try assign(target, value, inner)
      }
      return try deeper { () throws(TemplateError) in try execute(body, inner) }
    case .evaluate(let expression):
      _ = try evaluate(expression, scope)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .normal
  }

  private func executeBranch(
    _ branches: [(Expression, [Statement])], _ otherwise: [Statement], _ scope: Scope
  ) throws(TemplateError) -> Flow {
    for (condition, body) in branches {
      try step()
      if try evaluate(condition, scope).isTrue {
        return try deeper { () throws(TemplateError) in try execute(body, scope) }
      }
    }
    return try deeper { () throws(TemplateError) in try execute(otherwise, scope) }
  }

  /// A block with its own scope.
  private func block(_ body: [Statement], _ scope: Scope) throws(TemplateError) {
    _ = try deeper { () throws(TemplateError) in try execute(body, Scope(parent: scope)) }
  }

  /// - Parameter depth: How often a recursive loop has called itself.
  private func run(
    _ loop: Syntax.For, over all: [Value], _ scope: Scope, depth: Int = 1
  ) throws(TemplateError) -> Flow {
    var items = all
    if let condition = loop.condition {
      items = []
      for item in all {
        try step()
        let inner = Scope(parent: scope)
        line = loop.line
        try assign(loop.target, item, inner)
        if try evaluate(condition, inner).isTrue { items.append(item) }
      }
    }
    guard !items.isEmpty else { return try execute(loop.otherwise, Scope(parent: scope)) }
    let state = Loop(
      items: items, depth: depth, rank: try rank(above: items),
      recursion: loop.isRecursive ? (loop, scope) : nil)
    // As in Jinja: the else block runs unless some iteration reached the end of the body.
    var hasCompleted = false
    for (place, item) in items.enumerated() {
      try step()
      state.place = place
      let inner = Scope(parent: scope)
      inner.names["loop"] = .loop(state)
      line = loop.line
      try assign(loop.target, item, inner)
      let flow = try execute(loop.body, inner)
      if flow == .breakLoop { break }
      if flow == .normal { hasCompleted = true }
    }
    if !hasCompleted { return try execute(loop.otherwise, Scope(parent: scope)) }
    return .normal
  }

  private func assign(
    _ target: Syntax.Target, _ value: Value, _ scope: Scope
  ) throws(TemplateError) {
    switch target {
    case .name(let name):
      scope.names[name] = value
    case .attribute(let name, let attribute):
      guard case .namespace(let space) = lookUp(name, scope) else {
        throw failure("'\(name).\(attribute)' cannot be set: '\(name)' is no namespace")
      }
      noteChange(space)
      try set(space, .text(Text(attribute)), value)
    case .tuple(let targets):
      let items = try elements(of: value, doing: "unpack")
      guard items.count == targets.count else {
        throw failure("\(items.count) values cannot be unpacked into \(targets.count) names")
      }
      for (target, item) in zip(targets, items) { try assign(target, item, scope) }
    }
  }

  // MARK: Expressions

  func lookUp(_ name: String, _ scope: Scope) -> Value {
    var scope: Scope? = scope
    while let here = scope {
      if let value = here.names[name] { return value }
      scope = here.parent
    }
    if let function = Function(rawValue: name) { return .function(function) }
    return .undefined(name)
  }

  /// - Parameter piped: the input of the innermost filter of a filter block or captured assignment.
  func evaluate(
    _ expression: Expression, _ scope: Scope, piped: Value? = nil
  ) throws(TemplateError) -> Value {
    try step()
    line = expression.line
    switch expression.kind {
    case .constant(let constant): return value(of: constant)
    case .name(let name): return lookUp(name, scope)
    default: break
    }
    return try deeper { () throws(TemplateError) in try evaluateParts(of: expression, scope, piped: piped) }
  }

  private func value(of constant: Syntax.Constant) -> Value {
    switch constant {
    case .none: .none
    case .bool(let value): .bool(value)
    case .int(let value): .int(value)
    case .big(let value): .big(value)
    case .double(let value): .double(value)
    case .text(let text): .text(Text(text))
    }
  }

  private func evaluateParts(
    of expression: Expression, _ scope: Scope, piped: Value?
  ) throws(TemplateError) -> Value {
    switch expression.kind {
    case .constant(let constant): return value(of: constant)
    case .name(let name): return lookUp(name, scope)
    case .list(let items): return try makeList(try evaluate(all: items, scope))
    case .tuple(let items): return try makeList(try evaluate(all: items, scope), .tuple)
    case .dictionary(let pairs):
      let dictionary = Mapping()
      for (key, value) in pairs {
        let key = try evaluate(key, scope)
        try set(dictionary, key, try evaluate(value, scope))
      }
      return .dictionary(dictionary)
    case .attribute(let base, let name):
      let value = try evaluate(base, scope)
      line = expression.line
      return try attribute(name, of: value)
    case .item(let base, let key):
      let value = try evaluate(base, scope)
      let key = try evaluate(key, scope)
      line = expression.line
      return try item(key, of: value)
    case .slice(let base, let from, let to, let step):
      return try evaluateSlice(base, from, to, step, scope)
    case .call(let function, let arguments):
      let callee = try evaluate(function, scope)
      let values = try values(of: arguments, scope)
      line = expression.line
      return try call(callee, values, caller: nil)
    case .filter(let base, let name, let arguments):
      let value = try base.map { (base) throws(TemplateError) in try evaluate(base, scope, piped: piped) }
      let values = try values(of: arguments, scope)
      line = expression.line
      return try filter(name, value ?? piped ?? .undefined("the filtered value"), values)
    case .test(let base, let name, let arguments, let negated):
      let value = try evaluate(base, scope)
      let values = try values(of: arguments, scope)
      line = expression.line
      return .bool(try test(name, value, values) != negated)
    case .not(let value): return .bool(!(try evaluate(value, scope).isTrue))
    case .negative(let value): return try negated(try evaluate(value, scope))
    case .positive(let value): return try positive(try evaluate(value, scope))
    case .and(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .binary(let operation, let left, let right):
      let first = try evaluate(left, scope)
      let second = try evaluate(right, scope)
      line = expression.line
      return try apply(operation, first, second)
    case .concatenation(let items):
      var units: [UInt32] = []
      for item in items {
        let part = try text(of: try evaluate(item, scope))
        try spend(part.count)
        units += part.units
      }
      line = expression.line
      return .text(Text(units: units))
    case .comparison(let first, let rest):
      return .bool(try compareChain(first, rest, scope))
    case .conditional(let value, let condition, let otherwise):
      if try evaluate(condition, scope).isTrue { return try evaluate(value, scope) }
      guard let otherwise else { return .undefined("the value of an if without else") }
      return try evaluate(otherwise, scope)
    }
  }

  private func evaluate(all items: [Expression], _ scope: Scope) throws(TemplateError) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(items.count)
    for item in items { values.append(try evaluate(item, scope)) }
    return values
  }

  private func compareChain(
    _ first: Expression, _ rest: [(Syntax.Comparison, Expression)], _ scope: Scope
  ) throws(TemplateError) -> Bool {
    var left = try evaluate(first, scope)
    for (operation, expression) in rest {
      let right = try evaluate(expression, scope)
      guard try compare(operation, left, right) else { return false }
      left = right
    }
    return true
  }

  private func evaluateSlice(
    _ base: Expression, _ from: Expression?, _ to: Expression?, _ step: Expression?, _ scope: Scope
  ) throws(TemplateError) -> Value {
    let value = try evaluate(base, scope)
    var bounds: [Value] = []
    for part in [from, to, step] {
      bounds.append(try part.map { (e) throws(TemplateError) in try evaluate(e, scope) } ?? .none)
    }
    if case .undefined(let name) = value { throw failure("'\(name)' is undefined and cannot be sliced") }
    for bound in bounds where !bound.isNone && integer(bound) == nil {
      throw failure("a slice wants whole numbers, found \(bound.kind)")
    }
    return try slice(
      value, from: bound(bounds[0]), to: bound(bounds[1]), step: bound(bounds[2]) ?? 1)
  }

  private func bound(_ value: Value) -> Int? {
    if case .big(let value) = value { return value.isNegative ? .min : .max }
    return wholeNumber(value)
  }

  // MARK: Calls

  private func values(
    of arguments: Syntax.Arguments, _ scope: Scope
  ) throws(TemplateError) -> Arguments {
    var values = Arguments()
    values.positional = try evaluate(all: arguments.positional, scope)
    if let spread = arguments.spread {
      values.positional += try elements(of: try evaluate(spread, scope), doing: "spread")
    }
    for (name, expression) in arguments.named {
      values.named.append((name, try evaluate(expression, scope)))
    }
    if let spread = arguments.spreadNamed {
      guard case .dictionary(let dictionary) = try evaluate(spread, scope) else {
        throw failure("'**' wants a mapping")
      }
      for (key, value) in zip(dictionary.keys, dictionary.values) {
        guard case .text(let name) = key else { throw failure("'**' wants names that are texts") }
        let plain = name.string
        guard !values.named.contains(where: { $0.0 == plain }) else {
          throw failure("a call got '\(plain.prefix(40))' twice")
        }
        values.named.append((plain, value))
        if name.hasUserMark { values.usersNames.insert(plain) }
      }
    }
    return values
  }

  func call(
    _ callee: Value, _ arguments: Arguments, caller: Value?
  ) throws(TemplateError) -> Value {
    switch callee {
    case .macro(let macro):
      return .text(try deeper { () throws(TemplateError) in try call(macro, arguments, caller: caller) })
    case .function(let function):
      return try call(function, arguments)
    case .method(let value, let name):
      return try call(method: name, of: value, arguments)
    case .turns(let turns) where turns.isJoiner:
      try check(arguments, .none, of: "joiner")
      defer { turns.place = 1 }
      return turns.place == 0 ? .text(Text()) : turns.values[0]
    case .loop(let loop):
      guard let (statement, scope) = loop.recursion else { throw failure("this loop is not recursive") }
      let items = try elements(of: try arguments.one("loop", self), doing: "loop over")
      return .text(
        try deeper { () throws(TemplateError) in
          try capture { () throws(TemplateError) in
            _ = try run(statement, over: items, scope, depth: loop.depth + 1)
          }
        })
    case .undefined(let name):
      throw failure("'\(name)' is undefined and cannot be called")
    default:
      throw failure("\(callee.kind) cannot be called")
    }
  }

  /// As in Jinja's Macro: surplus arguments are refused, unless the body reads `varargs` or
  /// `kwargs`.
  private func call(
    _ macro: BoundMacro, _ arguments: Arguments, caller: Value?
  ) throws(TemplateError) -> Text {
    let definition = macro.definition
    let name = definition.name ?? "caller"
    let scope = Scope(parent: macro.scope)
    var named = arguments.named
    if let caller { named.append(("caller", caller)) }
    var missing: [Syntax.Parameter] = []
    for (place, parameter) in definition.parameters.enumerated() {
      if place < arguments.positional.count {
        scope.names[parameter.name] = arguments.positional[place]
      } else if let given = named.firstIndex(where: { $0.0 == parameter.name }) {
        scope.names[parameter.name] = named.remove(at: given).1
      } else {
        scope.names[parameter.name] = .undefined(parameter.name)
        missing.append(parameter)
      }
    }
    if definition.readsCaller {
      let given = named.firstIndex { $0.0 == "caller" }
      scope.names["caller"] = given.map { named.remove(at: $0).1 } ?? .undefined("caller")
    }
    if definition.readsKwargs {
      let rest = Mapping()
      for (name, value) in named { try set(rest, .text(arguments.text(ofName: name)), value) }
      scope.names["kwargs"] = .dictionary(rest)
    } else if let stray = named.first {
      throw failure("the macro '\(name)' has no parameter '\(stray.0.prefix(40))', or got it twice")
    }
    let extra = arguments.positional.dropFirst(definition.parameters.count)
    if definition.readsVarargs {
      scope.names["varargs"] = try makeList(Array(extra), .tuple)
    } else if !extra.isEmpty {
      throw failure(
        "the macro '\(name)' wants \(definition.parameters.count) arguments at most, found \(arguments.positional.count)"
      )
    }
    return try capture { () throws(TemplateError) in
      for parameter in missing {
        guard let value = parameter.value else { continue }
        scope.names[parameter.name] = try evaluate(value, scope)
      }
      _ = try execute(definition.body, scope)
    }
  }

  private func call(
    _ function: Function, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    switch function {
    case .raiseException:
      try check(arguments, Signature(["message"], required: 1), of: "raise_exception")
      throw .refused(try text(of: arguments.value(0, "message") ?? .undefined("message")).string)
    case .strftimeNow:
      guard case .text(let format) = try arguments.one("strftime_now", self) else {
        throw failure("'strftime_now' wants a format")
      }
      return .text(Text(try formatted(now, format.string)))
    case .namespace, .dict:
      let dictionary = Mapping()
      try fill(dictionary, from: arguments)
      return function == .namespace ? .namespace(dictionary) : .dictionary(dictionary)
    case .range:
      return try range(arguments)
    case .cycler:
      guard !arguments.positional.isEmpty, arguments.named.isEmpty else {
        throw failure("'cycler' wants values")
      }
      return .turns(
        Turns(arguments.positional, isJoiner: false, rank: try rank(above: arguments.positional)))
    case .joiner:
      try check(arguments, Signature(["sep"]), of: "joiner")
      let separator = arguments.value(0, "sep") ?? .text(Text(", "))
      return .turns(Turns([separator], isJoiner: true, rank: try rank(above: [separator])))
    }
  }

  /// The most elements of a range, as in Jinja's sandbox.
  private static let longestRange = 100_000

  private func range(_ arguments: Arguments) throws(TemplateError) -> Value {
    var numbers: [Int] = []
    for argument in arguments.positional {
      guard let number = wholeNumber(argument) else {
        throw failure("'range' wants whole numbers, found \(argument.kind)")
      }
      numbers.append(number)
    }
    guard (1...3).contains(numbers.count), arguments.named.isEmpty, numbers.count < 3 || numbers[2] != 0
    else {
      throw failure("'range' wants one to three whole numbers, the step not 0")
    }
    let start = numbers.count > 1 ? numbers[0] : 0
    let end = numbers.count > 1 ? numbers[1] : numbers[0]
    let by = numbers.count > 2 ? numbers[2] : 1
    var items: [Value] = []
    for number in stride(from: start, to: end, by: by) {
      guard items.count < Self.longestRange else {
        throw .tooLarge(line: line, "a range has more than \(Self.longestRange) elements")
      }
      try spend(8)
      items.append(.int(number))
    }
    return .list(List(items, .range(from: start, to: end, by: by)))
  }

  /// The time in a C format, in the machine's time zone. Bounded: formats of 256 bytes, results of
  /// 1024.
  private func formatted(_ date: Date, _ format: String) throws(TemplateError) -> String {
    guard format.utf8.count <= 256, !format.utf8.contains(0) else {
      throw failure("'strftime_now' wants a format of at most 256 bytes")
    }
    guard !format.isEmpty else { return "" }
    var seconds = time_t(date.timeIntervalSince1970.rounded(.down))
    var parts = tm()
    guard localtime_r(&seconds, &parts) != nil else { throw failure("the time cannot be told") }
    let bytes = [UInt8](unsafeUninitializedCapacity: 1024) { buffer, count in
      count = buffer.withMemoryRebound(to: CChar.self) { strftime($0.baseAddress, $0.count, format, &parts) }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The arguments of a call.
struct Arguments {
  var positional: [Value] = []
  var named: [(String, Value)] = []
  /// Names that a user wrote: the keys of a mapping expanded by `**`.
  var usersNames: Set<String> = []

  /// A name as a string, which keeps the mark of a user's text.
  func text(ofName name: String) -> Text {
    usersNames.contains(name) ? Text(user: name) : Text(name)
  }

  /// The argument at an index or of a name.
  func value(_ place: Int, _ name: String) -> Value? {
    place < positional.count ? positional[place] : named.last { $0.0 == name }?.1
  }

  /// The only argument.
  func one(_ function: String, _ interpreter: Interpreter) throws(TemplateError) -> Value {
    guard positional.count == 1, named.isEmpty else {
      throw interpreter.failure("'\(function)' wants one argument, found \(positional.count + named.count)")
    }
    return positional[0]
  }

  /// A string; nil if it is not given or none.
  func text(_ place: Int, _ name: String, _ interpreter: Interpreter) throws(TemplateError)
    -> Text?
  {
    switch value(place, name) {
    case nil, .some(.none): return nil
    case .text(let text): return text
    case let other?: throw interpreter.failure("'\(name)' wants a text, found \(other.kind)")
    }
  }

  /// A whole number; nil if it is not given or none.
  func int(_ place: Int, _ name: String, _ interpreter: Interpreter) throws(TemplateError) -> Int? {
    if value(place, name)?.isNone ?? true { return nil }
    return try whole(place, name, interpreter)
  }

  /// A whole number; nil if it is not given.
  func whole(_ place: Int, _ name: String, _ interpreter: Interpreter) throws(TemplateError) -> Int? {
    guard let value = value(place, name) else { return nil }
    guard let number = interpreter.wholeNumber(value) else {
      throw interpreter.failure("'\(name)' wants a whole number, found \(value.kind)")
    }
    return number
  }

  /// A bound of a range, as in a slice; nil if it is not given or none.
  func bound(_ place: Int, _ interpreter: Interpreter) throws(TemplateError) -> Int? {
    switch value(place, "/") {
    case nil, .some(.none): return nil
    case .big(let value)?: return value.isNegative ? -(1 << 40) : 1 << 40
    case let value?:
      guard let number = interpreter.wholeNumber(value) else {
        throw interpreter.failure("a bound is \(value.kind), wanted a whole number")
      }
      return max(min(number, 1 << 40), -(1 << 40))
    }
  }

  func isTrue(_ place: Int, _ name: String) -> Bool { value(place, name)?.isTrue ?? false }
}
