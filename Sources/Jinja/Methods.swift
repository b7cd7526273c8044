// Methods.swift: the methods of texts, lists, mappings and numbers that a template may
// call: this list and no other. Each gives what Python's gives.

import Foundation

enum Methods {
  private static let chars = Signature(["/chars"])
  private static let search = Signature(["/sub", "/start", "/end"], required: 1)
  private static let fill = Signature(["/width", "/fillchar"], required: 1)
  private static let one = Signature(["/value"], required: 1)

  static let ofTexts: [String: Signature] = [
    "capitalize": .none, "casefold": .none, "center": fill, "count": search, "endswith": search,
    "expandtabs": Signature(["tabsize"]), "find": search, "format_map": one, "index": search,
    "isalnum": .none, "isalpha": .none, "isascii": .none, "isdecimal": .none, "isdigit": .none,
    "isidentifier": .none, "islower": .none, "isnumeric": .none, "isprintable": .none, "isspace": .none,
    "istitle": .none, "isupper": .none, "join": one, "ljust": fill, "lower": .none, "lstrip": chars,
    "partition": one, "removeprefix": one, "removesuffix": one,
    "replace": Signature(["/old", "/new", "/count"], required: 2), "rfind": search, "rindex": search,
    "rjust": fill, "rpartition": one, "rsplit": Signature(["sep", "maxsplit"]), "rstrip": chars,
    "split": Signature(["sep", "maxsplit"]), "splitlines": Signature(["keepends"]),
    "startswith": search, "strip": chars, "swapcase": .none, "title": .none, "upper": .none, "zfill": one,
  ]
  static let ofLists: [String: Signature] = [
    "append": one, "clear": .none, "copy": .none, "count": one, "extend": one,
    "index": Signature(["/value", "/start", "/stop"], required: 1),
    "insert": Signature(["/index", "/object"], required: 2), "pop": Signature(["/index"]),
    "remove": one, "reverse": .none,
  ]
  static let ofTuples: [String: Signature] = [
    "count": one, "index": Signature(["/value", "/start", "/stop"], required: 1),
  ]
  static let ofMappings: [String: Signature] = [
    "clear": .none, "copy": .none, "get": Signature(["/key", "/default"], required: 1),
    "items": .none,
    "keys": .none, "pop": Signature(["/key", "/default"], required: 1), "popitem": .none,
    "setdefault": Signature(["/key", "/default"], required: 1), "values": .none,
  ]
  static let ofNumbers: [String: Signature] = [
    "as_integer_ratio": .none, "bit_count": .none, "bit_length": .none, "conjugate": .none,
  ]
  static let ofDoubles: [String: Signature] = ["conjugate": .none, "is_integer": .none]

  private static func fixed(_ value: Value) -> [String: Signature] {
    switch value {
    case .text: ofTexts
    case .list(let list):
      switch list.kind {
      case .list: ofLists
      case .tuple, .group, .range: ofTuples
      case .keys, .values, .items, .iterator: [:]
      }
    case .dictionary: ofMappings
    case .int, .big, .bool: ofNumbers
    case .double: ofDoubles
    case .turns(let turns): turns.isJoiner ? [:] : ["next": .none, "reset": .none]
    default: [:]
    }
  }

  /// The parameters of a method; nil for one that takes what comes.
  static func signature(_ name: String, of value: Value) -> Signature? { fixed(value)[name] }

  static func contain(_ name: String, of value: Value) -> Bool {
    switch (value, name) {
    case (.text, "format"), (.dictionary, "update"): true
    default: fixed(value)[name] != nil
    }
  }
}

