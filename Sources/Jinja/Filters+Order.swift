// Filters+Order.swift: the filters that compare elements: sort, min, max, unique, groupby,
// dictsort; and sum.

extension Interpreter {
  func sum(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "add up")
    let parts = try projected(items, attribute: arguments.value(0, "attribute"))
    var total = arguments.value(1, "start") ?? .int(0)
    if case .text = total { throw failure("'sum' adds no texts; 'join' does") }
    for part in parts { total = try apply(.add, total, part) }
    return total
  }

  /// `min` and `max`.
  static func extreme(isLowest: Bool) -> Work<Value> {
    { run in
      { (value, arguments) throws(TemplateError) in
        try run.extreme(value, arguments, isLowest: isLowest)
      }
    }
  }

  private func extreme(
    _ value: Value, _ arguments: Arguments, isLowest: Bool
  ) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "order")
    guard let first = items.indices.first else {
      return .undefined("the \(isLowest ? "min" : "max") of nothing")
    }
    let keys = try sortKeys(
      items, attribute: arguments.value(1, "attribute"), exact: arguments.isTrue(0, "case_sensitive"))
    var best = first
    for place in items.indices.dropFirst() {
      let isBetter = isLowest ? try isLess(keys[place], keys[best]) : try isLess(keys[best], keys[place])
      if isBetter { best = place }
    }
    return items[best]
  }

  func unique(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "order")
    let keys = try sortKeys(
      items, attribute: arguments.value(1, "attribute"), exact: arguments.isTrue(0, "case_sensitive"))
    var seen: Set<Key> = []
    var kept: [Value] = []
    for (item, key) in zip(items, keys) {
      guard let plain = key.key else { throw failure("'unique' cannot compare \(key.kind)") }
      if seen.insert(plain).inserted { kept.append(item) }
    }
    return try makeList(kept, .iterator)
  }

  func sort(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "order")
    let exact = arguments.isTrue(1, "case_sensitive")
    let paths: [Value]
    if case .text(let text)? = arguments.value(2, "attribute") {
      paths = text.split(Text(","), limit: -1).map { .text($0) }
    } else {
      paths = [arguments.value(2, "attribute") ?? .none]
    }
    var columns: [[Value]] = []
    for path in paths { columns.append(try sortKeys(items, attribute: path, exact: exact)) }
    var keys: [Value] = []
    for place in items.indices { keys.append(try makeList(columns.map { $0[place] })) }
    let order = try places(of: keys, descending: arguments.isTrue(0, "reverse"))
    return try makeList(order.map { items[$0] })
  }

  func groupBy(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "order")
    let attribute = arguments.value(0, "attribute") ?? .none
    let fallback = arguments.value(1, "default")
    var names: [Value] = []
    for item in items { names.append(try member(attribute, of: item, default: fallback)) }
    let keys = arguments.isTrue(2, "case_sensitive") ? names : try names.map(withoutCase)
    var groups: [Value] = []
    var group: [Int] = []
    let order = try places(of: keys, descending: false)
    for (place, at) in order.enumerated() {
      group.append(at)
      var ends = place + 1 == order.count
      if !ends { ends = !(try isEqual(keys[at], keys[order[place + 1]])) }
      if ends {
        groups.append(try makeList([names[group[0]], try makeList(group.map { items[$0] })], .group))
        group = []
      }
    }
    return try makeList(groups)
  }

  /// The key that items are ordered by; strings ignore case unless `exact`.
  private func sortKeys(_ items: [Value], attribute: Value?, exact: Bool) throws(TemplateError) -> [Value] {
    let keys = try projected(items, attribute: attribute)
    return exact ? keys : try keys.map(withoutCase)
  }

  private func withoutCase(_ value: Value) throws(TemplateError) -> Value {
    guard case .text(let text) = value else { return value }
    try spend(text.count)
    return .text(text.lowercased())
  }

  /// The indices of `keys` in sorted order, by a stable merge sort whose comparisons may throw.
  func places(of keys: [Value], descending: Bool) throws(TemplateError) -> [Int] {
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

  func dictionarySort(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard case .dictionary(let dictionary) = value else {
      throw failure("'dictsort' wants a mapping, found \(value.kind)")
    }
    let by = try arguments.text(1, "by", self) ?? Text("key")
    guard by.spells("key") || by.spells("value") else {
      throw failure("'dictsort' wants by='key' or by='value'")
    }
    let keys = try sortKeys(
      by.spells("value") ? dictionary.values : dictionary.keys, attribute: nil,
      exact: arguments.isTrue(0, "case_sensitive"))
    var pairs: [Value] = []
    for place in try places(of: keys, descending: arguments.isTrue(2, "reverse")) {
      pairs.append(try makeList([dictionary.keys[place], dictionary.values[place]], .tuple))
    }
    return try makeList(pairs)
  }
}
