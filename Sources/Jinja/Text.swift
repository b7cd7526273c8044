// Text.swift: a string in which every character remembers where it came from.
//
// A prompt mixes text of the template's author, which may spell special tokens such as
// <|im_start|>, with text of a user, which never may. So each character is one UInt32: a Unicode
// scalar in the low 21 bits, and the top bit set if a user wrote it. Slices, strips, joins and
// replacements move characters together with their marks; comparisons and look-ups ignore the
// marks. Indices and lengths count code points, as Python's do.

struct Text {
  static let userMark: UInt32 = 1 << 31

  /// Characters with their marks.
  var units: [UInt32]
  /// Whether it was made by `escape` or `safe`: Python's Markup, which escapes strings added to it.
  var isMarkup = false

  init(units: [UInt32] = []) {
    self.units = units
  }

  /// A string of the template's author.
  init(_ string: String) {
    units = string.unicodeScalars.map(\.value)
  }

  /// A string that a user wrote.
  init(user string: String) {
    units = string.unicodeScalars.map { $0.value | Self.userMark }
  }

  var count: Int { units.count }
  var isEmpty: Bool { units.isEmpty }

  /// The string without its marks.
  var string: String { Self.string(units[...]) }

  static func string(_ units: ArraySlice<UInt32>) -> String {
    var scalars = String.UnicodeScalarView()
    for unit in units {
      // Every unit was made from a scalar, so the replacement character never appears.
      scalars.append(Unicode.Scalar(unit & ~userMark) ?? "\u{FFFD}")
    }
    return String(scalars)
  }

  /// Maximal runs of characters of one source.
  var segments: [Template.Segment] {
    var segments: [Template.Segment] = []
    var start = 0
    while start < count {
      let mark = units[start] & Self.userMark
      var end = start
      while end < count, units[end] & Self.userMark == mark { end += 1 }
      segments.append(Template.Segment(text: Self.string(units[start..<end]), isTrusted: mark == 0))
      start = end
    }
    return segments
  }

  /// True if any character is a user's.
  var hasUserMark: Bool { units.contains { $0 & Self.userMark != 0 } }

  /// The characters without marks, as a key of a dictionary.
  var plain: [UInt32] { units.map { $0 & ~Self.userMark } }
}

extension Text: Equatable {
  static func == (left: Text, right: Text) -> Bool {
    guard left.count == right.count else { return false }
    for (a, b) in zip(left.units, right.units) where (a ^ b) & ~userMark != 0 { return false }
    return true
  }

  static func < (left: Text, right: Text) -> Bool {
    for (a, b) in zip(left.units, right.units) where (a ^ b) & ~userMark != 0 {
      return a & ~userMark < b & ~userMark
    }
    return left.count < right.count
  }

  /// Whether it equals one of the interpreter's own words.
  func spells(_ word: StaticString) -> Bool {
    word.withUTF8Buffer { bytes in
      count == bytes.count && zip(units, bytes).allSatisfy { $0 & ~Self.userMark == UInt32($1) }
    }
  }
}

// MARK: - Classes of characters

extension Text {
  /// Python's `str.isspace`.
  static func isSpace(_ unit: UInt32) -> Bool {
    switch unit & ~userMark {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
      0x3000:
      true
    default: false
    }
  }

  /// Python's line ends for `splitlines`.
  static func isLineEnd(_ unit: UInt32) -> Bool {
    switch unit & ~userMark {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }
}

// MARK: - Operations

extension Text {
  static func + (left: Text, right: Text) -> Text {
    Text(units: left.units + right.units)
  }

  /// The first index of `needle` at or after `start`; an empty needle is found at once.
  func firstIndex(of needle: Text, from start: Int = 0) -> Int? {
    let size = needle.count
    guard start >= 0, start <= count, size <= count - start else { return nil }
    guard size > 0 else { return start }
    return units.withUnsafeBufferPointer { hay in
      needle.units.withUnsafeBufferPointer { pin in
        var at = start
        while at <= hay.count - size {
          var matched = 0
          while matched < size, (hay[at + matched] ^ pin[matched]) & ~Self.userMark == 0 { matched += 1 }
          if matched == size { return at }
          at += 1
        }
        return nil
      }
    }
  }

  /// The last index of `needle`.
  func lastIndex(of needle: Text) -> Int? {
    let size = needle.count
    guard size <= count else { return nil }
    var at = count - size
    while at >= 0 {
      if matches(needle, at: at) { return at }
      at -= 1
    }
    return nil
  }

  private func matches(_ needle: Text, at place: Int) -> Bool {
    guard place >= 0, place <= count, needle.count <= count - place else { return false }
    for offset in 0..<needle.count
    where (units[place + offset] ^ needle.units[offset]) & ~Self.userMark != 0 { return false }
    return true
  }

  func hasPrefix(_ other: Text) -> Bool { matches(other, at: 0) }
  func hasSuffix(_ other: Text) -> Bool { matches(other, at: count - other.count) }

