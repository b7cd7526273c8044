// Filters+Tests.swift: the tests of a template, `value is name(arguments)`: all of Jinja
// 3.1's and no other.

enum TestNames {
  static let withoutArgument: Set<String> = [
    "boolean", "callable", "defined", "escaped", "even", "false", "filter", "float", "integer", "iterable",
    "lower",
    "mapping", "none", "number", "odd", "sequence", "string", "test", "true", "undefined", "upper",
  ]
  static let withArgument: Set<String> = [
    "!=", "<", "<=", "==", ">", ">=", "divisibleby", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le",
    "lessthan", "lt", "ne", "sameas",
  ]
}

extension Interpreter {
  func test(_ name: String, _ value: Value, _ arguments: Arguments) throws(TemplateError) -> Bool {
    let takesOne = TestNames.withArgument.contains(name)
    guard takesOne || TestNames.withoutArgument.contains(name) else {
      throw .syntax(line: line, "the test '\(name)' is not known here")
    }
    let parameter =
      name == "divisibleby" ? "num" : name == "in" ? "seq" : name == "sameas" ? "other" : "/other"
    try check(arguments, takesOne ? Signature([parameter], required: 1) : .none, of: name)
    guard takesOne else { return try test(name, value) }
    let other = arguments.value(0, parameter) ?? .none
    switch name {
    case "divisibleby": return try isEqual(try apply(.remainder, value, other), .int(0))
    case "in": return try contains(other, value)
    case "sameas": return isSame(value, other)
    case "ne", "!=": return try compare(.notEqual, value, other)
    case "lt", "lessthan", "<": return try compare(.less, value, other)
    case "le", "<=": return try compare(.lessOrEqual, value, other)
    case "gt", "greaterthan", ">": return try compare(.greater, value, other)
    case "ge", ">=": return try compare(.greaterOrEqual, value, other)
    default: return try compare(.equal, value, other)
    }
  }

  private func test(_ name: String, _ value: Value) throws(TemplateError) -> Bool {
    switch (name, value) {
    case ("defined", _): if case .undefined = value { false } else { true }
    case ("undefined", .undefined), ("none", .none), ("string", .text), ("mapping", .dictionary): true
    case ("boolean", .bool): true
    case ("true", .bool(let flag)): flag
    case ("false", .bool(let flag)): !flag
    case ("integer", .int), ("integer", .big), ("float", .double): true
    case ("number", .int), ("number", .big), ("number", .double), ("number", .bool): true
    case ("iterable", .text), ("iterable", .list), ("iterable", .dictionary), ("iterable", .undefined): true
    case ("iterable", .loop): true
    case ("sequence", .text), ("sequence", .dictionary), ("sequence", .undefined): true
    case ("sequence", .list(let list)): list.isIndexed
    case ("callable", .macro), ("callable", .function), ("callable", .method), ("callable", .loop): true
    // Python asks the object, and an undefined one has a way to be called: one that fails.
    case ("callable", .undefined): true
    case ("callable", .turns(let turns)): turns.isJoiner
    case ("escaped", .text(let text)): text.isMarkup
    case ("odd", _): try isEqual(try apply(.remainder, value, .int(2)), .int(1))
    case ("even", _): try isEqual(try apply(.remainder, value, .int(2)), .int(0))
    case ("lower", _): try text(of: value).isLowercase
    case ("upper", _): try text(of: value).isUppercase
    case ("filter", .dictionary), ("test", .dictionary), ("filter", .list), ("test", .list):
      if value.key == nil { throw failure("\(value.kind) cannot name a \(name)") } else { false }
    case ("filter", .text(let text)):
      Filters.signatures[text.string] != nil || Filters.free.contains(text.string)
    case ("test", .text(let text)):
      TestNames.withArgument.contains(text.string)
        || TestNames.withoutArgument.contains(text.string)
    default: false
    }
  }

  /// Python's `is`, as far as values show it: one list is not another one with equal elements.
  private func isSame(_ left: Value, _ right: Value) -> Bool {
    switch (left, right) {
    case (.none, .none): true
    case (.bool(let a), .bool(let b)): a == b
    case (.int(let a), .int(let b)): a == b
    case (.big(let a), .big(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.text(let a), .text(let b)): a == b && a.isMarkup == b.isMarkup
    case (.list(let a), .list(let b)):
      a === b || a.kind == .tuple && b.kind == .tuple && a.items.isEmpty && b.items.isEmpty
    case (.dictionary(let a), .dictionary(let b)), (.namespace(let a), .namespace(let b)): a === b
    case (.loop(let a), .loop(let b)): a === b
    case (.macro(let a), .macro(let b)): a === b
    case (.turns(let a), .turns(let b)): a === b
    case (.function(let a), .function(let b)): a == b
    default: false
    }
  }
}

extension Text {
  /// Python's `islower`: a cased character, and none of them a capital.
  var isLowercase: Bool { isCase { $0.isLowercase } }
  /// Python's `isupper`.
  var isUppercase: Bool { isCase { $0.isUppercase } }

  private func isCase(_ wanted: (Unicode.Scalar.Properties) -> Bool) -> Bool {
    var found = false
    for unit in units {
      guard let properties = Unicode.Scalar(unit & ~Self.userMark)?.properties else { continue }
      if wanted(properties) {
        found = true
      } else if properties.isLowercase || properties.isUppercase
        || properties.generalCategory == .titlecaseLetter
      {
        return false
      }
    }
    return found
  }
}
