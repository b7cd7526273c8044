// Scheduler+Plan.swift: from the queue to one step, and from a step's results to what they did.
// Each step has one token budget: all decodes, then as much prefill as keeps the time between
// tokens below its target. Start at `plan(at:)`.

extension Scheduler {
  /// The next step. It is empty if there is nothing to do, the node is paused, or a step is already
  /// in progress; its `effects` apply even then. After a step that isn't empty, `stepped` must be
  /// called before the next.
  public mutating func plan(at now: Microseconds) -> StepPlan {
    var draft = Draft(effects: tick(at: now))
    guard inFlight == nil, !isPaused else {
      lastPlan = isPaused ? nil : lastPlan
      return StepPlan(number: 0, operations: [], entries: [], effects: draft.effects)
    }
    age()
    suspendAudits(&draft)
    startWaiting(&draft)
    decode(&draft)
    var decodes = StepModel.Decodes(count: draft.entries.count)
    decodes.depth = draft.entries.reduce(0) { $0 + $1.start } / max(1, decodes.count)
    let guessed = guess(beside: decodes, &draft)
    prefill(beside: decodes, and: guessed, &draft)
    guard !draft.entries.isEmpty || !draft.operations.isEmpty else {
      return StepPlan(number: 0, operations: [], entries: [], effects: draft.effects)
    }
    stepNumber += 1
    let prompts = draft.entries.dropFirst(decodes.count)
    let tokens = prompts.reduce(guessed) { $0 + $1.count }
    let positions = prompts.reduce(0) { $0 + $1.count * ($1.start + $1.count / 2) }
    inFlight = StepInFlight(
      number: stepNumber, work: draft.work, decodes: decodes, prefillTokens: tokens,
      depth: positions / max(1, tokens), swaps: !draft.operations.isEmpty)
    counters.steps += 1
    counters.evictedBlocks = pool.evictions
    return StepPlan(
      number: stepNumber, operations: draft.operations, entries: draft.entries, effects: draft.effects)
  }

  /// The longest time between two plans that ages the queue: a clock that jumps must not reverse
  /// the order.
  static let longestStep: Microseconds = 5_000_000

  private mutating func age() {
    if let last = lastPlan { serving += min(clock.minus(last), Self.longestStep) }
    lastPlan = clock
    for priority in levels.indices
    where levels[priority].lines > 0 && levels[priority].chargedWhenAged == nil && levelClass(priority) == 9 {
      levels[priority].chargedWhenAged = counters.charged
    }
    // Strangers get only what known clients leave: no turn is promised to their lines.
    for line in lines {
      if let head = line.jobs.first, records[head].isStranger {
        levels[line.key.priority].chargedWhenAged = nil
      }
    }
  }

  // MARK: The batch

  /// Audits leave the batch as soon as any other job can run. Their blocks stay until others need
  /// them.
  private mutating func suspendAudits(_ draft: inout Draft) {
    guard running.contains(where: { records[$0].isAudit }) else { return }
    guard bestLine(among: .clientJobs) != nil || running.contains(where: { !records[$0].isAudit }) else {
      return
    }
    for index in running.reversed() where records[index].isAudit { preempt(index, .keep, &draft) }
  }

  /// The prompt tokens that the batch still has to prefill, and how many may be computed in this
  /// step.
  fileprivate struct Starting {
    var backlog = 0
    var prefilling = 0
    var mayPreempt = true
  }

  private mutating func startWaiting(_ draft: inout Draft) {
    // Strangers' prompts delay nobody else: other prompts come before them within a step too.
    var all = Starting()
    var others = Starting()
    for index in running where records[index].remaining > 1 {
      all.add(records[index])
      if !records[index].isStranger { others.add(records[index]) }
    }
    while let line = nextLine(), let index = lines[line].jobs.first {
      if startHead(of: line, index, &all, &others, &draft) { continue }
      // Nobody is overtaken: a head that has to wait makes the others wait too; a stranger makes
      // only strangers wait.
      guard records[index].isStranger, let known = bestLine(among: .clientJobs, strangers: false),
        let first = lines[known].jobs.first, startHead(of: known, first, &all, &others, &draft)
      else { return }
    }
  }

