// MessageParser.swift: an answer's text, piece by piece, to reasoning, content and calls. It never
// fails: what is no call is content, whole and in order, and nothing that was sent is taken back. A
// call is sent when it is whole (decision Tools/0001). Linear in the text: what was found to be no
// call is not searched again. Start at `feed`.

/// The marks around a model's reasoning.
package struct ReasoningTags: Sendable, Equatable {
  package let open: Marker
  package let close: Marker

  package init(open: Marker, close: Marker) {
    self.open = open
    self.close = close
  }

  /// Where an answer begins.
  package enum Start: Sendable {
    /// In the reasoning, which the prompt has opened.
    case begun
    /// Where reasoning may open.
    case possible
    /// Behind it.
    case over
  }

  package func start(after prompt: String) -> Start {
    let end = trimmingSpace(String(decoding: prompt.utf8.suffix(256), as: UTF8.self))
    return end.hasSuffix(open.text) ? .begun : end.hasSuffix(close.text) ? .over : .possible
  }

  package static let think = ReasoningTags(open: "<think>", close: "</think>")
  package static let bracketed = ReasoningTags(open: "[THINK]", close: "[/THINK]")
  package static let command = ReasoningTags(open: "<|START_THINKING|>", close: "<|END_THINKING|>")
  package static let thoughtChannel = ReasoningTags(open: "<|channel>thought", close: "<channel|>")
}

