// LogprobTests.swift: log-probabilities as clients read them: every token has a name of its own, the chosen one is there,
// and offsets are code points of the text. The last tests want a model, or the recorded inputs beside the checkout.
import Foundation
import JSON
import Scheduling
import Synchronization
import TestSettings
import Testing
import Wire

@testable import Inference
@testable import Node

@Suite struct LogprobNameTests {
  private func entry(_ token: Int32, _ bytes: [UInt8], _ logprob: Float) -> TextLogprob.Entry {
    TextLogprob.Entry(token: token, bytes: bytes, isSpecial: false, logprob: logprob)
  }

  private func names(_ chosen: TextLogprob.Entry, _ top: [TextLogprob.Entry]) -> (String, [String]) {
    let named = CompletionLogprobs(TextLogprob(chosen: chosen, top: top, offset: 0))
    return (named.chosen, named.top.map(\.name))
  }

  @Test func partsOfCharactersAreNamedByTheirBytes() {
    let top = [
      entry(1, [0xE6, 0x88], -1), entry(2, [0xE6], -2), entry(3, [0x88], -3), entry(4, [0x20, 0xF0], -4),
      // A token that is this character itself.
      entry(5, Array("\u{FFFD}".utf8), -5), entry(6, [0xFF, 0x0A], -6),
    ]
    let (chosen, found) = names(top[0], top)
    #expect(chosen == "bytes:\\xe6\\x88")
    #expect(
      found == [
        "bytes:\\xe6\\x88", "bytes:\\xe6", "bytes:\\x88", "bytes:\\x20\\xf0", "\u{FFFD}", "bytes:\\xff\\x0a",
      ])
  }

  @Test func theChosenTokenIsThereOnceAndLast() {
    let top = [entry(1, [0x61], -0.5), entry(2, [0x62], -1)]
    #expect(names(entry(3, [0x63], -9), top) == ("c", ["a", "b", "c"]))
    #expect(names(top[1], top) == ("b", ["a", "b"]))
    #expect(names(entry(3, [0x63], -9), []) == ("c", ["c"]))
  }

  @Test func twoTokensOfOneTextHaveTwoNames() {
    let top = [entry(65, [0x41], -0.5), entry(300, [0x41], -1), entry(301, [0x41], -2)]
    #expect(names(top[0], top) == ("A", ["A", "token_id:300", "token_id:301"]))
    // The chosen one is found by its text, whatever is likelier.
    #expect(names(top[1], top) == ("A", ["token_id:65", "A", "token_id:301"]))
    #expect(names(entry(302, [0x41], -9), top).1 == ["token_id:65", "token_id:300", "token_id:301", "A"])
    // One character in two spellings is two names.
    let composed = [entry(1, Array("\u{E9}".utf8), -1), entry(2, Array("e\u{301}".utf8), -2)]
    #expect(names(composed[0], composed).1.map { $0.unicodeScalars.count } == [1, 2])
  }

  @Test func noTextPassesForAnothersName() {
    let top = [
      entry(1, Array("bytes:\\xe6".utf8), -1), entry(2, [0xE6], -2), entry(3, Array("token_id:2".utf8), -3),
      entry(4, [], -4), entry(5, [], -5),
    ]
    let (_, found) = names(top[0], top)
    #expect(Set(found).count == 5)
    #expect(found[0] == "bytes:" + "bytes:\\xe6".utf8.map { "\\x" + String($0, radix: 16) }.joined())
    #expect(found[1] == "bytes:\\xe6" && found[3] == "token_id:4")
  }

  /// A thousand rounds of any bytes: as many names as tokens, and the chosen one's is among them.
  @Test func namesAreAlwaysApart() throws {
    var dice = Dice(state: 23)
    for _ in 0..<1_000 {
      var top = (0..<Int32.random(in: 0...5, using: &dice)).map { id in
        entry(
          id,
          (0..<Int.random(in: 0...3, using: &dice)).map { _ in
            [0x41, 0x5C, 0x78, 0xE6, 0x88, 0xF0, 0x62].randomElement(using: &dice) ?? 0
          }, -Float(id))
      }
      let chosen =
        top.randomElement(using: &dice).flatMap { Bool.random(using: &dice) ? $0 : nil }
        ?? entry(99, [0xE6], -50)
      top.shuffle(using: &dice)
      let (name, found) = names(chosen, top)
      let object = JSONValue.object(found.map { (key: $0, value: 1) })
      let read = try JSONSerialization.jsonObject(with: Data(JSONWriter.bytes(object))) as? [String: Any]
      let wanted = top.count + (top.contains { $0.token == chosen.token } ? 0 : 1)
      // Foundation's keys are compared by canonical equivalence; bytes are what clients compare.
      #expect(Set(found.map { Array($0.utf8) }).count == wanted && read != nil)
      #expect(found.contains(name))
    }
  }
}

