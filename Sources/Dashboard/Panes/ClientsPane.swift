// ClientsPane.swift: who sends jobs: what each does now, may do, owes, and when it was last seen;
// Enter shows one with its jobs. What an owner does about a client is in DashboardModel+Clients.swift.
// Start at Pane.clients.
import Control
import Terminal

extension Pane {
  package static let clients: Pane = Pane(
    "clients", words: "clients: who sends jobs; again: zoom",
    hints: [
      (.open, "detail"), (.approve, "adopt or limit"), (.cancel, "revoke"), (.filter, "filter"),
      (.command, "add-client, price, settle"),
    ],
    list: clientsList,
    open: { $0.openClient() },
    plain: plainClients,
    draw: { canvas, model, snapshot, rect in canvas.drawClients(model, snapshot, rect) })
}

private let clientsColumns: [PaneColumn<ClientStanding>] = [
  .order("seen"),
  PaneColumn("client") { row, _ in .text(row.name) },
  PaneColumn("jobs") { row, _ in .number(-Double(row.running + row.waiting)) },
  PaneColumn("rate") { row, _ in .number(-row.rate) },
  PaneColumn("tokens") { row, _ in row.tokensToday.map { .number(-Double($0)) } ?? .missing },
  PaneColumn("today") { row, _ in .number(-Double(row.today)) },
  PaneColumn("owed") { row, _ in .number(-Double(row.owed)) },
]

private let clientsList = PaneList(
  of: "client",
  columns: clientsColumns,
  isCalm: true, hasEnds: true,
  rows: { _, snapshot in snapshot.clients ?? [] },
  id: { $0.name },
  words: { "\($0.name) \(clientState($0)) \(($0.models ?? []).joined(separator: " "))" },
  // The revoked stand below, as what ended does.
  section: { $0.isRevoked ? .ended : .open },
  text: { model, id in
    model.client(id).map { row in
      [
        row.name, clientState(row), "today \(money(row.today))", "owes \(money(row.owed))",
        plural(row.jobs, "job"),
      ].joined(separator: "  ")
    }
  },
  head: { $0.height >= 3 ? 1 : 0 })

private func clientState(_ row: ClientStanding) -> String {
  row.isRevoked ? "revoked" : row.isKnown ? "known" : "unknown"
}

private func plainClients(_ snapshot: NodeSnapshot?) -> PlainWords {
  let rows = (snapshot?.clients ?? []).filter { !$0.isRevoked }
  return PlainWords(
    lines: rows.isEmpty
      ? ["no clients"]
      : rows.map {
        "\($0.name), \(clientState($0)): \($0.running) running, \($0.waiting) waiting, owes \(money($0.owed))"
      })
}

extension DashboardModel {
  func client(_ name: String) -> ClientStanding? { snapshot?.clients?.first { $0.name == name } }

  fileprivate mutating func openClient() -> [Effect] {
    guard let name = lists[.clients]?.selected else {
      say("nothing is selected")
      return []
    }
    lists[.clients]?.touch()
    detail = .client(name)
    detailScroll = 0
    return []
  }
}

/// Columns of the clients for a width: where each starts or ends, 0 if it is not shown.
private struct ClientColumns {
  let client: Int
  let clientWidth: Int
  var jobsEnd = 0
  var rateEnd = 0
  var tokensEnd = 0
  var askedEnd = 0
  var todayEnd = 0
  var owedEnd = 0
  var seenEnd = 0
  let limits: Int
  let limitsWidth: Int

  init(_ inner: Rect, names: Int) {
    let width = inner.width
    var edge = RightEdge(of: inner)
    seenEnd = edge.take(5)
    if width >= 44 { owedEnd = edge.take(9) }
    if width >= 60 { todayEnd = edge.take(9) }
    if width >= 100 { askedEnd = edge.take(7) }
    client = inner.x + 3
    let numbers = (width >= 30 ? 7 : 0) + (width >= 70 ? 7 : 0) + (width >= 84 ? 8 : 0)
    clientWidth = max(6, min(min(28, max(8, names)), edge.right + 2 - client - numbers))
    var left = client + clientWidth + 2
    func put(_ columns: Int) -> Int {
      defer { left += columns + 2 }
      return left + columns
    }
    if width >= 30 { jobsEnd = put(5) }
    if width >= 70 { rateEnd = put(5) }
    if width >= 84 { tokensEnd = put(6) }
    limits = left
    limitsWidth = max(0, edge.right + 2 - left)
  }
}

