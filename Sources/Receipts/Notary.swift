// Notary.swift: signs the log's head every 256 receipts or one second, signs sealed segments, and
// keeps witnesses' cosignatures. Runs on its own queue and never delays a job: if signing fails,
// receipts stay logged and the operator is notified. The log itself is in Journal.swift. Start at
// Notary.init and CheckpointSchedule.
import Dispatch
import Glibc
import Synchronization

/// When the next checkpoint is due. A value without a clock; its times come from a monotonic one.
package struct CheckpointSchedule: Sendable, Hashable {
  package enum Due: Sendable, Hashable {
    case now
    /// Microseconds from now.
    case later(Int64)
    case nothing
  }

  /// How many receipts make a checkpoint due at once.
  package static let batch = 256
  /// How long a receipt waits at most, in microseconds.
  package static let patience: Int64 = 1_000_000

  private var signed: Int
  private var waitingSince: Int64?
  /// After a failure nothing is tried before this time.
  private var notBefore: Int64 = .min

  package init(signed: Int) { self.signed = signed }

  /// - receipts: the number in the log now.
  package mutating func due(receipts: Int, at now: Int64) -> Due {
    guard receipts > signed else {
      waitingSince = nil
      return .nothing
    }
    let since = min(waitingSince ?? now, now)
    waitingSince = since
    let wait = max(notBefore.subtractingClamped(now), 0)
    if receipts - signed >= Self.batch { return wait == 0 ? .now : .later(wait) }
    let left = max(since + Self.patience - now, wait)
    return left <= 0 ? .now : .later(left)
  }

  package mutating func signed(_ receipts: Int) {
    signed = receipts
    waitingSince = nil
    notBefore = .min
  }

  /// - now: the time after the attempt, which may have taken seconds.
  package mutating func failed(at now: Int64) { notBefore = now + Self.patience }
}

extension Int64 {
  fileprivate func subtractingClamped(_ other: Int64) -> Int64 {
    let (value, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : value
  }
}

/// A checkpoint with its signature, armored.
package struct SignedCheckpoint: Hashable, Sendable {
  package let checkpoint: Checkpoint
  package let signature: String

  package init(checkpoint: Checkpoint, signature: String) {
    self.checkpoint = checkpoint
    self.signature = signature
  }

  /// As `GET /v1/checkpoint` gives it: the checkpoint's text, an empty line, the signature.
  package init(parsing whole: String) throws(FormatError) {
    let parts = whole.components(around: "\n\n-----BEGIN SSH SIGNATURE-----")
    guard parts.count == 2 else {
      throw FormatError(
        what: "checkpoint", line: 1, wanted: "a checkpoint, an empty line and one signature")
    }
    checkpoint = try Checkpoint(parsing: parts[0] + "\n")
    signature = "-----BEGIN SSH SIGNATURE-----" + parts[1]
  }

  package var text: String { checkpoint.text + "\n" + signature }

  /// The head that this key signed.
  /// - Throws: words, if it did not or if it is of another key's log
  package func head(by key: SSHPublicKey, keygen: SSHKeygen) throws(NoteProblem) -> LogHead {
    guard checkpoint.origin == key.origin else {
      throw NoteProblem("its checkpoint is of another key's log")
    }
    do throws(SignatureError) {
      try keygen.verify(
        Array(checkpoint.text.utf8), signature: signature, namespace: Checkpoint.namespace,
        allowedSigners: ReceiptBundle.allowedSigners(key), time: checkpoint.time)
    } catch { throw NoteProblem("\(error)") }
    return LogHead(origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root)
  }
}

/// A checkpoint with the signature of someone else's key, namespace `Witness.namespace`.
package struct Cosignature: Hashable, Sendable {
  package let checkpoint: Checkpoint
  package let signature: String
  /// Fingerprint.
  package let witness: String
  /// This node's own signature over the same text, so that a bundle can include both.
  package let signed: SignedCheckpoint
}

extension Cosignature {
  /// The file of a witness in `cosignatures` of the state directory: the checkpoint's text, an
  /// empty line, this node's signature, the witness' signature.
  var fileText: String { checkpoint.text + "\n" + signed.signature + signature }

