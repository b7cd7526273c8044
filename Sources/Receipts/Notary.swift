// Notary.swift: signs the log's head every 256 receipts or one second, sealed segments, and keeps witnesses' cosignatures.
// Runs on a queue of its own and never delays a job: when signing fails, receipts stay logged and the operator is
// told. Leaves out the log itself (Journal.swift). Start at Notary.init and CheckpointSchedule.
import Dispatch
import Synchronization

/// When the next checkpoint is due. A value without clock.
public struct CheckpointSchedule: Sendable, Hashable {
  public enum Due: Sendable, Hashable {
    case now
    /// Microseconds from now.
    case later(Int64)
    case nothing
  }

  /// Receipts that make a checkpoint due at once.
  public static let batch = 256
  /// Microseconds that a receipt waits at most.
  public static let patience: Int64 = 1_000_000

  private var signed: Int
  private var waitingSince: Int64?
  /// After a failure nothing is tried before this time.
  private var notBefore: Int64 = .min

  public init(signed: Int) { self.signed = signed }

  /// - receipts: in the log now.
  public mutating func due(receipts: Int, at now: Int64) -> Due {
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

  public mutating func signed(_ receipts: Int) {
    signed = receipts
    waitingSince = nil
    notBefore = .min
  }

  public mutating func failed(at now: Int64) { notBefore = now + Self.patience }
}

extension Int64 {
  fileprivate func subtractingClamped(_ other: Int64) -> Int64 {
    let (value, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : value
  }
}

/// A checkpoint with its signature, armored.
public struct SignedCheckpoint: Hashable, Sendable {
  public let checkpoint: Checkpoint
  public let signature: String

  public init(checkpoint: Checkpoint, signature: String) {
    self.checkpoint = checkpoint
    self.signature = signature
  }
}

/// A checkpoint with the signature of someone else's key, namespace `Witness.namespace`.
public struct Cosignature: Hashable, Sendable {
  public let checkpoint: Checkpoint
  public let signature: String
  /// Fingerprint.
  public let witness: String
  /// This node's own signature over the same text, so that a bundle can show both.
  public let signed: SignedCheckpoint
}

public enum NotaryError: Error, Hashable, Sendable, CustomStringConvertible {
  case signature(SignatureError)
  case file(FileError)
  case journal(JournalError)
  /// The log holds less than, or other than, what was signed: nothing is signed any more.
  case shrunk(signed: Int, found: Int)
  /// A cosignature for another text than one of this log's checkpoints.
  case foreignCheckpoint(String)

  public var description: String {
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

/// What a notary tells. Called on its queue; must return at once.
public enum NotaryNotice: Sendable, Hashable {
  case signed(Checkpoint)
  case sealed(segment: Int)
  /// Receipts stay logged and unsigned; it is tried again.
  case failed(NotaryError)
}

public final class Notary: Sendable {
  public static let segmentNamespace = "segment@hotpot"

  private struct State {
    var schedule: CheckpointSchedule
    var current: SignedCheckpoint?
    var cosignature: Cosignature?
    var isTimerSet = false
    var isStopped = false
  }

  /// The node's public key.
  public let key: SSHPublicKey
  private let journal: Journal
  private let state: String
  private let keyPath: String
  private let keygen: SSHKeygen
  private let files: any FileSystem
  private let clock: @Sendable () -> Int64
  private let notice: @Sendable (NotaryNotice) -> Void
  private let queue = DispatchQueue(label: "hotpot.notary", qos: .utility)
  private let shared: Mutex<State>

  /// - state: the state directory, for `checkpoint` and `checkpoint.sig`.
  /// - keyPath: the private key, made by `SSHKeygen.makeKey`, or a `.pub` file whose private half ssh-agent holds.
  /// - clock: microseconds since 1970-01-01 00:00 UTC.
  public init(
    journal: Journal, state: String, key: SSHPublicKey, keyPath: String, keygen: SSHKeygen = SSHKeygen(),
    files: any FileSystem = POSIXFileSystem(), clock: @escaping @Sendable () -> Int64,
    notice: @escaping @Sendable (NotaryNotice) -> Void
  ) {
    self.journal = journal
    self.state = state
    self.key = key
    self.keyPath = keyPath
    self.keygen = keygen
    self.files = files
    self.clock = clock
    self.notice = notice
    shared = Mutex(State(schedule: CheckpointSchedule(signed: 0)))
  }

  /// Signs the log as it was found, and segments that a crash left unsigned. Returns at once.
  public func start() {
    queue.async {
      self.loadCurrent()
      self.signUnsignedSegments()
      if self.journal.read({ $0.tree.size }) > 0 { self.signNow() }
    }
  }

  /// To be called on `JournalNotice.committed`. Returns at once.
  public func committed() { queue.async { self.check() } }

  /// To be called on `JournalNotice.sealed`. Returns at once.
  public func sealed(segment: Int) {
    queue.async {
      self.signSegment(segment)
      self.signNow()
    }
  }

  /// The newest signed checkpoint, or nil before the first.
  public var current: SignedCheckpoint? { shared.withLock { $0.current } }

  /// The newest cosignature, or nil.
  public var cosignature: Cosignature? { shared.withLock { $0.cosignature } }

  /// Signs what is not signed yet and ends. Waits, at most for the deadline of ssh-keygen.
  public func stop() {
    queue.sync {
      if self.shared.withLock({ !$0.isStopped }) { self.signNow() }
      self.shared.withLock { $0.isStopped = true }
    }
  }

  private func check() {
    let size = journal.read { $0.tree.size }
    let now = clock()
    let due = shared.withLock { state -> CheckpointSchedule.Due in
      guard !state.isStopped else { return .nothing }
      let due = state.schedule.due(receipts: size, at: now)
      if case .later = due {
        // One timer at a time: when it fires, this looks again.
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
        // Journal.open has already refused to write in this case.
        return
      }
      shared.withLock {
        $0.current = SignedCheckpoint(
          checkpoint: checkpoint, signature: String(decoding: signature, as: UTF8.self))
        $0.schedule.signed(checkpoint.size)
      }
    } catch {
      if error.code != 2 { notice(.failed(.file(error))) }
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
      shared.withLock({ $0.schedule.due(receipts: head.size, at: clock()) == .nothing })
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
      }
      notice(.signed(checkpoint))
    } catch {
      shared.withLock { $0.schedule.failed(at: now) }
      notice(.failed(error))
    }
    check()
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
    } catch { notice(.failed(error)) }
  }

  private func signUnsignedSegments() {
    do throws(FileError) {
      let names = Set(try files.list(journal.directory))
      for number in names.compactMap(JournalRecovery.number).sorted() {
        let name = JournalWriter.name(number)
        if names.contains(name + ".rollup"), names.contains(JournalWriter.name(number + 1) + ".jsonl"),
          !names.contains(name + ".jsonl.sig")
        {
          signSegment(number)
        }
      }
    } catch { notice(.failed(.file(error))) }
  }

  // MARK: Witnesses

  /// Takes a witness' signature over one of this log's checkpoints, and records it.
  /// - text: the checkpoint's text as the witness signed it.
  /// - allowedWitnesses: the text of an allowed_signers file of keys whose cosignatures count.
  public func accept(cosignature signature: String, over text: String, allowedWitnesses: String)
    throws(NotaryError)
  {
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
    shared.withLock {
      if checkpoint.size >= $0.cosignature?.checkpoint.size ?? 0 {
        $0.cosignature = Cosignature(
          checkpoint: checkpoint, signature: signature, witness: witness.fingerprint,
          signed: SignedCheckpoint(checkpoint: checkpoint, signature: own))
      }
    }
  }
}
