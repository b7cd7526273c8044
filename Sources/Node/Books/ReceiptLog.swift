// ReceiptLog.swift: adds receipts to the journal, reacts to the journal's notices, re-executes
// receipts and shows them. Not here: checkpoints (Signing), what the receipt of a content says
// (Transcript). Start at seal.
import Accounting
import Control
import Receipts
import Scheduling
import Synchronization

final class ReceiptLog: Sendable {
  /// Jobs whose answers are on the disk before their receipts are logged.
  struct Keeping: Sendable {
    let isKept: @Sendable (JobID) -> Bool
    /// Writes the answer to the disk, then calls `append`.
    let keep: @Sendable (JobID, _ append: @escaping @Sendable () -> Void) -> Void
    /// Called when the receipt is on the disk too.
    let ended: @Sendable (JobID) -> Void
    /// Called when the journal refused the receipt.
    let held: @Sendable (JobID) -> Void
  }

  private let runtime: Runtime
  private let signing: Signing
  private let transcripts: Transcripts
  private let archive: TranscriptArchive
  private let model: ServedModel
  private let admission: Admission
  private let configuration: LiveConfiguration
  private let keeping: Keeping

  init(
    _ runtime: Runtime, signing: Signing, transcripts: Transcripts, archive: TranscriptArchive,
    model: ServedModel, admission: Admission, configuration: LiveConfiguration, keeping: Keeping
  ) {
    self.runtime = runtime
    self.signing = signing
    self.transcripts = transcripts
    self.archive = archive
    self.model = model
    self.admission = admission
    self.configuration = configuration
    self.keeping = keeping
  }

  func seal(_ seal: Seal) {
    guard let transcript = transcripts.find(seal.job), let facts = runtime.state.withLock({ $0.facts }) else {
      runtime.note(.error, "job \(seal.job.hex) has no content to receipt")
      return runtime.send(.receiptRefused(seal.job))
    }
    let receipt = transcript.receipt(
      seal, facts: facts, node: signing.notary?.key.fingerprint ?? "",
      currency: configuration.current.currency)
    if keeping.isKept(seal.job) {
      keeping.keep(seal.job) { [weak self] in self?.append(receipt, of: transcript, isKept: true) }
    } else {
      append(receipt, of: transcript, isKept: false)
    }
  }

  private func append(_ receipt: Receipts.Receipt, of transcript: Transcript, isKept: Bool) {
    let job = transcript.id
    runtime.journal.append([.receipt(receipt)], at: NodeClock.now().wall) { [weak self] result in
      guard let self else { return }
      switch result {
      case .success(let appended):
        guard let logged = appended.first, case .receipt(let receipt) = logged.entry.record,
          let id = logged.receiptID
        else { return }
        archive.keep(
          transcript, receipt: receipt, id: id, for: configuration.current.audits.keepTranscripts,
          at: NodeClock.now().monotonic)
        if isKept { keeping.ended(job) }
        runtime.send(.receiptLogged(job, index: UInt64(clamping: receipt.index), id: id))
      case .failure(let error):
        runtime.send(.note(.error, who: nil, "job \(job.hex.prefix(8)) gets no receipt: \(error)"))
        runtime.send(.receiptRefused(job))
        if isKept { keeping.held(job) }
        runtime.journalRefused(error)
      }
    }
  }

  func hear(_ notice: JournalNotice) {
    switch notice {
    case .committed: signing.notary?.committed()
    case .sealed(let segment): signing.notary?.sealed(segment: segment)
    case .lowSpace(let isLow): runtime.send(.lowSpace(isLow))
    case .stopped(let error): runtime.send(.journalFailed("\(error)"))
    }
  }

  func audited(_ transcript: Transcript) {
    guard let audit = transcript.audit, let facts = runtime.state.withLock({ $0.facts }) else { return }
    let difference = transcript.difference(facts: facts)
    archive.audited(audit.id)
    runtime.send(.audited(receipt: audit.id, difference.map { .failed($0.placed) } ?? .audited))
    runtime.record([
      .audit(
        difference?.audit(of: audit.receipt.index) ?? Audit(receipt: audit.receipt.index, outcome: .identical)
      )
    ])
  }

  /// Draws audits among the receipts since the last draw, if nothing else runs.
  func startAudit(at now: Moment) {
    archive.expire(at: now.monotonic)
    let share = configuration.current.audits.share
    guard share > 0, runtime.state.withLock({ $0.isIdle }) else { return }
    guard let receipt = archive.nextToAudit(share: share) else { return }
    if case .refused(let words) = verify(receipt: receipt) {
      runtime.send(.audited(receipt: receipt, .notRun(words)))
    }
  }

