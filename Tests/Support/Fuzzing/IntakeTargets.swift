// IntakeTargets.swift: fuzz targets for requests and JSON texts. For any input the answer is the
// same however the input is split; it stays within the limits and never traps.

import Foundation
import Intake
import JSON

/// What a parser made of an input: its requests, and how it ended.
package struct Outcome: Equatable, CustomStringConvertible {
  package enum Ending: Equatable {
    /// The input ended between requests.
    case clean
    /// The input ended inside a request.
    case partial
    /// A request asked to close, or was HTTP/1.0: what follows it is not read.
    case closed
    case refused(RequestRefusal)
  }

  package var requests: [String] = []
  package var bodies: [[UInt8]] = []
  package var ending = Ending.clean

  /// One line: each request with its body's length, then "more" or the status and code of the refusal.
  package var description: String {
    var parts = zip(requests, bodies).map { "\($0) \($1.count)" }
    switch ending {
    case .clean: break
    case .partial: parts.append("more")
    case .closed: parts.append("close")
    case .refused(let refusal): parts.append("\(refusal.status) \(refusal.code)")
    }
    return parts.joined(separator: ", ")
  }
}

/// Feeds the input in pieces that end at the given offsets, in ascending order.
package func parseRequests(
  _ input: [UInt8], cuts: [Int] = [], limits: RequestParser.Limits = .init()
) -> Outcome {
  var parser = RequestParser(limits: limits)
  var outcome = Outcome()
  var head: RequestHead?
  var body: [UInt8] = []
  var start = 0
  for end in cuts + [input.count] where end >= start {
    let piece = Array(input[start..<end])
    start = end
    var cursor = 0
    feeding: while true {
      do {
        switch try parser.next(piece.span, cursor: &cursor) {
        case .needsMore: break feeding
        case .head(let found): head = found
        case .body(let range): body += piece[range]
        case .end:
          let target = head.map { $0.path + ($0.query.map { "?" + $0 } ?? "") } ?? ""
          outcome.requests.append("\(head?.method.rawValue ?? "?") \(target)")
          outcome.bodies.append(body)
          if head?.keepsAlive == false {
            outcome.ending = .closed
            return outcome
          }
          (head, body) = (nil, [])
        }
      } catch {
        outcome.ending = .refused(error)
        return outcome
      }
    }
  }
  if !parser.isBetweenRequests { outcome.ending = .partial }
  return outcome
}

package enum RequestFuzz {
  package static let limits = {
    var limits = RequestParser.Limits()
    limits.requestLineBytes = 60
    limits.fieldBytes = 300
    limits.fieldCount = 6
    limits.bodyBytes = 40
    limits.chunkExtensionBytes = 20
    return limits
  }()

  static let seeds = [
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8114\r\nContent-Type: application/json\r\n"
      + "Authorization: Bearer abc\r\nContent-Length: 12\r\n\r\n{\"model\":\"a\"}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /a?b HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\\\"\"\r\nhello\r\n0a\r\n"
      + "0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\r\nHEAD http://a/b HTTP/1.1\r\nHost: b\r\n\r\n",
    "DELETE /v1/jobs/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
  ].map { Array($0.utf8) }

  static let pieces = [
    "\r\n", "\r", "\n", "\r\n\r\n", " ", "\t", ":", ";", ",", "0", "ffffffffffffffff", "18446744073709551616",
    "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Host: a\r\n", "HTTP/1.1", "HTTP/1.0",
    "chunked",
    "\u{0}", "\"", "\\", "%", "#", "Connection: close\r\n", "Expect: x\r\n",
  ].map { Array($0.utf8) }

  /// A request, or several, with some of it wrong.
  package static func input(_ generator: inout SeededGenerator) -> [UInt8] {
    splice(seeds, pieces, &generator)
  }

  /// Cuts the input at random places, and every sixteenth time at each place, alone and all at once.
  package static func check(_ input: [UInt8], _ generator: inout SeededGenerator) -> (Outcome, wrong: String?)
  {
    let whole = parseRequests(input, limits: limits)
    let cuts = (0...generator.below(6)).map { _ in generator.below(input.count + 1) }.sorted()
    var splits = [cuts]
    if generator.oneIn(16) { splits += [Array(input.indices)] + input.indices.map { [$0] } }
    for split in splits where parseRequests(input, cuts: split, limits: limits) != whole {
      return (whole, "cut at \(split), it parses otherwise than whole: \(show(input))")
    }
    if whole.bodies.contains(where: { $0.count > limits.bodyBytes }) {
      return (whole, "a body over the limit: \(show(input))")
    }
    return (whole, nil)
  }
}