extension Canvas {
  fileprivate mutating func drawClients(_ model: DashboardModel, _ snapshot: NodeSnapshot, _ rect: Rect) {
    let list = model.lists[.clients] ?? ListState()
    let isFocused = model.focus == .clients
    let rows = snapshot.clients ?? []
    var note = filterNote(list.filter, isEditing: model.mode == .filter && isFocused)
    let known = rows.count { $0.isKnown && !$0.isRevoked }
    let strangers = rows.count { !$0.isKnown }
    note.append(("\(grouped(known)) known", known > 0 ? ok : faint))
    if strangers > 0 {
      note.append((" \(glyphs.separator) \(grouped(strangers)) unknown", style(theme.warn)))
    }
    let inner = frame(rect, .clients, model, note: note, foot: position(list, model, .clients))
    let area = model.listArea(.clients, inner)
    let columns = ClientColumns(inner, names: rows.map { displayWidth($0.name) }.max() ?? 0)
    if area.y > inner.y { drawClientsHead(columns, inner, list) }
    if list.lineCount == 0 {
      let words =
        snapshot.clients == nil
        ? "this node is of an earlier release: 'hotpot clients' lists them"
        : rows.isEmpty
          ? "no clients yet: :add-client NAME makes one" : "no client matches '\(list.filter.text)'"
      fit(words, area.x + 1, area.y + max(0, area.height - 1) / 2, faint, width: area.width - 2)
      return
    }
    for (row, line) in list.lines(height: area.height).enumerated() {
      let rect = Rect(x: area.x, y: area.y + row, width: area.width, height: 1)
      switch line {
      case .row(let id):
        guard let client = model.client(id) else { continue }
        drawClient(
          client, snapshot.time, columns, rect, isSelected: isFocused && id == list.selected,
          isTagged: list.tags.contains(id))
      case .ended(let count, _): drawRule(" \(grouped(count)) revoked ", rect)
      case .gap, .waiting: break
      }
    }
  }

  private mutating func drawClientsHead(_ columns: ClientColumns, _ inner: Rect, _ list: ListState) {
    let y = inner.y
    func name(_ column: String, _ title: String) -> (String, Style) { heading(title, column, list, .clients) }
    func right(_ end: Int, _ word: (String, Style)) { if end > 0 { putRight(word.0, end, y, word.1) } }
    let client = name("client", "CLIENT")
    fit(client.0, columns.client, y, client.1, width: columns.clientWidth)
    right(columns.jobsEnd, name("jobs", "JOBS"))
    right(columns.rateEnd, name("rate", "TOK/S"))
    right(columns.tokensEnd, name("tokens", "TOKENS"))
    if columns.limitsWidth >= 8 { put("LIMITS", columns.limits, y, faint) }
    right(columns.askedEnd, ("ASKED/M", faint))
    right(columns.todayEnd, name("today", "TODAY"))
    right(columns.owedEnd, name("owed", "OWED"))
    right(columns.seenEnd, name("seen", "SEEN"))
  }

  private mutating func drawClient(
    _ client: ClientStanding, _ time: Microseconds, _ columns: ClientColumns, _ rect: Rect, isSelected: Bool,
    isTagged: Bool
  ) {
    let y = rect.y
    if isSelected { grid.fill(rect, " ", style: selection) }
    func shade(_ style: Style) -> Style { isSelected ? selection : client.isRevoked ? faint : style }
    if isTagged { sign(glyphs.tag, rect.x, y, shade(key)) }
    let (mark, style): (Unicode.Scalar, Style) =
      client.isRevoked
      ? (glyphs.stopped, faint)
      : !client.isKnown
        ? (glyphs.pending, self.style(theme.warn))
        : client.running > 0 ? (glyphs.running, ok) : (glyphs.idle, label)
    sign(mark, rect.x + 1, y, shade(style))
    fit(
      client.name, columns.client, y, shade(client.isKnown ? strong : self.style(theme.warn)),
      width: columns.clientWidth)
    if columns.jobsEnd > 0, client.running + client.waiting > 0 {
      putRight(
        "\(compact(client.running))\(client.waiting > 0 ? "+\(compact(client.waiting))" : "")",
        columns.jobsEnd, y,
        shade(text))
    }
    if columns.rateEnd > 0, client.rate > 0 { putRight(rate(client.rate), columns.rateEnd, y, shade(text)) }
    if columns.tokensEnd > 0, let used = client.tokensToday, used > 0 {
      putRight(numberColumn(used, 6), columns.tokensEnd, y, shade(label))
    }
    if columns.limitsWidth >= 8 {
      fit(limitWords(client), columns.limits, y, shade(label), width: columns.limitsWidth)
    }
    if columns.askedEnd > 0 {
      putRight(
        client.asked.map(price) ?? "free", columns.askedEnd, y, shade(client.asked == nil ? faint : text))
    }
    if columns.todayEnd > 0, client.today != 0 {
      putRight(sumMoney(client.today), columns.todayEnd, y, shade(text))
    }
    if columns.owedEnd > 0, client.owed != 0 {
      putRight(sumMoney(client.owed), columns.owedEnd, y, shade(text))
    }
    putRight(client.lastSeen.map { age(elapsed($0, time)) } ?? "-", columns.seenEnd, y, shade(label))
  }

