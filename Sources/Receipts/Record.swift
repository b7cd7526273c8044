// Record.swift: everything that a journal can hold, as one closed enumeration, and the line that each becomes.
// No prompt, answer, token, nonce or key has a place in any of them. Leaves out what each kind holds (Record+Life.swift,
// Record+Clients.swift, Record+Books.swift, Record+Log.swift, Receipt.swift) and files (Journal.swift). Start at Record.

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
    var receipt = Receipt()
    return try parse(line, reusing: &receipt)
  }

  /// - receipt: of an earlier line; what is the same in this one needs no memory of its own
  static func parse(
    _ line: UnsafeRawBufferPointer, reusing receipt: inout Receipt
  ) throws(LineError) -> (entry: Entry, digest: SHA256Digest) {
    var envelope = Envelope()
    var other: Record?
    let seal = try parseUnchecked(line, &envelope, &receipt, &other)
    return (Entry(envelope: envelope, record: other ?? .receipt(receipt)), try seal.check(line))
  }

  /// The same in place, and without the check of `h`.
  /// - other: the record, where it is no receipt; nil for one that is, which `receipt` becomes then
  static func parseUnchecked(
    _ line: UnsafeRawBufferPointer, _ e: inout Envelope, _ receipt: inout Receipt, _ other: inout Record?
  ) throws(LineError) -> Seal {
    guard line.count <= maximumLineBytes else {
      throw LineError(offset: maximumLineBytes, wanted: "a line of at most \(maximumLineBytes) bytes")
    }
    var scanner = LineScanner(line)
    try scanner.count("seq", &e.seq)
    try scanner.time("t", &e.time)
    var kind = Record.Kind.receipt
    try scanner.choice("type", &kind)
    try scanner.count("group", &e.group)
    switch kind {
    case .nodeStarted: other = .nodeStarted(try scanner.payload())
    case .nodeStopped: other = .nodeStopped(try scanner.payload())
    case .recovered: other = .recovered(try scanner.payload())
    case .jobAccepted: other = .jobAccepted(try scanner.payload())
    case .jobEnded: other = .jobEnded(try scanner.payload())
    case .receipt:
      try receipt.visit(&scanner)
      other = nil
    case .operatorAct: other = .operatorAct(try scanner.payload())
    case .policyChanged: other = .policyChanged(try scanner.payload())
    case .clientAdded: other = .clientAdded(try scanner.payload())
    case .clientRevoked: other = .clientRevoked(try scanner.payload())
    case .budgetChanged: other = .budgetChanged(try scanner.payload())
    case .clientLimits: other = .clientLimits(try scanner.payload())
    case .clientKey: other = .clientKey(try scanner.payload())
    case .voucher: other = .voucher(try scanner.payload())
    case .settlement: other = .settlement(try scanner.payload())
    case .correction: other = .correction(try scanner.payload())
    case .transferVoided: other = .transferVoided(try scanner.payload())
    case .energy: other = .energy(try scanner.payload())
    case .checkpointSigned: other = .checkpointSigned(try scanner.payload())
    case .checkpointWitnessed: other = .checkpointWitnessed(try scanner.payload())
    case .audit: other = .audit(try scanner.payload())
    }
    try scanner.digest("prev", &e.previous)
    return try scanner.seal()
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
