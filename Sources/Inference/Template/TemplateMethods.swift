// TemplateMethods.swift: the methods of texts, lists and mappings that a template may call: this list and no other.

import Foundation

enum TemplateMethods {
  static let ofTexts: Set<String> = [
    "capitalize", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isdecimal",
    "isdigit",
    "islower", "isnumeric", "isspace", "isupper", "join", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith",
    "strip",
    "title", "upper", "zfill",
  ]
  static let ofLists: Set<String> = [
    "append", "copy", "count", "extend", "index", "insert", "pop", "reverse",
  ]
  static let ofTuples: Set<String> = ["count", "index"]
  static let ofMappings: Set<String> = [
    "copy", "get", "items", "keys", "pop", "setdefault", "update", "values",
  ]

  static func names(of value: TemplateInner) -> Set<String> {
    switch value {
    case .text: ofTexts
    case .list(let list): list.isTuple ? ofTuples : ofLists
    case .dictionary: ofMappings
    default: []
    }
  }
}

extension TemplateInterpreter {
  func call(
    method name: String, of value: Inner, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    switch value {
    case .text(let text): return try call(name, of: text, arguments)
    case .list(let list): return try call(name, of: list, arguments)
    case .dictionary(let dictionary): return try call(name, of: dictionary, arguments)
    case .loop(let loop): return try call(name, of: loop, arguments)
    default: throw failure("\(value.kind) has no method '\(name)'")
    }
  }

  private func call(
    _ name: String, of loop: TemplateLoop, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    if name == "cycle" {
      guard !arguments.positional.isEmpty else { throw failure("'loop.cycle' wants values") }
      return arguments.positional[loop.place % arguments.positional.count]
    }
    let before = loop.changed
    loop.changed = arguments.positional
    guard let before, before.count == arguments.positional.count else { return .bool(true) }
    for (old, new) in zip(before, arguments.positional) where !(try isEqual(old, new)) { return .bool(true) }
    return .bool(false)
  }

  // MARK: Texts

  private func call(
    _ name: String, of text: TemplateText, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    try spend(text.count)
    switch name {
    case "strip", "lstrip", "rstrip":
      let set = try arguments.text(0, "chars", self)
      return .text(text.stripped(leading: name != "rstrip", trailing: name != "lstrip", of: set))
    case "lower": return .text(text.lowercased())
    case "upper": return .text(text.uppercased())
    case "capitalize": return .text(text.capitalized())
    case "title": return .text(text.titled())
    case "split", "rsplit":
      return try split(text, fromEnd: name == "rsplit", arguments)
    case "splitlines":
      try spend(text.units.count(where: TemplateText.isLineEnd) * 16)
      return try makeList(text.lines(keepingEnds: arguments.isTrue(0, "keepends")).map { .text($0) })
    case "startswith", "endswith":
      return .bool(
        try affixes(name, arguments).contains {
          name == "startswith" ? text.hasPrefix($0) : text.hasSuffix($0)
        })
    case "removeprefix":
      let affix = try affix(name, arguments)
      return .text(text.hasPrefix(affix) ? text.slice(affix.count..<text.count) : text)
    case "removesuffix":
      let affix = try affix(name, arguments)
      return .text(!affix.isEmpty && text.hasSuffix(affix) ? text.slice(0..<text.count - affix.count) : text)
    case "replace":
      guard let old = try arguments.text(0, "old", self), let new = try arguments.text(1, "new", self) else {
        throw failure("'replace' wants two texts")
      }
      return .text(try replaced(text, old, new, limit: try arguments.int(2, "count", self) ?? -1))
    case "find", "rfind", "index", "count":
      let needle = try affix(name, arguments)
      try payForSearch(of: needle, in: text)
      if name == "count" { return .int(text.occurrences(of: needle)) }
      let place = name == "rfind" ? text.lastIndex(of: needle) : text.firstIndex(of: needle)
      if name == "index", place == nil { throw failure("'index' finds nothing") }
      return .int(place ?? -1)
    case "join":
      return .text(
        try joined(try elements(of: try arguments.one(name, self), doing: "join"), by: text, strict: true))
    case "partition", "rpartition":
      let separator = try affix(name, arguments)
      guard !separator.isEmpty else { throw failure("'\(name)' wants a separator that is not empty") }
      try payForSearch(of: separator, in: text)
      let place = name == "partition" ? text.firstIndex(of: separator) : text.lastIndex(of: separator)
      guard let place else {
        let whole: [TemplateText] =
          name == "partition"
          ? [text, TemplateText(), TemplateText()] : [TemplateText(), TemplateText(), text]
        return try makeList(whole.map { .text($0) }, isTuple: true)
      }
      let parts = [text.slice(0..<place), separator, text.slice(place + separator.count..<text.count)]
      return try makeList(parts.map { .text($0) }, isTuple: true)
    case "zfill":
      let width = try arguments.int(0, "width", self) ?? 0
      try spend(max(width, 0))
      let sign = text.hasPrefix(TemplateText("-")) || text.hasPrefix(TemplateText("+")) ? 1 : 0
      var units = text.units
      units.insert(contentsOf: repeatElement(0x30, count: max(width - text.count, 0)), at: sign)
      return .text(TemplateText(units: units))
    case "format": return .text(try formatted(text, arguments))
    case "isspace": return .bool(!text.isEmpty && text.units.allSatisfy(TemplateText.isSpace))
    case "isdigit", "isdecimal", "isnumeric": return .bool(text.all { $0.numericType != nil })
    case "isalpha": return .bool(text.all { $0.isAlphabetic })
    case "isalnum": return .bool(text.all { $0.isAlphabetic || $0.numericType != nil })
    case "islower", "isupper":
      let plain = text.string
      let same = name == "islower" ? text.lowercased().string == plain : text.uppercased().string == plain
      return .bool(same && plain.unicodeScalars.contains { $0.properties.isCased })
    default: throw failure("a text has no method '\(name)'")
    }
  }

