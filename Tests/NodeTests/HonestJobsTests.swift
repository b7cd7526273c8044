// HonestJobsTests.swift: no honest job is refused: every architecture serves jobs of every protocol, whole and streamed, with
// tools, under a schema, in too little memory, held and cancelled on the way; and a client proves each by its own request
// and its saved answer. A few of them here, 10,000 with HOTPOT_HEAVY=1. Start at noHonestJobIsRefused.
import Control
import Foundation
import Inference
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization
import TestSettings
import Testing
import Wire

@testable import Node

@Suite(.serialized) struct HonestJobsTests {
  /// What a client sent and got.
  private struct Asked: Sendable {
    let path: String
    let request: [UInt8]
    let answer: [UInt8]
  }

  /// What came of the jobs, by kind.
  private struct Tally {
    var proved = 0
    var tokens = 0
    var kinds: [String: Int] = [:]
    var preemptions = 0
    var refused: [String] = []

    mutating func count(_ kind: String) { kinds[kind, default: 0] += 1 }

    mutating func add(_ other: Tally) {
      proved += other.proved
      tokens += other.tokens
      preemptions += other.preemptions
      refused += other.refused
      kinds.merge(other.kinds, uniquingKeysWith: +)
    }
  }

  /// One file of each architecture; the smallest, for time.
  private static func files() throws -> [(architecture: String, path: String)] {
    let folder = try #require(ReferenceFolder.url).appending(path: "golden")
    var found: [String: (path: String, size: Int)] = [:]
    for place in [folder, folder.appending(path: "arch")] {
      for name in try FileManager.default.contentsOfDirectory(atPath: place.path)
      where name.hasSuffix(".gguf") {
        let path = place.appending(path: name).path
        guard let file = try? GGUFFile(path: path), let model = try? Model(path: path),
          (try? Tokenizer(model.file)) != nil,
          let architecture = try? file.metadata.string("general.architecture")
        else { continue }
        let size = (try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
        if size < found[architecture]?.size ?? .max { found[architecture] = (path, size) }
      }
    }
    return found.map { ($0.key, $0.value.path) }.sorted { $0.0 < $1.0 }
  }

  @Test(.disabled(if: ReferenceFolder.isAbsent, "the reference folder is not beside the repository"))
  func `no honest job is refused`() throws {
    let all = try Self.files()
    let chosen = isHeavy ? all : all.filter { ["llama", "gemma3", "qwen35"].contains($0.architecture) }
    let each = isHeavy ? max(100, 10_000 / chosen.count + 1) : 20
    var sum = Tally()
    for (architecture, path) in chosen {
      let tally = try run(path, jobs: each)
      print(
        "\(architecture): \(tally.proved) jobs proved, \(tally.tokens) tokens, \(tally.preemptions) preemptions, \(tally.refused.count) refused"
      )
      #expect(tally.refused.isEmpty, "\(architecture): \(tally.refused.prefix(3))")
      #expect(tally.proved >= each, "\(architecture)")
      sum.add(tally)
    }
    let kinds = sum.kinds.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    print("\(sum.proved) jobs of \(chosen.count) architectures, \(sum.refused.count) refused: \(kinds)")
    for kind in ["cached", "cancelled", "held", "tools", "schema", "streamed", "whole"] {
      #expect(sum.kinds[kind] ?? 0 > 0, "\(kind)")
    }
    #expect(sum.preemptions > 0)
    if isHeavy { #expect(sum.proved >= 10_000 && chosen.count >= 30) }
  }

  // MARK: one architecture

  /// The file with a chat template, for chats, tools and schemas. A key before all others moves what
  /// follows by a multiple of every alignment.
  private static func templated(_ path: String, into folder: String) throws -> String {
    var bytes = Array(try Data(contentsOf: URL(filePath: path)))
    func little(_ number: Int, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }
    let key = Array("tokenizer.chat_template".utf8)
    let fixed = 8 + key.count + 4 + 8
    var template = Array(SmallModel.template.utf8)
    let filler = (4 + template.count + fixed + 4_095) / 4_096 * 4_096 - template.count - fixed - 4
    template = Array("{#".utf8) + [UInt8](repeating: 0x20, count: filler) + Array("#}".utf8) + template
    let count = bytes[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
    bytes.replaceSubrange(16..<24, with: little(count + 1, 8))
    bytes.insert(
      contentsOf: little(key.count, 8) + key + little(8, 4) + little(template.count, 8) + template, at: 24)
    let made = folder + "/templated.gguf"
    try Data(bytes).write(to: URL(filePath: made))
    return made
  }

  private func run(_ original: String, jobs: Int) throws -> Tally {
    let scratch = try ScratchDirectory()
    let path = try Self.templated(original, into: scratch.path)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text: """
            { threads: 2, kv_tokens: 1024, http: { listen: '127.0.0.1:0' }, queue: { running: 8 },
              audits: { share: 0, keep_transcripts_s: 0 }, prices: [{ prompt: '1', cached: '0.5', completion: '100' }] }
            """),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: path) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    let port = try #require(node.ports.first)
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    let line = try LineClient(path: scratch.path + "/state/control.sock", timeout: .seconds(120))
    try line.send(
      ControlProtocol.line(ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: false)))
    let post = { @Sendable (path: String, body: [UInt8]) -> HTTPCall.Answer? in
      try? HTTPCall("http://127.0.0.1:\(port)\(path)").send(
        "POST", body, fields: ["Content-Type: application/json", "Authorization: Bearer \(token)"],
        timeout: .seconds(300))
    }
    var tally = Tally()
    let asked = try ask(jobs, post, hasChat: hasChat(post), line, node, &tally)
    let machine = try Reexecutor(path: path, threads: 2)
    let keygen = SSHKeygen(deadline: 30).remembering()
    for job in asked {
      do { try prove(job, machine, keygen, line, &tally) } catch {
        tally.refused.append(
          "\(job.path): \(error) \(String(decoding: job.answer.prefix(4_000), as: UTF8.self))")
      }
    }
    tally.preemptions = node.snapshot().throughput.preemptions
    return tally
  }

