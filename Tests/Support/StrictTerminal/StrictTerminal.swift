// StrictTerminal.swift: a terminal for tests that knows only the escape sequences which the program
// may send, and reports every other. It draws what it receives into rows of cells, so that a test
// can compare them with the grid that was painted. Sequences that are not in the program's terminfo
// entries and extras are not implemented. Start at feed and complaints.
import Glibc

package struct StrictTerminal {
  package struct Cell: Equatable {
    package var text = " "
    package var rendition = Rendition()
  }

  package struct Rendition: Equatable {
    /// Parameters as sent: `32`, `38;5;200`, `38;2;1;2;3`; empty is the default.
    package var foreground = ""
    package var background = ""
    package var bold = false
    package var dim = false
    package var italic = false
    package var underline = false
    package var reverse = false
  }

  package private(set) var width: Int
  package private(set) var height: Int
  package private(set) var rows: [[Cell]]
  /// What arrived that the program may not send, in words; empty is the passing result.
  package private(set) var complaints: [String] = []
  package private(set) var titles: [String] = []
  package private(set) var copies: [String] = []
  package private(set) var bells = 0
  package private(set) var privateModes: Set<String> = ["?7"]
  package private(set) var cursor = (x: 0, y: 0)
  private var wrapPending = false
  private var rendition = Rendition()
  private var region: ClosedRange<Int>
  private var rest: [UInt8] = []

  package init(width: Int, height: Int) {
    self.width = width
    self.height = height
    rows = Array(repeating: Array(repeating: Cell(), count: width), count: height)
    region = 0...(height - 1)
  }

  package mutating func resize(width: Int, height: Int) {
    self.width = width
    self.height = height
    rows = Array(repeating: Array(repeating: Cell(), count: width), count: height)
    region = 0...(height - 1)
    cursor = (0, 0)
  }

  /// The glyphs of a row without blanks at its end.
  package func text(_ y: Int) -> String {
    var line = rows[y].map(\.text).joined()
    while line.hasSuffix(" ") { line.removeLast() }
    return line
  }

  private mutating func complain(_ what: String) {
    if complaints.count < 20 { complaints.append(what) }
  }

  package mutating func feed(_ bytes: some Sequence<UInt8>) {
    let input = rest + Array(bytes)
    rest = []
    var index = 0
    while index < input.count {
      let byte = input[index]
      if byte == 0x1B {
        guard let end = escape(input, index) else {
          rest = Array(input[index...])
          return
        }
        index = end
      } else if byte < 0x20 {
        control(byte)
        index += 1
      } else if byte < 0x7F {
        print(Unicode.Scalar(byte))
        index += 1
      } else {
        let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
        if needed == 1 {
          complain("byte \(byte)")
          index += 1
          continue
        }
        if index + needed > input.count {
          rest = Array(input[index...])
          return
        }
        let decoded = String(decoding: input[index..<(index + needed)], as: UTF8.self).unicodeScalars
        for scalar in decoded {
          if (0x80...0x9F).contains(scalar.value) {
            complain("C1 control \(scalar.value)")
          } else {
            print(scalar)
          }
        }
        index += needed
      }
    }
  }

  private mutating func control(_ byte: UInt8) {
    switch byte {
    case 0x07: bells += 1
    case 0x08:
      cursor.x = max(0, cursor.x - 1)
      wrapPending = false
    case 0x09: cursor.x = min(width - 1, (cursor.x / 8 + 1) * 8)
    case 0x0A:
      wrapPending = false
      if cursor.y == region.upperBound { scroll(up: 1) } else { cursor.y = min(height - 1, cursor.y + 1) }
    case 0x0D:
      cursor.x = 0
      wrapPending = false
    default: complain("control \(byte)")
    }
  }

  private mutating func scroll(up count: Int) {
    for _ in 0..<min(count, region.count) {
      rows.remove(at: region.lowerBound)
      rows.insert(Array(repeating: blank, count: width), at: region.upperBound)
    }
  }

  private mutating func scroll(down count: Int) {
    for _ in 0..<min(count, region.count) {
      rows.remove(at: region.upperBound)
      rows.insert(Array(repeating: blank, count: width), at: region.lowerBound)
    }
  }

  /// Erased cells keep the background (bce).
  private var blank: Cell {
    var cell = Cell()
    cell.rendition.background = rendition.background
    return cell
  }

  private mutating func print(_ scalar: Unicode.Scalar) {
    let columns = Int(wcwidthOf(scalar.value))
    if columns == 0 {
      var x = wrapPending ? cursor.x : cursor.x - 1
      while x > 0 && rows[cursor.y][x].text.isEmpty { x -= 1 }
      if x >= 0 { rows[cursor.y][x].text.unicodeScalars.append(scalar) }
      return
    }
    if columns < 0 {
      complain("unprintable scalar U+\(String(scalar.value, radix: 16))")
      return
    }
    if wrapPending || cursor.x + columns > width {
      cursor.x = 0
      wrapPending = false
      if cursor.y == region.upperBound { scroll(up: 1) } else { cursor.y = min(height - 1, cursor.y + 1) }
    }
    if rows[cursor.y][cursor.x].text.isEmpty && cursor.x > 0 { rows[cursor.y][cursor.x - 1].text = " " }
    rows[cursor.y][cursor.x] = Cell(text: String(scalar), rendition: rendition)
    if columns == 2 { rows[cursor.y][cursor.x + 1] = Cell(text: "", rendition: rendition) }
    let after = cursor.x + columns
    if after < width && rows[cursor.y][after].text.isEmpty { rows[cursor.y][after].text = " " }
    if after >= width {
      cursor.x = width - 1
      wrapPending = privateModes.contains("?7")
    } else {
      cursor.x = after
    }
  }

  /// Handles the sequence at `start`; returns the index after it, nil if it is not complete.
  private mutating func escape(_ input: [UInt8], _ start: Int) -> Int? {
    guard start + 1 < input.count else { return nil }
    switch input[start + 1] {
    case 0x5B:
      var index = start + 2
      while index < input.count, (0x20...0x3F).contains(input[index]) { index += 1 }
      guard index < input.count else { return nil }
      let parameters = String(decoding: input[(start + 2)..<index], as: UTF8.self)
      sequence(input[index], parameters)
      return index + 1
    case 0x5D:
      guard let end = input[start...].firstIndex(of: 0x07) else { return nil }
      command(String(decoding: input[(start + 2)..<end], as: UTF8.self))
      return end + 1
    case 0x4D:
      if cursor.y == region.lowerBound { scroll(down: 1) } else { cursor.y = max(0, cursor.y - 1) }
      return start + 2
    default:
      complain("ESC \(input[start + 1])")
      return start + 2
    }
  }

  private mutating func command(_ text: String) {
    if text.contains(where: {
      $0.unicodeScalars.contains { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }
    }) {
      complain("control inside OSC \(text.prefix(20))")
    }
    if text.hasPrefix("2;") {
      titles.append(String(text.dropFirst(2)))
    } else if text.hasPrefix("52;c;"),
      text.dropFirst(5).allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+/=".contains($0)) })
    {
      copies.append(String(text.dropFirst(5)))
    } else {
      complain("OSC \(text.prefix(20))")
    }
  }

  private mutating func sequence(_ final: UInt8, _ parameters: String) {
    let name = Character(Unicode.Scalar(final))
    if parameters.hasPrefix("?") {
      let known = ["?1049", "?25", "?2004", "?1000", "?1006", "?7"]
      guard name == "h" || name == "l", known.contains(parameters) else {
        complain("CSI \(parameters)\(name)")
        return
      }
      if name == "h" { privateModes.insert(parameters) } else { privateModes.remove(parameters) }
      return
    }
    if !parameters.allSatisfy({ $0.isNumber || $0 == ";" }) {
      complain("CSI \(parameters)\(name)")
      return
    }
    let numbers = parameters.split(separator: ";", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    let first = max(1, numbers.first ?? 1)
    if name != "m" { wrapPending = false }
    switch name {
    case "H":
      cursor.y = min(height, first) - 1
      cursor.x = min(width, max(1, numbers.count > 1 ? numbers[1] : 1)) - 1
    case "A": cursor.y = max(0, cursor.y - first)
    case "B": cursor.y = min(height - 1, cursor.y + first)
    case "C": cursor.x = min(width - 1, cursor.x + first)
    case "D": cursor.x = max(0, cursor.x - first)
    case "G": cursor.x = min(width, first) - 1
    case "d": cursor.y = min(height, first) - 1
    case "J":
      if numbers.first == 2 {
        for y in 0..<height { rows[y] = Array(repeating: blank, count: width) }
      } else if (numbers.first ?? 0) == 0 {
        erase(cursor.x..<width)
        for y in (cursor.y + 1)..<max(cursor.y + 1, height) {
          rows[y] = Array(repeating: blank, count: width)
        }
      } else {
        complain("CSI \(parameters)J")
      }
    case "K":
      erase((numbers.first ?? 0) == 1 ? 0..<(cursor.x + 1) : cursor.x..<width)
    case "X": erase(cursor.x..<min(width, cursor.x + first))
    case "P":
      for _ in 0..<min(first, width - cursor.x) {
        rows[cursor.y].remove(at: cursor.x)
        rows[cursor.y].append(blank)
      }
      mendHalves()
    case "@":
      for _ in 0..<min(first, width - cursor.x) {
        rows[cursor.y].removeLast()
        rows[cursor.y].insert(blank, at: cursor.x)
      }
      mendHalves()
    case "L", "M":
      let whole = region
      guard whole.contains(cursor.y) else { return }
      region = cursor.y...whole.upperBound
      if name == "L" { scroll(down: first) } else { scroll(up: first) }
      region = whole
    case "r":
      // curses starts with a region of the 24 rows in its entry; terminals cut it to the rows they have.
      let bottom = min(height, numbers.count > 1 ? numbers[1] : height)
      guard first <= bottom else {
        complain("CSI \(parameters)r")
        return
      }
      region = (first - 1)...(bottom - 1)
      cursor = (0, 0)
    case "m": renditions(parameters)
    case "t" where parameters == "22;2" || parameters == "23;2": break
    default: complain("CSI \(parameters)\(name)")
    }
  }

  private mutating func erase(_ columns: Range<Int>) {
    for x in columns { rows[cursor.y][x] = blank }
    mendHalves()
  }

  /// Half a wide glyph is none.
  private mutating func mendHalves() {
    for x in 0..<width {
      let isRight = rows[cursor.y][x].text.isEmpty
      let left = x > 0 ? rows[cursor.y][x - 1].text.unicodeScalars.first : nil
      let leftIsWide = left.map { wcwidthOf($0.value) == 2 } ?? false
      if isRight && !leftIsWide { rows[cursor.y][x].text = " " }
      if !isRight && leftIsWide { rows[cursor.y][x - 1].text = " " }
    }
    if let last = rows[cursor.y][width - 1].text.unicodeScalars.first, wcwidthOf(last.value) == 2 {
      rows[cursor.y][width - 1].text = " "
    }
  }

  private mutating func renditions(_ parameters: String) {
    let parts = parameters.split(separator: ";", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    var index = 0
    while index < parts.count {
      let code = parts[index]
      switch code {
      case 0: rendition = Rendition()
      case 1: rendition.bold = true
      case 2: rendition.dim = true
      case 3: rendition.italic = true
      case 4: rendition.underline = true
      case 7: rendition.reverse = true
      case 23: rendition.italic = false
      case 24: rendition.underline = false
      case 30...37, 90...97: rendition.foreground = "\(code)"
      case 39: rendition.foreground = ""
      case 40...47, 100...107: rendition.background = "\(code)"
      case 49: rendition.background = ""
      case 38, 48:
        let length = index + 1 < parts.count && parts[index + 1] == 2 ? 5 : 3
        guard index + length <= parts.count else {
          complain("SGR \(parameters)")
          return
        }
        let value = parts[index..<(index + length)].map(String.init).joined(separator: ";")
        if code == 38 { rendition.foreground = value } else { rendition.background = value }
        index += length - 1
      default: complain("SGR \(code)")
      }
      index += 1
    }
  }
}

/// As the C library has it: that is what curses counts with.
private func wcwidthOf(_ value: UInt32) -> Int32 {
  wcwidthInC(Int32(bitPattern: value))
}

@_silgen_name("wcwidth")
private func wcwidthInC(_ value: Int32) -> Int32
