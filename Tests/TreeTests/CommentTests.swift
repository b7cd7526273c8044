// CommentTests.swift: what comments name is there: files, the place where to start, types and tests.

import Foundation
import Testing

@Suite struct CommentTests {
  private struct Source {
    let path: String
    var comments = ""
    var code: Set<Substring> = []

    init(_ path: String, _ text: String) {
      self.path = path
      let isC = !path.hasSuffix(".swift")
      for line in text.split(separator: "\n") {
        let inner = line.drop { $0 == " " }
        // In C's comments of several lines the others are indented by three.
        if inner.hasPrefix("//") || inner.hasPrefix("/*")
          || (isC && line.hasPrefix("   ") && !line.hasPrefix("    "))
        {
          comments += " " + inner.drop { "/* ".contains($0) }
        } else {
          code.formUnion(line.matches(of: /\w+/).map(\.output))
        }
      }
    }
  }

  private static func sources(_ folder: String) throws -> [Source] {
    try Tree.files(folder, [".swift", ".c", ".h"]).map { Source($0, try Tree.text($0)) }
  }

  @Test func everyNameInACommentIsThere() throws {
    let sources = try Self.sources("Sources")
    let tests = try Self.sources("Tests")
    try #require(sources.count > 200 && tests.count > 50)
    let files = Set((sources + tests).map { ($0.path as NSString).lastPathComponent })
    let code = sources.reduce(into: Set<Substring>()) { $0.formUnion($1.code) }
    let tested = tests.reduce(into: Set<Substring>()) { $0.formUnion($1.code) }
    func isThere(_ name: Substring) -> Bool {
      guard let last = name.split(separator: ".").last else { return true }
      return code.contains(last) || files.contains(String(name)) || files.contains(name + ".swift")
    }
    for source in sources {
      let text = source.comments
      for name in text.matches(of: /\b[A-Za-z][\w+]*\.swift\b/).map(\.output) where name != "NAME.swift" {
        let exists = files.contains(String(name))
        #expect(exists, "\(source.path): there is no file \(name)")
      }
      for name in text.matches(of: /Start at `?([A-Za-z_][\w.]*)/).map(\.output.1) where name != "the" {
        #expect(isThere(name), "\(source.path): there is no \(name) to start at")
      }
      for name in text.matches(of: /\(([A-Z][a-z]+[A-Z]\w*|[A-Z][a-z]{4,})\)/).map(\.output.1) {
        #expect(isThere(name), "\(source.path): there is no \(name)")
      }
      for match in text.matches(of: /\b([A-Z]\w+Tests)(\.(\w+))?/) {
        let (suite, test) = (match.output.1, match.output.3)
        let isNamed = tested.contains(suite) || files.contains(suite + ".swift")
        #expect(
          isNamed && (test.map { $0 == "swift" || tested.contains($0) } ?? true),
          "\(source.path): there is no test \(match.output.0)")
      }
    }
  }
}
