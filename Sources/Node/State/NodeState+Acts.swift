// NodeState+Acts.swift: what operators do, and the replies they get. Every act is logged with its
// author. Acts that need content, files or the engine (chat, reveal, pull, verify) are the
// runtime's. Start at act.
import Control
import Receipts
import Scheduling

extension NodeState {
  /// Performs an act on jobs or on the node.
  /// - Returns: the words for the operator's status line.
  package mutating func act(
    _ command: NodeCommand, by who: Operator, at now: Moment, _ effects: inout [NodeEffect]
  ) -> CommandReply {
    switch command {
    case .approve(let ids):
      return each(ids, .approve, Phrase("approved"), by: who, at: now, &effects) {
        queue, id throws(ActError) in
        try queue.approve(id, at: now.monotonic)
      }
    case .reject(let ids, let reason):
      let words = reason.isEmpty ? "rejected by the operator" : reason
      return each(ids, .reject, Phrase("rejected"), by: who, because: words, at: now, &effects) {
        queue, id throws(ActError) in
        try queue.reject(id, reason: words, at: now.monotonic)
      }
    case .hold(let ids):
      return each(ids, .hold, Phrase("held"), by: who, at: now, &effects) { queue, id throws(ActError) in
        try queue.hold(id, at: now.monotonic)
      }
    case .release(let ids):
      return each(ids, .release, Phrase("released"), by: who, at: now, &effects) {
        queue, id throws(ActError) in
        try queue.release(id, at: now.monotonic)
      }
    case .setPriority(let ids, _, let step?): return shift(ids, by: step, by: who, at: now, &effects)
    case .setPriority(let ids, let priority, nil):
      guard (0...9).contains(priority) else { return .refused("priority \(priority), wanted 0 to 9") }
      return each(
        ids, .priority, Phrase("set", "to priority \(priority)"), by: who, recording: "\(priority)", at: now,
        &effects
      ) {
        queue, id throws(ActError) in
        try queue.setPriority(id, to: priority, at: now.monotonic)
      }
    case .move(let id, let places):
      return each([id], .move, Phrase("moved", places < 0 ? "up" : "down"), by: who, at: now, &effects) {
        queue, id throws(ActError) in
        var happened: [Effect] = []
        for _ in 0..<min(1_000, places.magnitude) {
          let moved = try queue.move(id, to: places < 0 ? .up : .down, at: now.monotonic)
          if moved.isEmpty { break }
          happened = moved
        }
        return happened
      }
    case .cancel(let ids):
      return each(ids, .cancel, Phrase("cancelled"), by: who, at: now, &effects) {
        queue, id throws(ActError) in
        try queue.cancel(id, by: .operator, at: now.monotonic)
      }
    case .pause:
      return whole(.pause, "paused the node", by: who, at: now, &effects) { $0.pause(at: now.monotonic) }
    case .resume:
      return whole(.resume, "resumed the node", by: who, at: now, &effects) { $0.resume(at: now.monotonic) }
    case .drain:
      return whole(.drain, "draining: what is admitted finishes, nothing more is", by: who, at: now, &effects)
      {
        $0.drain(at: now.monotonic)
      }
    case .undrain:
      return whole(.undrain, "admitting again", by: who, at: now, &effects) { $0.undrain(at: now.monotonic) }
    case .shutdown(let drain):
      isStopping = true
      effects.append(
        .record(
          .operatorAct(
            OperatorAct(act: .shutdown, who: who.name, target: "", reason: drain ? "drain" : "now"))))
      note(.act, who: who.name, stopWords(drain: drain), at: now, &effects)
      if drain, let happened = scheduler?.drain(at: now.monotonic) {
        follow(happened, at: now, &effects)
        // Nobody will decide about them or release them any more.
        for id in jobs.keys.sorted()
        where jobs[id].map({ $0.state == .pending || $0.state == .held }) ?? false {
          cancel(id, by: .shutdown, at: now, &effects)
        }
      } else {
        endAll(.shutdown, at: now, &effects)
      }
      effects.append(.wakeEngine)
      return .done(drain ? "the node stops when its jobs are done" : "the node stops")
    case .inspect, .reveal, .conceal, .receipt, .verify, .chat, .stopChat, .keepChats, .pull, .cancelPull,
      .history,
      .past, .reload, .administer:
      return .refused("this act is not one of the scheduler's")
    }
  }

