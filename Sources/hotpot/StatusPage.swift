// StatusPage.swift: snapshots as plain text for `hotpot status`, `jobs`, `clients` and `earnings`.
// Every text that a client chose passes Console.oneLine. Start at text(_:).

import Accounting
import Control
import Foundation
import Scheduling
import Terminal

enum StatusPage {
  static func text(_ snapshot: NodeSnapshot) -> String {
    let node = snapshot.node
    var lines: [String] = []
    func row(_ name: String, _ value: String) {
      lines.append(name + String(repeating: " ", count: max(1, 13 - name.count)) + Console.oneLine(value))
    }
    row("node", "\(node.name)\(node.isDemo ? " (demo)" : ""), hotpot \(node.version)")
    row("state", node.state.rawValue.replacingOccurrences(of: "_", with: " "))
    if let why = node.whyIdle { row("idle", why) }
    for alarm in node.alarms { row("alarm", alarm) }
    row("model", node.model.map { "\($0), \(node.profile), \(node.isa)" } ?? "none")
    row("address", node.address ?? "none")
    row("up", span(snapshot.time - node.started))
    row(
      "jobs", "\(node.running) running, \(node.queued) queued, \(node.waitingApproval) waiting for approval")
    let speed = snapshot.throughput
    row("decode", reading(speed.decode) { "\(rounded($0)) tokens/s" })
    row("prefill", reading(speed.prefill) { "\(rounded($0)) tokens/s" })
    row(
      "first token",
      "\(reading(speed.firstTokenP50) { "p50 \(rounded($0)) ms" }), \(reading(speed.firstTokenP99) { "p99 \(rounded($0)) ms" })"
    )
    row("KV in use", reading(speed.kvInUse) { "\(rounded($0 * 100)) %" })
    machine(snapshot.compute, row)
    let receipts = snapshot.receipts
    row(
      "receipts",
      reading(receipts.logged) {
        "\($0) logged, \(receipts.signed) signed, \(receipts.witnessed) witnessed, \(receipts.audited) audited, \(receipts.failed) failed\(receipts.auditsNotRun > 0 ? ", \(receipts.auditsNotRun) not run" : "")"
      })
    row("today", reading(snapshot.earnings.today) { "\(Amount(micro: $0)) \(node.currency)" })
    row("unsettled", reading(snapshot.earnings.unsettled) { "\(Amount(micro: $0)) \(node.currency)" })
    return lines.joined(separator: "\n") + "\n"
  }

  private static func machine(_ compute: ComputeSnapshot, _ row: (String, String) -> Void) {
    row(
      "cpu",
      reading(compute.cpu) { "\(rounded($0 * 100)) %" }
        + (compute.ownCPU?.current.map { ", \(rounded($0 * 100)) % by hotpot" } ?? "")
        + (compute.cpuTemperature.current.map { ", \(rounded($0)) C" } ?? "")
        + (compute.cpuPower.current.map { ", \(rounded($0)) W" } ?? "")
        + (compute.container.map { ", \($0)" } ?? ""))
    row(
      "memory",
      reading(compute.residentMemory) { "\($0 >> 20) MiB resident" }
        + (compute.memoryUsed.current.map { ", \($0 >> 20) MiB of the machine used" } ?? ""))
    row("disk", reading(compute.diskFree) { "\($0 >> 30) GiB free" })
    row(
      "waits",
      "cpu \(reading(compute.cpuPressure) { "\(rounded($0 * 100)) %" }), "
        + "memory \(reading(compute.memoryPressure) { "\(rounded($0 * 100)) %" }), "
        + "i/o \(reading(compute.ioPressure) { "\(rounded($0 * 100)) %" })")
    guard let gpus = compute.gpus.current else {
      row("gpu", reading(compute.gpus) { "\($0.count)" })
      return
    }
    for (index, gpu) in gpus.enumerated() {
      let errors = gpu.uncorrectedErrors.current ?? 0
      row(
        "gpu \(index)",
        "\(gpu.name), \(reading(gpu.utilization) { "\(rounded($0 * 100)) %" })"
          + (gpu.memoryUsed.current.map { ", \($0 >> 20) MiB" } ?? "")
          + (gpu.temperature.current.map { ", \(rounded($0)) C" } ?? "")
          + (gpu.power.current.map { ", \(rounded($0)) W" } ?? "")
          + (errors > 0 ? ", \(counted(Int(errors), "memory error"))" : "")
          + (gpu.throttle.map { ", slowed: \($0)" } ?? ""))
    }
  }

