// WordsTests.swift: what commands write is words: nothing of strangers commands a terminal, and a terminal that obeys no
// escape sequence gets none.

import Foundation
import Testing

/// What may not reach a terminal or a table: controls but for lines and tabs, and what reorders a line.
private func commanding(_ text: String) -> [Unicode.Scalar] {
  text.replacing("\r\n", with: "\n").unicodeScalars.filter { scalar in
    switch scalar.value {
    case 0x0A, 0x09: false
    case 0..<0x20, 0x7F...0x9F, 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

@Suite struct HostileWordsTests {
  private static let request = #"{"messages":[{"role":"user","content":"hi"}]}"#

  /// Commands that print words of the node, in a pipe too.
  private static let commands: [[String]] = [
    ["status"], ["jobs"], ["jobs", "--all"], ["clients"], ["earnings"], ["earnings", "--by", "client"],
    ["earnings", "--by", "model"], ["earnings", "--by", "day"], ["earnings", "--csv"], ["receipts"],
    ["receipts", "show", "1"], ["approve", "abcd"], ["approve", "abcd", "ef01"], ["cancel", "abcd"],
    ["cancel", "abcd", "ef01"], ["reject", "abcd", "--reason", "no"], ["hold", "abcd"],
    ["priority", "abcd", "3"],
    ["pause"], ["resume"], ["drain"], ["clients", "revoke", "bob"],
    ["clients", "limit", "bob", "--jobs", "2"],
    ["settle", "bob", "1", "--reference", "r"], ["settle", "bob", "1", "--correct", "r"],
    ["receipts", "export", "1"],
    ["fleet", "local"],
  ]

  /// Commands whose output is somebody's content: raw in a pipe, words on a terminal.
  private static let pouring: [[String]] = [
    ["settle", "--statement", "bob"], ["clients", "voucher", "bob"], ["clients", "add", "bob"],
  ]

  private func isWords(_ bytes: [UInt8], _ words: [String]) {
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(
      commanding(text).isEmpty,
      "\(words): \(commanding(text).map { String($0.value, radix: 16) }) in \(text.debugDescription)")
  }

  @Test(arguments: [false, true]) func noWordOfANodeCommandsATerminal(isBlind: Bool) throws {
    let node = try HostileNode(isBlind: isBlind)
    defer { node.stop() }
    for words in Self.commands + Self.pouring {
      for more in [[], ["--json"]] where !(words.contains("--csv") && more == ["--json"]) {
        let all = words + more + ["--state", node.state]
        let outcome = try Program.run(all)
        if !Self.pouring.contains(words) { isWords(Array(outcome.output.utf8), all) }
        isWords(Array(outcome.errors.utf8), all)
        if isBlind { continue }
        // A terminal of seven bits for words, one of more for JSON.
        let environment = more.isEmpty ? ["LANG": "C"] : ["TERM": "dumb", "LANG": "C.UTF-8"]
        let (status, bytes) = try Pseudoterminal.run(all, environment: environment)
        #expect(status == outcome.status, "\(all)")
        isWords(bytes, all)
        // A file for a spreadsheet keeps its letters.
        if more.isEmpty, !Self.pouring.contains(words), !words.contains("--csv") {
          #expect(bytes.allSatisfy { $0 < 0x80 }, "\(all): \(String(decoding: bytes, as: UTF8.self))")
        }
      }
    }
  }

  @Test func anAnswerIsWordsOnATerminalAndItselfInAPipe() throws {
    let node = try HostileNode()
    defer { node.stop() }
    let folder = try Folder()
    for request in [Self.request, #"{"messages":[],"user":"fail"}"#, #"{"messages":[],"user":"refuse"}"#] {
      let file = try folder.write(Array(request.utf8), "request.json")
      for more in [[], ["--json"]] {
        let words = ["submit", file, "--state", node.state] + more
        let (status, bytes) = try Pseudoterminal.run(words, environment: ["TERM": "dumb", "LANG": "C.UTF-8"])
        isWords(bytes, words)
        let outcome = try Program.run(words)
        isWords(Array(outcome.errors.utf8), words)
        #expect(outcome.status == status)
        if request == Self.request, more.isEmpty {
          #expect(outcome.output == hostileWord + hostileWord + "\n")
        }
      }
    }
  }

  /// Words of this machine: arguments, names of files, and what stands in them.
  @Test func noWordOfAnArgumentOrAFileCommandsATerminal() throws {
    let folder = try Folder()
    let word = "x\u{1B}[2J\u{9B}31m\u{202E}\r\n\u{85}\u{7F}\u{8}y"
    let file = try folder.write(Array("\(word)\n{}".utf8), word)
    let commands: [[String]] = [
      [word], ["--\(word)"], ["help", word], ["status", word], ["status", "--\(word)"],
      ["run", "-m", word, "hi"],
      ["run", "-m", file, "hi"], ["tokenize", "-m", file, "hi"], ["render", "-m", file],
      ["models", "pull", word],
      ["models", "verify", word], ["models", word], ["verify", file], ["verify", word], ["replay", file],
      ["receipts", "check", "--state", word], ["receipts", "repair", "--state", word],
      ["status", "--state", word],
      ["serve", "--config", file], ["serve", "--config", word], ["submit", word], ["attach", word],
      ["fleet", word],
      ["attach", "--theme", file], ["attach", "--keymap", file], ["bench", "--prompt", word],
      ["witness", file],
      ["completions", word], ["unit", word], ["earnings", "--by", word], ["priority", "a", word],
      ["link", "--role", word],
      ["doctor", "--state", word],
    ]
    for words in commands {
      let outcome = try Program.run(words, environment: ["XDG_DATA_HOME": folder.path])
      isWords(Array((outcome.output + outcome.errors).utf8), words)
    }
  }

  /// The far side's standard error goes through ssh to the terminal.
  @Test func whatTheFarSideSaysToTheFirstLineIsWords() throws {
    let folder = try Folder()
    let script = try folder.write(
      Array(
        "#!/bin/sh\nprintf 'no \\033[2Jw\\302\\233ay\\r\\n\\377 ' >&2; printf '\\303' >&2; sleep 0.1; printf '\\251t\\351\\n' >&2; exit 255\n"
          .utf8), "ssh")
    let environment = ["TERM": "xterm", "LANG": "C.UTF-8", "HOTPOT_SSH": "sh \(script)"]
    let (status, bytes) = try Pseudoterminal.run(["attach", "kitchen"], environment: environment)
    #expect(status == 69)
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(
      text.hasPrefix("no ␛[2Jw\u{FFFD}ay\r\n\u{FFFD} ét\u{FFFD}\r\nhotpot: "), "\(text.debugDescription)")
    isWords(bytes.filter { $0 != 0x1B }, ["attach", "kitchen"])
  }
}

/// Terminals that obey no escape sequence, and what is no terminal.
@Suite struct PlainTerminalTests {
  private static let terminals: [[String: String]] = [
    ["TERM": "dumb"], [:], ["TERM": ""], ["TERM": "unknown"], ["TERM": "lpr"], ["TERM": "nobody-knows-this"],
  ]

  private func run(
    _ words: [String], _ terminal: [String: String], _ more: [String: String] = [:],
    answers: [(words: String, typed: String)] = []
  ) throws -> (status: Int32, text: String) {
    let (status, bytes) = try Pseudoterminal.run(
      words, environment: terminal.merging(more) { $1 }.merging(["LANG": "C.UTF-8"]) { $1 }, answers: answers)
    #expect(
      !bytes.contains(0x1B),
      "\(words), \(terminal): \(String(decoding: bytes, as: UTF8.self).debugDescription)")
    return (status, String(decoding: bytes, as: UTF8.self))
  }

  @Test(arguments: terminals) func aScreenIsRefusedInWords(terminal: [String: String]) throws {
    let node = try HostileNode()
    defer { node.stop() }
    let folder = try Folder()
    let model = try folder.write(TinyModel.bytes(), "tiny.gguf")
    for words in [
      ["attach", "--state", node.state], ["attach", "--state", node.state, "--read-only"],
      ["--state", folder.path, "--listen", "none"], ["demo", "-m", model],
    ] {
      let (status, text) = try run(words, terminal)
      #expect(status == 69, "\(words): \(text)")
      #expect(text.contains("hotpot: error: the screen cannot be used: "), "\(words): \(text)")
      #expect(text.contains("--plain"), "\(words): \(text)")
    }
    // Nothing was begun for it.
    #expect(folder.names("").filter { $0 != "tiny.gguf" }.isEmpty)
  }

  @Test(arguments: terminals) func aFleetIsATable(terminal: [String: String]) throws {
    let node = try HostileNode()
    defer { node.stop() }
    let (status, text) = try run(["fleet", "local", "--state", node.state], terminal)
    #expect(status == 0 && text.hasPrefix("NODE "), "\(text)")
  }

  @Test(arguments: terminals) func linesAreTheDashboardOfSuchATerminal(terminal: [String: String]) throws {
    let node = try HostileNode()
    defer { node.stop() }
    let (status, text) = try run(
      ["attach", "--plain", "--state", node.state], terminal,
      answers: [("type help for what can be done", "quit\n")])
    #expect(status == 0, "\(text)")
  }

  @Test(arguments: terminals) func commandsWriteWords(terminal: [String: String]) throws {
    let node = try HostileNode()
    defer { node.stop() }
    let server = try LocalServer { _, _ in LocalServer.Answer(body: TinyModel.bytes(padding: 1 << 20)) }
    defer { server.stop() }
    let folder = try Folder()
    _ = try run(["status", "--state", node.state], terminal)
    _ = try run(["nonsense"], terminal)
    _ = try run(["doctor", "--state", folder.path], terminal)
    let pulled = try run(
      ["models", "pull", "http://127.0.0.1:\(server.port)/tiny.gguf"], terminal,
      ["XDG_DATA_HOME": folder.path])
    #expect(pulled.text.contains("tiny.gguf"))
    let asked = try run(
      ["chat"], terminal, ["XDG_DATA_HOME": folder.path + "/none"], answers: [("[Y/n]", "n\n")])
    #expect(asked.status == 66, "\(asked.text)")
  }

  @Test func coloursAreForTerminalsThatWantThem() throws {
    func hasEscape(_ environment: [String: String]) throws -> Bool {
      try Pseudoterminal.run(["nonsense"], environment: environment).bytes.contains(0x1B)
    }
    #expect(try hasEscape(["TERM": "xterm"]))
    #expect(try !hasEscape(["TERM": "xterm", "NO_COLOR": "1"]))
    #expect(try !hasEscape(["TERM": "vt100"]))
    #expect(try !Program.run(["nonsense"], environment: ["TERM": "xterm"]).errors.contains("\u{1B}"))
  }

  @Test func aScreenInAPipeIsRefusedAndLinesAreNot() throws {
    let node = try HostileNode()
    defer { node.stop() }
    #expect(try Program.run(["attach", "--state", node.state], environment: ["TERM": "xterm"]).status == 64)
    let lines = try Program.run(
      ["attach", "--plain", "--state", node.state], input: "status\nquit\n", environment: ["TERM": "xterm"])
    #expect(lines.status == 0, "\(lines.errors)")
    #expect(!lines.output.contains("\u{1B}") && !lines.errors.contains("\u{1B}"))
  }
}
