// Methods.swift: the methods of strings, lists, mappings and numbers that a template may call: the
// rows of these tables and no others. Each returns what Python's returns. A new method is one row
// and one function. Start at Methods.ofTexts.

import Foundation

/// One method of one type of value.
struct Method<Receiver>: Sendable {
  /// nil for a method that accepts any arguments.
  let signature: Signature?
  let work: Work<Receiver>

  private init(_ signature: Signature?, _ work: @escaping Work<Receiver>) {
    self.signature = signature
    self.work = work
  }

  fileprivate init(_ work: @escaping Work<Receiver>) { self.init(Signature.none, work) }

  fileprivate static func free(_ work: @escaping Work<Receiver>) -> Method { Method(nil, work) }

  fileprivate init(_ names: [String], required: Int = 0, _ work: @escaping Work<Receiver>) {
    self.init(Signature(names, required: required), work)
  }
}

extension Method where Receiver == Text {
  /// A method without arguments that returns another string.
  fileprivate static func maps(_ change: @escaping @Sendable (Text) -> Text) -> Method {
    Method { _ in { (text, _) throws(TemplateError) in .text(change(text)) } }
  }

  /// A method without arguments that tests a string.
  fileprivate static func asks(_ holds: @escaping @Sendable (Text) -> Bool) -> Method {
    Method { _ in { (text, _) throws(TemplateError) in .bool(holds(text)) } }
  }

  fileprivate static func chars(_ work: @escaping Work<Text>) -> Method { Method(["/chars"], work) }

  fileprivate static func one(_ work: @escaping Work<Text>) -> Method {
    Method(["/value"], required: 1, work)
  }

  fileprivate static func fill(_ work: @escaping Work<Text>) -> Method {
    Method(["/width", "/fillchar"], required: 1, work)
  }

  fileprivate static func search(_ work: @escaping Work<Text>) -> Method {
    Method(["/sub", "/start", "/end"], required: 1, work)
  }
}

extension Method where Receiver == Value {
  /// A method of numbers without arguments.
  fileprivate static func number(_ make: @escaping @Sendable (BigInteger) -> Value) -> Method {
    Method { run in
      { (value, _) throws(TemplateError) in make(try run.whole(value)) }
    }
  }
}

enum Methods {
  static let ofTexts: [String: Method<Text>] = [
    // Other texts.
    "capitalize": .maps { $0.capitalized() },
    "casefold": .maps { $0.caseFolded() },
    "center": .fill(Interpreter.justify("center")),
    "expandtabs": Method(["tabsize"], Interpreter.expandTabs),
    "format": .free(Interpreter.format),
    "format_map": .one(Interpreter.formatMap),
    "join": .one(Interpreter.join),
    "ljust": .fill(Interpreter.justify("ljust")),
    "lower": .maps { $0.lowercased() },
    "lstrip": .chars(Interpreter.strip(leading: true, trailing: false)),
    "removeprefix": .one(Interpreter.removePrefix),
    "removesuffix": .one(Interpreter.removeSuffix),
    "replace": Method(["/old", "/new", "/count"], required: 2, Interpreter.replace),
    "rjust": .fill(Interpreter.justify("rjust")),
    "rstrip": .chars(Interpreter.strip(leading: false, trailing: true)),
    "strip": .chars(Interpreter.strip(leading: true, trailing: true)),
    "swapcase": .maps { $0.caseSwapped() },
    "title": .maps { $0.titled() },
    "upper": .maps { $0.uppercased() },
    "zfill": .one(Interpreter.zeroFill),
    // Parts.
    "partition": .one(Interpreter.partition(fromEnd: false)),
    "rpartition": .one(Interpreter.partition(fromEnd: true)),
    "rsplit": Method(["sep", "maxsplit"], Interpreter.split(fromEnd: true)),
    "split": Method(["sep", "maxsplit"], Interpreter.split(fromEnd: false)),
    "splitlines": Method(["keepends"], Interpreter.splitLines),
    // Places.
    "count": .search(Interpreter.count),
    "endswith": .search(Interpreter.affix("endswith") { $0.hasSuffix($1) }),
    "find": .search(Interpreter.find("find", fromEnd: false, mustFind: false)),
    "index": .search(Interpreter.find("index", fromEnd: false, mustFind: true)),
    "rfind": .search(Interpreter.find("rfind", fromEnd: true, mustFind: false)),
    "rindex": .search(Interpreter.find("rindex", fromEnd: true, mustFind: true)),
    "startswith": .search(Interpreter.affix("startswith") { $0.hasPrefix($1) }),
    // Questions.
    "isalnum": .asks { $0.all { $0.isPythonAlphanumeric } },
    "isalpha": .asks { $0.all { $0.isPythonAlphabetic } },
    "isascii": .asks { $0.units.allSatisfy { $0 & ~Text.userMark < 0x80 } },
    "isdecimal": .asks { $0.all { $0.numericType == .decimal } },
    "isdigit": .asks { $0.all { $0.numericType == .decimal || $0.numericType == .digit } },
    "isidentifier": .asks(\.isIdentifier),
    "islower": .asks(\.isLowercase),
    "isnumeric": .asks { $0.all { $0.numericType != nil } },
    "isprintable": .asks(\.isPrintable),
    "isspace": .asks { !$0.isEmpty && $0.units.allSatisfy(Text.isSpace) },
    "istitle": .asks(\.isTitle),
    "isupper": .asks(\.isUppercase),
  ]

