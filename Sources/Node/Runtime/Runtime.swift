// Runtime.swift: the state machine under its lock: events in, effects out to their performers.
//
// Rule: decisions are made under the lock, and carried out outside it. Why: a write, a socket or a
// model must never block the engine or a screen. So: `send` applies an event, then performs its
// effects. Otherwise one slow disk would freeze every stream.
//
// Not here: deciding (NodeState), what the performers do. Start at send.
import Control
import Receipts
import Scheduling
import Synchronization

final class Runtime: Sendable {
  /// Carries out what the state machine decides. Called outside the lock.
  struct Performer: Sendable {
    let answer: @Sendable (JobID, AnswerEvent) -> Void
    let forget: @Sendable (JobID) -> Void
    let prepare: @Sendable (JobID, AnswerEvent) -> Void
    let seal: @Sendable (Seal) -> Void
    let end: @Sendable (JobEnded) -> Void
    let wakeEngine: @Sendable () -> Void
    let stop: @Sendable () -> Void
    /// Must not block.
    let log: @Sendable (LogLine) -> Void
  }

  let state: Mutex<NodeState>
  let journal: Journal
  private let trace: TraceRecorder?
  private let performer: Performer

  init(_ state: consuming NodeState, journal: Journal, trace: TraceRecorder?, performer: Performer) {
    self.state = Mutex(state)
    self.journal = journal
    self.trace = trace
    self.performer = performer
  }

  /// Decides something under the lock, and carries it out outside it.
  ///
  /// Rule: records join the journal's queue under the lock. Why: as soon as the lock makes a change
  /// visible another thread may act on it, and its record must not precede the one of that change.
  /// So: a job's acceptance is queued before the engine can know the job. Otherwise a receipt
  /// precedes its acceptance, and a restart runs the job again.
  func decide<Value: Sendable>(_ body: (inout NodeState, Moment, inout [NodeEffect]) -> Value) -> Value {
    let (value, effects) = state.withLock { state -> (Value, [NodeEffect]) in
      var effects: [NodeEffect] = []
      let now = NodeClock.now()
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
      trace?.record(.event(event), at: now, effects)
    }
  }

  /// A decision that isn't an event itself, recorded as one.
  func decide<Value: Sendable>(
    as event: NodeEvent, _ body: (inout NodeState, Moment, inout [NodeEffect]) -> Value
  ) -> Value {
    decide { state, now, effects in
      let value = body(&state, now, &effects)
      trace?.record(.event(event), at: now, effects)
      return value
    }
  }

  func act(_ command: NodeCommand, by who: Operator) -> CommandReply {
    decide { state, now, effects in
      let reply = state.act(command, by: who, at: now, &effects)
      trace?.record(.act(command, by: who), at: now, effects)
      return reply
    }
  }

  func note(_ level: LogLevel, who: String? = nil, _ text: String) { send(.note(level, who: who, text)) }

  func nextStep() -> StepPlan? {
    decide { state, now, effects in
      guard let next = state.nextStep(at: now) else { return nil }
      trace?.record(.plan, at: now, next.effects)
      effects = next.effects
      return next.plan
    }
  }

  func snapshot() -> NodeSnapshot { state.withLock { $0.snapshot(at: NodeClock.now()) } }

  /// Everything except the records, which have been queued.
  private func perform(_ effects: [NodeEffect]) {
    var isOver = false
    for effect in effects {
      switch effect {
      case .answer(let id, let event): performer.answer(id, event)
      case .forget(let id): performer.forget(id)
      case .seal(let seal): performer.seal(seal)
      case .prepare(let id, let event): performer.prepare(id, event)
      case .end(let ended): performer.end(ended)
      case .record: break
      case .log(let line): performer.log(line)
      case .wakeEngine: performer.wakeEngine()
      case .stop: isOver = true
      }
    }
    // The last records are queued before the journal is closed.
    if isOver { performer.stop() }
  }

  // MARK: the journal

  func record(_ records: [Record]) { record(records, at: NodeClock.now().wall) }

  private func record(_ records: [Record], at time: Microseconds) {
    journal.append(records, at: time) { [weak self] result in
      if case .failure(let error) = result { self?.journalRefused(error) }
    }
  }

  /// Writes one record, which is on the disk when this returns; nil means success.
  func write(_ record: Record) -> JournalError? {
    do throws(JournalError) {
      _ = try journal.append([record], at: NodeClock.now().wall)
      return nil
    } catch {
      return error
    }
  }

  /// Calls `body` on the journal's queue once everything recorded before is on the disk, or with
  /// the reason for failure.
  func whenRecorded(_ body: @escaping @Sendable (JournalError?) -> Void) {
    journal.append([], at: NodeClock.now().wall) { result in
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
}
