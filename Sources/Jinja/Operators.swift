// Operators.swift: the operators of a template, as in Python: strings and lists can be added and
// repeated, integers and floats can be mixed, indices may count from the end, and a missing member
// is undefined instead of an error. Formats (`%`) are in Format.swift.

import Foundation

extension Interpreter {
  // MARK: Texts of values

  /// The value as `{{ }}` prints it, Python's `str`.
  func text(of value: Value) throws(TemplateError) -> Text {
    switch value {
    case .text(let text): text
    case .undefined: Text()
    case .none: Text("None")
    case .bool(let value): Text(value ? "True" : "False")
    case .int(let value): Text(String(value))
    case .big(let value): try digits(of: value)
    case .double(let value): Text(PythonNumber.spelling(of: value))
    case .list, .dictionary, .namespace: try representation(of: value)
    case .loop(let loop): Text("<LoopContext \(loop.place + 1)/\(loop.items.count)>")
    case .macro(let macro):
      Text(macro.definition.name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>")
    // Python prints these with their memory address, which does not belong in a prompt.
    case .turns, .function, .method: throw failure("\(value.kind) cannot be printed")
    }
  }

  /// The value as a plain string: Markup loses its mark.
  func plainText(of value: Value) throws(TemplateError) -> Text {
    var text = try text(of: value)
    text.isMarkup = false
    return text
  }

  private func digits(of value: BigInteger) throws(TemplateError) -> Text {
    try spend(value.limbs.count * value.limbs.count + 1)
    return Text(value.text())
  }

  /// The value as Python's `repr` prints it, such as inside a printed list.
  func representation(of value: Value) throws(TemplateError) -> Text {
    try step()
    switch value {
    case .text(let text):
      try spend(text.count)
      let quoted = quoted(text)
      return text.isMarkup ? Text("Markup(") + quoted + Text(")") : quoted
    case .list(let list): return try representation(of: list)
    case .dictionary(let dictionary): return try representation(of: dictionary)
    case .namespace(let dictionary):
      return Text("<Namespace ") + (try representation(of: dictionary)) + Text(">")
    case .undefined: return Text("Undefined")
    default: return try text(of: value)
    }
  }

  private func representation(of list: List) throws(TemplateError) -> Text {
    let open: String
    let close: String
    switch list.kind {
    case .list: (open, close) = ("[", "]")
    case .tuple, .group: (open, close) = ("(", list.items.count == 1 ? ",)" : ")")
    case .range(let from, let to, let by):
      return Text("range(\(from), \(to)" + (by == 1 ? ")" : ", \(by))"))
    case .keys: (open, close) = ("dict_keys([", "])")
    case .values: (open, close) = ("dict_values([", "])")
    case .items: (open, close) = ("dict_items([", "])")
    case .iterator: throw failure("an iterator cannot be printed; '| list' makes a list of it")
    }
    return try deeper { () throws(TemplateError) in
      var units = Text(open).units
      for (place, item) in list.items.enumerated() {
        if place > 0 { units += Text(", ").units }
        units += try representation(of: item).units
      }
      try spend(units.count)
      return Text(units: units + Text(close).units)
    }
  }

  private func representation(of dictionary: Mapping) throws(TemplateError) -> Text {
    try deeper { () throws(TemplateError) in
      var units = Text("{").units
      for (place, (key, item)) in zip(dictionary.keys, dictionary.values).enumerated() {
        if place > 0 { units += Text(", ").units }
        units += try representation(of: key).units + Text(": ").units
        units += try representation(of: item).units
      }
      try spend(units.count)
      return Text(units: units + Text("}").units)
    }
  }

  private func quoted(_ text: Text) -> Text {
    let plain = text.plain
    let quote: UInt32 = plain.contains(0x27) && !plain.contains(0x22) ? 0x22 : 0x27
    var units: [UInt32] = [quote]
    for unit in text.units {
      let mark = unit & Text.userMark
      switch unit & ~Text.userMark {
      case 0x5C: units += [0x5C | mark, unit]
      case quote: units += [0x5C | mark, unit]
      case 0x0A: units += [0x5C | mark, 0x6E | mark]
      case 0x0D: units += [0x5C | mark, 0x72 | mark]
      case 0x09: units += [0x5C | mark, 0x74 | mark]
      case 0x20..<0x7F: units.append(unit)
      case let plain:
        if plain >= 0xA1, Unicode.Scalar(plain)?.properties.isPythonPrintable ?? false {
          units.append(unit)
        } else {
          units += Self.escape(plain).unicodeScalars.map { $0.value | mark }
        }
      }
    }
    return Text(units: units + [quote])
  }

  /// `\x85`, `\u200b`, `\U000e0001`.
  static func escape(_ unit: UInt32) -> String {
    let (letter, width) = unit <= 0xFF ? ("x", 2) : unit <= 0xFFFF ? ("u", 4) : ("U", 8)
    let digits = String(unit, radix: 16)
    return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
  }

  // MARK: Elements and members

  /// The elements that a loop over the value sees. This uses up an iterator.
  func elements(of value: Value, doing what: String) throws(TemplateError) -> [Value] {
    switch value {
    case .list(let list):
      guard list.kind == .iterator else { return list.items }
      defer { list.items = [] }
      return list.items
    case .dictionary(let dictionary): return dictionary.keys
    case .text(let text):
      try spend(text.count * 8)
      return text.units.map { .text(Text(units: [$0])) }
    case .undefined: return []
    default: throw failure("cannot \(what) \(value.kind)")
    }
  }

  /// `value.name`: methods win over keys, as in Python.
  func attribute(_ name: String, of value: Value) throws(TemplateError) -> Value {
    if let found = try ownAttribute(name, of: value) { return found }
    if case .dictionary(let dictionary) = value {
      return dictionary[.text(Text(name).units)] ?? .undefined(name)
    }
    return .undefined(name)
  }

  /// An attribute, ignoring the keys of a mapping; nil if there is none.
  func ownAttribute(_ name: String, of value: Value) throws(TemplateError) -> Value? {
    switch value {
    case .undefined(let missing):
      throw failure("'\(missing)' is undefined, so it has no '\(name)'")
    case .namespace(let dictionary): return dictionary[.text(Text(name).units)]
    case .loop(let loop): return try attribute(name, of: loop)
    case .macro(let macro): return attribute(name, of: macro)
    case .turns(let turns) where name == "current" && !turns.isJoiner: return turns.values[turns.place]
    case .list(let list) where list.kind == .group && (name == "grouper" || name == "list"):
      return list.items[name == "list" ? 1 : 0]
    case .list(let list) where ["start", "stop", "step"].contains(name):
      if case .range(let from, let to, let by) = list.kind {
        return .int(name == "start" ? from : name == "stop" ? to : by)
      }
    case .int, .big, .bool, .double:
      if let part = numberAttribute(name, of: value) { return part }
    default: break
    }
    return Methods.contain(name, of: value) ? .method(value, name) : nil
  }

  private func numberAttribute(_ name: String, of value: Value) -> Value? {
    let isDouble = if case .double = value { true } else { false }
    let whole: Value = if case .bool(let flag) = value { .int(flag ? 1 : 0) } else { value }
    switch name {
    case "real": return whole
    case "imag": return isDouble ? .double(0) : .int(0)
    case "numerator": return isDouble ? nil : whole
    case "denominator": return isDouble ? nil : .int(1)
    default: return nil
    }
  }

  private func attribute(_ name: String, of macro: BoundMacro) -> Value? {
    let definition = macro.definition
    switch name {
    case "name": return definition.name.map { .text(Text($0)) } ?? Value.none
    case "arguments":
      return .list(
        List(definition.parameters.map { .text(Text($0.name)) }, .tuple))
    case "catch_varargs": return .bool(definition.readsVarargs)
    case "catch_kwargs": return .bool(definition.readsKwargs)
    case "caller": return .bool(definition.readsCaller)
    default: return nil
    }
  }

  /// `value[key]`: keys win over methods.
  func item(_ key: Value, of value: Value) throws(TemplateError) -> Value {
    switch value {
    case .undefined(let missing):
      throw failure("'\(missing)' is undefined, so it has no members")
    case .dictionary(let dictionary):
      if let key = key.key, let found = dictionary[key] { return found }
    case .list(let list) where list.isIndexed:
      if let place = index(key, count: list.items.count) { return list.items[place] }
    case .text(let text):
      if let place = index(key, count: text.count) {
        var character = Text(units: [text.units[place]])
        character.isMarkup = text.isMarkup
        return .text(character)
      }
    default: break
    }
    guard case .text(let name) = key else {
      if case .text = value { return .undefined("an element of a text") }
      return .undefined("a member of \(value.kind)")
    }
    return try ownAttribute(name.string, of: value) ?? .undefined(name.string)
  }

  private func index(_ key: Value, count: Int) -> Int? {
    let place: Int
    switch key {
    case .int(let value): place = value
    case .bool(let value): place = value ? 1 : 0
    default: return nil
    }
    if place >= 0 { return place < count ? place : nil }
    return place >= -count ? place + count : nil
  }

  private func attribute(_ name: String, of loop: Loop) throws(TemplateError) -> Value? {
    let count = loop.items.count
    switch name {
    case "index": return .int(loop.place + 1)
    case "index0": return .int(loop.place)
    case "revindex": return .int(count - loop.place)
    case "revindex0": return .int(count - loop.place - 1)
    case "first": return .bool(loop.place == 0)
    case "last": return .bool(loop.place + 1 == count)
    case "length": return .int(count)
    case "depth": return .int(loop.depth)
    case "depth0": return .int(loop.depth - 1)
    case "previtem": return loop.place > 0 ? loop.items[loop.place - 1] : .undefined("loop.previtem")
    case "nextitem": return loop.place + 1 < count ? loop.items[loop.place + 1] : .undefined("loop.nextitem")
    case "cycle", "changed": return .method(.loop(loop), name)
    default: return nil
    }
  }

  /// `value[from:to:step]`.
  func slice(_ value: Value, from: Int?, to: Int?, step: Int) throws(TemplateError) -> Value {
    switch value {
    case .text(let text):
      guard step != 0 else { throw failure("the step of a slice is 0") }
      let places = Self.places(text.count, from: from, to: to, step: step)
      try spend(places.count)
      var part = Text(units: places.map { text.units[$0] })
      part.isMarkup = text.isMarkup
      return .text(part)
    case .list(let list) where list.isIndexed:
      guard step != 0 else { throw failure("the step of a slice is 0") }
      let places = Self.places(list.items.count, from: from, to: to, step: step)
      let kind = list.kind == .group ? List.Kind.tuple : list.kind
      return try makeList(places.map { list.items[$0] }, Self.sliced(kind, places, list, from, to, step))
    case .undefined(let name): throw failure("'\(name)' is undefined and cannot be sliced")
    default: throw failure("\(value.kind) cannot be sliced")
    }
  }

  /// A slice of a range is another range.
  private static func sliced(
    _ kind: List.Kind, _ places: [Int], _ list: List, _ from: Int?, _ to: Int?, _ step: Int
  ) -> List.Kind {
    guard case .range(let start, _, let by) = kind else { return kind }
    let bounds = Self.bounds(list.items.count, from: from, to: to, step: step)
    func value(_ place: Int) -> Int { start &+ place &* by }
    return .range(from: value(bounds.start), to: value(bounds.end), by: by &* step)
  }

  /// Python's slice indices, all within 0..<count.
  static func places(_ count: Int, from: Int?, to: Int?, step: Int) -> [Int] {
    let (start, end) = bounds(count, from: from, to: to, step: step)
    return Array(stride(from: start, to: end, by: step))
  }

  private static func bounds(_ count: Int, from: Int?, to: Int?, step: Int) -> (start: Int, end: Int) {
    func clamped(_ bound: Int, low: Int, high: Int) -> Int {
      let place = bound < 0 ? max(bound, -count - 1) + count : bound
      return min(max(place, low), high)
    }
    if step > 0 {
      return (clamped(from ?? 0, low: 0, high: count), clamped(to ?? count, low: 0, high: count))
    }
    return (
      from.map { clamped($0, low: -1, high: count - 1) } ?? count - 1,
      to.map { clamped($0, low: -1, high: count - 1) } ?? -1
    )
  }

  // MARK: Arithmetic

  func negated(_ value: Value) throws(TemplateError) -> Value {
    if case .double(let value) = value { return .double(-value) }
    guard let whole = integer(value) else { throw failure("'-' wants a number, found \(value.kind)") }
    return .whole(-whole)
  }

  func positive(_ value: Value) throws(TemplateError) -> Value {
    switch value {
    case .int, .big, .double: return value
    case .bool(let value): return .int(value ? 1 : 0)
    default: throw failure("'+' wants a number, found \(value.kind)")
    }
  }

  /// As a double; nil for anything that is not a number or is too large.
  func number(_ value: Value) -> Double? {
    switch value {
    case .int(let value): Double(value)
    case .big(let value): value.double
    case .double(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  /// As a small whole number.
  func wholeNumber(_ value: Value) -> Int? {
    switch value {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  /// As a whole number of any size.
  func integer(_ value: Value) -> BigInteger? {
    switch value {
    case .int(let value): BigInteger(value)
    case .big(let value): value
    case .bool(let value): BigInteger(value ? 1 : 0)
    default: nil
    }
  }

  func apply(
    _ operation: Syntax.Operator, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Value {
    if let a = wholeNumber(left), let b = wholeNumber(right), let value = small(operation, a, b) {
      return value
    }
    if let a = integer(left), let b = integer(right) { return try apply(operation, a, b) }
    if let a = number(left), let b = number(right) { return .double(try apply(operation, a, b)) }
    switch (operation, left, right) {
    case (.add, .text(let a), .text(let b)):
      try spend(a.count + b.count)
      guard a.isMarkup || b.isMarkup else { return .text(a + b) }
      var sum = try escaped(a) + escaped(b)
      sum.isMarkup = true
      return .text(sum)
    case (.add, .list(let a), .list(let b))
    where a.kind == b.kind && a.kind == .list || a.isTuple && b.isTuple:
      return try makeList(a.items + b.items, a.isTuple ? .tuple : .list)
    case (.multiply, .text(var text), let times), (.multiply, let times, .text(var text)):
      guard let times = wholeNumber(times) else { break }
      let (total, overflow) = text.count.multipliedReportingOverflow(by: max(times, 0))
      try spend(overflow ? .max : total)
      // Repeating an empty value is charged nothing, so it must not iterate `times` times either.
      if !text.isEmpty { text.units = Array(repeatElement(text.units, count: max(times, 0)).joined()) }
      return .text(text)
    case (.multiply, .list(let list), let times), (.multiply, let times, .list(let list)):
      guard list.kind == .list || list.isTuple, let times = wholeNumber(times) else { break }
      let (total, overflow) = list.items.count.multipliedReportingOverflow(by: max(times, 0))
      try spend(overflow ? .max : total.multipliedReportingOverflow(by: 8).overflow ? .max : total * 8)
      let items =
        list.items.isEmpty ? [] : Array(repeatElement(list.items, count: max(times, 0)).joined())
      return .list(List(items, list.isTuple ? .tuple : .list, rank: list.rank))
    case (.remainder, .text(let format), _):
      return .text(try printf(format, right))
    default: break
    }
    for side in [left, right] {
      if case .undefined(let name) = side {
        throw failure("'\(name)' is undefined and cannot be used with '\(operation.rawValue)'")
      }
    }
    if integer(left) != nil || integer(right) != nil, number(left) == nil || number(right) == nil {
      if case .big = left { throw failure("a number is too large for '\(operation.rawValue)'") }
      if case .big = right { throw failure("a number is too large for '\(operation.rawValue)'") }
    }
    throw failure("'\(operation.rawValue)' cannot join \(left.kind) and \(right.kind)")
  }

  /// The result if it needs no more than 64 bits, otherwise nil.
  private func small(_ operation: Syntax.Operator, _ a: Int, _ b: Int) -> Value? {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case .add: result = a.addingReportingOverflow(b)
    case .subtract: result = a.subtractingReportingOverflow(b)
    case .multiply: result = a.multipliedReportingOverflow(by: b)
    case .divide:
      // Exact as doubles, so that the quotient is rounded once.
      guard b != 0, a.magnitude <= 1 << 53, b.magnitude <= 1 << 53 else { return nil }
      return .double(Double(a) / Double(b))
    case .floorDivide, .remainder:
      guard b > 0 else { return nil }
      let rest = a % b
      let isBelow = rest < 0
      if operation == .remainder { return .int(isBelow ? rest + b : rest) }
      return .int(isBelow ? a / b - 1 : a / b)
    case .power: return nil
    }
    return result.overflow ? nil : .int(result.partialValue)
  }

  private func apply(
    _ operation: Syntax.Operator, _ a: BigInteger, _ b: BigInteger
  ) throws(TemplateError) -> Value {
    try step((a.limbs.count + 1) * (b.limbs.count + 1))
    let result: BigInteger
    switch operation {
    case .add: result = a + b
    case .subtract: result = a - b
    case .multiply: result = a * b
    case .divide, .floorDivide, .remainder:
      guard !b.isZero else { throw failure("division by zero") }
      if operation == .divide {
        guard let ratio = a.ratio(by: b) else { throw failure("a quotient is too large for a float") }
        return .double(ratio)
      }
      try step(a.bitCount * b.limbs.count >> 5)
      let (quotient, rest) = a.divided(by: b)
      result = operation == .remainder ? rest : quotient
    case .power:
      guard !b.isNegative else {
        guard !a.isZero else { throw failure("0 cannot be raised to a negative power") }
        guard let base = a.double, let exponent = b.double else { throw failure("a power is too large") }
        return .double(pow(base, exponent))
      }
      result = try power(a, b)
    }
    return .whole(try bounded(result))
  }

  private func bounded(_ value: BigInteger) throws(TemplateError) -> BigInteger {
    guard value.bitCount <= BigInteger.mostBits else {
      throw failure("a number has more than 4300 digits")
    }
    return value
  }

  private func power(_ base: BigInteger, _ exponent: BigInteger) throws(TemplateError)
    -> BigInteger
  {
    if base.bitCount <= 1 {
      return base.isNegative && exponent.isEven || exponent.isZero ? BigInteger(1) : base
    }
    guard var rest = exponent.int, rest <= BigInteger.mostBits else {
      throw failure("a number has more than 4300 digits")
    }
    var result = BigInteger(1)
    var square = base
    while rest > 0 {
      try step(square.limbs.count * square.limbs.count + 1)
      if rest & 1 == 1 { result = try bounded(result * square) }
      rest >>= 1
      if rest > 0 { square = try bounded(square * square) }
    }
    return result
  }

  private func apply(_ operation: Syntax.Operator, _ a: Double, _ b: Double) throws(TemplateError)
    -> Double
  {
    switch operation {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .power:
      if a == 0, b < 0 { throw failure("0 cannot be raised to a negative power") }
      if a < 0, a.isFinite, b.isFinite, b != b.rounded() {
        throw TemplateError.unsupported(line: line, "a power that is a complex number")
      }
      let power = pow(a, b)
      guard power.isFinite || !a.isFinite || !b.isFinite else {
        throw failure("a power is too large for a float")
      }
      return power
    case .divide, .floorDivide, .remainder:
      guard b != 0 else { throw failure("division by zero") }
      if operation == .divide { return a / b }
      // As CPython's float_divmod: the remainder has the divisor's sign, the quotient is rounded
      // down once.
      var rest = fmod(a, b)
      var quotient = (a - rest) / b
      if rest != 0 {
        if (b < 0) != (rest < 0) {
          rest += b
          quotient -= 1
        }
      } else {
        rest = copysign(0, b)
      }
      if operation == .remainder { return rest }
      guard quotient != 0 else { return copysign(0, a / b) }
      let floor = quotient.rounded(.down)
      return quotient - floor > 0.5 ? floor + 1 : floor
    }
  }

  // MARK: Comparison

  func compare(
    _ operation: Syntax.Comparison, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Bool {
    switch operation {
    case .equal: try isEqual(left, right)
    case .notEqual: !(try isEqual(left, right))
    case .less: try isLess(left, right)
    case .greater: try isLess(right, left)
    case .lessOrEqual: try isLess(left, right) ? true : try isEqual(left, right)
    case .greaterOrEqual: try isLess(right, left) ? true : try isEqual(right, left)
    case .contained: try contains(right, left)
    case .notContained: !(try contains(right, left))
    }
  }

  func isEqual(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
    try step()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let a), .text(let b)):
      try step(min(a.count, b.count) >> 4)
      return a == b
    case (.int(let a), .int(let b)): return a == b
    case (.list(let a), .list(let b)):
      if a === b { return true }
      switch (a.kind, b.kind) {
      case (.list, .list), (.range, .range): break
      case (.tuple, .tuple), (.group, .group), (.tuple, .group), (.group, .tuple): break
      case (.keys, .keys), (.items, .items): return try sameElements(a.items, b.items)
      default: return false
      }
      guard a.items.count == b.items.count else { return false }
      return try deeper { () throws(TemplateError) in
        for (x, y) in zip(a.items, b.items) where !(try isEqual(x, y)) { return false }
        return true
      }
    case (.dictionary(let a), .dictionary(let b)):
      guard a.count == b.count else { return false }
      return try deeper { () throws(TemplateError) in
        for (key, x) in zip(a.keys, a.values) {
          guard let key = key.key, let y = b[key], try isEqual(x, y) else { return false }
        }
        return true
      }
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.turns(let a), .turns(let b)): return a === b
    case (.function(let a), .function(let b)): return a == b
    default: return order(left, right) == .same
    }
  }

  /// Views of mappings compare as sets.
  private func sameElements(_ a: [Value], _ b: [Value]) throws(TemplateError) -> Bool {
    guard a.count == b.count else { return false }
    for item in a {
      var isThere = false
      for other in b where !isThere { isThere = try isEqual(item, other) }
      guard isThere else { return false }
    }
    return true
  }

  private enum Order { case less, same, greater, none }

  /// Compares two numbers exactly: neither is rounded to the other's type.
  private func order(_ left: Value, _ right: Value) -> Order {
    if let a = integer(left), let b = integer(right) { return a == b ? .same : a < b ? .less : .greater }
    switch (left, right) {
    case (.double(let a), .double(let b)): return a == b ? .same : a < b ? .less : a > b ? .greater : .none
    case (.double(let a), _):
      guard let b = integer(right) else { return .none }
      switch order(b, a) {
      case .less: return .greater
      case .greater: return .less
      case let order: return order
      }
    case (_, .double(let b)): return integer(left).map { order($0, b) } ?? .none
    default: return .none
    }
  }

  private func order(_ a: BigInteger, _ b: Double) -> Order {
    guard !b.isNaN else { return .none }
    guard let whole = BigInteger(b) else { return b < 0 ? .greater : .less }
    if whole != a { return a < whole ? .less : .greater }
    let fraction = b - b.rounded(.towardZero)
    return fraction == 0 ? .same : fraction > 0 ? .less : .greater
  }

  private func isNumber(_ value: Value) -> Bool {
    if case .double = value { return true }
    return integer(value) != nil
  }

  func isLess(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
    try step()
    switch (left, right) {
    case (.text(let a), .text(let b)):
      try step(min(a.count, b.count) >> 4)
      return a < b
    case (.int(let a), .int(let b)): return a < b
    case (.list(let a), .list(let b)) where a.kind == .list && b.kind == .list || a.isTuple && b.isTuple:
      return try deeper { () throws(TemplateError) in
        for (x, y) in zip(a.items, b.items) where !(try isEqual(x, y)) { return try isLess(x, y) }
        return a.items.count < b.items.count
      }
    default:
      guard isNumber(left), isNumber(right) else {
        throw failure("\(left.kind) and \(right.kind) have no order")
      }
      return order(left, right) == .less
    }
  }

  func contains(_ whole: Value, _ part: Value) throws(TemplateError) -> Bool {
    switch whole {
    case .text(let text):
      guard case .text(let needle) = part else {
        throw failure("'in' a text wants a text, found \(part.kind)")
      }
      try payForSearch(of: needle, in: text)
      return text.firstIndex(of: needle) != nil
    case .list(let list):
      for item in try elements(of: .list(list), doing: "search") where try isEqual(item, part) { return true }
      return false
    case .dictionary(let dictionary):
      guard let key = part.key else { throw failure("\(part.kind) cannot be a key of a mapping") }
      return dictionary[key] != nil
    case .undefined: return false
    default: throw failure("'in' wants a text, list or mapping, found \(whole.kind)")
    }
  }

  /// A search is charged by the lengths of both strings: its worst case is their product.
  func payForSearch(of needle: Text, in text: Text) throws(TemplateError) {
    let (product, overflow) = text.count.multipliedReportingOverflow(by: max(needle.count >> 4, 1))
    try step(overflow ? limits.steps + 1 : product >> 4)
  }
}

/// Numbers as Python prints them.
enum PythonNumber {
  /// Python's `repr` of a float: the shortest digits that read back, an exponent below 1e-4 and
  /// from 1e16.
  static func spelling(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    var text = value.description
    let isNegative = text.hasPrefix("-")
    if isNegative { text.removeFirst() }
    var exponent = 0
    if let mark = text.firstIndex(of: "e") {
      exponent = Int(text[text.index(after: mark)...]) ?? 0
      text = String(text[..<mark])
    }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    var digits = Array(parts[0]) + (parts.count > 1 && parts[1] != "0" ? Array(parts[1]) : [])
    var point = parts[0].count + exponent
    while digits.count > 1, digits[0] == "0" {
      digits.removeFirst()
      point -= 1
    }
    while digits.count > 1, digits.last == "0" { digits.removeLast() }
    let sign = isNegative ? "-" : ""
    if digits == ["0"] { return sign + "0.0" }
    if point > 16 || point < -3 {
      let fraction = digits.count > 1 ? "." + String(digits[1...]) : ""
      let power = abs(point - 1)
      return sign + "\(digits[0])\(fraction)e\(point - 1 < 0 ? "-" : "+")\(power < 10 ? "0" : "")\(power)"
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + String(digits) }
    if point >= digits.count {
      return sign + String(digits) + String(repeating: "0", count: point - digits.count) + ".0"
    }
    return sign + String(digits[..<point]) + "." + String(digits[point...])
  }
}
