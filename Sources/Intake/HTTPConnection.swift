// HTTPConnection.swift: the life of one HTTP connection, request after request. One exchange at a
// time: a pipelined request waits in `held` until the answer before it has been written. Start at
// received; the phases are in Phase. Its bounds depend on whether its request's sender is known.

import CSystem

final class HTTPConnection: Connection {
  enum Phase {
    /// Between requests.
    case idle
    case head
    case body
    /// The handler has the request.
    case waiting
    case streaming
    /// The answer is complete and being written.
    case flushing
    /// The answer is written and the sending side shut down. What the peer still sends is read and
    /// dropped, so that it receives the answer.
    case lingering
  }

  private let service: HTTPService
  private var parser: RequestParser
  private(set) var phase = Phase.idle
  private var phaseBegan: Int64
  private var requestBegan: Int64
  private var head: RequestHead?
  /// Whether the sender of this request, or of the one before it, is known; nil until a head was
  /// read.
  private var standing: Server.Standing?
  /// Whether it counts among the strangers that are sending a body.
  private var isUpload = false
  private var body: [UInt8] = []
  /// Bytes read beyond the current request.
  private var held: [UInt8] = []
  private var exchange: ExchangeState?
  private var serial: UInt64 = 0
  private var isHead = false
  private var minorVersion = 1
  private var keepsAlive = true
  private var hasBody = false
  private var isChunked = false
  private var heartbeat: Int64?
  private var lingered = 0

  init(_ seat: Seat, service: HTTPService, secure: SecureLink?) {
    self.service = service
    parser = RequestParser(limits: service.configuration.limits)
    phaseBegan = seat.loop.now
    requestBegan = seat.loop.now
    super.init(seat, secure: secure)
    if secure != nil { service.handshakes += 1 }
  }

  private func enter(_ next: Phase) {
    if next != .body { endUpload() }
    phase = next
    phaseBegan = loop.now
  }

  override var wantsInput: Bool {
    switch phase {
    case .idle, .head, .body, .lingering: held.isEmpty
    case .waiting, .streaming, .flushing: false
    }
  }

  override var inputLimit: Int {
    // Beyond the expected body, only a little of the next request is read ahead.
    8192 + min(57344, parser.bodyBytesExpected)
  }

  /// How long a connection or a request counts as new. A new one may be a known sender's, so it is
  /// closed only after all those on which strangers keep us waiting.
  private static let newcomer: Int64 = 2_000_000_000

  override var evictionRank: Int? {
    if standing == .known {
      return switch phase {
      case .lingering: 0
      case .idle: 6
      case .head: 7
      case .body, .waiting, .streaming, .flushing: nil
      }
    }
    return switch phase {
    case .lingering: 0
    case .idle: loop.now - phaseBegan < Self.newcomer ? 4 : 1
    case .head: loop.now - requestBegan < Self.newcomer ? 5 : 2
    case .flushing: 2
    case .body: 3
    case .waiting, .streaming: nil
    }
  }

  /// Whether it is receiving a stranger's body, which another stranger's may displace.
  override var isStrangersUpload: Bool { isUpload }

  override func giveUp() {
    if phase == .body { refuse(.bodyTimeout) } else { close(.disconnected) }
  }

  private func beginUpload() {
    guard standing == .stranger, !isUpload else { return }
    let bodies = service.bodies
    if bodies.strangerUploads >= service.configuration.strangers.uploads { loop.giveUpStrangersUpload() }
    isUpload = true
    bodies.strangerUploads += 1
  }

  private func endUpload() {
    guard isUpload else { return }
    isUpload = false
    service.bodies.strangerUploads -= 1
  }

