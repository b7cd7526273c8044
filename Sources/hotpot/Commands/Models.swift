// Models.swift: `hotpot models`: lists the models on disk, fetches and checks them.

import Foundation
import Inference

extension Command {
  static let models = Command(
    name: "models",
    summary: "list, fetch and check the models on this machine",
    operands: "[list | pull NAME | verify [NAME]...]",
    details: """
      list      models in hotpot's own directory and in those of Ollama, the Hugging Face cache and LM Studio
      pull      fetches a model: \(ModelCatalog.models.map(\.name).joined(separator: ", ")), hf:OWNER/REPO/FILE.gguf, or an https: address
      verify    compares files with their SHA-256, all that have one when none is named
      """,
    options: [
      Option("sha256", value: "HEX", "the digest that the pulled file must have"),
      .json,
    ],
    run: { arguments in
      let store = ModelStore()
      switch arguments.operands.first ?? "list" {
      case "list":
        _ = try arguments.operands(0...1, "")
        return try list(store, arguments)
      case "pull":
        let name = try arguments.operands(2...2, "the name of a model")[1]
        let pull = try ModelPull(name, digest: arguments.string("sha256"), store: store)
        let model = try await PullDisplay.run(pull)
        if arguments.has("json") {
          try Console.print(json: ["name": model.name, "path": model.path])
        } else {
          Console.pour(model.path + "\n")
        }
        return .ok
      case "verify": return try verify(store, Array(arguments.operands.dropFirst()), arguments)
      case let other:
        throw Failure(
          .usage, "unknown action '\(other)'",
          hint: Spelling.nearest(to: other, among: ["list", "pull", "verify"]).map { "did you mean '\($0)'?" }
            ?? "known are list, pull and verify")
      }
    })
}

private struct ModelRow: Encodable {
  let name: String
  let path: String
  let origin: String
  let bytes: Int
  let sha256: String?

  init(_ model: StoredModel) {
    name = model.name
    path = model.path
    origin = model.origin.rawValue
    bytes = model.byteCount
    sha256 = model.claimedDigest
  }
}

private func list(_ store: ModelStore, _ arguments: Arguments) throws -> ExitCode {
  let models = store.models()
  if arguments.has("json") {
    try Console.print(json: models.map(ModelRow.init))
    return .ok
  }
  guard !models.isEmpty else {
    Console.note("hotpot: no models here; 'hotpot models pull smollm2' fetches one (98 MB)\n")
    return .ok
  }
  let width = models.reduce(4) { max($0, $1.name.count) }
  for model in models {
    let name = Console.oneLine(model.name)
    let size = Sizes.megabytes(model.byteCount)
    let padding = String(repeating: " ", count: max(width - name.count, 0))
    let gap = String(repeating: " ", count: max(10 - size.count, 0))
    Console.print("\(name)\(padding)  \(gap)\(size)  \(model.origin.rawValue)")
  }
  return .ok
}

private func verify(_ store: ModelStore, _ names: [String], _ arguments: Arguments) throws -> ExitCode {
  struct Row: Encodable {
    let name: String
    let result: String
    let detail: String
  }
  var chosen: [StoredModel] = []
  for name in names {
    guard let model = store.models(named: name).first else {
      throw Failure(.noInput, "no model is called '\(name)'", hint: "'hotpot models list' shows what is here")
    }
    chosen.append(model)
  }
  if names.isEmpty { chosen = store.models().filter { $0.claimedDigest != nil } }
  var rows: [Row] = []
  for model in chosen {
    guard let claimed = model.claimedDigest else {
      rows.append(Row(name: model.name, result: "not checked", detail: "no digest is known for it"))
      continue
    }
    let found = try FileDigest.sha256(ofFile: model.path)
    rows.append(
      Row(
        name: model.name, result: found == claimed ? "ok" : "failed",
        detail: found == claimed ? found : "SHA-256 is \(found), wanted \(claimed)"))
  }
  if arguments.has("json") {
    try Console.print(json: rows)
  } else {
    for row in rows { Console.print("\(Console.oneLine(row.name)): \(row.result) (\(row.detail))") }
  }
  return rows.contains { $0.result == "failed" } ? .badData : .ok
}

enum Sizes {
  /// `98.4 MB`, decimal as in shops.
  static func megabytes(_ bytes: Int) -> String {
    if bytes >= 10_000_000_000 { return String(format: "%.1f GB", Double(bytes) / 1e9) }
    return String(format: "%.1f MB", Double(bytes) / 1e6)
  }
}
