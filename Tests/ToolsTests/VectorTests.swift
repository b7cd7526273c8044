// VectorTests.swift: the 910 answers of the reference folder's `vectors/agents/tools`, of 29 families of
// models in 16 formats: whole and in pieces, compared as the folder's check.py does.

import Foundation
import JSON
import TestSettings
import Testing

@testable import Tools

@Suite(.enabled(if: !ReferenceFolder.isAbsent, "the reference folder is absent"))
struct VectorTests {
  @Test(arguments: [nil, 1, 3, 7])
  func everyAnswerIsReadAsItsCaseSays(pieces: Int?) throws {
    let folder = try #require(ReferenceFolder.path("vectors/agents/tools"))
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    var count = 0
    var wrong: [String] = []
    for file in files where file.hasSuffix(".json") {
      let data = try Data(contentsOf: URL(filePath: "\(folder)/\(file)"))
      let cases = try JSONText.parse(Array(data), limits: .python)
      for entry in try #require(cases.array) {
        count += 1
        if let problem = try problem(entry, pieces: pieces) { wrong.append(problem) }
      }
    }
    #expect(count >= 910)
    let report = wrong.prefix(20).joined(separator: "\n")
    #expect(wrong.isEmpty, "\(wrong.count) wrong\n\(report)")
  }

  private func problem(_ entry: JSONValue, pieces: Int?) throws -> String? {
    let expected = try #require(entry["expect"])
    let format = try #require(ToolFormat.named(entry["format"]?.string ?? ""))
    let tools = (entry["tools"]?.array ?? []).compactMap { tool in
      tool["function"]?["name"]?.string.map {
        ToolDefinition(name: $0, parameters: tool["function"]?["parameters"])
      }
    }
    let got = Collected(
      entry["text"]?.string ?? "", pieces: pieces, format: format, reasoning: format.reasoning,
      tools: tools,
      prompt: entry["prefill"]?.string ?? "", isCut: expected["finish"]?.string == "length")
    let isExact = entry["content_exact"]?.bool ?? false
    if matches(got, expected, isExact: isExact) { return nil }
    if (entry["also"]?.array ?? []).contains(where: { matches(got, $0, isExact: false) }) { return nil }
    return "\(entry["id"]?.string ?? "?"): \(got)"
  }

  private func matches(_ got: Collected, _ wanted: JSONValue, isExact: Bool) -> Bool {
    let ending = [MessageEnding.stop: "stop", .length: "length", .toolCalls: "tool_calls"]
    guard got.ending.flatMap({ ending[$0] }) == wanted["finish"]?.string else { return false }
    if let content = wanted["content"]?.string {
      if isExact {
        guard trimmingSpace(got.content) == trimmingSpace(content) else { return false }
      } else {
        guard squashed(got.content) == squashed(content) else { return false }
      }
    }
    if let reasoning = wanted["reasoning"]?.string, squashed(got.reasoning) != squashed(reasoning) {
      return false
    }
    guard let calls = wanted["tool_calls"]?.array else { return true }
    guard calls.count == got.calls.count else { return false }
    return zip(got.calls, calls).allSatisfy { got, wanted in
      guard got.name == wanted["name"]?.string else { return false }
      if wanted["partial"]?.bool == true { return true }
      guard let arguments = wanted["arguments"], let value = parsed(got.arguments) else { return false }
      return isSame(value, arguments)
    }
  }

  private func squashed(_ text: String) -> String { text.filter { !$0.isWhitespace } }
}
