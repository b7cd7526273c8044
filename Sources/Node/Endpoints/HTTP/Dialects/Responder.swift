// Responder.swift: the events of one job through the writer of its dialect, to wherever the answer goes.
// Leaves out what the pieces hold (Dialect). Start at take.
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
    // Outside the lock: who gets a piece may bring the job's end.
    for piece in writer.withLock({ $0.take(event) }) { output(piece) }
  }

  /// The job waits for the operator.
  func wait() { for piece in writer.withLock({ $0.wait() }) { output(piece) } }
}

extension Exchange {
  func send(_ piece: AnswerPiece) {
    switch piece {
    case .begin: startEvents()
    case .event(let line): send(line: line)
    case .comment(let text): send(comment: text)
    case .end: finish()
    case .whole(let response): respond(response)
    }
  }
}
