// DashboardModel.swift: the dashboard's state as a value: what the node sent, and what the operator
// is doing. It uses no clock, file or terminal: `update` applies messages and returns effects, and
// `view` draws it. The updates are in DashboardModel+Update.swift, +Keys, +Acts and +CommandLine.
// Start at DashboardModel and Message.
import Control
import Terminal

/// The time of a message, by the wall clock and by a monotonic clock, both in microseconds.
package struct Instant: Hashable, Sendable {
  package let wall: Microseconds
  package let steady: Microseconds

  package init(wall: Microseconds, steady: Microseconds) {
    self.wall = wall
    self.steady = steady
  }
}

/// An event that a dashboard receives.
package enum Message: Sendable {
  case input(Input)
  case node(NodeMessage)
  case resized(Size)
  /// Time passed; sent once a second while no snapshot comes.
  case tick
  /// A line that this process wrote to its standard output or error.
  case captured(String)
  /// The result of a command that the application carried out, for the status line.
  case note(String, isError: Bool)
}

/// An action that the application carries out for the dashboard.
package enum Effect: Equatable, Sendable {
  case send(NodeCommand, tag: UInt64)
  case bell
  case notify(title: String, body: String)
  case title(String)
  case copy(String)
  case mouse(Bool)
  case repaint
  /// Save the screen as text; without a path the application chooses one and reports it.
  case saveScreen(path: String?)
  case saveText(path: String?, text: String)
  /// The settings changed: keep them for the next time.
  case keep(ScreenSettings)
  /// Give the terminal back to the shell until it continues this program.
  case suspend
  case leave
}

/// How a dashboard starts.
package struct DashboardOptions: Sendable {
  package var theme: Theme
  /// The themes that `T` and `:theme` choose from.
  package var themes: [Theme]
  package var keyMap: KeyMap
  package var graphs: GraphStyle
  /// Ring, and tell the desktop, when a job waits, an audit fails or an alarm begins.
  package var bell: Bool
  package var mouse: Bool
  /// Acts are refused before they reach the node.
  package var isReadOnly: Bool
  /// The model that the first screen offers to fetch, and its size.
  package var defaultModel: String
  package var defaultModelWords: String
  /// Seconds east of Greenwich, for times of day.
  package var utcOffset: Int
  package var chatSystem: String
  package var chatTemperature: Double
  package var chatMaxTokens: Int
  /// What was chosen on the screen before.
  package var settings = ScreenSettings()
  /// What is wrong with the operator's own files, for the log pane.
  package var notes: [String] = []

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
  /// The newest sample is at the right and the whole graph moves.
  case scroll
  /// The newest sample overwrites the oldest in place, which costs fewer bytes.
  case sweep
}

/// Predefined reasons of a rejection; the operator may type another.
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
  /// Who is attached to the node.
  case who
  /// A new client's token, which is not shown again.
  case token(name: String, token: String)
}

/// An act that waits for `y`. It holds the ids as they were shown, and excludes jobs that arrive
/// later.
struct Confirmation: Equatable, Sendable {
  let question: String
  let command: NodeCommand
  var tags: TagUse?
}

/// The rows an act applies to, and those it does not.
struct Targets: Equatable, Sendable {
  var ids: [String]
  /// Nil if the act is for the row under the cursor, or for an open detail.
  var tags: TagUse?
}

/// Tags that an act uses: they are cleared once it is sent.
struct TagUse: Equatable, Sendable {
  let pane: Pane
  /// The number of tagged rows that cannot take the act and why, `1 tagged job has ended`, or
  /// empty.
  let leftOut: String
}

/// The last request for a job or for the node, until a snapshot shows its effect: the next request
/// continues from there, not from a screen that lags behind.
struct Asked: Equatable, Sendable {
  var priority: Int?
  var isHeld: Bool?
  /// The tag of the last command; if the node refuses it, the request is reverted.
  var tag: UInt64
  /// If the node still shows another value at this time, somebody else changed it as well.
  var until: Microseconds
}