  /// Re-executes a receipt, now or when the engine is idle.
  func verify(receipt: String) -> CommandReply {
    guard let kept = archive.find(receipt) else {
      return .refused(
        "the transcript of receipt \(receipt.prefix(8)) is no longer in memory; 'hotpot verify' with the client's transcript checks it"
      )
    }
    guard let serving = model.serving else { return .refused("no model is loaded") }
    // Another model's bits say nothing about this receipt.
    guard kept.receipt.modelSHA256 == serving.facts.modelDigest,
      kept.receipt.numerics == serving.facts.profile
    else {
      return .refused(
        "receipt \(kept.id.prefix(8)) is of model '\(kept.receipt.model)' in \(kept.receipt.numerics), this node runs '\(serving.facts.model)' in \(serving.facts.profile) now"
      )
    }
    let refusal = Mutex<Refusal?>(nil)
    guard
      let prepared = serving.prepareAudit(
        of: kept, id: Admission.makeJobID(),
        sink: { event in if case .refused(let reason) = event { refusal.withLock { $0 = reason } } })
    else {
      return .refused("receipt \(kept.id.prefix(8)) has no output to check")
    }
    // A refusal has been reported by the time this returns.
    _ = admission.submit(prepared)
    if let reason = refusal.withLock({ $0 }) {
      return .refused("receipt \(kept.id.prefix(8)) cannot be verified now: \(reason)")
    }
    return .done("verifying receipt \(kept.id.prefix(8)) when the engine is idle")
  }

  // MARK: showing

  /// The newest jobs that ended, from the journal.
  func endedJobs(
    limit: Int, times: ClosedRange<Microseconds>, where isWanted: (Record) -> Bool
  ) throws(JournalError) -> [PastEntry] {
    try runtime.journal.endedJobs(limit: limit, times: times, where: isWanted)
  }

  /// Everything about a receipt, by its id or the beginning of one.
  func receiptDetail(_ id: String) throws(JournalError) -> ReceiptDetail {
    let logged = try runtime.journal.receipt(at: try index(ofReceipt: id))
    let receipt = logged.receipt
    let row =
      runtime.state.withLock { $0.receipts.row(logged.id) }
      ?? ReceiptRow(
        id: logged.id, index: UInt64(clamping: receipt.index), job: JobID(receipt.job).hex,
        client: receipt.client,
        model: receipt.model, time: receipt.ended, promptTokens: receipt.promptTokens,
        outputTokens: receipt.completionTokens, amount: receipt.amount,
        state: NodeState.state(logged.status.seal), audit: NodeState.audit(logged.status.reexecution))
    var fields: [[String]] = [
      ["receipt", logged.id], ["index", "\(receipt.index)"], ["line", "\(logged.entry.envelope.seq)"],
      ["node", receipt.node], ["job", JobID(receipt.job).hex], ["client", receipt.client],
      ["model", receipt.model], ["model sha256", receipt.modelSHA256.hex], ["numerics", receipt.numerics],
      ["prompt commitment", receipt.promptCommitment.hex],
      ["output commitment", receipt.outputCommitment.hex],
      ["prompt tokens", "\(receipt.promptTokens), \(receipt.cachedTokens) cached"],
      ["completion tokens", "\(receipt.completionTokens) of at most \(receipt.maxTokens)"],
      ["temperature", "\(receipt.sampler.temperature)"], ["seed", "\(receipt.sampler.seed)"],
      ["finish", receipt.finish.rawValue],
      ["amount", "\(Amount(micro: receipt.amount)) \(receipt.currency)"],
      ["previous line", logged.entry.envelope.previous.hex],
    ]
    for (number, window) in receipt.windows.enumerated() { fields.append(["window \(number)", window.hex]) }
    return ReceiptDetail(row: row, fields: fields, line: String(decoding: logged.line, as: UTF8.self))
  }

  func index(ofReceipt id: String) throws(JournalError) -> Int {
    let found = runtime.journal.read { $0.indexes(idPrefix: id, limit: 2) }
    guard let index = found.first else { throw .noReceipt("has an id that begins with '\(id.prefix(20))'") }
    guard found.count == 1 else { throw .noReceipt("is meant: several ids begin with '\(id.prefix(20))'") }
    return index
  }

  /// A bundle that can be verified anywhere.
  /// - earlier: the size of a checkpoint that the reader holds; the bundle then includes the proof
  ///   that the log continues it
  func bundle(_ id: String, earlier: Int? = nil) throws(JournalError) -> ReceiptBundle {
    let logged = try runtime.journal.receipt(at: try index(ofReceipt: id))
    guard let (made, signed) = signing.bundle(of: logged) else {
      throw .noReceipt("'\(logged.id)' is under a signed checkpoint yet; try again in a second")
    }
    var bundle = made
    if let earlier {
      let size = signed.checkpoint.size
      guard let proof = runtime.journal.consistency(from: min(earlier, size), to: max(earlier, size)) else {
        throw .noReceipt("lies in a log that continues one of \(earlier) receipts: this log is shorter")
      }
      bundle.consistency = proof.text
    }
    return bundle
  }
}
