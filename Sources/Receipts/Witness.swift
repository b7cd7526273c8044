// Witness.swift: someone else's key over a checkpoint, given only if the log continues what that witness saw before.
// Leaves out how checkpoint and proof travel. Start at Witness.cosign.

/// Why a witness refused.
public enum WitnessError: Error, Hashable, Sendable, CustomStringConvertible {
  case format(FormatError)
  case signature(SignatureError)
  case wrongOrigin(found: String, wanted: String)
  /// The log is smaller than the one cosigned before.
  case older(seen: Int, found: Int)
  /// Same size, other root: the log shows different faces.
  case fork(size: Int)
  case noProof(from: Int, to: Int)
  case inconsistent(from: Int, to: Int)

  public var description: String {
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
    }
  }
}

/// A witness: remembers the last checkpoint of each log that it cosigned.
public enum Witness {
  public static let namespace = "witness@hotpot"

  /// Checks the log's signature and that it continues `seen`, then signs the same text with the witness' key.
  /// - seen: the last checkpoint of this log that the witness cosigned; nil for the first. The caller stores the one
  ///   that is returned before it hands out the signature.
  /// - proof: from `seen` to this checkpoint; needed when both sizes differ and `seen` is not empty.
  /// - allowedSigners: the log's key as an allowed_signers text.
  public static func cosign(
    text: String, signature: String, seen: Checkpoint?, proof: ConsistencyProof?, allowedSigners: String,
    key: String,
    keygen: SSHKeygen = SSHKeygen()
  ) throws(WitnessError) -> (checkpoint: Checkpoint, cosignature: String) {
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
    if let seen { try check(checkpoint, continues: seen, proof) }
    do throws(SignatureError) {
      return (checkpoint, try keygen.sign(Array(text.utf8), key: key, namespace: namespace))
    } catch { throw .signature(error) }
  }

  /// Whether `checkpoint` continues `seen`.
  static func check(_ checkpoint: Checkpoint, continues seen: Checkpoint, _ proof: ConsistencyProof?)
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

/// A number of receipts in a message.
func receiptCount(_ count: some BinaryInteger) -> String { count == 1 ? "1 receipt" : "\(count) receipts" }
