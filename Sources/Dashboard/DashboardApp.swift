// DashboardApp.swift: the dashboard of one node on a terminal: it passes events to the model and
// carries out the model's effects.
//
// Rule: nothing here waits for the node, and nothing of the node waits for this thread. Why: the
// engine must not slow down for a slow screen, and keys must be answered while the engine is busy.
// So: the node delivers into an inbox, and commands are sent without waiting. Otherwise a stopped
// terminal would stop paying jobs.
//
// Waiting and painting are in ScreenLoop.swift, drawing in View.swift, the meaning of keys in
// DashboardModel+Keys.swift. Start at run.
import Control
import Foundation
import Terminal

/// Why a dashboard ended. The node goes on serving unless the case says otherwise.
package enum DashboardExit: Equatable, Sendable {
  /// The operator quit the dashboard.
  case left
  /// The terminal is gone (SSH dropped, window closed), or accepted nothing for `frozenLimit`.
  case hangup
  /// SIGTERM or SIGINT came from outside: the process should end in an orderly way.
  case terminated(signal: Int32)
  /// The node ended, with the reason.
  case nodeEnded(String)

  /// Nil for a signal that does not ask the process to end.
  init?(stop signal: Int32) {
    guard signal == SIGTERM || signal == SIGINT else { return nil }
    self = .terminated(signal: signal)
  }
}

/// What depends on where a dashboard runs, and not on how it looks.
package struct DashboardPlace: Sendable {
  /// Names as in the process's environment: TERM, COLORTERM, NO_COLOR, LANG, HOME.
  package var environment: [String: String]
  /// The file that receives what the process writes to its standard streams meanwhile; nil keeps it
  /// in the log pane only.
  package var streamLog: String?
  /// Where `:save-screen` and `:save-chat` write when no path is given.
  package var saveDirectory: String
  /// A terminal that accepts nothing for this many seconds is abandoned.
  package var frozenLimit: Double
  /// Keeps what was chosen on the screen. Called on the thread that draws, at most once a second,
  /// and at the end.
  package var keep: (@Sendable (ScreenSettings) -> Void)?

  /// The shell that started the dashboard; nil if there is none to go back to.
  package var shell: Shell?

  package struct Shell: Sendable {
    /// Bytes wait there once the shell has continued the dashboard.
    let returned: Int32
    /// Stops the job in the shell. The terminal was released before.
    let stop: @Sendable () -> Void

    package init(returned: Int32, stop: @escaping @Sendable () -> Void) {
      (self.returned, self.stop) = (returned, stop)
    }
  }

  package init(environment: [String: String], streamLog: String?, saveDirectory: String) {
    self.environment = environment
    self.streamLog = streamLog
    self.saveDirectory = saveDirectory
    frozenLimit = 600
  }
}

