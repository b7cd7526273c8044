// Syntax.swift: the syntax tree of a template. Every expression stores its height, so that neither
// evaluating nor freeing the tree recurses deeper than the parser allowed.

enum Syntax {
  final class Expression: Sendable {
    let kind: Kind
    let line: Int
    let height: Int
    init(_ kind: Kind, line: Int, height: Int) {
      self.kind = kind
      self.line = line
      self.height = height
    }
  }

  enum Constant: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case big(BigInteger)
    case double(Double)
    case text(String)
  }

  enum Kind: Sendable {
    case constant(Constant)
    case name(String)
    case list([Expression])
    case tuple([Expression])
    case dictionary([(Expression, Expression)])
    case attribute(Expression, String)
    case item(Expression, Expression)
    case slice(Expression, from: Expression?, to: Expression?, step: Expression?)
    case call(Expression, Arguments)
    case filter(Expression?, String, Arguments)
    case test(Expression, String, Arguments, negated: Bool)
    case not(Expression)
    case negative(Expression)
    case positive(Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case binary(Operator, Expression, Expression)
    case concatenation([Expression])
    case comparison(Expression, [(Comparison, Expression)])
    case conditional(Expression, if: Expression, otherwise: Expression?)
  }

  enum Operator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
  }

  enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case contained = "in"
    case notContained = "not in"
  }

  struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(String, Expression)] = []
    var spread: Expression?
    var spreadNamed: Expression?
  }

  struct Parameter: Sendable {
    let name: String
    let value: Expression?
  }

  /// A macro, or the body of a call block, which has no name.
  final class Macro: Sendable {
    let name: String?
    let parameters: [Parameter]
    let body: [Statement]
    /// Whether the body reads `varargs`, `kwargs`, `caller`: a macro that does not gets no such
    /// values.
    let readsVarargs: Bool
    let readsKwargs: Bool
    let readsCaller: Bool
    init(
      name: String?, parameters: [Parameter], body: [Statement], reads names: Set<String>
    ) {
      self.name = name
      self.parameters = parameters
      self.body = body
      readsVarargs = names.contains("varargs")
      readsKwargs = names.contains("kwargs")
      readsCaller = names.contains("caller") && !parameters.contains { $0.name == "caller" }
    }
  }

  indirect enum Target: Sendable {
    case name(String)
    case attribute(String, String)
    case tuple([Target])
  }

  final class For: Sendable {
    let target: Target
    let over: Expression
    let condition: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]
    let line: Int
    init(
      target: Target, over: Expression, condition: Expression?, isRecursive: Bool, body: [Statement],
      otherwise: [Statement], line: Int
    ) {
      self.target = target
      self.over = over
      self.condition = condition
      self.isRecursive = isRecursive
      self.body = body
      self.otherwise = otherwise
      self.line = line
    }
  }

  indirect enum Statement: Sendable {
    case text(String)
    case output(Expression)
    case conditional([(Expression, [Statement])], otherwise: [Statement])
    case loop(For)
    case assign(Target, Expression, line: Int)
    /// `{% set x %}...{% endset %}`, the text through the filters.
    case capture(Target, filter: Expression?, [Statement], line: Int)
    case macro(Macro)
    /// `{% call(parameters) macro(...) %}...{% endcall %}`
    case callBlock(Expression, Macro)
    case filterBlock(Expression, [Statement])
    case with([(Target, Expression)], [Statement], line: Int)
    case evaluate(Expression)
    case breakLoop
    case continueLoop
  }
}
