// ReceiptCommandTests.swift: receipts and accounts as a client, a stranger, a witness and an operator use them: over HTTP, by
// commands and by stock tools, with a real model. Start at a client's job.

import Foundation
import ManualPages
import Synchronization
import TestSettings
import Testing

/// A request on a connection of its own, read to its end.
enum HTTP {
  struct Answer {
    var status = 0
    var body = ""
  }

  static func send(
    _ method: String, _ path: String, port: Int, token: String?, body: String = ""
  ) throws -> Answer {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    try #require(connected == 0, "nothing listens on port \(port)")
    var head = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n"
    if let token { head += "Authorization: Bearer \(token)\r\n" }
    if !body.isEmpty { head += "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n" }
    let bytes = Array((head + "\r\n" + body).utf8)
    try #require(Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
    var received: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count <= 0 { break }
      received += chunk[..<count]
    }
    let text = String(decoding: received, as: UTF8.self)
    let parts = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
    return Answer(
      status: Int(text.dropFirst(9).prefix(3)) ?? 0, body: parts.count == 2 ? String(parts[1]) : "")
  }
}

@Suite(
  .serialized,
  .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one")
)
struct ReceiptCommandTests {
  var model: String { RealModel.path ?? "" }
  var name: String { URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent }

  func question(_ text: String, tokens: Int = 24, more: String = "") -> String {
    """
    {"model":"\(name)","temperature":0,"max_tokens":\(tokens),"return_token_ids":true\(more),
     "messages":[{"role":"user","content":"\(text)"}]}
    """
  }

  func ask(_ node: ServedNode, _ token: String, _ text: String, tokens: Int = 24) throws -> HTTP.Answer {
    try HTTP.send(
      "POST", "/v1/chat/completions", port: node.port, token: token, body: question(text, tokens: tokens))
  }

  /// The part of an answer under the key `hotpot`.
  func own(_ answer: HTTP.Answer) throws -> [String: Any] {
    let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
    return try #require(object?["hotpot"] as? [String: Any], "\(answer.body)")
  }

  func manual(_ block: String) throws -> String { try ManualPage("hotpot-receipt.5").commands(block) }

  /// A checkpoint is signed within a second; until then the command says that there is none over the receipt.
  func untilSigned(_ body: () throws -> Outcome) throws -> Outcome {
    var outcome = try body()
    for _ in 0..<400 where outcome.status != 0 { outcome = try body() }
    #expect(outcome.status == 0, "\(outcome.errors)")
    return outcome
  }

