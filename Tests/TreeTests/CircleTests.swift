// CircleTests.swift: which files use which types, and that no target's folders use each other in a
// circle: of two folders at most one may know the other.

import Foundation
import Testing

@Suite struct CircleTests {
  /// A file of a target: what it declares and what it names, without comments and strings.
  struct File {
    let path: String
    let declared: Set<String>
    let named: Set<String>

    var target: Substring { path.split(separator: "/").dropFirst().first ?? "" }
    var folder: String { (path as NSString).deletingLastPathComponent }

    init(_ path: String, _ text: String) {
      self.path = path
      let code = text.replacing(/"""[\s\S]*?"""/, with: "").replacing(/"(\\.|[^"\\\n])*"/, with: "")
        .replacing(/\/\/.*/, with: "")
      var declared: Set<String> = []
      let types =
        /((?:(?:public|package|final|indirect|private|fileprivate|@\w+)\s+)*)(?:struct|class|enum|protocol|actor|typealias)\s+(\w+)/
      for match in code.matches(of: types.anchorsMatchLineEndings()) {
        // A nested type is indented, and belongs to the one around it.
        let isOutermost =
          match.range.lowerBound == code.startIndex
          || code[code.index(before: match.range.lowerBound)] == "\n"
        if isOutermost, !match.output.1.contains("private") { declared.insert(String(match.output.2)) }
      }
      self.declared = declared
      named = Set(code.matches(of: /\b[A-Z]\w+\b/).map { String($0.output) })
    }
  }

  /// Folder to folders whose types its files name. A name that two files of a target declare is nobody's.
  static func uses(_ files: [File]) -> [String: [String: (file: String, name: String)]] {
    var owners: [String: [File]] = [:]
    for file in files {
      for name in file.declared { owners["\(file.target)/\(name)", default: []].append(file) }
    }
    var uses: [String: [String: (file: String, name: String)]] = [:]
    for file in files {
      for name in file.named.sorted() {
        guard let found = owners["\(file.target)/\(name)"], found.count == 1, let owner = found.first,
          owner.folder != file.folder
        else { continue }
        if uses[file.folder]?[owner.folder] == nil {
          uses[file.folder, default: [:]][owner.folder] = (file.path, name)
        }
      }
    }
    return uses
  }

  /// For each folder that reaches itself: the way, with one file and one name for each step.
  static func circles(_ uses: [String: [String: (file: String, name: String)]]) -> [String] {
    var circles: [String] = []
    for start in uses.keys.sorted() {
      var ways: [String: [String]] = [start: []]
      var waiting = [start]
      search: while let folder = waiting.popLast() {
        for (next, step) in (uses[folder] ?? [:]).sorted(by: { $0.key < $1.key }) {
          let way = (ways[folder] ?? []) + ["\(step.file) uses \(step.name) of \(next)"]
          if next == start {
            circles.append(way.joined(separator: "; "))
            break search
          }
          if ways[next] == nil {
            ways[next] = way
            waiting.append(next)
          }
        }
      }
    }
    return circles
  }

  @Test func `no target's folders form a circle`() throws {
    let files = try Tree.files("Sources", [".swift"]).map { File($0, try Tree.text($0)) }
    try #require(files.count > 300)
    for circle in Self.circles(Self.uses(files)) { Issue.record("\(circle)") }
  }

  @Test func `a circle is found, and a name in a comment or a text is no use`() {
    let one = File("Sources/A/One/Pot.swift", "struct Pot { var stove: Stove }")
    let two = File("Sources/A/Two/Stove.swift", "// Pot\nstruct Stove { let text = \"Pot\" }")
    let back = File("Sources/A/Two/Menu.swift", "enum Menu { case pot(Pot) }")
    // Of another target, and within another type: neither owns the name.
    let others = [
      File("Sources/B/One/Stove.swift", "struct Stove {}"),
      File("Sources/A/Three/Table.swift", "struct Table {\n  struct Pot {}\n}"),
    ]
    #expect(Self.circles(Self.uses([one, two] + others)) == [])
    #expect(
      Self.circles(Self.uses([one, two, back] + others)) == [
        "Sources/A/One/Pot.swift uses Stove of Sources/A/Two; Sources/A/Two/Menu.swift uses Pot of Sources/A/One",
        "Sources/A/Two/Menu.swift uses Pot of Sources/A/One; Sources/A/One/Pot.swift uses Stove of Sources/A/Two",
      ])
  }
}
