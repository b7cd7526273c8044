// FleetModel+Keys.swift: the keys of a fleet's screen. An act is for the row under the cursor, or for
// the tagged rows; one for several nodes or jobs asks first. Start at takeCommand.
import Control
import Terminal

extension FleetModel {
  mutating func take(_ input: Input) -> [FleetEffect] {
    // A paste is never keys.
    guard case .key(let key) = input else { return [] }
    switch mode {
    case .help:
      mode = .normal
      return []
    case .filter: return typeFilter(key)
    case .reason(let jobs): return typeReason(key, jobs)
    case .message(let targets): return typeMessage(key, targets)
    case .confirm(_, let orders): return answer(key, orders)
    case .normal: return takeCommand(key)
    }
  }

  private mutating func typeFilter(_ key: Key) -> [FleetEffect] {
    switch key.code {
    case .enter: mode = .normal
    case .escape:
      mode = .normal
      filter = Filter()
    default:
      if field.key(key) { filter.text = field.text }
    }
    keepNode()
    keepSelection()
    guardUntil = 0
    return []
  }

  private mutating func typeReason(_ key: Key, _ jobs: [Place]) -> [FleetEffect] {
    switch key.code {
    case .enter:
      mode = .normal
      let typed = field.take()
      let words = typed.isEmpty ? cannedReasons[0] : typed
      taggedWaits = []
      return byNode(jobs).map { send(.reject(jobs: $1, reason: words), to: $0) }
    case .escape:
      mode = .normal
      field = LineEditor()
      say("nothing was done")
    default: _ = field.key(key)
    }
    return []
  }

  private mutating func typeMessage(_ key: Key, _ targets: [Int]) -> [FleetEffect] {
    switch key.code {
    case .enter:
      mode = .normal
      let words = field.take()
      if words.allSatisfy(\.isWhitespace) {
        say("nothing was said")
        return []
      }
      tags = []
      return targets.map { send(.say(words), to: $0) }
    case .escape:
      mode = .normal
      field = LineEditor()
      say("nothing was said")
    default: _ = field.key(key)
    }
    return []
  }

  private mutating func answer(_ key: Key, _ orders: [Order]) -> [FleetEffect] {
    if key == Key("y") {
      mode = .normal
      tags = []
      taggedWaits = []
      return orders.map { send($0.command, to: $0.node) }
    }
    if key == Key("n") || key == Key("q") || key.code == .escape {
      mode = .normal
      say("nothing was done")
    }
    return []
  }

  private mutating func takeCommand(_ key: Key) -> [FleetEffect] {
    if let list = Int(key.name).flatMap(List.init(rawValue:)) {
      go(to: list)
      return []
    }
    switch key.name {
    case "q": return [.leave]
    case "?", "F1": mode = .help
    case "C-l": return [.repaint]
    case "Tab": go(to: List(rawValue: focus.rawValue % 3 + 1) ?? .nodes)
    case "S-Tab": go(to: List(rawValue: (focus.rawValue + 1) % 3 + 1) ?? .nodes)
    case "j", "Down": move(1)
    case "k", "Up": move(-1)
    case "PgDn": move(10)
    case "PgUp": move(-10)
    case "g", "Home": move(-100_000)
    case "G", "End": move(100_000)
    case "/":
      field = LineEditor()
      field.set(filter.text)
      mode = .filter
    case "Esc":
      filter = Filter()
      keepSelection()
    case "<": sort(-1)
    case ">": sort(1)
    case "I":
      isInverted.toggle()
      saySorted()
    case "Space": tag()
    case "U":
      let count = tags.count + taggedWaits.count
      (tags, taggedWaits) = ([], [])
      if count > 0 { say("untagged \(plural(count, "row"))") }
    case "Enter": return attach()
    case "a": return approve()
    case "A": return approveAll()
    case "x": return reject()
    case "D": return cancel()
    case "P": return pause()
    case "d": return drain()
    case "m": return message()
    default: break
    }
    return []
  }

  private mutating func go(to list: List) {
    focus = list
    if list != .nodes { lower = list }
  }

  private mutating func move(_ step: Int) {
    func place(_ old: Int?, _ count: Int) -> Int { min(max(0, (old ?? 0) + step), count - 1) }
    guardUntil = 0
    switch focus {
    case .nodes:
      let shown = shownNodes
      guard !shown.isEmpty else { return }
      selectedNode = shown[place(shown.firstIndex(of: selectedNode), shown.count)]
    case .approvals:
      let waits = waits
      guard !waits.isEmpty else { return }
      let found = place(waitIndex, waits.count)
      selectedWait = (waits[found].node, waits[found].row.id)
      isWaitPlaced = step > -100_000
    case .jobs:
      let jobs = jobs
      guard !jobs.isEmpty else { return }
      let found = place(jobIndex, jobs.count)
      selectedJob = Place(node: jobs[found].node, id: jobs[found].row.id)
    }
  }

  /// The cursor is on a node that is shown.
  private mutating func keepNode() {
    let shown = shownNodes
    if !shown.contains(selectedNode), let first = shown.first { selectedNode = first }
  }

  private mutating func sort(_ step: Int) {
    let columns: [String?] = [nil] + Self.columns.map { $0 }
    let old = columns.firstIndex(of: sortColumn) ?? 0
    sortColumn = columns[(old + step + columns.count) % columns.count]
    saySorted()
  }

  private mutating func saySorted() {
    say(
      "nodes \(sortColumn.map { "by \($0.lowercased())" } ?? "as they were named")\(isInverted ? ", inverted" : "")"
    )
  }

