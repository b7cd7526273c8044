// FleetModel.swift: many nodes at once, as a value: a table of nodes, one list of all jobs that wait
// for approval, and one of all jobs. Messages in, effects out; no clock, socket or terminal. Keys are
// in FleetModel+Keys.swift, order and filters in FleetModel+Lists.swift, drawing in FleetView.swift,
// the connections in FleetApp.swift. Start at FleetModel.update.
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

  /// The node's own name, and the host where it is another one.
  var name: String {
    guard let name = snapshot?.node.name, name != host else { return host }
    return host == "local" ? name : "\(name) (\(host))"
  }
}

package struct FleetModel: Sendable {
  /// The lists; their numbers are their keys.
  enum List: Int, Sendable { case nodes = 1, approvals, jobs }

  /// A job in the fleet that waits for approval.
  struct Wait: Equatable, Sendable {
    let node: Int
    let row: ApprovalRow
  }

  /// A job of the fleet that has not ended.
  struct Job: Equatable, Sendable {
    let node: Int
    let row: JobRow
  }

  /// A job of one node.
  struct Place: Hashable, Sendable {
    let node: Int
    let id: String
  }

  /// What is asked of one node.
  struct Order: Equatable, Sendable {
    let node: Int
    let command: NodeCommand
  }

  enum Mode: Equatable, Sendable {
    case normal
    case help
    case filter
    /// A rejection is being typed; it holds the jobs that it began with.
    case reason([Place])
    /// A message to these nodes is being typed.
    case message([Int])
    /// It holds what was shown.
    case confirm(String, [Order])
  }

  package internal(set) var size: Size
  let theme: Theme
  let glyphs: Glyphs
  let isReadOnly: Bool
  let bell: Bool
  package internal(set) var nodes: [FleetNode]
  var now = Instant(wall: 0, steady: 0)
  var focus = List.nodes
  /// Which of approvals and jobs is shown where there is room for one.
  var lower = List.approvals
  /// Hosts never move, so an index is enough.
  var selectedNode = 0
  /// The job under the cursor of the approvals.
  var selectedWait: (node: Int, id: String)?
  /// The job under the cursor of the jobs; nil is the first one.
  var selectedJob: Place?
  /// Whether the operator placed the cursor; then it stays with its job. Before that it is on the
  /// job that expires first.
  var isWaitPlaced = false
  var tags: Set<Int> = []
  var taggedWaits: Set<Place> = []
  /// The column of the table of nodes, by its heading; nil is the order of the command line.
  var sortColumn: String?
  var isInverted = false
  /// Of all three lists.
  var filter = Filter()
  var mode = Mode.normal
  /// The text that is being typed.
  var field = LineEditor()
  var status: StatusLine?
  /// Acts are ignored until then: the row under the cursor has just changed by itself.
  var guardUntil: Microseconds = 0
  var nextTag: UInt64 = 1

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
    case .history, .past, .token, .statement, .job, .receipt, .text, .chat, .pull: break
    }
    return []
  }

  /// A cursor that was placed stays on its job. If the row under it becomes another one, acts are
  /// guarded for a moment.
  mutating func keepSelection() {
    let waits = waits
    taggedWaits.formIntersection(waits.map { Place(node: $0.node, id: $0.row.id) })
    if let selectedJob, !jobs.contains(where: { $0.node == selectedJob.node && $0.row.id == selectedJob.id })
    {
      self.selectedJob = nil
      if focus == .jobs { guardUntil = now.steady &+ 300_000 }
    }
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
}
