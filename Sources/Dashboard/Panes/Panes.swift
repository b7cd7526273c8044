// Panes.swift: the panes of the dashboard, in the order of their numbers, of Tab and of the manual.
// A new pane is a file beside this one and a row here; a shape of Layout.swift may give it a place,
// and until one does it is shown alone while it is in focus. Start at all.

extension Pane {
  package static let all: [Pane] = [
    .jobs, .approvals, .compute, .throughput, .receipts, .earnings, .chat, .log, .history, .clients, .queue,
  ]
}
