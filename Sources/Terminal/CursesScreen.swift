// CursesScreen.swift: a terminal driven by ncurses, which finds the shortest update from one screen
// to the next. curses writes into a file in memory, never to the terminal itself: a terminal that
// accepts no bytes (XOFF, a dead link) would block `doupdate`, and with it the thread. The file's
// content is sent as far as the terminal accepts it. While some of it remains, newer frames wait,
// and then only the newest is painted. Keys are in KeyDecoder.swift, crashes in
// TerminalModes.swift. Start at open and present.
import CNCurses
import Foundation
import Glibc

package enum ScreenError: Error, Hashable, CustomStringConvertible {
  case noTerminal
  case dumb(String)
  case system(call: String, code: Int32)
  case curses(term: String)

  package var description: String {
    switch self {
    case .noTerminal: "there is no terminal here: neither /dev/tty nor standard input is one"
    case .dumb(""): "TERM is not set, so this terminal is taken for one that cannot move its cursor"
    case .dumb(let term): "terminal '\(displaySafe(term))' cannot move its cursor"
    case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
    case .curses(let term): "nothing is known of terminal '\(displaySafe(term))'"
    }
  }

  package var hint: String {
    switch self {
    case .noTerminal: "'hotpot serve' runs without a terminal, '--plain' writes lines"
    case .dumb: "'--plain' writes lines that any terminal and any screen reader takes"
    case .system: "'--plain' needs less of the system"
    case .curses: "set TERM to xterm, or use '--plain'"
    }
  }
}

/// What a screen has acquired from the system and from curses, complete or not. `close` releases
/// all of it, both at the end and when a step of opening fails.
private struct Opened {
  /// curses keeps its state in globals, so a process can have only one screen: a second `open`
  /// waits for the first `close`.
  private static let turn = OneAtATime()

  /// The terminal, if it was opened for this screen.
  let descriptor: Int32?
  /// The file in memory that curses writes to.
  let file: Int32
  let output: UnsafeMutablePointer<FILE>?
  let input: UnsafeMutablePointer<FILE>?
  var screen: OpaquePointer?

  init(closing descriptor: Int32?) throws(ScreenError) {
    self.descriptor = descriptor
    Self.turn.take()
    file = cn_memory_file()
    output = file >= 0 ? fdopen(file, "w+") : nil
    input = fopen("/dev/null", "re")
    if output == nil || input == nil {
      let code = errno
      close()
      throw .system(call: "memfd_create", code: code)
    }
  }

  func close() {
    if let screen { delscreen(screen) }
    if let output { fclose(output) } else if file >= 0 { _ = Glibc.close(file) }
    if let input { fclose(input) }
    if let descriptor { _ = Glibc.close(descriptor) }
    Self.turn.give()
  }
}

