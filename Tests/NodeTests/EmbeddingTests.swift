// EmbeddingTests.swift: vectors of texts from a node: in the forms of OpenAI's and Ollama's clients, priced,
// receipted, run again to the bit, and refused by name where there are none.
import Accounting
import Control
import Foundation
import Inference
import Intake
import JSON
import Receipts
import TestSettings
import Testing
import Wire

@testable import Node

/// A node with a small model of some form.
private final class VectorNode {
  let scratch: ScratchDirectory
  let node: NodeService
  let token: String
  let port: UInt16
  let model: String

  init(_ form: SmallModel.Form, _ configuration: String = "") throws {
    scratch = try ScratchDirectory()
    model = scratch.path + "/small.gguf"
    try SmallModel.write(to: model, form)
    let path = model
    node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text:
            "{ threads: 2, http: { listen: '127.0.0.1:0' }, audits: { share: 1 }, prices: [{ prompt: '1', completion: '100' }], \(configuration) }"
        ),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: path) })
    try node.start()
    token = try node.accounts.addClient("aria", by: Operator("test")).get()
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    port = try #require(node.ports.first)
  }

  deinit {
    node.stop(drain: false, by: "test")
    node.waitUntilStopped()
  }

  func post(_ path: String, _ body: String) throws -> (status: Int, body: JSONValue) {
    let answer = try WireAnswer.get(port, "POST", path, token: token, body: body)
    return (answer.status, try JSONText.parse(Array(answer.body.utf8)))
  }

  func wait(_ condition: (NodeSnapshot) -> Bool) -> Bool {
    for _ in 0..<6_000 {
      if condition(node.snapshot()) { return true }
      usleep(10_000)
    }
    return false
  }

  /// The vector that an engine of its own gives.
  func vector(_ tokens: [Int32], _ pooling: Pooling, _ dimensions: Int) throws -> [Float] {
    let engine = try Engine(
      model: Model(path: model, threads: 1),
      configuration: .init(threads: 1, kvBlocks: 256, maximumStepTokens: 4_096))
    return try engine.embed(tokens, pooling, dimensions: dimensions)
  }

  func bundle(_ id: String) throws -> ReceiptBundle {
    for _ in 0..<2_000 {
      do throws(JournalError) { return try node.receipts.bundle(id) } catch { usleep(5_000) }
    }
    throw ServingError("receipt \(id) was never signed", hint: nil)
  }
}

private func floats(_ value: JSONValue?) -> [Float] {
  (value?.array ?? []).compactMap { $0.number.map { Float($0) } }
}

