// InlineReceipts.swift: puts the receipt itself into the end of an answer whose client wants it
// there, signed alone. On a queue of its own: a signature is a process of some milliseconds, and
// neither the engine nor the journal waits for it. Start at Signing.complete.
import Dispatch
import Receipts

extension Signing {
  /// Calls `deliver` once with the event: at once, or, for the end of a job that has a receipt, when
  /// the receipt's line was read and signed. Without a signature the line goes alone.
  func complete(_ event: AnswerEvent, _ deliver: @escaping @Sendable (AnswerEvent) -> Void) {
    let end: AnswerEnd
    switch event {
    case .admitted, .started, .text, .refused: return deliver(event)
    case .finished(let found), .cut(let found, _): end = found
    }
    guard let id = end.receipt else { return deliver(event) }
    inlineQueue.async { [self] in
      var end = end
      end.inline = inlineReceipt(id)
      if case .cut(_, let refusal) = event { deliver(.cut(end, refusal)) } else { deliver(.finished(end)) }
    }
  }

  private func inlineReceipt(_ id: String) -> InlineReceipt? {
    let index = runtime.journal.read { $0.indexes(idPrefix: id, limit: 1).first }
    let line: [UInt8]
    do throws(JournalError) {
      guard let index else { throw .noReceipt("has the id '\(id)'") }
      line = try runtime.journal.receipt(at: index).line
    } catch {
      runtime.note(.error, "receipt \(id.prefix(8)) cannot be put into its answer: \(error)")
      return nil
    }
    var signature: String?
    do throws(SignatureError) { signature = try sign(receiptLine: line) } catch {
      runtime.note(.warning, "receipt \(id.prefix(8)) goes into its answer unsigned: \(error)")
    }
    return InlineReceipt(line: String(decoding: line, as: UTF8.self), signature: signature)
  }
}