  /// How the node is stopped, and what that does to how many jobs.
  private func stopWords(drain: Bool) -> String {
    func named(_ states: [(JobState, String)]) -> [String] {
      states.compactMap { state, word in
        let count = jobs.values.count { $0.state == state }
        return count == 0 ? nil : "\(count) \(word)"
      }
    }
    let going = named([(.running, "running"), (.queued, "queued")])
    let waiting = named([(.pending, "waiting for approval"), (.held, "held")])
    func list(_ words: [String]) -> String { words.joined(separator: ", ") }
    if !drain {
      return "stops the node now" + (going + waiting == [] ? "" : "; it ends \(list(going + waiting))")
    }
    return "stops the node after its jobs" + (going.isEmpty ? "" : ": \(list(going))")
      + (waiting.isEmpty ? "" : "; it ends \(list(waiting))")
  }

  /// A job by its full id, or by the beginning of one, as scripts give it.
  package func resolve(_ text: String) -> Result<JobID, UnknownJob> {
    if let id = JobID(hex: text) {
      return jobs[id] == nil ? .failure(UnknownJob("no job has the id '\(text)'")) : .success(id)
    }
    guard text.utf8.count >= 3, text.utf8.count < 16,
      text.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else {
      return .failure(UnknownJob("'\(text.prefix(20))' is not a job's id, wanted 3 to 16 hexadecimal digits"))
    }
    let found = jobs.keys.filter { $0.hex.hasPrefix(text) }.sorted()
    switch found.count {
    case 0: return .failure(UnknownJob("no job's id begins with '\(text)'"))
    case 1: return .success(found[0])
    default:
      let ids = found.prefix(4).map(\.hex).joined(separator: ", ")
      return .failure(UnknownJob("\(found.count) jobs begin with '\(text)': \(ids)"))
    }
  }

