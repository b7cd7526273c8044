// CallShape.swift: a format of tool calls as a value: what opens, what a call is made of, what stands
// between two, what closes. CallReader interprets it; each format is a file in Formats.

import JSON

/// One element of a call's text.
enum Part: Sendable {
  /// This text, exactly.
  case text(Marker)
  /// This text, or nothing.
  case maybe(Marker)
  /// One of these texts.
  case either([Marker])
  /// White space, or nothing.
  case space
  /// The tool's name.
  case name
  /// The model's own name for the call behind this text, or nothing.
  case labelled(Marker)
  /// A JSON object of a name and arguments, under one of these keys. `needsArguments`: an object
  /// without them is no call.
  case object(names: [String], arguments: [String], needsArguments: Bool)
  /// A JSON object that is the arguments.
  case arguments
  /// Any number of arguments in tags.
  case tags(Tags)
  /// Python's keyword arguments in parentheses.
  case python
  /// Gemma's arguments in braces.
  case gemma

  /// The members of the object that most formats agree on.
  static let namedObject = Part.object(
    names: ["name"], arguments: ["arguments", "parameters"], needsArguments: false)
}

/// Arguments that stand in tags of their own, one each.
struct Tags: Sendable {
  /// What stands before the argument's name, and after it.
  var open: Marker
  var nameEnd: Marker
  /// What stands between the name and the value, white space aside.
  var valueOpen: [ValueOpen]
  var close: Marker
  /// What may follow an argument that is closed: a closing tag in front of something else belongs to
  /// the value.
  var followers: [Marker]
  /// The value has a line of its own: one line break at either end is not part of it.
  var isOnOwnLines = false

  struct ValueOpen: Sendable {
    var marker: Marker
    /// Whether the tag itself says that the value is a string, or JSON; nil leaves it to the schema.
    var isString: Bool?
  }
}

struct CallShape: Sendable {
  /// The texts in an answer at which a call may begin.
  var openers: [Marker]
  /// Those that count only where the answer begins.
  var openersAtStart: [Marker] = []
  /// From an opener to the first call.
  var opening: [Part]
  /// The ways in which a call may be written; the first whose first part fits is taken.
  var calls: [[Part]]
  /// What stands between two calls; nil if nothing does, and each begins with its first part.
  var separators: [Marker] = []
  /// After the last call.
  var closing: [Part] = []
  /// What the name is cleaned of.
  var namePrefix = ""
  var hasNumberedNames = false
}

/// Reads the calls of one opened place. The text is read once; each step is one part.
struct CallReader: Sendable {
  enum Step: Equatable {
    /// A part was read.
    case next
    /// The text has to grow first.
    case more
    /// What stands here is no call.
    case no
    case call(ToolCall)
    /// The place is closed; what follows is text.
    case end
  }

  private enum Phase: Sendable {
    case opening(Int)
    case call(way: Int, part: Int)
    case between
    case closing(Int)
  }

  /// Longer names are none.
  private static let maximumName = 256

  private let shape: CallShape
  /// The name that a header gave before; nil if the call's text has it.
  private let givenName: String?
  private var phase = Phase.opening(0)
  private var name = ""
  private var identifier: String?
  private var members: [JSONValue.Member] = []
  private var enclosed: Enclosed?
  private var tag: OpenTag?
  /// Whether the part that was read comes once more: another argument, or more of this one.
  private var repeatsPart = false
  private var isAfterSeparator = false

  /// An argument whose tag is open.
  private struct OpenTag: Sendable {
    var name: String
    /// Nil until what stands before the value was read.
    var value: (isString: Bool?, start: Int)?
  }

  /// Whether all calls that began are whole: what is missing is at most a closing mark.
  var isBetweenCalls: Bool {
    switch phase {
    case .between, .closing: true
    case .opening, .call: false
    }
  }

  init(_ shape: CallShape, name: String? = nil) {
    self.shape = shape
    givenName = name
  }