  func slice(_ range: Range<Int>) -> Text {
    Text(units: Array(units[range.clamped(to: 0..<count)]))
  }

  /// Without the leading and trailing characters in `set`, or white space when it is nil.
  func stripped(leading: Bool, trailing: Bool, of set: Text? = nil) -> Text {
    let plain = set.map { Set($0.plain) }
    func drops(_ unit: UInt32) -> Bool {
      plain.map { $0.contains(unit & ~Self.userMark) } ?? Self.isSpace(unit)
    }
    var low = 0
    var high = count
    if leading { while low < high, drops(units[low]) { low += 1 } }
    if trailing { while high > low, drops(units[high - 1]) { high -= 1 } }
    return slice(low..<high)
  }

  /// Python's `split(separator, limit)`; `separator` is not empty. `limit` below 0 means all.
  func split(_ separator: Text, limit: Int) -> [Text] {
    var parts: [Text] = []
    var start = 0
    while limit < 0 || parts.count < limit, let found = firstIndex(of: separator, from: start) {
      parts.append(slice(start..<found))
      start = found + separator.count
    }
    parts.append(slice(start..<count))
    return parts
  }

  /// Python's `rsplit(separator, limit)`.
  func splitFromEnd(_ separator: Text, limit: Int) -> [Text] {
    var parts: [Text] = []
    var end = count
    while limit < 0 || parts.count < limit {
      guard let found = slice(0..<end).lastIndex(of: separator) else { break }
      parts.append(slice(found + separator.count..<end))
      end = found
    }
    parts.append(slice(0..<end))
    return parts.reversed()
  }

  /// Python's `split()`: splits at runs of white space, ignoring leading and trailing ones.
  func splitOnSpace(limit: Int) -> [Text] {
    var parts: [Text] = []
    var at = 0
    while true {
      while at < count, Self.isSpace(units[at]) { at += 1 }
      guard at < count else { return parts }
      if limit >= 0, parts.count == limit {
        parts.append(slice(at..<count))
        return parts
      }
      let start = at
      while at < count, !Self.isSpace(units[at]) { at += 1 }
      parts.append(slice(start..<at))
    }
  }

  /// Python's `rsplit()`.
  func splitOnSpaceFromEnd(limit: Int) -> [Text] {
    var parts: [Text] = []
    var end = count
    while true {
      while end > 0, Self.isSpace(units[end - 1]) { end -= 1 }
      guard end > 0 else { break }
      if limit >= 0, parts.count == limit {
        parts.append(slice(0..<end))
        break
      }
      let high = end
      while end > 0, !Self.isSpace(units[end - 1]) { end -= 1 }
      parts.append(slice(end..<high))
    }
    return parts.reversed()
  }

  /// The number of parts of `splitOnSpace`.
  var parts: Int {
    var total = 0
    var wasSpace = true
    for unit in units {
      let isSpace = Self.isSpace(unit)
      if wasSpace, !isSpace { total += 1 }
      wasSpace = isSpace
    }
    return total
  }

  /// Runs of `\w` as in Python's regular expressions: letters, numbers and `_`.
  var words: Int {
    var total = 0
    var wasWord = false
    for unit in units {
      let scalar = Unicode.Scalar(unit & ~Self.userMark)
      let isWord = scalar.map { $0 == "_" || $0.properties.isPythonAlphanumeric } ?? false
      if isWord, !wasWord { total += 1 }
      wasWord = isWord
    }
    return total
  }

  /// Python's `splitlines`.
  func lines(keepingEnds: Bool) -> [Text] {
    var parts: [Text] = []
    var start = 0
    var at = 0
    while at < count {
      guard Self.isLineEnd(units[at]) else {
        at += 1
        continue
      }
      let end = at
      let isReturn = units[at] & ~Self.userMark == 0x0D
      at += 1
      if isReturn, at < count, units[at] & ~Self.userMark == 0x0A { at += 1 }
      parts.append(slice(start..<(keepingEnds ? at : end)))
      start = at
    }
    if start < count { parts.append(slice(start..<count)) }
    return parts
  }

  /// Replaces every `old` by `new`, at most `limit` times if that is not negative.
  func replacing(_ old: Text, with new: Text, limit: Int) -> Text {
    var result: [UInt32] = []
    if old.isEmpty {
      // Python puts the new text before every character and at the end.
      var done = 0
      for unit in units {
        if limit < 0 || done < limit {
          result += new.units
          done += 1
        }
        result.append(unit)
      }
      if limit < 0 || done < limit { result += new.units }
      return Text(units: result)
    }
    var start = 0
    var done = 0
    while limit < 0 || done < limit, let found = firstIndex(of: old, from: start) {
      result += units[start..<found]
      result += new.units
      start = found + old.count
      done += 1
    }
    result += units[start...]
    return Text(units: result)
  }