  static let ofLists: [String: Method<List>] = [
    "append": Method(["/value"], required: 1, Interpreter.append),
    "clear": Method(Interpreter.clear),
    "copy": Method(Interpreter.copy),
    "count": Method(["/value"], required: 1, Interpreter.search(.count)),
    "extend": Method(["/value"], required: 1, Interpreter.extend),
    "index": Method(["/value", "/start", "/stop"], required: 1, Interpreter.search(.index)),
    "insert": Method(["/index", "/object"], required: 2, Interpreter.insert),
    "pop": Method(["/index"], Interpreter.pop),
    "remove": Method(["/value"], required: 1, Interpreter.search(.remove)),
    "reverse": Method(Interpreter.reverse),
  ]

  /// Methods of immutable sequences: tuples and ranges.
  static let ofTuples: [String: Method<List>] = ofLists.filter { ["count", "index"].contains($0.key) }

  static let ofMappings: [String: Method<Mapping>] = [
    "clear": Method(Interpreter.clear),
    "copy": Method(Interpreter.copy),
    "get": Method(["/key", "/default"], required: 1, Interpreter.get),
    "items": Method(Interpreter.items),
    "keys": Method(Interpreter.keys),
    "pop": Method(["/key", "/default"], required: 1, Interpreter.pop),
    "popitem": Method(Interpreter.popItem),
    "setdefault": Method(["/key", "/default"], required: 1, Interpreter.setDefault),
    "update": .free(Interpreter.update),
    "values": Method(Interpreter.values),
  ]

  static let ofIntegers: [String: Method<Value>] = [
    "as_integer_ratio": Method(Interpreter.integerRatio),
    "bit_count": .number { .int($0.limbs.reduce(0) { $0 + $1.nonzeroBitCount }) },
    "bit_length": .number { .int($0.bitCount) },
    "conjugate": .number { .whole($0) },
  ]

  static let ofDoubles: [String: Method<Value>] = [
    "conjugate": Method { _ in { (value, _) throws(TemplateError) in value } },
    "is_integer": Method { _ in
      { (value, _) throws(TemplateError) in
        guard case .double(let number) = value else { return .bool(false) }
        return .bool(number.isFinite && number == number.rounded())
      }
    },
  ]

  static let ofCyclers: [String: Method<Turns>] = [
    "next": Method(Interpreter.next),
    "reset": Method(Interpreter.reset),
  ]

