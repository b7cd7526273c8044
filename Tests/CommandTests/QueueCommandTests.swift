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

  private static let python = ProcessInfo.processInfo.environment["HOTPOT_PYTHON"] ?? "python3"
  private static let hasPython =
    (try? Program.run(["--version"], through: ["/usr/bin/env", python, "-c", "pass"]).status) == 0

  /// Carries bytes where `-L` says, for one connection, and ends as a line that breaks does. Notes its words.
  private static let carrier = """
    import socket, sys, threading
    words = sys.argv[1:]
    here, port, host, to = words[words.index("-L") + 1].split(":")
    open(sys.argv[0] + ".words", "a").write(" ".join(words) + "\\n")
    door = socket.create_server((here, int(port)))
    near, _ = door.accept()
    far = socket.create_connection((host, int(to)))
    def carry(a, b):
        while True:
            data = a.recv(65536)
            if not data: break
            b.sendall(data)
        try: b.shutdown(socket.SHUT_WR)
        except OSError: pass
    threading.Thread(target=carry, args=(far, near), daemon=True).start()
    carry(near, far)
    print("the line broke", file=sys.stderr)
    """

  @Test(
    .disabled(if: NATSServerProgram.all.isEmpty, "there is no nats-server: apt install nats-server"),
    .enabled(if: hasPython, "no python3, which carries the port"))
  func `a queue is reached through ssh, and ssh ends with the command`() throws {
    let server = try NATSServerProcess(try #require(NATSServerProgram.all.first))
    let folder = try Folder()
    let script = try folder.write(Array(Self.carrier.utf8), "ssh.py")
    let file = try folder.write(
      Array("{ queue: { servers: ['127.0.0.1:\(server.port)'], ssh: 'tom@hub' } }".utf8), "queue.json5")
    func queue(_ words: String..., ssh: String) throws -> Outcome {
      try Program.run(["queue"] + words + ["--config", file], environment: ["HOTPOT_SSH": ssh])
    }
    let carrier = "\(Self.python) \(script)"
    #expect(try queue("init", "--model", "m", ssh: carrier).status == 0)
    let found = try queue("doctor", ssh: carrier)
    #expect(
      found.output.contains("127.0.0.1:\(server.port) through ssh to 'tom@hub'")
        && found.output.contains("ssh to 'tom@hub'"), "\(found)")
    let words = try String(contentsOfFile: script + ".words", encoding: .utf8)
    #expect(
      words.contains("BatchMode=yes") && words.contains(":127.0.0.1:\(server.port) -- tom@hub"), "\(words)")
    // Without a way there its reason is said.
    let refuses = try folder.write(Array("#!/bin/sh\necho 'no route to hub' >&2; exit 255\n".utf8), "no")
    let refused = try queue("status", ssh: "sh \(refuses)")
    #expect(refused.status == 69 && refused.errors.contains("no route to hub"), "\(refused)")
    for wrong in ["ssh: '-oProxyCommand=x'", "ssh: 'a', servers: ['tls://b']"] {
      let text = wrong.contains("servers") ? wrong : "servers: ['a'], \(wrong)"
      let bad = try folder.write(Array("{ queue: { \(text) } }".utf8), "bad.json5")
      #expect(try Program.run(["queue", "status", "--config", bad]).errors.contains("'queue.ssh'"))
    }
  }
}
