// DashboardModel+Update.swift: applies one message at a time, and returns the effects to carry out.
// Keys are in DashboardModel+Keys.swift. Start at update.
import Control
import Terminal

extension DashboardModel {
  /// Applies a message; it has no side effects beyond `self`.
  package mutating func update(_ message: Message, at moment: Instant) -> [Effect] {
    now = moment
    updates &+= 1
    if let status, status.until <= moment.steady { self.status = nil }
    var commands: [Effect] = []
    switch message {
    case .input(let input): commands = take(input)
    case .node(let message): commands = take(message)
    case .resized(let size):
      self.size = size
    case .tick: break
    case .captured(let line):
      append(LogLine(sequence: 0, time: moment.wall, level: .warning, who: nil, text: line))
    case .note(let text, let isError): say(text, isError: isError)
    }
    commands += askPast()
    showLists()
    let chosen = settings
    if chosen != lastSettings {
      lastSettings = chosen
      commands.append(.keep(chosen))
    }
    let title = windowTitle
    if title != lastTitle {
      lastTitle = title
      commands.append(.title(title))
    }
    return commands
  }

  mutating func say(_ text: String, isError: Bool = false) {
    status = StatusLine(text: text, isError: isError, until: now.steady &+ (isError ? 8_000_000 : 5_000_000))
  }

  private var windowTitle: String {
    guard let node = snapshot?.node else { return "hotpot" }
    let waiting = node.waitingApproval > 0 ? ", \(node.waitingApproval) waiting" : ""
    return "hotpot \(node.name): \(stateWord(node))\(waiting)"
  }

  private mutating func take(_ message: NodeMessage) -> [Effect] {
    switch message {
    case .welcome(let welcome):
      (operatorName, role) = (welcome.name, welcome.role)
      if let absence = welcome.absence { welcomeBack(absence) }
      // A screen that has talked already knows better.
      if let book = welcome.chats, chat.isUntouched { chat.take(book) }
    case .snapshot(let snapshot): return take(snapshot)
    case .history(let history): self.history.replace(with: history)
    case .reply(let tag, let reply):
      if silentTags.remove(tag) != nil { return [] }
      let note = replyNotes.removeValue(forKey: tag) ?? ""
      switch reply {
      case .done(let text): if !text.isEmpty || !note.isEmpty { say(text + note) }
      case .refused(let text):
        forgetAsked(tag: tag)
        forgetUndo(tag: tag)
        say(text + note, isError: true)
      }
    case .job(let found):
      if case .job(let id, let old, let answer, let isRevealed) = detail, id == found.row.id {
        // A reply to `inspect` has no text, so text that was revealed before stays.
        let isTold = found.prompt != nil || found.answer != nil
        let merged =
          isTold
          ? found
          : JobDetail(
            row: found.row, timeline: found.timeline, settings: found.settings, prompt: old?.prompt,
            answer: nil)
        detail = .job(
          id: id, detail: merged, answer: isTold ? found.answer ?? "" : answer,
          isRevealed: isRevealed && (isTold || isRevealed))
      }
    case .receipt(let found):
      if case .receipt(let id, _) = detail, id == found.row.id { detail = .receipt(id: id, detail: found) }
    case .token(let name, let token): mode = .token(name: name, token: token)
    case .past(let jobs):
      past.take(jobs)
      arrangeLists()
      guardUntil = 0
    case .text(let job, let text):
      if case .job(let id, let old, let answer, true) = detail, id == job {
        detail = .job(id: id, detail: old, answer: String((answer + text).suffix(1 << 20)), isRevealed: true)
      }
    case .chat(let event):
      take(event)
      if case .finished = event { return keepChats() }
      if case .failed = event { return keepChats() }
    case .pull(let progress):
      pull = progress
      switch progress.phase {
      case .done:
        say("\(progress.model) is here")
        pull = nil
      case .failed: say("\(progress.model): \(progress.detail ?? "failed")", isError: true)
      case .cancelled:
        say("stopped fetching \(progress.model)")
        pull = nil
      case .starting, .fetching, .checking, .loading: break
      }
    case .link(let state): return take(state)
    }
    return []
  }

  private mutating func take(_ state: LinkState) -> [Effect] {
    let wasConnected = link == .connected
    link = state
    if state != .connected {
      past.renew()
      // The node may never have received what was requested over a broken connection.
      forgetAsked()
      replyNotes = [:]
      silentTags = []
    }
    switch state {
    case .connected:
      if wasConnected { return [] }
      var commands = [send(.history)]
      if case .job(let id, _, _, let isRevealed) = detail {
        commands.append(send(isRevealed ? .reveal(job: id) : .inspect(job: id)))
      }
      return commands
    case .connecting, .lost: break
    case .ended(let reason): say("the node ended: \(reason)", isError: true)
    }
    return []
  }

  private mutating func take(_ new: NodeSnapshot) -> [Effect] {
    var commands: [Effect] = []
    let known = newest ?? snapshot
    if bell, let known { commands += ring(known, new) }
    settleAsked(new)
    history.append(new)
    takeLog(new.log)
    snapshotAt = now
    if isFrozen {
      newest = new
      return commands
    }
    return commands + show(new)
  }

