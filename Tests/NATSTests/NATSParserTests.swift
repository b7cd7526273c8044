// NATSParserTests.swift: what a server says, read from bytes in any pieces, and what is refused.

import Fuzzing
import Testing

@testable import NATS

@Suite struct NATSParserTests {
  private static let stream =
    "INFO {\"version\":\"2.9.10\",\"ldm\":true}\r\nPING\r\nMSG a.b 7 4\r\n\r\n\r\n\r\n"
    + "msg a.b 18446744073709551615 r.e 0\n\r\nHMSG a 1 31 36\r\nNATS/1.0 503 Gone\r\nA:  b: c\r\n\r\n"
    + "hello\r\n-ERR 'Stale Connection'\r\n+ok\r\nPONG\r\n"

  @Test func `everything that a server says is read, whatever the pieces`() throws {
    let bytes = Array(Self.stream.utf8)
    let whole = parseNATS(bytes)
    var headers = NATSHeaders([("A", "b: c")])
    (headers.status, headers.words) = (503, "Gone")
    #expect(
      whole.said == [
        .info(Array("{\"version\":\"2.9.10\",\"ldm\":true}".utf8)), .ping,
        .message(NATSMessage(subject: "a.b", subscription: 7, payload: Array("\r\n\r\n".utf8))),
        .message(NATSMessage(subject: "a.b", subscription: .max, reply: "r.e")),
        .message(NATSMessage(subject: "a", subscription: 1, headers: headers, payload: Array("hello".utf8))),
        .error("Stale Connection"), .ok, .pong,
      ])
    #expect(whole.fault == nil && !whole.isPartial)
    for cut in bytes.indices {
      let isSame = parseNATS(bytes, cuts: [cut]) == whole
      #expect(isSame, "cut at \(cut)")
    }
    let isSame = parseNATS(bytes, cuts: Array(bytes.indices)) == whole
    #expect(isSame)
  }

  @Test(arguments: [
    ("HTTP/1.1 400 Bad Request\r\n", "it sent no verb of NATS: 'HTTP/1.1'"),
    ("\u{1}\u{2}é\r\n", "it sent no verb of NATS: '????'"),
    ("\r\n", "it sent no verb of NATS: ''"),
    ("PUB a 1\r\n", "it sent no verb of NATS: 'PUB'"),
    ("MSG a 1\r\n", "a message has 2 fields"),
    ("MSG a 1 b c 5\r\n", "a message has 5 fields"),
    ("HMSG a 1 5\r\n", "a message has 3 fields"),
    ("MSG a x 5\r\n", "a message has a number that is none"),
    ("MSG a 1 -5\r\n", "a message has a number that is none"),
    ("MSG a 1 +5\r\n", "a message has a number that is none"),
    ("MSG a 1 99999999999999999999\r\n", "a message has a number that is none"),
    ("MSG a 1 9000000\r\n", "a message has 9000000 bytes, at most 8388608 are taken"),
    ("HMSG a 1 6 5\r\n", "a message's headers are longer than the message"),
    ("MSG a 1 2\r\nabc\r\n", "a message does not end where its length says"),
    ("HMSG a 1 4 4\r\nabcd\r\n", "a message's headers are none"),
    ("HMSG a 1 15 15\r\nNATS/1.0 99\r\n\r\n\r\n", "a message's headers are none"),
    ("HMSG a 1 17 17\r\nNATS/1.0\r\n: b\r\n\r\n\r\n", "a message's headers are none"),
  ])
  func `what no server may send ends the reading by its name`(_ text: String, _ words: String) {
    let reading = parseNATS(Array(text.utf8) + Array("PING\r\n".utf8))
    #expect(reading.said.isEmpty)
    #expect(reading.fault == words)
  }

  @Test func `lines and payloads are bounded, and nothing is read after a fault`() {
    var parser = NATSParser()
    parser.append(Array(repeating: 0x41, count: 5_000))
    #expect(throws: NATSFault("a control line has more than 4096 bytes")) { try parser.next() }
    parser.append(Array("PING\r\n".utf8))
    #expect(throws: NATSFault("a control line has more than 4096 bytes")) { try parser.next() }
    // A list of a cluster's servers may be longer.
    let long = "INFO {\"connect_urls\":[\"" + String(repeating: "x", count: 30_000) + "\"]}\r\n"
    #expect(parseNATS(Array(long.utf8)).said.count == 1)
    let longer = "INFO " + String(repeating: "x", count: 70_000)
    #expect(parseNATS(Array(longer.utf8)).fault == "a control line has more than 65536 bytes")
  }

  @Test func `headers are read as they were written, and cannot break out of their line`() throws {
    let headers = NATSHeaders([("Nats-Msg-Id", "1"), ("X", "a\r\nInjected: b"), ("x", "")])
    let read = try #require(NATSHeaders(parsing: headers.bytes))
    #expect(read.fields.map(\.name) == ["Nats-Msg-Id", "X", "x"])
    #expect(read["x"] == "aInjected: b" && read["nats-msg-id"] == "1" && read["Injected"] == nil)
    for bad in ["", "NATS/1.0", "NATS/1.0\r\n", "NATS/2.0\r\n\r\n", "NATS/1.0\r\nno colon\r\n\r\n"] {
      #expect(NATSHeaders(parsing: Array(bad.utf8)) == nil, "\(bad)")
    }
  }

  @Test func `subjects are told from patterns and from what is neither`() {
    for plain in ["a", "a.b-c.D_9", "$JS.API.INFO"] {
      #expect(NATSSubject.isPlain(plain), "\(plain)")
    }
    for other in [
      "", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "a\t", "a\r\nPUB",
      String(repeating: "a", count: 1_025),
    ] {
      #expect(!NATSSubject.isPlain(other), "\(other)")
    }
    for pattern in ["*", ">", "a.*.b", "a.>"] { #expect(NATSSubject.isPattern(pattern), "\(pattern)") }
    for other in [">.a", "a.>b", "a*", "", "a..>"] { #expect(!NATSSubject.isPattern(other), "\(other)") }
    #expect(NATSSubject.token("smollm2.Q4 ü") == "smollm2_Q4___")
    #expect(NATSSubject.token("") == "_")
  }
}
