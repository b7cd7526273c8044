// CallNotation.swift: what an answer that must call, or may, can be in a format: the format's own
// shape, written in the notation of message shapes (the table in Grammar's ShapeReader.swift). What
// is written here is read by CallReader as the calls that were meant. Start at ToolFormat.notation.

import JSON

/// What a request demands of an answer's calls.
package struct CallDemand: Sendable, Equatable {
  /// The answer is calls, and no text stands beside them.
  package var isRequired: Bool
  /// At most one call.
  package var isSingle: Bool
  /// The tools that may be called.
  package var tools: [ToolDefinition]
  /// The names of the tools whose arguments must be held to their schemas. Those of others are where
  /// that is possible.
  package var strict: Set<String>

  package init(isRequired: Bool, isSingle: Bool, tools: [ToolDefinition], strict: Set<String>) {
    self.isRequired = isRequired
    self.isSingle = isSingle
    self.tools = tools
    self.strict = strict
  }
}

/// Why a tool's calls cannot be held in a format.
package struct CallNotationError: Error, Sendable, Equatable, CustomStringConvertible {
  package let tool: String
  /// What was found and what is wanted.
  package let description: String
}

extension ToolFormat {
  /// Answers that call, and, unless calls are required, answers of text.
  /// - content: what text must be; nil for any
  /// - Throws: for the first tool whose calls the format cannot spell.
  package func notation(
    _ demand: CallDemand, content: JSONValue? = nil
  ) throws(CallNotationError) -> JSONValue {
    var calls: [JSONValue] = []
    for tool in demand.tools {
      let writer = CallWriter(format: self, tool: tool, isStrict: demand.strict.contains(tool.name))
      calls.append(try writer.call())
    }
    if let channels {
      let call = JSONValue.either(calls)
      let content = content ?? .free(channels.ends + [channels.start])
      return channels.row(demand.isRequired ? call : .either([call, channels.written.content + content]))
    }
    let row = row(of: .either(calls), isSingle: demand.isSingle)
    guard !demand.isRequired else { return .sequence([.blank, row]) }
    // A text with calls behind it; of text that has a shape, one or the other.
    if let content { return .either([content, .sequence([.blank, row])]) }
    let text = JSONValue.free(shape.openers, notAtStart: shape.openersAtStart)
    return .either([.sequence([text, .optional(row)]), .sequence([.blank, row])])
  }

  /// Text that is no call, where a format has rows of messages.
  package func notation(content: JSONValue) -> JSONValue {
    channels.map { $0.row($0.written.content + content) } ?? content
  }

  /// The calls of one answer.
  private func row(of call: JSONValue, isSingle: Bool) -> JSONValue {
    // A mark that opens nothing alone is left out.
    let opening = shape.opening.filter { part in
      if case .maybe(let marker) = part { return shape.openers.contains(marker) }
      return true
    }.map(CallWriter.fixed)
    // White space may stand before what closes.
    let closing = (shape.closing.isEmpty ? [] : [.blank]) + shape.closing.map(CallWriter.fixed)
    let one = JSONValue.sequence(opening + [call] + closing)
    guard !isSingle else { return one }
    if let separator = shape.separators.first {
      let more = JSONValue.sequence([.text(separator), .blank, call])
      return .sequence(opening + [call, .repeated(more)] + closing)
    }
    let first = shape.calls.compactMap { parts -> Marker? in
      if case .text(let marker)? = parts.first { return marker }
      return nil
    }
    // Calls follow each other inside of what opened, where each says itself that it begins.
    if !first.isEmpty, !shape.openers.contains(where: { first.contains($0) }) {
      return .sequence(opening + [call, .repeated(.sequence([.blank, call]))] + closing)
    }
    return .sequence([one, .repeated(.sequence([.blank, one]))])
  }
}

extension Channels {
  /// Thinking, and then one message.
  fileprivate func row(_ message: JSONValue) -> JSONValue {
    guard let end = ends.first else { return message }
    let thoughts =
      .text(written.reasoning) + .free(ends + [start]) + .sequence([.text(end), .text(start)])
    return .sequence([.repeated(thoughts), message])
  }
}

/// Writes the calls of one tool.
private struct CallWriter {
  let format: ToolFormat
  let tool: ToolDefinition
  let isStrict: Bool

