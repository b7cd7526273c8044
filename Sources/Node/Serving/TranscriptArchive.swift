// TranscriptArchive.swift: contents of ended jobs, in memory for a while, for audits and for
// operators to view. Never on disk. Running audits is in ReceiptLog. Start at keep.
import Inference
import Receipts
import Scheduling
import Synchronization

/// The content of a receipted job.
struct KeptTranscript: Sendable {
  let id: String
  let job: JobID
  let receipt: Receipts.Receipt
  let prompt: [Int32]
  let output: [Int32]
  /// Tokens of the answer's text that the receipt does not include.
  var unreceipted: [Int32] = []
  var terms = Transcript.Terms()
  let promptText: String
  let answer: String
  let sampling: SamplingRequest
  let nonces: Nonces
  var nonceShare: Nonces?
  let until: Microseconds
}

/// Keeps a bounded number of them and forgets the oldest first.
final class TranscriptArchive: Sendable {
  private struct Inner {
    var kept: [KeptTranscript] = []
    /// Receipts among which `nextToAudit` has yet to draw.
    var fresh: [String] = []
    var tokens = 0
  }
  private let inner = Mutex(Inner())
  /// Bound on the tokens of all kept transcripts: 16 MB of ids.
  static let mostTokens = 4 << 20

  /// - seconds: how long it is kept; 0 keeps nothing.
  func keep(
    _ transcript: Transcript, receipt: Receipts.Receipt, id: String, for seconds: Int, at now: Microseconds
  ) {
    guard seconds > 0 else { return }
    let (output, answer) = transcript.outputAndAnswer
    let entry = KeptTranscript(
      id: id, job: transcript.id, receipt: receipt, prompt: transcript.prompt,
      output: Array(output.prefix(receipt.outputCount)),
      unreceipted: Array(output.dropFirst(receipt.outputCount)), terms: transcript.terms,
      promptText: transcript.promptText, answer: answer, sampling: transcript.sampling,
      nonces: transcript.nonces, nonceShare: transcript.nonceShare,
      until: now + Microseconds(seconds) * 1_000_000)
    inner.withLock { inner in
      inner.kept.append(entry)
      // Without an output there is nothing to re-execute.
      if !entry.output.isEmpty { inner.fresh.append(id) }
      inner.tokens += entry.prompt.count + entry.output.count
      while inner.tokens > Self.mostTokens { Self.dropOldest(&inner) }
    }
  }

  private static func dropOldest(_ inner: inout Inner) {
    guard let oldest = inner.kept.first else {
      inner.tokens = 0
      return
    }
    inner.tokens -= oldest.prompt.count + oldest.output.count
    inner.fresh.removeAll { $0 == oldest.id }
    inner.kept.removeFirst()
  }

  func expire(at now: Microseconds) {
    inner.withLock { inner in
      while let oldest = inner.kept.first, oldest.until <= now { Self.dropOldest(&inner) }
    }
  }

  /// By a receipt's id, or the beginning of one.
  func find(_ id: String) -> KeptTranscript? { inner.withLock { $0.kept.last { $0.id.hasPrefix(id) } } }

  func find(job: JobID) -> KeptTranscript? { inner.withLock { $0.kept.last { $0.job == job } } }

  /// It has been audited: `nextToAudit` will not choose it again.
  func audited(_ id: String) { inner.withLock { $0.fresh.removeAll { $0 == id } } }

  /// Draws for each receipt once, oldest first, until one is chosen.
  func nextToAudit(share: Double) -> String? {
    inner.withLock { inner in
      while let id = inner.fresh.first {
        inner.fresh.removeFirst()
        if Double.random(in: 0..<1) < share { return id }
      }
      return nil
    }
  }
}