  /// False: the line's first job has to wait.
  private mutating func startHead(
    of line: Int, _ index: Int, _ all: inout Starting, _ others: inout Starting, _ draft: inout Draft
  ) -> Bool {
    let isStranger = records[index].isStranger
    let ahead = isStranger ? all : others
    guard ahead.prefilling < limits.maxPrefilling || ahead.backlog < limits.maxStepTokens else {
      return false
    }
    var leaver: Int?
    if running.count >= limits.maxRunning {
      guard all.mayPreempt, running.count == limits.maxRunning, let last = running.last,
        records[last].startClass < records[index].priority
      else { return false }
      leaver = last
    }
    while !makeRoom(for: index, &draft) {
      // A known client never waits for memory that strangers hold.
      guard !isStranger, !records[index].isAudit,
        let stranger = running.last(where: {
          records[$0].isStranger && records[$0].startClass < records[index].priority
        })
      else { return false }
      preempt(stranger, .keep, &draft)
      leaver = nil
    }
    start(index, in: line, startClass: lineClass(lines[line]), &draft)
    if let leaver {
      all.mayPreempt = false
      preempt(leaver, .keep, &draft)
    }
    if records[index].remaining > 1 {
      all.add(records[index])
      if !isStranger { others.add(records[index]) }
    }
    return true
  }

  private func nextLine() -> Int? {
    if let line = bestLine(among: .clientJobs) { return line }
    guard running.allSatisfy({ records[$0].isAudit }) else { return nil }
    return bestLine(among: .audits)
  }

  private mutating func start(_ index: Int, in line: Int, startClass: Int, _ draft: inout Draft) {
    if !records[index].isAudit {
      levels[lines[line].key.priority].since = serving
      levels[lines[line].key.priority].chargedWhenAged = nil
    }
    startedGroup = records[index].standing.group
    leaveLine(index)
    countWaiting(index, -1)
    parked.removeAll { $0 == index }
    let client = records[index].client
    if !records[index].isAudit {
      virtualTime = max(virtualTime, counter(of: client))
      lastStarted = client
    }
    records[index].state = .running
    // Ageing lets a stranger start, but a known client's job can still take its place.
    records[index].startClass =
      records[index].isStranger ? min(startClass, records[index].priority) : startClass
    if records[index].isStranger { runningStrangers += 1 }
    records[index].startOrder = nextStart
    nextStart += 1
    rank(index)
    let id = records[index].job.id
    guard records[index].startedAt == nil else {
      draft.effects.append(.resumed(id))
      return
    }
    records[index].startedAt = clock
    records[index].cached = records[index].computed
    counters.cachedTokens += Int64(records[index].computed)
    draft.effects.append(.started(id, cachedTokens: records[index].cached))
    records[index].charged = true
    if !records[index].isAudit {
      charge(client, (records[index].job.promptTokens - records[index].cached) * Limits.promptWeight)
    }
  }

  /// Adds a sequence to the batch behind earlier ones of its class.
  mutating func rank(_ index: Int) {
    func key(_ index: Int) -> (Int, Int, Int64) {
      (records[index].isAudit ? 1 : 0, -records[index].startClass, records[index].startOrder)
    }
    let own = key(index)
    running.insert(index, at: running.firstIndex { key($0) > own } ?? running.count)
  }

  // MARK: The step

  /// One token for each sequence that has only its newest token to compute. Memory is given by
  /// rank: a sequence that lacks a block takes one from jobs outside the batch, otherwise from the
  /// batch's last, which may be the sequence itself.
  private mutating func decode(_ draft: inout Draft) {
    var position = 0
    while position < running.count {
      let index = running[position]
      guard records[index].remaining == 1 else {
        position += 1
        continue
      }
      let wanted = Limits.blocks(for: records[index].known)
      while !allocate(index, upTo: wanted) {
        if reclaimParked(sparing: nil, &draft) { continue }
        guard let victim = running.last else { break }
        preempt(victim, cheaperEviction(victim), &draft)
        if victim == index { break }
      }
      guard position < running.count, running[position] == index else { return }
      append(index, count: 1, &draft)
      position += 1
    }
  }

  /// Tokens that probably follow are computed beside the decodes, as far as a prompt's would be: they
  /// take no longer. Nothing has to make room for them. A recurrent state can't go back behind a wrong
  /// one.
  /// - Returns: how many there are
  private mutating func guess(beside decodes: StepModel.Decodes, _ draft: inout Draft) -> Int {
    guard limits.states == nil, draft.work.contains(where: { records[$0.index].guess > 0 }) else { return 0 }
    let budget = steps.prefillBudget(beside: decodes, depth: decodes.depth, limits: limits)
    var left = budget
    for place in draft.work.indices where left > 0 {
      let index = draft.work[place].index
      let (known, job) = (records[index].known, records[index].job)
      var count = min(records[index].guess, left, job.maxOutputTokens - records[index].generated - 1)
      guard count > 0 else { continue }
      _ = allocate(index, upTo: Limits.blocks(for: known + count))
      count = min(count, records[index].blocks.count * Limits.blockSize - known)
      guard count > 0 else { continue }
      draft.entries[place] = entry(index, count: 1 + count, guessed: count)
      draft.work[place] = StepWork(
        index: index, job: job.id, serial: records[index].serial, count: 1 + count, guessed: count,
        emits: true)
      left -= count
    }
    return budget - left
  }

