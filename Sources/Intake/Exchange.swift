// Exchange.swift: one request waiting for its answer, as the handler holds it. It is thread-safe
// and cheap: every method posts a command to the loop and returns. Start at respond and
// startStream.

import Synchronization

/// Why an exchange ended without the client having been answered in full.
public enum Gone: Sendable, Equatable {
  /// The client closed or reset the connection.
  case disconnected
  /// The client read so slowly that the stream's buffer filled up.
  case tooSlow
  /// The client read nothing for as long as the configuration allows.
  case stalled
  /// The server stopped before the answer was complete.
  case stopped
  /// `abort` was called, or the exchange was dropped halfway.
  case aborted
}

/// The state of one exchange that the handler's threads and the loop share.
final class ExchangeState: Sendable {
  enum Phase {
    case waiting
    case streaming
    case finished
    case gone(Gone)
  }

  struct Inner {
    var phase = Phase.waiting
    /// Bytes sent by the handler but not yet moved to the connection's buffer.
    var posted = 0
    /// Bytes in the connection's buffer.
    var buffered = 0
    var onGone: (@Sendable (Gone) -> Void)?
  }

  let inner = Mutex(Inner())
  let connection: UInt64
  let serial: UInt64
  let mailbox: Mailbox
  let bufferLimit: Int

  init(connection: UInt64, serial: UInt64, mailbox: Mailbox, bufferLimit: Int) {
    self.connection = connection
    self.serial = serial
    self.mailbox = mailbox
    self.bufferLimit = bufferLimit
  }

  /// The connection is lost: notifies the owner, once, on this thread.
  func lose(_ reason: Gone) {
    let callback = inner.withLock { inner -> (@Sendable (Gone) -> Void)? in
      switch inner.phase {
      case .waiting, .streaming:
        inner.phase = .gone(reason)
        defer { inner.onGone = nil }
        return inner.onGone
      case .finished, .gone: return nil
      }
    }
    callback?(reason)
  }

  func moved(_ count: Int, buffered: Int) {
    inner.withLock { inner in
      inner.posted = max(0, inner.posted - count)
      inner.buffered = buffered
    }
  }
}

/// The handle through which one request is answered. Every method may be called from any thread and
/// never blocks.
///
/// Answer exactly once: `respond`, or `startStream`/`startEvents`, any number of `send`s and then
/// `finish`. If an exchange is dropped without an answer, the client gets a 500, or its stream is
/// broken off.
public final class Exchange: Sendable {
  let state: ExchangeState

  init(_ state: ExchangeState) { self.state = state }

  deinit { leave { $0 == .waiting ? .respond(unansweredResponse()) : .abort } }

  private enum Unfinished { case waiting, streaming }

  /// Ends an unfinished exchange as its phase requires.
  private func leave(_ action: (Unfinished) -> ExchangeAction) {
    state.inner.withLock { inner in
      switch inner.phase {
      case .waiting: post(action(.waiting))
      case .streaming: post(action(.streaming))
      case .finished, .gone: return
      }
      inner.phase = .finished
      inner.onGone = nil
    }
  }

  // Posting under the exchange's lock keeps the commands of two threads in the order of their
  // effects.
  private func post(_ action: ExchangeAction) {
    state.mailbox.post(.exchange(connection: state.connection, serial: state.serial, action))
  }

  /// Answers in full. False if the client is gone or an answer was already begun.
  @discardableResult
  public func respond(_ response: Response) -> Bool {
    state.inner.withLock { inner in
      guard case .waiting = inner.phase else { return false }
      inner.phase = .finished
      inner.onGone = nil
      post(.respond(response))
      return true
    }
  }

  /// Begins a body whose length is not known yet: chunked, or until the close for an HTTP/1.0
  /// client. False if the client is gone or an answer was already begun.
  @discardableResult
  public func startStream(status: Int, fields: [(name: String, value: String)]) -> Bool {
    start(status: status, fields: fields, heartbeat: nil)
  }

  /// Begins a stream of server-sent events. With `heartbeat`, a comment line is sent whenever
  /// nothing else was sent for that long, which keeps proxies open and detects clients that are
  /// gone.
  @discardableResult
  public func startEvents(
    status: Int = 200, fields: [(name: String, value: String)] = [], heartbeat: Duration? = .seconds(15)
  ) -> Bool {
    start(
      status: status, fields: [("Content-Type", "text/event-stream; charset=utf-8")] + fields,
      heartbeat: heartbeat?.nanoseconds)
  }

