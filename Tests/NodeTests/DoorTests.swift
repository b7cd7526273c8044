// DoorTests.swift: the HTTP interface over a real socket, as a client sees it that knows nothing of this program.
// The node has no model: a request that is right in itself gets 503, one that is not is refused before.
// With a model: Tests/CommandTests/DoorTests.swift.

import Foundation
import Node
import Testing
import Wire

@Suite struct DoorTests {
  /// A node with HTTP and without a model, and what `body` finds there.
  func withNode(_ body: (_ node: NodeService, _ port: UInt16, _ token: String) throws -> Void) throws {
    let directory = try ScratchDirectory()
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(file: "config.json5", text: "{ http: { listen: '127.0.0.1:0' } }"),
        stateDirectory: directory.path, version: "0"
      ) { (_) throws(ServingError) in throw ServingError("no model here", hint: nil) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    let port = try #require(node.ports.first)
    while try WireAnswer.get(port, "GET", "/health").body.contains("\"loading\"") {}
    try body(node, port, token)
  }

  static let chat = "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
  static let completion = "\"model\":\"m\",\"prompt\":\"hi\""
  static let strange = [
    "-1", "0", "1e308", "\"5\"", "1.5", "9223372036854775808", "1e400", "[]", "{}", "true",
  ]

  struct Field {
    let path: String
    let body: String
    let name: String
    /// Of the strange values, those that it may have.
    let allowed: Set<String>
    /// Just beyond its range.
    let beyond: String
  }

  static let fields: [Field] = {
    var list: [Field] = []
    func add(_ name: String, _ allowed: Set<String>, _ beyond: String, chat more: String?, completion: Bool) {
      if let more {
        list.append(
          Field(
            path: "/v1/chat/completions", body: Self.chat + more, name: name, allowed: allowed, beyond: beyond
          ))
      }
      if completion {
        list.append(
          Field(path: "/v1/completions", body: Self.completion, name: name, allowed: allowed, beyond: beyond))
      }
    }
    func both(_ name: String, _ allowed: Set<String>, _ beyond: String) {
      add(name, allowed, beyond, chat: "", completion: true)
    }
    both("temperature", ["0", "1.5"], "2.01")
    both("top_p", [], "1.01")
    both("top_k", ["-1", "0"], "2147483648")
    both("min_p", ["0"], "1.01")
    both("repetition_penalty", ["1.5"], "100.5")
    both("presence_penalty", ["-1", "0", "1.5"], "2.01")
    both("frequency_penalty", ["-1", "0", "1.5"], "2.01")
    both("seed", ["0"], "9223372036854775808")
    both("max_tokens", [], "1048577")
    both("n", [], "2")
    both("hotpot.priority", ["0"], "10")
    both("hotpot.time_limit_s", [], "604801")
    both("hotpot.price", ["\"5\""], "\"1e30\"")
    add("max_completion_tokens", [], "1048577", chat: "", completion: false)
    add("top_logprobs", ["0"], "21", chat: ",\"logprobs\":true", completion: false)
    add("logprobs", ["0"], "6", chat: nil, completion: true)
    add("best_of", [], "2", chat: nil, completion: true)
    return list
  }()

  @Test func everyNumericFieldIsHeldToItsRangeWithNoEffect() throws {
    try withNode { node, port, token in
      var slowest = Duration.zero
      for entry in Self.fields {
        for value in Self.strange + [entry.beyond] {
          let parts = entry.name.split(separator: ".")
          let member =
            parts.count == 2 ? "\"\(parts[0])\":{\"\(parts[1])\":\(value)}" : "\"\(entry.name)\":\(value)"
          let start = ContinuousClock.now
          let answer = try WireAnswer.get(
            port, "POST", entry.path, token: token, body: "{\(entry.body),\(member)}")
          let what = "\(entry.path) \(entry.name) \(value): \(answer.status) \(answer.body)"
          if entry.allowed.contains(value) {
            #expect(answer.status == 503, "\(what)")
          } else {
            slowest = max(slowest, ContinuousClock.now - start)
            #expect(answer.status == 400, "\(what)")
            let error = try #require(answer.error, "\(what)")
            #expect(error["type"] as? String == "invalid_request_error", "\(what)")
            if value != "1e400" {
              #expect((error["param"] as? String)?.hasPrefix(entry.name) ?? false, "\(what)")
            }
          }
        }
      }
      print("numeric fields: \(Self.fields.count) fields, the slowest refusal took \(slowest)")
      #expect(node.snapshot().jobs.isEmpty)
    }
  }

