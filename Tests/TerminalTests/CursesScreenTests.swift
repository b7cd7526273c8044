// CursesScreenTests.swift: what the curses back end sends, drawn by a terminal that knows only our sequences.
// Both back ends keep one contract: the terminal shows the grid as its capabilities allow.
import Dice
import Foundation
import StrictTerminal
import Terminal
import TestSettings
import Testing

/// A curses screen that paints into a pipe, and a strict terminal at its other end.
private struct Rig {
  let screen: CursesScreen
  var terminal: StrictTerminal
  private let reader: Int32
  private let writer: Int32

  init(_ environment: [String: String], _ size: Size) throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    reader = ends[0]
    writer = ends[1]
    for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    screen = try CursesScreen(descriptor: writer, environment: environment, size: size)
    terminal = StrictTerminal(width: size.width, height: size.height)
  }

  mutating func drain() -> Int {
    var total = 0
    var bytes = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(reader, &bytes, bytes.count)
      if count <= 0 {
        if !screen.isStalled { break }
        screen.flush()
        continue
      }
      total += count
      terminal.feed(bytes.prefix(count))
    }
    return total
  }

  mutating func close() {
    screen.close()
    _ = drain()
    Foundation.close(reader)
    Foundation.close(writer)
  }
}

/// A node that serves on after its screen was closed once died of the hang-up that follows.
@Suite struct SignalPipeTests {
  @Test func afterwardsAHangUpHasNoEffect() throws {
    let pipe = try #require(SignalPipe([SIGHUP, SIGUSR2]))
    pipe.close()
    var action = sigaction()
    sigaction(SIGHUP, nil, &action)
    #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1, "SIG_IGN")
    sigaction(SIGUSR2, nil, &action)
    #expect(unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 0, "SIG_DFL")
  }
}

@Suite(.serialized) struct CursesScreenTests {
  private static let colors: [Color] =
    [
      .terminal, .palette(1), .palette(4), .palette(9), .palette(15), .palette(200), .rgb(255, 145, 72),
      .rgb(0, 0, 9),
    ]

  private func randomGrid(_ size: Size, after old: Grid?, _ generator: inout SeededGenerator) -> Grid {
    var grid = old.flatMap { $0.size == size ? $0 : nil } ?? Grid(size: size)
    for _ in 0..<Int.random(in: 1...12, using: &generator) {
      let style = Style(
        Self.colors[Int.random(in: 0..<Self.colors.count, using: &generator)],
        on: Self.colors[Int.random(in: 0..<4, using: &generator)],
        Attributes(rawValue: UInt8.random(in: 0..<32, using: &generator)))
      let x = Int.random(in: -3..<size.width, using: &generator)
      let y = Int.random(in: 0..<size.height, using: &generator)
      if Bool.random(using: &generator) {
        grid.put(hostileText(&generator), x: x, y: y, style: style)
      } else {
        let rect = Rect(
          x: x, y: y, width: Int.random(in: 1...20, using: &generator),
          height: Int.random(in: 1...3, using: &generator))
        grid.fill(rect, ["─", " ", "⣿", "x"].randomElement(using: &generator) ?? " ", style: style)
      }
    }
    if Bool.random(using: &generator) {
      grid.cursor = Grid.Point(
        x: Int.random(in: 0..<size.width, using: &generator),
        y: Int.random(in: 0..<size.height, using: &generator))
    } else {
      grid.cursor = nil
    }
    return grid
  }

