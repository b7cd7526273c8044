// NodeState+Jobs.swift: the life of a job, from its request to its receipt. Start at submit; then
// follow, which reports what the scheduler did.
import Accounting
import Control
import Receipts
import Scheduling

extension NodeState {
  // MARK: in

  mutating func submit(_ request: JobRequest, at now: Moment, _ effects: inout [NodeEffect]) {
    if request.origin == .client || request.origin == .demo { see(request.identity, at: now) }
    func refuse(_ error: Refusal) {
      if request.origin != .audit { countLife(.rejected) }
      effects.append(.answer(request.id, .refused(error)))
      effects.append(.forget(request.id))
    }
    let judged: Judgement
    do throws(Refusal) { judged = try judge(request, at: now) } catch { return refuse(error) }
    let client = request.identity.name
    let (price, worst, explanation) = (judged.price, judged.worst, judged.explanation)
    let job = job(request, at: now)
    // In place, here and below: a copy of the scheduler would copy every table that is then
    // changed.
    let submission = scheduler?.submit(
      job, verdict: judged.verdict, isPromised: request.restored != nil, at: now.monotonic)
    switch submission {
    case nil: return refuse(.loading)
    case .refused(let refusal): return refuse(.queue(refusal))
    case .pending, .queued: break
    }
    do throws(AccountingError) {
      try ledger.reserve(job: request.id.rawValue, client: client, amount: worst)
    } catch {
      cancel(request.id, by: .client, at: now, &effects)
      return refuse(.unreserved(error))
    }
    var entry = JobEntry(
      request: request, at: now, submitted: request.restored.map { Self.moment(of: $0.submitted, now) },
      policy: explanation, price: price, asked: judged.asked, worst: worst, state: .queued)
    entry.priority = job.priority
    if case .pending = submission {
      entry.state = .pending
      entry.mark("waits for the operator: \(explanation)", at: now)
      note(
        .info, "job \(request.id.hex.prefix(8)) of \(client) waits for approval (\(explanation))", at: now,
        &effects)
    } else {
      entry.admitted = now
      entry.mark("admitted: \(explanation)", at: now)
      effects.append(.answer(request.id, .admitted))
    }
    // A job that was passed on may come back: its row is a living one's again.
    if jobs[request.id] != nil { endedJobs.removeAll { $0 == request.id } }
    jobs[request.id] = entry
    if let receipt = request.audits { receipts.audit(receipt, .running) }
    counts.prompts += request.promptTokens
    // A job of an earlier run is in the journal already.
    if request.origin != .audit, request.restored == nil {
      effects.append(
        .record(
          .jobAccepted(
            JobAccepted(
              job: request.id.rawValue, client: client, model: request.model,
              promptTokens: request.promptTokens,
              maxTokens: request.outputLimit, reserved: worst.micro, isSpooled: request.isAsynchronous))))
    }
    if request.restored?.isHeld ?? false, case .queued = submission,
      let happened = try? scheduler?.hold(request.id, at: now.monotonic)  // It was queued a moment ago.
    {
      follow(happened, at: now, &effects)
    }
    effects.append(.wakeEngine)
  }

  /// The terms of a job.
  private struct Judgement {
    let price: Price
    /// The node's price for clients that offer nothing.
    let asked: Price
    /// The most that it can cost.
    let worst: Amount
    let verdict: Verdict
    let explanation: String
  }

  /// Whether jobs of this origin are paid for. The money of a demo is its own and ends with it.
  func isCharged(_ origin: JobOrigin) -> Bool { origin == .client || isDemo && origin == .demo }

  func isCharged(_ entry: JobEntry) -> Bool { isCharged(entry.request.origin) }