package struct MessageParser: Sendable {
  private enum Mode: Sendable {
    case content
    case reasoning
    /// From `start` on a call may be written, which `reader` reads.
    case call
    /// As `.call`, inside the reasoning: calls count only if nothing else follows them, since a model
    /// that forgot to close its reasoning stops after its calls.
    case quoted
    /// Channels: from `start` on a header says what the message is.
    case header
    case message(Channels.Kind)
    /// Channels: a message has ended.
    case betweenMessages
  }

  private let format: ToolFormat?
  private let shape: CallShape?
  private let tags: ReasoningTags?
  private let tools: [ToolDefinition]

  private var text = CallText()
  private var mode: Mode
  private var start = 0
  private var reader: CallReader?
  private var quotedCalls: [ToolCall] = []
  /// Whether something that isn't white space was sent as content.
  private var hasContent = false
  private var hasReasoning = false
  /// Whether white space in front of the content is dropped: not where the answer is its text.
  private let trimsStart: Bool
  /// Whether a block of reasoning may still open: it may where the answer begins.
  private var mayReason: Bool
  /// White space that is content only if content follows.
  private var heldSpace = ""
  private var events: [MessageEvent] = []
  private var closeSearched = 0
  private var firstBytes: Set<UInt8> = []

  /// How many calls were sent.
  package private(set) var callCount = 0

  /// - Parameters:
  ///   - format: How the model writes calls; nil if it writes none.
  ///   - reasoning: The marks around its reasoning; nil if it writes none, or if the format's own
  ///     channels carry it.
  ///   - tools: The tools that the request offers. Without any there are no calls.
  ///   - prompt: The prompt's end. Reasoning that it opens has begun.
  package init(format: ToolFormat?, reasoning: ReasoningTags?, tools: [ToolDefinition], prompt: String = "") {
    self.format = format
    self.tools = tools
    shape = tools.isEmpty ? nil : format?.shape
    trimsStart = shape != nil || reasoning != nil || format?.channels != nil
    if format?.channels != nil {
      tags = nil
      mode = .header
      mayReason = false
      return
    }
    tags = reasoning
    let start = reasoning?.start(after: prompt) ?? .over
    mode = start == .begun ? .reasoning : .content
    mayReason = start != .over
    let markers =
      (shape.map { $0.openers + $0.openersAtStart } ?? []) + (format?.silentMarkers ?? [])
      + (reasoning.map { [$0.open] } ?? [])
    firstBytes = Set(markers.compactMap(\.bytes.first))
  }

  /// What the next piece of the answer says.
  package mutating func feed(_ piece: String) -> [MessageEvent] {
    text.append(piece)
    while advance() {}
    compact()
    return take()
  }

  /// What the rest says when the answer has ended.
  package mutating func finish(isCut: Bool) -> [MessageEvent] {
    let end = text.bytes.count
    switch mode {
    case .content, .betweenMessages: sendContent(text.text(text.at..<end))
    case .reasoning, .message(.reasoning): sendReasoning(text.text(text.at..<end))
    case .message: sendContent(text.text(text.at..<end))
    case .call:
      if reader?.isBetweenCalls != true { sendContent(text.text(start..<end)) }
    case .quoted:
      if !quotedCalls.isEmpty, reader?.isBetweenCalls ?? true, !isCut {
        quotedCalls.forEach { send($0) }
      } else {
        sendReasoning(text.text(start..<end))
      }
    case .header: sendContent(text.text(start..<end))
    }
    text.advance(to: end)
    if callCount == 0, hasContent || !hasReasoning, !heldSpace.isEmpty, !isInReasoning {
      events.append(.content(heldSpace))
    }
    events.append(.finished(isCut ? .length : callCount > 0 ? .toolCalls : .stop))
    return take()
  }

  private var isInReasoning: Bool {
    switch mode {
    case .reasoning, .quoted, .message(.reasoning): true
    default: false
    }
  }

  private mutating func take() -> [MessageEvent] {
    defer { events = [] }
    return events
  }

  private mutating func compact() {
    switch mode {
    case .content, .reasoning, .message, .betweenMessages: closeSearched -= text.compact(from: text.at)
    // The text of a call is kept until it is decided.
    case .call, .quoted, .header: break
    }
    closeSearched = max(closeSearched, 0)
  }

  /// Decides what can be decided; false if the text has to grow first.
  private mutating func advance() -> Bool {
    switch mode {
    case .content: advanceContent()
    case .reasoning: advanceReasoning()
    case .call: advanceCall()
    case .quoted: advanceQuoted()
    case .header: advanceHeader()
    case .message(let kind): advanceMessage(kind)
    case .betweenMessages: advanceBetweenMessages()
    }
  }

  // MARK: Content and reasoning

  private mutating func advanceContent() -> Bool {
    var place = text.at
    let start = text.at + text.bytes[text.at...].prefix(while: isSpace).count
    while place < text.bytes.count {
      guard firstBytes.contains(text.bytes[place]) else {
        place += 1
        continue
      }
      let isStart = !hasContent && callCount == 0 && place <= start
      switch found(at: place, isStart: isStart) {
      case .nothing: place += 1
      case .wait:
        sendContent(text.text(text.at..<place))
        text.advance(to: place)
        return false
      case .silence(let marker):
        sendContent(text.text(text.at..<place))
        text.advance(to: place + marker.bytes.count)
        return true
      case .reasoning(let marker):
        heldSpace = ""
        text.advance(to: place + marker.bytes.count)
        closeSearched = text.at
        mode = .reasoning
        return true
      case .call:
        guard let shape else { return false }
        sendContent(text.text(text.at..<place))
        text.advance(to: place)
        begin(.call, CallReader(shape), at: place)
        return true
      }
    }
    sendContent(text.text(text.at..<place))
    text.advance(to: place)
    return false
  }

  private enum Found {
    case nothing, wait, call
    case silence(Marker)
    case reasoning(Marker)
  }

  private func found(at place: Int, isStart: Bool) -> Found {
    var waits = false
    func stands(_ marker: Marker) -> Bool {
      let match = text.match(marker, at: place)
      if match == .more { waits = true }
      return match == .yes
    }
    if isStart, mayReason, let tags, stands(tags.open) { return .reasoning(tags.open) }
    for marker in format?.silentMarkers ?? [] where stands(marker) { return .silence(marker) }
    for marker in shape?.openers ?? [] where stands(marker) { return .call }
    if isStart {
      for marker in shape?.openersAtStart ?? [] where stands(marker) { return .call }
    }
    return waits ? .wait : .nothing
  }

  private mutating func advanceReasoning() -> Bool {
    guard let tags else { return false }
    // A model may repeat the mark that its prompt ended with.
    if !hasReasoning {
      let start = text.at + text.bytes[text.at...].prefix(while: isSpace).count
      switch text.match(tags.open, at: start) {
      case .more where start < text.bytes.count: return false
      case .yes:
        text.advance(to: start + tags.open.bytes.count)
        return true
      case .more, .no: break
      }
    }
    var place = text.at
    while place < text.bytes.count {
      let close = text.match(tags.close, at: place)
      if close == .yes {
        sendReasoning(text.text(text.at..<place))
        text.advance(to: place + tags.close.bytes.count)
        heldSpace = ""
        mayReason = false
        mode = .content
        return true
      }
      let opens = (shape?.openers ?? []).map { text.match($0, at: place) }
      if opens.contains(.yes) {
        sendReasoning(text.text(text.at..<place))
        text.advance(to: place)
        closeSearched = place
        quotedCalls = []
        begin(.quoted, shape.map { CallReader($0) }, at: place)
        return true
      }
      if close == .more || opens.contains(.more) { break }
      place += 1
    }
    sendReasoning(text.text(text.at..<place))
    text.advance(to: place)
    return false
  }

  // MARK: Calls

  private mutating func begin(_ mode: Mode, _ reader: CallReader?, at place: Int) {
    self.mode = mode
    self.reader = reader
    start = place
  }

  private mutating func advanceCall() -> Bool {
    switch reader?.step(&text, tools) ?? .end {
    case .next: break
    case .more: return false
    case .call(let call):
      send(call)
      start = text.at
    case .no:
      // What was searched is not searched again, so that a text full of openings stays cheap.
      let end = text.boundary(max(text.searched, text.at, start + 1))
      sendContent(text.text(start..<end))
      text.advance(to: end)
      mode = format?.channels == nil ? .content : .message(.content)
    case .end: mode = format?.channels == nil ? .content : .betweenMessages
    }
    return true
  }

  private mutating func advanceQuoted() -> Bool {
    guard let tags else { return false }
    // Reasoning that is closed later was reasoning.
    while closeSearched < text.bytes.count {
      let match = text.match(tags.close, at: closeSearched)
      if match == .more { break }
      guard match == .yes else {
        closeSearched += 1
        continue
      }
      sendReasoning(text.text(start..<closeSearched))
      text.rewind(to: closeSearched)
      mode = .reasoning
      return true
    }
    guard reader != nil else {
      // The calls so far are whole. More of them may follow, or nothing.
      text.skipSpace()
      let place = text.at
      guard place < text.bytes.count else { return false }
      let opens = (shape?.openers ?? []).map { text.match($0, at: place) }
      if opens.contains(.yes) {
        reader = shape.map { CallReader($0) }
        return true
      }
      if opens.contains(.more) { return false }
      return unquote(place)
    }
    switch reader?.step(&text, tools) ?? .end {
    case .next: break
    case .more: return false
    case .call(let call): quotedCalls.append(call)
    case .no: return unquote(text.boundary(max(text.searched, text.at, start + 1)))
    case .end: reader = nil
    }
    return true
  }

  private mutating func unquote(_ end: Int) -> Bool {
    // A closing mark may have begun where the search for it waits.
    let end = min(end, max(closeSearched, start + 1))
    sendReasoning(text.text(start..<end))
    text.rewind(to: end)
    mode = .reasoning
    return true
  }

  // MARK: Channels

  private mutating func advanceHeader() -> Bool {
    guard let channels = format?.channels else { return false }
    if text.searched == start {
      // A header begins with one of its words; anything else is an answer without one.
      let begins = (channels.headerStarts + [channels.message]).map { text.match($0, at: start) }
      guard begins.contains(.yes) else {
        if begins.contains(.more) { return false }
        mode = .message(.content)
        return true
      }
    }
    while text.searched < text.bytes.count, text.searched - start < Channels.maximumHeader {
      switch text.match(channels.message, at: text.searched) {
      case .more: return false
      case .no: text.searched += 1
      case .yes:
        let header = text.text(start..<text.searched)
        let end = text.searched + channels.message.bytes.count
        let kind = channels.kind(header)
        text.advance(to: end)
        if case .call(let name) = kind, let shape {
          begin(.call, CallReader(shape, name: name), at: start)
          return true
        }
        if case .call = kind {
          sendContent(text.text(start..<end))
          mode = .message(.content)
          return true
        }
        if kind == .reasoning, hasReasoning { events.append(.reasoning("\n")) }
        mode = .message(kind)
        return true
      }
    }
    guard text.searched - start >= Channels.maximumHeader else { return false }
    mode = .message(.content)
    return true
  }

  private mutating func advanceMessage(_ kind: Channels.Kind) -> Bool {
    guard let channels = format?.channels else { return false }
    var place = text.at
    while place < text.bytes.count {
      var waits = false
      for end in channels.ends {
        switch text.match(end, at: place) {
        case .yes:
          sendMessage(kind, text.text(text.at..<place))
          text.advance(to: place + end.bytes.count)
          mode = .betweenMessages
          return true
        case .more: waits = true
        case .no: break
        }
      }
      if waits { break }
      place += 1
    }
    sendMessage(kind, text.text(text.at..<place))
    text.advance(to: place)
    return false
  }

  private mutating func sendMessage(_ kind: Channels.Kind, _ piece: String) {
    if kind == .reasoning { sendReasoning(piece) } else { sendContent(piece) }
  }

  private mutating func advanceBetweenMessages() -> Bool {
    guard let channels = format?.channels else { return false }
    text.skipSpace()
    guard !text.isAtEnd else { return false }
    for end in channels.ends {
      switch text.take(end) {
      case .yes: return true
      case .more: return false
      case .no: break
      }
    }
    if text.take(channels.start) == .more { return false }
    heldSpace = ""
    begin(.header, nil, at: text.at)
    return true
  }

  // MARK: Sending

  private mutating func send(_ call: ToolCall) {
    heldSpace = ""
    events.append(.call(index: callCount, id: call.id, name: call.name))
    events.append(.arguments(index: callCount, text: call.argumentsText))
    callCount += 1
  }

  /// Sends text as content. White space waits for what follows it: before and after reasoning and
  /// calls it is not part of the content.
  private mutating func sendContent(_ piece: String) {
    let isStart = trimsStart && !hasContent
    if isStart { heldSpace = "" }
    sendHolding(isStart ? withoutSpace(piece) : piece) {
      $0.hasContent = true
    } event: {
      .content($0)
    }
  }

  private mutating func sendReasoning(_ piece: String) {
    if !hasReasoning { heldSpace = "" }
    sendHolding(hasReasoning ? piece : withoutSpace(piece)) {
      $0.hasReasoning = true
    } event: {
      .reasoning($0)
    }
  }

  /// The text without white space in front.
  private func withoutSpace(_ text: String) -> String {
    String(decoding: Array(text.utf8.drop { isSpace($0) }), as: UTF8.self)
  }

  private mutating func sendHolding(
    _ piece: String, _ note: (inout Self) -> Void, event: (String) -> MessageEvent
  ) {
    let bytes = Array(piece.utf8)
    guard let last = bytes.lastIndex(where: { !isSpace($0) }) else {
      heldSpace += piece
      return
    }
    let sent = heldSpace + String(decoding: bytes[...last], as: UTF8.self)
    heldSpace = String(decoding: bytes[(last + 1)...], as: UTF8.self)
    note(&self)
    if case .content = events.last, case .content(let text) = event(sent),
      case .content(let before)? = events.popLast()
    {
      events.append(.content(before + text))
    } else {
      events.append(event(sent))
    }
  }
}
