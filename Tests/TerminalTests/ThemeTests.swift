// ThemeTests.swift: btop's theme files, our own, and the colours a terminal has.
import Foundation
import Terminal
import TestSettings
import Testing

@Suite struct ThemeTests {
  @Test func shippedThemesLoadAndAreTheFilesOfThemes() throws {
    for (name, file) in Theme.shipped {
      let path = repository.appendingPathComponent("Themes/\(name).theme")
      let text = try String(contentsOf: path, encoding: .utf8)
      #expect(text == file + "\n", "\(name): the copy in ShippedThemes.swift differs")
      #expect(try Theme(name: name, file: text).name == name)
    }
    let files = try FileManager.default.contentsOfDirectory(
      atPath: repository.appendingPathComponent("Themes").path)
    #expect(files.count == Theme.shipped.count)
  }

  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: "/usr/share/btop/themes"), "btop is not installed"))
  func btopsOwnThemesLoadUnchanged() throws {
    let directory = "/usr/share/btop/themes"
    let files = try FileManager.default.contentsOfDirectory(atPath: directory).filter {
      $0.hasSuffix(".theme")
    }
    #expect(files.count > 10)
    for file in files {
      let text = try String(contentsOfFile: directory + "/" + file, encoding: .utf8)
      let theme = try Theme(name: file, file: text)
      #expect(theme.foreground != theme.background || theme.foreground == .terminal, "\(file)")
    }
  }

  @Test func aThemeOfBtopGivesOurExtraColours() throws {
    let theme = try Theme(
      name: "x",
      file: """
        # a comment
        theme[main_bg]="#10"
        theme[main_fg]="200 100 50"
        theme[hi_fg]="#abcdef"
        theme[cpu_start]="#000000"
        theme[cpu_mid]=""
        theme[cpu_end]="#c80000"
        theme[unknown_key]="#123456"
        theme[ok]="color10"
        """)
    #expect(theme.background == .rgb(16, 16, 16))
    #expect(theme.foreground == .rgb(200, 100, 50))
    #expect(theme.title == theme.foreground)
    #expect(theme.load.color(at: 0.5) == .rgb(100, 0, 0))
    #expect(theme.error == .rgb(200, 0, 0))
    #expect(theme.pending == .rgb(0xab, 0xcd, 0xef))
    #expect(theme.ok == .palette(10))
  }

  @Test func aBrokenLineIsNamed() {
    #expect {
      _ = try Theme(name: "x", file: "theme[main_bg]=\"#10\"\ntheme[main_fg]=\"#12\u{1B}45\"\n")
    } throws: {
      "\($0)" == "theme line 2: found '#12␛45', wanted #rrggbb, #gg, 'r g b', default, colorN or nothing"
    }
  }

  // Lab values from Bruce Lindbloom's colour calculator, sRGB, D65.
  @Test(
    arguments: [
      ((255, 0, 0), (53.24, 80.09, 67.20)), ((0, 255, 0), (87.73, -86.18, 83.18)),
      ((0, 0, 255), (32.30, 79.19, -107.86)),
      ((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((119, 119, 119), (50.03, 0, 0)),
    ] as [((UInt8, UInt8, UInt8), (Double, Double, Double))])
  func labOfKnownColours(rgb: (UInt8, UInt8, UInt8), expected: (Double, Double, Double)) {
    let found = lab((rgb.0, rgb.1, rgb.2))
    #expect(abs(found.lightness - expected.0) < 0.05)
    #expect(abs(found.a - expected.1) < 0.05)
    #expect(abs(found.b - expected.2) < 0.05)
  }

  @Test func coloursFallToTheNearestOfEachLevel() {
    let ember = Color.rgb(0xff, 0x91, 0x48)
    #expect(ember.limited(to: .truecolor) == ember)
    #expect(ember.limited(to: .indexed) == .palette(209))
    #expect(Color.rgb(0xff, 0, 0).limited(to: .indexed) == .palette(196))
    #expect(Color.rgb(0xfe, 0x05, 0x01).limited(to: .sixteen) == .palette(9))
    #expect(Color.rgb(0, 0, 0x30).limited(to: .eight) == .palette(0))
    #expect(ember.limited(to: .mono) == .terminal)
    #expect(Color.palette(12).limited(to: .eight) == .palette(4))
    #expect(Color.palette(3).limited(to: .sixteen) == .palette(3))
    #expect(Color.terminal.limited(to: .eight) == .terminal)
  }

  @Test func everyEntryOfTheCubeIsItsOwnNearest() {
    for index in 16..<256 {
      let color = xtermColor(index)
      let found = Color.rgb(color.red, color.green, color.blue).limited(to: .indexed)
      guard case .palette(let entry) = found.kind else {
        Issue.record("\(index) became \(found)")
        continue
      }
      #expect(xtermColor(Int(entry)) == color, "\(index) became \(entry)")
    }
  }

  @Test func capabilitiesByEnvironment() {
    func check(_ environment: [String: String], _ colors: ColorLevel, _ glyphs: GlyphLevel) {
      let found = Capabilities(environment: environment)
      #expect(found.colors == colors && found.glyphs == glyphs, "\(environment): \(found)")
    }
    check(["TERM": "xterm-256color", "LANG": "de_DE.UTF-8"], .indexed, .unicode)
    check(["TERM": "xterm-256color", "LANG": "C"], .indexed, .ascii)
    check(["TERM": "xterm-256color", "LANG": "de_DE.UTF-8", "LC_ALL": "C"], .indexed, .ascii)
    check(["TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_CTYPE": "C.utf8"], .truecolor, .unicode)
    check(["TERM": "xterm-kitty", "LANG": "C.UTF-8"], .truecolor, .unicode)
    check(["TERM": "xterm-ghostty", "LANG": "C.UTF-8", "NO_COLOR": "1"], .mono, .unicode)
    check(["TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_COLOR": ""], .indexed, .unicode)
    check(["TERM": "linux", "LANG": "C.UTF-8"], .eight, .console)
    check(["TERM": "vt100", "LANG": "C"], .mono, .ascii)
    check(["TERM": "screen", "LANG": "C.UTF-8", "COLORTERM": "truecolor"], .eight, .unicode)
    check(["TERM": "tmux-256color", "LANG": "C.UTF-8"], .indexed, .unicode)
    check(["TERM": "xterm", "LANG": "C.UTF-8", "HOTPOT_GLYPHS": "block"], .sixteen, .block)
    check(["TERM": "xterm", "LANG": "C", "HOTPOT_GLYPHS": "unicode"], .sixteen, .ascii)
    check([:], .mono, .ascii)
  }
}
