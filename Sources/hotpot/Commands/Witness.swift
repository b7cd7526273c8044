// Witness.swift: `hotpot witness`: another party's key states that it saw the same log, and that
// the log only grew: over files, or over HTTP as C2SP's tlog-witness has it. A node does the same
// for the logs that its configuration names. Start at Command.witness.

import Foundation
import Node
import Receipts
import Scheduling

/// A cosignature as `hotpot witness --json` prints it.
private struct Cosigned: Encodable {
  let origin: String
  let size: Int
  /// The root of the log's tree, in hex.
  let root: String
  /// The size of the log when it was last cosigned here; nil the first time.
  let seen: Int?
  /// Armored.
  let cosignature: String
}

extension Command {
  static let witness = Command(
    name: "witness", summary: "cosign a node's checkpoint after checking that its log only grew",
    operands: "CHECKPOINT | key | serve",
    details: """
      CHECKPOINT is what GET /v1/checkpoint gives: the text, an empty line, the signature. The last checkpoint of each log that
      was cosigned here is remembered before it is cosigned, and one process at a time does so; a later one needs a consistency
      proof from it (GET /v1/checkpoint?from=SIZE). The cosignature goes to standard output; the node takes it with
      'hotpot receipts cosign'.

      key prints the keys of the node in the state directory as C2SP's notes have them: that of its log, for witnesses, and that
      it cosigns with, for logs.

      serve answers POST /add-checkpoint of C2SP's tlog-witness for the logs whose keys stand in --logs, one a line, until a
      signal ends it. Nodes that name each other under 'witnesses' and 'cosigns' in their configuration need it not.
      """,
    options: NodeSetup.commonOptions + [
      Option("signers", value: "FILE", "allowed_signers with the log's key, which you got from its operator"),
      Option("proof", value: "FILE", "a consistency proof from the last checkpoint seen"),
      Option("logs", value: "FILE", "with serve: the keys of the logs, one a line"),
      Option("listen", value: "ADDRESS", "with serve: where, default 127.0.0.1:8115"),
      Option("key", value: "FILE", "the key to cosign with; default a witness key in the state directory"),
      .json,
    ]
  ) { arguments in
    let path = try arguments.operands(1...1, "a checkpoint, 'key' or 'serve'")[0]
    if path == "key" { return try showKeys(arguments) }
    if path == "serve" { return try await serveWitness(arguments) }
    let (text, signature) = try split(String(decoding: readFile(path), as: UTF8.self))
    guard let signers = arguments.string("signers") else {
      throw Failure(.usage, "'--signers' is missing", hint: "a log's word about its own key proves nothing")
    }
    var proof: ConsistencyProof?
    if let file = arguments.string("proof") {
      proof = try ConsistencyProof(parsing: String(decoding: readFile(file), as: UTF8.self))
    }
    let memory = try witnessMemory(arguments)
    let key: String?
    if let named = arguments.string("key") { key = try UserFile.readable(named) } else { key = nil }
    let (found, seen, cosignature) = try memory.cosign(
      text: text, signature: signature, proof: proof,
      allowedSigners: String(decoding: readFile(signers), as: UTF8.self), key: key)
    if arguments.has("json") {
      try Console.print(
        json: Cosigned(
          origin: found.origin, size: found.size, root: "\(found.root)", seen: seen,
          cosignature: cosignature))
      return .ok
    }
    Console.pour(cosignature)
    Console.note(
      "hotpot: cosigned a log of \(counted(Int(found.size), "receipt"))\(seen.map { ", which continues the \($0) seen before" } ?? "")\n"
    )
    return .ok
  }

  private static func witnessMemory(_ arguments: Arguments) throws -> WitnessMemory {
    let directory = try NodeSetup.stateDirectory(arguments) + "/witness"
    try UserFile.makeDirectory(directory)
    return WitnessMemory(directory: directory)
  }

  private static func showKeys(_ arguments: Arguments) throws -> ExitCode {
    let state = try NodeSetup.stateDirectory(arguments)
    // Makes the state directory too.
    let memory = try witnessMemory(arguments)
    let log = try SSHKeygen().makeKey(at: state + "/key")
    guard let key = NoteKey(log: log) else {
      throw Failure(.failed, "'\(state)/key' is a key of type \(log.type), wanted ssh-ed25519")
    }
    let witness = try memory.noteKey()
    if arguments.has("json") {
      try Console.print(json: ["log": key.text, "witness": witness.text])
    } else {
      Console.write(StatusPage.table([["log", key.text], ["witness", witness.text]]))
    }
    return .ok
  }

  private static func serveWitness(_ arguments: Arguments) async throws -> ExitCode {
    guard let file = arguments.string("logs") else {
      throw Failure(
        .usage, "'--logs' is missing",
        hint: "a file with the keys of logs: 'hotpot witness key' prints a node's")
    }
    let lines = String(decoding: try readFile(file), as: UTF8.self).split(separator: "\n")
    let logs = try lines.map { line in
      guard let key = NoteKey(parsing: line), key.kind == .log else {
        throw Failure(.badData, "'\(file)' has '\(line.prefix(80))', wanted a log's key, NAME+ID+KEY")
      }
      return key
    }
    let memory = try witnessMemory(arguments)
    let own = try memory.noteKey()
    let server = try WitnessServer(listen: arguments.string("listen") ?? "127.0.0.1:8115", memory, logs: logs)
    for port in server.ports {
      Console.note("hotpot: cosigning \(counted(logs.count, "log")) on port \(port)\n")
    }
    Console.note("hotpot: the key of this witness is \(own.text)\n")
    StopSignals.take { server.stop() }
    try await OwnThread.run { server.waitUntilStopped() }
    return .ok
  }

  /// A checkpoint's text, and the armored signature after an empty line.
  static func split(_ whole: String) throws -> (text: String, signature: String) {
    guard let range = whole.range(of: "\n\n-----BEGIN SSH SIGNATURE-----") else {
      throw Failure(
        .badData, "found no checkpoint with its signature", hint: "'curl http://NODE/v1/checkpoint' gives one"
      )
    }
    let text = String(whole[..<range.lowerBound]) + "\n"
    return (text, String(whole[whole.index(range.lowerBound, offsetBy: 2)...]))
  }
}
