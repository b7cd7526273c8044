// ManualTests.swift: the commands and the example of hotpot-receipt(5), and the examples of the doc comments, really run.
import Foundation
import ManualPages
import Receipts
import Testing

private func block(_ name: String) throws -> String { try ManualPage("hotpot-receipt.5").commands(name) }

private func example() throws -> Entry {
  let nonces = try #require(
    Nonces(bytes: [UInt8](repeating: 0x11, count: 32) + [UInt8](repeating: 0x22, count: 32)))
  let transcript = Transcript(nonces: nonces, prompt: [1, 2], output: [3, 4, 5])
  var receipt = sampleReceipt(
    job: 0xFEED, tokens: 3, node: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
  receipt.promptTokens = 2
  receipt.cachedTokens = 0
  receipt.amount = try #require(receipt.price.amount(promptTokens: 2, cachedTokens: 0, completionTokens: 3))
  receipt.promptCommitment = transcript.promptCommitment
  receipt.outputCommitment = transcript.outputCommitment
  receipt.logitBias = transcript.biasCommitment
  return Entry(envelope: Envelope(time: 1_790_000_001_000_123), record: .receipt(receipt))
}

@Suite struct ManualTests {
  @Test func theExamplesAreTheReceiptTheySay() throws {
    let line = try example().line()
    let text = String(decoding: line.dropLast(), as: UTF8.self)
    let inManual = try block("example").components(separatedBy: "\n").joined()
    #expect(inManual == text, "hotpot-receipt(5): the example is\n\(text)")
    #expect(try Entry(parsing: Array((inManual + "\n").utf8)) == example())
    let id = SHA256.leaf(line).hex.prefix(16)
    #expect(try ManualPage("hotpot-receipt.5").text.contains(".\\\" test: id\n\(id).\n"), "the id is \(id)")
    let source = try String(
      contentsOf: ManualPage.root.appendingPathComponent("Sources/Receipts/Receipt.swift"), encoding: .utf8)
    let inComment = try #require(
      source.components(separatedBy: "\n").first { $0.hasPrefix("/// {\"seq\":0") }.map {
        String($0.dropFirst(4))
      })
    #expect(inComment == text)
    #expect(try Entry(parsing: Array((inComment + "\n").utf8)) == example())
  }

  @Test func theCheckpointOfTheDocCommentParses() throws {
    let source = try String(
      contentsOf: ManualPage.root.appendingPathComponent("Sources/Receipts/Checkpoint.swift"), encoding: .utf8
    )
    let lines = source.components(separatedBy: "\n")
    let start = try #require(lines.firstIndex { $0.hasPrefix("/// hotpot/") })
    let text = lines[start..<start + 5].map { $0.dropFirst(4) + "\n" }.joined()
    #expect(try Checkpoint(parsing: text).text == text)
  }

  @Test func mandocFindsNothingToSay() throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/mandoc") else {
      print("skipped: mandoc is not installed")
      return
    }
    let result = try shell(
      "mandoc -Tlint -W style hotpot-receipt.5", in: ManualPage.root.appendingPathComponent("man").path)
    // Cross references to the stock tools' manuals are only there where those are installed.
    let complaints = result.output.components(separatedBy: "\n").filter {
      !$0.isEmpty && !$0.contains("referenced manual not found") && !$0.contains("outdated mandoc.db")
    }
    #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
  }

  @Test func aStrangerChecksABundleWithTheManualsCommands() throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    for index in [0, 3, Fixture.honest, 8] {
      let directory = scratch.path + "/\(index)"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try Data(try f.bundle(index).text.utf8).write(to: URL(fileURLWithPath: directory + "/bundle"))
      let split = try shell("set -e\n" + block("split"), in: directory)
      #expect(split.status == 0, "\(split.output)")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
          == ["allowed_signers", "bundle", "checkpoint", "checkpoint.sig", "proof", "receipt", "transcript"])
      let signature = try shell(block("signature"), in: directory)
      #expect(signature.status == 0, "\(signature.output)")
      #expect(signature.output.contains("Good \"checkpoint@hotpot\" signature"))
      let node = try shell(block("node"), in: directory)
      #expect(node.status == 0, "\(node.output)")
      #expect(node.output.contains("the receipt is of \(f.nodeKey.fingerprint)"))
      let inclusion = try shell(block("inclusion"), in: directory)
      #expect(inclusion.status == 0, "\(inclusion.output)")
      #expect(inclusion.output.contains("receipt \(index) is in the log of 9"))
      let commitments = try shell(block("inclusion") + block("commitments"), in: directory)
      #expect(commitments.status == 0, "\(commitments.output)")
      #expect(commitments.output.contains("prompt and output are those of the receipt"))
    }
  }

  @Test(arguments: [
    ("receipt", "sed -i s/alice/mallo/ receipt", "inclusion", "the receipt is not in the log"),
    ("index", "sed -i 's/^index 4/index 5/' proof", "inclusion", "the receipt is not in the log"),
    (
      "root", "sed -i '3s/.*/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=/' checkpoint", "inclusion",
      "not in the log"
    ),
    ("hash more", "sed -i '3p' proof", "inclusion", "the"),
    ("checkpoint", "sed -i 's/^time 1/time 2/' checkpoint", "signature", "Signature verification failed"),
    ("signature", "sed -i '3{s/^A/B/;t;s/^./A/}' checkpoint.sig", "signature", "ignature"),
    ("node", "sed -i s/SHA256:/SHA256:x/ receipt", "node", "of another node"),
    ("prompt", "sed -i 's/1000,/1001,/' transcript", "commitments", "prompt or output is another"),
    (
      "nonce", "sed -i 's/\"nonce\":\"01/\"nonce\":\"02/' transcript", "commitments",
      "prompt or output is another"
    ),
  ])
  func theManualsCommandsFindTampering(what: String, edit: String, check: String, message: String) throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    try Data(try f.bundle().text.utf8).write(to: URL(fileURLWithPath: scratch.path + "/bundle"))
    var script = try "set -e\n" + block("split") + "\n\(edit)\nset +e\n"
    if check == "commitments" { script += try block("inclusion") + "\n" }
    script += try block(check)
    let result = try shell(script, in: scratch.path)
    #expect(result.status != 0)
    #expect(result.output.contains(message), "\(result.output)")
  }

  @Test func aStrangerChecksASealedSegment() throws {
    let scratch = try Scratch()
    let keygen = SSHKeygen(deadline: 20)
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 6_000)
    for i in 0..<12 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    let notary = Notary(
      journal: journal, state: scratch.path, key: key, keyPath: scratch.path + "/key", keygen: keygen,
      clock: { testTime }, notice: { _ in })
    notary.start()
    notary.stop()
    journal.close()
    let directory = scratch.path + "/journal"
    try Data(ReceiptBundle.allowedSigners(key).utf8).write(
      to: URL(fileURLWithPath: directory + "/allowed_signers"))
    let result = try shell(block("segment"), in: directory)
    #expect(result.status == 0, "\(result.output)")
  }
}
