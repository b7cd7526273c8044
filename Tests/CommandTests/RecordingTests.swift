// RecordingTests.swift: recorded sessions, which somebody else may have made: what is played of them, and what is not.

import Foundation
import Testing

@Suite struct RecordingTests {
  private func file(_ folder: Folder, _ lines: String...) throws -> String {
    try folder.write(Array(lines.joined(separator: "\n").utf8), "session.cast")
  }

  @Test func onlyWhatDrawsReachesTheTerminal() throws {
    let folder = try Folder()
    let recording = try file(
      folder, #"{"version": 2, "width": 40, "height": 10}"#,
      #"[0.0, "o", "\u001b[?1049h\u001b]52;c;ZXZpbA==\u0007hello \u001b[31mred\u001b[0m\u001b[6n\u001b[c"]"#,
      #"[0.1, "i", "typed"]"#, #"[0.2, "o", "\u001b[?1000h\u001b[?2004h\u001bP+q544e\u001b"]"#,
      #"[0.3, "o", "\\more\u001b[?25"]"#, #"[0.4, "o", "lbye\u0005"]"#, "")
    let result = try Pseudoterminal.run(
      ["demo", "--replay", recording, "--speed", "100"], environment: ["TERM": "xterm-256color"])
    let text = String(decoding: result.bytes, as: UTF8.self)
    #expect(result.status == 0, "\(text)")
    #expect(text.contains("hello \u{1B}[31mred\u{1B}[0m") && text.contains("more\u{1B}[?25lbye"))
    for evil in ["52;c", "[6n", "[c", "[?1000h", "[?2004h", "544e", "typed", "\u{05}"] {
      #expect(!text.contains(evil), "\(evil.debugDescription)")
    }
    // One screen of its own, and the old one at the end.
    #expect(text.components(separatedBy: "\u{1B}[?1049h").count == 2)
    #expect(text.hasSuffix("\u{1B}[?1049l"))
  }

  @Test func aBrokenRecordingIsNamedByItsLine() throws {
    let folder = try Folder()
    let head = #"{"version": 2, "width": 80, "height": 24}"#
    for (lines, words) in [
      (["{}"], "line 1: no header"), ([#"{"version": 1, "width": 80, "height": 24}"#], "line 1: no header"),
      ([head, "[0.1, \"o\"]"], "line 2: no piece"), ([head, "", "[-1, \"o\", \"x\"]"], "line 3: no piece"),
      ([head, "nonsense"], "line 2: no piece"), ([], "line 1: no header"),
    ] {
      let path = try folder.write(Array(lines.joined(separator: "\n").utf8), "broken.cast")
      let result = try Program.run(["demo", "--replay", path])
      #expect(result.status == 65 && result.errors.contains(words), "\(lines) \(result.errors)")
    }
    let good = try file(folder, head)
    let result = try Program.run(["demo", "--replay", good])
    #expect(result.status == 64 && result.errors.contains("this is none"))
    #expect(try Program.run(["demo", "--speed", "2"]).status == 64)
  }

  @Test func aWindowThatIsTooSmallIsSaid() throws {
    let folder = try Folder()
    let recording = try file(folder, #"{"version": 2, "width": 120, "height": 30}"#)
    let result = try Pseudoterminal.run(
      ["demo", "--replay", recording], environment: ["TERM": "xterm-256color"])
    #expect(result.status == 64)
    #expect(String(decoding: result.bytes, as: UTF8.self).contains("this window has 80x24"))
  }
}
