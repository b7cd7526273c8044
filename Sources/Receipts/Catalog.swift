// Catalog.swift: what a node knows of its log without reading it: the tree, each receipt's
// location, sums, audits.
// A value: the fold of the journal's entries. Not here: files (Journal.swift), signing
// (Notary.swift). Start at add(_:segment:).

/// Which receipts to sum up; nil matches all.
package struct TotalsQuery: Hashable, Sendable {
  /// Days since 1970-01-01, both ends included.
  package var days: ClosedRange<Int32>?
  package var client: String?
  package var model: String?

  package init(days: ClosedRange<Int32>? = nil, client: String? = nil, model: String? = nil) {
    self.days = days
    self.client = client
    self.model = model
  }

  func matches(_ key: TotalsKey) -> Bool {
    (days?.contains(key.day) ?? true) && (client.map { $0 == key.client } ?? true)
      && (model.map { $0 == key.model } ?? true)
  }
}

/// How far a receipt has got. Never reports more than was checked.
package struct ReceiptStatus: Hashable, Sendable {
  package enum Seal: Hashable, Sendable, Comparable {
    /// On disk.
    case logged
    /// Under a signed checkpoint.
    case signed
    /// Under a checkpoint that someone else's key cosigned.
    case witnessed
  }
  package enum Reexecution: Hashable, Sendable {
    case unaudited
    case identical
    case failed(Audit)
    /// The newest audit could not be run, and no earlier one was.
    case notRun
  }
  package let seal: Seal
  package let reexecution: Reexecution
}

/// How many receipts reached each stage; `logged` includes `signed`, which includes `witnessed`.
package struct LogCounts: Hashable, Sendable {
  package let logged: Int
  package let signed: Int
  package let witnessed: Int
  package let audited: Int
  package let failed: Int
  /// Receipts whose audit failed to run.
  package let notRun: Int
  /// Time of the last signed checkpoint, microseconds; nil before the first.
  package let lastSigned: Int64?
}