  /// Price and verdict for a job, or why it is refused. A job that was accepted earlier keeps its
  /// agreed terms: limits, vouchers, policies and a full disk apply to new ones only.
  private func judge(_ request: JobRequest, at now: Moment) throws(Refusal) -> Judgement {
    let isNew = request.restored == nil
    if let error = isNew ? unavailable(request) : stopped { throw error }
    guard scheduler != nil else { throw .loading }
    if isNew, let refusal = priorityRefusal(request) { throw refusal }
    let asked =
      !isCharged(request.origin)
      ? Price.free
      : configuration.prices.price(model: request.model, client: request.identity.name, hour: now.hour)
        ?? .free
    let price = request.terms?.price ?? request.offered.map { asked.under(offer: $0) } ?? asked
    let worst: Amount
    do throws(AccountingError) {
      worst = try price.amount(
        for: Usage(prompt: request.promptTokens, cached: 0, completion: request.outputLimit))
    } catch {
      throw .unpriced(error)
    }
    // A job whose amount no receipt can state is refused.
    guard worst <= NodeConfiguration.largestAmount else {
      throw .tooExpensive(worst, most: NodeConfiguration.largestAmount, currency: configuration.currency)
    }
    if isNew {
      if let refusal = limitRefusal(request, worst: worst, on: now.day) { throw refusal }
      if let refusal = voucherRefusal(request, worst: worst) { throw refusal }
    }
    let (verdict, explanation) = verdict(request, asked: asked, price: price, at: now)
    return Judgement(price: price, asked: asked, worst: worst, verdict: verdict, explanation: explanation)
  }

  private func verdict(
    _ request: JobRequest, asked: Price, price: Price, at now: Moment
  ) -> (Verdict, String) {
    if request.restored?.isApproved ?? false { return (.admit, "approved by the operator") }
    if let terms = request.terms { return (terms.isAdmitted ? .admit : .ask, terms.policy) }
    let decided = decide(request, asked: asked, price: price, at: now)
    // A release without terms kept it: it was accepted, so no policy rejected it.
    if request.restored != nil, case .reject = decided.0 {
      return (.admit, "accepted before the node's stop")
    }
    return decided
  }

  /// The terms of a job, before its request is kept on the disk: a refused request leaves nothing
  /// there.
  mutating func terms(for request: JobRequest, at now: Moment) throws(Refusal) -> JobTerms {
    do throws(Refusal) {
      let judged = try judge(request, at: now)
      if let refusal = scheduler?.refusal(of: job(request, at: now), verdict: judged.verdict) {
        throw Refusal.queue(refusal)
      }
      return JobTerms(
        price: judged.price, isAdmitted: judged.verdict == .admit, policy: judged.explanation)
    } catch {
      countLife(.rejected)
      throw error
    }
  }

  private func job(_ request: JobRequest, at now: Moment) -> Job {
    // The job's own time limit keeps running while the node is stopped.
    let passed = request.restored.map { max(0, now.wall - $0.submitted) } ?? 0
    return Job(
      id: request.id, client: ClientID(request.identity.name), model: request.model,
      origin: request.origin.scheduling, promptTokens: request.promptTokens,
      // The scheduler gives every sequence a place behind its prompt.
      maxOutputTokens: max(1, request.outputLimit),
      priority: request.restored?.priority ?? min(request.priority, mostPriority(request)),
      timeLimit: request.timeLimit.map { max(1, $0 - passed) }, price: request.offered?.micro,
      prefix: request.prefix, borders: request.borders, isStranger: !request.identity.isKnown)
  }

  /// A wall time of an earlier run on both clocks; never later than now.
  private static func moment(of wall: Microseconds, _ now: Moment) -> Moment {
    let earlier = min(wall, now.wall)
    return Moment(
      wall: earlier, monotonic: now.monotonic - (now.wall - earlier), utcOffset: now.utcOffset)
  }

  /// Why no job is accepted now, from anyone; nil while new jobs are accepted.
  var closed: Refusal? { stopped ?? full }

  /// Why no model accepts a request; loading one takes only a short time.
  var modelRefusal: Refusal {
    if case .noModel(let reason) = engine { .noModel(reason) } else { .loading }
  }