  /// What needs the operator and was not there a moment ago.
  private func ring(_ old: NodeSnapshot, _ new: NodeSnapshot) -> [Effect] {
    var news: [String] = []
    let before = Set(old.approvals.map(\.id))
    let waiting = new.approvals.filter { !before.contains($0.id) }
    if let first = waiting.first {
      news.append(waiting.count == 1 ? "a job of \(first.client) waits" : "\(waiting.count) jobs wait")
    }
    if new.receipts.failed > old.receipts.failed { news.append("an audit failed") }
    // An alarm whose figure changes is the same.
    func kind(_ alarm: String) -> String { alarm.filter { !$0.isNumber && $0 != "." } }
    let alarms = Set(old.node.alarms.map(kind))
    news += new.node.alarms.filter { !alarms.contains(kind($0)) }
    if news.isEmpty { return [] }
    return [.bell, .notify(title: "hotpot \(new.node.name)", body: news.joined(separator: ", "))]
  }

  mutating func show(_ new: NodeSnapshot) -> [Effect] {
    var commands: [Effect] = []
    if case .job(let id, let old?, _, _) = detail, let row = new.jobs.first(where: { $0.id == id }),
      row.state != old.row.state
    {
      // The job's timeline has grown.
      commands.append(send(.inspect(job: id)))
    }
    newest = nil
    takeCalmly(new)
    snapshot = new
    jobIndex = Dictionary(new.jobs.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { first, _ in first })
    idDigits = digitsToTellApart(new.jobs.map(\.id) + new.approvals.map(\.id))
    arrangeLists()
    return commands
  }

  /// Secondary figures change all at once: every five seconds, and when something has happened.
  private mutating func takeCalmly(_ new: NodeSnapshot) {
    let hasHappened =
      calm?.node.state != new.node.state || calm?.receipts.failed != new.receipts.failed
      || calm.map { $0.sequence > new.sequence } ?? true
    guard hasHappened || now.steady >= calmAt &+ 4_500_000 else { return }
    calm = new
    calmAt = now.steady
    calmJobs = Dictionary(
      new.jobs.lazy.filter { $0.state == .running }.map { ($0.id, $0) },
      uniquingKeysWith: { first, _ in first })
  }

  private mutating func takeLog(_ lines: [LogLine]) {
    let last = log.last { $0.sequence > 0 }?.sequence ?? 0
    // A restarted node counts from the beginning.
    let isNewNode = (lines.last?.sequence ?? last) < last
    for line in lines where isNewNode || line.sequence > last { append(line) }
  }

  mutating func append(_ line: LogLine) {
    log.append(line)
    if log.count > 2000 {
      logDropped += log.count - 2000
      log.removeFirst(log.count - 2000)
    }
  }

  private mutating func take(_ event: ChatEvent) {
    switch event {
    case .started(let job): chat.phase = .answering(job: job)
    case .text(let text):
      if chat.phase == .idle { return }
      chat.answer = String((chat.answer + text).suffix(1 << 20))
      chat.note = nil
    case .thought(let text):
      if chat.phase == .idle { return }
      chat.thought = String((chat.thought + text).suffix(1 << 20))
      chat.note = nil
    case .finished(let reason, let tokens, let rate):
      chat.keepAnswer()
      chat.phase = .idle
      chat.tokens = tokens
      chat.rate = rate
      chat.note = reason == "stop" ? nil : "ended: \(reason)"
    case .failed(let reason):
      chat.keepAnswer()
      chat.phase = .idle
      chat.note = "failed: \(reason)"
    }
  }

  /// Sends a command with a new, larger tag, which its reply carries.
  mutating func send(_ command: NodeCommand) -> Effect {
    defer { nextTag &+= 1 }
    return .send(command, tag: nextTag)
  }
}

func isRefusing(_ node: NodeSummary) -> Bool {
  node.state == .serving && node.whyIdle.map { node.alarms.contains($0) } ?? false
}

extension ChatState {
  /// The answer becomes a message, and what was thought stays before it.
  mutating func keepAnswer() {
    if !answer.isEmpty {
      if !thought.isEmpty { thoughts[messages.count] = String(thought.suffix(1 << 16)) }
      messages.append(.init(role: .assistant, content: answer))
    }
    answer = ""
    thought = ""
  }

  func words(of text: String) -> Int { text.split(whereSeparator: \.isWhitespace).count }
}

/// The shortest length at which all ids differ, from 4 to 16.
func digitsToTellApart(_ ids: [String]) -> Int {
  let unique = Set(ids)
  for digits in 4..<16 where Set(unique.map { $0.prefix(digits) }).count == unique.count { return digits }
  return unique.isEmpty ? 4 : 16
}

/// The node's state in one word; a node that could serve but does not is `idle`, and `refusing` if an
/// alarm keeps it from admitting anything.
func stateWord(_ node: NodeSummary) -> String {
  switch node.state {
  case .noModel: "no model"
  case .loading: "loading"
  case .serving: isRefusing(node) ? "refusing" : node.whyIdle == nil ? "serving" : "idle"
  case .paused: "paused"
  case .draining: "draining"
  case .readOnly: "read-only"
  case .failed: "engine failed"
  case .stopping: "stopping"
  }
}
