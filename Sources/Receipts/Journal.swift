// Journal.swift: a node's only authoritative record on disk: jobs, receipts, operators' acts and
// settlements as a chain of lines. One writer thread with group commit; the caller never waits
// unless it asks to. Not here: signing (Notary.swift), what the records mean (Node). Start at
// Journal.open, then append.
import Dispatch
import Glibc
import Synchronization

/// A record on the disk.
package struct Appended: Hashable, Sendable {
  package let entry: Entry
  /// RFC 6962 leaf hash when the record is a receipt.
  package let leaf: SHA256Digest?

  /// The receipt's id: the first 16 hexadecimal digits of its leaf hash.
  package var receiptID: String? { leaf.map { LineWriter.hex($0.w0) } }
}

/// What a journal reports to whoever opened it. Called on the journal's queue; must return at once.
package enum JournalNotice: Sendable, Hashable {
  /// This many receipts are on the disk now.
  case committed(receipts: Int)
  case sealed(segment: Int)
  /// True: space ran low and the ballast was released. False: there is enough space again.
  case lowSpace(Bool)
  /// Final: nothing more is written. Stop admitting jobs.
  case stopped(FileError)
}

/// One receipt as the journal holds it.
package struct LoggedReceipt: Sendable {
  package let receipt: Receipt
  package let entry: Entry
  /// The line with its newline.
  package let line: [UInt8]
  package let id: String
  package let status: ReceiptStatus
}

