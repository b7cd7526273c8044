// Capabilities+Environment.swift: what a terminal can show, judged by the environment alone. The
// terminal is never queried: that costs a round trip, and a late answer looks like keys.
// Start at Capabilities.init(environment:).

extension Capabilities {
  /// Glyphs follow the locale (LC_ALL, LC_CTYPE, LANG) and the Linux console's small font; colours
  /// follow NO_COLOR, COLORTERM and TERM. `HOTPOT_GLYPHS` and `HOTPOT_COLORS` name a level and
  /// override everything but NO_COLOR.
  package init(environment: [String: String]) {
    let term = environment["TERM"] ?? ""
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? "C"
    let upper = locale.uppercased()
    var glyphs: GlyphLevel = upper.contains("UTF-8") || upper.contains("UTF8") ? .unicode : .ascii
    if glyphs == .unicode && term == "linux" { glyphs = .console }
    // An override cannot make a seven-bit locale carry more.
    if glyphs != .ascii, let wanted = environment["HOTPOT_GLYPHS"].flatMap(GlyphLevel.init(rawValue:)) {
      glyphs = wanted
    }
    var colors = Self.colors(term: term, colorterm: environment["COLORTERM"] ?? "")
    if let wanted = environment["HOTPOT_COLORS"].flatMap(ColorLevel.init(rawValue:)) { colors = wanted }
    if let noColor = environment["NO_COLOR"], !noColor.isEmpty { colors = .mono }
    self.init(colors: colors, glyphs: glyphs)
  }

  private static func colors(term: String, colorterm: String) -> ColorLevel {
    if term.isEmpty || term == "dumb" || term.hasPrefix("vt") || term.hasSuffix("-mono")
      || term.hasSuffix("-m")
    {
      return .mono
    }
    // Screen passes COLORTERM on from outside but does not support such colours itself.
    if term.hasPrefix("screen") { return term.contains("256color") ? .indexed : .eight }
    if colorterm == "truecolor" || colorterm == "24bit" || term.hasSuffix("-direct") { return .truecolor }
    let modern = ["kitty", "ghostty", "foot", "alacritty", "wezterm", "contour", "rio", "konsole"]
    if modern.contains(where: { term.contains($0) }) { return .truecolor }
    if term.contains("256color") { return .indexed }
    if ["linux", "ansi", "cygwin", "rxvt", "Eterm", "cons25", "mach", "sun"].contains(where: term.hasPrefix) {
      return .eight
    }
    return .sixteen
  }
}

/// Which terminfo entry drives a terminal of this name.
package enum TerminfoChoice: Equatable, Sendable {
  /// One of our own, in EmbeddedTerminfo.swift.
  case embedded
  /// The system's entry of that name; the embedded one where the system has none.
  case system(String)

  package init(term: String, colors: ColorLevel) {
    // xterm, and terminals that are named after it or imitate it. Our entry is shorter on the wire
    // than the system's, and it exists even on machines whose database lacks kitty, ghostty, foot
    // or direct colours.
    let followers = [
      "xterm", "kitty", "ghostty", "foot", "alacritty", "wezterm", "contour", "rio", "konsole", "vte",
      "gnome",
      "st-", "putty", "iterm", "mintty", "ms-terminal",
    ]
    if followers.contains(where: { term.contains($0) }) && !term.hasPrefix("screen")
      && !term.hasPrefix("tmux")
    {
      self = .embedded
    } else if term.hasPrefix("tmux") && colors == .truecolor {
      self = .embedded
    } else {
      self = .system(term)
    }
  }
}
