// Screen.swift: what a dashboard needs of a terminal; two conformers: curses, and one without a terminal.
// The contract of both: `present` shows the grid as the terminal can, or nothing at
// all while an older frame is still on its way; `read` never blocks; whatever is sent is displaySafe.
// Start at Screen.

public enum ScreenSignal: Hashable, Sendable {
  case bell
  /// The window's title; made displaySafe.
  case title(String)
  /// The clipboard, by OSC 52; cut at 74,994 bytes, the most that xterm takes.
  case copy(String)
  /// Whether the terminal reports clicks and the wheel.
  case mouse(Bool)
}

public enum ScreenRead: Equatable, Sendable {
  case inputs([Input])
  /// The terminal is gone; nothing will come any more.
  case hangup
}

public enum Presented: Equatable, Sendable {
  case shown
  /// The terminal has not taken the last frame yet; present the newest one once it has.
  case stalled
  /// The terminal is gone.
  case hangup
}

/// A terminal of one thread: every call is made on the thread that opened it.
public protocol Screen: AnyObject {
  var size: Size { get }
  var capabilities: Capabilities { get set }
  /// Bytes written to the terminal so far, and those of the last frame.
  var bytesWritten: (total: Int, frame: Int) { get }

  func present(_ grid: Grid) -> Presented
  func send(_ signal: ScreenSignal)
  /// What was typed since the last call. Never blocks.
  /// - time: now, in microseconds of a steady clock
  func read(at time: Int64) -> ScreenRead
  /// The next `present` paints everything anew.
  func invalidate()
  /// When a lone ESC becomes a key, if nothing comes before: read once more then, and call `expireInput`.
  var inputDue: Int64? { get }
  func expireInput(at time: Int64) -> [Input]
}

/// A screen that keeps what it is shown. Its terminal can be resized, stalled and hung up by hand.
public final class HeadlessScreen: Screen {
  public private(set) var size: Size
  public var capabilities: Capabilities
  /// The last grid, as this terminal would show it.
  public private(set) var shown: Grid
  public private(set) var signals: [ScreenSignal] = []
  public private(set) var frames = 0
  public var isStalled = false
  public var isGone = false
  private var decoder = KeyDecoder()
  private var typed: [UInt8] = []

  public init(size: Size, capabilities: Capabilities) {
    self.size = size
    self.capabilities = capabilities
    self.shown = Grid(size: size)
  }

  /// Text cells that changed, a lower bound of what a terminal would get.
  public private(set) var bytesWritten: (total: Int, frame: Int) = (0, 0)

  public func present(_ grid: Grid) -> Presented {
    if isGone { return .hangup }
    if isStalled { return .stalled }
    let next = grid.degraded(to: capabilities)
    var changed = 0
    if next.size == shown.size {
      for index in next.cells.indices where next.cells[index] != shown.cells[index] { changed += 1 }
    } else {
      changed = next.cells.count
    }
    shown = next
    frames += 1
    bytesWritten = (bytesWritten.total + changed, changed)
    return .shown
  }

  public func send(_ signal: ScreenSignal) { signals.append(signal.safe) }

  public func read(at time: Int64) -> ScreenRead {
    if isGone { return .hangup }
    defer { typed = [] }
    return .inputs(decoder.feed(typed, at: time))
  }

  public func invalidate() {}
  public var inputDue: Int64? { decoder.due }
  public func expireInput(at time: Int64) -> [Input] { decoder.expire(at: time) }

  /// Bytes as a terminal would send them.
  public func type(_ bytes: some Sequence<UInt8>) { typed.append(contentsOf: bytes) }

  public func resize(to size: Size) {
    self.size = size
    shown = Grid(size: size)
  }
}

extension ScreenSignal {
  /// OSC 52's payload that xterm still takes.
  package static let copyLimit = 74_994

  var safe: ScreenSignal {
    switch self {
    case .bell, .mouse: self
    case .title(let text): .title(String(displaySafe(text).prefix(200)))
    case .copy(let text): .copy(clipboardSafe(text))
    }
  }
}

/// Lines stay lines in a clipboard; every other control becomes its picture, so that pasting it into a shell is tame.
package func clipboardSafe(_ text: String) -> String {
  let lines = displaySafeLines(text).joined(separator: "\n")
  if lines.utf8.count <= ScreenSignal.copyLimit { return lines }
  return String(decoding: lines.utf8.prefix(ScreenSignal.copyLimit), as: UTF8.self)
}