  /// Whether the model's template makes chats; without one, texts alone are asked for.
  private func hasChat(_ post: (String, [UInt8]) -> HTTPCall.Answer?) -> Bool {
    let (path, body) = NodeCheck.request(0, model: "m")
    return post(path, body)?.status == 200
  }

  /// Clients side by side send jobs, and an operator holds, releases and cancels some of them.
  private func ask(
    _ jobs: Int, _ post: @escaping @Sendable (String, [UInt8]) -> HTTPCall.Answer?, hasChat: Bool,
    _ line: LineClient, _ node: NodeService, _ tally: inout Tally
  ) throws -> [Asked] {
    let next = Atomic<Int>(0)
    let answered = Mutex<[Asked]>([])
    let failures = Mutex<[String]>([])
    let ended = DispatchGroup()
    let numbers = (0..<16).filter { hasChat || NodeCheck.request($0, model: "m").path == "/v1/completions" }
    // A sentence that most prompts begin with, so that they find each other's beginnings.
    let shared =
      "Say, in the words of somebody who has lived by the sea for forty years and seen every weather there is, something about"
    for _ in 0..<12 {
      ended.enter()
      Thread.detachNewThread {
        defer { ended.leave() }
        while answered.withLock({ $0.count }) < jobs, next.load(ordering: .relaxed) < 3 * jobs + 64 {
          let number = next.add(1, ordering: .relaxed).oldValue
          let (path, body) = NodeCheck.request(numbers[number % numbers.count], model: "m")
          let text = String(decoding: body, as: UTF8.self)
            .replacing("Say something about", with: shared).replacing("A story about", with: shared)
            .replacing(/"(max_tokens|max_output_tokens|num_predict)":\d+/) {
              "\"\($0.1)\":\(4 + number * 37 % 120)"
            }
          guard let answer = post(path, Array(text.utf8)) else { continue }
          // A job that was cancelled before it ran has no receipt.
          guard String(decoding: answer.body, as: UTF8.self).contains("\"receipt\"") else {
            if !String(decoding: answer.body, as: UTF8.self).contains("cancelled") {
              failures.withLock {
                $0.append(
                  "\(path): \(answer.status) \(String(decoding: answer.body, as: UTF8.self).prefix(300))")
              }
            }
            continue
          }
          answered.withLock { $0.append(Asked(path: path, request: Array(text.utf8), answer: answer.body)) }
        }
      }
    }
    var dice = Dice(state: 17)
    var held: [String] = []
    var tag: UInt64 = 0
    func act(_ command: NodeCommand) throws {
      tag += 1
      try line.send(ControlProtocol.line(ControlRequest.command(tag: tag, command: command)))
      while true {
        guard let bytes = try line.receive() else { return }
        if case .message(.reply(let found, _))? = ControlProtocol.parse(ControlReply.self, bytes),
          found == tag
        {
          return
        }
      }
    }
    while ended.wait(timeout: .now() + .milliseconds(30)) == .timedOut {
      if !held.isEmpty { try act(.release(jobs: held)) }
      held = []
      let running = node.snapshot().jobs.filter { $0.state == .running }
      guard let row = running.randomElement(using: &dice) else { continue }
      switch Int.random(in: 0..<8, using: &dice) {
      case 0: try act(.cancel(jobs: [row.id]))
      case 1...3:
        held = [row.id]
        tally.count("held")
        try act(.hold(jobs: held))
      default: break
      }
    }
    #expect(failures.withLock { $0 }.isEmpty, "\(failures.withLock { $0.prefix(2) })")
    return answered.withLock { $0 }
  }

