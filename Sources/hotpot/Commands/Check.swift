// Check.swift: `hotpot check`: sends a node some jobs as a stranger, verifies everything that comes
// back, and remembers the node as ssh remembers a host. What is checked is in NodeCheck. Start at
// Command.check.

import Foundation
import Intake
import Node
import Receipts

extension Command {
  static let check = Command(
    name: "check", summary: "send a node some jobs, and verify all that comes back",
    operands: "[URL | HOST[:PORT]]",
    details: """
      An https address is verified by the system's authorities, or by those in the file that SSL_CERT_FILE names.
      Where only ssh leads to a node, '--ssh HOST' goes that way, to the address as it is seen from there.
      Asks for varied answers, in every protocol, whole and as streams, with all kinds of samplers, tools and a schema, and
      checks of each: the settings and the prompt, the text and calls, the log-probabilities, the counts, the price against the
      published ones, the receipt, its place in the log, and that every checkpoint continues the one before, from the last visit
      on. With --model, the file that the node
      says it runs, every answer is run again, to the bit; without, this is said to be not checked. A node's key and its newest
      checkpoint are remembered in 'known_nodes' of the state directory: another key or a forked log is shouted.
      The jobs cost what the node charges. Exit code 0 only if nothing is wrong.
      """,
    options: [
      Option("token", letter: "t", value: "TOKEN", "a bearer token of yours at that node"),
      Option("token-file", value: "FILE", "the same from a file, which no list of processes shows"),
      Option("jobs", letter: "n", value: "N", "how many jobs, default 16"), .model, SSHForward.option,
      Option("threads", value: "N", "threads for running the model"),
      Option("state", value: "DIR", "the state directory"), .json,
    ]
  ) { arguments in
    let jobs = try arguments.int("jobs", in: 1...100_000) ?? 16
    var token = arguments.string("token")
    if let file = arguments.string("token-file") {
      token = String(decoding: try readFile(file), as: UTF8.self).trimmingCharacters(
        in: .whitespacesAndNewlines)
    }
    let fields =
      ["Content-Type: application/json"] + (token.map { ["Authorization: Bearer \($0)"] } ?? [])
    let place = try SSHForward.place(arguments)
    defer { place.way?.end() }
    let url = place.url
    do throws(HTTPCallError) { _ = try HTTPCall(url) } catch {
      throw Failure(.usage, error.description, hint: error.hint)
    }
    let directory = try NodeSetup.stateDirectory(arguments)
    try UserFile.makeDirectory(directory)
    var book = try KnownNodes(directory + "/known_nodes")
    let known = book[place.name]
    let model = arguments.has("model") ? try ModelChoice.path(arguments) : nil
    let threads = try arguments.int("threads", in: 1...1024)
    let report = try await OwnThread.run {
      let machine = try model.map { try Reexecutor(path: $0, threads: threads) }
      let check = NodeCheck(
        machine: machine, pause: { usleep(250_000) },
        progress: { Console.progress("job \($0 + 1) of \(jobs)") }
      ) { (method, path, body) throws(HTTPCallError) in
        try HTTPCall(url + path).send(method, body ?? [], fields: fields, timeout: .seconds(600))
      }
      let report = check.run(jobs: jobs, known: known)
      Console.progress(nil)
      return report
    }
    book[place.name] = report.known
    try book.write()
    return try show(
      report, of: place.name,
      good:
        "nothing is wrong with this node, as far as these jobs can tell\(model == nil ? "; no model was run" : "")",
      json: arguments.has("json"))
  }

  /// `http://HOST:PORT` without a slash at its end.
  static func address(_ place: String) -> String {
    guard !place.contains("://") else {
      return place.hasSuffix("/") ? String(place.dropLast()) : place
    }
    return "http://\(place)\(place.contains(":") ? "" : ":8114")"
  }
}