  /// - now: for ages
  static func jobs(_ lines: [JobLine], at now: Date) -> String {
    if lines.isEmpty { return "no jobs\n" }
    let time = Microseconds(now.timeIntervalSince1970 * 1_000_000)
    let hasEnds = lines.contains {
      switch $0 {
      case .known(let row, _): row.state.hasEnded
      case .past: true
      }
    }
    let head = ["JOB", "STATE", "CLIENT", "P", "PROMPT", "OUTPUT", "TOK/S", hasEnds ? "WHEN" : "AGE", "OWED"]
    return table([head + ["DETAIL"]] + lines.map { job($0, hasEnds: hasEnds, at: time) })
  }

  private static func job(_ line: JobLine, hasEnds: Bool, at now: Microseconds) -> [String] {
    func when(_ ended: Microseconds?, _ submitted: Microseconds?) -> String {
      if let ended { return moment(ended) }
      return submitted.map { hasEnds ? moment($0) : span(max(0, now - $0)) } ?? "-"
    }
    switch line {
    case .known(let row, let approval):
      return [
        String(row.id.prefix(8)), row.state.rawValue, row.client, "\(row.priority)", "\(row.promptTokens)",
        "\(row.outputTokens)/\(row.outputLimit)", row.tokensPerSecond.map { rounded($0) } ?? "-",
        when(row.ended, row.submitted), row.price.map { (row.priceIsBound ? "<=" : "") + amount($0) } ?? "-",
        approval?.policy ?? row.stateDetail ?? "",
      ]
    case .past(let job):
      let output = job.outputTokens.map(String.init) ?? "-"
      return [
        String(job.id.prefix(8)), job.state.rawValue, job.client, "-",
        job.promptTokens.map(String.init) ?? "-",
        output + (job.outputLimit.map { "/\($0)" } ?? ""), "-", when(job.ended, nil),
        job.price.map(amount) ?? "-", job.stateDetail ?? "",
      ]
    }
  }

  /// One job in full, and how it got there.
  static func job(_ detail: JobDetail) -> String {
    let row = detail.row
    var rows = [
      ["job", row.id], ["state", row.state.rawValue + (row.stateDetail.map { ": \($0)" } ?? "")],
      ["client", row.client], ["model", row.model], ["priority", "\(row.priority)"],
      ["prompt", "\(row.promptTokens) tokens, \(row.promptDone) read, \(row.cachedTokens) cached"],
      ["output", "\(row.outputTokens) of at most \(counted(row.outputLimit, "token"))"],
    ]
    if let price = row.price { rows.append([row.priceIsBound ? "owes at most" : "owes", amount(price)]) }
    if let receipt = row.receipt { rows.append(["receipt", receipt]) }
    rows += detail.settings
    return table(rows) + "\n" + table(detail.timeline.map { [moment($0.time), $0.what] })
  }

  /// A moment in local time, such as `2026-11-23 12:04:31`.
  static func moment(_ time: Microseconds) -> String {
    var seconds = time_t(time / 1_000_000)
    var local = tm()
    guard localtime_r(&seconds, &local) != nil else { return "-" }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return
      "\(local.tm_year + 1900)-\(two(local.tm_mon + 1))-\(two(local.tm_mday)) \(two(local.tm_hour)):\(two(local.tm_min)):\(two(local.tm_sec))"
  }

  static func clients(_ rows: [ClientRow]) -> String {
    if rows.isEmpty { return "no clients; 'hotpot clients add NAME' makes one\n" }
    func money(_ amount: MicroUnits?) -> String { amount.map { Amount(micro: $0).description } ?? "-" }
    return table(
      [["CLIENT", "STATE", "JOBS", "TOKENS", "POSTED", "SETTLED", "PROMISED", "BUDGET", "LIMITS"]]
        + rows.map { row in
          [
            row.name, row.revoked == nil ? "active" : "revoked", "\(row.jobs)", "\(row.tokens)",
            money(row.posted), money(row.settled), money(row.voucher), money(row.budget), limits(row),
          ]
        })
  }

