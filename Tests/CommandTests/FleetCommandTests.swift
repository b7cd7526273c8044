// FleetCommandTests.swift: `hotpot fleet --json` over peers that are no nodes of this release: what each row says.

import Foundation
import TestSettings
import Testing

@Suite struct FleetCommandTests {
  private struct Row: Decodable {
    let host: String
    let error: String?
  }

  /// What the other side says, instead of ssh; its words are those of a shell.
  private func ask(_ says: String, timeout: String = "10") throws -> (status: Int32, row: Row) {
    let folder = try Folder()
    let script = try folder.write(Array("#!/bin/sh\n\(says)\n".utf8), "ssh")
    let result = try Program.run(
      ["fleet", "--json", "--timeout", timeout, "kitchen"], environment: ["HOTPOT_SSH": "sh \(script)"])
    let rows = try JSONDecoder().decode([Row].self, from: Data(result.output.utf8))
    return (result.status, try #require(rows.first))
  }

  @Test(arguments: [
    (
      #"echo '{"hello":{"version":1,"node":"kitchen","software":"0.0.1"}}'; cat >/dev/null"#,
      "kitchen runs hotpot 0.0.1, which speaks control protocol 1; this one speaks 2"
    ),
    (
      #"echo '{"hello":{"version":99,"node":"kitchen","software":"9.0","more":true}}'; cat >/dev/null"#,
      "kitchen runs hotpot 9.0, which speaks control protocol 99; this one speaks 2"
    ),
    (
      #"echo '{"refused":{"tag":0,"reason":"you speak control protocol 2, this node 3"}}'; cat >/dev/null"#,
      "you speak control protocol 2, this node 3"
    ),
    (
      "echo 'Welcome to Debian'; cat >/dev/null",
      "the other side sent something that is not hotpot's control protocol: 'Welcome to Debian'"
    ),
    (
      "echo 'ssh: connect to host kitchen port 22: Connection refused' >&2; exit 255",
      "ssh: connect to host kitchen port 22: Connection refused"
    ),
    (
      "echo 'hotpot: error: no node runs here' >&2; echo 'hotpot: hint: start one' >&2; exit 69",
      "no node runs here"
    ),
    (
      "printf '\\033[2Jgarbage\\n'; cat >/dev/null",
      "the other side sent something that is not hotpot's control protocol: '?[2Jgarbage'"
    ),
  ])
  func whatIsNoNodeIsNamed(_ says: String, _ wanted: String) throws {
    let (status, row) = try ask(says)
    #expect(status == 69)
    #expect(row.error == wanted)
  }

  @Test func aSilentHostCostsTheTimeThatItIsGiven() throws {
    let (status, row) = try ask("cat >/dev/null", timeout: "0.3")
    #expect(status == 69)
    #expect(row.error == "no answer within 0.3 s")
  }

  @Test(arguments: ["-oProxyCommand=id", "a b", "", "kitchen\u{1B}[2J"]) func whatIsNoHostIsRefused(
    host: String
  ) throws {
    let result = try Program.run(["fleet", "--json", "--", host])
    #expect(result.status == 64)
    #expect(result.errors.hasPrefix("hotpot: error: '"))
  }

  @Test func withoutHostsItSaysWhereTheyAreNamed() throws {
    let result = try Program.run(["fleet", "--json"])
    #expect(result.status == 64)
    #expect(result.errors.contains("list them under 'fleet' in the configuration"))
    let folder = try Folder()
    let file = try folder.write(Array("{ fleet: ['kitchen'] }".utf8), "config.json5")
    let named = try Program.run(
      ["fleet", "--json", "--config", file], environment: ["HOTPOT_SSH": "/nowhere/ssh"])
    #expect(named.status == 69)
    #expect(named.output.contains("'/nowhere/ssh' cannot be run: No such file or directory"))
  }
}

/// A trace of a node, through its state machine again.
@Suite struct ReplayTests {
  @Test func whatIsNoTraceIsRefused() throws {
    let folder = try Folder()
    for text in ["", "{}\n", "{\"trace\":2}\n", "\u{1}\n"] {
      let file = try folder.write(Array(text.utf8), "trace")
      let result = try Program.run(["replay", file])
      #expect(result.status == 65)
      #expect(result.errors.contains("line 1: found no head of a trace"))
    }
    #expect(try Program.run(["replay", folder.path + "/nowhere"]).status == 66)
  }

  @Test func aTraceReplaysWithTheSameEffects() throws {
    let folder = try Folder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = [
      "serve", "--listen", "none", "--state", folder.path + "/node", "--trace", folder.path + "/trace",
      "--model",
      RealModel.path ?? "/nowhere.gguf",
    ]
    process.environment = ["PATH": "/usr/bin:/bin", "HOME": folder.path]
    let said = Pipe()
    process.standardError = said
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var words = ""
    // It has read its model, where there is one.
    while !words.contains("info: serving "), !RealModel.isAbsent {
      let data = said.fileHandleForReading.availableData
      if data.isEmpty { break }
      words += String(decoding: data, as: UTF8.self)
    }
    said.fileHandleForReading.readabilityHandler = {
      if $0.availableData.isEmpty { $0.readabilityHandler = nil }
    }
    let state = ["--state", folder.path + "/node"]
    // Without one it does not say that it is there.
    while process.isRunning, try Program.run(["status"] + state).status != 0 {}
    if let model = RealModel.path {
      let name = URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
      let body =
        "{\"model\":\"\(name)\",\"max_tokens\":8,\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}"
      #expect(try Program.run(["submit"] + state, input: body).status == 0)
      #expect(try Program.run(["pause"] + state).status == 0)
      #expect(try Program.run(["resume"] + state).status == 0)
    }
    #expect(try Program.run(["clients", "add", "bob"] + state).status == 0)
    process.terminate()
    process.waitUntilExit()
    let result = try Program.run(["replay", folder.path + "/trace"])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    #expect(result.output.hasSuffix("the same effects at every step\n"))
    // No prompt and no answer is in it, and one altered step is found.
    #expect(!folder.text("trace").contains("Hello"))
    let altered = folder.text("trace").replacing("\"bob\"", with: "\"eve\"").replacing(
      "added client bob", with: "added client eve")
    let file = try folder.write(Array(altered.utf8), "altered")
    let other = try Program.run(["replay", file])
    #expect(other.status == 1)
    #expect(other.output.contains("OTHER effects than recorded, first on line "))
    // A trace is never written over.
    let again = try Program.run(["serve", "--listen", "none", "--trace", folder.path + "/trace"] + state)
    #expect(again.status == 74 && again.errors.contains("a trace is never written over"))
  }
}
