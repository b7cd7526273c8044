// AsynchronousAnswers.swift: asynchronous jobs from their acceptance until their answer has been
// fetched or has expired. Answers are stored on disk (Receipts/Spool.swift); this keeps only what
// is known about each. Not here: when a job ends (NodeState), what is written to the journal
// (AsynchronousJobs.swift).
// Start at begin; find serves GET /v1/jobs/ID.
import Dispatch
import Foundation
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization

/// Every asynchronous job with an entry here.
///
/// Rule: an answer is on the disk before its job's end is in the journal. Why: a client must not be
/// charged for an answer that is lost. So: file, sync, then the receipt; an answer found at startup
/// without its end in the journal is discarded, and the job runs again. Otherwise a crash between
/// the two charges for nothing.
///
/// Rule: no client's answer is evicted for another client's. Why: anyone who makes up tokens could
/// evict what others paid for. So: each client has a share, strangers have one together, and a
/// client whose share is full is refused before the job is accepted.
final class AsynchronousAnswers: Sendable {
  typealias Settings = NodeConfiguration.Answers

  enum Found {
    /// The job has not ended.
    case accepted
    /// Its answer is on the disk: `read`.
    case kept
    /// Its answer is in memory only: the journal did not accept its end.
    case held(Response)
  }

  private enum State {
    case accepted
    /// Its end is being written to the disk.
    case ending
    case kept
    case held(Response)
  }

  private struct Entry {
    let client: String
    let isKnown: Bool
    var state = State.accepted
    /// Size of its request, then of its answer.
    var bytes: Int
    /// The final answer, with `mark` in place of the receipt's id.
    var prepared: Response?
    var mark: String?
    /// When it expires; microseconds of the monotonic clock.
    var goes = Microseconds.max
    var isFetched = false

    var hasEnded: Bool {
      switch state {
      case .accepted, .ending: false
      case .kept, .held: true
      }
    }
  }

  private struct Tally {
    var jobs = 0
    var bytes = 0
  }

  private struct Inner {
    var entries: [JobID: Entry] = [:]
    var tallies: [String: Tally] = [:]
    var strangers = Tally()

    /// Every change goes through here, so that the tallies stay right.
    mutating func set(_ id: JobID, _ new: Entry?) {
      if let old = entries[id] { count(old, -1) }
      if let new { count(new, 1) }
      entries[id] = new
    }

    private mutating func count(_ entry: Entry, _ sign: Int) {
      // A fetched answer is kept for a while, but doesn't count against the share.
      if entry.isFetched { return }
      if !entry.isKnown {
        strangers.jobs += sign
        strangers.bytes += sign * entry.bytes
      }
      var tally = tallies[entry.client] ?? Tally()
      tally.jobs += sign
      tally.bytes += sign * entry.bytes
      tallies[entry.client] = tally.jobs == 0 ? nil : tally
    }
  }

  private let inner = Mutex(Inner())
  private let files: AnswerFiles
  private let settings: Settings
  /// Files are written and read on this queue, in order, and never on a thread that a client or the
  /// engine waits for.
  let queue = DispatchQueue(label: "hotpot.answers", qos: .userInitiated)

  init(_ files: AnswerFiles, _ settings: Settings) {
    self.files = files
    self.settings = settings
  }

  // MARK: the life of a job

  /// Why another job of this client is refused now; nil if its share has space.
  func refusal(of identity: Identity, bytes: Int) -> Refusal? {
    let (own, strangers) = inner.withLock { ($0.tallies[identity.name] ?? Tally(), $0.strangers) }
    // The first job is accepted whatever its size: the endpoint limits bodies.
    func isFull(_ tally: Tally, _ jobs: Int, _ room: Int) -> Bool {
      tally.jobs >= jobs || (tally.jobs > 0 && tally.bytes + bytes > room)
    }
    if identity.isKnown {
      return isFull(own, settings.perClient, settings.clientBytes)
        ? .answersFull(.client, jobs: own.jobs, bytes: own.bytes) : nil
    }
    // One stranger must leave space for others.
    return isFull(own, max(1, settings.strangers / 4), settings.strangersBytes)
      || isFull(strangers, settings.strangers, settings.strangersBytes)
      ? .answersFull(.strangers, jobs: strangers.jobs, bytes: strangers.bytes) : nil
  }

  func begin(_ id: JobID, client: String, isKnown: Bool, bytes: Int) {
    inner.withLock { $0.set(id, Entry(client: client, isKnown: isKnown, bytes: bytes)) }
  }

  /// The job was refused after all.
  func drop(_ id: JobID) { inner.withLock { $0.set(id, nil) } }

