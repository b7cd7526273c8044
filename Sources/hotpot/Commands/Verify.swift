// Verify.swift: `hotpot verify`: checking receipts without trusting anyone, one with all that its
// client brings, or many in one process. Not here: the checks (Receipts), their order
// (ReceiptProof). Start at Command.verifyReceipt.

import Foundation
import Inference
import Node
import Receipts
import Scheduling
import Synchronization

extension Command {
  static let verifyReceipt = Command(
    name: "verify", summary: "check a receipt, with or without running the model again",
    operands: "[BUNDLE | DIRECTORY]...",
    details: """
      Without more, the receipt, its signature and its place in the log are checked. With --answer, the node's answer as it was
      saved, whole, as a stream or cut: what its receipt commits to, its counts, and what it says of itself. With --request the
      settings of your own request are compared. With --model the token ids are decoded and compared with the answer's text, its
      log-probabilities with the model's, your request is rendered and compared with the prompt, and the model runs again: the
      first difference is named. An answer without token ids is generated again from your request. An answer that was asked for
      with "hotpot":{"receipt":"inline"} holds its receipt and needs no bundle.
      Several bundles, or a directory of them, are checked in one go and with one load of the model; the answer and the request
      of NAME.bundle are the files NAME.answer and NAME.request beside it. --windows is for a first look at many: it takes less
      time, and says that the sampler was not replayed.
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
      Option(
        "witnesses", value: "FILE",
        "allowed_signers of witnesses that you trust, and their keys for notes, one a line"),
      Option("windows", "with --model: compare the hidden states alone, and replay no sampler"),
      Option("threads", value: "N", "threads for running the model"), GraphicsChoice.option, .json,
    ]
  ) { arguments in
    let places = try arguments.operands(0...Int.max, "bundles")
    let run = try VerifyRun(arguments)
    let isMany = places.count > 1 || places.contains(where: UserFile.isDirectory)
    guard isMany else {
      guard !places.isEmpty || arguments.has("answer") else {
        throw Failure(
          .usage, "'verify' wants a bundle, or '--answer' with an answer that holds its receipt",
          hint: "'hotpot receipts export ID' makes a bundle")
      }
      let files = ClientFiles(
        bundle: places.first, answer: arguments.string("answer") ?? arguments.string("transcript"),
        request: arguments.string("request"))
      var proof = try files.proof()
      if arguments.has("answer"), let file = arguments.string("transcript") {
        proof.evidence.transcript = try transcript(readFile(file))
      }
      let found = proof
      let verdict = try await OwnThread.run { run.check(found) }
      if arguments.has("json") { try Console.print(json: VerdictPage(verdict)) } else { show(verdict) }
      return verdict.passes ? .ok : .failed
    }
    for option in ["answer", "request", "transcript"] where arguments.has(option) {
      throw Failure(
        .usage, "'--\(option)' is for one bundle",
        hint: "the files of NAME.bundle are NAME.answer and NAME.request beside it")
    }
    let all = try places.flatMap { try UserFile.isDirectory($0) ? bundles(in: $0) : [$0] }
    guard !all.isEmpty else {
      throw Failure(
        .noInput, "'\(places[0])' is a directory in which no file's name ends with '.bundle'")
    }
    let verdicts = try await OwnThread.run {
      all.enumerated().map { number, path in
        Console.progress(number + 1 == all.count ? nil : "checked \(number) of \(all.count) bundles")
        return NamedVerdict(name: path, result: Result { run.check(try ClientFiles(beside: path).proof()) })
      }
    }
    if arguments.has("json") {
      try Console.print(json: verdicts.map { NamedPage($0) })
    } else {
      Console.write(StatusPage.table(verdicts.map(\.row)))
      let failed = verdicts.filter { !$0.passes }.count
      Console.print("\(counted(verdicts.count, "bundle")): \(verdicts.count - failed) hold, \(failed) do not")
    }
    return verdicts.allSatisfy(\.passes) ? .ok : .failed
  }

  private static func bundles(in directory: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: directory)
        .filter { $0.hasSuffix(".bundle") }.sorted().map { "\(directory)/\($0)" }
    } catch {
      throw Failure(.badData, "'\(directory)' cannot be listed: \(error.localizedDescription)", hint: nil)
    }
  }

  private static func show(_ verdict: Verdict) {
    Console.write(
      StatusPage.table(
        verdict.verification.checks.map {
          [$0.name.rawValue, $0.result == .failed ? "FAILED" : $0.result.word, $0.detail]
        }))
    for words in verdict.verification.unproved { Console.print("not checked: \(words)") }
    Console.print(
      verdict.passes
        ? "every check that was asked for holds"
        : "NOT PROVED: \(verdict.open.map(\.rawValue).joined(separator: ", "))")
  }
}

/// What was checked of one receipt, and whether all that was asked for holds.
private struct Verdict: Sendable {
  let verification: Verification
  let passes: Bool
  /// The checks that do not hold, or that were asked for and not done.
  let open: [Verification.Name]

  init(_ verification: Verification, asking asked: Set<Verification.Name>) {
    self.verification = verification
    passes = verification.passes(asking: asked)
    open = verification.checks.filter {
      $0.result == .failed || $0.result == .notChecked && asked.contains($0.name)
    }.map(\.name)
  }
}

/// The files of one receipt.
private struct ClientFiles {
  var bundle: String?
  var answer: String?
  var request: String?

  init(bundle: String?, answer: String?, request: String?) {
    self.bundle = bundle
    self.answer = answer
    self.request = request
  }

  /// The files beside a bundle that bear its name.
  init(beside bundle: String) {
    let stem = bundle.hasSuffix(".bundle") ? String(bundle.dropLast(7)) : bundle
    func existing(_ name: String) -> String? { FileManager.default.fileExists(atPath: name) ? name : nil }
    self.init(bundle: bundle, answer: existing(stem + ".answer"), request: existing(stem + ".request"))
  }

  func proof() throws -> ReceiptProof {
    let bundle = try bundle.map {
      try ReceiptBundle(parsing: String(decoding: Command.readFile($0), as: UTF8.self))
    }
    let answer = try answer.map(Command.readFile)
    let request = try request.map(Command.readFile)
    do throws(SavedAnswerError) {
      return try ReceiptProof(bundle, answer: answer, request: request)
    } catch { throw Failure(.badData, error.description, hint: error.hint) }
  }
}

/// What the command line says of every receipt, and the model, which is loaded once.
private final class VerifyRun: Sendable {
  private let evidence: @Sendable (inout Verification.Evidence) -> Void
  private let asked: Set<Verification.Name>
  private let model: String?
  private let threads: Int?
  private let device: ComputeDevice
  private let windowsAlone: Bool
  private let machine = Mutex<Result<Reexecutor, ServingError>?>(nil)
  private let keygen = SSHKeygen().remembering()

  init(_ arguments: Arguments) throws {
    let file = { (name: String) in try arguments.string(name).map(Command.readFile) }
    let text = { (name: String) in try file(name).map { String(decoding: $0, as: UTF8.self) } }
    let signers = try text("signers")
    let revoked = try arguments.string("revoked").map(UserFile.readable)
    let earlier = try file("earlier").map(Command.checkpoint)
    let proof = try text("proof").map { try ConsistencyProof(parsing: $0) }
    // Keys of notes stand on lines of their own among allowed signers.
    let given = try text("witnesses")?.split(separator: "\n") ?? []
    let noteKeys = given.compactMap { NoteKey(parsing: $0) }
    let signersOfWitnesses = given.filter { NoteKey(parsing: $0) == nil }.map { $0 + "\n" }.joined()
    let witnesses = signersOfWitnesses.isEmpty ? nil : signersOfWitnesses
    var asked: Set<Verification.Name> = []
    if earlier != nil { asked.insert(.consistency) }
    if !given.isEmpty { asked.insert(.witness) }
    self.asked = asked
    evidence = {
      $0.allowedSigners = signers
      $0.revoked = revoked
      $0.earlier = earlier
      $0.consistency = proof
      $0.witnesses = witnesses
      $0.noteWitnesses = noteKeys
    }
    model = arguments.has("model") ? try ModelChoice.path(arguments) : nil
    threads = try arguments.int("threads", in: 1...1024)
    device = try GraphicsChoice.device(arguments)
    windowsAlone = arguments.has("windows")
  }

  func check(_ given: ReceiptProof) -> Verdict {
    var proof = given
    evidence(&proof.evidence)
    if let model {
      proof.run(on: { () throws(ServingError) in try loaded(model) }, windowsAlone: windowsAlone) {
        done, total in
        Console.progress(done == total ? nil : "running \(done) of \(total) tokens")
      }
    }
    return Verdict(proof.verify(keygen: keygen), asking: proof.asked.union(asked))
  }

  private func loaded(_ path: String) throws(ServingError) -> Reexecutor {
    try machine.withLock { machine in
      let result =
        machine
        ?? Result { () throws(ServingError) in
          try Reexecutor(path: path, threads: threads, device: device)
        }
      machine = result
      return result
    }.get()
  }
}

/// One of many.
private struct NamedVerdict: Sendable {
  let name: String
  let result: Result<Verdict, any Error>

  var passes: Bool { (try? result.get().passes) ?? false }  // what cannot be read does not hold

  var row: [String] {
    switch result {
    case .failure(let error): return ["FAILED", name, "\(error)"]
    case .success(let verdict):
      let checks = verdict.verification.checks
      let failed = checks.first { $0.result == .failed }
      let open = checks.filter { $0.result == .notChecked }.map(\.name.rawValue).joined(separator: ", ")
      let detail =
        failed.map { "\($0.name.rawValue): \($0.detail)" }
        ?? (open.isEmpty ? "all checked" : "not checked: \(open)")
      return [verdict.passes ? "ok" : "FAILED", name, detail]
    }
  }
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

  init(_ verdict: Verdict) {
    ok = verdict.passes
    let verification = verdict.verification
    checks = verification.checks.map {
      Row(name: $0.name.rawValue, result: $0.result.word, detail: $0.detail)
    }
    notChecked = verification.unproved
  }
}

/// One of many, as `hotpot verify --json` prints it.
private struct NamedPage: Encodable {
  let bundle: String
  let verdict: VerdictPage?
  /// Why it could not be read.
  let error: String?

  init(_ named: NamedVerdict) {
    bundle = named.name
    switch named.result {
    case .success(let found): (verdict, error) = (VerdictPage(found), nil)
    case .failure(let problem): (verdict, error) = (nil, "\(problem)")
    }
  }
}
