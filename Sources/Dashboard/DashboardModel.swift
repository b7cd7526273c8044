// DashboardModel.swift: everything the dashboard knows, as a value: what the node showed, and what
// the operator does.
// No clock, no file, no terminal: `update` changes it by messages and answers with effects, `view`
// draws it.
// Leaves out how (DashboardModel+Update.swift, +Keys, +Acts, +CommandLine). Start at DashboardModel
// and Message.
import Control
import Terminal

/// The time of a message: by the wall, and by a clock that never jumps. Both in microseconds.
package struct Instant: Hashable, Sendable {
  package let wall: Microseconds
  package let steady: Microseconds

  package init(wall: Microseconds, steady: Microseconds) {
    self.wall = wall
    self.steady = steady
  }
}

/// What happens to a dashboard.
package enum Message: Sendable {
  case input(Input)
  case node(NodeMessage)
  case resized(Size)
  /// Some time passed; sent once a second while no snapshot comes.
  case tick
  /// A line that this process wrote to its standard output or error.
  case captured(String)
  /// What became of a command that the application carries out, for the status line.
  case note(String, isError: Bool)
}

/// What a dashboard wants done.
package enum Effect: Equatable, Sendable {
  case send(NodeCommand, tag: UInt64)
  case bell
  case title(String)
  case copy(String)
  case mouse(Bool)
  case repaint
  /// The screen as text; without a path the application chooses one and says which.
  case saveScreen(path: String?)
  case saveText(path: String?, text: String)
  case leave
}

/// How a dashboard starts.
package struct DashboardOptions: Sendable {
  package var theme: Theme
  /// What `T` and `:theme` choose from.
  package var themes: [Theme]
  package var keyMap: KeyMap
  package var graphs: GraphStyle
  /// Ring when an approval arrives.
  package var bell: Bool
  package var mouse: Bool
  /// Acts are refused here already.
  package var isReadOnly: Bool
  /// What the first screen offers to fetch, and how large it is.
  package var defaultModel: String
  package var defaultModelWords: String
  /// Seconds east of Greenwich, for clocks.
  package var utcOffset: Int
  package var chatSystem: String
  package var chatTemperature: Double
  package var chatMaxTokens: Int

  package init() {
    theme = .terminalPalette
    themes = Theme.shipped.compactMap { Theme.shipped($0.name) }
    keyMap = KeyMap()
    graphs = .scroll
    bell = true
    mouse = false
    isReadOnly = false
    defaultModel = "smollm2"
    defaultModelWords = "SmolLM2-135M-Instruct, about 100 MB"
    utcOffset = 0
    chatSystem = ""
    chatTemperature = 0.7
    chatMaxTokens = 512
  }
}

package enum GraphStyle: String, Sendable {
  /// The newest at the right, everything moves.
  case scroll
  /// The newest overwrites the oldest in place: fewer bytes.
  case sweep
}

/// Canned reasons of a rejection; the operator may type another.
let cannedReasons = [
  "the node is at capacity", "the price is below this node's", "unknown client", "too long for this node",
  "this node does not serve such requests",
]

enum Mode: Equatable, Sendable {
  case normal
  case filter
  case command
  case palette(index: Int)
  case confirm(Confirmation)
  case reason(jobs: [String], what: String, index: Int, tags: TagUse?)
  case shutdownHow
  case shutdownName(drain: Bool)
  case chat
}

/// An act that waits for `y`. It holds the ids as they were shown; jobs that arrive later are not
/// in it.
struct Confirmation: Equatable, Sendable {
  let question: String
  let command: NodeCommand
  var tags: TagUse?
}

/// The rows an act applies to, and those it leaves out.
struct Targets: Equatable, Sendable {
  var ids: [String]
  /// Nil where it is for the row under the cursor, or for an open detail.
  var tags: TagUse?
}

/// Tags that an act uses up: they are gone once it is sent.
struct TagUse: Equatable, Sendable {
  let pane: Pane
  /// The tagged rows that cannot take the act, with their number, or nothing: `1 tagged job has
  /// ended`.
  let leftOut: String
}

/// What was last asked of a job or of the node, until a snapshot shows it: the next request
/// continues from there, not from a screen that lags behind.
struct Asked: Equatable, Sendable {
  var priority: Int?
  var isHeld: Bool?
  /// Of the last command; its refusal takes this back.
  var tag: UInt64
  /// A node that shows another value by then was changed by somebody else as well.
  var until: Microseconds
}

/// Acts for the same jobs as the act before them, as long as no other key comes between: `] ] ]`.
struct ActStreak: Equatable, Sendable {
  let targets: Targets
  let until: Microseconds
}

struct StatusLine: Equatable, Sendable {
  let text: String
  let isError: Bool
  let until: Microseconds
}

enum Detail: Equatable, Sendable {
  case job(id: String, detail: JobDetail?, answer: String, isRevealed: Bool)
  case receipt(id: String, detail: ReceiptDetail?)

  /// The pane whose rows it is a detail of.
  var pane: Pane {
    switch self {
    case .job: .jobs
    case .receipt: .receipts
    }
  }
}