  /// Names of arguments that stand without quotation marks.
  private static let word = "[A-Za-z_][A-Za-z0-9_]{0,63}"

  func call() throws(CallNotationError) -> JSONValue {
    guard !tool.name.isEmpty, tool.name.utf8.allSatisfy(isNameByte) else {
      throw refusal("a name that stands in a call as it is")
    }
    guard let way = format.shape.calls.first else { throw refusal("a format with calls") }
    var parts: [JSONValue] = []
    if let channels = format.channels {
      parts.append(.either(channels.written.call(format.shape.namePrefix + tool.name)))
    }
    // A message that is a call opens and closes itself.
    let isRow = format.channels != nil
    if isRow { parts += format.shape.opening.map(Self.fixed) }
    for part in way { parts.append(try written(part)) }
    if isRow { parts += format.shape.closing.map(Self.fixed) }
    return .sequence(parts)
  }

  private func refusal(_ wanted: String) -> CallNotationError {
    CallNotationError(
      tool: tool.name,
      description:
        "its calls cannot be held, which this model writes in the format '\(format.name)': wanted \(wanted)")
  }

  /// A part that is the same in every call.
  static func fixed(_ part: Part) -> JSONValue {
    switch part {
    case .text(let marker): .text(marker)
    case .maybe(let marker): .optional(.text(marker))
    case .either(let markers): .either(markers.map { .text($0) })
    case .space: .blank
    case .name, .labelled, .object, .arguments, .tags, .python, .gemma: .sequence([])
    }
  }

  private func written(_ part: Part) throws(CallNotationError) -> JSONValue {
    switch part {
    case .text, .maybe, .either, .space, .labelled: return Self.fixed(part)
    case .name:
      let name = JSONValue.text(format.shape.namePrefix + tool.name)
      return format.shape.hasNumberedNames ? name + ["regex": ":[0-9]{1,3}"] : name
    case .object(let names, let arguments, _):
      guard let name = names.first, let value = arguments.first else { throw refusal("names of members") }
      return .sequence([
        .text("{"), .blank, .quoted(name), .text(":"), .blank, .quoted(tool.name), .text(","), .blank,
        .quoted(value), .text(":"), .blank, schema(), .blank, .text("}"),
      ])
    case .arguments: return schema()
    case .gemma: return schema([("marks", .string(Quoting.gemmaQuote.text))])
    case .python:
      guard let members = try members() else {
        let pair = JSONValue.sequence([["regex": .string(Self.word)], .text("="), ["schema": [:]]])
        return .text("(") + .optional(pair + .repeated(.text(", ") + pair)) + .text(")")
      }
      return .text("(")
        + [
          "members": .array(
            members.map { member in
              [
                .text(member.name + "=") + schema([("at", .string(member.pointer))]),
                .bool(member.isRequired),
              ]
            })
        ] + .text(")")
    case .tags(let tags): return try written(tags)
    }
  }

  // MARK: Arguments

  private func schema(_ more: [JSONValue.Member] = []) -> JSONValue {
    let parameters = tool.parameters ?? ["type": "object"]
    var members: [JSONValue.Member] = [(key: "schema", value: parameters)]
    members += more
    members.append((key: "of", value: .string(tool.name)))
    if !isStrict { members.append((key: "yields", value: true)) }
    return .object(members)
  }

  private typealias Member = (name: String, pointer: String, schema: JSONValue, isRequired: Bool)

  /// What a schema may say beside the members that it lists.
  private static let silent: Set<String> = [
    "type", "properties", "required", "additionalProperties", "title", "description", "$defs", "definitions",
    "$schema", "$id", "$comment", "examples", "default", "strict", "deprecated",
  ]

