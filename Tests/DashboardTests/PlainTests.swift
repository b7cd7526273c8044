// PlainTests.swift: lines for screen readers: what is told, and what numbers mean.
import Control
import Dashboard
import ScriptedNode
import Testing

@Suite struct PlainTests {
  private func lines(_ outputs: [PlainModel.Output]) -> [String] {
    outputs.map { output in
      switch output {
      case .line(let text): text
      case .send(let command, _): "sent \(words(command))"
      case .leave: "leave"
      }
    }
  }

  @Test func whatChangedIsToldOnce() {
    var node = ScriptedNode.busy(queued: 0)
    var model = PlainModel(isReadOnly: false)
    #expect(
      lines(model.update(.snapshot(node.snapshot()))) == [
        "kitchen-1 is serving, model SmolLM2-135M-Instruct Q4_1, 2 jobs waiting for you",
        "type help for what can be done, and Enter",
      ])
    #expect(model.update(.snapshot(node.snapshot())).isEmpty)
    node.end("7f3a", .done, nil)
    #expect(
      lines(model.update(.snapshot(node.snapshot()))) == ["job 7f3a90d1 of aria-research: done, 412 tokens"])
    node.state = .paused
    #expect(
      lines(model.update(.snapshot(node.snapshot()))) == [
        "kitchen-1 is paused: paused by kim, model SmolLM2-135M-Instruct Q4_1, 2 jobs waiting for you"
      ])
  }

  @Test func choicesAreNumberedAndBoundToWhatWasSaid() {
    var node = ScriptedNode.busy(queued: 0)
    var model = PlainModel(isReadOnly: false)
    _ = model.update(.snapshot(node.snapshot()))
    #expect(
      lines(model.type("approvals")) == [
        "1: 9c:41:e0:77, unknown, at most 512 tokens, offers 0.012 a million, rule 3 asks: unknown client, 4:12 left",
        "2: tomas-lab, at most 2,048 tokens, offers 0.030 a million, rule 2 asks: more than 1,024 tokens, 4:58 left",
      ])
    node.remove("81f2")
    _ = model.update(.snapshot(node.snapshot()))
    #expect(lines(model.type("approve 2")) == ["sent approve 8203"])
    #expect(
      lines(model.type("approve 3")) == [
        "approve wants a number of the list said last; jobs or approvals says one"
      ])
  }

  @Test func whatDestroysAsks() {
    var node = ScriptedNode.busy(queued: 0)
    var model = PlainModel(isReadOnly: false)
    _ = model.update(.snapshot(node.snapshot()))
    _ = model.type("jobs")
    #expect(
      lines(model.type("cancel 1")) == ["cancel 7f3a90d1 of aria-research? type yes, or anything else for no"]
    )
    #expect(lines(model.type("y")) == ["nothing was done"])
    _ = model.type("cancel 1")
    #expect(lines(model.type("yes")) == ["sent cancel 7f3a"])
    #expect(lines(model.type("quit")) == ["leave"])
  }

  @Test func hostileNamesAreSafeInLinesToo() {
    var node = ScriptedNode()
    var model = PlainModel(isReadOnly: true)
    _ = model.update(.snapshot(node.snapshot()))
    node.add(
      ScriptedNode.Job(
        id: "0123456789abcdef", state: .queued, client: "\u{1B}[2J\u{202E}", prompt: 1, limit: 1, rate: 1,
        submitted: ScriptedNode.start))
    #expect(lines(model.update(.snapshot(node.snapshot()))) == ["job 01234567 of ␛[2J\u{FFFD}: queued"])
    #expect(lines(model.type("drain")) == ["read-only: this dashboard only looks"])
  }
}