  private func compare(_ grid: Grid, _ rig: Rig, _ note: String) -> Bool {
    let wanted = grid.degraded(to: rig.screen.capabilities)
    for y in 0..<grid.height {
      for x in 0..<grid.width {
        let cell = wanted[x, y]
        let shown = rig.terminal.rows[y][x]
        if cell.isContinuation { continue }
        let scalar = Unicode.Scalar(cell.scalar) ?? " "
        let first = shown.text.unicodeScalars.first
        // Glyphs that the C library does not know are replaced.
        if first != scalar && first != "\u{FFFD}" {
          Issue.record("(\(x),\(y)) shows \(shown.text.debugDescription), wanted \(scalar), \(note)")
          return false
        }
        let isBlank = scalar == " "
        let attributes = cell.style.attributes
        let rendition = shown.rendition
        if rendition.background != sgr(cell.style.background, base: 40)
          || rendition.reverse != attributes.contains(.reverse)
          || rendition.underline != attributes.contains(.underline)
          || (!isBlank && rendition.foreground != sgr(cell.style.foreground, base: 30))
          || (!isBlank && rendition.bold != attributes.contains(.bold))
          || (!isBlank && rendition.dim != attributes.contains(.dim))
          || (!isBlank && rendition.italic != attributes.contains(.italic))
        {
          Issue.record("(\(x),\(y)) '\(scalar)' looks \(rendition), wanted \(cell.style), \(note)")
          return false
        }
      }
    }
    if let cursor = wanted.cursor {
      #expect(rig.terminal.cursor == (cursor.x, cursor.y))
      #expect(rig.terminal.privateModes.contains("?25"))
    }
    return true
  }

  private func sgr(_ color: Color, base: Int) -> String {
    switch color.kind {
    case .terminal: ""
    case .palette(let index):
      index < 8 ? "\(base + Int(index))" : index < 16 ? "\(base + 52 + Int(index))" : "\(base + 8);5;\(index)"
    case .rgb(let red, let green, let blue):
      "\(base + 8);2;\(red);\(red == 0 && green == 0 ? 1 : green);\(blue)"
    }
  }

