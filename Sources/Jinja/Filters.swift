// Filters.swift: the filters of a template, `value | name(arguments)`: this list and no
// other. Each gives what Jinja 3.1's gives, whatever it is handed; those without a place in a
// prompt are refused by name. Tests (`is`), numbers and orders are in files of those names.

import Foundation
import JSON

/// The parameters of a filter, test, method or function.
struct Signature {
  /// Names in order; one that begins with `/` cannot be given by name.
  let names: [String]
  let required: Int
  init(_ names: [String], required: Int = 0) {
    self.names = names
    self.required = required
  }
  static let none = Signature([])
}

enum Filters {
  /// Filters that take whatever comes, and look at it themselves.
  static let free: Set<String> = ["map", "select", "reject", "selectattr", "rejectattr", "format"]

  /// In Jinja, and not here: they need chance, HTML's tables, or lay out text for people who read
  /// code.
  static let refused: Set<String> = ["pprint", "random", "striptags", "urlize", "wordwrap"]

  static let signatures: [String: Signature] = [
    "abs": .none, "attr": Signature(["name"], required: 1),
    "batch": Signature(["linecount", "fill_with"], required: 1), "capitalize": .none,
    "center": Signature(["width"]), "count": .none,
    "d": Signature(["default_value", "boolean"]),
    "default": Signature(["default_value", "boolean"]),
    "dictsort": Signature(["case_sensitive", "by", "reverse"]), "e": .none, "escape": .none,
    "filesizeformat": Signature(["binary"]), "first": .none, "float": Signature(["default"]),
    "forceescape": .none, "from_json": .none, "fromjson": .none,
    "groupby": Signature(["attribute", "default", "case_sensitive"], required: 1),
    "indent": Signature(["width", "first", "blank"]), "int": Signature(["default", "base"]),
    "items": .none, "join": Signature(["d", "attribute"]), "last": .none, "length": .none,
    "list": .none,
    "lower": .none, "max": Signature(["case_sensitive", "attribute"]),
    "min": Signature(["case_sensitive", "attribute"]),
    "replace": Signature(["old", "new", "count"], required: 2), "reverse": .none,
    "round": Signature(["precision", "method"]), "safe": .none,
    "slice": Signature(["slices", "fill_with"], required: 1),
    "sort": Signature(["reverse", "case_sensitive", "attribute"]), "string": .none,
    "sum": Signature(["attribute", "start"]), "title": .none,
    "tojson": Signature(["ensure_ascii", "indent", "separators", "sort_keys"]),
    "trim": Signature(["chars"]),
    "truncate": Signature(["length", "killwords", "end", "leeway"]),
    "unique": Signature(["case_sensitive", "attribute"]), "upper": .none, "urlencode": .none,
    "wordcount": .none, "xmlattr": Signature(["autospace"]),
  ]
}

extension Interpreter {
  /// Refuses arguments that the parameters have no place for, and missing ones.
  func check(
    _ arguments: Arguments, _ signature: Signature, of name: String
  ) throws(TemplateError) {
    let most = signature.names.count
    guard arguments.positional.count <= most else {
      throw failure("'\(name)' wants \(most) arguments at most, found \(arguments.positional.count)")
    }
    for (given, _) in arguments.named {
      guard let place = signature.names.firstIndex(of: given) else {
        throw failure("'\(name)' has no parameter '\(given)'")
      }
      guard place >= arguments.positional.count else { throw failure("'\(name)' got '\(given)' twice") }
    }
    for place in arguments.positional.count..<max(signature.required, arguments.positional.count) {
      guard arguments.named.contains(where: { $0.0 == signature.names[place] }) else {
        throw failure("'\(name)' wants the argument '\(signature.names[place].drop { $0 == "/" })'")
      }
    }
  }

