// Inspect.swift: `hotpot inspect`: reads what a node publishes, from an address or a directory, checks
// it, and remembers the node as ssh remembers a host. What is checked is in NodeInspection. Start at
// Command.inspect.

import Foundation
import Intake
import Node
import Receipts

extension Command {
  static let inspect = Command(
    name: "inspect", summary: "read what a node publishes, and check it",
    operands: "[URL | HOST[:PORT] | DIRECTORY]",
    details: """
      Reads what 'hotpot publish' writes, from the node's door, a web server or a directory, and checks that the key is that of
      the last visit, that the log only grew since then and since that key was seen anywhere else, that its tiles give the
      signed root, who cosigned it, and that the sample receipts are in it and hold. With --model, the file that the node says it
      runs, the samples are run again, to the bit; without, this is said to be not checked. Another key, a log that is forked or
      that lost what it had, is shouted. The node is remembered in 'known_nodes' of the state directory, as by 'hotpot check'.
      An https address is verified by the system's authorities, or by those in the file that SSL_CERT_FILE names.
      Where only ssh leads to a node, '--ssh HOST' goes that way, to the address as it is seen from there.
      Exit code 0 only if nothing is wrong.
      """,
    options: [
      .model, SSHForward.option,
      Option(
        "samples", letter: "n", value: "N", "how many sample receipts, drawn by lot; default 4"),
      Option(
        "witnesses", value: "FILE",
        "keys of witnesses that you trust, as notes have them, one a line"),
      Option("threads", value: "N", "threads for running the model"),
      Option("state", value: "DIR", "the state directory"), .json,
    ]
  ) { arguments in
    let named =
      arguments.has("ssh") ? "" : try arguments.operands(1...1, "an address or a directory")[0]
    let samples = try arguments.int("samples", in: 0...64) ?? 4
    let threads = try arguments.int("threads", in: 1...1024)
    let lines = try arguments.string("witnesses").map { try UserFile.readText($0) } ?? ""
    let witnesses = try lines.split(separator: "\n").map { line in
      guard let key = NoteKey(parsing: line), key.kind == .witness else {
        throw Failure(
          .badData, "'\(line.prefix(80))' is no witness key, wanted NAME+ID+KEY",
          hint: "'hotpot witness key' prints a node's")
      }
      return key
    }
    let place: String
    var way: SSHForward?
    defer { way?.end() }
    let read: @Sendable (String) throws -> [UInt8]?
    if !arguments.has("ssh"), UserFile.isDirectory(named) {
      let directory = try UserFile.absolute(named)
      // One word, as a line of the memory wants it.
      place =
        "file://"
        + (directory.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? directory)
      read = { path in
        let whole = "\(directory)/\(path)"
        guard FileManager.default.fileExists(atPath: whole) else { return nil }
        return try UserFile.read(whole, limit: 4 << 20)
      }
    } else {
      let found = try SSHForward.place(arguments)
      let url = found.url
      way = found.way
      do throws(HTTPCallError) { _ = try HTTPCall(url) } catch {
        throw Failure(.usage, error.description, hint: error.hint)
      }
      place = found.name
      read = { path in
        let answer = try HTTPCall("\(url)/\(path)").send("GET", timeout: .seconds(30))
        switch answer.status {
        case 200: return answer.body
        case 404: return nil
        default: throw Failure(.unavailable, "it answered \(answer.status) at /\(path)")
        }
      }
    }
    let directory = try NodeSetup.stateDirectory(arguments)
    try UserFile.makeDirectory(directory)
    var book = try KnownNodes(directory + "/known_nodes")
    let seen = book
    // A node that publishes nothing is not a worse one for it.
    if try await OwnThread.run({ try read(PublishedFile.card) }) == nil {
      throw Failure(
        .unavailable, "nothing is published at \(place): there is no '\(PublishedFile.card)'",
        hint:
          "its operator writes it with 'hotpot publish', or serves it with 'publish: { door: true }'; 'hotpot check' visits any node"
      )
    }
    let model = arguments.has("model") ? try ModelChoice.path(arguments) : nil
    let report = try await OwnThread.run {
      let machine = try model.map { try Reexecutor(path: $0, threads: threads) }
      return NodeInspection(machine: machine, witnesses: witnesses, read: read).run(
        samples: samples, known: seen[place], elsewhere: { seen.elsewhere($0, than: place) })
    }
    book[place] = report.known
    try book.write()
    return try show(
      report, of: place,
      good: "nothing is wrong with what this node publishes\(model == nil ? "; no model was run" : "")",
      json: arguments.has("json"))
  }
}
