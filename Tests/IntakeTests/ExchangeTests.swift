// ExchangeTests.swift: requests and answers over socket pairs, with the loop turned by hand.

import Glibc
import Intake
import Testing

typealias Asked = (request: Request, exchange: Exchange)

/// A stepped server, and the exchanges that its handler kept: it answers only where the path begins with "/now".
func steppedServer(_ configuration: Server.Configuration = .init()) throws -> (SteppedLoop, Recorder<Asked>) {
  let kept = Recorder<Asked>()
  let loop = try SteppedLoop(configuration) { request, exchange in
    if request.head.path.hasPrefix("/now") {
      exchange.respond(.text("\(request.head.method.rawValue) \(request.head.path) \(request.body.count)"))
    } else {
      kept.append((request, exchange))
    }
  }
  return (loop, kept)
}

func get(_ path: String, _ fields: String = "") -> String {
  "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n"
}

@Suite struct ExchangeTests {
  /// One request on a new connection: what came back, and whether the server closed.
  private func ask(
    _ text: String, _ configuration: Server.Configuration = .init(),
    as peer: Peer? = .tcp(address: "127.0.0.1", port: 1)
  ) throws -> (text: String, ended: Bool) {
    let (loop, _) = try steppedServer(configuration)
    let client = ClientEnd(try loop.connect(as: peer))
    client.send(text)
    loop.turn()
    return client.receive()
  }