  private func start(
    status: Int, fields: [(name: String, value: String)], heartbeat: Int64?
  ) -> Bool {
    state.inner.withLock { inner in
      guard case .waiting = inner.phase else { return false }
      inner.phase = .streaming
      post(.begin(status: status, fields: fields, heartbeatNanoseconds: heartbeat))
      return true
    }
  }

  /// Sends a part of the body. False if the stream isn't open: not begun, finished, or its client
  /// gone. If more than the configured bytes wait for a slow reader, the stream is dropped and
  /// `onGone` is called.
  @discardableResult
  public func send(_ bytes: [UInt8]) -> Bool {
    enum Outcome {
      case closed
      case sent
      case dropped((@Sendable (Gone) -> Void)?)
    }
    let outcome = state.inner.withLock { inner -> Outcome in
      guard case .streaming = inner.phase else { return .closed }
      guard inner.posted + inner.buffered + bytes.count <= state.bufferLimit else {
        inner.phase = .gone(.tooSlow)
        defer { inner.onGone = nil }
        post(.abort)
        return .dropped(inner.onGone)
      }
      guard !bytes.isEmpty else { return .sent }
      inner.posted += bytes.count
      post(.send(bytes))
      return .sent
    }
    switch outcome {
    case .closed: return false
    case .sent: return true
    case .dropped(let callback):
      callback?(.tooSlow)
      return false
    }
  }

  /// Sends one server-sent event: an optional name and its data, a `data:` line for each line of
  /// it.
  @discardableResult
  public func send(event name: String? = nil, data: String) -> Bool {
    send(eventBytes(name: name, data: data))
  }

  /// Sends one server-sent event whose data is one line, as JSON without line ends is.
  @discardableResult
  public func send(line data: [UInt8]) -> Bool {
    var out: [UInt8] = []
    out.reserveCapacity(data.count + 8)
    out.append(contentsOf: "data: ".utf8)
    out.append(contentsOf: data)
    out.append(contentsOf: "\n\n".utf8)
    return send(out)
  }

  /// Sends a comment line, which clients of server-sent events skip.
  @discardableResult
  public func send(comment: String) -> Bool {
    send(commentBytes(comment))
  }

  /// Ends a stream properly. False if none is open.
  @discardableResult
  public func finish() -> Bool {
    state.inner.withLock { inner in
      guard case .streaming = inner.phase else { return false }
      inner.phase = .finished
      inner.onGone = nil
      post(.finish)
      return true
    }
  }

  /// Breaks the connection off, so that the client sees that the answer is incomplete.
  public func abort() {
    leave { _ in .abort }
  }

  /// Whether the client is known to be gone.
  public var isGone: Bool {
    state.inner.withLock { inner in
      if case .gone = inner.phase { return true }
      return false
    }
  }

  /// Calls `callback` once if the client disconnects before the answer is finished: on the loop's
  /// thread, or at once on this thread if it is already gone. It must not block. A later callback
  /// replaces an earlier one; after the exchange is finished none is called.
  public func onGone(_ callback: @escaping @Sendable (Gone) -> Void) {
    let gone = state.inner.withLock { inner -> Gone? in
      switch inner.phase {
      case .waiting, .streaming:
        inner.onGone = callback
        return nil
      case .finished: return nil
      case .gone(let reason): return reason
      }
    }
    if let gone { callback(gone) }
  }
}

func eventBytes(name: String?, data: String) -> [UInt8] {
  var out: [UInt8] = []
  out.reserveCapacity(data.utf8.count + 16)
  if let name {
    out.append(contentsOf: "event: ".utf8)
    out.append(contentsOf: name.utf8.filter { $0 != 0x0A && $0 != 0x0D })
    out.append(0x0A)
  }
  // CRLF, CR and LF all end a line of an event stream (WHATWG HTML, 9.2.6).
  out.append(contentsOf: "data: ".utf8)
  var afterReturn = false
  for byte in data.utf8 {
    if byte == 0x0A || byte == 0x0D {
      if !(byte == 0x0A && afterReturn) { out.append(contentsOf: "\ndata: ".utf8) }
    } else {
      out.append(byte)
    }
    afterReturn = byte == 0x0D
  }
  out.append(contentsOf: "\n\n".utf8)
  return out
}

func commentBytes(_ comment: String) -> [UInt8] {
  Array(": ".utf8) + comment.utf8.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 } + Array("\n\n".utf8)
}

func unansweredResponse() -> Response {
  refusalResponse(.unanswered)
}

extension Duration {
  /// Whole nanoseconds, held within Int64.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return carry ? (seconds < 0 ? .min : .max) : sum
  }
}
