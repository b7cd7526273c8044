// Console+JSON.swift: one line of JSON on standard output.

import Foundation

extension Console {
  static func print(json value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    write(Array(try encoder.encode(value)) + [0x0A], to: STDOUT_FILENO)
  }
}