  /// The arguments one by one, for formats that do not write them as one object; nil if the schema does
  /// not list them and need not be held.
  private func members() throws(CallNotationError) -> [Member]? {
    var root = tool.parameters ?? ["type": "object", "properties": [:]]
    var path = ""
    for _ in 0..<8 {
      guard let reference = root["$ref"]?.string, reference.hasPrefix("#/"),
        let target = reference.dropFirst(2).split(separator: "/").reduce(
          tool.parameters, { $0?[String($1)] })
      else { break }
      (root, path) = (target, String(reference.dropFirst()))
    }
    let isListed =
      root["type"]?.string ?? "object" == "object" && root["additionalProperties"]?.members == nil
      && root.members?.allSatisfy { Self.silent.contains($0.key) } == true
    let properties = root["properties"]?.members ?? []
    let required = Set((root["required"]?.array ?? []).compactMap(\.string))
    let names = Set(properties.map(\.key))
    guard isListed, required.isSubset(of: names), !properties.isEmpty || root["properties"] != nil || isStrict
    else {
      guard !isStrict else { throw refusal("a schema that lists its properties and no more") }
      return nil
    }
    // A colon ends a name in one format; the others would be read as signs of a pointer.
    let signs = Set(":/~%".utf8)
    guard names.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { isNameByte($0) && !signs.contains($0) } })
    else { throw refusal("names of arguments without marks") }
    return properties.map { property in
      (
        name: property.key, pointer: "\(path)/properties/\(property.key)", schema: property.value,
        isRequired: required.contains(property.key)
      )
    }
  }

  private func written(_ tags: Tags) throws(CallNotationError) -> JSONValue {
    let line = JSONValue.text(tags.isOnOwnLines ? "\n" : "")
    func open(_ name: JSONValue, isString: Bool) -> JSONValue {
      let ways = tags.valueOpen
      let way = ways.first { $0.isString == isString } ?? ways.first { $0.isString == nil } ?? ways.first
      // Where the value has a tag of its own, it may stand on another line.
      let isTag = !tags.isOnOwnLines && way?.marker.bytes.first == UInt8(ascii: "<")
      return .sequence([
        .blank, .text(tags.open), name, .text(tags.nameEnd), isTag ? .blank : .sequence([]),
        way.map { .text($0.marker) } ?? .sequence([]), line,
      ])
    }
    guard let members = try members() else {
      let value = JSONValue.sequence([
        open(["regex": .string(Self.word)], isString: true), .free([tags.close]), line, .text(tags.close),
      ])
      return .repeated(value)
    }
    return .sequence(
      members.map { member in
        // A tag that says what its value is has one spelling for strings and one for the rest.
        let types = allowedTypes(member.schema, in: tool.parameters)
        let mayBeString = types?.contains("string") ?? true
        let says = tags.valueOpen.contains { $0.isString != nil }
        let isString = says ? types.map { $0.allSatisfy { $0 == "string" } } ?? false : mayBeString
        let place: JSONValue.Member = (key: "at", value: .string(member.pointer))
        let value = schema(isString ? [place, (key: "end", value: .string(tags.close.text))] : [place])
        let argument = JSONValue.sequence([
          open(.text(member.name), isString: isString), value, line, .text(tags.close),
        ])
        return member.isRequired ? argument : .optional(argument)
      })
  }
}

// MARK: The notation

extension JSONValue {
  fileprivate static func text(_ text: String) -> JSONValue { ["text": .string(text)] }
  fileprivate static func text(_ marker: Marker) -> JSONValue { .text(marker.text) }

  /// A JSON string.
  fileprivate static func quoted(_ text: String) -> JSONValue {
    .text(String(decoding: JSONWriter.bytes(.string(text)), as: UTF8.self))
  }

  /// Little white space, or none.
  fileprivate static var blank: JSONValue { ["regex": "[ \\n]{0,2}"] }

  fileprivate static func sequence(_ parts: [JSONValue]) -> JSONValue { ["sequence": .array(parts)] }

  fileprivate static func either(_ branches: [JSONValue]) -> JSONValue {
    branches.count == 1 ? branches[0] : ["either": .array(branches)]
  }

  fileprivate static func optional(_ part: JSONValue) -> JSONValue {
    ["repeat": part, "least": 0, "most": 1]
  }

  fileprivate static func repeated(_ part: JSONValue) -> JSONValue { ["repeat": part] }

  fileprivate static func free(_ without: [Marker], notAtStart: [Marker] = []) -> JSONValue {
    [
      "free": .array(without.map { .string($0.text) }), "start": .array(notAtStart.map { .string($0.text) }),
    ]
  }

  /// One behind the other.
  fileprivate static func + (one: JSONValue, other: JSONValue) -> JSONValue { .sequence([one, other]) }
}
