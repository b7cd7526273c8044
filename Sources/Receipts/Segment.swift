// Segment.swift: one file of the journal: how it is scanned, how damage is told from an unfinished
// write, and how a sealed segment is summarised. Writing is in JournalWriter.swift. Start at
// SegmentScan.run.
import Dispatch
import Glibc
import Synchronization

/// The end of a chain of lines: what the next line must continue.
struct Chain: Hashable, Sendable {
  var seq = 0
  /// SHA-256 of the last line; zeros before the first.
  var previous = SHA256Digest.zero
  /// Receipts so far.
  var receipts = 0
}

/// Damage that no crash explains: the node starts read-only until an operator decides.
package struct Damage: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of damage, for code that branches on it; `found` is for people.
  package enum Kind: Hashable, Sendable {
    /// The end of the open segment isn't a complete line, as after a power cut. A start moves it
    /// aside and continues.
    case tail
    /// A line is invalid, or differs from the one that was written.
    case line
    /// A segment is missing.
    case missing
    /// A sealed segment and its rollup differ.
    case rollup
    /// The checkpoint file cannot be read, or was signed over another log.
    case checkpoint
    /// Complete, chained lines that contradict a record of this journal: somebody rewrote it.
    case rewritten
  }

  package let kind: Kind
  /// File name within the journal's directory.
  package let file: String
  /// Byte at which it begins.
  package let offset: Int
  package let found: String

  package init(_ kind: Kind, file: String, offset: Int, found: String) {
    self.kind = kind
    self.file = file
    self.offset = offset
    self.found = found
  }

  package var description: String { "journal: '\(file)', byte \(offset): \(found)" }
}

/// A line with its location.
struct Placed: Sendable {
  let entry: Entry
  let digest: SHA256Digest
  /// RFC 6962 leaf hash when the line is a receipt.
  let leaf: SHA256Digest?
  let offset: Int
  let length: Int
}

enum SegmentScan {
  enum End {
    case complete
    /// Bytes from `offset` on belong to a group that was never acknowledged.
    case unfinished(offset: Int)
    case damaged(Damage)
  }

  /// Visits every line of `bytes` that continues `chain`, in order, and reports how the segment
  /// ends.
  ///
  /// A line can be parsed and hashed without knowing what precedes it, so large segments are read
  /// in pieces on all cores; only the comparison of the chain is sequential.
  static func run(
    _ bytes: UnsafeRawBufferPointer, file: String, chain: inout Chain, visit: (Placed) -> Void
  ) -> End {
    for piece in pieces(bytes) {
      for placed in piece.lines {
        if let problem = misplaced(placed.entry, chain) {
          return .damaged(Damage(.line, file: file, offset: placed.offset, found: problem))
        }
        if placed.leaf != nil { chain.receipts += 1 }
        chain.seq += 1
        chain.previous = placed.digest
        visit(placed)
      }
      if let stop = piece.stop { return tail(bytes, file: file, at: stop.offset, chain: chain, stop.error) }
    }
    return .complete
  }

  /// Consecutive lines, up to the first invalid one.
  private struct Piece: Sendable {
    var lines: [Placed] = []
    var stop: (offset: Int, error: LineError?)?
  }

  /// Below this a second thread costs more than it saves.
  private static let pieceBytes = 1 << 20

  private static func pieces(_ bytes: UnsafeRawBufferPointer) -> [Piece] {
    let count = min(bytes.count / pieceBytes, 64)
    guard count > 1 else { return [piece(bytes, from: 0, to: bytes.count)] }
    // Every piece begins after a newline. If there is none within the length of a line, the
    // previous piece ends in an error, and what is found after that does not matter.
    let starts =
      [0] + (1..<count).map { lineEnd(bytes, from: bytes.count / count * $0) ?? bytes.count } + [bytes.count]
    let found = Mutex([Piece?](repeating: nil, count: count))
    // The buffer outlives the call, because concurrentPerform returns after its last piece. It is
    // only read.
    nonisolated(unsafe) let shared = bytes
    DispatchQueue.concurrentPerform(iterations: count) { i in
      let piece = piece(shared, from: starts[i], to: starts[i + 1])
      found.withLock { $0[i] = piece }
    }
    return found.withLock { $0.compactMap { $0 } }
  }

