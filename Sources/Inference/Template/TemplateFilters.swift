// TemplateFilters.swift: the filters of a template, `value | name(arguments)`: this list and no other.
// `safe` and its kin change nothing, for a prompt is no HTML. `attr`, which reads attributes by name, is refused.

import Foundation

extension TemplateInterpreter {
  func filter(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    switch name {
    case "trim", "upper", "lower", "capitalize", "title", "string", "safe", "replace", "indent", "escape",
      "e",
      "forceescape", "center", "wordcount", "format", "urlencode", "truncate":
      return try filterText(name, value, arguments)
    case "length", "count":
      return .int(try length(of: value))
    case "default", "d":
      let isMissing: Bool
      if case .undefined = value {
        isMissing = true
      } else {
        isMissing = arguments.isTrue(1, "boolean") && !value.isTrue
      }
      return isMissing ? arguments.value(0, "default_value") ?? .text(TemplateText()) : value
    case "tojson": return .text(try json(of: value, arguments))
    case "from_json", "fromjson":
      guard case .text(let text) = value else { throw failure("'\(name)' wants a text, found \(value.kind)") }
      try spend(text.count * 2)
      let value: TemplateValue
      do throws(JSONTextError) {
        value = try TemplateValue(json: Array(text.string.utf8))
      } catch {
        throw failure("'\(name)': \(error)")
      }
      return try inner(of: value, isUsers: text.hasUserMark)
    case "int", "float", "abs", "round": return try filterNumber(name, value, arguments)
    case "attr", "pprint", "random", "xmlattr", "striptags", "urlize", "wordwrap", "filesizeformat", "slice":
      throw TemplateError.unsupported(line: line, "the filter '\(name)'")
    default: return try filterList(name, value, arguments)
    }
  }

  func length(of value: Inner) throws(TemplateError) -> Int {
    switch value {
    case .text(let text): return text.count
    case .list(let list): return list.items.count
    case .dictionary(let dictionary): return dictionary.count
    case .undefined: return 0
    default: throw failure("\(value.kind) has no length")
    }
  }

  // MARK: Texts

  private func filterText(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    let text = try text(of: value)
    try spend(text.count)
    switch name {
    case "trim":
      return .text(text.stripped(leading: true, trailing: true, of: try arguments.text(0, "chars", self)))
    case "upper": return .text(text.uppercased())
    case "lower": return .text(text.lowercased())
    case "capitalize": return .text(text.capitalized())
    case "title": return .text(text.titled())
    case "string", "safe": return .text(text)
    case "replace":
      guard let old = try arguments.text(0, "old", self), let new = try arguments.text(1, "new", self) else {
        throw failure("'replace' wants two texts")
      }
      return .text(try replaced(text, old, new, limit: try arguments.int(2, "count", self) ?? -1))
    case "indent": return .text(try indented(text, arguments))
    case "wordcount": return .int(text.words)
    case "center":
      let width = try arguments.int(0, "width", self) ?? 80
      try spend(max(width, 0))
      let padding = max(width - text.count, 0)
      // Python puts the odd blank on the left when the width is odd too.
      let left = padding / 2 + (padding & width & 1)
      return .text(
        TemplateText(String(repeating: " ", count: left)) + text
          + TemplateText(String(repeating: " ", count: padding - left)))
    case "escape", "e", "forceescape":
      var result = text
      for (plain, escaped) in [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;")]
      {
        result = try replaced(result, TemplateText(plain), TemplateText(escaped), limit: -1)
      }
      return .text(result)
    default: throw TemplateError.unsupported(line: line, "the filter '\(name)'")
    }
  }

  /// Jinja's `indent(width, first, blank)`; the width may be a text.
  private func indented(
    _ text: TemplateText, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateText {
    let indentation: TemplateText
    if case .text(let given)? = arguments.value(0, "width") {
      indentation = given
    } else {
      let width = max(try arguments.int(0, "width", self) ?? 4, 0)
      try spend(width)
      indentation = TemplateText(String(repeating: " ", count: width))
    }
    let lines = (text + TemplateText("\n")).lines(keepingEnds: false)
    let (growth, overflow) = lines.count.multipliedReportingOverflow(by: indentation.count + 1)
    try spend(overflow ? .max : growth)
    try spend(text.count)
    var units: [UInt32] = []
    for (place, line) in lines.enumerated() {
      if place > 0 { units.append(0x0A) }
      let indents = place == 0 ? arguments.isTrue(1, "first") : !line.isEmpty || arguments.isTrue(2, "blank")
      if indents { units += indentation.units }
      units += line.units
    }
    return TemplateText(units: units)
  }

  // MARK: Numbers

  private func filterNumber(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    switch name {
    case "int":
      let fallback = arguments.value(0, "default") ?? .int(0)
      if case .int = value { return value }
      if case .text(let text) = value {
        let base = try arguments.int(1, "base", self) ?? 10
        guard (2...36).contains(base) else { throw failure("'int' wants a base from 2 to 36") }
        let digits = text.stripped(leading: true, trailing: true).string
        if let number = Int(digits, radix: base) { return .int(number) }
        return Double(digits).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .int($0) } ?? fallback
      }
      return number(value).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .int($0) } ?? fallback
    case "float":
      let fallback = arguments.value(0, "default") ?? .double(0)
      if case .text(let text) = value {
        return Double(text.stripped(leading: true, trailing: true).string).map { .double($0) } ?? fallback
      }
      return number(value).map { .double($0) } ?? fallback
    case "abs":
      if case .int(let number) = value { return number < 0 ? try negated(value) : value }
      guard let number = number(value) else { throw failure("'abs' wants a number, found \(value.kind)") }
      return .double(abs(number))
    default:
      guard let number = number(value) else { throw failure("'round' wants a number, found \(value.kind)") }
      let precision = try arguments.int(0, "precision", self) ?? 0
      guard (-15...15).contains(precision) else { throw failure("'round' wants a precision from -15 to 15") }
      let scale = pow(10, Double(precision))
      let method = try arguments.text(1, "method", self)?.string ?? "common"
      let rule: FloatingPointRoundingRule =
        switch method {
        case "common": .toNearestOrEven
        case "ceil": .up
        case "floor": .down
        default: throw failure("'round' wants common, ceil or floor, found '\(method)'")
        }
      return .double((number * scale).rounded(rule) / scale)
    }
  }

