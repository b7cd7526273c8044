// ProofTests.swift: what a client proves with its own request, its saved answer, a bundle and the
// model: honest answers of every kind, and everything that somebody may have changed, each refused
// by the check that names it. The checks of a bundle alone: Tests/ReceiptsTests/VerificationTests.
// Start at tampers.
import Control
import Foundation
import Intake
import JSON
import Node
import Receipts
import Testing
import Wire

/// What a client holds of one job.
struct ClientFiles {
  /// Empty where the answer holds its receipt.
  var bundle: String
  /// The saved body, whole or a stream.
  var answer: String
  /// The body that was sent.
  var request: String
  /// A checkpoint that the client saw before or somewhere else.
  var earlier: Checkpoint?
}

/// One node with a small model, what its clients were answered, and a machine that runs it again.
final class ProvedJobs: @unchecked Sendable {
  static let shared = Result { try ProvedJobs() }

  private let scratch: ScratchDirectory
  let machine: Reexecutor
  let keygen = SSHKeygen(deadline: 30)
  private(set) var jobs: [String: ClientFiles] = [:]

  /// What a client chose at random.
  static let nonce = String(repeating: "5a", count: 32)
  /// The fields of each job's request. Where the node draws the seed, none ends by itself.
  static let requests: [(name: String, path: String, fields: String)] = [
    (
      "chat", "/v1/chat/completions",
      #"""
      "messages":[{"role":"user","content":"What is a checkpoint?"}],"max_tokens":40,"temperature":0.7,"seed":7,
      "logit_bias":{"65":-2,"70":1.5},"stop":["zzz"],"logprobs":true,"top_logprobs":3,"return_token_ids":true
      """#
    ),
    (
      "stream", "/v1/chat/completions",
      #"""
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],"max_tokens":40,"seed":8,
      "stream":true,"stream_options":{"include_usage":true},"logprobs":true,"top_logprobs":2,"return_token_ids":true
      """#
    ),
    (
      "chat without ids", "/v1/chat/completions",
      #""messages":[{"role":"user","content":"Name a town."}],"max_tokens":36,"seed":9,"top_p":0.9,"logprobs":true"#
    ),
    (
      "stream without ids", "/v1/chat/completions",
      #""messages":[{"role":"user","content":"Name a river."}],"max_tokens":33,"ignore_eos":true,"stream":true"#
    ),
    (
      "completion without ids", "/v1/completions",
      #""prompt":"Once upon a time","max_tokens":24,"ignore_eos":true,"logprobs":2,"presence_penalty":0.5,"frequency_penalty":0.25"#
    ),
    (
      "completion", "/v1/completions",
      #"""
      "prompt":[104,105],"max_tokens":34,"temperature":1.5,"top_k":50,"top_p":0.95,"min_p":0.01,"seed":3,"logprobs":1,
      "repetition_penalty":1.1,"ignore_eos":true,"return_token_ids":true
      """#
    ),
    (
      "greedy", "/v1/chat/completions",
      #""messages":[{"role":"user","content":"Go."}],"max_tokens":5,"temperature":0,"return_token_ids":true"#
    ),
    // What a node would run that has a template of its own.
    (
      "another template", "/v1/completions",
      #"""
      "prompt":"user: What is a checkpoint?\nassistant:","max_tokens":40,"temperature":0.7,"seed":7,
      "logit_bias":{"65":-2,"70":1.5},"stop":["zzz"],"return_token_ids":true
      """#
    ),
    (
      "inline stream without ids", "/v1/chat/completions",
      #"""
      "messages":[{"role":"user","content":"Name a tree."}],"max_tokens":35,"seed":12,"stream":true,
      "hotpot":{"receipt":"inline","nonce":"\#(nonce)"}
      """#
    ),
    (
      "inline", "/v1/chat/completions",
      #"""
      "messages":[{"role":"user","content":"Name a bird."}],"max_tokens":20,"ignore_eos":true,"return_token_ids":true,
      "hotpot":{"receipt":"inline","nonce":"\#(nonce)"}
      """#
    ),
    // Asked for in a header field.
    (
      "inline by header", "/v1/completions",
      #""prompt":"The sea","max_tokens":9,"seed":1,"return_token_ids":true"#
    ),
  ]

  private init() throws {
    scratch = try ScratchDirectory()
    let model = scratch.path + "/small.gguf"
    try SmallModel.write(to: model, template: SmallModel.datedTemplate)
    let state = scratch.path + "/state"
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text:
            "{ threads: 1, http: { listen: '127.0.0.1:0' }, audits: { share: 0 }, prices: [{ prompt: '1', completion: '100' }] }"
        ),
        stateDirectory: state, version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    let port = try #require(node.ports.first)
    let line = try LineClient(path: state + "/control.sock", timeout: .seconds(60))
    try line.send(
      ControlProtocol.line(ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: false)))
    for request in Self.requests {
      let body = "{\"model\":\"m\",\(request.fields)}"
      let header = request.name.hasSuffix("by header") ? ["Hotpot-Receipt: inline"] : []
      let answer = try WireAnswer.get(
        port, "POST", request.path, token: token, body: body, fields: header)
      try #require(answer.status == 200, "\(request.name): \(answer.body)")
      let receipt = String(
        try #require(answer.body.components(separatedBy: "\"receipt\":\"").last?.prefix(16)))
      jobs[request.name] = ClientFiles(
        bundle: try Self.bundle(receipt, line), answer: answer.body, request: body)
    }
    machine = try Reexecutor(path: model, threads: 1)
  }

  /// A checkpoint is signed within a second; until then there is no bundle.
  private static func bundle(_ receipt: String, _ line: LineClient) throws -> String {
    for tag in UInt64(1)..<2_000 {
      try line.send(ControlProtocol.line(VerbRequest(tag: tag, ExportReceipt(id: receipt))))
      waiting: while true {
        let bytes = try #require(try line.receive(), "the node closed the line")
        switch try #require(ControlProtocol.parse(ControlReply.self, bytes)) {
        case .bundle(_, let text): return text
        case .refused: break waiting
        default: break
        }
      }
      usleep(5_000)
    }
    throw ServingError("receipt \(receipt) was never signed", hint: nil)
  }

  func files(_ name: String) throws -> ClientFiles { try #require(jobs[name]) }

  /// What `hotpot verify --answer --request --model` finds.
  func verify(_ files: ClientFiles, request: Bool = true, machine runs: Bool = true) throws -> (
    verification: Verification, passes: Bool
  ) {
    var proof = try ReceiptProof(
      files.bundle.isEmpty ? nil : ReceiptBundle(parsing: files.bundle), answer: Array(files.answer.utf8),
      request: request ? Array(files.request.utf8) : nil)
    proof.evidence.earlier = files.earlier
    if runs { proof.run(on: { () throws(ServingError) in machine }) }
    let verification = proof.verify(keygen: keygen)
    let asked = files.earlier == nil ? proof.asked : proof.asked.union([.consistency])
    return (verification, verification.passes(asking: asked))
  }

  /// A checkpoint over a log of this node, signed with another key.
  func sign(_ checkpoint: Checkpoint) throws -> String {
    let path = scratch.path + "/other"
    _ = try keygen.makeKey(at: path)
    return try keygen.sign(Array(checkpoint.text.utf8), key: path, namespace: Checkpoint.namespace)
  }

  /// What only a lying node can do: its line says something else, and a log of that line alone is
  /// signed with its key.
  func forge(_ files: inout ClientFiles, _ edits: (String, String)...) throws {
    var bundle = try ReceiptBundle(parsing: files.bundle)
    let old = bundle.receipt
    for (from, to) in edits {
      try #require(bundle.receipt.components(separatedBy: from).count == 2, "'\(from)' in \(bundle.receipt)")
      bundle.receipt = bundle.receipt.replacingOccurrences(of: from, with: to)
    }
    bundle.receipt = bundle.receipt.replacing(/"index":\d+/, with: "\"index\":0")
    let head = try #require(bundle.receipt.components(separatedBy: ",\"h\":").first)
    bundle.receipt = head + ",\"h\":\"\(SHA256.hash(Array(head.utf8)).hex.prefix(16))\"}\n"
    let leaf = SHA256.leaf(Array(bundle.receipt.utf8))
    let key = try #require(
      SSHPublicKey(parsing: try String(contentsOfFile: scratch.path + "/state/key.pub", encoding: .utf8)))
    let checkpoint = Checkpoint(
      origin: key.origin, size: 1, root: leaf, time: 1_790_000_000_000_000, previous: .zero)
    bundle.checkpoint = checkpoint.text
    bundle.proof = InclusionProof(index: 0, path: [], checkpoint: checkpoint).text
    bundle.signature = try keygen.sign(
      Array(checkpoint.text.utf8), key: scratch.path + "/state/key", namespace: Checkpoint.namespace)
    files.bundle = bundle.text
    let before = String(SHA256.leaf(Array(old.utf8)).hex.prefix(16))
    files.answer = files.answer.replacingOccurrences(of: before, with: String(leaf.hex.prefix(16)))
  }
}

extension ClientFiles {
  /// The answer's JSON with one member changed; nil removes it.
  mutating func edit(_ path: String, _ value: Any?) throws {
    func changed(_ node: Any, _ path: ArraySlice<Substring>) throws -> Any {
      let name = String(try #require(path.first))
      if var list = node as? [Any] {
        let index = try #require(Int(name))
        if path.count > 1 {
          list[index] = try changed(list[index], path.dropFirst())
        } else if let value {
          list[index] = value
        } else {
          list.remove(at: index)
        }
        return list
      }
      var object = try #require(node as? [String: Any], "\(name)")
      object[name] =
        try path.count > 1 ? changed(try #require(object[name], "\(name)"), path.dropFirst()) : value
      return object
    }
    let tree = try JSONSerialization.jsonObject(with: Data(answer.utf8))
    answer = String(
      decoding: try JSONSerialization.data(
        withJSONObject: try changed(tree, path.split(separator: ".")[...])),
      as: UTF8.self)
  }

  mutating func ask(_ old: String, _ new: String) throws {
    try #require(request.components(separatedBy: old).count == 2, "'\(old)' in \(request)")
    request = request.replacingOccurrences(of: old, with: new)
  }

  mutating func say(_ old: String, _ new: String) throws {
    try #require(answer.contains(old), "'\(old)' in \(answer)")
    answer = answer.replacing(old, with: new, maxReplacements: 1)
  }

  /// The text of an answer in one piece.
  var text: String {
    get throws {
      let tree = try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any]
      let choice = try #require((tree?["choices"] as? [[String: Any]])?.first)
      return try #require(
        (choice["message"] as? [String: Any])?["content"] as? String ?? choice["text"] as? String)
    }
  }

  /// The members under `hotpot` of an answer in one piece.
  var ownMembers: [String: Any] {
    get throws {
      let tree = try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any]
      return try #require(tree?["hotpot"] as? [String: Any])
    }
  }

  func own(_ name: String) throws -> String { try #require(ownMembers[name] as? String, "\(name)") }

  /// The lines of a stream that have text.
  var pieces: [String] {
    answer.split(separator: "\n").filter { $0.contains("\"delta\":{\"content\":") }.map(String.init)
  }
}

private struct Lie: Sendable, CustomTestStringConvertible {
  let job: String
  let name: String
  let check: Verification.Name
  let reason: String
  let change: @Sendable (inout ClientFiles, ProvedJobs) throws -> Void

  var testDescription: String { "\(job): \(name)" }
}

private let lies: [Lie] = {
  var all: [Lie] = []
  func add(
    _ job: String, _ name: String, _ check: Verification.Name, _ reason: String,
    _ change: @escaping @Sendable (inout ClientFiles, ProvedJobs) throws -> Void
  ) {
    all.append(Lie(job: job, name: name, check: check, reason: reason, change: change))
  }
  func edited(
    _ job: String, _ path: String, _ value: (any Sendable)?, _ check: Verification.Name, _ reason: String
  ) {
    add(job, "\(path) edited", check, reason) { files, _ in try files.edit(path, value) }
  }

  // The text, with true ids and without ids; and in the pieces of a stream.
  for job in ["chat", "chat without ids", "completion", "completion without ids"] {
    let path = job.hasPrefix("chat") ? "choices.0.message.content" : "choices.0.text"
    add(job, "another text", .text, "byte 0: the answer says") { files, _ in try files.edit(path, "#Red.") }
    add(job, "a longer text", .text, "the token ids give its end") { files, _ in
      try files.edit(path, files.text + ".")
    }
    add(job, "a shorter text", .text, "the answer says its end") { files, _ in
      try files.edit(path, String(files.text.unicodeScalars.dropLast()))
    }
    add(job, "no text", .text, "the answer says its end") { files, _ in try files.edit(path, "") }
  }
  for job in ["stream", "stream without ids"] {
    add(job, "a piece is missing", .text, "byte") { files, _ in try files.say(files.pieces[1] + "\n\n", "") }
    add(job, "a piece comes twice", .text, "byte") { files, _ in
      try files.say(files.pieces[1], files.pieces[1] + "\n\n" + files.pieces[1])
    }
    add(job, "a piece is another", .text, "byte") { files, _ in
      try files.say("\"delta\":{\"content\":\"", "\"delta\":{\"content\":\"#")
    }
    add(job, "the finish reason", .answer, "'finish_reason' is") { files, _ in
      let isStop = files.answer.contains("\"finish_reason\":\"stop\"")
      try files.say(
        "\"finish_reason\":\"\(isStop ? "stop" : "length")\"",
        "\"finish_reason\":\"\(isStop ? "length" : "stop")\"")
    }
  }
  // Members that a client acts on, which no token gives.
  for (name, value) in [
    ("tool_calls", [["id": "1"]] as any Sendable), ("function_call", ["name": "rm"]),
    ("reasoning_content", "hm"),
    ("refusal", "no"), ("audio", ["id": "1"]),
  ] {
    edited("chat", "choices.0.message.\(name)", value, .text, "the answer has \"\(name)\", which no token")
  }
  // What the answer says of itself.
  for job in ["chat", "chat without ids"] {
    edited(job, "choices.0.finish_reason", "stop", .answer, "'finish_reason' is")
    edited(job, "usage.prompt_tokens", 1, .answer, "'usage.prompt_tokens' is")
    edited(job, "usage.completion_tokens", 3, .answer, "'usage.completion_tokens' is")
    edited(job, "usage.total_tokens", 1, .answer, "'usage.total_tokens' is")
    edited(job, "usage.prompt_tokens_details.cached_tokens", 1, .answer, "cached_tokens' is")
    edited(job, "hotpot.amount_micro", 1, .answer, "'hotpot.amount_micro' is")
    edited(job, "hotpot.seed", 1, .answer, "'hotpot.seed' is")
    edited(job, "hotpot.job", "0000000000000001", .answer, "'hotpot.job' is")
    edited(job, "hotpot.receipt", "0000000000000001", .answer, "'hotpot.receipt' is")
    edited(job, "id", "chatcmpl-0000000000000001", .answer, "'id' is")
    edited(job, "model", "gpt-9", .answer, "'model' is")
  }
  edited("chat", "hotpot.ignore_eos", true, .answer, "'hotpot.ignore_eos' is")
  // What opens the receipt: edited ids with the true text.
  edited("chat", "hotpot.token_ids", [1, 2, 3], .commitments, "output or its nonce")
  edited("chat", "hotpot.token_ids.0", 1, .commitments, "output or its nonce")
  edited("chat", "hotpot.prompt_token_ids", [1, 2, 3], .commitments, "prompt or its nonce")
  edited("chat", "hotpot.nonce", String(repeating: "0", count: 128), .commitments, "prompt or its nonce")
  edited("chat", "hotpot.logit_bias.0.1", "bfc00001", .commitments, "logit biases")
  edited("chat", "hotpot.logit_bias", nil, .commitments, "logit biases")
  edited("chat", "hotpot.stop", ["zz"], .commitments, "stop strings")
  add("chat", "hotpot.stop missing", .commitments, "stop strings") { files, _ in
    try files.edit("hotpot.stop", nil)
  }
  edited(
    "chat without ids", "hotpot.nonce", String(repeating: "0", count: 128), .request,
    "not those that the receipt commits to")
  // Log-probabilities.
  for job in ["chat", "chat without ids"] {
    edited(job, "choices.0.logprobs.content.3.logprob", -0.125, .logprobs, "token 3: 'logprobs.content'")
    edited(job, "choices.0.logprobs.content.0.token", "x!", .logprobs, "token 0: 'logprobs.content'")
    edited(job, "choices.0.logprobs.content.2.bytes", [1, 2, 3], .logprobs, "token 2: 'logprobs.content'")
    edited(
      job, "choices.0.logprobs.content.35", nil, .logprobs, job == "chat" ? "token 35" : "the answer has 35")
    edited(job, "choices.0.logprobs", nil, .logprobs, "asked for log-probabilities, and the answer has none")
  }
  edited("chat", "choices.0.logprobs.content.1.top_logprobs.0.logprob", 0, .logprobs, "token 1")
  edited("chat", "choices.0.logprobs.content.1.top_logprobs.2", nil, .logprobs, "token 1")
  for job in ["completion", "completion without ids"] {
    edited(job, "choices.0.logprobs.token_logprobs.0", -9, .logprobs, "token 0: 'logprobs.token_logprobs'")
    edited(job, "choices.0.logprobs.text_offset.1", 99, .logprobs, "token 1: 'logprobs.text_offset'")
    edited(job, "choices.0.logprobs.tokens.2", "x!", .logprobs, "token 2: 'logprobs.tokens'")
    edited(
      job, "choices.0.logprobs.top_logprobs.1", ["x!": -1], .logprobs, "token 1: 'logprobs.top_logprobs'")
  }
  add("stream", "log-probabilities of one piece", .logprobs, "'logprobs.content'") { files, _ in
    try files.say("\"logprob\":-", "\"logprob\":-1")
  }
  // The request: what was asked is not what ran.
  for job in ["chat", "chat without ids", "stream without ids"] {
    let reason = job == "chat" ? "the prompt differs at token" : "your request gives"
    add(job, "another question", .request, reason) { files, _ in
      try files.ask("\"content\":\"", "\"content\":\"Please: ")
    }
    add(job, "a system prompt that was not asked for", .request, reason) { files, _ in
      try files.ask("\"messages\":[", "\"messages\":[{\"role\":\"system\",\"content\":\"Lie.\"},")
    }
    add(job, "another role", .request, reason) { files, _ in
      try files.ask("\"role\":\"user\"", "\"role\":\"system\"")
    }
  }
  add("stream", "a system prompt that was left out", .request, "the prompt differs at token") { files, _ in
    try files.ask("{\"role\":\"system\",\"content\":\"Be brief.\"},", "")
  }
  add("completion", "another token of the prompt", .request, "the prompt differs at token 1") { files, _ in
    try files.ask("[104,105]", "[104,106]")
  }
  for (job, old, new, reason) in [
    ("chat", "\"temperature\":0.7", "\"temperature\":0.8", "'temperature' is 0.8"),
    ("chat", "\"max_tokens\":40", "\"max_tokens\":41", "'max_tokens' is 41"),
    ("chat", "\"seed\":7", "\"seed\":8", "'seed' is 8"),
    ("chat", "\"seed\":7,", "", "'who chose the seed' is node in your request and client"),
    ("chat", "\"65\":-2", "\"65\":-2.5", "'logit_bias' differs"),
    ("chat", "\"65\":-2", "\"66\":-2", "'logit_bias' differs"),
    ("chat", "[\"zzz\"]", "[\"zz\"]", "'stop' differs"),
    ("chat", "[\"zzz\"]", "[]", "'stop' differs"),
    ("chat", "\"max_tokens\":40", "\"max_tokens\":40,\"ignore_eos\":true", "'ignore_eos' is true"),
    ("chat", "\"max_tokens\":40", "\"max_tokens\":40,\"top_k\":4", "'top_k' is 4"),
    ("chat", "\"max_tokens\":40", "\"max_tokens\":40,\"min_p\":0.5", "'min_p' is 0.5"),
    ("chat", "\"max_tokens\":40", "\"max_tokens\":40,\"top_p\":0.5", "'top_p' is 0.5"),
    ("chat", "\"model\":\"m\"", "\"model\":\"n\"", "'model' is n"),
    ("chat", "\"max_tokens\":40,", "", "names no max_tokens"),
    ("completion", "\"top_k\":50", "\"top_k\":51", "'top_k' is 51"),
    ("completion", "\"top_p\":0.95", "\"top_p\":0.96", "'top_p' is 0.96"),
    ("completion", "\"min_p\":0.01", "\"min_p\":0.02", "'min_p' is 0.02"),
    ("completion", "\"repetition_penalty\":1.1", "\"repetition_penalty\":1.2", "'repetition_penalty' is 1.2"),
    ("completion", "\"ignore_eos\":true,", "", "'ignore_eos' is false"),
    (
      "completion without ids", "\"presence_penalty\":0.5", "\"presence_penalty\":0.25",
      "'presence_penalty' is 0.25"
    ),
    (
      "completion without ids", "\"frequency_penalty\":0.25", "\"frequency_penalty\":0.5",
      "'frequency_penalty' is 0.5"
    ),
    (
      "completion without ids", "\"max_tokens\":24", "\"max_tokens\":24,\"seed\":1",
      "'who chose the seed' is client in your request and node"
    ),
    ("chat without ids", "\"seed\":9", "\"seed\":10", "'seed' is 10"),
    ("chat without ids", "\"top_p\":0.9", "\"top_p\":0.8", "'top_p' is 0.8"),
  ] as [(String, String, String, String)] {
    add(job, "\(old) is \(new) in the request", .settings, reason) { files, _ in try files.ask(old, new) }
  }
  add("chat", "log-probabilities that were not asked for", .logprobs, "your request did not ask") {
    files, _ in
    try files.ask("\"logprobs\":true,\"top_logprobs\":3,", "")
  }
  add("chat", "fewer alternatives than were asked for", .logprobs, "token 0") { files, _ in
    try files.ask("\"top_logprobs\":3", "\"top_logprobs\":5")
  }
  // Receipts and answers of other jobs.
  for (job, other) in [("chat", "stream"), ("stream", "chat"), ("chat", "completion"), ("greedy", "chat")] {
    add(job, "the receipt of '\(other)'", .commitments, "prompt or its nonce") { files, jobs in
      files.bundle = try jobs.files(other).bundle
    }
    add(job, "the answer of '\(other)'", .answer, "'id' is") { files, jobs in
      files.answer = try jobs.files(other).answer
    }
  }
  for (job, other) in [
    ("chat without ids", "stream without ids"), ("completion without ids", "chat without ids"),
  ] {
    add(job, "the receipt of '\(other)'", .request, "your request gives") { files, jobs in
      files.bundle = try jobs.files(other).bundle
    }
    add(job, "the answer of '\(other)'", .answer, "'id' is") { files, jobs in
      files.answer = try jobs.files(other).answer
    }
  }
  add("chat", "a line of the receipt edited", .receipt, "the digest of the line before it") { files, _ in
    files.bundle = files.bundle.replacingOccurrences(of: "\"seed\":\"7\"", with: "\"seed\":\"8\"")
  }
  // The node lies, and signs it.
  func forged(
    _ job: String, _ name: String, _ check: Verification.Name, _ reason: String, _ edits: [(String, String)],
    answer: [(String, String)] = []
  ) {
    add(job, name, check, reason) { files, jobs in
      for (old, new) in answer { try files.say(old, new) }
      for (old, new) in edits { try jobs.forge(&files, (old, new)) }
    }
  }
  let more = ("\"max_tokens\":5", "\"max_tokens\":64")
  forged("greedy", "cut, called length", .ending, "5 of 64 tokens were generated", [more])
  forged(
    "greedy", "cut, called stop", .ending, "the output is cut",
    [more, ("\"finish\":\"length\"", "\"finish\":\"stop\"")],
    answer: [("\"finish_reason\":\"length\"", "\"finish_reason\":\"stop\"")])
  forged(
    "greedy", "cut, called a stop string", .ending, "there was none",
    [more, ("\"finish\":\"length\"", "\"finish\":\"stop_string\"")],
    answer: [("\"finish_reason\":\"length\"", "\"finish_reason\":\"stop\"")])
  forged(
    "greedy", "cut, called the end of the context", .ending, "5 of 64 tokens",
    [more, ("\"finish\":\"length\"", "\"finish\":\"context\"")])
  forged("greedy", "cut, with a max_tokens of its own", .settings, "'max_tokens' is 5", [more])
  forged(
    "chat", "another seed than asked for", .settings, "'seed' is 7", [("\"seed\":\"7\"", "\"seed\":\"8\"")],
    answer: [("\"seed\":7", "\"seed\":8")])
  forged(
    "chat", "another seed than it ran with", .reexecution, "the sampler gives",
    [("\"seed\":\"7\"", "\"seed\":\"8\"")],
    answer: [("\"seed\":7", "\"seed\":8")])
  forged(
    "chat", "another temperature than it ran with", .reexecution, "the sampler gives",
    [("\"temperature\":\"3f333333\"", "\"temperature\":\"41200000\"")])
  forged(
    "chat", "a seed of the node called the client's", .settings, "who chose",
    [("\"seed_by\":\"client\"", "\"seed_by\":\"node\"")])
  forged("chat", "the amount", .amount, "its prices give", [("\"amount\":", "\"amount\":1")])
  forged(
    "chat without ids", "another seed than it ran with", .reexecution, "the hidden states differ",
    [("\"seed\":\"9\"", "\"seed\":\"10\"")], answer: [("\"seed\":9", "\"seed\":10")])
  forged(
    "chat without ids", "fewer tokens than were made", .commitments, "output or its nonce",
    [("\"completion_tokens\":36", "\"completion_tokens\":34")],
    answer: [("\"completion_tokens\":36", "\"completion_tokens\":34")])
  forged(
    "chat without ids", "another numerics", .reexecution, "the numerics are",
    [("\"numerics\":\"N1/A15", "\"numerics\":\"N1/A16")])
  // The clock, the template, the price.
  add("chat", "another clock", .request, "the prompt differs at token") { files, jobs in
    let receipt = try ReceiptBundle(parsing: files.bundle).receipt
    let time = try #require(receipt.firstMatch(of: /"template_time":(\d+)/).flatMap { Int64($0.1) })
    try jobs.forge(&files, ("\"template_time\":\(time)", "\"template_time\":\(time - 40 * 86_400_000_000)"))
  }
  add("chat", "another template", .request, "the prompt differs at token") { files, jobs in
    let other = try jobs.files("another template")
    (files.bundle, files.answer) = (other.bundle, other.answer)
  }
  add("chat", "a price above the one that was offered", .settings, "'hotpot.price' is 50.00 in your request")
  {
    files, _ in
    try files.ask("\"max_tokens\":40", "\"max_tokens\":40,\"hotpot\":{\"price\":\"50\"}")
  }
  forged(
    "chat", "a price that the amount does not follow from", .amount, "its prices give",
    [("\"price_completion\":100000000", "\"price_completion\":200000000")])
  add("greedy", "more cached tokens than the prompt has", .counts, "cached tokens of a prompt of") {
    files, jobs in
    let line = try ReceiptBundle(parsing: files.bundle).receipt
    let count = try #require(line.firstMatch(of: /"cached_tokens":\d+/)).output
    try jobs.forge(&files, (String(count), "\"cached_tokens\":9999"))
  }
  // The log.
  func logged(
    _ name: String, _ check: Verification.Name, _ reason: String,
    _ change: @escaping @Sendable (inout ReceiptBundle, inout ClientFiles, ProvedJobs) throws -> Void
  ) {
    add("chat", "log: \(name)", check, reason) { files, jobs in
      var bundle = try ReceiptBundle(parsing: files.bundle)
      try change(&bundle, &files, jobs)
      files.bundle = bundle.text
    }
  }
  let other = SHA256.hash([7])
  logged("forked: another root at the same size", .consistency, "another log of") { bundle, files, _ in
    let seen = try Checkpoint(parsing: bundle.checkpoint)
    files.earlier = Checkpoint(origin: seen.origin, size: seen.size, root: other, time: 1, previous: .zero)
  }
  logged("forked: a longer log that does not continue it", .consistency, "") { bundle, files, _ in
    let seen = try Checkpoint(parsing: bundle.checkpoint)
    files.earlier = Checkpoint(
      origin: seen.origin, size: seen.size + 3, root: other, time: 1, previous: .zero)
    bundle.consistency = ConsistencyProof(from: seen.size, to: seen.size + 3, path: [other, other]).text
  }
  logged("dropped receipts: it is shorter than what was seen", .consistency, "") { bundle, files, _ in
    let seen = try Checkpoint(parsing: bundle.checkpoint)
    files.earlier = Checkpoint(origin: seen.origin, size: 4_000, root: other, time: 1, previous: .zero)
    bundle.consistency = ConsistencyProof(from: seen.size, to: 4_000, path: []).text
  }
  logged("of another node", .consistency, "") { bundle, files, _ in
    let seen = try Checkpoint(parsing: bundle.checkpoint)
    files.earlier = Checkpoint(
      origin: "hotpot/other", size: seen.size, root: seen.root, time: 1, previous: .zero)
  }
  logged("the receipt at another place", .inclusion, "index") { bundle, _, _ in
    let proof = try InclusionProof(parsing: bundle.proof)
    bundle.proof =
      InclusionProof(index: proof.index == 0 ? 1 : 0, path: proof.path, checkpoint: proof.checkpoint).text
  }
  logged("a receipt that was dropped from it", .inclusion, "the path does not lead") { bundle, _, _ in
    let proof = try InclusionProof(parsing: bundle.proof)
    bundle.proof =
      InclusionProof(index: proof.index, path: [other] + proof.path.dropFirst(), checkpoint: proof.checkpoint)
      .text
  }
  logged("a proof for another checkpoint", .inclusion, "another checkpoint than the signed one") {
    bundle, _, _ in
    let proof = try InclusionProof(parsing: bundle.proof)
    let seen = proof.checkpoint
    bundle.proof =
      InclusionProof(
        index: proof.index, path: proof.path,
        checkpoint: Checkpoint(
          origin: seen.origin, size: seen.size, root: other, time: seen.time, previous: .zero)
      ).text
  }
  logged("a checkpoint that another key signed", .signature, "") { bundle, _, jobs in
    bundle.signature = try jobs.sign(Checkpoint(parsing: bundle.checkpoint))
  }
  logged("a checkpoint with another time", .signature, "does not hold") { bundle, _, _ in
    let seen = try Checkpoint(parsing: bundle.checkpoint)
    let edited = Checkpoint(
      origin: seen.origin, size: seen.size, root: seen.root, time: seen.time + 1, previous: seen.previous)
    bundle.checkpoint = edited.text
  }
  // Receipts inside of answers, without a bundle; and the client's nonce.
  func inline(
    _ job: String, _ name: String, _ check: Verification.Name, _ reason: String,
    _ change: @escaping @Sendable (inout ClientFiles, ProvedJobs) throws -> Void
  ) {
    add(job, "inline: \(name)", check, reason) { files, jobs in
      files.bundle = ""
      try change(&files, jobs)
    }
  }
  inline("inline", "its text edited", .text, "byte 0") { files, _ in
    try files.edit("choices.0.message.content", "#")
  }
  inline("inline stream without ids", "a piece is another", .text, "byte") { files, _ in
    try files.say("\"delta\":{\"content\":\"", "\"delta\":{\"content\":\"#")
  }
  inline("inline", "a line of another job with its signature", .commitments, "prompt or its nonce") {
    files, jobs in
    let other = try jobs.files("inline by header")
    for name in ["receipt_line", "receipt_signature"] {
      try files.edit("hotpot.\(name)", other.own(name))
    }
  }
  inline("inline", "all of another job's receipt", .request, "the prompt differs") { files, jobs in
    try files.edit("hotpot", jobs.files("inline by header").ownMembers)
  }
  inline("inline stream without ids", "an answer of before", .request, "the prompt differs") { files, jobs in
    files.answer = try jobs.files("inline").answer
  }
  inline("inline", "the signature of another line", .signature, "the signature does not hold") {
    files, jobs in
    try files.edit("hotpot.receipt_signature", jobs.files("inline by header").own("receipt_signature"))
  }
  inline("inline", "a signature that is none", .signature, "wanted") { files, _ in
    try files.edit("hotpot.receipt_signature", "x")
  }
  inline("inline", "a line that is edited", .receipt, "the digest of the line before it") { files, _ in
    try files.edit(
      "hotpot.receipt_line",
      (files.own("receipt_line")).replacingOccurrences(of: "\"client\":\"aria\"", with: "\"client\":\"aris\"")
    )
  }
  inline("inline", "a line that is edited and sealed again", .signature, "the signature does not hold") {
    files, _ in
    let line = try files.own("receipt_line").replacingOccurrences(
      of: "\"client\":\"aria\"", with: "\"client\":\"aris\"")
    let head = try #require(line.components(separatedBy: ",\"h\":").first)
    try files.edit(
      "hotpot.receipt_line", head + ",\"h\":\"\(SHA256.hash(Array(head.utf8)).hex.prefix(16))\"}\n")
  }
  inline("inline", "no nonce of the client's", .freshness, "has no 'nonce_share'") { files, _ in
    try files.edit("hotpot.nonce_share", nil)
  }
  inline("inline", "another nonce than the client's", .freshness, "are without yours") { files, _ in
    try files.ask(ProvedJobs.nonce, String(repeating: "5b", count: 32))
  }
  inline("inline stream without ids", "another nonce than the client's", .freshness, "are without yours") {
    files, _ in try files.ask(ProvedJobs.nonce, String(repeating: "5b", count: 32))
  }
  inline("inline", "a nonce of the client's that opens nothing", .freshness, "does not open the receipt") {
    files, _ in
    let share = try #require(Nonces(hex: String(repeating: "11", count: 64)))
    let client = try #require(SHA256Digest(hex: ProvedJobs.nonce))
    try files.edit("hotpot.nonce_share", share.hex)
    try files.edit("hotpot.nonce", share.bound(to: client).hex)
  }
  add("inline", "the line is not the bundle's", .answer, "'hotpot.receipt_line' is another receipt's") {
    files, jobs in
    try files.edit("hotpot.receipt_line", jobs.files("inline by header").own("receipt_line"))
  }
  return all
}()

@Suite struct ProofTests {
  @Test(arguments: ["inline", "inline by header", "inline stream without ids"])
  func `a receipt inside of an answer is proved without a bundle`(_ name: String) throws {
    let jobs = try ProvedJobs.shared.get()
    var files = try jobs.files(name)
    files.bundle = ""
    let (verification, passes) = try jobs.verify(files)
    #expect(passes, "\(verification.checks)")
    func check(_ name: Verification.Name) -> Verification.Check? {
      verification.checks.first { $0.name == name }
    }
    #expect(check(.signature)?.detail.hasPrefix("the line is signed by SHA256:") == true)
    for name in [Verification.Name.inclusion, .consistency, .witness] {
      #expect(check(name)?.result == .notChecked)
    }
    #expect(check(.freshness)?.result == (name == "inline by header" ? .notChecked : .ok))
    #expect(verification.unproved.first?.hasPrefix("that the receipt is in the node's log") == true)
    #expect(
      verification.unproved.contains { $0.contains("not for an earlier one of the same words") }
        == (name == "inline by header"))
  }

  @Test func `hidden states alone prove all but the sampler, which is said`() throws {
    let jobs = try ProvedJobs.shared.get()
    func verify(_ files: ClientFiles) throws -> (verification: Verification, passes: Bool) {
      var proof = try ReceiptProof(
        ReceiptBundle(parsing: files.bundle), answer: Array(files.answer.utf8),
        request: Array(files.request.utf8))
      proof.run(on: { () throws(ServingError) in jobs.machine }, windowsAlone: true)
      let verification = proof.verify(keygen: jobs.keygen)
      return (verification, verification.passes(asking: proof.asked))
    }
    for name in ["completion", "inline", "chat"] {
      let (verification, passes) = try verify(jobs.files(name))
      #expect(passes, "\(verification.checks)")
      let detail = verification.checks.first { $0.name == .reexecution }?.detail
      // Log-probabilities are asked for in both others.
      let isAlone = name == "inline"
      #expect(detail?.hasSuffix("the same bits; the sampler was not replayed") == isAlone, "\(detail ?? "")")
      #expect(
        verification.unproved.contains { $0.hasPrefix("that the sampler chose these tokens") } == isAlone)
    }
    var files = try jobs.files("another template")
    #expect(try verify(files).passes)
    // The sampler is not replayed; another model's states are found.
    let line = try ReceiptBundle(parsing: files.bundle).receipt
    let start = String(try #require(line.firstMatch(of: /"windows":"./)).output)
    try jobs.forge(&files, (start, "\"windows\":\"" + (start.hasSuffix("A") ? "B" : "A")))
    #expect(try !verify(files).passes)
  }

  @Test func `an answer without its receipt wants a bundle`() throws {
    let jobs = try ProvedJobs.shared.get()
    var files = try jobs.files("chat")
    files.bundle = ""
    let error = #expect(throws: SavedAnswerError.self) { try jobs.verify(files) }
    #expect(error?.description == "the answer holds no receipt line")
    files = try jobs.files("inline")
    files.bundle = ""
    try files.edit("hotpot.receipt_signature", nil)
    let (verification, passes) = try jobs.verify(files)
    #expect(!passes && verification.checks.first { $0.name == .signature }?.result == .notChecked)
  }

  @Test(arguments: ProvedJobs.requests.map(\.name))
  func `an honest answer is proved, and what is not proved is said`(_ name: String) throws {
    let jobs = try ProvedJobs.shared.get()
    let files = try jobs.files(name)
    let (verification, passes) = try jobs.verify(files)
    #expect(passes, "\(verification.checks)")
    for check in verification.checks where check.result == .notChecked {
      #expect(
        [.consistency, .witness, .freshness].contains(check.name)
          && (check.name != .freshness || !files.request.contains("\"nonce\""))
          || check.name == .logprobs && !files.answer.contains("\"logprobs\":{"), "\(check)")
    }
    func detail(_ name: Verification.Name) -> String {
      verification.checks.first { $0.name == name }?.detail ?? ""
    }
    let isDrawn = !files.request.contains("\"seed\"")
    #expect(detail(.settings).contains(isDrawn ? "seed chosen by the node" : "seed chosen by you"))
    #expect(verification.unproved.contains { $0.hasPrefix("seed chosen by the node: ") } == isDrawn)
    #expect(
      detail(.reexecution).contains("generated again from your request") == name.hasSuffix("without ids"))
    #expect(!verification.unproved.contains { $0.contains("not compared with a request of yours") })
  }

  @Test func `without a request nobody can take the prompt for proved`() throws {
    let jobs = try ProvedJobs.shared.get()
    let (verification, passes) = try jobs.verify(jobs.files("chat"), request: false)
    #expect(passes, "\(verification.checks)")
    let open = verification.checks.filter { $0.result == .notChecked }.map(\.name)
    #expect(open == [.consistency, .witness, .request, .settings, .freshness])
    for words in [
      "the prompt is the one that the node says it got; it was not compared with a request of yours",
      "max_tokens, the stop strings and the sampler's settings are those that the node says it got",
    ] {
      #expect(verification.unproved.contains { $0.hasPrefix(words) }, "\(verification.unproved)")
    }
  }

  @Test func `without a model the settings are compared and the rest is said`() throws {
    let jobs = try ProvedJobs.shared.get()
    let (verification, passes) = try jobs.verify(jobs.files("chat without ids"), machine: false)
    #expect(passes, "\(verification.checks)")
    #expect(verification.checks.first { $0.name == .settings }?.result == .ok)
    for name in [Verification.Name.text, .reexecution, .request, .commitments, .ending] {
      #expect(verification.checks.first { $0.name == name }?.result == .notChecked)
    }
    #expect(
      verification.unproved.contains(
        "prompt and answer: the answer holds no token ids, and it was not generated again"))
    #expect(
      verification.unproved.contains("that the text is the one of the token ids: they were not decoded"))
  }

  @Test func `an answer without ids wants a request`() throws {
    let jobs = try ProvedJobs.shared.get()
    let error = #expect(throws: SavedAnswerError.self) {
      try jobs.verify(jobs.files("chat without ids"), request: false)
    }
    #expect(error?.description == "the answer holds no token ids")
    #expect(error?.hint?.contains("'--request' and '--model'") == true)
  }

  /// A proxy that forwards only OpenAI's members.
  @Test func `an answer without the node's members is proved by generating it again`() throws {
    let jobs = try ProvedJobs.shared.get()
    var files = try jobs.files("chat without ids")
    try files.edit("hotpot", nil)
    let (verification, passes) = try jobs.verify(files)
    #expect(passes, "\(verification.checks)")
    #expect(verification.checks.first { $0.name == .commitments }?.result == .notChecked)
    #expect(verification.unproved.contains { $0.hasPrefix("that the commitments are to these tokens") })
    try files.edit("choices.0.message.content", "Paris")
    #expect(try jobs.verify(files).passes == false)
    files = try jobs.files("chat without ids")
    try files.edit("hotpot", nil)
    try files.ask("Name a town.", "Name a cown.")
    let other = try jobs.verify(files)
    #expect(!other.passes)
    #expect(other.verification.checks.first { $0.name == .reexecution }?.result == .failed)
  }

  /// The step that reads a prompt's last tokens gives the first token; when the job is cancelled while it runs, the
  /// receipt has neither, and the client may have got the token.
  @Test func `a first token that came as its job was cut is proved, and no other text`() throws {
    let jobs = try ProvedJobs.shared.get()
    var files = try jobs.files("stream without ids")
    var proof = try ReceiptProof(
      ReceiptBundle(parsing: files.bundle), answer: Array(files.answer.utf8),
      request: Array(files.request.utf8))
    proof.run(on: { () throws(ServingError) in jobs.machine })
    let whole = try #require(proof.evidence.transcript)
    let line = try ReceiptBundle(parsing: files.bundle).receipt
    func member(_ name: String) throws -> String {
      String(
        try #require(line.firstMatch(of: try Regex("\"\(name)\":(\"[^\"]*\"|[0-9]+)"))).output[0].substring
          ?? "")
    }
    let read = Array(whole.prompt.dropLast(3))
    try jobs.forge(
      &files,
      (
        try member("prompt_commitment"),
        "\"prompt_commitment\":\"\(Commitment.to(tokens: read, nonce: whole.nonces.prompt).hex)\""
      ),
      (
        try member("output_commitment"),
        "\"output_commitment\":\"\(Commitment.to(tokens: [], nonce: whole.nonces.output).hex)\""
      ),
      (try member("prompt_tokens"), "\"prompt_tokens\":\(read.count)"),
      (try member("completion_tokens"), "\"completion_tokens\":0"),
      (try member("finish"), "\"finish\":\"cancelled_by_operator\""),
      (try member("windows"), "\"windows\":\"\""), (try member("amount"), "\"amount\":\(read.count)"))
    let id = SHA256.leaf(Array(try ReceiptBundle(parsing: files.bundle).receipt.utf8)).hex.prefix(16)
    let piece = try #require(files.pieces.first)
    let end =
      #"data: {"error":{"code":"cancelled"},"model":"m","hotpot":{"receipt":"\#(id)","nonce":"\#(whole.nonces.hex)","#
      + #""amount_micro":\#(read.count)},"usage":{"prompt_tokens":\#(read.count),"completion_tokens":0}}"#
    #expect(line.contains("\"prompt_tokens\":\(whole.prompt.count),"))
    func verify(_ pieces: [String]) throws -> (verification: Verification, passes: Bool) {
      files.answer = (pieces + [end]).joined(separator: "\n\n") + "\n\n"
      return try jobs.verify(files)
    }
    for pieces in [[], [piece]] {
      let (verification, passes) = try verify(pieces)
      #expect(passes, "\(verification.checks)")
      #expect(
        verification.unproved.contains { $0.contains("came as the job was cut") } == (pieces.count == 1),
        "\(verification.unproved)")
    }
    let (verification, passes) = try verify([
      piece.replacingOccurrences(of: "\"content\":\"", with: "\"content\":\"#")
    ])
    #expect(!passes && verification.checks.first { $0.result == .failed }?.name == .text)
  }

  /// The table; each line of it is a case of the test below.
  @Test func `there are a hundred and twenty ways to lie, and of every kind`() {
    #expect(lies.count >= 120, "\(lies.count)")
    #expect(Set(lies.map { "\($0.job): \($0.name)" }).count == lies.count, "two lines with one name")
    for (number, lie) in lies.enumerated() {
      print("\(number + 1). \(lie.job): \(lie.name) -> \(lie.check.rawValue): \(lie.reason)")
    }
    for kind in [
      "another text", "hotpot.token_ids edited", "another question", "a system prompt that was not asked for",
      "another template", "another clock", "in the request", "tool_calls", "cut, called stop",
      "the receipt of",
      "forked", "dropped", "an answer of before", "price",
    ] { #expect(lies.contains { $0.name.contains(kind) }, "\(kind)") }
    // What the node writes after its own ways of reading is in MessageProofTests and DialectProofTests, whole logs and
    // published prices in NodeCheckTests and PublicationTests.
  }

  @Test(arguments: lies)
  fileprivate func `a lie is refused by the check that names it`(_ lie: Lie) throws {
    let jobs = try ProvedJobs.shared.get()
    var files = try jobs.files(lie.job)
    let before = files
    try lie.change(&files, jobs)
    #expect(
      files.answer != before.answer || files.bundle != before.bundle || files.request != before.request
        || files.earlier != nil,
      "the case changes nothing")
    let (verification, passes) = try jobs.verify(files)
    #expect(!passes)
    let check = try #require(verification.checks.first { $0.name == lie.check })
    #expect(check.result == .failed, "\(verification.checks)")
    #expect(lie.reason.isEmpty || check.detail.contains(lie.reason), "\(check.detail)")
  }
}
