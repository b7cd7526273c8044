// Format.swift: Python's two formatting languages: `'%5.2f' % x` and `'{:>8,.2f}'.format(x)`.
// Members of a field ('{0.name}', '{0[key]}') are looked up as everywhere else in a template: only
// fixed methods and keys. Source: Python 3 library reference, "printf-style String Formatting" and
// "Format Specification Mini-Language".

import Foundation

extension Interpreter {
  /// The most columns or digits; more than any prompt needs.
  private static let widest = 100_000

  // MARK: Pieces

  /// A cursor over the characters of a format.
  private struct FormatReader {
    let units: [UInt32]
    let plain: [UInt32]
    var at = 0

    init(_ text: Text) {
      units = text.units
      plain = text.plain
    }

    var isAtEnd: Bool { at >= plain.count }
    var current: Unicode.Scalar? { at < plain.count ? Unicode.Scalar(plain[at]) : nil }

    mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
      guard current == scalar else { return false }
      at += 1
      return true
    }

    /// Reads decimal digits; nil if there are none.
    mutating func number() -> Int? {
      let start = at
      var value = 0
      while at < plain.count, plain[at] >= 0x30, plain[at] <= 0x39 {
        value = min(value * 10 + Int(plain[at] - 0x30), Interpreter.widest + 1)
        at += 1
      }
      return at > start ? value : nil
    }
  }

  /// The format of one value.
  private struct FormatStyle {
    var fill = Text(" ")
    var align: Unicode.Scalar?
    var sign: Unicode.Scalar = "-"
    var hasSign = false
    var hasNoNegativeZero = false
    var isAlternate = false
    var width = 0
    var grouping: Unicode.Scalar?
    var precision: Int?
    var kind: Unicode.Scalar?
  }

  private func checked(_ number: Int?) throws(TemplateError) -> Int? {
    guard let number else { return nil }
    guard number <= Self.widest else { throw failure("a format is wider than \(Self.widest)") }
    return number
  }

  private func filled(_ text: Text, _ style: FormatStyle) throws(TemplateError) -> Text {
    let padding = max(style.width - text.count, 0)
    try spend(text.count + padding)
    let left =
      switch style.align {
      case "<": 0
      case "^": padding / 2
      default: padding
      }
    func blanks(_ count: Int) -> Text {
      Text(units: Array(repeatElement(style.fill.units, count: count).joined()))
    }
    return blanks(left) + text + blanks(padding - left)
  }

  /// Sign, prefix and digits with grouping and fill; `rest` is what follows the digits of the whole
  /// part.
  private func number(
    isNegative: Bool, prefix: String, digits: String, rest: String, _ style: FormatStyle, group: Int
  ) throws(TemplateError) -> Text {
    let sign = isNegative ? "-" : style.sign == "-" ? "" : String(style.sign)
    let head = sign + prefix
    var digits = Array(digits.utf8)
    let separator = style.grouping.map { UInt8(truncatingIfNeeded: $0.value) }
    if style.align == "=", style.fill == Text("0"), separator != nil {
      // Fill zeros are grouped too, and a group never begins with its separator.
      while true {
        let separators = (digits.count - 1) / group
        guard head.utf8.count + digits.count + separators + rest.utf8.count < style.width else { break }
        digits.insert(0x30, at: 0)
        try spend(1)
      }
    }
    if let separator, digits.allSatisfy({ $0 != 0x6E && $0 != 0x69 }) {
      var place = digits.count - group
      while place > 0 {
        digits.insert(separator, at: place)
        place -= group
      }
    }
    let body = String(decoding: digits, as: UTF8.self) + rest
    guard style.align == "=" else { return try filled(Text(head + body), style) }
    var inner = style
    inner.width = max(style.width - head.utf8.count, 0)
    inner.align = ">"
    return Text(head) + (try filled(Text(body), inner))
  }

  /// Digits of a double by C's format, without its sign: the same digits as Python's.
  private static func digits(_ value: Double, _ kind: Unicode.Scalar, _ precision: Int, isAlternate: Bool)
    -> String
  {
    let isUpper = kind.properties.isUppercase
    if value.isNaN { return isUpper ? "NAN" : "nan" }
    if value.isInfinite { return isUpper ? "INF" : "inf" }
    return String(format: "%" + (isAlternate ? "#" : "") + ".\(precision)" + String(kind), abs(value))
  }

  // MARK: %

  /// Python's `%` with a string on the left.
  func printf(_ format: Text, _ value: Value) throws(TemplateError) -> Text {
    var values: [Value]
    var isUsed = false
    if case .list(let list) = value, list.isTuple { values = list.items } else { values = [value] }
    var reader = FormatReader(format)
    var units: [UInt32] = []
    func next() throws(TemplateError) -> Value {
      guard !values.isEmpty else { throw failure("a format wants more values than there are") }
      return values.removeFirst()
    }
    while !reader.isAtEnd {
      guard reader.skip("%") else {
        units.append(reader.units[reader.at])
        reader.at += 1
        continue
      }
      try step()
      if reader.skip("%") {
        units.append(0x25)
        continue
      }
      var style = FormatStyle()
      var named: Value?
      if reader.skip("(") {
        var depth = 1
        let start = reader.at
        while depth > 0 {
          guard let scalar = reader.current else { throw failure("a key of a format is not closed") }
          if scalar == "(" { depth += 1 }
          if scalar == ")" { depth -= 1 }
          reader.at += 1
        }
        guard case .dictionary(let dictionary) = value else {
          throw failure("a format with keys wants a mapping, found \(value.kind)")
        }
        let key = Text(units: Array(reader.plain[start..<reader.at - 1]))
        guard let found = dictionary[.text(key.plain)] else {
          throw failure("a format wants the key '\(key.string)', which is not there")
        }
        named = found
        isUsed = true
      }
      var padsZeros = false
      flags: while let scalar = reader.current {
        switch scalar {
        case "-": style.align = "<"
        case "+": style.sign = "+"
        case " ": if style.sign != "+" { style.sign = " " }
        case "#": style.isAlternate = true
        case "0": padsZeros = true
        default: break flags
        }
        reader.at += 1
      }
      func size() throws(TemplateError) -> Int? {
        guard reader.skip("*") else { return try checked(reader.number()) }
        guard let size = wholeNumber(try next()) else { throw failure("'*' wants a whole number") }
        guard abs(size) <= Self.widest else { throw failure("a format is wider than \(Self.widest)") }
        return size
      }
      style.width = try size() ?? 0
      if style.width < 0 {
        style.align = "<"
        style.width = -style.width
      }
      if reader.skip(".") { style.precision = max(try size() ?? 0, 0) }
      if let scalar = reader.current, "hlL".unicodeScalars.contains(scalar) { reader.at += 1 }
      guard let kind = reader.current else { throw failure("a format ends after '%'") }
      reader.at += 1
      if padsZeros, style.align == nil {
        style.fill = Text("0")
        style.align = "="
      }
      let argument: Value
      if let named { argument = named } else { argument = try next() }
      var part = try printed(argument, kind, style)
      if format.isMarkup { part = try escaped(part) }
      units += part.units
    }
    if !isUsed, !values.isEmpty {
      // A format that uses no value still accepts any indexable value.
      switch value {
      case .dictionary, .undefined: break
      case .list(let list) where !list.isTuple && list.isIndexed: break
      default: throw failure("a format wants fewer values than there are")
      }
    }
    try spend(units.count)
    var text = Text(units: units)
    text.isMarkup = format.isMarkup
    return text
  }

  /// Formats one value by one conversion of `%`.
  private func printed(
    _ value: Value, _ kind: Unicode.Scalar, _ given: FormatStyle
  ) throws(TemplateError) -> Text {
    var style = given
    switch kind {
    case "s", "r", "a", "c":
      var text: Text
      switch kind {
      case "s": text = try plainText(of: value)
      case "r": text = try representation(of: value)
      case "a": text = Self.ascii(try representation(of: value))
      default: text = try character(value)
      }
      if kind != "c", let precision = style.precision { text = text.slice(0..<precision) }
      style.fill = Text(" ")
      if style.align == "=" { style.align = ">" }
      return try filled(text, style)
    case "d", "i", "u", "x", "X", "o":
      let whole: BigInteger
      if case .double(let double) = value, kind == "d" || kind == "i" || kind == "u" {
        guard let number = BigInteger(double) else { throw failure("'%\(kind)' cannot print \(double)") }
        whole = number
      } else {
        guard let number = integer(value) else {
          throw failure("'%\(kind)' wants a whole number, found \(value.kind)")
        }
        whole = number
      }
      let radix: UInt32 = kind == "o" ? 8 : kind == "x" || kind == "X" ? 16 : 10
      var digits = BigInteger(isNegative: false, limbs: whole.limbs).text(radix: radix)
      if kind == "X" { digits = digits.uppercased() }
      if let precision = style.precision, precision > digits.utf8.count {
        try spend(precision)
        digits = String(repeating: "0", count: precision - digits.utf8.count) + digits
      }
      let prefix = style.isAlternate && radix != 10 ? "0" + String(kind) : ""
      return try number(
        isNegative: whole.isNegative, prefix: prefix, digits: digits, rest: "", style, group: 3)
    case "e", "E", "f", "F", "g", "G":
      guard let double = number(value) else {
        throw failure("'%\(kind)' wants a number, found \(value.kind)")
      }
      return try number(
        isNegative: double.sign == .minus && !double.isNaN, prefix: "",
        digits: Self.digits(double, kind, style.precision ?? 6, isAlternate: style.isAlternate), rest: "",
        style,
        group: 3)
    default:
      throw failure("a format has an unknown conversion '%\(kind.escaped(asASCII: false))'")
    }
  }

  /// `%c`: one character, or the character of a number.
  private func character(_ value: Value) throws(TemplateError) -> Text {
    if case .text(let text) = value {
      guard text.count == 1 else { throw failure("'%c' wants one character, found \(text.count)") }
      return text
    }
    guard let number = wholeNumber(value), let unit = UInt32(exactly: number),
      let scalar = Unicode.Scalar(unit)
    else { throw failure("'%c' wants a character or its number, found \(value.kind)") }
    return Text(units: [scalar.value])
  }

  private static func ascii(_ text: Text) -> Text {
    var units: [UInt32] = []
    for unit in text.units {
      let plain = unit & ~Text.userMark
      guard plain >= 0x80 else {
        units.append(unit)
        continue
      }
      units += escape(plain).unicodeScalars.map { $0.value | unit & Text.userMark }
    }
    return Text(units: units)
  }

  // MARK: format

  /// Python's `format`: `{}`, `{0}`, `{name.member[key]!r:>{width}}`.
  func formatted(_ format: Text, _ arguments: Arguments) throws(TemplateError) -> Text {
    var automatic = 0
    var text = try formatted(FormatReader(format), arguments, &automatic, depth: 3, isMarkup: format.isMarkup)
    text.isMarkup = format.isMarkup
    return text
  }

  private func formatted(
    _ format: FormatReader, _ arguments: Arguments, _ automatic: inout Int, depth: Int, isMarkup: Bool
  ) throws(TemplateError) -> Text {
    guard depth > 0 else { throw failure("a format is nested too deep") }
    var reader = format
    var units: [UInt32] = []
    while let scalar = reader.current {
      guard scalar == "{" || scalar == "}" else {
        units.append(reader.units[reader.at])
        reader.at += 1
        continue
      }
      if reader.at + 1 < reader.plain.count, reader.plain[reader.at + 1] == scalar.value {
        units.append(reader.units[reader.at])
        reader.at += 2
        continue
      }
      reader.at += 1
      guard scalar == "{" else { throw failure("a format has a single '}'") }
      try step()
      var part = try field(&reader, arguments, &automatic, depth: depth)
      if isMarkup { part = try escaped(part) }
      try spend(part.count)
      units += part.units
    }
    return Text(units: units)
  }

  /// Reads a replacement field, from after its `{` to after its `}`.
  private func field(
    _ reader: inout FormatReader, _ arguments: Arguments, _ automatic: inout Int, depth: Int
  ) throws(TemplateError) -> Text {
    let start = reader.at
    var brackets = false
    while let scalar = reader.current, brackets || !"!:}".unicodeScalars.contains(scalar) {
      if scalar == "{" { throw failure("a format has a '{' in the name of a field") }
      if scalar == "[" { brackets = true }
      if scalar == "]" { brackets = false }
      reader.at += 1
    }
    let name = Array(reader.plain[start..<reader.at])
    var conversion: Unicode.Scalar?
    if reader.skip("!") {
      guard let scalar = reader.current else { throw failure("a format ends after '!'") }
      conversion = scalar
      reader.at += 1
      guard reader.current == ":" || reader.current == "}" else {
        throw failure("a format wants ':' or '}' after a conversion")
      }
    }
    var specification = Text()
    if reader.skip(":") {
      let from = reader.at
      var open = 0
      while let scalar = reader.current, open > 0 || scalar != "}" {
        if scalar == "{" { open += 1 }
        if scalar == "}" { open -= 1 }
        reader.at += 1
      }
      specification = Text(units: Array(reader.units[from..<reader.at]))
    }
    guard reader.skip("}") else { throw failure("a format has a '{' that is not closed") }
    var value = try member(of: name, arguments, &automatic)
    switch conversion {
    case nil: break
    case "s": value = .text(try plainText(of: value))
    case "r": value = .text(try representation(of: value))
    case "a": value = .text(Self.ascii(try representation(of: value)))
    case let other?: throw failure("a format has an unknown conversion '!\(other.escaped(asASCII: false))'")
    }
    let style = try formatted(
      FormatReader(specification), arguments, &automatic, depth: depth - 1, isMarkup: false)
    return try formatted(value, style)
  }

  /// The value that a field names.
  private func member(
    of name: [UInt32], _ arguments: Arguments, _ automatic: inout Int
  ) throws(TemplateError) -> Value {
    var end = 0
    while end < name.count, name[end] != 0x2E, name[end] != 0x5B { end += 1 }
    let first = Text.string(name[..<end])
    let found: Value?
    if first.isEmpty || first.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
      guard first.isEmpty == (automatic >= 0) || automatic == 0 else {
        throw failure("a format counts its fields both by itself and by numbers")
      }
      let place: Int
      if first.isEmpty {
        place = automatic
        automatic += 1
      } else {
        place = Int(first) ?? .max
        automatic = -1
      }
      found = arguments.positional.indices.contains(place) ? arguments.positional[place] : nil
    } else {
      found = arguments.named.last { $0.0 == first }?.1
    }
    guard var value = found else { throw failure("the format field '{\(first.prefix(40))}' has no value") }
    while end < name.count {
      let isItem = name[end] == 0x5B
      let start = end + 1
      end = start
      while end < name.count, isItem ? name[end] != 0x5D : name[end] != 0x2E && name[end] != 0x5B { end += 1 }
      let part = Text.string(name[start..<end])
      guard !part.isEmpty else { throw failure("a format field has an empty member") }
      if isItem {
        guard end < name.count else { throw failure("a format field has a '[' that is not closed") }
        end += 1
        guard end == name.count || name[end] == 0x2E || name[end] == 0x5B else {
          throw failure("a format field wants '.' or '[' behind ']'")
        }
        let isNumber = part.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
        value = try item(isNumber ? .int(Int(part) ?? .max) : .text(Text(part)), of: value)
      } else {
        value = try attribute(part, of: value)
      }
    }
    return value
  }

  /// Python's `format(value, specification)`.
  private func formatted(_ value: Value, _ specification: Text) throws(TemplateError) -> Text {
    guard !specification.isEmpty else { return try plainText(of: value) }
    switch value {
    case .text(let text): return try formatted(text, try style(specification))
    case .int, .bool, .big: return try formatted(whole: value, try style(specification))
    case .double(let double): return try formatted(double, try style(specification))
    default: throw failure("\(value.kind) takes no format, found ':\(specification.string.prefix(40))'")
    }
  }

  private func style(_ specification: Text) throws(TemplateError) -> FormatStyle {
    var reader = FormatReader(specification)
    var style = FormatStyle()
    let aligns = "<>=^".unicodeScalars
    var hasFill = false
    if reader.plain.count > 1, let second = Unicode.Scalar(reader.plain[1]), aligns.contains(second) {
      style.fill = Text(units: [reader.units[0]])
      style.align = second
      hasFill = true
      reader.at = 2
    } else if let first = reader.current, aligns.contains(first) {
      style.align = first
      reader.at = 1
    }
    if let scalar = reader.current, "+- ".unicodeScalars.contains(scalar) {
      style.sign = scalar
      style.hasSign = true
      reader.at += 1
    }
    style.hasNoNegativeZero = reader.skip("z")
    style.isAlternate = reader.skip("#")
    // A zero before the width means zero fill, unless a fill character is given.
    if !hasFill, reader.skip("0") {
      style.align = style.align ?? "0"
      style.fill = Text("0")
    }
    style.width = try checked(reader.number()) ?? 0
    if reader.skip(",") { style.grouping = "," }
    if reader.skip("_") {
      guard style.grouping == nil else { throw failure("a format has both ',' and '_'") }
      style.grouping = "_"
    }
    if reader.skip(".") {
      guard let precision = try checked(reader.number()) else {
        throw failure("a format has no precision after '.'")
      }
      style.precision = precision
    }
    if let kind = reader.current {
      style.kind = kind
      reader.at += 1
    }
    guard reader.isAtEnd else {
      throw failure("a format specification is malformed: ':\(specification.string.prefix(40))'")
    }
    return style
  }

  private func formatted(_ text: Text, _ given: FormatStyle) throws(TemplateError) -> Text {
    var style = given
    guard style.kind == nil || style.kind == "s" else {
      throw failure("a text has no format '\(style.kind.map { $0.escaped(asASCII: false) } ?? "")'")
    }
    guard style.align != "=", !style.hasSign, !style.isAlternate, style.grouping == nil,
      !style.hasNoNegativeZero
    else { throw failure("a text has no format with signs, groups or '='") }
    if style.align == nil || style.align == "0" { style.align = "<" }
    return try filled(style.precision.map { text.slice(0..<$0) } ?? text, style)
  }

  private func formatted(whole value: Value, _ given: FormatStyle) throws(TemplateError) -> Text {
    guard let whole = integer(value) else { throw failure("\(value.kind) is no whole number") }
    var style = given
    if style.align == nil { style.align = ">" }
    if style.align == "0" { style.align = "=" }
    let radix: UInt32
    switch style.kind {
    case nil, "d", "n": radix = 10
    case "b": radix = 2
    case "o": radix = 8
    case "x", "X": radix = 16
    case "c":
      guard !style.hasSign, !style.isAlternate, style.precision == nil, style.grouping == nil else {
        throw failure("the format 'c' takes no sign, groups or precision")
      }
      if given.align == nil { style.align = "<" }
      if style.align == "=" { style.align = ">" }
      return try filled(try character(value), style)
    case "e", "E", "f", "F", "g", "G", "%":
      guard let double = whole.double else { throw failure("a number is too large for a float") }
      return try formatted(double, given)
    case let kind?: throw failure("a whole number has no format '\(kind.escaped(asASCII: false))'")
    }
    guard style.precision == nil else { throw failure("a whole number takes no precision") }
    guard !style.hasNoNegativeZero else { throw failure("a whole number takes no 'z'") }
    guard style.grouping != "," || radix == 10, style.grouping == nil || style.kind != "n" else {
      throw failure("the format '\(style.kind.map { $0.escaped(asASCII: false) } ?? "")' takes no ','")
    }
    var digits = BigInteger(isNegative: false, limbs: whole.limbs).text(radix: radix)
    if style.kind == "X" { digits = digits.uppercased() }
    let prefix = style.isAlternate && radix != 10 ? "0" + (style.kind.map { String($0) } ?? "") : ""
    return try number(
      isNegative: whole.isNegative, prefix: prefix, digits: digits, rest: "", style,
      group: radix == 10 ? 3 : 4)
  }

  private func formatted(_ double: Double, _ given: FormatStyle) throws(TemplateError) -> Text {
    var style = given
    if style.align == nil { style.align = ">" }
    if style.align == "0" { style.align = "=" }
    var value = double
    var digits: String
    switch style.kind {
    case nil:
      if let precision = style.precision {
        digits = Self.general(value, max(precision, 1), isAlternate: style.isAlternate)
      } else {
        digits = PythonNumber.spelling(of: value.isNaN ? value : abs(value))
      }
    case "e", "E", "f", "F", "g", "G":
      digits = Self.digits(value, style.kind ?? "f", style.precision ?? 6, isAlternate: style.isAlternate)
    case "n": digits = Self.digits(value, "g", style.precision ?? 6, isAlternate: style.isAlternate)
    case "%":
      value *= 100
      digits = Self.digits(value, "f", style.precision ?? 6, isAlternate: style.isAlternate)
    case let kind?: throw failure("a number has no format '\(kind.escaped(asASCII: false))'")
    }
    guard style.grouping == nil || style.kind != "n" else { throw failure("the format 'n' takes no ','") }
    var isNegative = value.sign == .minus && !value.isNaN
    if style.hasNoNegativeZero, !digits.utf8.contains(where: { $0 >= 0x31 && $0 <= 0x39 }), value.isFinite {
      isNegative = false
    }
    // Digits after the whole part are not grouped.
    let whole = digits.prefix { $0.isNumber || $0.isLetter && $0 != "e" && $0 != "E" }
    var rest = String(digits.dropFirst(whole.count))
    if style.kind == "%" { rest += "%" }
    return try number(
      isNegative: isNegative, prefix: "", digits: String(whole), rest: rest, style, group: 3)
  }

  /// A float without a type: as `g`, but with at least one digit after the point.
  private static func general(_ value: Double, _ precision: Int, isAlternate: Bool) -> String {
    guard value.isFinite else { return digits(value, "g", precision, isAlternate: false) }
    let scientific = String(format: "%.\(precision - 1)e", abs(value))
    let exponent = scientific.split(separator: "e").last.flatMap { Int($0) } ?? 0
    let usesExponent = exponent < -4 || exponent >= precision - 1
    if usesExponent {
      if isAlternate { return String(format: "%#.\(precision - 1)e", abs(value)) }
      guard let mark = scientific.firstIndex(of: "e") else { return scientific }
      var mantissa = scientific[..<mark]
      if mantissa.contains(".") {
        while mantissa.last == "0" { mantissa.removeLast() }
        if mantissa.last == "." { mantissa.removeLast() }
      }
      return String(mantissa) + scientific[mark...]
    }
    var plain = String(format: "%.\(max(precision - 1 - exponent, 0))f", abs(value))
    if isAlternate { return plain.contains(".") ? plain : plain + ".0" }
    if plain.contains(".") {
      while plain.last == "0" { plain.removeLast() }
      if plain.last == "." { plain += "0" }
      return plain
    }
    return plain + ".0"
  }
}