/// Offsets, on a vocabulary of bytes: token N is byte N, and 257 the end.
@Suite struct TextOffsetTests {
  private static let end: Int32 = 257

  private static let small: Result<Serving, any Error> = Result {
    let folder = try ScratchDirectory()
    let path = folder.path + "/small.gguf"
    try SmallModel.write(to: path)
    return try Serving.load(
      ModelFile(name: "small", path: path),
      configuration: NodeConfiguration(file: "test", text: "{ threads: 1, kv_tokens: 512 }"))
  }

  /// What comes of an answer of these bytes.
  private func answer(_ tokens: [Int32], stops: [String] = []) throws -> (
    text: String, offsets: [Int], pieces: [(String, [Int])]
  ) {
    let pieces = Mutex<[(String, [Int])]>([])
    let request = try Dialect.openAICompletions.read([
      "model": "small", "prompt": "x", "logprobs": 1, "max_tokens": JSONValue(tokens.count),
      "stop": .array(stops.map { .string($0) }),
    ]).request
    let prepared = try Self.small.get().prepare(
      request, id: JobID(1), identity: .known("aria"), origin: .client, isAsynchronous: false
    ) { _ in
      { event in
        if case .text(let text, let logprobs) = event {
          pieces.withLock { $0.append((text, logprobs.map(\.offset))) }
        }
      }
    }
    for token in tokens {
      let taken = prepared.transcript.take(
        SampledToken(token: token, logprob: -1, top: [TokenLogprob(token: token, logprob: -1)]), digest: nil)
      if case .lastToken = taken.kind { break }
    }
    let found = pieces.withLock { $0 }
    return (found.map(\.0).joined(), found.flatMap(\.1), found)
  }

