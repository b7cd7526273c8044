// Wrapping.swift: wraps text from strangers into rows of a given width. Start at wrapped.
import Terminal

/// `text` in rows of at most `width` columns, broken at blanks where there are any.
func wrapped(_ text: String, width: Int) -> [String] {
  let width = max(1, width)
  var rows: [String] = []
  for line in displaySafeLines(text) {
    var row = ""
    var columns = 0
    for word in line.split(separator: " ", omittingEmptySubsequences: false) {
      var rest = String(word)
      var wide = displayWidth(rest)
      if columns > 0 || !row.isEmpty {
        if columns + 1 + wide <= width {
          row += " " + rest
          columns += 1 + wide
          continue
        }
        rows.append(row)
        row = ""
        columns = 0
      }
      // A word longer than a row is cut.
      while wide > width {
        var cut = ""
        var cutWidth = 0
        while let first = rest.first {
          let step = displayWidth(String(first))
          if cutWidth + step > width && !cut.isEmpty { break }
          cut.append(first)
          cutWidth += step
          rest.removeFirst()
          if cutWidth >= width { break }
        }
        rows.append(cut)
        wide = displayWidth(rest)
      }
      row = rest
      columns = wide
    }
    rows.append(row)
  }
  return rows
}
