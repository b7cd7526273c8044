// Record.swift: everything that a journal can hold, as one closed enumeration, and the line that each becomes.
// No prompt, answer, token, nonce or key has a place in any of them. Leaves out receipts (Receipt.swift) and files
// (Journal.swift). Start at Record.

/// One fact of the journal.
public enum Record: Hashable, Sendable {
  case nodeStarted(NodeStarted)
  case nodeStopped(NodeStopped)
  case recovered(Recovered)
  case jobAccepted(JobAccepted)
  case jobEnded(JobEnded)
  case receipt(Receipt)
  case operatorAct(OperatorAct)
  case policyChanged(PolicyChanged)
  case clientAdded(ClientAdded)
  case clientRevoked(ClientRevoked)
  case budgetChanged(BudgetChanged)
  case clientLimits(ClientLimitsChanged)
  case clientKey(ClientKeyChanged)
  case voucher(VoucherAccepted)
  case settlement(Settlement)
  case correction(Correction)
  case transferVoided(TransferVoided)
  case energy(EnergyUsed)
  case checkpointSigned(CheckpointSigned)
  case checkpointWitnessed(CheckpointWitnessed)
  case audit(Audit)

  /// The word under `type` in a line.
  public enum Kind: String, Sendable, CaseIterable, LineChoice {
    case nodeStarted = "node_started"
    case nodeStopped = "node_stopped"
    case recovered
    case jobAccepted = "job_accepted"
    case jobEnded = "job_ended"
    case receipt
    case operatorAct = "operator_act"
    case policyChanged = "policy_changed"
    case clientAdded = "client_added"
    case clientRevoked = "client_revoked"
    case budgetChanged = "budget_changed"
    case clientLimits = "client_limits"
    case clientKey = "client_key"
    case voucher
    case settlement
    case correction
    case transferVoided = "transfer_voided"
    case energy
    case checkpointSigned = "checkpoint_signed"
    case checkpointWitnessed = "checkpoint_witnessed"
    case audit
  }

  public var kind: Kind {
    switch self {
    case .nodeStarted: .nodeStarted
    case .nodeStopped: .nodeStopped
    case .recovered: .recovered
    case .jobAccepted: .jobAccepted
    case .jobEnded: .jobEnded
    case .receipt: .receipt
    case .operatorAct: .operatorAct
    case .policyChanged: .policyChanged
    case .clientAdded: .clientAdded
    case .clientRevoked: .clientRevoked
    case .budgetChanged: .budgetChanged
    case .clientLimits: .clientLimits
    case .clientKey: .clientKey
    case .voucher: .voucher
    case .settlement: .settlement
    case .correction: .correction
    case .transferVoided: .transferVoided
    case .energy: .energy
    case .checkpointSigned: .checkpointSigned
    case .checkpointWitnessed: .checkpointWitnessed
    case .audit: .audit
    }
  }
}

/// A node began to write this journal.
public struct NodeStarted: Hashable, Sendable, LineFields {
  public var version = ""
  /// Fingerprint of the key that signs checkpoints.
  public var key = ""
  public var numerics = ""
  public var currency = ""

  init() {}
  public init(version: String, key: String, numerics: String, currency: String) {
    (self.version, self.key, self.numerics, self.currency) = (version, key, numerics, currency)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("version", &version, max: 128)
    try line.text("key", &key, max: 128)
    try line.text("numerics", &numerics, max: 64)
    try line.text("currency", &currency, max: 16)
  }
}

/// A node stopped in order.
public struct NodeStopped: Hashable, Sendable, LineFields {
  public var reason = ""

  init() {}
  public init(reason: String) { self.reason = reason }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("reason", &reason, max: 1024)
  }
}

/// An invalid tail was moved aside: bytes that were never acknowledged, as after a power cut.
public struct Recovered: Hashable, Sendable, LineFields {
  public var segment = 0
  /// Where in the segment the tail began.
  public var offset = 0
  public var bytes = 0
  /// The file, beside the segments, that keeps the bytes.
  public var file = ""
  public var sha256 = SHA256Digest.zero