  init(parsing text: String) throws(FormatError) {
    let begin = "-----BEGIN SSH SIGNATURE-----"
    let parts = text.components(around: begin)
    guard parts.count == 3, parts[0].hasSuffix("\n\n") else {
      throw FormatError(
        what: "cosignature", line: 1, wanted: "a checkpoint, an empty line and two signatures")
    }
    let checkpoint = try Checkpoint(parsing: String(parts[0].dropLast()))
    let signature = begin + parts[2]
    self.init(
      checkpoint: checkpoint, signature: signature,
      witness: try SSHSignature(parsing: signature).key.fingerprint,
      signed: SignedCheckpoint(checkpoint: checkpoint, signature: begin + parts[1]))
  }

  static func directory(_ state: String) -> String { state + "/cosignatures" }

  /// A digest of the fingerprint, which holds no slash.
  static func path(_ state: String, witness: String) -> String {
    directory(state) + "/" + SHA256.hash(Array(witness.utf8)).hex
  }

  /// All cosignatures, by file; a file that cannot be read is reported as such.
  static func all(
    in state: String, _ files: any FileSystem
  ) -> [(path: String, kept: Result<Cosignature, any Error>)] {
    let names = (try? files.list(directory(state))) ?? []  // no cosignature has ever been added
    return names.filter { $0.utf8.count == 64 }.map { name in
      let path = directory(state) + "/" + name
      return (
        path,
        Result {
          try Cosignature(parsing: String(decoding: files.readAll(path, limit: 65_536), as: UTF8.self))
        }
      )
    }
  }
}

extension String {
  /// The parts between occurrences of `separator`.
  fileprivate func components(around separator: String) -> [String] {
    var parts: [[UInt8]] = [[]]
    let (bytes, mark) = (Array(utf8), Array(separator.utf8))
    var i = 0
    while i < bytes.count {
      if bytes[i...].starts(with: mark) {
        parts.append([])
        i += mark.count
      } else {
        parts[parts.count - 1].append(bytes[i])
        i += 1
      }
    }
    return parts.map { String(decoding: $0, as: UTF8.self) }
  }
}

package enum NotaryError: Error, Hashable, Sendable, CustomStringConvertible {
  case signature(SignatureError)
  case file(FileError)
  case journal(JournalError)
  /// The log is shorter than what was signed, or differs from it: nothing more is signed.
  case shrunk(signed: Int, found: Int)
  /// A cosignature for a text that isn't one of this log's checkpoints.
  case foreignCheckpoint(String)

  package var description: String {
    switch self {
    case .signature(let error): "signing: \(error)"
    case .file(let error): "checkpoint: \(error)"
    case .journal(let error): error.description
    case .shrunk(let signed, let found):
      "refused to sign: \(receiptCount(signed)) \(signed == 1 ? "was" : "were") signed, and the log of \(found) does not continue them"
    case .foreignCheckpoint(let reason): "the cosignature is not for this log: \(reason)"
    }
  }
}

/// What a notary reports. Called on its queue; must return at once.
package enum NotaryNotice: Sendable, Hashable {
  case signed(Checkpoint)
  case sealed(segment: Int)
  /// Receipts stay logged and unsigned; signing is retried.
  case failed(NotaryError)
}

package final class Notary: Sendable {
  package static let segmentNamespace = "segment@hotpot"

  private struct State {
    var schedule: CheckpointSchedule
    var current: SignedCheckpoint?
    /// The newest cosignature of each witness, by its key's fingerprint.
    var cosignatures: [String: Cosignature] = [:]
    var isTimerSet = false
    /// Set when a stop is requested: nothing new is begun after this time.
    var stopBy: Int64?
    var isStopped = false
    /// The last attempt was killed at its deadline.
    var isHanging = false
  }

  /// The node's public key.
  package let key: SSHPublicKey
  let journal: Journal
  let state: String
  let keyPath: String
  let keygen: SSHKeygen
  let files: any FileSystem
  let clock: @Sendable () -> Int64
  private let monotonic: @Sendable () -> Int64
  private let notice: @Sendable (NotaryNotice) -> Void
  private let cancellation = Cancellation()
  private let queue = DispatchQueue(label: "hotpot.notary", qos: .utility)
  private let shared: Mutex<State>
  /// The newest checkpoint as a note, and the one that witnesses cosigned last.
  let notes = Mutex<(signed: SignedNote?, cosigned: SignedNote?)>((nil, nil))

  /// - state: the state directory, for `checkpoint` and `checkpoint.sig`.
  /// - keyPath: the private key, made by `SSHKeygen.makeKey`, or a `.pub` file whose private half
  ///   ssh-agent holds.
  /// - clock: microseconds since 1970-01-01 00:00 UTC; may jump.
  /// - monotonic: microseconds of a clock that never goes back, for what is due when.
  package init(
    journal: Journal, state: String, key: SSHPublicKey, keyPath: String, keygen: SSHKeygen = SSHKeygen(),
    files: any FileSystem = POSIXFileSystem(), clock: @escaping @Sendable () -> Int64,
    monotonic: @escaping @Sendable () -> Int64 = Notary.monotonicTime,
    notice: @escaping @Sendable (NotaryNotice) -> Void
  ) {
    self.journal = journal
    self.state = state
    self.key = key
    self.keyPath = keyPath
    self.keygen = keygen.cancelled(by: cancellation)
    self.files = files
    self.clock = clock
    self.monotonic = monotonic
    self.notice = notice
    shared = Mutex(State(schedule: CheckpointSchedule(signed: 0)))
  }

  package static let monotonicTime: @Sendable () -> Int64 = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
  }