  private static func piece(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Piece {
    var piece = Piece()
    var receipt = Receipt()
    var at = start
    while at < end {
      guard let next = lineEnd(bytes, from: at) else {
        piece.stop = (at, nil)
        break
      }
      let line = UnsafeRawBufferPointer(rebasing: bytes[at..<next])
      do throws(LineError) {
        let (entry, digest) = try Entry.parse(line, reusing: &receipt)
        var leaf: SHA256Digest?
        if case .receipt = entry.record { leaf = SHA256.leaf(line) }
        piece.lines.append(Placed(entry: entry, digest: digest, leaf: leaf, offset: at, length: next - at))
      } catch {
        piece.stop = (at, error)
        break
      }
      at = next
    }
    return piece
  }

  /// The byte after the newline, if one comes within the length of a line.
  private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    guard let base = bytes.baseAddress,
      let newline = memchr(base + start, Int32(UInt8.newline), min(bytes.count - start, maximumLineBytes))
    else { return nil }
    return UnsafeRawPointer(newline) - base + 1
  }

  // MARK: Summing up

  /// Reads a whole segment without knowing what precedes it.
  ///
  /// The segment is never in memory as a whole: each core reads stretches of it and sums them up,
  /// without keeping a line. What a stretch expects before its first line is compared when the sums
  /// are combined.
  /// - size: bytes of the file
  static func stretches(
    _ path: String, size: Int, number: Int, files: any FileSystem
  ) throws(FileError) -> Stretches {
    let count = max(1, (size + stretchBytes - 1) / stretchBytes)
    let file = try files.retrying { () throws(FileError) in try files.open(path, .read) }
    defer { files.closeQuietly(file) }
    let found = Mutex([Stretch?](repeating: nil, count: count))
    DispatchQueue.concurrentPerform(iterations: count) { i in
      let range = i * stretchBytes..<min(size, (i + 1) * stretchBytes)
      guard let stretch = stretch(file, range, size, number, files) else { return }
      found.withLock { $0[i] = stretch }
    }
    return Stretches(number: number, size: size, all: found.withLock { $0 })
  }

  /// A segment that has been read but not yet linked into the chain.
  struct Stretches: Sendable {
    let number: Int
    /// Bytes of the file.
    let size: Int
    fileprivate let all: [Stretch?]

    /// The segment's summary if every line is valid and continues `chain`; otherwise nil, and
    /// `SegmentScan.run` reports which line isn't.
    func sum(continuing chain: inout Chain) -> SegmentSummary? {
      var summary = SegmentSummary(number: number, start: chain)
      for stretch in all {
        guard let stretch else { return nil }
        guard let first = stretch.first else { continue }
        guard misplaced(first, summary.end) == nil,
          stretch.firstReceipt ?? summary.end.receipts == summary.end.receipts
        else { return nil }
        summary.add(stretch.summary)
      }
      chain = summary.end
      return summary
    }
  }

  /// What one thread reads at a time: it stays in a core's cache while it is parsed and hashed
  /// twice.
  private static let stretchBytes = 512 << 10

  /// The lines that begin within a range of a segment.
  fileprivate struct Stretch: Sendable {
    /// nil when no line begins there.
    var first: Entry?
    /// The index of its first receipt.
    var firstReceipt: Int?
    var summary: SegmentSummary

    /// Sums up the lines that follow. False if one is invalid.
    fileprivate mutating func add(_ lines: UnsafeBufferPointer<UncheckedLine>, _ hashes: inout SealedLines)
      -> Bool
    {
      hashes.removeAll()
      for i in lines.indices { hashes.append(lines[i].bytes, body: lines[i].seal.body) }
      hashes.hash()
      for i in lines.indices {
        guard hashes.body(i).w0 == lines[i].seal.claimed else { return false }
        if lines[i].other == nil, firstReceipt == nil {
          firstReceipt = lines[i].receipt.index
          summary.start.receipts = lines[i].receipt.index
          summary.end.receipts = lines[i].receipt.index
        }
        if first == nil {
          first = lines[i].entry
          summary.start.seq = lines[i].envelope.seq
          summary.end.seq = lines[i].envelope.seq
          summary.end.previous = lines[i].envelope.previous
        }
        let index = lines[i].other == nil ? lines[i].receipt.index : nil
        guard SegmentScan.misplaced(lines[i].envelope, receipt: index, summary.end) == nil else {
          return false
        }
        let place = lines[i].offset..<lines[i].offset + lines[i].bytes.count
        if lines[i].other == nil {
          // Only entries that are summed up are copied.
          summary.add(
            job: lines[i].receipt.job, lines[i].receipt.totalsKey, lines[i].receipt.totals,
            lines[i].envelope.time, hashes.whole(i), leaf: hashes.leaf(i), place)
        } else {
          summary.add(lines[i].entry, hashes.whole(i), place)
        }
      }
      return true
    }
  }

