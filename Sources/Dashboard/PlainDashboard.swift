// PlainDashboard.swift: `--plain`: the node as lines that are only ever appended, for screen
// readers, pipes and dumb terminals. A change is reported once; choices are numbered; questions are
// answered in words. Nothing is drawn. Start at PlainModel.update.
import Control
import Foundation
import Terminal

/// The state of a plain dashboard as a value: lines in, lines and commands out.
package struct PlainModel: Sendable {
  package enum Output: Equatable, Sendable {
    /// A line to append; already displaySafe.
    case line(String)
    case send(NodeCommand, tag: UInt64)
    case leave
  }

  private var snapshot: NodeSnapshot?
  private var states: [String: JobState] = [:]
  private var told: String?
  private var lastLog: UInt64 = 0
  /// The ids of the list that was printed last, by number.
  private var choices: [String] = []
  private var question: (words: String, command: NodeCommand)?
  private var nextTag: UInt64 = 1
  private var isReadOnly: Bool

  package init(isReadOnly: Bool) { self.isReadOnly = isReadOnly }

  package mutating func update(_ message: NodeMessage) -> [Output] {
    switch message {
    case .welcome(let welcome):
      isReadOnly = isReadOnly || welcome.role < .operator
      return welcome.absence.map { say($0.words) } ?? []
    case .snapshot(let new): return take(new)
    case .reply(_, .done(let text)): return text.isEmpty ? [] : say(text)
    case .reply(_, .refused(let text)): return say("refused: \(text)")
    case .link(.connecting), .link(.connected): return []
    case .link(.lost(_, let reason)): return say("no line to the node: \(reason); trying again")
    case .link(.ended(let reason)): return say("the node ended: \(reason)")
    case .pull(let progress):
      if progress.phase == .fetching { return [] }
      return say("\(progress.model): \(progress.phase.rawValue)\(progress.detail.map { ", \($0)" } ?? "")")
    case .history, .past, .token, .statement, .job, .receipt, .text, .chat: return []
    }
  }

  private func say(_ text: String) -> [Output] { [.line(displaySafe(text))] }

  private mutating func take(_ new: NodeSnapshot) -> [Output] {
    let isFirst = snapshot == nil
    snapshot = new
    var result: [Output] = []
    let state = stateLine(new.node)
    if state != told {
      told = state
      result += say(state)
    }
    var now: [String: JobState] = [:]
    for job in new.jobs {
      now[job.id] = job.state
      if isFirst || states[job.id] == job.state { continue }
      result += say(jobSentence(job))
    }
    states = now
    for line in new.log where line.sequence > lastLog {
      if !isFirst, line.level == .warning || line.level == .error {
        result += say("\(line.level.rawValue): \(line.text)")
      }
      lastLog = line.sequence
    }
    if isFirst { result += say("type help for what can be done, and Enter") }
    return result
  }

  private func stateLine(_ node: NodeSummary) -> String {
    var words = "\(node.name) is \(stateWord(node))"
    if let why = node.whyIdle { words += ": \(why)" }
    if let model = node.model { words += ", model \(model)" }
    if node.waitingApproval > 0 { words += ", \(plural(node.waitingApproval, "job")) waiting for you" }
    for alarm in node.alarms { words += ", alarm: \(alarm)" }
    return words
  }

  /// Handles a line that the operator typed.
  package mutating func type(_ line: String) -> [Output] {
    let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
    if let asked = question {
      question = nil
      guard words.first == "yes" else { return say("nothing was done") }
      return send(asked.command)
    }
    guard let verb = words.first else { return [] }
    switch verb {
    case "help", "?":
      let panes = Pane.all.filter { $0.plain != nil }.map(\.name).joined(separator: ", ")
      return [
        "status, \(panes): say what is there",
        "approve N, reject N REASON, hold N, release N, cancel N, priority N P: N is a number of the list said last",
        "pause, resume, drain, undrain, quit: quit leaves, the node serves on",
      ].flatMap { say($0) }
    case "status": return status()
    case "quit", "q": return [.leave]
    case "pause": return send(.pause)
    case "resume": return send(.resume)
    case "undrain": return send(.undrain)
    case "drain": return ask("drain: finish what runs, admit nothing more", .drain)
    case "approve", "reject", "hold", "release", "cancel", "priority":
      return act(verb, Array(words.dropFirst()))
    default:
      guard let said = Pane.all.first(where: { $0.name == verb })?.plain?(snapshot) else {
        return say("'\(verb.prefix(30))' is not known; help lists what is")
      }
      if let ids = said.choices { choices = ids }
      return said.lines.flatMap { say($0) }
    }
  }

  private mutating func act(_ verb: String, _ words: [String]) -> [Output] {
    guard let number = words.first.flatMap({ Int($0) }), choices.indices.contains(number - 1) else {
      return say("\(verb) wants a number of the list said last; jobs or approvals says one")
    }
    let id = choices[number - 1]
    let name = "\(id.prefix(8)) of \(snapshot?.jobs.first { $0.id == id }?.client ?? "someone")"
    switch verb {
    case "approve": return send(.approve(jobs: [id]))
    case "reject":
      let typed = words.dropFirst().joined(separator: " ")
      let reason = typed.isEmpty ? cannedReasons[0] : typed
      return ask("reject \(name), saying: \(reason)", .reject(jobs: [id], reason: reason))
    case "hold": return send(.hold(jobs: [id]))
    case "release": return send(.release(jobs: [id]))
    case "cancel": return ask("cancel \(name)", .cancel(jobs: [id]))
    default:
      guard words.count > 1, let priority = Int(words[1]), (0...9).contains(priority) else {
        return say("priority wants a number of the list and a priority of 0 to 9")
      }
      return send(.setPriority(jobs: [id], priority: priority))
    }
  }

  private mutating func ask(_ words: String, _ command: NodeCommand) -> [Output] {
    if isReadOnly { return send(command) }
    question = (words, command)
    return say("\(words)? type yes, or anything else for no")
  }

  private mutating func send(_ command: NodeCommand) -> [Output] {
    if isReadOnly { return say("read-only: this dashboard only looks") }
    defer { nextTag &+= 1 }
    return [.send(command, tag: nextTag)]
  }

  private func status() -> [Output] {
    guard let snapshot else { return say("no figures yet") }
    let node = snapshot.node
    func words(_ reading: Reading<Double>, _ format: (Double) -> String) -> String {
      switch reading {
      case .value(let value): format(value)
      case .stale(let value, _): "\(format(value)), some time ago"
      case .warmingUp: "warming up"
      case .unavailable(let reason): "unavailable, \(reason)"
      }
    }
    return say(stateLine(node))
      + say("\(node.running) running, \(node.queued) queued, \(node.waitingApproval) waiting")
      + say("decode \(words(snapshot.throughput.decode) { "\(rate($0)) tokens a second" })")
      + say("processor \(words(snapshot.compute.cpu) { "\(percent($0)) percent" })")
  }
}

