// VerificationTests.swift: a bundle that holds, and every way of tampering with one, refused for its own reason.
import Dice
import Foundation
import Receipts
import TestSettings
import Testing

/// A change to a bundle or to what the verifier brings, the check that must fail, and words of its reason.
private struct Tamper: Sendable, CustomTestStringConvertible {
  let name: String
  let check: Verification.Name
  let reason: String
  let index: Int
  let change: @Sendable (inout ReceiptBundle, inout Verification.Evidence, Fixture) throws -> Void

  var testDescription: String { name }

  init(
    _ name: String, _ check: Verification.Name, _ reason: String, index: Int = Fixture.honest,
    _ change: @escaping @Sendable (inout ReceiptBundle, inout Verification.Evidence, Fixture) throws -> Void
  ) {
    (self.name, self.check, self.reason, self.index, self.change) = (name, check, reason, index, change)
  }
}

/// The same line with a text replaced, and its digest made right again.
private func resealed(_ line: String, _ from: String, _ to: String) -> String {
  let changed = line.replacingOccurrences(of: from, with: to)
  let head = changed.components(separatedBy: ",\"h\":")[0]
  return "\(head),\"h\":\"\(SHA256.hash(Array(head.utf8)).hex.prefix(16))\"}\n"
}

private func changing(_ text: String, line: Int, _ change: (String) -> String) -> String {
  var lines = text.components(separatedBy: "\n")
  lines[line] = change(lines[line])
  return lines.joined(separator: "\n")
}

private let zeroHash = Base64.format([UInt8](repeating: 0, count: 32))

private func ran(_ evidence: inout Verification.Evidence, _ change: (inout Reexecution) -> Void) {
  if case .ran(var found) = evidence.reexecution {
    change(&found)
    evidence.reexecution = .ran(found)
  }
}

private func transcript(
  _ t: Transcript, prompt: [UInt32]? = nil, output: [UInt32]? = nil, nonces: Nonces? = nil,
  biases: [Transcript.Bias]? = nil
) -> String {
  Transcript(
    nonces: nonces ?? t.nonces, prompt: prompt ?? t.prompt, output: output ?? t.output,
    biases: biases ?? t.biases, stops: t.stops
  ).text
}