  fileprivate static func of(_ list: List) -> [String: Method<List>] {
    switch list.kind {
    case .list: ofLists
    case .tuple, .group, .range: ofTuples
    case .keys, .values, .items, .iterator: [:]
    }
  }

  static func contain(_ name: String, of value: Value) -> Bool {
    switch value {
    case .text: ofTexts[name] != nil
    case .list(let list): of(list)[name] != nil
    case .dictionary: ofMappings[name] != nil
    case .int, .big, .bool: ofIntegers[name] != nil
    case .double: ofDoubles[name] != nil
    case .turns(let turns): !turns.isJoiner && ofCyclers[name] != nil
    default: false
    }
  }
}

extension Interpreter {
  func call(
    method name: String, of value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    switch value {
    case .text(let text):
      try spend(text.count)
      let result = try call(Methods.ofTexts, name, of: text, costs: 0, value.kind, arguments)
      return text.isMarkup ? Self.markedUp(result) : result
    case .list(let list):
      return try call(Methods.of(list), name, of: list, costs: list.items.count, value.kind, arguments)
    case .dictionary(let mapping):
      return try call(Methods.ofMappings, name, of: mapping, costs: mapping.count, value.kind, arguments)
    case .loop(let loop): return try call(name, of: loop, arguments)
    case .turns(let turns) where !turns.isJoiner:
      return try call(Methods.ofCyclers, name, of: turns, costs: 0, value.kind, arguments)
    case .int, .big, .bool:
      return try call(Methods.ofIntegers, name, of: value, costs: 0, value.kind, arguments)
    case .double: return try call(Methods.ofDoubles, name, of: value, costs: 0, value.kind, arguments)
    default: throw failure("\(value.kind) has no method '\(name)'")
    }
  }

  private func call<Receiver>(
    _ methods: [String: Method<Receiver>], _ name: String, of receiver: Receiver, costs: Int, _ kind: String,
    _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    guard let method = methods[name] else { throw failure("\(kind) has no method '\(name)'") }
    if let signature = method.signature { try check(arguments, signature, of: name) }
    try step(costs >> 4)
    return try method.work(self)(receiver, arguments)
  }

  /// A method of Markup returns Markup.
  private static func markedUp(_ value: Value) -> Value {
    switch value {
    case .text(let text): return .text(text.asMarkup)
    case .list(let list):
      list.items = list.items.map(markedUp)
      return value
    default: return value
    }
  }

  private func call(
    _ name: String, of loop: Loop, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    guard arguments.named.isEmpty else { throw failure("'loop.\(name)' takes no named arguments") }
    if name == "cycle" {
      guard !arguments.positional.isEmpty else { throw failure("'loop.cycle' wants values") }
      return arguments.positional[loop.place % arguments.positional.count]
    }
    let before = loop.changed
    loop.rank = max(loop.rank, try rank(above: arguments.positional))
    loop.changed = arguments.positional
    guard let before, before.count == arguments.positional.count else { return .bool(true) }
    for (old, new) in zip(before, arguments.positional) where !(try isEqual(old, new)) { return .bool(true) }
    return .bool(false)
  }

  // MARK: Numbers

  fileprivate func whole(_ value: Value) throws(TemplateError) -> BigInteger {
    guard let whole = integer(value) else { throw failure("\(value.kind) is no whole number") }
    return whole
  }

  fileprivate func integerRatio(_ value: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
    try makeList([.whole(try whole(value)), .int(1)], .tuple)
  }

  // MARK: Cyclers

  fileprivate func next(_ turns: Turns, _ arguments: Arguments) throws(TemplateError) -> Value {
    defer { turns.place = (turns.place + 1) % turns.values.count }
    return turns.values[turns.place]
  }

  fileprivate func reset(_ turns: Turns, _ arguments: Arguments) throws(TemplateError) -> Value {
    turns.place = 0
    return .none
  }

  // MARK: Texts