  /// Signs the log as found, and any segments that a crash left unsigned. Returns at once.
  package func start() {
    queue.async {
      self.loadCurrent()
      self.loadCosignatures()
      self.signUnsignedSegments()
      if self.journal.read({ $0.tree.size }) > 0, self.mayBegin {
        self.signNow()
      } else {
        self.check()
      }
    }
  }

  /// Call it on `JournalNotice.committed`. Returns at once.
  package func committed() { queue.async { self.check() } }

  /// Call it on `JournalNotice.sealed`. Returns at once.
  package func sealed(segment: Int) {
    queue.async {
      guard self.mayBegin else { return }
      self.signSegment(segment)
      if self.mayBegin { self.signNow() }
    }
  }

  /// The newest signed checkpoint, or nil before the first.
  package var current: SignedCheckpoint? { shared.withLock { $0.current } }

  /// The newest cosignature of each witness, independent of the other witnesses'. The largest
  /// checkpoint comes first.
  package var cosignatures: [Cosignature] {
    shared.withLock { state in
      state.cosignatures.values.sorted { ($1.checkpoint.size, $0.witness) < ($0.checkpoint.size, $1.witness) }
    }
  }

  /// Signs what is unsigned, then ends. Waits up to `stopTime`, and then for the call in progress,
  /// which is killed at ssh-keygen's deadline. If calls hang, it waits for no further one.
  package func stop() {
    let by = monotonic() + Self.stopTime
    shared.withLock { $0.stopBy = min($0.stopBy ?? by, by) }
    queue.sync {
      if self.shared.withLock({ !$0.isStopped }), self.mayBegin { self.signNow() }
      self.shared.withLock { $0.isStopped = true }
    }
  }

  /// How many microseconds a stopped notary continues to sign what was waiting.
  static let stopTime: Int64 = 3_000_000

  /// Kills the call in progress and begins no other, so `stop` returns at once. Whatever is
  /// unsigned gets signed at the next start.
  package func cancel() {
    shared.withLock { $0.stopBy = .min }
    cancellation.cancel()
  }

  /// If one call hangs, all do, so the rest is left for later.
  private var mayBegin: Bool {
    let now = monotonic()
    return shared.withLock { !$0.isHanging && now <= $0.stopBy ?? .max }
  }

  private func check() {
    let size = journal.read { $0.tree.size }
    let now = monotonic()
    let due = shared.withLock { state -> CheckpointSchedule.Due in
      guard state.stopBy == nil else { return .nothing }
      let due = state.schedule.due(receipts: size, at: now)
      if case .later = due {
        // One timer at a time: when it fires, this check runs again.
        if state.isTimerSet { return .nothing }
        state.isTimerSet = true
      }
      return due
    }
    switch due {
    case .nothing: break
    case .now: signNow()
    case .later(let wait):
      queue.asyncAfter(deadline: .now() + .microseconds(Int(wait))) {
        self.shared.withLock { $0.isTimerSet = false }
        self.check()
      }
    }
  }

