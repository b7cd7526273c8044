// BoundedThinking.swift: a model's thinking that may take only so many tokens: how far an answer is in
// it, and the token that then must come. A function of the answer's tokens alone, so that whoever runs
// a receipt again closes the thinking at the same token. Start at BoundedThinking.forced.
import Grammar
import Inference

/// Thinking that ends after some tokens of the answer: its closing mark is then all that may follow.
struct BoundedThinking: Sendable {
  let open: [UInt8]
  let close: [UInt8]
  let isBegun: Bool
  /// Tokens of the answer.
  let most: Int
  /// The closing mark's.
  let closing: [Int32]

  /// Nil if the thinking has no bound.
  init?(_ thinking: MessageShape.Thinking, _ closing: [Int32]) {
    guard let most = thinking.tokens, !closing.isEmpty else { return nil }
    open = Array(thinking.open.utf8)
    close = Array(thinking.close.utf8)
    isBegun = thinking.isBegun
    self.most = most
    self.closing = closing
  }

  /// How far an answer is.
  struct Progress: Sendable {
    enum Phase { case before, open, over }
    var phase: Phase
    /// The bytes that may be part of a mark.
    var tail: [UInt8] = []
  }

  var start: Progress { Progress(phase: isBegun ? .open : .before) }

  func advance(_ progress: inout Progress, _ bytes: [UInt8]) {
    for byte in bytes {
      switch progress.phase {
      case .over: return
      case .before:
        if progress.tail.isEmpty, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09,
          open.first != byte
        {
          continue
        }
        progress.tail.append(byte)
        if progress.tail == open {
          progress = Progress(phase: .open)
        } else if !open.starts(with: progress.tail) {
          progress = Progress(phase: .over)
        }
      case .open:
        progress.tail.append(byte)
        if progress.tail.count > close.count { progress.tail.removeFirst() }
        if progress.tail == close { progress = Progress(phase: .over) }
      }
    }
  }

  /// The token that must come next; nil if the thinking may go on, or cannot be closed right here.
  func forced(
    _ progress: Progress, after output: ArraySlice<Int32>, _ state: ConstraintState, _ tokenizer: Tokenizer
  ) -> Int32? {
    guard progress.phase == .open, output.count >= most else { return nil }
    // As many tokens of the mark as were forced already.
    for done in (0..<closing.count).reversed() where output.count - done >= most {
      guard output.suffix(done).elementsEqual(closing.prefix(done)) else { continue }
      var state = state
      if state.advance(closing.dropFirst(done).flatMap { tokenizer.bytes(of: $0) }) { return closing[done] }
    }
    return nil
  }
}