  private func affix(_ name: String, _ arguments: TemplateArguments) throws(TemplateError) -> TemplateText {
    guard let text = try arguments.text(0, "text", self) else { throw failure("'\(name)' wants a text") }
    return text
  }

  /// One text, or a tuple of alternatives.
  private func affixes(_ name: String, _ arguments: TemplateArguments) throws(TemplateError) -> [TemplateText]
  {
    guard case .list(let list)? = arguments.positional.first else { return [try affix(name, arguments)] }
    var texts: [TemplateText] = []
    for item in list.items {
      guard case .text(let text) = item else { throw failure("'\(name)' wants texts, found \(item.kind)") }
      texts.append(text)
    }
    return texts
  }

  private func split(
    _ text: TemplateText, fromEnd: Bool, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    let limit = try arguments.int(1, "maxsplit", self) ?? -1
    guard let separator = try arguments.text(0, "sep", self) else {
      try spend(text.words * 16)
      guard !fromEnd || limit < 0 else {
        throw TemplateError.unsupported(line: line, "'rsplit' with a limit and no separator")
      }
      return try makeList(text.splitOnSpace(limit: limit).map { .text($0) })
    }
    guard !separator.isEmpty else { throw failure("'split' wants a separator that is not empty") }
    try payForSearch(of: separator, in: text)
    try spend(text.occurrences(of: separator) * 16)
    let parts = fromEnd ? text.splitFromEnd(separator, limit: limit) : text.split(separator, limit: limit)
    return try makeList(parts.map { .text($0) })
  }

  func replaced(
    _ text: TemplateText, _ old: TemplateText, _ new: TemplateText, limit: Int
  ) throws(TemplateError) -> TemplateText {
    try payForSearch(of: old, in: text)
    let places = limit < 0 ? text.occurrences(of: old) : min(limit, text.occurrences(of: old))
    let (growth, overflow) = places.multipliedReportingOverflow(by: new.count)
    let (total, tooMuch) = growth.addingReportingOverflow(text.count)
    try spend(overflow || tooMuch ? .max : total)
    return text.replacing(old, with: new, limit: limit)
  }

  /// The texts of the items with `separator` between; `strict` refuses what is no text, as Python's method does.
  func joined(
    _ items: [Inner], by separator: TemplateText, strict: Bool
  ) throws(TemplateError) -> TemplateText {
    var units: [UInt32] = []
    for (place, item) in items.enumerated() {
      if strict, case .text = item {
      } else if strict {
        throw failure("'join' wants texts, found \(item.kind)")
      }
      let part = try text(of: item)
      try spend(part.count + separator.count)
      if place > 0 { units += separator.units }
      units += part.units
    }
    return TemplateText(units: units)
  }

