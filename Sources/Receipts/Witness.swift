// Witness.swift: someone else's signature over a checkpoint, given only if the log continues what
// that witness saw before.
// How checkpoint and proof travel is the caller's. Start at WitnessMemory.cosign.
import Glibc

/// Why a witness refused.
package enum WitnessError: Error, Hashable, Sendable, CustomStringConvertible {
  case format(FormatError)
  case signature(SignatureError)
  case wrongOrigin(found: String, wanted: String)
  /// The log is smaller than the one cosigned before.
  case older(seen: Int, found: Int)
  /// Same size, different root: the log is forked.
  case fork(size: Int)
  case noProof(from: Int, to: Int)
  case inconsistent(from: Int, to: Int)
  /// What was seen before cannot be read or saved.
  case file(FileError)
  /// Another process is cosigning with this memory and does not end.
  case busy(path: String)

  package var description: String {
    switch self {
    case .format(let error): error.description
    case .signature(let error): error.description
    case .wrongOrigin(let found, let wanted):
      "the checkpoint's origin is '\(found)', its key's is '\(wanted)'"
    case .older(let seen, let found): "the log has \(receiptCount(found)), this witness has seen \(seen)"
    case .fork(let size):
      "this witness has seen another log of \(receiptCount(size)): keep both checkpoints as evidence"
    case .noProof(let from, let to): "a consistency proof from \(from) to \(receiptCount(to)) is needed"
    case .inconsistent(let from, let to):
      "the log of \(receiptCount(to)) does not continue the \(from) seen before"
    case .file(let error): error.description
    case .busy(let path): "'\(path)' is held by another witness process, which has not ended"
    }
  }
}

/// What a witness checks.
package enum Witness {
  package static let namespace = "witness@hotpot"

  /// Checks a checkpoint's signature by the log's own key.
  /// - allowedSigners: the log's key as an allowed_signers text.
  static func signed(
    text: String, signature: String, allowedSigners: String, keygen: SSHKeygen
  ) throws(WitnessError) -> Checkpoint {
    let checkpoint: Checkpoint
    do throws(FormatError) { checkpoint = try Checkpoint(parsing: text) } catch { throw .format(error) }
    let signer: SSHPublicKey
    do throws(SignatureError) {
      signer = try keygen.verify(
        Array(text.utf8), signature: signature, namespace: Checkpoint.namespace,
        allowedSigners: allowedSigners,
        time: checkpoint.time)
    } catch { throw .signature(error) }
    guard signer.origin == checkpoint.origin else {
      throw .wrongOrigin(found: checkpoint.origin, wanted: signer.origin)
    }
    return checkpoint
  }

  /// Whether `checkpoint` continues `seen`.
  package static func check(_ checkpoint: Checkpoint, continues seen: Checkpoint, _ proof: ConsistencyProof?)
    throws(WitnessError)
  {
    guard seen.origin == checkpoint.origin else {
      throw .wrongOrigin(found: checkpoint.origin, wanted: seen.origin)
    }
    guard checkpoint.size >= seen.size else { throw .older(seen: seen.size, found: checkpoint.size) }
    if checkpoint.size == seen.size {
      guard checkpoint.root == seen.root else { throw .fork(size: seen.size) }
      return
    }
    let path: [SHA256Digest]
    if let proof {
      guard proof.from == seen.size, proof.to == checkpoint.size else {
        throw .noProof(from: seen.size, to: checkpoint.size)
      }
      path = proof.path
    } else {
      guard seen.size == 0 else { throw .noProof(from: seen.size, to: checkpoint.size) }
      path = []
    }
    guard
      MerkleTree.checkConsistency(
        old: seen.size, oldRoot: seen.root, new: checkpoint.size, newRoot: checkpoint.root, path: path)
    else { throw .inconsistent(from: seen.size, to: checkpoint.size) }
  }
}