  private mutating func tag() {
    switch focus {
    case .nodes:
      if tags.remove(selectedNode) == nil { tags.insert(selectedNode) }
    case .approvals:
      guard let selectedWait else { return }
      let place = Place(node: selectedWait.node, id: selectedWait.id)
      if taggedWaits.remove(place) == nil { taggedWaits.insert(place) }
    case .jobs:
      say("jobs have no tags here: an act is for the one under the cursor")
      return
    }
    move(1)
  }

  // MARK: acts

  private mutating func attach() -> [FleetEffect] {
    let index =
      switch focus {
      case .nodes: selectedNode
      case .approvals: selectedWait?.node ?? selectedNode
      case .jobs: selectedJob?.node ?? jobs.first?.node ?? selectedNode
      }
    guard nodes.indices.contains(index) else { return [] }
    return [.attach(index)]
  }

  /// Whether the operator may act on these nodes now; says why not.
  private mutating func mayAct(_ targets: [Int]) -> Bool {
    for node in targets {
      guard !isReadOnly, !nodes[node].isReadOnly else {
        say("\(nodes[node].host): read-only: you look here, and act on nothing", isError: true)
        return false
      }
      guard nodes[node].link == .connected else {
        say("\(nodes[node].host): no line to the node: nothing was done", isError: true)
        return false
      }
    }
    return !targets.isEmpty && now.steady >= guardUntil
  }

  /// The jobs that an approval or a rejection is for.
  private mutating func chosenWaits() -> [Place] {
    guard focus == .approvals, let place = waitIndex else {
      say("2 goes to the approvals", isError: true)
      return []
    }
    let waits = waits
    let chosen = waits.map { Place(node: $0.node, id: $0.row.id) }
    let found = taggedWaits.isEmpty ? [chosen[place]] : chosen.filter(taggedWaits.contains)
    return mayAct(found.map(\.node)) ? found : []
  }

  private func byNode(_ jobs: [Place]) -> [(node: Int, jobs: [String])] {
    let groups = Dictionary(grouping: jobs, by: \.node)
    return groups.keys.sorted().map { ($0, (groups[$0] ?? []).map(\.id)) }
  }

  private mutating func approve() -> [FleetEffect] {
    let jobs = chosenWaits()
    if jobs.count == 1 { return [send(.approve(jobs: [jobs[0].id]), to: jobs[0].node)] }
    return askToApprove(jobs, "tagged")
  }

  private mutating func approveAll() -> [FleetEffect] {
    guard focus == .approvals else {
      say("2 goes to the approvals", isError: true)
      return []
    }
    let jobs = waits.map { Place(node: $0.node, id: $0.row.id) }
    guard mayAct(jobs.map(\.node)) else { return [] }
    return askToApprove(jobs, filter.isEmpty ? "waiting" : "matching")
  }

  private mutating func askToApprove(_ jobs: [Place], _ which: String) -> [FleetEffect] {
    if jobs.isEmpty { return [] }
    let groups = byNode(jobs)
    mode = .confirm(
      "approve \(jobs.count) \(which) \(jobs.count == 1 ? "job" : "jobs") of \(plural(groups.count, "node"))?",
      groups.map { Order(node: $0.node, command: .approve(jobs: $0.jobs)) })
    return []
  }

  private mutating func reject() -> [FleetEffect] {
    let jobs = chosenWaits()
    if jobs.isEmpty { return [] }
    isWaitPlaced = true
    field = LineEditor()
    mode = .reason(jobs)
    return []
  }

  private mutating func cancel() -> [FleetEffect] {
    let jobs = jobs
    guard focus == .jobs, !jobs.isEmpty else {
      say("3 goes to the jobs of all nodes", isError: true)
      return []
    }
    let job = jobs[jobIndex ?? 0]
    guard mayAct([job.node]) else { return [] }
    mode = .confirm(
      "cancel \(job.row.id.prefix(8)) of \(job.row.client) on \(nodes[job.node].name)?",
      [Order(node: job.node, command: .cancel(jobs: [job.row.id]))])
    return []
  }

  /// The tagged nodes, or the one under the cursor.
  private mutating func chosenNodes() -> [Int] {
    guard focus == .nodes else {
      say("1 goes to the nodes", isError: true)
      return []
    }
    let chosen = tags.isEmpty ? [selectedNode].filter(nodes.indices.contains) : tags.sorted()
    return mayAct(chosen) ? chosen : []
  }

  /// Pauses all, or resumes all if all are paused.
  private mutating func pause() -> [FleetEffect] {
    let chosen = chosenNodes()
    let isPaused = chosen.allSatisfy { nodes[$0].snapshot?.node.state == .paused }
    return ask(isPaused ? "resume" : "pause", chosen, isPaused ? .resume : .pause)
  }

  /// Drains all, or has all admit again if all are draining.
  private mutating func drain() -> [FleetEffect] {
    let chosen = chosenNodes()
    let isDraining = chosen.allSatisfy { nodes[$0].snapshot?.node.state == .draining }
    return ask(isDraining ? "admit jobs again on" : "drain", chosen, isDraining ? .undrain : .drain)
  }

  private mutating func ask(_ verb: String, _ chosen: [Int], _ command: NodeCommand) -> [FleetEffect] {
    if chosen.isEmpty { return [] }
    let names = chosen.prefix(3).map { nodes[$0].name }.joined(separator: ", ")
    let more = chosen.count > 3 ? " and \(chosen.count - 3) more" : ""
    mode = .confirm("\(verb) \(names)\(more)?", chosen.map { Order(node: $0, command: command) })
    return []
  }

  private mutating func message() -> [FleetEffect] {
    let chosen = chosenNodes()
    if chosen.isEmpty { return [] }
    field = LineEditor()
    mode = .message(chosen)
    return []
  }

  private mutating func send(_ command: NodeCommand, to node: Int) -> FleetEffect {
    defer { nextTag &+= 1 }
    return .send(node, command, tag: nextTag)
  }
}
