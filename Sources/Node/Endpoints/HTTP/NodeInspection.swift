// NodeInspection.swift: reads what somebody's node publishes, and checks it: the same key and a log
// that only grew since the last visit, here and wherever else the key was seen; who cosigned it; and
// sample receipts, which are run again. Not here: how files travel and what is remembered (the command),
// visits with jobs (NodeCheck.swift). Start at NodeInspection.run.
import JSON
import Receipts

/// What a node says of itself in its card, of which no more is kept than a visit looks at.
package struct PublishedCard: Sendable {
  /// As it is shown.
  package let name: String
  package let key: SSHPublicKey
  package let models: [(name: String, digest: String)]
  package let witnesses: [NoteKey]
  /// Ids of receipts: nothing else becomes a path.
  package let samples: [String]

  /// - bytes: `.well-known/hotpot.json`
  package init(_ bytes: [UInt8]) throws {
    let value = try JSONText.parse(bytes)
    guard let text = value["key"]?.string, let key = SSHPublicKey(parsing: text) else {
      throw TileProblem("'\(PublishedFile.card)' names no key")
    }
    self.key = key
    name = Verification.shown(value["name"]?.string ?? "")
    models = (value["models"]?.array ?? []).prefix(64).compactMap { model in
      model["name"]?.string.flatMap { name in
        model["sha256"]?.string.map { (name: name, digest: $0) }
      }
    }
    witnesses = (value["witnesses"]?.array ?? []).prefix(64).compactMap {
      $0.string.flatMap { NoteKey(parsing: $0) }
    }
    samples = (value["samples"]?.array ?? []).prefix(1_024).compactMap(\.string).filter {
      Publication.isID($0)
    }
  }
}

