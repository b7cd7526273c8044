// Record.swift: everything that a journal can hold, as one closed enumeration, and the line of each
// kind of record.
// None of them has a field for a prompt, answer, token, nonce or key. A new record is a struct in
// one of the files below, and here a case, its payload and its row. The kinds are in
// Record+Life.swift, Record+Clients.swift, Record+Books.swift, Record+Log.swift and Receipt.swift,
// the files in Journal.swift. Start at Record.

/// One fact of the journal.
package enum Record: Hashable, Sendable {
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
  case clientPriority(ClientPriorityChanged)
  case clientKey(ClientKeyChanged)
  case voucher(VoucherAccepted)
  case settlement(Settlement)
  case deposit(Deposit)
  case correction(Correction)
  case transferVoided(TransferVoided)
  case energy(EnergyUsed)
  case checkpointSigned(CheckpointSigned)
  case checkpointWitnessed(CheckpointWitnessed)
  case audit(Audit)

  /// What it holds.
  var payload: any JournalRecord {
    switch self {
    case .nodeStarted(let payload): payload
    case .nodeStopped(let payload): payload
    case .recovered(let payload): payload
    case .jobAccepted(let payload): payload
    case .jobEnded(let payload): payload
    case .receipt(let payload): payload
    case .operatorAct(let payload): payload
    case .policyChanged(let payload): payload
    case .clientAdded(let payload): payload
    case .clientRevoked(let payload): payload
    case .budgetChanged(let payload): payload
    case .clientLimits(let payload): payload
    case .clientPriority(let payload): payload
    case .clientKey(let payload): payload
    case .voucher(let payload): payload
    case .settlement(let payload): payload
    case .deposit(let payload): payload
    case .correction(let payload): payload
    case .transferVoided(let payload): payload
    case .energy(let payload): payload
    case .checkpointSigned(let payload): payload
    case .checkpointWitnessed(let payload): payload
    case .audit(let payload): payload
    }
  }

  package var kind: Kind {
    if case .receipt = self { return .receipt }
    return Kind(type(of: payload))
  }

  /// A type of record, named by the word under `type` in its line.
  package struct Kind: LineChoice, Hashable {
    package let rawValue: String
    let keeping: Keeping

    fileprivate init(_ type: any JournalRecord.Type) { (rawValue, keeping) = (type.word, type.keeping) }

    package init?(rawValue: String) {
      guard let row = table.first(where: { $0.kind.rawValue == rawValue }) else { return nil }
      self = row.kind
    }

    static let receipt = Kind(Receipt.self)
    package static let allCases = table.map(\.kind)
  }
}

/// How a record is read.
private struct RecordRow: Sendable {
  let kind: Record.Kind
  let scan: @Sendable (inout LineScanner) throws(LineError) -> Record

  init<P: JournalRecord>(_ type: P.Type, _ record: @escaping @Sendable (P) -> Record) {
    kind = Record.Kind(type)
    scan = { (scanner) throws(LineError) in record(try scanner.payload()) }
  }
}

private let table: [RecordRow] = [
  RecordRow(NodeStarted.self) { .nodeStarted($0) },
  RecordRow(NodeStopped.self) { .nodeStopped($0) },
  RecordRow(Recovered.self) { .recovered($0) },
  RecordRow(JobAccepted.self) { .jobAccepted($0) },
  RecordRow(JobEnded.self) { .jobEnded($0) },
  RecordRow(Receipt.self) { .receipt($0) },
  RecordRow(OperatorAct.self) { .operatorAct($0) },
  RecordRow(PolicyChanged.self) { .policyChanged($0) },
  RecordRow(ClientAdded.self) { .clientAdded($0) },
  RecordRow(ClientRevoked.self) { .clientRevoked($0) },
  RecordRow(BudgetChanged.self) { .budgetChanged($0) },
  RecordRow(ClientLimitsChanged.self) { .clientLimits($0) },
  RecordRow(ClientPriorityChanged.self) { .clientPriority($0) },
  RecordRow(ClientKeyChanged.self) { .clientKey($0) },
  RecordRow(VoucherAccepted.self) { .voucher($0) },
  RecordRow(Settlement.self) { .settlement($0) },
  RecordRow(Deposit.self) { .deposit($0) },
  RecordRow(Correction.self) { .correction($0) },
  RecordRow(TransferVoided.self) { .transferVoided($0) },
  RecordRow(EnergyUsed.self) { .energy($0) },
  RecordRow(CheckpointSigned.self) { .checkpointSigned($0) },
  RecordRow(CheckpointWitnessed.self) { .checkpointWitnessed($0) },
  RecordRow(Audit.self) { .audit($0) },
]

