// CheckCommandTests.swift: `hotpot check` and `hotpot inspect` through ssh: a program in its place carries a port as
// ssh does. What a visit finds is in NodeTests (NodeCheckTests, PublicationTests).

import Foundation
import TestSettings
import Testing

@Suite struct CheckCommandTests {
  private struct Page: Decodable {
    struct Check: Decodable {
      let name: String
      let result: String
      let detail: String
    }
    let node: String
    let ok: Bool
    let checks: [Check]
  }

  private static let python = ProcessInfo.processInfo.environment["HOTPOT_PYTHON"] ?? "python3"
  private static let hasPython =
    (try? Program.run(["--version"], through: ["/usr/bin/env", python, "-c", "pass"]).status) == 0

  /// Listens where `-L` says, answers every request with where it would have gone, and notes its own number.
  private static let carrier = """
    import http.server, os, sys
    words = sys.argv[1:]
    here, port, there = words[words.index("-L") + 1].split(":", 2)
    open(sys.argv[0] + ".pid", "w").write(str(os.getpid()))
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            # Before the answer, which is all that its caller waits for.
            open(sys.argv[0] + ".asked", "a").write(there + " " + self.path + "\\n")
            body = ('{"key":"none","to":"%s","host":"%s"}' % (there, words[-1])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *words): pass
    http.server.HTTPServer((here, int(port)), Answer).serve_forever()
    """

  @Test(
    .enabled(if: hasPython, "no python3, which carries the port"),
    arguments: [
      (["check"], "127.0.0.1:8114", "/v1/node"), (["check", "gpu:9000"], "gpu:9000", "/v1/node"),
      (["inspect", "[::1]:81"], "[::1]:81", "/.well-known/hotpot.json"),
    ])
  func `a visit goes through ssh, and ssh ends with it`(
    _ words: [String], _ target: String, _ path: String
  ) throws {
    let folder = try Folder()
    let script = try folder.write(Array(Self.carrier.utf8), "ssh.py")
    let found = try Program.run(
      words + ["--ssh", "tom@kitchen", "--json", "--state", folder.path + "/state"],
      environment: ["HOTPOT_SSH": "\(Self.python) \(script)"])
    #expect(found.status == 1, "\(found.errors)")
    let page = try JSONDecoder().decode(Page.self, from: Data(found.output.utf8))
    #expect(page.node == "ssh://tom@kitchen/\(target)" && !page.ok)
    #expect(page.checks.first?.result == "failed")
    #expect(page.checks.first?.detail.contains("names no key") == true, "\(found.output)")
    let asked = try String(contentsOfFile: script + ".asked", encoding: .utf8).split(separator: "\n")
    #expect(Set(asked) == ["\(target) \(path)"])
    let process = try #require(pid_t(String(contentsOfFile: script + ".pid", encoding: .utf8)))
    #expect(kill(process, 0) == -1 && errno == ESRCH)
  }

  @Test func `where ssh does not get through, that is said`() throws {
    let folder = try Folder()
    let says = "ssh: connect to host kitchen port 22: Connection refused"
    let script = try folder.write(Array("#!/bin/sh\necho '\(says)' >&2; exit 255\n".utf8), "ssh")
    func ask(_ words: [String], ssh: String) throws -> Outcome {
      try Program.run(
        words + ["--state", folder.path + "/state"], environment: ["HOTPOT_SSH": ssh])
    }
    let refused = try ask(["check", "--ssh", "kitchen"], ssh: "sh \(script)")
    #expect(refused.status == 69)
    #expect(refused.errors.contains(says))
    #expect(refused.errors.contains("there is no way to 127.0.0.1:8114 through 'kitchen'"))
    let absent = try ask(["inspect", "--ssh", "kitchen"], ssh: "/nowhere/ssh")
    #expect(absent.status == 69 && absent.errors.contains("'/nowhere/ssh' cannot be run"))
    for words in [
      ["check", "--ssh", "-oProxyCommand=x"], ["check", "https://a", "--ssh", "kitchen"],
      ["check", "http://a/b", "--ssh", "kitchen"], ["check"], ["inspect"],
    ] {
      #expect(try ask(words, ssh: "/nowhere/ssh").status == 64, "\(words)")
    }
  }

  @Test func `of a node that publishes nothing nothing is said`() throws {
    let folder = try Folder()
    let place = folder.path + "/site"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    let empty = try Program.run(["inspect", place, "--state", folder.path + "/state"])
    #expect(empty.status == 69 && empty.output.isEmpty)
    #expect(empty.errors.contains("nothing is published at file://\(place)"), "\(empty)")
  }
}