  private func loadCurrent() {
    do throws(FileError) {
      let text = try files.readAll(state + "/checkpoint", limit: 4096)
      let signature = try files.readAll(state + "/checkpoint.sig", limit: 16_384)
      let checkpoint: Checkpoint
      do throws(FormatError) {
        checkpoint = try Checkpoint(parsing: String(decoding: text, as: UTF8.self))
      } catch {
        // Journal.open has already made the journal read-only in this case.
        return
      }
      shared.withLock {
        $0.current = SignedCheckpoint(
          checkpoint: checkpoint, signature: String(decoding: signature, as: UTF8.self))
        $0.schedule.signed(checkpoint.size)
      }
    } catch {
      if !error.isMissing { notice(.failed(.file(error))) }
    }
  }

  private func loadCosignatures() {
    for (path, kept) in Cosignature.all(in: state, files) {
      do {
        let cosignature = try kept.get()
        let root = journal.read { $0.tree.root(at: cosignature.checkpoint.size) }
        // After a repair the log may be shorter than what a witness saw, or the key may have
        // changed.
        guard cosignature.checkpoint.origin == key.origin, root == cosignature.checkpoint.root else {
          continue
        }
        shared.withLock { $0.cosignatures[cosignature.witness] = cosignature }
      } catch let error as FileError {
        notice(.failed(.file(error)))
      } catch { notice(.failed(.foreignCheckpoint("'\(path)': \(error)"))) }
    }
  }

  private func signNow() {
    let last = shared.withLock { $0.current?.checkpoint }
    let head = journal.read { catalog in
      (
        size: catalog.tree.size, root: catalog.tree.root,
        before: last.flatMap { catalog.tree.root(at: $0.size) }
      )
    }
    if let last, last.size == head.size, last.root == head.root, last.origin == key.origin,
      shared.withLock({ $0.schedule.due(receipts: head.size, at: monotonic()) == .nothing })
    {
      return
    }
    let now = clock()
    do throws(NotaryError) {
      if let last, last.origin == key.origin, head.before != last.root {
        throw .shrunk(signed: last.size, found: head.size)
      }
      let checkpoint = Checkpoint(
        origin: key.origin, size: head.size, root: head.root, time: max(now, 0),
        previous: last?.sha256 ?? .zero)
      let text = Array(checkpoint.text.utf8)
      let signature: String
      do throws(SignatureError) {
        signature = try keygen.sign(text, key: keyPath, namespace: Checkpoint.namespace)
      } catch { throw .signature(error) }
      do throws(FileError) {
        try files.replaceFile(state + "/checkpoint.sig", with: Array(signature.utf8), in: state)
        try files.replaceFile(state + "/checkpoint", with: text, in: state)
      } catch { throw .file(error) }
      do throws(JournalError) {
        try journal.append(
          [.checkpointSigned(CheckpointSigned(size: head.size, root: head.root, sha256: checkpoint.sha256))],
          at: now)
      } catch { throw .journal(error) }
      shared.withLock {
        $0.current = SignedCheckpoint(checkpoint: checkpoint, signature: signature)
        $0.schedule.signed(head.size)
        $0.isHanging = false
      }
      notice(.signed(checkpoint))
    } catch {
      failed(error)
    }
    // Requeued instead of called: an attempt that is due again at once must not starve the queue's
    // other work.
    queue.async { self.check() }
  }

  private func failed(_ error: NotaryError) {
    let now = monotonic()
    shared.withLock {
      $0.schedule.failed(at: now)
      if case .signature(let problem) = error { $0.isHanging = problem.isHang } else { $0.isHanging = false }
    }
    notice(.failed(error))
  }

  private func signSegment(_ segment: Int) {
    let path = "\(journal.directory)/\(JournalWriter.name(segment)).jsonl"
    do throws(NotaryError) {
      let signature: String
      do throws(SignatureError) {
        signature = try keygen.sign(file: path, key: keyPath, namespace: Notary.segmentNamespace)
      } catch { throw .signature(error) }
      do throws(FileError) {
        try files.replaceFile(path + ".sig", with: Array(signature.utf8), in: journal.directory)
      } catch { throw .file(error) }
      notice(.sealed(segment: segment))
    } catch { failed(error) }
  }