/// Statements and not one literal: the compiler takes minutes over a list of this many closures.
private let tampers: [Tamper] = {
  var all: [Tamper] = []
  func add(
    _ name: String, _ check: Verification.Name, _ reason: String, index: Int = Fixture.honest,
    _ change: @escaping @Sendable (inout ReceiptBundle, inout Verification.Evidence, Fixture) throws -> Void
  ) {
    all.append(Tamper(name, check, reason, index: index, change))
  }
  // The line, its digest left as it was.
  add("client edited", .receipt, "'h' to be the digest") { b, _, _ in
    b.receipt = b.receipt.replacingOccurrences(of: "alice", with: "mallo")
  }
  add("amount edited", .receipt, "'h' to be the digest") { b, _, _ in
    b.receipt = b.receipt.replacingOccurrences(of: "\"amount\":18", with: "\"amount\":17")
  }
  add("model edited", .receipt, "'h' to be the digest") { b, _, _ in
    b.receipt = b.receipt.replacingOccurrences(of: "smollm2", with: "smollm3")
  }
  add("time edited", .receipt, "'h' to be the digest") { b, _, _ in
    b.receipt = b.receipt.replacingOccurrences(of: "\"t\":179", with: "\"t\":178")
  }
  add("digest edited", .receipt, "'h' to be the digest") { b, _, _ in
    b.receipt = b.receipt.replacingOccurrences(of: ",\"h\":\"", with: ",\"h\":\"0").replacingOccurrences(
      of: "\"}\n", with: "")
    b.receipt = String(b.receipt.dropLast()) + "\"}\n"
  }
  add("key out of order", .receipt, "the key 'index'") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"index\":4,", "")
  }
  add("white space", .receipt, "a digit") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"index\":4", "\"index\": 4")
  }
  add("float for an integer", .receipt, "'") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"prompt_tokens\":17", "\"prompt_tokens\":17.0")
  }
  add("line cut", .receipt, "byte") { b, _, _ in b.receipt = String(b.receipt.prefix(300)) }
  add("newline lost", .receipt, "'}") { b, _, _ in b.receipt = String(b.receipt.dropLast()) }
  add("two lines", .receipt, "the end of the line") { b, _, f in b.receipt += f.lines[0] }
  add("another record", .receipt, "no receipt") { b, _, _ in
    b.receipt = String(
      decoding: try Entry(envelope: Envelope(), record: .nodeStopped(NodeStopped(reason: "x"))).line(),
      as: UTF8.self)
  }
  // The line with its digest made right: not what was logged.
  add("client edited and resealed", .inclusion, "the path does not lead") { b, _, _ in
    b.receipt = resealed(b.receipt, "alice", "mallory")
  }
  add("amount edited and resealed", .amount, "its prices give 18") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"amount\":18", "\"amount\":17")
  }
  add("price and amount edited and resealed", .inclusion, "the path does not lead") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"price_minimum\":1,\"amount\":18", "\"price_minimum\":99,\"amount\":99")
  }
  add("count edited and resealed", .counts, "the transcript has 40") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"completion_tokens\":40", "\"completion_tokens\":41")
  }
  add("seed edited and resealed", .inclusion, "the path does not lead") { b, _, _ in
    b.receipt = resealed(b.receipt, "18446744073709551615", "7")
  }
  add("temperature edited and resealed", .inclusion, "the path does not lead") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"temperature\":\"3f333333\"", "\"temperature\":\"00000000\"")
  }
  add("window edited and resealed", .reexecution, "the hidden states differ") { b, _, _ in
    let start = try #require(b.receipt.range(of: "\"windows\":\"")).upperBound
    let first = b.receipt[start]
    b.receipt = resealed(b.receipt, "\"windows\":\"\(first)", "\"windows\":\"\(first == "A" ? "B" : "A")")
  }
  add("finish edited and resealed", .ending, "the receipt says 'length'") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"finish\":\"stop\"", "\"finish\":\"length\"")
  }
  add("model hash edited and resealed", .reexecution, "the model's SHA-256 is") { b, _, f in
    let hash = try f.journal.receipt(at: 4).receipt.modelSHA256.hex
    b.receipt = resealed(b.receipt, hash, SHA256Digest.zero.hex)
  }
  add("another node's name", .signature, "the receipt names the node SHA256:nobody") { b, _, f in
    b.receipt = resealed(b.receipt, f.nodeKey.fingerprint, "SHA256:nobody")
  }
  add("index edited and resealed", .inclusion, "the receipt has index 3, the proof is for 4") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"index\":4", "\"index\":3")
  }
  add("another receipt of the log", .inclusion, "the receipt has index 2, the proof is for 4") { b, _, f in
    b.receipt = f.lines[2]
  }
  add("another place in the chain", .inclusion, "the path does not lead") { b, _, f in
    b.receipt = resealed(
      b.receipt, try f.journal.receipt(at: 4).entry.envelope.previous.hex, SHA256Digest.zero.hex)
  }
  // The proof.
  add("proof: index", .inclusion, "the proof is for 5") { b, _, _ in
    b.proof = b.proof.replacingOccurrences(of: "index 4\n", with: "index 5\n")
  }
  add("proof: index past the size", .inclusion, "the checkpoint covers 9 receipts") { b, _, _ in
    b.proof = b.proof.replacingOccurrences(of: "index 4\n", with: "index 9\n")
  }
  add("proof: index with a leading zero", .inclusion, "'index' and a number") { b, _, _ in
    b.proof = b.proof.replacingOccurrences(of: "index 4\n", with: "index 04\n")
  }
  add("proof: hash edited", .inclusion, "the path does not lead") { b, _, _ in
    b.proof = changing(b.proof, line: 2) { _ in zeroHash }
  }
  add("proof: hash dropped", .inclusion, "the path does not lead") { b, _, _ in
    b.proof = b.proof.components(separatedBy: "\n").enumerated().filter { $0.offset != 3 }.map(\.element)
      .joined(
        separator: "\n")
  }
  add("proof: hash added", .inclusion, "the path does not lead") { b, _, _ in
    b.proof = changing(b.proof, line: 2) { "\($0)\n\(zeroHash)" }
  }
  add("proof: hashes swapped", .inclusion, "the path does not lead") { b, _, _ in
    var lines = b.proof.components(separatedBy: "\n")
    lines.swapAt(2, 3)
    b.proof = lines.joined(separator: "\n")
  }
  add("proof: header", .inclusion, "c2sp.org/tlog-proof@v1") { b, _, _ in
    b.proof = b.proof.replacingOccurrences(of: "@v1", with: "@v2")
  }
  add("proof: no base64", .inclusion, "in base64") { b, _, _ in
    b.proof = changing(b.proof, line: 2) { "!" + $0.dropFirst() }
  }
  add("proof: hash too short", .inclusion, "32 bytes") { b, _, _ in
    b.proof = changing(b.proof, line: 2) { _ in "AAAA" }
  }
  add("proof: no checkpoint", .inclusion, "an empty line and a checkpoint") { b, _, _ in
    b.proof = String(b.proof.components(separatedBy: "\n\n")[0])
  }
  add("proof: an older checkpoint", .inclusion, "another checkpoint than the signed one") { b, _, f in
    b.proof = b.proof.components(separatedBy: "\n\n")[0] + "\n\n" + f.earlier.checkpoint.text
  }
  add("proof: of a smaller log", .inclusion, "the checkpoint covers 3 receipts") { b, _, f in
    b.checkpoint = f.earlier.checkpoint.text
    b.signature = f.earlier.signature
    b.proof = b.proof.components(separatedBy: "\n\n")[0] + "\n\n" + f.earlier.checkpoint.text
  }
  // The checkpoint.
  add("checkpoint: size", .signature, "does not hold") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 1) { _ in "10" }
  }
  add("checkpoint: root", .signature, "does not hold") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 2) { _ in zeroHash }
  }
  add("checkpoint: time", .signature, "does not hold") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 3) { _ in "time 1790000000000001" }
  }
  add("checkpoint: previous", .signature, "does not hold") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 4) { _ in "prev-checkpoint-sha256 \(SHA256Digest.zero.hex)" }
  }
  add("checkpoint: origin", .signature, "does not hold") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 0) { _ in "hotpot/elsewhere" }
  }
  add("checkpoint: a line more", .signature, "five lines") { b, _, _ in b.checkpoint += "more\n" }
  add("checkpoint: a line less", .signature, "five lines") { b, _, _ in
    b.checkpoint = b.checkpoint.components(separatedBy: "\n")[..<4].joined(separator: "\n") + "\n"
  }
  add("checkpoint: a size with a leading zero", .signature, "a size in decimal") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 1) { "0" + $0 }
  }
  add("checkpoint: a plus in the origin", .signature, "without spaces and '+'") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 0) { $0 + "+" }
  }
  add("checkpoint: a root of 31 bytes", .signature, "a root of 32 bytes") { b, _, _ in
    b.checkpoint = changing(b.checkpoint, line: 2) { _ in Base64.format([UInt8](repeating: 0, count: 31)) }
  }
  add("checkpoint: carriage returns", .signature, "checkpoint, line") { b, _, _ in
    b.checkpoint = b.checkpoint.replacingOccurrences(of: "\n", with: "\r\n")
  }
  // The signature.
  add("signature: another key", .signature, "is not among the allowed signers") { b, _, f in
    b.signature = try f.sign(b.checkpoint, key: "other")
  }
  add("signature: another key that the bundle allows", .signature, "its signer's log is") { b, e, f in
    b.signature = try f.sign(b.checkpoint, key: "other")
    b.allowedSigners = ReceiptBundle.allowedSigners(f.otherKey)
    e.allowedSigners = nil
  }
  add("signature: another node's whole log", .signature, "is not among the allowed signers") { b, _, f in
    b.checkpoint = changing(b.checkpoint, line: 0) { _ in f.otherKey.origin }
    b.signature = try f.sign(b.checkpoint, key: "other")
    b.allowedSigners = ReceiptBundle.allowedSigners(f.otherKey)
  }
  add("signature: another namespace", .signature, "made for the namespace 'file'") { b, _, f in
    b.signature = try f.sign(b.checkpoint, namespace: "file")
  }
  add("signature: a segment's namespace", .signature, "made for the namespace 'segment@hotpot'") {
    b, _, f in
    b.signature = try f.sign(b.checkpoint, namespace: Notary.segmentNamespace)
  }
  add("signature: of another checkpoint", .signature, "does not hold") { b, _, f in
    b.signature = f.earlier.signature
  }
  add("signature: a bit flipped", .signature, "signature") { b, _, _ in
    var lines = b.signature.components(separatedBy: "\n")
    let last = try #require(lines.lastIndex { $0.hasPrefix("-----END") }) - 1
    let c = lines[last].first
    lines[last] = (c == "A" ? "B" : "A") + lines[last].dropFirst()
    b.signature = lines.joined(separator: "\n")
  }
  add("signature: no base64", .signature, "signature, line 2: wanted base64") { b, _, _ in
    b.signature = changing(b.signature, line: 1) { "*" + $0.dropFirst() }
  }
  add("signature: cut", .signature, "END SSH SIGNATURE") { b, _, _ in
    b.signature = String(b.signature.prefix(120))
  }
  add("signature: empty", .signature, "BEGIN SSH SIGNATURE") { b, _, _ in b.signature = "\n" }
  add("signer: expired", .signature, "revoked, expired or not allowed") { _, e, f in
    e.allowedSigners = "hotpot namespaces=\"checkpoint@hotpot\",valid-before=\"20200101\" \(f.nodeKey.text)\n"
  }
  add("signer: not yet valid", .signature, "revoked, expired or not allowed") { _, e, f in
    e.allowedSigners = "hotpot namespaces=\"checkpoint@hotpot\",valid-after=\"20900101\" \(f.nodeKey.text)\n"
  }
  add("signer: allowed for something else", .signature, "revoked, expired or not allowed") { _, e, f in
    e.allowedSigners = "hotpot namespaces=\"git\" \(f.nodeKey.text)\n"
  }
  add("signer: revoked", .signature, "revoked, expired or not allowed") { _, e, f in
    let path = f.path("revoked")
    try Data("\(f.nodeKey.text)\n".utf8).write(to: URL(fileURLWithPath: path))
    e.revoked = path
  }
  add("signer: unknown to the verifier", .signature, "is not among the allowed signers") { _, e, f in
    e.allowedSigners = ReceiptBundle.allowedSigners(f.otherKey)
  }
  // Consistency.
  add("consistency: another log of that size", .consistency, "seen another log of 9 receipts") { _, e, f in
    e.earlier = Checkpoint(origin: f.nodeKey.origin, size: 9, root: .zero, time: 1, previous: .zero)
  }
  add("consistency: another past", .consistency, "does not continue the 3 seen before") { _, e, f in
    e.earlier = Checkpoint(origin: f.nodeKey.origin, size: 3, root: .zero, time: 1, previous: .zero)
  }
  add("consistency: another log's checkpoint", .consistency, "origin") { _, e, f in
    e.earlier = Checkpoint(
      origin: f.otherKey.origin, size: 3, root: f.earlier.checkpoint.root, time: 1, previous: .zero)
  }
  add("consistency: proof edited", .consistency, "does not continue the 3 seen before") { b, _, _ in
    b.consistency = b.consistency.map { changing($0, line: 3) { _ in zeroHash } }
  }
  add("consistency: proof of other sizes", .consistency, "a consistency proof from 3 to 9") { b, _, f in
    b.consistency = f.journal.consistency(from: 2, to: 9)?.text
  }
  add("consistency: proof malformed", .consistency, "consistency proof, line 2") { b, _, _ in
    b.consistency = b.consistency?.replacingOccurrences(of: "from 3", with: "from -3")
  }
  // Witnesses.
  add("witness: the node itself", .witness, "the witness is the node itself") { b, e, f in
    b.witness = try f.sign(b.checkpoint, namespace: Witness.namespace)
    e.witnesses = "x \(f.nodeKey.text)\n"
  }
  add("witness: unknown", .witness, "is not among the allowed signers") { b, _, f in
    b.witness = try f.sign(b.checkpoint, key: "other", namespace: Witness.namespace)
  }
  add("witness: another namespace", .witness, "made for the namespace 'checkpoint@hotpot'") { b, _, f in
    b.witness = try f.sign(b.checkpoint, key: "witness")
  }
  add("witness: another checkpoint", .witness, "does not hold") { b, _, f in
    b.witness = try f.sign(f.earlier.checkpoint.text, key: "witness", namespace: Witness.namespace)
  }
  // The transcript.
  add("prompt edited", .commitments, "prompt or its nonce") { b, _, f in
    var prompt = f.transcript.prompt
    prompt[3] += 1
    b.transcript = transcript(f.transcript, prompt: prompt)
  }
  add("prompt reordered", .commitments, "prompt or its nonce") { b, _, f in
    b.transcript = transcript(f.transcript, prompt: f.transcript.prompt.reversed())
  }
  add("output edited", .commitments, "output or its nonce") { b, _, f in
    var output = f.transcript.output
    output[39] = 0
    b.transcript = transcript(f.transcript, output: output)
  }
  add("output cut", .commitments, "output or its nonce") { b, _, f in
    b.transcript = transcript(f.transcript, output: f.transcript.output.dropLast())
  }
  add("output padded", .counts, "the transcript has 41") { b, _, f in
    b.transcript = transcript(f.transcript, output: f.transcript.output + [1])
  }
  add("nonce edited", .commitments, "prompt or its nonce") { b, _, f in
    b.transcript = b.transcript?.replacingOccurrences(of: "\"nonce\":\"01", with: "\"nonce\":\"02")
  }
  add("nonces swapped", .commitments, "prompt or its nonce") { b, _, f in
    let hex = f.transcript.nonces.hex
    b.transcript = transcript(f.transcript, nonces: Nonces(hex: String(hex.suffix(64) + hex.prefix(64))))
  }
  add("bias dropped", .commitments, "logit biases") { b, _, f in
    b.transcript = transcript(f.transcript, biases: [])
  }
  add("transcript malformed", .commitments, "transcript, line 1") { b, _, _ in
    b.transcript = b.transcript?.replacingOccurrences(of: "[1000,", with: "[01000,")
  }
  // A node that lies in what it signs.
  add("node: more tokens than generated", .counts, "the receipt says 45 generated tokens", index: 5) {
    _, _, _ in
  }
  add("node: more cached than prompt", .counts, "18 cached tokens of a prompt of 17", index: 6) {
    _, _, _ in
  }
  add("node: a window hash missing", .counts, "1 window hashes for 40 tokens, wanted 2", index: 7) {
    _, _, _ in
  }
  add("node: another amount than its prices give", .amount, "the receipt says 19 micro-units", index: 8) {
    _, _, _ in
  }
  // Re-execution.
  add("another model", .reexecution, "the model's SHA-256 is") { _, e, _ in ran(&e) { $0.model = .zero } }
  add("other numerics", .reexecution, "the numerics are N1/A8/KVi16") { _, e, _ in
    ran(&e) { $0.numerics = "N1/A8/KVi16" }
  }
  add("another token", .reexecution, "token 37: the sampler gives 512, the receipt says 42") { _, e, _ in
    ran(&e) { $0.tokens[37] = 512 }
  }
  add("another token and its window", .reexecution, "token 37: the sampler gives 512") { _, e, _ in
    ran(&e) {
      $0.tokens[37] = 512
      $0.windows[1] = .zero
    }
  }
  add("other hidden states", .reexecution, "tokens 0 to 31: the hidden states differ") { _, e, _ in
    ran(&e) {
      $0.tokens[37] = 512
      $0.windows[0] = .zero
    }
  }
  add("other hidden states at the end", .reexecution, "tokens 32 to 39: the hidden states differ") {
    _, e, _ in
    ran(&e) { $0.windows[1] = .zero }
  }
  // The answer's own words.
  func says(
    _ name: String, _ reason: String, _ change: @escaping @Sendable (inout Verification.Answer) -> Void
  ) {
    add("answer: \(name)", .answer, reason) { _, e, f in
      var answer = try f.answer()
      change(&answer)
      e.answer = answer
    }
  }
  says("id", "'id' is \"chatcmpl-0000000000000005\"") { $0.id = "chatcmpl-0000000000000005" }
  says("job", "'hotpot.job' is \"7\"") { $0.job = "7" }
  says("receipt", "'hotpot.receipt' is \"0000000000000000\"") { $0.receipt = "0000000000000000" }
  says("model", "the receipt gives \"smollm2\"") { $0.model = "smollm3" }
  says("seed", "'hotpot.seed' is \"7\"") { $0.seed = 7 }
  says("amount", "'hotpot.amount_micro' is \"1\"") { $0.amount = 1 }
  says("finish reason", "'finish_reason' is \"length\"") { $0.finishReason = "length" }
  says("an error", "ends with the error \"cancelled\"") { $0.errorCode = "cancelled" }
  says("prompt tokens", "'usage.prompt_tokens' is \"16\"") { $0.usage.prompt = 16 }
  says("completion tokens", "'usage.completion_tokens' is \"41\"") { $0.usage.completion = 41 }
  says("total", "'usage.total_tokens' is \"58\"") { $0.usage.total = 58 }
  says("cached tokens", "cached_tokens' is \"17\"") { $0.usage.cached = 17 }
  says("ignore_eos", "'hotpot.ignore_eos' is \"true\"") { $0.ignoresEnd = true }
  // The text, byte for byte.
  func reads(_ name: String, _ text: String, _ reason: String) {
    add("text: \(name)", .text, reason) { _, e, f in
      var answer = try f.answer()
      answer.text = text
      e.answer = answer
    }
  }
  reads("a word", "cake\n", "byte 2: the answer says \"ke\\n\"")
  reads("more", "caf\u{e9}\n!", "the token ids give its end")
  reads("less", "caf", "byte 3: the answer says its end")
  reads("nothing", "", "byte 0: the answer says its end")
  reads("the same to Unicode, other bytes", "cafe\u{301}\n", "byte 3")
  // The end.
  func ends(
    _ name: String, _ reason: String, _ change: @escaping @Sendable (inout Verification.DecodedOutput) -> Void
  ) {
    add("end: \(name)", .ending, reason) { _, e, _ in
      if case .decoded(var decoded) = e.decoding {
        change(&decoded)
        e.decoding = .decoded(decoded)
      }
    }
  }
  ends("padded behind an end token", "token 12 is an end token, and 27 follow it") { $0.firstEnd = 12 }
  ends("padded behind a stop string", "complete with token 12, and 27 follow it") { $0.firstStop = 12 }
  ends("no end token", "the last token is no end token: the output is cut") { $0.firstEnd = nil }
  func finish(_ name: String, _ finish: String, _ reason: String, ignores: Bool = false) {
    add("finish: \(name)", .ending, reason) { b, _, _ in
      b.receipt = resealed(
        b.receipt, "\"ignore_eos\":false,\"seed_by\":\"client\",\"finish\":\"stop\"",
        "\"ignore_eos\":\(ignores),\"seed_by\":\"client\",\"finish\":\"\(finish)\"")
    }
  }
  finish("length before max_tokens", "length", "40 of 64 tokens were generated")
  finish("context before max_tokens", "context", "40 of 64 tokens were generated")
  finish("a stop string that is not there", "stop_string", "none is complete with the last token")
  finish("cut behind an end", "cancelled_by_operator", "and the answer was complete")
  finish("expired behind an end", "expired", "and the answer was complete")
  finish("an end that was to be ignored", "stop", "end tokens were to be ignored", ignores: true)
  add("finish: version 1's word", .receipt, "an end that receipts of version 2 know") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"finish\":\"stop\"", "\"finish\":\"cancelled\"")
  }
  add("a version to come", .receipt, "a version of 2 to 5, which this build knows, not 6") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"v\":2", "\"v\":6")
  }
  add("version 1 spelled", .receipt, "a version of 2 to 5, which this build knows, not 1") { b, _, _ in
    b.receipt = resealed(b.receipt, "\"v\":2", "\"v\":1")
  }
  add("stop strings", .commitments, "stop strings: the transcript does not give") { b, _, f in
    let t = f.transcript
    b.transcript =
      Transcript(nonces: t.nonces, prompt: t.prompt, output: t.output, biases: t.biases, stops: ["END"]).text
  }
  add("another request", .request, "the prompt differs") { _, e, _ in
    e.request = .differs("the prompt differs")
  }
  add("other settings", .settings, "'top_k' is 4") { _, e, _ in e.settings = .differs("'top_k' is 4") }
  add("other log-probabilities", .logprobs, "token 3") { _, e, _ in e.logprobs = .differs("token 3") }
  add("an old answer", .freshness, "not yours") { _, e, _ in e.freshness = .differs("not yours") }
  add("a tool call", .text, "the answer has \"tool_calls\", which no token of the receipt gives") { _, e, f in
    var answer = try f.answer()
    answer.foreign = ["tool_calls"]
    e.answer = answer
  }
  add("a shorter replay", .reexecution, "has 39 tokens, the transcript 40") { _, e, _ in
    ran(&e) { $0.tokens.removeLast() }
  }
  add("a replay that failed", .reexecution, "could not be run") { _, e, _ in
    e.reexecution = .failed("token 70000 is not in the vocabulary")
  }
  return all
}()