  private func unavailable(_ request: JobRequest) -> Refusal? {
    stopped ?? (request.origin == .audit ? nil : full)
  }

  /// Why nothing runs.
  private var stopped: Refusal? {
    switch engine {
    case .noModel(let reason): return .noModel(reason)
    case .loading: return .loading
    case .failed(let reason): return .engineFailed(reason)
    case .ready: break
    }
    if isStopping { return .stopping }
    return journalFailure.map { .journalFailed($0) }
  }

  /// Why running jobs continue but no more are accepted.
  private var full: Refusal? {
    if isSpaceLow { return .diskFull }
    if let overLimit { return .overLimit(overLimit.words) }
    if let auditFailure, configuration.audits.stopOnFailure { return .auditFailed(auditFailure) }
    return nil
  }

  /// The highest priority that a client may request; a default priority above it is lowered
  /// silently.
  private func mostPriority(_ request: JobRequest) -> Int {
    switch request.origin {
    case .chat, .audit: 9
    case .client, .demo: mostPriority(of: request.identity.name, isKnown: request.identity.isKnown)
    }
  }

  private func priorityRefusal(_ request: JobRequest) -> Refusal? {
    let most = mostPriority(request)
    guard request.priority > most, request.asksPriority else { return nil }
    return .priorityForbidden(asked: request.priority, most: most)
  }

  /// The policy's verdict. Below the node's price no job is admitted without the operator, unless a
  /// rule considers offers.
  private func decide(
    _ request: JobRequest, asked: Price, price: Price, at now: Moment
  ) -> (Verdict, String) {
    switch request.origin {
    case .chat: return (.admit, "the operator's own chat")
    case .audit: return (.admit, "an audit of this node")
    case .client, .demo: break
    }
    let decision = policy.decide(
      Policy.Request(
        client: ClientID(request.identity.name), isKnown: request.identity.isKnown, model: request.model,
        promptTokens: request.promptTokens, maxOutputTokens: request.outputLimit,
        price: request.offered?.micro,
        queued: scheduler?.queue(before: request.identity.isKnown ? .clients : .strangers) ?? 0,
        hour: now.hour)
    ) { [currency = configuration.currency] in "\(Amount(micro: $0)) \(currency) a million" }
    if case .admit = decision.verdict, price != asked, let offered = request.offered,
      !policy.looksAtPrices(upTo: decision.rule)
    {
      let currency = configuration.currency
      return (
        .ask,
        "it offers \(offered) \(currency) a million, this node asks \(asked.completion), and no rule is about offers"
      )
    }
    return (decision.verdict, decision.why)
  }

  private func limitRefusal(_ request: JobRequest, worst: Amount, on day: Day) -> Refusal? {
    guard request.origin == .client, case .known(let name) = request.identity, let limits = clientLimits[name]
    else {
      return nil
    }
    let now = jobs.values.filter { !$0.state.hasEnded && $0.request.identity == request.identity }.count
    let standing = ClientLimits.Standing(
      account: ledger.account(of: name), jobsNow: now, tokensToday: tokensUsed[day]?[name] ?? 0)
    return limits.refusal(
      model: request.model, tokens: request.promptTokens + request.outputLimit, price: worst,
      standing: standing
    ).map { .clientLimit($0) }
  }

  mutating func cancel(
    _ id: JobID, by canceller: Canceller, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    // A job that has just ended cannot be cancelled any more: its end is on its way.
    guard let happened = try? scheduler?.cancel(id, by: canceller, at: now.monotonic) else { return }
    follow(happened, at: now, &effects)
  }

  mutating func endAll(_ canceller: Canceller, at now: Moment, _ effects: inout [NodeEffect]) {
    for id in jobs.keys.sorted() where jobs[id].map({ !$0.state.hasEnded }) ?? false {
      cancel(id, by: canceller, at: now, &effects)
    }
  }

  // MARK: the engine's step

