// ServeTests.swift: a served node and the commands that look at it and act on it, run as a user runs them.

import Foundation
import Synchronization
import TestSettings
import Testing

/// Commands that need a node, without one; and a node that cannot start.
@Suite struct NodeCommandTests {
  static let cases: [(words: [String], code: Int32)] = [
    (words: ["serve", "--frobnicate"], code: 64), (words: ["serve", "operand"], code: 64),
    (words: ["priority", "abcd"], code: 64), (words: ["priority", "abcd", "12"], code: 64),
    (words: ["status"], code: 69), (words: ["jobs"], code: 69), (words: ["approve", "abcd"], code: 69),
    (words: ["verify", "/nowhere"], code: 66), (words: ["serve", "--config", "/nowhere.json5"], code: 66),
    (words: ["settle", "bob", "1"], code: 64), (words: ["attach", "-oProxyCommand=id"], code: 64),
    (words: ["attach"], code: 69), (words: [], code: 64),
  ]

  @Test func exitCodesAreThoseOfSysexits() throws {
    for (words, code) in Self.cases {
      let result = try Program.run(words)
      #expect(result.status == code, "\(words): \(result.errors)")
      #expect(result.errors.hasPrefix("hotpot: error: "), "\(words): \(result.errors)")
      #expect(result.output.isEmpty, "\(words)")
    }
  }

  @Test func aBrokenConfigurationNamesFileLineAndFix() throws {
    let folder = try Folder()
    let file = try folder.write(Array("{\n  queue: { jbos: 3 }\n}\n".utf8), "config.json5")
    let result = try Program.run(["serve", "--config", file])
    #expect(result.status == 65)
    #expect(
      result.errors.hasPrefix("hotpot: error: \(file):2:12: 'queue.jbos' is not a key that hotpot knows"))
    #expect(
      result.errors.contains(
        "hotpot: hint: here it knows: approvals, classes, decide_within_s, domain, entrance, entrances, jobs, login, models, priority, "
      ))
  }

  @Test func everyCommandHasHelp() throws {
    let names = try Program.run(["--help"]).output.split(separator: "\n")
      .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.contains("--") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }
    #expect(names.count > 15)
    for name in names {
      let help = try Program.run([name, "--help"])
      #expect(help.status == 0 && help.output.hasPrefix("usage: hotpot \(name)"), "\(name)")
    }
  }
}

/// A served node. Ends with the test.
final class ServedNode {
  let folder: Folder
  let port: Int
  let process = Process()
  private let errors = Errors()
  /// What it wrote to standard error so far.
  var said: String { errors.text.withLock { $0 } }

  private final class Errors: Sendable {
    let text = Mutex("")
  }

  struct Failed: Error { let said: String }

  /// - folder: an earlier node's, whose state this one goes on with
  init(model: String, configuration: String = "{}", folder: Folder? = nil) throws {
    self.folder = try folder ?? Folder()
    let folder = self.folder
    let file = try folder.write(Array(configuration.utf8), "config.json5")
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = [
      "serve", "--model", model, "--listen", "127.0.0.1:0", "--state", folder.path + "/node", "--config",
      file,
    ]
    let error = Pipe()
    process.standardError = error
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    // It says where it listens, and when it serves; what comes later is kept for who looks.
    var said = ""
    var found: Int?
    while found == nil || !said.contains("info: serving ") {
      let data = error.fileHandleForReading.availableData
      if data.isEmpty { break }
      said += String(decoding: data, as: UTF8.self)
      if let range = said.range(of: "serving http on port ") {
        found = Int(said[range.upperBound...].prefix { $0.isNumber })
      }
    }
    errors.text.withLock { $0 = said }
    let errors = errors
    error.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      // At its end it would be called again and again.
      if data.isEmpty { handle.readabilityHandler = nil }
      errors.text.withLock { $0 += String(decoding: data, as: UTF8.self) }
    }
    guard let found else { throw Failed(said: said) }
    port = found
  }

  func command(_ words: [String], input: String = "") throws -> Outcome {
    try Program.run(words + ["--state", folder.path + "/node"], input: input)
  }

  func token(_ name: String) throws -> String {
    try command(["clients", "add", name]).output.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// SIGTERM, and its exit code.
  func stop() -> Int32 {
    process.terminate()
    process.waitUntilExit()
    return process.terminationStatus
  }

  func signal(_ number: Int32) { kill(process.processIdentifier, number) }

  deinit { if process.isRunning { process.terminate() } }
}