extension Interpreter {
  func call(
    method name: String, of value: Value, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    if let signature = Methods.signature(name, of: value) {
      try check(arguments, signature, of: name)
    }
    switch value {
    case .text(let text):
      let result = try call(name, of: text, arguments)
      return text.isMarkup ? Self.markedUp(result) : result
    case .list(let list): return try call(name, of: list, arguments)
    case .dictionary(let dictionary): return try call(name, of: dictionary, arguments)
    case .loop(let loop): return try call(name, of: loop, arguments)
    case .turns(let turns):
      defer { turns.place = name == "reset" ? 0 : (turns.place + 1) % turns.values.count }
      return name == "reset" ? .none : turns.values[turns.place]
    case .int, .big, .bool, .double: return try call(name, ofNumber: value)
    default: throw failure("\(value.kind) has no method '\(name)'")
    }
  }

  /// What a method of marked-up text gives is marked up.
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

  private func call(_ name: String, ofNumber value: Value) throws(TemplateError) -> Value {
    if case .double(let double) = value {
      return name == "is_integer" ? .bool(double.isFinite && double == double.rounded()) : value
    }
    guard let whole = integer(value) else { throw failure("\(value.kind) has no method '\(name)'") }
    switch name {
    case "bit_length": return .int(whole.bitCount)
    case "bit_count": return .int(whole.limbs.reduce(0) { $0 + $1.nonzeroBitCount })
    case "as_integer_ratio": return try makeList([.whole(whole), .int(1)], .tuple)
    default: return .whole(whole)
    }
  }

  // MARK: Texts

  private func call(
    _ name: String, of text: Text, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    try spend(text.count)
    switch name {
    case "strip", "lstrip", "rstrip":
      let set = try arguments.text(0, "chars", self)
      return .text(text.stripped(leading: name != "rstrip", trailing: name != "lstrip", of: set))
    case "lower": return .text(text.lowercased())
    case "upper": return .text(text.uppercased())
    case "capitalize": return .text(text.capitalized())
    case "title": return .text(text.titled())
    case "casefold": return .text(text.caseFolded())
    case "swapcase": return .text(text.caseSwapped())
    case "split", "rsplit":
      return try split(text, fromEnd: name == "rsplit", arguments)
    case "splitlines":
      try spend(text.units.count(where: Text.isLineEnd) * 16)
      return try makeList(text.lines(keepingEnds: arguments.isTrue(0, "keepends")).map { .text($0) })
    case "startswith", "endswith":
      let part = try part(of: text, arguments)
      guard let part else { return .bool(false) }
      return .bool(
        try affixes(name, arguments).contains {
          name == "startswith" ? part.text.hasPrefix($0) : part.text.hasSuffix($0)
        })
    case "removeprefix":
      let affix = try affix(name, arguments)
      return .text(text.hasPrefix(affix) ? text.slice(affix.count..<text.count) : text)
    case "removesuffix":
      let affix = try affix(name, arguments)
      return .text(!affix.isEmpty && text.hasSuffix(affix) ? text.slice(0..<text.count - affix.count) : text)
    case "replace":
      guard case .text(let old)? = arguments.value(0, "old"), case .text(let new)? = arguments.value(1, "new")
      else { throw failure("'replace' wants two texts") }
      return .text(
        try replaced(
          text, old, text.isMarkup ? try escaped(new) : new,
          limit: try arguments.whole(2, "count", self) ?? -1))
    case "find", "rfind", "index", "rindex", "count":
      let needle = try affix(name, arguments)
      try payForSearch(of: needle, in: text)
      let part = try part(of: text, arguments)
      if name == "count" { return .int(part?.text.occurrences(of: needle) ?? 0) }
      let place =
        name.hasPrefix("r") ? part?.text.lastIndex(of: needle) : part?.text.firstIndex(of: needle)
      if name.hasSuffix("index"), place == nil { throw failure("'\(name)' finds nothing") }
      return .int(place.map { $0 + (part?.start ?? 0) } ?? -1)
    case "join":
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
    case "partition", "rpartition":
      let separator = try affix(name, arguments)
      guard !separator.isEmpty else { throw failure("'\(name)' wants a separator that is not empty") }
      try payForSearch(of: separator, in: text)
      let place = name == "partition" ? text.firstIndex(of: separator) : text.lastIndex(of: separator)
      guard let place else {
        let whole: [Text] =
          name == "partition"
          ? [text, Text(), Text()] : [Text(), Text(), text]
        return try makeList(whole.map { .text($0) }, .tuple)
      }
      let parts = [text.slice(0..<place), separator, text.slice(place + separator.count..<text.count)]
      return try makeList(parts.map { .text($0) }, .tuple)
    case "zfill":
      guard let width = try arguments.whole(0, "value", self) else { throw failure("'zfill' wants a width") }
      try spend(max(width, 0))
      let sign = text.hasPrefix(Text("-")) || text.hasPrefix(Text("+")) ? 1 : 0
      var units = text.units
      units.insert(contentsOf: repeatElement(0x30, count: max(max(width, 0) - text.count, 0)), at: sign)
      return .text(Text(units: units))
    case "center", "ljust", "rjust": return .text(try justified(name, text, arguments))
    case "expandtabs": return .text(try tabsExpanded(text, arguments))
    case "format": return .text(try formatted(text, arguments))
    case "format_map":
      guard case .dictionary(let dictionary)? = arguments.positional.first else {
        throw failure("'format_map' wants a mapping")
      }
      var named = Arguments()
      for (key, value) in zip(dictionary.keys, dictionary.values) {
        if case .text(let key) = key { named.named.append((key.string, value)) }
      }
      return .text(try formatted(text, named))
    default: return .bool(try holds(name, text))
    }
  }

