// DashboardApp.swift: the one thread of the dashboard: waits for keys, the node, signals and a terminal that takes
// bytes again; lets the model decide; paints.
//
// Rule: nothing here waits for the node, and nothing of the node waits for this thread. Why: the engine must lose
// nothing to a slow screen, and keys must be answered while the engine is busy. So: the node delivers into a mailbox;
// commands are sent without waiting. Otherwise a stopped terminal would stop paying jobs.
//
// Leaves out what is drawn (View.swift) and what keys mean (DashboardModel+Keys.swift). Start at run.
import Foundation
import Node
import Terminal

/// Why a dashboard ended. The node serves on in every case but those that say otherwise.
public enum DashboardExit: Equatable, Sendable {
  /// The operator left.
  case left
  /// The terminal is gone (SSH dropped, window closed), or took nothing for `frozenLimit`.
  case hangup
  /// SIGTERM or SIGINT came from outside: the process should end in good order.
  case terminated(signal: Int32)
  /// The node ended, and why.
  case nodeEnded(String)

  /// Nil for a signal that does not ask the process to end.
  init?(stop signal: Int32) {
    guard signal == SIGTERM || signal == SIGINT else { return nil }
    self = .terminated(signal: signal)
  }
}

/// What belongs to the place where a dashboard runs, not to its looks.
public struct DashboardPlace: Sendable {
  /// Names as in the process's environment: TERM, COLORTERM, NO_COLOR, LANG, HOME.
  public var environment: [String: String]
  /// Gets what the process writes to its standard streams meanwhile; nil keeps it in the log pane only.
  public var streamLog: String?
  /// Where `:save-screen` and `:save-chat` write when no path is given.
  public var saveDirectory: String
  /// A terminal that takes nothing for so long is given up, in seconds.
  public var frozenLimit: Double

  public init(environment: [String: String], streamLog: String?, saveDirectory: String) {
    self.environment = environment
    self.streamLog = streamLog
    self.saveDirectory = saveDirectory
    frozenLimit = 600
  }
}

public final class DashboardApp {
  private let connection: any NodeConnection
  private let place: DashboardPlace
  private var model: DashboardModel
  private let mailbox: Mailbox
  private let screen: CursesScreen
  private let signals: SignalPipe?
  private let streams: StandardStreams?
  private var needsPaint = true
  private var isUrgent = true
  private var lastPaint: Microseconds = 0
  private var stalledSince: Microseconds?
  private var lastTick: Microseconds = 0
  private var figures = DashboardModel.DebugFigures()
  /// Whoever tells the process to end is heard, also while its terminal goes.
  private var exit: DashboardExit? {
    didSet { if case .terminated = oldValue { exit = oldValue } }
  }
  private var offsetAt: Microseconds = 0

  /// Data alone repaints at most this often; keys repaint at once.
  private static let frameInterval: Microseconds = 200_000

  /// Takes the terminal. Call it, `run` and nothing else on one thread.
  public init(
    connection: any NodeConnection, options: DashboardOptions, place: DashboardPlace
  ) throws(ScreenError) {
    self.connection = connection
    self.place = place
    mailbox = try Mailbox()
    (screen, signals) = try CursesScreen.take(place.environment)
    streams = StandardStreams(logPath: place.streamLog)
    var options = options
    let colors = screen.capabilities.colors
    options.theme = options.theme.adapted(to: colors)
    options.themes = options.themes.map { $0.adapted(to: colors) }
    model = DashboardModel(size: screen.size, glyphs: screen.capabilities.glyphs, options: options)
    if options.mouse { screen.send(.mouse(true)) }
  }

  /// Runs until the operator leaves, the terminal or the node is gone, or a signal ends it. The terminal is given
  /// back before this returns.
  public func run() -> DashboardExit {
    let mailbox = self.mailbox
    connection.start { mailbox.put($0) }
    while exit == nil { turn() }
    connection.close()
    screen.close()
    let isGone = exit == .hangup
    streams?.close(terminalIsGone: isGone)
    exit = signals?.close().compactMap(DashboardExit.init(stop:)).first ?? exit
    return exit ?? .left
  }