package struct NodeInspection {
  /// Reads a published file by its path; nil if there is none.
  package typealias Read = (_ path: String) throws -> [UInt8]?

  private let read: Read
  private let machine: Reexecutor?
  private let keygen: SSHKeygen
  private let witnesses: [NoteKey]

  /// - machine: the model that the samples are run by; nil checks all but re-execution
  /// - witnesses: keys of witnesses that the visitor trusts
  package init(
    machine: Reexecutor?, witnesses: [NoteKey], keygen: SSHKeygen = SSHKeygen().remembering(),
    read: @escaping Read
  ) {
    self.read = read
    self.machine = machine
    self.keygen = keygen
    self.witnesses = witnesses
  }

  /// - samples: how many sample receipts are checked, in an order that the node cannot foresee
  /// - known: what was remembered of this place
  /// - elsewhere: what was remembered of this key at other places
  package func run(
    samples: Int, known: KnownNode?, elsewhere: (SSHPublicKey) -> [(place: String, node: KnownNode)]
  ) -> VisitReport {
    var report = VisitReport()
    report.known = known
    let card: PublishedCard
    do { card = try PublishedCard(try need(PublishedFile.card)) } catch {
      report.add("node", .failed, "\(error)")
      return report
    }
    let models = card.models.map { "\($0.name), SHA-256 \($0.digest.prefix(16))..." }
    report.add(
      "node", .ok,
      "\(card.name) says that it runs \(models.isEmpty ? "nothing" : models.joined(separator: "; "))"
    )
    if let known, known.key != card.key {
      report.add(
        "key", .failed,
        "its key is \(card.key.fingerprint), at the last visit it was \(known.key.fingerprint)")
      return report
    }
    report.add(
      "key", .ok,
      card.key.fingerprint
        + (known == nil ? ", seen for the first time: compare it" : ", as before"))

    var log: TiledLog
    let note: SignedNote?
    do {
      (log, note) = try readLog(card.key)
    } catch {
      report.add("log", .failed, "\(error)")
      return report
    }
    let others = elsewhere(card.key)
    let head = LogHead(origin: card.key.origin, size: log.size, root: log.root)
    do {
      if let known { try Self.compare(&log, with: known.head, "at the last visit", card.key) }
      // A copy may lag behind what another place shows; there it is compared.
      for other in others where other.node.head.size <= log.size {
        try Self.compare(&log, with: other.node.head, "at \(other.place)", card.key)
      }
      let seen =
        (known == nil ? [] : ["at the last visit"])
        + others.filter { $0.node.head.size <= log.size }.map { "at \($0.place)" }
      let ahead = others.filter { $0.node.head.size > log.size }.map {
        "; \($0.node.head.size) were seen at \($0.place), which has to be looked at again"
      }
      let size = log.size == 1 ? "1 receipt" : "\(log.size) receipts"
      let words =
        seen.isEmpty
        ? "nothing to compare it with" : "it continues what was seen \(seen.joined(separator: ", "))"
      report.add("log", .ok, "\(size), signed; \(words)\(ahead.joined())")
      report.known = KnownNode(key: card.key, head: head)
    } catch {
      report.add("log", .failed, "\(error)")
    }
    cosigned(note, card, &report)
    check(card, samples, &log, &report)
    return report
  }

  private func need(_ path: String) throws -> [UInt8] {
    guard let bytes = try read(path) else { throw TileProblem("it publishes no '\(path)'") }
    return bytes
  }

  // MARK: the log

  /// The longer of both checkpoints, the tree under it, and the note.
  private func readLog(_ key: SSHPublicKey) throws -> (TiledLog, SignedNote?) {
    let signed = try SignedCheckpoint(
      parsing: String(decoding: try need(PublishedFile.signedCheckpoint), as: UTF8.self))
    var heads = [try signed.head(by: key, keygen: keygen)]
    var note: SignedNote?
    if let bytes = try read(PublishedFile.checkpoint) {
      let found = try SignedNote(parsing: String(decoding: bytes, as: UTF8.self))
      let head = try LogHead(parsing: found.text)
      guard head.origin == key.origin, let own = NoteKey(log: key),
        let signature = found.signature(of: own)
      else {
        throw TileProblem("its note has no signature by its key")
      }
      switch own.verify(signature, over: Array(found.text.utf8)) {
      case .holds: note = found
      case .wrong: throw TileProblem("the signature of its note does not hold")
      case .cannotTell:
        throw TileProblem("there is no libcrypto here, which checks signatures of notes")
      }
      heads.append(head)
    }
    heads.sort { $0.size < $1.size }
    guard let last = heads.last else { throw TileProblem("it publishes no checkpoint") }
    var log = try TiledLog(size: last.size, root: last.root) { try need($0.text) }
    for head in heads where try log.root(at: head.size) != head.root {
      throw TileProblem(
        "FORKED: \(key.fingerprint) signed two logs of \(head.size), with the roots \(head.root) and \(try log.root(at: head.size))"
      )
    }
    return (log, note)
  }

  /// - Throws: words, if the log does not continue a head that was seen
  private static func compare(
    _ log: inout TiledLog, with seen: LogHead, _ place: String, _ key: SSHPublicKey
  ) throws(TileProblem) {
    guard seen.size <= log.size else {
      throw TileProblem(
        "ROLLED BACK: it has \(log.size) receipts, and \(key.fingerprint) signed \(seen.size) \(place): what came after is hidden or gone"
      )
    }
    let root = try log.root(at: seen.size)
    guard root == seen.root else {
      throw TileProblem(
        "FORKED: of the first \(seen.size) receipts the root is \(root), and \(place) \(key.fingerprint) signed \(seen.root)"
      )
    }
  }

  private func cosigned(_ note: SignedNote?, _ card: PublishedCard, _ report: inout VisitReport) {
    guard let note else {
      return report.add("witnesses", .notChecked, "it publishes no note, which witnesses cosign")
    }
    var trusted: [String] = []
    var named = 0
    for key in Set(witnesses + card.witnesses)
    where key.name != card.key.origin && note.signature(of: key) != nil {
      switch NoteCosignature.time(of: note, by: key) {
      case .failure(let problem): return report.add("witnesses", .failed, "\(problem)")
      case .success:
        if witnesses.contains(key) { trusted.append(key.name) } else { named += 1 }
      }
    }
    let others = named == 0 ? "" : "; by \(named) more, which the node itself names"
    guard trusted.isEmpty else {
      return report.add(
        "witnesses", .ok, "cosigned by \(trusted.sorted().joined(separator: ", "))\(others)")
    }
    report.add(
      "witnesses", .notChecked,
      "no cosignature by a witness that you trust\(witnesses.isEmpty ? ": '--witnesses' names them" : "")\(others)"
    )
  }

  // MARK: samples

  private func check(_ card: PublishedCard, _ count: Int, _ log: inout TiledLog, _ report: inout VisitReport)
  {
    let chosen = card.samples.shuffled().prefix(count)
    guard !chosen.isEmpty else {
      report.add("samples", .notChecked, "it publishes no sample receipts")
      return report.add("re-execution", .notChecked, "there is nothing to run")
    }
    var wrong: String?
    var bits: String?
    var ran = 0
    for id in chosen {
      do {
        let checks = try verify(id, card, &log).checks
        if let broken = checks.first(where: { $0.result == .failed && $0.name != .reexecution }) {
          wrong = wrong ?? "receipt \(id): \(broken.name.rawValue): \(broken.detail)"
        }
        switch checks.first(where: { $0.name == .reexecution }) {
        case let check? where check.result == .failed:
          bits = bits ?? "receipt \(id): \(check.detail)"
        case let check? where check.result == .ok: ran += 1
        default: break
        }
      } catch { wrong = wrong ?? "receipt \(id): \(error)" }
    }
    report.add(
      "samples", wrong == nil ? .ok : .failed,
      wrong
        ?? "\(chosen.count) of \(card.samples.count), which the node made itself, are in its log and hold"
    )
    if let bits {
      report.add("re-execution", .failed, bits)
    } else if ran > 0 {
      report.add(
        "re-execution", .ok, "\(ran) of \(chosen.count) samples are the model's, to the bit")
    } else {
      let why = machine == nil ? "no model was given" : "no sample is of the model that was given"
      report.add(
        "re-execution", .notChecked,
        "\(why): that these tokens come from these weights is the node's word")
    }
  }

  /// - Throws: words, if the sample is not in the log or none
  private func verify(_ id: String, _ card: PublishedCard, _ log: inout TiledLog) throws -> Verification {
    let bundle = try ReceiptBundle(
      parsing: String(decoding: try need("receipts/\(id)"), as: UTF8.self))
    var proof = try ReceiptProof(bundle)
    proof.evidence.allowedSigners = ReceiptBundle.allowedSigners(card.key)
    let line = Array(bundle.receipt.utf8)
    let leaf = SHA256.leaf(line)
    guard leaf.hex.hasPrefix(id) else { throw TileProblem("the file holds another receipt") }
    guard let receipt = proof.receipt else { throw TileProblem("the file holds no receipt") }
    guard try log.leaf(at: receipt.index) == leaf else {
      throw TileProblem("it is not at place \(receipt.index) of the published log")
    }
    let checkpoint = try Checkpoint(parsing: bundle.checkpoint)
    if checkpoint.size <= log.size {
      guard try log.root(at: checkpoint.size) == checkpoint.root else {
        throw TileProblem(
          "FORKED: its checkpoint of \(checkpoint.size) is none of the published log")
      }
    }
    if let machine, machine.digest == receipt.modelSHA256 {
      proof.run(on: { () throws(ServingError) in machine })
    }
    return proof.verify(keygen: keygen)
  }
}
