// AsynchronousAnswers.swift: asynchronous jobs from their acceptance until their answer has been
// fetched or is too old. Answers lie on the disk (Receipts/Spool.swift), here is only what is known
// of each. Leaves out when a job ends (NodeState) and what goes into the journal (AsynchronousJobs.swift).
// Start at begin; find is what GET /v1/jobs/ID asks.
import Dispatch
import Foundation
import Intake
import JSON
import Receipts
import Scheduling
import Synchronization

/// Every asynchronous job that has a claim here.
///
/// Rule: an answer is on the disk before its job's end is in the journal. Why: a charge that is
/// seen and an answer that is gone is money for nothing. So: file, sync, then the receipt; what is
/// found at a start without its end in the journal is thrown away, and the job runs again.
/// Otherwise a crash between the two sells nothing.
///
/// Rule: nobody's answer gives way to another client's. Why: whoever makes up tokens would throw
/// out what others paid for. So: each client has a share, strangers one together, and who has used
/// it up is refused before their job is taken.
final class AsynchronousAnswers: Sendable {
  typealias Settings = NodeConfiguration.Answers

  enum Found {
    /// It has not ended.
    case accepted
    /// Its answer is on the disk: `read`.
    case kept
    /// Its answer is in memory only: the journal did not take its end.
    case held(Response)
  }

  private enum State {
    case accepted
    /// Its end is on the way to the disk.
    case ending
    case kept
    case held(Response)
  }

  private struct Entry {
    let client: String
    let isKnown: Bool
    var state = State.accepted
    /// Of its request, then of its answer.
    var bytes: Int
    /// The answer as it will be, with `mark` in place of the receipt's id.
    var prepared: Response?
    var mark: String?
    /// When it goes; microseconds of the monotonic clock.
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

    /// Every change goes through here, so that the tallies are right.
    mutating func set(_ id: JobID, _ new: Entry?) {
      if let old = entries[id] { count(old, -1) }
      if let new { count(new, 1) }
      entries[id] = new
    }