  init() {}
  public init(segment: Int, offset: Int, bytes: Int, file: String, sha256: SHA256Digest) {
    (self.segment, self.offset, self.bytes, self.file, self.sha256) = (segment, offset, bytes, file, sha256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("segment", &segment)
    try line.count("offset", &offset)
    try line.count("bytes", &bytes)
    try line.text("file", &file, max: 256)
    try line.digest("sha256", &sha256)
  }
}

/// A job was admitted; until it ends by a receipt or `jobEnded`, a restart finds it open.
public struct JobAccepted: Hashable, Sendable, LineFields {
  public var job: UInt64 = 0
  public var client = ""
  public var model = ""
  public var promptTokens = 0
  public var maxTokens = 0
  /// Worst-case price, micro-units.
  public var reserved: Int64 = 0
  /// Its request lies in the spool: after a crash it runs again. Otherwise it is interrupted.
  public var isSpooled = false

  init() {}
  public init(
    job: UInt64, client: String, model: String, promptTokens: Int, maxTokens: Int, reserved: Int64,
    isSpooled: Bool
  ) {
    (self.job, self.client, self.model) = (job, client, model)
    (self.promptTokens, self.maxTokens) = (promptTokens, maxTokens)
    (self.reserved, self.isSpooled) = (reserved, isSpooled)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.text("model", &model, max: 512)
    try line.count("prompt_tokens", &promptTokens, max: Int(UInt32.max))
    try line.count("max_tokens", &maxTokens, max: Int(UInt32.max))
    try line.amount("reserved", &reserved)
    try line.flag("spooled", &isSpooled)
  }
}

/// A job ended without a receipt.
public struct JobEnded: Hashable, Sendable, LineFields {
  public enum Outcome: String, Sendable, CaseIterable, LineChoice {
    case rejected, cancelled, expired, failed, interrupted
  }
  public var job: UInt64 = 0
  public var client = ""
  public var outcome = Outcome.interrupted
  public var reason = ""

  init() {}
  public init(job: UInt64, client: String, outcome: Outcome, reason: String) {
    (self.job, self.client, self.outcome, self.reason) = (job, client, outcome, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.choice("outcome", &outcome)
    try line.text("reason", &reason, max: 1024)
  }
}

/// Something an operator did.
public struct OperatorAct: Hashable, Sendable, LineFields {
  public enum Act: String, Sendable, CaseIterable, LineChoice {
    case approve, reject, hold, release, priority, move, cancel, pause, resume, drain, undrain, shutdown
    case reveal, verify, pull, load, repair
  }
  public var act = Act.approve
  /// Who: a local user's name, or where the control connection came from.
  public var who = ""
  /// A job's id, a receipt's id or a name; empty when the act concerns the whole node.
  public var target = ""
  public var reason = ""

  init() {}
  public init(act: Act, who: String, target: String, reason: String) {
    (self.act, self.who, self.target, self.reason) = (act, who, target, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.choice("act", &act)
    try line.text("who", &who, max: 256)
    try line.text("target", &target, max: 512)
    try line.text("reason", &reason, max: 1024)
  }
}

/// The rules for admission or prices changed.
public struct PolicyChanged: Hashable, Sendable, LineFields {
  public var who = ""
  /// Of the bytes of the policy that holds from now on.
  public var sha256 = SHA256Digest.zero
  public var summary = ""

  init() {}
  public init(who: String, sha256: SHA256Digest, summary: String) {
    (self.who, self.sha256, self.summary) = (who, sha256, summary)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("who", &who, max: 256)
    try line.digest("sha256", &sha256)
    try line.text("summary", &summary, max: 4096)
  }
}

/// A client may ask from now on.
public struct ClientAdded: Hashable, Sendable, LineFields {
  public var client = ""
  /// SHA-256 of its bearer token, which is random; the token itself is nowhere.
  public var tokenSHA256 = SHA256Digest.zero

  init() {}
  public init(client: String, tokenSHA256: SHA256Digest) {
    (self.client, self.tokenSHA256) = (client, tokenSHA256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.digest("token_sha256", &tokenSHA256)
  }
}

/// A client may not ask any longer.
public struct ClientRevoked: Hashable, Sendable, LineFields {
  public var client = ""
  public var reason = ""

  init() {}
  public init(client: String, reason: String) { (self.client, self.reason) = (client, reason) }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("reason", &reason, max: 1024)
  }
}

/// How much a client may owe or spend.
public struct BudgetChanged: Hashable, Sendable, LineFields {
  public enum Period: String, Sendable, CaseIterable, LineChoice { case day, month, total, none }
  public var client = ""
  /// Micro-units.
  public var limit: Int64 = 0
  /// `none` lifts the budget.
  public var period = Period.none

