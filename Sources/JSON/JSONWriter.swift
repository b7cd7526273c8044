// JSONWriter.swift: JSON values to bytes, in the order given.

/// Writes JSON. Strings are escaped as RFC 8259 requires and no further; doubles are the shortest
/// text that reads back the same; a Double that is not finite is written as null.
package enum JSONWriter {
  /// On one line, without spaces.
  package static func bytes(_ value: JSONValue) -> [UInt8] {
    var out: [UInt8] = []
    write(value, into: &out)
    return out
  }

  private static func write(_ value: JSONValue, into out: inout [UInt8]) {
    switch value {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .int(let value): out.append(contentsOf: String(value).utf8)
    case .unsigned(let value): out.append(contentsOf: String(value).utf8)
    case .big(let digits): out.append(contentsOf: digits.utf8)
    case .double(let value): out.append(contentsOf: (value.isFinite ? "\(value)" : "null").utf8)
    case .string(let text): writeString(text, into: &out)
    case .array(let elements):
      list(elements, "[", "]", &out) { element, out in write(element, into: &out) }
    case .object(let members):
      list(members, "{", "}", &out) { member, out in
        writeString(member.key, into: &out)
        out.append(UInt8(ascii: ":"))
        write(member.value, into: &out)
      }
    }
  }

  private static func list<Element>(
    _ elements: [Element], _ open: Character, _ close: Character, _ out: inout [UInt8],
    _ writeOne: (Element, inout [UInt8]) -> Void
  ) {
    out.append(contentsOf: open.utf8)
    for (index, element) in elements.enumerated() {
      if index > 0 { out.append(UInt8(ascii: ",")) }
      writeOne(element, &out)
    }
    out.append(contentsOf: close.utf8)
  }

  /// Appends the text in quotation marks.
  package static func writeString(_ text: String, into out: inout [UInt8]) {
    out.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): out.append(contentsOf: "\\\"".utf8)
      case UInt8(ascii: "\\"): out.append(contentsOf: "\\\\".utf8)
      case 0x08: out.append(contentsOf: "\\b".utf8)
      case 0x09: out.append(contentsOf: "\\t".utf8)
      case 0x0A: out.append(contentsOf: "\\n".utf8)
      case 0x0C: out.append(contentsOf: "\\f".utf8)
      case 0x0D: out.append(contentsOf: "\\r".utf8)
      case 0..<0x20:
        let digits = String(byte, radix: 16)
        out.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
      default: out.append(byte)
      }
    }
    out.append(UInt8(ascii: "\""))
  }
}
