// NodeCheckTests.swift: a stranger's visit to an honest node, and to ones that lie: another model under the same name, text
// and bills that are edited on their way, prices that nobody published, and a log that is forked. The lies are told by what
// carries the requests.
import Control
import Foundation
import Intake
import Node
import Receipts
import Testing
import Wire

@Suite(.serialized) struct NodeCheckTests {
  private static let keygen = SSHKeygen(deadline: 30)

  /// A node that serves a small model, until `body` has returned.
  private func withNode(
    _ scratch: ScratchDirectory, seed: UInt64 = 1, prices: String = "[{ prompt: '1', completion: '100' }]",
    state: String = "state", _ body: (UInt16, String) throws -> Void
  ) throws {
    let model = scratch.path + "/small-\(seed).gguf"
    try SmallModel.write(to: model, seed: seed)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text: "{ threads: 1, http: { listen: '127.0.0.1:0' }, audits: { share: 0 }, prices: \(prices) }"),
        stateDirectory: scratch.path + "/" + state, version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("shopper-\(UInt32.random(in: 0 ... .max))", by: Operator("test"))
      .get()
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    try body(try #require(node.ports.first), token)
  }

  private func visit(
    _ port: UInt16, _ token: String, jobs: Int = 8, machine: Reexecutor?, known: KnownNode? = nil,
    edit: @escaping (_ path: String, _ body: String) -> String = { $1 }
  ) -> VisitReport {
    NodeCheck(
      machine: machine, keygen: Self.keygen.remembering(), patience: 400, pause: { usleep(10_000) }
    ) { (method, path, body) throws(HTTPCallError) in
      let answer = try HTTPCall("http://127.0.0.1:\(port)\(path)").send(
        method, body ?? [], fields: ["Content-Type: application/json", "Authorization: Bearer \(token)"],
        timeout: .seconds(60))
      return HTTPCall.Answer(
        status: answer.status, body: Array(edit(path, String(decoding: answer.body, as: UTF8.self)).utf8))
    }.run(jobs: jobs, known: known)
  }

  private func machine(_ scratch: ScratchDirectory, seed: UInt64 = 1) throws -> Reexecutor {
    try SmallModel.write(to: scratch.path + "/mine-\(seed).gguf", seed: seed)
    return try Reexecutor(path: scratch.path + "/mine-\(seed).gguf", threads: 1)
  }

  private func failed(_ report: VisitReport) -> [String] {
    report.findings.filter { $0.result == .failed }.map(\.name)
  }

  @Test func `an honest node is found honest, with its model and without`() throws {
    let scratch = try ScratchDirectory()
    let machine = try machine(scratch)
    try withNode(scratch) { port, token in
      let first = visit(port, token, jobs: 16, machine: machine)
      #expect(first.passes, "\(first.findings)")
      #expect(
        first.findings.map(\.name) == [
          "node", "key", "jobs", "receipts", "model", "prices", "re-execution", "speed", "log",
        ])
      #expect(first.findings.first { $0.name == "jobs" }?.detail.hasPrefix("16 of 16 answered") == true)
      #expect(first.findings.first { $0.name == "re-execution" }?.detail.hasPrefix("16 of 16") == true)
      #expect(first.known?.head.size == 16)
      let second = visit(port, token, jobs: 2, machine: nil, known: first.known)
      #expect(second.passes, "\(second.findings)")
      #expect(second.findings.first { $0.name == "re-execution" }?.result == .notChecked)
      #expect(second.findings.first { $0.name == "key" }?.detail.hasSuffix(", as before") == true)
      #expect(second.findings.first { $0.name == "log" }?.detail.hasSuffix("from the last visit on") == true)
    }
  }

  @Test func `another model under the same name is found by its bits`() throws {
    let scratch = try ScratchDirectory()
    let (mine, theirs) = (try machine(scratch), scratch)
    try withNode(theirs, seed: 2) { port, token in
      #expect(failed(visit(port, token, machine: mine)) == ["re-execution"])
      // It claims to run the file that I have, and its receipts do not.
      let digest = SHA256.hash(Array(try Data(contentsOf: URL(filePath: scratch.path + "/mine-1.gguf")))).hex
      let claimed = visit(port, token, machine: mine) { path, body in
        path == "/v1/node"
          ? body.replacing(/"model_sha256":"[0-9a-f]{64}"/, with: "\"model_sha256\":\"\(digest)\"") : body
      }
      #expect(failed(claimed) == ["model", "re-execution"], "\(claimed.findings)")
    }
  }

  @Test func `edited text, edited bills and unpublished prices are found`() throws {
    let scratch = try ScratchDirectory()
    let machine = try machine(scratch)
    try withNode(scratch) { port, token in
      let text = visit(port, token, machine: machine) { path, body in
        guard path.hasSuffix("completions") else { return body }
        return body.replacing("\"content\":\"", with: "\"content\":\"#", maxReplacements: 2)
          .replacing("\"text\":\"", with: "\"text\":\"#", maxReplacements: 1)
      }
      #expect(failed(text) == ["receipts"], "\(text.findings)")
      #expect(text.findings.first { $0.name == "receipts" }?.detail.contains("text: byte") == true)
      let bill = visit(port, token, machine: nil) { path, body in
        path.hasSuffix("completions")
          ? body.replacing(/"amount_micro":\d+/, with: "\"amount_micro\":999") : body
      }
      #expect(failed(bill) == ["receipts"])
      #expect(
        bill.findings.first { $0.name == "receipts" }?.detail.contains("'hotpot.amount_micro' is") == true)
      let price = visit(port, token, machine: nil) { path, body in
        path == "/v1/node"
          ? body.replacing("\"completion\":\"100.00\"", with: "\"completion\":\"50.00\"") : body
      }
      #expect(failed(price) == ["prices"], "\(price.findings)")
      // A receipt that is another's, and a node that refuses.
      let gone = visit(port, "not-a-token", jobs: 1, machine: nil)
      #expect(!gone.passes)
    }
  }

  @Test func `a forked log and another key are shouted`() throws {
    let scratch = try ScratchDirectory()
    var known: KnownNode?
    try withNode(scratch) { port, token in known = visit(port, token, jobs: 2, machine: nil).known }
    let seen = try #require(known)
    // The same key begins another log.
    let fork = scratch.path + "/fork"
    try FileManager.default.createDirectory(
      atPath: fork, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    for name in ["key", "key.pub"] {
      try FileManager.default.copyItem(atPath: scratch.path + "/state/" + name, toPath: fork + "/" + name)
    }
    try withNode(scratch, state: "fork") { port, token in
      let report = visit(port, token, jobs: 3, machine: nil, known: seen)
      #expect(failed(report) == ["log"], "\(report.findings)")
      #expect(report.findings.last?.detail.contains("FORKED: ") == true)
      #expect(report.known == seen)
    }
    try withNode(scratch, state: "other") { port, token in
      let report = visit(port, token, jobs: 1, machine: nil, known: seen)
      #expect(failed(report) == ["key"] && report.known == seen)
      #expect(report.findings.last?.detail.contains("at the last visit it was SHA256:") == true)
    }
  }
}
