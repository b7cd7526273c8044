// TemplateOperators.swift: what the operators of a template do, as in Python: texts and lists add and repeat, numbers
// of both kinds mix, indices may count from the end, a missing member is undefined and not an error.

import Foundation

extension TemplateInterpreter {
  // MARK: Texts of values

  /// The value as `{{ }}` prints it.
  func text(of value: Inner) throws(TemplateError) -> TemplateText {
    switch value {
    case .text(let text): text
    case .undefined: TemplateText()
    case .none: TemplateText("None")
    case .bool(let value): TemplateText(value ? "True" : "False")
    case .int(let value): TemplateText(String(value))
    case .double(let value): TemplateText(TemplateNumber.spelling(of: value))
    case .list, .dictionary, .namespace: try representation(of: value)
    case .loop, .macro, .function, .method: throw failure("\(value.kind) cannot be printed")
    }
  }

  /// The value as Python's `repr` spells it, as inside a printed list.
  func representation(of value: Inner) throws(TemplateError) -> TemplateText {
    try step()
    switch value {
    case .text(let text):
      try spend(text.count)
      return quoted(text)
    case .list(let list):
      return try deeper { () throws(TemplateError) in
        var units = TemplateText(list.isTuple ? "(" : "[").units
        for (place, item) in list.items.enumerated() {
          if place > 0 { units += TemplateText(", ").units }
          units += try representation(of: item).units
        }
        if list.isTuple, list.items.count == 1 { units += TemplateText(",").units }
        try spend(units.count)
        return TemplateText(units: units + TemplateText(list.isTuple ? ")" : "]").units)
      }
    case .dictionary(let dictionary), .namespace(let dictionary):
      return try deeper { () throws(TemplateError) in
        var units = TemplateText("{").units
        for (place, (key, item)) in zip(dictionary.keys, dictionary.values).enumerated() {
          if place > 0 { units += TemplateText(", ").units }
          units += try representation(of: key).units + TemplateText(": ").units
          units += try representation(of: item).units
        }
        try spend(units.count)
        return TemplateText(units: units + TemplateText("}").units)
      }
    case .undefined: return TemplateText("Undefined")
    default: return try text(of: value)
    }
  }

  private func quoted(_ text: TemplateText) -> TemplateText {
    let plain = text.plain
    let quote: UInt32 = plain.contains(0x27) && !plain.contains(0x22) ? 0x22 : 0x27
    var units: [UInt32] = [quote]
    for unit in text.units {
      let mark = unit & TemplateText.userMark
      switch unit & ~TemplateText.userMark {
      case 0x5C: units += [0x5C | mark, unit]
      case quote: units += [0x5C | mark, unit]
      case 0x0A: units += [0x5C | mark, 0x6E | mark]
      case 0x0D: units += [0x5C | mark, 0x72 | mark]
      case 0x09: units += [0x5C | mark, 0x74 | mark]
      case let plain where plain < 0x20 || plain == 0x7F:
        let digits = String(plain, radix: 16)
        let spelled = "\\x" + (digits.count < 2 ? "0" : "") + digits
        units += spelled.unicodeScalars.map { $0.value | mark }
      default: units.append(unit)
      }
    }
    return TemplateText(units: units + [quote])
  }

  // MARK: Elements and members

  /// What a loop over the value would see.
  func elements(of value: Inner, doing what: String) throws(TemplateError) -> [Inner] {
    switch value {
    case .list(let list): return list.items
    case .dictionary(let dictionary): return dictionary.keys
    case .text(let text):
      try spend(text.count * 8)
      return text.units.map { .text(TemplateText(units: [$0])) }
    case .undefined: return []
    default: throw failure("cannot \(what) \(value.kind)")
    }
  }

  /// `value.name`: methods win over keys, as in Python.
  func attribute(_ name: String, of value: Inner) throws(TemplateError) -> Inner {
    switch value {
    case .undefined(let missing):
      throw failure("'\(missing)' is undefined, so it has no '\(name)'")
    case .dictionary(let dictionary):
      if TemplateMethods.ofMappings.contains(name) { return .method(value, name) }
      return dictionary[.text(TemplateText(name).units)] ?? .undefined(name)
    case .namespace(let dictionary):
      return dictionary[.text(TemplateText(name).units)] ?? .undefined(name)
    case .loop(let loop):
      return try attribute(name, of: loop)
    default:
      return TemplateMethods.names(of: value).contains(name) ? .method(value, name) : .undefined(name)
    }
  }

