// TraceTests.swift: a trace that an earlier tree recorded, through this tree's state machine.
// Vectors/trace-of-one-target.jsonl is of hotpot 0.1.0 before words and refusals had types of their own: a job that
// ended, one that nobody decided about, and jobs refused by policy, priority, a client's limit and a draining node.
import Foundation
import Node
import Testing

@Suite struct TraceTests {
  @Test func `an earlier tree's trace has the same effects at every step`() throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "Vectors/trace-of-one-target.jsonl")
    let lines = try Data(contentsOf: file).split(separator: 0x0A).map { Data($0) }
    var replay = try TraceReplay(first: try #require(lines.first))
    for line in lines.dropFirst() { try replay.apply(line) }
    #expect(replay.steps == 47 && replay.effects == 49)
    #expect(replay.differences.isEmpty && replay.violations.isEmpty)
  }
}