/// The append-only journal of a state directory.
///
/// Lines as in `Entry`, in segments `journal/00000001.jsonl` of 64 MiB or a day. A sealed segment
/// is read-only (0400) and has a rollup and an index beside it, and a signature once the notary has
/// made one. Files are 0600, directories 0700.
///
/// Rule: a record counts once its completion reports success, that is after `fdatasync`. Why: a
/// power cut can lose anything before that. So: tell clients nothing earlier. Otherwise a client
/// holds a receipt that is not in the log.
///
/// Rule: a failed write or sync is final. Why: after a failed sync the kernel may have dropped the
/// pages, and a second sync would report success for lost bytes. So: stop admitting, let running
/// jobs end, restart. Otherwise acknowledged lines can be missing.
package final class Journal: Sendable {
  package typealias Completion = @Sendable (Result<[Appended], JournalError>) -> Void

  private struct Submission: Sendable {
    let records: [Record]
    let time: Int64
    let completion: Completion
  }

  private struct Inbox {
    var waiting: [Submission] = []
    var isScheduled = false
    var isClosed = false
  }

  package let directory: String
  private let files: any FileSystem
  private let queue = DispatchQueue(label: "hotpot.journal", qos: .userInitiated)
  private let inbox = Mutex(Inbox())
  /// nil after damage. Used on `queue` only; the lock exists so that the compiler can check that.
  private let writer: Mutex<JournalWriter?>
  private let shared: Mutex<Catalog>
  private let damage: Damage?
  private let notice: @Sendable (JournalNotice) -> Void

  private init(
    directory: String, files: any FileSystem, result: consuming JournalRecovery.Result,
    notice: @escaping @Sendable (JournalNotice) -> Void
  ) {
    self.directory = directory
    self.files = files
    writer = Mutex(result.writer)
    shared = Mutex(result.catalog)
    damage = result.opening.damage
    self.notice = notice
  }

  /// Opens the journal of a state directory, however the last node ended.
  ///
  /// - state: the state directory; made (0700) if it is missing. The caller holds its `StateLock`.
  /// - time: now, in microseconds; recorded with anything that is moved aside.
  /// - Returns: the journal, and what was found. With `damage` it is read-only.
  /// - Throws: `.file` when the disk cannot be read or written now.
  package static func open(
    state: String, files: any FileSystem = POSIXFileSystem(), options: JournalOptions = JournalOptions(),
    time: Int64,
    notice: @escaping @Sendable (JournalNotice) -> Void = { _ in }
  ) throws(JournalError) -> (journal: Journal, opening: JournalOpening) {
    var unreadable: Damage?
    var checkpoint: Checkpoint?
    do throws(FileError) {
      try files.ensureDirectory(state)
      let text = try files.readAll(state + "/checkpoint", limit: 4096)
      do throws(FormatError) {
        checkpoint = try Checkpoint(parsing: String(decoding: text, as: UTF8.self))
      } catch {
        unreadable = Damage(.checkpoint, file: "checkpoint", offset: 0, found: error.description)
      }
    } catch {
      if !error.isMissing { throw .file(error) }
    }
    let directory = state + "/journal"
    var result = try JournalRecovery.open(
      directory: directory, files: files, options: options, checkpoint: checkpoint, time: time)
    if result.opening.damage == nil, let unreadable {
      result.opening.damage = unreadable
      result.writer?.close()
      result.writer = nil
    }
    let opening = result.opening
    return (Journal(directory: directory, files: files, result: result, notice: notice), opening)
  }

  // MARK: Writing

  /// Queues records and returns at once. `completion` is called once, on the journal's queue: after
  /// the sync that covers the records, or with the reason for failure. Records of one call become
  /// adjacent lines of one group. With no records, the completion reports on what was appended
  /// before.
  package func append(_ records: [Record], at time: Int64, completion: @escaping Completion) {
    enum Next { case schedule, wait, closed }
    let next = inbox.withLock { inbox -> Next in
      if inbox.isClosed { return .closed }
      inbox.waiting.append(Submission(records: records, time: time, completion: completion))
      if inbox.isScheduled { return .wait }
      inbox.isScheduled = true
      return .schedule
    }
    switch next {
    case .schedule: queue.async { self.drain() }
    case .wait: break
    case .closed: completion(.failure(.closed))
    }
  }

  /// Appends and waits for the sync. Not for the engine's threads or the node's state machine.
  @discardableResult
  package func append(_ records: [Record], at time: Int64) throws(JournalError) -> [Appended] {
    let done = DispatchSemaphore(value: 0)
    let result = Box()
    append(records, at: time) {
      result.set($0)
      done.signal()
    }
    done.wait()
    return try result.get()
  }

  private final class Box: Sendable {
    private let value = Mutex<Result<[Appended], JournalError>>(.failure(.closed))
    func set(_ result: Result<[Appended], JournalError>) { value.withLock { $0 = result } }
    func get() throws(JournalError) -> [Appended] { try value.withLock { $0 }.get() }
  }

  /// Everything queued during the last sync forms the next group: groups grow under load, and a
  /// record waits at most one sync before its own begins. The size of a group is bounded, so its
  /// memory is too.
  private func drain() {
    while true {
      let group = inbox.withLock { inbox -> [Submission] in
        if inbox.waiting.isEmpty {
          inbox.isScheduled = false
          return []
        }
        let group = Array(inbox.waiting.prefix(256))
        inbox.waiting.removeFirst(group.count)
        return group
      }
      if group.isEmpty { return }
      commit(group)
    }
  }

  private func commit(_ group: [Submission]) {
    if let damage {
      for submission in group { submission.completion(.failure(.readOnly(damage))) }
      return
    }
    struct Step {
      var outcomes: [JournalWriter.Outcome] = []
      var segment = 0
      var sealed: [Int] = []
      var failure: FileError?
      var lowSpace: Bool?
    }
    let step = writer.withLock { writer -> Step in
      guard var w = writer.take() else { return Step() }
      let (wasFull, wasStopped) = (w.isNearlyFull, w.failure != nil)
      var step = Step(outcomes: w.commit(group.map { ($0.records, $0.time) }))
      step.segment = w.summary.number
      step.sealed = w.takeSealed()
      step.failure = wasStopped ? nil : w.failure
      step.lowSpace = w.isNearlyFull == wasFull ? nil : w.isNearlyFull
      writer = w
      return step
    }
    let receipts = shared.withLock { catalog in
      for case .success(let placed) in step.outcomes {
        for one in placed { catalog.add(one, segment: step.segment) }
      }
      return catalog.tree.size
    }
    for (i, submission) in group.enumerated() {
      guard step.outcomes.indices.contains(i) else {
        submission.completion(.failure(.closed))
        continue
      }
      submission.completion(step.outcomes[i].map { $0.map { Appended(entry: $0.entry, leaf: $0.leaf) } })
    }
    for segment in step.sealed { notice(.sealed(segment: segment)) }
    if let lowSpace = step.lowSpace { notice(.lowSpace(lowSpace)) }
    if let failure = step.failure {
      notice(.stopped(failure))
    } else {
      notice(.committed(receipts: receipts))
    }
  }

  /// Checks the disk's free space and reports a change. Call it every second: while nothing is
  /// admitted nothing is appended, so only this call notices that there is space again. Returns at
  /// once.
  package func watchSpace() {
    queue.async {
      let change = self.writer.withLock { writer -> Bool? in
        guard var w = writer.take() else { return nil }
        defer { writer = w }
        let wasFull = w.isNearlyFull
        w.watchSpace()
        w.restoreBallast()
        return w.isNearlyFull == wasFull ? nil : w.isNearlyFull
      }
      if let change { self.notice(.lowSpace(change)) }
    }
  }

  /// Accepts nothing more, finishes what was queued, closes the segment. Waits.
  package func close() {
    inbox.withLock { $0.isClosed = true }
    queue.sync {
      self.drain()
      self.writer.withLock { $0?.close() }
    }
  }

  // MARK: Reading

  /// The catalog as it is now. Cheap: the arrays are shared until the next append.
  package func catalog() -> Catalog { shared.withLock { $0 } }

  /// Reads the catalog in place, under its lock: for frequent queries. Must not block.
  package func read<T: Sendable>(_ body: (borrowing Catalog) -> T) -> T { shared.withLock { body($0) } }

  /// A receipt's line from the disk, checked against the log: damage that occurred after it was
  /// written is found here.
  package func receipt(at index: Int) throws(JournalError) -> LoggedReceipt {
    let found = shared.withLock { catalog in
      (catalog.place(of: index), catalog.tree.leaf(at: index), catalog.status(of: index))
    }
    guard let place = found.0, let leaf = found.1, let status = found.2 else {
      throw .noReceipt("with index \(index)")
    }
    let name = JournalWriter.name(place.segment) + ".jsonl"
    let line: [UInt8]
    do throws(FileError) {
      line = try files.readPart("\(directory)/\(name)", at: place.offset, count: place.length)
    } catch { throw .file(error) }
    guard SHA256.leaf(line) == leaf else {
      throw .readOnly(
        Damage(
          .line, file: name, offset: place.offset, found: "receipt \(index) is not the one that was logged"))
    }
    let entry: Entry
    do throws(LineError) { entry = try Entry(parsing: line) } catch {
      throw .readOnly(Damage(.line, file: name, offset: place.offset, found: error.description))
    }
    guard case .receipt(let receipt) = entry.record else {
      throw .readOnly(
        Damage(.line, file: name, offset: place.offset, found: "line \(entry.envelope.seq) is no receipt"))
    }
    return LoggedReceipt(
      receipt: receipt, entry: entry, line: line, id: LineWriter.hex(leaf.w0), status: status)
  }

  /// The proof that receipt `index` is under a checkpoint; nil if it is not, or if the log is
  /// shorter.
  package func proof(of index: Int, under checkpoint: Checkpoint) -> InclusionProof? {
    shared.withLock { catalog in
      catalog.tree.inclusion(of: index, in: checkpoint.size)
    }.map { InclusionProof(index: index, path: $0, checkpoint: checkpoint) }
  }

  /// The proof that the log at `from` receipts is a prefix of that at `to`; nil past the log's end.
  package func consistency(from: Int, to: Int) -> ConsistencyProof? {
    shared.withLock { $0.tree.consistency(from: from, to: to) }.map {
      ConsistencyProof(from: from, to: to, path: $0)
    }
  }

  /// What operators did to open jobs, oldest act first, read from the segments written since the
  /// oldest of those jobs was accepted. For startup: nothing may be appended meanwhile.
  package func acts(on jobs: Set<UInt64>) throws(JournalError) -> [UInt64: [OperatorAct]] {
    guard let first = shared.withLock({ $0.firstSegment(of: jobs) }) else { return [:] }
    var found: [UInt64: [OperatorAct]] = [:]
    do throws(FileError) {
      for number in try segmentNumbers() where number >= first {
        let bytes = try readSegment(number)
        Self.visitActs(bytes) { act in
          // Acts on the whole node or on receipts name no job.
          guard act.target.utf8.count == 16, let job = UInt64(act.target, radix: 16), jobs.contains(job)
          else {
            return
          }
          found[job, default: []].append(act)
        }
      }
    } catch { throw .file(error) }
    return found
  }

  /// In order.
  func segmentNumbers() throws(FileError) -> [Int] {
    try files.retrying { () throws(FileError) in try files.list(directory) }
      .compactMap(JournalRecovery.number).sorted()
  }

  func readSegment(_ number: Int) throws(FileError) -> [UInt8] {
    try files.readAll("\(directory)/\(JournalWriter.name(number)).jsonl")
  }

  /// How a line of this type of record goes on after its time.
  static func mark(_ word: String) -> [UInt8] { Array(",\"type\":\"\(word)\"".utf8) }

  /// Whether a line has that type, told without parsing it. `seq` and `t`, which come first, are
  /// numbers.
  static func isLine(_ line: Slice<UnsafeRawBufferPointer>, marked mark: [UInt8]) -> Bool {
    guard let comma = line.firstIndex(of: .comma),
      let second = line[(comma + 1)...].firstIndex(of: .comma)
    else { return false }
    return line[second...].starts(with: mark)
  }

  private static func visitActs(_ bytes: [UInt8], _ visit: (OperatorAct) -> Void) {
    let mark = mark(OperatorAct.word)
    bytes.withUnsafeBytes { raw in
      var start = 0
      while start < raw.count {
        let end = raw[start...].firstIndex(of: .newline).map { $0 + 1 } ?? raw.count
        defer { start = end }
        // Few lines are acts, so other lines are skipped without parsing.
        guard isLine(raw[start..<end], marked: mark) else { continue }
        // Damaged lines were reported when the journal was opened.
        guard let entry = try? Entry(parsing: UnsafeRawBufferPointer(rebasing: raw[start..<end])),
          case .operatorAct(let act) = entry.record
        else { continue }
        visit(act)
      }
    }
  }

  // MARK: Checking

  /// Rereads every line of every segment, checks the chain and the tree, and compares sealed
  /// segments with their rollups. Uses all cores, and memory that grows with the journal only by 32
  /// bytes per receipt.
  /// - Returns: how many lines and receipts were good, and the first damage.
  package static func check(state: String, files: any FileSystem = POSIXFileSystem()) throws(JournalError)
    -> JournalCheck
  {
    do throws(FileError) {
      return try JournalCheck(directory: state + "/journal", files: files, keepsEntries: false) { _ in }
    } catch {
      throw .file(error)
    }
  }

  /// The same, and visits every entry in order, as the replay of a whole journal does.
  package static func check(
    state: String, files: any FileSystem = POSIXFileSystem(), visit: (Entry) -> Void
  ) throws(JournalError) -> JournalCheck {
    do throws(FileError) {
      return try JournalCheck(
        directory: state + "/journal", files: files, keepsEntries: true, visit: visit)
    } catch {
      throw .file(error)
    }
  }
}