  func filter(
    _ name: String, _ value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    guard !Filters.free.contains(name) else { return try filterFreely(name, value, arguments) }
    guard let signature = Filters.signatures[name] else {
      if Filters.refused.contains(name) {
        throw TemplateError.unsupported(line: line, "the filter '\(name)'")
      }
      throw .syntax(line: line, "the filter '\(name)' is not known here")
    }
    try check(arguments, signature, of: name)
    switch name {
    case "trim", "upper", "lower", "capitalize", "title", "string", "safe", "replace", "indent", "escape",
      "e",
      "forceescape", "center", "wordcount", "urlencode", "truncate", "xmlattr":
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
      return isMissing ? arguments.value(0, "default_value") ?? .text(Text()) : value
    case "attr":
      guard case .text(let attribute)? = arguments.value(0, "name") else {
        throw failure("'attr' wants the name of an attribute")
      }
      return try ownAttribute(attribute.string, of: value) ?? .undefined(attribute.string)
    case "tojson": return .text(try json(of: value, arguments))
    case "from_json", "fromjson":
      guard case .text(let text) = value else { throw failure("'\(name)' wants a text, found \(value.kind)") }
      try spend(text.count * 2)
      let json: JSONValue
      do throws(JSONError) {
        json = try JSONText.parse(Array(text.string.utf8), limits: .python)
      } catch {
        throw failure("'\(name)': not JSON: \(error)")
      }
      return try self.value(of: json, isUsers: text.hasUserMark)
    case "int", "float", "abs", "round", "filesizeformat": return try filterNumber(name, value, arguments)
    default: return try filterList(name, value, arguments)
    }
  }

  /// Python's `len`.
  func length(of value: Value) throws(TemplateError) -> Int {
    switch value {
    case .text(let text): return text.count
    case .list(let list) where list.kind != .iterator: return list.items.count
    case .dictionary(let dictionary): return dictionary.count
    case .undefined: return 0
    case .loop(let loop): return loop.items.count
    default: throw failure("\(value.kind) has no length")
    }
  }

  // MARK: Texts

  private func filterText(
    _ name: String, _ value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    let text = try text(of: value)
    try spend(text.count)
    switch name {
    case "trim":
      return try call(
        method: "strip", of: .text(text),
        Arguments(positional: [arguments.value(0, "chars") ?? .none]))
    case "upper", "lower", "capitalize": return try call(method: name, of: .text(text), arguments)
    case "title": return .text(text.titledByBorders())
    case "string": return .text(text)
    case "safe": return .text(text.asMarkup)
    case "replace":
      let old = try plainText(of: arguments.value(0, "old") ?? .none)
      let new = try plainText(of: arguments.value(1, "new") ?? .none)
      var plain = text
      plain.isMarkup = false
      return .text(try replaced(plain, old, new, limit: try arguments.int(2, "count", self) ?? -1))
    case "indent":
      guard case .text = value else { throw failure("'indent' wants a text, found \(value.kind)") }
      return .text(try indented(text, arguments))
    case "wordcount": return .int(text.words)
    case "center":
      return try call(
        method: "center", of: .text(text),
        Arguments(positional: [arguments.value(0, "width") ?? .int(80)]))
    case "escape", "e": return .text(try escaped(text))
    case "forceescape":
      var plain = text
      plain.isMarkup = false
      return .text(try escaped(plain))
    case "truncate": return try truncated(value, arguments)
    case "urlencode": return .text(try urlEncoded(value))
    default: return .text(try xmlAttributes(value, arguments))
    }
  }

  /// Safe for HTML: what is so already stays.
  func escaped(_ text: Text) throws(TemplateError) -> Text {
    guard !text.isMarkup else { return text }
    var units: [UInt32] = []
    for unit in text.units {
      let word: StaticString
      switch unit & ~Text.userMark {
      case 0x26: word = "&amp;"
      case 0x3C: word = "&lt;"
      case 0x3E: word = "&gt;"
      case 0x27: word = "&#39;"
      case 0x22: word = "&#34;"
      default:
        units.append(unit)
        continue
      }
      units += "\(word)".unicodeScalars.map { $0.value | unit & Text.userMark }
    }
    try spend(units.count)
    return Text(units: units).asMarkup
  }

