// Grid+Text.swift: a grid printed as text, both for the tests' golden files and for the user's
// :save-screen.
// So a user's bug report is a test case. Start at text and styledText.

extension Grid {
  /// One line per row, without trailing blanks.
  package var text: String {
    var lines: [String] = []
    for y in 0..<height { lines.append(rowText(y)) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The text of one row without trailing blanks.
  package func rowText(_ y: Int) -> String {
    var line = String.UnicodeScalarView()
    var end = width
    while end > 0 && self[end - 1, y].scalar == 0x20 { end -= 1 }
    for x in 0..<end {
      let cell = self[x, y]
      if cell.isContinuation { continue }
      for value in [cell.scalar, cell.firstMark, cell.secondMark] where value != 0 {
        line.append(Unicode.Scalar(value) ?? replacementCharacter)
      }
    }
    return String(line)
  }

  /// The text, then one letter per cell for its style, then what each letter means:
  ///
  ///     8x1 cursor 3,0
  ///     |hot|
  ///     styles
  ///     |aab|
  ///     a default on default
  ///     b color2 on default bold
  package var styledText: String {
    var letters: [Style: Character] = [:]
    var legend: [String] = []
    let alphabet = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    var styleRows: [String] = []
    for y in 0..<height {
      var row = ""
      for x in 0..<width {
        let style = self[x, y].style
        if let letter = letters[style] {
          row.append(letter)
          continue
        }
        let letter = letters.count < alphabet.count ? alphabet[letters.count] : "#"
        letters[style] = letter
        legend.append("\(letter) \(style)")
        row.append(letter)
      }
      styleRows.append("|\(row)|")
    }
    let head = "\(width)x\(height)" + (cursor.map { " cursor \($0.x),\($0.y)" } ?? "")
    let rows = (0..<height).map { "|\(rowText($0))|" }
    return ([head] + rows + ["styles"] + styleRows + legend).joined(separator: "\n") + "\n"
  }
}
