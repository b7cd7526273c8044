// DisplaySafe.swift: the one path from untrusted text to a screen, a log, a title, a clipboard or a
// pipe. Client names, model names, prompts and answers are written by strangers: nothing in them
// may move the cursor, reorder the line, hide text or send commands to the terminal. Grid.put uses
// the same rules cell by cell, so a grid cannot hold anything unsafe. Widths are in Width.swift.
// Start at displaySafe.

/// What one scalar turns into on a screen.
package enum DisplayForm: Equatable, Sendable {
  /// Drawn as it is, in this many columns (1 or 2).
  case glyph(width: Int)
  /// Drawn in the preceding cell.
  case mark
  /// Not drawn: it is invisible, and dropping it is harmless.
  case nothing
  /// Drawn as this scalar, one column wide.
  case replacement(Unicode.Scalar)
  case space(width: Int)
}

package let replacementCharacter: Unicode.Scalar = "\u{FFFD}"

extension DisplayForm {
  /// The rule for each scalar:
  /// - C0 and DEL become their control picture (U+2400 ...), C1 become U+FFFD;
  /// - bidirectional controls become U+FFFD: they reorder the text around them;
  /// - other format characters, variation selectors and skin tones are dropped: terminals disagree
  ///   on their width;
  /// - an emoji after a zero width joiner is dropped with it, so a family is drawn as its first
  ///   member;
  /// - spaces of any kind become blanks; unassigned scalars become U+FFFD.
  package init(of scalar: Unicode.Scalar) {
    let value = scalar.value
    if value >= 0x20 && value < 0x7F {
      self = value == 0x20 ? .space(width: 1) : .glyph(width: 1)
      return
    }
    switch value {
    case 0..<0x20:
      self = .replacement(Unicode.Scalar(0x2400 + value) ?? replacementCharacter)
    case 0x7F: self = .replacement("\u{2421}")
    case 0x80...0x9F: self = .replacement(replacementCharacter)
    case 0x3000: self = .space(width: 2)
    case 0x2500...0x25FF, 0x2800...0x28FF: self = isWide(value) ? .glyph(width: 2) : .glyph(width: 1)
    case 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x206F:
      self = .replacement(replacementCharacter)
    case 0x20E3, 0xFE00...0xFE0F, 0x1F3FB...0x1F3FF, 0xE0000...0xE0FFF: self = .nothing
    case 0x1160...0x11FF, 0xD7B0...0xD7FF: self = .mark
    // A flag is two letters whose joint width terminals disagree on, so the letters themselves are
    // drawn.
    case 0x1F1E6...0x1F1FF:
      self = .replacement(Unicode.Scalar(0x41 + value - 0x1F1E6) ?? replacementCharacter)
    default: self = DisplayForm(byCategoryOf: scalar)
    }
  }

  private init(byCategoryOf scalar: Unicode.Scalar) {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: self = .mark
    case .format: self = .nothing
    case .control, .lineSeparator, .paragraphSeparator, .spaceSeparator: self = .space(width: 1)
    case .unassigned, .surrogate: self = .replacement(replacementCharacter)
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .spacingMark,
      .decimalNumber, .letterNumber, .otherNumber, .connectorPunctuation, .dashPunctuation,
      .openPunctuation, .closePunctuation, .initialPunctuation, .finalPunctuation, .otherPunctuation,
      .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol, .privateUse:
      self = .glyph(width: isWide(scalar.value) ? 2 : 1)
    @unknown default: self = .replacement(replacementCharacter)
    }
  }
}

/// Further marks on a cell are dropped: a cell of curses holds four, and legitimate text needs two.
package let marksPerCell = 2

/// Walks scalars in order and says what each turns into, in its context.
package struct DisplayScanner {
  private var isJoined = false

  package init() {}

  package mutating func next(_ scalar: Unicode.Scalar) -> DisplayForm {
    if scalar.value < 0x7F { isJoined = false }
    let wasJoined = isJoined
    isJoined = scalar.value == 0x200D
    if wasJoined && scalar.properties.isEmoji { return .nothing }
    return DisplayForm(of: scalar)
  }
}

