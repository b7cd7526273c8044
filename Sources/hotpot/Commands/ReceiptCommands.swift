// ReceiptCommands.swift: `hotpot receipts` and `hotpot verify`: the log of receipts, and checking
// one without trusting anyone.

import Accounting
import Control
import Foundation
import Node
import Receipts

extension Command {
  static let receipts = Command(
    name: "receipts", summary: "the node's log of receipts",
    operands: "[list | show ID | export ID | cosign CHECKPOINT SIGNATURE | check | repair]",
    details: """
      export writes a bundle to standard output: receipt, proof, checkpoint, signature and the node's key. Anyone checks it
      with 'hotpot verify', or with ssh-keygen, sha256sum and base64 as hotpot-receipt(5) shows.

      cosign brings a witness' signature to the node, which keeps the newest of each. Only keys that the node's owner trusts
      count: those of --witnesses, if the owner says so, and from then on.

      check reads the whole journal again, with its chain, and checks every signature of it. repair is for a journal that a node refuses to write: it shows what
      is damaged and what would be moved aside, and does it when the node's name is typed or with --yes. Nothing is deleted.
      Both want a node that does not run.
      """,
    options: NodeSetup.commonOptions + [
      .json,
      Option(
        "transcript", value: "FILE",
        "with export: put the client's transcript, or its answer, into the bundle"),
      Option(
        "witnesses", value: "FILE",
        "with cosign: allowed_signers of witnesses whom the node is to trust from now on; the owner's word"),
      Option(
        "earlier", value: "FILE",
        "with export: a checkpoint that the reader holds; a proof from it comes along"),
      Option("yes", "with repair: do it without asking"),
      Option("name", value: "NAME", "with repair: the node's name, if it was started with --name"),
    ]
  ) { arguments in
    let words = try arguments.operands(0...3, "")
    if words == ["check"] { return try checkJournal(arguments) }
    if words == ["repair"] { return try repairJournal(arguments) }
    let control = try ControlClient(arguments)
    switch words.first ?? "list" {
    case "cosign" where words.count == 3:
      let (text, _) = try split(String(decoding: readFile(words[1]), as: UTF8.self))
      let signature = String(decoding: try readFile(words[2]), as: UTF8.self)
      let witnesses = try arguments.string("witnesses").map {
        String(decoding: try readFile($0), as: UTF8.self)
      }
      let reply = try control.ask(Cosign(checkpoint: text, signature: signature, witnesses: witnesses ?? ""))
      guard case .done(_, let said) = reply else { throw control.unexpected }
      Console.print(said)
    case "list":
      let rows = try control.snapshot().receipts.recent
      if arguments.has("json") { try Console.print(json: rows) } else { Console.write(receiptTable(rows)) }
    case "show" where words.count == 2:
      let detail = try control.receipt(words[1])
      if arguments.has("json") {
        Console.pour(detail.line)
      } else {
        Console.write(StatusPage.table(detail.fields))
      }
    case "export" where words.count == 2:
      let earlier = try arguments.string("earlier").map { try checkpoint(readFile($0)).size }
      guard
        case .bundle(_, let text) = try control.ask(ExportReceipt(id: words[1], earlier: earlier))
      else {
        throw control.unexpected
      }
      var bundle = try ReceiptBundle(parsing: text)
      if let path = arguments.string("transcript") {
        bundle.transcript = try transcript(readFile(path)).text
      }
      Console.pour(bundle.text)
    default:
      throw Failure(
        .usage, "'\(words.joined(separator: " "))' is not understood",
        hint: "'hotpot receipts --help' shows the usage")
    }
    return .ok
  }

  private static func receiptTable(_ rows: [ReceiptRow]) -> String {
    if rows.isEmpty { return "no receipts yet\n" }
    return StatusPage.table(
      [["RECEIPT", "INDEX", "CLIENT", "PROMPT", "OUTPUT", "AMOUNT", "STATE", "AUDIT"]]
        + rows.map { row in
          let audit: String =
            switch row.audit {
            case .unaudited: "unaudited"
            case .running: "running"
            case .audited: "identical"
            case .failed(let difference): "FAILED: \(difference)"
            case .notRun(let reason): "failed to run: \(reason)"
            }
          return [
            row.id, "\(row.index)", row.client, "\(row.promptTokens)", "\(row.outputTokens)",
            row.amount.map { Amount(micro: $0).description } ?? "-", row.state.rawValue, audit,
          ]
        })
  }