  // MARK: Lists

  private func filterList(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    switch name {
    case "items":
      guard case .dictionary = value else {
        if case .undefined = value { return try makeList([]) }
        throw failure("'items' wants a mapping, found \(value.kind)")
      }
      return try call(method: "items", of: value, TemplateArguments())
    case "dictsort": return try dictionarySorted(value, arguments)
    case "join":
      let items = try projected(
        try elements(of: value, doing: "join"), attribute: arguments.value(1, "attribute"))
      let separator = try arguments.value(0, "d").map { (value) throws(TemplateError) in try text(of: value) }
      return .text(try joined(items, by: separator ?? TemplateText(), strict: false))
    case "list": return try makeList(try elements(of: value, doing: "list"))
    case "first", "last":
      let items = try elements(of: value, doing: "take an element of")
      return (name == "first" ? items.first : items.last) ?? .undefined("the \(name) element")
    case "reverse":
      if case .text(let text) = value {
        try spend(text.count)
        return .text(TemplateText(units: text.units.reversed()))
      }
      return try makeList(try elements(of: value, doing: "reverse").reversed())
    case "min", "max", "sum", "unique", "sort", "groupby": return try filterOrder(name, value, arguments)
    case "map": return try mapped(value, arguments)
    case "select", "reject", "selectattr", "rejectattr":
      return try selected(name, value, arguments)
    case "batch":
      guard let size = try arguments.int(0, "linecount", self), size > 0 else {
        throw failure("'batch' wants a size above 0")
      }
      let items = try elements(of: value, doing: "batch")
      var batches: [Inner] = []
      var start = 0
      while start < items.count {
        var batch = Array(items[start..<min(start + min(size, items.count), items.count)])
        if let filler = arguments.value(1, "fill_with") {
          try spend((size - batch.count) * 8)
          batch += repeatElement(filler, count: size - batch.count)
        }
        batches.append(try makeList(batch))
        start += min(size, items.count)
      }
      return try makeList(batches)
    default:
      throw .syntax(line: line, "the filter '\(name)' is not known here")
    }
  }

  /// A member of a member by a path such as `function.name` or `0`.
  private func member(_ path: Inner, of value: Inner) throws(TemplateError) -> Inner {
    guard case .text(let path) = path else { return try item(path, of: value) }
    var value = value
    for part in path.split(TemplateText("."), limit: -1) {
      if case .undefined = value { return value }
      value = try item(Int(part.string).map { .int($0) } ?? .text(part), of: value)
    }
    return value
  }

  private func projected(_ items: [Inner], attribute: Inner?) throws(TemplateError) -> [Inner] {
    guard let attribute, attribute.isTrue || number(attribute) != nil else { return items }
    var values: [Inner] = []
    for item in items {
      try step()
      values.append(try member(attribute, of: item))
    }
    return values
  }

