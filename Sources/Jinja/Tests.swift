// Tests.swift: the tests of a template, `value is name(argument)`: the rows of this table, which
// are all of Jinja 3.1's, and no others. A new test is one row. Start at Test.table.

/// One test.
struct Test: Sendable {
  typealias Question = @Sendable (Interpreter) -> (Value) throws(TemplateError) -> Bool
  typealias Relation = @Sendable (Interpreter) -> (Value, Value) throws(TemplateError) -> Bool

  enum Work {
    /// Tests the type of a value: takes no argument and cannot fail.
    case kind(@Sendable (Value) -> Bool)
    case asks(Question)
    case relates(parameter: String, Relation)
  }

  let work: Work

  private static func kind(_ holds: @escaping @Sendable (Value) -> Bool) -> Test { Test(work: .kind(holds)) }

  private static func asks(_ question: @escaping Question) -> Test { Test(work: .asks(question)) }

  private static func relates(_ parameter: String, _ relation: @escaping Relation) -> Test {
    Test(work: .relates(parameter: parameter, relation))
  }

  private static func compares(_ operation: Syntax.Comparison) -> Test {
    relates("/other") { run in
      { (value, other) throws(TemplateError) in try run.compare(operation, value, other) }
    }
  }

  /// Whether the remainder of a division by two is this.
  private static func leaves(_ rest: Int) -> Test {
    asks { run in
      { (value) throws(TemplateError) in
        try run.isEqual(try run.apply(.remainder, value, .int(2)), .int(rest))
      }
    }
  }

  static let table: [String: Test] = [
    // Kinds.
    "boolean": kind { if case .bool = $0 { true } else { false } },
    "callable": kind(isCallable),
    "defined": kind { if case .undefined = $0 { false } else { true } },
    "escaped": kind { if case .text(let text) = $0 { text.isMarkup } else { false } },
    "false": kind { if case .bool(let flag) = $0 { !flag } else { false } },
    "float": kind { if case .double = $0 { true } else { false } },
    "integer": kind {
      switch $0 {
      case .int, .big: true
      default: false
      }
    },
    "iterable": kind {
      switch $0 {
      case .text, .list, .dictionary, .undefined, .loop: true
      default: false
      }
    },
    "mapping": kind { if case .dictionary = $0 { true } else { false } },
    "none": kind(\.isNone),
    "number": kind {
      switch $0 {
      case .int, .big, .double, .bool: true
      default: false
      }
    },
    "sequence": kind {
      switch $0 {
      case .text, .dictionary, .undefined: true
      case .list(let list): list.isIndexed
      default: false
      }
    },
    "string": kind { if case .text = $0 { true } else { false } },
    "true": kind { if case .bool(let flag) = $0 { flag } else { false } },
    "undefined": kind { if case .undefined = $0 { true } else { false } },
    // Questions.
    "even": leaves(0),
    "filter": asks(Interpreter.namesFilter),
    "lower": asks(Interpreter.isLower),
    "odd": leaves(1),
    "test": asks(Interpreter.namesTest),
    "upper": asks(Interpreter.isUpper),
    // Relations.
    "!=": compares(.notEqual), "ne": compares(.notEqual),
    "<": compares(.less), "lt": compares(.less), "lessthan": compares(.less),
    "<=": compares(.lessOrEqual), "le": compares(.lessOrEqual),
    "==": compares(.equal), "eq": compares(.equal), "equalto": compares(.equal),
    ">": compares(.greater), "gt": compares(.greater), "greaterthan": compares(.greater),
    ">=": compares(.greaterOrEqual), "ge": compares(.greaterOrEqual),
    "divisibleby": relates("num", Interpreter.isDivisible),
    "in": relates("seq", Interpreter.isIn),
    "sameas": relates("other", Interpreter.isSame),
  ]

  private static func isCallable(_ value: Value) -> Bool {
    switch value {
    case .macro, .function, .method, .loop: true
    // As in Python, where an undefined object counts as callable because it defines a call, one
    // that fails.
    case .undefined: true
    case .turns(let turns): turns.isJoiner
    default: false
    }
  }
}

extension Interpreter {
  func test(_ name: String, _ value: Value, _ arguments: Arguments) throws(TemplateError) -> Bool {
    guard let test = Test.table[name] else {
      throw .syntax(line: line, "the test '\(name)' is not known here")
    }
    switch test.work {
    case .kind(let holds):
      try check(arguments, .none, of: name)
      return holds(value)
    case .asks(let question):
      try check(arguments, .none, of: name)
      return try question(self)(value)
    case .relates(let parameter, let relation):
      try check(arguments, Signature([parameter], required: 1), of: name)
      return try relation(self)(value, arguments.value(0, parameter) ?? .none)
    }
  }

  fileprivate func isLower(_ value: Value) throws(TemplateError) -> Bool { try text(of: value).isLowercase }

  fileprivate func isUpper(_ value: Value) throws(TemplateError) -> Bool { try text(of: value).isUppercase }

  fileprivate func namesFilter(_ value: Value) throws(TemplateError) -> Bool {
    try name(value, of: "filter").map { Filter.table[$0] != nil } ?? false
  }

  fileprivate func namesTest(_ value: Value) throws(TemplateError) -> Bool {
    try name(value, of: "test").map { Test.table[$0] != nil } ?? false
  }

  /// The value as a name to look up; nil if it is not a string. A value that cannot be a key cannot
  /// be looked up either.
  fileprivate func name(_ value: Value, of kind: String) throws(TemplateError) -> String? {
    switch value {
    case .text(let text): return text.string
    case .dictionary, .list:
      if value.key == nil { throw failure("\(value.kind) cannot name a \(kind)") }
      return nil
    default: return nil
    }
  }

  fileprivate func isDivisible(_ value: Value, _ other: Value) throws(TemplateError) -> Bool {
    try isEqual(try apply(.remainder, value, other), .int(0))
  }

  fileprivate func isIn(_ value: Value, _ other: Value) throws(TemplateError) -> Bool {
    try contains(other, value)
  }

  /// Python's `is`, as far as it can be told from values: a list is not another list with equal
  /// elements.
  fileprivate func isSame(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
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

  fileprivate func isCase(_ wanted: (Unicode.Scalar.Properties) -> Bool) -> Bool {
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