    private mutating func count(_ entry: Entry, _ sign: Int) {
      // What has been fetched is kept for a while, and holds up nobody.
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
  /// Files are written and read here, in order, and never on a thread that a client or the engine
  /// waits for.
  let queue = DispatchQueue(label: "hotpot.answers", qos: .userInitiated)

  init(_ files: AnswerFiles, _ settings: Settings) {
    self.files = files
    self.settings = settings
  }

  // MARK: a job's way

  /// Why another job of this client is not taken now; nil where there is room for it.
  func refusal(of identity: Identity, bytes: Int) -> Refusal? {
    let (own, strangers) = inner.withLock { ($0.tallies[identity.name] ?? Tally(), $0.strangers) }
    // The first is taken whatever its size is: the endpoint has a limit for bodies.
    func isFull(_ tally: Tally, _ jobs: Int, _ room: Int) -> Bool {
      tally.jobs >= jobs || (tally.jobs > 0 && tally.bytes + bytes > room)
    }
    if identity.isKnown {
      return isFull(own, settings.perClient, settings.clientBytes)
        ? .answersFull(.client, jobs: own.jobs, bytes: own.bytes) : nil
    }
    // One stranger leaves room for others.
    return isFull(own, max(1, settings.strangers / 4), settings.strangersBytes)
      || isFull(strangers, settings.strangers, settings.strangersBytes)
      ? .answersFull(.strangers, jobs: strangers.jobs, bytes: strangers.bytes) : nil
  }

  func begin(_ id: JobID, client: String, isKnown: Bool, bytes: Int) {
    inner.withLock { $0.set(id, Entry(client: client, isKnown: isKnown, bytes: bytes)) }
  }

  /// It was not taken after all.
  func drop(_ id: JobID) { inner.withLock { $0.set(id, nil) } }

  /// The answer as it is now; the last one before the end counts.
  func prepared(_ id: JobID, _ response: Response) { inner.withLock { $0.entries[id]?.prepared = response } }

  /// Its end is on the way. What comes in place of the receipt's id until there is one.
  func ending(_ id: JobID) -> String {
    // A client's text cannot hold it: it is drawn now.
    let mark = "receipt-\(UInt64.random(in: .min ... .max))-\(UInt64.random(in: .min ... .max))"
    inner.withLock { inner in
      inner.entries[id]?.state = .ending
      inner.entries[id]?.mark = mark
    }
    return mark
  }

  func isAlive(_ id: JobID) -> Bool { inner.withLock { $0.entries[id].map { !$0.hasEnded } ?? false } }

  /// Puts the prepared answer on the disk, then calls `body`, both on `queue`: with the reason,
  /// where it could not be.
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

  /// Its end is in the journal, so the answer on the disk is the client's.
  func kept(_ id: JobID, at now: Moment) {
    inner.withLock { inner in
      inner.entries[id]?.state = .kept
      inner.entries[id]?.prepared = nil
      inner.entries[id]?.goes = now.monotonic + settings.keep
    }
  }

  /// Its end is not in the journal: the client may have the answer while this process lives, and
  /// the job runs again.
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

  /// Its content goes. Where an answer came and nothing of it is on the way to the disk, it stays
  /// in memory.
  func forgotten(_ id: JobID, at now: Moment) {
    let isWithout = inner.withLock { inner in
      guard let entry = inner.entries[id], case .accepted = entry.state else { return false }
      return entry.prepared != nil
    }
    if isWithout { held(id, at: now) }
  }

  // MARK: fetching

  /// What there is for this client; nil where it has no such job here.
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

  /// The answer from the disk. On `queue`.
  /// - receipt: the receipt's id of a job
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

  /// It has been sent to its client, who may ask again for a while.
  func fetched(_ id: JobID, at now: Moment) {
    let isFirst = inner.withLock { inner in
      guard var entry = inner.entries[id], entry.hasEnded, !entry.isFetched else { return false }
      entry.isFetched = true
      entry.goes = min(entry.goes, now.monotonic + settings.grace)
      inner.set(id, entry)
      return true
    }
    // After a crash it would only stay longer.
    if isFirst { queue.async { [self] in try? files.mark(fetched: id.rawValue) } }
  }

  /// Removes what has been fetched or is too old.
  func expire(at now: Moment) {
    let gone = inner.withLock { inner in
      let gone = inner.entries.filter { $0.value.goes <= now.monotonic }.keys
      for id in gone { inner.set(id, nil) }
      return Array(gone)
    }
    guard !gone.isEmpty else { return }
    queue.async { [self] in
      // One that stays is found and removed by age at the next start.
      for id in gone { try? files.remove(job: id.rawValue) }
    }
  }

  // MARK: a start

  /// Takes over the answers that earlier runs kept, before anything can be accepted.
  /// - open: jobs that have not ended: what was prepared for them is void, they run again
  /// - receipts: of the jobs asked for, those that have one
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
        // Whoever paid for it is told so.
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

/// An answer as its file holds it: a line about it, then the body.
///
///     {"client":"aria","known":true,"kept":"17","status":200,"fields":[],"receipt":"receipt-7-9"}
///     {"id":"chatcmpl-9ad1...","hotpot":{"receipt":"receipt-7-9",...},...}
///
/// Where `receipt` is not null, the body has that text in place of the receipt's id: the id is the
/// hash of a line that is not written yet when the answer is. It is put in when the answer is read.
struct KeptAnswer: Sendable {
  let client: String
  let isKnown: Bool
  /// When it was kept, microseconds since 1970.
  let time: Microseconds
  let mark: String?
  let response: Response

  /// nil for what no node wrote.
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
  /// The receipt's id in the place that was left for it.
  func with(receipt id: String, inPlaceOf mark: String) -> Response {
    var copy = self
    var body = Data(copy.body)
    while let place = body.range(of: Data(mark.utf8)) { body.replaceSubrange(place, with: Data(id.utf8)) }
    copy.body = Array(body)
    return copy
  }
}
