// RequestParser.swift: parses a connection's bytes into request heads, body ranges and ends, by RFC
// 9112. A value: no descriptor, no clock. Every decision is made at a fixed byte, so it is the same
// for every split of the input. The grammar of lines is in RequestParser+Head.swift and
// RequestParser+Body.swift. Start at next.

/// An incremental, strict parser of HTTP/1.0 and HTTP/1.1 requests on one connection, one after
/// another.
///
/// Call `next` with the available bytes and a cursor until it returns `.needsMore`; bytes before
/// the cursor are consumed and need not be kept. Where RFC 9112 lets a server be lenient (bare LF,
/// folded fields, repeated equal Content-Length), it refuses. After a refusal the parser always
/// returns the same refusal.
public struct RequestParser: Sendable {
  /// What one request may cost.
  public struct Limits: Sendable, Equatable {
    /// Bytes of the request line, without its CRLF; more gives 414.
    public var requestLineBytes = 8192
    /// Number of header fields, and separately of trailer fields; more gives 431.
    public var fieldCount = 100
    /// Bytes of all header field lines with their CRLFs, and separately of the trailers; more gives
    /// 431.
    public var fieldBytes = 32768
    /// Bytes of a body without its chunked framing; more gives 413.
    public var bodyBytes = 8 << 20
    /// Bytes of all chunk extensions of one body; more gives 400.
    public var chunkExtensionBytes = 4096

    public init() {}
  }

  public enum Event: Sendable, Equatable {
    /// All the input is consumed; more is needed.
    case needsMore
    case head(RequestHead)
    /// This part of the input, which ends at the cursor, is body.
    case body(Range<Int>)
    /// The request is complete. The next bytes begin the next request.
    case end
  }

  enum State: Sendable {
    case start(emptyLines: Int)
    case requestLine
    case fields
    case lengthBody(remaining: Int)
    case chunkSize
    case chunkData(remaining: Int)
    case chunkEnd
    case trailers
    case end
    case refused(RequestRefusal)
  }

  let limits: Limits
  var state = State.start(emptyLines: 0)
  var line: [UInt8] = []
  var sawCarriageReturn = false
  var requestLine: RequestLine?
  var fields = HeaderFields()
  var fieldBytes = 0
  var trailerCount = 0
  var bodyBytes = 0
  var chunkExtensionBytes = 0

  public init(limits: Limits = Limits()) { self.limits = limits }

  /// Whether no byte of a next request has been seen, except perhaps an empty line.
  public var isBetweenRequests: Bool {
    if case .start = state { return line.isEmpty && !sawCarriageReturn }
    return false
  }

  /// The most body bytes that can still belong to this body or chunk; 0 outside bodies.
  var bodyBytesExpected: Int {
    switch state {
    case .lengthBody(let remaining), .chunkData(let remaining): remaining
    case .start, .requestLine, .fields, .chunkSize, .chunkEnd, .trailers, .end, .refused: 0
    }
  }

  /// The next event in `input` from `cursor` on; moves the cursor past the consumed bytes.
  public mutating func next(_ input: Span<UInt8>, cursor: inout Int) throws(RequestRefusal) -> Event {
    do {
      return try step(input, &cursor)
    } catch {
      state = .refused(error)
      line = []
      throw error
    }
  }