/// What a record of the journal consists of: the fields of its line, the word under `type`, and
/// what a start needs of it.
protocol JournalRecord: LineFields, Hashable, Sendable {
  static var word: String { get }
  static var keeping: Keeping { get }
}

extension JournalRecord {
  fileprivate func write(to line: inout LineWriter) throws(LineError) {
    var fields = self
    try fields.visit(&line)
  }
}

/// What a start needs of a record. The rollup beside a sealed segment holds it, so that the segment
/// need not be read.
enum Keeping: Sendable {
  /// Nothing: it only reports an event.
  case nothing
  /// Its line, which is valid until a later one replaces it (`Catalog.standing`).
  case standing
  /// Its line, to tell which receipts were audited.
  case audits
  /// The line of the last one only.
  case checkpoints
  /// Which jobs are open, with the lines that accepted them.
  case jobs
  /// Its row in the index, and its contribution to the sums.
  case receipts
}

/// A line's position in the journal.
package struct Envelope: Hashable, Sendable {
  /// Number of the line, from 0.
  package var seq: Int = 0
  /// Microseconds since 1970-01-01 00:00 UTC.
  package var time: Int64 = 0
  /// `seq` of the first line of the group that was synced together. A power cut can damage only the
  /// last group, of which nothing was acknowledged. Damage before it has another cause, and stops
  /// the node.
  package var group: Int = 0
  /// SHA-256 of the previous line with its newline.
  package var previous = SHA256Digest.zero

  package init(seq: Int = 0, time: Int64 = 0, group: Int = 0, previous: SHA256Digest = .zero) {
    (self.seq, self.time, self.group, self.previous) = (seq, time, group, previous)
  }
}

/// A record with its position.
package struct Entry: Hashable, Sendable {
  package var envelope: Envelope
  package var record: Record

  package init(envelope: Envelope, record: Record) {
    self.envelope = envelope
    self.record = record
  }

  /// The line, newline included. Throws if a value does not fit a line.
  package func line() throws(LineError) -> [UInt8] { try sealedLine().bytes }

  /// The line and its SHA-256.
  func sealedLine() throws(LineError) -> (bytes: [UInt8], digest: SHA256Digest) {
    var writer = LineWriter()
    var e = envelope
    try writer.count("seq", &e.seq)
    try writer.time("t", &e.time)
    var kind = record.kind
    try writer.choice("type", &kind)
    try writer.count("group", &e.group)
    if case .receipt(var receipt) = record {
      try receipt.visit(&writer)
    } else {
      try record.payload.write(to: &writer)
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
  package init(parsing line: UnsafeRawBufferPointer) throws(LineError) {
    self = try Entry.parse(line).entry
  }

  /// Parses one line; also returns its SHA-256, which the check of `h` computes anyway.
  static func parse(_ line: UnsafeRawBufferPointer) throws(LineError) -> (entry: Entry, digest: SHA256Digest)
  {
    var receipt = Receipt()
    return try parse(line, reusing: &receipt)
  }

  /// - receipt: from an earlier line; values that are equal in this one share its memory
  static func parse(
    _ line: UnsafeRawBufferPointer, reusing receipt: inout Receipt
  ) throws(LineError) -> (entry: Entry, digest: SHA256Digest) {
    var envelope = Envelope()
    var other: Record?
    let seal = try parseUnchecked(line, &envelope, &receipt, &other)
    return (Entry(envelope: envelope, record: other ?? .receipt(receipt)), try seal.check(line))
  }

  /// The same in place, and without checking `h`.
  /// - other: the record, unless it is a receipt; then it is nil and `receipt` is set
  static func parseUnchecked(
    _ line: UnsafeRawBufferPointer, _ e: inout Envelope, _ receipt: inout Receipt, _ other: inout Record?
  ) throws(LineError) -> LineSeal {
    guard line.count <= maximumLineBytes else {
      throw LineError(offset: maximumLineBytes, wanted: "a line of at most \(maximumLineBytes) bytes")
    }
    var scanner = LineScanner(line)
    try scanner.count("seq", &e.seq)
    try scanner.time("t", &e.time)
    var kind = Record.Kind.receipt
    try scanner.choice("type", &kind)
    try scanner.count("group", &e.group)
    if kind == .receipt {
      try receipt.visit(&scanner)
      other = nil
    } else {
      guard let row = table.first(where: { $0.kind == kind }) else { throw scanner.refusal("a known type") }
      other = try row.scan(&scanner)
    }
    try scanner.digest("prev", &e.previous)
    return try scanner.seal()
  }

  package init(parsing line: [UInt8]) throws(LineError) {
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