  /// Half of the budget goes to the prompt that is first by rank, so that it finishes; the rest to
  /// those with the fewest tokens left, so that a short prompt does not wait for a long one.
  /// - guessed: what guesses have taken of the budget
  private mutating func prefill(
    beside decodes: StepModel.Decodes, and guessed: Int, _ draft: inout Draft
  ) {
    var prompts: [Int] = []
    for index in running where records[index].remaining > 1 {
      matchFurther(index)
      if !waitsForPrefix(index, of: prompts) { prompts.append(index) }
    }
    guard let first = prompts.first else { return }
    let budget =
      steps.prefillBudget(beside: decodes, depth: records[first].computed, limits: limits) - guessed
    guard budget > 0 else { return }
    guard limits.wholePrompts != true else { return prefillWhole(prompts, budget, &draft) }
    let others = prompts.dropFirst().sorted {
      (records[$0].remaining, records[$0].startOrder) < (records[$1].remaining, records[$1].startOrder)
    }
    var left = budget / 2
    var shares: [(index: Int, count: Int)] = []
    for index in others where left > 0 {
      let count = min(left, records[index].remaining)
      shares.append((index, count))
      left -= count
    }
    let taken = budget / 2 - left
    let firstShare = min(budget - taken, records[first].remaining)
    left = budget - taken - firstShare
    // Budget that the first does not need goes to the others.
    for place in shares.indices where left > 0 {
      let more = min(left, records[shares[place].index].remaining - shares[place].count)
      shares[place].count += more
      left -= more
    }
    chunk(first, firstShare, &draft)
    for share in shares { chunk(share.index, share.count, &draft) }
    // No sequence can advance for lack of memory: preempt from the end of the batch until the first
    // can.
    while draft.entries.isEmpty, let last = running.last, last != first {
      preempt(last, cheaperEviction(last), &draft)
      chunk(first, firstShare, &draft)
    }
  }

  /// Whole prompts alone: the first by rank however long it is, then those that the budget has room for.
  private mutating func prefillWhole(_ prompts: [Int], _ budget: Int, _ draft: inout Draft) {
    guard let first = prompts.first else { return }
    var left = budget
    for index in prompts {
      let count = records[index].remaining
      guard index == first || count <= left else { continue }
      whole(index, &draft)
      left -= count
    }
    while draft.entries.isEmpty, let last = running.last, last != first {
      preempt(last, cheaperEviction(last), &draft)
      whole(first, &draft)
    }
  }

  private mutating func whole(_ index: Int, _ draft: inout Draft) {
    let count = records[index].remaining
    let wanted = Limits.blocks(for: records[index].computed + count)
    while !allocate(index, upTo: wanted), reclaimParked(sparing: nil, &draft) {}
    guard records[index].blocks.count >= wanted, hasStateSlot(index) else { return }
    append(index, count: count, &draft)
  }

  /// A prompt whose next block is about to be computed for an earlier one in the batch, and can
  /// then be shared.
  private func waitsForPrefix(_ index: Int, of earlier: [Int]) -> Bool {
    let at = records[index].computed / Limits.blockSize
    guard at < records[index].keys.count, at == records[index].blocks.count else { return false }
    let key = records[index].keys[at]
    return earlier.contains {
      records[$0].client == records[index].client && at < records[$0].keys.count
        && records[$0].keys[at] == key && (limits.states == nil || willShareState($0, with: index))
    }
  }

  private mutating func chunk(_ index: Int, _ share: Int, _ draft: inout Draft) {
    guard share > 0 else { return }
    let share = limits.states == nil ? share : min(share, positionsToCheckpoint(index))
    let wanted = Limits.blocks(for: records[index].computed + share)
    while !allocate(index, upTo: wanted), reclaimParked(sparing: nil, &draft) {}
    let count = min(share, records[index].blocks.count * Limits.blockSize - records[index].computed)
    if count > 0, hasStateSlot(index) { append(index, count: count, &draft) }
  }