enum JSONFuzz {
  static let texts = [
    #"{"model":"a","messages":[{"role":"user","content":"h\u00e9\ud83d\ude00"}],"n":1,"t":0.5e-3,"s":[null,true]}"#,
    #"[1,-0,2.5,1e10,"",{"a":{"b":[[[]]]}},{}]"#, #""x\"\\\/\b\f\n\r\t""#, "  -12.50E+2 ",
    "{\"é\":\"日本\",\"😀\":false}",
  ].map { Array($0.utf8) }

  static let tokens =
    [
      "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\\udc00", "0", "-", "e", ".", "1e999",
      "true",
      "null", "\u{0}", " ", "\"a\":", "\u{FEFF}", "é",
    ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80]]

  /// Parsing and validating agree; what is accepted is written and read back the same, and is JSON to Foundation.
  static func check(_ input: [UInt8], asksFoundation: Bool) -> String? {
    guard let value = value(input) else {
      return isValid(input) ? "validated, but not parsed: \(show(input))" : nil
    }
    guard isValid(input) else { return "parsed, but not validated: \(show(input))" }
    guard self.value(JSONWriter.bytes(value)) == value else {
      return "what is written reads otherwise: \(show(input))"
    }
    guard asksFoundation else { return nil }
    do {
      _ = try JSONSerialization.jsonObject(with: Data(input), options: .fragmentsAllowed)
      return nil
    } catch { return "no JSON to Foundation: \(show(input))" }
  }

  static func value(_ input: [UInt8]) -> JSONValue? {
    do { return try JSONText.parse(input) } catch { return nil }
  }

  static func isValid(_ input: [UInt8]) -> Bool {
    do {
      try JSONText.validate(input)
      return true
    } catch { return false }
  }
}

private func show(_ input: [UInt8]) -> String { String(decoding: input, as: UTF8.self).debugDescription }

/// Up to four changes to one of the seeds, with pieces of the grammar put where they don't belong.
private func splice(
  _ seeds: [[UInt8]], _ pieces: [[UInt8]], _ generator: inout SeededGenerator
) -> [UInt8] {
  var input = seeds[generator.below(seeds.count)]
  for _ in 0..<generator.below(5) {
    let at = generator.below(input.count + 1)
    let end = min(input.count, at + generator.below(9))
    switch generator.below(6) {
    case 0: input.replaceSubrange(at..<end, with: pieces[generator.below(pieces.count)])
    case 1: input.insert(contentsOf: pieces[generator.below(pieces.count)], at: at)
    case 2: input.removeSubrange(at..<end)
    case 3: if at < input.count { input[at] = UInt8(truncatingIfNeeded: generator.next()) }
    case 4: if at < input.count { input[at] ^= 1 << UInt8(generator.below(8)) }
    default:
      let other = seeds[generator.below(seeds.count)]
      input.replaceSubrange(at..., with: other.suffix(generator.below(other.count + 1)))
    }
  }
  return input
}

extension FuzzTarget {
  package static let http = FuzzTarget(name: "http") { _, generator in
    let input = RequestFuzz.input(&generator)
    return RequestFuzz.check(input, &generator).wrong
  }

  package static let json = FuzzTarget(name: "json") { _, generator in
    let input = splice(JSONFuzz.texts, JSONFuzz.tokens, &generator)
    return JSONFuzz.check(input, asksFoundation: generator.oneIn(16))
  }
}
