// Console+JSON.swift: one line of JSON on standard output.

import Foundation
import Terminal

extension Console {
  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    print(jsonText: String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// Prints JSON that is text already. Characters that a terminal would obey or hide are written as
  /// JSON escapes, so the value stays the same.
  static func print(jsonText text: String) {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x7F...0x9F, 0x061C, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF:
        result.append(contentsOf: String(format: "\\u%04x", scalar.value).unicodeScalars)
      default: result.append(scalar)
      }
    }
    pour(String(result) + "\n")
  }
}