/// What a full reading of a journal found.
package struct JournalCheck: Sendable {
  package private(set) var lines = 0
  package private(set) var receipts = 0
  package private(set) var bytes = 0
  package private(set) var root = SHA256.hash([])
  /// The first damage. An unfinished tail counts, because only opening the journal moves it aside.
  package private(set) var damage: Damage?

  /// - keepsEntries: whether `visit` sees every entry; if not, no line is kept once it is summed up
  init(directory: String, files: any FileSystem, keepsEntries: Bool, visit: (Entry) -> Void) throws(FileError)
  {
    let names = try files.retrying { () throws(FileError) in try files.list(directory) }
    let numbers = names.compactMap(JournalRecovery.number)
    func path(_ number: Int) -> String { "\(directory)/\(JournalWriter.name(number)).jsonl" }
    var chain = Chain()
    var leaves: [SHA256Digest] = []
    // The next segment is read while this one is linked into the chain and compared with its
    // rollup.
    var ahead = keepsEntries ? nil : numbers.first.map { Ahead(path($0), number: $0, files) }
    defer { ahead?.wait() }
    for (i, number) in numbers.enumerated() {
      let name = JournalWriter.name(number)
      guard number == i + 1 else {
        damage = Damage(
          .missing, file: JournalWriter.name(i + 1) + ".jsonl", offset: 0, found: "the segment is missing")
        break
      }
      let stretches = try ahead?.result()
      if ahead != nil, i + 1 < numbers.count {
        ahead = Ahead(path(numbers[i + 1]), number: numbers[i + 1], files)
      }
      let summary: SegmentSummary
      if let stretches, let whole = stretches.sum(continuing: &chain) {
        bytes += stretches.size
        summary = whole
      } else {
        let content = try files.readAll(path(number))
        bytes += content.count
        var sum = SegmentSummary(number: number, start: chain)
        let end = content.withUnsafeBytes { raw in
          SegmentScan.run(raw, file: "\(name).jsonl", chain: &chain) { placed in
            sum.add(placed)
            visit(placed.entry)
          }
        }
        switch end {
        case .complete: break
        case .damaged(let found): damage = found
        case .unfinished(let offset):
          damage = Damage(
            .tail, file: "\(name).jsonl", offset: offset, found: "no valid line from here on")
        }
        summary = sum
      }
      leaves += summary.rows.map(\.leaf)
      if damage == nil, names.contains("\(name).rollup"), number != numbers.last {
        damage = try JournalCheck.compare(summary, with: "\(directory)/\(name)", files)
      }
      if damage != nil { break }
    }
    lines = chain.seq
    receipts = chain.receipts
    root = MerkleTree(leaves: leaves).root
  }

  /// Compares a rollup and its index with those computed from the segment beside them.
  private static func compare(
    _ summary: SegmentSummary, with base: String, _ files: any FileSystem
  ) throws(FileError) -> Damage? {
    // Equivalent to `==`, which compares an index of megabytes byte by byte.
    func same(_ a: [UInt8], _ b: [UInt8]) -> Bool {
      a.count == b.count && (a.isEmpty || memcmp(a, b, a.count) == 0)
    }
    let index = try files.readAll(base + ".index")
    let rollup = try files.readAll(base + ".rollup")
    // A segment that cannot be summed up has no valid rollup.
    if let made = try? Rollup.format(summary), same(made.rollup, rollup), same(made.index, index) {
      return nil
    }
    return Damage(
      .rollup, file: "\(JournalWriter.name(summary.number)).rollup", offset: 0,
      found: "it does not sum up the segment beside it")
  }
}

/// A segment that other threads read ahead.
private final class Ahead: Sendable {
  /// A separate queue: the global ones have one thread per core, and those are needed for the
  /// segment's stretches.
  private static let queue = DispatchQueue(label: "hotpot.journal.ahead")
  private let found = Mutex<Result<SegmentScan.Stretches, FileError>?>(nil)
  private let underWay = DispatchGroup()

  init(_ path: String, number: Int, _ files: any FileSystem) {
    Ahead.queue.async(group: underWay) { [self] in
      let result: Result<SegmentScan.Stretches, FileError>
      do throws(FileError) {
        let size = try files.retrying { () throws(FileError) in try files.status(path) }?.size ?? 0
        result = .success(try SegmentScan.stretches(path, size: size, number: number, files: files))
      } catch { result = .failure(error) }
      found.withLock { $0 = result }
    }
  }

  func wait() { underWay.wait() }

  /// Waits for the reading to end; there is a result then.
  func result() throws(FileError) -> SegmentScan.Stretches? {
    wait()
    return try found.withLock { $0 }?.get()
  }
}