  private mutating func step(_ input: Span<UInt8>, _ cursor: inout Int) throws(RequestRefusal) -> Event {
    while true {
      switch state {
      case .start(let emptyLines):
        guard try takeLine(input, &cursor, limit: limits.requestLineBytes, over: RequestRefusal.targetTooLong)
        else {
          return .needsMore
        }
        if line.isEmpty {
          // RFC 9112, 2.2: at least one empty line before a request line is ignored. Old clients
          // end a body with an extra one, so two may follow each other.
          guard emptyLines < 2 else { throw .requestLine("more than two empty lines") }
          state = .start(emptyLines: emptyLines + 1)
        } else {
          state = .requestLine
        }
      case .requestLine:
        requestLine = try RequestLine(parsing: line)
        clearLine()
        state = .fields
      case .fields:
        let room = limits.fieldBytes - fieldBytes - 2
        guard try takeLine(input, &cursor, limit: max(room, 0), over: fieldsOver) else { return .needsMore }
        if line.isEmpty {
          return .head(try finishHead())
        }
        fieldBytes += line.count + 2
        guard fields.count < limits.fieldCount else { throw .tooManyFields(limits.fieldCount) }
        let field = try parseField(line)
        fields.append(name: line[field.name].lazy.map(lowered), value: line[field.value])
        clearLine()
      case .lengthBody(let remaining):
        guard remaining > 0 else {
          state = .end
          continue
        }
        guard let range = takeBody(input, &cursor, remaining) else { return .needsMore }
        state = .lengthBody(remaining: remaining - range.count)
        return .body(range)
      case .chunkSize:
        // Space for the digits of the size, in addition to what is left for extensions.
        let room = limits.chunkExtensionBytes - chunkExtensionBytes + 16
        guard try takeLine(input, &cursor, limit: room, over: chunkLineOver) else { return .needsMore }
        let size = try takeChunkSize()
        clearLine()
        state = size == 0 ? .trailers : .chunkData(remaining: size)
        if size == 0 { fieldBytes = 0 }
      case .chunkData(let remaining):
        guard remaining > 0 else {
          state = .chunkEnd
          continue
        }
        guard let range = takeBody(input, &cursor, remaining) else { return .needsMore }
        state = .chunkData(remaining: remaining - range.count)
        return .body(range)
      case .chunkEnd:
        guard try takeChunkEnd(input, &cursor) else { return .needsMore }
        state = .chunkSize
      case .trailers:
        let room = limits.fieldBytes - fieldBytes - 2
        guard try takeLine(input, &cursor, limit: max(room, 0), over: fieldsOver) else { return .needsMore }
        if line.isEmpty {
          state = .end
          continue
        }
        fieldBytes += line.count + 2
        trailerCount += 1
        guard trailerCount <= limits.fieldCount else { throw .tooManyFields(limits.fieldCount) }
        // Trailers are checked and dropped: nothing here reads one, and merging them into the head
        // would let fields be forged.
        _ = try parseField(line)
        clearLine()
      case .end:
        self = RequestParser(limits: limits)
        return .end
      case .refused(let refusal):
        throw refusal
      }
    }
  }

  /// Collects a line up to its CRLF, which is consumed and not kept. False if the input ended
  /// before it.
  private mutating func takeLine(
    _ input: Span<UInt8>, _ cursor: inout Int, limit: Int, over: (Int) -> RequestRefusal
  ) throws(RequestRefusal) -> Bool {
    while cursor < input.count {
      let byte = input[cursor]
      if sawCarriageReturn {
        guard byte == 0x0A else { throw .bareCarriageReturn }
        sawCarriageReturn = false
        cursor += 1
        return true
      }
      if byte == 0x0D {
        sawCarriageReturn = true
        cursor += 1
        continue
      }
      if byte == 0x0A { throw .bareLineFeed }
      guard isText(byte) else { throw .controlByte(byte) }
      let room = limit - line.count
      guard room > 0 else { throw over(limit) }
      var end = cursor + 1
      let last = cursor + min(room, input.count - cursor)
      while end < last, isText(input[end]) { end += 1 }
      input.extracting(cursor..<end).withUnsafeBufferPointer { line.append(contentsOf: $0) }
      cursor = end
    }
    return false
  }

  private func isText(_ byte: UInt8) -> Bool { (byte >= 0x20 && byte != 0x7F) || byte == 0x09 }

  private func takeBody(_ input: Span<UInt8>, _ cursor: inout Int, _ remaining: Int) -> Range<Int>? {
    guard cursor < input.count else { return nil }
    let start = cursor
    cursor += min(remaining, input.count - cursor)
    return start..<cursor
  }

  private mutating func takeChunkEnd(
    _ input: Span<UInt8>, _ cursor: inout Int
  ) throws(RequestRefusal) -> Bool {
    while cursor < input.count {
      let wanted: UInt8 = sawCarriageReturn ? 0x0A : 0x0D
      guard input[cursor] == wanted else { throw .chunk("data that is longer than its size says") }
      cursor += 1
      sawCarriageReturn.toggle()
      if !sawCarriageReturn { return true }
    }
    return false
  }

  private mutating func clearLine() { line.removeAll(keepingCapacity: true) }

  private func fieldsOver(_ limit: Int) -> RequestRefusal { .fieldsTooLarge(limits.fieldBytes) }

  private func chunkLineOver(_ limit: Int) -> RequestRefusal {
    .chunkExtensionsTooLarge(limits.chunkExtensionBytes)
  }
}