  /// The current answer; the last one before the end counts.
  func prepared(_ id: JobID, _ response: Response) { inner.withLock { $0.entries[id]?.prepared = response } }

  /// The job's end is being written. Returns the placeholder for the receipt's id.
  func ending(_ id: JobID) -> String {
    // Random, so that a client's text cannot contain it.
    let mark = "receipt-\(UInt64.random(in: .min ... .max))-\(UInt64.random(in: .min ... .max))"
    inner.withLock { inner in
      inner.entries[id]?.state = .ending
      inner.entries[id]?.mark = mark
    }
    return mark
  }

  func isAlive(_ id: JobID) -> Bool { inner.withLock { $0.entries[id].map { !$0.hasEnded } ?? false } }

  /// Writes the prepared answer to the disk, then calls `body`, both on `queue`. If writing failed,
  /// `body` gets the reason.
  func keep(_ id: JobID, hasReceipt: Bool, at now: Moment, then body: @escaping @Sendable (String?) -> Void) {
    queue.async { [self] in
      guard let entry = inner.withLock({ $0.entries[id] }), let response = entry.prepared else {
        return body("there is no answer")
      }
      let bytes = Self.format(
        response, client: entry.client, isKnown: entry.isKnown, mark: hasReceipt ? entry.mark : nil,
        at: now.wall)
      do throws(FileError) {
        try files.put(bytes, job: id.rawValue)
        inner.withLock { inner in
          guard var entry = inner.entries[id] else { return }
          entry.bytes = bytes.count
          inner.set(id, entry)
        }
        body(nil)
      } catch {
        body("\(error)")
      }
    }
  }

  /// Its end is in the journal, so the client may have the answer on the disk.
  func kept(_ id: JobID, at now: Moment) {
    inner.withLock { inner in
      inner.entries[id]?.state = .kept
      inner.entries[id]?.prepared = nil
      inner.entries[id]?.goes = now.monotonic + settings.keep
    }
  }

  /// Its end is not in the journal: the client may have the answer while this process lives, and
  /// the job will run again.
  func held(_ id: JobID, at now: Moment) {
    inner.withLock { inner in
      guard let response = inner.entries[id]?.prepared else {
        inner.entries[id]?.state = .accepted
        return
      }
      inner.entries[id]?.state = .held(response)
      inner.entries[id]?.goes = now.monotonic + settings.keep
    }
  }

  /// The job's content is released. If an answer was prepared and is not being written to the disk,
  /// it stays in memory.
  func forgotten(_ id: JobID, at now: Moment) {
    let isWithout = inner.withLock { inner in
      guard let entry = inner.entries[id], case .accepted = entry.state else { return false }
      return entry.prepared != nil
    }
    if isWithout { held(id, at: now) }
  }

  // MARK: fetching

  /// The state of this client's job; nil if it has no such job here.
  func find(_ id: JobID, client: String) -> Found? {
    inner.withLock { inner in
      guard let entry = inner.entries[id], entry.client == client else { return nil }
      return switch entry.state {
      case .accepted, .ending: .accepted
      case .kept: .kept
      case .held(let response): .held(response)
      }
    }
  }

  /// Reads the answer from the disk. On `queue`.
  /// - receipt: the id of a job's receipt
  func read(_ id: JobID, receipt: (UInt64) -> String?) -> Response {
    func lost(_ words: String) -> Response { APIError(.answerLost(words)).response }
    let bytes: [UInt8]
    do throws(SpoolError) { bytes = try files.get(job: id.rawValue) } catch {
      return lost("\(error)")
    }
    guard let kept = KeptAnswer(bytes) else { return lost("its head cannot be read") }
    guard let mark = kept.mark else { return kept.response }
    return receipt(id.rawValue).map { kept.response.with(receipt: $0, inPlaceOf: mark) }
      ?? lost("its receipt is not in the journal")
  }

  /// The answer was sent to its client, who may fetch it again for a while.
  func fetched(_ id: JobID, at now: Moment) {
    let isFirst = inner.withLock { inner in
      guard var entry = inner.entries[id], entry.hasEnded, !entry.isFetched else { return false }
      entry.isFetched = true
      entry.goes = min(entry.goes, now.monotonic + settings.grace)
      inner.set(id, entry)
      return true
    }
    // If a crash loses this mark, the answer only stays longer.
    if isFirst { queue.async { [self] in try? files.mark(fetched: id.rawValue) } }
  }