  // MARK: proofs

  private func prove(
    _ job: Asked, _ machine: Reexecutor, _ keygen: SSHKeygen, _ line: LineClient, _ tally: inout Tally
  ) throws {
    let saved = try SavedAnswer(job.answer)
    let bundle = try bundle(try #require(saved.answer.receipt), line)
    var proof = try ReceiptProof(bundle, answer: job.answer, request: job.request)
    proof.run(on: { () throws(ServingError) in machine })
    let verification = proof.verify(keygen: keygen)
    guard verification.passes(asking: proof.asked), let receipt = verification.receipt else {
      let why = verification.checks.filter { $0.result != .ok && proof.asked.contains($0.name) }
      tally.refused.append("\(job.path): \(why) \(String(decoding: job.request, as: UTF8.self))")
      return
    }
    tally.proved += 1
    tally.tokens += receipt.completionTokens
    let request = try JSONText.parse(job.request)
    tally.count(job.path)
    tally.count(
      job.answer.starts(with: Array("data:".utf8)) || job.answer.starts(with: Array("event:".utf8))
        ? "streamed" : "whole")
    if request["tools"] != nil { tally.count("tools") }
    if receipt.version > 2 { tally.count("schema") }
    if receipt.finish.isCut { tally.count("cancelled") }
    if receipt.cachedTokens > 0 { tally.count("cached") }
  }

  private func bundle(_ id: String, _ line: LineClient) throws -> ReceiptBundle {
    for tag in UInt64(1_000_000)..<1_002_000 {
      try line.send(ControlProtocol.line(VerbRequest(tag: tag, ExportReceipt(id: id))))
      waiting: while true {
        let bytes = try #require(try line.receive(), "the node closed the line")
        switch ControlProtocol.parse(ControlReply.self, bytes) {
        case .bundle(_, let text): return try ReceiptBundle(parsing: text)
        case .refused: break waiting
        default: continue
        }
      }
      usleep(5_000)
    }
    throw ServingError("receipt \(id) was never signed", hint: nil)
  }
}
