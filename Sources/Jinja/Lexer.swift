// Lexer.swift: splits a template's text into tokens, with Jinja's white space control.
//
// trim_blocks and lstrip_blocks are on, as in every runtime of chat templates: one line end after a
// block or comment is removed, and so is the indentation before one that starts its line. `-`
// strips all white space on its side, `+` keeps what would be removed. Source: Jinja 3.1, lexer.py.

struct Token {
  enum Kind: Equatable {
    case data(String)
    case blockBegin, blockEnd, variableBegin, variableEnd
    case name(String)
    case string(String)
    case int(BigInteger)
    case double(Double)
    case symbol(String)
    case end
  }
  let kind: Kind
  let line: Int

  /// Its name in error messages.
  var description: String {
    switch kind {
    case .data: "text"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .variableBegin: "'{{'"
    case .variableEnd: "'}}'"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .int, .double: "a number"
    case .symbol(let symbol): "'\(symbol)'"
    case .end: "the end of the template"
    }
  }
}

struct Lexer {
  private var units: [UInt32]
  private var at = 0
  private var line = 1
  private var tokens: [Token] = []
  /// Whether the character before the current text was a line end, or the template starts here.
  private var startsLine = true

  /// All tokens of `source`, closed by `.end`.
  static func tokens(of source: String, limit: Int) throws(TemplateError) -> [Token] {
    var lexer = Lexer(units: try normalised(source, limit: limit))
    try lexer.scanText()
    return lexer.tokens
  }

  private init(units: [UInt32]) {
    self.units = units
  }

