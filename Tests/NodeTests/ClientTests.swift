// ClientTests.swift: 294 requests of 28 real clients, as the reference folder's `vectors/clients` has
// recorded them, through a node's HTTP door. Each is answered with all that its client needs, or
// refused by the name of what it asks for. Start at everyRecordedRequest.
import Foundation
import Fuzzing
import JSON
import Node
import TestSettings
import Testing
import Wire

/// A node that serves the scripted model, and its door.
struct TalkingNode {
  let node: NodeService
  let port: UInt16
  let token: String

  static func with(
    _ model: ScriptedModel = .talking, _ body: (TalkingNode) throws -> Void
  ) throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/tiny.gguf"
    try model.write(to: path)
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text: """
            { threads: 2, kv_tokens: 65536, http: { listen: '127.0.0.1:0', model_names: ['gpt-*', 'claude-*'] },
              pooling: 'mean',
              audits: { share: 0 }, currency: 'USD', prices: [{ prompt: '0.10', cached: '0.01', completion: '0.4' }] }
            """),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "tiny", path: path) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    let port = try #require(node.ports.first)
    while try WireAnswer.get(port, "GET", "/health").body.contains("\"loading\"") {}
    try #require(try WireAnswer.get(port, "GET", "/health").status == 200)
    try body(TalkingNode(node: node, port: port, token: token))
  }

  func post(_ path: String, _ body: String) throws -> WireAnswer {
    try WireAnswer.get(port, "POST", path, token: token, body: body)
  }
}

/// The JSON objects of an answer: one, the data of server-sent events, or lines.
func objects(of answer: WireAnswer) -> [JSONValue] {
  var limits = JSONText.Limits()
  limits.duplicateKeys = .refused
  if let one = try? JSONText.parse(Array(answer.body.utf8), limits: limits) { return [one] }
  return answer.body.split(whereSeparator: \.isNewline).compactMap { line in
    let text = line.hasPrefix("data: ") ? line.dropFirst(6) : line
    return try? JSONText.parse(Array(text.utf8), limits: limits)
  }
}

@Suite(.serialized) struct ClientTests {
  /// What is refused, by the field or path, with the number of recorded requests that ask for it.
  static let refused: [String: Int] = [
    // Images and files; more than one answer; what nothing is searched or kept for.
    "messages.images": 1, "images": 1, "messages.content.type": 4, "input.content.type": 3, "n": 1,
    "web_search_options": 1,
    "previous_response_id": 3, "thread": 2,
    // Forms of log-probabilities and echoes; what tools came after.
    "echo": 8, "top_logprobs": 1, "functions": 1,
    // Paths of other services.
    "/api/pull": 1, "/v1/messages/batches": 1, "/v1/moderations": 1,
    "/v1/responses/compact": 1, "/v1/responses/resp_1": 1,
  ]

  @Test(.enabled(if: !ReferenceFolder.isAbsent, "the reference folder is absent"))
  func everyRecordedRequest() throws {
    let folder = try #require(ReferenceFolder.path("vectors/clients"))
    let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }
      .sorted()
    #expect(files.count >= 294)
    var refused: [String: Int] = [:]
    var wrong: [String] = []
    try TalkingNode.with { node in
      for file in files {
        let recorded = try JSONText.parse(
          Array(try Data(contentsOf: URL(filePath: "\(folder)/\(file)"))), limits: .python)
        let request = try #require(recorded["request"])
        let path = try #require(request["path"]?.string)
        let body = request["body"].flatMap {
          $0.members == nil ? nil : String(decoding: JSONWriter.bytes($0), as: UTF8.self)
        }
        let answer = try WireAnswer.get(
          node.port, try #require(request["method"]?.string), path, token: node.token, body: body)
        if answer.status != 200 {
          let name = Self.refusal(answer, path)
          refused[name, default: 0] += 1
          if !(400...404).contains(answer.status) {
            wrong.append("\(file): \(answer.status) \(answer.body.prefix(300))")
          }
          continue
        }
        let found = objects(of: answer)
        for need in recorded["answer_needs"]?.array ?? [] {
          guard let name = need["without"]?.string, !Self.holds(name, found, answer.body) else { continue }
          wrong.append("\(file) lacks \(name): \(answer.body.prefix(600))")
        }
      }
    }
    let report = wrong.prefix(12).joined(separator: "\n")
    #expect(wrong.isEmpty, "\(wrong.count) wrong\n\(report)")
    let table = refused.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(
      separator: ", ")
    #expect(refused == Self.refused, "\(table)")
  }

  /// The name of what is refused: a field without its places in lists, or a path.
  private static func refusal(_ answer: WireAnswer, _ path: String) -> String {
    guard answer.status == 400, let object = objects(of: answer).first else { return path }
    let field = object["error"]?["param"]?.string ?? object["param"]?.string ?? "?"
    return field.replacing(/\[[0-9]+\]/, with: "")
  }

  /// Whether an answer has what its client would miss.
  private static func holds(_ need: String, _ found: [JSONValue], _ body: String) -> Bool {
    // A part of a call is missed only in an answer that calls: an exchange's last one does not.
    let isOfCalls = ["tool_calls", "call_id", "content.*.id", "function_call"].contains { need.contains($0) }
    if isOfCalls, !["tool_calls\":[", "tool_use\"", "function_call\""].contains(where: body.contains) {
      return true
    }
    // An answer of calls alone has no content.
    if need.hasSuffix("message.content"), body.contains("\"tool_calls\":[") { return true }
    if need == "noevent" { return body.contains("event: ") }
    if need == "nodone" { return body.contains("[DONE]") }
    if need.hasPrefix("ev:") { return body.contains("event: \(need.dropFirst(3))\n") }
    let path = need.split(separator: ":").last.map { $0.split(separator: ".") } ?? []
    return found.contains { has($0, path[...]) }
  }

  private static func has(_ value: JSONValue, _ path: ArraySlice<Substring>) -> Bool {
    guard let first = path.first else { return value != .null }
    if first == "*" { return value.array?.contains { has($0, path.dropFirst()) } ?? false }
    return value[String(first)].map { has($0, path.dropFirst()) } ?? false
  }
}