  /// Waits for something, takes it, paints.
  private func turn() {
    var waits = [
      pollfd(fd: screen.descriptor, events: Int16(POLLIN | (screen.isStalled ? POLLOUT : 0)), revents: 0),
      pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
      pollfd(fd: streams?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    _ = poll(&waits, nfds_t(waits.count), timeout(.now))
    let moment = Moment.now

    if waits[2].revents != 0 { for signal in signals?.next() ?? [] { take(signal: signal, moment) } }
    if waits[0].revents & Int16(POLLOUT) != 0, screen.flush() == .hangup { exit = .hangup }
    if waits[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 { readKeys(moment) }
    // What has come was read just now.
    if let due = screen.inputDue, moment.steady >= due {
      for input in screen.expireInput(at: moment.steady) { take(.input(input), moment, isUrgent: true) }
    }
    if waits[1].revents != 0 {
      for message in mailbox.takeAll() {
        take(.node(message), moment, isUrgent: !isStream(message))
        if case .link(.ended(let reason)) = message { exit = exit ?? .nodeEnded(reason) }
      }
    }
    if waits[3].revents != 0 {
      for line in streams?.lines() ?? [] { take(.captured(line), moment, isUrgent: false) }
    }
    if moment.steady - lastTick >= 1_000_000 { tick(moment) }
    if exit == nil { paint(moment) }
  }

  private func isStream(_ message: NodeMessage) -> Bool {
    switch message {
    case .text, .chat(.text), .snapshot, .pull: true
    case .welcome, .history, .reply, .job, .receipt, .chat, .link: false
    }
  }

  /// Milliseconds until something is due.
  private func timeout(_ moment: Moment) -> Int32 {
    var until = lastTick + 1_000_000 - moment.steady
    if let due = screen.inputDue { until = min(until, due - moment.steady) }
    if needsPaint && !screen.isStalled {
      until = isUrgent ? 0 : min(until, lastPaint + DashboardApp.frameInterval - moment.steady)
    }
    return Int32(clamping: max(0, (until + 999) / 1000))
  }

  private func tick(_ moment: Moment) {
    lastTick = moment.steady
    // Without a node every second counts; with one its snapshots do.
    take(.tick, moment, isUrgent: false, repaints: model.needsTick(moment))
    if screen.isStalled {
      let since = stalledSince ?? moment.steady
      stalledSince = since
      if Double(moment.steady - since) > place.frozenLimit * 1e6 { exit = .hangup }
    } else {
      stalledSince = nil
    }
    if moment.steady - offsetAt > 600_000_000 || offsetAt == 0 {
      offsetAt = moment.steady
      var seconds = time(nil)
      var local = tm()
      if localtime_r(&seconds, &local) != nil { model.setOffset(Int(local.tm_gmtoff)) }
    }
  }

  private func readKeys(_ moment: Moment) {
    switch screen.read(at: moment.steady) {
    case .hangup: exit = .hangup
    case .inputs(let inputs):
      for input in inputs {
        note(input)
        take(.input(input), moment, isUrgent: true)
      }
    }
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

  private func take(signal: Int32, _ moment: Moment) {
    switch signal {
    case SIGWINCH:
      if screen.refreshSize() { take(.resized(screen.size), moment, isUrgent: true) }
    case SIGHUP: exit = .hangup
    case SIGTERM, SIGINT: exit = DashboardExit(stop: signal)
    case SIGCONT:
      screen.retake()
      _ = screen.refreshSize()
      take(.resized(screen.size), moment, isUrgent: true)
    default: break
    }
  }

  private func take(_ message: Message, _ moment: Moment, isUrgent: Bool, repaints: Bool = true) {
    for effect in model.update(message, at: moment) { perform(effect, moment) }
    if repaints {
      needsPaint = true
      if isUrgent { self.isUrgent = true }
    }
  }

  private func perform(_ effect: Effect, _ moment: Moment) {
    switch effect {
    case .send(let command, let tag): connection.send(command, tag: tag)
    case .bell: screen.send(.bell)
    case .title(let title): screen.send(.title(title))
    case .copy(let text): screen.send(.copy(text))
    case .mouse(let isOn): screen.send(.mouse(isOn))
    case .repaint: screen.invalidate()
    case .saveScreen(let path): save(view(model).styledText, path, "hotpot-screen", moment)
    case .saveText(let path, let text): save(text, path, "hotpot-chat", moment)
    case .leave: exit = .left
    }
  }

  /// A new file; one that exists is never overwritten.
  private func save(_ text: String, _ path: String?, _ stem: String, _ moment: Moment) {
    let target = path.map(expanded) ?? "\(place.saveDirectory)/\(stem)-\(moment.wall / 1_000_000).txt"
    let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor < 0 {
      let reason = String(cString: strerror(errno))
      take(.note("\(target): \(reason)", isError: true), moment, isUrgent: true)
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
      moment, isUrgent: true)
  }

  private func expanded(_ path: String) -> String {
    guard path.hasPrefix("~/"), let home = place.environment["HOME"] else { return path }
    return home + path.dropFirst()
  }

  private func paint(_ moment: Moment) {
    guard needsPaint, !screen.isStalled else { return }
    if !isUrgent && moment.steady - lastPaint < DashboardApp.frameInterval { return }
    let start = model.wantsDebug ? Moment.now.steady : 0
    if model.wantsDebug { model.setDebug(figures) }
    needsPaint = false
    isUrgent = false
    lastPaint = moment.steady
    switch screen.present(view(model)) {
    case .shown, .stalled: break
    case .hangup: exit = .hangup
    }
    if model.wantsDebug {
      figures.frameMicroseconds = Int(Moment.now.steady - start)
      figures.frameBytes = screen.bytesWritten.frame
      figures.totalBytes = screen.bytesWritten.total
    }
  }
}