@Suite(
  .serialized,
  .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one")
)
struct ServeTests {
  var model: String { RealModel.path ?? "" }
  var name: String { URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent }

  /// A python with the openai package: HOTPOT_PYTHON, or python3.
  static let python: String? = {
    let candidate = ProcessInfo.processInfo.environment["HOTPOT_PYTHON"] ?? "python3"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [candidate, "-c", "import openai"]
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return nil }
    process.waitUntilExit()
    return process.terminationStatus == 0 ? candidate : nil
  }()

  @Test(
    .enabled(if: ServeTests.python != nil, "the openai package is absent: 'pip install openai' brings it"))
  func theUnmodifiedOpenaiPackageIsServed() throws {
    let node = try ServedNode(model: model, configuration: "{ queue: { decide_within_s: 4 } }")
    let script = repository.appending(path: "Tests/Acceptance/OpenAI/openai_client.py").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      ServeTests.python ?? "", script, "http://127.0.0.1:\(node.port)", try node.token("tester"), name,
      Program.path,
      node.folder.path + "/node",
    ]
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(said)")
    #expect(node.stop() == 0)
  }

  @Test func anOwnJobIsReceiptedAndVerifiedByReexecution() throws {
    let node = try ServedNode(model: model)
    let body = """
      {"model":"\(name)","temperature":0,"max_tokens":40,"return_token_ids":true,
       "messages":[{"role":"user","content":"What is the capital of France?"}]}
      """
    let answer = try node.command(["submit", "--json"], input: body)
    #expect(answer.status == 0, "\(answer.errors)")
    #expect(answer.output.contains("The capital of France is Paris."))
    let transcript = try node.folder.write(Array(answer.output.utf8), "answer.json")
    let list = try node.command(["receipts", "list"]).output
    let id = try #require(
      list.split(separator: "\n").dropFirst().first?.split(separator: " ").first.map(String.init))
    // The checkpoint is signed within a second; until then the export says so.
    var bundle = try node.command(["receipts", "export", id])
    for _ in 0..<400 where bundle.status != 0 { bundle = try node.command(["receipts", "export", id]) }
    #expect(bundle.status == 0, "\(bundle.errors)")
    let file = try node.folder.write(Array(bundle.output.utf8), "bundle")
    let checked = try Program.run(["verify", file, "--transcript", transcript, "--model", model])
    #expect(checked.status == 0, "\(checked.output)\(checked.errors)")
    #expect(checked.output.contains("the same bits"))
    // One token of the transcript changed: refused by name.
    let altered = answer.output.replacingOccurrences(of: "\"token_ids\":[504", with: "\"token_ids\":[505")
    #expect(altered != answer.output)
    let bad = try node.folder.write(Array(altered.utf8), "bad.json")
    let refused = try Program.run(["verify", file, "--transcript", bad, "--model", model])
    #expect(refused.status == 1)
    #expect(refused.output.contains("FAILED"))
    #expect(node.stop() == 0)
  }

  @Test func aSecondNodeOnTheSameStateExits75() throws {
    let node = try ServedNode(model: model)
    let second = try node.command(["serve", "--listen", "none"])
    #expect(second.status == 75)
    #expect(second.errors.contains("is in use by process"))
    #expect(node.stop() == 0)
  }
}