  mutating func step(_ text: inout CallText, _ tools: [ToolDefinition]) -> Step {
    switch phase {
    case .opening(let part):
      guard part < shape.opening.count else { return begin(&text) }
      let result = read(shape.opening[part], &text, tools)
      if case .next = result { phase = .opening(part + 1) }
      return result
    case .call(let way, let part):
      guard part < shape.calls[way].count else {
        phase = .between
        return .call(
          ToolCall(
            id: identifier ?? (shape.hasNumberedNames ? name : nil), name: cleaned(name),
            arguments: uniqued(members)))
      }
      let result = read(shape.calls[way][part], &text, tools)
      if case .next = result, !repeatsPart { phase = .call(way: way, part: part + 1) }
      return result
    case .between: return between(&text)
    case .closing(let part):
      guard part < shape.closing.count else { return .end }
      let result = read(shape.closing[part], &text, tools)
      switch result {
      case .next: phase = .closing(part + 1)
      case .no: return .end
      case .more, .call, .end: break
      }
      return result
    }
  }

  /// Chooses the way in which the call that begins here is written.
  private mutating func begin(_ text: inout CallText) -> Step {
    if isAfterSeparator { text.skipSpace() }
    guard let next = text.next else { return .more }
    for (way, parts) in shape.calls.enumerated() {
      let match: Match =
        switch parts.first {
        case .text(let marker): text.match(marker, at: text.at)
        case .object, .arguments: next == UInt8(ascii: "{") ? .yes : .no
        default: .yes
        }
      // The way before is taken first, so what may become it is waited for.
      if match == .more { return .more }
      guard match == .yes else { continue }
      isAfterSeparator = false
      name = givenName ?? ""
      identifier = nil
      members = []
      phase = .call(way: way, part: 0)
      return .next
    }
    return .no
  }

  private mutating func between(_ text: inout CallText) -> Step {
    while text.searched < text.bytes.count, isSpace(text.bytes[text.searched]) { text.searched += 1 }
    let place = text.searched
    var waits = place == text.bytes.count
    for separator in shape.separators {
      switch text.match(separator, at: place) {
      case .yes:
        text.advance(to: place + separator.bytes.count)
        isAfterSeparator = true
        phase = .opening(shape.opening.count)
        return .next
      case .more: waits = true
      case .no: break
      }
    }
    if shape.separators.isEmpty {
      for case .text(let first)? in shape.calls.map(\.first) where !shape.openers.contains(first) {
        switch text.match(first, at: place) {
        case .yes:
          text.advance(to: place)
          phase = .opening(shape.opening.count)
          return .next
        case .more: waits = true
        case .no: break
        }
      }
    }
    for part in shape.closing {
      let markers: [Marker] =
        switch part {
        case .text(let marker), .maybe(let marker): [marker]
        case .either(let markers): markers
        default: []
        }
      for marker in markers {
        switch text.match(marker, at: place) {
        case .yes:
          text.advance(to: place)
          phase = .closing(0)
          return .next
        case .more: waits = true
        case .no: break
        }
      }
    }
    return waits ? .more : .end
  }