  init() {}
  public init(client: String, limit: Int64, period: Period) {
    (self.client, self.limit, self.period) = (client, limit, period)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("limit", &limit)
    try line.choice("period", &period)
  }
}

/// All limits of a client, in place of those that were. `BudgetChanged` is its older form, for the budget alone.
public struct ClientLimitsChanged: Hashable, Sendable, LineFields {
  public var client = ""
  /// Names with a newline between two; empty allows every model.
  public var models = ""
  /// 0 is no limit, in all three.
  public var tokensPerJob = 0
  public var jobs = 0
  public var tokensPerDay = 0
  /// Whether there is a budget; `budget` is 0 where there is none.
  public var hasBudget = false
  /// Micro-units.
  public var budget: Int64 = 0

  init() {}
  public init(
    client: String, models: [String], tokensPerJob: Int, jobs: Int, tokensPerDay: Int, budget: Int64?
  ) {
    self.client = client
    self.models = models.joined(separator: "\n")
    (self.tokensPerJob, self.jobs, self.tokensPerDay) = (tokensPerJob, jobs, tokensPerDay)
    (self.hasBudget, self.budget) = (budget != nil, budget ?? 0)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("models", &models, max: 8192)
    try line.count("tokens_per_job", &tokensPerJob)
    try line.count("jobs", &jobs)
    try line.count("tokens_per_day", &tokensPerDay)
    try line.flag("has_budget", &hasBudget)
    try line.amount("budget", &budget)
  }
}

/// The SSH key that a client signs its vouchers with.
public struct ClientKeyChanged: Hashable, Sendable, LineFields {
  public var client = ""
  /// `type base64`, as in a `.pub` file, without its comment; empty takes the key away.
  public var key = ""

  init() {}
  public init(client: String, key: String) { (self.client, self.key) = (client, key) }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("key", &key, max: 8192)
  }
}

/// A client's signed promise to pay, as it came: with the key it is proof of debt.
public struct VoucherAccepted: Hashable, Sendable, LineFields {
  public var client = ""
  /// The text that was signed.
  public var text = ""
  /// The detached signature, armored.
  public var signature = ""
  /// The key it holds for, `type base64`.
  public var key = ""

  init() {}
  public init(client: String, text: String, signature: String, key: String) {
    (self.client, self.text, self.signature, self.key) = (client, text, signature, key)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.text("text", &text, max: 1024)
    try line.text("signature", &signature, max: 16_384)
    try line.text("key", &key, max: 8192)
  }
}

/// A client paid.
public struct Settlement: Hashable, Sendable, LineFields {
  public var client = ""
  /// Micro-units.
  public var amount: Int64 = 0
  public var currency = ""
  /// The payment's own reference.
  public var reference = ""
  /// Days since 1970-01-01 in the node's time zone.
  public var day: Int32 = 0

  init() {}
  public init(client: String, amount: Int64, currency: String, reference: String, day: Int32) {
    (self.client, self.amount, self.currency) = (client, amount, currency)
    (self.reference, self.day) = (reference, day)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("currency", &currency, max: 16)
    try line.text("reference", &reference, max: 512)
    try line.day("day", &day)
  }
}

/// What a client owes was corrected; negative gives back.
public struct Correction: Hashable, Sendable, LineFields {
  public var client = ""
  /// Micro-units.
  public var amount: Int64 = 0
  public var reason = ""
  /// Days since 1970-01-01 in the node's time zone.
  public var day: Int32 = 0

  init() {}
  public init(client: String, amount: Int64, reason: String, day: Int32) {
    (self.client, self.amount, self.reason, self.day) = (client, amount, reason, day)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("reason", &reason, max: 1024)
    try line.day("day", &day)
  }
}

/// A reservation was given back.
public struct TransferVoided: Hashable, Sendable, LineFields {
  public var job: UInt64 = 0
  public var client = ""
  /// Micro-units.
  public var amount: Int64 = 0
  public var reason = ""

  init() {}
  public init(job: UInt64, client: String, amount: Int64, reason: String) {
    (self.job, self.client, self.amount, self.reason) = (job, client, amount, reason)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.id("job", &job)
    try line.text("client", &client, max: 256)
    try line.amount("amount", &amount)
    try line.text("reason", &reason, max: 1024)
  }
}

/// Electricity that the machine used in an hour of a day, or in a part of it: where a node stops, its hour ends.
public struct EnergyUsed: Hashable, Sendable, LineFields {
  /// Days since 1970-01-01 in the node's time zone.
  public var day: Int32 = 0
  /// Of that day, 0 to 23.
  public var hour = 0
  public var millijoules = 0
  /// Whether a price of electricity was known; `cost` is 0 where not.
  public var isPriced = false
  /// Micro-units, by the tariff that held in that hour.
  public var cost: Int64 = 0

