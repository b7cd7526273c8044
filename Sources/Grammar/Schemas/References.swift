// References.swift: what `$ref` means within one schema: pointers (RFC 6901) and anchors. Nothing is
// ever fetched. Start at References.part.

import JSON

struct References {
  private let root: JSONValue
  private var anchors: [String: Keywords.Part]?

  init(_ root: JSONValue) { self.root = root }

  /// The schema that a reference names.
  mutating func part(_ reference: String) throws(Refusal) -> Keywords.Part {
    guard reference.hasPrefix("#") else {
      throw Refusal(
        message:
          "a reference out of the schema, '\(shortened(reference))'; only those that begin with '#' are followed"
      )
    }
    guard let fragment = Self.decoded(reference.dropFirst()) else {
      throw Refusal(message: "a reference that is no text, '\(shortened(reference))'")
    }
    if fragment.isEmpty { return ("", root) }
    guard fragment.hasPrefix("/") else {
      let known = anchors ?? Self.anchors(in: root)
      anchors = known
      guard let part = known[fragment] else { throw missing(reference) }
      return part
    }
    var value = root
    var pointer = ""
    for step in fragment.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      let key = step.replacing("~1", with: "/").replacing("~0", with: "~")
      pointer += "/" + step
      if let inner = value[String(key)] {
        value = inner
      } else if let list = value.array, let index = Int(key), list.indices.contains(index) {
        value = list[index]
      } else {
        throw missing(reference)
      }
    }
    return (pointer, value)
  }

  private func missing(_ reference: String) -> Refusal {
    Refusal(message: "a reference to nothing, '\(shortened(reference))'")
  }

  private func shortened(_ text: String) -> String { text.count > 60 ? "\(text.prefix(60))..." : text }

  /// A fragment without its percent signs; nil if that is no UTF-8.
  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest.removeFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Every `$anchor`, wherever a schema may stand. The nesting is bounded by the reader's.
  private static func anchors(in root: JSONValue) -> [String: Keywords.Part] {
    var found: [String: Keywords.Part] = [:]
    var waiting: [Keywords.Part] = [("", root)]
    while let part = waiting.popLast() {
      switch part.value {
      case .object(let members):
        if let name = part.value["$anchor"]?.string { found[name] = part }
        for member in members where member.key != "enum" && member.key != "const" {
          waiting.append((part.pointer + "/" + Keywords.escaped(member.key), member.value))
        }
      case .array(let elements):
        for (index, element) in elements.enumerated() {
          waiting.append(("\(part.pointer)/\(index)", element))
        }
      default: break
      }
    }
    return found
  }
}
