// FuzzTests.swift: mutated requests and JSON texts. Whatever they are, the answer is the same for every split of
// the input, within the limits, and never a crash. Seeds print on failure; HOTPOT_HEAVY=1 runs 5 million.

import Foundation
import Intake
import Testing

@Suite struct FuzzTests {
  private let seeds = [
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8114\r\nContent-Type: application/json\r\n"
      + "Authorization: Bearer abc\r\nContent-Length: 12\r\n\r\n{\"model\":\"a\"}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /a?b HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\\\"\"\r\nhello\r\n0a\r\n"
      + "0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\r\nHEAD http://a/b HTTP/1.1\r\nHost: b\r\n\r\n",
    "DELETE /v1/jobs/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
  ].map { Array($0.utf8) }

  private let pieces = [
    "\r\n", "\r", "\n", "\r\n\r\n", " ", "\t", ":", ";", ",", "0", "ffffffffffffffff", "18446744073709551616",
    "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Host: a\r\n", "HTTP/1.1", "HTTP/1.0",
    "chunked",
    "\u{0}", "\"", "\\", "%", "#", "Connection: close\r\n", "Expect: x\r\n",
  ].map { Array($0.utf8) }

  private func mutate(_ seeds: [[UInt8]], _ pieces: [[UInt8]], _ random: inout SeededGenerator) -> [UInt8] {
    var input = seeds.randomElement(using: &random) ?? []
    for _ in 0..<Int.random(in: 0...4, using: &random) {
      let at = Int.random(in: 0...input.count, using: &random)
      let end = min(input.count, at + Int.random(in: 0...8, using: &random))
      switch Int.random(in: 0..<6, using: &random) {
      case 0: input.replaceSubrange(at..<end, with: pieces.randomElement(using: &random) ?? [])
      case 1: input.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: at)
      case 2: input.removeSubrange(at..<end)
      case 3: if at < input.count { input[at] = UInt8.random(in: 0...255, using: &random) }
      case 4: if at < input.count { input[at] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
      default:
        let other = seeds.randomElement(using: &random) ?? []
        input.replaceSubrange(at..., with: other.suffix(Int.random(in: 0...other.count, using: &random)))
      }
    }
    return input
  }

  @Test func requestsParseTheSameHoweverTheyAreCut() {
    let seed = UInt64(ProcessInfo.processInfo.environment["HOTPOT_SEED"] ?? "") ?? 20_261_123
    let runs = isHeavy ? 5_000_000 : 20_000
    var limits = RequestParser.Limits()
    limits.requestLineBytes = 60
    limits.fieldBytes = 300
    limits.fieldCount = 6
    limits.bodyBytes = 40
    limits.chunkExtensionBytes = 20
    var random = SeededGenerator(seed: seed)
    var endings: [String: Int] = [:]
    for run in 0..<runs {
      let input = mutate(seeds, pieces, &random)
      let whole = parse(input, limits: limits)
      // Every run is cut at random places; every sixteenth at each place, alone and at all of them.
      var cuts = (0..<Int.random(in: 1...6, using: &random)).map { _ in
        Int.random(in: 0...input.count, using: &random)
      }
      cuts.sort()
      var agree = parse(input, cuts: cuts, limits: limits) == whole
      if run % 16 == 0 {
        agree = agree && parse(input, cuts: Array(input.indices), limits: limits) == whole
        for cut in input.indices { agree = agree && parse(input, cuts: [cut], limits: limits) == whole }
      }
      let bounded = whole.bodies.allSatisfy { $0.count <= 40 }
      if !agree || !bounded {
        Issue.record("seed \(seed), run \(run): \(String(decoding: input, as: UTF8.self).debugDescription)")
        return
      }
      switch whole.ending {
      case .clean: endings["clean", default: 0] += 1
      case .partial: endings["partial", default: 0] += 1
      case .closed: endings["closed", default: 0] += 1
      case .refused(let refusal): endings[refusal.code, default: 0] += 1
      }
    }
    let summary = endings.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    print("request fuzz: seed \(seed), \(runs) runs: \(summary)")
    // The mutations must reach both sides of the grammar, or the test says nothing.
    #expect(endings.count >= 25)
    #expect(endings["clean", default: 0] > runs / 20)
  }

  private let texts = [
    #"{"model":"a","messages":[{"role":"user","content":"h\u00e9\ud83d\ude00"}],"n":1,"t":0.5e-3,"s":[null,true]}"#,
    #"[1,-0,2.5,1e10,"",{"a":{"b":[[[]]]}},{}]"#, #""x\"\\\/\b\f\n\r\t""#, "  -12.50E+2 ",
    "{\"é\":\"日本\",\"😀\":false}",
  ].map { Array($0.utf8) }

  private let tokens =
    [
      "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\\udc00", "0", "-", "e", ".", "1e999",
      "true",
      "null", "\u{0}", " ", "\"a\":", "\u{FEFF}", "é",
    ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80]]

  @Test func jsonIsJudgedTheSameByBothReadersAndByFoundation() throws {
    let seed = UInt64(ProcessInfo.processInfo.environment["HOTPOT_SEED"] ?? "") ?? 20_261_124
    let runs = isHeavy ? 5_000_000 : 20_000
    var random = SeededGenerator(seed: seed)
    var accepted = 0
    for run in 0..<runs {
      let input = mutate(texts, tokens, &random)
      var value: JSONValue?
      do { value = try JSONText.parse(input) } catch { value = nil }
      var isValid = true
      do { try JSONText.validate(input) } catch { isValid = false }
      var holds = isValid == (value != nil)
      if let value {
        accepted += 1
        holds = try holds && JSONText.parse(JSONWriter.bytes(value)) == value
        holds = try holds && JSONText.parse(Array(JSONWriter.prettyPrinted(value).utf8)) == value
        // What we accept, Foundation accepts as well; the reverse isn't so.
        if run % 16 == 0 {
          do {
            _ = try JSONSerialization.jsonObject(with: Data(input), options: .fragmentsAllowed)
          } catch { holds = false }
        }
      }
      if !holds {
        Issue.record("seed \(seed), run \(run): \(String(decoding: input, as: UTF8.self).debugDescription)")
        return
      }
    }
    print("json fuzz: seed \(seed), \(runs) runs, \(accepted) accepted")
    #expect(accepted > runs / 10)
    #expect(accepted < runs * 9 / 10)
  }
}