  init() {}
  public init(day: Int32, hour: Int, millijoules: Int, cost: Int64?) {
    (self.day, self.hour, self.millijoules) = (day, hour, millijoules)
    (isPriced, self.cost) = (cost != nil, cost ?? 0)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.day("day", &day)
    try line.count("hour", &hour, max: 23)
    try line.count("millijoules", &millijoules)
    try line.flag("priced", &isPriced)
    try line.amount("cost", &cost)
  }
}

/// The node's key signed a checkpoint over the first `size` receipts.
public struct CheckpointSigned: Hashable, Sendable, LineFields {
  public var size = 0
  public var root = SHA256Digest.zero
  /// Of the checkpoint's text.
  public var sha256 = SHA256Digest.zero

  init() {}
  public init(size: Int, root: SHA256Digest, sha256: SHA256Digest) {
    (self.size, self.root, self.sha256) = (size, root, sha256)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("size", &size)
    try line.digest("root", &root)
    try line.digest("sha256", &sha256)
  }
}

/// Someone else's key cosigned a checkpoint over the first `size` receipts.
public struct CheckpointWitnessed: Hashable, Sendable, LineFields {
  public var size = 0
  public var root = SHA256Digest.zero
  /// Fingerprint of the witness' key.
  public var witness = ""

  init() {}
  public init(size: Int, root: SHA256Digest, witness: String) {
    (self.size, self.root, self.witness) = (size, root, witness)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("size", &size)
    try line.digest("root", &root)
    try line.text("witness", &witness, max: 128)
  }
}

/// An own receipt was re-executed.
public struct Audit: Hashable, Sendable, LineFields {
  public enum Outcome: String, Sendable, CaseIterable, LineChoice {
    case identical
    /// What differs first; `position` says where for window (its first token) and token.
    case model, numerics, window, token, finish, counts
  }
  /// The receipt's number in the log.
  public var receipt = 0
  public var outcome = Outcome.identical
  public var position = 0

  init() {}
  public init(receipt: Int, outcome: Outcome, position: Int = 0) {
    (self.receipt, self.outcome, self.position) = (receipt, outcome, position)
  }

  mutating func visit(_ line: inout some LineCoder) throws(LineError) {
    try line.count("receipt", &receipt)
    try line.choice("outcome", &outcome)
    try line.count("position", &position)
  }
}

// MARK: - Lines

/// Where a line stands in the journal.
public struct Envelope: Hashable, Sendable {
  /// Number of the line, from 0.
  public var seq: Int = 0
  /// Microseconds since 1970-01-01 00:00 UTC.
  public var time: Int64 = 0
  /// `seq` of the first line of the group that was synced together. A power cut can damage only the last group, and
  /// nothing of that was acknowledged; damage before it is something else, and stops the node.
  public var group: Int = 0
  /// SHA-256 of the previous line with its newline.
  public var previous = SHA256Digest.zero

  public init(seq: Int = 0, time: Int64 = 0, group: Int = 0, previous: SHA256Digest = .zero) {
    (self.seq, self.time, self.group, self.previous) = (seq, time, group, previous)
  }
}

/// A record with its place.
public struct Entry: Hashable, Sendable {
  public var envelope: Envelope
  public var record: Record

  public init(envelope: Envelope, record: Record) {
    self.envelope = envelope
    self.record = record
  }

  /// The line, newline included. Refuses what a line cannot hold.
  public func line() throws(LineError) -> [UInt8] { try sealedLine().bytes }