  /// The next step for the engine, or nil when nothing is to be done.
  package mutating func nextStep(at now: Moment) -> (plan: StepPlan, effects: [NodeEffect])? {
    guard let plan = scheduler?.plan(at: now.monotonic) else { return nil }
    var effects: [NodeEffect] = []
    follow(plan.effects, at: now, &effects)
    batchSize = plan.entries.count
    stepUnderWay = plan.entries.map { ($0.job, $0.count) }
    if plan.isEmpty && effects.isEmpty { return nil }
    for entry in plan.entries where !entry.emits || entry.known > 1 {
      jobs[entry.job]?.detail = "prefill"
    }
    return (plan, effects)
  }

  mutating func stepped(
    _ number: UInt64, _ results: [StepResult], _ duration: Microseconds, at now: Moment,
    _ effects: inout [NodeEffect]
  ) {
    endStep()
    guard let before = scheduler?.counters.prefillTokens else { return }
    let happened: [Effect]
    do throws(StepError) {
      happened = try scheduler?.stepped(number, results, took: duration, at: now.monotonic) ?? []
    } catch {
      return note(.error, "the engine's step does not fit: \(error)", at: now, &effects)
    }
    let prefilled = Int((scheduler?.counters.prefillTokens ?? before) - before)
    counts.prefilled += prefilled
    counts.engineTime += duration
    prefillRate.add(prefilled, at: now.monotonic)
    for result in results {
      for _ in 0..<result.tokens { tokenArrived(result.job, at: now) }
    }
    follow(happened, at: now, &effects)
  }

  private mutating func tokenArrived(_ id: JobID, at now: Moment) {
    // In place: this runs for every token of every stream.
    guard let taken = jobs[id]?.takeToken(at: now) else { return }
    switch taken {
    case .ended: return
    case .first(let wait):
      firstTokens.add(Double(wait) / 1_000, at: now.monotonic)
      firstTokenSeconds.add(Double(wait) / 1_000_000)
    case .next(let gap):
      betweenTokens.add(Double(gap) / 1_000, at: now.monotonic)
      tokenSeconds.add(Double(gap) / 1_000_000)
    }
    counts.generated += 1
    decodeRate.add(1, at: now.monotonic)
    // Only known clients have limits; the names of strangers are unbounded.
    if case .known(let name) = jobs[id]?.request.identity {
      tokensUsed[now.day, default: [:]][name, default: 0] += 1
    }
  }

  // MARK: what the scheduler did

  mutating func follow(_ happened: [Effect], at now: Moment, _ effects: inout [NodeEffect]) {
    for effect in happened {
      switch effect {
      case .approved(let id):
        jobs[id]?.state = .queued
        jobs[id]?.admitted = now
        if let entry = jobs[id] {
          approvalSeconds.add(Double(now.monotonic - entry.submitted.monotonic) / 1_000_000)
        }
        effects.append(.answer(id, .admitted))
        effects.append(.wakeEngine)
      case .started(let id, let cached):
        counts.cached += cached
        if var entry = jobs[id] {
          entry.state = .running
          entry.started = entry.started ?? entry.wall(at: now)
          queueSeconds.add(Double(now.monotonic - (entry.admitted ?? entry.submitted).monotonic) / 1_000_000)
          entry.cached = cached
          entry.detail = "prefill"
          entry.mark(cached > 0 ? "started, \(cached) prompt tokens cached" : "started", at: now)
          jobs[id] = entry
          if case .known(let name) = entry.request.identity {
            tokensUsed[now.day, default: [:]][name, default: 0] += entry.request.promptTokens
          }
        }
        effects.append(.answer(id, .started))
      case .resumed(let id):
        jobs[id]?.state = .running
        jobs[id]?.detail = nil
        jobs[id]?.mark("resumed", at: now)
      case .preempted(let id, let how), .evicted(let id, let how):
        counts.preemptions += 1
        jobs[id]?.mark("preempted (\(how.rawValue))", at: now)
        if jobs[id]?.state == .running {
          jobs[id]?.state = .queued
          jobs[id]?.detail = "preempted"
        }
      case .held(let id):
        jobs[id]?.state = .held
        jobs[id]?.detail = nil
      case .released(let id):
        jobs[id]?.state = .queued
        effects.append(.wakeEngine)
      case .reprioritized(let id, let priority):
        jobs[id]?.priority = priority
      case .moved, .nodePaused, .nodeResumed, .drainBegan, .drainCalledOff:
        effects.append(.wakeEngine)
      case .ended(let ended):
        end(ended, at: now, &effects)
      }
    }
  }

