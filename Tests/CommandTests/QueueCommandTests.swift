// QueueCommandTests.swift: `hotpot queue` and `submit --queue` with a real server, and without one.

import Foundation
import NATSServers
import Testing

@Suite struct QueueCommandTests {
  @Test func `without a shared queue in the configuration the commands say what is missing`() throws {
    for words in [["queue", "status"], ["submit", "--queue"]] {
      let outcome = try Program.run(words, input: "{}")
      #expect(outcome.status == 64)
      #expect(outcome.errors.contains("the configuration names no shared queue"), "\(outcome)")
    }
    let folder = try Folder()
    let file = try folder.write(Array("{ queue: { servers: ['127.0.0.1:1'] } }".utf8), "queue.json5")
    let nobody = try Program.run(["queue", "status", "--config", file])
    #expect(nobody.status == 69)
    #expect(nobody.errors.contains("'127.0.0.1:1' cannot be reached: Connection refused"), "\(nobody)")
    #expect(try Program.run(["queue", "burn", "--config", file]).status == 64)
    #expect(try Program.run(["queue", "purge", "--config", file]).errors.contains("--yes"))
    let rights = try Program.run(["queue", "init", "--rights", "--client", "bob", "--config", file])
    #expect(rights.status == 0 && rights.output.contains("hotpot.job.*.*.bob"), "\(rights)")
  }

  @Test(
    .disabled(if: NATSServerProgram.all.isEmpty, "there is no nats-server: apt install nats-server"),
    arguments: NATSServerProgram.all)
  func `a stream is made, shown, filled, emptied and examined`(_ program: NATSServerProgram) throws {
    let server = try NATSServerProcess(program)
    let folder = try Folder()
    let text = "{ queue: { servers: ['127.0.0.1:\(server.port)'], login: { user: 'alice', password: 'x' } } }"
    let file = try folder.write(Array(text.utf8), "queue.json5")
    func queue(_ words: String...) throws -> Outcome {
      try Program.run(["queue"] + words + ["--config", file])
    }
    let missing = try queue("doctor")
    #expect(missing.output.contains("missing stream") && missing.output.contains("queue init"), "\(missing)")
    let made = try queue("init", "--model", "smollm2", "--jobs", "1")
    #expect(made.status == 0 && made.output.contains("consumer smollm2_hi"), "\(made)")
    // Once more is no error; other sizes are.
    #expect(try queue("init", "--model", "smollm2", "--jobs", "1").status == 0)
    #expect(try queue("init", "--model", "smollm2", "--jobs", "2").status != 0)
    // No node takes it: the requester is ended, and its job is taken out of the queue.
    let timeout = try #require(Installed.find("timeout"))
    let asked = try Program.run(
      ["submit", "--queue", "--config", file, "--state", folder.path],
      input: "{\"model\":\"smollm2\",\"prompt\":\"x\"}",
      through: [timeout, "--preserve-status", "-s", "TERM", "3"])
    #expect(asked.status == 130 && asked.errors.contains("cancelled"), "\(asked)")
    let empty = try queue("status", "--json")
    #expect(empty.output.contains("\"jobs\":0"), "\(empty)")
    #expect(try queue("jobs").status == 0)
    let purged = try queue("purge", "--yes", "--model", "smollm2", "--class", "hi")
    #expect(purged.output.contains("deleted 0 jobs"), "\(purged)")
    let examined = try queue("doctor")
    #expect(examined.output.contains("prompts lie on the server's disk"), "\(examined)")
    #expect(examined.output.contains("nats-server \(program.version)"))
  }
}
