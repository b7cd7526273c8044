// FleetModel+Lists.swift: what the fleet's three lists show, in which order, and what they add up to.
// Start at shownNodes, waits and jobs.
import Control
import Terminal

extension FleetModel {
  /// The headings of the table of nodes that it can be sorted by, in their order.
  static let columns = [
    "NODE", "STATE", "MODEL", "VERSION", "UP", "CPU", "GPU", "TOK/S", "RUN", "QUEUE", "WAIT", "FAILED",
    "TODAY", "OWED",
  ]

  /// The nodes that match the filter, in the order that was asked for.
  var shownNodes: [Int] {
    let shown = nodes.indices.filter { filter.isEmpty || filter.matches(haystack($0)) }
    guard let sortColumn else { return isInverted ? shown.reversed() : Array(shown) }
    let values = shown.map { ($0, sortValue($0, sortColumn)) }
    let sorted = values.sorted { left, right in
      switch (left.1, right.1) {
      case (.missing, .missing): return left.0 < right.0
      case (.missing, _): return false
      case (_, .missing): return true
      case (.number(let a), .number(let b)): return a == b ? left.0 < right.0 : (a < b) != isInverted
      case (.text(let a), .text(let b)): return a == b ? left.0 < right.0 : (a < b) != isInverted
      case (.number, .text), (.text, .number): return left.0 < right.0
      }
    }
    return sorted.map(\.0)
  }

  /// What a filter reads of a node, in lower case.
  private func haystack(_ index: Int) -> String {
    let node = nodes[index]
    var words = [node.host]
    if let summary = node.snapshot?.node {
      words += [summary.name, summary.model ?? "", summary.version, summary.state.rawValue, summary.currency]
      words += summary.alarms
    }
    switch node.link {
    case .connected: break
    case .connecting: words.append("connecting")
    case .lost, .ended: words.append("no line")
    }
    return words.joined(separator: " ").lowercased()
  }

  private func sortValue(_ index: Int, _ column: String) -> SortValue {
    let node = nodes[index]
    if column == "NODE" { return .text(node.name.lowercased()) }
    guard let snapshot = node.snapshot else { return .missing }
    // Figures begin with the largest.
    func figure(_ value: Double?) -> SortValue { value.map { .number(-$0) } ?? .missing }
    switch column {
    case "STATE": return .text(snapshot.node.state.rawValue)
    case "MODEL": return snapshot.node.model.map { .text($0.lowercased()) } ?? .missing
    case "VERSION": return .text(snapshot.node.version)
    case "UP": return figure(Double(elapsed(snapshot.node.started, snapshot.time)))
    case "CPU": return figure(snapshot.compute.cpu.current)
    case "GPU": return figure(gpuShare(snapshot))
    case "TOK/S": return figure(snapshot.throughput.decode.current)
    case "RUN": return figure(Double(snapshot.node.running))
    case "QUEUE": return figure(Double(snapshot.node.queued))
    case "WAIT": return figure(Double(snapshot.node.waitingApproval))
    case "FAILED": return figure(Double(snapshot.receipts.failed))
    case "TODAY": return figure(snapshot.earnings.today.current.map { Double($0) })
    case "OWED": return figure(snapshot.earnings.unsettled.current.map { Double($0) })
    default: return .missing
    }
  }

  /// The mean over a node's GPUs, 0 to 1; nil if there are none or none tells it.
  func gpuShare(_ snapshot: NodeSnapshot) -> Double? {
    let shares = (snapshot.compute.gpus.current ?? []).compactMap(\.utilization.current)
    return shares.isEmpty ? nil : shares.reduce(0, +) / Double(shares.count)
  }

  /// All jobs that wait for approval and match the filter, the one that expires first on top.
  var waits: [Wait] {
    nodes.indices.flatMap { index -> [Wait] in
      guard nodes[index].link == .connected else { return [] }
      return (nodes[index].snapshot?.approvals ?? []).filter { row in
        filter.isEmpty
          || filter.matches("\(nodes[index].name) \(row.id) \(row.client) \(row.model)".lowercased())
      }.map { Wait(node: index, row: $0) }
    }
    .sorted { ($0.row.deadline, $0.node, $0.row.id) < ($1.row.deadline, $1.node, $1.row.id) }
  }

  var waitIndex: Int? {
    guard let selectedWait else { return nil }
    return waits.firstIndex { $0.node == selectedWait.node && $0.row.id == selectedWait.id }
  }

  /// All jobs that run, are held or queued and match the filter, node by node, what runs on top.
  var jobs: [Job] {
    var found: [Job] = []
    for index in nodes.indices where nodes[index].link == .connected {
      for row in nodes[index].snapshot?.jobs ?? [] where !row.state.hasEnded && row.state != .pending {
        let lease = lease(index, row.id)
        let words =
          "\(nodes[index].name) \(row.id) \(row.client) \(row.model) \(row.state.rawValue)\(lease == nil ? "" : " leased")"
        if filter.isEmpty || filter.matches(words.lowercased()) { found.append(Job(node: index, row: row)) }
      }
    }
    return found.filter { $0.row.state == .running } + found.filter { $0.row.state != .running }
  }

  /// What a node has of the queue that machines share, if this job is of it.
  func lease(_ node: Int, _ job: String) -> SharedQueueSnapshot.Lease? {
    nodes[node].snapshot?.sharedQueue?.leases.first { $0.job == job }
  }

  /// What waits in the queues that these nodes share, each queue once: two nodes see one alike.
  var sharedWaiting: Int? {
    var queues: [String: Int] = [:]
    for node in nodes where node.link == .connected {
      guard let queue = node.snapshot?.sharedQueue, let waiting = queue.waiting else { continue }
      // Nodes with one model tell the same classes; another model's jobs are others.
      let name = "\(queue.stream) \(queue.server ?? "") \(node.snapshot?.node.model ?? "")"
      queues[name] = max(queues[name] ?? 0, waiting)
    }
    return queues.isEmpty ? nil : queues.values.reduce(0, +)
  }

  var jobIndex: Int? {
    guard let selectedJob else { return nil }
    return jobs.firstIndex { $0.node == selectedJob.node && $0.row.id == selectedJob.id }
  }

  /// What all nodes earned today and are owed, by currency.
  var sums: [(currency: String, today: MicroUnits, owed: MicroUnits)] {
    var today: [String: MicroUnits] = [:]
    var owed: [String: MicroUnits] = [:]
    for snapshot in nodes.compactMap(\.snapshot) {
      let currency = snapshot.node.currency
      func add(_ value: MicroUnits?, _ sums: inout [String: MicroUnits]) {
        guard let value else { return }
        sums[currency] = sums[currency, default: 0].addingReportingOverflow(value).partialValue
      }
      add(snapshot.earnings.today.current, &today)
      add(snapshot.earnings.unsettled.current, &owed)
    }
    return Set(today.keys).union(owed.keys).sorted().map { ($0, today[$0] ?? 0, owed[$0] ?? 0) }
  }
}
