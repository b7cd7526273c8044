// Enclosed.swift: finds where a bracketed text ends, byte by byte and once, in each of the three ways
// of quoting that formats have. What stands between the brackets is parsed when it is whole.

/// How strings are written inside brackets.
enum Quoting: Sendable {
  /// "..." with backslashes.
  case json
  /// '...' or "..." with backslashes.
  case python
  /// <|"|>...<|"|> without escapes.
  case gemma

  static let gemmaQuote: Marker = #"<|"|>"#
}

/// The search for the bracket that closes the one at the text's place.
struct Enclosed: Sendable {
  let quoting: Quoting
  private var depth = 0
  /// The quotation mark that the open string ends with; 0 outside of strings.
  private var quote: UInt8 = 0
  private var isEscaped = false

  /// Deeper nesting is no call.
  static let maximumDepth = 64

  init(_ quoting: Quoting) { self.quoting = quoting }

  enum Result: Equatable {
    case more, no
    /// The place after the closing bracket.
    case end(Int)
  }

  /// Goes on from `text.searched`.
  mutating func search(_ text: inout CallText) -> Result {
    while text.searched < text.bytes.count {
      let byte = text.bytes[text.searched]
      if quoting == .gemma, byte == UInt8(ascii: "<") {
        switch text.match(Quoting.gemmaQuote, at: text.searched) {
        case .more: return .more
        case .no: break
        case .yes:
          quote = quote == 0 ? byte : 0
          text.searched += Quoting.gemmaQuote.bytes.count
          continue
        }
      }
      text.searched += 1
      if quote != 0 {
        guard quoting != .gemma else { continue }
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == quote {
          quote = 0
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\"") where quoting != .gemma, UInt8(ascii: "'") where quoting == .python:
        quote = byte
      case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "("):
        depth += 1
        if depth > Self.maximumDepth { return .no }
      case UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ")"):
        depth -= 1
        if depth == 0 { return .end(text.searched) }
      default: break
      }
      if depth == 0 { return .no }
    }
    return .more
  }
}
