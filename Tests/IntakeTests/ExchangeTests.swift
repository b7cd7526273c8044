// ExchangeTests.swift: requests and answers over socket pairs, with the loop turned by hand and virtual time.

import Intake
import Testing

@Suite struct ExchangeTests {
  /// A stepped server that keeps the exchanges that it doesn't answer.
  private func server(
    _ configuration: Server.Configuration = .init(), answering: Bool = true
  ) throws -> (SteppedLoop, Recorder<(Request, Exchange)>) {
    let recorder = Recorder<(Request, Exchange)>()
    let loop = try SteppedLoop(configuration) { request, exchange in
      if answering {
        exchange.respond(.text("\(request.head.method.rawValue) \(request.head.path) \(request.body.count)"))
      } else {
        recorder.append((request, exchange))
      }
    }
    return (loop, recorder)
  }

  private func ask(_ loop: SteppedLoop, _ text: String) throws -> (text: String, ended: Bool) {
    let client = ClientEnd(try loop.connect())
    client.send(text)
    loop.turn()
    return client.receive()
  }

  @Test func aRequestIsAnsweredWithItsDateAndLength() throws {
    let (loop, _) = try server()
    let (text, ended) = try ask(loop, "GET /a?b HTTP/1.1\r\nHost: localhost:8114\r\n\r\n")
    #expect(
      text == """
        HTTP/1.1 200 OK\r
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r
        Content-Type: text/plain; charset=utf-8\r
        Cache-Control: no-store\r
        X-Content-Type-Options: nosniff\r
        Content-Length: 8\r
        \r
        GET /a 0
        """)
    #expect(!ended)
  }

  @Test func headHasTheLengthAndNoBody() throws {
    let (loop, _) = try server()
    let (text, _) = try ask(loop, "HEAD /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(headerValue(text, "content-length") == "9")
    #expect(text.hasSuffix("\r\n\r\n"))
  }

  @Test func pipelinedRequestsAreAnsweredInOrder() throws {
    let (loop, _) = try server()
    let client = ClientEnd(try loop.connect())
    let wanted = (0..<50).map { "/\($0)" }
    client.send(wanted.map { "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined())
    var text = ""
    for _ in 0..<20 {
      loop.turn()
      text += client.receive().text
    }
    let bodies = text.components(separatedBy: "GET ").dropFirst().map { String($0.prefix { $0 != " " }) }
    #expect(bodies == wanted)
  }
}