  private mutating func end(_ ended: Ended, at now: Moment, _ effects: inout [NodeEffect]) {
    guard var entry = jobs[ended.job] else { return }
    entry.state = ended.outcome.state
    entry.ended = entry.wall(at: now)
    entry.promptDone = ended.prefilledTokens
    entry.cached = ended.cachedTokens
    entry.generated = ended.generatedTokens
    let worked = ended.prefilledTokens > ended.cachedTokens || ended.generatedTokens > 0
    switch ended.outcome {
    case .done(let reason):
      entry.finishReason = reason == .stop ? "stop" : "length"
      counts.done += 1
      if reason == .length, entry.request.outputLimit > 0 { counts.atLimit += 1 }
      jobSeconds.add(Double(now.monotonic - (entry.admitted ?? entry.submitted).monotonic) / 1_000_000)
    case .rejected(let reason): entry.detail = reason
    case .cancelled(let who):
      entry.canceller = who
      entry.detail = who == .client ? "by the client" : who == .operator ? "by the operator" : nil
    case .expired(let what):
      entry.detail = what == .approval ? "nobody decided in time" : "its time limit passed"
    case .failed(let reason):
      entry.detail = reason
      if entry.request.origin != .audit {
        note(.error, "job \(entry.id.hex.prefix(8)) failed: \(reason)", at: now, &effects)
      }
    }
    endAudit(entry.request, ended.outcome, at: now, &effects)
    if entry.request.origin != .audit { countLife(entry.state) }
    entry.mark(entry.detail.map { "\(entry.state.rawValue): \($0)" } ?? entry.state.rawValue, at: now)

    let finish: Receipts.Receipt.Finish? =
      switch ended.outcome {
      case .done(.stop): .stop
      case .done(.length): .length
      case .cancelled(.client): worked ? .cancelledByClient : nil
      case .cancelled(.operator): worked ? .cancelledByOperator : nil
      case .expired: worked ? .expired : nil
      case .cancelled(.shutdown), .failed, .rejected: nil
      }
    if let finish, journalFailure == nil, entry.request.origin != .audit {
      seal(&entry, ended, finish, at: now, &effects)
      jobs[entry.id] = entry
    } else {
      void(entry.id)
      let answer = answer(for: ended.outcome, entry)
      if entry.request.isAsynchronous, case .cancelled(.shutdown) = ended.outcome {
        // An accepted job outlives the node: its request stays, and the next start continues it.
        entry.detail = "runs again when the node starts"
        jobs[entry.id] = entry
        return retire(entry.id, &effects)
      }
      jobs[entry.id] = entry
      var record: JobEnded?
      if entry.request.origin != .audit, let outcome = Self.journalOutcome(entry.state) {
        record = JobEnded(
          job: entry.id.rawValue, client: entry.request.identity.name, outcome: outcome,
          reason: String((entry.detail ?? "").prefix(200)))
      }
      switch record {
      case let record? where entry.request.isAsynchronous && journalFailure == nil:
        effects.append(.prepare(entry.id, answer))
        effects.append(.end(record))
      case let record?:
        effects.append(.record(.jobEnded(record)))
        effects.append(.answer(entry.id, answer))
      case nil:
        effects.append(.answer(entry.id, answer))
      }
      retire(entry.id, &effects)
    }
  }

