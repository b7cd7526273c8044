// Snapshot+Books.swift: receipts and earnings. Start at ReceiptsSnapshot.
import Telemetry

/// States of a receipt as an operator sees them; never shows more than was checked.
package enum ReceiptState: String, Codable, Sendable, Equatable, CaseIterable {
  case logged, signed, witnessed
}

package enum AuditState: Codable, Sendable, Equatable {
  case unaudited
  case running
  /// Re-executed here: identical.
  case audited
  /// Re-executed here: where it first differs.
  case failed(String)
  /// It should have been re-executed but could not be, and why. Says nothing about the receipt.
  case notRun(String)
}

package struct ReceiptRow: Codable, Sendable, Equatable, Identifiable {
  package let id: String
  /// Position in the log, from 0.
  package let index: UInt64
  package let job: String
  package let client: String
  package let model: String
  package let time: Microseconds
  package let promptTokens: Int
  package let outputTokens: Int
  package let amount: MicroUnits?
  package let state: ReceiptState
  package let audit: AuditState

  package init(
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

package struct ReceiptsSnapshot: Codable, Sendable, Equatable {
  /// Receipts in the log; unavailable says why there is no log.
  package let logged: Reading<Int>
  package let signed: Int
  package let witnessed: Int
  package let audited: Int
  package let failed: Int
  /// Receipts whose audit failed to run.
  package let auditsNotRun: Int
  /// Time of the last signed checkpoint.
  package let lastCheckpoint: Reading<Microseconds>
  /// Receipts per minute over the last five minutes.
  package let perMinute: Reading<Double>
  /// Fingerprint of the node's key, for example `SHA256:…`.
  package let keyFingerprint: Reading<String>
  /// The newest, newest first; at most 100.
  package let recent: [ReceiptRow]

  package init(
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

package struct EarningsSnapshot: Codable, Sendable, Equatable {
  /// Posted today (local day); unavailable says why nothing is accounted.
  package let today: Reading<MicroUnits>
  /// Today less the electricity used.
  package let todayNet: Reading<MicroUnits>
  /// Rate over the last hour.
  package let perHour: Reading<MicroUnits>
  /// Projection of the day at that rate; a projection, not earnings.
  package let projectedDay: Reading<MicroUnits>
  /// Posted per day, oldest first, today last; 30 entries when known.
  package let days: [MicroUnits]
  /// Posted and not yet settled, over all clients.
  package let unsettled: Reading<MicroUnits>
  package let verified: Reading<MicroUnits>
  package let settled: Reading<MicroUnits>
  /// Energy used by the node today, in joules.
  package let energyToday: Reading<Double>
  package let clients: [ClientEarnings]
  /// Cost of today's electricity.
  package let costToday: Reading<MicroUnits>
  /// Cost of electricity for each of `days`; nil if no power was measured or no price was known.
  package let costs: [MicroUnits?]
  /// `perHour` less an hour's electricity at the current power and price.
  package let netPerHour: Reading<MicroUnits>
  /// Today's net per million tokens, prompts and answers together.
  package let netPerMillion: Reading<MicroUnits>

  package init(
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

package struct ClientEarnings: Codable, Sendable, Equatable {
  package let client: String
  package let today: MicroUnits
  package let total: MicroUnits
  package let unsettled: MicroUnits
  package let jobs: Int
  package let tokens: Int

  package init(
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
package struct ReceiptDetail: Codable, Sendable, Equatable {
  package let row: ReceiptRow
  package let fields: [[String]]
  package let line: String

  package init(row: ReceiptRow, fields: [[String]], line: String) {
    self.row = row
    self.fields = fields
    self.line = line
  }
}
