// ScreenLoop.swift: the one thread of a program that has the terminal. It waits for keys, signals,
// a terminal that accepts bytes again and its owner's descriptors, and it paints. The events are
// handled and the screens drawn by DashboardApp.swift and Fleet/FleetApp.swift. Start at wait and
// paint.
import Control
import Foundation
import Terminal

final class ScreenLoop {
  enum Event {
    case input(Input)
    case resized(Size)
    /// Bytes wait at one of the descriptors that `wait` was given; the value is its index.
    case readable(Int)
    /// About a second has passed.
    case tick
  }

  private(set) var screen: CursesScreen
  let signals: SignalPipe?
  private let environment: [String: String]
  private let frameInterval: Microseconds
  private let frozenLimit: Double
  private var needsPaint = true
  private var isUrgent = true
  private var lastPaint: Microseconds = 0
  private var lastTick: Microseconds = 0
  private var stalledSince: Microseconds?
  /// While the shell has the terminal: bytes wait at this descriptor once it is given back.
  private var away: Int32?
  /// What a terminal is told again when it is taken back.
  private var title: String?
  private var hasMouse = false
  /// Why the loop should end; nil while it goes on. If a signal ends the process while the terminal
  /// closes, the signal is the reason.
  var exit: DashboardExit? {
    didSet { if case .terminated = oldValue { exit = oldValue } }
  }

  /// Takes over the terminal. Call it and everything else on one thread.
  /// - frameInterval: screens that are not urgent are painted at most this often, in microseconds
  /// - frozenLimit: a terminal that accepts nothing for this many seconds is abandoned
  init(
    environment: [String: String], frameInterval: Microseconds, frozenLimit: Double = .infinity
  ) throws(ScreenError) {
    (self.environment, self.frameInterval, self.frozenLimit) = (environment, frameInterval, frozenLimit)
    // Signals first: otherwise curses would install its own handlers, and SIGTSTP would stop the
    // node with its jobs.
    let signals = SignalPipe([SIGWINCH, SIGHUP, SIGTERM, SIGINT, SIGCONT, SIGTSTP, SIGPIPE])
    do throws(ScreenError) {
      screen = try CursesScreen(environment: environment)
    } catch {
      signals?.close()
      throw error
    }
    self.signals = signals
  }

  // MARK: waiting

