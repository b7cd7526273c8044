// Responder.swift: passes the events of one job through the writer of its dialect to the answer's
// destination. What the pieces contain is in Dialect. Start at take.
import Intake
import Synchronization

final class Responder: Sendable {
  private let writer: Mutex<any AnswerWriter>
  private let output: @Sendable (AnswerPiece) -> Void

  /// - output: a connection, a store, a control socket. Called in order, from the node's threads.
  init(_ writer: any AnswerWriter, output: @escaping @Sendable (AnswerPiece) -> Void) {
    self.writer = Mutex(writer)
    self.output = output
  }

  /// One event of the job. Called in order.
  func take(_ event: AnswerEvent) {
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