  fileprivate static func strip(leading: Bool, trailing: Bool) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in
        let set = try arguments.text(0, "chars", run)
        return .text(text.stripped(leading: leading, trailing: trailing, of: set))
      }
    }
  }

  fileprivate func splitLines(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    try spend(text.units.count(where: Text.isLineEnd) * 16)
    return try makeList(text.lines(keepingEnds: arguments.isTrue(0, "keepends")).map { .text($0) })
  }

  /// `startswith` and `endswith`.
  fileprivate static func affix(
    _ name: String, _ holds: @escaping @Sendable (Text, Text) -> Bool
  ) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in
        guard let part = try run.part(of: text, arguments) else { return .bool(false) }
        return .bool(try run.affixes(name, arguments).contains { holds(part.text, $0) })
      }
    }
  }

  fileprivate func removePrefix(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    let affix = try affix("removeprefix", arguments)
    return .text(text.hasPrefix(affix) ? text.slice(affix.count..<text.count) : text)
  }

  fileprivate func removeSuffix(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    let affix = try affix("removesuffix", arguments)
    return .text(!affix.isEmpty && text.hasSuffix(affix) ? text.slice(0..<text.count - affix.count) : text)
  }

  fileprivate func replace(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard case .text(let old)? = arguments.value(0, "old"), case .text(let new)? = arguments.value(1, "new")
    else { throw failure("'replace' wants two texts") }
    return .text(
      try replaced(
        text, old, text.isMarkup ? try escaped(new) : new,
        limit: try arguments.whole(2, "count", self) ?? -1))
  }

  /// What is searched for, and the range of the text that is searched; nil if the range is invalid.
  private func searched(
    _ name: String, _ text: Text, _ arguments: Arguments
  ) throws(TemplateError) -> (needle: Text, part: (text: Text, start: Int)?) {
    let needle = try affix(name, arguments)
    try payForSearch(of: needle, in: text)
    return (needle, try part(of: text, arguments))
  }

  fileprivate func count(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    let (needle, part) = try searched("count", text, arguments)
    return .int(part?.text.occurrences(of: needle) ?? 0)
  }

  fileprivate static func find(_ name: String, fromEnd: Bool, mustFind: Bool) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in
        let (needle, part) = try run.searched(name, text, arguments)
        let place = fromEnd ? part?.text.lastIndex(of: needle) : part?.text.firstIndex(of: needle)
        if mustFind, place == nil { throw run.failure("'\(name)' finds nothing") }
        return .int(place.map { $0 + (part?.start ?? 0) } ?? -1)
      }
    }
  }

  fileprivate func join(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    var items = try elements(of: arguments.positional[0], doing: "join")
    for (place, item) in items.enumerated() {
      guard case .text(let part) = item else {
        guard text.isMarkup else { throw failure("'join' wants texts, found \(item.kind)") }
        items[place] = .text(try escaped(try self.text(of: item)))
        continue
      }
      if text.isMarkup { items[place] = .text(try escaped(part)) }
    }
    return .text(try joined(items, by: text))
  }

  fileprivate static func partition(fromEnd: Bool) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in
        let name = fromEnd ? "rpartition" : "partition"
        let separator = try run.affix(name, arguments)
        guard !separator.isEmpty else { throw run.failure("'\(name)' wants a separator that is not empty") }
        try run.payForSearch(of: separator, in: text)
        let place = fromEnd ? text.lastIndex(of: separator) : text.firstIndex(of: separator)
        let parts: [Text]
        if let place {
          parts = [text.slice(0..<place), separator, text.slice(place + separator.count..<text.count)]
        } else {
          parts = fromEnd ? [Text(), Text(), text] : [text, Text(), Text()]
        }
        return try run.makeList(parts.map { .text($0) }, .tuple)
      }
    }
  }

  fileprivate func zeroFill(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard let width = try arguments.whole(0, "value", self) else { throw failure("'zfill' wants a width") }
    try spend(max(width, 0))
    let sign = text.hasPrefix(Text("-")) || text.hasPrefix(Text("+")) ? 1 : 0
    var units = text.units
    units.insert(contentsOf: repeatElement(0x30, count: max(max(width, 0) - text.count, 0)), at: sign)
    return .text(Text(units: units))
  }

  fileprivate func format(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    .text(try formatted(text, arguments))
  }

  fileprivate func formatMap(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard case .dictionary(let mapping)? = arguments.positional.first else {
      throw failure("'format_map' wants a mapping")
    }
    var named = Arguments()
    for (key, value) in zip(mapping.keys, mapping.values) {
      if case .text(let key) = key { named.named.append((key.string, value)) }
    }
    return .text(try formatted(text, named))
  }

  /// The part of a string between the second and third argument, and where it starts; nil if there
  /// is none.
  private func part(
    of text: Text, _ arguments: Arguments
  ) throws(TemplateError) -> (text: Text, start: Int)? {
    guard arguments.positional.count > 1 else { return (text, 0) }
    let start = try arguments.bound(1, self) ?? 0
    let end = try arguments.bound(2, self) ?? text.count
    let low = start < 0 ? max(start + text.count, 0) : start
    let high = min(end < 0 ? max(end + text.count, 0) : end, text.count)
    guard low <= high, low <= text.count else { return nil }
    return (text.slice(low..<high), low)
  }

  /// `center`, `ljust` and `rjust`.
  fileprivate static func justify(_ name: String) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in .text(try run.justified(name, text, arguments)) }
    }
  }

  private func justified(
    _ name: String, _ text: Text, _ arguments: Arguments
  ) throws(TemplateError) -> Text {
    guard let width = try arguments.whole(0, "width", self) else { throw failure("'\(name)' wants a width") }
    var fill = Text(" ")
    if let given = arguments.value(1, "fillchar") {
      guard case .text(let character) = given, character.count == 1 else {
        throw failure("'\(name)' wants one character to fill with")
      }
      fill = text.isMarkup ? try escaped(character) : character
      guard fill.count == 1 else { throw failure("'\(name)' wants one character to fill with") }
    }
    try spend(max(width, 0))
    let padding = max(max(width, 0) - text.count, 0)
    let left: Int
    switch name {
    case "ljust": left = 0
    case "rjust": left = padding
    // Python puts the odd blank on the left if the width is odd too.
    default: left = padding / 2 + (padding & width & 1)
    }
    func blanks(_ count: Int) -> [UInt32] { Array(repeating: fill.units[0], count: count) }
    return Text(units: blanks(left) + text.units + blanks(padding - left))
  }

  fileprivate func expandTabs(_ text: Text, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard let size = wholeNumber(arguments.value(0, "tabsize") ?? .int(8)) else {
      throw failure("'expandtabs' wants a whole number")
    }
    var units: [UInt32] = []
    var column = 0
    for unit in text.units {
      switch unit & ~Text.userMark {
      case 0x09:
        guard size > 0 else { continue }
        let blanks = size - column % size
        try spend(blanks)
        units += Array(repeating: 0x20 | unit & Text.userMark, count: blanks)
        column += blanks
      case 0x0A, 0x0D:
        units.append(unit)
        column = 0
      default:
        units.append(unit)
        column += 1
      }
    }
    return .text(Text(units: units))
  }

  private func affix(_ name: String, _ arguments: Arguments) throws(TemplateError) -> Text {
    guard case .text(let text)? = arguments.positional.first else {
      throw failure("'\(name)' wants a text, found \(arguments.positional.first?.kind ?? "nothing")")
    }
    return text
  }

  /// One string, or a tuple of alternatives.
  private func affixes(_ name: String, _ arguments: Arguments) throws(TemplateError) -> [Text] {
    guard case .list(let list)? = arguments.positional.first, list.isTuple else {
      return [try affix(name, arguments)]
    }
    var texts: [Text] = []
    for item in list.items {
      guard case .text(let text) = item else { throw failure("'\(name)' wants texts, found \(item.kind)") }
      texts.append(text)
    }
    return texts
  }

  fileprivate static func split(fromEnd: Bool) -> Work<Text> {
    { run in
      { (text, arguments) throws(TemplateError) in try run.split(text, fromEnd: fromEnd, arguments) }
    }
  }

  private func split(
    _ text: Text, fromEnd: Bool, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    let limit = try arguments.whole(1, "maxsplit", self) ?? -1
    guard let separator = try arguments.text(0, "sep", self) else {
      try spend(text.parts * 16)
      let parts = fromEnd ? text.splitOnSpaceFromEnd(limit: limit) : text.splitOnSpace(limit: limit)
      return try makeList(parts.map { .text($0) })
    }
    guard !separator.isEmpty else { throw failure("'split' wants a separator that is not empty") }
    try payForSearch(of: separator, in: text)
    try spend(text.occurrences(of: separator) * 16)
    let parts = fromEnd ? text.splitFromEnd(separator, limit: limit) : text.split(separator, limit: limit)
    return try makeList(parts.map { .text($0) })
  }

  func replaced(
    _ text: Text, _ old: Text, _ new: Text, limit: Int
  ) throws(TemplateError) -> Text {
    try payForSearch(of: old, in: text)
    let places = limit < 0 ? text.occurrences(of: old) : min(limit, text.occurrences(of: old))
    let (growth, overflow) = places.multipliedReportingOverflow(by: new.count)
    let (total, tooMuch) = growth.addingReportingOverflow(text.count)
    try spend(overflow || tooMuch ? .max : total)
    return text.replacing(old, with: new, limit: limit)
  }

  /// Joins the items' strings with `separator`.
  func joined(_ items: [Value], by separator: Text) throws(TemplateError) -> Text {
    var units: [UInt32] = []
    for (place, item) in items.enumerated() {
      let part = try text(of: item)
      try spend(part.count + separator.count)
      if place > 0 { units += separator.units }
      units += part.units
    }
    return Text(units: units)
  }

  // MARK: Lists

  fileprivate func append(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    try insert(arguments.positional[0], into: list, at: list.items.count)
    return .none
  }

  fileprivate func extend(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    for item in try elements(of: arguments.positional[0], doing: "extend a list by") {
      try insert(item, into: list, at: list.items.count)
    }
    return .none
  }

  fileprivate func insert(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard let place = try arguments.whole(0, "index", self) else { throw failure("'insert' wants a place") }
    let count = list.items.count
    let from = place < 0 ? max(place, -count) + count : min(place, count)
    try insert(arguments.positional[1], into: list, at: from)
    return .none
  }

  fileprivate func pop(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    let count = list.items.count
    let place = try arguments.whole(0, "index", self) ?? -1
    let at = place < 0 ? max(place, -count - 1) + count : place
    guard at >= 0, at < count else {
      throw failure("'pop' finds no element \(place) in a list of \(count)")
    }
    return list.items.remove(at: at)
  }

  fileprivate func reverse(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    list.items.reverse()
    return .none
  }

  fileprivate func clear(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    list.items = []
    return .none
  }

  fileprivate func copy(_ list: List, _ arguments: Arguments) throws(TemplateError) -> Value {
    try makeList(list.items)
  }

  /// The methods that look for an element.
  fileprivate enum Search: String { case count, index, remove }

  fileprivate static func search(_ search: Search) -> Work<List> {
    { run in
      { (list, arguments) throws(TemplateError) in try run.search(search, list, arguments) }
    }
  }

  private func search(
    _ search: Search, _ list: List, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    let wanted = arguments.positional[0]
    let count = list.items.count
    func clamped(_ bound: Int) -> Int { bound < 0 ? max(bound, -count) + count : min(bound, count) }
    let from = clamped(try arguments.bound(1, self) ?? 0)
    let to = clamped(try arguments.bound(2, self) ?? count)
    var total = 0
    for place in from..<max(from, to) where try isEqual(list.items[place], wanted) {
      switch search {
      case .count: total += 1
      case .index: return .int(place)
      case .remove:
        list.items.remove(at: place)
        return .none
      }
    }
    guard search == .count else { throw failure("'\(search)' finds nothing") }
    return .int(total)
  }

  // MARK: Mappings

  fileprivate func items(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    var items: [Value] = []
    for (key, value) in zip(mapping.keys, mapping.values) {
      items.append(try makeList([key, value], .tuple))
    }
    return try makeList(items, .items)
  }

  fileprivate func keys(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    try makeList(mapping.keys, .keys)
  }

  fileprivate func values(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    try makeList(mapping.values, .values)
  }

  fileprivate func clear(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    mapping.removeAll()
    return .none
  }

  fileprivate func popItem(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    guard let key = mapping.keys.last, let plain = key.key, let value = mapping.remove(plain) else {
      throw failure("'popitem' finds an empty mapping")
    }
    return try makeList([key, value], .tuple)
  }

  fileprivate func copy(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    let copy = Mapping()
    for (key, value) in zip(mapping.keys, mapping.values) { try set(copy, key, value) }
    return .dictionary(copy)
  }

  fileprivate func update(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    noteChange(mapping)
    try fill(mapping, from: arguments)
    return .none
  }

  private func key(_ spelling: Value) throws(TemplateError) -> Key {
    guard let key = spelling.key else { throw failure("\(spelling.kind) cannot be a key of a mapping") }
    return key
  }

  fileprivate func get(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    mapping[try key(arguments.positional[0])] ?? arguments.value(1, "/default") ?? .none
  }

  fileprivate func pop(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    let key = try key(arguments.positional[0])
    try step(mapping.count)
    guard let value = mapping.remove(key) ?? arguments.value(1, "/default") else {
      throw failure("'pop' finds no such key")
    }
    return value
  }

  fileprivate func setDefault(_ mapping: Mapping, _ arguments: Arguments) throws(TemplateError) -> Value {
    let spelling = arguments.positional[0]
    if let value = mapping[try key(spelling)] { return value }
    let value = arguments.value(1, "/default") ?? .none
    noteChange(mapping)
    try set(mapping, spelling, value)
    return value
  }
}