/// A witness: a directory that remembers the last checkpoint of each log that it cosigned.
///
/// Rule: reading what was seen, checking, writing what is seen now and signing happen in this
/// order, under one lock of the directory. Why: two processes that both read before either writes
/// would each cosign a fork, and a signature made before the memory is on the disk may outlive it.
/// So: all cosigning goes through `cosign`. Otherwise: a forked log gets this witness' signature on
/// both branches.
package struct WitnessMemory: Sendable {
  private let directory: String
  private let patience: Double
  private let files = POSIXFileSystem()

  /// - directory: made (0700), with its parents, if it does not exist.
  /// - patience: seconds to wait for another process.
  package init(directory: String, patience: Double = 20) {
    self.directory = directory
    self.patience = patience
  }

  /// Checks the log's signature and that it continues what was seen, remembers it, then signs the
  /// same text.
  ///
  /// If signing fails the checkpoint stays remembered: it was valid, and it is cosigned at the next
  /// request.
  /// - proof: from the last checkpoint seen to this one; needed if the sizes differ and the last is
  ///   not empty.
  /// - allowedSigners: the log's key as an allowed_signers text.
  /// - key: the witness' own; nil uses the directory's, which is made if there is none.
  /// - Returns: with `seen` the size that was cosigned last, nil for the first time.
  package func cosign(
    text: String, signature: String, proof: ConsistencyProof?, allowedSigners: String, key: String?,
    keygen: SSHKeygen = SSHKeygen()
  ) throws(WitnessError) -> (checkpoint: Checkpoint, seen: Int?, cosignature: String) {
    try locked { () throws(WitnessError) in
      let checkpoint = try Witness.signed(
        text: text, signature: signature, allowedSigners: allowedSigners, keygen: keygen)
      let memory = memoryPath(origin: checkpoint.origin)
      let seen = try read(memory)
      if let seen { try Witness.check(checkpoint, continues: seen, proof) }
      let path = key ?? keyPath
      if key == nil {
        do throws(SignatureError) { _ = try keygen.makeKey(at: path) } catch { throw .signature(error) }
      }
      do throws(FileError) { try remember(memory, checkpoint.text) } catch { throw .file(error) }
      do throws(SignatureError) {
        return (
          checkpoint, seen?.size, try keygen.sign(Array(text.utf8), key: path, namespace: Witness.namespace)
        )
      } catch { throw .signature(error) }
    }
  }

  /// The private key's file.
  var keyPath: String { directory + "/key" }

  /// The digest of the origin is safe in a path, whatever the origin is.
  func memoryPath(origin: String) -> String { directory + "/" + SHA256.hash(Array(origin.utf8)).hex }

  /// - text: a checkpoint's, or that of a note
  func remember(_ memory: String, _ text: String) throws(FileError) {
    try files.replaceFile(memory, with: Array(text.utf8), in: directory)
  }

  /// Runs `body` while no other process cosigns with this memory.
  func locked<T>(_ body: () throws(WitnessError) -> T) throws(WitnessError) -> T {
    let lock = try lock()
    defer {
      // Unlocked explicitly, not by closing: a child between fork and exec has it open too.
      _ = flock(lock, LOCK_UN)
      _ = close(lock)
    }
    return try body()
  }

  /// What was seen last, over files or as a note; of a note without our two lines, which say
  /// nothing of the log.
  func read(_ memory: String) throws(WitnessError) -> Checkpoint? {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try files.readAll(memory, limit: 4096) } catch {
      if error.code == ENOENT { return nil }
      throw .file(error)
    }
    // Damage must not restart the memory: that would allow cosigning a fork.
    do throws(FormatError) {
      let head = try LogHead(parsing: String(decoding: bytes, as: UTF8.self))
      return Checkpoint(origin: head.origin, size: head.size, root: head.root, time: 0, previous: .zero)
    } catch {
      throw .format(FormatError(what: memory, line: error.line, wanted: error.wanted))
    }
  }

  func makeDirectory() throws(FileError) {
    var parent = directory[...]
    if let slash = parent.lastIndex(of: "/") { parent = parent[..<slash] }
    for path in [String(parent), directory] where mkdir(path, 0o700) != 0 && errno != EEXIST {
      throw FileError(call: "mkdir", path: path, code: errno)
    }
  }

  private func lock() throws(WitnessError) -> Int32 {
    do throws(FileError) { try makeDirectory() } catch { throw .file(error) }
    let path = directory + "/lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .file(FileError(call: "open", path: path, code: errno)) }
    let pause: UInt32 = 20_000
    var left = Int(patience * 1e6 / Double(pause))
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      guard code == EWOULDBLOCK || code == EINTR, left > 0 else {
        _ = close(descriptor)
        throw code == EWOULDBLOCK || code == EINTR
          ? .busy(path: path) : .file(FileError(call: "flock", path: path, code: code))
      }
      left -= 1
      usleep(pause)
    }
    return descriptor
  }
}

/// A number of receipts, for a message.
func receiptCount(_ count: some BinaryInteger) -> String { count == 1 ? "1 receipt" : "\(count) receipts" }
