// Filters.swift: the filters of a template, `value | name(arguments)`: the rows of this table and
// no others. Each returns what Jinja 3.1's returns, whatever its input; filters that have no use in
// a prompt are refused by name. A new filter is one row and one method. Not here: tests
// (Tests.swift), numbers (Filters+Numbers.swift), orders (Filters+Order.swift). Start at
// Filter.table.

import Foundation
import JSON

/// The parameters of a filter, test, method or function.
struct Signature {
  /// Names in order; a parameter whose name begins with `/` is positional only.
  let names: [String]
  let required: Int
  init(_ names: [String], required: Int = 0) {
    self.names = names
    self.required = required
  }
  static let none = Signature([])
}

/// The body of a filter or method: it takes the value it is applied to, and the arguments.
typealias Work<Receiver> =
  @Sendable (Interpreter) -> (_ receiver: Receiver, _ arguments: Arguments) throws(TemplateError) -> Value

/// One filter.
struct Filter: Sendable {
  /// nil for a filter that accepts any arguments and checks them itself.
  let signature: Signature?
  let work: Work<Value>

  private init(_ signature: Signature?, _ work: @escaping Work<Value>) {
    self.signature = signature
    self.work = work
  }

  private init(_ work: @escaping Work<Value>) { self.init(Signature.none, work) }

  private static func free(_ work: @escaping Work<Value>) -> Filter { Filter(nil, work) }

  private init(_ names: [String], required: Int = 0, _ work: @escaping Work<Value>) {
    self.init(Signature(names, required: required), work)
  }

  /// Filters of Jinja that are refused here: they need randomness or HTML's tables, or lay out text
  /// for readers of code.
  static let refused: Set<String> = ["pprint", "random", "striptags", "urlize", "wordwrap"]

  static let table: [String: Filter] = [
    // Texts.
    "capitalize": Filter(Interpreter.method("capitalize")),
    "center": Filter(["width"], Interpreter.centered),
    "e": Filter(Interpreter.escape),
    "escape": Filter(Interpreter.escape),
    "forceescape": Filter(Interpreter.forceEscape),
    "format": .free(Interpreter.format),
    "indent": Filter(["width", "first", "blank"], Interpreter.indent),
    "lower": Filter(Interpreter.method("lower")),
    "replace": Filter(["old", "new", "count"], required: 2, Interpreter.replace),
    "safe": Filter(Interpreter.safe),
    "string": Filter(Interpreter.string),
    "title": Filter(Interpreter.title),
    "trim": Filter(["chars"], Interpreter.trim),
    "truncate": Filter(["length", "killwords", "end", "leeway"], Interpreter.truncate),
    "upper": Filter(Interpreter.method("upper")),
    "urlencode": Filter(Interpreter.urlEncode),
    "wordcount": Filter(Interpreter.wordCount),
    "xmlattr": Filter(["autospace"], Interpreter.xmlAttributes),
    // Any value.
    "attr": Filter(["name"], required: 1, Interpreter.attribute),
    "count": Filter(Interpreter.length),
    "d": Filter(["default_value", "boolean"], Interpreter.defaulted),
    "default": Filter(["default_value", "boolean"], Interpreter.defaulted),
    "from_json": Filter(Interpreter.fromJSON),
    "fromjson": Filter(Interpreter.fromJSON),
    "length": Filter(Interpreter.length),
    "tojson": Filter(["ensure_ascii", "indent", "separators", "sort_keys"], Interpreter.toJSON),
    // Numbers.
    "abs": Filter(Interpreter.absolute),
    "filesizeformat": Filter(["binary"], Interpreter.fileSize),
    "float": Filter(["default"], Interpreter.float),
    "int": Filter(["default", "base"], Interpreter.int),
    "round": Filter(["precision", "method"], Interpreter.round),
    // Lists and mappings.
    "batch": Filter(["linecount", "fill_with"], required: 1, Interpreter.batch),
    "first": Filter(Interpreter.firstElement),
    "items": Filter(Interpreter.items),
    "join": Filter(["d", "attribute"], Interpreter.join),
    "last": Filter(Interpreter.lastElement),
    "list": Filter(Interpreter.list),
    "map": .free(Interpreter.map),
    "reject": .free(Interpreter.selection(keeps: false, byAttribute: false)),
    "rejectattr": .free(Interpreter.selection(keeps: false, byAttribute: true)),
    "reverse": Filter(Interpreter.reverse),
    "select": .free(Interpreter.selection(keeps: true, byAttribute: false)),
    "selectattr": .free(Interpreter.selection(keeps: true, byAttribute: true)),
    "slice": Filter(["slices", "fill_with"], required: 1, Interpreter.slice),
    // Order.
    "dictsort": Filter(["case_sensitive", "by", "reverse"], Interpreter.dictionarySort),
    "groupby": Filter(["attribute", "default", "case_sensitive"], required: 1, Interpreter.groupBy),
    "max": Filter(["case_sensitive", "attribute"], Interpreter.extreme(isLowest: false)),
    "min": Filter(["case_sensitive", "attribute"], Interpreter.extreme(isLowest: true)),
    "sort": Filter(["reverse", "case_sensitive", "attribute"], Interpreter.sort),
    "sum": Filter(["attribute", "start"], Interpreter.sum),
    "unique": Filter(["case_sensitive", "attribute"], Interpreter.unique),
  ]
}

