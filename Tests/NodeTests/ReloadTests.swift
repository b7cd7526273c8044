// ReloadTests.swift: the configuration read again while jobs run: what holds at once, what waits, and that a faulty
// file changes nothing. Leaves out what is said in vain (NoticeTests.swift).
import Control
import Dice
import Foundation
import JSON
import Receipts
import Scheduling
import Synchronization
import Testing

@testable import Node

@Suite struct ReloadTests {
  private func read(_ text: String) throws -> NodeConfiguration {
    try NodeConfiguration(file: "config.json5", text: text)
  }

  @Test func `every key of the manual's example is in the table of what a change does`() throws {
    let document = try JSON5(try ManualTests.example())
    let names = Set(ConfigurationPart.all.map(\.name))
    #expect(names.count == ConfigurationPart.all.count)
    for member in try #require(document.value.members) {
      let inner =
        names.contains(member.key)
        ? [member.key] : (member.value.members ?? []).map { "\(member.key).\($0.key)" }
      #expect(!inner.isEmpty, "\(member.key)")
      for name in inner { #expect(names.contains(name), "\(name)") }
    }
    // Each is told apart from its default, so each is compared.
    let example = try read(ManualTests.example())
    let change = ConfigurationChange(from: NodeConfiguration(name: "x"), to: example)
    let told = Set(change.applied + change.waiting)
    for name in names where example.line(of: name) != nil {
      #expect(
        told.contains(name) || ["http.listen", "profile", "currency", "vouchers", "mapped"].contains(name)
          || Self.asDefault(name, example), "\(name)")
    }
  }

  /// Whether the example happens to say what holds anyway.
  private static func asDefault(_ name: String, _ example: NodeConfiguration) -> Bool {
    let part = ConfigurationPart.all.first { $0.name == name }
    return part?.word(example) != nil && part?.word(example) == part?.word(NodeConfiguration(name: "x"))
  }

  @Test func `prices, policy and limits hold for the next job, and not for those that were admitted`() throws
  {
    let node = try ScriptedNode("{ prices: [{ completion: '10' }] }")
    node.length = 100
    let first = node.submit(1, limit: 50)
    _ = node.step()
    node.reload(
      "{ prices: [{ completion: '20' }], policy: [{ action: 'ask' }], queue: { priority: 9, approvals: 1 } }")
    let second = node.submit(2, limit: 50)
    let third = node.submit(3, limit: 50)
    #expect(node.row(first)?.state == .running && node.row(second)?.state == .pending)
    #expect(node.answers[third] == ["refused 429 queue_full"])
    let snapshot = node.snapshot()
    #expect(snapshot.approvals.map(\.asked) == [20_000_000])
    #expect(node.row(second)?.price == 1_000 && node.state.jobs[first]?.worst.micro == 500)
    let line = try #require(snapshot.log.last { $0.text.hasPrefix("read the configuration again") })
    #expect(
      line.text == "read the configuration again: applied: queue.approvals, queue.priority, policy, prices")
    let changes = node.records.compactMap {
      if case .policyChanged(let change) = $0 { change.summary } else { nil }
    }
    #expect(changes == ["applied: queue.approvals, queue.priority, policy, prices"])
  }

  @Test func `what waits for a restart is named and not taken`() throws {
    let old = try read("{ threads: 2 }")
    let new = try read(
      "{ threads: 3, http: { listen: 'none' }, vouchers: 'required', screen: { theme: 'mono' } }")
    let change = ConfigurationChange(from: old, to: new)
    #expect(change.words == "applied: vouchers, screen.theme; waits for a restart: threads, http.listen")
    var live = old
    live.takeLive(from: new)
    #expect(live.threads == 2 && live.http.listen != nil && live.vouchers == .required)
    #expect(ConfigurationChange(from: live, to: live).words == "the configuration is as it was")
  }

  /// A random configuration; a third of them are faulty somewhere.
  private func random(_ dice: inout SeededGenerator) -> String {
    func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &dice) }
    func one(_ words: [String]) -> String { words.randomElement(using: &dice) ?? "" }
    var parts = [
      "queue: { jobs: \(number(1...9)), approvals: \(number(1...4)), priority: \(number(0...9)) }",
      "strangers: { jobs: \(number(1...9)), jobs_each: \(number(1...3)) }",
      "policy: [{ client: '\(one(["known", "unknown", "a*"]))', action: '\(one(["admit", "ask"]))' }, { action: 'admit' }]",
      "prices: [{ completion: '0.\(number(1...9))' }]", "limits: { disk_free: \(number(0...9)) }",
      "audits: { share: 0.\(number(0...9)) }", "vouchers: 'optional'", "token_target_ms: \(number(5...500))",
      "control: { operators: ['anna'] }",
    ].filter { _ in Bool.random(using: &dice) }
    if number(0...2) == 0 {
      parts.append(
        one([
          "queue: 3", "nonsense: 1", "prices: [{ completion: '-1' }]", "policy: [{ action: 'zork' }]",
          "threads 2",
          "threads: 99999", "policy: [{ action: 'reject' }]", "name: 'x', name: 'y'",
          "control: { operators: ['SHA256:x'] }",
        ]))
    }
    return "{ " + parts.joined(separator: ", ") + " }"
  }

  @Test func `1,000 files under load are taken whole or refused whole, and no job is lost`() throws {
    var dice = SeededGenerator(seed: 2_020)
    let scratch = try ScratchDirectory()
    let next = Mutex("{}")
    var options = NodeOptions(
      configuration: try read("{ http: { listen: 'none' } }"), stateDirectory: scratch.path + "/state",
      version: "0"
    ) { (_) throws(ServingError) in throw ServingError("no model here", hint: nil) }
    options.readConfiguration = {
      do throws(ConfigurationError) {
        return .success(try NodeConfiguration(file: "config.json5", text: next.withLock { $0 }))
      } catch {
        return .failure(AdministrationError(error.description))
      }
    }
    let service = try NodeService(options)
    try service.start()
    defer { AccountsTests().end(service) }
    // Beside it a node whose engine is always at work takes the same files.
    let node = try ScriptedNode()
    var (taken, refused) = (0, 0)
    var submitted: [JobID] = []
    for round in 0..<1_000 {
      let text = random(&dice)
      next.withLock { $0 = text }
      let before = service.configuration.current
      switch service.reload(by: "test") {
      case .refused(let words):
        refused += 1
        #expect(words.hasPrefix("config.json5:1:"), "\(text): \(words)")
        #expect(service.configuration.current == before, "\(text)")
      case .done:
        taken += 1
        var wanted = before
        wanted.takeLive(from: try read(text))
        #expect(service.configuration.current == wanted, "\(text)")
        #expect(service.runtime.state.withLock { $0.configuration } == wanted, "\(text)")
        node.reload(text)
      }
      let isKnown = round % 3 != 0
      submitted.append(
        node.submit(
          UInt64(round + 1), client: isKnown ? "aria" : "9c41", known: isKnown, limit: 3 + round % 6))
      for _ in 0..<(round % 5) { _ = node.step() }
      let broken = node.state.scheduler?.checkInvariants() ?? []
      #expect(broken.isEmpty, "\(round): \(broken)")
    }
    #expect(taken > 500 && refused > 200)
    for row in node.snapshot().approvals { _ = node.act(.approve(jobs: [row.id])) }
    while node.step() {}
    // Each ended once: with a receipt, or refused by a rule or a full queue.
    for job in submitted {
      let ends = (node.answers[job] ?? []).filter { $0.hasPrefix("finished") || $0.hasPrefix("refused") }
      #expect(ends.count == 1, "\(job.hex): \(node.answers[job] ?? [])")
    }
    #expect(node.seals.count > 300)
  }
}

extension ScriptedNode {
  /// As a node does it: compared, and then applied.
  func reload(_ text: String) {
    guard let new = try? NodeConfiguration(file: "config.json5", text: text) else { return }
    var wanted = new
    wanted.name = state.configuration.name
    send(
      .reconfigured(
        source: text, ConfigurationChange(from: state.configuration, to: wanted), by: Operator("tester")))
  }
}