  /// The methods that ask something of a text.
  private func holds(_ name: String, _ text: Text) throws(TemplateError) -> Bool {
    switch name {
    case "isspace": return !text.isEmpty && text.units.allSatisfy(Text.isSpace)
    case "isdecimal": return text.all { $0.numericType == .decimal }
    case "isdigit": return text.all { $0.numericType == .decimal || $0.numericType == .digit }
    case "isnumeric": return text.all { $0.numericType != nil }
    case "isalpha": return text.all { $0.isPythonAlphabetic }
    case "isalnum": return text.all { $0.isPythonAlphanumeric }
    case "isascii": return text.units.allSatisfy { $0 & ~Text.userMark < 0x80 }
    case "isprintable":
      return text.units.allSatisfy {
        $0 & ~Text.userMark == 0x20
          || Unicode.Scalar($0 & ~Text.userMark)?.properties.isPythonPrintable ?? false
      }
    case "islower": return text.isLowercase
    case "isupper": return text.isUppercase
    case "istitle": return text.isTitle
    case "isidentifier":
      guard let first = text.plain.first.flatMap({ Unicode.Scalar($0) }) else { return false }
      return (first == "_" || first.properties.isXIDStart) && text.all { $0.isXIDContinue }
    default: throw failure("a text has no method '\(name)'")
    }
  }

