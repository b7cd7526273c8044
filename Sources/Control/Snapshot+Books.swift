// Snapshot+Books.swift: receipts and earnings. Start at ReceiptsSnapshot.
import Telemetry

/// States of a receipt as an operator sees them; never one that was not checked.
public enum ReceiptState: String, Codable, Sendable, Equatable, CaseIterable {
  case logged, signed, witnessed
}

public enum AuditState: Codable, Sendable, Equatable {
  case unaudited
  case running
  /// Re-executed here: identical.
  case audited
  /// Re-executed here: where it first differs.
  case failed(String)
  /// It was to be re-executed and could not be: why. Says nothing about the receipt.
  case notRun(String)
}

public struct ReceiptRow: Codable, Sendable, Equatable, Identifiable {
  public let id: String
  /// Place in the log, from 0.
  public let index: UInt64
  public let job: String
  public let client: String
  public let model: String
  public let time: Microseconds
  public let promptTokens: Int
  public let outputTokens: Int
  public let amount: MicroUnits?
  public let state: ReceiptState
  public let audit: AuditState

  public init(
    id: String, index: UInt64, job: String, client: String, model: String, time: Microseconds,
    promptTokens: Int, outputTokens: Int, amount: MicroUnits?, state: ReceiptState, audit: AuditState
  ) {
    self.id = id
    self.index = index
    self.job = job
    self.client = client
    self.model = model
    self.time = time
    self.promptTokens = promptTokens
    self.outputTokens = outputTokens
    self.amount = amount
    self.state = state
    self.audit = audit
  }
}

public struct ReceiptsSnapshot: Codable, Sendable, Equatable {
  /// Receipts in the log; unavailable says why there is no log.
  public let logged: Reading<Int>
  public let signed: Int
  public let witnessed: Int
  public let audited: Int
  public let failed: Int
  /// Receipts whose audit failed to run.
  public let auditsNotRun: Int
  /// Time of the last signed checkpoint.
  public let lastCheckpoint: Reading<Microseconds>
  /// Receipts a minute over the last five minutes.
  public let perMinute: Reading<Double>
  /// Fingerprint of the node's key, for example `SHA256:…`.
  public let keyFingerprint: Reading<String>
  /// The newest, newest first; at most 100.
  public let recent: [ReceiptRow]

  public init(
    logged: Reading<Int>, signed: Int, witnessed: Int, audited: Int, failed: Int, auditsNotRun: Int = 0,
    lastCheckpoint: Reading<Microseconds>, perMinute: Reading<Double>, keyFingerprint: Reading<String>,
    recent: [ReceiptRow]
  ) {
    self.logged = logged
    self.signed = signed
    self.witnessed = witnessed
    self.audited = audited
    self.failed = failed
    self.auditsNotRun = auditsNotRun
    self.lastCheckpoint = lastCheckpoint
    self.perMinute = perMinute
    self.keyFingerprint = keyFingerprint
    self.recent = recent
  }
}

public struct EarningsSnapshot: Codable, Sendable, Equatable {
  /// Posted today (local day); unavailable says why nothing is accounted.
  public let today: Reading<MicroUnits>
  /// Today less the electricity used.
  public let todayNet: Reading<MicroUnits>
  /// Rate over the last hour.
  public let perHour: Reading<MicroUnits>
  /// Projection of the day at that rate; a projection, not earnings.
  public let projectedDay: Reading<MicroUnits>
  /// Posted a day, oldest first, today last; 30 entries when known.
  public let days: [MicroUnits]
  /// Posted and not yet settled, over all clients.
  public let unsettled: Reading<MicroUnits>
  public let verified: Reading<MicroUnits>
  public let settled: Reading<MicroUnits>
  /// Energy used by the node today, in joules.
  public let energyToday: Reading<Double>
  public let clients: [ClientEarnings]
  /// Electricity of today.
  public let costToday: Reading<MicroUnits>
  /// Electricity of each of `days`; nil where no power was read or no price was known.
  public let costs: [MicroUnits?]
  /// `perHour` less an hour's electricity at the power and price of now.
  public let netPerHour: Reading<MicroUnits>
  /// Today's net for a million tokens, prompts and answers together.
  public let netPerMillion: Reading<MicroUnits>

  public init(
    today: Reading<MicroUnits>, todayNet: Reading<MicroUnits>, perHour: Reading<MicroUnits>,
    projectedDay: Reading<MicroUnits>, days: [MicroUnits], unsettled: Reading<MicroUnits>,
    verified: Reading<MicroUnits>, settled: Reading<MicroUnits>, energyToday: Reading<Double>,
    clients: [ClientEarnings], costToday: Reading<MicroUnits> = .warmingUp, costs: [MicroUnits?] = [],
    netPerHour: Reading<MicroUnits> = .warmingUp, netPerMillion: Reading<MicroUnits> = .warmingUp
  ) {
    self.today = today
    self.todayNet = todayNet
    self.perHour = perHour
    self.projectedDay = projectedDay
    self.days = days
    self.unsettled = unsettled
    self.verified = verified
    self.settled = settled
    self.energyToday = energyToday
    self.clients = clients
    self.costToday = costToday
    self.costs = costs
    self.netPerHour = netPerHour
    self.netPerMillion = netPerMillion
  }
}

public struct ClientEarnings: Codable, Sendable, Equatable {
  public let client: String
  public let today: MicroUnits
  public let total: MicroUnits
  public let unsettled: MicroUnits
  public let jobs: Int
  public let tokens: Int

  public init(
    client: String, today: MicroUnits, total: MicroUnits, unsettled: MicroUnits, jobs: Int, tokens: Int
  ) {
    self.client = client
    self.today = today
    self.total = total
    self.unsettled = unsettled
    self.jobs = jobs
    self.tokens = tokens
  }
}

/// All about one receipt: names and values in display order, hashes in hex.
public struct ReceiptDetail: Codable, Sendable, Equatable {
  public let row: ReceiptRow
  public let fields: [[String]]
  public let line: String

  public init(row: ReceiptRow, fields: [[String]], line: String) {
    self.row = row
    self.fields = fields
    self.line = line
  }
}