  @Test func theyAreCodePoints() throws {
    func check(_ bytes: [UInt8], _ text: String, _ offsets: [Int], ends: Bool = false) throws {
      let found = try answer(bytes.map { Int32($0) } + (ends ? [Self.end] : []))
      #expect(Array(found.text.utf8) == Array(text.utf8), "\(bytes)")
      #expect(found.offsets == offsets, "\(bytes)")
    }
    try check(Array("abc".utf8), "abc", [0, 1, 2])
    // One character to Swift, two to everybody else.
    try check(Array("a\r\nb".utf8), "a\r\nb", [0, 1, 2, 3])
    try check(Array("e\u{301}x".utf8), "e\u{301}x", [0, 1, 1, 2])
    // Parts of a character stand where it stands.
    try check(Array("é🎉!".utf8), "é🎉!", [0, 0, 1, 1, 1, 1, 2])
    try check(Array("👩‍👧".utf8), "👩‍👧", [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    // What is no character is one for each wrong part.
    try check([0xE6, 0x41], "\u{FFFD}A", [0, 1])
    try check([0xF0, 0x9F, 0x41], "\u{FFFD}A", [0, 0, 1])
    try check([0xFF, 0xFF, 0x41], "\u{FFFD}\u{FFFD}A", [0, 1, 2])
    try check([0xE6, 0xE6, 0x88, 0x90], "\u{FFFD}成", [0, 1, 1, 1])
    try check([0xED, 0xA0, 0x41], "\u{FFFD}\u{FFFD}A", [0, 1, 2])
    // Begun and never ended.
    try check([0x41, 0xE6, 0x88], "A\u{FFFD}", [0, 1, 1])
    try check([0x41, 0xE6, 0x88], "A\u{FFFD}", [0, 1, 1, 2], ends: true)
    try check(Array("ab".utf8), "ab", [0, 1, 2], ends: true)
    try check([], "", [0], ends: true)
  }

  @Test func whatAStopStringCutsOffIsAtTheEnd() throws {
    func check(_ text: String, _ stops: [String], _ wanted: String, _ offsets: [Int]) throws {
      let found = try answer(text.utf8.map { Int32($0) }, stops: stops)
      #expect(found.text == wanted && found.offsets == offsets, "\(text): \(found)")
      // A token's figures never come before its text has begun, so a stream says the same as a whole answer.
      var sent = 0
      for (number, piece) in found.pieces.enumerated() {
        sent += piece.0.unicodeScalars.count
        if number < found.pieces.count - 1 { #expect(piece.1.allSatisfy { $0 < sent }, "\(found.pieces)") }
      }
    }
    try check("xBCDz", ["CD"], "xB", [0, 1, 2, 2])
    try check("xBCFG", ["BCD", "CFG"], "xB", [0, 1, 2, 2, 2])
    try check("xBCy", ["BCD"], "xBCy", [0, 1, 2, 3])
    try check("é\r\nStop", ["\nS"], "é\r", [0, 0, 1, 2, 2])
    try check("STOP", ["STOP"], "", [0, 0, 0, 0])
  }
}

/// Whole and streamed, over HTTP, on a model of bytes: almost every token is a part of a character.
@Suite(.serialized) struct LogprobDoorTests {
  struct Lists: Equatable {
    var text = ""
    var tokens: [String] = []
    var logprobs: [Double] = []
    var top: [[String: Double]] = []
    var offsets: [Int] = []

    mutating func add(_ choice: [String: Any]) {
      text += choice["text"] as? String ?? ""
      guard let found = choice["logprobs"] as? [String: Any] else { return }
      tokens += found["tokens"] as? [String] ?? []
      logprobs += found["token_logprobs"] as? [Double] ?? []
      top += found["top_logprobs"] as? [[String: Double]] ?? []
      offsets += found["text_offset"] as? [Int] ?? []
    }

    /// The bytes that the names stand for.
    static func bytes(_ name: String) -> [UInt8] {
      guard name.hasPrefix("bytes:") else { return name.hasPrefix("<|") ? [] : Array(name.utf8) }
      return name.dropFirst(6).components(separatedBy: "\\x").dropFirst().compactMap { UInt8($0, radix: 16) }
    }
  }

  static func read(_ port: UInt16, _ token: String, _ body: String) throws -> (whole: Lists, streamed: Lists)
  {
    var whole = Lists()
    let answer = try WireAnswer.get(port, "POST", "/v1/completions", token: token, body: "{\(body)}")
    #expect(answer.status == 200, "\(answer.body)")
    whole.add(try #require((answer.object?["choices"] as? [[String: Any]])?.first))
    var streamed = Lists()
    let events = try WireAnswer.get(
      port, "POST", "/v1/completions", token: token, body: "{\(body),\"stream\":true}")
    for line in events.body.split(whereSeparator: \.isNewline) where line.hasPrefix("data: {") {
      let data = Data(line.dropFirst(6).utf8)
      let chunk = try JSONSerialization.jsonObject(with: data) as? [String: Any]
      if let choice = (chunk?["choices"] as? [[String: Any]])?.first { streamed.add(choice) }
    }
    return (whole, streamed)
  }

  static func check(_ found: (whole: Lists, streamed: Lists), asked: Int) {
    let whole = found.whole
    #expect(whole == found.streamed)
    #expect(!whole.tokens.isEmpty)
    #expect(whole.tokens.count == whole.offsets.count && whole.tokens.count == whole.logprobs.count)
    for (name, (logprob, top)) in zip(whole.tokens, zip(whole.logprobs, whole.top)) {
      #expect(top[name] == logprob, "\(name) in \(top)")
      #expect(top.count == asked || top.count == asked + 1)
      let better = top.filter { $0.key != name }.values.filter { $0 > logprob }.count
      #expect(top.count == asked || better == asked)
    }
    let bytes = whole.tokens.map(Lists.bytes)
    #expect(String(decoding: bytes.joined(), as: UTF8.self) == whole.text)
    for (index, offset) in whole.offsets.enumerated() {
      // Up to a token that begins a character, the text before it is decoded alone.
      guard let first = bytes[index].first, first & 0xC0 != 0x80 else { continue }
      let before = String(decoding: bytes[..<index].joined(), as: UTF8.self)
      #expect(offset == before.unicodeScalars.count, "token \(index), \(whole.tokens[index])")
    }
  }

  @Test func wholeAndStreamedAnswersSayTheSame() throws {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/small.gguf"
    try SmallModel.write(to: path)
    try withNode(scratch, path) { port, token in
      for (asked, sampler) in [
        (5, "\"temperature\":0"), (2, "\"temperature\":2,\"seed\":3"), (0, "\"temperature\":1,\"seed\":9"),
        (5, "\"temperature\":1.5,\"seed\":4,\"stop\":[\"\\u0001\",\"e\"],\"ignore_eos\":true"),
      ] {
        let found = try Self.read(
          port, token,
          "\"model\":\"m\",\"prompt\":\"你好，世界。\",\"max_tokens\":60,\"logprobs\":\(asked),\(sampler)")
        if sampler.contains("stop") {
          #expect(found.whole == found.streamed)
          #expect(found.whole.offsets.allSatisfy { $0 <= found.whole.text.unicodeScalars.count })
        } else {
          Self.check(found, asked: asked)
        }
      }
      let chat = try WireAnswer.get(
        port, "POST", "/v1/chat/completions", token: token,
        body:
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"你好\"}],\"max_tokens\":40,\"logprobs\":true,\"top_logprobs\":4,\"temperature\":1,\"seed\":5,\"ignore_eos\":true}"
      )
      let choice = try #require((chat.object?["choices"] as? [[String: Any]])?.first)
      let content = try #require((choice["logprobs"] as? [String: Any])?["content"] as? [[String: Any]])
      let text = (choice["message"] as? [String: Any])?["content"] as? String
      var bytes: [UInt8] = []
      for token in content {
        let own = token["bytes"] as? [Int]
        bytes += (own ?? []).map { UInt8($0) }
        let name = token["token"] as? String ?? ""
        let top = token["top_logprobs"] as? [[String: Any]] ?? []
        #expect(top.count == 4)
        // A part of a character is spelled as its bytes.
        if let own, own.count == 1, own[0] >= 0x80 {
          #expect(name == "\\x" + String(own[0], radix: 16))
        }
        #expect((own == nil) == name.hasPrefix("<|"))
      }
      #expect(content.count == 40)
      #expect(String(decoding: bytes, as: UTF8.self) == text)
    }
  }

  func withNode(
    _ scratch: ScratchDirectory, _ model: String, _ body: (UInt16, String) throws -> Void
  ) throws {
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test", text: "{ threads: 2, http: { listen: '127.0.0.1:0' }, audits: { share: 0 } }"),
        stateDirectory: scratch.path + "/state", version: "0"
      ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let token = try node.accounts.addClient("aria", by: Operator("test")).get()
    for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
    try body(try #require(node.ports.first), token)
  }

  static let cases: String? = ReferenceFolder.path("cases")
  static let smollm2: String? = cases == nil ? nil : RealModel.path

  @Test(.enabled(if: smollm2 != nil, "no smollm2 in the store, or no recorded inputs beside the checkout"))
  func theRecordedRequestsKeepTheirTokensApart() throws {
    let path = try #require(Self.smollm2)
    try withNode(ScratchDirectory(), path) { port, token in
      for (name, asked, count) in [("a1_top_logprobs", 5, 20), ("a4_chosen_missing", 2, 3)] {
        let file = try String(contentsOfFile: (Self.cases ?? "") + "/\(name).json", encoding: .utf8)
        let body = file.replacingOccurrences(of: "SmolLM2-135M-Instruct.Q4_1", with: "m")
          .trimmingCharacters(in: .whitespacesAndNewlines)
        let found = try Self.read(port, token, String(body.dropFirst().dropLast()))
        Self.check(found, asked: asked)
        #expect(found.whole.tokens.count == count)
      }
    }
  }
}
