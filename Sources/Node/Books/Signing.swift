// Signing.swift: the node's key and what it signs: checkpoints, and witnesses' signatures over
// them. Not here: the log (ReceiptLog), receipts inside of answers (InlineReceipts), statements
// (Accounts). Start at makeKey.
import Control
import Dispatch
import Receipts
import Scheduling
import Synchronization

final class Signing: Sendable {
  let runtime: Runtime
  /// For receipts inside of answers, each signed alone.
  let inlineQueue = DispatchQueue(label: "hotpot.inline", qos: .userInitiated)
  private let stateDirectory: String
  private let inner = Mutex<Notary?>(nil)

  init(_ runtime: Runtime, stateDirectory: String) {
    self.runtime = runtime
    self.stateDirectory = stateDirectory
  }

  var notary: Notary? { inner.withLock { $0 } }
  var keyPath: String { stateDirectory + "/key" }

  /// Loads the key, or makes one, and the notary that signs with it; nothing is signed yet.
  /// - Throws: only if everything that this node signs would bear a name that belongs to nobody.
  func makeKey() throws(SignatureError) {
    let keygen = SSHKeygen()
    do throws(SignatureError) {
      let key = try keygen.makeKey(at: keyPath)
      do throws(SignatureError) {
        try keygen.checkKey(at: keyPath)
      } catch .foreignKey(let path, let found, let wanted) {
        throw .foreignKey(path: path, found: found, wanted: wanted)
      } catch {
        runtime.note(
          .warning, "whether '\(keyPath).pub' is the public half of '\(keyPath)' cannot be checked: \(error)")
      }
      let notary = Notary(
        journal: runtime.journal, state: stateDirectory, key: key, keyPath: keyPath, keygen: keygen,
        clock: { NodeClock.now().wall }
      ) { [weak self] in self?.hear($0) }
      inner.withLock { $0 = notary }
      runtime.state.withLock { $0.receipts.keyFingerprint = key.fingerprint }
    } catch {
      switch error {
      case .badKey, .foreignKey: throw error
      case .missing, .hung, .cancelled, .failed, .file, .format, .wrongNamespace, .unknownSigner,
        .notAllowed, .doesNotHold:
        runtime.send(.signingFailed("\(error)"))
      }
    }
  }

  /// The node's signature over a receipt's line, alone; nil while there is no key.
  func sign(receiptLine line: [UInt8]) throws(SignatureError) -> String? {
    guard notary != nil else { return nil }
    return try SSHKeygen().sign(line, key: keyPath, namespace: InlineReceipt.namespace)
  }

  private func hear(_ notice: NotaryNotice) {
    switch notice {
    case .signed(let checkpoint):
      runtime.send(.checkpointSigned(size: UInt64(checkpoint.size), time: checkpoint.time))
    case .sealed: break
    case .failed(let error): runtime.send(.signingFailed("\(error)"))
    }
  }

  /// Accepts a witness' signature over a checkpoint of this log, by a key that the node's owner
  /// trusts.
  /// - ownersWitnesses: keys that the owner trusts from now on; nil from anyone else
  func cosign(
    _ text: String, _ signature: String, _ ownersWitnesses: String?, by who: Operator
  ) -> Result<String, AdministrationError> {
    guard let notary else { return .failure(AdministrationError("this node signs no checkpoints")) }
    let cosigned: Cosignature
    do throws(NotaryError) {
      cosigned = try notary.accept(cosignature: signature, over: text, ownersWitnesses: ownersWitnesses)
    } catch {
      if case .signature(.unknownSigner(let fingerprint)) = error, ownersWitnesses == nil {
        return .failure(
          AdministrationError(
            "\(fingerprint) is no witness that this node's owner trusts; the owner brings a key's first cosignature with '--witnesses FILE'"
          ))
      }
      return .failure(AdministrationError("\(error)"))
    }
    runtime.send(.witnessed(size: UInt64(clamping: cosigned.checkpoint.size)))
    let words = "witnessed up to \(counted(Int(cosigned.checkpoint.size), "receipt")) by \(cosigned.witness)"
    runtime.note(.act, who: who.name, words)
    return .success(words)
  }

  /// What proves a receipt anywhere, and the checkpoint that it is made for; nil before one that covers
  /// the receipt is signed.
  func bundle(of logged: LoggedReceipt) -> (bundle: ReceiptBundle, under: SignedCheckpoint)? {
    // A checkpoint that a witness cosigned is worth more than a newer one. The signatures of all
    // other witnesses are included beside it.
    guard let notary else { return nil }
    let journal = runtime.journal
    let cosigned = notary.cosignatures.filter { $0.checkpoint.size > logged.receipt.index }
    guard let signed = cosigned.first?.signed ?? notary.current,
      var bundle = ReceiptBundle(logged, journal: journal, under: signed, key: notary.key)
    else { return nil }
    bundle.witness = cosigned.first?.signature
    for other in cosigned.dropFirst().prefix(ReceiptBundle.maximumCosigned) {
      guard let proof = journal.proof(of: logged.receipt.index, under: other.checkpoint) else { continue }
      bundle.cosigned.append(.init(proof: proof, signature: other.signature))
    }
    if let note = notary.cosignedNote {
      bundle.note = journal.noteProof(of: logged.receipt.index, under: note)?.text
    }
    return (bundle, signed)
  }
}
