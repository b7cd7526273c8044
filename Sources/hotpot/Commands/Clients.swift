// Clients.swift: who may ask the node, and what they paid: `hotpot clients`, `hotpot earnings`, `hotpot settle`.

import Accounting
import Foundation
import Node

extension Command {
  static let clients = Command(
    name: "clients", summary: "who may ask for what, and spend how much",
    operands: "[list | add NAME | revoke NAME | budget NAME AMOUNT|none]",
    details: """
      add prints a bearer token once; the node keeps its SHA-256 only. revoke takes effect at once. budget is the most
      that a client may spend, counted from all that was posted.
      """,
    options: NodeSetup.commonOptions + [.json]
  ) { arguments in
    let words = try arguments.operands(0...3, "")
    let control = try ControlClient(arguments)
    switch words.first ?? "list" {
    case "list":
      guard case .clients(_, let rows) = try control.ask({ .clients(tag: $0) }) else {
        throw control.unexpected
      }
      if arguments.has("json") {
        try Console.print(json: rows)
      } else {
        Console.write(StatusPage.clients(rows))
      }
    case "add" where words.count == 2:
      guard case .token(_, let name, let token) = try control.ask({ .addClient(tag: $0, name: words[1]) })
      else {
        throw control.unexpected
      }
      if arguments.has("json") {
        try Console.print(json: ["name": name, "token": token])
      } else {
        Console.print(token)
        Console.note("hotpot: this token of '\(name)' is shown once; the node keeps its SHA-256 only\n")
      }
    case "revoke" where words.count == 2:
      try finish(control.ask { .revokeClient(tag: $0, name: words[1]) }, arguments)
    case "budget" where words.count == 3:
      let amount = words[2] == "none" ? "" : words[2]
      try finish(control.ask { .limitClient(tag: $0, name: words[1], budget: amount) }, arguments)
    default:
      throw Failure(
        .usage, "'\(words.joined(separator: " "))' is not understood",
        hint: "'hotpot clients --help' shows the usage")
    }
    return .ok
  }

  static let settle = Command(
    name: "settle", summary: "record a payment of a client", operands: "CLIENT AMOUNT --reference R",
    options: NodeSetup.commonOptions + [
      .json, Option("reference", value: "R", "what the payment is called elsewhere; each only once"),
    ]
  ) { arguments in
    let words = try arguments.operands(2...2, "a client and an amount")
    guard let reference = arguments.string("reference") else {
      throw Failure(.usage, "'--reference' is missing", hint: "it keeps a payment from being recorded twice")
    }
    let control = try ControlClient(arguments)
    try finish(
      control.ask { .settle(tag: $0, client: words[0], amount: words[1], reference: reference) }, arguments)
    return .ok
  }

  static let earnings = Command(
    name: "earnings", summary: "what the node is owed, and what was paid",
    options: NodeSetup.commonOptions + [.json]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let snapshot = try ControlClient(arguments).snapshot()
    if arguments.has("json") {
      try Console.print(json: snapshot.earnings)
    } else {
      Console.write(StatusPage.earnings(snapshot))
    }
    return .ok
  }

  private static func finish(_ reply: ControlReply, _ arguments: Arguments) throws {
    guard case .done(_, let words) = reply else {
      throw Failure(.internalError, "the node answered something else than was asked")
    }
    if arguments.has("json") {
      try Console.print(json: ["ok": "true", "message": words])
    } else {
      Console.print(words)
    }
  }
}