  @Test func pathsAndMethodsThatAreNotThereAreNamed() throws {
    try withNode { _, port, token in
      let cases: [(method: String, path: String, status: Int, code: String, allow: String?)] = [
        ("GET", "/", 404, "not_found", nil), ("GET", "/v1", 404, "not_found", nil),
        ("GET", "/v1/", 404, "not_found", nil), ("GET", "/v1//models", 404, "not_found", nil),
        ("GET", "/v1/models/", 404, "not_found", nil),
        ("GET", "/v1/models/nope", 404, "model_not_found", nil),
        ("GET", "/v1/jobs/xyz", 404, "not_found", nil),
        ("DELETE", "/v1/jobs/0000000000000000", 404, "not_found", nil),
        ("GET", "/v1/receipts/0000000000000000", 404, "not_found", nil),
        ("GET", "/v1/receipts/0000000000000000/proof", 404, "not_found", nil),
        ("GET", "/v1/receipts/0000000000000000/bundle", 404, "not_found", nil),
        ("OPTIONS", "/v1/models", 405, "method_not_allowed", "GET, HEAD"),
        ("PUT", "/v1/models", 405, "method_not_allowed", "GET, HEAD"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("DELETE", "/health", 405, "method_not_allowed", "GET, HEAD"),
        ("TRACE", "/", 501, "method_not_implemented", nil),
        ("GET", "/v1/checkpoint?from=-1", 400, "invalid_value", nil),
      ]
      for (method, path, status, code, allow) in cases {
        let answer = try WireAnswer.get(port, method, path, token: token)
        // Without a signing key there is no checkpoint to ask about.
        if path.hasPrefix("/v1/checkpoint"), answer.status == 503 { continue }
        #expect(answer.status == status, "\(method) \(path): \(answer.body)")
        #expect(answer.error?["code"] as? String == code, "\(method) \(path): \(answer.body)")
        #expect(answer.error?["message"] is String && answer.error?["type"] is String)
        #expect(answer.fields["allow"] == allow, "\(method) \(path)")
      }
    }
  }

  @Test func aHeadIsTheGetWithoutItsBody() throws {
    try withNode { _, port, token in
      for path in ["/v1/models", "/v1/node", "/health", "/nowhere"] {
        let get = try WireAnswer.get(port, "GET", path, token: token)
        let head = try WireAnswer.get(port, "HEAD", path, token: token)
        #expect(head.status == get.status && head.body.isEmpty, "\(path)")
        #expect(head.fields["content-length"] == String(get.body.utf8.count), "\(path)")
        #expect(head.fields["content-type"] == get.fields["content-type"], "\(path)")
      }
    }
  }

  @Test func whoIsRefusedIsToldWhy() throws {
    try withNode { _, port, token in
      let path = "/v1/chat/completions"
      func post(_ fields: String, _ body: String = "{}") throws -> WireAnswer {
        try WireAnswer.exchange(
          port,
          "POST \(path) HTTP/1.1\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\r\n\(body)"
        )
      }
      let json = "Content-Type: application/json"
      let own = "Authorization: Bearer \(token)"
      let here = "Host: localhost"
      let cases: [(fields: [String], body: String, status: Int, code: String)] = [
        ([here, json], "{}", 401, "missing_token"),
        ([here, json, "Authorization: Basic Zm9v"], "{}", 401, "missing_token"),
        (
          [here, json, "Authorization: Bearer hotpot_\(String(repeating: "0", count: 64))"], "{}", 401,
          "invalid_token"
        ),
        ([here, own], "{}", 415, "unsupported_media_type"),
        ([here, own, "Content-Type: text/plain"], "{}", 415, "unsupported_media_type"),
        (["Host: evil.example", own, json], "{}", 421, "host_not_served"),
        ([here, own, json, "Origin: http://localhost"], "{}", 403, "origin_refused"),
        ([here, own, json], "", 400, "invalid_json"),
        ([here, own, json], "{\"a\":1,\"a\":2}", 400, "invalid_json"),
        ([here, own, json], "[]", 400, "invalid_value"),
        ([here, own, json], "{\(Self.chat),\"tools\":[{}]}", 400, "invalid_value"),
        ([here, own, json], "{\(Self.chat),\"tools\":[]}", 503, "no_model"),
        ([here, own, json], "{\(Self.chat)}", 503, "no_model"),
      ]
      for (fields, body, status, code) in cases {
        let answer = try post(fields.joined(separator: "\r\n"), body)
        #expect(answer.status == status, "\(fields): \(answer.body)")
        #expect(answer.error?["code"] as? String == code, "\(fields): \(answer.body)")
        #expect((answer.fields["www-authenticate"] != nil) == (status == 401))
      }
    }
  }

  /// What an exporter's checker looks for: every sample under a HELP and a TYPE of its own, numbers only, counters and
  /// histograms as their names say, each series once.
  @Test func theMetricsPageIsWellFormed() throws {
    try withNode { _, port, _ in
      let answer = try WireAnswer.get(port, "GET", "/metrics")
      #expect(answer.status == 200)
      #expect(answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
      #expect(MetricsCheck.problems(of: answer.body) == [])
      #expect(answer.body.hasSuffix("\n"))
    }
  }

  @Test func aMetricsPageThatIsNotWellFormedIsFound() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n"
    #expect(MetricsCheck.problems(of: good) == [])
    for bad in [
      "a_total 1\n", good + "a_total{x=\"1\"} 3\n", good.replacingOccurrences(of: "} 2", with: "} NaN"),
      good.replacingOccurrences(of: "counter", with: "gauge"), good + good,
      "# HELP b B.\n# TYPE b counter\nb 1\n", "# TYPE a_total counter\na_total 1\n",
    ] {
      #expect(MetricsCheck.problems(of: bad) != [], "\(bad)")
    }
  }
}