  private mutating func read(_ part: Part, _ text: inout CallText, _ tools: [ToolDefinition]) -> Step {
    repeatsPart = false
    switch part {
    case .text(let marker): return step(text.take(marker))
    case .maybe(let marker): return text.take(marker) == .more ? .more : .next
    case .either(let markers):
      let matches = markers.map { text.match($0, at: text.at) }
      if let found = matches.firstIndex(of: .yes) { return step(text.take(markers[found])) }
      return matches.contains(.more) ? .more : .no
    case .space:
      text.skipSpace()
      return text.isAtEnd ? .more : .next
    case .name: return readName(&text) { $0.name = $1 }
    case .labelled(let marker):
      switch text.match(marker, at: text.at) {
      case .no: return .next
      case .more: return .more
      case .yes: return readName(&text, after: marker.bytes.count) { $0.identifier = $1 }
      }
    case .object(let names, let arguments, let needsArguments):
      return readEnclosed(.json, &text) { reader, bytes in
        guard let value = parseJSON(bytes), case .object = value,
          let name = names.lazy.compactMap({ value[$0]?.string }).first, !name.isEmpty
        else { return false }
        let found = arguments.lazy.compactMap { value[$0] }.first
        guard let members = Self.members(found, needed: needsArguments) else { return false }
        reader.name = name
        reader.members = members
        return true
      }
    case .arguments:
      return readEnclosed(.json, &text) { reader, bytes in
        guard case .object(let members)? = parseJSON(bytes) else { return false }
        reader.members = members
        return true
      }
    case .python:
      return readEnclosed(.python, &text) { reader, bytes in
        guard let members = WrittenValues.python(bytes) else { return false }
        reader.members = members
        return true
      }
    case .gemma:
      return readEnclosed(.gemma, &text) { reader, bytes in
        guard let members = WrittenValues.gemma(bytes) else { return false }
        reader.members = members
        return true
      }
    case .tags(let tags): return readTag(tags, &text, tools)
    }
  }

  private func step(_ match: Match) -> Step {
    switch match {
    case .yes: .next
    case .no: .no
    case .more: .more
    }
  }

  private mutating func readName(
    _ text: inout CallText, after mark: Int = 0, _ set: (inout Self, String) -> Void
  ) -> Step {
    let start = text.at + mark
    var end = start
    while end < text.bytes.count, isNameByte(text.bytes[end]), end - start <= Self.maximumName { end += 1 }
    guard end - start <= Self.maximumName else { return .no }
    guard end < text.bytes.count else { return .more }
    guard end > start else { return .no }
    set(&self, text.text(start..<end))
    text.advance(to: end)
    return .next
  }

  private mutating func readEnclosed(
    _ quoting: Quoting, _ text: inout CallText, _ use: (inout Self, [UInt8]) -> Bool
  ) -> Step {
    if enclosed == nil {
      guard let next = text.next else { return .more }
      let open = quoting == .python ? UInt8(ascii: "(") : UInt8(ascii: "{")
      guard next == open else { return .no }
    }
    var search = enclosed ?? Enclosed(quoting)
    let result = search.search(&text)
    enclosed = search
    switch result {
    case .more: return .more
    case .no: return .no
    case .end(let end):
      enclosed = nil
      guard use(&self, text.bytes(text.at..<end)) else { return .no }
      text.advance(to: end)
      return .next
    }
  }

  // MARK: Tags

  private mutating func readTag(_ tags: Tags, _ text: inout CallText, _ tools: [ToolDefinition]) -> Step {
    guard let open = tag else {
      text.skipSpace()
      switch text.match(tags.open, at: text.at) {
      case .more: return .more
      // No further argument.
      case .no: return .next
      case .yes:
        repeatsPart = true
        return openTag(tags, &text)
      }
    }
    repeatsPart = true
    guard let value = open.value else { return openValue(tags, open.name, &text) }
    return readValue(tags, open.name, value, &text, tools)
  }

  private mutating func openTag(_ tags: Tags, _ text: inout CallText) -> Step {
    let start = text.at + tags.open.bytes.count
    var place = start
    while place < text.bytes.count, place - start <= Self.maximumName {
      switch text.match(tags.nameEnd, at: place) {
      case .yes:
        let name = text.text(start..<place)
        guard !name.isEmpty else { return .no }
        tag = OpenTag(name: name, value: nil)
        text.advance(to: place + tags.nameEnd.bytes.count)
        return .next
      case .more: return .more
      case .no:
        guard text.bytes[place] != UInt8(ascii: "<"), text.bytes[place] != 0x0A else { return .no }
        place += 1
      }
    }
    return place - start > Self.maximumName ? .no : .more
  }