  /// Python's `format` with `{}`, `{0}` and `{name}`. Attributes and format specifications are refused: the first is
  /// the classic way out of a sandbox.
  private func formatted(_ format: TemplateText, _ arguments: TemplateArguments) throws(TemplateError)
    -> TemplateText
  {
    var units: [UInt32] = []
    var at = 0
    var automatic = 0
    let plain = format.plain
    while at < plain.count {
      let unit = plain[at]
      if unit == 0x7B || unit == 0x7D {
        if at + 1 < plain.count, plain[at + 1] == unit {
          units.append(format.units[at])
          at += 2
          continue
        }
        guard unit == 0x7B, let end = plain[at...].firstIndex(of: 0x7D) else {
          throw failure("a format has a single '\(unit == 0x7B ? "{" : "}")'")
        }
        let field = TemplateText.string(plain[(at + 1)..<end])
        at = end + 1
        let value: Inner?
        if field.isEmpty {
          value = arguments.positional.indices.contains(automatic) ? arguments.positional[automatic] : nil
          automatic += 1
        } else if let place = Int(field) {
          value = arguments.positional.indices.contains(place) ? arguments.positional[place] : nil
        } else if field.unicodeScalars.allSatisfy({ $0.properties.isXIDContinue }) {
          value = arguments.named.last { $0.0 == field }?.1
        } else {
          throw TemplateError.unsupported(line: line, "the format field '{\(field.prefix(40))}'")
        }
        guard let value else { throw failure("the format field '{\(field.prefix(40))}' has no value") }
        let part = try text(of: value)
        try spend(part.count)
        units += part.units
        continue
      }
      units.append(format.units[at])
      at += 1
    }
    try spend(units.count)
    return TemplateText(units: units)
  }

  // MARK: Lists

  private func call(
    _ name: String, of list: TemplateList, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    try step(list.items.count >> 4)
    switch name {
    case "append":
      try insert(try arguments.one(name, self), into: list, at: list.items.count)
      return .none
    case "extend":
      for item in try elements(of: try arguments.one(name, self), doing: "extend a list by") {
        try insert(item, into: list, at: list.items.count)
      }
      return .none
    case "insert":
      guard let place = try arguments.int(0, "index", self), let value = arguments.value(1, "object") else {
        throw failure("'insert' wants a place and a value")
      }
      let count = list.items.count
      let from = place < 0 ? max(place, -count) + count : min(place, count)
      try insert(value, into: list, at: from)
      return .none
    case "pop":
      let count = list.items.count
      let place = try arguments.int(0, "index", self) ?? -1
      let at = place < 0 ? max(place, -count - 1) + count : place
      guard at >= 0, at < count else {
        throw failure("'pop' finds no element \(place) in a list of \(count)")
      }
      return list.items.remove(at: at)
    case "reverse":
      list.items.reverse()
      return .none
    case "copy": return try makeList(list.items)
    case "count", "index":
      let wanted = try arguments.one(name, self)
      var total = 0
      for (place, item) in list.items.enumerated() where try isEqual(item, wanted) {
        if name == "index" { return .int(place) }
        total += 1
      }
      guard name == "count" else { throw failure("'index' finds nothing") }
      return .int(total)
    default: throw failure("a list has no method '\(name)'")
    }
  }

  // MARK: Mappings

  private func call(
    _ name: String, of dictionary: TemplateDictionary, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Inner {
    try step(dictionary.count >> 4)
    switch name {
    case "items":
      var items: [Inner] = []
      for (key, value) in zip(dictionary.keys, dictionary.values) {
        items.append(try makeList([key, value], isTuple: true))
      }
      return try makeList(items)
    case "keys": return try makeList(dictionary.keys)
    case "values": return try makeList(dictionary.values)
    case "copy":
      let copy = TemplateDictionary()
      for (key, value) in zip(dictionary.keys, dictionary.values) { try set(copy, key, value) }
      return .dictionary(copy)
    case "update":
      noteChange(dictionary)
      if case .dictionary(let other)? = arguments.positional.first {
        for (key, value) in zip(other.keys, other.values) { try set(dictionary, key, value) }
      }
      for (key, value) in arguments.named { try set(dictionary, .text(TemplateText(key)), value) }
      return .none
    case "get", "pop", "setdefault":
      guard let spelling = arguments.value(0, "key") else { throw failure("'\(name)' wants a key") }
      guard let key = spelling.key else { throw failure("\(spelling.kind) cannot be a key of a mapping") }
      let fallback = arguments.value(1, "default")
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