  /// Line ends become `\n`, and one at the end is removed.
  private static func normalised(_ source: String, limit: Int) throws(TemplateError) -> [UInt32] {
    var units: [UInt32] = []
    var afterReturn = false
    for scalar in source.unicodeScalars {
      if scalar == "\n", afterReturn {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      units.append(afterReturn ? 0x0A : scalar.value)
      guard units.count <= limit else {
        throw .tooLarge(line: 1, "the template is longer than \(limit) characters")
      }
    }
    if units.last == 0x0A { units.removeLast() }
    return units
  }

  // MARK: Text between tags

  private mutating func scanText() throws(TemplateError) {
    while at < units.count {
      guard let open = nextOpening() else {
        emitText(units[at...])
        at = units.count
        break
      }
      let kind = units[open + 1]
      let sign = open + 2 < units.count ? units[open + 2] : 0
      let signed = sign == Self.minus || sign == Self.plus
      var text = units[at..<open]
      if sign == Self.minus {
        while let last = text.last, Text.isSpace(last) { text.removeLast() }
      } else if !(signed && sign == Self.plus), kind != Self.brace {
        text = withoutIndentation(text)
      }
      emitText(text)
      line += units[(at + text.count)..<open].count { $0 == 0x0A }
      at = open + 2
      switch kind {
      case Self.hash:
        if signed { at += 1 }
        try skipComment()
      case Self.percent:
        if let body = rawBody() {
          try scanRaw(from: body)
        } else {
          if signed { at += 1 }
          push(.blockBegin)
          try scanTag(closing: Self.percent)
        }
      default:
        if signed { at += 1 }
        push(.variableBegin)
        try scanTag(closing: Self.closingBrace)
      }
      startsLine = at > 0 && units[at - 1] == 0x0A
    }
    push(.end)
  }

  private static let minus: UInt32 = 0x2D
  private static let plus: UInt32 = 0x2B
  private static let percent: UInt32 = 0x25
  private static let hash: UInt32 = 0x23
  private static let brace: UInt32 = 0x7B
  private static let closingBrace: UInt32 = 0x7D

  /// The next `{%`, `{{` or `{#`.
  private func nextOpening() -> Int? {
    var place = at
    while place + 1 < units.count {
      if units[place] == Self.brace {
        switch units[place + 1] {
        case Self.percent, Self.brace, Self.hash: return place
        default: break
        }
      }
      place += 1
    }
    return nil
  }

  /// lstrip_blocks: removes white space between the start of the line and the tag, if there is
  /// nothing else.
  private func withoutIndentation(_ text: ArraySlice<UInt32>) -> ArraySlice<UInt32> {
    let lineStart = text.lastIndex(of: 0x0A).map { $0 + 1 }
    guard lineStart != nil || startsLine else { return text }
    let start = lineStart ?? text.startIndex
    guard text[start...].allSatisfy(Text.isSpace) else { return text }
    return text[..<start]
  }

  private mutating func emitText(_ text: ArraySlice<UInt32>) {
    guard !text.isEmpty else { return }
    push(.data(Text.string(text)))
    line += text.count { $0 == 0x0A }
  }

  private mutating func push(_ kind: Token.Kind) {
    tokens.append(Token(kind: kind, line: line))
  }

  private func unit(_ place: Int) -> UInt32 { place >= 0 && place < units.count ? units[place] : 0 }

  private mutating func skipSpace() {
    while at < units.count, Text.isSpace(units[at]) {
      if units[at] == 0x0A { line += 1 }
      at += 1
    }
  }

  /// After the end of a block or comment: trim_blocks, or all white space after `-`.
  private mutating func finishTag(sign: UInt32) {
    if sign == Self.minus {
      skipSpace()
    } else if sign != Self.plus, unit(at) == 0x0A {
      at += 1
      line += 1
    }
  }

  private mutating func skipComment() throws(TemplateError) {
    let opened = line
    let start = at
    // Jinja requires no closing delimiter if nothing follows.
    if at == units.count { return }
    while at + 1 < units.count {
      if units[at] == Self.hash, units[at + 1] == Self.closingBrace {
        // A sign before it belongs to it, unless it belongs to the opening delimiter.
        let sign = at > start ? unit(at - 1) : 0
        at += 2
        return finishTag(sign: sign)
      }
      if units[at] == 0x0A { line += 1 }
      at += 1
    }
    throw .syntax(line: opened, "the comment opened by '{#' has no '#}'")
  }

  // MARK: Raw blocks

  /// Where `{% raw %}` ends when the tag at the cursor is one.
  private func rawBody() -> Int? {
    var place = at
    if unit(place) == Self.minus || unit(place) == Self.plus { place += 1 }
    guard let end = word("raw", from: place) else { return nil }
    place = end
    let strips = unit(place) == Self.minus
    if strips { place += 1 }
    guard unit(place) == Self.percent, unit(place + 1) == Self.closingBrace else { return nil }
    place += 2
    if strips { while place < units.count, Text.isSpace(units[place]) { place += 1 } }
    return place
  }

  /// The place after white space, `word` and white space.
  private func word(_ word: StaticString, from start: Int) -> Int? {
    var place = start
    while place < units.count, Text.isSpace(units[place]) { place += 1 }
    let matched = word.withUTF8Buffer { bytes in
      for (offset, byte) in bytes.enumerated() where unit(place + offset) != UInt32(byte) { return false }
      return true
    }
    guard matched else { return nil }
    place += word.utf8CodeUnitCount
    while place < units.count, Text.isSpace(units[place]) { place += 1 }
    return place
  }

  private mutating func scanRaw(from body: Int) throws(TemplateError) {
    let opened = line
    line += units[at..<body].count { $0 == 0x0A }
    // Jinja requires no closing delimiter if nothing follows.
    if body == units.count {
      at = body
      return
    }
    var place = body
    while place + 1 < units.count {
      defer { place += 1 }
      guard units[place] == Self.brace, units[place + 1] == Self.percent else { continue }
      let sign = unit(place + 2)
      let signed = sign == Self.minus || sign == Self.plus
      guard var end = word("endraw", from: place + (signed ? 3 : 2)) else { continue }
      let closing = unit(end)
      if closing == Self.minus || closing == Self.plus { end += 1 }
      guard unit(end) == Self.percent, unit(end + 1) == Self.closingBrace else { continue }
      var text = units[body..<place]
      if sign == Self.minus {
        while let last = text.last, Text.isSpace(last) { text.removeLast() }
      } else if sign != Self.plus {
        startsLine = body > 0 && units[body - 1] == 0x0A
        text = withoutIndentation(text)
      }
      emitText(text)
      line += units[(body + text.count)..<end].count { $0 == 0x0A }
      at = end + 2
      return finishTag(sign: closing)
    }
    throw .syntax(line: opened, "'{% raw %}' has no '{% endraw %}'")
  }

  // MARK: Inside a tag

  private static let pairs: Set<String> = ["==", "!=", ">=", "<=", "//", "**"]
  private static let singles = "+-/*%~[](){}<>=.:|,;"

  private mutating func scanTag(closing: UInt32) throws(TemplateError) {
    let opened = line
    var brackets: [UInt32] = []
    while at < units.count {
      let unit = units[at]
      if Text.isSpace(unit) {
        skipSpace()
        continue
      }
      if brackets.isEmpty, let sign = closingSign(closing) {
        at += sign == 0 ? 2 : 3
        push(closing == Self.percent ? .blockEnd : .variableEnd)
        if closing == Self.percent {
          finishTag(sign: sign)
        } else if sign == Self.minus {
          skipSpace()
        }
        return
      }
      switch unit {
      case 0x27, 0x22: try scanString(quote: unit)
      case 0x30...0x39: try scanNumber()
      case 0x41...0x5A, 0x61...0x7A, 0x5F: scanName()
      case 0x80...: scanName()
      default:
        try scanSymbol(&brackets)
      }
    }
    throw .syntax(line: opened, "a tag is not closed: wanted '\(closing == Self.percent ? "%}" : "}}")'")
  }

  /// The sign of the closing delimiter at the cursor (0 for none), or nil when it is not there.
  private func closingSign(_ closing: UInt32) -> UInt32? {
    let first = unit(at)
    if first == closing, unit(at + 1) == Self.closingBrace { return 0 }
    let mayKeep = closing == Self.percent && first == Self.plus
    guard first == Self.minus || mayKeep else { return nil }
    return unit(at + 1) == closing && unit(at + 2) == Self.closingBrace ? first : nil
  }

  private mutating func scanName() {
    let start = at
    while at < units.count {
      switch units[at] {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F: at += 1
      case 0x80... where !Text.isSpace(units[at]): at += 1
      default:
        push(.name(Text.string(units[start..<at])))
        return
      }
    }
    push(.name(Text.string(units[start..<at])))
  }

  private mutating func scanSymbol(_ brackets: inout [UInt32]) throws(TemplateError) {
    guard let scalar = Unicode.Scalar(units[at]) else {
      throw .syntax(line: line, "unexpected character")
    }
    if let next = Unicode.Scalar(unit(at + 1)), Self.pairs.contains("\(scalar)\(next)") {
      push(.symbol("\(scalar)\(next)"))
      at += 2
      return
    }
    guard Self.singles.unicodeScalars.contains(scalar) else {
      throw .syntax(line: line, "unexpected character '\(scalar.escaped(asASCII: false))'")
    }
    switch scalar {
    case "(": brackets.append(0x29)
    case "[": brackets.append(0x5D)
    case "{": brackets.append(0x7D)
    case ")", "]", "}":
      guard brackets.popLast() == scalar.value else {
        throw .syntax(line: line, "'\(scalar)' closes nothing")
      }
    default: break
    }
    push(.symbol(String(scalar)))
    at += 1
  }

  private mutating func scanNumber() throws(TemplateError) {
    let start = at
    func isDigit(_ unit: UInt32) -> Bool { unit >= 0x30 && unit <= 0x39 }
    if units[at] == 0x30, let radix = [0x78: 16, 0x6F: 8, 0x62: 2][unit(at + 1) | 0x20] {
      at += 2
      while isDigit(unit(at)) || (unit(at) | 0x20 >= 0x61 && unit(at) | 0x20 <= 0x66) || unit(at) == 0x5F {
        at += 1
      }
      let digits = Text.string(units[(start + 2)..<at]).filter { $0 != "_" }
      guard let value = BigInteger(digits.utf8, radix: radix) else {
        throw .syntax(line: line, "a number is malformed or too long")
      }
      return push(.int(value))
    }
    func skipDigits() { while isDigit(unit(at)) || (unit(at) == 0x5F && isDigit(unit(at + 1))) { at += 1 } }
    skipDigits()
    var isDouble = false
    // `1.real` is an attribute; `a.1.2` indexes twice, so no fraction follows a dot.
    if unit(at) == 0x2E, isDigit(unit(at + 1)), unit(start - 1) != 0x2E {
      isDouble = true
      at += 1
      skipDigits()
    }
    if unit(at) | 0x20 == 0x65 {
      let signed = unit(at + 1) == Self.minus || unit(at + 1) == Self.plus
      if isDigit(unit(at + (signed ? 2 : 1))) {
        isDouble = true
        at += signed ? 2 : 1
        skipDigits()
      }
    }
    let digits = Text.string(units[start..<at]).filter { $0 != "_" }
    if isDouble {
      guard let value = Double(digits) else {
        throw .syntax(line: line, "the number \(digits.prefix(40)) is malformed")
      }
      push(.double(value))
    } else {
      guard let value = BigInteger(digits.utf8) else {
        throw .syntax(line: line, "the number \(digits.prefix(40)) has more than 4300 digits")
      }
      guard digits.first != "0" || value.isZero else {
        throw .syntax(line: line, "the number \(digits.prefix(40)) begins with a 0")
      }
      push(.int(value))
    }
  }

  /// A quoted string with Python's escapes.
  private mutating func scanString(quote: UInt32) throws(TemplateError) {
    let opened = line
    at += 1
    var scalars = String.UnicodeScalarView()
    while at < units.count {
      let unit = units[at]
      at += 1
      if unit == quote {
        tokens.append(Token(kind: .string(String(scalars)), line: opened))
        return
      }
      if unit == 0x0A { line += 1 }
      guard unit == 0x5C, at < units.count else {
        if let scalar = Unicode.Scalar(unit) { scalars.append(scalar) }
        continue
      }
      try scanEscape(into: &scalars)
    }
    throw .syntax(line: opened, "a string is not closed")
  }

  private mutating func scanEscape(into scalars: inout String.UnicodeScalarView) throws(TemplateError) {
    let unit = units[at]
    at += 1
    switch unit {
    case 0x6E: scalars.append("\n")
    case 0x74: scalars.append("\t")
    case 0x72: scalars.append("\r")
    case 0x62: scalars.append("\u{08}")
    case 0x66: scalars.append("\u{0C}")
    case 0x76: scalars.append("\u{0B}")
    case 0x61: scalars.append("\u{07}")
    case 0x5C, 0x27, 0x22: scalars.append(Unicode.Scalar(UInt8(truncatingIfNeeded: unit)))
    case 0x0A: line += 1
    case 0x78: scalars.append(try scanHex(2))
    case 0x75: scalars.append(try scanHex(4))
    case 0x55: scalars.append(try scanHex(8))
    case 0x4E: throw .unsupported(line: line, "the escape '\\N{...}'")
    case 0x30...0x37:
      var value = unit - 0x30
      var digits = 1
      while digits < 3, at < units.count, units[at] >= 0x30, units[at] <= 0x37 {
        value = value * 8 + units[at] - 0x30
        at += 1
        digits += 1
      }
      if let scalar = Unicode.Scalar(value) { scalars.append(scalar) }
    default:
      // Python keeps the backslash of an escape that it does not know.
      scalars.append("\\")
      if let scalar = Unicode.Scalar(unit) { scalars.append(scalar) }
    }
  }

  private mutating func scanHex(_ digits: Int) throws(TemplateError) -> Unicode.Scalar {
    guard at + digits <= units.count,
      let value = UInt32(Text.string(units[at..<(at + digits)]), radix: 16),
      let scalar = Unicode.Scalar(value)
    else { throw .syntax(line: line, "an escape wants \(digits) hexadecimal digits of a character") }
    at += digits
    return scalar
  }
}
