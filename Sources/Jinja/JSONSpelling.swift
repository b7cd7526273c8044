// JSONSpelling.swift: JSON as input and output of templates. Input keeps the order of its keys,
// because `tojson` prints tools in their given order. Output is spelled as by Python's json.dumps,
// because models were trained on that.

import Foundation
import JSON

extension Interpreter {
  /// Converts a caller's value for use in a template.
  /// - Parameter isUsers: Whether strings and keys are a user's, so that none of them can become a
  ///   special token.
  func value(of json: JSONValue, isUsers: Bool) throws(TemplateError) -> Value {
    switch json {
    case .null: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(Int(value))
    case .unsigned(let value): return try whole(String(value))
    case .big(let digits): return try whole(digits)
    case .double(let value): return .double(value)
    case .string(let text): return .text(isUsers ? Text(user: text) : Text(text))
    case .array(let elements):
      return try deeper { () throws(TemplateError) in
        var items: [Value] = []
        for element in elements { items.append(try value(of: element, isUsers: isUsers)) }
        return try makeList(items)
      }
    case .object(let members):
      return try deeper { () throws(TemplateError) in
        let mapping = Mapping()
        for (key, member) in members {
          let name: Value = .text(isUsers ? Text(user: key) : Text(key))
          try set(mapping, name, try value(of: member, isUsers: isUsers))
        }
        return .dictionary(mapping)
      }
    }
  }

  private func whole(_ digits: String) throws(TemplateError) -> Value {
    let isNegative = digits.hasPrefix("-")
    guard let value = BigInteger(digits.utf8.dropFirst(isNegative ? 1 : 0), isNegative: isNegative) else {
      throw failure("a whole number has more than 4300 digits")
    }
    return .whole(value)
  }

  /// `tojson(ensure_ascii, indent, separators, sort_keys)` as json.dumps spells it, with
  /// ensure_ascii off.
  func json(of value: Value, _ arguments: Arguments) throws(TemplateError) -> Text {
    var style = JSONStyle()
    style.ensuresASCII = arguments.isTrue(0, "ensure_ascii")
    style.sortsKeys = arguments.isTrue(3, "sort_keys")
    switch arguments.value(1, "indent") {
    case nil, .some(.none): break
    case .text(let indent)?: style.indent = indent
    case let indent?:
      guard let width = wholeNumber(indent), width <= 64 else {
        throw failure("'tojson' wants an indent of at most 64, found \(indent.kind)")
      }
      style.indent = Text(String(repeating: " ", count: max(width, 0)))
    }
    if style.indent != nil { style.itemSeparator = Text(",") }
    if let separators = arguments.value(2, "separators"), !separators.isNone {
      let pair = try elements(of: separators, doing: "separate by")
      guard pair.count == 2, case .text(let item) = pair[0], case .text(let key) = pair[1] else {
        throw failure("'tojson' wants two separators that are texts")
      }
      style.itemSeparator = item
      style.keySeparator = key
    }
    var units: [UInt32] = []
    try write(value, style, level: 0, to: &units)
    return Text(units: units)
  }

  private struct JSONStyle {
    var indent: Text?
    var itemSeparator = Text(", ")
    var keySeparator = Text(": ")
    var ensuresASCII = false
    var sortsKeys = false
  }

  private func breakLine(_ style: JSONStyle, level: Int, to units: inout [UInt32]) throws(TemplateError) {
    guard let indent = style.indent else { return }
    try spend(indent.count * level + 1)
    units.append(0x0A)
    for _ in 0..<level { units += indent.units }
  }

  private func write(
    _ value: Value, _ style: JSONStyle, level: Int, to units: inout [UInt32]
  ) throws(TemplateError) {
    try step()
    switch value {
    case .none: units += Text("null").units
    case .bool(let value): units += Text(value ? "true" : "false").units
    case .int, .big: units += try text(of: value).units
    case .double(let value): units += Text(spelling(of: value)).units
    case .text(let text): try write(text, style, to: &units)
    case .list(let list) where list.kind == .list || list.isTuple:
      guard !list.items.isEmpty else {
        units += Text("[]").units
        return
      }
      try writeNested("[", "]", list.items.count, style, level, &units) {
        (place, units) throws(TemplateError) in
        try write(list.items[place], style, level: level + 1, to: &units)
      }
    case .dictionary(let dictionary):
      guard dictionary.count > 0 else {
        units += Text("{}").units
        return
      }
      let keys = try keyTexts(dictionary)
      let places =
        style.sortsKeys ? try places(of: dictionary.keys, descending: false) : Array(0..<dictionary.count)
      try writeNested("{", "}", dictionary.count, style, level, &units) {
        (place, units) throws(TemplateError) in
        try write(keys[places[place]], style, to: &units)
        units += style.keySeparator.units
        try write(dictionary.values[places[place]], style, level: level + 1, to: &units)
      }
    case .undefined(let name): throw failure("'\(name)' is undefined and has no JSON")
    default: throw failure("\(value.kind) has no JSON")
    }
  }

  private func keyTexts(_ dictionary: Mapping) throws(TemplateError) -> [Text] {
    var texts: [Text] = []
    for key in dictionary.keys {
      switch key {
      case .text(let text): texts.append(text)
      case .bool(let value): texts.append(Text(value ? "true" : "false"))
      case .none: texts.append(Text("null"))
      case .double(let value): texts.append(Text(spelling(of: value)))
      case .int, .big: texts.append(try text(of: key))
      default: throw failure("\(key.kind) cannot be a key in JSON")
      }
    }
    return texts
  }

  private func writeNested(
    _ open: String, _ close: String, _ count: Int, _ style: JSONStyle, _ level: Int, _ units: inout [UInt32],
    _ item: (Int, inout [UInt32]) throws(TemplateError) -> Void
  ) throws(TemplateError) {
    try deeper { () throws(TemplateError) in
      units += Text(open).units
      for place in 0..<count {
        if place > 0 { units += style.itemSeparator.units }
        try spend(4)
        try breakLine(style, level: level + 1, to: &units)
        try item(place, &units)
      }
      try breakLine(style, level: level, to: &units)
      units += Text(close).units
    }
  }

  private func spelling(of value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return PythonNumber.spelling(of: value)
  }

  private func write(_ text: Text, _ style: JSONStyle, to units: inout [UInt32]) throws(TemplateError) {
    try spend(text.count + 2)
    units.append(0x22)
    for unit in text.units {
      let mark = unit & Text.userMark
      let plain = unit & ~Text.userMark
      switch plain {
      case 0x22, 0x5C: units += [0x5C | mark, unit]
      case 0x0A: units += [0x5C | mark, 0x6E | mark]
      case 0x0D: units += [0x5C | mark, 0x72 | mark]
      case 0x09: units += [0x5C | mark, 0x74 | mark]
      case 0x08: units += [0x5C | mark, 0x62 | mark]
      case 0x0C: units += [0x5C | mark, 0x66 | mark]
      case 0..<0x20: escape(UInt16(plain), mark, to: &units)
      case 0x7F... where style.ensuresASCII:
        guard let scalar = Unicode.Scalar(plain) else { continue }
        for half in UTF16.encode(scalar).map(Array.init) ?? [] { escape(half, mark, to: &units) }
      default: units.append(unit)
      }
    }
    units.append(0x22)
  }

  private func escape(_ half: UInt16, _ mark: UInt32, to units: inout [UInt32]) {
    let digits = String(half, radix: 16)
    let spelled = "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    units += spelled.unicodeScalars.map { $0.value | mark }
  }
}