  @Test func aJobOverHTTPVerifiesInACleanDirectoryAndByTheManualsCommands() throws {
    let node = try ServedNode(model: model)
    let token = try node.token("stranger")
    let answer = try ask(node, token, "What is the capital of France?")
    #expect(answer.status == 200, "\(answer.body)")
    let receipt = try #require(try own(answer)["receipt"] as? String)
    let clean = try Folder()
    let file = try clean.write(Array(answer.body.utf8), "answer.json")
    let bundle = try untilSigned {
      try node.command(["receipts", "export", receipt, "--transcript", file])
    }
    _ = try clean.write(Array(bundle.output.utf8), "bundle")
    #expect(node.stop() == 0)

    // The node is gone; what verifies is another machine with the model.
    let checked = try Program.run(["verify", clean.path + "/bundle", "--model", model, "--json"])
    #expect(checked.status == 0, "\(checked.output)\(checked.errors)")
    for check in ["receipt", "signature", "inclusion", "commitments", "counts", "amount", "re-execution"] {
      #expect(
        checked.output.contains("\"name\" : \"\(check)\"") || checked.output.contains("\"name\":\"\(check)\"")
      )
    }
    #expect(!checked.output.contains("failed"))
    // And one who has the stock tools alone.
    let stock = try Folder()
    _ = try stock.write(Array(bundle.output.utf8), "bundle")
    let split = try shell("set -e\n" + manual("split"), in: stock.path)
    #expect(split.status == 0, "\(split.output)")
    for (blocks, words) in [
      (["signature"], "Good \"checkpoint@hotpot\" signature"), (["node"], "the receipt is of SHA256:"),
      (["inclusion"], "is in the log of"),
      (["inclusion", "commitments"], "prompt and output are those of the receipt"),
    ] {
      let result = try shell(blocks.map { try manual($0) }.joined(separator: "\n"), in: stock.path)
      #expect(result.status == 0 && result.output.contains(words), "\(blocks): \(result.output)")
    }
  }

  /// What `verify` says, by the names of its checks.
  struct Verdict {
    let status: Int32
    let results: [String: String]
    let details: [String: String]
    let unproved: [String]
  }

  func verify(_ bundle: String, _ answer: String, _ more: [String] = []) throws -> Verdict {
    let folder = try Folder()
    let file = try folder.write(Array(answer.utf8), "answer")
    let outcome = try Program.run(
      ["verify", bundle, "--answer", file, "--model", model, "--json"] + more)
    guard let page = try? JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any],
      let checks = page["checks"] as? [[String: String]]
    else { return Verdict(status: outcome.status, results: [:], details: ["": outcome.errors], unproved: []) }
    func column(_ name: String) -> [String: String] {
      Dictionary(uniqueKeysWithValues: checks.map { ($0["name"] ?? "", $0[name] ?? "") })
    }
    return Verdict(
      status: outcome.status, results: column("result"), details: column("detail"),
      unproved: page["not_checked"] as? [String] ?? [])
  }

  func exported(_ node: ServedNode, _ receipt: String, into folder: Folder, _ name: String) throws -> String {
    let bundle = try untilSigned { try node.command(["receipts", "export", receipt]) }
    return try folder.write(Array(bundle.output.utf8), name)
  }

  @Test func everyWordOfAnAnswerThatIsNotTheReceiptsIsRefused() throws {
    let node = try ServedNode(model: model)
    let token = try node.token("reader")
    let folder = try Folder()
    let body = question(
      "Name three colours.", tokens: 20, more: ",\"seed\":7,\"logit_bias\":{\"260\":-1.5},\"stop\":[\"zzz\"]")
    let answer = try HTTP.send("POST", "/v1/chat/completions", port: node.port, token: token, body: body)
    #expect(answer.status == 200, "\(answer.body)")
    let bundle = try exported(
      node, try #require(try own(answer)["receipt"] as? String), into: folder, "bundle")
    let other = try ask(node, token, "Name three towns.")
    let honest = try verify(bundle, answer.body)
    #expect(honest.status == 0, "\(honest)")
    for name in ["answer", "text", "ending", "commitments", "re-execution"] {
      #expect(honest.results[name] == "ok", "\(name): \(honest.details[name] ?? "")")
    }
    #expect(honest.results["request"] == "not checked")
    #expect(
      honest.unproved.contains {
        $0.hasPrefix("the prompt is the one that the node says it got; it was not compared")
      },
      "\(honest.unproved)")
    // One change each to what the client read.
    var tree = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
    func edited(_ change: (inout [String: Any]) -> Void) throws -> String {
      var copy = tree
      change(&copy)
      return String(decoding: try JSONSerialization.data(withJSONObject: copy), as: UTF8.self)
    }
    func choice(_ tree: inout [String: Any], _ change: (inout [String: Any]) -> Void) {
      guard var choices = tree["choices"] as? [[String: Any]] else { return }
      change(&choices[0])
      tree["choices"] = choices
    }
    func inner(_ tree: inout [String: Any], _ key: String, _ name: String, _ value: Any) {
      guard var object = tree[key] as? [String: Any] else { return }
      object[name] = value
      tree[key] = object
    }
    let text = try #require(
      ((tree["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any])?["content"] as? String)
    let cases: [(what: String, check: String, change: (inout [String: Any]) -> Void)] = [
      ("another text", "text", { choice(&$0) { $0["message"] = ["role": "assistant", "content": "Red."] } }),
      (
        "a longer text", "text",
        { choice(&$0) { $0["message"] = ["role": "assistant", "content": text + " "] } }
      ),
      (
        "a shorter text", "text",
        { choice(&$0) { $0["message"] = ["role": "assistant", "content": String(text.dropLast())] } }
      ),
      ("finish reason", "answer", { choice(&$0) { $0["finish_reason"] = "stop" } }),
      ("usage", "answer", { inner(&$0, "usage", "completion_tokens", 19) }),
      ("amount", "answer", { inner(&$0, "hotpot", "amount_micro", 12) }),
      ("seed", "answer", { inner(&$0, "hotpot", "seed", 8) }),
      ("job", "answer", { inner(&$0, "hotpot", "job", "0000000000000001") }),
      ("receipt", "answer", { inner(&$0, "hotpot", "receipt", "0000000000000001") }),
      ("id", "answer", { $0["id"] = "chatcmpl-0000000000000001" }),
      ("model", "answer", { $0["model"] = "another" }),
      ("biases", "commitments", { inner(&$0, "hotpot", "logit_bias", [[260, "bfc00001"]]) }),
      ("stop strings", "commitments", { inner(&$0, "hotpot", "stop", ["zz"]) }),
      ("tokens", "commitments", { inner(&$0, "hotpot", "token_ids", [1, 2, 3]) }),
      ("prompt", "commitments", { inner(&$0, "hotpot", "prompt_token_ids", [1, 2, 3]) }),
    ]
    for (what, check, change) in cases {
      let verdict = try verify(bundle, try edited(change))
      #expect(verdict.status == 1 && verdict.results[check] == "failed", "\(what): \(verdict)")
    }
    #expect(try verify(bundle, other.body).results["commitments"] == "failed")
    // The request itself: rendered and tokenised as the node did, and its settings.
    func asked(_ body: String) throws -> Verdict {
      try verify(bundle, answer.body, ["--request", try folder.write(Array(body.utf8), "request")])
    }
    let own = try asked(body)
    #expect(own.status == 0 && own.results["request"] == "ok", "\(own)")
    #expect(!own.unproved.contains { $0.contains("the prompt is the one that the node says") })
    for (check, old, new) in [
      ("request", "three colours", "two colours"), ("settings", "\"max_tokens\":20", "\"max_tokens\":21"),
      ("settings", "\"seed\":7", "\"seed\":8"), ("settings", "zzz", "zz"), ("settings", "-1.5", "-1.25"),
      ("settings", "\"temperature\":0", "\"temperature\":0.1"),
      (
        "request", "\"messages\":[", "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
      ),
    ] {
      let other = try asked(body.replacing(old, with: new))
      #expect(other.status == 1 && other.results[check] == "failed", "\(new): \(other)")
    }
    // What nothing determines is named, and does not fail.
    tree["system_fingerprint"] = "fp_1"
    let more = try verify(bundle, try edited { _ in })
    #expect(
      more.status == 0
        && more.unproved.contains { $0.contains("created") && $0.contains("system_fingerprint") }, "\(more)")
    #expect(node.stop() == 0)
  }

  @Test func manyReceiptsAreVerifiedInOneGoAndOneInsideItsAnswerWithoutABundle() throws {
    let node = try ServedNode(model: model)
    let token = try node.token("many")
    let folder = try Folder()
    for (number, more) in ["", ",\"return_token_ids\":true", ",\"stream\":true"].enumerated() {
      let body = """
        {"model":"\(name)","max_tokens":6,"seed":\(number)\(more),"hotpot":{"receipt":"inline"},
         "messages":[{"role":"user","content":"Name a colour."}]}
        """
      let answer = try HTTP.send("POST", "/v1/chat/completions", port: node.port, token: token, body: body)
      #expect(answer.status == 200, "\(answer.body)")
      let id = String(try #require(answer.body.components(separatedBy: "\"receipt\":\"").last?.prefix(16)))
      _ = try exported(node, id, into: folder, "\(number).bundle")
      _ = try folder.write(Array(answer.body.utf8), "\(number).answer")
      _ = try folder.write(Array(body.utf8), "\(number).request")
    }
    #expect(node.stop() == 0)
    let all = try Program.run(["verify", folder.path, "--model", model])
    #expect(all.status == 0, "\(all.output)\(all.errors)")
    #expect(all.output.contains("3 bundles: 3 hold, 0 do not"), "\(all.output)")
    let inline = try Program.run([
      "verify", "--answer", folder.path + "/2.answer", "--request", folder.path + "/2.request", "--model",
      model,
    ])
    #expect(inline.status == 0 && inline.output.contains("the line is signed by SHA256:"), "\(inline.output)")
    _ = try folder.write(
      Array(try String(contentsOfFile: folder.path + "/0.answer", encoding: .utf8).utf8), "1.answer")
    _ = try folder.write(Array("no bundle".utf8), "3.bundle")
    let some = try Program.run(["verify", folder.path, "--model", model])
    #expect(
      some.status == 1 && some.output.contains("4 bundles: 2 hold, 2 do not"), "\(some.output)\(some.errors)")
    #expect(
      try Program.run(["verify", folder.path, "--answer", "x"]).errors.contains(
        "'--answer' is for one bundle"))
    #expect(try Program.run(["verify"]).errors.contains("wants a bundle, or '--answer'"))
  }

  @Test func theKeysOfALogAndItsWitnessAreThoseOfTheStateDirectory() throws {
    let folder = try Folder()
    let first = try Program.run(["witness", "key", "--state", folder.path + "/state"])
    #expect(first.status == 0, "\(first.errors)")
    let rows = first.output.split(separator: "\n")
    #expect(
      rows.count == 2 && rows[0].hasPrefix("log") && rows[0].contains(" hotpot/")
        && rows[1].contains(" hotpot-witness/"))
    #expect(try Program.run(["witness", "key", "--state", folder.path + "/state"]).output == first.output)
    let file = try folder.write(Array("no key\n".utf8), "logs")
    let refused = try Program.run(["witness", "serve", "--logs", file, "--state", folder.path + "/state"])
    #expect(refused.status != 0 && refused.errors.contains("wanted a log's key"), "\(refused.errors)")
  }

  @Test func aStreamAndTextCutAtAStopStringVerify() throws {
    let node = try ServedNode(model: model)
    let token = try node.token("streamer")
    let folder = try Folder()
    let plain = try ask(node, token, "Count to ten.", tokens: 24)
    let tree = try #require(try JSONSerialization.jsonObject(with: Data(plain.body.utf8)) as? [String: Any])
    let text = try #require(
      ((tree["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any])?["content"] as? String)
    // Some letters of its middle, which lie across tokens as likely as not.
    let middle = text.index(text.startIndex, offsetBy: text.count / 2)
    let stop = String(text[middle...].prefix(3))
    let quoted = String(decoding: try JSONEncoder().encode(stop), as: UTF8.self)
    for more in [
      ",\"stop\":\(quoted)", ",\"stream\":true,\"stop\":[\(quoted)]",
      ",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"ignore_eos\":true",
    ] {
      let answer = try HTTP.send(
        "POST", "/v1/chat/completions", port: node.port, token: token,
        body: question("Count to ten.", tokens: 24, more: more))
      #expect(answer.status == 200, "\(answer.body)")
      let id = try #require(answer.body.components(separatedBy: "\"receipt\":\"").last?.prefix(16))
      let bundle = try exported(node, String(id), into: folder, "bundle")
      let honest = try verify(bundle, answer.body)
      #expect(
        honest.status == 0 && honest.results["text"] == "ok" && honest.results["ending"] == "ok", "\(honest)")
      // One piece of the text with another letter in it.
      let forged = answer.body.replacing(
        "\"content\":\"\(text.prefix(1))", with: "\"content\":\"#", maxReplacements: 1)
      #expect(forged != answer.body)
      #expect(try verify(bundle, forged).results["text"] == "failed")
    }
    #expect(node.stop() == 0)
  }

  @Test func aJobThatWasCutIsChargedWithAReceiptThatItsClientChecks() throws {
    let node = try ServedNode(model: model, configuration: "{ prices: [{ prompt: '1', completion: '100' }] }")
    let token = try node.token("cut")
    let folder = try Folder()
    let long = ",\"ignore_eos\":true,\"hotpot\":{\"time_limit_s\":1}"
    for (stream, words) in [(false, long), (true, long + ",\"stream\":true")] {
      let answer = try HTTP.send(
        "POST", "/v1/chat/completions", port: node.port, token: token,
        body: question("Tell a long story.", tokens: 1_800, more: words))
      #expect(stream || answer.status == 408, "\(answer.body)")
      #expect(answer.body.contains("\"code\":\"expired\""))
      let id = String(try #require(answer.body.components(separatedBy: "\"receipt\":\"").last?.prefix(16)))
      let bundle = try exported(node, id, into: folder, "bundle")
      let verdict = try verify(bundle, answer.body)
      #expect(verdict.status == 0, "\(verdict)")
      for name in ["answer", "text", "ending", "re-execution"] {
        #expect(verdict.results[name] == "ok", "\(verdict)")
      }
      #expect(verdict.unproved.contains("that generation was cut by whom and where the receipt says"))
      // And somebody who was not there asks for it later.
      let job = String(try #require(answer.body.components(separatedBy: "\"job\":\"").last?.prefix(16)))
      let page = try HTTP.send("GET", "/v1/jobs/\(job)", port: node.port, token: token)
      let later = try verify(bundle, page.body)
      #expect(
        later.status == 0 && later.results["text"] == "ok" && later.results["answer"] == "ok",
        "\(later) \(page.body)")
    }
    #expect(node.stop() == 0)
  }

  @Test func aWitnessCosignsALogThatOnlyGrowsAndRefusesAForkedOne() throws {
    let node = try ServedNode(model: model)
    let folder = try Folder()
    let token = try node.token("asker")
    let key = try String(contentsOfFile: node.folder.path + "/node/key.pub", encoding: .utf8)
    let signers = try folder.write(
      Array("hotpot namespaces=\"checkpoint@hotpot\" \(key)".utf8), "signers")
    func get(_ path: String) throws -> HTTP.Answer {
      try HTTP.send("GET", path, port: node.port, token: token)
    }
    /// The newest checkpoint, once it covers so many receipts, in a file.
    func checkpoint(_ size: Int, _ name: String) throws -> String {
      var found = try get("/v1/checkpoint")
      for _ in 0..<2_000 where !found.body.contains("\n\(size)\n") {
        // The node signs within a second; a busy machine may take longer to start ssh-keygen.
        usleep(10_000)
        found = try get("/v1/checkpoint")
      }
      #expect(found.body.contains("\n\(size)\n"), "\(found.body)")
      return try folder.write(Array(found.body.utf8), name)
    }
    func witness(_ words: [String]) throws -> Outcome {
      try Program.run(
        ["witness"] + words + ["--signers", signers, "--state", folder.path + "/witness-state"])
    }
    func states() throws -> [String] {
      let list = try node.command(["receipts", "list", "--json"]).output
      let rows = try JSONSerialization.jsonObject(with: Data(list.utf8)) as? [[String: Any]]
      return try #require(rows).compactMap { $0["state"] as? String }
    }
    /// Brings a cosignature to the node.
    func bring(_ checkpoint: String, _ cosignature: String) throws -> Outcome {
      let file = try folder.write(Array(cosignature.utf8), "cosignature")
      let witnessKey = try String(
        contentsOfFile: folder.path + "/witness-state/witness/key.pub", encoding: .utf8)
      let trusted = try folder.write(
        Array("wanda namespaces=\"witness@hotpot\" \(witnessKey)".utf8), "witnesses")
      return try node.command(["receipts", "cosign", checkpoint, file, "--witnesses", trusted])
    }

    let answer = try ask(node, token, "Name a colour.", tokens: 4)
    let first = try checkpoint(1, "first")
    #expect(try states() == ["signed"])
    let cosigned = try witness([first])
    #expect(cosigned.status == 0, "\(cosigned.errors)")
    #expect(cosigned.errors.contains("cosigned a log of 1 receipt"))
    let taken = try bring(first, cosigned.output)
    #expect(taken.status == 0 && taken.output.contains("witnessed up to 1 receipt"), "\(taken.errors)")
    #expect(try states() == ["witnessed"])

    // The log grows: without a proof it is refused, with one it is not.
    _ = try ask(node, token, "Name a town.", tokens: 4)
    let second = try checkpoint(2, "second")
    #expect(try states() == ["signed", "witnessed"])
    let unproved = try witness([second])
    #expect(unproved.status == 1)
    #expect(
      unproved.errors.contains("a consistency proof from 1 to 2 receipts is needed"), "\(unproved.errors)")
    let proof = try folder.write(Array(get("/v1/checkpoint?from=1").body.utf8), "proof")
    let proved = try witness([second, "--proof", proof])
    #expect(proved.status == 0, "\(proved.errors)")
    #expect(proved.errors.contains("which continues the 1 seen before"))
    // The same for a script: nothing but JSON, and the cosignature is taken as it is.
    let asJSON = try witness([second, "--json"])
    #expect(asJSON.status == 0 && asJSON.errors.isEmpty, "\(asJSON.errors)")
    let fields = try #require(
      try JSONSerialization.jsonObject(with: Data(asJSON.output.utf8)) as? [String: Any])
    #expect(fields["size"] as? Int == 2 && fields["seen"] as? Int == 2)
    #expect(try String(contentsOfFile: second, encoding: .utf8).hasPrefix("\(fields["origin"] ?? "")\n2\n"))
    #expect((fields["root"] as? String)?.count == 64)
    let brought = try bring(second, try #require(fields["cosignature"] as? String))
    #expect(brought.status == 0, "\(brought.errors)")
    let again = try bring(second, proved.output)
    #expect(again.status == 0, "\(again.errors)")
    #expect(try states() == ["witnessed", "witnessed"])

    // A bundle shows the witness, to whoever trusts its key.
    let receipt = try #require(try own(answer)["receipt"] as? String)
    let bundle = try node.command(["receipts", "export", receipt])
    let file = try folder.write(Array(bundle.output.utf8), "bundle")
    let checked = try Program.run([
      "verify", file, "--witnesses", folder.path + "/witnesses", "--signers", signers,
    ])
    #expect(checked.status == 0, "\(checked.output)\(checked.errors)")

    // What the log's own key signs and the witness does not: a shorter log, another one of the same size, one whose
    // proof does not fit, and a text that the key did not sign.
    let text =
      try #require(try String(contentsOfFile: second, encoding: .utf8).components(separatedBy: "\n\n").first)
      + "\n"
    var lines = text.components(separatedBy: "\n")
    func signed(_ name: String) throws -> String {
      let forged = try folder.write(Array(lines.joined(separator: "\n").utf8), name)
      let made = try shell(
        "ssh-keygen -q -Y sign -f '\(node.folder.path)/node/key' -n checkpoint@hotpot '\(forged)' && (cat '\(forged)'; echo; cat '\(forged).sig') > '\(forged).whole'",
        in: folder.path)
      #expect(made.status == 0, "\(made.output)")
      return forged + ".whole"
    }
    #expect(try witness([first]).errors.contains("the log has 1 receipt, this witness has seen 2"))
    lines[2] = String(repeating: "A", count: 43) + "="
    let fork = try witness([try signed("fork")])
    #expect(fork.status == 1 && fork.errors.contains("has seen another log of 2 receipts"), "\(fork.errors)")
    lines[1] = "3"
    let longer = try folder.write(
      Array("hotpot-consistency 1\nfrom 2\nto 3\n\(String(repeating: "A", count: 43))=\n".utf8),
      "false-proof")
    let inconsistent = try witness([try signed("longer"), "--proof", longer])
    #expect(
      inconsistent.status == 1 && inconsistent.errors.contains("does not continue the 2 seen before"),
      "\(inconsistent.errors)")
    let edited = try String(contentsOfFile: second, encoding: .utf8).replacing("\n2\n", with: "\n4\n")
    let unsigned = try witness([try folder.write(Array(edited.utf8), "edited")])
    #expect(unsigned.status != 0 && unsigned.output.isEmpty, "\(unsigned.errors)")
    // The node takes nothing that is not over its own log by a key that the operator trusts.
    let foreign = try bring(folder.path + "/fork.whole", proved.output)
    #expect(foreign.status == 1 && foreign.errors.contains("not this log's"), "\(foreign.errors)")
    #expect(node.stop() == 0)
  }

  /// Words that a prompt, a system message and a stop string carry, and the answer, nonce and token that came: none of
  /// them is in any file of the state directory or on standard error, while the job runs and after it.
  @Test func noPromptAnswerNonceOrTokenIsInAnyFile() throws {
    let node = try ServedNode(
      model: model, configuration: "{ audits: { share: 1 }, queue: { decide_within_s: 30 } }")
    let token = try node.token("canary")
    var secrets = ["quetzalcoatlus-7731", "xylophone-orchid-4402", "zyzzyva-halt-9", token]
    let body = """
      {"model":"\(name)","temperature":0,"max_tokens":48,"return_token_ids":true,"stop":["zyzzyva-halt-9"],
       "messages":[{"role":"system","content":"You answer about xylophone-orchid-4402."},
                   {"role":"user","content":"Repeat: quetzalcoatlus-7731. Tell a long story about it."}]}
      """
    func found(_ secrets: [String], in directory: String) throws -> [String] {
      var places: [String] = []
      for file in try FileManager.default.subpathsOfDirectory(atPath: directory) {
        guard let bytes = FileManager.default.contents(atPath: directory + "/" + file) else { continue }
        for secret in secrets where bytes.range(of: Data(secret.utf8)) != nil {
          places.append("'\(secret)' in \(file)")
        }
      }
      return places
    }
    let answer = try HTTP.send(
      "POST", "/v1/chat/completions", port: node.port, token: token, body: body)
    #expect(answer.status == 200, "\(answer.body)")
    let own = try own(answer)
    let nonce = try #require(own["nonce"] as? String)
    secrets += [nonce, String(nonce.prefix(64)), String(nonce.suffix(64))]
    let object = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
    let choice = (object?["choices"] as? [[String: Any]])?.first
    let content = try #require((choice?["message"] as? [String: Any])?["content"] as? String)
    if content.count > 24 { secrets.append(String(content.prefix(24))) }
    let tokens = try #require(own["token_ids"] as? [Int])
    secrets.append(tokens.prefix(6).map(String.init).joined(separator: ","))
    // An unknown client's token is a name of its own making; it waits, and is rejected.
    let stranger = "my-own-secret-token-5150"
    secrets.append(stranger)
    let port = node.port
    Thread.detachNewThread {
      _ = try? HTTP.send("POST", "/v1/chat/completions", port: port, token: stranger, body: body)
    }
    var jobs = try node.command(["jobs", "--json"]).output
    for _ in 0..<400 where !jobs.contains("pending") { jobs = try node.command(["jobs", "--json"]).output }
    #expect(jobs.contains("pending"))
    #expect(try found(secrets, in: node.folder.path + "/node") == [])
    _ = try node.command(["receipts", "list"])
    #expect(node.stop() == 0)
    let left = try found(secrets, in: node.folder.path + "/node")
    #expect(left == [])
    for secret in secrets { #expect(!node.said.contains(secret), "'\(secret)' on standard error") }
    // The control: a word that must be there is found by the same search.
    #expect(try !found(["canary"], in: node.folder.path + "/node").isEmpty)
  }

  @Test func aCrashLeavesNoCore() throws {
    let node = try ServedNode(model: model)
    let limits = try String(contentsOfFile: "/proc/\(node.process.processIdentifier)/limits", encoding: .utf8)
    let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
    #expect(line.split(separator: " ").contains("0"), "\(line)")
    #expect(node.stop() == 0)
  }

  @Test func aBudgetStopsExactlyAtItsLimitUnderSixteenJobsAtOnce() throws {
    let node = try ServedNode(
      model: model,
      configuration: "{ prices: [{ completion: '1000' }], queue: { running: 16, jobs: 64 } }")
    let token = try node.token("agent")
    // Six tokens at 0.001 each, always used up: 0.006 a job. Eight of them fit.
    #expect(try node.command(["clients", "budget", "agent", "0.05"]).status == 0)
    let group = DispatchGroup()
    let port = node.port
    let body = question("Tell a long story about a lighthouse.", tokens: 6)
    let statuses = LockedList()
    for _ in 0..<16 {
      group.enter()
      Thread.detachNewThread {
        let answer = try? HTTP.send("POST", "/v1/chat/completions", port: port, token: token, body: body)
        statuses.add(answer?.status ?? 0)
        group.leave()
      }
    }
    group.wait()
    #expect(statuses.all.filter { $0 == 200 }.count == 8, "\(statuses.all)")
    #expect(statuses.all.filter { $0 == 403 }.count == 8, "\(statuses.all)")
    let rows = try node.command(["earnings", "--by", "client", "--csv"]).output
    #expect(rows.contains("agent,8,"), "\(rows)")
    #expect(rows.contains(",0.048,"), "\(rows)")
    // Two are left: a job that could cost as much is taken, one that could cost more is not.
    #expect(try ask(node, token, "Tell a long story.", tokens: 3).status == 403)
    #expect(try ask(node, token, "Tell a long story.", tokens: 2).status == 200)
    #expect(try ask(node, token, "Tell a long story.", tokens: 1).status == 403)
    #expect(node.stop() == 0)
  }

  @Test func theBooksOfAServedNodeFromPriceToPayment() throws {
    let node = try ServedNode(
      model: model,
      configuration: """
        { prices: [{ client: 'friend', completion: '500' }, { completion: '1000' }],
          energy: { per_kwh: '0.30' } }
        """)
    let (token, friend) = (try node.token("bob"), try node.token("friend"))
    #expect(try ask(node, token, "Tell a long story.", tokens: 8).status == 200)
    #expect(try ask(node, friend, "Tell a long story.", tokens: 8).status == 200)
    // The operator's own job is no earning.
    #expect(
      try node.command(["submit", "--json"], input: question("Tell a long story.", tokens: 8)).status == 0)
    func output(_ words: [String]) throws -> String {
      let outcome = try node.command(words)
      #expect(outcome.status == 0, "\(words): \(outcome.errors)")
      return outcome.output
    }
    func refusal(_ words: [String], status: Int32 = 1) throws -> String {
      let outcome = try node.command(words)
      #expect(outcome.status == status, "\(words): \(outcome.output)")
      return outcome.errors
    }
    let byClient = try output(["earnings", "--by", "client", "--csv"])
    #expect(byClient.contains("bob,1,") && byClient.contains(",0.008,"), "\(byClient)")
    #expect(byClient.contains("friend,1,") && byClient.contains(",0.004,"), "\(byClient)")
    #expect(!byClient.contains("operator"))
    #expect(try output(["earnings", "--by", "model"]).contains("0.012"))
    #expect(try output(["earnings", "--by", "day"]).contains("NET"))
    let rows = try output(["earnings", "--csv"])
    #expect(rows.hasPrefix("date,client,model,jobs,") && rows.split(separator: "\r\n").count == 3, "\(rows)")
    #expect(try output(["earnings", "--json"]).contains("net_per_hour"))

    // Payments are recorded once, by their reference, and never more than is owed.
    #expect(try output(["settle", "bob", "0.003", "--reference", "invoice 1"]).contains("settled 0.003"))
    #expect(try refusal(["settle", "bob", "0.001", "--reference", "invoice 1"]).contains("recorded already"))
    #expect(try refusal(["settle", "bob", "0.006", "--reference", "invoice 2"]).contains("more than that"))
    #expect(try refusal(["settle", "bob", "1e3", "--reference", "invoice 3"]).contains("wanted an amount"))
    #expect(try refusal(["settle", "bob", "99999999999999", "--reference", "x"]).contains("largest amount"))
    let corrected = try Program.run([
      "settle", "--correct", "goodwill", "--state", node.folder.path + "/node", "--", "bob", "-0.001",
    ])
    #expect(corrected.output.contains("bob owes 0.004"), "\(corrected.errors)")

    // A statement as signed text, CSV and JSON; stock ssh-keygen checks it.
    let folder = node.folder.path
    _ = try output(["settle", "--statement", "bob", "--output", folder + "/bob.txt"])
    let text = try String(contentsOfFile: folder + "/bob.txt", encoding: .utf8)
    #expect(
      text.contains("settled\tinvoice 1\t0\t0\t0\t0\t-0.003\n") && text.contains("\tcorrected\tgoodwill\t"))
    #expect(text.contains("\nunsettled 0.004 EUR\n"))
    let check =
      "(printf 'node '; cat node/key.pub) > signers; ssh-keygen -Y verify -f signers -I node -n statement@hotpot -s bob.txt.sig < bob.txt"
    #expect(try shell(check, in: folder).status == 0)
    try Data(text.replacing("0.004", with: "0.003").utf8).write(to: URL(fileURLWithPath: folder + "/bob.txt"))
    #expect(try shell(check, in: folder).status != 0)
    #expect(
      try output(["settle", "--statement", "bob", "--csv"]).contains(
        ",settled,invoice 1,0,0,0,0,-0.003,EUR\r\n"))
    let json = try output(["settle", "--statement", "bob", "--json"])
    let page = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect((page["rows"] as? [[String: Any]])?.count == 3)
    #expect(page["unsettled"] as? String == "0.004" && page["text"] as? String == text)
    #expect(try refusal(["settle", "--statement", "nobody"]).contains("there is no client 'nobody'"))
    #expect(
      try refusal(["settle", "--statement", "bob", "--since", "2026-01-02", "--until", "2026-01-01"])
        .contains("before it begins"))

    // A client may come with the SSH key that it signs vouchers with; a private one is refused before anything is done.
    let key = folder + "/node/key.pub"
    #expect(try !output(["clients", "add", "carol", key]).isEmpty)
    #expect(try refusal(["clients", "key", "carol", folder + "/none.pub"], status: 66).contains("none.pub"))
    #expect(
      try refusal(["clients", "add", "dora", folder + "/node/key"], status: 65).contains("is a private key"))
    let clients = try output(["clients", "list", "--json"])
    let fingerprint = try #require(
      shell("ssh-keygen -lf node/key.pub", in: folder).output.split(separator: " ").dropFirst().first)
    #expect(
      clients.replacing("\\/", with: "/").contains(fingerprint) && !clients.contains("dora"), "\(clients)")

    // Revoked at once.
    #expect(try output(["clients", "revoke", "bob"]).contains("revoked bob"))
    #expect(try ask(node, token, "Anything?", tokens: 1).status == 401)
    #expect(try output(["clients", "list"]).contains("revoked"))
    #expect(node.stop() == 0)

    // Another currency is not mixed into these books.
    let config = try node.folder.write(Array("{ currency: 'USD' }".utf8), "dollars.json5")
    let dollars = try node.command(["serve", "--listen", "none", "--model", model, "--config", config])
    #expect(dollars.status == 65)
    #expect(
      dollars.errors.contains("the books in this state directory are kept in 'EUR'"), "\(dollars.errors)")
  }

  @Test func aDamagedJournalIsRepairedByAnOperatorsDecisionOnly() throws {
    let node = try ServedNode(model: model)
    let token = try node.token("asker")
    _ = try ask(node, token, "Name a colour.", tokens: 2)
    _ = try ask(node, token, "Name a town.", tokens: 2)
    let busy = try node.command(["receipts", "repair", "--yes"])
    #expect(busy.status == 75 && busy.errors.contains("stop the node first"), "\(busy.errors)")
    #expect(node.stop() == 0)
    #expect(try node.command(["receipts", "check"]).status == 0)
    #expect(try node.command(["receipts", "repair"]).output.contains("the journal is whole"))

    let path = node.folder.path + "/node/journal/00000001.jsonl"
    var bytes = Array(try #require(FileManager.default.contents(atPath: path)))
    let whole = bytes
    let lines = whole.split(separator: 0x0A)
    // The line before the last receipt.
    let last = try #require(
      lines.lastIndex { String(decoding: $0, as: UTF8.self).contains("\"type\":\"receipt\"") })
    let start = lines[last - 1].startIndex
    bytes[start + 20] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: path))

    let served = try node.command(["serve", "--listen", "none", "--model", model])
    #expect(served.status == 65)
    #expect(served.errors.contains("byte \(start)"), "\(served.errors)")
    #expect(served.errors.contains("hotpot: hint: keep a copy of "), "\(served.errors)")
    #expect(served.errors.contains("'hotpot receipts repair' shows"), "\(served.errors)")
    #expect(try node.command(["receipts", "check"]).status == 65)
    let asked = try node.command(["receipts", "repair"])
    #expect(asked.status == 64)
    #expect(asked.output.contains("damaged: journal: '00000001.jsonl', byte \(start)"), "\(asked.output)")
    #expect(asked.output.contains("kept:    1 receipt over"), "\(asked.output)")
    #expect(
      asked.output.contains("the \(whole.count - start) bytes from byte \(start) on"), "\(asked.output)")
    #expect(FileManager.default.contents(atPath: path) == Data(bytes), "nothing was changed without a yes")
    let repaired = try node.command(["receipts", "repair", "--yes"])
    #expect(repaired.status == 0, "\(repaired.errors)")
    #expect(try node.command(["receipts", "check"]).output.contains(" 1 receipt"))
    let moved = try #require(node.folder.names("node/aside").first)
    #expect(
      FileManager.default.contents(atPath: "\(node.folder.path)/node/aside/\(moved)/00000001.jsonl")
        == Data(bytes))
    #expect(node.folder.text("node/journal/00000001.jsonl").contains("\"act\":\"repair\""))
  }
}

/// Numbers from many threads.
final class LockedList: Sendable {
  private let list = Mutex<[Int]>([])
  func add(_ number: Int) { list.withLock { $0.append(number) } }
  var all: [Int] { list.withLock { $0 } }
}
