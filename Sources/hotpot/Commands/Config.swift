// Config.swift: `hotpot config`: the configuration checked, shown and edited. What its keys mean is
// Node's. Start at config.

import Control
import Dashboard
import Foundation
import Node
import Scheduling

extension Command {
  static let config = Command(
    name: "config", summary: "check, show or edit the configuration", operands: "check [FILE] | show | edit",
    details: """
      check reads the file as a node would, and says with line and column what is wrong, and what has no effect: rules that
      no job reaches, users and models that are not there, keys that the keymap takes from other actions. It exits 65 if a
      node would refuse the file.
      show prints every key with its value and the line that sets it.
      edit opens the file in VISUAL or EDITOR, checks what is saved, asks what to do with a fault, and has a node that runs
      read it again. A running node reads it on SIGHUP and on ':reload' too.
      """,
    options: NodeSetup.commonOptions + [.json]
  ) { arguments in
    let words = try arguments.operands(1...2, "'check', 'show' or 'edit'")
    switch (words[0], words.count) {
    case ("check", 1): return try ConfigFile(arguments).check(isJSON: arguments.has("json"))
    case ("check", 2): return try ConfigFile(arguments, path: words[1]).check(isJSON: arguments.has("json"))
    case ("show", 1):
      try ConfigFile(arguments).show(isJSON: arguments.has("json"))
      return .ok
    case ("edit", 1): return try ConfigFile(arguments).edit()
    default:
      throw Failure(
        .usage, "'\(words.joined(separator: " "))' is not understood",
        hint: "'hotpot config --help' shows the usage")
    }
  }
}

/// The file that a node would read.
private struct ConfigFile {
  let path: String
  private let arguments: Arguments

  init(_ arguments: Arguments, path: String? = nil) throws {
    self.arguments = arguments
    guard let found = path ?? NodeSetup.configurationFile(arguments) else { throw Failure.noHome }
    self.path = try UserFile.path(found)
  }

  private func text() throws -> String? {
    var status = stat()
    guard stat(path, &status) == 0 || errno != ENOENT else { return nil }
    return try UserFile.readText(path, limit: 1 << 22)
  }

  private func notices(_ configuration: NodeConfiguration) throws -> [String] {
    var found = NodeSetup.notices(configuration, arguments, file: path).map(\.description)
    if let keymap = NodeSetup.configurationDirectory.map({ $0 + "/keymap" }),
      FileManager.default.fileExists(atPath: keymap)
    {
      found += try DashboardSetup.keyMap(keymap).thefts.map { "\(keymap): \($0)" }
    }
    return found
  }

  private struct Report: Encodable {
    let ok: Bool
    let file: String
    let errors: [String]
    let notices: [String]
  }

  func check(isJSON: Bool) throws -> ExitCode {
    guard let text = try text() else {
      throw Failure(.noInput, "there is no file '\(path)'", hint: "without one the defaults apply")
    }
    var report = Report(ok: true, file: path, errors: [], notices: [])
    do {
      report = Report(
        ok: true, file: path, errors: [],
        notices: try notices(try NodeConfiguration(file: path, text: text)))
    } catch {
      if !isJSON { throw error }
      report = Report(ok: false, file: path, errors: [Failure(describing: error).message], notices: [])
    }
    if isJSON {
      try Console.print(json: report)
    } else {
      for notice in report.notices { Console.print(Console.oneLine(notice)) }
      let count = report.notices.count
      Console.print(
        "'\(path)' can be used"
          + (count == 0 ? "" : "; \(counted(count, "thing")) in it \(count == 1 ? "has" : "have") no effect"))
    }
    return report.ok ? .ok : .badData
  }

  private struct Shown: Encodable {
    let key: String
    /// nil for a list, which the file shows.
    let value: String?
    /// nil for a default.
    let line: Int?
    let isLive: Bool
  }

  func show(isJSON: Bool) throws {
    let configuration = try NodeConfiguration(file: path, text: try text())
    let rows = ConfigurationPart.all.map { part in
      Shown(
        key: part.name, value: part.word(configuration), line: configuration.line(of: part.name),
        isLive: part.isLive)
    }
    if isJSON { return try Console.print(json: rows) }
    Console.write(
      StatusPage.table(
        [["KEY", "VALUE", "FROM", "A CHANGE"]]
          + rows.map { row in
            [
              row.key, row.value ?? (row.line == nil ? "the default" : "see the file"),
              row.line.map { "line \($0)" } ?? "default", row.isLive ? "at once" : "at the next start",
            ]
          }))
  }

  // MARK: editing

  func edit() throws -> ExitCode {
    let before = try text()
    let copy = FileManager.default.temporaryDirectory.path + "/hotpot-config-\(getpid()).json5"
    try UserFile.write(Array((before ?? Self.beginning).utf8), to: copy)
    defer { unlink(copy) }
    while true {
      try runEditor(copy)
      let text = try UserFile.readText(copy, limit: 1 << 22)
      if text == before ?? Self.beginning {
        Console.print("nothing was changed")
        return .ok
      }
      do {
        let configuration = try NodeConfiguration(file: path, text: text)
        for notice in try notices(configuration) { Console.note(Console.oneLine(notice) + "\n") }
      } catch {
        Console.show(Failure(describing: error))
        Console.note("edit it again? [Y/n] ")
        guard let answer = readLine(), !answer.lowercased().hasPrefix("n") else {
          throw Failure(.badData, "'\(path)' was left as it was")
        }
        continue
      }
      try UserFile.makeDirectory((path as NSString).deletingLastPathComponent)
      try UserFile.write(Array(text.utf8), to: path)
      Console.print("'\(path)' is written")
      guard let node = try ControlClient.ifServed(state: NodeSetup.controlDirectory(arguments)) else {
        return .ok
      }
      switch try node.perform(.reload) {
      case .done(let words): Console.print("the node that runs: \(words)")
      case .refused(let words): throw Failure(.failed, "the node that runs did not take it: \(words)")
      }
      return .ok
    }
  }

  private static let beginning = "// See hotpot-config(5). All keys are optional.\n{\n}\n"

  private func runEditor(_ file: String) throws {
    let environment = ProcessInfo.processInfo.environment
    let editor =
      [environment["VISUAL"], environment["EDITOR"]].compactMap { $0 }.first { !$0.isEmpty } ?? "vi"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    // As git does it: EDITOR may hold options.
    process.arguments = ["-c", editor + " \"$1\"", "hotpot", file]
    do { try process.run() } catch {
      throw Failure(.unavailable, "the editor '\(editor)' cannot be started: \(error.localizedDescription)")
    }
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(
        .failed, "the editor '\(editor)' ended with \(process.terminationStatus): nothing was changed",
        hint: "EDITOR names another")
    }
  }
}