  @Test func aRequestIsAnsweredWithItsDateAndLength() throws {
    let (text, ended) = try ask("GET /now?b HTTP/1.1\r\nHost: localhost:8114\r\n\r\n")
    #expect(
      text == """
        HTTP/1.1 200 OK\r
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r
        Content-Type: text/plain; charset=utf-8\r
        Cache-Control: no-store\r
        X-Content-Type-Options: nosniff\r
        Content-Length: 10\r
        \r
        GET /now 0
        """)
    #expect(!ended)
  }

  @Test func headHasTheLengthAndNoBody() throws {
    let (text, _) = try ask("HEAD /now HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(headerValue(text, "content-length") == "11")
    #expect(text.hasSuffix("\r\n\r\n"))
  }

  @Test func pipelinedRequestsAreAnsweredInOrder() throws {
    let (loop, _) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    let wanted = (0..<50).map { "/now\($0)" }
    client.send(wanted.map { get($0) }.joined())
    var text = ""
    for _ in 0..<20 {
      loop.turn()
      text += client.receive().text
    }
    let bodies = text.components(separatedBy: "GET ").dropFirst().map { String($0.prefix { $0 != " " }) }
    #expect(bodies == wanted)
  }

  @Test func aPipelinedRequestWaitsForTheAnswerBeforeIt() throws {
    let (loop, kept) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send(get("/later") + get("/now"))
    loop.turn()
    #expect(client.receive().text.isEmpty)
    #expect(kept.all.count == 1)
    kept.all.first?.exchange.respond(.text("first"))
    loop.turn()
    let text = client.receive().text
    #expect(text.contains("first"))
    #expect(text.hasSuffix("GET /now 0"))
  }

  @Test func aFloodOfPipelinedRequestsIsNotReadAhead() throws {
    let (loop, kept) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send(get("/later"))
    var sent = 0
    for _ in 0..<200 {
      sent += max(0, client.send(String(repeating: get("/now"), count: 1000)))
      loop.turn()
    }
    // What the kernel holds, and no more: the server stops reading while it owes an answer.
    #expect(sent < 2 << 20)
    #expect(kept.all.count == 1)
  }

  @Test func nothingIsReadAfterARequestThatCloses() throws {
    for first in [
      get("/now", "Connection: close\r\n"), "GET /now HTTP/1.0\r\n\r\n",
    ] {
      let (loop, kept) = try steppedServer()
      let client = ClientEnd(try loop.connect())
      client.send(first + get("/later"))
      loop.turn()
      let (text, ended) = client.receive()
      #expect(headerValue(text, "connection") == "close")
      #expect(ended)
      #expect(kept.all.isEmpty)
    }
  }

  @Test func http10IsKeptAliveOnlyWhenAsked() throws {
    let (text, ended) = try ask("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    #expect(headerValue(text, "connection") == "keep-alive")
    #expect(!ended)
  }

  @Test func hostsThatAreNotServedAreRefused() throws {
    var configuration = Server.Configuration()
    configuration.hosts = ["localhost", "[::1]", "node.example:81"]
    for (host, expected) in [
      ("localhost", 200), ("LOCALHOST:9", 200), ("[::1]:8114", 200), ("node.example:81", 200),
      ("node.example", 421), ("node.example:82", 421), ("evil.example", 421), ("localhost.evil.example", 421),
      ("", 421), ("127.0.0.1", 421),
    ] {
      let (text, ended) = try ask("GET /now HTTP/1.1\r\nHost: \(host)\r\n\r\n", configuration)
      #expect(status(text) == expected, "\(host)")
      #expect(ended == (expected != 200))
    }
    // An absolute target's host counts, and the Host field doesn't.
    let absolute = "GET http://evil.example/now HTTP/1.1\r\nHost: localhost\r\n\r\n"
    #expect(status(try ask(absolute, configuration).text) == 421)
  }

  @Test func aUnixPeerMayNameAnyHost() throws {
    let peer = Peer.local(PeerCredentials(uid: 0, gid: 0, pid: 1))
    #expect(status(try ask("GET /now HTTP/1.1\r\nHost: any\r\n\r\n", as: peer).text) == 200)
  }

  @Test func onlyListedUsersMayConnect() throws {
    let (loop, _) = try steppedServer()
    let stranger = ClientEnd(try loop.connect(as: .local(PeerCredentials(uid: 4_000_000, gid: 0, pid: 1))))
    stranger.send(get("/now"))
    loop.turn()
    #expect(stranger.receive().ended)
    #expect(loop.statistics.refusedConnections == 1)
  }

  @Test func webPagesAreRefused() throws {
    let (text, _) = try ask(get("/now", "Origin: http://localhost\r\n"))
    #expect(status(text) == 403)
  }

  @Test func refusalsHaveOpenAIsShape() throws {
    let (text, ended) = try ask("GET / HTTP/1.1\r\n\r\n")
    let body = text.components(separatedBy: "\r\n\r\n").last ?? ""
    #expect(
      body == #"{"error":{"message":"no Host field; HTTP/1.1 wants exactly one","#
        + #""type":"invalid_request_error","param":null,"code":"host_missing"}}"#)
    #expect(headerValue(text, "content-type") == "application/json")
    #expect(ended)
  }

  @Test func continueIsSentOnlyWhenTheBodyIsYetToCome() throws {
    let (loop, _) = try steppedServer()
    let head = "POST /now HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    let patient = ClientEnd(try loop.connect())
    patient.send(head)
    loop.turn()
    #expect(patient.receive().text == "HTTP/1.1 100 Continue\r\n\r\n")
    patient.send("abc")
    loop.turn()
    #expect(patient.receive().text.hasSuffix("POST /now 3"))
    let hasty = ClientEnd(try loop.connect())
    hasty.send(head + "abc")
    loop.turn()
    let text = hasty.receive().text
    #expect(text.hasPrefix("HTTP/1.1 200"))
    #expect(text.hasSuffix("POST /now 3"))
  }

  @Test func aHeadCheckAnswersBeforeTheBody() throws {
    var configuration = Server.Configuration()
    configuration.headCheck = { head, _ in head.bearerToken == nil ? .text("no token", status: 401) : nil }
    let head = "POST /now HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
    let (refused, ended) = try ask(head + "\r\n", configuration)
    #expect(status(refused) == 401)
    #expect(ended)
    let (allowed, _) = try ask(head + "Authorization: Bearer x\r\n\r\n", configuration)
    #expect(allowed == "HTTP/1.1 100 Continue\r\n\r\n")
    // Without a body the connection can go on.
    #expect(try !ask(get("/now"), configuration).ended)
  }

  @Test func bodiesOfAllConnectionsShareABudget() throws {
    var configuration = Server.Configuration()
    configuration.receivedBodyBytes = 100
    let (loop, _) = try steppedServer(configuration)
    let head = "POST /now HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n"
    let first = ClientEnd(try loop.connect())
    first.send(head + String(repeating: "a", count: 80))
    let second = ClientEnd(try loop.connect())
    second.send(head + String(repeating: "a", count: 30))
    loop.turn()
    #expect(status(second.receive().text) == 503)
    first.send(String(repeating: "a", count: 10))
    loop.turn()
    #expect(first.receive().text.hasSuffix("POST /now 90"))
    let third = ClientEnd(try loop.connect())
    third.send(head + String(repeating: "a", count: 90))
    loop.turn()
    #expect(third.receive().text.hasSuffix("POST /now 90"))
  }

  @Test func anExchangeThatIsDroppedGives500() throws {
    let loop = try SteppedLoop(.init()) { _, _ in }
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    #expect(status(client.receive().text) == 500)
  }

  @Test func onlyTheFirstAnswerCounts() throws {
    let (loop, kept) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    let exchange = try #require(kept.all.first?.exchange)
    #expect(exchange.respond(.text("one")))
    #expect(!exchange.respond(.text("two")))
    #expect(!exchange.startEvents())
    #expect(!exchange.send([1]))
    #expect(!exchange.finish())
    exchange.abort()
    loop.turn()
    let (text, ended) = client.receive()
    #expect(text.hasSuffix("one"))
    #expect(!ended)
  }

  @Test func fieldsCannotBeForged() throws {
    let loop = try SteppedLoop(.init()) { _, exchange in
      exchange.respond(
        Response(status: 200).with("X-Reason", "a\r\nSet-Cookie: b").with("Content-Length", "9").with(
          "bad name", "c"))
    }
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    let text = client.receive().text
    #expect(headerValue(text, "x-reason") == "a  Set-Cookie: b")
    #expect(headerValue(text, "set-cookie") == nil)
    #expect(headerValue(text, "content-length") == "0")
    #expect(!text.contains("bad name"))
  }

  @Test func noContentHasNoLength() throws {
    let loop = try SteppedLoop(.init()) { _, exchange in exchange.respond(Response(status: 204, body: [1])) }
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    let text = client.receive().text
    #expect(headerValue(text, "content-length") == nil)
    #expect(text.hasSuffix("\r\n\r\n"))
  }

  @Test func aLargeAnswerSurvivesASlowReader() throws {
    let body = [UInt8](repeating: 0x61, count: 3_000_000)
    let loop = try SteppedLoop(.init()) { _, exchange in exchange.respond(Response(status: 200, body: body)) }
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    var received = 0
    for _ in 0..<1000 where received < 3_000_000 {
      loop.turn()
      received += client.drain()
    }
    #expect(received > 3_000_000)
    #expect(loop.statistics.openConnections == 1)
  }
}
