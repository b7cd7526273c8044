// SignatureCheck.swift: checks every signature in a state directory: of the checkpoint, of sealed
// segments and of witnesses. The journal's own chain is checked by Journal.check. Start at
// SignatureCheck.init.

/// Which signatures of a state directory are valid.
package struct SignatureCheck: Sendable {
  /// Size of the newest checkpoint; nil if none was signed yet.
  package private(set) var checkpointSize: Int?
  /// How many sealed segments have a valid signature.
  package private(set) var segments = 0
  /// How many of those were signed by an earlier key of this node, as named in the journal.
  package private(set) var byEarlierKeys = 0
  /// Numbers of sealed segments without a signature.
  package private(set) var unsigned: [Int] = []
  /// How many cosignatures of witnesses are valid.
  package private(set) var cosignatures = 0
  /// What is invalid, in words.
  package private(set) var faults: [String] = []

  /// - keys: fingerprints named in the journal's records of starts.
  /// - check: what the journal's own check found.
  /// - now: microseconds since 1970, which ssh-keygen needs.
  package init(
    state: String, keys: Set<String>, check: JournalCheck, at now: Int64, keygen: SSHKeygen = SSHKeygen()
  ) throws(NotaryError) {
    let files = POSIXFileSystem()
    func read(_ path: String, _ limit: Int) throws(NotaryError) -> [UInt8]? {
      do throws(FileError) {
        guard try files.status(path) != nil else { return nil }
        return try files.readAll(path, limit: limit)
      } catch { throw .file(error) }
    }
    let own: SSHPublicKey
    do throws(SignatureError) { own = try keygen.publicKey(at: state + "/key.pub") } catch {
      throw .signature(error)
    }

    /// Whether the signature is valid, and by whose key.
    func holds(_ bytes: [UInt8], _ signature: String, _ namespace: String, _ what: String) -> SSHPublicKey? {
      do {
        let key = try SSHSignature(parsing: signature).key
        guard key == own || keys.contains(key.fingerprint) else {
          faults.append("\(what) is signed by \(key.fingerprint), which is no key of this node")
          return nil
        }
        return try keygen.verify(
          bytes, signature: signature, namespace: namespace,
          allowedSigners: "hotpot namespaces=\"\(namespace)\" \(key.text)\n", time: now)
      } catch {
        faults.append("the signature of \(what): \(error)")
        return nil
      }
    }

    if let text = try read(state + "/checkpoint", 4096) {
      let signature = try read(state + "/checkpoint.sig", 16_384) ?? []
      let signer = holds(
        text, String(decoding: signature, as: UTF8.self), Checkpoint.namespace, "'\(state)/checkpoint'")
      do throws(FormatError) {
        let checkpoint = try Checkpoint(parsing: String(decoding: text, as: UTF8.self))
        if let signer, signer.origin != checkpoint.origin {
          faults.append(
            "the checkpoint's origin is '\(checkpoint.origin)', its signer's log is '\(signer.origin)'")
        }
        if checkpoint.size > check.receipts
          || checkpoint.size == check.receipts && checkpoint.root != check.root
        {
          faults.append(
            "the checkpoint signs a log of \(checkpoint.size) receipts, which the journal of \(check.receipts) does not hold"
          )
        }
        if signer != nil { checkpointSize = checkpoint.size }
      } catch { faults.append("'\(state)/checkpoint': \(error)") }
    }

    let directory = state + "/journal"
    let names: Set<String>
    do throws(FileError) { names = Set(try files.list(directory)) } catch { throw .file(error) }
    for number in names.compactMap(JournalRecovery.number).sorted() {
      let name = JournalWriter.name(number)
      let isSealed = names.contains(JournalWriter.name(number + 1) + ".jsonl")
      guard names.contains(name + ".jsonl.sig") else {
        if isSealed { unsigned.append(number) }
        continue
      }
      let path = "\(directory)/\(name).jsonl"
      guard let bytes = try read(path, .max), let signature = try read(path + ".sig", 16_384) else {
        continue
      }
      if let signer = holds(
        bytes, String(decoding: signature, as: UTF8.self), Notary.segmentNamespace, "'\(path)'")
      {
        segments += 1
        if signer != own { byEarlierKeys += 1 }
      }
    }

    for (path, kept) in Cosignature.all(in: state, files) {
      do {
        let cosignature = try kept.get()
        let key = try SSHSignature(parsing: cosignature.signature).key
        try keygen.verify(
          Array(cosignature.checkpoint.text.utf8), signature: cosignature.signature,
          namespace: Witness.namespace,
          allowedSigners: "witness namespaces=\"\(Witness.namespace)\" \(key.text)\n", time: now)
        guard key.fingerprint == cosignature.witness,
          holds(
            Array(cosignature.checkpoint.text.utf8), cosignature.signed.signature, Checkpoint.namespace,
            "'\(path)'") != nil
        else { continue }
        cosignatures += 1
      } catch { faults.append("the cosignature '\(path)': \(error)") }
    }
  }
}