  /// An audit that ran has already reported its result; one that did not run must not appear to be
  /// running.
  private mutating func endAudit(
    _ request: JobRequest, _ outcome: Outcome, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    switch outcome {
    case .done: break
    case .failed(let reason), .rejected(let reason): auditNotRun(request, reason, at: now, &effects)
    case .expired: auditNotRun(request, "its time limit passed", at: now, &effects)
    // Nothing is wrong if someone cancelled it: the receipt is as before.
    case .cancelled: if let receipt = request.audits { receipts.audit(receipt, .unaudited) }
    }
  }

  /// The audit of a receipt could not be run: recorded at the receipt, in a counter and in the log.
  private mutating func auditNotRun(
    _ request: JobRequest, _ reason: String, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    guard let receipt = request.audits else { return }
    audited(receipt, .notRun(reason), at: now, &effects)
  }

  private static func journalOutcome(_ state: JobState) -> JobEnded.Outcome? {
    switch state {
    case .rejected: .rejected
    case .cancelled: .cancelled
    case .expired: .expired
    case .failed: .failed
    case .interrupted: .interrupted
    // A finished job without a receipt: the journal refused it.
    case .pending, .queued, .running, .held, .done: nil
    }
  }

  private mutating func seal(
    _ entry: inout JobEntry, _ ended: Ended, _ finish: Receipts.Receipt.Finish, at now: Moment,
    _ effects: inout [NodeEffect]
  ) {
    // A job that ended during prefill owes for the tokens that were read; its receipt commits to
    // that part.
    let read =
      ended.generatedTokens > 0
      ? entry.request.promptTokens : min(ended.prefilledTokens, entry.request.promptTokens)
    let usage = Usage(prompt: read, cached: ended.cachedTokens, completion: ended.generatedTokens)
    // The worst case was computed without overflow, and usage does not exceed it.
    let exact = (try? entry.price.amount(for: usage)) ?? entry.worst
    let amount = min(exact, entry.worst)
    entry.amount = amount
    entry.sealing = .init(
      outcome: ended.outcome, usage: usage, day: now.day)
    if entry.request.isAsynchronous, let sealing = entry.sealing {
      effects.append(.prepare(entry.id, sealedAnswer(entry, sealing, receipt: "")))
    }
    effects.append(
      .seal(
        Seal(
          job: entry.id, client: entry.request.identity.name, promptTokens: usage.prompt,
          cachedTokens: usage.cached, completionTokens: usage.completion,
          outputLimit: entry.request.outputLimit, finish: finish, submitted: entry.submitted.wall,
          started: entry.started ?? entry.wall(at: now), firstToken: entry.firstToken ?? 0,
          ended: entry.wall(at: now),
          price: entry.price, amount: amount, day: now.day)))
  }

  private func answer(for outcome: Outcome, _ entry: JobEntry) -> AnswerEvent {
    switch outcome {
    case .done: .finished(finished(entry))
    case .rejected(let reason): .refused(.rejected(reason))
    case .expired(.approval): .refused(.undecided(seconds: configuration.queue.decideWithin))
    case .expired(.timeLimit): .refused(.timeLimit)
    case .cancelled(let who): .refused(.cancelled(by: who))
    case .failed(let reason): .refused(.failed(reason))
    }
  }

  private func finished(_ entry: JobEntry, receipt: String? = nil) -> AnswerEnd {
    AnswerEnd(
      finishReason: entry.finishReason,
      usage: TokenCounts(
        prompt: entry.request.promptTokens, cached: entry.cached, completion: entry.generated),
      receipt: receipt, nonce: nil, amount: entry.amount?.micro)
  }

  /// As its receipt says: if a job was cut during prefill, the tokens that were read.
  private func cut(_ entry: JobEntry, _ usage: Usage, receipt: String) -> AnswerEnd {
    AnswerEnd(
      finishReason: nil,
      usage: TokenCounts(prompt: usage.prompt, cached: usage.cached, completion: usage.completion),
      receipt: receipt, nonce: nil, amount: entry.amount?.micro)
  }