  package struct UnknownJob: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
  }

  /// Why an act was not performed, with the ids that operators know.
  static func words(_ error: ActError) -> String {
    switch error {
    case .noSuchJob(let id): return "job \(id.short) has ended"
    case .wrongState(let id, let found, let wanted, let act):
      let names = wanted.map(\.rawValue).joined(separator: " or ")
      return "cannot \(act) job \(id.short): it is \(found.rawValue), not \(names)"
    case .draining(let id): return "cannot approve job \(id.short): the node is draining"
    case .priorityOutOfRange(let id, let found):
      return "cannot give job \(id.short) priority \(found), wanted 0 to 9"
    case .auditsRunApart(let id, let other):
      return "cannot move job \(id.short) next to job \(other.short): audits run only when nothing else does"
    }
  }

  /// The words around the object of an act: `set 2 jobs to priority 6`.
  private struct Phrase {
    let before: String
    var after: String?

    init(_ before: String, _ after: String? = nil) {
      self.before = before
      self.after = after
    }

    func callAsFunction(_ object: String? = nil) -> String {
      [before, object, after].compactMap { $0 }.joined(separator: " ")
    }
  }

  private mutating func each(
    _ texts: [String], _ kind: OperatorAct.Act, _ verb: Phrase, by who: Operator,
    because reason: String? = nil, recording detail: String = "", at now: Moment,
    _ effects: inout [NodeEffect],
    _ act: (inout Scheduler, JobID) throws(ActError) -> [Effect]
  ) -> CommandReply {
    guard scheduler != nil else { return .refused("there are no jobs: no model is loaded") }
    var done: [JobID] = []
    var problems: [String] = []
    for text in texts {
      switch resolve(text) {
      case .failure(let problem): problems.append(problem.description)
      case .success(let id):
        if let entry = jobs[id], entry.state.hasEnded {
          let detail = entry.detail.map { ", \($0)" } ?? ""
          problems.append("job \(id.short) has ended: \(entry.state.rawValue)\(detail)")
          continue
        }
        do throws(ActError) {
          // In place: a copy of the scheduler would copy every table that is then changed.
          let happened = try scheduler?.perform(act, on: id) ?? []
          jobs[id]?.mark("\(verb()) by \(who.name)", at: now)
          follow(happened, at: now, &effects)
          done.append(id)
        } catch {
          problems.append(Self.words(error))
        }
      }
    }
    if !done.isEmpty {
      let names = done.prefix(8).map { String($0.hex.prefix(8)) }.joined(separator: " ")
      let more = done.count > 8 ? " and \(done.count - 8) more" : ""
      let words = verb(names + more) + (reason.map { ": \($0)" } ?? "")
      note(.act, who: who.name, words, at: now, &effects)
      for id in done {
        effects.append(
          .record(
            .operatorAct(OperatorAct(act: kind, who: who.name, target: id.hex, reason: reason ?? detail))))
      }
      effects.append(.wakeEngine)
    }
    if problems.isEmpty { return .done(verb(counted(done.count, "job"))) }
    // Fits one line of a screen; for details about each job, an operator can address each one
    // separately.
    let rest = problems.count > 3 ? "; and \(problems.count - 3) more" : ""
    let failed = problems.prefix(3).joined(separator: "; ") + rest
    return .refused(done.isEmpty ? failed : "\(verb("\(done.count) of \(texts.count)")): \(failed)")
  }

  /// Changes each job's priority by a step from its current one.
  private mutating func shift(
    _ texts: [String], by step: Int, by who: Operator, at now: Moment, _ effects: inout [NodeEffect]
  ) -> CommandReply {
    guard (-9...9).contains(step), step != 0 else {
      return .refused("a step of \(step) in priority, wanted -9 to 9 and not 0")
    }
    var groups: [Int: [String]] = [:]
    var atEnd: [String] = []
    for text in texts {
      // Jobs that cannot be found are reported with the others of their group.
      let priority = if case .success(let id) = resolve(text) { jobs[id]?.priority } else { Int?.none }
      let next = min(9, max(0, (priority ?? 0) + step))
      if next == priority { atEnd.append(text) } else { groups[next, default: []].append(text) }
    }
    var words: [String] = []
    var isRefused = false
    for (priority, ids) in groups.sorted(by: { $0.key < $1.key }) {
      switch act(.setPriority(jobs: ids, priority: priority), by: who, at: now, &effects) {
      case .done(let text): words.append(text)
      case .refused(let text):
        words.append(text)
        isRefused = true
      }
    }
    if !atEnd.isEmpty {
      let names = atEnd.prefix(4).map { String($0.prefix(8)) }.joined(separator: " ")
      words.append("priority is from 0 to 9: \(names) is at \(step > 0 ? 9 : 0)")
      isRefused = isRefused || groups.isEmpty
    }
    let text = words.joined(separator: "; ")
    return isRefused ? .refused(text) : .done(text)
  }

  private mutating func whole(
    _ kind: OperatorAct.Act, _ words: String, by who: Operator, at now: Moment, _ effects: inout [NodeEffect],
    _ act: (inout Scheduler) -> [Effect]
  ) -> CommandReply {
    guard let happened = scheduler?.perform(act) else { return .refused("no model is loaded") }
    follow(happened, at: now, &effects)
    note(.act, who: who.name, words, at: now, &effects)
    effects.append(.record(.operatorAct(OperatorAct(act: kind, who: who.name, target: "", reason: ""))))
    effects.append(.wakeEngine)
    return .done(words)
  }
}

extension Scheduler {
  fileprivate mutating func perform(
    _ act: (inout Scheduler, JobID) throws(ActError) -> [Effect], on id: JobID
  ) throws(ActError) -> [Effect] {
    try act(&self, id)
  }

  fileprivate mutating func perform(_ act: (inout Scheduler) -> [Effect]) -> [Effect] { act(&self) }
}