  /// What is left of each limit, in few words.
  private func limitWords(_ client: ClientStanding) -> String {
    var words: [String] = []
    if let left = client.budgetLeft { words.append("\(money(left)) left") }
    if let most = client.tokensPerDay {
      words.append("\(compact(max(0, most - (client.tokensToday ?? 0)))) of \(compact(most)) tokens")
    }
    if let jobs = client.jobsAtOnce { words.append("\(jobs) at once") }
    if let most = client.tokensPerJob { words.append("\(compact(most)) a job") }
    if let models = client.models { words.append(models.joined(separator: ",")) }
    return words.joined(separator: ", ")
  }

  /// One client over the whole screen: its limits at the left, its jobs at the right.
  mutating func drawClientDetail(_ name: String, _ model: DashboardModel, _ rect: Rect) {
    let client = model.client(name)
    let inner = frame(
      rect, number: nil, title: "client \(fitted(name, columns: 40))", isFocused: true,
      note: client.map { [(clientState($0), $0.isKnown ? ok : style(theme.warn))] } ?? [])
    let area = inner.inset(1, 0)
    guard area.width > 4, area.height > 0, let snapshot = model.snapshot else { return }
    guard let client else {
      fit("the node no longer lists it", area.x, area.y, faint, width: area.width)
      return
    }
    let currency = displaySafe(snapshot.node.currency.prefix(8))
    var lines: [(String, String)] = [
      ("jobs now", "\(client.running) running, \(client.waiting) waiting"),
      ("rate", "\(rate(client.rate)) tokens/s"),
      (
        "last seen", client.lastSeen.map { "\(age(elapsed($0, snapshot.time))) ago" } ?? "not since the start"
      ),
      ("tokens today", client.tokensToday.map(grouped) ?? "not counted of strangers"),
      ("asked", client.asked.map { "\(price($0)) \(currency) a million" } ?? "nothing: its jobs are free"),
      ("today", "\(money(client.today)) \(currency)"), ("owes", "\(money(client.owed)) \(currency)"),
      ("jobs", "\(grouped(client.jobs)) done"), ("", ""),
      ("budget", client.budget.map { "\(money($0)), \(money(client.budgetLeft ?? 0)) left" } ?? "none"),
      ("tokens a day", client.tokensPerDay.map(grouped) ?? "no limit"),
      ("tokens a job", client.tokensPerJob.map(grouped) ?? "no limit"),
      ("jobs at once", client.jobsAtOnce.map(grouped) ?? "no limit"),
      ("priority", client.priority.map { "asks for 0 to \($0)" } ?? "not told by this node"),
      ("models", client.models?.joined(separator: ", ") ?? "all"), ("", ""),
    ]
    if !model.isReadOnly, model.role == nil || model.role == .owner {
      lines += [
        (
          client.isKnown ? ":limit" : ":adopt NAME",
          client.isKnown ? "jobs=2 budget=5.00 ..." : "makes it a client"
        ),
        (":price X", "for a million completion tokens"), (":always admit", "or reject and why, as a rule"),
      ]
      if client.isKnown { lines.append((":settle X REF", "records a payment")) }
    }
    let isWide = area.width >= 76
    let half = isWide ? area.width / 2 - 2 : area.width
    for (row, line) in lines.dropFirst(min(model.detailScroll, max(0, lines.count - area.height)))
      .prefix(area.height).enumerated()
    {
      let isKey = line.0.hasPrefix(":")
      put(line.0, area.x, area.y + row, isKey ? key : label, limit: 14)
      fit(line.1, area.x + 15, area.y + row, isKey ? label : text, width: half - 15)
    }
    guard isWide else { return }
    let x = area.x + area.width / 2
    let jobs = snapshot.jobs.filter { $0.client == name }
    put("its jobs", x, area.y, key)
    if jobs.isEmpty { put("none that the node remembers", x, area.y + 1, faint) }
    for (row, job) in jobs.prefix(max(0, area.height - 1)).enumerated() {
      let (mark, style) = jobSign(job.state)
      sign(mark, x, area.y + 1 + row, style)
      let end = run(
        [
          (" \(model.short(job.id))  ", job.state.hasEnded ? faint : text),
          (job.state.rawValue, job.state.hasEnded ? faint : label),
        ],
        x + 1, area.y + 1 + row, limit: area.right)
      putRight(
        "\(grouped(job.outputTokens))/\(grouped(job.outputLimit))", area.right, area.y + 1 + row,
        job.state.hasEnded ? faint : text, width: max(0, area.right - end - 1))
    }
  }
}