  /// The part of a text between the second and third argument, and where it starts; nil where there
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
    // Python puts the odd blank on the left when the width is odd too.
    default: left = padding / 2 + (padding & width & 1)
    }
    func blanks(_ count: Int) -> [UInt32] { Array(repeating: fill.units[0], count: count) }
    return Text(units: blanks(left) + text.units + blanks(padding - left))
  }

  private func tabsExpanded(_ text: Text, _ arguments: Arguments) throws(TemplateError)
    -> Text
  {
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
    return Text(units: units)
  }

  private func affix(_ name: String, _ arguments: Arguments) throws(TemplateError) -> Text {
    guard case .text(let text)? = arguments.positional.first else {
      throw failure("'\(name)' wants a text, found \(arguments.positional.first?.kind ?? "nothing")")
    }
    return text
  }

  /// One text, or a tuple of alternatives.
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

  /// The texts of the items with `separator` between.
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

  private func call(
    _ name: String, of list: List, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    try step(list.items.count >> 4)
    switch name {
    case "append":
      try insert(arguments.positional[0], into: list, at: list.items.count)
      return .none
    case "extend":
      for item in try elements(of: arguments.positional[0], doing: "extend a list by") {
        try insert(item, into: list, at: list.items.count)
      }
      return .none
    case "insert":
      guard let place = try arguments.whole(0, "index", self) else { throw failure("'insert' wants a place") }
      let count = list.items.count
      let from = place < 0 ? max(place, -count) + count : min(place, count)
      try insert(arguments.positional[1], into: list, at: from)
      return .none
    case "pop":
      let count = list.items.count
      let place = try arguments.whole(0, "index", self) ?? -1
      let at = place < 0 ? max(place, -count - 1) + count : place
      guard at >= 0, at < count else {
        throw failure("'pop' finds no element \(place) in a list of \(count)")
      }
      return list.items.remove(at: at)
    case "reverse":
      list.items.reverse()
      return .none
    case "clear":
      list.items = []
      return .none
    case "copy": return try makeList(list.items)
    case "count", "index", "remove":
      let wanted = arguments.positional[0]
      let count = list.items.count
      func clamped(_ bound: Int) -> Int { bound < 0 ? max(bound, -count) + count : min(bound, count) }
      let from = clamped(try arguments.bound(1, self) ?? 0)
      let to = clamped(try arguments.bound(2, self) ?? count)
      var total = 0
      for place in from..<max(from, to) where try isEqual(list.items[place], wanted) {
        if name == "index" { return .int(place) }
        if name == "remove" {
          list.items.remove(at: place)
          return .none
        }
        total += 1
      }
      guard name == "count" else { throw failure("'\(name)' finds nothing") }
      return .int(total)
    default: throw failure("a list has no method '\(name)'")
    }
  }

  // MARK: Mappings

  private func call(
    _ name: String, of dictionary: Mapping, _ arguments: Arguments
  ) throws(TemplateError) -> Value {
    try step(dictionary.count >> 4)
    switch name {
    case "items":
      var items: [Value] = []
      for (key, value) in zip(dictionary.keys, dictionary.values) {
        items.append(try makeList([key, value], .tuple))
      }
      return try makeList(items, .items)
    case "keys": return try makeList(dictionary.keys, .keys)
    case "values": return try makeList(dictionary.values, .values)
    case "clear":
      dictionary.removeAll()
      return .none
    case "popitem":
      guard let key = dictionary.keys.last, let plain = key.key, let value = dictionary.remove(plain) else {
        throw failure("'popitem' finds an empty mapping")
      }
      return try makeList([key, value], .tuple)
    case "copy":
      let copy = Mapping()
      for (key, value) in zip(dictionary.keys, dictionary.values) { try set(copy, key, value) }
      return .dictionary(copy)
    case "update":
      noteChange(dictionary)
      try fill(dictionary, from: arguments)
      return .none
    case "get", "pop", "setdefault":
      let spelling = arguments.positional[0]
      guard let key = spelling.key else { throw failure("\(spelling.kind) cannot be a key of a mapping") }
      let fallback = arguments.value(1, "/default")
      if name == "pop" {
        try step(dictionary.count)
        guard let value = dictionary.remove(key) ?? fallback else { throw failure("'pop' finds no such key") }
        return value
      }
      if let value = dictionary[key] { return value }
      guard name == "setdefault" else { return fallback ?? .none }
      noteChange(dictionary)
      try set(dictionary, spelling, fallback ?? .none)
      return fallback ?? .none
    default: throw failure("a mapping has no method '\(name)'")
    }
  }
}

extension Interpreter {
  /// What `dict(...)`, `namespace(...)` and `update(...)` are given: a mapping or pairs, and named
  /// values.
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
  /// Python's `istitle`: capitals begin runs of cased characters, and only they.
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