  /// The time by which the body must be complete, or must have kept up its required rate since the
  /// head.
  private var bodyDeadline: Int64 {
    let latest = phaseBegan.clampedSum(service.times.body)
    let rate = service.configuration.strangers.uploadRate
    guard standing == .stranger, rate > 0 else { return latest }
    let (scaled, overflow) = Int64(body.count).multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return latest }
    return min(latest, phaseBegan.clampedSum(service.times.grace).clampedSum(scaled / Int64(rate)))
  }

  override var currentDeadline: Int64 {
    let times = service.times
    return switch phase {
    case .idle: phaseBegan.clampedSum(isInHandshake ? times.handshake : times.idle)
    case .head: requestBegan.clampedSum(times.head)
    case .body: bodyDeadline
    case .waiting: .max
    case .streaming:
      output.isEmpty ? heartbeat.map { lastWrite.clampedSum($0) } ?? .max : stallDeadline
    case .flushing: stallDeadline
    case .lingering: phaseBegan.clampedSum(times.linger)
    }
  }

  private var stallDeadline: Int64 { max(lastWrite, phaseBegan).clampedSum(service.times.writeStall) }

  override func deadlinePassed() {
    switch phase {
    case .idle, .lingering: close(.disconnected)
    // A client that sent only an empty line has sent no request.
    case .head: if parser.isBetweenRequests { close(.disconnected) } else { refuse(.headTimeout) }
    case .body: refuse(.bodyTimeout)
    case .waiting: break
    case .streaming:
      if output.isEmpty { emit(commentBytes("")) } else { close(.stalled) }
    case .flushing: close(.stalled)
    }
  }

  // MARK: Input

  override func opened() {
    if isInHandshake, service.handshakes > service.configuration.handshakes { loop.giveUpHandshake() }
  }

  override func secured() {
    service.handshakes -= 1
    enter(.idle)
  }

  override func received(_ bytes: Span<UInt8>) {
    if phase == .lingering {
      lingered += bytes.count
      if lingered > service.configuration.limits.bodyBytes { close(.disconnected) }
      return
    }
    var cursor = 0
    parse(bytes, &cursor)
    if isOpen, phase != .lingering, cursor < bytes.count {
      bytes.extracting(cursor..<bytes.count).withUnsafeBufferPointer { held.append(contentsOf: $0) }
    }
  }

  override func resume() {
    guard !held.isEmpty else { return }
    let bytes = held
    held = []
    received(bytes.span)
  }

  private func parse(_ bytes: Span<UInt8>, _ cursor: inout Int) {
    while isOpen {
      switch phase {
      case .idle, .head, .body: break
      case .waiting, .streaming, .flushing, .lingering: return
      }
      if phase == .idle, cursor < bytes.count {
        requestBegan = loop.now
        isHead = false
        minorVersion = 1
        enter(.head)
      }
      do {
        switch try parser.next(bytes, cursor: &cursor) {
        case .needsMore: return
        case .head(let head): accept(head, inputFollows: cursor < bytes.count)
        case .body(let range): take(bytes.extracting(range))
        case .end: dispatch()
        }
      } catch {
        refuse(error)
      }
    }
  }

  private func accept(_ head: RequestHead, inputFollows: Bool) {
    self.head = head
    isHead = head.method == .head
    minorVersion = head.minorVersion
    keepsAlive = head.keepsAlive && !loop.isStopping
    enter(.body)
    if let refusal = service.check(head, peer) { return refuse(refusal) }
    if let early = service.configuration.headCheck?(head, peer) {
      // Unless its body is read, the next request can't be found.
      if head.framing != .none { keepsAlive = false }
      loop.statistics.requests += 1
      return answer(early)
    }
    standing = service.configuration.standing?(head, peer) ?? .known
    if head.framing != .none { beginUpload() }
    if head.expectsContinue, !inputFollows {
      output.append(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
    }
  }

  private func take(_ part: Span<UInt8>) {
    guard service.bodies.reserve(part.count, standing ?? .stranger) else { return refuse(.bodiesTooLarge) }
    part.withUnsafeBufferPointer { body.append(contentsOf: $0) }
  }

  private func dispatch() {
    guard let head else { return }
    let request = Request(head: head, body: body, peer: peer)
    dropRequest()
    serial += 1
    let state = ExchangeState(
      connection: id, serial: serial, mailbox: loop.mailbox,
      bufferLimit: service.configuration.streamBufferBytes)
    exchange = state
    loop.statistics.requests += 1
    enter(.waiting)
    service.handler(request, Exchange(state))
  }

  private func dropRequest() {
    service.bodies.release(body.count, standing ?? .stranger)
    body = []
    head = nil
  }

  override func reachedEnd() { close(.disconnected) }

  override func peerLeft() {
    switch phase {
    case .waiting, .streaming: close(.disconnected)
    // The request is complete, and the peer may still read.
    case .flushing: break
    case .idle where !held.isEmpty: break
    case .idle, .head, .body, .lingering: close(.disconnected)
    }
  }

  // MARK: Output

  private func refuse(_ refusal: RequestRefusal) {
    loop.statistics.refusedRequests += 1
    keepsAlive = false
    answer(service.configuration.refusal(refusal))
  }

  private func answer(_ response: Response) {
    dropRequest()
    if loop.isStopping || response.closes { keepsAlive = false }
    writeHead(response.status, response.fields, .length(response.body.count))
    if !isHead, !hasNoBody(response.status) { output.append(response.body) }
    complete()
  }

  private func writeHead(
    _ status: Int, _ fields: [(name: String, value: String)], _ framing: ResponseFraming
  ) {
    ResponseHead(
      status: status, fields: fields, framing: framing, minorVersion: minorVersion, keepsAlive: keepsAlive,
      date: service.date()
    ).write(to: &output)
  }

  private func complete() {
    exchange = nil
    heartbeat = nil
    enter(.flushing)
    loop.touch(self)
  }

  override func perform(_ action: ExchangeAction, serial: UInt64) {
    guard serial == self.serial, let exchange else { return }
    switch action {
    case .respond(let response):
      guard phase == .waiting else { return }
      answer(response)
    case .begin(let status, let fields, let heartbeat):
      guard phase == .waiting else { return }
      begin(status, fields, heartbeat)
    case .send(let bytes):
      guard phase == .streaming else { return }
      emit(bytes)
      exchange.moved(bytes.count, buffered: output.count)
    case .finish:
      guard phase == .streaming else { return }
      if isChunked { output.append(Array("0\r\n\r\n".utf8)) }
      complete()
    case .abort:
      loop.statistics.droppedStreams += 1
      close(.aborted)
    }
  }

  private func begin(_ status: Int, _ fields: [(name: String, value: String)], _ heartbeat: Int64?) {
    let framing: ResponseFraming =
      hasNoBody(status) ? .length(0) : minorVersion >= 1 ? .chunked : .untilClose
    hasBody = !isHead && !hasNoBody(status)
    isChunked = hasBody && minorVersion >= 1
    if loop.isStopping || (minorVersion == 0 && !isHead) { keepsAlive = false }
    writeHead(status, fields, framing)
    self.heartbeat = isHead ? nil : heartbeat
    enter(.streaming)
  }

  private func emit(_ bytes: [UInt8]) {
    guard hasBody, !bytes.isEmpty else { return }
    guard isChunked else { return output.append(bytes) }
    var chunk: [UInt8] = []
    chunk.reserveCapacity(bytes.count + 20)
    chunk.append(contentsOf: String(bytes.count, radix: 16).utf8)
    chunk.append(contentsOf: [0x0D, 0x0A])
    chunk.append(contentsOf: bytes)
    chunk.append(contentsOf: [0x0D, 0x0A])
    output.append(chunk)
  }

  override func outputMoved() { exchange?.moved(0, buffered: output.count) }

  override func outputDrained() {
    guard phase == .flushing else { return }
    if keepsAlive, !loop.isStopping {
      parser = RequestParser(limits: service.configuration.limits)
      enter(.idle)
      if !held.isEmpty { loop.makeReady(self) }
    } else {
      held = []
      if !shutDownWriting() { return close(.disconnected) }
      enter(.lingering)
    }
  }

  override func beginStop() {
    switch phase {
    case .idle where held.isEmpty: close(.stopped)
    case .lingering: close(.stopped)
    case .idle, .head, .body, .waiting, .streaming, .flushing: keepsAlive = false
    }
  }

  override func closed(_ reason: Gone) {
    if isInHandshake { service.handshakes -= 1 }
    dropRequest()
    endUpload()
    held = []
    if phase == .streaming, reason != .aborted { loop.statistics.droppedStreams += 1 }
    exchange?.lose(reason)
    exchange = nil
  }
}

extension Int64 {
  /// The sum, clamped to Int64.max: a deadline that far away means none.
  func clampedSum(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