  /// Jinja's `indent(width, first, blank)`; the width may be a text.
  private func indented(
    _ text: Text, _ arguments: Arguments
  ) throws(TemplateError) -> Text {
    let indentation: Text
    if case .text(let given)? = arguments.value(0, "width") {
      indentation = given
    } else {
      guard let width = wholeNumber(arguments.value(0, "width") ?? .int(4)) else {
        throw failure("'indent' wants a width or a text")
      }
      try spend(max(width, 0))
      indentation = Text(String(repeating: " ", count: max(width, 0)))
    }
    let lines = (text + Text("\n")).lines(keepingEnds: false)
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
    var result = Text(units: units)
    result.isMarkup = text.isMarkup
    return result
  }

  private func truncated(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let length = try arguments.int(0, "length", self) ?? 255
    let end = try arguments.text(2, "end", self) ?? Text("...")
    let leeway = try arguments.int(3, "leeway", self) ?? 5
    guard length >= end.count, leeway >= 0 else {
      throw failure("'truncate' wants a length of at least \(end.count) and a leeway of at least 0")
    }
    let count = try self.length(of: value)
    if count <= length || count - length <= leeway { return value }
    guard case .text(let text) = value else { throw failure("'truncate' wants a text, found \(value.kind)") }
    var part = text.slice(0..<length - end.count)
    if !arguments.isTrue(1, "killwords"), let space = part.lastIndex(of: Text(" ")) {
      part = part.slice(0..<space)
    }
    part.isMarkup = text.isMarkup
    return try apply(.add, .text(part), .text(end))
  }

  /// Percent signs for all but letters, digits and `_.-~`; pairs of a mapping as a query.
  private func urlEncoded(_ value: Value) throws(TemplateError) -> Text {
    func quoted(_ text: Text, isQuery: Bool) throws(TemplateError) -> [UInt32] {
      var units: [UInt32] = []
      for unit in text.units {
        let mark = unit & Text.userMark
        guard let scalar = Unicode.Scalar(unit & ~Text.userMark) else { continue }
        for byte in Array(String(Character(scalar)).utf8) {
          switch byte {
          case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x2E, 0x2D, 0x7E:
            units.append(UInt32(byte) | mark)
          case 0x2F where !isQuery: units.append(UInt32(byte) | mark)
          case 0x20 where isQuery: units.append(0x2B | mark)
          default:
            let digits = String(byte, radix: 16, uppercase: true)
            units += ("%" + (digits.utf8.count < 2 ? "0" : "") + digits).unicodeScalars.map {
              $0.value | mark
            }
          }
        }
      }
      try spend(units.count)
      return units
    }
    let pairs: [Value]
    switch value {
    case .dictionary:
      pairs = try elements(of: try call(method: "items", of: value, Arguments()), doing: "encode")
    case .list, .undefined: pairs = try elements(of: value, doing: "encode")
    default: return Text(units: try quoted(try text(of: value), isQuery: false))
    }
    var units: [UInt32] = []
    for (place, pair) in pairs.enumerated() {
      let parts = try elements(of: pair, doing: "unpack")
      guard parts.count == 2 else { throw failure("'urlencode' wants pairs, found \(parts.count) values") }
      if place > 0 { units.append(0x26) }
      units += try quoted(try text(of: parts[0]), isQuery: true) + [0x3D]
      units += try quoted(try text(of: parts[1]), isQuery: true)
    }
    return Text(units: units)
  }