@Suite struct VerificationTests {
  @Test func anHonestBundlePassesEveryCheck() throws {
    let fixture = try Fixture.shared.get()
    let bundle = try fixture.bundle()
    #expect(try ReceiptBundle(parsing: bundle.text) == bundle)
    let verification = Verification(bundle, evidence: try fixture.evidence(), keygen: fixture.keygen)
    #expect(verification.checks.map(\.name) == Verification.Name.allCases)
    for check in verification.checks {
      #expect(check.result == .ok, "\(check.name.rawValue): \(check.detail)")
    }
    #expect(verification.passes(asking: Set(Verification.Name.allCases)))
  }

  @Test func whatWasNotCheckedIsNotPassed() throws {
    let fixture = try Fixture.shared.get()
    var bundle = try fixture.bundle()
    bundle.transcript = nil
    bundle.witness = nil
    let verification = Verification(bundle, keygen: fixture.keygen)
    #expect(verification.isUnbroken)
    #expect(!verification.passes(asking: [.reexecution]))
    #expect(verification.passes(asking: [.signature, .inclusion]))
    let open = verification.checks.filter { $0.result == .notChecked }.map(\.name)
    #expect(
      open == [
        .consistency, .witness, .commitments, .answer, .text, .logprobs, .ending, .reexecution, .request,
        .settings, .freshness,
      ])
    #expect(verification.checks[1].detail.contains("as the bundle itself says"))
  }

  @Test func withoutSSHKeygenTheSignatureIsNotChecked() throws {
    let fixture = try Fixture.shared.get()
    let verification = Verification(
      try fixture.bundle(), evidence: try fixture.evidence(),
      keygen: SSHKeygen(program: "/nonexistent/ssh-keygen"))
    #expect(verification.checks[1].result == .notChecked)
    #expect(verification.checks[1].detail == "'/nonexistent/ssh-keygen' is not installed")
    #expect(!verification.passes(asking: [.signature]))
  }

  @Test func thereAreAtLeastSixtyWaysToTamper() { #expect(tampers.count >= 90) }

  @Test(arguments: tampers)
  fileprivate func tamperingIsRefusedForItsOwnReason(_ tamper: Tamper) throws {
    let fixture = try Fixture.shared.get()
    var bundle = try fixture.bundle(tamper.index)
    var evidence = try fixture.evidence(tamper.index)
    let before = bundle
    try tamper.change(&bundle, &evidence, fixture)
    if tamper.index == Fixture.honest, evidence.reexecution.isSame(as: try fixture.evidence().reexecution),
      evidence.allowedSigners == ReceiptBundle.allowedSigners(fixture.nodeKey),
      evidence.earlier == fixture.earlier.checkpoint,
      evidence.revoked == nil, evidence.answer == (try fixture.answer()),
      // Texts that Unicode holds for equal are a change.
      evidence.answer?.text.map({ Array($0.utf8) }) == (try fixture.answer()).text.map({ Array($0.utf8) }),
      evidence.decoding == (try fixture.evidence().decoding),
      evidence.request == (try fixture.evidence().request),
      evidence.settings == (try fixture.evidence().settings),
      evidence.logprobs == (try fixture.evidence().logprobs),
      evidence.freshness == (try fixture.evidence().freshness)
    {
      #expect(bundle != before, "the case changes nothing")
    }
    let verification = Verification(bundle, evidence: evidence, keygen: fixture.keygen)
    let check = try #require(verification.checks.first { $0.name == tamper.check })
    #expect(check.result == .failed, "\(check.detail)")
    #expect(check.detail.contains(tamper.reason), "\(check.detail)")
    #expect(!verification.isUnbroken)
  }

  @Test(arguments: [
    ("hotpot-bundle 1\n", "hotpot-bundle 2\n", "line 1"),
    ("--- proof\n", "--- prof\n", "the name of a section, not 'prof'"),
    ("--- proof\n", "--- ../../etc/passwd\n", "the name of a section"),
    ("--- proof\n", "--- receipt\n", "each section once and in order"),
    ("--- checkpoint.sig\n", "--- transcript\n", "each section once and in order"),
    ("--- receipt\n", "", "a section"), ("--- allowed_signers\n", "", "the section 'allowed_signers'"),
  ])
  func malformedBundlesAreRefused(from: String, to: String, reason: String) throws {
    let fixture = try Fixture.shared.get()
    let text = try fixture.bundle().text.replacingOccurrences(of: from, with: to)
    let error = #expect(throws: FormatError.self) { try ReceiptBundle(parsing: text) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    #expect(throws: FormatError.self) { try ReceiptBundle(parsing: String(text.dropLast())) }
  }

  @Test func randomBundlesNeverTrap() throws {
    let fixture = try Fixture.shared.get()
    let text = Array(try fixture.bundle().text.utf8)
    var generator = SeededGenerator(seed: 11)
    for _ in 0..<(isHeavy ? 20_000 : 500) {
      var bytes = text
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      guard let bundle = try? ReceiptBundle(parsing: String(decoding: bytes, as: UTF8.self)) else { continue }
      // A program that is not there: this is about our parsers.
      let verification = Verification(
        bundle, evidence: try fixture.evidence(), keygen: SSHKeygen(program: "/nonexistent/ssh-keygen"))
      #expect(verification.checks.count == Verification.Name.allCases.count)
    }
  }
}

extension Verification.Evidence.Result {
  fileprivate func isSame(as other: Self) -> Bool {
    switch (self, other) {
    case (.ran(let a), .ran(let b)): a == b
    case (.notRun, .notRun), (.failed, .failed): true
    default: false
    }
  }
}
