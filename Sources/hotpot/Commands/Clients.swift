// Clients.swift: `hotpot clients`, `hotpot earnings` and `hotpot settle`: who may send jobs, what
// they owe and what they paid. They ask the node that runs, or use the state directory itself
// (BooksAccess). The decisions are made in Node. Start at the commands.

import Accounting
import Control
import Foundation
import Node

extension Command {
  static let clients = Command(
    name: "clients", summary: "who may ask for what, and spend how much",
    operands:
      "[list | add NAME [FILE.pub] | revoke NAME | limit NAME | budget NAME AMOUNT|none | key NAME FILE.pub|none | voucher NAME [FILE FILE.sig]]",
    details: """
      Works on a node that runs, and without one on its state directory.

      add prints a bearer token once; the node keeps its SHA-256 only. With FILE.pub it takes the client's SSH key too.
      revoke takes effect at once: no more requests, and the client's jobs end; what they did is receipted and owed.

      limit sets what its options name and leaves the rest: hotpot clients limit bob --models smollm2 --jobs 2 --budget 5.00
      The budget is the most that a client may spend, counted from all that was posted.

      key tells the SSH key that a client signs its vouchers with. A voucher is a promise to pay all that is owed so far, up
      to an amount. The client writes five lines to bob.txt and signs them:

        hotpot voucher v1
        node SHA256:(the node's key, from GET /v1/vouchers or ssh-keygen -lf STATE/key.pub)
        client bob
        owes 12.50 EUR
        time 1764000000000000

        ssh-keygen -Y sign -f ~/.ssh/id_ed25519 -n voucher@hotpot bob.txt

      and brings both by POST /v1/vouchers as {"text": ..., "signature": ...}, or the operator enters them:
      hotpot clients voucher bob bob.txt bob.txt.sig. Without files, voucher prints the best one of a client with the key it
      holds for: proof of its debt.
      """,
    options: NodeSetup.commonOptions + [
      .json,
      Option("models", value: "A,B|none", "limit: the models it may use"),
      Option("tokens-per-job", value: "N|none", "limit: prompt and answer of one job"),
      Option("jobs", value: "N|none", "limit: jobs at once"),
      Option("tokens-per-day", value: "N|none", "limit: prompts and answers of a day"),
      Option("priority", value: "N|none", "limit: the highest priority that it may ask for, 0 to 9"),
      Option("budget", value: "X|none", "limit: the most it may spend"),
    ]
  ) { arguments in
    let words = try arguments.operands(0...4, "")
    let limits = LimitChanges(
      models: arguments.string("models"), tokensPerJob: arguments.string("tokens-per-job"),
      jobs: arguments.string("jobs"), tokensPerDay: arguments.string("tokens-per-day"),
      priority: arguments.string("priority"), budget: arguments.string("budget"))
    guard words.first == "limit" || limits == LimitChanges() else {
      throw Failure(.usage, "limits are set by 'hotpot clients limit NAME'")
    }
    let misunderstood = Failure(
      .usage, "'\(words.joined(separator: " "))' is not understood",
      hint: "'hotpot clients --help' shows the usage")
    switch (words.first ?? "list", words.count) {
    case ("list", 0...1):
      let control = try BooksAccess(arguments)
      guard case .clients(_, let rows) = try control.ask(ListClients()) else {
        throw control.unexpected
      }
      if arguments.has("json") {
        try Console.print(json: rows)
      } else {
        Console.write(StatusPage.clients(rows))
      }
    case ("add", 2), ("add", 3):
      let key = words.count == 3 ? try publicKey(words[2]) : nil
      let control = try BooksAccess(arguments, makesState: true)
      guard case .token(_, let name, let token) = try control.ask(AddClient(name: words[1]))
      else {
        throw control.unexpected
      }
      if arguments.has("json") {
        try Console.print(json: ["name": name, "token": token])
      } else {
        Console.pour(token + "\n")
        Console.note("hotpot: this token of '\(name)' is shown once; the node keeps its SHA-256 only\n")
      }
      // Set after the token was printed: the token is shown only once, and setting the key may
      // fail.
      if let key { _ = try control.ask(SetKey(name: name, key: key)) }
    case ("revoke", 2):
      try finish(BooksAccess(arguments).ask(RevokeClient(name: words[1])), arguments)
    case ("limit", 2):
      guard limits != LimitChanges() else {
        throw Failure(.usage, "no limit is named", hint: "'hotpot clients --help' lists them")
      }
      try finish(
        BooksAccess(arguments).ask(SetLimits(name: words[1], changes: limits)), arguments)
    case ("budget", 3):
      let change = LimitChanges(budget: words[2])
      try finish(
        BooksAccess(arguments).ask(SetLimits(name: words[1], changes: change)), arguments)
    case ("key", 3):
      let key = words[2] == "none" ? "" : try publicKey(words[2])
      try finish(BooksAccess(arguments).ask(SetKey(name: words[1], key: key)), arguments)
    case ("voucher", 4):
      let text = try Console.readText(words[2], limit: 4096)
      let signature = try Console.readText(words[3], limit: 32_768)
      try finish(
        BooksAccess(arguments).ask(GiveVoucher(client: words[1], text: text, signature: signature)),
        arguments)
    case ("voucher", 2): try exportVoucher(words[1], arguments)
    default: throw misunderstood
    }
    return .ok
  }