/// One line of text that is harmless wherever it is displayed; `DisplayForm` has the rule for each
/// scalar. Newlines and tabs count as controls too; callers that want lines use `displaySafeLines`.
///
///     displaySafe("bad\u{1B}[2Jname")  == "bad␛[2Jname"
///     displaySafe("a\u{202E}b")        == "a\u{FFFD}b"
package func displaySafe(_ text: some StringProtocol) -> String {
  var result = String.UnicodeScalarView()
  var marks = marksPerCell
  var scanner = DisplayScanner()
  for scalar in text.unicodeScalars {
    switch scanner.next(scalar) {
    case .glyph:
      result.append(scalar)
      marks = 0
    case .mark where marks < marksPerCell:
      result.append(scalar)
      marks += 1
    case .mark, .nothing: break
    case .replacement(let other):
      result.append(other)
      marks = marksPerCell
    case .space(let width):
      for _ in 0..<width { result.append(" ") }
      marks = marksPerCell
    }
  }
  return String(result)
}

/// Running text for a terminal, such as an answer while it is generated. Newlines and tabs stay,
/// and `\r\n` becomes a newline. Anything that would send commands to the terminal, reorder a line
/// or hide in it is shown or dropped as `DisplayForm` says. Unlike `displaySafe` it keeps joiners,
/// variation selectors and any number of marks: no column depends on them, and scripts need them.
///
///     displaySafeText("one\r\ntwo\u{1B}[2J\u{9B}2J") == "one\ntwo␛[2J\u{FFFD}2J"
package func displaySafeText(_ text: some StringProtocol) -> String {
  var result = String.UnicodeScalarView()
  var previous: Unicode.Scalar?
  for scalar in text.unicodeScalars {
    switch scalar.value {
    case 0x0A where previous == "\r":
      result.removeLast()
      result.append("\n")
    case 0x0A, 0x09: result.append(scalar)
    case 0x200C, 0x200D, 0x20E3, 0xFE00...0xFE0F, 0x1F1E6...0x1F1FF, 0x1F3FB...0x1F3FF: result.append(scalar)
    case 0x85, 0x2028, 0x2029: result.append("\n")
    default:
      switch DisplayForm(of: scalar) {
      case .replacement(let other) where !isUnassigned(scalar): result.append(other)
      case .nothing: break
      case .glyph, .mark, .space, .replacement: result.append(scalar)
      }
    }
    previous = scalar
  }
  return String(result)
}

/// Unassigned scalars are harmless in running text: they may be newer than this program.
private func isUnassigned(_ scalar: Unicode.Scalar) -> Bool {
  scalar.properties.generalCategory == .unassigned
}

/// A displaySafe text in seven bits, for terminals whose locale has no more.
package func displayASCII(_ text: some StringProtocol) -> String {
  var result = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    if scalar.isASCII {
      result.append(scalar)
    } else if DisplayForm(of: scalar) != .mark {
      result.append(asciiFold(scalar.value))
    }
  }
  return String(result)
}

/// Splits text into lines, each safe to show; `\n`, `\r\n` and `\r` end a line, a tab becomes
/// blanks up to the next multiple of four columns.
package func displaySafeLines(_ text: some StringProtocol) -> [String] {
  var lines: [String] = []
  var line = String.UnicodeScalarView()
  var column = 0
  var afterReturn = false
  for scalar in text.unicodeScalars {
    let isFeedOfReturn = afterReturn && scalar == "\n"
    afterReturn = scalar == "\r"
    if isFeedOfReturn { continue }
    switch scalar {
    case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}":
      lines.append(displaySafe(String(line)))
      line = String.UnicodeScalarView()
      column = 0
    case "\t":
      repeat {
        line.append(" ")
        column += 1
      } while column % 4 != 0
    default:
      line.append(scalar)
      switch DisplayForm(of: scalar) {
      case .glyph(let width), .space(let width): column += width
      case .replacement: column += 1
      case .mark, .nothing: break
      }
    }
  }
  lines.append(displaySafe(String(line)))
  return lines
}
