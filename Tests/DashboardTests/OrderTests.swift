// OrderTests.swift: rows that change places, and pictures of the past.
import Control
import Terminal
import Testing

@testable import Dashboard

@Suite struct OrderTests {
  /// `a+` runs, `a` is queued or held, `a-` has ended.
  private func rows(_ words: String) -> [ListRow] {
    words.split(separator: " ").map { word in
      let section: ListSection = word.hasSuffix("+") ? .running : word.hasSuffix("-") ? .ended : .open
      return ListRow(
        id: String(word.filter(\.isLetter)), haystack: String(word), sortValue: .text(String(word)),
        section: section)
    }
  }

  private func check(_ before: String, _ after: String, rest: ListRest = .calm, _ expected: String) {
    var list = ListState()
    _ = list.arrange(rows(before))
    _ = list.arrange(rows(after), rest)
    #expect(list.order.joined(separator: " ") == expected)
  }

  @Test func aJobThatStartsTakesTheRowOfOneThatStopped() {
    check("a+ b+ c d e", "b+ c+ d e a-", "c b d e a")
    // Two at once, in their order.
    check("a+ b+ c d e", "c+ d+ e b- a-", "c d e b a")
    // Nothing has stopped: what starts comes after what ran before it.
    check("a+ b c", "a+ b+ c", "a b c")
    // Nothing started.
    check("a+ b+ c", "b+ c a-", "b c a")
  }

  @Test func whatEndedStandsBelowWhatLivesAlsoWhileTheListRests() {
    for rest in [ListRest.none, .calm, .moving] {
      check("a+ b+ c d", "b+ c d e f a-", rest: rest, "b c d e f a")
      check("a- b-", "c d a- b-", rest: rest, "c d a b")
      check("a+ b c", "d+ c e- b- a-", rest: rest, "d c e b a")
    }
  }

  @Test func aNewRowStandsWhereItWillRunAlsoWhileTheListRests() {
    check("a+ b c d", "a+ x b c d", "a x b c d")
    check("a+ b c d", "a+ b c x d y", rest: .moving, "a b c x d y")
    // A queue that nobody joined or left keeps its order for a while, a running job never comes
    // among the queued.
    check("a+ b c d", "a+ d c b", "a b c d")
    check("a+ b c d", "a+ d c b", rest: .none, "a d c b")
    // One that was preempted is queued again.
    check("a+ b+ c", "a+ b c", "a b c")
    // The newest that ended is the first of them.
    check("a+ b+ c-", "b+ a- c-", "b a c")
  }

  @Test func inATallListTheQueueStandsStillWhenItsFirstJobStarts() {
    var list = ListState()
    _ = list.arrange(rows("a+ b+ c d e f g"))
    list.show(height: 16, isFocused: true, follows: false)
    func lines() -> String {
      list.lines(height: 16).map { if case .row(let id) = $0 { id } else { "-" } }.joined(separator: " ")
    }
    _ = list.arrange(rows("b+ c+ d e f g"), .calm)
    #expect(lines() == "c b - d e f g")
    _ = list.arrange(rows("c+ d+ e f g"), .calm)
    #expect(lines() == "c d - - e f g")
    #expect(list.line(of: 1) == 1 && list.line(of: 2) == 4 && list.lineCount == 7)
    // A sixth of the lines at most.
    _ = list.arrange(rows("d+ e+ f g"), .calm)
    #expect(lines() == "e d f g")
    _ = list.arrange(rows("d+ e+ f g"), .calm)
    #expect(lines() == "e d f g")
    _ = list.arrange(rows("e+ f+ g"), .calm)
    #expect(lines() == "e f - g")
    // Who joins the queue fills the gap, and so does an order made anew.
    _ = list.arrange(rows("e+ f+ g h"), .calm)
    #expect(lines() == "e f g h")
    _ = list.arrange(rows("f+ g+ h"), .calm)
    #expect(lines() == "g f - h")
    _ = list.arrange(rows("f+ g+ h"), .none)
    #expect(lines() == "f g h")
    // A low list has no room for that.
    list.show(height: 6, isFocused: true, follows: false)
    _ = list.arrange(rows("g+ h+ i"), .calm)
    _ = list.arrange(rows("h+ i+ j"), .calm)
    #expect(!lines().contains("-"))
  }

  @Test func aSortOrdersWithinTheSections() {
    var list = ListState()
    list.sortColumn = 1
    _ = list.arrange(rows("d+ b+ c a z- e-"))
    #expect(list.order.joined(separator: " ") == "b d a c e z")
    list.isInverted = true
    _ = list.arrange(rows("d+ b+ c a z- e-"))
    #expect(list.order.joined(separator: " ") == "d b c a z e")
    list.sortColumn = 0
    _ = list.arrange(rows("d+ b+ c a z- e-"))
    #expect(list.order.joined(separator: " ") == "b d a c e z")
    list.filter.text = "!a"
    _ = list.arrange(rows("d+ b+ c a z- e-"))
    #expect(list.order.joined(separator: " ") == "b d c e z")
  }