extension Interpreter {
  /// The arguments of `dict(...)`, `namespace(...)` and `update(...)`: a mapping or pairs, and
  /// named values.
  func fill(_ dictionary: Mapping, from arguments: Arguments) throws(TemplateError) {
    guard arguments.positional.count < 2 else { throw failure("a mapping is made of one other at most") }
    if case .dictionary(let other)? = arguments.positional.first {
      for (key, value) in zip(other.keys, other.values) { try set(dictionary, key, value) }
    } else if let other = arguments.positional.first {
      for pair in try elements(of: other, doing: "make a mapping of") {
        let pair = try elements(of: pair, doing: "make a mapping of")
        guard pair.count == 2 else { throw failure("a mapping is made of pairs") }
        try set(dictionary, pair[0], pair[1])
      }
    }
    for (name, value) in arguments.named {
      try set(dictionary, .text(arguments.text(ofName: name)), value)
    }
  }
}

extension Text {
  var isIdentifier: Bool {
    guard let first = plain.first.flatMap({ Unicode.Scalar($0) }) else { return false }
    return (first == "_" || first.properties.isXIDStart) && all { $0.isXIDContinue }
  }

  var isPrintable: Bool {
    units.allSatisfy {
      $0 & ~Self.userMark == 0x20
        || Unicode.Scalar($0 & ~Self.userMark)?.properties.isPythonPrintable ?? false
    }
  }

  /// Python's `istitle`: every run of cased characters begins with a capital, and has no others.
  var isTitle: Bool {
    var found = false
    var wasCased = false
    for unit in units {
      guard let properties = Unicode.Scalar(unit & ~Self.userMark)?.properties else { continue }
      if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
        guard !wasCased else { return false }
        wasCased = true
        found = true
      } else if properties.isLowercase {
        guard wasCased else { return false }
        wasCased = true
        found = true
      } else {
        wasCased = false
      }
    }
    return found
  }
}