/// A terminal used by one thread: every call must come from the thread that opened it. `present`
/// shows the grid as well as the terminal can, or not at all while an older frame is still being
/// sent. `read` never blocks. Everything sent is displaySafe.
package final class CursesScreen {
  package private(set) var size: Size
  package var capabilities: Capabilities {
    didSet { if capabilities != oldValue { prepare() } }
  }
  /// Bytes written to the terminal in total, and for the last frame.
  package private(set) var bytesWritten: (total: Int, frame: Int) = (0, 0)
  /// Poll it for input, and for output while `isStalled`.
  package let descriptor: Int32

  private let opened: Opened
  private let savedMode: termios?
  private let window: UnsafeMutablePointer<WINDOW>
  private let takesExtras: Bool
  private let hasUTF8: Bool
  private var limiter: ColorLimiter
  private var shown: Grid?
  private var pairs: [UInt64: Int32] = [:]
  private var nextPair: Int32 = 1
  private var cursorShown: Bool?
  private var pending: [UInt8] = []
  private var isGone = false
  private var isClosed = false
  private var decoder = KeyDecoder()
  private var wantsMouse = false
  private var title = ""

  /// Takes the terminal of this process: opens it again (so that non-blocking mode is this
  /// process's alone), raw, on its alternate screen, with bracketed paste.
  package convenience init(environment: [String: String]) throws(ScreenError) {
    var descriptor = Glibc.open("/dev/tty", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    if descriptor < 0, isatty(0) == 1, let name = ttyname(0) {
      descriptor = Glibc.open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    }
    guard descriptor >= 0 else { throw .noTerminal }
    try self.init(descriptor: descriptor, environment: environment, size: nil, owns: true)
  }

  /// For tests: paints into any non-blocking descriptor, with a given size.
  package convenience init(
    descriptor: Int32, environment: [String: String], size: Size
  ) throws(ScreenError) {
    try self.init(descriptor: descriptor, environment: environment, size: size, owns: false)
  }

  private init(
    descriptor: Int32, environment: [String: String], size: Size?, owns: Bool
  ) throws(ScreenError) {
    let term = environment["TERM"] ?? ""
    if let refusal = TerminalAbility.refusal(environment) {
      if owns { _ = Glibc.close(descriptor) }
      throw refusal
    }
    var opened = try Opened(closing: owns ? descriptor : nil)
    var capabilities = Capabilities(environment: environment)
    // Machines reached through ssh often lack the locale that the client names.
    hasUTF8 = capabilities.glyphs != .ascii && Self.setUTF8Locale()
    if !hasUTF8 { capabilities.glyphs = .ascii }
    self.capabilities = capabilities
    limiter = ColorLimiter(capabilities.colors)
    self.descriptor = descriptor
    takesExtras = !term.hasPrefix("vt") && !term.hasPrefix("sun")
    self.size = size ?? Self.size(of: descriptor) ?? Size(80, 24)

    var saved = termios()
    savedMode = tcgetattr(descriptor, &saved) == 0 ? saved : nil

    use_env(false)
    set_escdelay(25)
    if let output = opened.output, let input = opened.input {
      opened.screen = Self.keepingSignals {
        Self.newterm(term: term, colors: capabilities.colors, output: output, input: input)
      }
    }
    guard opened.screen != nil, let window = cn_stdscr() else {
      opened.close()
      throw .curses(term: term)
    }
    self.opened = opened
    self.window = window
    start_color()
    use_default_colors()
    // Otherwise curses polls /dev/null for typeahead before painting.
    typeahead(-1)
    leaveok(window, true)
    resizeterm(Int32(self.size.height), Int32(self.size.width))
    clearok(window, true)
    if let savedMode {
      var raw = TerminalModes.raw(from: savedMode)
      tcsetattr(descriptor, TCSANOW, &raw)
      TerminalModes.arm(descriptor: descriptor, saved: savedMode, bytes: restoreBytes + Array("\r\n".utf8))
    }
    if takesExtras { pending += Array("\u{1B}[?2004h\u{1B}[22;2t".utf8) }
  }

  deinit { close() }

  private static func newterm(
    term: String, colors: ColorLevel, output: UnsafeMutablePointer<FILE>, input: UnsafeMutablePointer<FILE>
  ) -> OpaquePointer? {
    func embedded() -> OpaquePointer? {
      let isDirect = colors == .truecolor
      let entry = isDirect ? EmbeddedTerminfo.direct : EmbeddedTerminfo.indexed
      return withEnvironment(["TERMINFO": entry]) {
        CNCurses.newterm(isDirect ? "hotpot-direct" : "hotpot-256", output, input)
      }
    }
    switch TerminfoChoice(term: term, colors: colors) {
    case .embedded: return embedded() ?? CNCurses.newterm("xterm", output, input)
    case .system(let name):
      return CNCurses.newterm(name, output, input) ?? embedded() ?? CNCurses.newterm("vt100", output, input)
    }
  }

  private static func withEnvironment<Result>(_ values: [String: String], _ body: () -> Result) -> Result {
    let before = values.keys.map { name in (name, getenv(name).map { String(cString: $0) }) }
    for (name, value) in values { setenv(name, value, 1) }
    defer {
      for (name, value) in before {
        if let value { setenv(name, value, 1) } else { unsetenv(name) }
      }
    }
    return body()
  }

  /// curses would end the process at SIGINT and SIGTERM, and stop it at SIGTSTP, with its own
  /// handlers.
  private static func keepingSignals<Result>(_ body: () -> Result) -> Result {
    let signals = [SIGINT, SIGTERM, SIGTSTP, SIGWINCH]
    var before = signals.map { _ in sigaction() }
    for (index, signal) in signals.enumerated() { sigaction(signal, nil, &before[index]) }
    defer {
      for (index, signal) in signals.enumerated() { sigaction(signal, &before[index], nil) }
    }
    return body()
  }

  private static func setUTF8Locale() -> Bool {
    for name in ["", "C.UTF-8", "en_US.UTF-8"] {
      guard setlocale(LC_CTYPE, name) != nil, let codeset = nl_langinfo(Int32(CODESET)) else { continue }
      if String(cString: codeset) == "UTF-8" { return true }
    }
    return false
  }

  private static func size(of descriptor: Int32) -> Size? {
    var window = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 0 else {
      return nil
    }
    return Size(Int(window.ws_col), Int(window.ws_row))
  }

  /// After SIGWINCH: queries the terminal's size. Returns whether it changed.
  package func refreshSize() -> Bool {
    guard let now = Self.size(of: descriptor), now != size else { return false }
    resize(to: now)
    return true
  }

  package func resize(to size: Size) {
    self.size = size
    resizeterm(Int32(size.height), Int32(size.width))
    invalidate()
  }

  /// After SIGCONT: another process had the terminal.
  package func retake() {
    if let savedMode {
      var raw = TerminalModes.raw(from: savedMode)
      tcsetattr(descriptor, TCSANOW, &raw)
    }
    if takesExtras { pending += Array("\u{1B}[?2004h".utf8) }
    cursorShown = nil
    invalidate()
  }

  /// The next `present` repaints everything.
  package func invalidate() {
    shown = nil
    clearok(window, true)
  }

  private func prepare() {
    limiter = ColorLimiter(capabilities.colors)
    if !hasUTF8 && capabilities.glyphs != .ascii { capabilities.glyphs = .ascii }
    invalidate()
  }

  /// Whether bytes are waiting for the terminal.
  package var isStalled: Bool { !pending.isEmpty }

  package func present(_ grid: Grid) -> Presented {
    switch flush() {
    case .shown: break
    case .stalled: return .stalled
    case .hangup: return .hangup
    }
    let next = grid.degraded(to: capabilities, limiter: &limiter)
    paint(next)
    wnoutrefresh(window)
    if let cursor = next.cursor, takesCursor(cursor) {
      leaveok(window, false)
      wmove(window, Int32(cursor.y), Int32(cursor.x))
      wnoutrefresh(window)
      if cursorShown != true { curs_set(1) }
      cursorShown = true
    } else {
      leaveok(window, true)
      if cursorShown != false { curs_set(0) }
      cursorShown = false
    }
    doupdate()
    let bytes = mergedRenditions(takeCursesOutput())
    bytesWritten.frame = bytes.count
    pending += bytes
    return flush()
  }

  private func takesCursor(_ point: Grid.Point) -> Bool {
    point.x >= 0 && point.x < size.width && point.y >= 0 && point.y < size.height
  }

  private func paint(_ next: Grid) {
    let columns = min(next.width, size.width)
    for y in 0..<min(next.height, size.height) {
      var from = 0
      var to = columns
      if let shown, shown.size == next.size {
        while from < to && shown[from, y] == next[from, y] { from += 1 }
        while to > from && shown[to - 1, y] == next[to - 1, y] { to -= 1 }
        // A wide glyph is written as a whole.
        while from > 0 && from < to && (next[from, y].isContinuation || shown[from, y].isContinuation) {
          from -= 1
        }
        while to < columns && to > from && (next[to, y].isContinuation || shown[to, y].isContinuation) {
          to += 1
        }
      }
      for x in from..<max(from, to) { paint(next[x, y], x: x, y: y) }
    }
    shown = next
  }

  private func paint(_ cell: Cell, x: Int, y: Int) {
    if cell.isContinuation { return }
    var scalar = cell.scalar
    let width = x + 1 < size.width && scalar > 0x7E && isWide(scalar) ? 2 : 1
    var isReplaced = false
    // If the C library's width for a glyph differs from ours, curses would lose track of the
    // columns.
    if scalar > 0x7E && cn_wcwidth(scalar) != Int32(width) {
      scalar = hasUTF8 ? replacementCharacter.value : 0x3F
      isReplaced = true
    }
    var text: [wchar_t] = [wchar_t(bitPattern: scalar)]
    if !isReplaced {
      for mark in [cell.firstMark, cell.secondMark] where mark != 0 && cn_wcwidth(mark) == 0 {
        text.append(wchar_t(bitPattern: mark))
      }
    }
    text.append(0)
    let attributes = cursesAttributes(cell.style.attributes)
    let pair = pair(cell.style)
    // ERR at the last column of the last row: curses cannot advance, but it has written.
    _ = cn_add_cell(window, Int32(y), Int32(x), text, attributes, pair)
    if isReplaced && width == 2 {
      _ = cn_add_cell(window, Int32(y), Int32(x + 1), [0x20, 0], attributes, pair)
    }
  }

  private func cursesAttributes(_ attributes: Attributes) -> attr_t {
    var result: attr_t = 0
    if attributes.contains(.bold) { result |= cn_attr_bold() }
    if attributes.contains(.dim) { result |= cn_attr_dim() }
    if attributes.contains(.italic) { result |= cn_attr_italic() }
    if attributes.contains(.underline) { result |= cn_attr_underline() }
    if attributes.contains(.reverse) { result |= cn_attr_reverse() }
    return result
  }

  /// We manage pairs ourselves: `alloc_pair` of ncurses 6.4 crashes on terminals without colours.
  private func pair(_ style: Style) -> Int32 {
    let foreground = number(style.foreground)
    let background = number(style.background)
    if foreground < 0 && background < 0 || cn_colors() < 8 { return 0 }
    let key = UInt64(UInt32(bitPattern: foreground)) << 32 | UInt64(UInt32(bitPattern: background))
    if let known = pairs[key] { return known }
    if nextPair >= min(cn_color_pairs(), 32_000) {
      // All are in use: start again. Cells on the screen with an old pair are repainted with the
      // next frame.
      pairs = [:]
      nextPair = 1
      invalidate()
    }
    let pair = nextPair
    guard init_extended_pair(pair, foreground, background) == OK else { return 0 }
    nextPair += 1
    pairs[key] = pair
    return pair
  }

  private func number(_ color: Color) -> Int32 {
    switch color.kind {
    case .terminal: -1
    case .palette(let index): Int32(index) < cn_colors() ? Int32(index) : -1
    case .rgb(let red, let green, let blue):
      // Below 256 the direct entry means the palette, so the darkest blues get one step of green.
      cn_colors() > 256 ? Int32(red) << 16 | max(Int32(green), red == 0 ? 1 : 0) << 8 | Int32(blue) : -1
    }
  }

  private func takeCursesOutput() -> [UInt8] {
    let file = opened.file
    fflush(opened.output)
    let count = Int(lseek(file, 0, SEEK_END))
    if count <= 0 { return [] }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = pread(file, &bytes, count, 0)
    ftruncate(file, 0)
    lseek(file, 0, SEEK_SET)
    return got == count ? bytes : Array(bytes.prefix(max(0, got)))
  }

  /// Sends pending bytes, as far as the terminal accepts them.
  @discardableResult
  package func flush() -> Presented {
    if isGone { return .hangup }
    var sent = 0
    while sent < pending.count {
      let count = pending.withUnsafeBytes { buffer in
        buffer.baseAddress.map { Glibc.write(descriptor, $0 + sent, buffer.count - sent) } ?? 0
      }
      if count > 0 {
        sent += count
        continue
      }
      if errno == EINTR { continue }
      if errno != EAGAIN {
        isGone = true
        pending = []
        return .hangup
      }
      break
    }
    bytesWritten.total += sent
    pending.removeFirst(sent)
    return pending.isEmpty ? .shown : .stalled
  }

  package func send(_ signal: ScreenSignal) {
    switch signal.safe {
    case .bell: pending.append(0x07)
    case .title(let text):
      // No title on terminals that would print it.
      if !takesExtras || text == title { return }
      title = text
      pending += Array("\u{1B}]2;".utf8) + Array(text.utf8) + [0x07]
    case .notify(let title, let body):
      if !takesExtras { return }
      pending += Array("\u{1B}]9;\(title): \(body)\u{07}".utf8)
      pending += Array("\u{1B}]777;notify;\(title);\(body)\u{07}".utf8)
    case .copy(let text):
      if !takesExtras { return }
      pending += Array("\u{1B}]52;c;".utf8) + Array(Data(text.utf8).base64EncodedString().utf8) + [0x07]
    case .mouse(let isOn):
      if !takesExtras { return }
      wantsMouse = isOn
      pending += Array((isOn ? "\u{1B}[?1000h\u{1B}[?1006h" : "\u{1B}[?1006l\u{1B}[?1000l").utf8)
    }
    flush()
  }

  /// What was typed since the last call. Never blocks.
  /// - time: now, in microseconds of a steady clock
  package func read(at time: Int64) -> ScreenRead {
    if isGone { return .hangup }
    var result: [Input] = []
    var bytes = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = Glibc.read(descriptor, &bytes, bytes.count)
      if count > 0 {
        result += decoder.feed(bytes.prefix(count), at: time)
        if count < bytes.count { return .inputs(result) }
      } else if count < 0 && errno == EINTR {
        continue
      } else if count < 0 && errno == EAGAIN {
        return .inputs(result)
      } else {
        isGone = true
        return .hangup
      }
    }
  }

  /// When a lone ESC becomes a key if nothing else arrives: read once more at that time, then call
  /// `expireInput`.
  package var inputDue: Int64? { decoder.due }
  package func expireInput(at time: Int64) -> [Input] { decoder.expire(at: time) }

  /// What restores the terminal, in addition to its saved mode.
  private var restoreBytes: [UInt8] {
    let extras = takesExtras ? "\u{1B}[?1006l\u{1B}[?1000l\u{1B}[?2004l\u{1B}[23;2t" : ""
    return Array((extras + "\u{1B}[m\u{1B}[?25h\u{1B}[?1049l").utf8)
  }

  /// Restores the terminal to its original state. Waits at most 200 ms for a terminal that accepts
  /// nothing.
  package func close() {
    if isClosed { return }
    isClosed = true
    endwin()
    let farewell = mergedRenditions(takeCursesOutput())
    // The rest of a stalled frame is sent first; the farewell follows it.
    pending +=
      Array((takesExtras ? "\u{1B}[?1006l\u{1B}[?1000l\u{1B}[?2004l\u{1B}[23;2t" : "").utf8) + farewell
    var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while flush() == .stalled && poll(&request, 1, 200) > 0 {}
    if var savedMode {
      tcsetattr(descriptor, TCSANOW, &savedMode)
      TerminalModes.disarm()
    }
    opened.close()
  }
}

/// A binary semaphore, because one process can own only one curses screen and may release it from
/// another thread.
private final class OneAtATime: Sendable {
  private nonisolated(unsafe) let semaphore: UnsafeMutablePointer<sem_t>

  init() {
    semaphore = .allocate(capacity: 1)
    sem_init(semaphore, 0, 1)
  }

  func take() { while sem_wait(semaphore) != 0 {} }
  func give() { sem_post(semaphore) }
}