  private func xmlAttributes(_ value: Value, _ arguments: Arguments) throws(TemplateError)
    -> Text
  {
    guard case .dictionary(let dictionary) = value else {
      throw failure("'xmlattr' wants a mapping, found \(value.kind)")
    }
    var parts: [Text] = []
    for (key, value) in zip(dictionary.keys, dictionary.values) {
      switch value {
      case .none, .undefined: continue
      default: break
      }
      guard case .text(let name) = key else { throw failure("'xmlattr' wants names that are texts") }
      let bad: Set<UInt32> = [0x2F, 0x3E, 0x3D]
      if name.units.contains(where: { Text.isSpace($0) || bad.contains($0 & ~Text.userMark) }) {
        throw failure("'xmlattr': '\(name.string.prefix(40))' cannot be the name of an attribute")
      }
      parts.append(
        try escaped(name) + Text("=\"") + escaped(try text(of: value)) + Text("\""))
    }
    var units: [UInt32] = []
    for (place, part) in parts.enumerated() {
      if place > 0 || (arguments.value(0, "autospace")?.isTrue ?? true) { units.append(0x20) }
      units += part.units
    }
    return Text(units: units)
  }

  // MARK: Lists

  private func filterList(
    _ name: String, _ value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "items":
      switch value {
      case .undefined: return try makeList([], .iterator)
      case .dictionary:
        let items = try call(method: "items", of: value, Arguments())
        return try makeList(try elements(of: items, doing: "list"), .iterator)
      default: throw failure("'items' wants a mapping, found \(value.kind)")
      }
    case "dictsort": return try dictionarySorted(value, arguments)
    case "join":
      var items = try elements(of: value, doing: "join")
      if let attribute = arguments.value(1, "attribute"), !attribute.isNone {
        items = try projected(items, attribute: attribute)
      }
      let separator = try plainText(of: arguments.value(0, "d") ?? .text(Text()))
      return .text(try joined(items, by: separator))
    case "list": return try makeList(try elements(of: value, doing: "list"))
    case "first": return try first(of: value) ?? .undefined("the first element")
    case "last":
      if case .list(let list) = value, list.kind == .iterator {
        throw failure("an iterator has no last element")
      }
      return try elements(of: value, doing: "take an element of").last ?? .undefined("the last element")
    case "reverse":
      switch value {
      case .text(let text):
        try spend(text.count)
        var reversed = Text(units: text.units.reversed())
        reversed.isMarkup = text.isMarkup
        return .text(reversed)
      case .list(let list) where list.kind == .iterator:
        return try makeList(try elements(of: value, doing: "reverse").reversed())
      default: return try makeList(try elements(of: value, doing: "reverse").reversed(), .iterator)
      }
    case "batch": return try batched(value, arguments)
    case "slice": return try sliced(value, arguments)
    default: return try filterOrder(name, value, arguments)
    }
  }

  /// The first element; an iterator keeps the others.
  private func first(of value: Value) throws(TemplateError) -> Value? {
    if case .list(let list) = value, list.kind == .iterator {
      return list.items.isEmpty ? nil : list.items.removeFirst()
    }
    return try elements(of: value, doing: "take an element of").first
  }

  private func batched(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "batch")
    // As Python compares it: a size that no list has puts all into one.
    guard let size = number(arguments.value(0, "linecount") ?? .none) else {
      guard items.isEmpty else { return try makeList([try makeList(items)], .iterator) }
      return try makeList([], .iterator)
    }
    var batches: [Value] = []
    var batch: [Value] = []
    for item in items {
      if Double(batch.count) == size {
        batches.append(try makeList(batch))
        batch = []
      }
      batch.append(item)
    }
    if size == 0, !items.isEmpty { batches[0] = try makeList([]) }
    if !batch.isEmpty {
      if let filler = arguments.value(1, "fill_with"), !filler.isNone, Double(batch.count) < size {
        let wanted = try arguments.int(0, "linecount", self) ?? 0
        try spend(wanted.multipliedReportingOverflow(by: 8).overflow ? .max : wanted * 8)
        batch += repeatElement(filler, count: wanted - batch.count)
      }
      batches.append(try makeList(batch))
    }
    return try makeList(batches, .iterator)
  }

  private func sliced(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "slice")
    guard let slices = try arguments.int(0, "slices", self), slices != 0 else {
      throw failure("'slice' wants a number of slices other than 0")
    }
    guard slices > 0 else { return try makeList([], .iterator) }
    try spend(slices.multipliedReportingOverflow(by: 8).overflow ? .max : slices * 8)
    let size = items.count / slices
    let longer = items.count % slices
    var parts: [Value] = []
    var start = 0
    for place in 0..<slices {
      try step()
      let end = start + size + (place < longer ? 1 : 0)
      var part = Array(items[start..<end])
      if let filler = arguments.value(1, "fill_with"), !filler.isNone, place >= longer { part.append(filler) }
      parts.append(try makeList(part))
      start = end
    }
    return try makeList(parts, .iterator)
  }

  // MARK: Filters that are given names of others

  private func filterFreely(
    _ name: String, _ value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "format":
      guard arguments.positional.isEmpty || arguments.named.isEmpty else {
        throw failure("'format' wants values by place or by name, not both")
      }
      let text = try text(of: value)
      guard !arguments.named.isEmpty else {
        return .text(try printf(text, try makeList(arguments.positional, .tuple)))
      }
      let dictionary = Mapping()
      for (name, value) in arguments.named { try set(dictionary, .text(Text(name)), value) }
      return .text(try printf(text, .dictionary(dictionary)))
    case "map": return try mapped(value, arguments)
    default: return try selected(name, value, arguments)
    }
  }

  private func mapped(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard value.isTrue else { return try makeList([], .iterator) }
    var results: [Value] = []
    if arguments.positional.isEmpty, let attribute = arguments.named.last(where: { $0.0 == "attribute" })?.1 {
      if let stray = arguments.named.first(where: { $0.0 != "attribute" && $0.0 != "default" }) {
        throw failure("'map' has no parameter '\(stray.0)'")
      }
      let fallback = arguments.named.last { $0.0 == "default" }?.1
      for item in try elements(of: value, doing: "map") {
        try step()
        results.append(try member(attribute, of: item, default: fallback))
      }
      return try makeList(results, .iterator)
    }
    guard case .text(let name)? = arguments.positional.first else {
      throw failure("'map' wants the name of a filter, or attribute=")
    }
    var rest = arguments
    rest.positional.removeFirst()
    for item in try elements(of: value, doing: "map") {
      try step()
      results.append(
        try deeper { () throws(TemplateError) in try filter(name.string, item, rest) })
    }
    return try makeList(results, .iterator)
  }

  private func selected(
    _ name: String, _ value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    guard value.isTrue else { return try makeList([], .iterator) }
    var rest = arguments
    var attribute: Value?
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
    var kept: [Value] = []
    for item in try elements(of: value, doing: "select from") {
      try step()
      let subject = try attribute.map { (path) throws(TemplateError) in try member(path, of: item) } ?? item
      let holds =
        try testName.map { (test) throws(TemplateError) in try self.test(test, subject, rest) }
        ?? subject.isTrue
      if holds == keeps { kept.append(item) }
    }
    return try makeList(kept, .iterator)
  }

  // MARK: Members by path

  /// A member of a member by a path such as `function.name` or `0`.
  /// - Parameter fallback: Stands in for a member that is not there, on the way as well.
  func member(_ path: Value, of value: Value, default fallback: Value? = nil) throws(TemplateError) -> Value {
    var value = value
    let parts: [Value]
    switch path {
    case .text(let path):
      parts = path.split(Text("."), limit: -1).map { part in
        part.all { $0.numericType == .decimal }
          ? Int(part.string).map { .int($0) } ?? .text(part) : .text(part)
      }
    case .none: parts = []
    default: parts = [path]
    }
    for part in parts {
      value = try item(part, of: value)
      if case .undefined = value, let fallback, !fallback.isNone { value = fallback }
    }
    return value
  }

  func projected(_ items: [Value], attribute: Value?) throws(TemplateError) -> [Value] {
    guard let attribute, !attribute.isNone else { return items }
    var values: [Value] = []
    for item in items {
      try step()
      values.append(try member(attribute, of: item))
    }
    return values
  }
}

extension Value {
  var isNone: Bool { if case .none = self { true } else { false } }
}

extension Text {
  var asMarkup: Text {
    var copy = self
    copy.isMarkup = true
    return copy
  }
}