  @Test func theEndedHaveATitleOfTheirOwnWithTheirNumber() {
    var list = ListState()
    _ = list.arrange(rows("a+ b c- d-"))
    #expect(
      Array(list.lines(height: 9)) == [
        .row("a"), .row("b"), .ended(2, isHidden: false), .row("c"), .row("d"),
      ])
    #expect(list.position(height: 9) == nil)
    #expect(list.position(height: 3).map { "\($0.first)-\($0.last)" } == "1-2")
    list.waitingElsewhere = 3
    #expect(Array(list.lines(height: 4)) == [.row("a"), .row("b"), .waiting(3), .ended(2, isHidden: false)])
    _ = list.arrange(rows("c- d-"))
    #expect(Array(list.lines(height: 9)) == [.waiting(3), .ended(2, isHidden: false), .row("c"), .row("d")])
    _ = list.arrange([])
    #expect(Array(list.lines(height: 9)) == [.waiting(3)])
  }

  @Test func anUntouchedCursorStaysOnTheFirstRow() {
    var list = ListState()
    _ = list.arrange(rows("a+ b c"))
    list.show(height: 2, isFocused: true, follows: false)
    #expect(list.selected == "a")
    _ = list.arrange(rows("b+ c a-"))
    #expect(list.selected == "b")
    list.move(by: 1)
    list.move(by: 1)
    #expect(list.selected == "a")
    list.moveToTop()
    _ = list.arrange(rows("x+ b+ c a-"))
    #expect(list.selected == "x")
  }

  @Test func aCursorThatWasPlacedStaysWithItsRowAndTheViewWithWhatLives() {
    var list = ListState()
    _ = list.arrange(rows("a+ b+ c d e"))
    list.show(height: 3, isFocused: true, follows: false)
    list.move(by: 1)
    _ = list.rearrange(rows("a+ c+ d e b-"), .calm)
    list.show(height: 3, isFocused: true, follows: false)
    #expect(list.selected == "b")
    #expect(list.top == 0)
    // A key goes on from what is on the screen.
    list.move(by: 1)
    #expect(list.selected == "a")
  }

  @Test func aPaneThatIsAsLargeAgainShowsTheSameAgain() {
    var list = ListState()
    _ = list.arrange(rows("a b c d e f g h i j"))
    for height in [5, 3, 5, 1, 5, 40, 5] {
      list.show(height: height, isFocused: true, follows: false)
      #expect(list.top == 0)
    }
    for _ in 0..<6 { list.move(by: 1) }
    list.reveal(5)
    #expect(list.selected == "g")
    #expect(list.top == 2)
    list.show(height: 2, isFocused: true, follows: false)
    #expect(Array(list.lines(height: 2)) == [.row("f"), .row("g")])
    list.show(height: 5, isFocused: true, follows: false)
    #expect(list.top == 2)
  }

  private func graph(_ closed: Int, width: Int) -> String {
    var series = GraphHistory.Series()
    for _ in 0..<closed {
      series.append(1)
      series.close()
    }
    var canvas = Canvas(size: Size(width, 1), theme: .terminalPalette, glyphs: Glyphs(.unicode))
    canvas.graph(
      series, closed: closed, Rect(x: 0, y: 0, width: width, height: 1), top: 1, gradient: canvas.theme.load,
      style: .scroll)
    return canvas.grid.text
  }

  /// Sixteen columns in eight cells: it fills from the left, and a full page moves by an eighth.
  @Test func aGraphTurnsPages() {
    #expect(graph(0, width: 8).hasPrefix("⡀⡀⡀⡀⡀⡀⡀⡀"))
    #expect(graph(3, width: 8).hasPrefix("⣿⡇⡀⡀⡀⡀⡀⡀"))
    #expect(graph(16, width: 8).hasPrefix("⣿⣿⣿⣿⣿⣿⣿⣿"))
    #expect(graph(17, width: 8).hasPrefix("⣿⣿⣿⣿⣿⣿⣿⡇"))
    #expect(graph(18, width: 8).hasPrefix("⣿⣿⣿⣿⣿⣿⣿⣿"))
    #expect(graph(5_001, width: 8).hasPrefix("⣿⣿⣿⣿⣿⣿⣿⡇"))
  }

  /// A day in 20 columns: 72 minutes each, the newest at the right.
  @Test func aDayIsDrawnByItsMinutes() {
    var series = GraphHistory.Series()
    for minute in 0..<1440 {
      series.append(minute < 720 ? nil : 1)
      series.close()
    }
    var canvas = Canvas(size: Size(10, 1), theme: .terminalPalette, glyphs: Glyphs(.unicode))
    canvas.dayGraph(
      series, minutes: 1440, Rect(x: 0, y: 0, width: 10, height: 1), top: 1, gradient: canvas.theme.load)
    #expect(canvas.grid.text.hasPrefix("⡀⡀⡀⡀⡀⣿⣿⣿⣿⣿"))
  }

  @Test func theNodesDayIsTakenOverAndGoesOn() {
    var history = GraphHistory()
    let minute: Int64 = 60_000_000
    history.replace(
      with: NodeHistory(
        time: 100 * minute + 5, decode: [], prefill: [], cpu: [], memory: [], kvInUse: [], batchSize: [],
        gpu: [], decodeDay: [5, nil], cpuDay: [0.5, 0.25, 1]))
    #expect(history.cpuDay.buckets == [0.5, 0.25, 1])
    #expect(history.decodeDay.buckets == [nil, 5, nil])
    #expect(history.minutes == 3)
  }
}