  private mutating func append(_ index: Int, count: Int, _ draft: inout Draft) {
    let entry = entry(index, count: count)
    draft.entries.append(entry)
    draft.work.append(
      StepWork(
        index: index, job: entry.job, serial: records[index].serial, count: count, emits: entry.emits))
  }

  private func entry(_ index: Int, count: Int, guessed: Int = 0) -> StepEntry {
    StepEntry(
      job: records[index].job.id, start: records[index].computed, count: count,
      blocks: records[index].blocks, windows: windowTables(index),
      state: stateSlots(index), emits: records[index].remaining == count - guessed,
      outputIndex: records[index].generated, guessed: guessed > 0 ? guessed : nil)
  }

  /// A window's table for the engine: as long as the table of all positions, with -1 for freed
  /// blocks.
  private func windowTables(_ index: Int) -> [[BlockID]]? {
    if windowPools.isEmpty { return nil }
    let count = records[index].blocks.count
    return records[index].windows.map { table in (0..<count).map { table.block($0) ?? -1 } }
  }

  // MARK: Results

  /// Applies a step's results. Jobs cancelled in the meantime are skipped; jobs held in the
  /// meantime keep their results. `took` is the time that the engine measured; the step model
  /// learns from it how much fits into a step. Results for jobs that are not in the step are
  /// ignored; an entry that should emit a token but has no result has failed.
  public mutating func stepped(
    _ number: UInt64, _ results: [StepResult], took: Microseconds, at now: Microseconds
  ) throws(StepError) -> [Effect] {
    guard let step = inFlight, step.number == number else {
      throw StepError(found: number, wanted: inFlight?.number)
    }
    inFlight = nil
    advance(to: now)
    // A step with a copy to or from the host, or without some entries, teaches nothing about the
    // time of computing.
    if !step.swaps, !results.contains(where: { $0.kind == .later }) {
      steps.measured(
        step.decodes, prefillTokens: step.prefillTokens, depth: step.depth, took: took)
    }
    var effects: [Effect] = []
    // Engines answer in the order of the entries; look further only if this one did not.
    var cursor = 0
    for work in step.work {
      var result: StepResult?
      if cursor < results.count, results[cursor].job == work.job {
        result = results[cursor]
        cursor += 1
      } else if cursor < results.count {
        result = results.first { $0.job == work.job }
      }
      guard isAlive(work) else { continue }
      if let effect = take(work, result) { effects.append(effect) }
    }
    return effects
  }

  private mutating func take(_ work: StepWork, _ result: StepResult?) -> Effect? {
    let index = work.index
    switch result?.kind {
    case .failed(let reason): return end(index, .failed(reason: reason))
    case .later: return nil
    case .token, .lastToken, .end, nil: break
    }
    // Of what was guessed, the part that was right.
    let right = min(max((result?.tokens ?? 1) - 1, 0), work.guessed)
    let known = work.count - work.guessed
    records[index].computed += known + right
    advanceState(index)
    records[index].reached = max(records[index].reached, records[index].computed)
    let prefill = work.emits && records[index].generated > 0 ? known - 1 : known
    counters.prefillTokens += Int64(prefill)
    guard work.emits else {
      learnKeys(index, result?.keys ?? [])
      giveUpBehindWindows(index)
      return nil
    }
    guard let result else { return end(index, .failed(reason: "the engine gave no result for its token")) }
    let last: FinishReason?
    switch result.kind {
    case .token:
      for _ in 0...right { countToken(index) }
      records[index].guess = max(0, result.guess ?? 0)
      last = records[index].generated >= records[index].job.maxOutputTokens ? .length : nil
    case .lastToken(let reason):
      for _ in 0...right { countToken(index) }
      last = reason
    case .end(let reason): last = reason
    case .failed, .later: return nil
    }
    learnKeys(index, result.keys)
    if let last { return end(index, .done(last)) }
    giveUpBehindWindows(index)
    return nil
  }

  private mutating func countToken(_ index: Int) {
    records[index].generated += 1
    counters.generatedTokens += 1
    if !records[index].isAudit { charge(records[index].client, Limits.outputWeight) }
  }

  private func isAlive(_ work: StepWork) -> Bool {
    recordOf[work.job] == work.index && records[work.index].serial == work.serial
  }

  private mutating func learnKeys(_ index: Int, _ keys: [BlockKey]) {
    let room = records[index].known / Limits.blockSize - records[index].keys.count
    records[index].keys.append(contentsOf: keys.prefix(max(0, room)))
    publish(index)
  }
}

extension Scheduler.Starting {
  fileprivate mutating func add(_ record: Record) {
    backlog += record.remaining
    prefilling += 1
  }
}
