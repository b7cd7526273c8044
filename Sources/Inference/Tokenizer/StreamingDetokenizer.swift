// StreamingDetokenizer.swift: token ids to text as they come, never half a character.

/// Turns tokens into text one at a time. Bytes that may still become a character wait; what cannot become one is
/// U+FFFD, one per maximal wrong part (Unicode 16, 3.9), exactly as if all bytes had been decoded at once.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private let special: SpecialTokenRendering
  private var dropsSpace: Bool
  /// At most three bytes that begin a character.
  private var pending: [UInt8] = []
  /// Code points given out so far.
  public private(set) var count = 0

  /// - dropsSpacePrefix: takes away one space at the very start, if there is one; for text that `encode` made with
  ///   a SentencePiece vocabulary. An answer that follows a prompt has nothing to drop.
  public init(
    _ tokenizer: Tokenizer, special: SpecialTokenRendering = .hidden, dropsSpacePrefix: Bool = false
  ) {
    self.tokenizer = tokenizer
    self.special = special
    dropsSpace = dropsSpacePrefix
  }

  /// The text that this token completes; often empty, never half a character.
  public mutating func append(_ id: Int32) -> String {
    if tokenizer.isSpecial(id) {
      switch special {
      // A special token leaves the space prefix to the text after it.
      case .hidden: return ""
      case .shown: dropsSpace = tokenizer.addsSpacePrefix && dropsSpace
      }
    }
    var bytes = tokenizer.bytes(of: id)
    if dropsSpace, !bytes.isEmpty {
      dropsSpace = false
      if bytes.first == 0x20 { bytes.removeFirst() }
    }
    pending.append(contentsOf: bytes)
    let complete = pending.count - Self.unfinishedCount(pending)
    let text = String(decoding: pending[..<complete], as: UTF8.self)
    pending.removeSubrange(..<complete)
    count += text.unicodeScalars.count
    return text
  }

  /// Where the text of a token begins that comes next, in code points of the whole text. Of a token that goes on with a
  /// character that another began, it is the place of this character.
  public func offset(of id: Int32) -> Int {
    if pending.isEmpty || (special == .hidden && tokenizer.isSpecial(id)) { return count }
    guard let first = tokenizer.bytes(of: id).first else { return count }
    let joined = pending + [first]
    let goesOn =
      first & 0xC0 == 0x80
      && (Self.unfinishedCount(joined) == joined.count || String(validating: joined, as: UTF8.self) != nil)
    // What was begun is one wrong part then, and one character.
    return goesOn ? count : count + 1
  }

  /// What is left when no token follows: U+FFFD where a character was begun, else nothing.
  public mutating func finish() -> String {
    let text = String(decoding: pending, as: UTF8.self)
    pending.removeAll()
    count += text.unicodeScalars.count
    return text
  }

  /// How many bytes at the end may be the beginning of a character.
  static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length =
        byte >= 0xF0 && byte <= 0xF4
        ? 4 : byte >= 0xE0 && byte < 0xF0 ? 3 : byte >= 0xC2 && byte < 0xE0 ? 2 : 1
      guard back < length else { return 0 }
      if back >= 2 {
        // Overlong forms, surrogates and what lies past U+10FFFF are wrong from their second byte on.
        let second = bytes[bytes.count - back + 1]
        switch byte {
        case 0xE0: if second < 0xA0 { return 0 }
        case 0xED: if second > 0x9F { return 0 }
        case 0xF0: if second < 0x90 { return 0 }
        case 0xF4: if second > 0x8F { return 0 }
        default: break
        }
      }
      return back
    }
    return 0
  }
}