  /// `value[key]`: keys win over methods.
  func item(_ key: Inner, of value: Inner) throws(TemplateError) -> Inner {
    switch value {
    case .undefined(let missing):
      throw failure("'\(missing)' is undefined, so it has no members")
    case .dictionary(let dictionary):
      if let key = key.key, let found = dictionary[key] { return found }
    case .list(let list):
      if let place = index(key, count: list.items.count) { return list.items[place] }
    case .text(let text):
      if let place = index(key, count: text.count) { return .text(TemplateText(units: [text.units[place]])) }
    default: break
    }
    guard case .text(let name) = key else { return .undefined(try text(of: key).string) }
    return try attribute(name.string, of: value)
  }

  private func index(_ key: Inner, count: Int) -> Int? {
    let place: Int
    switch key {
    case .int(let value): place = value
    case .bool(let value): place = value ? 1 : 0
    default: return nil
    }
    if place >= 0 { return place < count ? place : nil }
    return place >= -count ? place + count : nil
  }

  private func attribute(_ name: String, of loop: TemplateLoop) throws(TemplateError) -> Inner {
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
    default: return .undefined("loop.\(name)")
    }
  }

  func slice(_ value: Inner, from: Int?, to: Int?, step: Int) throws(TemplateError) -> Inner {
    guard step != 0 else { throw failure("the step of a slice is 0") }
    switch value {
    case .text(let text):
      let places = Self.places(text.count, from: from, to: to, step: step)
      try spend(places.count)
      return .text(TemplateText(units: places.map { text.units[$0] }))
    case .list(let list):
      let places = Self.places(list.items.count, from: from, to: to, step: step)
      return try makeList(places.map { list.items[$0] }, isTuple: list.isTuple)
    case .undefined(let name): throw failure("'\(name)' is undefined and cannot be sliced")
    default: throw failure("\(value.kind) cannot be sliced")
    }
  }

  /// Python's slice indices, all within 0..<count.
  static func places(_ count: Int, from: Int?, to: Int?, step: Int) -> [Int] {
    func clamped(_ bound: Int, low: Int, high: Int) -> Int {
      let place = bound < 0 ? max(bound, -count - 1) + count : bound
      return min(max(place, low), high)
    }
    if step > 0 {
      let start = clamped(from ?? 0, low: 0, high: count)
      let end = clamped(to ?? count, low: 0, high: count)
      return Array(stride(from: start, to: end, by: step))
    }
    let start = from.map { clamped($0, low: -1, high: count - 1) } ?? count - 1
    let end = to.map { clamped($0, low: -1, high: count - 1) } ?? -1
    return Array(stride(from: start, to: end, by: step))
  }

  // MARK: Arithmetic

  func negated(_ value: Inner) throws(TemplateError) -> Inner {
    switch value {
    case .int(let value): return try whole(0.subtractingReportingOverflow(value))
    case .bool(let value): return .int(value ? -1 : 0)
    case .double(let value): return .double(-value)
    default: throw failure("'-' wants a number, found \(value.kind)")
    }
  }

  func positive(_ value: Inner) throws(TemplateError) -> Inner {
    switch value {
    case .int, .double: return value
    case .bool(let value): return .int(value ? 1 : 0)
    default: throw failure("'+' wants a number, found \(value.kind)")
    }
  }

  private func whole(_ result: (partialValue: Int, overflow: Bool)) throws(TemplateError) -> Inner {
    guard !result.overflow else { throw failure("a number is larger than \(Int.max)") }
    return .int(result.partialValue)
  }

  func number(_ value: Inner) -> Double? {
    switch value {
    case .int(let value): Double(value)
    case .double(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  private func wholeNumber(_ value: Inner) -> Int? {
    switch value {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }

  func apply(
    _ operation: TemplateSyntax.Operator, _ left: Inner, _ right: Inner
  ) throws(TemplateError) -> Inner {
    if let a = wholeNumber(left), let b = wholeNumber(right) { return try apply(operation, a, b) }
    if let a = number(left), let b = number(right) { return .double(try apply(operation, a, b)) }
    switch (operation, left, right) {
    case (.add, .text(let a), .text(let b)):
      try spend(a.count + b.count)
      return .text(a + b)
    case (.add, .list(let a), .list(let b)) where a.isTuple == b.isTuple:
      return try makeList(a.items + b.items, isTuple: a.isTuple)
    case (.multiply, .text(let text), .int(let times)), (.multiply, .int(let times), .text(let text)):
      let (total, overflow) = text.count.multipliedReportingOverflow(by: max(times, 0))
      try spend(overflow ? .max : total)
      return .text(TemplateText(units: Array(repeatElement(text.units, count: max(times, 0)).joined())))
    case (.multiply, .list(let list), .int(let times)), (.multiply, .int(let times), .list(let list)):
      let (total, overflow) = list.items.count.multipliedReportingOverflow(by: max(times, 0))
      try spend(overflow ? .max : total.multipliedReportingOverflow(by: 8).overflow ? .max : total * 8)
      let items = Array(repeatElement(list.items, count: max(times, 0)).joined())
      return .list(TemplateList(items, isTuple: list.isTuple, rank: list.rank))
    case (.remainder, .text(let format), _):
      return .text(try printf(format, right))
    default:
      for side in [left, right] {
        if case .undefined(let name) = side {
          throw failure("'\(name)' is undefined and cannot be used with '\(operation.rawValue)'")
        }
      }
      throw failure("'\(operation.rawValue)' cannot join \(left.kind) and \(right.kind)")
    }
  }

  private func apply(_ operation: TemplateSyntax.Operator, _ a: Int, _ b: Int) throws(TemplateError) -> Inner
  {
    switch operation {
    case .add: return try whole(a.addingReportingOverflow(b))
    case .subtract: return try whole(a.subtractingReportingOverflow(b))
    case .multiply: return try whole(a.multipliedReportingOverflow(by: b))
    case .divide:
      guard b != 0 else { throw failure("division by zero") }
      return .double(Double(a) / Double(b))
    case .floorDivide, .remainder:
      guard b != 0 else { throw failure("division by zero") }
      let (quotient, overflow) = a.dividedReportingOverflow(by: b)
      guard !overflow else { throw failure("a number is larger than \(Int.max)") }
      let remainder = a.remainderReportingOverflow(dividingBy: b).partialValue
      let isBelow = remainder != 0 && (remainder < 0) != (b < 0)
      // Python rounds towards minus infinity; the sum cannot overflow, for the signs differ.
      return .int(
        operation == .remainder ? (isBelow ? remainder + b : remainder) : (isBelow ? quotient - 1 : quotient))
    case .power:
      guard b >= 0 else { return .double(pow(Double(a), Double(b))) }
      var result = 1
      var base = a
      var exponent = b
      while exponent > 0 {
        try step()
        if exponent & 1 == 1 {
          let (product, overflow) = result.multipliedReportingOverflow(by: base)
          guard !overflow else { throw failure("a number is larger than \(Int.max)") }
          result = product
        }
        exponent >>= 1
        guard exponent > 0 else { break }
        let (square, overflow) = base.multipliedReportingOverflow(by: base)
        guard !overflow else { throw failure("a number is larger than \(Int.max)") }
        base = square
      }
      return .int(result)
    }
  }

  private func apply(_ operation: TemplateSyntax.Operator, _ a: Double, _ b: Double) throws(TemplateError)
    -> Double
  {
    switch operation {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .power: return pow(a, b)
    case .divide, .floorDivide, .remainder:
      guard b != 0 else { throw failure("division by zero") }
      if operation == .divide { return a / b }
      let quotient = (a / b).rounded(.down)
      return operation == .floorDivide ? quotient : a - quotient * b
    }
  }

  // MARK: Comparison

  func compare(
    _ operation: TemplateSyntax.Comparison, _ left: Inner, _ right: Inner
  ) throws(TemplateError) -> Bool {
    switch operation {
    case .equal: try isEqual(left, right)
    case .notEqual: !(try isEqual(left, right))
    case .less: try isLess(left, right)
    case .greater: try isLess(right, left)
    case .lessOrEqual: try isLess(left, right) ? true : try isEqual(left, right)
    case .greaterOrEqual: try isLess(right, left) ? true : try isEqual(left, right)
    case .contained: try contains(right, left)
    case .notContained: !(try contains(right, left))
    }
  }

  func isEqual(_ left: Inner, _ right: Inner) throws(TemplateError) -> Bool {
    try step()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let a), .text(let b)):
      try step(min(a.count, b.count) >> 4)
      return a == b
    case (.int(let a), .int(let b)): return a == b
    case (.list(let a), .list(let b)):
      guard a.isTuple == b.isTuple, a.items.count == b.items.count else { return false }
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
    default:
      guard let a = number(left), let b = number(right) else { return false }
      return a == b
    }
  }

  func isLess(_ left: Inner, _ right: Inner) throws(TemplateError) -> Bool {
    try step()
    switch (left, right) {
    case (.text(let a), .text(let b)):
      try step(min(a.count, b.count) >> 4)
      return a < b
    case (.int(let a), .int(let b)): return a < b
    case (.list(let a), .list(let b)) where a.isTuple == b.isTuple:
      return try deeper { () throws(TemplateError) in
        for (x, y) in zip(a.items, b.items) where !(try isEqual(x, y)) { return try isLess(x, y) }
        return a.items.count < b.items.count
      }
    default:
      guard let a = number(left), let b = number(right) else {
        throw failure("\(left.kind) and \(right.kind) have no order")
      }
      return a < b
    }
  }

  func contains(_ whole: Inner, _ part: Inner) throws(TemplateError) -> Bool {
    switch whole {
    case .text(let text):
      guard case .text(let needle) = part else {
        throw failure("'in' a text wants a text, found \(part.kind)")
      }
      try payForSearch(of: needle, in: text)
      return text.firstIndex(of: needle) != nil
    case .list(let list):
      for item in list.items where try isEqual(item, part) { return true }
      return false
    case .dictionary(let dictionary):
      guard let key = part.key else { return false }
      return dictionary[key] != nil
    case .undefined: return false
    default: throw failure("'in' wants a text, list or mapping, found \(whole.kind)")
    }
  }

  /// A search costs by the lengths of both texts: its worst case is their product.
  func payForSearch(of needle: TemplateText, in text: TemplateText) throws(TemplateError) {
    let (product, overflow) = text.count.multipliedReportingOverflow(by: max(needle.count >> 4, 1))
    try step(overflow ? limits.steps + 1 : product >> 4)
  }

  // MARK: Formats

  /// Python's `%` with a text on the left: %s %r %d %i %f %x %%, with width and precision.
  private func printf(_ format: TemplateText, _ value: Inner) throws(TemplateError) -> TemplateText {
    var values: [Inner]
    if case .list(let list) = value, list.isTuple { values = list.items } else { values = [value] }
    var units: [UInt32] = []
    var at = 0
    let plain = format.plain
    while at < plain.count {
      guard plain[at] == 0x25 else {
        units.append(format.units[at])
        at += 1
        continue
      }
      at += 1
      var width = 0
      var precision: Int?
      let pads = at < plain.count && plain[at] == 0x30
      while at < plain.count, plain[at] >= 0x30, plain[at] <= 0x39 {
        width = min(width * 10 + Int(plain[at] - 0x30), 10_000)
        at += 1
      }
      if at < plain.count, plain[at] == 0x2E {
        at += 1
        var digits = 0
        while at < plain.count, plain[at] >= 0x30, plain[at] <= 0x39 {
          digits = min(digits * 10 + Int(plain[at] - 0x30), 100)
          at += 1
        }
        precision = digits
      }
      guard at < plain.count, let kind = Unicode.Scalar(plain[at]) else {
        throw failure("a format ends after '%'")
      }
      at += 1
      if kind == "%" {
        units.append(0x25)
        continue
      }
      guard !values.isEmpty else { throw failure("a format wants more values than there are") }
      let argument = values.removeFirst()
      var part: TemplateText
      switch kind {
      case "s": part = try text(of: argument)
      case "r": part = try representation(of: argument)
      case "d", "i":
        guard let number = number(argument), let whole = Int(exactly: number.rounded(.towardZero)) else {
          throw failure("'%\(kind)' wants a number, found \(argument.kind)")
        }
        part = TemplateText(String(whole))
      case "x":
        guard let whole = wholeNumber(argument) else {
          throw failure("'%x' wants a whole number, found \(argument.kind)")
        }
        part = TemplateText(String(whole, radix: 16))
      case "f":
        guard let number = number(argument) else {
          throw failure("'%f' wants a number, found \(argument.kind)")
        }
        part = TemplateText(String(format: "%.\(precision ?? 6)f", number))
      default: throw TemplateError.unsupported(line: line, "the format '%\(kind.escaped(asASCII: false))'")
      }
      if kind == "s", let precision { part = part.slice(0..<precision) }
      try spend(part.count + width)
      let padding = max(width - part.count, 0)
      if pads, kind != "s", kind != "r" {
        let sign = part.units.first == 0x2D ? 1 : 0
        part.units.insert(contentsOf: repeatElement(0x30, count: padding), at: sign)
      } else {
        part.units.insert(contentsOf: repeatElement(0x20, count: padding), at: 0)
      }
      units += part.units
    }
    guard values.isEmpty else { throw failure("a format wants fewer values than there are") }
    try spend(units.count)
    return TemplateText(units: units)
  }
}

/// Numbers as Python spells them.
enum TemplateNumber {
  /// Python's `repr` of a float: the shortest digits that read back, an exponent below 1e-4 and from 1e16.
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