  /// nil if a line is invalid or cannot be read.
  private static func stretch(
    _ file: FileHandleNumber, _ range: Range<Int>, _ size: Int, _ number: Int, _ files: any FileSystem
  ) -> Stretch? {
    // A line that begins here ends at most a line's length past the range. The byte before the
    // range tells whether a line begins at its start.
    let from = max(0, range.lowerBound - 1)
    let to = min(size, range.upperBound + maximumLineBytes)
    return withUnsafeTemporaryAllocation(byteCount: max(1, to - from), alignment: 64) { buffer -> Stretch? in
      let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(to - from)])
      var done = 0
      while done < bytes.count {
        let start = done
        // The reading from the segment's beginning hits the failed read again and reports its
        // reason.
        guard
          let n = try? files.retrying({ () throws(FileError) in
            try files.read(
              file, at: from + start, into: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
          }), n > 0
        else { return nil }
        done += n
      }
      return stretch(UnsafeRawBufferPointer(bytes), from: from, range, number)
    }
  }

  /// - bytes: the segment's, starting at byte `from`
  private static func stretch(
    _ bytes: UnsafeRawBufferPointer, from: Int, _ range: Range<Int>, _ number: Int
  ) -> Stretch? {
    var stretch = Stretch(summary: SegmentSummary(number: number, start: Chain()))
    // A receipt is longer than a thousand bytes, so this reserves enough for all of them.
    stretch.summary.reserveCapacity(receipts: range.count >> 10)
    var at = 0
    if range.lowerBound > 0 {
      guard let next = lineEnd(bytes, from: 0) else { return nil }
      at = next
    }
    // Lines are parsed into the same 16 slots again and again, so values equal to those 16 lines
    // earlier need no new memory.
    var together = [UncheckedLine](repeating: UncheckedLine(), count: linesTogether)
    var hashes = SealedLines()
    return together.withUnsafeMutableBufferPointer { lines -> Stretch? in
      var count = 0
      while from + at < range.upperBound {
        guard let next = lineEnd(bytes, from: at) else { return nil }
        // `run` reports which line is invalid, and why.
        guard lines[count].parse(UnsafeRawBufferPointer(rebasing: bytes[at..<next]), at: from + at) else {
          return nil
        }
        count += 1
        at = next
        if count == lines.count {
          guard stretch.add(UnsafeBufferPointer(lines), &hashes) else { return nil }
          count = 0
        }
      }
      return stretch.add(UnsafeBufferPointer(rebasing: lines[..<count]), &hashes) ? stretch : nil
    }
  }

  /// A line whose seal has not been checked yet.
  fileprivate struct UncheckedLine {
    var envelope = Envelope()
    /// The line's own receipt or, if `other` is set, an earlier line's.
    var receipt = Receipt()
    var other: Record?
    var seal = LineSeal(body: 0, claimed: 0)
    var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    var offset = 0

    /// False if the line is invalid.
    mutating func parse(_ line: UnsafeRawBufferPointer, at offset: Int) -> Bool {
      do throws(LineError) {
        seal = try Entry.parseUnchecked(line, &envelope, &receipt, &other)
      } catch { return false }
      (bytes, self.offset) = (line, offset)
      return true
    }

    var entry: Entry { Entry(envelope: envelope, record: other ?? .receipt(receipt)) }
  }

  /// How many lines are hashed side by side.
  private static let linesTogether = 16

  private static func misplaced(_ entry: Entry, _ chain: Chain) -> String? {
    var index: Int?
    if case .receipt(let receipt) = entry.record { index = receipt.index }
    return misplaced(entry.envelope, receipt: index, chain)
  }

  /// - receipt: the index of the receipt, if the line is one
  private static func misplaced(_ e: Envelope, receipt: Int?, _ chain: Chain) -> String? {
    if e.seq != chain.seq { return "a valid line with seq \(e.seq), wanted \(chain.seq)" }
    if e.previous != chain.previous {
      return "line \(e.seq) does not continue the line before it ('prev' differs)"
    }
    if e.group > e.seq { return "line \(e.seq) claims the later group \(e.group)" }
    if let receipt, receipt != chain.receipts {
      return "a receipt with index \(receipt), wanted \(chain.receipts)"
    }
    return nil
  }

  /// Nothing valid continues at `at`. An unfinished write is the last group: what follows may hold
  /// valid lines of that group only (a power cut keeps any subset of its sectors). A later group
  /// means that this one had already been synced, so it was damaged afterwards.
  private static func tail(
    _ bytes: UnsafeRawBufferPointer, file: String, at: Int, chain: Chain, _ error: LineError?
  ) -> End {
    var start = at
    while start < bytes.count {
      let next: Int
      if let newline = bytes[start...].firstIndex(of: .newline) {
        next = newline + 1
        if next - start <= maximumLineBytes,
          let later = valid(UnsafeRawBufferPointer(rebasing: bytes[start..<next]))
        {
          let e = later.envelope
          if e.group > chain.seq || e.seq < chain.seq {
            let reason = error?.description ?? "no end of line"
            return .damaged(
              Damage(
                .line, file: file, offset: at,
                found: "no valid line (\(reason)), but line \(e.seq) after it is valid"))
          }
        }
      } else {
        next = bytes.count
      }
      start = next
    }
    return .unfinished(offset: at)
  }

  /// A valid line at the end of these bytes, even with other bytes before it: a lost sector takes a
  /// newline with it.
  private static func valid(_ bytes: UnsafeRawBufferPointer) -> Entry? {
    let opening: [UInt8] = Array("{\"seq\":".utf8)
    var start = 0
    while start + opening.count <= bytes.count {
      if bytes[start] == .openBrace, zip(opening, bytes[start...]).allSatisfy({ $0 == $1 }) {
        do throws(LineError) {
          return try Entry(parsing: UnsafeRawBufferPointer(rebasing: bytes[start...]))
        } catch {
          // Not valid from here; a later opening brace may be.
        }
      }
      start += 1
    }
    return nil
  }
}

