// DoorTests.swift: a served node with a model, as its clients see it from outside: answers that are fetched later,
// clients that leave, and a node that is told to end. HOTPOT_HEAVY=1 has 500 clients leave.

import Foundation
import TestSettings
import Testing
import Wire

@Suite(
  .serialized,
  .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one")
)
struct DoorTests {
  var model: String { RealModel.path ?? "" }
  var name: String { URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent }

  func chat(_ text: String, tokens: Int, stream: Bool, seed: Int = 1, more: String = "") -> String {
    """
    {"model":"\(name)","temperature":0.8,"seed":\(seed),"max_tokens":\(tokens),"stream":\(stream),"ignore_eos":true,\
    \(more)"messages":[{"role":"user","content":"\(text)"}]}
    """
  }

  func metric(_ port: UInt16, _ name: String) throws -> Double {
    let page = try WireAnswer.get(port, "GET", "/metrics").body
    let line = page.split(separator: "\n").first { $0.hasPrefix("hotpot:\(name){") }
    return line?.split(separator: " ").last.flatMap { Double($0) } ?? -1
  }

  @Test func anAnswerIsFetchedLater() throws {
    let node = try ServedNode(model: model)
    let port = UInt16(node.port)
    let token = try node.token("ada")
    let accepted = try WireAnswer.get(
      port, "POST", "/v1/chat/completions", token: token,
      body: chat("Say hello.", tokens: 6, stream: false), fields: ["Prefer: respond-async"])
    #expect(accepted.status == 202 && accepted.fields["preference-applied"] == "respond-async")
    let address = try #require(accepted.fields["location"])
    let id = try #require(accepted.object?["id"] as? String)
    #expect(address == "/v1/jobs/\(id)")
    // 202 while it isn't there, and then the answer itself, with its receipt.
    var answer = try WireAnswer.get(port, "GET", address, token: token)
    while answer.status == 202 { answer = try WireAnswer.get(port, "GET", address, token: token) }
    #expect(answer.status == 200 && answer.object?["object"] as? String == "chat.completion")
    let own = try #require(answer.object?["hotpot"] as? [String: Any])
    #expect(own["job"] as? String == id && (own["receipt"] as? String)?.utf8.count == 16)
    // Another client's word for it is that there is none; and an end cannot be cancelled.
    #expect(try WireAnswer.get(port, "GET", address, token: "sk-someone").status == 404)
    #expect(try WireAnswer.get(port, "DELETE", address, token: "sk-someone").status == 404)
    #expect(try WireAnswer.get(port, "DELETE", address, token: token).status == 409)

    let long = try WireAnswer.get(
      port, "POST", "/v1/chat/completions", token: token,
      body: chat("Count.", tokens: 4_000, stream: false), fields: ["Prefer: respond-async"])
    let other = try #require(long.fields["location"])
    #expect(try WireAnswer.get(port, "GET", other, token: token).status == 202)
    #expect(try WireAnswer.get(port, "DELETE", other, token: token).status == 200)
    var gone = try WireAnswer.get(port, "GET", other, token: token)
    while gone.status == 202 { gone = try WireAnswer.get(port, "GET", other, token: token) }
    #expect(gone.error?["code"] as? String == "cancelled")
    #expect(node.stop() == 0)
  }

  @Test func aNodeThatIsToldToEndFinishesItsStreams() throws {
    let node = try ServedNode(model: model)
    let port = UInt16(node.port)
    let token = try node.token("ada")
    func open(_ token: String, _ tokens: Int) throws -> WireStream {
      try WireStream(
        port,
        WireAnswer.request(
          "POST", "/v1/chat/completions", token: token, body: chat("Count.", tokens: tokens, stream: true)))
    }
    let stream = try open(token, 120)
    let pending = try open("sk-someone", 20)
    #expect(stream.read(until: "\"content\":\"") && pending.read(until: ": waiting for the operator"))
    // A terminal that hangs up ends nothing.
    node.signal(SIGHUP)
    #expect(try WireAnswer.get(port, "GET", "/health").status == 200)
    #expect(node.stop() == 0)
    while stream.read() {}
    while pending.read() {}
    #expect(stream.text.contains("\"finish_reason\":\"length\"") && stream.text.contains("data: [DONE]"))
    #expect(stream.text.contains("\"receipt\":\""))
    #expect(pending.text.contains("\"code\":\"interrupted\""))
  }

