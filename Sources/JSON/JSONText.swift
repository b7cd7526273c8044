// JSONText.swift: parses bytes into a checked JSON document, strictly by RFC 8259. JSON5, which
// operators write by hand, is in JSON5.swift. Written because Foundation's reader accepts trailing
// commas, repeated keys and UTF-16, and needs 260 MB for 8 MB of text. Linear in the bytes, no
// recursion, memory bounded by Limits. Start at JSONReader.read.

/// Why a text is refused as JSON, and where.
package struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Reason: Sendable, Equatable {
    case tooLong(limit: Int)
    case tooDeep(limit: Int)
    case tooManyValues(limit: Int)
    case byteOrderMark
    case endOfText
    case unexpected(UInt8, wanted: String)
    case trailingText
    case invalidUTF8
    case controlInString(UInt8)
    case invalidEscape
    /// A \u escape of half a surrogate pair: it is no character, and UTF-8 cannot encode it.
    case loneSurrogate
    case invalidNumber
    case numberTooLong(limit: Int)
    /// A number beyond the range of Double.
    case numberOutOfRange
    case duplicateKey(String)
  }

  package let reason: Reason
  /// In bytes, from 0.
  package let offset: Int
  /// From 1.
  package let line: Int
  /// In bytes, from 1.
  package let column: Int

  package var description: String { "\(explanation) at line \(line), column \(column) (byte \(offset))" }

  private var explanation: String {
    switch reason {
    case .tooLong(let limit): "the JSON text is longer than \(limit) bytes"
    case .tooDeep(let limit): "arrays and objects are nested deeper than \(limit)"
    case .tooManyValues(let limit): "more than \(limit) values"
    case .byteOrderMark: "a byte order mark; JSON is UTF-8 without one"
    case .endOfText: "the JSON text ends too early"
    case .unexpected(let byte, let wanted): "found \(Self.name(byte)), wanted \(wanted)"
    case .trailingText: "something follows the JSON value"
    case .invalidUTF8: "bytes that are not UTF-8"
    case .controlInString(let byte): "an unescaped control character (\(byte)) in a string"
    case .invalidEscape: "an escape that JSON does not have"
    case .loneSurrogate: "an escape of half a surrogate pair"
    case .invalidNumber: "a number that JSON does not have"
    case .numberTooLong(let limit): "a number longer than \(limit) characters"
    case .numberOutOfRange: "a number beyond the range of a double"
    case .duplicateKey(let key): "the key '\(shortened(key))' for the second time"
    }
  }

  private static func name(_ byte: UInt8) -> String {
    byte > 0x20 && byte < 0x7F ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
  }
}

/// Checks and parses JSON texts.
///
/// Beyond RFC 8259's grammar: no byte order mark, no repeated key in an object (unless allowed), no
/// half surrogate pairs in escapes, numbers within Double's range and of bounded length.
package enum JSONText {
  package enum DuplicateKeys: Sendable { case refused, allowed }

  package enum Integers: Sendable {
    /// An integer beyond 64 bits becomes the nearest double, as in most readers.
    case rounded
    /// An integer keeps all its digits (`JSONValue.big`), as in Python.
    case exact
  }

  package struct Limits: Sendable {
    package var bytes = 8 << 20
    package var depth = 64
    /// The number of values, not counting keys. It bounds the memory of the tree, at about 100
    /// bytes each at worst.
    package var values = 262_144
    package var duplicateKeys = DuplicateKeys.refused
    package var integers = Integers.rounded
    /// The most characters that one number may have.
    package var numberLength = 512

    package init() {}

    /// What Python's `json.loads` accepts, except for half surrogate pairs: exact integers of up to
    /// 4,300 digits, repeated keys (the last one counts), any length. Nesting is bounded.
    package static var python: Limits {
      var limits = Limits()
      limits.bytes = .max
      limits.depth = 128
      limits.values = .max
      limits.duplicateKeys = .allowed
      limits.integers = .exact
      limits.numberLength = 4_301
      return limits
    }
  }

  /// Checks the text without building a value; throws what is wrong. Memory: 24 bytes for each key
  /// of the open objects.
  package static func validate(_ bytes: [UInt8], limits: Limits = Limits()) throws(JSONError) {
    var reader = JSONReader(bytes, limits: limits, builds: false)
    _ = try reader.read()
  }

  /// Parses the text into a value, or throws what is wrong with it.
  package static func parse(_ bytes: [UInt8], limits: Limits = Limits()) throws(JSONError) -> JSONValue {
    var reader = JSONReader(bytes, limits: limits, builds: true)
    return try reader.read()
  }
}

/// A text shortened for a message, with control characters shown as spaces.
func shortened(_ text: String) -> String {
  let scalars = text.unicodeScalars.prefix(41).map { $0.properties.generalCategory == .control ? " " : $0 }
  let kept = String(String.UnicodeScalarView(scalars.prefix(40)))
  return scalars.count > 40 ? kept + "..." : kept
}