/// Sums over receipts.
package struct ReceiptTotals: Hashable, Sendable {
  package internal(set) var receipts = 0
  package internal(set) var promptTokens = 0
  package internal(set) var cachedTokens = 0
  package internal(set) var completionTokens = 0
  /// Micro-units.
  package internal(set) var amount: Int64 = 0

  package init() {}

  /// Sums saturate: a total never wraps. One line is bounded by 2^53, so saturation takes a
  /// thousand of the largest amounts.
  mutating func add(_ other: ReceiptTotals) {
    func sum<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
      let (value, overflow) = a.addingReportingOverflow(b)
      return overflow ? (b > 0 ? T.max : T.min) : value
    }
    receipts = sum(receipts, other.receipts)
    promptTokens = sum(promptTokens, other.promptTokens)
    cachedTokens = sum(cachedTokens, other.cachedTokens)
    completionTokens = sum(completionTokens, other.completionTokens)
    amount = sum(amount, other.amount)
  }
}

extension Receipt {
  /// What the receipt adds to the totals of its `totalsKey`.
  @inline(__always)
  var totals: ReceiptTotals {
    var totals = ReceiptTotals()
    totals.receipts = 1
    totals.promptTokens = promptTokens
    totals.cachedTokens = cachedTokens
    totals.completionTokens = completionTokens
    totals.amount = amount
    return totals
  }

  @inline(__always)
  var totalsKey: TotalsKey { TotalsKey(day: day, client: client, model: model) }
}

/// The key of the totals.
package struct TotalsKey: Hashable, Sendable, Comparable {
  /// Days since 1970-01-01 in the node's time zone.
  package var day: Int32
  package var client: String
  package var model: String

  package init(day: Int32, client: String, model: String) {
    self.day = day
    self.client = client
    self.model = model
  }

  package static func < (a: TotalsKey, b: TotalsKey) -> Bool {
    (a.day, a.client, a.model) < (b.day, b.client, b.model)
  }
}

package struct TotalsRow: Hashable, Sendable {
  package let key: TotalsKey
  package let totals: ReceiptTotals
}

/// One receipt in a sealed segment's index.
struct IndexRow: Hashable, Sendable {
  var leaf: SHA256Digest
  var offset: UInt32
  var length: UInt32
  var job: UInt64

  static let bytes = 48
}

