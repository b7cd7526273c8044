// StreamTests.swift: streamed answers, slow readers, clients that go, and timeouts in virtual time.

import CSystem
import Glibc
import Intake
import Testing

@Suite struct StreamTests {
  /// A stepped server with one connection whose request waits.
  private func waiting(
    _ configuration: Server.Configuration = .init(), _ request: String = get("/")
  ) throws -> (loop: SteppedLoop, client: ClientEnd, exchange: Exchange) {
    let (loop, kept) = try steppedServer(configuration)
    let client = ClientEnd(try loop.connect())
    client.send(request)
    loop.turn()
    return (loop, client, try #require(kept.all.first?.exchange))
  }

  @Test func eventsAreChunkedAndTheConnectionGoesOn() throws {
    let (loop, client, exchange) = try waiting()
    #expect(exchange.startEvents())
    #expect(exchange.send(data: "one\ntwo"))
    #expect(exchange.send(event: "x", data: "a\r\nb\rc"))
    #expect(exchange.finish())
    client.send(get("/now"))
    loop.turn()
    let text = client.receive().text
    #expect(headerValue(text, "transfer-encoding") == "chunked")
    #expect(headerValue(text, "content-type") == "text/event-stream; charset=utf-8")
    #expect(headerValue(text, "content-length") == nil)
    let stream = text.components(separatedBy: "\r\n\r\n")
    #expect(
      stream.dropFirst().joined(separator: "\r\n\r\n").hasPrefix(
        "15\r\ndata: one\ndata: two\n\n\r\n22\r\nevent: x\ndata: a\ndata: b\ndata: c\n\n\r\n0\r\n\r\n"))
    #expect(text.hasSuffix("GET /now 0"))
  }

