// Theme.swift: what colours mean, and btop's theme files, which load unchanged.
// A file consists of lines of `theme[key]="value"`; a value is `#rrggbb`, `#gg` (a grey), `r g b`
// in decimal, empty (none) or, ours, `default` and `colorN`. Our extra keys (ok, warn, error,
// pending) are derived if a file lacks them. Where the files are is one of the dashboard's options.
// Start at Theme.init(name:file:).

package struct Theme: Hashable, Sendable {
  /// A colour for a share of 0 to 1: 101 steps computed the way btop does, or three steps of a
  /// palette.
  package struct Gradient: Hashable, Sendable {
    package let steps: [Color]

    /// - share: clamped to 0...1.
    package func color(at share: Double) -> Color {
      guard let last = steps.last, share.isFinite else { return .terminal }
      let index = Int(min(1, max(0, share)) * Double(steps.count - 1) + 0.5)
      return index < steps.count ? steps[index] : last
    }
  }

  package let name: String
  package let background, foreground, title, highlight: Color
  package let selectedBackground, selectedForeground: Color
  /// Less important text, and things that are absent.
  package let inactive: Color
  package let graphText, meterBackground, box, divider: Color
  /// All is well; look here; broken; waiting for someone. Never the only sign: a glyph or a word
  /// accompanies it.
  package let ok, warn, error, pending: Color
  /// Bars of a job whose prompt is being read, or whose answer is being written. One colour each,
  /// because they change every second.
  package let reading, writing: Color
  package let load, temperature, memory, decode, prefill: Gradient
  private let values: [String: Color]
}

/// What is wrong in a theme file, with its line.
package struct ThemeError: Error, Hashable, CustomStringConvertible {
  package let line: Int
  package let found: String
  package let wanted: String

  package var description: String { "theme line \(line): found \(found), wanted \(wanted)" }
}

extension Theme {
  /// Reads a theme file. Unknown keys are skipped, as btop does; missing ones have defaults.
  package init(name: String, file: String) throws(ThemeError) {
    var values: [String: Color] = [:]
    for (index, line) in file.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let text = line.trimmed
      if !text.hasPrefix("theme[") { continue }
      guard let close = text.firstIndex(of: "]") else {
        throw ThemeError(
          line: index + 1, found: "'\(displaySafe(text.prefix(40)))'", wanted: "theme[key]=\"value\"")
      }
      let key = String(text[..<close].dropFirst("theme[".count))
      var value = text[text.index(after: close)...].trimmed
      guard value.hasPrefix("=") else {
        throw ThemeError(
          line: index + 1, found: "'\(displaySafe(text.prefix(40)))'", wanted: "theme[key]=\"value\"")
      }
      value = value.dropFirst().trimmed
      // As btop: quoted, or bare up to a comment. The first inner quote ends the value.
      if value.hasPrefix("\"") {
        value = value.dropFirst()
        if let quote = value.firstIndex(of: "\"") { value = value[..<quote] }
      }
      if value.isEmpty { continue }
      guard let color = Color(themeValue: value) else {
        throw ThemeError(
          line: index + 1, found: "'\(displaySafe(value.prefix(40)))'",
          wanted: "#rrggbb, #gg, 'r g b', default, colorN or nothing")
      }
      values[key] = color
    }
    self.init(name: name, values: values)
  }

  /// The theme on a terminal with this many colours. One that is made of the sixteen that the user
  /// chose may have richer gradients for graphs (`theme[cpu_start_rich]`, ours), which a terminal
  /// of 256 colours or more shows.
  package func adapted(to level: ColorLevel) -> Theme {
    switch level {
    case .truecolor, .indexed:
      var values = values
      for (key, color) in values where key.hasSuffix("_rich") {
        let plain = String(key.dropLast(5))
        values[plain + "_bar"] = values[plain]
        values[plain] = color
        values[key] = nil
      }
      return Theme(name: name, values: values, isIndexed: values != self.values)
    case .sixteen, .eight, .mono: return self
    }
  }

  /// - isIndexed: gradients use only the palette of 256, whose colours cost half the bytes
  init(name: String, values: [String: Color], isIndexed: Bool = false) {
    self.name = name
    self.values = values
    func gradient(_ key: String, or fallback: [Color]) -> Gradient {
      guard let start = values[key + "_start"] else {
        return Gradient(start: fallback[0], middle: fallback[1], end: fallback[2])
      }
      let result = Gradient(start: start, middle: values[key + "_mid"], end: values[key + "_end"])
      return isIndexed ? Gradient(steps: result.steps.map { $0.limited(to: .indexed) }) : result
    }
    foreground = values["main_fg"] ?? .terminal
    background = values["main_bg"] ?? .terminal
    title = values["title"] ?? foreground
    // Keys, the frame in focus and what waits are drawn in it: it must not be the faintest.
    highlight = (values["hi_fg"] ?? .palette(6)).legible(on: background, from: foreground, share: 0.85)
    selectedBackground = (values["selected_bg"] ?? .palette(4)).apart(from: background, towards: foreground)
    selectedForeground = values["selected_fg"] ?? .palette(15)
    inactive = (values["inactive_fg"] ?? .palette(8)).legible(on: background, from: foreground, share: 0.5)
    // btop prints little in these two; here they are the labels, so they must be legible.
    graphText = (values["graph_text"] ?? inactive).legible(on: background, from: foreground, share: 0.62)
    meterBackground = values["meter_bg"] ?? values["inactive_fg"] ?? .palette(8)
    box = values["proc_box"] ?? values["cpu_box"] ?? .palette(8)
    divider = values["div_line"] ?? box
    let traffic: [Color] = [.palette(2), .palette(3), .palette(1)]
    load = gradient("cpu", or: traffic)
    temperature = gradient("temp", or: traffic)
    memory = gradient("used", or: traffic)
    decode = gradient("download", or: traffic)
    prefill = gradient("upload", or: traffic)
    reading = values["upload_mid_bar"] ?? prefill.color(at: 0.5)
    writing = values["download_mid_bar"] ?? decode.color(at: 0.5)
    ok = values["ok"] ?? load.color(at: 0)
    warn = values["warn"] ?? load.color(at: 0.5)
    error = values["error"] ?? load.color(at: 1)
    pending = values["pending"] ?? highlight
  }
}

