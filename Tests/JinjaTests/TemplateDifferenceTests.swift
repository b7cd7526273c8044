// TemplateDifferenceTests.swift: what templates print, compared with Python's jinja2 set up as
// transformers does it. The snippets are in TemplateSnippets.swift, the other side in
// Tests/Acceptance/Templates/reference.py.

import Foundation
import JSON
import Jinja
import TestSettings
import Testing

@Suite struct TemplateDifferenceTests {
  /// What jinja2 prints and this interpreter does not, each for a reason.
  private static let deliberate:
    [(reason: String, holds: @Sendable (_ snippet: String, _ theirs: [String]) -> Bool)] = [
      (
        "a function or an iterator prints as an address in memory, which differs from run to run; here it is an error",
        { _, theirs in
          theirs[0] == "ok"
            && [" at 0x", "<class 'dict'>", "<bound method", "<function"].contains { theirs[1].contains($0) }
        }
      ),
      ("names of characters are a table of a megabyte", { snippet, _ in snippet.contains("\\N{") }),
      (
        "complex numbers are no numbers of prompts",
        { _, theirs in theirs[0] == "ok" && theirs[1].hasSuffix("j)") }
      ),
      (
        "jinja2 writes a negative constant into Python's source without brackets: '-3 ** x' is -(3 ** x) there",
        { snippet, _ in snippet.hasPrefix("{{ -") && snippet.contains(" ** ") }
      ),
    ]

  private static let python = ProcessInfo.processInfo.environment["HOTPOT_PYTHON"] ?? "python3"

  private static let hasReference: Bool = {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [python, "-c", "import jinja2, sys; raise SystemExit(jinja2.__version__ < '3.1')"]
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }()

  private static let variables = """
    {"messages": [{"role": "system", "content": "be brief\\nand kind"},
    {"role": "user", "content": "  Hi <there> & \\"you\\" "}, {"role": "assistant", "content": "ça va, naïve"},
    {"role": "user", "content": "日本語?"}],
    "tools": [{"type": "function", "function": {"name": "weather", "description": "Tells <it>.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"},
    "days": {"type": "integer", "maximum": 18446744073709551615, "default": 1.0}}, "required": ["city", "days"]}}}]}
    """

  /// What jinja2 makes of the snippets: `ok` and a text, or `raises` and words.
  private func reference(_ snippets: [String], mutable: Bool) throws -> [(words: [String], line: Int)] {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hotpot-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    // What stays in a temporary folder does no harm.
    defer { try? FileManager.default.removeItem(at: folder) }
    let list = String(decoding: try JSONEncoder().encode(snippets), as: UTF8.self)
    var values = Self.variables
    values.removeLast()
    // Python reads these words in JSON.
    values += ", \"nan\": NaN, \"inf\": Infinity, \"ninf\": -Infinity}"
    let order = folder.appendingPathComponent("order.json")
    try Data("{\"mutable\": \(mutable), \"variables\": \(values), \"snippets\": \(list)}".utf8).write(
      to: order)
    let answer = folder.appendingPathComponent("answer.json")
    try Data().write(to: answer)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      Self.python, repository.appending(path: "Tests/Acceptance/Templates/reference.py").path,
    ]
    process.standardInput = try FileHandle(forReadingFrom: order)
    process.standardOutput = try FileHandle(forWritingTo: answer)
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let rows = try #require(
      try JSONSerialization.jsonObject(with: try Data(contentsOf: answer)) as? [[Any]])
    return rows.map { row in
      (row.compactMap { $0 as? String }, row.count > 2 ? row[2] as? Int ?? 0 : 0)
    }
  }

  private func rendered(_ source: String) throws -> [String] {
    let values = try JSONText.parse(Array(Self.variables.utf8), limits: .python)
    let others: [JSONValue.Member] = [
      ("nan", .double(.nan)), ("inf", .double(.infinity)), ("ninf", .double(-.infinity)),
    ]
    do throws(TemplateError) {
      let segments = try Template(source).render(
        (values.members ?? []) + others, own: [("add_generation_prompt", true)])
      return ["ok", segments.map(\.text).joined()]
    } catch {
      return ["raises", "\(error)"]
    }
  }

  private func compare(_ snippets: [String], mutable: Bool) throws {
    let theirs = try reference(snippets, mutable: mutable)
    try #require(theirs.count == snippets.count)
    var differences: [String] = []
    var excused = 0
    for (snippet, (words, line)) in zip(snippets, theirs) {
      let ours = try rendered(snippet)
      if ours[0] == "raises", words[0] == "raises" {
        // jinja2 knows the line of a statement; where both know one it is the same.
        guard line > 0, let range = ours[1].range(of: "line "),
          let found = Int(ours[1][range.upperBound...].prefix { $0.isNumber }), found != line
        else { continue }
        differences.append("\(snippet.debugDescription): line \(found), wanted \(line)")
        continue
      }
      guard ours != Array(words.prefix(2)) else { continue }
      if ours[0] == "raises" || snippet.hasPrefix("{{ -"),
        Self.deliberate.contains(where: { $0.holds(snippet, words) })
      {
        excused += 1
        continue
      }
      differences.append("\(snippet.debugDescription): \(ours), wanted \(words)")
    }
    #expect(
      differences.isEmpty,
      "\(differences.count) of \(snippets.count) differ:\n\(differences.prefix(40).joined(separator: "\n"))")
    #expect(excused * 50 < snippets.count, "\(excused) of \(snippets.count) differ on purpose")
  }

  /// All of them take Python half a minute: a ninth, another one at each place of the list, unless
  /// HOTPOT_HEAVY is 1.
  @Test(.enabled(if: hasReference, "python3 with jinja2 3.1 is absent: 'pip install jinja2' brings it"))
  func `every filter, test, method, operator and statement gives what jinja2 gives`() throws {
    let all = TemplateSnippets.all
    #expect(all.count > 40_000)
    let some = all.enumerated().filter {
      isHeavy || $0.offset < TemplateSnippets.statements.count || $0.offset % 9 == 0
    }
    try compare(some.map(\.element), mutable: false)
  }

  @Test(.enabled(if: hasReference, "python3 with jinja2 3.1 is absent: 'pip install jinja2' brings it"))
  func `lists and mappings change as in Python, which transformers forbids and llama allows`() throws {
    try compare(TemplateSnippets.mutations, mutable: true)
  }

  @Test func `every filter and test of jinja2 is here or refused by name`() {
    let filters = [
      "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
      "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int", "items",
      "join", "last",
      "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject", "rejectattr", "replace",
      "reverse",
      "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum", "title",
      "tojson", "trim",
      "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
    ]
    var refused: [String] = []
    for filter in filters {
      let found: String
      do throws(TemplateError) {
        _ = try Template("{{ x | \(filter) }}").render([])
        continue
      } catch {
        found = "\(error)"
      }
      if found == "chat template, line 1: the filter '\(filter)' is not supported" { refused.append(filter) }
      #expect(!found.contains("is not known"), "\(found)")
    }
    #expect(refused == ["pprint", "random", "striptags", "urlize", "wordwrap"])
  }
}