  /// The text of an SSH public key's file.
  private static func publicKey(_ path: String) throws -> String {
    let key = try Console.readText(path, limit: 16_384)
    guard !key.contains("PRIVATE KEY") else {
      throw Failure(.badData, "'\(path)' is a private key", hint: "give the public one, which ends in .pub")
    }
    return key
  }

  private static func exportVoucher(_ client: String, _ arguments: Arguments) throws {
    let control = try BooksAccess(arguments)
    guard
      case .voucher(_, let text, let signature, let key) = try control.ask(ExportVoucher(client: client))
    else { throw control.unexpected }
    if arguments.has("json") {
      try Console.print(json: ["client": client, "text": text, "signature": signature, "key": key])
    } else {
      Console.pour(text + signature)
      Console.note("hotpot: it holds for this line of allowed_signers:\n\(client) \(key)\n")
    }
  }

  static let settle = Command(
    name: "settle", summary: "record a payment of a client, or state what it owes",
    operands: "CLIENT AMOUNT --reference R [--advance] | CLIENT AMOUNT --correct REASON | --statement CLIENT",
    details: """
      Nothing is ever deleted: a payment is recorded once by its reference, and what was posted wrongly is corrected by a
      transfer of its own, negative to give back: hotpot settle --correct goodwill -- bob -2.50

      A payment is of what is owed, so one that is more is refused; with --advance the client pays ahead, and what it owes
      later is paid from that.

      --statement prints what a client owes, signed by the node's key: the text, then its signature. With --output bob.txt
      they are written to bob.txt and bob.txt.sig, and the client checks them with stock ssh-keygen, where allowed_signers
      has the line 'node' and then the key that GET /v1/node shows:

        ssh-keygen -Y verify -f allowed_signers -I node -n statement@hotpot -s bob.txt.sig < bob.txt
      """,
    options: NodeSetup.commonOptions + [
      .json, Option("reference", value: "R", "what the payment is called elsewhere; each only once"),
      Option("advance", "the client pays ahead"),
      Option("correct", value: "REASON", "change what the client owes by the amount"),
      Option("statement", value: "CLIENT", "print what this client owes"),
      Option("since", value: "DATE", "statement: from this day on, such as 2026-11-01"),
      Option("until", value: "DATE", "statement: to this day, included; default today"),
      Option("csv", "statement: for spreadsheets, without a signature"),
      Option(
        "output", letter: "o", value: "FILE", "statement: write it to FILE and its signature to FILE.sig"),
    ]
  ) { arguments in
    if let client = arguments.string("statement") {
      _ = try arguments.operands(0...0, "")
      try state(client, arguments)
      return .ok
    }
    for name in ["since", "until", "csv", "output"] where arguments.has(name) {
      throw Failure(.usage, "'--\(name)' belongs to '--statement CLIENT'")
    }
    let words = try arguments.operands(
      2...2, arguments.operands.isEmpty ? "a client, and then an amount," : "the amount after the client")
    if let reason = arguments.string("correct") {
      guard !arguments.has("reference"), !arguments.has("advance") else {
        throw Failure(
          .usage, "'--correct' goes with neither '--reference' nor '--advance'; a correction is no payment")
      }
      let control = try BooksAccess(arguments)
      try finish(
        control.ask(Correct(client: words[0], amount: words[1], reason: reason)), arguments)
      return .ok
    }
    guard let reference = arguments.string("reference") else {
      throw Failure(.usage, "'--reference' is missing", hint: "it keeps a payment from being recorded twice")
    }
    let control = try BooksAccess(arguments)
    if arguments.has("advance") {
      try finish(
        control.ask(PayAhead(client: words[0], amount: words[1], reference: reference)), arguments)
      return .ok
    }
    try finish(
      control.ask(Settle(client: words[0], amount: words[1], reference: reference)), arguments)
    return .ok
  }

