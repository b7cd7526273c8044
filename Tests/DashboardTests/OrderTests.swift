// OrderTests.swift: rows that change places, and pictures of the past.
import Node
import Terminal
import Testing

@testable import Dashboard

@Suite struct OrderTests {
  private func rows(_ words: String) -> [ListRow] {
    words.split(separator: " ").map { word in
      let rank: RowRank = word.hasSuffix("+") ? .active : word.hasSuffix("-") ? .ended : .waiting
      return ListRow(
        id: String(word.filter(\.isLetter)), haystack: "", sortValue: .missing, rank: rank)
    }
  }

  private func check(_ before: String, _ after: String, settles: Bool = true, _ expected: String) {
    var list = ListState()
    _ = list.arrange(rows(before), isResting: false)
    let selected = list.selected
    _ = list.arrange(rows(after), isResting: true, settles: settles)
    #expect(list.order.joined(separator: " ") == expected)
    #expect(list.selected == selected)
  }

  @Test func aJobThatStartsTakesTheRowOfOneThatEnded() {
    check("a+ b+ c d e", "c+ b+ d e a-", "c b a d e")
    // Two at once: the first of the ended changes with the last of the started.
    check("a+ b+ c d e", "c+ d+ e a- b-", "d c b a e")
    // Nothing has ended: nobody moves.
    check("a+ b c", "a+ b+ c", "a b c")
    // Nothing started: what still runs moves up.
    check("a+ b+ c", "b+ c a-", "b a c")
  }

  @Test func whileTheOperatorMovesNothingChangesPlaces() {
    check("a+ b+ c d e", "c+ b+ d e a-", settles: false, "a b c d e")
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
