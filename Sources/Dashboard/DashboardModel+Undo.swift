// DashboardModel+Undo.swift: what takes the last act back, where something does. What a client was
// told, an approval, a rejection or a cancelled job, is not taken back; the key says so. Start at
// undo and inverse.
import Control
import Terminal

/// What one press of a key did, and what takes it back.
struct Undoable: Equatable, Sendable {
  /// In words, for the status line: `cancel 2 jobs`.
  let words: String
  /// The commands, each with the tag of the one that it takes back; the last one goes first.
  var steps: [(tag: UInt64, command: NodeCommand)]
  /// Nothing takes it back.
  let isFinal: Bool
  let at: Microseconds
  /// The update that it was part of.
  let update: UInt64

  static func == (left: Undoable, right: Undoable) -> Bool {
    left.at == right.at && left.update == right.update && left.words == right.words
      && left.steps.elementsEqual(right.steps, by: ==)
  }
}

extension DashboardModel {
  /// An act that is older than this stays: others may have acted since.
  private static let undoLimit: Microseconds = 300_000_000

  /// Notes what takes the command back. Call it before the command is sent, whose tag is
  /// `nextTag`.
  mutating func noteUndo(of command: NodeCommand) {
    guard !isUndoing, let (words, inverse) = inverse(of: command) else { return }
    let steps = (inverse ?? []).map { (tag: nextTag, command: $0) }
    if let last = undoable.last, last.update == updates, !last.isFinal, inverse != nil {
      undoable[undoable.count - 1].steps += steps
      return
    }
    undoable.append(
      Undoable(words: words, steps: steps, isFinal: inverse == nil, at: now.steady, update: updates))
    if undoable.count > 50 { undoable.removeFirst() }
  }

  /// What takes a command back; nil in place of commands if nothing does, and nil for commands that
  /// need no undoing.
  private func inverse(of command: NodeCommand) -> (words: String, inverse: [NodeCommand]?)? {
    func jobs(_ ids: [String]) -> String { plural(ids.count, "job") }
    switch command {
    case .hold(let ids): return ("hold \(jobs(ids))", [.release(jobs: ids)])
    case .release(let ids): return ("release \(jobs(ids))", [.hold(jobs: ids)])
    case .setPriority(let ids, _, _):
      var groups: [Int: [String]] = [:]
      for id in ids { if let old = priorityNow(id) { groups[old, default: []].append(id) } }
      return (
        "set the priority of \(jobs(ids))",
        groups.sorted { $0.key < $1.key }.map { .setPriority(jobs: $0.value, priority: $0.key) }
      )
    case .move(let id, let places): return ("move 1 job", [.move(job: id, by: -places)])
    case .pause: return ("pause the node", [.resume])
    case .resume: return ("resume the node", snapshot?.node.state == .paused ? [.pause] : nil)
    case .drain: return ("drain the node", [.undrain])
    case .administer(.limit(let name, let changes)): return ("limit \(name)", limits(of: name, changes))
    case .approve(let ids): return ("approve \(jobs(ids))", nil)
    case .reject(let ids, _): return ("reject \(jobs(ids))", nil)
    case .cancel(let ids): return ("cancel \(jobs(ids))", nil)
    case .undrain: return ("admit jobs again", nil)
    case .administer(let act):
      switch act {
      case .add(let name): return ("add \(name)", nil)
      case .adopt(_, let name): return ("adopt \(name)", nil)
      case .revoke(let name): return ("revoke \(name)", nil)
      case .settle(let name, _, _), .deposit(let name, _, _): return ("record a payment of \(name)", nil)
      case .price(let name, _), .admitAlways(let name), .rejectAlways(let name, _):
        return ("write a rule about \(name)", nil)
      case .limit: return nil
      }
    case .shutdown, .inspect, .reveal, .conceal, .receipt, .verify, .chat, .stopChat, .keepChats, .pull,
      .cancelPull,
      .history, .past, .reload:
      return nil
    }
  }

  /// The limits that a client has now, of those that change. A budget counts from the moment when it
  /// was set, and whether a priority is the client's own is not shown: these stay.
  private func limits(of name: String, _ changes: LimitChanges) -> [NodeCommand]? {
    guard let client = client(name), changes.budget == nil, changes.priority == nil else { return nil }
    func text(_ isChanged: Bool, _ value: Int?) -> String? {
      isChanged ? value.map { "\($0)" } ?? "none" : nil
    }
    let before = LimitChanges(
      models: changes.models == nil ? nil : client.models?.joined(separator: ",") ?? "none",
      tokensPerJob: text(changes.tokensPerJob != nil, client.tokensPerJob),
      jobs: text(changes.jobs != nil, client.jobsAtOnce),
      tokensPerDay: text(changes.tokensPerDay != nil, client.tokensPerDay))
    return [.administer(.limit(name: name, before))]
  }

  /// The node refused the command: there is nothing to take back.
  mutating func forgetUndo(tag: UInt64) {
    undoable = undoable.compactMap { entry in
      guard entry.steps.contains(where: { $0.tag == tag }) else { return entry }
      var left = entry
      left.steps.removeAll { $0.tag == tag }
      return left.steps.isEmpty ? nil : left
    }
  }

  mutating func undo() -> [Effect] {
    guard let last = undoable.last, now.steady &- last.at <= Self.undoLimit else {
      undoable = []
      say("there is nothing to undo")
      return []
    }
    if last.isFinal {
      undoable.removeLast()
      say("'\(last.words)' cannot be undone\(undoable.isEmpty ? "" : "; once more for the act before it")")
      return []
    }
    isUndoing = true
    defer { isUndoing = false }
    let commands = last.steps.reversed().compactMap { live($0.command) }
    if commands.isEmpty {
      undoable.removeLast()
      say("'\(last.words)' cannot be undone: what it was for has ended")
      return []
    }
    let effects = commands.flatMap { command in
      // Without an effect the command was refused here, in words.
      replyNotes[nextTag] = " (undone)"
      return act(command, saying: nil)
    }
    if !effects.isEmpty { undoable.removeLast() }
    return effects
  }

  /// The command for those of its jobs that have not ended.
  private func live(_ command: NodeCommand) -> NodeCommand? {
    func open(_ ids: [String]) -> [String] { ids.filter { stateNow($0)?.hasEnded == false } }
    func some(_ ids: [String], _ make: ([String]) -> NodeCommand) -> NodeCommand? {
      let left = open(ids)
      return left.isEmpty ? nil : make(left)
    }
    return switch command {
    case .hold(let ids): some(ids) { .hold(jobs: $0) }
    case .release(let ids): some(ids) { .release(jobs: $0) }
    case .setPriority(let ids, let priority, _): some(ids) { .setPriority(jobs: $0, priority: priority) }
    case .move(let id, let places): open([id]).isEmpty ? nil : .move(job: id, by: places)
    default: command
    }
  }
}