/// Runs a plain dashboard on standard input and output, which need not be a terminal.
package final class PlainDashboard {
  private let connection: any NodeConnection
  private let inbox: NodeInbox
  private var model: PlainModel
  private let isUnicode =
    Capabilities(environment: ProcessInfo.processInfo.environment).glyphs != .ascii

  package init(connection: any NodeConnection, isReadOnly: Bool) throws(ScreenError) {
    self.connection = connection
    inbox = try NodeInbox()
    model = PlainModel(isReadOnly: isReadOnly)
  }

  /// Runs until `quit`, the end of the input, a closed output, or the end of the node.
  package func run(input: Int32 = 0, output: Int32 = 1) -> DashboardExit {
    let inbox = self.inbox
    let signals = SignalPipe([SIGHUP, SIGTERM, SIGINT, SIGPIPE])
    defer { signals?.close() }
    connection.start { inbox.put($0) }
    defer { connection.close() }
    var typed: [UInt8] = []
    while true {
      var waits = [
        pollfd(fd: input, events: Int16(POLLIN), revents: 0),
        pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waits, nfds_t(waits.count), -1)
      let came = waits[2].revents != 0 ? signals?.next() ?? [] : []
      if let stop = came.compactMap(DashboardExit.init(stop:)).first { return stop }
      if came.contains(SIGHUP) { return .hangup }
      if waits[1].revents != 0 {
        for message in inbox.takeAll() {
          if let end = perform(model.update(message), output) { return end }
          if case .link(.ended(let reason)) = message { return .nodeEnded(reason) }
        }
      }
      if waits[0].revents != 0 {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(input, &bytes, bytes.count)
        if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { return .left }
        typed += bytes.prefix(max(0, count))
        while let end = typed.firstIndex(of: 0x0A) {
          let line = String(decoding: typed[..<end], as: UTF8.self)
          typed.removeSubrange(...end)
          if let end = perform(model.type(line), output) { return end }
        }
        if typed.count > 65_536 { typed = [] }
      }
    }
  }

  private func perform(_ outputs: [PlainModel.Output], _ output: Int32) -> DashboardExit? {
    for item in outputs {
      switch item {
      case .line(let text):
        let isFolded = !isUnicode && isatty(output) == 1
        let bytes = Array(((isFolded ? displayASCII(text) : text) + "\n").utf8)
        if write(output, bytes, bytes.count) < 0 && errno != EAGAIN { return .hangup }
      case .send(let command, let tag): connection.send(command, tag: tag)
      case .leave: return .left
      }
    }
    return nil
  }
}
