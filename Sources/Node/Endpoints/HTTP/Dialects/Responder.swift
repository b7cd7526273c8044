// Responder.swift: passes the events of one job through the writer of its dialect to the answer's
// destination. What the pieces contain is in Dialect. Start at take.
import Intake
import Synchronization

final class Responder: Sendable {
  /// Puts the receipt into the last event.
  typealias Completion = @Sendable (AnswerEvent, _ deliver: @escaping @Sendable (AnswerEvent) -> Void) -> Void

  private let writer: Mutex<any AnswerWriter>
  private let completion: Completion?
  private let output: @Sendable (AnswerPiece) -> Void

  /// - completion: for answers with their receipt inside; it may deliver the last event later.
  /// - output: a connection, a store, a control socket. Called in order, from the node's threads.
  init(
    _ writer: any AnswerWriter, completion: Completion? = nil,
    output: @escaping @Sendable (AnswerPiece) -> Void
  ) {
    self.writer = Mutex(writer)
    self.completion = completion
    self.output = output
  }

  /// One event of the job. Called in order.
  func take(_ event: AnswerEvent) {
    guard let completion else { return write(event) }
    // The last event keeps this alive until it is delivered.
    completion(event) { self.write($0) }
  }

  private func write(_ event: AnswerEvent) {
    // Outside the lock: the receiver of a piece may cause the job's end.
    for piece in writer.withLock({ $0.take(event) }) { output(piece) }
  }

  /// The job waits for the operator.
  func wait() { for piece in writer.withLock({ $0.wait() }) { output(piece) } }
}

extension Exchange {
  func send(_ piece: AnswerPiece) {
    switch piece {
    case .begin: startEvents()
    case .beginLines: startStream(status: 200, fields: [("Content-Type", "application/x-ndjson")])
    case .event(let line): send(line: line)
    case .named(let name, let line): send(event: name, data: String(decoding: line, as: UTF8.self))
    case .line(let line): send(line + [0x0A])
    case .comment(let text): send(comment: text)
    case .end: finish()
    case .whole(let response): respond(response)
    }
  }
}