  @Test func anHTTP10StreamEndsWithTheConnection() throws {
    let (loop, client, exchange) = try waiting(
      .init(), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    exchange.startEvents()
    exchange.send(data: "one")
    exchange.finish()
    loop.turn()
    let (text, ended) = client.receive()
    #expect(headerValue(text, "transfer-encoding") == nil)
    #expect(headerValue(text, "connection") == "close")
    #expect(text.hasSuffix("\r\n\r\ndata: one\n\n"))
    #expect(ended)
  }

  @Test func aHeadOfAStreamHasNoBody() throws {
    let (loop, client, exchange) = try waiting(.init(), "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    exchange.startEvents()
    exchange.send(data: "one")
    exchange.finish()
    loop.turn()
    let (text, ended) = client.receive()
    #expect(text.hasSuffix("\r\n\r\n"))
    #expect(!text.contains("data"))
    #expect(!ended)
  }

  @Test func anAbortedStreamLacksItsLastChunk() throws {
    let (loop, client, exchange) = try waiting()
    exchange.startEvents()
    exchange.send(data: "one")
    loop.turn()
    exchange.abort()
    loop.turn()
    let (text, ended) = client.receive()
    #expect(ended)
    #expect(!text.contains("\r\n0\r\n"))
  }

  @Test func aStreamThatIsDroppedIsBrokenOff() throws {
    let loop = try SteppedLoop(.init()) { _, exchange in
      exchange.startEvents()
      exchange.send(data: "one")
    }
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    let (text, ended) = client.receive()
    #expect(ended)
    #expect(!text.contains("\r\n0\r\n"))
  }

  @Test func heartbeatsFillTheSilence() throws {
    let (loop, client, exchange) = try waiting()
    exchange.startEvents(heartbeat: .seconds(15))
    loop.turn()
    _ = client.receive()
    loop.advance(.seconds(14))
    #expect(client.receive().text.isEmpty)
    loop.advance(.seconds(2))
    #expect(client.receive().text == "4\r\n: \n\n\r\n")
    loop.advance(.seconds(10))
    exchange.send(data: "x")
    loop.turn()
    #expect(client.receive().text == "9\r\ndata: x\n\n\r\n")
    loop.advance(.seconds(10))
    #expect(client.receive().text.isEmpty)
    loop.advance(.seconds(6))
    #expect(client.receive().text == "4\r\n: \n\n\r\n")
  }

  @Test func aSlowReaderLosesItsStreamAtTheBound() throws {
    var configuration = Server.Configuration()
    configuration.streamBufferBytes = 100_000
    let (loop, client, exchange) = try waiting(configuration)
    let gone = Recorder<Gone>()
    exchange.onGone { gone.append($0) }
    exchange.startEvents(heartbeat: nil)
    let piece = [UInt8](repeating: 0x61, count: 1000)
    var sent = 0
    while exchange.send(piece), sent < 100_000_000 {
      sent += piece.count
      loop.turn()
    }
    loop.turn()
    #expect(gone.all == [.tooSlow])
    #expect(exchange.isGone)
    #expect(!exchange.send(piece))
    #expect(sent < 2_000_000)
    #expect(loop.statistics.openConnections == 0)
    #expect(loop.statistics.droppedStreams == 1)
    // All that had been taken by the kernel before still arrives; the end does not.
    #expect(!client.receive().text.contains("\r\n0\r\n"))
  }

  @Test func aReaderThatKeepsUpIsNeverDropped() throws {
    var configuration = Server.Configuration()
    configuration.streamBufferBytes = 10_000
    let (loop, client, exchange) = try waiting(configuration)
    exchange.startEvents()
    var received = 0
    for _ in 0..<2000 {
      #expect(exchange.send([UInt8](repeating: 0x61, count: 5000)))
      loop.turn()
      received += client.drain()
    }
    #expect(received > 10_000_000)
  }

  @Test func aClientThatGoesIsReportedInEveryState() throws {
    enum Leave: CaseIterable { case close, halfClose }
    for leave in Leave.allCases {
      for isStreaming in [false, true] {
        let (loop, client, exchange) = try waiting()
        let gone = Recorder<Gone>()
        exchange.onGone { gone.append($0) }
        if isStreaming { exchange.startEvents() }
        loop.turn()
        switch leave {
        case .close: client.close()
        case .halfClose: client.shutdownWriting()
        }
        loop.turn()
        #expect(gone.all == [.disconnected])
        #expect(exchange.isGone)
        #expect(!exchange.respond(.text("late")))
        #expect(loop.statistics.openConnections == 0)
        // A callback that comes late is told at once.
        exchange.onGone { gone.append($0) }
        #expect(gone.all.count == 2)
      }
    }
  }

  @Test func aClientThatGoesWithARequestPipelinedIsReported() throws {
    let (loop, client, exchange) = try waiting(.init(), get("/") + get("/now") + "GET /")
    let gone = Recorder<Gone>()
    exchange.onGone { gone.append($0) }
    client.close()
    loop.turn()
    #expect(gone.all == [.disconnected])
  }

  @Test func aFinishedExchangeIsNotReported() throws {
    let (loop, client, exchange) = try waiting()
    let gone = Recorder<Gone>()
    exchange.onGone { gone.append($0) }
    exchange.respond(.text("x"))
    loop.turn()
    client.close()
    loop.turn()
    exchange.onGone { gone.append($0) }
    #expect(gone.all.isEmpty)
    #expect(loop.statistics.openConnections == 0)
  }

  @Test func aClientThatHalfClosesStillGetsAnAnswerThatIsReady() throws {
    let (loop, _) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send(get("/now") + get("/now2"))
    client.shutdownWriting()
    loop.turn()
    let (text, ended) = client.receive()
    #expect(text.contains("GET /now 0"))
    #expect(text.hasSuffix("GET /now2 0"))
    #expect(ended)
    #expect(loop.statistics.openConnections == 0)
  }

  @Test func slowHeadsAndBodiesTimeOutAndSilenceCloses() throws {
    let (loop, _) = try steppedServer()
    let slowHead = ClientEnd(try loop.connect())
    let slowBody = ClientEnd(try loop.connect())
    let idle = ClientEnd(try loop.connect())
    let emptyLine = ClientEnd(try loop.connect())
    emptyLine.send("\r\n")
    slowBody.send("POST /now HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n")
    for second in 1...10 {
      slowHead.send("G")
      slowBody.send("x")
      loop.advance(.seconds(1))
      if second < 10 { #expect(slowHead.receive().text.isEmpty, "\(second) s") }
    }
    loop.advance(.milliseconds(1100))
    let head = slowHead.receive()
    #expect(status(head.text) == 408)
    #expect(head.text.contains("head_timeout"))
    #expect(head.ended)
    #expect(emptyLine.receive() == ("", true))
    loop.advance(.seconds(18))
    #expect(!idle.receive().ended)
    loop.advance(.seconds(1))
    #expect(idle.receive() == ("", true))
    loop.advance(.seconds(29))
    #expect(slowBody.receive().text.isEmpty)
    loop.advance(.seconds(2))
    #expect(slowBody.receive().text.contains("body_timeout"))
    loop.advance(.seconds(3))
    #expect(loop.statistics.openConnections == 0)
  }

  @Test func aReaderThatStallsIsClosed() throws {
    let (loop, client, exchange) = try waiting()
    let gone = Recorder<Gone>()
    exchange.onGone { gone.append($0) }
    exchange.startEvents()
    for _ in 0..<100 { exchange.send([UInt8](repeating: 0, count: 10_000)) }
    loop.turn()
    loop.advance(.seconds(19))
    #expect(gone.all.isEmpty)
    loop.advance(.seconds(2))
    #expect(gone.all == [.stalled])
    _ = client.receive()
  }

  @Test func aWaitingRequestNeverTimesOut() throws {
    let (loop, client, exchange) = try waiting()
    for _ in 0..<100 { loop.advance(.seconds(3600)) }
    exchange.respond(.text("at last"))
    loop.turn()
    #expect(client.receive().text.hasSuffix("at last"))
  }

  @Test func aRefusedClientThatKeepsSendingIsReadForAWhileAndCut() throws {
    let (loop, _) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send("BAD\r\n")
    loop.turn()
    #expect(status(client.receive().text) == 400)
    client.send(String(repeating: "more", count: 1000))
    loop.turn()
    #expect(loop.statistics.openConnections == 1)
    loop.advance(.seconds(3))
    #expect(loop.statistics.openConnections == 0)
  }
}

@Suite struct ConnectionLimitTests {
  @Test func idleConnectionsMakeRoomBeforeNewOnesAreRefused() throws {
    var configuration = Server.Configuration()
    configuration.maximumConnections = 3
    let (loop, kept) = try steppedServer(configuration)
    let busy = ClientEnd(try loop.connect())
    busy.send(get("/"))
    let halfway = ClientEnd(try loop.connect())
    halfway.send("GET")
    loop.turn()
    loop.advance(.seconds(1))
    let idle = ClientEnd(try loop.connect())
    loop.turn()
    let fourth = ClientEnd(try loop.connect())
    fourth.send(get("/"))
    loop.turn()
    #expect(idle.receive().ended)
    #expect(!halfway.receive().ended)
    let fifth = ClientEnd(try loop.connect())
    fifth.send(get("/"))
    loop.turn()
    #expect(halfway.receive().ended)
    let sixth = ClientEnd(try loop.connect())
    let refusal = sixth.receive()
    #expect(status(refusal.text) == 503)
    #expect(refusal.ended)
    #expect(kept.all.count == 3)
    #expect(loop.statistics.evictedConnections == 2)
    #expect(loop.statistics.refusedConnections == 1)
    for asked in kept.all { asked.exchange.respond(.text("ok")) }
    loop.turn()
    #expect(busy.receive().text.hasSuffix("ok"))
  }

  @Test func stoppingFinishesWhatRunsAndClosesTheRest() throws {
    let (loop, kept) = try steppedServer()
    let idle = ClientEnd(try loop.connect())
    let busy = ClientEnd(try loop.connect())
    busy.send(get("/") + get("/never"))
    loop.turn()
    loop.stop(grace: .seconds(30))
    #expect(idle.receive().ended)
    #expect(!loop.isStopped)
    kept.all.first?.exchange.respond(.text("done"))
    loop.turn()
    let (text, ended) = busy.receive()
    #expect(text.hasSuffix("done"))
    #expect(headerValue(text, "connection") == "close")
    #expect(ended)
    busy.close()
    loop.turn()
    #expect(loop.isStopped)
    #expect(kept.all.count == 1)
  }

  @Test func stoppingEndsAtItsDeadline() throws {
    let (loop, kept) = try steppedServer()
    let client = ClientEnd(try loop.connect())
    client.send(get("/"))
    loop.turn()
    let gone = Recorder<Gone>()
    kept.all.first?.exchange.onGone { gone.append($0) }
    loop.stop(grace: .seconds(5))
    loop.advance(.seconds(4))
    #expect(!loop.isStopped)
    loop.advance(.seconds(2))
    #expect(loop.isStopped)
    #expect(gone.all == [.stopped])
    #expect(client.receive().ended)
  }

  @Test func aFailingReadOrWriteAtAnyCallLosesOnlyItsConnection() throws {
    for failing in [Syscall.receive, .send] {
      for nth in 1...40 {
        let (loop, kept) = try steppedServer()
        var calls = 0
        loop.injectFaults { call in
          guard call == failing else { return 0 }
          calls += 1
          return calls == nth ? EIO : 0
        }
        var clients: [ClientEnd] = []
        for index in 0..<10 {
          let client = ClientEnd(try loop.connect())
          client.send(get(index % 2 == 0 ? "/now" : "/later") + get("/now"))
          clients.append(client)
          loop.turn()
        }
        for asked in kept.all {
          asked.exchange.startEvents()
          asked.exchange.send(data: "x")
          asked.exchange.finish()
        }
        loop.turn()
        let whole = clients.filter { $0.receive().text.components(separatedBy: "HTTP/1.1 200").count == 3 }
        #expect(whole.count >= 9, "\(failing) \(nth)")
        #expect(loop.statistics.openConnections == (calls >= nth ? 9 : 10), "\(failing) \(nth)")
      }
    }
  }
}