  private static func state(_ client: String, _ arguments: Arguments) throws {
    guard !arguments.has("csv") || !arguments.has("json") else {
      throw Failure(.usage, "'--csv' and '--json' are two forms; choose one")
    }
    let form: StatementForm = arguments.has("csv") ? .csv : arguments.has("json") ? .json : .text
    let control = try BooksAccess(arguments)
    let reply = try control.ask(
      MakeStatement(
        client: client, since: arguments.string("since"), until: arguments.string("until"), form: form))
    guard case .statement(_, let text, let signature) = reply else { throw control.unexpected }
    if let path = try arguments.string("output").map(UserFile.path) {
      // A special file has no file beside it: both parts go into a pipe, as onto the screen.
      let isOne = UserFile.isSpecial(path)
      try UserFile.write(Array((isOne ? text + (signature ?? "") : text).utf8), to: path)
      if let signature, !isOne { try UserFile.write(Array(signature.utf8), to: path + ".sig") }
    } else {
      Console.pour(text + (signature ?? ""))
    }
  }

  static let earnings = Command(
    name: "earnings", summary: "what the node is owed, and what was paid",
    details: """
      Jobs of demos, audits and the operator's own chat are never counted. --by sums over days, clients or models; days show
      their electricity and what is left after it too. --csv alone has a row for each day, client and model, with --by one for
      each sum; --json with --by or --since has all rows and all days. Without these options: today, the rate of the last hour,
      a projection of the day at that rate, and what is left for a million tokens and for an hour after electricity.
      """,
    options: NodeSetup.commonOptions + [
      .json, Option("by", value: "day|client|model", "sums by day, client or model"),
      Option("since", value: "DATE", "from this day on, such as 2026-11-01"),
      Option("csv", "for spreadsheets"),
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    var group: StatusPage.EarningsGroup?
    if let name = arguments.string("by") {
      guard let found = StatusPage.EarningsGroup(rawValue: name) else {
        throw Failure(.usage, "option '--by' wants day, client or model, found '\(name)'")
      }
      group = found
    }
    guard !arguments.has("csv") || !arguments.has("json") else {
      throw Failure(.usage, "'--csv' and '--json' are two forms; choose one")
    }
    let control = try BooksAccess(arguments)
    guard group != nil || arguments.has("since") || arguments.has("csv") else {
      let snapshot = try control.snapshot()
      if arguments.has("json") {
        try Console.print(json: snapshot.earnings)
      } else {
        Console.write(StatusPage.earnings(snapshot))
      }
      return .ok
    }
    guard
      case .earnings(_, let earned) = try control.ask(ShowEarnings(since: arguments.string("since")))
    else { throw control.unexpected }
    if arguments.has("csv") {
      Console.pour(group.map { StatusPage.csv(earned, by: $0) } ?? StatusPage.csv(earned))
    } else if arguments.has("json") {
      try Console.print(json: earned)
    } else {
      Console.write(StatusPage.earnings(earned, by: group ?? .day))
    }
    return .ok
  }

  private static func finish(_ reply: ControlReply, _ arguments: Arguments) throws {
    guard case .done(_, let words) = reply else {
      throw Failure(.internalError, "the node answered something else than was asked")
    }
    if arguments.has("json") {
      try Console.print(json: ActResult(ok: true, message: words))
    } else {
      Console.print(words)
    }
  }
}