package struct Catalog: Sendable {
  package private(set) var tree = MerkleTree()
  /// A receipt's location in 8 bytes: segment (20 bits), offset (27), length (17).
  private var places: [UInt64] = []
  private var jobs: [UInt64] = []
  private var sums: [TotalsKey: ReceiptTotals] = [:]
  /// 0 unaudited, 1 identical, 2 failed, 3 the audit did not run.
  private var audits: [UInt8] = []
  private var failures: [Int: Audit] = [:]
  private var auditedCount = 0
  private var notRunCount = 0
  private(set) var signedSize = 0
  private(set) var witnessedSize = 0
  private(set) var lastSignedRecord: CheckpointSigned?
  private(set) var lastSignedTime: Int64?
  /// Clients, budgets, payments, corrections and policies, in the journal's order.
  package private(set) var standing: [Entry] = []
  /// A job that has no end yet.
  private struct OpenJob: Sendable {
    /// Its first acceptance.
    let entry: Entry
    let segment: Int
  }
  private var open: [UInt64: OpenJob] = [:]
  /// Jobs whose end was logged before their acceptance, as in journals of releases that queued the
  /// two separately.
  private var endedBefore: Set<UInt64> = []
  /// Time of the newest line, microseconds; 0 before the first.
  package private(set) var lastTime: Int64 = 0

  init() {}

  /// Jobs that were accepted and have not ended, in order of acceptance. A job with a receipt has
  /// ended, whichever of its two lines came first.
  package var openJobs: [JobAccepted] {
    withoutReceipts(open).values.map(\.entry).sorted { $0.envelope.seq < $1.envelope.seq }.compactMap {
      if case .jobAccepted(let job) = $0.record { job } else { nil }
    }
  }

  /// When each open job was accepted, microseconds.
  package var openTimes: [UInt64: Int64] { withoutReceipts(open).mapValues(\.entry.envelope.time) }

  /// The first segment that can mention these jobs; nil if none of them is open.
  func firstSegment(of jobs: Set<UInt64>) -> Int? {
    open.filter { jobs.contains($0.key) }.values.map(\.segment).min()
  }

  /// Decided from the receipts already indexed, so that a node with 10^6 receipts keeps no second
  /// list of them.
  private func withoutReceipts(_ open: [UInt64: OpenJob]) -> [UInt64: OpenJob] {
    if open.isEmpty { return open }
    var left = open
    for job in jobs where left[job] != nil { left[job] = nil }
    return left
  }

  mutating func add(_ placed: Placed, segment: Int) {
    lastTime = placed.entry.envelope.time
    switch placed.entry.record {
    case .receipt(let receipt):
      addReceipt(
        leaf: placed.leaf ?? .zero, job: receipt.job, segment: segment, offset: placed.offset,
        length: placed.length)
      sums[receipt.totalsKey, default: ReceiptTotals()].add(receipt.totals)
      open[receipt.job] = nil
    case .jobAccepted(let job): accept(job.job, placed.entry, segment: segment)
    case .jobEnded(let job): end(job.job)
    default: keep(placed.entry, segment: segment)
    }
  }

  private mutating func accept(_ job: UInt64, _ entry: Entry, segment: Int) {
    if endedBefore.remove(job) != nil || open[job] != nil { return }
    open[job] = OpenJob(entry: entry, segment: segment)
  }

  private mutating func end(_ job: UInt64) {
    if open.removeValue(forKey: job) == nil { endedBefore.insert(job) }
  }

  private mutating func keep(_ entry: Entry, segment: Int) {
    switch entry.record.kind.keeping {
    case .standing: standing.append(entry)
    case .audits: if case .audit(let audit) = entry.record { add(audit) }
    case .checkpoints:
      if case .checkpointSigned(let signed) = entry.record {
        signedSize = max(signedSize, signed.size)
        lastSignedRecord = signed
        lastSignedTime = entry.envelope.time
      } else if case .checkpointWitnessed(let cosigned) = entry.record {
        witnessedSize = max(witnessedSize, cosigned.size)
      }
    case .jobs:
      if case .jobAccepted(let job) = entry.record { accept(job.job, entry, segment: segment) }
    case .nothing, .receipts: break
    }
  }

  private mutating func addReceipt(leaf: SHA256Digest, job: UInt64, segment: Int, offset: Int, length: Int) {
    tree.append(leaf: leaf)
    places.append(Self.pack(segment: segment, offset: offset, length: length))
    jobs.append(job)
    audits.append(0)
  }

  static func pack(segment: Int, offset: Int, length: Int) -> UInt64 {
    UInt64(segment & 0xFFFFF) << 44 | UInt64(offset & 0x7FF_FFFF) << 17 | UInt64(length & 0x1FFFF)
  }

  /// Adds a sealed segment from its summary.
  mutating func add(_ summary: SegmentSummary) {
    for row in summary.rows {
      addReceipt(
        leaf: row.leaf, job: row.job, segment: summary.number, offset: Int(row.offset),
        length: Int(row.length))
    }
    take(summary)
  }

  /// Adds everything of a sealed segment except the locations of its receipts.
  private mutating func take(_ summary: SegmentSummary) {
    for (key, totals) in summary.totals { sums[key, default: ReceiptTotals()].add(totals) }
    var early: [UInt64] = []
    for job in summary.closed where open.removeValue(forKey: job) == nil { early.append(job) }
    // Jobs with receipts are recognised by their rows; the remaining ones ended without a receipt,
    // before their acceptance was logged.
    if !early.isEmpty, !early.elementsEqual(summary.rows.lazy.map(\.job)) {
      endedBefore.formUnion(Set(early).subtracting(summary.rows.lazy.map(\.job)))
    }
    for entry in summary.carried { keep(entry, segment: summary.number) }
  }

  /// Adds all sealed segments at once: the tree is built level by level.
  mutating func start(with summaries: [SegmentSummary]) {
    let count = summaries.reduce(0) { $0 + $1.rows.count }
    var leaves: [SHA256Digest] = []
    leaves.reserveCapacity(count)
    places.reserveCapacity(count)
    jobs.reserveCapacity(count)
    audits = [UInt8](repeating: 0, count: count)
    for summary in summaries {
      for row in summary.rows {
        leaves.append(row.leaf)
        places.append(Self.pack(segment: summary.number, offset: Int(row.offset), length: Int(row.length)))
        jobs.append(row.job)
      }
    }
    tree = MerkleTree(leaves: leaves)
    for summary in summaries {
      take(summary)
      lastTime = max(lastTime, summary.firstTime ?? 0)
    }
  }

  private mutating func add(_ audit: Audit) {
    guard audits.indices.contains(audit.receipt) else { return }
    // An audit that could not run does not replace an earlier result.
    if audit.outcome == .notRun, audits[audit.receipt] == 1 || audits[audit.receipt] == 2 { return }
    switch audits[audit.receipt] {
    case 1: auditedCount -= 1
    case 2: failures[audit.receipt] = nil
    case 3: notRunCount -= 1
    default: break
    }
    if audit.outcome == .identical {
      audits[audit.receipt] = 1
      auditedCount += 1
    } else if audit.outcome == .notRun {
      audits[audit.receipt] = 3
      notRunCount += 1
    } else {
      audits[audit.receipt] = 2
      failures[audit.receipt] = audit
    }
  }

  // MARK: Questions

  package var counts: LogCounts {
    LogCounts(
      logged: tree.size, signed: min(signedSize, tree.size), witnessed: min(witnessedSize, tree.size),
      audited: auditedCount, failed: failures.count, notRun: notRunCount, lastSigned: lastSignedTime)
  }

  package func status(of index: Int) -> ReceiptStatus? {
    guard audits.indices.contains(index) else { return nil }
    let reexecution: ReceiptStatus.Reexecution =
      if let failure = failures[index] { .failed(failure) } else {
        switch audits[index] {
        case 1: .identical
        case 3: .notRun
        default: .unaudited
        }
      }
    return ReceiptStatus(
      seal: index < witnessedSize ? .witnessed : index < signedSize ? .signed : .logged,
      reexecution: reexecution)
  }

  /// Indexes of receipts that an audit found wrong, oldest first.
  package var failedReceipts: [Int] { failures.keys.sorted() }

  /// The receipt's id: the first 16 hexadecimal digits of its leaf hash.
  package func id(of index: Int) -> String? { tree.leaf(at: index).map { LineWriter.hex($0.w0) } }

  /// Indexes of receipts whose id begins with these hexadecimal digits (1 to 16), oldest first, at
  /// most `limit`.
  package func indexes(idPrefix: String, limit: Int = 2) -> [Int] {
    guard (1...16).contains(idPrefix.utf8.count), idPrefix.utf8.allSatisfy({ Hex.value($0) != nil }),
      let prefix = UInt64(idPrefix, radix: 16)
    else { return [] }
    let shift = UInt64(64 - 4 * idPrefix.utf8.count)
    var found: [Int] = []
    for (i, leaf) in tree.leaves.enumerated() where leaf.w0 >> shift == prefix {
      found.append(i)
      if found.count == limit { break }
    }
    return found
  }

  /// The receipt of a job; the newest if there are several.
  package func index(ofJob job: UInt64) -> Int? { jobs.lastIndex(of: job) }

  /// The same for many jobs, in one pass; jobs without a receipt are absent from the result.
  package func indexes(ofJobs wanted: Set<UInt64>) -> [UInt64: Int] {
    if wanted.isEmpty { return [:] }
    var found: [UInt64: Int] = [:]
    for (index, job) in jobs.enumerated() where wanted.contains(job) { found[job] = index }
    return found
  }

  func place(of index: Int) -> (segment: Int, offset: Int, length: Int)? {
    guard places.indices.contains(index) else { return nil }
    let place = places[index]
    return (Int(place >> 44), Int(place >> 17 & 0x7FF_FFFF), Int(place & 0x1FFFF))
  }

  /// The sums over the receipts that match the query.
  package func totals(_ query: TotalsQuery = TotalsQuery()) -> ReceiptTotals {
    var result = ReceiptTotals()
    for (key, totals) in sums where query.matches(key) { result.add(totals) }
    return result
  }

  /// The sums by day, client and model, sorted.
  package func rows(_ query: TotalsQuery = TotalsQuery()) -> [TotalsRow] {
    sums.filter { query.matches($0.key) }.map { TotalsRow(key: $0.key, totals: $0.value) }
      .sorted { $0.key < $1.key }
  }
}
