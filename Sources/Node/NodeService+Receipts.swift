// NodeService+Receipts.swift: receipts into the journal, what journal and notary say, and receipts run again.
// Start at seal.
import Control
import Receipts
import Scheduling
import Synchronization

extension NodeService {
  func seal(_ seal: Seal) {
    guard let transcript = transcripts.find(seal.job), let facts = state.withLock({ $0.facts }) else {
      note(.error, "job \(seal.job.hex) has no content to receipt")
      return send(.receiptRefused(seal.job))
    }
    let receipt = transcript.receipt(
      seal, facts: facts, node: notary?.key.fingerprint ?? "", currency: options.configuration.currency)
    if asynchronous.isAlive(seal.job) {
      keepAnswer(of: seal.job) { [weak self] in self?.append(receipt, of: transcript, isKept: true) }
    } else {
      append(receipt, of: transcript, isKept: false)
    }
  }

  private func append(_ receipt: Receipts.Receipt, of transcript: Transcript, isKept: Bool) {
    let job = transcript.id
    journal.append([.receipt(receipt)], at: Self.now().wall) { [weak self] result in
      guard let self else { return }
      switch result {
      case .success(let appended):
        guard let logged = appended.first, case .receipt(let receipt) = logged.entry.record,
          let id = logged.receiptID
        else { return }
        archive.keep(
          transcript, receipt: receipt, id: id, for: options.configuration.audits.keepTranscripts,
          at: Self.now().monotonic)
        if isKept { ended(job) }
        send(.receiptLogged(job, index: UInt64(clamping: receipt.index), id: id))
      case .failure(let error):
        send(.note(.error, who: nil, "job \(job.hex.prefix(8)) gets no receipt: \(error)"))
        send(.receiptRefused(job))
        if isKept { asynchronous.held(job, at: Self.now()) }
        journalRefused(error)
      }
    }
  }

  func hear(_ notice: JournalNotice) {
    switch notice {
    case .committed: notary?.committed()
    case .sealed(let segment): notary?.sealed(segment: segment)
    case .lowSpace(let isLow): send(.lowSpace(isLow))
    case .stopped(let error): send(.journalFailed("\(error)"))
    }
  }

  func hear(_ notice: NotaryNotice) {
    switch notice {
    case .signed(let checkpoint):
      send(.checkpointSigned(size: UInt64(checkpoint.size), time: checkpoint.time))
    case .sealed: break
    case .failed(let error): send(.signingFailed("\(error)"))
    }
  }

  func audited(_ transcript: Transcript) {
    guard let audit = transcript.audit, let facts = state.withLock({ $0.facts }) else { return }
    let difference = transcript.difference(facts: facts)
    archive.audited(audit.id)
    send(.audited(receipt: audit.id, difference.map { .failed("\($0)") } ?? .audited))
    record([
      .audit(
        difference?.audit(of: audit.receipt.index) ?? Audit(receipt: audit.receipt.index, outcome: .identical)
      )
    ])
  }

  /// Re-executes a receipt now, or when the engine is idle.
  func verify(receipt: String) -> CommandReply {
    guard let kept = archive.find(receipt) else {
      return .refused(
        "the transcript of receipt \(receipt.prefix(8)) is no longer in memory; 'hotpot verify' with the client's transcript checks it"
      )
    }
    guard let serving else { return .refused("no model is loaded") }
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
    // What refuses it says so before this returns.
    _ = admission.submit(prepared)
    if let reason = refusal.withLock({ $0 }) {
      return .refused("receipt \(kept.id.prefix(8)) cannot be verified now: \(reason)")
    }
    return .done("verifying receipt \(kept.id.prefix(8)) when the engine is idle")
  }
}