  func occurrences(of needle: Text) -> Int {
    guard !needle.isEmpty else { return count + 1 }
    var total = 0
    var start = 0
    while let found = firstIndex(of: needle, from: start) {
      total += 1
      start = found + needle.count
    }
    return total
  }

  /// Applies a Unicode case mapping to each character, which may give several; they keep the mark.
  func mapped(_ mapping: (Unicode.Scalar.Properties, Int) -> String) -> Text {
    var result: [UInt32] = []
    result.reserveCapacity(count)
    for (place, unit) in units.enumerated() {
      guard let scalar = Unicode.Scalar(unit & ~Self.userMark) else { continue }
      for mapped in mapping(scalar.properties, place).unicodeScalars {
        result.append(mapped.value | unit & Self.userMark)
      }
    }
    return Text(units: result)
  }

  private func properties(_ place: Int) -> Unicode.Scalar.Properties? {
    Unicode.Scalar(units[place] & ~Self.userMark)?.properties
  }

  /// The lower case of a character; a sigma that ends a word becomes a final sigma, as in Python.
  private func lowercase(_ properties: Unicode.Scalar.Properties, _ place: Int) -> String {
    guard units[place] & ~Self.userMark == 0x3A3 else { return properties.lowercaseMapping }
    var before = place - 1
    while before >= 0, self.properties(before)?.isCaseIgnorable ?? false { before -= 1 }
    guard before >= 0, self.properties(before)?.isCased ?? false else { return "\u{3C3}" }
    var after = place + 1
    while after < count, self.properties(after)?.isCaseIgnorable ?? false { after += 1 }
    return after < count && self.properties(after)?.isCased ?? false ? "\u{3C3}" : "\u{3C2}"
  }

  func lowercased() -> Text { mapped { lowercase($0, $1) } }
  func uppercased() -> Text { mapped { properties, _ in properties.uppercaseMapping } }
  func capitalized() -> Text {
    mapped { properties, place in place == 0 ? properties.titlecaseMapping : lowercase(properties, place) }
  }
  /// Python's `str.title`: the first cased character of every run of them.
  func titled() -> Text {
    var insideWord = false
    return mapped { properties, place in
      defer { insideWord = properties.isCased }
      return insideWord ? lowercase(properties, place) : properties.titlecaseMapping
    }
  }
  /// Jinja's filter `title`, which recognises only some word boundaries: `[-\s({\[<]+`.
  func titledByBorders() -> Text {
    var parts: [UInt32] = []
    var start = 0
    while start < count {
      let isBorder = Self.isTitleBorder(units[start])
      var end = start + 1
      while end < count, Self.isTitleBorder(units[end]) == isBorder { end += 1 }
      parts += slice(start..<start + 1).uppercased().units + slice(start + 1..<end).lowercased().units
      start = end
    }
    return Text(units: parts)
  }
  private static func isTitleBorder(_ unit: UInt32) -> Bool {
    switch unit & ~userMark {
    case 0x2D, 0x28, 0x7B, 0x5B, 0x3C: true
    default: isSpace(unit)
    }
  }
  /// Python's `casefold`: the full case folding of Unicode, which is the lower case of the upper
  /// case except for a few characters.
  func caseFolded() -> Text {
    mapped { properties, place in
      switch units[place] & ~Self.userMark {
      case 0x131: "\u{131}"
      case 0x1E9E: "ss"
      // Cherokee folds to upper case, because its capitals were encoded first.
      case 0x13A0...0x13FF, 0xAB70...0xABBF: properties.uppercaseMapping
      default: properties.uppercaseMapping.unicodeScalars.map(\.properties.lowercaseMapping).joined()
      }
    }
  }
  func caseSwapped() -> Text {
    mapped { properties, place in
      properties.isUppercase
        ? lowercase(properties, place)
        : properties.isLowercase ? properties.uppercaseMapping : String(properties.plain(units[place]))
    }
  }

  /// True if there is at least one character and all of them have the property.
  func all(_ holds: (Unicode.Scalar.Properties) -> Bool) -> Bool {
    !isEmpty && units.allSatisfy { Unicode.Scalar($0 & ~Self.userMark).map { holds($0.properties) } ?? false }
  }
}

extension Unicode.Scalar.Properties {
  /// The character itself, for a mapping that leaves it unchanged.
  fileprivate func plain(_ unit: UInt32) -> Character {
    Character(Unicode.Scalar(unit & ~Text.userMark) ?? "\u{FFFD}")
  }

  /// Python's `str.isalpha`: letters by general category, not all that Unicode calls alphabetic.
  var isPythonAlphabetic: Bool {
    switch generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  var isPythonAlphanumeric: Bool { isPythonAlphabetic || numericType != nil }

  /// Python's `str.isprintable`.
  var isPythonPrintable: Bool {
    switch generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
      .spaceSeparator:
      false
    default: true
    }
  }
}