  /// Waits until something happens, and returns the events and their time: signals first, then
  /// keys, then the descriptors in their order.
  func wait(for descriptors: [Int32]) -> (instant: Instant, events: [Event]) {
    var waits = [
      pollfd(
        fd: away ?? screen.descriptor,
        events: Int16(POLLIN | (away == nil && screen.isStalled ? POLLOUT : 0)), revents: 0),
      pollfd(fd: signals?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    waits += descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    _ = poll(&waits, nfds_t(waits.count), timeout(.now))
    let instant = Instant.now
    var events: [Event] = []
    if waits[1].revents != 0 { for signal in signals?.next() ?? [] { events += take(signal: signal) } }
    if let away {
      if waits[0].revents != 0 { events += comeBack(from: away) }
    } else if waits[0].revents & Int16(POLLOUT) != 0, screen.flush() == .hangup {
      exit = .hangup
    }
    if away == nil, waits[0].fd == screen.descriptor,
      waits[0].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0
    {
      switch screen.read(at: instant.steady) {
      case .hangup: exit = .hangup
      case .inputs(let inputs): events += inputs.map { .input($0) }
      }
    }
    // Waiting bytes were read just now.
    if away == nil, let due = screen.inputDue, instant.steady >= due {
      events += screen.expireInput(at: instant.steady).map { .input($0) }
    }
    for place in descriptors.indices where waits[place + 2].revents != 0 { events.append(.readable(place)) }
    if instant.steady - lastTick >= 1_000_000 {
      lastTick = instant.steady
      giveUpFrozen(instant)
      events.append(.tick)
    }
    return (instant, events)
  }

  /// Milliseconds until something is due.
  private func timeout(_ instant: Instant) -> Int32 {
    var until = lastTick + 1_000_000 - instant.steady
    if away != nil { return Int32(clamping: max(0, (until + 999) / 1000)) }
    if let due = screen.inputDue { until = min(until, due - instant.steady) }
    if needsPaint && !screen.isStalled {
      until = isUrgent ? 0 : min(until, lastPaint + frameInterval - instant.steady)
    }
    return Int32(clamping: max(0, (until + 999) / 1000))
  }

  private func take(signal: Int32) -> [Event] {
    switch signal {
    // The terminal is the shell's.
    case SIGWINCH where away != nil, SIGCONT where away != nil: break
    case SIGWINCH: return screen.refreshSize() ? [.resized(screen.size)] : []
    case SIGHUP: exit = .hangup
    case SIGTERM, SIGINT: exit = DashboardExit(stop: signal)
    case SIGCONT:
      screen.retake()
      _ = screen.refreshSize()
      return [.resized(screen.size)]
    default: break
    }
    return []
  }

  private func giveUpFrozen(_ instant: Instant) {
    guard away == nil, screen.isStalled else {
      stalledSince = nil
      return
    }
    let since = stalledSince ?? instant.steady
    stalledSince = since
    if Double(instant.steady - since) > frozenLimit * 1e6 { exit = .hangup }
  }

  // MARK: painting

  /// Marks the screen as out of date.
  /// - isUrgent: paint at once, as for a key
  func invalidate(isUrgent: Bool) {
    needsPaint = true
    if isUrgent { self.isUrgent = true }
  }

  /// Paints what `draw` returns, if something changed and a frame is due. Returns whether it
  /// painted.
  @discardableResult
  func paint(at instant: Instant, _ draw: () -> Grid) -> Bool {
    guard exit == nil, away == nil, needsPaint, !screen.isStalled else { return false }
    if !isUrgent && instant.steady - lastPaint < frameInterval { return false }
    needsPaint = false
    isUrgent = false
    lastPaint = instant.steady
    if screen.present(draw()) == .hangup { exit = .hangup }
    return true
  }

  // MARK: giving the terminal away

  /// Gives the terminal back to the shell until bytes wait at `descriptor`. Everything but the
  /// screen goes on.
  func suspend(until descriptor: Int32) {
    screen.close()
    away = descriptor
  }

  private func comeBack(from descriptor: Int32) -> [Event] {
    var byte: UInt8 = 0
    _ = read(descriptor, &byte, 1)
    away = nil
    if exit != nil { return [] }
    reopen()
    return exit == nil ? [.resized(screen.size)] : []
  }

  private func reopen() {
    do throws(ScreenError) {
      screen = try CursesScreen(environment: environment)
      if let title { screen.send(.title(title)) }
      if hasMouse { screen.send(.mouse(true)) }
    } catch {
      exit = .hangup
    }
    invalidate(isUrgent: true)
  }

  /// Sends a signal beside the screen; nothing while the shell has the terminal.
  func send(_ signal: ScreenSignal) {
    switch signal {
    case .title(let text): title = text
    case .mouse(let isOn): hasMouse = isOn
    case .bell, .notify, .copy: break
    }
    if away == nil { screen.send(signal) }
  }

  /// Lends the terminal to the program that `body` starts and waits for, and takes it over again.
  func lend(_ body: () -> Void) {
    screen.close()
    body()
    reopen()
  }

  /// Releases the terminal for good.
  /// - release: releases everything else, while signals are still caught
  func close(_ release: (DashboardExit?) -> Void = { _ in }) -> DashboardExit {
    screen.close()
    release(exit)
    exit = signals?.close().compactMap(DashboardExit.init(stop:)).first ?? exit
    return exit ?? .left
  }
}

extension Instant {
  static var now: Instant {
    var steady = timespec()
    var wall = timespec()
    clock_gettime(CLOCK_MONOTONIC, &steady)
    clock_gettime(CLOCK_REALTIME, &wall)
    return Instant(
      wall: Int64(wall.tv_sec) * 1_000_000 + Int64(wall.tv_nsec) / 1000,
      steady: Int64(steady.tv_sec) * 1_000_000 + Int64(steady.tv_nsec) / 1000)
  }
}