  private func filterOrder(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    let items = try elements(of: value, doing: name == "sum" ? "add up" : "order")
    switch name {
    case "sum":
      let parts = try projected(items, attribute: arguments.value(0, "attribute"))
      var total = arguments.value(1, "start") ?? .int(0)
      for part in parts { total = try apply(.add, total, part) }
      return total
    case "min", "max":
      let keys = try sortKeys(
        items, attribute: arguments.value(1, "attribute"), exact: arguments.isTrue(0, "case_sensitive"))
      guard var best = items.indices.first else { return .undefined("the \(name) of nothing") }
      for place in items.indices.dropFirst() {
        let isBetter =
          name == "min" ? try isLess(keys[place], keys[best]) : try isLess(keys[best], keys[place])
        if isBetter { best = place }
      }
      return items[best]
    case "unique":
      let keys = try sortKeys(
        items, attribute: arguments.value(1, "attribute"), exact: arguments.isTrue(0, "case_sensitive"))
      var seen: Set<TemplateKey> = []
      var kept: [Inner] = []
      for (item, key) in zip(items, keys) {
        guard let plain = key.key else { throw failure("'unique' cannot compare \(key.kind)") }
        if seen.insert(plain).inserted { kept.append(item) }
      }
      return try makeList(kept)
    case "sort":
      let keys = try sortKeys(
        items, attribute: arguments.value(2, "attribute"), exact: arguments.isTrue(1, "case_sensitive"))
      let order = try order(of: keys, descending: arguments.isTrue(0, "reverse"))
      return try makeList(order.map { items[$0] })
    default:
      guard let attribute = arguments.value(0, "attribute") else {
        throw failure("'groupby' wants an attribute")
      }
      let keys = try sortKeys(items, attribute: attribute, exact: arguments.isTrue(2, "case_sensitive"))
      let names = try projected(items, attribute: attribute)
      var groups: [Inner] = []
      var group: [Inner] = []
      let order = try order(of: keys, descending: false)
      for (place, at) in order.enumerated() {
        group.append(items[at])
        var ends = place + 1 == order.count
        if !ends { ends = !(try isEqual(keys[at], keys[order[place + 1]])) }
        if ends {
          let first = order[place + 1 - group.count]
          groups.append(try makeList([names[first], try makeList(group)], isTuple: true))
          group = []
        }
      }
      return try makeList(groups)
    }
  }

  /// What items are ordered by; texts without their case unless `exact`.
  private func sortKeys(_ items: [Inner], attribute: Inner?, exact: Bool) throws(TemplateError) -> [Inner] {
    var keys = try projected(items, attribute: attribute)
    guard !exact else { return keys }
    for (place, key) in keys.enumerated() {
      guard case .text(let text) = key else { continue }
      try spend(text.count)
      keys[place] = .text(text.lowercased())
    }
    return keys
  }

  /// The places of `keys` in order: a stable merge sort, whose comparisons may throw.
  private func order(of keys: [Inner], descending: Bool) throws(TemplateError) -> [Int] {
    var places = Array(keys.indices)
    var width = 1
    while width < places.count {
      var merged: [Int] = []
      merged.reserveCapacity(places.count)
      for start in stride(from: 0, to: places.count, by: width * 2) {
        var left = places[start..<min(start + width, places.count)]
        var right = places[min(start + width, places.count)..<min(start + width * 2, places.count)]
        while let a = left.first, let b = right.first {
          let takesRight = descending ? try isLess(keys[a], keys[b]) : try isLess(keys[b], keys[a])
          merged.append(takesRight ? right.removeFirst() : left.removeFirst())
        }
        merged += left + right
      }
      places = merged
      width *= 2
    }
    return places
  }

  private func dictionarySorted(_ value: Inner, _ arguments: TemplateArguments) throws(TemplateError) -> Inner
  {
    guard case .dictionary(let dictionary) = value else {
      throw failure("'dictsort' wants a mapping, found \(value.kind)")
    }
    let byValue = try arguments.text(1, "by", self)?.spells("value") ?? false
    let keys = try sortKeys(
      byValue ? dictionary.values : dictionary.keys, attribute: nil,
      exact: arguments.isTrue(0, "case_sensitive"))
    var pairs: [Inner] = []
    for place in try order(of: keys, descending: arguments.isTrue(2, "reverse")) {
      pairs.append(try makeList([dictionary.keys[place], dictionary.values[place]], isTuple: true))
    }
    return try makeList(pairs)
  }