@Suite(.serialized) struct NodeEmbeddingTests {
  @Test func `vectors come in every form, priced and receipted, and run again to the bit`() throws {
    let served = try VectorNode(.vectors)
    // "abc" and the model's end token.
    let tokens: [Int32] = [97, 98, 99, 257]
    let wanted = try served.vector(tokens, .last, 64)

    let (status, answer) = try served.post(
      "/v1/embeddings", #"{"model":"m","input":"abc","return_token_ids":true,"dimension":3}"#)
    #expect(status == 200, "\(answer)")
    let entry = try #require(answer["data"]?.array?.first)
    #expect(floats(entry["embedding"]).map(\.bitPattern) == wanted.map(\.bitPattern))
    #expect(answer["object"] == "list" && entry["object"] == "embedding" && entry["index"] == 0)
    #expect(answer["usage"]?["prompt_tokens"] == 4 && answer["usage"]?["total_tokens"] == 4)
    #expect(answer["hotpot"]?["ignored"] == ["dimension"])
    #expect(entry["hotpot"]?["prompt_token_ids"] == [97, 98, 99, 257])
    // Four tokens of a millionth each: prompt tokens alone.
    #expect(entry["hotpot"]?["amount_micro"] == 4)

    // Bits in base64, as the openai package asks for them.
    let (_, coded) = try served.post(
      "/v1/embeddings", #"{"model":"m","input":["abc"],"encoding_format":"base64"}"#)
    let text = try #require(coded["data"]?.array?.first?["embedding"]?.string)
    let bytes = wanted.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian) { Array($0) } }
    #expect(Base64.parse(text) == bytes)

    // Some of the numbers, of token ids as they are; texts in their order, more than run at once.
    let (_, short) = try served.post(
      "/v1/embeddings", #"{"model":"m","input":[97,98,99,257],"dimensions":9}"#)
    let first = floats(short["data"]?.array?.first?["embedding"])
    #expect(try first == served.vector(tokens, .last, 9))
    let texts = (0..<11).map { "text \($0 % 7) " + String(repeating: "word ", count: $0) }
    let body = JSONWriter.bytes(["model": "m", "input": .array(texts.map { .string($0) })])
    let (_, many) = try served.post("/v1/embeddings", String(decoding: body, as: UTF8.self))
    let data = try #require(many["data"]?.array)
    #expect(data.count == 11)
    for (index, text) in texts.enumerated() {
      let found = floats(data[index]["embedding"])
      #expect(try found == served.vector(text.utf8.map { Int32($0) } + [257], .last, 64), "\(index)")
      #expect(data[index]["index"] == JSONValue(index))
    }
    #expect(many["usage"]?["prompt_tokens"] == JSONValue(texts.reduce(0) { $0 + $1.utf8.count + 1 }))

    let (_, ollama) = try served.post("/api/embed", #"{"model":"m:latest","input":["abc","abc"]}"#)
    #expect(ollama["embeddings"]?.array?.map { floats($0) } == [wanted, wanted])
    #expect(ollama["prompt_eval_count"] == 8)
    #expect(ollama["hotpot"]?["jobs"]?.array?.count == 2)
    let (_, single) = try served.post("/api/embeddings", #"{"model":"m","prompt":"abc"}"#)
    #expect(floats(single["embedding"]) == wanted)

    // All are audited by the node itself, and found the same.
    let count = 1 + 1 + 1 + 11 + 2 + 1
    #expect(served.wait { $0.receipts.audited == count })
    #expect(served.node.snapshot().receipts.failed == 0)
    #expect(served.node.snapshot().receipts.auditsNotRun == 0)

    try checkReceipt(served, answer, request: #"{"model":"m","input":"abc"}"#)
  }

  /// What a stranger finds of the receipt, and of lies about it.
  private func checkReceipt(_ served: VectorNode, _ answer: JSONValue, request: String) throws {
    let id = try #require(answer["data"]?.array?.first?["hotpot"]?["receipt"]?.string)
    let bundle = try served.bundle(id)
    let machine = try Reexecutor(path: served.model, threads: 1)
    func verify(_ answer: [UInt8], _ request: String) throws -> (Verification, Set<Verification.Name>) {
      var proof = try ReceiptProof(bundle, answer: answer, request: Array(request.utf8))
      proof.run(on: { () throws(ServingError) in machine })
      return (proof.verify(), proof.asked)
    }
    func result(_ verification: Verification, _ name: Verification.Name) -> (Verification.Result, String) {
      let check = verification.checks.first { $0.name == name }
      return (check?.result ?? .notChecked, check?.detail ?? "")
    }
    let bytes = JSONWriter.bytes(answer)
    let (honest, asked) = try verify(bytes, request)
    #expect(honest.passes(asking: asked), "\(honest.checks)")
    #expect(honest.receipt?.version == 5 && honest.receipt?.pooling == "last")
    #expect(result(honest, .reexecution) == (.ok, "64 numbers: the same bits"))
    #expect(result(honest, .counts) == (.ok, "4 prompt, a vector of 64 numbers"))
    #expect(
      result(honest, .ending) == (.ok, "nothing is generated: the output is a vector of 64 numbers"))
    #expect(result(honest, .request).0 == .ok)
    #expect(result(honest, .settings) == (.ok, "model and dimensions"))

    // Another request, other dimensions, another number.
    #expect(try result(verify(bytes, #"{"model":"m","input":"abd"}"#).0, .request).0 == .failed)
    #expect(
      try result(verify(bytes, #"{"model":"m","input":"abc","dimensions":7}"#).0, .settings)
        == (.failed, "'dimensions' is 7 in your request and 64 in the receipt"))
    let number = try #require(answer["data"]?.array?.first?["embedding"]?.array?.first)
    let text = String(decoding: bytes, as: UTF8.self)
    let old = String(decoding: JSONWriter.bytes(number), as: UTF8.self)
    let edited = text.replacingOccurrences(of: "[\(old),", with: "[0.5,")
    try #require(edited != text)
    let lie = try verify(Array(edited.utf8), request).0
    #expect(result(lie, .commitments).0 == .failed)
    #expect(!lie.isUnbroken)
  }

  @Test func `texts that are read both ways are computed whole, beside each other`() throws {
    let served = try VectorNode(.bothWays)
    // The first is longer than a step's budget for prompts.
    let lengths = [1_500, 1, 17, 700, 80]
    let texts = lengths.map { length in
      String(repeating: "many words ", count: length / 11 + 1).prefix(length)
    }
    let body = JSONWriter.bytes(["model": "m", "input": .array(texts.map { .string(String($0)) })])
    let (status, answer) = try served.post("/v1/embeddings", String(decoding: body, as: UTF8.self))
    #expect(status == 200)
    let data = try #require(answer["data"]?.array)
    for (index, text) in texts.enumerated() {
      let wanted = try served.vector(text.utf8.map { Int32($0) }, .mean, 64)
      let isSame = floats(data[index]["embedding"]) == wanted
      #expect(isSame, "\(lengths[index]) tokens")
    }
    #expect(served.wait { $0.receipts.audited == lengths.count })
    #expect(served.node.snapshot().receipts.failed == 0)

    let (refused, error) = try served.post(
      "/v1/chat/completions", #"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#)
    #expect(refused == 400)
    #expect(
      error["error"]?["message"]
        == "'m' reads texts both ways and generates none; POST /v1/embeddings gives their vectors")
    let card = try WireAnswer.get(served.port, "GET", "/v1/models", token: served.token)
    #expect(card.body.contains(#""supported_features":["embeddings"]"#))
  }

  @Test func `what has no vector is refused by name, and nothing is computed`() throws {
    let served = try VectorNode(.text)
    let (status, answer) = try served.post("/v1/embeddings", #"{"model":"m","input":"abc"}"#)
    #expect(status == 400)
    #expect(answer["error"]?["param"] == "model")
    #expect(
      answer["error"]?["message"]
        == "'m' is a model for generating text, of architecture 'llama': its file names no pooling; one made for vectors, such as Qwen3-Embedding or EmbeddingGemma, has it, or 'pooling' in the node's configuration"
    )
    for (body, field, words) in [
      (#"{"model":"m"}"#, "input", "'input' is missing"),
      (#"{"model":"m","input":[]}"#, "input", "'input' has 0 texts, wanted 1 to 2048"),
      (#"{"model":"m","input":[1,"a"]}"#, "input[1]", #"'input[1]' is "a", wanted a token id"#),
      (
        #"{"model":"m","input":["a",7]}"#, "input[1]", "'input[1]' is 7, wanted a text or a list of token ids"
      ),
      (
        #"{"model":"m","input":{}}"#, "input",
        "'input' is an object, wanted a text, a list of texts, or token ids"
      ),
      (#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format", nil),
      (#"{"model":"other","input":"a"}"#, "model", "the model 'other' is not served here, 'm' is"),
    ] as [(String, String, String?)] {
      let (status, answer) = try served.post("/v1/embeddings", body)
      #expect((400..<500).contains(status))
      #expect(answer["error"]?["param"]?.string == field, "\(body)")
      if let words { #expect(answer["error"]?["message"]?.string == words, "\(body)") }
    }
    #expect(served.node.snapshot().receipts.logged == .value(0))
  }

  @Test func `an operator says how vectors are made, and what is asked beyond them is refused`() throws {
    let served = try VectorNode(.text, "pooling: 'mean'")
    let (_, answer) = try served.post("/v1/embeddings", #"{"model":"m","input":"abc"}"#)
    #expect(
      try floats(answer["data"]?.array?.first?["embedding"]) == served.vector([97, 98, 99], .mean, 64))
    for (body, words) in [
      (
        #"{"model":"m","input":"a","dimensions":65}"#,
        "'dimensions' is 65, wanted 1 to 64, which 'm' has"
      ),
      (#"{"model":"m","input":["a",""]}"#, "the prompt is empty"),
      (#"{"model":"m","input":[[1],[288]]}"#, "token 288 is not in the vocabulary of 288"),
    ] {
      let (status, answer) = try served.post("/v1/embeddings", body)
      #expect(status == 400)
      #expect(answer["error"]?["message"]?.string == words)
    }
    // It still generates.
    let (status, text) = try served.post(
      "/v1/completions", #"{"model":"m","prompt":"a","max_tokens":2,"ignore_eos":true}"#)
    #expect(status == 200 && text["usage"]?["completion_tokens"] == 2)
  }
}
