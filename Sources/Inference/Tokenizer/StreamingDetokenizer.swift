// StreamingDetokenizer.swift: turns token ids into text as they arrive, never half a character.

/// Turns tokens into text one at a time. Bytes that may still become a character are held back;
/// bytes that cannot become one give U+FFFD, one per maximal invalid part (Unicode 16, 3.9),
/// exactly as if all bytes had been decoded at once.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private let special: SpecialTokenRendering
  private var dropsSpace: Bool
  /// At most three bytes that begin a character.
  private var pending: [UInt8] = []
  /// Code points returned so far.
  public private(set) var count = 0

  /// - dropsSpacePrefix: removes one space at the very start, if there is one; for text that
  ///   `encode` tokenized with a SentencePiece vocabulary. An answer that follows a prompt has no
  ///   such space.
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
      // After a special token the space prefix is still to be dropped from the text that follows.
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

  /// Where the text of the next token would begin, in code points of the whole text. If it
  /// continues a character that another token began, this is that character's offset.
  public func offset(of id: Int32) -> Int {
    if pending.isEmpty || (special == .hidden && tokenizer.isSpecial(id)) { return count }
    guard let first = tokenizer.bytes(of: id).first else { return count }
    let joined = pending + [first]
    let goesOn =
      first & 0xC0 == 0x80
      && (Self.unfinishedCount(joined) == joined.count || String(validating: joined, as: UTF8.self) != nil)
    // Then the unfinished bytes are one invalid part, and so one character.
    return goesOn ? count : count + 1
  }

  /// The remaining text when no token follows: U+FFFD if a character was begun, otherwise empty.
  public mutating func finish() -> String {
    let text = String(decoding: pending, as: UTF8.self)
    pending.removeAll()
    count += text.unicodeScalars.count
    return text
  }

  /// How many bytes at the end may begin a character.
  static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let length =
        byte >= 0xF0 && byte <= 0xF4
        ? 4 : byte >= 0xE0 && byte < 0xF0 ? 3 : byte >= 0xC2 && byte < 0xE0 ? 2 : 1
      guard back < length else { return 0 }
      if back >= 2 {
        // Overlong forms, surrogates and values above U+10FFFF are invalid from their second byte
        // on.
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