  private mutating func void(_ id: JobID) {
    // Jobs that were refused at once have no reservation.
    if ledger.reservation(of: id.rawValue) != nil { try? ledger.void(job: id.rawValue) }
  }

  // MARK: receipts

  mutating func receiptLogged(
    _ id: JobID, _ index: UInt64, _ receipt: String, at now: Moment, _ effects: inout [NodeEffect]
  ) {
    guard var entry = jobs[id], let sealing = entry.sealing else { return }
    entry.sealing = nil
    entry.receipt = receipt
    entry.mark("receipt \(receipt)", at: now)
    let client = entry.request.identity.name
    let amount = entry.amount ?? .zero
    let posting = Posting(
      receipt: ReceiptIndex(index), client: client, model: entry.request.model, day: sealing.day,
      usage: sealing.usage, amount: amount)
    if isCharged(entry) {
      do throws(AccountingError) {
        try ledger.post(job: id.rawValue, posting)
        earnedRate.add(Int(amount.micro), at: now.monotonic)
      } catch {
        note(.error, "the ledger refused receipt \(receipt): \(error)", at: now, &effects)
      }
    } else {
      void(id)
    }
    receipts.add(
      ReceiptRow(
        id: receipt, index: index, job: id.hex, client: client, model: entry.request.model, time: now.wall,
        promptTokens: sealing.usage.prompt, outputTokens: sealing.usage.completion,
        amount: isCharged(entry) ? amount.micro : nil, state: .logged, audit: .unaudited), at: now.monotonic)
    jobs[id] = entry
    answerSealed(entry, sealing, receipt: receipt, &effects)
  }

  /// The journal failed while this receipt was being written: the client gets its answer without a
  /// receipt.
  mutating func finishWithoutReceipt(_ id: JobID, at now: Moment, _ effects: inout [NodeEffect]) {
    guard var entry = jobs[id], let sealing = entry.sealing else { return }
    entry.sealing = nil
    entry.amount = nil
    entry.mark("no receipt: the log says why", at: now)
    jobs[id] = entry
    void(id)
    answerSealed(entry, sealing, receipt: nil, &effects)
  }

  private mutating func answerSealed(
    _ entry: JobEntry, _ sealing: JobEntry.Receipt, receipt: String?, _ effects: inout [NodeEffect]
  ) {
    // An asynchronous job's answer was prepared, and is on the disk: with the receipt it belongs to
    // the client.
    if !entry.request.isAsynchronous || receipt == nil {
      effects.append(.answer(entry.id, sealedAnswer(entry, sealing, receipt: receipt)))
    }
    retire(entry.id, &effects)
  }

  private func sealedAnswer(
    _ entry: JobEntry, _ sealing: JobEntry.Receipt, receipt: String?
  ) -> AnswerEvent {
    if case .done = sealing.outcome { return .finished(finished(entry, receipt: receipt)) }
    let answer = answer(for: sealing.outcome, entry)
    guard let receipt, case .refused(let error) = answer else { return answer }
    return .cut(cut(entry, sealing.usage, receipt: receipt), error)
  }

  /// Releases the job's content; its row stays for a while.
  private mutating func retire(_ id: JobID, _ effects: inout [NodeEffect]) {
    effects.append(.forget(id))
    effects.append(.wakeEngine)
    if jobs[id]?.request.origin == .audit {
      jobs[id] = nil
      return
    }
    endedJobs.append(id)
    if endedJobs.count > Self.rememberedJobs { jobs[endedJobs.removeFirst()] = nil }
  }
}

extension JobOrigin {
  var scheduling: Scheduling.Origin {
    switch self {
    case .client, .demo: .network
    case .chat: .operator
    case .audit: .audit
    }
  }
}
