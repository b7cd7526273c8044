// RequestParserTests.swift: each rule of the parser at its boundary, whole and byte by byte.

import Fuzzing
import Intake
import Testing

@Suite struct RequestParserTests {
  /// Whole, byte by byte, and cut once anywhere must all give `expected`.
  private func check(
    _ text: String, _ expected: String, limits: RequestParser.Limits = .init(),
    location: SourceLocation = #_sourceLocation
  ) {
    check(Array(text.utf8), expected, limits: limits, location: location)
  }

  private func check(
    _ input: [UInt8], _ expected: String, limits: RequestParser.Limits = .init(),
    location: SourceLocation = #_sourceLocation
  ) {
    let found = parseRequests(input, limits: limits)
    #expect(found.description == expected, sourceLocation: location)
    #expect(
      parseRequests(input, cuts: Array(input.indices), limits: limits) == found, sourceLocation: location)
    for cut in stride(from: 0, to: input.count, by: max(1, input.count / 200)) {
      #expect(
        parseRequests(input, cuts: [cut], limits: limits) == found, "cut \(cut)", sourceLocation: location)
    }
  }

  private func head(_ fields: String, line: String = "GET / HTTP/1.1") -> String {
    "\(line)\r\nHost: h\r\n\(fields)\r\n"
  }

  @Test func theRequestLineIsLimitedTo8192Bytes() {
    let fit = String(repeating: "a", count: 8192 - 14)
    check("GET /\(fit) HTTP/1.1\r\nHost: h\r\n\r\n", "GET /\(fit) 0")
    check("GET /\(fit)a HTTP/1.1\r\nHost: h\r\n\r\n", "414 target_too_long")
    check("GET /\(fit)aaaaaaaaaa", "414 target_too_long")
  }

  @Test func headerFieldsAreLimitedTo100() {
    let ninetyNine = String(repeating: "a: b\r\n", count: 99)
    check(head(ninetyNine), "GET / 0")
    check(head(ninetyNine + "a: b\r\n"), "431 too_many_fields")
  }

  @Test func headerBytesAreLimitedTo32768() {
    let room = 32768 - "Host: h\r\n".utf8.count - "a: \r\n".utf8.count
    check(head("a: \(String(repeating: "b", count: room))\r\n"), "GET / 0")
    check(head("a: \(String(repeating: "b", count: room + 1))\r\n"), "431 fields_too_large")
  }

  @Test func bodiesAreLimitedWhicheverWayTheyAreFramed() {
    var limits = RequestParser.Limits()
    limits.bodyBytes = 10
    check(head("Content-Length: 10\r\n") + "0123456789", "GET / 10", limits: limits)
    check(head("Content-Length: 11\r\n"), "413 body_too_large", limits: limits)
    let chunked = head("Transfer-Encoding: chunked\r\n")
    check(chunked + "4\r\n0123\r\n6\r\n012345\r\n0\r\n\r\n", "GET / 10", limits: limits)
    check(chunked + "4\r\n0123\r\n7\r\n", "413 body_too_large", limits: limits)
    check(chunked + "FFFFFFFFFFFFFFFFFFFFFFFF\r\n", "413 body_too_large", limits: limits)
  }

  @Test func lengthsThatOverflowAreTooLarge() {
    for length in ["9223372036854775807", "9223372036854775808", "18446744073709551617"] {
      check(head("Content-Length: \(length)\r\n"), "413 body_too_large")
    }
  }

  @Test func contentLengthIsOneDecimalNumber() {
    for value in ["+5", "-1", "5,5", "5, 5", "0x5", "5.0", "", "٥", "5 5"] {
      check(head("Content-Length: \(value)\r\n"), "400 length_invalid")
    }
    check(head("Content-Length: 0\r\n"), "GET / 0")
    check(head("Content-Length: 0\r\nContent-Length: 0\r\n"), "400 length_repeated")
  }

  @Test func transferEncodingIsChunkedAloneOrRefused() {
    let encodings = [
      ("chunked", "more"), ("Chunked", "more"), ("chunked,", "more"), (", chunked", "more"),
      ("", "400 encoding_invalid"), ("identity", "400 encoding_invalid"), ("gzip", "400 encoding_invalid"),
      ("chunked, chunked", "400 encoding_invalid"), ("chunked, gzip", "400 encoding_invalid"),
      ("chunked;a=b", "400 encoding_invalid"), ("xchunked", "400 encoding_invalid"),
      ("gzip, chunked", "501 encoding_not_implemented"),
    ]
    for (value, expected) in encodings { check(head("Transfer-Encoding: \(value)\r\n"), expected) }
    check(head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "400 length_and_encoding")
    check(
      head("Transfer-Encoding: chunked\r\n", line: "POST / HTTP/1.0"), "400 encoding_in_1_0")
  }

  @Test func chunkExtensionsAreBounded() {
    var limits = RequestParser.Limits()
    limits.chunkExtensionBytes = 20
    let chunked = head("Transfer-Encoding: chunked\r\n")
    check(chunked + "1;a=b\r\nx\r\n1;c=\"d;\\\" \"\r\ny\r\n0\r\n\r\n", "GET / 2", limits: limits)
    check(
      chunked + "1;abcdefghi\r\nx\r\n1;abcdefghij\r\n", "400 chunk_extensions_too_large", limits: limits)
    check(
      chunked + "1;" + String(repeating: "a", count: 40), "400 chunk_extensions_too_large", limits: limits)
    check(chunked + String(repeating: "0", count: 30) + "1\r\nx\r\n0\r\n\r\n", "GET / 1", limits: limits)
  }

  @Test func trailersAreCheckedBoundedAndDropped() {
    let body = head("Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\n"
    check(body + "a: b\r\n\r\n", "GET / 1")
    check(body + "a b\r\n\r\n", "400 bad_field")
    check(body + String(repeating: "a: b\r\n", count: 101) + "\r\n", "431 too_many_fields")
    check(body + "a: \(String(repeating: "b", count: 40000))\r\n\r\n", "431 fields_too_large")
  }

  @Test func hostIsNeededOnceAndWellFormed() {
    check("GET / HTTP/1.1\r\n\r\n", "400 host_missing")
    check("GET / HTTP/1.0\r\n\r\n", "GET / 0, close")
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 host_repeated")
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400 host_repeated")
    for host in ["a b", "a/b", "a@b", "a:b", "a:70000", "a:123456", "[::1", "[]", "[::1]x", "[::1]:x", "a%2"]
    {
      check("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n", "400 host_invalid")
    }
    for host in ["a", "a:1", "a:", "127.0.0.1:80", "[::1]", "[::1]:8114", "", "a%20b"] {
      check("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n", "GET / 0")
    }
    check("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", "400 bad_target")
    check("GET http://:80/a HTTP/1.1\r\nHost: a\r\n\r\n", "400 bad_target")
  }

  @Test func anAbsoluteTargetNamesTheHost() throws {
    var parser = RequestParser()
    var cursor = 0
    let input = Array("GET HTTP://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    guard case .head(let head) = try parser.next(input.span, cursor: &cursor) else {
      Issue.record("no head")
      return
    }
    #expect(head.authority == "b:1")
    #expect(head.path == "/x")
    #expect(head.query == "y")
  }

  @Test func targetsHaveOnlyTheBytesOfAURI() {
    for byte in UInt8.min...UInt8.max {
      let input = Array("GET /".utf8) + [byte] + Array(" HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
      let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/?"
      let found = parseRequests(input)
      #expect((found.requests.count == 1) == allowed.utf8.contains(byte), "byte \(byte): \(found)")
    }
    check("GET /%41 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /%41 0")
    check("GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_target")
    check("GET * HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_target")
    check("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * 0")
    check("GET a HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_target")
    check("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_target")
  }

  @Test func fieldNamesAreTokens() {
    for byte in UInt8.min...UInt8.max where byte != UInt8(ascii: ":") {
      let input =
        Array("GET / HTTP/1.1\r\nHost: h\r\na".utf8) + [byte] + Array("b: c\r\n\r\n".utf8)
      let token = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
      #expect((parseRequests(input).requests.count == 1) == token.utf8.contains(byte), "byte \(byte)")
    }
  }

  @Test func fieldValuesHaveNoControlBytes() {
    for byte in UInt8.min...UInt8.max {
      let input =
        Array("GET / HTTP/1.1\r\nHost: h\r\na: b".utf8) + [byte] + Array("c\r\n\r\n".utf8)
      let isAllowed = byte == 9 || (byte >= 0x20 && byte != 0x7F)
      #expect((parseRequests(input).requests.count == 1) == isAllowed, "byte \(byte)")
    }
  }

  @Test func versionsAre10And11() {
    check("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "GET / 0")
    check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / 0")
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/9.1"] {
      check("GET / \(version)\r\nHost: h\r\n\r\n", "505 version_not_supported")
    }
    for version in ["http/1.1", "HTTP/1", "HTTP/1.11", "HTTP/11", "HTTP1.1", "HTTP/1.1 ", "HTTP/-1.1", ""] {
      check("GET / \(version)\r\nHost: h\r\n\r\n", "400 bad_request_line")
    }
  }

  @Test func methodsMindTheirCase() {
    check("get / HTTP/1.1\r\nHost: h\r\n\r\n", "501 method_not_implemented")
    check("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_request_line")
    check(" GET / HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_request_line")
    check("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "400 bad_request_line")
  }

  @Test func expectationsOtherThan100ContinueAreRefused() {
    check(head("Expect: 100-Continue\r\nContent-Length: 1\r\n") + "x", "GET / 1")
    check(head("Expect: tea\r\n"), "417 expectation_failed")
    check(head("Expect: tea\r\n", line: "GET / HTTP/1.0"), "GET / 0, close")
  }

  @Test func aTLSHandshakeIsRefusedAtItsFirstByte() {
    check([0x16, 0x03, 0x01, 0x02, 0x00], "400 control_byte")
  }

  @Test func aRefusalLastsForEver() {
    var parser = RequestParser()
    var cursor = 0
    let bad = Array("\n".utf8)
    #expect(throws: RequestRefusal.self) { try parser.next(bad.span, cursor: &cursor) }
    cursor = 0
    let good = Array("GET / HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
    let refusal = #expect(throws: RequestRefusal.self) { try parser.next(good.span, cursor: &cursor) }
    #expect(refusal?.code == "bare_lf")
  }

  @Test func bearerTokensAreTakenOutStrictly() throws {
    func token(_ fields: String) throws -> [UInt8]? {
      var parser = RequestParser()
      var cursor = 0
      let input = Array(head(fields).utf8)
      guard case .head(let head) = try parser.next(input.span, cursor: &cursor) else { return nil }
      return head.bearerToken
    }
    #expect(try token("Authorization: Bearer abc-._~+/123==\r\n") == Array("abc-._~+/123==".utf8))
    #expect(try token("authorization: bearer   abc\r\n") == Array("abc".utf8))
    #expect(try token("") == nil)
    #expect(try token("Authorization: Basic abc\r\n") == nil)
    #expect(try token("Authorization: Bearer\r\n") == nil)
    #expect(try token("Authorization: Bearer a b\r\n") == nil)
    #expect(try token("Authorization: Bearer a=b\r\n") == nil)
    #expect(try token("Authorization: Bearer a\r\nAuthorization: Bearer a\r\n") == nil)
  }

  @Test func tokensCompareWhole() {
    let secret = Array("secret".utf8)
    #expect(equalInConstantTime(secret, secret))
    for other in ["", "s", "secres", "Secret", "secretsecret", "secre"] {
      #expect(!equalInConstantTime(Array(other.utf8), secret))
    }
    #expect(equalInConstantTime([], []))
    #expect(!equalInConstantTime([0xFF], []))
  }

  @Test func jsonContentTypesAreRecognised() throws {
    func isJSON(_ fields: String) throws -> Bool? {
      var parser = RequestParser()
      var cursor = 0
      let input = Array(head(fields).utf8)
      guard case .head(let head) = try parser.next(input.span, cursor: &cursor) else { return nil }
      return head.isJSON
    }
    #expect(try isJSON("Content-Type: application/json\r\n") == true)
    #expect(try isJSON("Content-Type: Application/JSON; charset=UTF-8\r\n") == true)
    #expect(try isJSON("Content-Type: application/json; charset=latin1\r\n") == false)
    #expect(try isJSON("Content-Type: text/plain\r\n") == false)
    #expect(try isJSON("Content-Type: application/jsonp\r\n") == false)
    #expect(try isJSON("") == false)
  }
}
