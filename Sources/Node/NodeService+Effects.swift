// NodeService+Effects.swift: events into the state machine, and what it wants done. Start at send.
import Control
import Receipts
import Scheduling

extension NodeService {
  /// Something that is decided under the lock, and done outside it.
  ///
  /// Rule: records join the journal's queue under the lock. Why: what the lock makes visible
  /// another thread acts on at once, and its record must not stand before the one that made it. So:
  /// a job's acceptance is queued before the engine can know the job. Otherwise a receipt precedes
  /// its acceptance, and a restart runs the job again.
  func decide<Value: Sendable>(_ body: (inout NodeState, Moment, inout [NodeEffect]) -> Value) -> Value {
    let (value, effects) = state.withLock { state -> (Value, [NodeEffect]) in
      var effects: [NodeEffect] = []
      let now = Self.now()
      let value = body(&state, now, &effects)
      let records = effects.compactMap { if case .record(let record) = $0 { record } else { nil } }
      if !records.isEmpty { record(records, at: now.wall) }
      return (value, effects)
    }
    perform(effects)
    return value
  }

  /// One event.
  func send(_ event: NodeEvent) {
    decide { state, now, effects in
      effects = state.apply(event, at: now)
      options.trace?.record(.event(event), at: now, effects)
    }
  }

  func note(_ level: LogLevel, who: String? = nil, _ text: String) { send(.note(level, who: who, text)) }

  func nextStep() -> StepPlan? {
    decide { state, now, effects in
      guard let next = state.nextStep(at: now) else { return nil }
      options.trace?.record(.plan, at: now, next.effects)
      effects = next.effects
      return next.plan
    }
  }

  /// All but the records, which have been queued.
  private func perform(_ effects: [NodeEffect]) {
    var isOver = false
    for effect in effects {
      switch effect {
      case .answer(let id, let event): answer(id, event)
      case .forget(let id): forget(id)
      case .seal(let seal): self.seal(seal)
      case .prepare(let id, let event): prepareAnswer(id, event)
      case .end(let ended): conclude(ended)
      case .record: break
      case .log(let line): options.log(line)
      case .wakeEngine: parts.withLock { $0.loop }?.signal()
      case .stop: isOver = true
      }
    }
    // Its last records are queued before the journal's end.
    if isOver { finish() }
  }

  func record(_ records: [Record]) { record(records, at: Self.now().wall) }

  private func record(_ records: [Record], at time: Microseconds) {
    journal.append(records, at: time) { [weak self] result in
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

  func answer(_ id: JobID, _ event: AnswerEvent) {
    guard let transcript = transcripts.find(id) else { return }
    switch event {
    case .admitted, .started, .text: transcript.tell(event)
    case .finished(let end): transcript.end { .finished(transcript.opening(end, $0)) }
    case .cut(let end, let refusal): transcript.end { .cut(transcript.opening(end, $0), refusal) }
    case .refused: transcript.end { _ in event }
    }
  }

  private func forget(_ id: JobID) {
    transcripts.remove(id)
    asynchronous.forgotten(id, at: Self.now())
  }
}