  private mutating func openValue(_ tags: Tags, _ name: String, _ text: inout CallText) -> Step {
    if !tags.isOnOwnLines, tags.valueOpen.contains(where: { $0.marker.bytes.first == UInt8(ascii: "<") }) {
      text.skipSpace()
    }
    var waits = false
    for open in tags.valueOpen {
      switch text.take(open.marker) {
      case .yes:
        tag = OpenTag(name: name, value: (isString: open.isString, start: text.at))
        return .next
      case .more: waits = true
      case .no: break
      }
    }
    return waits ? .more : .no
  }

  private mutating func readValue(
    _ tags: Tags, _ name: String, _ value: (isString: Bool?, start: Int), _ text: inout CallText,
    _ tools: [ToolDefinition]
  ) -> Step {
    while text.searched < text.bytes.count {
      guard text.bytes[text.searched] == tags.close.bytes[0] else {
        text.searched += 1
        continue
      }
      switch text.match(tags.close, at: text.searched) {
      case .more: return .more
      case .no: text.searched += 1
      case .yes:
        let end = text.searched + tags.close.bytes.count
        switch isFollowed(tags, end, text) {
        case .more: return .more
        case .no: text.searched += 1
        case .yes:
          let written = text.bytes(text.at..<text.searched)
          text.advance(to: end)
          tag = nil
          add(name, tags.isOnOwnLines ? withoutLineBreaks(written) : written, value.isString, tools)
          return .next
        }
      }
    }
    return .more
  }

  /// Whether the tag that ends at `end` is followed by what may follow one. White space beyond 64
  /// bytes counts as something else, so that waiting for its end stays cheap.
  private func isFollowed(_ tags: Tags, _ end: Int, _ text: CallText) -> Match {
    var place = end
    while place < text.bytes.count, place - end < 64, isSpace(text.bytes[place]) { place += 1 }
    guard place < text.bytes.count else { return .more }
    var result = Match.no
    for follower in [tags.open] + tags.followers {
      switch text.match(follower, at: place) {
      case .yes: return .yes
      case .more: result = .more
      case .no: break
      }
    }
    return result
  }

  private mutating func add(_ name: String, _ written: [UInt8], _ isString: Bool?, _ tools: [ToolDefinition])
  {
    let text = String(decoding: written, as: UTF8.self)
    let value: JSONValue
    switch isString {
    case true: value = .string(text)
    case false: value = parseJSON(written) ?? .string(text)
    case nil:
      let called = cleaned(self.name)
      let tool = tools.first { $0.name == called } ?? ToolDefinition(name: called)
      value = tool.value(text, for: name)
    }
    members.append((key: name, value: value))
  }

  private func withoutLineBreaks(_ bytes: [UInt8]) -> [UInt8] {
    var written = bytes[...]
    if written.first == 0x0A { written = written.dropFirst() }
    if written.last == 0x0A { return Array(written.dropLast()) }
    // A closing tag that is indented: its line is no part of the value.
    if let last = written.lastIndex(where: { $0 != 0x20 && $0 != 0x09 }), written[last] == 0x0A {
      return Array(written[..<last])
    }
    return Array(written)
  }

  // MARK: Names and arguments

  private func cleaned(_ name: String) -> String {
    var name = name[...]
    if name.hasPrefix(shape.namePrefix) { name = name.dropFirst(shape.namePrefix.count) }
    if shape.hasNumberedNames, let colon = name.lastIndex(of: ":"),
      name[name.index(after: colon)...].allSatisfy(\.isNumber)
    {
      name = name[..<colon]
    }
    return String(name)
  }

  /// The members of a call's arguments, which may be an object, or the text of one; nil if they are
  /// anything else.
  private static func members(_ value: JSONValue?, needed: Bool) -> [JSONValue.Member]? {
    switch value {
    case nil, .null?: return needed ? nil : []
    case .object(let members)?: return members
    case .string(let text)?:
      guard case .object(let members)? = parseJSON(Array(text.utf8)) else { return nil }
      return members
    default: return nil
    }
  }
}