struct ChatState: Equatable, Sendable {
  enum Phase: Equatable, Sendable {
    case idle
    case waiting
    case answering(job: String)
  }

  var messages: [ChatRequest.Message] = []
  var answer = ""
  var phase = Phase.idle
  var editor = LineEditor()
  /// Lines scrolled back from the end.
  var scroll = 0
  /// Of the last answer.
  var rate: Double?
  var tokens = 0
  var note: String?
  var system: String
  var temperature: Double
  var maxTokens: Int
}

package struct DashboardModel: Sendable {
  package internal(set) var size: Size
  package var glyphs: Glyphs
  package internal(set) var theme: Theme
  var options: DashboardOptions
  var graphStyle: GraphStyle
  var bell: Bool
  var hasMouse: Bool

  var link = LinkState.connecting
  /// What the screen shows: the newest, or the one that was frozen.
  var snapshot: NodeSnapshot?
  /// The one whose secondary figures are shown: the newest of five seconds.
  var calm: NodeSnapshot?
  /// The newest while the view is frozen.
  var newest: NodeSnapshot?
  var isFrozen = false
  /// When the last snapshot came.
  var snapshotAt: Instant?
  var now = Instant(wall: 0, steady: 0)
  var history = GraphHistory()
  var calmAt: Microseconds = 0
  var jobIndex: [String: Int] = [:]
  var calmJobs: [String: JobRow] = [:]
  /// Digits that tell the ids on the screen apart.
  var idDigits = 4
  var log: [LogLine] = []
  var pull: PullProgress?

  var focus = Pane.jobs
  var isZoomed = false
  var isFollowing = false
  var lists = Dictionary(
    uniqueKeysWithValues: Pane.all.filter { $0.list != nil }.map { ($0, ListState()) })
  /// Lines scrolled back from the end.
  var logScroll = 0
  var logFilter = Filter()
  var detail: Detail?
  var detailScroll = 0
  var mode = Mode.normal
  /// The text field of the filter, the command line, the palette, a reason or a name.
  var field = LineEditor()
  var commandHistory = LineEditor()
  var status: StatusLine?
  /// Acts are ignored until then: the row under the cursor has just changed by itself.
  var guardUntil: Microseconds = 0
  /// By job; what was asked of the node itself is `askedPause`.
  var asked: [String: Asked] = [:]
  var askedPause: (isPaused: Bool, tag: UInt64, until: Microseconds)?
  var streak: ActStreak?
  /// Words to add to the reply to a command, by its tag.
  var replyNotes: [UInt64: String] = [:]
  /// The operator's name and role; nil until the node has sent them.
  var operatorName = ""
  var role: Role?
  var chat: ChatState
  var nextTag: UInt64 = 1
  var showsDebug = false
  var debug = DebugFigures()
  var lastTitle = ""

  package init(size: Size, glyphs: GlyphLevel, options: DashboardOptions) {
    self.size = size
    self.glyphs = Glyphs(glyphs)
    self.theme = options.theme
    self.options = options
    graphStyle = options.graphs
    bell = options.bell
    hasMouse = options.mouse
    chat = ChatState(
      system: options.chatSystem, temperature: options.chatTemperature, maxTokens: options.chatMaxTokens)
  }

  /// The id of the row under the cursor of the pane in focus, or of the open detail.
  package var selected: String? {
    switch detail {
    case .job(let id, _, _, _), .receipt(let id, _): id
    case nil: lists[focus]?.selected
    }
  }

  /// Shows in the debug overlay; the application measures them.
  package struct DebugFigures: Equatable, Sendable {
    package var frameMicroseconds = 0
    package var frameBytes = 0
    package var totalBytes = 0
    package var events: [String] = []

    package init() {}
  }

  /// Whether the overlay is shown; figures are worth measuring only then.
  package var wantsDebug: Bool { showsDebug }

  package mutating func setDebug(_ figures: DebugFigures) { debug = figures }

  func job(_ id: String) -> JobRow? {
    guard let index = jobIndex[id], let snapshot, index < snapshot.jobs.count else { return nil }
    return snapshot.jobs[index]
  }

  /// The job as it was when secondary figures were last taken, where it ran then.
  func calmJob(_ id: String) -> JobRow? { calmJobs[id] }

  func approval(_ id: String) -> ApprovalRow? { snapshot?.approvals.first { $0.id == id } }

  /// As many digits as tell all ids apart.
  func short(_ id: String) -> String { String(id.prefix(idDigits)) }

  var isFirstRun: Bool { snapshot?.node.state == .noModel }
}

extension DashboardModel {
  /// Whether time alone changes what is shown: a message that fades, a node that is silent.
  func needsTick(_ moment: Instant) -> Bool {
    if let status, status.until <= moment.steady { return true }
    if link != .connected { return true }
    guard let last = snapshotAt else { return false }
    return elapsed(last.steady, moment.steady) > 4_000_000
  }

  mutating func setOffset(_ seconds: Int) { options.utcOffset = seconds }
}