/// The rules of the text exposition format 0.0.4 and of promtool's linter, as far as they can be checked from one page.
enum MetricsCheck {
  static func problems(of page: String) -> [String] {
    var found: [String] = []
    var helps: Set<String> = []
    var types: [String: String] = [:]
    var series: Set<String> = []
    for line in page.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 3).map(String.init)
      if line.hasPrefix("# HELP ") {
        if words.count < 4 || !helps.insert(words[2]).inserted { found.append("help: \(line)") }
      } else if line.hasPrefix("# TYPE ") {
        if words.count != 4 || types[words[2]] != nil { found.append("type: \(line)") }
        if words.count == 4 {
          types[words[2]] = words[3]
          if (words[3] == "counter") != words[2].hasSuffix("_total") {
            found.append("name of a counter: \(line)")
          }
        }
      } else {
        guard let space = line.lastIndex(of: " ") else {
          found.append("no value: \(line)")
          continue
        }
        let key = String(line[..<space])
        let name = String(key.prefix { $0 != "{" })
        let base = ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) }.map {
          String(name.dropLast($0.count))
        }
        let family = base.flatMap { types[$0] == "histogram" ? $0 : nil } ?? name
        if types[family] == nil || !helps.contains(family) { found.append("neither help nor type: \(line)") }
        guard let value = Double(line[line.index(after: space)...]), value.isFinite else {
          found.append("no number: \(line)")
          continue
        }
        if value < 0, types[family] != "gauge" { found.append("negative: \(line)") }
        if !series.insert(key).inserted { found.append("twice: \(line)") }
      }
    }
    return found
  }
}