extension Interpreter {
  /// Refuses surplus and missing arguments.
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
    guard let filter = Filter.table[name] else {
      if Filter.refused.contains(name) {
        throw TemplateError.unsupported(line: line, "the filter '\(name)'")
      }
      throw .syntax(line: line, "the filter '\(name)' is not known here")
    }
    if let signature = filter.signature { try check(arguments, signature, of: name) }
    return try filter.work(self)(value, arguments)
  }

  // MARK: Any value

  fileprivate func defaulted(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let isMissing: Bool
    if case .undefined = value {
      isMissing = true
    } else {
      isMissing = arguments.isTrue(1, "boolean") && !value.isTrue
    }
    return isMissing ? arguments.value(0, "default_value") ?? .text(Text()) : value
  }

  fileprivate func attribute(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard case .text(let attribute)? = arguments.value(0, "name") else {
      throw failure("'attr' wants the name of an attribute")
    }
    return try ownAttribute(attribute.string, of: value) ?? .undefined(attribute.string)
  }

  fileprivate func toJSON(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try json(of: value, arguments))
  }

  fileprivate func fromJSON(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard case .text(let text) = value else {
      throw failure("'from_json' wants a text, found \(value.kind)")
    }
    try spend(text.count * 2)
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONText.parse(Array(text.string.utf8), limits: .python)
    } catch {
      throw failure("'from_json': not JSON: \(error)")
    }
    return try self.value(of: json, isUsers: text.hasUserMark)
  }

  fileprivate func length(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .int(try length(of: value))
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

  /// The string that a string filter is applied to.
  fileprivate func subject(_ value: Value) throws(TemplateError) -> Text {
    let text = try text(of: value)
    try spend(text.count)
    return text
  }

  /// A filter that does the same as the method of that name.
  fileprivate static func method(_ name: String) -> Work<Value> {
    { run in
      { (value, arguments) throws(TemplateError) in
        try run.call(method: name, of: .text(try run.subject(value)), arguments)
      }
    }
  }

  fileprivate func trim(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try call(
      method: "strip", of: .text(try subject(value)),
      Arguments(positional: [arguments.value(0, "chars") ?? .none]))
  }

  fileprivate func title(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try subject(value).titledByBorders())
  }

  fileprivate func string(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try subject(value))
  }

  fileprivate func safe(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try subject(value).asMarkup)
  }

  fileprivate func replace(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    var text = try subject(value)
    let old = try plainText(of: arguments.value(0, "old") ?? .none)
    let new = try plainText(of: arguments.value(1, "new") ?? .none)
    text.isMarkup = false
    return .text(try replaced(text, old, new, limit: try arguments.int(2, "count", self) ?? -1))
  }

  fileprivate func indent(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let text = try subject(value)
    guard case .text = value else { throw failure("'indent' wants a text, found \(value.kind)") }
    return .text(try indented(text, arguments))
  }

  fileprivate func wordCount(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .int(try subject(value).words)
  }

  fileprivate func centered(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try call(
      method: "center", of: .text(try subject(value)),
      Arguments(positional: [arguments.value(0, "width") ?? .int(80)]))
  }

  fileprivate func escape(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try escaped(try subject(value)))
  }

  fileprivate func forceEscape(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    var text = try subject(value)
    text.isMarkup = false
    return .text(try escaped(text))
  }

  fileprivate func truncate(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    _ = try subject(value)
    return try truncated(value, arguments)
  }

  fileprivate func urlEncode(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    _ = try subject(value)
    return .text(try urlEncoded(value))
  }

  fileprivate func xmlAttributes(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    _ = try subject(value)
    return .text(try attributes(value, arguments))
  }

  fileprivate func format(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard arguments.positional.isEmpty || arguments.named.isEmpty else {
      throw failure("'format' wants values by place or by name, not both")
    }
    let text = try text(of: value)
    guard !arguments.named.isEmpty else {
      return .text(try printf(text, try makeList(arguments.positional, .tuple)))
    }
    let mapping = Mapping()
    for (name, value) in arguments.named { try set(mapping, .text(Text(name)), value) }
    return .text(try printf(text, .dictionary(mapping)))
  }

  /// Escapes for HTML; text already marked as safe is unchanged.
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

  /// Jinja's `indent(width, first, blank)`; the width may be a string.
  fileprivate func indented(
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

  fileprivate func truncated(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
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

  /// Percent-encodes all but letters, digits and `_.-~`; a mapping becomes a query string.
  fileprivate func urlEncoded(_ value: Value) throws(TemplateError) -> Text {
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

  fileprivate func attributes(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Text {
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

  fileprivate func items(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    switch value {
    case .undefined: return try makeList([], .iterator)
    case .dictionary:
      let items = try call(method: "items", of: value, Arguments())
      return try makeList(try elements(of: items, doing: "list"), .iterator)
    default: throw failure("'items' wants a mapping, found \(value.kind)")
    }
  }

  fileprivate func join(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    var items = try elements(of: value, doing: "join")
    if let attribute = arguments.value(1, "attribute"), !attribute.isNone {
      items = try projected(items, attribute: attribute)
    }
    let separator = try plainText(of: arguments.value(0, "d") ?? .text(Text()))
    return .text(try joined(items, by: separator))
  }

  fileprivate func list(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try makeList(try elements(of: value, doing: "list"))
  }

  fileprivate func firstElement(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try first(of: value) ?? .undefined("the first element")
  }

  fileprivate func lastElement(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    if case .list(let list) = value, list.kind == .iterator {
      throw failure("an iterator has no last element")
    }
    return try elements(of: value, doing: "take an element of").last ?? .undefined("the last element")
  }

  fileprivate func reverse(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
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
  }

  /// The first element; an iterator keeps its remaining ones.
  fileprivate func first(of value: Value) throws(TemplateError) -> Value? {
    if case .list(let list) = value, list.kind == .iterator {
      return list.items.isEmpty ? nil : list.items.removeFirst()
    }
    return try elements(of: value, doing: "take an element of").first
  }

  fileprivate func batch(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    let items = try elements(of: value, doing: "batch")
    // As Python compares it: a size that no list can have puts all items into one batch.
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

  fileprivate func slice(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
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

  // MARK: Filters that take the names of others

  fileprivate func map(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
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

  fileprivate static func selection(keeps: Bool, byAttribute: Bool) -> Work<Value> {
    { run in
      { (value, arguments) throws(TemplateError) in
        try run.selected(value, arguments, keeps: keeps, byAttribute: byAttribute)
      }
    }
  }

  fileprivate func selected(
    _ value: Value, _ arguments: Arguments, keeps: Bool, byAttribute: Bool
  ) throws(TemplateError) -> Value {
    let name = (keeps ? "select" : "reject") + (byAttribute ? "attr" : "")
    guard value.isTrue else { return try makeList([], .iterator) }
    var rest = arguments
    var attribute: Value?
    if byAttribute {
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

  /// A nested member, by a path such as `function.name` or `0`.
  /// - Parameter fallback: Replaces a missing member, also an intermediate one.
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