/// Repeated acts that apply to the same jobs as long as no other key comes between: `] ] ]`.
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
  case log(LogLine)
  case client(String)

  /// The pane that the row of the detail belongs to.
  var pane: Pane {
    switch self {
    case .job: .jobs
    case .receipt: .receipts
    case .log: .log
    case .client: .clients
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
  /// All conversations; the one at `place` is as it was when another one was left for it.
  var shelf = [ChatBook.Conversation()]
  var place = 0
  /// The message that the field's text replaces, with all after it.
  var editedFrom: Int?
  var answer = ""
  /// What the model thinks before the answer that is being written.
  var thought = ""
  /// What was thought before a message, by its place.
  var thoughts: [Int: String] = [:]
  /// Thoughts are shown whole; else as a line each.
  var showsThoughts = false
  var phase = Phase.idle
  var editor = LineEditor()
  /// Lines scrolled back from the end.
  var scroll = 0
  /// Tokens a second of the last answer.
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
  /// The snapshot on the screen: the newest, or the one that was frozen.
  var snapshot: NodeSnapshot?
  /// The snapshot whose secondary figures are shown; renewed every five seconds.
  var calm: NodeSnapshot?
  /// The newest snapshot while the view is frozen.
  var newest: NodeSnapshot?
  var isFrozen = false
  /// When the last snapshot came.
  var snapshotAt: Instant?
  var now = Instant(wall: 0, steady: 0)
  var history = GraphHistory()
  var calmAt: Microseconds = 0
  var jobIndex: [String: Int] = [:]
  var calmJobs: [String: JobRow] = [:]
  /// How many digits distinguish the ids on the screen.
  var idDigits = 4
  var log: [LogLine] = []
  var pull: PullProgress?
  var past = PastJobs()

  var focus = Pane.jobs
  var isZoomed = false
  var isFollowing = false
  var lists = Dictionary(
    uniqueKeysWithValues: Pane.all.filter { $0.list != nil }.map { ($0, ListState()) })
  /// The number of the line under the log's cursor; nil is the newest, whichever it becomes.
  var logCursor: Int?
  /// How many older lines were dropped.
  var logDropped = 0
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
  /// Requests by job; a request to the node itself is in `askedPause`.
  var asked: [String: Asked] = [:]
  var askedPause: (isPaused: Bool, tag: UInt64, until: Microseconds)?
  var streak: ActStreak?
  /// What can be taken back, the last act last.
  var undoable: [Undoable] = []
  var isUndoing = false
  /// How many messages were applied.
  var updates: UInt64 = 0
  /// Words to add to the reply to a command, by the command's tag.
  var replyNotes: [UInt64: String] = [:]
  /// The operator's name and role; nil until the node has sent them.
  var operatorName = ""
  var role: Role?
  var chat: ChatState
  /// System prompts by name.
  var systems: [String: String] = [:]
  /// Commands whose refusal is told to nobody.
  var silentTags: Set<UInt64> = []
  var nextTag: UInt64 = 1
  var showsDebug = false
  var debug = DebugFigures()
  var lastTitle = ""
  var lastSettings = ScreenSettings()
  /// The theme to go back to while another one is tried on the command line.
  var themeBefore: Theme?
  /// The row that was clicked last, and when.
  var clicked: (pane: Pane, id: String, at: Microseconds)?

  package init(size: Size, glyphs: GlyphLevel, options: DashboardOptions) {
    self.size = size
    self.glyphs = Glyphs(glyphs)
    self.theme = options.theme
    self.options = options
    graphStyle = options.graphs
    bell = options.bell
    hasMouse = options.mouse
    log = options.notes.map { LogLine(sequence: 0, time: 0, level: .warning, who: nil, text: $0) }
    chat = ChatState(
      system: options.chatSystem, temperature: options.chatTemperature, maxTokens: options.chatMaxTokens)
    apply(options.settings)
    lastSettings = settings
  }

  /// The id of the row under the cursor of the focused pane, or of the open detail.
  package var selected: String? {
    switch detail {
    case .job(let id, _, _, _), .receipt(let id, _): id
    case .log: nil
    case .client(let name): name
    case nil: lists[focus]?.selected
    }
  }

  /// Figures of the debug overlay, measured by the application.
  package struct DebugFigures: Equatable, Sendable {
    package var frameMicroseconds = 0
    package var frameBytes = 0
    package var totalBytes = 0
    package var events: [String] = []

    package init() {}
  }

  /// Whether the overlay is shown; the figures are measured only then.
  package var wantsDebug: Bool { showsDebug }

  package mutating func setDebug(_ figures: DebugFigures) { debug = figures }

  func job(_ id: String) -> JobRow? {
    guard let index = jobIndex[id], let snapshot, index < snapshot.jobs.count else { return nil }
    return snapshot.jobs[index]
  }

  /// The job when secondary figures were last updated, if it was running then.
  func calmJob(_ id: String) -> JobRow? { calmJobs[id] }

  func approval(_ id: String) -> ApprovalRow? { snapshot?.approvals.first { $0.id == id } }

  /// As many digits of the id as distinguish it from all others.
  func short(_ id: String) -> String { String(id.prefix(idDigits)) }

  /// The node refuses a viewer's acts anyway; here they are not even offered.
  var isReadOnly: Bool { options.isReadOnly || role.map { $0 < .operator } ?? false }

  var isFirstRun: Bool { snapshot?.node.state == .noModel }
}

extension DashboardModel {
  /// Whether the passing of time changes the screen: a message fades, or the node is silent.
  func needsTick(_ moment: Instant) -> Bool {
    if let status, status.until <= moment.steady { return true }
    if link != .connected { return true }
    guard let last = snapshotAt else { return false }
    return elapsed(last.steady, moment.steady) > 4_000_000
  }

  mutating func setOffset(_ seconds: Int) { options.utcOffset = seconds }
}
