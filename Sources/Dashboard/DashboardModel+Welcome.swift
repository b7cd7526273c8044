// DashboardModel+Welcome.swift: the line that greets an operator who returns. Start at welcomeBack.
import Control
import Terminal

extension DashboardModel {
  /// Shows one line, long enough to be read, and adds it to the log pane, where it stays.
  mutating func welcomeBack(_ absence: AbsenceSummary) {
    status = StatusLine(
      text: absence.words, isError: !absence.alarms.isEmpty, until: now.steady &+ 30_000_000)
    append(
      LogLine(
        sequence: 0, time: now.wall, level: absence.alarms.isEmpty ? .info : .warning, who: nil,
        text: absence.words))
  }
}
