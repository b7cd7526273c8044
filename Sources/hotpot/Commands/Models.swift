// Models.swift: `hotpot models`: lists the models on disk, shows those of a repository, fetches and
// checks them.

import Foundation
import Inference
import Telemetry

extension Command {
  static let models = Command(
    name: "models",
    summary: "list, fetch and check the models on this machine",
    operands: "[list | search hf:OWNER/REPO | pull NAME | verify [NAME]...]",
    details: """
      list      models in hotpot's own directory and in those of Ollama, the Hugging Face cache and LM Studio
      search    the models of a repository, their sizes, and which of them fit into this machine's memory
      pull      fetches a model: \(ModelCatalog.models.map(\.name).joined(separator: ", ")), hf:OWNER/REPO, hf:OWNER/REPO:QUANT, hf:OWNER/REPO/FILE.gguf,
                ollama:NAME:TAG, or an https: address; all parts of a model in several files
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
        if ModelCatalog.model(named: model.name)?.terms != nil {
          Console.note("hotpot: its terms of use are in \(store.termsPath(of: model.name))\n")
        }
        warnIfUseless(model)
        if arguments.has("json") {
          try Console.print(json: ["name": model.name, "path": model.path])
        } else {
          Console.pour(model.path + "\n")
        }
        return .ok
      case "search":
        let name = try arguments.operands(2...2, "a repository, hf:OWNER/REPO")[1]
        return try search(name, await ModelPull.models(in: name), arguments)
      case "verify": return try verify(store, Array(arguments.operands.dropFirst()), arguments)
      case let other:
        throw Failure(
          .usage, "unknown action '\(other)'",
          hint: Spelling.nearest(to: other, among: ["list", "search", "pull", "verify"]).map {
            "did you mean '\($0)'?"
          }
            ?? "known are list, search, pull and verify")
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

/// Says so if the model that is here now cannot be run.
private func warnIfUseless(_ model: StoredModel) {
  do throws(ModelError) {
    _ = try Model.listing(path: model.path)
  } catch {
    Console.warn("it is here, and it cannot be run: \(error)")
    if let hint = error.hint { Console.note("hotpot: hint: \(Console.oneLine(hint))\n") }
  }
}

/// Whether a model of so many bytes runs here: its weights are loaded whole, beside them a tenth or
/// half a gigabyte for keys, values and the program.
private enum Fit: String, Encodable {
  case fits, notNow = "not now", tooLarge = "too large", unknown

  init(_ byteCount: Int, _ sample: MachineSample) {
    let wanted = Int64(byteCount) + max(Int64(byteCount) / 10, 512 << 20)
    let limits = [sample.memory.total.current, sample.container.memory].compactMap(\.self)
    guard let most = limits.min(), let available = sample.memory.available.current else {
      self = .unknown
      return
    }
    self = wanted > most ? .tooLarge : wanted > available ? .notNow : .fits
  }

  var words: String {
    switch self {
    case .fits: "fits"
    case .notNow: "fits when other programs end"
    case .tooLarge: "too large for this machine's memory"
    case .unknown: "this machine does not tell its memory"
    }
  }
}

private func search(_ name: String, _ models: [HubModel], _ arguments: Arguments) throws -> ExitCode {
  struct Row: Encodable {
    let name: String
    let file: String
    let bytes: Int
    let parts: Int
    let sha256: String?
    let memory: Fit
  }
  var sampler = MachineSampler(stateDirectory: "/")
  let sample = sampler.sample(at: 0)
  let rows = models.sorted { ($0.byteCount, $0.name) < ($1.byteCount, $1.name) }.map { model in
    Row(
      name: "\(name):\(model.tag)", file: model.name, bytes: model.byteCount, parts: model.partCount,
      sha256: model.digest, memory: Fit(model.byteCount, sample))
  }
  if arguments.has("json") {
    try Console.print(json: rows)
    return .ok
  }
  let width = rows.reduce(0) { max($0, Console.oneLine($1.name).count) }
  for row in rows {
    let name = Console.oneLine(row.name)
    let size = Sizes.megabytes(row.bytes)
    let padding = String(repeating: " ", count: width - name.count)
    let gap = String(repeating: " ", count: max(10 - size.count, 0))
    let parts = row.parts > 1 ? ", \(row.parts) files" : ""
    Console.print("\(name)\(padding)  \(gap)\(size)  \(row.memory.words)\(parts)")
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
    let found = try FileDigest.sha256(ofModel: model.paths)
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