  /// Killed while eight streams run and an accepted job waits for its answer to be fetched.
  @Test func aKilledNodeGoesOnFromItsJournal() throws {
    let configuration = "{ queue: { running: 8 }, audits: { share: 0 } }"
    let node = try ServedNode(model: model, configuration: configuration)
    var port = UInt16(node.port)
    let token = try node.token("ada")
    for number in 1...3 {
      let body = chat("Say \(number).", tokens: 4, stream: false, seed: number)
      #expect(
        try WireAnswer.get(port, "POST", "/v1/chat/completions", token: token, body: body).status == 200)
    }
    let streams = try (1...8).map { number in
      let body = chat("Count from \(number).", tokens: 1_500, stream: true, seed: number)
      return try WireStream(
        port, WireAnswer.request("POST", "/v1/chat/completions", token: token, body: body))
    }
    for stream in streams { #expect(stream.read(until: "\"content\":\"")) }
    let later = try WireAnswer.get(
      port, "POST", "/v1/chat/completions", token: token,
      body: chat("Say hello.", tokens: 6, stream: false), fields: ["Prefer: respond-async"])
    let address = try #require(later.fields["location"])
    node.signal(SIGKILL)
    _ = node.stop()

    let start = ContinuousClock.now
    let again = try ServedNode(model: model, configuration: configuration, folder: node.folder)
    print("serving again after \(ContinuousClock.now - start)")
    port = UInt16(again.port)
    var answer = try WireAnswer.get(port, "GET", address, token: token)
    while answer.status == 202 { answer = try WireAnswer.get(port, "GET", address, token: token) }
    #expect(answer.status == 200 && answer.object?["hotpot"] != nil, "\(answer.status) \(answer.body)")
    #expect(again.stop() == 0)
    let journal = try String(
      contentsOfFile: node.folder.path + "/node/journal/00000001.jsonl", encoding: .utf8)
    let lines = try journal.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
    #expect(lines.count { $0["type"] as? String == "receipt" } == 4)
    let interrupted = lines.filter { $0["outcome"] as? String == "interrupted" }.map { $0["job"] as? String }
    #expect(interrupted.count == 8 && Set(interrupted).count == 8)
  }