  /// The line and its SHA-256.
  func sealedLine() throws(LineError) -> (bytes: [UInt8], digest: SHA256Digest) {
    var writer = LineWriter()
    var e = envelope
    try writer.count("seq", &e.seq)
    try writer.time("t", &e.time)
    var kind = record.kind
    try writer.choice("type", &kind)
    try writer.count("group", &e.group)
    switch record {
    case .nodeStarted(var p): try p.visit(&writer)
    case .nodeStopped(var p): try p.visit(&writer)
    case .recovered(var p): try p.visit(&writer)
    case .jobAccepted(var p): try p.visit(&writer)
    case .jobEnded(var p): try p.visit(&writer)
    case .receipt(var p): try p.visit(&writer)
    case .operatorAct(var p): try p.visit(&writer)
    case .policyChanged(var p): try p.visit(&writer)
    case .clientAdded(var p): try p.visit(&writer)
    case .clientRevoked(var p): try p.visit(&writer)
    case .budgetChanged(var p): try p.visit(&writer)
    case .clientLimits(var p): try p.visit(&writer)
    case .clientKey(var p): try p.visit(&writer)
    case .voucher(var p): try p.visit(&writer)
    case .settlement(var p): try p.visit(&writer)
    case .correction(var p): try p.visit(&writer)
    case .transferVoided(var p): try p.visit(&writer)
    case .energy(var p): try p.visit(&writer)
    case .checkpointSigned(var p): try p.visit(&writer)
    case .checkpointWitnessed(var p): try p.visit(&writer)
    case .audit(var p): try p.visit(&writer)
    }
    try writer.digest("prev", &e.previous)
    let digest = writer.seal()
    guard writer.bytes.count <= maximumLineBytes else {
      throw LineError(
        offset: writer.bytes.count,
        wanted: "a line of at most \(maximumLineBytes) bytes, not \(writer.bytes.count)")
    }
    return (writer.bytes, digest)
  }

  /// Parses one line, newline included; checks every spelling and `h`.
  public init(parsing line: UnsafeRawBufferPointer) throws(LineError) {
    self = try Entry.parse(line).entry
  }

  /// Parses one line; gives its SHA-256 too, which the check of `h` computes anyway.
  static func parse(_ line: UnsafeRawBufferPointer) throws(LineError) -> (entry: Entry, digest: SHA256Digest)
  {
    var text = ""
    return try parse(line, remembering: &text)
  }

  /// - text: a text of an earlier line that may come again; on return one that may come in the next line
  static func parse(_ line: UnsafeRawBufferPointer, remembering text: inout String) throws(LineError) -> (
    entry: Entry, digest: SHA256Digest
  ) {
    guard line.count <= maximumLineBytes else {
      throw LineError(offset: maximumLineBytes, wanted: "a line of at most \(maximumLineBytes) bytes")
    }
    var scanner = LineScanner(line, remembered: text)
    var e = Envelope()
    try scanner.count("seq", &e.seq)
    try scanner.time("t", &e.time)
    var kind = Record.Kind.receipt
    try scanner.choice("type", &kind)
    try scanner.count("group", &e.group)
    let record: Record
    switch kind {
    case .nodeStarted: record = .nodeStarted(try scanner.payload())
    case .nodeStopped: record = .nodeStopped(try scanner.payload())
    case .recovered: record = .recovered(try scanner.payload())
    case .jobAccepted: record = .jobAccepted(try scanner.payload())
    case .jobEnded: record = .jobEnded(try scanner.payload())
    case .receipt: record = .receipt(try scanner.payload())
    case .operatorAct: record = .operatorAct(try scanner.payload())
    case .policyChanged: record = .policyChanged(try scanner.payload())
    case .clientAdded: record = .clientAdded(try scanner.payload())
    case .clientRevoked: record = .clientRevoked(try scanner.payload())
    case .budgetChanged: record = .budgetChanged(try scanner.payload())
    case .clientLimits: record = .clientLimits(try scanner.payload())
    case .clientKey: record = .clientKey(try scanner.payload())
    case .voucher: record = .voucher(try scanner.payload())
    case .settlement: record = .settlement(try scanner.payload())
    case .correction: record = .correction(try scanner.payload())
    case .transferVoided: record = .transferVoided(try scanner.payload())
    case .energy: record = .energy(try scanner.payload())
    case .checkpointSigned: record = .checkpointSigned(try scanner.payload())
    case .checkpointWitnessed: record = .checkpointWitnessed(try scanner.payload())
    case .audit: record = .audit(try scanner.payload())
    }
    try scanner.digest("prev", &e.previous)
    let digest = try scanner.seal()
    text = scanner.remembered
    return (Entry(envelope: e, record: record), digest)
  }

  public init(parsing line: [UInt8]) throws(LineError) {
    // The closure form would lose the typed error.
    let result: Result<Entry, LineError> = line.withUnsafeBytes { raw in
      do throws(LineError) { return .success(try Entry(parsing: raw)) } catch { return .failure(error) }
    }
    self = try result.get()
  }
}

extension LineScanner {
  mutating func payload<P: LineFields>() throws(LineError) -> P {
    var payload = P()
    try payload.visit(&self)
    return payload
  }
}
