// FleetModel.swift: many nodes at once, as a value: a table of nodes, and one list of all jobs that
// wait for approval. Messages in, effects out; no clock, socket or terminal. Drawing is in
// FleetView.swift, the connections in FleetApp.swift. Start at FleetModel.update.
import Control
import Terminal

/// An event that a fleet's screen receives. Nodes are numbered in the order of the command line.
package enum FleetMessage: Sendable {
  case input(Input)
  case node(Int, NodeMessage)
  case resized(Size)
  case tick
  case note(String, isError: Bool)
}

/// An action that the application carries out for a fleet's screen.
package enum FleetEffect: Equatable, Sendable {
  case send(Int, NodeCommand, tag: UInt64)
  /// Lend the screen to that node's own dashboard until its operator quits it.
  case attach(Int)
  case bell
  case repaint
  case leave
}

/// What is known of one node of the fleet.
package struct FleetNode: Sendable {
  /// The host as the operator named it.
  package let host: String
  package internal(set) var link = LinkState.connecting
  package internal(set) var snapshot: NodeSnapshot?
  package internal(set) var isReadOnly = false
  /// When the last snapshot came.
  var seen: Instant?

  package init(host: String) { self.host = host }
}

package struct FleetModel: Sendable {
  /// The two lists; their numbers are their keys.
  enum List: Int, Sendable { case nodes = 1, approvals }

  /// A job in the fleet that waits for approval.
  struct Wait: Equatable, Sendable {
    let node: Int
    let row: ApprovalRow
  }

  enum Mode: Equatable, Sendable {
    case normal
    case help
    /// A rejection is being typed; it holds the job that was under the cursor when it began.
    case reason(node: Int, job: String)
  }

  package internal(set) var size: Size
  let theme: Theme
  let glyphs: Glyphs
  let isReadOnly: Bool
  let bell: Bool
  package internal(set) var nodes: [FleetNode]
  var now = Instant(wall: 0, steady: 0)
  var focus = List.nodes
  /// Hosts never move, so an index is enough.
  var selectedNode = 0
  /// The job under the cursor of the approvals.
  var selectedWait: (node: Int, id: String)?
  /// Whether the operator placed the cursor; then it stays with its job. Before that it is on the
  /// job that expires first.
  private var isWaitPlaced = false
  var mode = Mode.normal
  var reason = LineEditor()
  var status: StatusLine?
  /// Acts are ignored until then: the row under the cursor has just changed by itself.
  var guardUntil: Microseconds = 0
  private var nextTag: UInt64 = 1

  package init(
    hosts: [String], size: Size, glyphs: GlyphLevel, theme: Theme, isReadOnly: Bool, bell: Bool
  ) {
    nodes = hosts.map { FleetNode(host: $0) }
    self.size = size
    self.glyphs = Glyphs(glyphs)
    self.theme = theme
    self.isReadOnly = isReadOnly
    self.bell = bell
  }

  /// All jobs that wait for approval, the one that expires first on top.
  var waits: [Wait] {
    nodes.indices.flatMap { index -> [Wait] in
      guard nodes[index].link == .connected else { return [] }
      return (nodes[index].snapshot?.approvals ?? []).map { Wait(node: index, row: $0) }
    }
    .sorted { ($0.row.deadline, $0.node, $0.row.id) < ($1.row.deadline, $1.node, $1.row.id) }
  }

  var waitIndex: Int? {
    guard let selectedWait else { return nil }
    return waits.firstIndex { $0.node == selectedWait.node && $0.row.id == selectedWait.id }
  }

  package mutating func update(_ message: FleetMessage, at moment: Instant) -> [FleetEffect] {
    now = moment
    if let status, status.until <= moment.steady { self.status = nil }
    switch message {
    case .input(let input): return take(input)
    case .node(let index, let message): return take(message, from: index)
    case .resized(let size):
      self.size = size
      return []
    case .tick: return []
    case .note(let text, let isError):
      say(text, isError: isError)
      return []
    }
  }

  mutating func say(_ text: String, isError: Bool = false) {
    status = StatusLine(text: text, isError: isError, until: now.steady &+ 8_000_000)
  }

  // MARK: nodes

  private mutating func take(_ message: NodeMessage, from index: Int) -> [FleetEffect] {
    guard nodes.indices.contains(index) else { return [] }
    switch message {
    case .welcome(let welcome): nodes[index].isReadOnly = isReadOnly || welcome.role < .operator
    case .snapshot(let snapshot):
      let before = Set((nodes[index].snapshot?.approvals ?? []).map(\.id))
      let isFirst = nodes[index].snapshot == nil
      nodes[index].snapshot = snapshot
      nodes[index].seen = now
      keepSelection()
      if bell, !isFirst, snapshot.approvals.contains(where: { !before.contains($0.id) }) { return [.bell] }
    case .reply(_, .done(let text)): if !text.isEmpty { say("\(nodes[index].host): \(text)") }
    case .reply(_, .refused(let text)): say("\(nodes[index].host): \(text)", isError: true)
    case .link(let link):
      nodes[index].link = link
      keepSelection()
    case .history, .past, .token, .job, .receipt, .text, .chat, .pull: break
    }
    return []
  }

  /// A cursor that was placed stays on its job. If the row under it becomes another one, acts are
  /// guarded for a moment.
  private mutating func keepSelection() {
    let waits = waits
    if waits.isEmpty {
      selectedWait = nil
      isWaitPlaced = false
      return
    }
    let place = waitIndex
    if place == 0 || place != nil && isWaitPlaced { return }
    let isNew = selectedWait == nil
    selectedWait = (waits[0].node, waits[0].row.id)
    isWaitPlaced = false
    if !isNew { guardUntil = now.steady &+ 300_000 }
  }

  // MARK: keys

  private mutating func take(_ input: Input) -> [FleetEffect] {
    // A paste is never keys.
    guard case .key(let key) = input else { return [] }
    switch mode {
    case .help:
      mode = .normal
      return []
    case .reason(let node, let job): return typeReason(key, node, job)
    case .normal: return takeCommand(key)
    }
  }

  private mutating func typeReason(_ key: Key, _ node: Int, _ job: String) -> [FleetEffect] {
    switch key.code {
    case .enter:
      mode = .normal
      let words = reason.text
      reason = LineEditor()
      return [send(.reject(jobs: [job], reason: words.isEmpty ? cannedReasons[0] : words), to: node)]
    case .escape:
      mode = .normal
      reason = LineEditor()
      say("nothing was done")
    default: _ = reason.key(key)
    }
    return []
  }

  private mutating func takeCommand(_ key: Key) -> [FleetEffect] {
    if let list = Int(key.name).flatMap(List.init(rawValue:)) {
      focus = list
      return []
    }
    switch key.name {
    case "q": return [.leave]
    case "?", "F1": mode = .help
    case "C-l": return [.repaint]
    case "Tab", "S-Tab": focus = focus == .nodes ? .approvals : .nodes
    case "j", "Down": move(1)
    case "k", "Up": move(-1)
    case "g", "Home": move(-100_000)
    case "G", "End": move(100_000)
    case "Enter": return attach()
    case "a": return approve()
    case "x": return reject()
    default: break
    }
    return []
  }

  private mutating func move(_ step: Int) {
    switch focus {
    case .nodes: selectedNode = min(max(0, selectedNode + step), max(0, nodes.count - 1))
    case .approvals:
      let waits = waits
      guard !waits.isEmpty else { return }
      let place = min(max(0, (waitIndex ?? 0) + step), waits.count - 1)
      selectedWait = (waits[place].node, waits[place].row.id)
      isWaitPlaced = step > -100_000
      guardUntil = 0
    }
  }

  private mutating func attach() -> [FleetEffect] {
    let index = focus == .nodes ? selectedNode : selectedWait?.node ?? selectedNode
    guard nodes.indices.contains(index) else { return [] }
    return [.attach(index)]
  }

  /// The approval that an act is for, if it may be acted on now.
  private mutating func target() -> Wait? {
    guard focus == .approvals, let place = waitIndex else {
      say("Tab goes to the approvals", isError: true)
      return nil
    }
    let wait = waits[place]
    if isReadOnly || nodes[wait.node].isReadOnly {
      say("\(nodes[wait.node].host): read-only: you look here, and act on nothing", isError: true)
      return nil
    }
    return now.steady < guardUntil ? nil : wait
  }

  private mutating func approve() -> [FleetEffect] {
    guard let wait = target() else { return [] }
    return [send(.approve(jobs: [wait.row.id]), to: wait.node)]
  }

  private mutating func reject() -> [FleetEffect] {
    guard let wait = target() else { return [] }
    isWaitPlaced = true
    mode = .reason(node: wait.node, job: wait.row.id)
    return []
  }

  private mutating func send(_ command: NodeCommand, to node: Int) -> FleetEffect {
    defer { nextTag &+= 1 }
    return .send(node, command, tag: nextTag)
  }
}
