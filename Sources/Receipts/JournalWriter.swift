// JournalWriter.swift: the only writer of a journal, without thread or clock: groups of records in,
// synced lines out.
// A failed write or sync is final. Not here: waiting and sharing (Journal.swift), reading
// (Segment.swift).
// Start at commit.
import Glibc

/// Why a journal refused or failed.
package enum JournalError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Another node holds the state directory (exit 75). The process id is 0 if it is unknown.
  case locked(path: String, process: Int32)
  case file(FileError)
  /// The state directory, or a file in it, belongs to another user or is writable by others, so its
  /// contents cannot be trusted (exit 77). `mend` is the command that fixes it.
  case unsafe(path: String, why: String, mend: String)
  /// A record does not fit a line; nothing was written, and the journal stays usable.
  case refused(LineError)
  /// The journal was opened read-only because of damage.
  case readOnly(Damage)
  /// An earlier write or sync failed; nothing more is written.
  case stopped(FileError)
  case closed
  /// The requested receipt does not exist.
  case noReceipt(String)

  package var description: String {
    switch self {
    case .locked(let path, let process):
      "the state directory is in use by \(process > 0 ? "process \(process)" : "another node") ('\(path)' is locked)"
    case .file(let error): "journal: \(error)"
    case .unsafe(let path, let why, _): "the state directory cannot be trusted: '\(path)' \(why)"
    case .refused(let error): "journal: record refused: \(error)"
    case .readOnly(let damage): "read-only: \(damage)"
    case .stopped(let error): "the journal stopped after a failed call: \(error)"
    case .closed: "the journal is closed"
    case .noReceipt(let what): "no receipt \(what)"
    }
  }

  package var hint: String? {
    switch self {
    case .locked: "'hotpot attach' shows the node that runs there; another '--state' starts a second one"
    case .stopped: "check the disk, then start the node again: nothing that was acknowledged is lost"
    case .readOnly:
      "keep a copy of the state directory; 'hotpot receipts repair' shows what is damaged and what can be done"
    case .unsafe(_, _, let mend): mend
    case .file, .refused, .closed, .noReceipt: nil
    }
  }
}

/// Sizes of a journal.
package struct JournalOptions: Sendable {
  /// A segment is sealed once it has this many bytes, or when the day (UTC) of its first line is
  /// over.
  package var segmentBytes = 64 << 20
  /// Released when the disk is nearly full, so that running jobs still get their receipts.
  package var ballastBytes = 16 << 20
  /// Free bytes below which no new job should be admitted.
  package var lowSpace = 64 << 20

  package init() {}

  /// The largest segment that a receipt's packed location can address (Catalog), less one group.
  static let maximumSegmentBytes = 96 << 20
}

struct JournalWriter {
  let files: any FileSystem
  /// The directory that holds the segments.
  let directory: String
  let options: JournalOptions
  private(set) var chain: Chain
  private(set) var summary: SegmentSummary
  private var file: FileHandleNumber?
  /// Bytes in the open segment.
  private var size: Int
  private(set) var failure: FileError?
  private(set) var isNearlyFull = false
  /// The ballast was released and hasn't been restored since.
  private var isBallastGone = false
  /// Segments sealed since the last call of `takeSealed`.
  private var sealed: [Int] = []

  /// Continues an open segment: `summary` covers its `summary.size` valid bytes, and the file has
  /// no others.
  init(
    files: any FileSystem, directory: String, options: JournalOptions, continuing summary: SegmentSummary,
    exists: Bool
  ) throws(FileError) {
    self.files = files
    self.directory = directory
    var options = options
    options.segmentBytes = min(max(options.segmentBytes, 1), JournalOptions.maximumSegmentBytes)
    self.options = options
    self.summary = summary
    chain = summary.end
    size = summary.size
    if exists {
      let path = self.path(summary.number)
      file = try files.retrying { () throws(FileError) in try files.open(path, .append) }
    } else {
      try create(summary.number)
    }
  }

  static func name(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits
  }

  func path(_ number: Int) -> String { "\(directory)/\(Self.name(number)).jsonl" }

  private mutating func create(_ number: Int) throws(FileError) {
    let path = self.path(number)
    file = try files.retrying { () throws(FileError) in try files.open(path, .create) }
    size = 0
    try files.retrying { () throws(FileError) in try files.syncDirectory(directory) }
  }

  /// One submission's outcome: its lines with their locations, or why it was refused.
  typealias Outcome = Result<[Placed], JournalError>