  @Test(arguments: [
    ["TERM": "xterm-256color", "LANG": "C.UTF-8"],
    ["TERM": "xterm-kitty", "LANG": "C.UTF-8"],
    ["TERM": "xterm", "LANG": "C"],
    ["TERM": "rxvt-never-heard-of", "LANG": "C.UTF-8", "NO_COLOR": "1"],
  ]) func theTerminalShowsTheGridAndGetsNoSequenceThatIsNotOurs(environment: [String: String]) throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    var size = Size(40, 12)
    var rig = try Rig(environment, size)
    defer { rig.close() }
    var grid: Grid?
    for round in 0..<(isHeavy ? 20_000 : 400) {
      if round % 50 == 49 {
        size = Size(Int.random(in: 4...90, using: &generator), Int.random(in: 2...30, using: &generator))
        rig.screen.resize(to: size)
        rig.terminal.resize(width: size.width, height: size.height)
        grid = nil
      }
      if round % 61 == 60 {
        rig.screen.send(.title(hostileText(&generator)))
        rig.screen.send(.copy(hostileText(&generator)))
        rig.screen.send(.bell)
      }
      let next = randomGrid(size, after: grid, &generator)
      _ = rig.screen.present(next)
      _ = rig.drain()
      if !compare(next, rig, "round \(round), seed \(seed), \(environment)") {
        return
      }
      if !rig.terminal.complaints.isEmpty { Issue.record("\(rig.terminal.complaints), seed \(seed)") }
      grid = next
    }
  }

  @Test func onlyDifferencesArePainted() throws {
    var rig = try Rig(["TERM": "xterm-256color", "LANG": "C.UTF-8"], Size(80, 24))
    defer { rig.close() }
    var grid = Grid(size: Size(80, 24))
    grid.fill(Rect(x: 0, y: 0, width: 80, height: 24), "x", style: .plain)
    _ = rig.screen.present(grid)
    #expect(rig.drain() > 80 * 24)
    _ = rig.screen.present(grid)
    #expect(rig.drain() == 0)
    grid.put("9", x: 40, y: 12, style: .plain)
    _ = rig.screen.present(grid)
    #expect(rig.drain() < 12)
    rig.screen.invalidate()
    _ = rig.screen.present(grid)
    #expect(rig.drain() > 80 * 24)
  }

  @Test func aTerminalThatTakesNothingNeverBlocksAndGetsTheNewestFrame() throws {
    var rig = try Rig(["TERM": "xterm-256color", "LANG": "C.UTF-8"], Size(200, 50))
    defer { rig.close() }
    var grid = Grid(size: Size(200, 50))
    var generator = SeededGenerator(seed: 1)
    var stalled = 0
    for frame in 0..<200 {
      for y in 0..<50 {
        for x in 0..<200 {
          grid.put(
            ["a", "b", "─", "⣿"].randomElement(using: &generator) ?? "c", x: x, y: y,
            style: Style(.palette(UInt8.random(in: 0...255, using: &generator))))
        }
      }
      grid.put("frame \(frame) ", x: 0, y: 0, style: .plain)
      if rig.screen.present(grid) == .stalled { stalled += 1 }
    }
    #expect(stalled > 100)
    #expect(rig.screen.isStalled)
    _ = rig.drain()
    #expect(!rig.screen.isStalled)
    _ = rig.screen.present(grid)
    _ = rig.drain()
    #expect(compare(grid, rig, "after the stall"))
    #expect(rig.terminal.complaints.isEmpty)
  }

  @Test func theTerminalIsGivenBack() throws {
    var rig = try Rig(["TERM": "xterm-256color", "LANG": "C.UTF-8"], Size(80, 24))
    rig.screen.send(.mouse(true))
    _ = rig.screen.present(Grid(size: Size(80, 24)))
    _ = rig.drain()
    #expect(rig.terminal.privateModes == ["?1049", "?2004", "?1000", "?1006", "?7"])
    rig.close()
    #expect(rig.terminal.privateModes == ["?25", "?7"])
    #expect(rig.terminal.complaints.isEmpty)
  }

  /// A printer, a terminal without an addressable cursor, one that nobody knows, and none at all.
  @Test(arguments: [
    "dumb", "", "unknown", "lpr", "tty33", "glasstty", "never-heard-of", "../linux", "a b", nil,
  ])
  func aTerminalThatMovesNoCursorIsRefusedWithAHint(term: String?) {
    var environment = ["LANG": "C.UTF-8"]
    environment["TERM"] = term
    #expect(!TerminalAbility.movesCursor(environment))
    #expect {
      _ = try CursesScreen(descriptor: 1, environment: environment, size: Size(80, 24))
    } throws: {
      ($0 as? ScreenError)?.hint.contains("--plain") == true
    }
  }

  @Test(arguments: [
    "xterm", "xterm-256color", "xterm-kitty", "linux", "vt100", "screen", "tmux-256color",
    "rxvt-nobody-has-this", "ansi",
  ])
  func aTerminalThatMovesItsCursorIsTaken(term: String) {
    #expect(TerminalAbility.movesCursor(["TERM": term]))
  }
}

@Suite struct RenditionMergerTests {
  private func check(_ input: String, _ expected: String) {
    #expect(String(decoding: mergedRenditions(Array(input.utf8)), as: UTF8.self) == expected)
  }

  @Test func neighboursAreJoined() {
    check("\u{1B}[39;49m\u{1B}[mx", "\u{1B}[mx")
    check("\u{1B}[39;49m\u{1B}[m\u{1B}[1m\u{1B}[32mx", "\u{1B}[0;1;32mx")
    check("\u{1B}[31m\u{1B}[32mx", "\u{1B}[32mx")
    check("\u{1B}[m\u{1B}[38;2;1;2;3m\u{1B}[48;5;7mx", "\u{1B}[0;38;2;1;2;3;48;5;7mx")
    check("\u{1B}[39;49m\u{1B}[31mx", "\u{1B}[31;49mx")
    check("a\u{1B}[1mb\u{1B}[Hc\u{1B}[", "a\u{1B}[1mb\u{1B}[Hc\u{1B}[")
  }
}
