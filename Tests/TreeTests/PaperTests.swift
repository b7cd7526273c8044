// PaperTests.swift: the papers for people who come new, held against what they describe: the table of
// targets, the index of decisions, the environment's variables, the paths that are named.

import Foundation
import TestSettings
import Testing

@Suite struct PaperTests {
  /// The rows of the first table of ARCHITECTURE.md: target to what it depends on.
  private static func table() throws -> [String: [String]] {
    var table: [String: [String]] = [:]
    for line in try Tree.text("Sources/ARCHITECTURE.md").split(separator: "\n") {
      guard let row = line.wholeMatch(of: /\| `(\w+)` \| ([^|]+) \| [^|]+ \|/) else { continue }
      let names = row.output.2 == "-" ? [] : row.output.2.split(separator: ", ").map(String.init)
      table[String(row.output.1)] = names.sorted()
    }
    return table
  }

  /// The targets of Package.swift that lie in Sources.
  private static func package() throws -> [String: [String]] {
    let text = try Tree.text("Package.swift")
    func names(_ text: Substring?) -> [String] {
      (text ?? "").matches(of: /"(\w+)"/).map { String($0.output.1) }.sorted()
    }
    var targets: [String: [String]] = [:]
    for match in text.matches(of: /room\(\s*"(\w+)"(?:,\s*\[([^\]]*)\])?\s*\)/) {
      targets[String(match.output.1)] = names(match.output.2)
    }
    for match in text.matches(of: /\.(?:target|systemLibrary)\(name: "(\w+)", (?:cSettings|providers)/) {
      targets[String(match.output.1)] = []
    }
    for match in text.matches(of: /\.target\(\s*name: "(C[A-Z]\w+)", dependencies: \[([^\]]*)\]/) {
      targets[String(match.output.1)] = names(match.output.2)
    }
    let executable = try #require(
      text.firstMatch(of: /\.executableTarget\(\s*name: "hotpot",\s*dependencies: \[([^\]]*)\]/))
    targets["hotpot"] = names(executable.output.1)
    return targets
  }

  @Test func `the table of targets is that of Package.swift`() throws {
    let (table, package) = (try Self.table(), try Self.package())
    let folders = try FileManager.default.contentsOfDirectory(
      atPath: repository.appending(path: "Sources").path
    ).filter { !$0.contains(".") }
    #expect(Set(package.keys) == Set(folders))
    for (target, dependencies) in package {
      #expect(table[target] == dependencies, "the row of \(target) in Sources/ARCHITECTURE.md")
    }
    #expect(table.count == package.count)
  }

  @Test func `every decision has a number of its own, a date, a status and a place in the index`() throws {
    let index = try Tree.text("Sources/ARCHITECTURE.md")
    let decisions = try Tree.files("Sources", [".md"]).filter { $0.contains("/Decisions/") }
    try #require(decisions.count > 30)
    var numbers: [String: [Int]] = [:]
    for path in decisions {
      let lines = try Tree.text(path).split(separator: "\n", omittingEmptySubsequences: false)
      let number = try #require(Int((path as NSString).lastPathComponent.prefix(4)), "\(path)")
      numbers[(path as NSString).deletingLastPathComponent, default: []].append(number)
      try #require(lines.count > 4, "\(path)")
      #expect(lines[0].hasPrefix("# \(number). "), "\(path): its first line")
      #expect(
        lines[2].wholeMatch(of: /\d{4}-\d\d-\d\d\. (In force.*|Superseded by .*)/) != nil,
        "\(path): its third")
      let entry = "[\(lines[0].dropFirst(2))](\(path.dropFirst("Sources/".count)))"
      let isListed = index.contains(entry)
      #expect(isListed, "Sources/ARCHITECTURE.md lacks \(entry)")
    }
    for (folder, numbers) in numbers { #expect(numbers == Array(1...numbers.count), "\(folder)") }
  }

  @Test func `every target of ours has a page that says where to start`() throws {
    for target in try Self.package().keys where target != "CNCurses" && target != "CManuals" {
      let page = try Tree.text("Sources/\(target)/\(target).docc/\(target).md")
      #expect(page.hasPrefix("# ``\(target)``\n"), "\(target)")
      // "Start at `Type.member`": the type is declared in the target, or the header lies there.
      let start = try #require(page.firstMatch(of: /[Ss]tart at `([\w.]+)`/), "\(target)")
      let name = String(start.output.1.split(separator: ".")[0])
      let sources = try Tree.files("Sources/\(target)", [".swift", ".h"])
      let declares = try Regex("\\b(struct|class|enum|protocol|actor) \(name)\\b")
      let isThere = try sources.contains { path in
        try (path as NSString).lastPathComponent.hasPrefix(name + ".") || Tree.text(path).contains(declares)
      }
      #expect(isThere, "\(target): there is no \(name)")
    }
  }

  @Test func `every variable of the environment stands in a manual or in CONTRIBUTING`() throws {
    let papers =
      try Tree.files("man", [".1", ".5", ".7"]).map(Tree.text).joined()
      + Tree.text("Sources/CONTRIBUTING.md")
    var used: Set<String> = []
    for path in try Tree.files("Sources", [".swift", ".c"])
      + Tree.files("Tests", [".swift", ".py", ".c", "/run"])
    {
      used.formUnion(try Tree.text(path).matches(of: /\bHOTPOT_[A-Z_]+\b/).map { String($0.output) })
    }
    try #require(used.count > 10)
    for name in used.sorted() {
      let isThere = papers.contains(name)
      #expect(isThere, "\(name)")
    }
    for name in Set(papers.matches(of: /\bHOTPOT_[A-Z_]+\b/).map { String($0.output) }) {
      #expect(used.contains(name), "\(name) is read by nobody")
    }
  }

  @Test func `every file that a paper names is there`() throws {
    for paper in ["README.md", "Sources/ARCHITECTURE.md", "Sources/CONTRIBUTING.md", "Sources/CHANGES.md"] {
      let folder = repository.appending(path: paper).deletingLastPathComponent()
      let text = try Tree.text(paper)
      for link in text.matches(of: /\]\(([^)#:]+)\)/).map(\.output.1) {
        let path = folder.appending(path: String(link)).path
        #expect(FileManager.default.fileExists(atPath: path), "\(paper): \(link)")
      }
      for name in text.matches(of: /`((?:Sources|Tests|man|Themes)\/[\w.+\/-]*)`/).map(\.output.1)
      where !name.contains("NAME") && !name.contains("TARGET") {
        let path = repository.appending(path: String(name)).path
        #expect(FileManager.default.fileExists(atPath: path), "\(paper): \(name)")
      }
    }
  }
}