package final class DashboardApp {
  private let connection: any NodeConnection
  private let place: DashboardPlace
  private var model: DashboardModel
  private let inbox: NodeInbox
  private let loop: ScreenLoop
  private let streams: StandardStreams?
  private var figures = DashboardModel.DebugFigures()
  private var offsetAt: Microseconds = 0
  /// Settings that were chosen and are not kept yet.
  private var chosen: ScreenSettings?
  private var keptAt: Microseconds = 0

  /// Takes over the terminal. Call it and `run` on one thread, and nothing else on that thread.
  package init(
    connection: any NodeConnection, options: DashboardOptions, place: DashboardPlace
  ) throws(ScreenError) {
    self.connection = connection
    self.place = place
    inbox = try NodeInbox()
    // Keys repaint at once, data alone at most five times a second.
    loop = try ScreenLoop(
      environment: place.environment, frameInterval: 200_000, frozenLimit: place.frozenLimit)
    let screen = loop.screen
    streams = StandardStreams(logPath: place.streamLog)
    var options = options
    let colors = screen.capabilities.colors
    options.theme = options.theme.adapted(to: colors)
    options.themes = options.themes.map { $0.adapted(to: colors) }
    model = DashboardModel(size: screen.size, glyphs: screen.capabilities.glyphs, options: options)
    if model.hasMouse { loop.send(.mouse(true)) }
  }

  /// Runs until the operator quits, the terminal or the node is gone, or a signal ends it. The
  /// terminal is released before this returns.
  package func run() -> DashboardExit {
    let inbox = self.inbox
    connection.start { inbox.put($0) }
    while loop.exit == nil { turn() }
    connection.close()
    keepChosen()
    return loop.close { exit in streams?.close(terminalIsGone: exit == .hangup) }
  }

  /// Waits for events, applies them, paints.
  private func turn() {
    let (instant, events) = loop.wait(for: [inbox.descriptor, streams?.descriptor ?? -1])
    for event in events {
      switch event {
      case .input(let input):
        note(input)
        take(.input(input), instant, isUrgent: true)
      case .resized(let size): take(.resized(size), instant, isUrgent: true)
      case .readable(0):
        for message in inbox.takeAll() {
          take(.node(message), instant, isUrgent: !isStream(message))
          if case .link(.ended(let reason)) = message { loop.exit = loop.exit ?? .nodeEnded(reason) }
        }
      case .readable:
        for line in streams?.lines() ?? [] { take(.captured(line), instant, isUrgent: false) }
      case .tick: tick(instant)
      }
    }
    paint(instant)
  }

  private func isStream(_ message: NodeMessage) -> Bool {
    switch message {
    case .text, .chat(.text), .chat(.thought), .snapshot, .pull: true
    case .welcome, .history, .past, .token, .statement, .reply, .job, .receipt, .chat, .link: false
    }
  }

  private func tick(_ instant: Instant) {
    // Without a node the screen changes every second; with one, its snapshots change it.
    take(.tick, instant, isUrgent: false, repaints: model.needsTick(instant))
    if instant.steady - keptAt >= 1_000_000 {
      keptAt = instant.steady
      keepChosen()
    }
    if instant.steady - offsetAt > 600_000_000 || offsetAt == 0 {
      offsetAt = instant.steady
      var seconds = time(nil)
      var local = tm()
      if localtime_r(&seconds, &local) != nil { model.setOffset(Int(local.tm_gmtoff)) }
    }
  }

  private func keepChosen() {
    guard let settings = chosen else { return }
    chosen = nil
    place.keep?(settings)
  }

  private func note(_ input: Input) {
    guard model.wantsDebug else { return }
    switch input {
    case .key(let key): figures.events.append("key \(key.name)")
    case .paste(let text): figures.events.append("paste of \(text.utf8.count) bytes")
    case .mouse(let mouse): figures.events.append("mouse \(mouse.event) \(mouse.x),\(mouse.y)")
    }
    figures.events = figures.events.suffix(8)
  }

  private func take(_ message: Message, _ instant: Instant, isUrgent: Bool, repaints: Bool = true) {
    for effect in model.update(message, at: instant) { perform(effect, instant) }
    if repaints { loop.invalidate(isUrgent: isUrgent) }
  }

  private func perform(_ effect: Effect, _ instant: Instant) {
    switch effect {
    case .send(let command, let tag): connection.send(command, tag: tag)
    case .bell: loop.send(.bell)
    case .notify(let title, let body): loop.send(.notify(title: title, body: body))
    case .title(let title): loop.send(.title(title))
    case .copy(let text): loop.send(.copy(text))
    case .mouse(let isOn): loop.send(.mouse(isOn))
    case .repaint: loop.screen.invalidate()
    case .saveScreen(let path): save(view(model).styledText, path, "hotpot-screen", instant)
    case .saveText(let path, let text): save(text, path, "hotpot-chat", instant)
    case .saveStatement(let path, let client, let text, let signature):
      let stem = "hotpot-statement-" + client.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }
      let target = path ?? "\(place.saveDirectory)/\(stem)-\(instant.wall / 1_000_000).txt"
      save(signature, target + ".sig", stem, instant)
      save(text, target, stem, instant)
    case .keep(let settings): chosen = settings
    case .suspend:
      guard let shell = place.shell else {
        return take(.note("no shell waits for this dashboard", isError: true), instant, isUrgent: true)
      }
      loop.suspend(until: shell.returned)
      shell.stop()
    case .leave: loop.exit = .left
    }
  }

  /// Writes a new file; an existing file is never overwritten.
  private func save(_ text: String, _ path: String?, _ stem: String, _ instant: Instant) {
    let target = path.map(expanded) ?? "\(place.saveDirectory)/\(stem)-\(instant.wall / 1_000_000).txt"
    let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor < 0 {
      let reason = String(cString: strerror(errno))
      take(.note("\(target): \(reason)", isError: true), instant, isUrgent: true)
      return
    }
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        buffer.baseAddress.map { write(descriptor, $0 + sent, buffer.count - sent) } ?? 0
      }
      if count <= 0 { break }
      sent += count
    }
    close(descriptor)
    let isWhole = sent == bytes.count
    take(
      .note(isWhole ? "saved \(target)" : "\(target): the disk took only \(sent) bytes", isError: !isWhole),
      instant, isUrgent: true)
  }

  private func expanded(_ path: String) -> String {
    guard path.hasPrefix("~/"), let home = place.environment["HOME"] else { return path }
    return home + path.dropFirst()
  }

  private func paint(_ instant: Instant) {
    let start = model.wantsDebug ? Instant.now.steady : 0
    let isPainted = loop.paint(at: instant) {
      if model.wantsDebug { model.setDebug(figures) }
      return view(model)
    }
    guard isPainted, model.wantsDebug else { return }
    figures.frameMicroseconds = Int(Instant.now.steady - start)
    figures.frameBytes = loop.screen.bytesWritten.frame
    figures.totalBytes = loop.screen.bytesWritten.total
  }
}
