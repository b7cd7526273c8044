// NodeService+Effects.swift: events into the state machine, and what it wants done. Start at send.
import Receipts
import Scheduling

extension NodeService {
  /// One event: decided under the lock, done outside it.
  func send(_ event: NodeEvent) {
    perform(
      state.withLock { state in
        let now = Self.now()
        let effects = state.apply(event, at: now)
        options.trace?.record(.event(event), at: now, effects)
        return effects
      })
  }

  func note(_ level: LogLevel, who: String? = nil, _ text: String) { send(.note(level, who: who, text)) }

  func nextStep() -> StepPlan? {
    let next = state.withLock { state -> (plan: StepPlan, effects: [NodeEffect])? in
      let now = Self.now()
      let next = state.nextStep(at: now)
      if let next { options.trace?.record(.plan, at: now, next.effects) }
      return next
    }
    guard let (plan, effects) = next else { return nil }
    perform(effects)
    return plan
  }

  func perform(_ effects: [NodeEffect]) {
    var records: [Record] = []
    var isOver = false
    for effect in effects {
      switch effect {
      case .answer(let id, let event): answer(id, event)
      case .forget(let id): forget(id)
      case .seal(let seal): self.seal(seal)
      case .record(let record): records.append(record)
      case .log(let line): options.log(line)
      case .wakeEngine: parts.withLock { $0.loop }?.signal()
      case .stop: isOver = true
      }
    }
    if !records.isEmpty { record(records) }
    // The last records come before the journal's end.
    if isOver { finish() }
  }

  func record(_ records: [Record]) {
    journal.append(records, at: Self.now().wall) { [weak self] result in
      if case .failure(let error) = result { self?.journalRefused(error) }
    }
  }

  /// Calls `body` on the journal's queue, once all that was recorded before is on the disk, or with the reason why not.
  func whenRecorded(_ body: @escaping @Sendable (JournalError?) -> Void) {
    journal.append([], at: Self.now().wall) { result in
      if case .failure(let error) = result { body(error) } else { body(nil) }
    }
  }

  func journalRefused(_ error: JournalError) {
    switch error {
    case .refused: note(.error, "\(error)")
    case .closed: break
    case .locked, .file, .unsafe, .readOnly, .stopped, .noReceipt: send(.journalFailed("\(error)"))
    }
  }

  private func answer(_ id: JobID, _ event: AnswerEvent) {
    guard let transcript = transcripts.find(id) else { return }
    switch event {
    case .admitted, .started, .text: transcript.tell(event)
    case .finished(let end): transcript.end { .finished(transcript.opening(end, $0)) }
    case .cut(let end, let error): transcript.end { .cut(transcript.opening(end, $0), error) }
    case .refused: transcript.end { _ in event }
    }
  }

  private func forget(_ id: JobID) {
    transcripts.remove(id)
    strangersSpool.release(id)
    guard let spool else { return }
    do throws(FileError) {
      try spool.remove(job: id.rawValue)
    } catch {
      note(.warning, "the spooled request of job \(id.hex.prefix(8)) stays on disk: \(error)")
    }
  }

  /// A fresh id: random, so that no client guesses another's.
  func makeJobID() -> JobID {
    var generator = SystemRandomNumberGenerator()
    return JobID(generator.next())
  }
}