  /// Removes answers that were fetched or have expired.
  func expire(at now: Moment) {
    let gone = inner.withLock { inner in
      let gone = inner.entries.filter { $0.value.goes <= now.monotonic }.keys
      for id in gone { inner.set(id, nil) }
      return Array(gone)
    }
    guard !gone.isEmpty else { return }
    queue.async { [self] in
      // A file that cannot be removed is found and removed by age at the next start.
      for id in gone { try? files.remove(job: id.rawValue) }
    }
  }

  // MARK: startup

  /// Takes over the answers that earlier runs kept, before anything can be accepted.
  /// - open: jobs that have not ended: answers prepared for them are void, because they run again
  /// - receipts: of the given jobs, those that have one
  /// - Returns: what could not be read, in words
  func load(
    open: Set<UInt64>, receipts: (Set<UInt64>) -> [UInt64: Int], client: (Int) -> String?, at now: Moment
  ) throws(FileError) -> [String] {
    var problems: [String] = []
    let found = try files.list()
    let charged = receipts(Set(found.map(\.job)))
    for (job, isFetched) in found {
      if open.contains(job) {
        try files.remove(job: job)
        continue
      }
      var owner: (client: String, isKnown: Bool, kept: Microseconds, bytes: Int)?
      do throws(SpoolError) {
        let bytes = try files.get(job: job)
        if let answer = KeptAnswer(bytes), answer.mark == nil || charged[job] != nil {
          owner = (answer.client, answer.isKnown, answer.time, bytes.count)
        }
      } catch {
        problems.append("the answer of job \(JobID(job).hex) cannot be read: \(error)")
        // The client that paid for it is told.
        if let name = charged[job].flatMap(client) {
          owner = (name, !name.hasPrefix("unknown-"), now.wall, 0)
        }
      }
      guard let owner else {
        try files.remove(job: job)
        continue
      }
      var entry = Entry(client: owner.client, isKnown: owner.isKnown, bytes: owner.bytes)
      entry.state = .kept
      entry.isFetched = isFetched
      let left = settings.keep - max(0, now.wall - owner.kept)
      entry.goes = now.monotonic + (isFetched ? min(left, settings.grace) : left)
      inner.withLock { $0.set(JobID(job), entry) }
    }
    return problems
  }
}

/// An answer as stored in its file: a line about it, then the body.
///
///     {"client":"aria","known":true,"kept":"17","status":200,"fields":[],"receipt":"receipt-7-9"}
///     {"id":"chatcmpl-9ad1...","hotpot":{"receipt":"receipt-7-9",...},...}
///
/// If `receipt` is not null, the body contains that text in place of the receipt's id: the id is
/// the hash of a line that is written after the answer. It is filled in when the answer is read.
struct KeptAnswer: Sendable {
  let client: String
  let isKnown: Bool
  /// When it was kept, microseconds since 1970.
  let time: Microseconds
  let mark: String?
  let response: Response

  /// nil for a text that no node wrote.
  init?(_ bytes: [UInt8]) {
    guard let newline = bytes.firstIndex(of: 0x0A),
      let head = try? JSONText.parse(Array(bytes[..<newline])), let client = head["client"]?.string,
      let isKnown = head["known"]?.bool, let time = head["kept"]?.string.flatMap({ Int64($0) }),
      let status = head["status"]?.integer, (100...999).contains(status),
      case .array(let fields)? = head["fields"]
    else { return nil }
    var response = Response(status: status, body: Array(bytes[(newline + 1)...]))
    for field in fields {
      guard case .array(let pair) = field, pair.count == 2, let name = pair[0].string,
        let value = pair[1].string
      else { return nil }
      response = response.with(name, value)
    }
    self.client = client
    self.isKnown = isKnown
    self.time = time
    mark = head["receipt"]?.string
    self.response = response
  }
}

extension AsynchronousAnswers {
  static func format(
    _ response: Response, client: String, isKnown: Bool, mark: String?, at time: Microseconds
  ) -> [UInt8] {
    let fields = response.fields.map { JSONValue.array([.string($0.name), .string($0.value)]) }
    let head: JSONValue = [
      "client": .string(client), "known": .bool(isKnown), "kept": .string("\(time)"),
      "status": JSONValue(response.status), "fields": .array(fields),
      "receipt": mark.map { .string($0) } ?? .null,
    ]
    return JSONWriter.bytes(head) + [0x0A] + response.body
  }
}

extension Response {
  /// Replaces the placeholder by the receipt's id.
  func with(receipt id: String, inPlaceOf mark: String) -> Response {
    var copy = self
    var body = Data(copy.body)
    while let place = body.range(of: Data(mark.utf8)) { body.replaceSubrange(place, with: Data(id.utf8)) }
    copy.body = Array(body)
    return copy
  }
}