  private static func limits(_ row: ClientRow) -> String {
    var parts: [String] = []
    if let models = row.models { parts.append("models \(models.joined(separator: ","))") }
    if let tokens = row.tokensPerJob { parts.append("\(counted(tokens, "token"))/job") }
    if let jobs = row.jobsAtOnce { parts.append("\(jobs) at once") }
    if let tokens = row.tokensPerDay { parts.append("\(counted(tokens, "token"))/day") }
    if let most = row.priority { parts.append("priorities to \(most)") }
    return parts.isEmpty ? "-" : parts.joined(separator: ", ")
  }

  enum EarningsGroup: String, CaseIterable { case day, client, model }

  /// Sums of the rows by one of their keys, in its order, and the total. Days include their
  /// electricity.
  static func earnings(_ earned: EarningsTable, by group: EarningsGroup) -> String {
    if earned.isDemo { return "this is a demo: nothing is earned\n" }
    let sums = sums(earned, by: group)
    if sums.isEmpty { return "nothing was earned in that time\n" }
    var rows = [[group.rawValue.uppercased(), "JOBS", "PROMPT", "CACHED", "OUTPUT", "AMOUNT"]]
    if group == .day { rows[0] += ["ENERGY", "COST", "NET"] }
    for sum in sums + [all(sums)] {
      rows.append(
        [
          sum.name, "\(sum.jobs)", "\(sum.prompt)", "\(sum.cached)", "\(sum.completion)",
          "\(Amount(micro: sum.amount)) \(earned.currency)",
        ] + (group == .day ? [sum.energy.map { "\($0) kWh" } ?? "-", money(sum.cost), money(sum.net)] : []))
    }
    return table(rows)
  }

  private static func money(_ amount: MicroUnits?) -> String {
    amount.map { Amount(micro: $0).description } ?? "-"
  }

  /// One line of a table of earnings.
  private struct EarningsSum {
    var name: String
    var jobs = 0
    var prompt = 0
    var cached = 0
    var completion = 0
    var amount: MicroUnits = 0
    /// Nil if no power was read.
    var joules: Double?
    /// Nil if it is not known.
    var cost: MicroUnits?

    var net: MicroUnits? { cost.map { amount &- $0 } }
    /// Kilowatt-hours.
    var energy: String? { joules.map { "\(($0 / 3_600).rounded() / 1_000)" } }
  }

  private static func sums(_ earned: EarningsTable, by group: EarningsGroup) -> [EarningsSum] {
    var sums: [String: EarningsSum] = [:]
    if group == .day {
      for day in earned.days {
        sums[day.date] = EarningsSum(name: day.date, joules: day.joules, cost: day.cost)
      }
    }
    for row in earned.rows {
      let name =
        switch group {
        case .day: row.date
        case .client: row.client
        case .model: row.model
        }
      // These are parts of sums that the ledger keeps without overflow.
      var sum = sums[name] ?? EarningsSum(name: name)
      sum.jobs += row.jobs
      sum.prompt += row.promptTokens
      sum.cached += row.cachedTokens
      sum.completion += row.completionTokens
      sum.amount = sum.amount &+ row.amount
      sums[name] = sum
    }
    return sums.keys.sorted().compactMap { sums[$0] }
  }

  /// The total's electricity is known only if that of every row is.
  private static func all(_ sums: [EarningsSum]) -> EarningsSum {
    var all = EarningsSum(name: "all", joules: sums.isEmpty ? nil : 0, cost: 0)
    for sum in sums {
      all.jobs += sum.jobs
      all.prompt += sum.prompt
      all.cached += sum.cached
      all.completion += sum.completion
      all.amount = all.amount &+ sum.amount
      all.joules = sum.joules.flatMap { one in all.joules.map { $0 + one } }
      all.cost = sum.cost.flatMap { one in all.cost.map { $0 &+ one } }
    }
    return all
  }

  /// RFC 4180, one row for each sum.
  static func csv(_ earned: EarningsTable, by group: EarningsGroup) -> String {
    var heading = "\(group.rawValue),jobs,prompt_tokens,cached_tokens,completion_tokens,amount"
    if group == .day { heading += ",joules,cost,net" }
    var lines = [heading + ",currency"]
    for sum in sums(earned, by: group) {
      var cells = [
        cell(sum.name), "\(sum.jobs)", "\(sum.prompt)", "\(sum.cached)", "\(sum.completion)",
        Amount(micro: sum.amount).description,
      ]
      if group == .day {
        cells += [
          sum.joules.map { "\($0)" } ?? "", sum.cost.map { Amount(micro: $0).description } ?? "",
          sum.net.map { Amount(micro: $0).description } ?? "",
        ]
      }
      lines.append((cells + [cell(earned.currency)]).joined(separator: ","))
    }
    return lines.map { $0 + "\r\n" }.joined()
  }

