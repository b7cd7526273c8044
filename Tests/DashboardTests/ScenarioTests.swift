// ScenarioTests.swift: what keys do, as scripts that people read: files in Scenarios/.
// A line is a step: `keys`, `type`, `paste`, `wait 300ms`, `second N`, `node ...`, `size`, `scene`, `return`, or an expectation:
// `sent`, `sent nothing`, `does`, `see`, `see not`, `selected`, `focus`, `theme`, `kept`. Start at run.
import Control
import Dashboard
import Foundation
import ScriptedNode
import Terminal
import Testing

private let scenarioFiles: [String] = {
  let folder = testFolder.appendingPathComponent("Scenarios").path
  let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  return names.filter { $0.hasSuffix(".txt") }.sorted()
}()

@Suite struct ScenarioTests {
  @Test(arguments: scenarioFiles) func scenarioHoldsAsWritten(file: String) throws {
    let text = try String(contentsOf: testFolder.appendingPathComponent("Scenarios/\(file)"), encoding: .utf8)
    var stage = Stage()
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let step = line.split(separator: " ", maxSplits: 1).map(String.init)
      guard let verb = step.first, !verb.hasPrefix("#") else { continue }
      run(verb, step.count > 1 ? step[1] : "", &stage, "\(file):\(index + 1): \(line)")
    }
  }

  private func run(_ verb: String, _ rest: String, _ stage: inout Stage, _ place: String) {
    switch verb {
    case "scene":
      let words = rest.split(separator: " ").map(String.init)
      var node =
        words.first == "idle" || words.first == "first"
        ? ScriptedNode() : .busy(queued: words.count > 1 ? Int(words[1]) ?? 11 : 11)
      if words.first == "first" { node.state = .noModel }
      var options = DashboardOptions()
      options.isReadOnly = words.first == "read-only"
      stage = Stage(node, options: options)
    case "size":
      let numbers = rest.split(separator: "x").compactMap { Int($0) }
      stage.take(.resized(Size(numbers.first ?? 80, numbers.last ?? 24)))
    case "keys": for name in rest.split(separator: " ") { stage.press(String(name)) }
    case "type": stage.type(rest)
    case "paste": stage.take(.input(.paste(rest)))
    case "click":
      let numbers = rest.split(separator: ",").compactMap { Int($0) }
      stage.take(.input(.mouse(Mouse(.press, x: numbers.first ?? 0, y: numbers.last ?? 0))))
    case "wait": stage.wait(milliseconds: Int64(rest.prefix { $0.isNumber }) ?? 0)
    case "second": stage.second(Int(rest) ?? 1)
    case "link":
      stage.take(.node(.link(rest == "lost" ? .lost(since: 0, reason: "connection reset") : .connected)))
    case "kept": #expect(stage.kept.map { words(.keepChats($0)) } == rest, "\(place)")
    case "return":
      // The operator left, and comes back to the same node.
      var other = Stage(stage.node)
      other.take(
        .node(.welcome(Welcome(name: "anna", role: .operator, absence: nil, chats: stage.kept))))
      stage = other
    case "think": stage.take(.node(.chat(.thought(rest))))
    case "chat":
      stage.take(
        .node(.chat(rest == "end" ? .finished(reason: "stop", tokens: 9, tokensPerSecond: 48) : .text(rest))))
    case "node":
      let words = rest.split(separator: " ", maxSplits: 2).map(String.init)
      switch words.first {
      case "end": stage.node.end(words[1], JobState(rawValue: words[2]) ?? .done, nil)
      case "remove": stage.node.remove(words[1])
      case "add":
        stage.node.add(
          ScriptedNode.Job(
            id: words[1], state: .pending, client: words[2], prompt: 10, limit: 100, rate: 10,
            submitted: stage.node.time))
      default: Issue.record("\(place): the node does not know that")
      }
      stage.refresh()
    case "sent":
      let sent = stage.sent.map(words)
      if rest == "nothing" {
        #expect(sent.isEmpty, "\(place): sent \(sent)")
      } else {
        #expect(sent.joined(separator: "; ") == rest, "\(place)")
      }
      stage.commands = []
    case "does":
      let done = stage.commands.compactMap { command -> String? in
        switch command {
        case .send: nil
        case .bell: "bell"
        case .notify(_, let body): "notify \(body)"
        case .title: nil
        case .copy(let text): "copy \(text)"
        case .suspend: "suspend"
        case .mouse(let isOn): "mouse \(isOn ? "on" : "off")"
        case .repaint: "repaint"
        case .saveScreen(let path): "save-screen \(path ?? "")"
        case .saveText(let path, let text): "save-text \(path ?? "") \(text.utf8.count)"
        case .keep: nil
        case .leave: "leave"
        }
      }
      #expect(done.joined(separator: "; ") == rest, "\(place)")
      stage.commands = []
    case "see":
      let isNegative = rest.hasPrefix("not ")
      let wanted = isNegative ? String(rest.dropFirst(4)) : rest
      let text = stage.screen.text
      #expect(text.contains(wanted) != isNegative, "\(place)\n\(text)")
    case "selected":
      let selected = stage.model.selected.map { String($0.prefix(4)) } ?? "none"
      #expect(selected == rest, "\(place)")
    case "theme": #expect(stage.model.theme.name == rest, "\(place)")
    case "focus": #expect(stage.model.focusedPane.name == rest, "\(place)")
    default: Issue.record("\(place): no such step")
    }
  }

  /// Every key of the table is pressed by some scenario.
  @Test func everyKeyOfTheTableIsPressedSomewhere() throws {
    var pressed: Set<String> = []
    for file in scenarioFiles {
      let text = try String(
        contentsOf: testFolder.appendingPathComponent("Scenarios/\(file)"), encoding: .utf8)
      for line in text.split(separator: "\n") where line.hasPrefix("keys ") {
        pressed.formUnion(line.dropFirst(5).split(separator: " ").map(String.init))
      }
    }
    let missing = Action.table.flatMap(\.keys).filter { !pressed.contains($0) }
    #expect(missing.isEmpty)
  }
}
