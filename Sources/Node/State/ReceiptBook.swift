// ReceiptBook.swift: what screens show of receipts: the newest rows and the counts. Start at add.
import Control

struct ReceiptBook: Sendable {
  private(set) var logged = 0
  private(set) var signed = 0
  private(set) var witnessed = 0
  private(set) var audited = 0
  private(set) var failed = 0
  private(set) var auditsNotRun = 0
  /// The earlier state of receipts that are being re-executed, restored if that cannot be done.
  private var before: [String: AuditState] = [:]
  private(set) var lastCheckpoint: Microseconds?
  var keyFingerprint: String?
  /// Why there is no log; nil while there is one.
  var unavailable: String?
  /// Oldest first.
  private var rows: [ReceiptRow] = []
  private var rate: RateMeter?
  static let rememberedRows = 100

  /// Receipts of earlier runs.
  mutating func open(
    logged: Int, signed: Int, witnessed: Int, audited: Int, failed: Int, auditsNotRun: Int,
    lastCheckpoint: Microseconds?, recent: [ReceiptRow]
  ) {
    self.logged = logged
    self.signed = signed
    self.witnessed = witnessed
    self.audited = audited
    self.failed = failed
    self.auditsNotRun = auditsNotRun
    self.lastCheckpoint = lastCheckpoint
    rows = recent
  }

  mutating func add(_ row: ReceiptRow, at now: Microseconds) {
    logged = max(logged, Int(clamping: row.index) + 1)
    rows.append(row)
    if rows.count > 2 * Self.rememberedRows { rows.removeFirst(rows.count - Self.rememberedRows) }
    var meter = rate ?? RateMeter(window: 300_000_000, slots: 30, now: now)
    meter.add(1, at: now)
    rate = meter
  }

  mutating func sign(below size: UInt64, at time: Microseconds) {
    signed = max(signed, Int(clamping: size))
    lastCheckpoint = time
    update { $0.index < size && $0.state == .logged ? .signed : nil }
  }

  mutating func witness(below size: UInt64) {
    witnessed = max(witnessed, Int(clamping: size))
    update { $0.index < size ? .witnessed : nil }
  }

  private mutating func update(_ change: (ReceiptRow) -> ReceiptState?) {
    for index in rows.indices {
      if let state = change(rows[index]) {
        rows[index] = rows[index].with(state: state, audit: rows[index].audit)
      }
    }
  }

  /// The audit of a receipt begins or has a result. Receipts are counted, not audits: a receipt
  /// that is audited again counts once, by its newest result. An audit that could not run does not
  /// replace an earlier result.
  mutating func audit(_ id: String, _ result: AuditState) {
    let index = rows.lastIndex { $0.id == id }
    let shown = index.map { rows[$0].audit } ?? .unaudited
    let known = before[id] ?? shown
    var result = result
    switch (result, known) {
    case (.running, .running): break
    case (.running, _): before[id] = known
    case (.notRun, .audited), (.notRun, .failed), (.unaudited, _):
      result = known
      before[id] = nil
    case (.audited, _), (.failed, _), (.notRun, _):
      count(known, -1)
      count(result, 1)
      before[id] = nil
    }
    guard let index else { return }
    rows[index] = rows[index].with(state: rows[index].state, audit: result)
  }

  private mutating func count(_ audit: AuditState, _ sign: Int) {
    switch audit {
    case .audited: audited += sign
    case .failed: failed += sign
    case .notRun: auditsNotRun += sign
    case .unaudited, .running: break
    }
  }

  /// Finds a row by its id, or by a unique prefix of one.
  func row(_ id: String) -> ReceiptRow? { rows.last { $0.id == id } }

  mutating func snapshot(at now: Microseconds) -> ReceiptsSnapshot {
    let perMinute = rate?.rate(at: now).map { $0 * 60 } ?? .warmingUp
    return ReceiptsSnapshot(
      logged: unavailable.map { .unavailable($0) } ?? .value(logged), signed: signed, witnessed: witnessed,
      audited: audited, failed: failed, auditsNotRun: auditsNotRun,
      lastCheckpoint: lastCheckpoint.map { .value($0) }
        ?? (unavailable.map { .unavailable($0) } ?? .warmingUp),
      perMinute: perMinute,
      keyFingerprint: keyFingerprint.map { .value($0) }
        ?? .unavailable(unavailable ?? "the node has no key yet"),
      recent: Array(rows.suffix(Self.rememberedRows).reversed()))
  }
}

extension ReceiptRow {
  fileprivate func with(state: ReceiptState, audit: AuditState) -> ReceiptRow {
    ReceiptRow(
      id: id, index: index, job: job, client: client, model: model, time: time, promptTokens: promptTokens,
      outputTokens: outputTokens, amount: amount, state: state, audit: audit)
  }
}
