// Scheduler+Acts.swift: what an operator (or a client that disconnects) does to a job, and to the
// node. Each act returns its effects or throws the reason why not, and then has changed nothing.
// Acts may come while a step is in progress. Start at `approve(_:at:)`.

extension Scheduler {
  /// A pending job joins the queue.
  public mutating func approve(_ id: JobID, at now: Microseconds) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.pending], act: "approve", at: now)
    if isDraining { throw .draining(id) }
    waiting[records[index].job.pool.rawValue].pending -= 1
    records[index].state = .queued
    records[index].approvalDeadline = .max
    let line = records[index].standing.line
    records[index].own = standing(line, deadline: records[index].deadline)
    records[index].standing = records[index].own
    enqueue(index)
    return [.approved(id)]
  }

  /// A pending job is refused; the client is shown `reason`.
  public mutating func reject(_ id: JobID, reason: String, at now: Microseconds) throws(ActError) -> [Effect]
  {
    let index = try find(id, in: [.pending], act: "reject", at: now)
    return [end(index, .rejected(reason: reason))]
  }

  /// Ends a job in any state. If a step is in progress, the job's entry is still computed, and its
  /// result is discarded.
  public mutating func cancel(
    _ id: JobID, by canceller: Canceller, at now: Microseconds
  ) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.pending, .queued, .running, .held], act: "cancel", at: now)
    return [end(index, .cancelled(canceller))]
  }

  /// Holds a queued or running job until it is released. Its place in the batch is free at once;
  /// its blocks stay until another job needs them. Its time limit keeps running.
  public mutating func hold(_ id: JobID, at now: Microseconds) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.queued, .running], act: "hold", at: now)
    if records[index].state == .running {
      leaveBatch(index)
      setAside(index)
      countWaiting(index, 1)
    } else {
      leaveLine(index)
    }
    records[index].state = .held
    blockedHead = nil
    heldJobs += 1
    if records[index].isParked, !parked.contains(index) { parked.append(index) }
    return [.held(id)]
  }

  /// A held job returns to the queue, at its old place.
  public mutating func release(_ id: JobID, at now: Microseconds) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.held], act: "release", at: now)
    heldJobs -= 1
    records[index].state = .queued
    enqueue(index)
    return [.released(id)]
  }

  /// Gives a job another priority, 0 to 9; it loses a place that it was moved to. A running job
  /// takes the new rank at once.
  public mutating func setPriority(
    _ id: JobID, to priority: Int, at now: Microseconds
  ) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.pending, .queued, .running, .held], act: "reprioritize", at: now)
    guard (0...9).contains(priority) else { throw .priorityOutOfRange(id, found: priority) }
    let queued = records[index].state == .queued
    if queued { leaveLine(index) }
    records[index].priority = priority
    var standing = records[index].own
    standing.fresh = records[index].startedAt == nil
    standing.line = LineKey(
      client: records[index].client, priority: priority, audit: records[index].isAudit)
    records[index].own = standing
    stand(index, standing)
    if queued { enqueue(index) }
    if records[index].state == .running, let place = running.firstIndex(of: index) {
      running.remove(at: place)
      records[index].startClass = priority
      rank(index)
    }
    return [.reprioritized(id, priority: priority)]
  }

  /// Where to move a queued job.
  public enum Place: Hashable, Codable, Sendable {
    /// One earlier or later, in the order that `jobs` shows.
    case up
    case down
    case first
    case last
    case before(JobID)
    case after(JobID)
  }

  /// Moves a queued job next to another. It is served right before or after the other, whatever its
  /// own client has been charged; its tokens are charged to its own client. Moving a job that is
  /// already first (or last) is no error and has no effect.
  public mutating func move(_ id: JobID, to place: Place, at now: Microseconds) throws(ActError) -> [Effect] {
    let index = try find(id, in: [.queued], act: "move", at: now)
    let anchor: Int
    let side: Side
    switch place {
    case .before(let other), .after(let other):
      anchor = try find(other, in: [.queued], act: "move next to", at: now)
      if case .before = place { side = .before } else { side = .after }
      if anchor == index { return [] }
      guard records[anchor].isAudit == records[index].isAudit else { throw .auditsRunApart(id, other) }
    case .up, .down, .first, .last:
      let order = queueOrder().filter { records[$0].isAudit == records[index].isAudit }
      guard let position = order.firstIndex(of: index), let last = order.indices.last else { return [] }
      let target: Int
      switch place {
      case .up: target = max(0, position - 1)
      case .down: target = min(last, position + 1)
      case .first: target = 0
      case .last, .before, .after: target = last
      }
      if target == position { return [] }
      anchor = order[target]
      side = target < position ? .before : .after
    }
    leaveLine(index)
    let number = self.place(side, anchor)
    if records[anchor].standing.group == 0 {
      records[anchor].standing.group = nextGroup
      nextGroup += 1
    }
    var standing = records[anchor].standing
    standing.place = number
    stand(index, standing)
    enqueue(index)
    return [.moved(id)]
  }

  // MARK: The node

  /// Nothing is computed until `resume`. A step in progress finishes. Jobs are still admitted,
  /// queued and expired.
  public mutating func pause(at now: Microseconds) -> [Effect] {
    advance(to: now)
    if isPaused { return [] }
    isPaused = true
    return [.nodePaused]
  }

  public mutating func resume(at now: Microseconds) -> [Effect] {
    advance(to: now)
    if !isPaused { return [] }
    isPaused = false
    lastPlan = nil
    return [.nodeResumed]
  }

  /// Admits nothing new: submissions are refused and pending jobs can't be approved. Queued and
  /// running jobs are finished; then `isDrained` is true. Pending and held jobs stay, for Node to
  /// interrupt.
  public mutating func drain(at now: Microseconds) -> [Effect] {
    advance(to: now)
    if isDraining { return [] }
    isDraining = true
    return [.drainBegan]
  }

  public mutating func undrain(at now: Microseconds) -> [Effect] {
    advance(to: now)
    if !isDraining { return [] }
    isDraining = false
    return [.drainCalledOff]
  }

  public var isDrained: Bool { isDraining && running.isEmpty && lines.isEmpty && inFlight == nil }

  private mutating func find(
    _ id: JobID, in states: [JobState], act: String, at now: Microseconds
  ) throws(ActError) -> Int {
    advance(to: now)
    guard let index = recordOf[id] else { throw .noSuchJob(id) }
    let state = records[index].state
    if !states.contains(state) { throw .wrongState(id, found: state, wanted: states, act: act) }
    return index
  }
}

/// Why an act was refused. Nothing was changed.
public enum ActError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The job never existed, or has ended.
  case noSuchJob(JobID)
  case wrongState(JobID, found: JobState, wanted: [JobState], act: String)
  case draining(JobID)
  case priorityOutOfRange(JobID, found: Int)
  case auditsRunApart(JobID, JobID)

  /// Calls the job `it`: the caller names the job in its reader's terms.
  public var description: String {
    switch self {
    case .noSuchJob: return "it is neither waiting nor running here"
    case .wrongState(_, let found, let wanted, let act):
      let names = wanted.map(\.rawValue).joined(separator: " or ")
      return "cannot \(act) it: it is \(found.rawValue), not \(names)"
    case .draining: return "cannot approve it: the node is draining"
    case .priorityOutOfRange(_, let found): return "cannot give it priority \(found), wanted 0 to 9"
    case .auditsRunApart: return "cannot move it there: audits run only when nothing else does"
    }
  }
}