  /// RFC 4180, one row for each day, client and model. Names pass `cell`.
  static func csv(_ earned: EarningsTable) -> String {
    var lines = ["date,client,model,jobs,prompt_tokens,cached_tokens,completion_tokens,amount,currency"]
    for row in earned.rows {
      lines.append(
        [
          cell(row.date), cell(row.client), cell(row.model), "\(row.jobs)", "\(row.promptTokens)",
          "\(row.cachedTokens)", "\(row.completionTokens)", Amount(micro: row.amount).description,
          cell(earned.currency),
        ].joined(separator: ","))
    }
    return lines.map { $0 + "\r\n" }.joined()
  }

  /// A value, quoted if needed; one that a spreadsheet would read as a formula is preceded by an
  /// apostrophe.
  private static func cell(_ text: String) -> String {
    var text = Console.oneLine(text)
    if let first = text.first, "=+-@".contains(first) { text = "'" + text }
    guard text.contains(where: { ",\"'".contains($0) }) else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }

  static func earnings(_ snapshot: NodeSnapshot) -> String {
    let earnings = snapshot.earnings
    func money(_ reading: Reading<MicroUnits>) -> String {
      Self.reading(reading) { "\(Amount(micro: $0)) \(snapshot.node.currency)" }
    }
    var lines: [String] = []
    func row(_ name: String, _ value: String) {
      lines.append(name + String(repeating: " ", count: 13 - name.count) + Console.oneLine(value) + "\n")
    }
    row("today", money(earnings.today))
    row("electricity", money(earnings.costToday))
    row("energy", Self.reading(earnings.energyToday) { "\(($0 / 3_600).rounded() / 1_000) kWh" })
    row("net today", money(earnings.todayNet))
    row("net/million", money(earnings.netPerMillion))
    row("per hour", money(earnings.perHour))
    row("net/hour", money(earnings.netPerHour))
    row("projection", "\(money(earnings.projectedDay)) for the day at that rate")
    row("unsettled", money(earnings.unsettled))
    row("verified", money(earnings.verified))
    row("settled", money(earnings.settled))
    if earnings.clients.isEmpty { return lines.joined() }
    return lines.joined() + "\n"
      + table(
        [["CLIENT", "TODAY", "TOTAL", "UNSETTLED", "JOBS", "TOKENS"]]
          + earnings.clients.map {
            [
              $0.client, Amount(micro: $0.today).description, Amount(micro: $0.total).description,
              Amount(micro: $0.unsettled).description, "\($0.jobs)", "\($0.tokens)",
            ]
          })
  }

  /// Columns two spaces apart, the last one ragged.
  static func table(_ rows: [[String]]) -> String {
    let rows = rows.map { $0.map(Console.oneLine) }
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? displayWidth($0[column]) : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (index, cell) in row.enumerated() {
        line +=
          index == row.count - 1
          ? cell : cell + String(repeating: " ", count: widths[index] - displayWidth(cell) + 2)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  static func reading<Value>(_ reading: Reading<Value>, _ words: (Value) -> String) -> String {
    switch reading {
    case .value(let value): words(value)
    case .stale(let value, _): "\(words(value)) (stale)"
    case .warmingUp: "warming up"
    case .unavailable(let reason): "unavailable: \(reason)"
    }
  }

  static func amount(_ micro: MicroUnits) -> String { Amount(micro: micro).description }

  static func rounded(_ value: Double) -> String {
    // Figures may come from another machine.
    guard value.isFinite else { return "-" }
    return value >= 100
      ? String(Int(min(value, 1e15).rounded())) : String((max(value, -1e15) * 10).rounded() / 10)
  }

  static func span(_ microseconds: Microseconds) -> String {
    let seconds = max(0, microseconds / 1_000_000)
    let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let clock = "\(two(rest / 3_600)):\(two(rest % 3_600 / 60)):\(two(rest % 60))"
    return days > 0 ? "\(days)d \(clock)" : clock
  }
}
