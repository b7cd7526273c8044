// ManualTests.swift: the commands and the example of hotpot-receipt(5), and the examples of the doc comments, really run.
import Foundation
import ManualPages
import Receipts
import TestSettings
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
  receipt.stopStrings = transcript.stopCommitment
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
      contentsOf: repository.appendingPathComponent("Sources/Receipts/Receipt.swift"), encoding: .utf8)
    let inComment = try #require(
      source.components(separatedBy: "\n").first { $0.hasPrefix("/// {\"seq\":0") }.map {
        String($0.dropFirst(4))
      })
    #expect(inComment == text)
    #expect(try Entry(parsing: Array((inComment + "\n").utf8)) == example())
  }

  @Test func theCheckpointOfTheDocCommentParses() throws {
    let source = try String(
      contentsOf: repository.appendingPathComponent("Sources/Receipts/Checkpoint.swift"), encoding: .utf8
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
      "mandoc -Tlint -W style hotpot-receipt.5", in: repository.appendingPathComponent("man").path)
    // Cross references to the stock tools' manuals are only there where those are installed.
    let complaints = result.output.components(separatedBy: "\n").filter {
      !$0.isEmpty && !$0.contains("referenced manual not found") && !$0.contains("outdated mandoc.db")
    }
    #expect(complaints.isEmpty, "\(complaints.joined(separator: "\n"))")
  }

  @Test(arguments: shells)
  func aStrangerChecksABundleWithTheManualsCommands(in program: [String]) throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    func shell(_ script: String, in directory: String) throws -> (status: Int32, output: String) {
      try ManualPages.shell(script, in: directory, with: program)
    }
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

  /// Text of a hostile node where a number, a hash, a nonce or a key is wanted: nothing in it runs, and the check that
  /// reads it says no. Each case is a file, an edit of it for sed, and the check.
  @Test(arguments: shells)
  func nothingThatABundleSaysIsRun(in program: [String]) throws {
    let f = try Fixture.shared.get()
    // What bash's arithmetic would run, and what some shell or `test` may take for a number that is not one.
    let texts = [
      "a[$(touch pwned)]+1", "x[`touch pwned`0]", "$(touch pwned)", "9+a[$(touch pwned)]", "08", "-1", "+9",
      " 9", "0x9",
      "9 ", "1e1", "9999999999999999999999", "18446744073709551625", "9;touch pwned", "HOME", "", "1 -o 1",
      "9)",
    ]
    func quoted(_ text: String) -> String { text.replacingOccurrences(of: "/", with: "\\/") }
    var cases: [(file: String, edit: String, check: String)] = []
    for text in texts {
      let text = quoted(text)
      cases.append(("checkpoint", "2s/.*/\(text)/", "inclusion"))
      cases.append(("checkpoint", "3s/.*/\(text)/", "inclusion"))
      cases.append(("proof", "2s/.*/index \(text)/", "inclusion"))
      cases.append(("proof", "3s/.*/\(text.isEmpty ? "!" : text)/", "inclusion"))
      cases.append(("proof", "1s/.*/\(text)/", "inclusion"))
      cases.append(("transcript", "s/\"nonce\":\"[0-9a-f]*/\"nonce\":\"\(text)/", "commitments"))
      cases.append(("transcript", "s/\"prompt\":\\[[0-9]*/\"prompt\":[\(text)/", "commitments"))
      cases.append(("transcript", "s/\"output\":\\[[0-9]*/\"output\":[\(text)/", "commitments"))
      cases.append(("allowed_signers", "s/^.*$/hotpot namespaces=\"\(text)\" \(text) \(text)/", "node"))
      cases.append(("receipt", "s/\"node\":\"[^\"]*/\"node\":\"\(text)/", "node"))
    }
    // Another spelling of the same token: 4294967296 more is the same 32 bits.
    cases.append(("transcript", "s/\"output\":\\[5,/\"output\":[4294967301,/", "commitments"))
    cases.append(("transcript", "s/\"output\":\\[5,/\"output\":[05,/", "commitments"))
    // A second key, which the signature would be checked with too; a second receipt.
    cases.append(("allowed_signers", "p", "node"))
    cases.append(("receipt", "p", "node"))
    let scratch = try Scratch()
    let honest = scratch.path + "/honest"
    try FileManager.default.createDirectory(atPath: honest, withIntermediateDirectories: true)
    try Data(try f.bundle().text.utf8).write(to: URL(fileURLWithPath: honest + "/bundle"))
    #expect(try shell(block("split"), in: honest, with: program).status == 0)
    for (number, hostile) in cases.enumerated() {
      let directory = scratch.path + "/\(number)"
      try FileManager.default.copyItem(atPath: honest, toPath: directory)
      try Data((hostile.edit + "\n").utf8).write(to: URL(fileURLWithPath: directory + "/edit"))
      let edited = try shell("sed -i -f edit \(hostile.file)", in: directory)
      #expect(edited.status == 0, "\(hostile): \(edited.output)")
      var script = try block("inclusion")
      // Only what reads the edited file is asked, as one who pastes on after a failure would.
      script += hostile.check == "inclusion" ? "" : try "\n" + block(hostile.check)
      let result = try shell(script, in: directory, with: program)
      #expect(result.status != 0, "\(hostile): \(result.output)")
      let files = try FileManager.default.contentsOfDirectory(atPath: directory)
      #expect(!files.contains("pwned"), "\(hostile) was run by \(program)")
    }
  }

  @Test(arguments: shells)
  func aSectionThatComesTwiceIsRefused(in program: [String]) throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    let text = try f.bundle().text + "--- receipt\n" + f.lines[2]
    try Data(text.utf8).write(to: URL(fileURLWithPath: scratch.path + "/bundle"))
    let result = try shell(block("split"), in: scratch.path, with: program)
    #expect(result.status == 1 && result.output == "receipt is there twice\n", "\(result.output)")
    // Pasted, the commands that follow run all the same: they find nothing to call good.
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["bundle"])
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
