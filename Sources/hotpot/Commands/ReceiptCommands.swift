// ReceiptCommands.swift: `hotpot receipts`: the log of receipts. Checking one without trusting
// anyone is in Verify.swift.

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
      Option("wait", "with export: until the receipt is under a signed checkpoint, at most 10 seconds"),
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
      let text = try await bundle(words[1], earlier, waits: arguments.has("wait"), control)
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

  /// A receipt that was logged a moment ago is under the next checkpoint only.
  private static func bundle(
    _ id: String, _ earlier: Int?, waits: Bool, _ control: ControlClient
  ) async throws -> String {
    for attempt in 1... {
      do {
        guard case .bundle(_, let text) = try control.ask(ExportReceipt(id: id, earlier: earlier)) else {
          throw control.unexpected
        }
        return text
      } catch var failure as Failure where failure.message.contains("try again in a second") {
        failure.code = .tryAgain
        failure.hint = "'--wait' waits for it"
        guard waits, attempt < 20 else { throw failure }
        try await Task.sleep(for: .milliseconds(500))
      }
    }
    throw control.unexpected
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

  /// A checkpoint's text, alone or with its signature as `GET /v1/checkpoint` gives it.
  static func checkpoint(_ bytes: [UInt8]) throws -> Checkpoint {
    let whole = String(decoding: bytes, as: UTF8.self)
    return try Checkpoint(
      parsing: whole.contains("-----BEGIN SSH SIGNATURE-----") ? split(whole).text : whole)
  }

  /// A transcript file, or the node's own answer with `return_token_ids`.
  static func transcript(_ bytes: [UInt8]) throws -> Receipts.Transcript {
    guard SavedAnswer.isLikely(bytes) else {
      return try Receipts.Transcript(parsing: String(decoding: bytes, as: UTF8.self))
    }
    do throws(SavedAnswerError) {
      return try SavedAnswer(bytes).opening.get()
    } catch { throw Failure(.badData, error.description, hint: error.hint) }
  }

  static func readFile(_ path: String) throws -> [UInt8] { try UserFile.read(path) }
}