  static let verifyReceipt = Command(
    name: "verify", summary: "check a receipt, with or without running the model again", operands: "BUNDLE",
    details: """
      Without more, the receipt, its signature and its place in the log are checked. With --answer, the node's answer as it was
      saved, whole, as a stream or cut: what its receipt commits to, its counts, and what it says of itself. With --request the
      settings of your own request are compared. With --model the token ids are decoded and compared with the answer's text, its
      log-probabilities with the model's, your request is rendered and compared with the prompt, and the model runs again: the
      first difference is named. An answer without token ids is generated again from your request.
      What was not checked is said to be "not checked", and what no check can say follows. Exit code 0 only if every check that
      was asked for holds.
      """,
    options: [
      Option("answer", letter: "a", value: "FILE", "the node's answer as you saved it"),
      Option("request", letter: "r", value: "FILE", "the JSON that you sent"), .model,
      Option("transcript", letter: "t", value: "FILE", "nonces and tokens alone, or an answer"),
      Option("signers", value: "FILE", "allowed_signers of keys that you trust"),
      Option("revoked", value: "FILE", "keys that are revoked"),
      Option(
        "earlier", value: "FILE", "a checkpoint of the same log from before, with or without its signature"),
      Option("proof", value: "FILE", "a consistency proof from it, where the bundle has none"),
      Option("witnesses", value: "FILE", "allowed_signers of witnesses that you trust"),
      Option("threads", value: "N", "threads for running the model"), .json,
    ]
  ) { arguments in
    let path = try arguments.operands(1...1, "a bundle")[0]
    let bundle = try ReceiptBundle(parsing: String(decoding: readFile(path), as: UTF8.self))
    var proof = try receiptProof(
      bundle, answer: arguments.string("answer") ?? arguments.string("transcript"),
      request: arguments.string("request"))
    if arguments.has("answer"), let file = arguments.string("transcript") {
      proof.evidence.transcript = try transcript(readFile(file))
    }
    var asked: Set<Verification.Name> = []
    if let path = arguments.string("signers") {
      proof.evidence.allowedSigners = String(decoding: try readFile(path), as: UTF8.self)
    }
    proof.evidence.revoked = try arguments.string("revoked").map(UserFile.readable)
    if let path = arguments.string("earlier") {
      proof.evidence.earlier = try checkpoint(readFile(path))
      asked.insert(.consistency)
    }
    if let path = arguments.string("proof") {
      proof.evidence.consistency = try ConsistencyProof(
        parsing: String(decoding: readFile(path), as: UTF8.self))
    }
    if let path = arguments.string("witnesses") {
      proof.evidence.witnesses = String(decoding: try readFile(path), as: UTF8.self)
      asked.insert(.witness)
    }
    if arguments.has("model") {
      let model = try ModelChoice.path(arguments)
      let threads = try arguments.int("threads", in: 1...1024)
      let unrun = proof
      proof = try await OwnThread.run {
        var proof = unrun
        proof.run(on: { () throws(ServingError) in try Reexecutor(path: model, threads: threads) }) {
          done, total in
          Console.progress(done == total ? nil : "running \(done) of \(total) tokens")
        }
        return proof
      }
    }
    let verification = Verification(proof.bundle, evidence: proof.evidence)
    let passes = verification.passes(asking: proof.asked.union(asked))
    if arguments.has("json") {
      try Console.print(json: VerdictPage(verification, ok: passes))
    } else {
      Console.write(
        StatusPage.table(
          verification.checks.map {
            [$0.name.rawValue, $0.result == .failed ? "FAILED" : $0.result.word, $0.detail]
          }))
      for words in verification.unproved { Console.print("not checked: \(words)") }
    }
    return passes ? .ok : .failed
  }

  /// A receipt with its client's files.
  private static func receiptProof(
    _ bundle: ReceiptBundle, answer: String?, request: String?
  ) throws -> ReceiptProof {
    let answer = try answer.map(readFile)
    let request = try request.map(readFile)
    do throws(SavedAnswerError) {
      return try ReceiptProof(bundle, answer: answer, request: request)
    } catch { throw Failure(.badData, error.description, hint: error.hint) }
  }

  /// A checkpoint's text, alone or with its signature as `GET /v1/checkpoint` gives it.
  private static func checkpoint(_ bytes: [UInt8]) throws -> Checkpoint {
    let whole = String(decoding: bytes, as: UTF8.self)
    return try Checkpoint(
      parsing: whole.contains("-----BEGIN SSH SIGNATURE-----") ? split(whole).text : whole)
  }

  /// A transcript file, or the node's own answer with `return_token_ids`.
  private static func transcript(_ bytes: [UInt8]) throws -> Receipts.Transcript {
    guard SavedAnswer.isLikely(bytes) else {
      return try Receipts.Transcript(parsing: String(decoding: bytes, as: UTF8.self))
    }
    do throws(SavedAnswerError) {
      return try SavedAnswer(bytes).opening.get()
    } catch { throw Failure(.badData, error.description, hint: error.hint) }
  }

  static func readFile(_ path: String) throws -> [UInt8] { try UserFile.read(path) }
}

/// What `hotpot verify --json` prints.
private struct VerdictPage: Encodable {
  struct Row: Encodable {
    let name: String
    let result: String
    let detail: String
  }

  let ok: Bool
  let checks: [Row]
  let notChecked: [String]

  enum CodingKeys: String, CodingKey {
    case ok, checks
    case notChecked = "not_checked"
  }

  init(_ verification: Verification, ok: Bool) {
    self.ok = ok
    checks = verification.checks.map {
      Row(name: $0.name.rawValue, result: $0.result.word, detail: $0.detail)
    }
    notChecked = verification.unproved
  }
}