  private func signUnsignedSegments() {
    do throws(FileError) {
      let names = Set(try files.list(journal.directory))
      for number in names.compactMap(JournalRecovery.number).sorted() {
        let name = JournalWriter.name(number)
        if names.contains(name + ".rollup"), names.contains(JournalWriter.name(number + 1) + ".jsonl"),
          !names.contains(name + ".jsonl.sig")
        {
          // A week without ssh-keygen leaves many segments unsigned; the next start signs the rest.
          guard mayBegin else { return }
          signSegment(number)
        }
      }
    } catch { notice(.failed(.file(error))) }
  }

  // MARK: Witnesses

  /// The keys whose cosignatures this node keeps, as an allowed_signers text: the file `witnesses`
  /// of the state directory. Its owner writes it, or `accept` does with the owner's approval.
  package var trustedWitnesses: String {
    get throws(NotaryError) {
      do throws(FileError) {
        guard try files.status(state + "/witnesses") != nil else { return "" }
        return String(decoding: try files.readAll(state + "/witnesses", limit: 1 << 20), as: UTF8.self)
      } catch { throw .file(error) }
    }
  }

  /// Verifies a witness' signature over one of this log's checkpoints, keeps it beside those of
  /// others, and records it.
  /// - text: the checkpoint's text as the witness signed it.
  /// - ownersWitnesses: the text of an allowed_signers file of keys that the node's owner trusts
  ///   from now on; nil accepts only those that were trusted before.
  /// - Returns: what was kept.
  @discardableResult
  package func accept(cosignature signature: String, over text: String, ownersWitnesses: String?)
    throws(NotaryError) -> Cosignature
  {
    let trusted = try trustedWitnesses
    let allowedWitnesses = trusted + (ownersWitnesses ?? "")
    let checkpoint: Checkpoint
    do throws(FormatError) { checkpoint = try Checkpoint(parsing: text) } catch {
      throw .foreignCheckpoint(error.description)
    }
    guard checkpoint.origin == key.origin else {
      throw .foreignCheckpoint("its origin is '\(checkpoint.origin)', this log's is '\(key.origin)'")
    }
    guard journal.read({ $0.tree.root(at: checkpoint.size) }) == checkpoint.root else {
      throw .foreignCheckpoint("its root at \(receiptCount(checkpoint.size)) is not this log's")
    }
    let witness: SSHPublicKey
    do throws(SignatureError) {
      witness = try keygen.verify(
        Array(text.utf8), signature: signature, namespace: Witness.namespace,
        allowedSigners: allowedWitnesses,
        time: clock())
    } catch { throw .signature(error) }
    guard witness != key else { throw .foreignCheckpoint("it is made with this node's own key") }
    // Adds only the key that was used, whatever else is in the owner's file.
    if !trusted.contains(Base64.format(witness.blob)) {
      let line = "witness namespaces=\"\(Witness.namespace)\" \(witness.text)\n"
      do throws(FileError) {
        try files.replaceFile(
          state + "/witnesses",
          with: Array((trusted.isEmpty || trusted.hasSuffix("\n") ? trusted : trusted + "\n").utf8)
            + Array(line.utf8), in: state)
      } catch { throw .file(error) }
    }
    let own: String
    do throws(SignatureError) {
      own = try keygen.sign(Array(text.utf8), key: keyPath, namespace: Checkpoint.namespace)
    } catch { throw .signature(error) }
    do throws(JournalError) {
      try journal.append(
        [
          .checkpointWitnessed(
            CheckpointWitnessed(size: checkpoint.size, root: checkpoint.root, witness: witness.fingerprint))
        ], at: clock())
    } catch { throw .journal(error) }
    let kept = Cosignature(
      checkpoint: checkpoint, signature: signature, witness: witness.fingerprint,
      signed: SignedCheckpoint(checkpoint: checkpoint, signature: own))
    let isNewer = shared.withLock { state in
      guard checkpoint.size >= state.cosignatures[kept.witness]?.checkpoint.size ?? 0 else { return false }
      state.cosignatures[kept.witness] = kept
      return true
    }
    if isNewer {
      do throws(FileError) {
        try files.ensureDirectory(Cosignature.directory(state))
        try files.replaceFile(
          Cosignature.path(state, witness: kept.witness), with: Array(kept.fileText.utf8),
          in: Cosignature.directory(state))
      } catch { throw .file(error) }
    }
    return kept
  }
}