/// A segment's summary: enough to start without reading it.
struct SegmentSummary: Sendable {
  var number = 0
  var start = Chain()
  var end = Chain()
  /// Bytes of the segment's valid lines.
  var size = 0
  /// Time of the first line, nil while there is none.
  var firstTime: Int64?
  var rows: [IndexRow] = []
  var totals: [TotalsKey: ReceiptTotals] = [:]
  /// Entries that a start needs: clients, budgets, payments, corrections, policies, audits.
  var kept: [Entry] = []
  /// Jobs accepted here and not ended here.
  var opened: [UInt64: Entry] = [:]
  /// Jobs ended here that were accepted in an earlier segment.
  var closed: [UInt64] = []
  /// The last checkpoint that was signed or witnessed here, as entries.
  var lastSigned: Entry?
  var lastWitnessed: Entry?

  init(number: Int, start: Chain) {
    self.number = number
    self.start = start
    end = start
  }

  mutating func reserveCapacity(receipts: Int) {
    rows.reserveCapacity(receipts)
    closed.reserveCapacity(receipts)
    totals.reserveCapacity(receipts / 4)
  }

  mutating func add(_ placed: Placed) {
    let place = placed.offset..<placed.offset + placed.length
    if case .receipt(let receipt) = placed.entry.record {
      add(
        job: receipt.job, receipt.totalsKey, receipt.totals, placed.entry.envelope.time, placed.digest,
        leaf: placed.leaf ?? .zero, place)
    } else {
      add(placed.entry, placed.digest, place)
    }
  }

  /// Adds a receipt.
  /// - time, digest, leaf, place: of its line
  mutating func add(
    job: UInt64, _ key: TotalsKey, _ sums: ReceiptTotals, _ time: Int64, _ digest: SHA256Digest,
    leaf: SHA256Digest, _ place: Range<Int>
  ) {
    add(time, digest, place)
    end.receipts += 1
    // A segment is bounded by Options.segmentBytes plus one group, far below 2^32.
    rows.append(
      IndexRow(
        leaf: leaf, offset: UInt32(truncatingIfNeeded: place.lowerBound),
        length: UInt32(truncatingIfNeeded: place.count), job: job))
    totals[key, default: ReceiptTotals()].add(sums)
    close(job)
  }

  /// - entry: not a receipt
  mutating func add(_ entry: Entry, _ digest: SHA256Digest, _ place: Range<Int>) {
    add(entry.envelope.time, digest, place)
    if case .jobEnded(let job) = entry.record { close(job.job) } else { keep(entry) }
  }

  /// Keeps what a start needs of an entry; of a job's end, only the fact that it ended.
  mutating func keep(_ entry: Entry) {
    switch entry.record.kind.keeping {
    case .standing, .audits: kept.append(entry)
    case .jobs: if case .jobAccepted(let job) = entry.record { opened[job.job] = entry }
    case .checkpoints: if case .checkpointSigned = entry.record { lastSigned = entry } else { witness(entry) }
    case .nothing, .receipts: break
    }
  }

  private mutating func add(_ time: Int64, _ digest: SHA256Digest, _ place: Range<Int>) {
    if firstTime == nil { firstTime = time }
    end.seq += 1
    end.previous = digest
    size = place.upperBound
  }

  /// Adds the sums over the lines that follow directly.
  mutating func add(_ next: SegmentSummary) {
    firstTime = firstTime ?? next.firstTime
    end.seq = next.end.seq
    end.previous = next.end.previous
    end.receipts += next.rows.count
    size = next.size
    rows += next.rows
    for (key, sums) in next.totals { totals[key, default: ReceiptTotals()].add(sums) }
    kept += next.kept
    if opened.isEmpty { closed += next.closed } else { for job in next.closed { close(job) } }
    opened.merge(next.opened) { $1 }
    lastSigned = next.lastSigned ?? lastSigned
    if let later = next.lastWitnessed { witness(later) }
  }

  private mutating func witness(_ entry: Entry) {
    guard case .checkpointWitnessed(let cosigned) = entry.record else { return }
    if case .checkpointWitnessed(let last)? = lastWitnessed?.record, last.size > cosigned.size { return }
    lastWitnessed = entry
  }

  private mutating func close(_ job: UInt64) {
    if opened.isEmpty || opened.removeValue(forKey: job) == nil { closed.append(job) }
  }

  /// All entries that a start needs, in the journal's order.
  var carried: [Entry] {
    (kept + opened.values + [lastSigned, lastWitnessed].compactMap { $0 }).sorted {
      $0.envelope.seq < $1.envelope.seq
    }
  }
}