  private func mapped(_ value: Inner, _ arguments: TemplateArguments) throws(TemplateError) -> Inner {
    // As in Jinja, nothing maps to nothing, be it none or an empty list.
    guard value.isTrue else { return try makeList([]) }
    let items = try elements(of: value, doing: "map")
    if let attribute = arguments.named.first(where: { $0.0 == "attribute" })?.1 {
      let fallback = arguments.named.first { $0.0 == "default" }?.1
      var values: [Inner] = []
      for item in try projected(items, attribute: attribute) {
        if case .undefined = item, let fallback { values.append(fallback) } else { values.append(item) }
      }
      return try makeList(values)
    }
    guard case .text(let name)? = arguments.positional.first else {
      throw failure("'map' wants an attribute or the name of a filter")
    }
    var rest = arguments
    rest.positional.removeFirst()
    var values: [Inner] = []
    for item in items {
      try step()
      values.append(try deeper { () throws(TemplateError) in try filter(name.string, item, rest) })
    }
    return try makeList(values)
  }

  private func selected(
    _ name: String, _ value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    guard value.isTrue else { return try makeList([]) }
    var rest = arguments
    var attribute: Inner?
    if name.hasSuffix("attr") {
      guard !rest.positional.isEmpty else { throw failure("'\(name)' wants an attribute") }
      attribute = rest.positional.removeFirst()
    }
    var testName: String?
    if !rest.positional.isEmpty {
      guard case .text(let text) = rest.positional.removeFirst() else {
        throw failure("'\(name)' wants the name of a test")
      }
      testName = text.string
    }
    let keeps = name.hasPrefix("select")
    var kept: [Inner] = []
    for item in try elements(of: value, doing: "select from") {
      try step()
      let subject = try attribute.map { (path) throws(TemplateError) in try member(path, of: item) } ?? item
      let holds =
        try testName.map { (test) throws(TemplateError) in try self.test(test, subject, rest) }
        ?? subject.isTrue
      if holds == keeps { kept.append(item) }
    }
    return try makeList(kept)
  }

  // MARK: Tests

  /// `value is name(arguments)`: this list of tests and no other.
  func test(_ name: String, _ value: Inner, _ arguments: TemplateArguments) throws(TemplateError) -> Bool {
    switch name {
    case "defined":
      if case .undefined = value { return false }
      return true
    case "undefined":
      if case .undefined = value { return true }
      return false
    case "none":
      if case .none = value { return true }
      return false
    case "string":
      if case .text = value { return true }
      return false
    case "mapping":
      if case .dictionary = value { return true }
      return false
    case "boolean":
      if case .bool = value { return true }
      return false
    case "true", "false":
      if case .bool(let flag) = value { return flag == (name == "true") }
      return false
    case "integer":
      if case .int = value { return true }
      return false
    case "float":
      if case .double = value { return true }
      return false
    case "number": return number(value) != nil
    case "iterable", "sequence":
      switch value {
      case .text, .list, .dictionary, .undefined: return true
      default: return false
      }
    case "callable":
      switch value {
      case .macro, .function, .method: return true
      default: return false
      }
    case "odd", "even":
      guard case .int(let number) = value else {
        throw failure("'\(name)' wants a whole number, found \(value.kind)")
      }
      return (number & 1 == 1) == (name == "odd")
    case "divisibleby":
      guard case .int(let number) = value, let by = try arguments.int(0, "num", self), by != 0 else {
        throw failure("'divisibleby' wants whole numbers")
      }
      return number.remainderReportingOverflow(dividingBy: by).partialValue == 0
    case "lower", "upper":
      let text = try text(of: value)
      return text == (name == "lower" ? text.lowercased() : text.uppercased())
    case "in":
      return try contains(try arguments.one(name, self), value)
    case "sameas":
      return try isEqual(value, try arguments.one(name, self))
    case "eq", "equalto", "==": return try isEqual(value, try arguments.one(name, self))
    case "ne", "!=": return !(try isEqual(value, try arguments.one(name, self)))
    case "lt", "lessthan", "<": return try compare(.less, value, try arguments.one(name, self))
    case "le", "<=": return try compare(.lessOrEqual, value, try arguments.one(name, self))
    case "gt", "greaterthan", ">": return try compare(.greater, value, try arguments.one(name, self))
    case "ge", ">=": return try compare(.greaterOrEqual, value, try arguments.one(name, self))
    default: throw .syntax(line: line, "the test '\(name)' is not known here")
    }
  }
}