  /// Memory for 32 blocks of 16 tokens, and jobs that want more than 80: some are always preempted. The node is paused, and a
  /// job held and released, on the way.
  @Test func anAnswerIsTheSameHoweverItWasScheduled() throws {
    let node = try ServedNode(
      model: model, configuration: "{ kv_tokens: 512, queue: { running: 6 }, audits: { share: 0 } }")
    let port = UInt16(node.port)
    let token = try node.token("ada")
    func request(_ number: Int) -> String {
      let body = chat("Tell me about number \(number).", tokens: 160, stream: false, seed: number)
      return WireAnswer.request(
        "POST", "/v1/chat/completions", token: token, body: body, fields: ["Connection: close"])
    }
    func text(_ body: String) throws -> String {
      let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
      let choice = (object?["choices"] as? [[String: Any]])?.first
      return (choice?["message"] as? [String: Any])?["content"] as? String ?? "no answer: \(body)"
    }
    let alone = try (1...6).map { try text(WireAnswer.exchange(port, request($0)).body) }
    #expect(Set(alone).count == 6)
    let streams = try (1...6).map { try WireStream(port, request($0)) }
    while try metric(port, "num_requests_running") + metric(port, "num_requests_waiting") < 6 {}

    #expect(try node.command(["pause"]).status == 0)
    // The step under way ends, however long it takes beside others; no other one begins.
    let steps = try metric(port, "engine_steps_total")
    for _ in 0..<70 { #expect(try metric(port, "engine_steps_total") <= steps + 1) }
    let before = try metric(port, "generation_tokens_total")
    let rows = try JSONSerialization.jsonObject(with: Data(node.command(["jobs", "--json"]).output.utf8))
    let running = try #require((rows as? [[String: Any]])?.first { $0["state"] as? String == "running" })
    let id = try #require(running["id"] as? String)
    // What it used is told, or why that is not known.
    let energy = try #require(running["energy"] as? [String: Any])
    #expect(energy.count == 1 && ["value", "warming_up", "unavailable"].contains(energy.keys.first))
    #expect((energy["value"] as? Double ?? 1) > 0)
    print("electricity of a job: \(energy)")
    #expect(try node.command(["hold", id]).status == 0)
    #expect(try node.command(["resume"]).status == 0)
    while try metric(port, "generation_tokens_total") < before + 20 {}
    #expect(try metric(port, "num_requests_held") == 1)
    #expect(try node.command(["release", id]).status == 0)

    for (number, stream) in streams.enumerated() {
      while stream.read() {}
      #expect(try text(stream.answer().body) == alone[number], "answer \(number + 1) differs")
    }
    let preemptions = try metric(port, "num_preemptions_total")
    print("the same bits with \(Int(preemptions)) preemptions, a pause, a hold and a release")
    #expect(preemptions > 0)
    #expect(node.stop() == 0)
  }

  /// Each client leaves after a number of events of its own, some at once, some of them from plain requests. Then every
  /// receipt of a broken-off answer is re-executed: all must be the same to the bit.
  @Test func clientsThatLeaveFreeTheirPlacesAndTheirReceiptsAreExact() throws {
    let count = isHeavy ? 500 : 50
    let node = try ServedNode(
      model: model, configuration: "{ audits: { share: 1, keep_transcripts_s: 3600 } }")
    let port = UInt16(node.port)
    let token = try node.token("ada")
    var slowest = Duration.zero
    for first in stride(from: 0, to: count, by: 25) {
      let numbers = first..<min(first + 25, count)
      let streams = try numbers.map { number in
        let body = chat("Count from \(number).", tokens: 400, stream: number % 4 != 0, seed: number)
        return try WireStream(
          port, WireAnswer.request("POST", "/v1/chat/completions", token: token, body: body))
      }
      // Plain requests say nothing until they are done: these leave right away, in whatever state they are.
      for (number, stream) in zip(numbers, streams) {
        let events = number % 4 == 0 ? 0 : (number * 7) % 40
        while stream.events < events, stream.read() {}
        stream.abort()
      }
      let left = ContinuousClock.now
      while try metric(port, "num_requests_running") + metric(port, "num_requests_waiting") > 0 {
        if ContinuousClock.now - left > .seconds(20) { break }
      }
      slowest = max(slowest, ContinuousClock.now - left)
      #expect(try metric(port, "num_requests_running") == 0, "jobs of clients that left still run")
    }
    #expect(try metric(port, "kv_cache_usage_perc") == 0)
    let receipts = try metric(port, "receipts_logged")
    // Audits begin when nothing else is to be done; the ones without a token have nothing to re-execute.
    var audited = 0.0
    let start = ContinuousClock.now
    var seen = ContinuousClock.now
    // Until there have been some and then no more for a while.
    while audited == 0 || ContinuousClock.now - seen < .seconds(3),
      ContinuousClock.now - start < .seconds(300)
    {
      let now = try metric(port, "receipts_audited")
      if now != audited { seen = ContinuousClock.now }
      audited = now
      usleep(50_000)
    }
    let failed = try metric(port, "receipts_audit_failures")
    print(
      "\(count) clients left: places free after at most \(slowest); \(Int(receipts)) receipts, \(Int(audited)) audited, "
        + "\(Int(failed)) differ")
    #expect(audited > 0 && failed == 0)
    #expect(try WireAnswer.get(port, "GET", "/health").body.contains("\"serving\""))
    #expect(node.stop() == 0)
  }
}