extension Theme.Gradient {
  /// btop's rule: without an end the start alone; without a middle straight from start to end.
  init(start: Color, middle: Color?, end: Color?) {
    guard let end else {
      steps = [start]
      return
    }
    guard case .rgb(let r0, let g0, let b0) = start.kind, case .rgb(let r2, let g2, let b2) = end.kind else {
      // A palette has nothing between its entries: the middle starts half way, the end at 85 %.
      steps = (0...100).map { $0 < 50 ? start : $0 < 85 ? middle ?? start : end }
      return
    }
    func mix(_ from: UInt8, _ to: UInt8, _ step: Int, of count: Int) -> UInt8 {
      UInt8(clamping: Int(from) + step * (Int(to) - Int(from)) / count)
    }
    if let middle, case .rgb(let r1, let g1, let b1) = middle.kind {
      steps = (0...100).map { step in
        step <= 50
          ? .rgb(mix(r0, r1, step, of: 50), mix(g0, g1, step, of: 50), mix(b0, b1, step, of: 50))
          : .rgb(
            mix(r1, r2, step - 50, of: 50), mix(g1, g2, step - 50, of: 50), mix(b1, b2, step - 50, of: 50))
      }
    } else {
      steps = (0...100).map { step in
        .rgb(mix(r0, r2, step, of: 100), mix(g0, g2, step, of: 100), mix(b0, b2, step, of: 100))
      }
    }
  }
}

extension Color {
  /// Itself where its CIELAB lightness is at least 33 from the background's (some 3 to 1 in
  /// contrast), otherwise `share` of the foreground on the background. Palette colours are the
  /// user's own and stay.
  fileprivate func legible(on background: Color, from foreground: Color, share: Double) -> Color {
    guard case .rgb(let r, let g, let b) = kind, case .rgb(let r0, let g0, let b0) = background.kind,
      case .rgb(let r1, let g1, let b1) = foreground.kind
    else { return self }
    if abs(lab((r, g, b)).lightness - lab((r0, g0, b0)).lightness) >= 33 { return self }
    func mix(_ low: UInt8, _ high: UInt8) -> UInt8 {
      UInt8(clamping: Int((Double(low) + share * (Double(high) - Double(low))).rounded()))
    }
    return .rgb(mix(r0, r1), mix(g0, g1), mix(b0, b1))
  }

  /// Itself where it is told apart from the background at a glance, otherwise a quarter of the
  /// foreground on it.
  fileprivate func apart(from background: Color, towards foreground: Color) -> Color {
    guard case .rgb(let r, let g, let b) = kind, case .rgb(let r0, let g0, let b0) = background.kind,
      case .rgb(let r1, let g1, let b1) = foreground.kind
    else { return self }
    let (one, two) = (lab((r, g, b)), lab((r0, g0, b0)))
    let (dl, da, db) = (one.lightness - two.lightness, one.a - two.a, one.b - two.b)
    if dl * dl + da * da + db * db >= 144 { return self }
    func mix(_ low: UInt8, _ high: UInt8) -> UInt8 { UInt8((Int(low) * 3 + Int(high)) / 4) }
    return .rgb(mix(r0, r1), mix(g0, g1), mix(b0, b1))
  }

  /// A value of a theme file; nil if it isn't a colour.
  init?(themeValue value: Substring) {
    if value == "default" {
      self = .terminal
    } else if value.hasPrefix("color"), let index = UInt8(value.dropFirst(5)) {
      self = .palette(index)
    } else if value.hasPrefix("#") {
      let digits = value.dropFirst()
      guard digits.allSatisfy(\.isHexDigit), let number = UInt32(digits, radix: 16) else { return nil }
      switch digits.utf8.count {
      case 2: self = .rgb(UInt8(number & 255), UInt8(number & 255), UInt8(number & 255))
      case 6: self = .rgb(UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255))
      default: return nil
      }
    } else {
      let numbers = value.split(separator: " ").map { UInt8($0) }
      guard numbers.count == 3, let red = numbers[0], let green = numbers[1], let blue = numbers[2] else {
        return nil
      }
      self = .rgb(red, green, blue)
    }
  }
}

extension Substring {
  var trimmed: Substring {
    var rest = self
    while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
    while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
    return rest
  }
}
