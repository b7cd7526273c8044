// Witness.swift: `hotpot witness`: another party's key states that it saw the same log, and that
// the log only grew.

import Foundation
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
    operands: "CHECKPOINT",
    details: """
      CHECKPOINT is what GET /v1/checkpoint gives: the text, an empty line, the signature. The last checkpoint of each log that
      was cosigned here is remembered before it is cosigned, and one process at a time does so; a later one needs a consistency
      proof from it (GET /v1/checkpoint?from=SIZE). The cosignature goes to standard output; the node takes it with
      'hotpot receipts cosign'.
      """,
    options: NodeSetup.commonOptions + [
      Option("signers", value: "FILE", "allowed_signers with the log's key, which you got from its operator"),
      Option("proof", value: "FILE", "a consistency proof from the last checkpoint seen"),
      Option("key", value: "FILE", "the key to cosign with; default a witness key in the state directory"),
      .json,
    ]
  ) { arguments in
    let path = try arguments.operands(1...1, "a checkpoint")[0]
    let (text, signature) = try split(String(decoding: readFile(path), as: UTF8.self))
    guard let signers = arguments.string("signers") else {
      throw Failure(.usage, "'--signers' is missing", hint: "a log's word about its own key proves nothing")
    }
    var proof: ConsistencyProof?
    if let file = arguments.string("proof") {
      proof = try ConsistencyProof(parsing: String(decoding: readFile(file), as: UTF8.self))
    }
    let directory = try NodeSetup.stateDirectory(arguments) + "/witness"
    try UserFile.makeDirectory(directory)
    let key: String?
    if let named = arguments.string("key") { key = try UserFile.readable(named) } else { key = nil }
    let memory = WitnessMemory(directory: directory)
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
