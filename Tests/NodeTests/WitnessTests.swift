// WitnessTests.swift: a node whose checkpoints a witness over HTTP cosigns, and one whose witness has seen another log: what
// the screens show then. With real processes and a witness of another make: Tests/Acceptance/cosign.py.
import Control
import Foundation
import Intake
import Receipts
import Testing
import Wire

@testable import Node

@Suite struct WitnessTests {
  /// A node with a small model and a witness, and its token; it has answered one job.
  private func withNode(
    _ witness: WitnessServer, _ key: NoteKey, in scratch: ScratchDirectory,
    _ body: (NodeService, UInt16, String) throws -> Void
  ) throws {
    let model = scratch.path + "/small.gguf"
    try SmallModel.write(to: model)
    let port = try #require(witness.ports.first)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text:
            "{ threads: 1, http: { listen: '127.0.0.1:0' }, audits: { share: 0 }, witnesses: [{ url: 'http://127.0.0.1:\(port)', key: '\(key.text)' }] }"
        ),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    try body(node, try #require(node.ports.first), token)
  }

  /// - Returns: the receipt's id
  @discardableResult
  private func ask(_ port: UInt16, _ token: String) throws -> String {
    let body = #"{"model":"m","prompt":"hi","max_tokens":3}"#
    let answer = try WireAnswer.get(port, "POST", "/v1/completions", token: token, body: body)
    try #require(answer.status == 200, "\(answer.body)")
    return String(try #require(answer.body.components(separatedBy: "\"receipt\":\"").last?.prefix(16)))
  }

  private func serve(_ scratch: ScratchDirectory, _ log: NoteKey) throws -> (
    WitnessServer, NoteKey, WitnessMemory
  ) {
    let memory = WitnessMemory(directory: scratch.path + "/witness")
    let key = try memory.noteKey(keygen: SSHKeygen(deadline: 30))
    return (try WitnessServer(listen: "127.0.0.1:0", memory, logs: [log]), key, memory)
  }

  /// The key of a node that is about to start.
  private func log(_ scratch: ScratchDirectory) throws -> NoteKey {
    try FileManager.default.createDirectory(
      atPath: scratch.path + "/state", withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    return try #require(NoteKey(log: try SSHKeygen(deadline: 30).makeKey(at: scratch.path + "/state/key")))
  }

  @Test func `a checkpoint is cosigned, kept and shown`() throws {
    let scratch = try ScratchDirectory()
    let log = try log(scratch)
    let (server, key, _) = try serve(scratch, log)
    defer { server.stop() }
    try withNode(server, key, in: scratch) { node, port, token in
      let id = try ask(port, token)
      for _ in 0..<3_000 where node.snapshot().receipts.witnessed < 1 { usleep(10_000) }
      #expect(node.snapshot().receipts.witnessed == 1)
      #expect(node.snapshot().node.alarms.isEmpty, "\(node.snapshot().node.alarms)")
      let answer = try WireAnswer.get(port, "GET", "/v1/checkpoint/note")
      let note = try SignedNote(parsing: answer.body)
      #expect(note.lines.map(\.name) == [log.name, key.name])
      #expect(try LogHead(parsing: note.text).size == 1)
      _ = try NoteCosignature.time(of: note, by: key).get()
      #expect(log.verify(try #require(note.signature(of: log)), over: Array(note.text.utf8)) == .holds)
      #expect(
        try String(contentsOfFile: scratch.path + "/state/checkpoint.note", encoding: .utf8) == note.whole)
      // A stranger who trusts the witness finds its line in the bundle, and nobody else's.
      var bundle = try node.receipts.bundle(id)
      func check(_ bundle: ReceiptBundle, _ keys: [NoteKey]) throws -> Verification.Check {
        var evidence = Verification.Evidence()
        evidence.noteWitnesses = keys
        let again = try ReceiptBundle(parsing: bundle.text)
        return try #require(
          Verification(again, evidence: evidence, keygen: SSHKeygen(deadline: 30)).checks.first {
            $0.name == .witness
          })
      }
      #expect(try check(bundle, [key]).detail == "cosigned by \(key.name)")
      #expect(try check(bundle, [key]).result == .ok)
      let other = try #require(NoteKey(name: "other", kind: .witness, bytes: key.bytes))
      #expect(try check(bundle, [other]).result == .notChecked)
      #expect(try check(bundle, []).result == .notChecked)
      let whole = try #require(bundle.note)
      bundle.note = whole.replacingOccurrences(of: "index 0", with: "index 1")
      #expect(try check(bundle, [key]).detail.contains("does not include the receipt"))
      let forged = try #require(NoteKey(name: key.name, kind: .witness, bytes: log.bytes))
      let line = try #require(note.lines.last)
      bundle.note = whole.replacingOccurrences(
        of: line.text, with: SignedNote.Line(key: forged, signature: Array(line.bytes.dropFirst(4))).text)
      #expect(try check(bundle, [forged]).detail.contains("does not hold"))
      // It cosigns no log itself.
      let refused = try WireAnswer.get(port, "POST", "/add-checkpoint", body: "old 0\n\n" + note.whole)
      #expect(refused.status == 404, "\(refused.body)")
    }
  }

  @Test func `a witness that has seen another log is an alarm`() throws {
    let scratch = try ScratchDirectory()
    let log = try log(scratch)
    let (server, key, memory) = try serve(scratch, log)
    defer { server.stop() }
    // Another face of this log, of one receipt, which the witness has cosigned.
    let keygen = SSHKeygen(deadline: 30)
    let own = try keygen.publicKey(at: scratch.path + "/state/key.pub")
    let root = SHA256.leaf(Array("another\n".utf8))
    let text = Checkpoint(origin: log.name, size: 1, root: root, time: 1, previous: .zero).noteText
    let signature = try keygen.signRaw(Array(text.utf8), key: own, keyPath: scratch.path + "/state/key")
    let request = AddCheckpoint(
      old: 0, path: [], note: SignedNote(text: text, lines: [.init(key: log, signature: signature)]))
    _ = try memory.add(Array(request.text.utf8), logs: [log], time: 1, keygen: keygen)
    try withNode(server, key, in: scratch) { node, port, token in
      try ask(port, token)
      for _ in 0..<3_000 where node.snapshot().node.alarms.isEmpty { usleep(10_000) }
      let alarm = try #require(node.snapshot().node.alarms.first)
      #expect(
        alarm.hasPrefix("witness hotpot-witness/") && alarm.contains("has seen another log of 1 receipt"),
        "\(alarm)")
      #expect(node.snapshot().receipts.witnessed == 0)
    }
  }
}