  /// Writes all submissions as one group and syncs it. When this returns, every `.success` is on
  /// the disk.
  ///
  /// A submission that does not fit a line is refused without affecting the others. After a failed
  /// call nothing of the group is acknowledged and this writer is finished; a restart may or may
  /// not find the lines.
  mutating func commit(_ submissions: [(records: [Record], time: Int64)]) -> [Outcome] {
    if let failure { return submissions.map { _ in .failure(.stopped(failure)) } }
    do throws(FileError) {
      if let first = submissions.first { try rotateIfDue(at: first.time) }
      watchSpace()
      var next = chain
      let group = chain.seq
      var text: [UInt8] = []
      var outcomes: [Outcome] = []
      for submission in submissions {
        let (before, length) = (next, text.count)
        do throws(LineError) {
          var placed: [Placed] = []
          for record in submission.records {
            let made = try line(record, submission.time, group: group, &next, at: size + text.count)
            text.append(contentsOf: made.bytes)
            placed.append(made.placed)
          }
          outcomes.append(.success(placed))
        } catch {
          next = before
          text.removeLast(text.count - length)
          outcomes.append(.failure(.refused(error)))
        }
      }
      guard !text.isEmpty else { return outcomes }
      guard let file else { throw FileError(call: "write", path: path(summary.number), code: EBADF) }
      try files.writeAll(file, text, path: path(summary.number))
      try files.retrying { () throws(FileError) in try files.sync(file) }
      chain = next
      size += text.count
      for case .success(let placed) in outcomes {
        for one in placed { summary.add(one) }
      }
      return outcomes
    } catch {
      failure = error
      return submissions.map { _ in .failure(.stopped(error)) }
    }
  }

  private func line(_ record: Record, _ time: Int64, group: Int, _ chain: inout Chain, at offset: Int)
    throws(LineError) -> (bytes: [UInt8], placed: Placed)
  {
    var record = record
    var isReceipt = false
    if case .receipt(var receipt) = record {
      receipt.index = chain.receipts
      record = .receipt(receipt)
      isReceipt = true
    }
    let entry = Entry(
      envelope: Envelope(seq: chain.seq, time: time, group: group, previous: chain.previous), record: record)
    let (bytes, digest) = try entry.sealedLine()
    chain.seq += 1
    chain.previous = digest
    if isReceipt { chain.receipts += 1 }
    return (
      bytes,
      Placed(
        entry: entry, digest: digest, leaf: isReceipt ? SHA256.leaf(bytes) : nil, offset: offset,
        length: bytes.count)
    )
  }

  // MARK: Segments

  private static let microsecondsPerDay: Int64 = 86_400_000_000

  private mutating func rotateIfDue(at time: Int64) throws(FileError) {
    guard size > 0, let first = summary.firstTime else { return }
    let isNewDay = time / Self.microsecondsPerDay > first / Self.microsecondsPerDay
    guard size >= options.segmentBytes || isNewDay else { return }
    try rotate()
  }

  /// Seals the open segment and begins the next one.
  mutating func rotate() throws(FileError) {
    if let file { files.closeQuietly(file) }
    file = nil
    try Self.seal(summary, files: files, directory: directory)
    sealed.append(summary.number)
    summary = SegmentSummary(number: summary.number + 1, start: chain)
    try create(summary.number)
  }

  /// Writes rollup and index, then makes the segment read-only. Can be repeated after a crash.
  static func seal(_ summary: SegmentSummary, files: any FileSystem, directory: String) throws(FileError) {
    let base = "\(directory)/\(name(summary.number))"
    let made: (rollup: [UInt8], index: [UInt8])
    do throws(LineError) { made = try Rollup.format(summary) } catch {
      // The sums exceed what a line can hold, so there is no rollup: the segment is read in full at
      // every start, which is slow but correct.
      made = ([], [])
    }
    try files.replaceFile(base + ".index", with: made.index, in: directory)
    try files.replaceFile(base + ".rollup", with: made.rollup, in: directory)
    try files.retrying { () throws(FileError) in try files.seal(base + ".jsonl") }
  }

  mutating func takeSealed() -> [Int] {
    defer { sealed = [] }
    return sealed
  }

  // MARK: Space

  /// Releases the ballast as soon as space runs low. Admission stops until there is twice as much
  /// space again.
  mutating func watchSpace() {
    let free: Int
    do throws(FileError) { free = try files.freeSpace(directory) } catch {
      // Unknown free space is no reason to stop: a write that fails will report it.
      return
    }
    if free < options.lowSpace, !isNearlyFull {
      isNearlyFull = true
      isBallastGone = true
      do throws(FileError) { try files.removeIfPresent(directory + "/ballast") } catch {
        // The ballast stays for the next time; admission stops either way.
      }
    } else if isNearlyFull, free / 2 >= options.lowSpace {
      isNearlyFull = false
    }
  }

  /// Restores the ballast once there is space again. Writes megabytes, so it must not be called
  /// within a commit.
  mutating func restoreBallast() {
    guard isBallastGone, !isNearlyFull, failure == nil else { return }
    isBallastGone = false
    do throws(FileError) { try JournalRecovery.makeBallast(directory, files, options) } catch {
      // The ballast is only a reserve; the next start tries again.
    }
  }

  mutating func close() {
    if let file { files.closeQuietly(file) }
    file = nil
    if failure == nil { failure = FileError(call: "write", path: path(summary.number), code: EBADF) }
  }
}
